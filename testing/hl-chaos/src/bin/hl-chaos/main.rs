//! Storms on simulated exchanges, as many as asked for, on as many threads as there are cores.

#[cfg(feature = "seeded-bugs")]
mod guards;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use clap::Parser;
use hl_chaos::{ChaosError, Density, Market, Outcome, Plan, Summary, Trace, run};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the threads are looked after.
const LOOK: Duration = Duration::from_secs(1);
/// A seed without progress for so long is stuck …
const STUCK: Duration = Duration::from_secs(120);
/// … and in the short storms in which a guard is broken, for so long.
const BROKEN_STUCK: Duration = Duration::from_secs(30);
/// Seeds that run where none are named.
const SEEDS: u64 = 100;

const EXAMPLES: &str = "Examples:
  hl-chaos --seeds 1000 --hours 24
  hl-chaos --seed 68 --hours 0.33 --storm dense --market mixed --trace 68.txt
  hl-chaos --seeds 20 --hours 10 --market busy --json";

/// Runs the whole collector on a simulated exchange in virtual time: a storm of faults and crashes for each seed, then
/// the comparison with the truth. A seed is a run, byte for byte.
#[derive(Parser)]
#[command(name = "hl-chaos", version, after_help = EXAMPLES)]
struct Options {
    /// Run so many seeds.
    #[arg(long, conflicts_with = "seed", help = format!("Run so many seeds [default: {SEEDS}]"))]
    seeds: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    from: u64,
    /// Run this seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Simulated hours of storm for each seed; a calm half hour follows [default: 1].
    #[arg(long)]
    hours: Option<f64>,
    /// The market: quiet, about one frame a second; mixed, every kind of stream; apart, trades and bars of different coins;
    /// busy, about a hundred frames a second; traders, whose positions are followed [default: quiet].
    #[arg(long, value_parser = str::parse::<Market>)]
    market: Option<Market>,
    /// A market of about so many frames a second instead, 0.6 to 130.
    #[arg(long, value_name = "X", conflicts_with = "market")]
    frames_per_second: Option<f64>,
    /// Leave out what repairs: the market apart, in which bars do not tell of trades, and no audit of final bars. What
    /// goes wrong then stays wrong.
    #[arg(long, conflicts_with_all = ["market", "frames_per_second"])]
    bare: bool,
    /// How dense the storm is [default: sparse; loose where it is bare].
    #[arg(long, value_enum)]
    storm: Option<Storms>,
    /// Write what happened into this file; of several seeds, into one file each, with the seed's number behind the name.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// End with one line of JSON.
    #[arg(long)]
    json: bool,
    /// Seeds that run side by side [default: one a core].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Break this guard of the rules, and stop at the first seed that shows the damage; the storm is bare unless a market is
    /// named. all: each of them, after the same storms with none broken.
    #[cfg(feature = "seeded-bugs")]
    #[arg(long = "break", value_name = "GUARD", value_parser = str::parse::<guards::Broken>)]
    broken: Option<guards::Broken>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Storms {
    /// A few faults an hour.
    Sparse,
    /// A fault a minute.
    Loose,
    /// Two faults a minute.
    Dense,
}

fn main() -> ExitCode {
    let options = Options::parse();
    #[cfg(feature = "seeded-bugs")]
    match options.broken {
        Some(guards::Broken::One(guard)) => {
            eprintln!("broken on purpose: {guard}");
            hl_core::seeded::break_guard(guard);
        }
        Some(guards::Broken::All) => return guards::all(&options),
        None => {}
    }
    match storm(&options) {
        Ok(summary) => tell(&options, &summary),
        Err(error) => {
            eprintln!("hl-chaos: {error}");
            ExitCode::from(2)
        }
    }
}

fn tell(options: &Options, summary: &Summary) -> ExitCode {
    eprintln!("{}", text(summary));
    if options.json {
        match serde_json::to_string(summary) {
            Ok(line) => println!("{line}"),
            Err(error) => eprintln!("hl-chaos: the summary is no JSON: {error}"),
        }
    }
    if summary.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn text(s: &Summary) -> String {
    let mut text = format!(
        "{} seeds, {:.1} simulated hours in {:.1} s ({:.2} hours a second), {:.1} frames a second, {} faults of which \
         {} crashes: {} rows lost, {} unrecorded gaps, {} duplicates, {} overlapping claims",
        s.seeds,
        s.simulated_hours,
        s.wall_s,
        s.simulated_hours / s.wall_s.max(0.001),
        s.frames_per_second,
        s.faults,
        s.crashes,
        s.lost,
        s.unrecorded_gaps,
        s.duplicates,
        s.overlapping_claims,
    );
    if !s.is_clean() {
        // Writing to text cannot fail.
        let _ = write!(text, "\nseeds with damage: {:?}", s.failed_seeds);
    }
    text
}

impl Options {
    #[cfg(feature = "seeded-bugs")]
    fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    #[cfg(not(feature = "seeded-bugs"))]
    fn is_broken(&self) -> bool {
        false
    }

    fn is_bare(&self) -> bool {
        let named = self.market.is_some() || self.frames_per_second.is_some();
        self.bare || self.is_broken() && !named
    }

    /// What each seed runs; the seed itself is left at 0.
    fn plan(&self) -> Result<Plan, String> {
        let bare = self.is_bare();
        let hours = self.hours.unwrap_or(1.0);
        if !(hours > 0.0 && hours <= 1_000.0) {
            return Err("--hours must be above 0 and at most 1000".to_owned());
        }
        let market = match (self.frames_per_second, &self.market) {
            (Some(rate), _) => Market::with_frames(rate).map_err(|e| e.to_string())?,
            (None, Some(market)) => market.clone(),
            (None, None) if bare => Market::apart(),
            (None, None) => Market::quiet(),
        };
        let density = match self.storm.unwrap_or(if bare { Storms::Loose } else { Storms::Sparse }) {
            Storms::Sparse => Density::SPARSE,
            Storms::Loose => Density::LOOSE,
            Storms::Dense => Density::DENSE,
        };
        Ok(Plan { seed: 0, market, density, length_ms: (hours * 3_600_000.0) as u64, audited: !bare })
    }
}

fn storm(options: &Options) -> Result<Summary, String> {
    let plan = options.plan()?;
    let seeds = match options.seed {
        Some(seed) => seed..seed.saturating_add(1),
        None => options.from..options.from.saturating_add(options.seeds.unwrap_or(SEEDS)),
    };
    let threads =
        options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let work = Work {
        options,
        several: seeds.end - seeds.start > 1,
        next: AtomicU64::new(seeds.start),
        end: seeds.end,
        outcomes: Mutex::new(Ok(Vec::new())),
        running: Mutex::default(),
        bar: bar((seeds.end - seeds.start).saturating_mul(plan.length_ms)),
        plan,
    };
    let begun = tokio::time::Instant::now();
    std::thread::scope(|scope| {
        let (done, all_done) = mpsc::channel::<()>();
        for _ in 0..threads.max(1) {
            let (work, done) = (&work, done.clone());
            scope.spawn(move || {
                work.run();
                drop(done);
            });
        }
        drop(done);
        if let Some(seed) = work.watch(&all_done) {
            // Nothing can end a thread that spins, but the end of the process.
            let problem = format!("stuck: virtual time has stood still for {} s", work.patience().as_secs());
            eprintln!("seed {seed}: {problem}");
            let mut outcomes = lock(&work.outcomes).clone().unwrap_or_default();
            outcomes.push(Outcome { seed, problems: vec![problem], ..Outcome::default() });
            tell(options, &Summary::of(outcomes, begun.elapsed().as_secs_f64()));
            std::process::exit(1);
        }
    });
    work.bar.finish_and_clear();
    let outcomes = work.outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    Ok(Summary::of(outcomes, begun.elapsed().as_secs_f64()))
}

/// What the threads share.
struct Work<'a> {
    options: &'a Options,
    plan: Plan,
    several: bool,
    next: AtomicU64,
    end: u64,
    outcomes: Mutex<Result<Vec<Outcome>, String>>,
    /// How often each seed that runs has made progress.
    running: Mutex<BTreeMap<u64, u64>>,
    bar: ProgressBar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Work<'_> {
    /// Takes seed after seed, until none is left or one could not be run.
    fn run(&self) {
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end {
                return;
            }
            lock(&self.running).insert(seed, 0);
            let outcome = self.seed(seed);
            lock(&self.running).remove(&seed);
            let mut outcomes = lock(&self.outcomes);
            match (outcome, &mut *outcomes) {
                (Ok(outcome), Ok(all)) => {
                    if self.options.is_broken() && !outcome.problems.is_empty() {
                        self.next.store(self.end, Ordering::Relaxed);
                    }
                    all.push(outcome);
                }
                (Err(error), all @ Ok(_)) => {
                    *all = Err(format!("seed {seed}: {error}"));
                    self.next.store(self.end, Ordering::Relaxed);
                }
                (_, Err(_)) => {}
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.options.is_broken() { BROKEN_STUCK } else { STUCK }
    }

    /// Waits until every thread is done, or a seed makes no progress any more: a task that never waits keeps virtual time
    /// from passing.
    fn watch(&self, all_done: &mpsc::Receiver<()>) -> Option<u64> {
        let mut seen = BTreeMap::new();
        while all_done.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
            let now = tokio::time::Instant::now();
            let running = lock(&self.running).clone();
            seen.retain(|seed, _| running.contains_key(seed));
            for (seed, beats) in running {
                let last = seen.entry(seed).or_insert((beats, now));
                if last.0 != beats {
                    *last = (beats, now);
                } else if now.duration_since(last.1) > self.patience() {
                    return Some(seed);
                }
            }
        }
        None
    }

    fn seed(&self, seed: u64) -> Result<Outcome, ChaosError> {
        let plan = Plan { seed, ..self.plan.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|source| ChaosError::Io { step: "making a runtime", source })?;
        let (outcome, trace) = {
            let _inside = runtime.enter();
            let trace = Trace::new(self.options.trace.is_some());
            let progress = |ms| {
                self.bar.inc(ms);
                lock(&self.running).entry(seed).and_modify(|beats| *beats += 1);
            };
            let run = || runtime.block_on(run(&plan, trace.clone(), &progress));
            // A panic is damage like any other; the seeds behind it still run.
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                Ok(Outcome { seed, problems: vec!["panicked".to_owned()], ..Outcome::default() })
            })?;
            (outcome, trace)
        };
        for problem in &outcome.problems {
            self.bar.suspend(|| eprintln!("seed {seed}: {problem}"));
        }
        if let (Some(path), Some(text)) = (&self.options.trace, trace.text()) {
            let mut name = path.clone().into_os_string();
            if self.several {
                name.push(format!(".{seed}"));
            }
            std::fs::write(&name, text)
                .map_err(|source| ChaosError::Io { step: "writing the trace", source })?;
        }
        Ok(outcome)
    }
}

/// Simulated time of all seeds; nothing where nobody looks.
fn bar(simulated_ms: u64) -> ProgressBar {
    let bar = ProgressBar::new(simulated_ms);
    let style = ProgressStyle::with_template(
        "{elapsed_precise} {wide_bar} {percent}% of the simulated time, {eta} left",
    );
    if let Ok(style) = style {
        bar.set_style(style);
    }
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}
