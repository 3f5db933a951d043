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
use crate::{setting, setting_ms, show};

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

/// So that a write beyond the limit fails instead of killing the process.
const NO_SIGNAL: [&str; 2] = ["env", "--ignore-signal=XFSZ"];

/// A small disk and a store on it; a store alone where this user may not mount, and files may then not grow instead.
async fn place() -> (Option<SmallDisk>, StoreFile) {
    match SmallDisk::mount().await {
        Some(mut disk) => {
            let store = disk.store();
            (Some(disk), store)
        }
        None => (None, StoreFile::new()),
    }
}

fn fill(disk: Option<&SmallDisk>, daemon: &Process, store: &StoreFile) {
    match disk {
        Some(disk) => disk.fill(),
        None => {
            let log = std::fs::metadata(store.path().with_extension("db-wal")).unwrap().len();
            // In the middle of a page: what is written is written in part.
            limit(daemon, Some(log + 2_000));
        }
    }
}

fn free(disk: Option<&SmallDisk>, daemon: &Process) {
    match disk {
        Some(disk) => disk.free(),
        None => limit(daemon, None),
    }
}

fn limit(daemon: &Process, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Collects, runs out of space, gets it back when `enough` says so, ends. Returns the last word of the daemon and the
/// comparison.
async fn out_of_space(
    disk: Option<&SmallDisk>,
    store: &StoreFile,
    exchange: &Exchange,
    streams: &str,
    mut enough: impl AsyncFnMut(&Process) -> bool,
) -> (Value, Value) {
    let words = ["--coin", "all", "--streams", streams];
    let mut daemon = store.daemon_with(exchange, &words, &NO_SIGNAL);
    let before = store.until_live("the sockets own everything", all_over_ws).await;

    fill(disk, &daemon, store);
    until("a commit fails", async || daemon.log().contains("commit failed").then_some(())).await;
    if disk.is_some() {
        let mut other = store.daemon(exchange, &words);
        let status = other.ended().await;
        let last = other.log().lines().last().unwrap_or_default().to_owned();
        println!("{last}");
        assert_eq!(status.code(), Some(1), "{}", other.log());
        assert!(
            last.starts_with("hl-daemon: ") && last.contains("the disk is full; free some space"),
            "{last}"
        );
    }
    until("there was no space long enough", async || enough(&daemon).await.then_some(())).await;
    assert!(daemon.is_running(), "{}", daemon.log());
    free(disk, &daemon);

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
    let report = store.verified(exchange).await;
    show(&report);
    println!(
        "{} commits failed, {} batches spooled, {} rows given up",
        counter(&after, "commit_failures"),
        counter(&after, "batches_spooled"),
        counter(&after, "rows_given_up")
    );
    (after, report)
}

fn lost_for_want_of_space(report: &Value) -> usize {
    report["gaps"].as_array().unwrap().iter().filter(|gap| gap["cause"] == "store_full").count()
}

async fn nothing_is_lost(disk: Option<&SmallDisk>, store: &StoreFile, reason: &str) {
    let full_ms = setting_ms("HL_TEST_FULL_S", 8);
    let exchange = Exchange::start(&["--coins", "5", "--seed", "24"]).await;
    let mut since = None;
    let enough = async |daemon: &Process| {
        assert!(daemon.log().contains(reason), "{}", daemon.log());
        let now = exchange.now().await;
        now >= *since.get_or_insert(now) + full_ms
    };
    let streams = "trades,book,bbo,candles,mids,context";
    let (after, report) = out_of_space(disk, store, &exchange, streams, enough).await;
    assert_eq!(counter(&after, "rows_given_up"), 0);
    assert_eq!(lost_for_want_of_space(&report), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_out() {
    let (disk, store) = place().await;
    let reason = if disk.is_some() { "the disk is full; free some space" } else { "disk I/O error" };
    nothing_is_lost(disk.as_ref(), &store, reason).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_may_not_grow_are_waited_out() {
    nothing_is_lost(None, &StoreFile::new(), "disk I/O error").await;
}

/// So many events come that memory does not hold them, and the spool lies on the same disk.
#[tokio::test(flavor = "multi_thread")]
async fn what_neither_store_nor_spool_can_take_is_in_the_ledger() {
    let (disk, store) = place().await;
    // A busy market; the truth of it is kept for three minutes and a half of ours.
    let exchange = Exchange::start(&["--coins", "20", "--seed", "25", "--speed", "100"]).await;
    let refusals = setting("HL_TEST_SPOOL_REFUSALS", 1);
    let enough = async |daemon: &Process| daemon.log().matches("the spool failed").count() as u64 >= refusals;
    let (after, report) = out_of_space(disk.as_ref(), &store, &exchange, "trades", enough).await;
    let missing: u64 =
        report["streams"].as_array().unwrap().iter().filter_map(|s| s["missing_in_gaps"].as_u64()).sum();
    assert!(lost_for_want_of_space(&report) > 0);
    // Rows of a stream's first and last block are not compared; and at this speed the stamp of a frame may look like one of
    // the future: what is not taken for that is in a gap too.
    let given_up = counter(&after, "rows_given_up");
    assert!(given_up >= 1 && missing >= 1, "{given_up} rows were given up, {missing} are missing");
}
