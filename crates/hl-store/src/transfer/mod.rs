//! Moving house: everything that a store holds, in pages that any store can read and write.
//!
//! [`Outgoing`] reads pages, [`Incoming`] writes them, [`copy`] does one after the other and compares both sides at its end.
//! What lives here: what there is to copy, and in which order. What does not: how a store keeps it. Not copied is what
//! belongs to processes and not to the data: sessions, claims, request weight, and the notes that end with their session.

mod procedure;
mod progress;
mod tally;

use hl_core::archive::{Part, RowKey, StoredRows};
use hl_core::ledger::{Cause, GapState, Span};
use hl_core::record::Address;
use hl_core::runs::Row;
use hl_core::seam::BoxFuture;
use hl_core::statistics::Figure;
use hl_core::store::{Store, StoreError};
use hl_core::symbol::Word;
use hl_core::{Coin, StreamKey, TimeMs, Token};
use serde::{Deserialize, Serialize};

pub use procedure::{Copied, CopyError, Options, Told, copy, ready};
pub use progress::{NOTE, Progress, unfinished};
pub use tally::Difference;

use crate::{AlertRow, CoverageRow, Inspect};

/// A part of what a store holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Section {
    /// The rows of a stream, of bars also those that may still change.
    Rows(StreamKey),
    /// Covered pieces.
    Coverage,
    /// Gaps, whatever became of them.
    Gaps,
    /// Recorded parts of the archive, deletions included.
    Parts,
    /// The history of jobs.
    Runs,
    /// Daily statistics.
    Figures,
    /// Up to when each series of them is complete.
    Series,
    /// The history of alerts.
    Alerts,
    /// Small texts, but for those that end with their session, and the record of a copy itself.
    Notes,
    /// Edges, and the tokens under which batches of the dead may still be written.
    Streams,
}

impl Section {
    /// All but the rows, in the order in which they are copied.
    pub const LEDGER: [Self; 9] = [
        Self::Coverage,
        Self::Gaps,
        Self::Parts,
        Self::Runs,
        Self::Figures,
        Self::Series,
        Self::Alerts,
        Self::Notes,
        Self::Streams,
    ];

    /// Its name in tables and JSON.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Rows(stream) => format!("rows of {stream}"),
            Self::Coverage => "coverage".to_owned(),
            Self::Gaps => "gaps".to_owned(),
            Self::Parts => "parts of the archive".to_owned(),
            Self::Runs => "runs of jobs".to_owned(),
            Self::Figures => "statistics".to_owned(),
            Self::Series => "series of statistics".to_owned(),
            Self::Alerts => "alerts".to_owned(),
            Self::Notes => "notes".to_owned(),
            Self::Streams => "edges".to_owned(),
        }
    }
}

/// One field of the key of the last item of a page.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A time, a number.
    Int(i64),
    /// A name.
    Text(String),
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A gap with everything that is kept of it but a claim, which ends with its session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GapEntry {
    /// What the store it was read from calls it. Orders, and means nothing elsewhere.
    #[serde(skip)]
    pub id: Cell,
    /// The stream.
    pub stream: StreamKey,
    /// The piece.
    pub span: Span,
    /// Why it is there.
    pub cause: Cause,
    /// What became of it.
    pub state: GapState,
    /// When it was found, ms.
    pub opened_at: TimeMs,
    /// When it was filled or given up, ms.
    pub closed_at: Option<TimeMs>,
}

/// An alert with what the store it was read from calls it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AlertEntry {
    /// Orders, and means nothing elsewhere.
    #[serde(skip)]
    pub id: Cell,
    /// The alert.
    #[serde(flatten)]
    pub row: AlertRow,
}

/// The edge of a stream, and who held it last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StreamEntry {
    /// The stream.
    pub stream: StreamKey,
    /// The past below this time is settled, ms.
    pub edge: Option<TimeMs>,
    /// When it ended, ms; none while it goes on.
    pub ended: Option<TimeMs>,
    /// The session whose spooled batches may still be written; none after an orderly end.
    pub token: Option<Token>,
    /// When its lease was taken, ms.
    pub leased_at: Option<TimeMs>,
}

/// Up to when a series of statistics is complete.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SeriesEntry {
    /// Its name.
    pub series: String,
    /// The first millisecond of the last day.
    pub through: TimeMs,
    /// When it was read, ms.
    pub read_at: TimeMs,
}

/// A small text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NoteEntry {
    /// Its name.
    pub name: String,
    /// The text.
    pub text: String,
    /// When it was written, ms.
    pub updated_at: TimeMs,
}

/// Some items of one section, in the order of their keys.
#[derive(Clone, PartialEq, Debug)]
pub enum Page {
    /// Rows of a stream; of bars also whether each can change no more.
    Rows {
        /// The stream.
        stream: StreamKey,
        /// The rows.
        rows: StoredRows,
        /// Of bars one for each, of others none.
        finals: Vec<bool>,
    },
    /// Covered pieces.
    Coverage(Vec<CoverageRow>),
    /// Gaps.
    Gaps(Vec<GapEntry>),
    /// Parts, with their numbers within the day.
    Parts(Vec<(u32, Part)>),
    /// Runs.
    Runs(Vec<Row>),
    /// Figures, with their series.
    Figures(Vec<(String, Figure)>),
    /// Series.
    Series(Vec<SeriesEntry>),
    /// Alerts.
    Alerts(Vec<AlertEntry>),
    /// Notes.
    Notes(Vec<NoteEntry>),
    /// Edges.
    Streams(Vec<StreamEntry>),
}

impl Page {
    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Rows { rows, .. } => rows.len(),
            Self::Coverage(items) => items.len(),
            Self::Gaps(items) => items.len(),
            Self::Parts(items) => items.len(),
            Self::Runs(items) => items.len(),
            Self::Figures(items) => items.len(),
            Self::Series(items) => items.len(),
            Self::Alerts(items) => items.len(),
            Self::Notes(items) => items.len(),
            Self::Streams(items) => items.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of the last item: the next page begins after it.
    #[must_use]
    pub fn last(&self) -> Option<Vec<Cell>> {
        match self {
            Self::Rows { rows, .. } => {
                rows.records.keys().last().map(|RowKey { coin, time, tid, word, user }| {
                    let coin = coin.map_or("", |coin| coin.as_str());
                    let word = word.map_or("", |word| word.as_str());
                    let user = user.map(|user| user.to_string()).unwrap_or_default();
                    vec![
                        coin.into(),
                        time.0.into(),
                        tid.cast_signed().into(),
                        word.into(),
                        user.as_str().into(),
                    ]
                })
            }
            Self::Coverage(items) => items.last().map(|piece| {
                let (epoch, source) = (piece.epoch.to_i64(), piece.source.as_str());
                vec![piece.stream.to_string().into(), epoch.into(), source.into(), piece.span.from.0.into()]
            }),
            Self::Gaps(items) => items.last().map(|gap| vec![gap.id.clone()]),
            Self::Parts(items) => items.last().map(|(number, part)| {
                vec![part.stream.to_string().into(), part.day.to_string().into(), i64::from(*number).into()]
            }),
            Self::Runs(items) => items.last().map(|run| vec![run.job.as_str().into(), run.planned.0.into()]),
            Self::Figures(items) => items.last().map(|(series, figure)| {
                let Figure { day, subject, name, .. } = figure;
                vec![series.as_str().into(), day.0.into(), subject.as_str().into(), name.as_str().into()]
            }),
            Self::Series(items) => items.last().map(|entry| vec![entry.series.as_str().into()]),
            Self::Alerts(items) => items.last().map(|alert| vec![alert.id.clone()]),
            Self::Notes(items) => items.last().map(|note| vec![note.name.as_str().into()]),
            Self::Streams(items) => items.last().map(|entry| vec![entry.stream.to_string().into()]),
        }
    }
}

/// The key of a row that [`Page::last`] gave.
#[must_use]
pub fn row_key(cells: &[Cell]) -> Option<RowKey> {
    match cells {
        [Cell::Text(coin), Cell::Int(time), Cell::Int(tid), rest @ ..] => {
            // Earlier releases wrote no user, and a word only where there was one.
            let (word, user) = match rest {
                [] => ("", ""),
                [Cell::Text(word)] => (word.as_str(), ""),
                [Cell::Text(word), Cell::Text(user)] => (word.as_str(), user.as_str()),
                _ => return None,
            };
            let coin = said(coin, |coin| Coin::new(coin).ok())?;
            let word = said(word, |word| Word::new(word).ok())?;
            let user = said(user, Address::parse)?;
            Some(RowKey { coin, time: TimeMs(*time), tid: tid.cast_unsigned(), word, user })
        }
        _ => None,
    }
}

/// What a text says, where it is not empty; none where it cannot be read.
fn said<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { read(text).map(Some) }
}

/// Whether a note ends with its session, or is the record of a copy: neither is copied.
#[must_use]
pub fn stays_behind(note: &str) -> bool {
    let of_session =
        |(_, token): (&str, &str)| !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit());
    note == NOTE || note.rsplit_once('/').is_some_and(of_session)
}

/// A store that can be read page by page.
pub trait Outgoing: Inspect {
    /// The last token that it gave out. Whoever writes takes a new one first.
    fn last_token(&self) -> BoxFuture<'_, Result<Token, StoreError>>;

    /// The first `most` items of a section after `after`, in the order of their keys.
    fn page<'a>(
        &'a self,
        section: Section,
        after: Option<&'a [Cell]>,
        most: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;
}

/// What a page changes of the record of the copy, in the same transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turn {
    /// The record as it must stand; none where there is none yet.
    pub from: Option<String>,
    /// The record with this page.
    pub to: String,
}

/// A session that can be given pages.
pub trait Incoming: Store {
    /// Gives out no token up to `last` from now on, so that no claim is ever numbered like one of the source.
    fn skip_tokens(&self, last: Token) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Writes a page and the record of it in one transaction; without a page the record alone. Where the record says that
    /// the page is written, nothing is done. Returns whether the record was as it must stand: nothing was written otherwise.
    fn put_page(
        &self,
        page: Option<std::sync::Arc<Page>>,
        turn: Turn,
    ) -> BoxFuture<'_, Result<bool, StoreError>>;
}
