//! The spool: a durable queue on disk before a store that is slow or gone.
//!
//! One SQLite file for each spool, `<database>.spool-<n>`, the payload as JSON: written by name, so that a spool
//! outlives a release that adds a field, and an operator can read it. SQLite's own log makes an entry either whole or
//! absent. Not here: when to spool and when to drain, which the pipeline decides.
//!
//! What a dead process spooled bears that process's token. Drain it before taking leases: until somebody takes a
//! stream, [`commit`](hl_core::store::LedgerWriter::commit) accepts such batches as if the process still lived; afterwards
//! only what fills gaps.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hl_core::ledger::Batch;
use hl_core::seam::BoxFuture;
use hl_core::store::{BatchQueue, StoreError};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::sqlite::file::{self, Opened};
use crate::sqlite::place::{self, Displaced};
use crate::sqlite::{SqliteError, Step as _, temporary};
use crate::writer::{Worker, Writer};

/// Marks the file as a spool: `HLsp`.
const KIND: file::Kind =
    file::Kind { application_id: 0x484c_7370, steps: &[file::SchemaStep::Sql(TABLES)], busy: Duration::ZERO };

const TABLES: &str = "
CREATE TABLE spool (seq INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT NOT NULL) STRICT;
";

/// A file that is larger than this is made small again when the spool runs empty, bytes.
const SHRINK_ABOVE: i64 = 1 << 20;

/// Processes on one database that may have a spool of their own.
pub const MAX_SPOOLS: u32 = 16;

/// A durable queue of batches. At most one process has it open.
pub struct Spool {
    worker: Worker<Open>,
    size: Arc<Size>,
    max_bytes: u64,
}

#[derive(Default)]
struct Size {
    batches: AtomicU64,
    bytes: AtomicU64,
}

struct Open {
    /// None while the file could not be opened anew.
    file: Option<Opened>,
    path: PathBuf,
    size: Arc<Size>,
}

/// An entry that this program cannot read.
#[derive(Debug, thiserror::Error)]
#[error(
    "entry {number} of the spool cannot be read; it was written by another release, and can only be dropped"
)]
struct Unreadable {
    number: u64,
    source: serde_json::Error,
}

impl Spool {
    /// Opens a spool, with what an earlier process left in it. Holds at most `max_bytes` of payload.
    ///
    /// # Errors
    /// Temporary where another process has it open; otherwise as for a store.
    pub async fn open(path: PathBuf, writer: Writer, max_bytes: u64) -> Result<Self, StoreError> {
        let size = Arc::new(Size::default());
        let shared = Arc::clone(&size);
        let worker = Worker::start(writer, "hl-spool", move || Open::new(&path, shared)).await?;
        Ok(Self { worker, size, max_bytes })
    }

    /// Opens the first spool beside a database that no other process has open, with what its last user left in it, and
    /// with what dead processes left in later ones.
    ///
    /// # Errors
    /// Temporary where [`MAX_SPOOLS`] processes have one; otherwise as for a store.
    pub async fn open_beside(database: &Path, writer: Writer, max_bytes: u64) -> Result<Self, StoreError> {
        // A symbolic link is another name of the same store.
        let database = &place::resolve(database);
        let mut n = 0;
        let spool = loop {
            match Self::open(Self::beside(database, n), writer, max_bytes).await {
                Err(error) if error.is_temporary() && n + 1 < MAX_SPOOLS => n += 1,
                opened => break opened?,
            }
        };
        for other in n + 1..MAX_SPOOLS {
            let path = Self::beside(database, other);
            if path.exists() {
                // A living process has it open, or it is damaged: either way it is not ours to empty.
                if let Ok(left) = Self::open(path, writer, max_bytes).await {
                    spool.adopt(&left).await?;
                    left.close().await?;
                }
            }
        }
        Ok(spool)
    }

    /// Takes over what is in another spool, as far as there is room. Stopped in between, a batch may be in both: it is
    /// committed twice then, and the second time changes nothing.
    async fn adopt(&self, left: &Self) -> Result<(), StoreError> {
        while let Some((number, batch)) = left.peek().await? {
            if !self.push(&batch).await? {
                break;
            }
            left.pop(number).await?;
        }
        Ok(())
    }

    /// The path of the `n`-th spool beside a database.
    #[must_use]
    pub fn beside(database: &Path, n: u32) -> PathBuf {
        let mut path = database.as_os_str().to_owned();
        path.push(format!(".spool-{n}"));
        path.into()
    }

    /// Finishes what is queued and closes the file. What is spooled stays.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when that was done already.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.worker.finish(Open::make_ready).await?
    }
}

impl BatchQueue for Spool {
    fn push<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<bool, StoreError>> {
        let payload = serde_json::to_string(batch);
        Box::pin(async move {
            let payload = payload.map_err(|error| StoreError::Permanent {
                step: "writing a batch as JSON",
                source: Box::new(error),
            })?;
            let max_bytes = self.max_bytes;
            self.worker.call(move |open| open.push(&payload, max_bytes)).await?
        })
    }

    fn peek(&self) -> BoxFuture<'_, Result<Option<(u64, Batch)>, StoreError>> {
        Box::pin(async {
            let Some((number, payload)) = self.worker.call(|open| open.peek()).await?? else {
                return Ok(None);
            };
            match serde_json::from_str(&payload) {
                Ok(batch) => Ok(Some((number, batch))),
                Err(source) => Err(StoreError::Permanent {
                    step: "reading the spool",
                    source: Box::new(Unreadable { number, source }),
                }),
            }
        })
    }

    fn pop(&self, number: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.worker.call(move |open| open.pop(number)).await? })
    }

    fn size(&self) -> (u64, u64) {
        (self.size.batches.load(Ordering::Relaxed), self.size.bytes.load(Ordering::Relaxed))
    }
}

/// A spool beside a database that is not there: one that a running process has open, or that holds batches.
pub(crate) fn left_alone(database: &Path) -> Option<PathBuf> {
    (0..MAX_SPOOLS).map(|n| Spool::beside(database, n)).filter(|path| path.exists()).find(|path| {
        let count =
            |spool: &Opened| spool.query_row("SELECT count(*) FROM spool", [], |r| r.get::<_, i64>(0));
        // One that cannot be read may hold something.
        !file::open_for_reading(path, KIND).is_ok_and(|spool| count(&spool).is_ok_and(|batches| batches == 0))
    })
}

/// Opens a spool for this process only: a batch must not be taken out twice.
fn open_alone(path: &Path) -> Result<Opened, StoreError> {
    const STEP: &str = "opening the spool";
    let file = file::open_for_writing(path, KIND)?;
    file.pragma_update(None, "locking_mode", "EXCLUSIVE").step(STEP)?;
    file.execute_batch("BEGIN IMMEDIATE; COMMIT").step(STEP)?;
    Ok(file)
}

/// Copies every batch, under its number.
fn move_batches(old: &Connection, new: &mut Connection) -> Result<(), StoreError> {
    const STEP: &str = "making the spool anew";
    let tx = new.transaction().step(STEP)?;
    let mut all = old.prepare("SELECT seq, payload FROM spool ORDER BY seq").step(STEP)?;
    let mut batches = all.query([]).step(STEP)?;
    while let Some(batch) = batches.next().step(STEP)? {
        let (seq, payload): (i64, String) = (batch.get(0).step(STEP)?, batch.get(1).step(STEP)?);
        tx.execute("INSERT INTO spool (seq, payload) VALUES (?1, ?2)", params![seq, payload]).step(STEP)?;
    }
    tx.commit().step(STEP)
}

impl Open {
    fn new(path: &Path, size: Arc<Size>) -> Result<Self, StoreError> {
        let path = place::resolve(path);
        let file = open_alone(&path)?;
        // A damaged spool may lose batches, or give one back for ever.
        file::check(&file)?;
        let open = Self { file: Some(file), path, size };
        open.measure()?;
        Ok(open)
    }

    fn conn(&self) -> Result<&Connection, StoreError> {
        let away = || temporary("opening the spool anew", SqliteError::Replaced(self.path.clone()));
        self.file.as_deref().ok_or_else(away)
    }

    /// Sees to it that what is spooled lies in the file of that name: where that was deleted or replaced, what it held
    /// moves into a new one.
    fn make_ready(&mut self) -> Result<(), StoreError> {
        if let Some(old) = &self.file {
            let Err(found) = old.look() else { return Ok(()) };
            let spool = self.path.display();
            tracing::error!(%spool, ?found, "another program removed or replaced the spool: it is made anew");
            if found != Displaced::LogReplaced {
                old.leave_whole()?;
                let mut new = open_alone(&self.path)?;
                move_batches(old, &mut new)?;
                self.file = Some(new);
                return self.measure();
            }
            // No other program could write to the file, which this process alone has open.
            old.empty_log()?;
            // Closed before it is opened again: both at once would share what SQLite knows of the deleted log.
            self.file = None;
        }
        self.file = Some(open_alone(&self.path)?);
        self.measure()
    }

    fn measure(&self) -> Result<(), StoreError> {
        let sql = "SELECT count(*), ifnull(sum(octet_length(payload)), 0) FROM spool";
        let read = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?));
        let (batches, bytes): (i64, i64) =
            self.conn()?.query_row(sql, [], read).step("measuring the spool")?;
        self.size.batches.store(batches.cast_unsigned(), Ordering::Relaxed);
        self.size.bytes.store(bytes.cast_unsigned(), Ordering::Relaxed);
        Ok(())
    }

    fn push(&mut self, payload: &str, max_bytes: u64) -> Result<bool, StoreError> {
        self.make_ready()?;
        let bytes = payload.len() as u64;
        if self.size.bytes.load(Ordering::Relaxed) + bytes > max_bytes {
            return Ok(false);
        }
        self.conn()?
            .prepare_cached("INSERT INTO spool (payload) VALUES (?1)")
            .and_then(|mut s| s.execute([payload]))
            .step("spooling a batch")?;
        self.size.batches.fetch_add(1, Ordering::Relaxed);
        self.size.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(true)
    }

    fn peek(&mut self) -> Result<Option<(u64, String)>, StoreError> {
        self.conn()?
            .prepare_cached("SELECT seq, payload FROM spool ORDER BY seq LIMIT 1")
            .and_then(|mut s| {
                s.query_row([], |r| Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get(1)?))).optional()
            })
            .step("reading the spool")
    }

    fn pop(&mut self, number: u64) -> Result<(), StoreError> {
        const STEP: &str = "taking a batch off the spool";
        let bytes: Option<i64> = self
            .conn()?
            .prepare_cached("DELETE FROM spool WHERE seq = ?1 RETURNING octet_length(payload)")
            .and_then(|mut s| s.query_row(params![number.cast_signed()], |r| r.get(0)).optional())
            .step(STEP)?;
        let Some(bytes) = bytes else { return Ok(()) };
        self.size.bytes.fetch_sub(bytes.cast_unsigned(), Ordering::Relaxed);
        if self.size.batches.fetch_sub(1, Ordering::Relaxed) == 1 {
            let pages: i64 = self.conn()?.query_row("PRAGMA page_count", [], |r| r.get(0)).step(STEP)?;
            let page: i64 = self.conn()?.query_row("PRAGMA page_size", [], |r| r.get(0)).step(STEP)?;
            if pages * page > SHRINK_ABOVE {
                self.conn()?.execute_batch("VACUUM").step("shrinking the spool")?;
            }
        }
        Ok(())
    }
}
