//! The short run of every target, the same for the same seed.

#![allow(clippy::panic, reason = "a test ends where it fails")]

use std::path::Path;

use hl_fuzz::{TARGETS, drive};

/// Sets the seed of the generated inputs; 1 where it is not set.
const SEED: &str = "HL_TEST_FUZZ_SEED";
/// Names the one target to run; all of them where it is not set.
const ONE: &str = "HL_TEST_FUZZ_TARGET";

#[test]
fn every_target_keeps_its_promises_in_a_short_run() {
    let seed = std::env::var(SEED).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("{SEED}={seed}");
    let findings: Vec<_> = std::thread::scope(|scope| {
        let one = std::env::var(ONE).ok();
        let chosen = TARGETS.into_iter().filter(|target| one.as_ref().is_none_or(|one| one == target.name));
        let runs: Vec<_> =
            chosen.map(|target| scope.spawn(move || drive::blind(&target, seed, target.short))).collect();
        assert!(!runs.is_empty(), "{ONE}={one:?} is no target");
        runs.into_iter()
            .filter_map(|run| run.join().unwrap_or_else(|_| panic!("a run ended")).err())
            .collect()
    });
    let mut said = String::new();
    for finding in findings {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", finding.target));
        std::fs::write(&file, &finding.input).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let (name, file) = (finding.target, file.display());
        said.push_str(&format!("\n{finding}\n  again: cargo run -p hl-fuzz -- repeat {name} {file}\n"));
    }
    assert!(said.is_empty(), "{SEED}={seed}{said}");
}
