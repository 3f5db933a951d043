//! A spool whose file is damaged, or whose entries another release, or another hand, has written.
//!
//! Promised: no panic; an entry is read as it was written or refused by its number, and can be dropped; its size stays
//! right; and a batch that was read can be given to a store, which takes or refuses it and still answers.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use arbitrary::{Result, Unstructured};
use hl_core::store::BatchQueue as _;
use hl_core::store::prelude::*;
use hl_core::{StreamKey, Token};
use hl_store::{Inspect as _, Spool, SqliteStore, Writer};
use rusqlite::Connection;

use crate::damage::{self, STREAMS, said};
use crate::{Target, market, text};

pub(crate) const TARGET: Target = Target {
    name: "spool",
    about: "damaged spools and hostile entries, and committing what is read from them",
    seeds: Vec::new,
    run: |input| crate::script(input, try_input),
    short: 250,
};

const MAX_BYTES: u64 = 1 << 20;

/// The token that entries are written under: the second session of a new store.
const TOKEN: Token = Token(2);

/// Entries as they are written.
static ENTRIES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let stream = |name: &str| name.parse::<StreamKey>().expect("a stream");
    let batch = |name: &&str| serde_json::to_string(&damage::batch(stream(name), TOKEN)).expect("JSON");
    STREAMS.iter().map(batch).collect()
});

/// A spool with these entries.
static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = damage::folder();
    let path = folder.path().join("spool");
    let writing = path.clone();
    let write = || {
        market::paused().block_on(async move {
            let spool = open(&writing).await.expect("a spool");
            for name in STREAMS {
                let batch = damage::batch(name.parse().expect("a stream"), TOKEN);
                assert!(spool.push(&batch).await.expect("room"));
            }
            spool.close().await.expect("closed");
        });
    };
    std::thread::spawn(write).join().expect("a spool is written");
    std::fs::read(&path).expect("a file")
});

async fn open(path: &Path) -> std::result::Result<Spool, hl_core::store::StoreError> {
    Spool::open(path.to_owned(), Writer::Inline { delay_ms: 0 }, MAX_BYTES).await
}

fn try_input(u: &mut Unstructured<'_>) -> Result<()> {
    let folder = damage::folder();
    let path = folder.path().join("spool");
    let mut file = VALID.clone();
    let damaged = u.ratio(1, 3)?;
    if damaged {
        damage::bytes(&mut file, u)?;
    }
    std::fs::write(&path, &file).expect("a file");
    let mut written = Vec::new();
    if !damaged {
        let conn = Connection::open(&path).expect("a spool");
        conn.execute("DELETE FROM spool", []).expect("an empty spool");
        for _ in 0..u.int_in_range(1..=3)? {
            let entry = text::change(u.choose(&ENTRIES)?.as_bytes(), u);
            let entry = String::from_utf8_lossy(&entry).into_owned();
            conn.execute("INSERT INTO spool (payload) VALUES (?1)", [&entry]).expect("an entry");
            written.push(entry);
        }
    }
    market::paused().block_on(drain(folder.path(), &path, &written));
    Ok(())
}

/// Drains the spool into a store, as a daemon does, and drops what cannot be read.
async fn drain(folder: &Path, path: &Path, written: &[String]) {
    let Some(spool) = said(open(path).await) else { return };
    let database = folder.join("store.db");
    let store = damage::open(&database).await.expect("a new store");
    let again = damage::open(&database).await.expect("its second session");
    assert_eq!(again.token(), TOKEN);
    let streams = STREAMS.map(|name| name.parse::<StreamKey>().expect("a stream"));
    again.lease(&streams).await.expect("leases");
    // Refused entries bear no number for the reader: those of a sound spool are one after another.
    let mut taken = 0;
    for _ in 0..STREAMS.len() + written.len() {
        let before = spool.size();
        match spool.peek().await {
            Ok(None) => break,
            Ok(Some((number, batch))) => {
                if let Some(entry) = written.get(taken) {
                    assert!(
                        serde_json::from_str::<hl_core::ledger::Batch>(entry).is_ok_and(|read| read == batch)
                    );
                }
                said(store.commit(Arc::new(batch)).await);
                if said(spool.pop(number).await).is_none() {
                    return;
                }
                assert!(spool.size().0 < before.0 && spool.size().1 <= before.1, "the size shrinks");
            }
            Err(error) => {
                let Some(entry) = written.get(taken) else { return };
                assert!(serde_json::from_str::<hl_core::ledger::Batch>(entry).is_err(), "{error}: {entry}");
                assert!(!error.is_temporary(), "{error}");
                let number = error.to_string();
                let words = number.split_whitespace();
                let Some(number) = words.filter_map(|word| word.parse().ok()).next() else { return };
                said(spool.pop(number).await);
            }
        }
        taken += 1;
    }
    if !written.is_empty() {
        assert_eq!((taken, spool.size()), (written.len(), (0, 0)), "the spool is empty");
    }
    said(spool.push(&damage::batch(streams[0], TOKEN)).await);
    said(spool.close().await);
    // Whatever was committed: the store still answers.
    let inspect = SqliteStore::inspect(&database).expect("the store");
    said(inspect.audit().await);
    said(inspect.streams().await);
    for stream in streams {
        said(again.lease(&[stream]).await);
        said(again.commit(Arc::new(damage::batch(stream, TOKEN))).await);
    }
    said(again.close().await);
    said(store.close().await);
    assert!(damage::is_sound(&database), "a batch does no damage");
}
