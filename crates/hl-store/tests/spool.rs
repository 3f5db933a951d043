//! The spool: in order, bounded, found again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{block, open};
use hl_core::Token;
use hl_core::store::{BatchQueue as _, StoreError};
use hl_store::{Spool, Writer};

#[tokio::test]
async fn gives_back_what_it_took_in_order_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let path = Spool::beside(&folder.path().join("store.db"), 3);
    assert!(path.to_str().unwrap().ends_with("store.db.spool-3"));
    let batch = |n| block(Token(7), n, n + 1);
    for writer in [Writer::Thread, Writer::Inline { delay_ms: 0 }] {
        let spool = Spool::open(path.clone(), writer, 1 << 20).await.unwrap();
        assert!(spool.peek().await.unwrap().is_none());
        for n in 0..5 {
            assert!(spool.push(&batch(n)).await.unwrap());
        }
        let (first, _) = spool.peek().await.unwrap().unwrap();
        spool.pop(first).await.unwrap();
        let size = spool.size();
        assert_eq!(size.0, 4);
        drop(spool);

        let spool = Spool::open(path.clone(), writer, 1 << 20).await.unwrap();
        assert_eq!(spool.size(), size);
        assert!(spool.push(&batch(5)).await.unwrap());
        spool.pop(first).await.unwrap();
        assert_eq!(spool.size().0, 5, "what is gone already stays gone");
        let mut last = first;
        for n in 1..=5 {
            let (number, stored) = spool.peek().await.unwrap().unwrap();
            assert!(number > last, "numbers grow and are never reused");
            assert_eq!(stored, batch(n));
            spool.pop(number).await.unwrap();
            last = number;
        }
        assert_eq!(spool.size(), (0, 0));
        spool.close().await.unwrap();
        assert!(matches!(spool.peek().await, Err(StoreError::Closed)));
    }
}

#[tokio::test]
async fn says_when_it_is_full_and_becomes_small_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let bytes = serde_json::to_string(&block(Token(7), 10_000, 10_001)).unwrap().len() as u64;
    let spool = Spool::open(path.clone(), Writer::Thread, 3_000 * bytes).await.unwrap();
    let mut taken = 0;
    while spool.push(&block(Token(7), 10_000, 10_001)).await.unwrap() {
        taken += 1;
    }
    assert_eq!((taken, spool.size()), (3_000, (3_000, 3_000 * bytes)));
    let (first, _) = spool.peek().await.unwrap().unwrap();
    spool.pop(first).await.unwrap();
    assert!(spool.push(&block(Token(7), 10_000, 10_001)).await.unwrap(), "there is room again");
    while let Some((number, _)) = spool.peek().await.unwrap() {
        spool.pop(number).await.unwrap();
    }
    spool.close().await.unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20);
}

#[tokio::test]
async fn belongs_to_one_process_and_to_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = Spool::open(path.clone(), Writer::Thread, 1 << 20).await.unwrap();
    match Spool::open(path.clone(), Writer::Thread, 1 << 20).await {
        Err(error) => assert!(error.is_temporary(), "{error}"),
        Ok(_) => panic!("two have it open"),
    }
    drop(spool);
    drop(Spool::open(path.clone(), Writer::Thread, 1 << 20).await.unwrap());
    assert!(matches!(open(&path).await, Err(StoreError::Permanent { .. })), "a spool is no store");
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_named_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    drop(Spool::open(path.clone(), Writer::Thread, 1 << 20).await.unwrap());
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("INSERT INTO spool (payload) VALUES ('{}')", []).unwrap();
    drop(conn);
    let spool = Spool::open(path, Writer::Thread, 1 << 20).await.unwrap();
    let error = spool.peek().await.unwrap_err();
    assert!(!error.is_temporary() && error.to_string().contains("entry 1"), "{error}");
    assert_eq!(spool.size().0, 1);
}

#[tokio::test]
async fn what_dead_processes_left_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("store.db");
    let open_beside = || Spool::open_beside(&database, Writer::Thread, 1 << 20);
    let first = open_beside().await.unwrap();
    let second = open_beside().await.unwrap();
    assert!(first.push(&block(Token(1), 1, 2)).await.unwrap());
    assert!(second.push(&block(Token(2), 2, 3)).await.unwrap());
    first.close().await.unwrap();

    let third = open_beside().await.unwrap();
    assert_eq!(third.size().0, 1, "the second process lives: its spool is its own");
    second.close().await.unwrap();
    third.close().await.unwrap();
    let fourth = open_beside().await.unwrap();
    assert_eq!(fourth.size().0, 2);
    let mut tokens = Vec::new();
    while let Some((number, batch)) = fourth.peek().await.unwrap() {
        tokens.push(batch.token);
        fourth.pop(number).await.unwrap();
    }
    assert_eq!(tokens, [Token(1), Token(2)]);
}

#[tokio::test]
async fn a_damaged_spool_is_refused_before_anything_is_taken_from_it() {
    const PAGE: usize = 4_096;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    drop(Spool::open(path.clone(), Writer::Thread, 1 << 20).await.unwrap());
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("INSERT INTO spool (payload) VALUES ('{}'), ('{}'), ('{}')").unwrap();
    let root: i64 =
        conn.query_row("SELECT rootpage FROM sqlite_master WHERE name = 'spool'", [], |r| r.get(0)).unwrap();
    drop(conn);
    // Two entries change places, so that the first one is found by a walk and not by its number: it could be read and
    // never be removed.
    let mut file = std::fs::read(&path).unwrap();
    let pointers = (usize::try_from(root).unwrap() - 1) * PAGE + 8;
    file[pointers..pointers + 4].rotate_left(2);
    std::fs::write(&path, file).unwrap();
    match Spool::open(path, Writer::Thread, 1 << 20).await {
        Err(error @ StoreError::Permanent { .. }) => {
            assert!(error.to_string().contains("damaged"), "{error}")
        }
        Err(error) => panic!("not permanent: {error}"),
        Ok(_) => panic!("opened"),
    }
}
