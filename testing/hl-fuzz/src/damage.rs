//! Damaged files, and the valid ones they are made of.

use std::path::Path;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use hl_core::ledger::{Batch, Cause, Change};
use hl_core::seam::Clock;
use hl_core::source::{Content, Ticket};
use hl_core::store::{Recent, StoreError, StreamStart};
use hl_core::timeline::{Grant, NoWitness, Timeline};
use hl_core::{Epoch, Interval, Records, RunId, SourceId, StreamKey, TimeMs, Token, for_records};
use hl_store::{SqliteOptions, SqliteStore, Writer};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::records;

/// The streams of the valid files.
pub(crate) const STREAMS: [&str; 7] =
    ["trades/BTC", "candle/ETH/1m", "book/BTC", "bbo/BTC", "mids", "mids/xyz", "context/BTC"];

/// Exchange time at which the valid files begin: the start of a minute.
pub(crate) const START: TimeMs = TimeMs(1_790_000_040_000);

/// Pages are damaged by themselves.
const PAGE: usize = 4_096;

struct Standing;

impl Clock for Standing {
    fn nanos(&self) -> i64 {
        START.0 * 1_000_000
    }
}

/// A folder for one execution; in memory where that is possible, since nothing has to outlive it.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder")
}

pub(crate) async fn open(path: &Path) -> std::result::Result<SqliteStore, StoreError> {
    SqliteStore::open(SqliteOptions {
        path: path.to_owned(),
        role: "fuzz".to_owned(),
        host: "here".to_owned(),
        pid: 1,
        writer: Writer::Inline { delay_ms: 0 },
        clock: Arc::new(Standing),
    })
    .await
}

/// What some minutes of a stream come to, an outage in the middle of them.
pub(crate) fn batch(stream: StreamKey, token: Token) -> Batch {
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().skip(17).step_by(7).take(600).collect();
    let mut u = Unstructured::new(&bytes);
    let mut line = Timeline::new(StreamStart { stream, edge: None, ended: None, recent: Recent::default() });
    let mut changes = Vec::new();
    for number in 1..=2_u32 {
        let run = RunId::first(u64::from(number));
        let epoch = Epoch { token, local: number };
        let begun = START + 200_000 * i64::from(number);
        let grant = Grant { epoch, source: SourceId::Ws, run: Some(run), cause: Cause::Outage };
        line.handover(Some(grant), &NoWitness, &mut changes);
        let contents = [
            Content::Started { at: begun },
            frame(&mut u, stream, begun + 1_000),
            frame(&mut u, stream, begun + 20_000),
            frame(&mut u, stream, begun + 61_000),
            frame(&mut u, stream, begun + 121_000),
            Content::Proof { sent: begun + 130_000 },
        ];
        for content in contents {
            line.offer(Ticket::Run(run), content, &NoWitness, &mut changes);
        }
    }
    Batch { token, changes: changes.into_iter().map(|change: Change| (stream, change)).collect() }
}

fn frame(u: &mut Unstructured<'_>, stream: StreamKey, at: TimeMs) -> Content {
    let mut records = records::records(u, stream, at).expect("enough bytes");
    let mut time = at;
    // In order and near: the files are valid.
    let mut next = || {
        time = time + 7;
        time
    };
    match &mut records {
        Records::Candles(all) => all.iter_mut().for_each(|r| r.time = Interval::M1.open_of(at)),
        records => for_records!(records, all => all.iter_mut().for_each(|r| r.time = next())),
    }
    Content::Frame(records)
}

/// Damages the bytes of a file.
pub(crate) fn bytes(file: &mut Vec<u8>, u: &mut Unstructured<'_>) -> Result<()> {
    for _ in 0..u.int_in_range(1..=4)? {
        let pages = file.len() / PAGE;
        let page = usize::from(u.arbitrary::<u8>()?) % pages.max(1) * PAGE;
        let at = page + usize::from(u.arbitrary::<u16>()?) % PAGE;
        match u.int_in_range(0..=7)? {
            // The head of a page says what is in it.
            0 | 1 => put(file, page + usize::from(u.arbitrary::<u8>()? % 16), u.arbitrary()?),
            2 => put(file, at, u.arbitrary()?),
            3 => {
                for (offset, byte) in u.arbitrary::<[u8; 16]>()?.into_iter().enumerate() {
                    put(file, at + offset, byte);
                }
            }
            4 => file.truncate(if u.arbitrary()? { page } else { at }),
            5 => {
                let other = usize::from(u.arbitrary::<u8>()?) % pages.max(1) * PAGE;
                if page.max(other) + PAGE <= file.len() {
                    let copy = file[page..page + PAGE].to_vec();
                    file.copy_within(other..other + PAGE, page);
                    file[other..other + PAGE].copy_from_slice(&copy);
                }
            }
            6 => (page..(page + PAGE).min(file.len())).for_each(|at| file[at] = 0),
            // The head of the file: versions, sizes, the list of free pages.
            _ => put(file, usize::from(u.arbitrary::<u8>()? % 100), u.arbitrary()?),
        }
    }
    Ok(())
}

fn put(file: &mut [u8], at: usize, byte: u8) {
    if let Some(place) = file.get_mut(at) {
        *place = byte;
    }
}

/// Statements that make of a valid file one that another release, or another hand, may have written. `{n}` is a number,
/// `{t}` a text, `{table}` a table.
const STATEMENTS: [&str; 24] = [
    "PRAGMA user_version = {n}",
    "PRAGMA application_id = {n}",
    "DROP TABLE {table}",
    "DELETE FROM {table}",
    "ALTER TABLE {table} RENAME TO other",
    "ALTER TABLE {table} ADD COLUMN further TEXT",
    "CREATE TABLE other (x)",
    "DROP INDEX gaps_by_time",
    "DROP INDEX coverage_by_time",
    "UPDATE token_counter SET last = {n}",
    "UPDATE streams SET edge = {n}",
    "UPDATE streams SET token = {n}",
    "UPDATE streams SET stream = '{t}' WHERE rowid IS NOT NULL OR stream = 'mids'",
    "INSERT INTO sessions VALUES ({n}, 1, '{t}', '{t}', {n})",
    "UPDATE OR IGNORE trades SET px = '{t}'",
    "UPDATE OR IGNORE trades SET time = {n}",
    "UPDATE OR IGNORE trades SET coin = '{t}'",
    "UPDATE OR IGNORE candles SET trades = {n}, volume = '{t}'",
    "UPDATE OR IGNORE books SET bids = '{t}'",
    "UPDATE OR IGNORE coverage SET from_time = {n}",
    "UPDATE OR IGNORE coverage SET epoch = {n}",
    "UPDATE gaps SET to_time = {n}, claim = {n}",
    "INSERT INTO gaps VALUES (NULL, 'trades/BTC', {n}, {n}, '{t}', 'open', 0, NULL, {n})",
    "INSERT INTO gaps VALUES (NULL, '{t}', {n}, {n}, 'outage', '{t}', 0, NULL, NULL)",
];

const TABLES: [&str; 8] =
    ["trades", "candles", "books", "streams", "coverage", "gaps", "token_counter", "sessions"];

const NUMBERS: [i64; 12] = [
    0,
    1,
    2,
    -1,
    2_147_483_646,
    2_147_483_647,
    4_294_967_295,
    1_790_000_100_000,
    i64::MAX - 1,
    i64::MAX,
    i64::MIN,
    i64::MIN + 1,
];

const TEXTS: [&str; 12] = [
    "",
    "NaN",
    "-0",
    "1e400",
    "BTC",
    "trades/BTC",
    "trades/",
    "candle/BTC/1m",
    "mids",
    "[[\"1\",\"2\"]]",
    "[[\"1\",\"2\",-1]]",
    "a b",
];

/// Alters a file by SQL; what SQLite refuses is left out.
pub(crate) fn by_sql(path: &Path, u: &mut Unstructured<'_>) -> Result<()> {
    let Ok(conn) = Connection::open(path) else { return Ok(()) };
    for _ in 0..u.int_in_range(1..=4)? {
        let mut sql = (*u.choose(&STATEMENTS)?).to_owned();
        while let Some(at) = sql.find("{n}") {
            sql.replace_range(at..at + 3, &u.choose(&NUMBERS)?.to_string());
        }
        while let Some(at) = sql.find("{t}") {
            sql.replace_range(at..at + 3, u.choose(&TEXTS)?);
        }
        let sql = sql.replace("{table}", u.choose(&TABLES)?);
        let _ = conn.execute_batch(&sql);
    }
    Ok(())
}

/// Whether SQLite itself finds no damage.
pub(crate) fn is_sound(path: &Path) -> bool {
    let check = |conn: &Connection| conn.query_row("PRAGMA integrity_check", [], |r| r.get::<_, String>(0));
    Connection::open(path).and_then(|conn| check(&conn)).is_ok_and(|said| said == "ok")
}

/// An answer of the store: an error must say something.
pub(crate) fn said<T>(answer: std::result::Result<T, StoreError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}
