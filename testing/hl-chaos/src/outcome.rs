//! What a run, and many of them, came to.

use serde::Serialize;

/// What one seed came to.
#[derive(Clone, Default, PartialEq, Debug, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Simulated time, ms.
    pub simulated_ms: u64,
    /// Rows of the truth that are neither stored nor inside a recorded gap.
    pub lost: u64,
    /// Rows stored twice.
    pub duplicates: u64,
    /// Pairs of covered pieces whose interiors meet.
    pub overlapping_claims: u64,
    /// Places in which rows are lost.
    pub unrecorded_gaps: u64,
    /// Everything that is wrong, in words; empty where the run is clean.
    pub problems: Vec<String>,
    /// Faults of every kind that struck, crashes included.
    pub faults: u64,
    /// Crashes of the daemon among them.
    pub crashes: u64,
    /// Frames that the exchange sent.
    pub frames: u64,
    /// Rows of the truth that were compared.
    pub compared: u64,
    /// Hash of the trace and of the final rows and ledger.
    #[serde(serialize_with = "hex")]
    pub hash: u64,
}

fn hex<S: serde::Serializer>(hash: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{hash:016x}"))
}

/// What many seeds came to. Serialized, it is the last line of the program.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// Seeds that ran.
    pub seeds: u64,
    /// Hours of simulated time, all of them together.
    pub simulated_hours: f64,
    /// See [`Outcome::lost`].
    pub lost: u64,
    /// See [`Outcome::duplicates`].
    pub duplicates: u64,
    /// See [`Outcome::overlapping_claims`].
    pub overlapping_claims: u64,
    /// See [`Outcome::unrecorded_gaps`].
    pub unrecorded_gaps: u64,
    /// Seconds that it took.
    pub wall_s: f64,
    /// Frames that the exchange sent a simulated second.
    pub frames_per_second: f64,
    /// Faults of every kind.
    pub faults: u64,
    /// Crashes among them.
    pub crashes: u64,
    /// The first problem of the first of the seeds that have one.
    pub first_problem: Option<String>,
    /// Seeds with a problem.
    pub failed_seeds: Vec<u64>,
    /// Each seed and its hash.
    pub hashes: Vec<(u64, String)>,
}

impl Summary {
    /// Sums up, in the order of the seeds.
    #[must_use]
    pub fn of(mut outcomes: Vec<Outcome>, wall_s: f64) -> Self {
        outcomes.sort_by_key(|outcome| outcome.seed);
        let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
        let simulated_ms = sum(|o| o.simulated_ms);
        let failed = outcomes.iter().filter(|o| !o.problems.is_empty());
        Self {
            seeds: outcomes.len() as u64,
            simulated_hours: simulated_ms as f64 / 3_600_000.0,
            lost: sum(|o| o.lost),
            duplicates: sum(|o| o.duplicates),
            overlapping_claims: sum(|o| o.overlapping_claims),
            unrecorded_gaps: sum(|o| o.unrecorded_gaps),
            wall_s,
            frames_per_second: sum(|o| o.frames) as f64 * 1_000.0 / simulated_ms.max(1) as f64,
            faults: sum(|o| o.faults),
            crashes: sum(|o| o.crashes),
            first_problem: failed.clone().find_map(|o| o.problems.first().cloned()),
            failed_seeds: failed.map(|o| o.seed).collect(),
            hashes: outcomes.iter().map(|o| (o.seed, format!("{:016x}", o.hash))).collect(),
        }
    }

    /// Whether no seed had a problem.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed_seeds.is_empty()
    }
}
