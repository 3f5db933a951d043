//! The rows of several parts in the order of their keys, without holding them all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hl_core::archive::{Part, Provenance, RowKey, StoredRows};
use hl_core::{Records, TimeMs};

use crate::ArchiveError;
use crate::parquet_file::Reading;

/// One row, where it lies.
pub(super) struct Row<'a> {
    pub(super) key: RowKey,
    pub(super) from: Provenance,
    pub(super) records: &'a Records,
    pub(super) at: usize,
    pub(super) path: &'a str,
}

/// A part, and what was seen of it.
pub(super) struct Seen<'a> {
    pub(super) part: &'a Part,
    pub(super) rows: u64,
    pub(super) failed: Option<ArchiveError>,
    ends: Option<(TimeMs, TimeMs)>,
    in_order: bool,
}

impl Seen<'_> {
    /// What does not agree with the record, in words.
    pub(super) fn wrong(&self) -> Option<String> {
        let Part { rows, first, last, day, .. } = self.part;
        if self.rows != *rows {
            return Some(format!("{} rows, recorded are {rows}", self.rows));
        }
        if self.ends.is_some_and(|ends| ends != (*first, *last)) {
            return Some(format!("times {:?}, recorded are {first} to {last}", self.ends));
        }
        if !day.span().contains(*first) || !day.span().contains(*last) {
            return Some(format!("rows of another day than {day}"));
        }
        (!self.in_order).then(|| "the rows are out of order".to_owned())
    }
}

struct Cursor<'a> {
    reading: Option<Reading>,
    rows: StoredRows,
    keys: Vec<RowKey>,
    at: usize,
    last: Option<RowKey>,
    seen: Seen<'a>,
}

impl Cursor<'_> {
    /// The next key; the row is at `at`.
    fn advance(&mut self) -> Option<RowKey> {
        self.at += 1;
        while self.at >= self.keys.len() {
            match self.reading.as_mut()?.next() {
                Some(Ok(rows)) => {
                    self.keys = rows.records.keys();
                    (self.rows, self.at) = (rows, 0);
                }
                Some(Err(error)) => {
                    self.seen.failed = Some(error);
                    self.reading = None;
                }
                None => self.reading = None,
            }
        }
        let key = *self.keys.get(self.at)?;
        self.seen.rows += 1;
        let (first, last) = self.seen.ends.unwrap_or((key.time, key.time));
        self.seen.ends = Some((first.min(key.time), last.max(key.time)));
        self.seen.in_order &= self.last.is_none_or(|last| last < key);
        self.last = Some(key);
        Some(key)
    }
}

/// Parts that are read side by side.
#[derive(Default)]
pub(super) struct Merge<'a> {
    cursors: Vec<Cursor<'a>>,
    next: BinaryHeap<Reverse<(RowKey, usize)>>,
    /// The cursor whose row was given out last.
    given: Option<usize>,
}

impl<'a> Merge<'a> {
    pub(super) fn add(&mut self, part: &'a Part, reading: Reading) {
        let seen = Seen { part, rows: 0, failed: None, ends: None, in_order: true };
        let rows = StoredRows::none(part.stream);
        let mut cursor = Cursor { reading: Some(reading), rows, keys: Vec::new(), at: 0, last: None, seen };
        if let Some(key) = cursor.advance() {
            self.next.push(Reverse((key, self.cursors.len())));
        }
        self.cursors.push(cursor);
    }

    pub(super) fn next(&mut self) -> Option<Row<'_>> {
        if let Some(at) = self.given.take()
            && let Some(key) = self.cursors.get_mut(at).and_then(Cursor::advance)
        {
            self.next.push(Reverse((key, at)));
        }
        let Reverse((key, at)) = self.next.pop()?;
        self.given = Some(at);
        let cursor = self.cursors.get(at)?;
        let from = *cursor.rows.provenance.get(cursor.at)?;
        let path = cursor.seen.part.path.as_deref().unwrap_or_default();
        Some(Row { key, from, records: &cursor.rows.records, at: cursor.at, path })
    }

    /// What was seen of each part, once all rows were given out.
    pub(super) fn ended(&self) -> impl Iterator<Item = &Seen<'a>> {
        self.cursors.iter().map(|cursor| &cursor.seen)
    }
}
