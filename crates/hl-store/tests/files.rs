//! What is said about files that cannot be a store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;

use common::{block, commit, open, open_with, trades};
use hl_core::Records;
use hl_core::ledger::Span;
use hl_core::row::{Column, Holds, Table};
use hl_core::store::StoreError;
use hl_core::store::prelude::*;
use hl_store::{Inspect as _, SqliteStore, Writer};
use std::collections::BTreeSet;

fn advice<T>(result: Result<T, StoreError>) -> String {
    match result {
        Err(error @ StoreError::Permanent { .. }) => error.to_string(),
        Err(error) => panic!("not permanent: {error}"),
        Ok(_) => panic!("no error"),
    }
}

async fn both(path: &Path) -> [String; 2] {
    [advice(open(path).await), advice(SqliteStore::inspect(path))]
}

#[tokio::test]
async fn a_file_that_cannot_be_a_store_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text"), "time,px\n1,2\n".repeat(200)).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    rusqlite::Connection::open(path("foreign")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    drop(open(&path("newer")).await.unwrap());
    rusqlite::Connection::open(path("newer")).unwrap().pragma_update(None, "user_version", 99).unwrap();

    for (name, words) in [
        ("text", ["is not a SQLite database", "choose another path"]),
        ("folder", ["is a folder", "give the path of a file"]),
        ("foreign", ["another program", "choose another path"]),
        ("newer", ["schema 99", "run the release that wrote it"]),
    ] {
        for error in both(&path(name)).await {
            assert!(error.contains(path(name).to_str().unwrap()), "{error}");
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }
    assert_eq!(std::fs::read_to_string(path("text")).unwrap(), "time,px\n1,2\n".repeat(200), "left alone");
    // A file where a folder should be.
    let error = advice(open(&path("text").join("store.db")).await);
    assert!(error.contains("cannot be written to"), "{error}");
}

#[tokio::test]
async fn an_earlier_schema_is_brought_to_this_one_by_whoever_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("earlier");
    let earlier = rusqlite::Connection::open(&path).unwrap();
    earlier.execute_batch(include_str!("../src/sqlite/schema/rows.sql")).unwrap();
    earlier.execute_batch("PRAGMA application_id = 0x484c6462; PRAGMA user_version = 1;").unwrap();
    earlier.execute("INSERT INTO mids VALUES ('BTC', 1, '2', 'ws', 3)", []).unwrap();

    let error = advice(SqliteStore::inspect(&path));
    assert!(error.contains("schema 1") && error.contains("start a collector"), "{error}");
    let store = open(&path).await.unwrap();
    assert_eq!(store.runs(None, 1).await.unwrap(), []);
    store.close().await.unwrap();
    SqliteStore::inspect(&path).unwrap();
    let px: String = earlier.query_row("SELECT px FROM mids", [], |row| row.get(0)).unwrap();
    assert_eq!(px, "2");
    let unknown = "SELECT received IS NULL AND seq IS NULL FROM mids_num";
    assert!(earlier.query_row(unknown, [], |row| row.get::<_, bool>(0)).unwrap());
}

#[tokio::test]
async fn a_store_without_tokens_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for last in [i64::from(i32::MAX), i64::MAX, i64::MIN] {
        let path = folder.path().join(last.to_string());
        drop(open(&path).await.unwrap());
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.execute("UPDATE token_counter SET last = ?1", [last]).unwrap();
        let error = advice(open(&path).await);
        assert!(error.contains("all of its tokens"), "{error}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_read_only_place_is_named_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser may write there nevertheless; but nobody may make files in /proc.
    let is_superuser = std::fs::write(closed.join("probe"), "").is_ok();
    let place = if is_superuser { Path::new("/proc") } else { &closed };
    let error = advice(open(&place.join("store.db")).await);
    assert!(error.contains("write permission") && error.contains(place.to_str().unwrap()), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_store_can_be_read_where_nobody_can_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("100% closed?");
    let path = closed.join("store.db");
    let store = open(&path).await.unwrap();
    store.put_note("a", "1").await.unwrap();
    store.close().await.unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    let inspect = SqliteStore::inspect(&path).unwrap();
    assert_eq!(inspect.note("a").await.unwrap().as_deref(), Some("1"));
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn looking_in_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let error = advice(SqliteStore::inspect(&path));
    assert!(error.contains("does not exist"), "{error}");
    std::fs::write(&path, "").unwrap();
    let error = advice(SqliteStore::inspect(&path));
    assert!(error.contains("is empty"), "{error}");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
}

#[tokio::test]
async fn a_store_can_be_read_beside_its_writer_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/store.db");
    let store = open(&path).await.unwrap();
    store.lease(&[trades()]).await.unwrap();
    let inspect = SqliteStore::inspect(&path).unwrap();
    let ever = Span::EVER;
    let rows = async |inspect: &hl_store::SqliteInspect| match inspect.rows(trades(), ever).await.unwrap() {
        Records::Trades(trades) => trades.len(),
        _ => 0,
    };
    for n in 0..3 {
        let batch = block(store.token(), (n - 1).max(0), n);
        commit(&store, trades(), batch.changes.into_iter().map(|(_, change)| change).collect()).await;
        assert_eq!(rows(&inspect).await, 3 * (n as usize + 1));
    }
    store.close().await.unwrap();
    drop(inspect);
    let inspect = SqliteStore::inspect(&path).unwrap();
    assert_eq!(rows(&inspect).await, 9);
    assert_eq!(inspect.audit().await.unwrap().problems, []);
}

#[tokio::test]
async fn sessions_that_open_a_new_file_at_once_all_get_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { open(&path).await })
        })
        .collect();
    let mut sessions = Vec::new();
    for session in opening {
        sessions.push(session.await.unwrap().unwrap());
    }
    let mut tokens: Vec<_> = sessions.iter().map(|s| s.token().0).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (1..=8).collect::<Vec<_>>());
    assert_eq!(SqliteStore::inspect(&path).unwrap().holders().await.unwrap().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn in_place_a_request_takes_its_modelled_time_and_is_done_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open_with(&path, Writer::Inline { delay_ms: 7 }).await.unwrap();
    let before = tokio::time::Instant::now();
    store.put_note("a", "1").await.unwrap();
    assert_eq!(before.elapsed().as_millis(), 7);
    let abandoned = tokio::time::timeout(std::time::Duration::from_millis(1), store.put_note("a", "2")).await;
    assert!(abandoned.is_err());
    assert_eq!(store.note("a").await.unwrap().as_deref(), Some("2"), "dropping the future does not cancel");
}

#[tokio::test]
async fn the_views_give_numbers_and_iso_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path).await.unwrap();
    store.lease(&[trades()]).await.unwrap();
    let batch = block(store.token(), 1_700_000_000_123, 1_700_000_000_123);
    commit(&store, trades(), batch.changes.into_iter().map(|(_, change)| change).collect()).await;
    let conn = rusqlite::Connection::open(&path).unwrap();
    let row: (String, f64, f64) = conn
        .query_row("SELECT iso, px, sz FROM trades_num", [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .unwrap();
    assert_eq!(row, ("2023-11-14T22:13:20.123Z".to_owned(), 66_410.0, 0.5));
    conn.execute_batch(
        "INSERT INTO books VALUES ('BTC', 'fast', 5, '[[\"9.0\",\"2\",1]]', '[]', 'ws', 1, NULL, NULL);
         INSERT INTO books VALUES ('BTC', 'fast', 6, '[[\"9.0\",\"2\",1]]', '[[\"9.5\",\"1\",1]]', 'ws', 1, NULL, NULL);
         INSERT INTO bbo VALUES ('BTC', 6, '9.0', '2', 1, '9.5', '1', 1, 'ws', 1, NULL, NULL);",
    )
    .unwrap();
    let read = |sql: &str| {
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |r| r.get::<_, Option<f64>>(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(read("SELECT spread FROM books_num ORDER BY time"), [None, Some(0.5)]);
    assert_eq!(read("SELECT mid FROM bbo_num"), [Some(9.25)]);
    for view in ["candles_num", "mids_num", "contexts_num", "funding_num"] {
        assert!(read(&format!("SELECT time FROM {view}")).is_empty());
    }
    conn.execute_batch(
        "INSERT INTO streams (stream) VALUES ('candle/PURR/USDC/1m'), ('book/BTC/fast'), ('book/PURR/USDC'), ('mids'),
             ('mids/xyz'), ('book/xyz:NVDA/fast');
         INSERT INTO gaps (stream, from_time, to_time, cause, state, opened_at)
         SELECT stream, 1000, 3500, 'outage', 'open', 0 FROM streams;",
    )
    .unwrap();
    let mut gaps = conn
        .prepare("SELECT kind, coin, part, dex, from_iso, seconds FROM gaps_num ORDER BY stream")
        .unwrap();
    let gaps = gaps.query_map([], |r| {
        assert_eq!(
            (r.get::<_, String>(4)?, r.get::<_, f64>(5)?),
            ("1970-01-01T00:00:01.000Z".to_owned(), 2.5)
        );
        let words = [r.get::<_, Option<String>>(0)?, r.get(1)?, r.get(2)?, r.get(3)?];
        Ok(words.map(Option::unwrap_or_default).join(" "))
    });
    assert_eq!(
        gaps.unwrap().collect::<Result<Vec<_>, _>>().unwrap(),
        [
            "book BTC fast ",
            "book PURR/USDC  ",
            "book xyz:NVDA fast xyz",
            "candle PURR/USDC 1m ",
            "mids   ",
            "mids   xyz",
            "trades BTC  "
        ]
    );
    let seconds = "SELECT seconds FROM coverage_num WHERE kind = 'trades' AND coin = 'BTC'";
    assert_eq!(read(seconds), [Some(0.0)]);
    // Of the order only the rows of one time are sorted.
    let plan: String = conn
        .query_row("EXPLAIN QUERY PLAN SELECT * FROM trades WHERE coin = 'BTC' ORDER BY time, seq", [], |r| {
            r.get(3)
        })
        .unwrap();
    assert!(plan.contains("USING PRIMARY KEY"), "{plan}");
    let mut plan = conn
        .prepare("EXPLAIN QUERY PLAN SELECT * FROM trades WHERE coin = 'BTC' ORDER BY time, seq")
        .unwrap();
    let steps =
        plan.query_map([], |r| r.get::<_, String>(3)).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    assert!(steps.iter().any(|step| step.contains("LAST TERM OF ORDER BY")), "{steps:?}");
}

#[tokio::test]
async fn longer_bars_are_derived_from_final_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let _store = open(&path).await.unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch(
        "INSERT INTO candles VALUES ('BTC', '1m', 300000, '10.0', '12.0', '9.5', '11.0', '1.5', 3, 1, 'ws', 1, NULL, NULL);
         INSERT INTO candles VALUES ('BTC', '1m', 480000, '11.0', '14.0', '11.0', '13.5', '2', 4, 1, 'ws', 1, NULL, NULL);
         INSERT INTO candles VALUES ('BTC', '1m', 540000, '13.5', '99.0', '1.0', '50.0', '9', 9, 0, 'ws', 1, NULL, NULL);",
    )
    .unwrap();
    let sql = "SELECT iso, open, high, low, close, volume, trades, minutes FROM candles_derived_num
               WHERE interval = ?1";
    let derived = |interval: &str| {
        let row = conn.query_row(sql, [interval], |r| {
            let prices: [f64; 5] = [r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?];
            Ok((r.get::<_, String>(0)?, prices, r.get::<_, i64>(6)?, r.get::<_, i64>(7)?))
        });
        row.unwrap()
    };
    let prices = [10.0, 14.0, 9.5, 13.5, 3.5];
    assert_eq!(
        derived("5m"),
        ("1970-01-01T00:05:00.000Z".to_owned(), prices, 7, 2),
        "the open bar is left out"
    );
    assert_eq!(derived("1d"), ("1970-01-01T00:00:00.000Z".to_owned(), prices, 7, 2));
}

/// The columns of each table, as `docs/store.md` has them.
fn described() -> String {
    use std::fmt::Write as _;
    let mut text = "| table | column | holds | what it says |\n|---|---|---|---|\n".to_owned();
    for table in Table::all() {
        for (at, column) in table.columns.iter().enumerate() {
            let holds = match column.holds {
                Holds::Text => "text",
                Holds::Time => "ms",
                Holds::Int | Holds::Count => "number",
                Holds::Decimal => "decimal",
                Holds::Level => "level",
                Holds::Levels => "levels",
            };
            let key = if at < table.key { ", key" } else { "" };
            let null = if column.nullable { ", or NULL" } else { "" };
            let (table, column, means) = (table.name, column.name, column.means.trim());
            let _ = writeln!(text, "| `{table}` | `{column}` | {holds}{key}{null} | {means} |");
        }
        if table.version.is_some() {
            let means = "1 once nothing can change the row any more";
            let _ = writeln!(text, "| `{}` | `final` | number | {means} |", table.name);
        }
    }
    text
}

#[test]
fn the_document_tells_every_column() {
    const BEGIN: &str = "<!-- The columns, as the program describes them: a test compares. -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/store.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(BEGIN).unwrap();
    let (told, _) = rest.split_once("<!-- The end of the columns. -->").unwrap();
    let described = described();
    assert!(told == described, "docs/store.md is to say between its marks:\n{described}");
}

#[tokio::test]
async fn every_table_has_the_columns_that_its_record_describes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let _store = open(&path).await.unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    let columns = |name: &str| -> BTreeSet<String> {
        let mut statement = conn.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
        statement.query_map([name], |r| r.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for table in Table::all() {
        let own = table.columns.iter().flat_map(Column::flat).map(|(name, _)| name.into_owned());
        let all = ["source", "epoch", "received", "seq"].map(str::to_owned).into_iter();
        let described: BTreeSet<_> =
            own.chain(table.version.map(|_| "final".to_owned())).chain(all).collect();
        assert_eq!(columns(table.name), described, "{}", table.name);
        let view = columns(&format!("{}_num", table.name));
        // Of the levels of a book the view has the best.
        let lacking: Vec<_> =
            described.difference(&view).filter(|name| !["bids", "asks"].contains(&name.as_str())).collect();
        assert!(lacking.is_empty() && view.contains("iso"), "{}_num lacks {lacking:?}", table.name);
    }
}
