//! Sinks: where else rows go, once they are stored.
//!
//! A sink is fed from the store, stream by stream: what it has not taken waits there, and not in memory, so that a sink
//! that is slow or away holds nothing up. How far it has come is kept in the store too, for each stream, and moves only after
//! the sink has taken what lies before it: rows above it reach the sink at least once, restarts and failures included.
//!
//! Rows also come below that position, where gaps are filled: what is a gap when the position passes it is kept in mind, and
//! its rows are handed out once they are there. What was filled while the sink did not follow the stream, the store says when it
//! follows it again. `position` decides all of this, pure; `feeder` is the task of a sink.
//!
//! What does not reach a sink: rows that the archive took before the sink did, which is logged and counted
//! ([`SinkView::missed`]); rows of a gap below the position that opened and was filled while this process was down, where the
//! clock of the process that filled it is more than an hour behind; rows that wait for a stream that is collected no longer when
//! the process starts again; rows of an import that lie below the position, since an import fills no gap; and versions of bars
//! before the final one. A batch that a sink always refuses holds up the streams behind it.
//!
//! What does not live here: any sink.

mod feeder;
mod position;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use hl_core::archive::StoredRows;
use hl_core::seam::BoxFuture;
use hl_core::{StreamKey, TimeMs};
use serde::Serialize;

use crate::engine::lock;

pub(crate) use feeder::{Feeder, Feeders};

/// Why a sink did not take something. It is offered again, so whatever it was should be worth another try.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Somewhere rows go once they are stored.
pub trait Sink: Send + Sync + 'static {
    /// Names it in the store: a sink of another name begins anew, with the oldest row that the store has. Letters, digits, `-`
    /// and `_`.
    fn name(&self) -> &str;

    /// Whether it wants the rows of a stream. Asked once a stream.
    fn wants(&self, stream: StreamKey) -> bool {
        let _ = stream;
        true
    }

    /// Takes some rows of one stream. Once it has answered that it did, they count as handed over; until then they are offered
    /// again and again, with a growing pause. One call at a time, and an answer that takes more than a minute is a failure.
    fn write<'a>(&'a self, batch: &'a SinkBatch) -> BoxFuture<'a, Result<(), SinkError>>;
}

/// Rows for a sink.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SinkBatch {
    /// The stream.
    pub stream: StreamKey,
    /// At least one row, with source and claim, in the order of their keys.
    pub rows: StoredRows,
    /// Whether they fill what was a gap when the sink came by: they lie before rows that it has.
    pub late: bool,
}

/// What a sink has come to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SinkView {
    /// Its name.
    pub name: String,
    /// Rows that it has taken in this process, repetitions included.
    pub rows: u64,
    /// Those of them that fill gaps.
    pub late: u64,
    /// Times that it did not take what it was offered.
    pub failures: u64,
    /// Why, the last time, in words; none while it takes what it is offered.
    pub failing: Option<String>,
    /// Rows, at most, that the archive took before it did. They are in the archive, and do not reach it.
    pub missed: u64,
    /// How far it lags behind the edge in the stream where it lags the most, ms of exchange time; none where nothing is
    /// stored yet.
    pub behind_ms: Option<i64>,
}

/// A sink of an engine, and what it has come to.
#[derive(Clone)]
pub(crate) struct Fed {
    pub(crate) sink: Arc<dyn Sink>,
    view: Arc<Mutex<SinkView>>,
}

impl Fed {
    pub(crate) fn new(sink: Arc<dyn Sink>) -> Self {
        let view = SinkView { name: sink.name().to_owned(), ..SinkView::default() };
        Self { sink, view: Arc::new(Mutex::new(view)) }
    }

    pub(crate) fn view(&self) -> SinkView {
        lock(&self.view).clone()
    }
}

/// A name that does not tell a sink from others in the store.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SinkName {
    /// It has other characters, or none.
    #[error("a sink cannot be called {0:?}: up to 64 letters, digits, - and _ make a name")]
    Odd(String),
    /// Two have it.
    #[error("two sinks are called {0:?}")]
    Twice(String),
}

/// Checks what sinks call themselves.
pub(crate) fn checked<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), SinkName> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_part) {
            return Err(SinkName::Odd(name.to_owned()));
        }
        if !seen.insert(name) {
            return Err(SinkName::Twice(name.to_owned()));
        }
    }
    Ok(())
}

/// The note that keeps how far a sink has come in a stream. It does not end with the stream: one that ends in a number would
/// be taken for the note of a session, and go with it.
fn note(name: &str, stream: StreamKey) -> String {
    format!("sink/{name}/{stream}/position")
}

impl fmt::Debug for dyn Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sink").field(&self.name()).finish()
    }
}

/// How far behind the edge a position lies.
fn behind(below: Option<TimeMs>, edge: Option<TimeMs>) -> Option<i64> {
    Some(edge?.since(below?).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_a_sink_from_others_and_its_notes_from_those_of_sessions() {
        assert_eq!(checked(["click_house", "kafka-2"]), Ok(()));
        assert_eq!(checked(["a", "a"]), Err(SinkName::Twice("a".into())));
        for odd in ["", "a/b", "a b", &"x".repeat(65)] {
            assert_eq!(checked([odd]), Err(SinkName::Odd(odd.into())));
        }
        let note = note("pipe", "book/BTC/5".parse().unwrap());
        assert_eq!(note, "sink/pipe/book/BTC/5/position");
    }
}
