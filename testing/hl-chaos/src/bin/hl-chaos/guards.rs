//! Every guard of the rules broken, one after another: does a storm show the damage?
//!
//! Each runs in a process of its own, since a broken guard may leave a thread spinning, which only the end of its process
//! ends. First the same storms run with every guard whole: what they show is no damage of a guard.

use std::process::{Command, ExitCode, Stdio};
use std::str::FromStr;

use hl_core::seeded::{Guard, UnknownGuard};
use serde::{Deserialize, Serialize};

use super::Options;

/// Seeds that run with every guard whole, and at most with one broken, where none are named.
const SEEDS: u64 = 40;

/// Which guards are broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Broken {
    /// One of them.
    One(Guard),
    /// Each of them.
    All,
}

impl FromStr for Broken {
    type Err = UnknownGuard;

    fn from_str(name: &str) -> Result<Self, UnknownGuard> {
        if name == "all" { Ok(Self::All) } else { name.parse().map(Self::One) }
    }
}

/// What is read of the last line of a process.
#[derive(Deserialize)]
struct Seen {
    seeds: u64,
    failed_seeds: Vec<u64>,
    first_problem: Option<String>,
    wall_s: f64,
}

/// What breaking one guard showed.
#[derive(Serialize)]
struct Row {
    guard: &'static str,
    /// The first seed that showed it; none where none did.
    seed: Option<u64>,
    damage: Option<String>,
    wall_s: f64,
}

/// Serialized, it is the last line of the program.
#[derive(Serialize)]
struct Verdict {
    seeded_bugs: u64,
    seeded_bugs_found: u64,
    /// Seeds that ran with every guard whole …
    whole_seeds: u64,
    /// … and those of them that showed damage.
    whole_failed_seeds: Vec<u64>,
    guards: Vec<Row>,
    wall_s: f64,
}

/// Breaks each guard in turn. Succeeds when every one of them showed, and nothing did with all of them whole.
pub(crate) fn all(options: &Options) -> ExitCode {
    match every_guard(options) {
        Ok(verdict) => {
            eprintln!(
                "{} of {} guards showed when they were broken; whole, {} of {} seeds had damage",
                verdict.seeded_bugs_found,
                verdict.seeded_bugs,
                verdict.whole_failed_seeds.len(),
                verdict.whole_seeds
            );
            if options.json {
                match serde_json::to_string(&verdict) {
                    Ok(line) => println!("{line}"),
                    Err(error) => eprintln!("hl-chaos: the verdict is no JSON: {error}"),
                }
            }
            let found = verdict.seeded_bugs_found == verdict.seeded_bugs;
            if found && verdict.whole_failed_seeds.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("hl-chaos: {error}");
            ExitCode::from(2)
        }
    }
}

fn every_guard(options: &Options) -> Result<Verdict, String> {
    if options.trace.is_some() {
        return Err("a trace is of one run: break one guard, and name the seed".to_owned());
    }
    let whole = seen(options, None)?;
    eprintln!("whole: {} seeds, damage in {:?}, {:.0} s", whole.seeds, whole.failed_seeds, whole.wall_s);
    let mut guards = Vec::new();
    // A storm has one daemon: nobody else holds anything. The model finds that one.
    for guard in Guard::ALL.into_iter().filter(|guard| *guard != Guard::Lease) {
        let seen = seen(options, Some(guard))?;
        let row = Row {
            guard: guard.name(),
            seed: seen.failed_seeds.first().copied(),
            damage: seen.first_problem,
            wall_s: seen.wall_s,
        };
        let seed = row.seed.map_or("none".to_owned(), |seed| seed.to_string());
        let damage = row.damage.as_deref().unwrap_or("nothing");
        eprintln!("{guard:<12} seed {seed:<4} {:>4.0} s  {damage}", row.wall_s);
        guards.push(row);
    }
    Ok(Verdict {
        seeded_bugs: guards.len() as u64,
        seeded_bugs_found: guards.iter().filter(|row| row.seed.is_some()).count() as u64,
        wall_s: whole.wall_s + guards.iter().map(|row| row.wall_s).sum::<f64>(),
        whole_seeds: whole.seeds,
        whole_failed_seeds: whole.failed_seeds,
        guards,
    })
}

/// Runs this program once more, with one guard broken or none.
fn seen(options: &Options, broken: Option<Guard>) -> Result<Seen, String> {
    let program = std::env::current_exe().map_err(|e| format!("where is this program? {e}"))?;
    let mut command = Command::new(program);
    command.args(words(options, broken)).stderr(Stdio::null());
    let what = broken.map_or("every guard whole", Guard::name);
    let output = command.output().map_err(|e| format!("{what}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .map_err(|e| format!("{what}: ended with {} and no verdict: {e}", output.status))
}

/// The words of such a run: those of this one, so that every storm is the same.
fn words(options: &Options, broken: Option<Guard>) -> Vec<String> {
    let ours = |word: &String| !["--break", "all", "--break=all", "--json"].contains(&word.as_str());
    let mut words: Vec<String> = std::env::args().skip(1).filter(ours).collect();
    words.push("--json".to_owned());
    if options.seeds.is_none() && options.seed.is_none() {
        words.push(format!("--seeds={SEEDS}"));
    }
    match broken {
        Some(guard) => words.push(format!("--break={guard}")),
        None if options.is_bare() && !options.bare => words.push("--bare".to_owned()),
        None => {}
    }
    words
}
