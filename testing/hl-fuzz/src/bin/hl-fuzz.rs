//! What `cargo xtask fuzz` asks of the targets: their names, their seeds as files, and to repeat a finding.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::path::Path;
use std::process::ExitCode;

use hl_fuzz::{TARGETS, Target, drive};

const USAGE: &str = "usage: hl-fuzz list [--json] | seeds TARGET FOLDER | repeat TARGET FILE...";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["list"] => {
            TARGETS.iter().for_each(|target| println!("{:9} {}", target.name, target.about));
            Ok(())
        }
        ["list", "--json"] => {
            let line = |t: &Target| serde_json::json!({"target": t.name, "about": t.about}).to_string();
            TARGETS.iter().for_each(|target| println!("{}", line(target)));
            Ok(())
        }
        ["seeds", name, folder] => named(name).and_then(|target| seeds(&target, Path::new(folder))),
        ["repeat", name, files @ ..] => named(name).and_then(|target| repeat(&target, files)),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => {
            eprintln!("{words}");
            ExitCode::FAILURE
        }
    }
}

fn named(name: &str) -> Result<Target, String> {
    Target::named(name).ok_or_else(|| format!("there is no target {name:?}; `hl-fuzz list` names them"))
}

/// Writes the seeds as files, each under its number.
fn seeds(target: &Target, folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("writing seeds to {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).map_err(failed)?;
    }
    Ok(())
}

fn repeat(target: &Target, files: &[&str]) -> Result<(), String> {
    for file in files {
        let input = std::fs::read(file).map_err(|error| format!("reading {file}: {error}"))?;
        drive::execute(target, &input).map_err(|finding| format!("{file}: {finding}"))?;
        println!("{file}: no finding");
    }
    Ok(())
}
