//! The long forms of the tests that break things on purpose: release binaries, one fault after another, a table.

use std::fs::{self, File};
use std::process::Command;
use std::time::Duration;

use crate::run::{Failed, cargo, run, target};

/// A fault: the test that does it, and what makes it long.
struct Fault {
    name: &'static str,
    about: &'static str,
    /// The file under `tests/`.
    file: &'static str,
    test: &'static str,
    long: &'static [(&'static str, &'static str)],
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "stopped",
        about: "SIGSTOP for longer than every time limit, a second daemon waiting",
        file: "process_faults",
        test: "signals::a_stopped_daemon_keeps_its_streams_and_goes_on",
        long: &[("HL_TEST_STOP_S", "90")],
    },
    Fault {
        name: "terminated",
        about: "SIGTERM under load, twenty times",
        file: "process_faults",
        test: "signals::terminated_under_load_it_loses_nothing_that_it_had_received",
        long: &[("HL_TEST_TERMINATIONS", "20")],
    },
    Fault {
        name: "killed",
        about: "kill -9 at a hundred random moments",
        file: "process_faults",
        test: "kills::killed_again_and_again_it_loses_nothing_quietly",
        long: &[("HL_TEST_KILLS", "100")],
    },
    Fault {
        name: "disk-full",
        about: "no space for store and spool for a minute and a half",
        file: "process_faults",
        test: "disk::a_full_disk_is_waited_out",
        long: &[("HL_TEST_FULL_S", "90")],
    },
    Fault {
        name: "file-limit",
        about: "files that may not grow for a minute and a half",
        file: "process_faults",
        test: "disk::files_that_may_not_grow_are_waited_out",
        long: &[("HL_TEST_FULL_S", "90")],
    },
    Fault {
        name: "disk-full-busy",
        about: "no space until memory is full too, three times over",
        file: "process_faults",
        test: "disk::what_neither_store_nor_spool_can_take_is_in_the_ledger",
        long: &[("HL_TEST_SPOOL_REFUSALS", "3")],
    },
    Fault {
        name: "damaged",
        about: "files that are damaged, foreign, or of a newer schema",
        file: "process_faults",
        test: "files::a_file_that_cannot_be_used_is_refused_with_what_to_do",
        long: &[],
    },
    Fault {
        name: "damaged-log",
        about: "garbage in the log that a killed daemon left",
        file: "process_faults",
        test: "files::a_damaged_log_takes_rows_and_edges_together",
        long: &[],
    },
    Fault {
        name: "read-only",
        about: "a file and a folder without write permission",
        file: "process_faults",
        test: "files::a_place_that_cannot_be_written_to_is_named_with_what_to_do",
        long: &[],
    },
    Fault {
        name: "clock",
        about: "a system clock that steps by an hour, forward and back",
        file: "process_faults",
        test: "clock::a_stepping_system_clock_moves_no_stamp",
        long: &[("HL_TEST_CLOCK_S", "60")],
    },
    Fault {
        name: "visitors",
        about: "sqlite3, Python, a backup, a backfill and a second daemon at a database in use, then kill -9",
        file: "process_faults",
        test: "visitors::visitors_of_a_running_daemon_lose_no_row",
        long: &[],
    },
    Fault {
        name: "writing-visitor",
        about: "another program that keeps the right to write for a minute",
        file: "process_faults",
        test: "visitors::a_visitor_who_keeps_the_right_to_write_holds_nothing_up",
        long: &[("HL_TEST_VISIT_S", "60")],
    },
    Fault {
        name: "moved",
        about: "a database that is moved away under the daemon, and put back",
        file: "process_faults",
        test: "visitors::a_database_that_is_moved_away_is_told_and_goes_on_when_it_is_back",
        long: &[],
    },
    Fault {
        name: "deleted",
        about: "a database that is deleted under the daemon, and an older copy in its place later",
        file: "process_faults",
        test: "visitors::a_deleted_database_is_told_to_the_end_and_what_came_since_waits_in_the_spool",
        long: &[],
    },
    Fault {
        name: "replaced",
        about: "the log of the database deleted under the daemon",
        file: "process_faults",
        test: "visitors::a_log_that_is_deleted_is_told_and_what_went_with_it_is_a_gap",
        long: &[],
    },
    Fault {
        name: "network",
        about: "ten minutes of peers that are silent, slow, or flood",
        file: "network_faults",
        test: "ten_minutes_of_a_bad_network",
        long: &[],
    },
];

/// `faults [--list] [--json] [NAME ...]`; without names all of them.
pub(crate) fn faults(words: &[String]) -> Result<(), Failed> {
    let (options, names): (Vec<&String>, Vec<&String>) =
        words.iter().partition(|word| word.starts_with("--"));
    let unknown = options.iter().find(|word| !["--list", "--json"].contains(&word.as_str()));
    let unknown =
        unknown.or_else(|| names.iter().find(|name| FAULTS.iter().all(|f| f.name != name.as_str())));
    if let Some(word) = unknown {
        return Err(Failed::Words(word.to_string()));
    }
    let given = |option: &str| options.iter().any(|word| *word == option);
    let chosen: Vec<_> =
        FAULTS.iter().filter(|f| names.is_empty() || names.iter().any(|name| *name == f.name)).collect();
    if given("--list") {
        for fault in chosen {
            println!("{:15} {}", fault.name, fault.about);
        }
        return Ok(());
    }

    let mut build = cargo();
    build.args(["test", "--release", "--workspace", "--no-run"]);
    let mut files: Vec<_> = chosen.iter().map(|fault| fault.file).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        build.args(["--test", file]);
    }
    run(&mut build)?;
    let results: Vec<_> = chosen.iter().map(|fault| fault.suffer()).collect::<Result<_, _>>()?;
    let rows = chosen.iter().zip(&results);
    if given("--json") {
        let rows = rows.map(|(fault, (held, took))| {
            format!(r#"{{"name":"{}","held":{held},"ms":{}}}"#, fault.name, took.as_millis())
        });
        println!("[{}]", rows.collect::<Vec<_>>().join(","));
    } else {
        println!();
        for (fault, (held, took)) in rows {
            let result = if *held { "held" } else { "FAILED" };
            println!("{:15} {result:6} {:5} s  {}", fault.name, took.as_secs(), fault.about);
        }
    }
    let broken = chosen.iter().zip(&results).filter(|(_, (held, _))| !held);
    match broken.map(|(fault, _)| fault.name).collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        names => Err(Failed::Broken(names.join(", "))),
    }
}

impl Fault {
    /// Whether the promise held, and how long it took. What was said on the way is kept in a file.
    fn suffer(&self) -> Result<(bool, Duration), Failed> {
        let folder = target().join("faults");
        let path = folder.join(format!("{}.log", self.name));
        let failed = |error| Failed::Io(path.display().to_string(), error);
        let open = || {
            fs::create_dir_all(&folder)?;
            let log = File::create(&path)?;
            Ok((log.try_clone()?, log))
        };
        let (out, err) = open().map_err(failed)?;
        let mut test = self.command();
        eprintln!("== {}: {}; its words go to {}", self.name, self.about, path.display());
        #[allow(clippy::disallowed_methods, reason = "a development tool times what it runs")]
        let begun = std::time::Instant::now();
        let status = test.stdout(out).stderr(err).status().map_err(failed)?;
        // A test that is called otherwise by now passes without running.
        let ran = fs::read_to_string(&path).map_err(failed)?.contains("test result: ok. 1 passed");
        Ok((status.success() && ran, begun.elapsed()))
    }

    fn command(&self) -> Command {
        let mut command = cargo();
        command.args(["test", "--release", "--workspace", "--test", self.file]);
        command
            .args(["--", "--exact", self.test, "--include-ignored", "--nocapture"])
            .envs(self.long.iter().copied());
        command
    }
}
