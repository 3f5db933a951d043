//! A SQLite store whose file is damaged, or was altered by another release or another hand.
//!
//! Promised: no panic; a typed error or a store that works; damage that SQLite finds is never passed over by the
//! audit; of a sound file no row is left out in silence.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use arbitrary::{Result, Unstructured};
use hl_core::ledger::{Batch, Cause, Span};
use hl_core::store::prelude::*;
use hl_core::{Epoch, StreamKey, Token};
use hl_store::{Inspect as _, SqliteStore};
use rusqlite::Connection;

use crate::damage::{self, STREAMS, said};
use crate::{Target, market};

pub(crate) const TARGET: Target = Target {
    name: "store",
    about: "damaged and altered SQLite files: opening, reading, auditing, writing",
    seeds: Vec::new,
    run: |input| crate::script(input, try_input),
    short: 250,
};

/// A store that was closed in order.
static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = damage::folder();
    let path = folder.path().join("store.db");
    // On a thread of its own: the caller may be inside a runtime.
    let writing = path.clone();
    let write = || {
        market::paused().block_on(async move {
            let store = damage::open(&writing).await.expect("a store");
            let streams = STREAMS.map(|name| name.parse::<StreamKey>().expect("a stream"));
            store.lease(&streams).await.expect("leases");
            for stream in streams {
                let ack =
                    store.commit(Arc::new(damage::batch(stream, store.token()))).await.expect("a commit");
                assert!(ack.superseded.is_empty());
            }
            store.close().await.expect("closed");
        });
    };
    std::thread::spawn(write).join().expect("a store is written");
    std::fs::read(&path).expect("a file")
});

fn try_input(u: &mut Unstructured<'_>) -> Result<()> {
    let folder = damage::folder();
    let path = folder.path().join("store.db");
    let mut file = VALID.clone();
    let by_sql: bool = u.arbitrary()?;
    if !by_sql {
        damage::bytes(&mut file, u)?;
    }
    std::fs::write(&path, &file).expect("a file");
    if by_sql {
        damage::by_sql(&path, u)?;
    }
    if u.ratio(1, 16)? {
        // What is left of a log that belongs to another file.
        std::fs::write(folder.path().join("store.db-wal"), u.arbitrary::<[u8; 32]>()?).expect("a file");
    }
    let sound = damage::is_sound(&path);
    let rows = counted(&path, "trades");
    market::paused().block_on(async {
        look(&path, sound).await;
        write(&path, sound).await;
        look(&path, sound && damage::is_sound(&path)).await;
    });
    if let (true, Some(before), Some(after)) = (sound, rows, counted(&path, "trades")) {
        assert!(before <= after, "{before} trades before, {after} after");
    }
    Ok(())
}

/// Reads everything that can be asked for.
async fn look(path: &Path, sound: bool) {
    let Some(inspect) = said(SqliteStore::inspect(path)) else { return };
    let audit = said(inspect.audit().await);
    if let Some(audit) = audit {
        let found = audit.problems.iter().any(|problem| problem.check == "integrity");
        assert!(sound || found, "the audit passes over damage: {audit:?}");
    }
    let streams = said(inspect.streams().await);
    let coverage = said(inspect.coverage(None).await);
    let gaps = said(inspect.gaps(None).await);
    said(inspect.unfilled().await);
    said(inspect.holders().await);
    said(inspect.note("status").await);
    for name in STREAMS {
        let stream: StreamKey = name.parse().expect("a stream");
        let rows = said(inspect.rows(stream, Span::EVER).await);
        if let (true, "trades/BTC", Some(rows)) = (sound, name, &rows) {
            let sql = "trades WHERE coin = 'BTC'";
            assert!(counted(path, sql).is_none_or(|all| all == rows.len()), "every trade is read or refused");
        }
    }
    if sound {
        for (table, read) in [("coverage", coverage.map(|c| c.len())), ("gaps", gaps.map(|g| g.len()))] {
            if let (Some(read), Some(all)) = (read, counted(path, table)) {
                assert_eq!(read, all, "every row of {table} is read or refused");
            }
        }
        if let (Some(read), Some(all)) = (streams, counted(path, "streams")) {
            assert!(read.len() >= all, "every stream is read or refused");
        }
    }
}

/// Does what a daemon and a backfill do.
async fn write(path: &Path, sound: bool) {
    let Some(store) = said(damage::open(path).await) else { return };
    let token = store.token();
    let streams = STREAMS.map(|name| name.parse::<StreamKey>().expect("a stream"));
    let [trades, candles, ..] = streams;
    let leases = said(store.lease(&streams).await);
    let later = Batch { token, changes: Vec::new() };
    said(store.commit(Arc::new(later)).await);
    for stream in streams {
        said(store.commit(Arc::new(damage::batch(stream, token))).await);
        said(
            store
                .request_backfill(stream, Span::new(damage::START, damage::START + 500_000), Cause::Outage)
                .await,
        );
    }
    said(store.claim_gaps(trades, Span::EVER, Epoch { token, local: 9 }).await);
    said(store.unclaim(Epoch { token, local: 9 }).await);
    said(store.open_gaps().await);
    said(store.covered_bars(candles, Span::EVER).await);
    said(store.reserve("here", damage::START, 20, 1_200).await);
    said(store.put_note("status", "{}").await);
    let granted = leases.is_some_and(|leases| leases.granted.iter().any(|start| start.stream == trades));
    if sound && granted {
        // A row of the batch is there, from before or from now.
        let batch = damage::batch(trades, Token(token.0));
        if said(store.commit(Arc::new(batch)).await).is_some_and(|ack| ack.superseded.is_empty()) {
            let stored = counted(path, "trades WHERE coin = 'BTC'");
            assert!(stored.is_none_or(|stored| stored > 0), "what was committed is stored");
        }
    }
    said(store.close().await);
}

/// How many rows there are, as SQLite counts them; none where it cannot.
fn counted(path: &Path, table: &str) -> Option<usize> {
    let sql = format!("SELECT count(*) FROM {table}");
    let count = |conn: Connection| conn.query_row(&sql, [], |r| r.get::<_, i64>(0));
    let count = Connection::open(path).and_then(count).ok()?;
    usize::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_that_is_damaged_was_clean_and_has_rows_and_gaps() {
        let folder = damage::folder();
        let path = folder.path().join("store.db");
        std::fs::write(&path, &*VALID).unwrap();
        assert!(damage::is_sound(&path));
        let inspect = SqliteStore::inspect(&path).unwrap();
        market::paused().block_on(async {
            assert_eq!(inspect.audit().await.unwrap().problems, []);
            assert!(!inspect.gaps(None).await.unwrap().is_empty());
            for name in STREAMS {
                let stream = name.parse().unwrap();
                assert!(!inspect.rows(stream, Span::EVER).await.unwrap().is_empty(), "{name}");
            }
        });
    }
}
