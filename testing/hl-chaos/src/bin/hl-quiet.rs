//! A week without faults in virtual time, in which no alert may rise.

use std::process::ExitCode;

use clap::Parser;
use hl_chaos::{ChaosError, Market, Quiet, quiet};

/// Lets the whole collector run on a simulated exchange without faults, in virtual time. Any alert is a false alarm.
#[derive(Parser)]
#[command(name = "hl-quiet", version)]
struct Options {
    /// Simulated hours.
    #[arg(long, default_value_t = 168)]
    hours: u64,
    /// The seed of the market.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The market: quiet, mixed, apart or busy.
    #[arg(long, default_value = "quiet", value_parser = str::parse::<Market>)]
    market: Market,
    /// End with one line of JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let begun = tokio::time::Instant::now();
    let done = match run(&options) {
        Ok(done) => done,
        Err(error) => {
            eprintln!("hl-quiet: {error}");
            return ExitCode::from(2);
        }
    };
    for alert in &done.alerts {
        eprintln!("{alert}");
    }
    eprintln!(
        "{} simulated hours in {:.0} s, {} frames, {} handovers after the first minute: {} alerts",
        done.hours,
        begun.elapsed().as_secs_f64(),
        done.frames,
        done.handovers,
        done.alerts.len()
    );
    if options.json {
        match serde_json::to_string(&done) {
            Ok(line) => println!("{line}"),
            Err(error) => eprintln!("hl-quiet: the answer is no JSON: {error}"),
        }
    }
    if done.alerts.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(options: &Options) -> Result<Quiet, ChaosError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|source| ChaosError::Io { step: "making a runtime", source })?;
    let progress = |hour: u64| {
        if hour.is_multiple_of(24) {
            eprintln!("day {}", hour / 24);
        }
    };
    runtime.block_on(quiet(&options.market, options.seed, options.hours, &progress))
}
