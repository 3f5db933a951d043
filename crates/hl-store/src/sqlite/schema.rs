//! The tables, the views for people, and how a file is opened.
//!
//! Prices and sizes are the exchange's own decimals as text; the `*_num` views give them as floating point, and
//! times as ISO text, for charts. Small rows live in their primary key (`WITHOUT ROWID`), so that a coin's rows lie
//! together in time order. Books do not: a clustered row longer than a quarter of a page would spill.

use std::path::Path;
use std::time::Duration;

use hl_core::store::StoreError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::{SqliteError, Step as _, permanent, sort};

/// Marks the file as ours: `HLdb`.
const APPLICATION_ID: i64 = 0x484c_6462;
/// The schema that this program writes.
const VERSION: i64 = 1;
/// How long a request waits for another process to finish its transaction.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE trades (
    coin TEXT NOT NULL, time INTEGER NOT NULL, tid INTEGER NOT NULL,
    px TEXT NOT NULL, sz TEXT NOT NULL, side TEXT NOT NULL,
    hash TEXT NOT NULL, buyer TEXT NOT NULL, seller TEXT NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, time, tid)
) STRICT, WITHOUT ROWID;

CREATE TABLE books (
    coin TEXT NOT NULL, variant TEXT NOT NULL, time INTEGER NOT NULL,
    bids TEXT NOT NULL, asks TEXT NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, variant, time)
) STRICT;

CREATE TABLE bbo (
    coin TEXT NOT NULL, time INTEGER NOT NULL,
    bid_px TEXT, bid_sz TEXT, bid_n INTEGER, ask_px TEXT, ask_sz TEXT, ask_n INTEGER,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE candles (
    coin TEXT NOT NULL, interval TEXT NOT NULL, time INTEGER NOT NULL,
    open TEXT NOT NULL, high TEXT NOT NULL, low TEXT NOT NULL, close TEXT NOT NULL,
    volume TEXT NOT NULL, trades INTEGER NOT NULL, final INTEGER NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, interval, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE mids (
    coin TEXT NOT NULL, time INTEGER NOT NULL, px TEXT NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE contexts (
    coin TEXT NOT NULL, time INTEGER NOT NULL,
    mark_px TEXT NOT NULL, mid_px TEXT, oracle_px TEXT, prev_day_px TEXT NOT NULL,
    funding TEXT, open_interest TEXT, premium TEXT,
    day_ntl_vlm TEXT NOT NULL, day_base_vlm TEXT NOT NULL, impact_bid TEXT, impact_ask TEXT,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE funding (
    coin TEXT NOT NULL, time INTEGER NOT NULL, rate TEXT NOT NULL, premium TEXT NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE streams (
    stream TEXT NOT NULL PRIMARY KEY, edge INTEGER, token INTEGER, leased_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE coverage (
    stream TEXT NOT NULL, from_time INTEGER NOT NULL, to_time INTEGER NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL, rows INTEGER NOT NULL,
    PRIMARY KEY (stream, epoch, source, from_time)
) STRICT, WITHOUT ROWID;
CREATE INDEX coverage_by_time ON coverage (stream, to_time, from_time);

CREATE TABLE gaps (
    id INTEGER PRIMARY KEY,
    stream TEXT NOT NULL, from_time INTEGER NOT NULL, to_time INTEGER NOT NULL,
    cause TEXT NOT NULL, state TEXT NOT NULL,
    opened_at INTEGER NOT NULL, closed_at INTEGER, claim INTEGER
) STRICT;
CREATE INDEX gaps_by_time ON gaps (stream, to_time, from_time);
CREATE INDEX gaps_open ON gaps (stream, from_time, to_time) WHERE state = 'open';
CREATE INDEX gaps_claimed ON gaps (claim) WHERE claim IS NOT NULL;

CREATE TABLE sessions (
    token INTEGER PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL, role TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT;
CREATE TABLE token_counter (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL) STRICT;
INSERT INTO token_counter VALUES (1, 0);

CREATE TABLE weight (
    id INTEGER PRIMARY KEY, address TEXT NOT NULL, at INTEGER NOT NULL, weight INTEGER NOT NULL
) STRICT;
CREATE INDEX weight_by_time ON weight (address, at, weight);

CREATE TABLE notes (
    name TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL, updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// `{iso}` stands for the time column as ISO text.
const VIEWS: &str = "
CREATE VIEW trades_num AS SELECT coin, {iso}, time, tid, CAST(px AS REAL) AS px, CAST(sz AS REAL) AS sz,
    side, hash, buyer, seller, source, epoch FROM trades;
CREATE VIEW books_num AS SELECT coin, variant, iso, time, bid, bid_sz, ask, ask_sz, ask - bid AS spread,
    source, epoch FROM (SELECT coin, variant, {iso}, time,
        CAST(bids ->> '$[0][0]' AS REAL) AS bid, CAST(bids ->> '$[0][1]' AS REAL) AS bid_sz,
        CAST(asks ->> '$[0][0]' AS REAL) AS ask, CAST(asks ->> '$[0][1]' AS REAL) AS ask_sz,
        source, epoch FROM books);
CREATE VIEW bbo_num AS SELECT coin, iso, time, bid, bid_sz, bid_n, ask, ask_sz, ask_n, ask - bid AS spread,
    (ask + bid) / 2 AS mid, source, epoch FROM (SELECT coin, {iso}, time,
        CAST(bid_px AS REAL) AS bid, CAST(bid_sz AS REAL) AS bid_sz, bid_n,
        CAST(ask_px AS REAL) AS ask, CAST(ask_sz AS REAL) AS ask_sz, ask_n,
        source, epoch FROM bbo);
CREATE VIEW candles_num AS SELECT coin, interval, {iso}, time, CAST(open AS REAL) AS open,
    CAST(high AS REAL) AS high, CAST(low AS REAL) AS low, CAST(close AS REAL) AS close,
    CAST(volume AS REAL) AS volume, trades, final, source, epoch FROM candles;
CREATE VIEW mids_num AS SELECT coin, {iso}, time, CAST(px AS REAL) AS px, source, epoch FROM mids;
CREATE VIEW contexts_num AS SELECT coin, {iso}, time, CAST(mark_px AS REAL) AS mark_px,
    CAST(mid_px AS REAL) AS mid_px, CAST(oracle_px AS REAL) AS oracle_px,
    CAST(prev_day_px AS REAL) AS prev_day_px, CAST(funding AS REAL) AS funding,
    CAST(open_interest AS REAL) AS open_interest, CAST(premium AS REAL) AS premium,
    CAST(day_ntl_vlm AS REAL) AS day_ntl_vlm, CAST(day_base_vlm AS REAL) AS day_base_vlm,
    CAST(impact_bid AS REAL) AS impact_bid, CAST(impact_ask AS REAL) AS impact_ask, source, epoch FROM contexts;
CREATE VIEW funding_num AS SELECT coin, {iso}, time, CAST(rate AS REAL) AS rate,
    CAST(premium AS REAL) AS premium, source, epoch FROM funding;
";

const ISO: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso";

/// Opens the file for writing, makes it where there is none, and brings its schema up to date.
pub(super) fn open_for_writing(path: &Path) -> Result<Connection, StoreError> {
    const STEP: &str = "opening the database";
    if path.is_dir() {
        return Err(permanent(STEP, SqliteError::Folder(path.to_owned())));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unwritable = |source| permanent(STEP, SqliteError::Unwritable { path: folder.to_owned(), source });
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    // SQLite says "unable to open" for every cause; the operating system says which.
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|source| permanent(STEP, SqliteError::Unwritable { path: path.to_owned(), source }))?;
    let mut conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .step(STEP)?;
    conn.busy_timeout(BUSY).step(STEP)?;
    let found = version(&conn, path)?;
    conn.pragma_update(None, "journal_mode", "WAL").map_err(|e| unreadable(path, e))?;
    conn.pragma_update(None, "synchronous", "FULL").step(STEP)?;
    conn.pragma_update(None, "journal_size_limit", 64 << 20).step(STEP)?;
    conn.pragma_update(None, "cache_size", -16_384).step(STEP)?;
    conn.set_prepared_statement_cache_capacity(128);
    if found.is_none() {
        create(&mut conn, path)?;
    }
    Ok(conn)
}

/// Opens an existing file for reading. Never creates the database.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    const STEP: &str = "opening the database for reading";
    if path.is_dir() {
        return Err(permanent(STEP, SqliteError::Folder(path.to_owned())));
    }
    if !path.exists() {
        return Err(permanent(STEP, SqliteError::Missing(path.to_owned())));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).step(STEP)?;
    conn.busy_timeout(BUSY).step(STEP)?;
    match version(&conn, path)? {
        Some(_) => {}
        None => return Err(permanent(STEP, SqliteError::Missing(path.to_owned()))),
    }
    conn.pragma_update(None, "cache_size", -65_536).step(STEP)?;
    Ok(conn)
}

/// The schema version of one of our files; none of an empty file. Anything else is an error.
fn version(conn: &Connection, path: &Path) -> Result<Option<i64>, StoreError> {
    const STEP: &str = "reading the schema version";
    let int = |sql| conn.query_row(sql, [], |r| r.get::<_, i64>(0)).map_err(|e| unreadable(path, e));
    let application = int("PRAGMA application_id")?;
    let found = int("PRAGMA user_version")?;
    match (application, found) {
        (APPLICATION_ID, VERSION) => Ok(Some(VERSION)),
        (APPLICATION_ID, found) if found > VERSION => {
            Err(permanent(STEP, SqliteError::Newer { path: path.to_owned(), found, known: VERSION }))
        }
        (APPLICATION_ID, found) => Err(permanent(STEP, SqliteError::Older { path: path.to_owned(), found })),
        (0, 0) if int("SELECT count(*) FROM sqlite_master")? == 0 => Ok(None),
        _ => Err(permanent(STEP, SqliteError::Foreign(path.to_owned()))),
    }
}

fn create(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    const STEP: &str = "creating the tables";
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).step(STEP)?;
    // Another process may have been faster.
    if version(&tx, path)?.is_none() {
        tx.execute_batch(TABLES).step(STEP)?;
        tx.execute_batch(&VIEWS.replace("{iso}", ISO)).step(STEP)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID).step(STEP)?;
        tx.pragma_update(None, "user_version", VERSION).step(STEP)?;
    }
    tx.commit().step(STEP)
}

fn unreadable(path: &Path, error: rusqlite::Error) -> StoreError {
    const STEP: &str = "reading the database file";
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => {
            permanent(STEP, SqliteError::NotADatabase(path.to_owned()))
        }
        _ => sort(STEP, error),
    }
}
