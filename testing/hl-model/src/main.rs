//! `hl-model`: runs the model check and reports what it saw.

use std::process::ExitCode;

use clap::Parser;
use hl_core::symbol::CoinError;
use hl_model::{Name, Outcome, Reach, Search, check};
use serde::Serialize;

/// Checks the rules of claims, selector and leases in every order of events within bounds.
#[derive(Parser)]
struct Args {
    /// Report as JSON
    #[arg(long)]
    json: bool,
    /// Go much further; takes hours
    #[arg(long, conflicts_with = "short")]
    deep: bool,
    /// The smallest bounds; takes seconds
    #[arg(long)]
    short: bool,
    /// Only this model; guards are broken only where one is named
    #[arg(long)]
    model: Option<String>,
    /// Break this guard, and look for the shortest way to the damage
    #[arg(long)]
    guard: Option<String>,
    /// Show every step to what was found
    #[arg(long)]
    explain: bool,
    /// Threads that search
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// What the check says.
#[derive(Serialize)]
struct Report {
    states: usize,
    depth: usize,
    violations: usize,
    seeded_bugs: usize,
    seeded_bugs_found: usize,
    models: Vec<Outcome>,
    guards: Vec<Broken>,
}

/// What breaking a guard led to.
#[derive(Serialize)]
struct Broken {
    guard: &'static str,
    /// Where the damage was found, if it was.
    found: Option<Outcome>,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("building a model: {0}")]
    Model(#[from] CoinError),
    #[error("there is no model {0:?}; there are: {known}", known = Name::ALL.map(Name::as_str).join(", "))]
    UnknownModel(String),
    #[cfg(feature = "seeded-bugs")]
    #[error(transparent)]
    Guard(#[from] hl_core::seeded::UnknownGuard),
    #[cfg(not(feature = "seeded-bugs"))]
    #[error("guard {0:?} cannot be broken: this was built without the feature seeded-bugs")]
    Unbreakable(String),
    #[error("writing the report: {0}")]
    Report(#[from] serde_json::Error),
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failed) => {
            eprintln!("hl-model: {failed}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything is as it should be.
fn run(args: &Args) -> Result<bool, Failed> {
    let reach = match (args.short, args.deep) {
        (true, _) => Reach::Short,
        (_, true) => Reach::Deep,
        _ => Reach::Full,
    };
    let names = match &args.model {
        Some(word) => {
            let name = Name::ALL.into_iter().find(|name| name.as_str() == word);
            vec![name.ok_or_else(|| Failed::UnknownModel(word.clone()))?]
        }
        None => Name::ALL.to_vec(),
    };
    let mut models = Vec::new();
    if args.guard.is_none() {
        for name in &names {
            let search = if args.explain { Search::Shortest } else { Search::Everything(args.threads) };
            let outcome = check(*name, reach, search)?;
            if !args.json {
                show(&outcome, args.explain);
            }
            models.push(outcome);
        }
    }
    let guards = guards(args, &names)?;
    let report = Report {
        states: models.iter().map(|m| m.states).sum(),
        depth: models.iter().map(|m| m.depth).max().unwrap_or_default(),
        violations: models.iter().map(|m| m.violations.len()).sum(),
        seeded_bugs: guards.len(),
        seeded_bugs_found: guards.iter().filter(|g| g.found.is_some()).count(),
        models,
        guards,
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!(
            "{} states, depth {}, {} violations; {} of {} seeded bugs found",
            report.states, report.depth, report.violations, report.seeded_bugs_found, report.seeded_bugs
        );
    }
    let reached = report.models.iter().all(|m| m.unreached.is_empty());
    Ok(report.violations == 0 && reached && report.seeded_bugs == report.seeded_bugs_found)
}

fn show(outcome: &Outcome, explain: bool) {
    println!(
        "{:13} {:>10} states {:>11} steps  depth {:>3}  {} violations",
        outcome.model,
        outcome.states,
        outcome.steps,
        outcome.depth,
        outcome.violations.len()
    );
    for violation in &outcome.violations {
        println!("  broken: {} ({} steps)", violation.rule, violation.trace.len());
        for (number, step) in (1..).zip(violation.trace.iter().filter(|_| explain)) {
            println!("    {number:3} {step}");
        }
    }
    for unreached in &outcome.unreached {
        println!("  never reached: {unreached}");
    }
}

/// Breaks guards, one after another, and looks for the damage in one model after another.
#[cfg(feature = "seeded-bugs")]
fn guards(args: &Args, names: &[Name]) -> Result<Vec<Broken>, Failed> {
    use hl_core::seeded::{Guard, break_guard, mend};
    let guards = match &args.guard {
        Some(name) => vec![name.parse::<Guard>()?],
        None if args.model.is_some() => Vec::new(),
        None => Guard::ALL.to_vec(),
    };
    let mut broken = Vec::new();
    for guard in guards {
        let mut found = None;
        break_guard(guard);
        // Small worlds first: what they show is shown in the fewest steps.
        for (reach, name) in
            [Reach::Short, Reach::Full].into_iter().flat_map(|r| names.iter().map(move |n| (r, *n)))
        {
            let outcome = check(name, reach, Search::Shortest)?;
            if !outcome.violations.is_empty() {
                found = Some(outcome);
                break;
            }
        }
        mend();
        if !args.json {
            match &found {
                Some(outcome) => {
                    println!("guard {guard:11} broken, damage found:");
                    show(outcome, args.explain);
                }
                None => println!("guard {guard:11} broken, and NO damage found"),
            }
        }
        broken.push(Broken { guard: guard.name(), found });
    }
    Ok(broken)
}

#[cfg(not(feature = "seeded-bugs"))]
fn guards(args: &Args, _: &[Name]) -> Result<Vec<Broken>, Failed> {
    match &args.guard {
        Some(guard) => Err(Failed::Unbreakable(guard.clone())),
        None => Ok(Vec::new()),
    }
}
