//! Where things lie when the user does not say it, and the file in which it is said once for all programs.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::process::{Exchange, Process, StoreFile, command, output, run, until};

/// A folder in which programs are started.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn run(&self, program: &str, words: &[&str]) -> Output {
        output(&mut command(&self.here(), program, words)).await
    }

    /// The words before a program that start it here.
    fn here(&self) -> [String; 3] {
        ["env", "-C", self.0.path().to_str().unwrap()].map(str::to_owned)
    }

    /// Collects until there are rows.
    async fn collect(&self, network: &str, words: &[&str]) {
        let words = [&["--network", network], words].concat();
        let mut daemon =
            Process::spawn(format!("hl-daemon {words:?}"), command(&self.here(), "hl-daemon", &words));
        let status = ["status", "--network", network, "--json"];
        until("there are rows", async || {
            let status: Value = serde_json::from_slice(&self.run("hl-cli", &status).await.stdout).ok()?;
            let live = status["live"]["counters"]["rows_inserted"].as_u64()?;
            (live > 0).then_some(())
        })
        .await;
        assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    }

    async fn json(&self, words: &[&str]) -> Value {
        let output = self.run("hl-cli", &[words, &["--json"]].concat()).await;
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {}", said(&output)))
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn files(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".db"))
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_market_goes_on_at_the_next_start_and_takes_no_other() {
    let here = Folder::new();
    for _ in 0..2 {
        here.collect("sim", &["--sim-coins", "2"]).await;
    }
    assert_eq!(files(&here.path("data")), ["hyperliquid-sim.db"]);
    // As `sqlite3` may leave it.
    std::fs::write(here.path("data/hyperliquid.db"), "").unwrap();
    // hl-cli finds the only store there is, and says which.
    let report = here.run("hl-cli", &["verify", "--json"]).await;
    assert_eq!(report.status.code(), Some(0), "{}", said(&report));
    assert!(
        said(&report).contains("this is ./data/hyperliquid-sim.db, which holds data of sim"),
        "{}",
        said(&report)
    );
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["clean"], true, "{report:#}");
    let named = here.run("hl-cli", &["coverage", "--network", "sim"]).await;
    assert_eq!((named.status.code(), said(&named).as_str()), (Some(0), ""));

    let other = here.run("hl-daemon", &["--network", "sim", "--sim-coins", "3", "--for", "1s"]).await;
    assert_eq!(other.status.code(), Some(2), "{}", said(&other));
    let words = "hyperliquid-sim.db: it holds the simulated market of --sim-seed 7 --sim-coins 2, and --sim-seed 7 --sim-coins 3 is another one";
    assert!(said(&other).contains(words) && said(&other).contains("--store"), "{}", said(&other));
    let words = ["--network", "sim", "--sim-coins", "3", "--for", "1s", "--store", "sqlite:b.db"];
    let elsewhere = here.run("hl-daemon", &words).await;
    assert!(!said(&elsewhere).contains("it holds"), "{}", said(&elsewhere));
    assert_eq!(files(here.0.path()), ["b.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_network_has_a_store_of_its_own_and_none_takes_data_of_another() {
    let here = Folder::new();
    here.collect("sim", &["--sim-coins", "1"]).await;
    let exchange = Exchange::start(&["--coins", "1"]).await;
    here.collect(&exchange.base, &[]).await;
    let own = format!("hyperliquid-{}.db", exchange.base.strip_prefix("http://").unwrap().replace(':', "-"));
    assert_eq!(files(&here.path("data")), [own.as_str(), "hyperliquid-sim.db"]);
    let of_url = here.json(&["status", "--network", &exchange.base]).await;
    assert!(!of_url["streams"].as_array().unwrap().is_empty(), "{of_url:#}");

    let sim = format!("sqlite:{}", here.path("data/hyperliquid-sim.db").display());
    for (program, words) in [
        ("hl-daemon", &["--network", "mainnet", "--for", "1s", "--store", &sim][..]),
        ("hl-cli", &["backfill", "gaps", "--network", "mainnet", "--store", &sim]),
    ] {
        let refused = here.run(program, words).await;
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(
            said(&refused).contains("holds data of sim, and mainnet needs one of its own"),
            "{}",
            said(&refused)
        );
    }
    let refused = here.run("hl-daemon", &["--network", &exchange.base, "--for", "1s", "--store", &sim]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(
        said(&refused).contains("holds the simulated market of hl-daemon --network sim"),
        "{}",
        said(&refused)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_tells_all_programs_where_the_data_is() {
    let exchange = Exchange::start(&["--coins", "1"]).await;
    let store = StoreFile::new();
    let file = store.folder().join("hl.toml");
    let text = |more: &str| {
        format!(
            "network = '{}'\nstore = '{}'\nwebhook = 'http://127.0.0.1:1/'\nretention = ['trades=off']\n{more}",
            exchange.base, store.uri
        )
    };
    std::fs::write(&file, text("")).unwrap();
    let path = file.to_str().unwrap();
    let mut daemon = Process::start("hl-daemon", &["--config", path]);
    store.until_live("it collects", |live| live["counters"]["rows_inserted"].as_u64() > Some(0)).await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    for words in [
        &["status"][..],
        &["coverage"],
        &["ps"],
        &["alerts"],
        &["cluster"],
        &["verify"],
        &["jobs", "list"],
        &["jobs", "history"],
        &["archive", "list"],
        &["archive", "verify"],
        &["archive", "run", "--dry-run"],
        &["backfill", "gaps"],
        &["export", "--stream", "trades/BTC", "--format", "csv"],
    ] {
        let by_flag = run("hl-cli", &[words, &["--config", path]].concat(), &[]).await;
        assert!(matches!(by_flag.status.code(), Some(0 | 4)), "{words:?}: {}", said(&by_flag));
        let by_variable = run("hl-cli", words, &[("HL_CONFIG", path)]).await;
        assert_eq!(by_variable.status.code(), by_flag.status.code(), "{words:?}: {}", said(&by_variable));
    }
    // What is mistaken there is refused as by the daemon.
    std::fs::write(&file, text("stroe = 'sqlite:x.db'\n")).unwrap();
    for (program, words) in
        [("hl-daemon", &["--config", path][..]), ("hl-cli", &["status", "--config", path])]
    {
        let refused = run(program, words, &[]).await;
        let expected = format!("{program}: {path}:5: unknown key \"stroe\"; did you mean \"store\"?\n");
        assert_eq!((refused.status.code(), said(&refused)), (Some(2), expected));
    }
}
