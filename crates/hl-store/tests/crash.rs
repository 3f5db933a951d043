//! A process is killed while it writes: what it was told is there, and nothing is there by half.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use common::{block, open, trades};
use hl_core::store::BatchQueue as _;
use hl_core::store::prelude::*;
use hl_core::{TimeMs, Token};
use hl_store::{Inspect as _, Spool, SqliteStore, Writer};

const PATH: &str = "HL_STORE_CRASH_PATH";

/// Runs one of the `child_…` tests below in a process of its own.
fn start(child: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Starts a child, kills it after `lines` answers, and returns the last answer that it was given.
fn kill_after(child: &str, path: &Path, lines: usize) -> i64 {
    let mut child = start(child, path);
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut numbers = answers.by_ref().filter_map(|line| line.strip_prefix("acked ")?.parse::<i64>().ok());
    let seen = numbers.by_ref().take(lines).last();
    child.kill().unwrap();
    child.wait().unwrap();
    // What stood in the pipe was answered before the end as well.
    numbers.last().or(seen).unwrap()
}

fn path() -> PathBuf {
    PathBuf::from(std::env::var_os(PATH).unwrap())
}

fn answer(number: i64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "acked {number}").unwrap();
    out.flush().unwrap();
}

#[tokio::test]
#[ignore = "run by another test, which kills it"]
async fn child_commits() {
    let store = open(&path()).await.unwrap();
    let start = store.lease(&[trades()]).await.unwrap().granted.remove(0);
    let mut edge = start.edge.map_or(0, |edge| edge.0);
    loop {
        store.commit(Arc::new(block(store.token(), edge, edge + 1))).await.unwrap();
        edge += 1;
        answer(edge);
    }
}

#[tokio::test]
#[ignore = "run by another test, which kills it"]
async fn child_spools() {
    let spool = Spool::open(path(), Writer::Thread, u64::MAX).await.unwrap();
    for number in 1.. {
        assert!(spool.push(&block(Token(1), number, number)).await.unwrap());
        answer(number);
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_and_the_lease_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    for round in 1..=3 {
        let acked = kill_after("child_commits", &path, 20 * round);
        let store = open(&path).await.unwrap();
        let leases = store.lease(&[trades()]).await.unwrap();
        let edge = leases.granted[0].edge.unwrap();
        assert!(edge >= TimeMs(acked), "acknowledged {acked}, stored {edge}");
        let inspect = SqliteStore::inspect(&path).unwrap();
        let row = inspect.streams().await.unwrap().remove(0);
        assert_eq!(row.rows, 3 * edge.0.unsigned_abs(), "every block is whole");
        assert_eq!(
            inspect.coverage(None).await.unwrap().iter().map(|piece| piece.rows).sum::<u64>(),
            row.rows
        );
        assert_eq!(inspect.audit().await.unwrap().problems, []);
        assert_eq!(inspect.holders().await.unwrap().len(), 1, "the dead are tidied away");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_spooled_survives_a_kill_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = Spool::beside(&folder.path().join("store.db"), 0);
    let acked = kill_after("child_spools", &path, 40);
    let spool = Spool::open(path, Writer::Thread, u64::MAX).await.unwrap();
    let (batches, bytes) = spool.size();
    assert!(batches >= acked.unsigned_abs() && bytes > batches);
    for number in 1..=i64::try_from(batches).unwrap() {
        let (entry, batch) = spool.peek().await.unwrap().unwrap();
        assert_eq!(batch, block(Token(1), number, number));
        spool.pop(entry).await.unwrap();
    }
    assert_eq!((spool.peek().await.unwrap(), spool.size()), (None, (0, 0)));
}

#[cfg(unix)]
#[tokio::test]
async fn a_process_that_is_only_stopped_keeps_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut child = start("child_commits", &path);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("acked ")));
    let stopped = Command::new("kill").args(["-STOP", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    // It may have been stopped inside a transaction, which then keeps everybody else from writing.
    let inspect = SqliteStore::inspect(&path).unwrap();
    let holders = inspect.holders().await.unwrap();
    assert_eq!(holders.iter().map(|holder| holder.pid).collect::<Vec<_>>(), [child.id()]);
    assert_eq!(inspect.streams().await.unwrap()[0].holder.as_ref(), Some(&holders[0]));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(inspect.holders().await.unwrap(), []);
    let store = open(&path).await.unwrap();
    assert_eq!(store.lease(&[trades()]).await.unwrap().granted.len(), 1);
}
