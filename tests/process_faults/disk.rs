//! No space left: for the store and for the spool, which lie on the same disk.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::support::process::{Exchange, Process, StoreFile, all_over_ws, counter, until};
use crate::{passed, setting_ms, show};

/// The size of the disk.
const DISK: &str = "size=24m";

/// A disk of its own, small, in a mount namespace of its own.
struct SmallDisk {
    /// Keeps the namespace; ends with this value.
    holder: Child,
    folder: Option<tempfile::TempDir>,
    at: PathBuf,
}

impl SmallDisk {
    /// None where this user may not mount, whatever is tried.
    async fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let script =
            format!("mount -t tmpfs -o {DISK} hl '{}' && echo mounted && exec cat", folder.path().display());
        for namespaces in ["-rm", "-m"] {
            let mut holder = Command::new("unshare")
                .args([namespaces, "sh", "-c", &script])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .ok()?;
            let mut said = [0; 8];
            if holder.stdout.as_mut().unwrap().read_exact(&mut said).await.is_ok() {
                let at = PathBuf::from(format!("/proc/{}/root", holder.id().unwrap()))
                    .join(folder.path().strip_prefix("/").unwrap());
                return Some(Self { holder, folder: Some(folder), at });
            }
        }
        None
    }

    fn store(&mut self) -> StoreFile {
        let pid = self.holder.id().unwrap().to_string();
        let reach = ["nsenter", "--target", &pid, "--user", "--preserve-credentials", "--mount"];
        StoreFile::inside(self.folder.take().unwrap(), reach.map(str::to_owned).to_vec())
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut filler = File::create(self.at.join("filler")).unwrap();
        let zeros = vec![0; 4_096];
        let full = loop {
            match filler.write_all(&zeros) {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }

    fn free(&self) {
        std::fs::remove_file(self.at.join("filler")).unwrap();
    }
}

/// How space ends, and comes back.
enum Disk {
    Mounted(SmallDisk),
    /// Files of the daemon may not grow: what works without any right.
    Limit,
}

/// So that a write beyond the limit fails instead of killing the process.
const NO_SIGNAL: [&str; 2] = ["env", "--ignore-signal=XFSZ"];

impl Disk {
    fn fill(&self, daemon: &Process, store: &StoreFile) {
        match self {
            Self::Mounted(disk) => disk.fill(),
            Self::Limit => {
                let log = std::fs::metadata(store.path().with_extension("db-wal")).unwrap().len();
                // In the middle of a page: what is written is written in part.
                limit(daemon, Some(log + 2_000));
            }
        }
    }

    fn free(&self, daemon: &Process) {
        match self {
            Self::Mounted(disk) => disk.free(),
            Self::Limit => limit(daemon, None),
        }
    }
}

fn limit(daemon: &Process, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Collects, runs out of space, gets it back, ends. Returns the last word of the daemon and the comparison.
async fn out_of_space(disk: &Disk, store: &StoreFile, coins: &str, full_ms: i64) -> (Value, Value, String) {
    let exchange = Exchange::start(&["--coins", coins, "--seed", "24"]).await;
    let mut daemon = store.daemon_with(&exchange, &["--coin", "all"], &NO_SIGNAL);
    let before = store.until_live("the sockets own everything", all_over_ws).await;

    disk.fill(&daemon, store);
    until("a commit fails", async || daemon.log().contains("commit failed").then_some(())).await;
    let from = exchange.now().await;
    passed(&exchange, "there was no space long enough", from, full_ms).await;
    assert!(daemon.is_running(), "{}", daemon.log());
    disk.free(&daemon);

    let freed = exchange.now().await;
    let after = store
        .until_live("everything is drained", |live| {
            live["at"].as_i64() > Some(freed.0 + 2_000)
                && live["spool"]["batches"] == 0
                && counter(live, "rows_inserted") > counter(&before, "rows_inserted")
                && all_over_ws(live)
        })
        .await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    let report = store.verified(&exchange).await;
    show(&report);
    println!(
        "{} commits failed, {} batches spooled, {} rows given up",
        counter(&after, "commit_failures"),
        counter(&after, "batches_spooled"),
        counter(&after, "rows_given_up")
    );
    (after, report, daemon.log())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_out() {
    let full_ms = setting_ms("HL_TEST_FULL_S", 8);
    let (disk, store) = match SmallDisk::mount().await {
        Some(mut disk) => {
            let store = disk.store();
            (Disk::Mounted(disk), store)
        }
        None => (Disk::Limit, StoreFile::new()),
    };
    let (after, report, log) = out_of_space(&disk, &store, "5", full_ms).await;
    assert!(log.contains("database or disk is full") || matches!(disk, Disk::Limit), "{log}");
    assert_eq!(counter(&after, "rows_given_up"), 0);
    let lost = report["gaps"].as_array().unwrap().iter().filter(|gap| gap["cause"] == "store_full").count();
    assert_eq!(lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_may_not_grow_are_waited_out() {
    let full_ms = setting_ms("HL_TEST_FULL_S", 8);
    let (after, _, _) = out_of_space(&Disk::Limit, &StoreFile::new(), "5", full_ms).await;
    assert_eq!(counter(&after, "rows_given_up"), 0);
}
