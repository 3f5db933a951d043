//! A seed is a run, byte for byte: the program runs some seeds twice, each time as a process of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the seeds and returns the last line of its answer.
fn storm(traces: &Path) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_hl-chaos"))
        .args([
            "--seeds", "2", "--from", "11", "--hours", "0.1", "--market", "mixed", "--storm", "dense",
            "--json",
        ])
        .arg("--trace")
        .arg(traces.join("trace"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The first line that differs, with what stands around it.
fn difference(left: &str, right: &str) -> String {
    let (left, right): (Vec<_>, Vec<_>) = (left.lines().collect(), right.lines().collect());
    let Some(at) = (0..left.len().max(right.len())).find(|&i| left.get(i) != right.get(i)) else {
        return "the traces are equal: the tables differ".to_owned();
    };
    let around = |lines: &[&str]| lines[at.saturating_sub(3)..(at + 3).min(lines.len())].join("\n");
    format!("line {}:\n{}\n--- and ---\n{}", at + 1, around(&left), around(&right))
}

#[test]
fn two_processes_run_a_seed_to_the_same_bytes() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [first, second] = [0, 1].map(|i| storm(folders[i].path()));
    assert_eq!(first["hashes"].as_array().unwrap().len(), 2);
    assert_ne!(first["hashes"][0][1], first["hashes"][1][1], "different seeds are different runs");
    if first["hashes"] != second["hashes"] {
        // Kept for whoever looks into it.
        let folders = folders.map(tempfile::TempDir::keep);
        let told = [11, 12].map(|seed| {
            let [left, right] =
                [0, 1].map(|i| std::fs::read_to_string(folders[i].join(format!("trace.{seed}"))).unwrap());
            format!("seed {seed}, {}", difference(&left, &right))
        });
        panic!("{} and {}\n{folders:?}", told[0], told[1]);
    }
    for key in
        ["seeds", "simulated_hours", "lost", "duplicates", "overlapping_claims", "unrecorded_gaps", "wall_s"]
    {
        assert!(first[key].is_number(), "{key}: {first}");
    }
}
