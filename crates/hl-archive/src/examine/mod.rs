//! The examination of an archive: every recorded part is read again, and everything that the audit of a store says of
//! its rows is said of those in parts.

mod bars;
mod merge;

use std::collections::{BTreeMap, BTreeSet};

use hl_core::archive::{Day, Part, RowKey, StoredRows};
use hl_core::ledger::Span;
use hl_core::{StreamKey, TimeMs};
use hl_store::{Finding, Inspect as _, LedgerCheck, Problem};

use self::merge::Merge;
use crate::{ArchiveError, Whole};

/// A key in two parts.
const TWICE: &str = "archive_twice";

/// What an examination found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Examined {
    /// Recorded parts with a file.
    pub parts: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows of parts that could not be read.
    pub unread: u64,
    /// Rows that the store has as well, equal: left behind by a crash or brought by a backfill, and removed by the next
    /// run.
    pub doubled: u64,
    /// Whole minutes of archived days that were compared between trades and candles.
    pub minutes_compared: u64,
    /// Whole minutes of which nothing is known: the bars around them do not count the trades either.
    pub minutes_unknown: u64,
    /// What is wrong. Beside the checks of a store ([`Problem::check`]):
    ///
    /// - `archive_missing`: a recorded part is not there;
    /// - `archive_checksum`: a part is not what was recorded, or cannot be read;
    /// - `archive_rows`: a part has other rows than recorded, of another day, or out of order;
    /// - `archive_twice`: a key in two parts;
    /// - `archive_conflict`: a key in a part and in the store, with different values.
    pub problems: Vec<Problem>,
}

impl Examined {
    /// Keys that are in two parts.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.problems.iter().filter(|problem| problem.check == TWICE).map(|problem| problem.count).sum()
    }
}

/// The findings of one stream.
struct Findings {
    missing: Finding,
    checksum: Finding,
    rows: Finding,
    twice: Finding,
    conflict: Finding,
    crossed: Finding,
}

impl Findings {
    fn none(stream: StreamKey) -> Self {
        let none = |check| Finding::none(check, stream);
        Self {
            missing: none("archive_missing"),
            checksum: none("archive_checksum"),
            rows: none("archive_rows"),
            twice: none(TWICE),
            conflict: none("archive_conflict"),
            crossed: none("crossed_book"),
        }
    }

    fn all(self) -> [Finding; 6] {
        [self.missing, self.checksum, self.rows, self.twice, self.conflict, self.crossed]
    }
}

/// Examines every recorded part; `told` hears of the rows that were read.
///
/// # Errors
/// When the store cannot be read. What is wrong with the archive is an answer, not an error.
pub async fn examine(whole: &Whole, told: &(dyn Fn(u64) + Sync)) -> Result<Examined, ArchiveError> {
    let mut examined = Examined::default();
    let mut days: BTreeMap<StreamKey, Days> = BTreeMap::new();
    for row in whole.streams().await? {
        let stream = row.stream;
        let parts = whole.parts(Some(stream), Span::EVER).await?;
        if parts.is_empty() {
            continue;
        }
        let (pieces, gaps) = (whole.coverage(Some(stream)).await?, whole.gaps(Some(stream)).await?);
        let mut ledger = LedgerCheck::new(stream, &pieces, &gaps, row.edge);
        let mut findings = Findings::none(stream);
        let of_stream = days.entry(stream).or_default();
        for day in parts.chunk_by(|a, b| a.day == b.day) {
            let Some(Part { day: date, .. }) = day.first() else { continue };
            of_stream.touched.insert(*date);
            let hot = whole.store().stored_rows(stream, date.span()).await?;
            let unread = examined.unread;
            read_day(whole, day, &hot, &mut ledger, &mut findings, &mut examined, told);
            if examined.unread > unread || day.iter().any(|part| part.path.is_none()) {
                of_stream.incomplete.insert(*date);
            }
        }
        let found = findings.all().into_iter().chain(ledger.findings());
        examined.problems.extend(found.filter_map(Finding::into_problem));
    }
    bars::compare(whole, &days, &mut examined).await?;
    Ok(examined)
}

/// The days of a stream of which something was archived.
#[derive(Default)]
pub(super) struct Days {
    pub(super) touched: BTreeSet<Day>,
    /// Those of which not everything can be read: rows were deleted, or a part is damaged.
    pub(super) incomplete: BTreeSet<Day>,
}

/// Reads the parts of one day, in the order of their keys.
fn read_day(
    whole: &Whole,
    parts: &[Part],
    hot: &StoredRows,
    ledger: &mut LedgerCheck<'_>,
    findings: &mut Findings,
    examined: &mut Examined,
    told: &(dyn Fn(u64) + Sync),
) {
    let mut merge = Merge::default();
    for part in parts {
        let Some(path) = &part.path else { continue };
        examined.parts += 1;
        let error = match whole.files().read(part, Span::EVER) {
            Ok(Some(reading)) => {
                merge.add(part, reading);
                continue;
            }
            Ok(None) => continue,
            Err(error) => error,
        };
        examined.unread += part.rows;
        match error {
            ArchiveError::Missing(_) => findings.missing.add(|| error.to_string()),
            ArchiveError::Damaged { found, .. } => findings.checksum.add(|| format!("{path}: {found}")),
            error => findings.checksum.add(|| error.to_string()),
        }
    }
    let stored: BTreeMap<RowKey, usize> =
        hot.records.keys().into_iter().enumerate().map(|(at, key)| (key, at)).collect();
    let (mut last, mut fresh) = (None, 0);
    while let Some(row) = merge.next() {
        let key = row.key;
        if last == Some(key) {
            findings.twice.add(|| format!("{key} in {}", row.path));
        } else {
            ledger.see(key.coin.map_or("", |coin| coin.as_str()), key.time, row.from);
        }
        last = Some(key);
        if row.records.is_crossed(row.at) {
            findings.crossed.add(|| format!("at {}", key.time));
        }
        match stored.get(&key) {
            Some(&at) if hot.records.same(at, row.records, row.at) => examined.doubled += 1,
            Some(_) => findings.conflict.add(|| format!("{key} in {}", row.path)),
            None => {}
        }
        fresh += 1;
        if fresh == 10_000 {
            told(fresh);
            fresh = 0;
        }
    }
    told(fresh);
    for seen in merge.ended() {
        examined.rows += seen.rows;
        examined.bytes += seen.part.bytes;
        let path = seen.part.path.as_deref().unwrap_or_default();
        if let Some(error) = &seen.failed {
            findings.checksum.add(|| error.to_string());
            examined.unread += seen.part.rows.saturating_sub(seen.rows);
        } else if let Some(wrong) = seen.wrong() {
            findings.rows.add(|| format!("{path}: {wrong}"));
        }
    }
}

/// Where a day begins and ends, for loops over its hours.
pub(super) fn hours(day: Day) -> impl Iterator<Item = hl_core::ledger::Span> {
    const HOUR_MS: i64 = 3_600_000;
    let from = day.span().from;
    (0..24).map(move |hour| {
        let from: TimeMs = from + hour * HOUR_MS;
        hl_core::ledger::Span { from, to: from + (HOUR_MS - 1) }
    })
}
