//! Minutes of trouble with a MongoDB replica set, for real: the long forms of `tests/mongodb_storm`, in release binaries.

use std::fs::{self, File};

use crate::run::{Failed, cargo, run, target};

/// A run: the test that does it, and the variable that says for how long, in seconds.
struct Run {
    name: &'static str,
    about: &'static str,
    test: &'static str,
    length: &'static str,
    minutes: u64,
}

const RUNS: &[Run] = &[
    Run {
        name: "steps",
        about: "the primary steps down every ten seconds",
        test: "steps::a_primary_that_steps_down_again_and_again_costs_nothing",
        length: "HL_TEST_STEPS_S",
        minutes: 3,
    },
    Run {
        name: "storm",
        about: "three daemons on the same streams are killed, stopped and cut off at random; takes --seed N",
        test: "storm::three_daemons_in_a_storm_write_each_row_once_and_none_too_late",
        length: "HL_TEST_STORM_S",
        minutes: 10,
    },
    Run {
        name: "stopped",
        about: "the whole set is gone while a busy market goes on",
        test: "stopped::a_server_that_is_gone_for_minutes_costs_nothing",
        length: "HL_TEST_STOPPED_S",
        minutes: 10,
    },
];

/// `mongo [--list] [--json] [--seed N] [--steps [MINUTES]] [--storm [MINUTES]] [--stopped [MINUTES]]`; without a run all
/// of them.
pub(crate) fn mongo(words: &[String]) -> Result<(), Failed> {
    let mut chosen = Vec::new();
    let (mut is_json, mut is_list, mut seed) = (false, false, None);
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let known = |word: &str| Failed::Words(word.to_owned());
        match word.as_str() {
            "--json" => is_json = true,
            "--list" => is_list = true,
            "--seed" => {
                let text = words.next().ok_or_else(|| known(word))?;
                seed = Some(text.parse::<u64>().map_err(|_| known(text))?);
            }
            word => {
                let run = RUNS.iter().find(|run| word.strip_prefix("--") == Some(run.name));
                let run = run.ok_or_else(|| known(word))?;
                let minutes = words.next_if(|next| !next.starts_with("--"));
                let minutes = minutes.map(|text| text.parse().map_err(|_| known(text))).transpose()?;
                chosen.push((run, minutes.unwrap_or(run.minutes)));
            }
        }
    }
    if chosen.is_empty() {
        chosen = RUNS.iter().map(|run| (run, run.minutes)).collect();
    }
    if is_list {
        for (run, minutes) in chosen {
            println!("--{:8} [{minutes} minutes] {}", run.name, run.about);
        }
        return Ok(());
    }

    run(cargo().args(["test", "--release", "--workspace", "--no-run", "--test", "mongodb_storm"]))?;
    let mut broken = Vec::new();
    let mut reports = Vec::new();
    for (run, minutes) in chosen {
        let (report, held) = run.report(minutes, seed, if is_json { "json" } else { "txt" })?;
        if !held {
            broken.push(run.name);
        }
        if !is_json {
            println!("\n{report}");
        }
        reports.push(report);
    }
    if is_json {
        println!("[{}]", reports.join(","));
    }
    match broken.as_slice() {
        [] => Ok(()),
        names => Err(Failed::Broken(names.join(", "))),
    }
}

impl Run {
    /// What the run came to, and whether every promise held. What was said on the way is kept in a file.
    fn report(&self, minutes: u64, seed: Option<u64>, form: &str) -> Result<(String, bool), Failed> {
        let folder = target().join("mongo");
        let path = folder.join(format!("{}.log", self.name));
        let report = path.with_extension(form);
        let failed = |error| Failed::Io(path.display().to_string(), error);
        let open = || {
            fs::create_dir_all(&folder)?;
            // That of an earlier run must not be taken for this one's.
            let _ = fs::remove_file(&report);
            let log = File::create(&path)?;
            Ok((log.try_clone()?, log))
        };
        let (out, err) = open().map_err(failed)?;
        eprintln!("== {}: {} ({minutes} minutes); its words go to {}", self.name, self.about, path.display());
        let mut command = cargo();
        command.args(["test", "--release", "--workspace", "--test", "mongodb_storm"]);
        command.args(["--", "--exact", self.test, "--nocapture"]);
        command.env(self.length, (minutes * 60).to_string()).env("HL_TEST_REPORT", &path);
        command.envs(seed.map(|seed| ("HL_TEST_SEED", seed.to_string())));
        let status = command.stdout(out).stderr(err).status().map_err(failed)?;
        // A test that ended early says why in its log; one that is called otherwise by now has not run.
        match fs::read_to_string(&report) {
            Ok(report) => Ok((report, status.success())),
            Err(_) => Err(Failed::Broken(format!("{} (no report; see {})", self.name, path.display()))),
        }
    }
}
