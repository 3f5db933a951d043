//! What a session leaves behind in the file and beside it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};

use common::{commit, open, span, trades};
use hl_core::Epoch;
use hl_core::ledger::{Cause, Change};
use hl_core::store::prelude::*;
use hl_store::SqliteStore;

/// A session that owns a stream of trades and has claimed a gap of it.
async fn busy(path: &Path) -> SqliteStore {
    let store = open(path).await.unwrap();
    store.lease(&[trades()]).await.unwrap();
    let gap = Change::GapOpened { span: span(0, 10), cause: Cause::Outage };
    commit(&store, trades(), vec![gap]).await;
    let claim = Epoch { token: store.token(), local: 1 };
    assert_eq!(store.claim_gaps(trades(), span(0, 10), claim).await.unwrap(), [span(0, 10)]);
    store
}

/// Sessions in the table, gaps that are claimed, and streams that bear a token.
fn marks(path: &Path) -> [i64; 3] {
    let conn = rusqlite::Connection::open(path).unwrap();
    [
        "SELECT count(*) FROM sessions",
        "SELECT count(*) FROM gaps WHERE claim IS NOT NULL",
        "SELECT count(*) FROM streams WHERE token IS NOT NULL",
    ]
    .map(|sql| conn.query_row(sql, [], |row| row.get(0)).unwrap())
}

fn lock_files(path: &Path) -> Vec<PathBuf> {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".locks");
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_session_that_is_closed_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = busy(&path).await;
    assert_eq!((marks(&path), lock_files(&path).len()), ([1, 1, 1], 1));
    store.close().await.unwrap();
    assert_eq!((marks(&path), lock_files(&path).len()), ([0, 0, 0], 0));
}

#[tokio::test]
async fn the_next_session_tidies_up_after_the_dead_but_not_their_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let dead = busy(&path).await;
    let token = dead.token();
    drop(dead);
    let next = open(&path).await.unwrap();
    assert_eq!(marks(&path), [1, 0, 1], "what they spooled may still be written under the token");
    let files = lock_files(&path);
    assert!(files.len() == 1 && !files[0].ends_with(format!("{}.lock", token.0)), "{files:?}");
    drop(next);
}

#[tokio::test]
async fn a_session_whose_lock_file_was_removed_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let dead = busy(&path).await;
    let next = open(&path).await.unwrap();
    assert_eq!(next.lease(&[trades()]).await.unwrap().held.len(), 1, "while it lives it holds the stream");
    drop(dead);
    for file in lock_files(&path) {
        if !file.ends_with(format!("{}.lock", next.token().0)) {
            std::fs::remove_file(file).unwrap();
        }
    }
    assert_eq!(next.lease(&[trades()]).await.unwrap().granted.len(), 1);
}

#[tokio::test]
async fn a_gap_says_when_it_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = busy(&path).await;
    commit(&store, trades(), vec![Change::GapLost { span: span(0, 4) }]).await;
    let conn = rusqlite::Connection::open(&path).unwrap();
    let mut closed = conn.prepare("SELECT closed_at IS NOT NULL FROM gaps ORDER BY from_time").unwrap();
    let closed: Vec<bool> = closed.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(closed, [true, false], "what is left is open");
}
