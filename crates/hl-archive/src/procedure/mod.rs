//! The procedure: a day of a stream is claimed, its settled rows become parts, and what the parts hold leaves the store.
//!
//! The steps of one page of rows, and what a crash after each of them leaves:
//! 1. *read* the page: nothing;
//! 2. *sort out*: rows that an earlier part has, equal, are removed from the store at once; those that it has otherwise
//!    stay there, and so do rows that the format cannot hold;
//! 3. *write* the rest to a file beside its place, and to the disk: an unfinished file;
//! 4. *place* it: a whole file that no record names;
//! 5. *compare*: the file is read back, and is equal row by row, or nothing is removed;
//! 6. *commit*: in one transaction of the store the claim is checked, the part recorded, and the rows removed that are
//!    still exactly what was compared.
//!
//! Of the files that no record names, the next claim of the day removes the unfinished ones, and sets the whole ones
//! aside: it cannot tell what a crash left from a part that was recorded in a store which was since put back from a backup.
//! So at every moment a row is in the store, or in a recorded part, or in both and equal; readers of both take it once.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use hl_core::archive::{Claimed, Day, Part, Removed, RowKey, StoredRows};
use hl_core::ledger::Span;
use hl_core::seam::Clock;
use hl_core::store::{LedgerReader, Store, StoreError};
use hl_core::{Epoch, StreamKey, TimeMs};
use hl_store::{Worker, Writer};
use tracing::warn;

use crate::ArchiveError;
use crate::columns::unfit;
use crate::files::{Files, Sum};
use crate::layout;
use crate::retention::{Retention, Rule};

/// The note in the store with the name by which its archive knows it.
const OWNER: &str = "archive_of";
/// Rows of one part, of most kinds: what one transaction removes, and what memory holds.
const ROWS: usize = 100_000;
/// Rows of one part of books: each has up to forty levels.
const BOOKS: usize = 20_000;

/// A day whose rows are to leave the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// The stream.
    pub stream: StreamKey,
    /// The day.
    pub day: Day,
    /// Its settled rows in the store.
    pub rows: u64,
    /// What becomes of them.
    pub rule: Rule,
}

/// The days that are due at `now`, oldest first within a stream.
///
/// # Errors
/// What the store says.
pub async fn due(
    store: &dyn LedgerReader,
    retention: &Retention,
    now: TimeMs,
) -> Result<Vec<Due>, StoreError> {
    let mut all = Vec::new();
    for stream in store.known_streams().await? {
        let rule = retention.rule(stream);
        let Some(ms) = rule.ms() else { continue };
        let days = store.settled_days(stream, now - ms).await?;
        all.extend(days.into_iter().map(|(day, rows)| Due { stream, day, rows, rule }));
    }
    Ok(all)
}

/// What the procedure tells of a day while it works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// So many more rows of the store were looked at.
    Rows(u64),
}

/// What became of a day.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DayDone {
    /// Parts written.
    pub parts: u64,
    /// Rows that left the store for a part.
    pub archived: u64,
    /// Bytes of the parts.
    pub bytes: u64,
    /// Rows that left the store because an earlier part has them.
    pub doubled: u64,
    /// Rows that were deleted.
    pub deleted: u64,
    /// Rows that stay because an earlier part has others under their keys.
    pub conflicting: u64,
    /// Rows that stay because the format cannot hold a number of theirs.
    pub unfit: u64,
    /// Rows that stay because they were changed while they were archived.
    pub changed: u64,
    /// Files that the store does not record, moved to another name.
    pub aside: u64,
}

impl DayDone {
    /// Adds another day.
    pub fn add(&mut self, other: Self) {
        self.parts += other.parts;
        self.archived += other.archived;
        self.bytes += other.bytes;
        self.doubled += other.doubled;
        self.deleted += other.deleted;
        self.conflicting += other.conflicting;
        self.unfit += other.unfit;
        self.changed += other.changed;
        self.aside += other.aside;
    }

    /// Rows that stay in the store although they were due.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.conflicting + self.unfit + self.changed
    }
}

/// Moves days into the archive, for one session of a store.
pub struct Archiver<'a> {
    store: &'a dyn Store,
    files: Worker<Files>,
    clock: Arc<dyn Clock>,
    /// Counts the claims of this archiver; the session is its own, so that no other claim has these epochs.
    claims: std::sync::atomic::AtomicU32,
    most: Option<usize>,
}

impl<'a> Archiver<'a> {
    /// An archiver that works in `files`, and does its blocking work where `writer` says. The session of `store` must be
    /// used for nothing else that mints epochs.
    ///
    /// # Errors
    /// When no thread could be started.
    pub async fn new(
        store: &'a dyn Store,
        files: Files,
        writer: Writer,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let files = Worker::start(writer, "hl-archive", move || Ok(files)).await?;
        Ok(Self { store, files, clock, claims: 0.into(), most: None })
    }

    /// Parts of at most so many rows instead of the usual number.
    #[must_use]
    pub fn with_rows_a_part(self, most: usize) -> Self {
        Self { most: Some(most.max(1)), ..self }
    }

    /// Moves what is due of a day.
    ///
    /// # Errors
    /// When another process is at it, the store or the disk fails, or a file does not hold what was written to it. What was
    /// recorded before stays so, and everything else stays in the store.
    pub async fn archive(&self, due: Due, told: &(dyn Fn(Told) + Sync)) -> Result<DayDone, ArchiveError> {
        let work = self.claim(due).await?;
        let aside = work.aside;
        let done = work.all(told).await;
        let given_back = work.give_back().await;
        let done = DayDone { aside, ..done? };
        given_back?;
        Ok(done)
    }

    /// Sees to it that the folder is this store's, by a name that both keep.
    async fn own(&self, rule: Rule) -> Result<(), ArchiveError> {
        let writes = matches!(rule, Rule::Archive { .. });
        if !writes && !self.files.call(|files| files.root().exists()).await? {
            return Ok(());
        }
        if self.store.note(OWNER).await?.is_none() {
            let (token, now) = (self.store.token().0, self.clock.now().0);
            self.store.put_note(OWNER, &format!("{now:x}-{token:x}-{:x}", std::process::id())).await?;
        }
        // Another process may have been faster.
        let name = self.store.note(OWNER).await?.unwrap_or_default();
        self.files.call(move |files| files.take_for(&name)).await?
    }

    /// Claims the day, and clears it of the files that no record names.
    async fn claim(&self, due: Due) -> Result<Work<'_>, ArchiveError> {
        let Due { stream, day, rule, .. } = due;
        self.own(rule).await?;
        let local = self.claims.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let epoch = Epoch { token: self.store.token(), local };
        if let Claimed::Elsewhere(holder) = self.store.claim_day(stream, day, epoch).await? {
            return Err(ArchiveError::Held { stream, day, holder });
        }
        let parts = self.store.day_parts(stream, day).await?;
        let parts = Arc::new(parts);
        let earlier = parts.clone();
        let tidied = self.files.call(move |files| files.tidy(stream, day, &earlier)).await??;
        for file in &tidied.removed {
            warn!(file = %file.display(), "removed a file that a crash had left unfinished; its rows are in the store");
        }
        for (file, aside) in &tidied.aside {
            warn!(
                file = %file.display(), aside = %aside.display(),
                "set a file aside, since its rows are not recorded in this store. A run that was killed leaves such a file, \
                 and its rows are in the store; but if the store was put back from a backup, it may be the only copy of them: \
                 look into it with any Parquet reader before you delete it"
            );
        }
        let aside = tidied.aside.len() as u64;
        Ok(Work { of: self, stream, day, rule, epoch, parts, aside })
    }
}

/// A day under a claim of ours.
struct Work<'a> {
    of: &'a Archiver<'a>,
    stream: StreamKey,
    day: Day,
    rule: Rule,
    epoch: Epoch,
    /// What was recorded of the day before this claim.
    parts: Arc<Vec<Part>>,
    /// Files that were set aside.
    aside: u64,
}

/// A page of rows, by what is to be done with them.
#[derive(Debug)]
struct Sorted {
    /// Not in the archive.
    fresh: Arc<StoredRows>,
    /// In the archive, and equal.
    doubled: Arc<StoredRows>,
    /// In the archive with other values.
    conflicting: Vec<RowKey>,
    /// Beyond what the format can hold.
    unfit: Vec<RowKey>,
}

impl Work<'_> {
    async fn all(&self, told: &(dyn Fn(Told) + Sync)) -> Result<DayDone, ArchiveError> {
        let mut done = DayDone::default();
        let mut after = None;
        for number in 1.. {
            let page = self.read(after).await?;
            let Some(last) = page.records.keys().last().copied() else { break };
            after = Some(last);
            let rows = page.len() as u64;
            match self.rule {
                Rule::Keep => break,
                Rule::Delete { .. } => done.add(self.delete(page).await?),
                Rule::Archive { .. } => done.add(self.page(page, number).await?),
            }
            told(Told::Rows(rows));
        }
        Ok(done)
    }

    async fn page(&self, page: StoredRows, number: u32) -> Result<DayDone, ArchiveError> {
        let sorted = self.sort_out(page).await?;
        let mut done = DayDone {
            conflicting: sorted.conflicting.len() as u64,
            unfit: sorted.unfit.len() as u64,
            ..DayDone::default()
        };
        self.complain(&sorted);
        if !sorted.doubled.is_empty() {
            let (removed, changed) = self.commit(None, sorted.doubled).await?;
            (done.doubled, done.changed) = (removed, changed);
        }
        if !sorted.fresh.is_empty() {
            let path = layout::file(self.stream, self.day, self.epoch, number);
            self.write(&path, &sorted.fresh).await?;
            self.place(&path).await?;
            let sum = self.compare(&path, &sorted.fresh).await?;
            let part = self.part(Some(path), sum, &sorted.fresh);
            done.bytes = part.bytes;
            let (removed, changed) = self.commit(Some(part), sorted.fresh).await?;
            (done.parts, done.archived) = (1, removed);
            done.changed += changed;
        }
        if done.changed > 0 {
            let (stream, day, rows) = (self.stream, self.day, done.changed);
            warn!(%stream, %day, rows, "rows were changed while they were archived, and stay in the store");
        }
        Ok(done)
    }

    async fn delete(&self, page: StoredRows) -> Result<DayDone, ArchiveError> {
        let none = Sum { bytes: 0, checksum: String::new() };
        let part = self.part(None, none, &page);
        let (deleted, changed) = self.commit(Some(part), Arc::new(page)).await?;
        Ok(DayDone { deleted, changed, ..DayDone::default() })
    }

    async fn read(&self, after: Option<RowKey>) -> Result<StoredRows, StoreError> {
        let usual = match self.stream {
            StreamKey::Book(..) => BOOKS,
            _ => ROWS,
        };
        self.of.store.rows_in(self.stream, self.day.span(), after, self.of.most.unwrap_or(usual)).await
    }

    /// Compares the page with what the archive has of the day.
    async fn sort_out(&self, page: StoredRows) -> Result<Sorted, ArchiveError> {
        let parts = self.parts.clone();
        self.of.files.call(move |files| sort_out(files, &parts, page)).await?
    }

    fn complain(&self, sorted: &Sorted) {
        let (stream, day) = (self.stream, self.day);
        if let Some(first) = sorted.conflicting.first() {
            warn!(%stream, %day, rows = sorted.conflicting.len(), ?first, "the archive has other rows under these keys; those in the store count, and stay there");
        }
        if let Some(first) = sorted.unfit.first() {
            warn!(%stream, %day, rows = sorted.unfit.len(), ?first, "numbers that the archive cannot hold exactly; these rows stay in the store");
        }
    }

    async fn write(&self, path: &str, rows: &Arc<StoredRows>) -> Result<(), ArchiveError> {
        let (path, rows, stream) = (path.to_owned(), rows.clone(), self.stream);
        self.of.files.call(move |files| files.write(&path, stream, &rows)).await?
    }

    async fn place(&self, path: &str) -> Result<(), ArchiveError> {
        let path = path.to_owned();
        self.of.files.call(move |files| files.place(&path)).await?
    }

    async fn compare(&self, path: &str, rows: &Arc<StoredRows>) -> Result<Sum, ArchiveError> {
        let (path, rows, stream) = (path.to_owned(), rows.clone(), self.stream);
        self.of.files.call(move |files| files.compare(&path, stream, &rows)).await?
    }

    fn part(&self, path: Option<String>, sum: Sum, rows: &StoredRows) -> Part {
        let (first, last) = rows.records.extent().unwrap_or_default();
        Part {
            stream: self.stream,
            day: self.day,
            path,
            rows: rows.len() as u64,
            first,
            last,
            bytes: sum.bytes,
            checksum: sum.checksum,
            epoch: self.epoch,
            written_at: self.of.clock.now(),
        }
    }

    /// Rows removed, and rows that were changed meanwhile.
    async fn commit(&self, part: Option<Part>, rows: Arc<StoredRows>) -> Result<(u64, u64), ArchiveError> {
        let (stream, day) = (self.stream, self.day);
        match self.of.store.commit_part((stream, day, self.epoch), part, rows).await? {
            Removed::Done { rows, changed } => Ok((rows, changed)),
            Removed::ClaimLost => Err(ArchiveError::ClaimLost { stream, day }),
        }
    }

    async fn give_back(&self) -> Result<(), StoreError> {
        self.of.store.unclaim_day(self.stream, self.day, self.epoch).await
    }
}

fn sort_out(files: &Files, parts: &[Part], page: StoredRows) -> Result<Sorted, ArchiveError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Where {
        Fresh,
        Doubled,
        Conflicting,
        Unfit,
    }
    let keys = page.records.keys();
    let mut places = vec![Where::Fresh; keys.len()];
    let times = || keys.iter().map(|key| key.time);
    let within = Span { from: times().min().unwrap_or_default(), to: times().max().unwrap_or_default() };
    let at: BTreeMap<RowKey, usize> = match parts.is_empty() {
        true => BTreeMap::new(),
        false => keys.iter().enumerate().map(|(at, key)| (*key, at)).collect(),
    };
    for part in parts.iter().filter(|part| Span { from: part.first, to: part.last }.touches(within)) {
        let Some(reading) = files.read(part, within)? else { continue };
        for read in reading {
            let read = read?;
            for (theirs, key) in read.records.keys().iter().enumerate() {
                if let Some(&ours) = at.get(key) {
                    let same = page.records.same(ours, &read.records, theirs);
                    places[ours] = match (places[ours], same) {
                        (Where::Conflicting, _) | (_, false) => Where::Conflicting,
                        (_, true) => Where::Doubled,
                    };
                }
            }
        }
    }
    for at in unfit(&page) {
        places[at] = Where::Unfit;
    }
    let positions =
        |wanted: Where| -> Vec<usize> { (0..places.len()).filter(|&at| places[at] == wanted).collect() };
    let of = |wanted| positions(wanted).into_iter().map(|at| keys[at]).collect();
    let (conflicting, unfit) = (of(Where::Conflicting), of(Where::Unfit));
    let doubled = Arc::new(page.pick(&positions(Where::Doubled)));
    let fresh = positions(Where::Fresh);
    let fresh = Arc::new(if fresh.len() == page.len() { page } else { page.pick(&fresh) });
    Ok(Sorted { fresh, doubled, conflicting, unfit })
}
