//! Comparing two stores: of each section, stream and day how many items there are, and a digest of them.

use std::collections::BTreeMap;

use hl_core::archive::{Day, StoredRows};
use hl_core::record::Record;
use hl_core::{StreamKey, for_records};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::procedure::of;
use super::{CopyError, Outgoing, Page, Section};

/// What is compared at a time: the name of a section, of streams also the stream and the day.
type Heap = (String, Option<StreamKey>, Option<Day>);

/// How many items, and the sum of their hashes: whatever the order in which a store gives them.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    items: u64,
    digest: u128,
}

/// Where two stores differ.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// In what.
    pub what: String,
    /// Of which stream.
    pub stream: Option<StreamKey>,
    /// On which day.
    pub day: Option<Day>,
    /// Items in the source.
    pub source: u64,
    /// Items in the target. As many as in the source where one of them says something else.
    pub target: u64,
}

/// The sums of a store.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<Heap, Sum>);

impl Tally {
    /// Reads everything. `told` hears how many items each page had.
    pub(super) async fn of(
        (side, store): (&'static str, &dyn Outgoing),
        sections: &[Section],
        page: usize,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<Self, CopyError> {
        let mut tally = Self::default();
        for &section in sections {
            let mut after = None;
            loop {
                let read = of(side, store.page(section, after.as_deref(), page).await)?;
                tally.add(&read)?;
                told(read.len() as u64);
                let Some(last) = read.last() else { break };
                after = Some(last);
            }
        }
        Ok(tally)
    }

    pub(super) fn items(&self) -> u64 {
        self.0.values().map(|sum| sum.items).sum()
    }

    fn put(&mut self, heap: Heap, item: &impl Serialize) -> serde_json::Result<()> {
        let hash = Sha256::digest(serde_json::to_vec(item)?);
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        let sum = self.0.entry(heap).or_default();
        sum.items += 1;
        sum.digest = sum.digest.wrapping_add(u128::from_be_bytes(first));
        Ok(())
    }

    fn add(&mut self, page: &Page) -> serde_json::Result<()> {
        match page {
            Page::Rows { stream, rows, finals } => self.add_rows(*stream, rows, finals),
            Page::Coverage(items) => self
                .each(Section::Coverage, items, |piece| (Some(piece.stream), Some(Day::of(piece.span.from)))),
            Page::Gaps(items) => {
                self.each(Section::Gaps, items, |gap| (Some(gap.stream), Some(Day::of(gap.span.from))))
            }
            Page::Parts(items) => {
                self.each(Section::Parts, items, |(_, part)| (Some(part.stream), Some(part.day)))
            }
            Page::Runs(items) => self.each(Section::Runs, items, |_| (None, None)),
            Page::Figures(items) => self.each(Section::Figures, items, |_| (None, None)),
            Page::Series(items) => self.each(Section::Series, items, |_| (None, None)),
            Page::Alerts(items) => self.each(Section::Alerts, items, |_| (None, None)),
            Page::Notes(items) => self.each(Section::Notes, items, |_| (None, None)),
            Page::Streams(items) => self.each(Section::Streams, items, |entry| (Some(entry.stream), None)),
        }
    }

    fn each<T: Serialize>(
        &mut self,
        section: Section,
        items: &[T],
        place: impl Fn(&T) -> (Option<StreamKey>, Option<Day>),
    ) -> serde_json::Result<()> {
        for item in items {
            let (stream, day) = place(item);
            self.put((section.name(), stream, day), item)?;
        }
        Ok(())
    }

    fn add_rows(
        &mut self,
        stream: StreamKey,
        stored: &StoredRows,
        finals: &[bool],
    ) -> serde_json::Result<()> {
        for_records!(&stored.records, rows => self.rows(stream, rows, stored, finals))
    }

    fn rows<T: Record>(
        &mut self,
        stream: StreamKey,
        rows: &[T],
        stored: &StoredRows,
        finals: &[bool],
    ) -> serde_json::Result<()> {
        for (at, row) in rows.iter().enumerate() {
            let from = stored.provenance.get(at).map(|from| (from.origin.as_str(), from.epoch.to_i64()));
            let heap = ("rows".to_owned(), Some(stream), Some(Day::of(row.time())));
            self.put(heap, &(row, from, finals.get(at)))?;
        }
        Ok(())
    }

    /// Where the other one says something else.
    pub(super) fn differences(&self, target: &Self) -> Vec<Difference> {
        let heaps = self.0.keys().chain(target.0.keys().filter(|heap| !self.0.contains_key(*heap)));
        let mut differences = Vec::new();
        for heap in heaps {
            let of = |tally: &Self| tally.0.get(heap).copied().unwrap_or_default();
            let (source, target) = (of(self), of(target));
            if source != target {
                let (what, stream, day) = heap.clone();
                differences.push(Difference {
                    what,
                    stream,
                    day,
                    source: source.items,
                    target: target.items,
                });
            }
        }
        differences
    }
}
