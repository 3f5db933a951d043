//! The record of a copy, which the target keeps: from where, and how far.

use hl_core::store::{Notes, StoreError};
use hl_core::{StreamKey, TimeMs, Token};
use serde::{Deserialize, Serialize};

use super::{Cell, Section};

/// The note that holds the record.
pub const NOTE: &str = "copy";

/// How far a copy is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Where it comes from, as its owner named it, without credentials.
    pub source: String,
    /// The last token of the source when it began: whoever writes there takes a further one.
    pub token: Token,
    /// When it began, ms.
    pub begun: TimeMs,
    /// When it was finished and found to be equal, ms.
    pub finished: Option<TimeMs>,
    /// Items written so far.
    pub items: u64,
    /// Which section is at work, by its number among those of [`sections`].
    section: usize,
    /// The last item of it that is written.
    after: Option<Vec<Cell>>,
}

impl Progress {
    /// Nothing is copied yet.
    pub(super) fn begun(source: String, token: Token, now: TimeMs) -> Self {
        Self { source, token, begun: now, finished: None, items: 0, section: 0, after: None }
    }

    /// The section at work, and where to go on in it; none where all is copied.
    pub(super) fn place<'a>(&'a self, all: &[Section]) -> Option<(Section, Option<&'a [Cell]>)> {
        all.get(self.section).map(|section| (*section, self.after.as_deref()))
    }

    /// With a page of so many items more.
    pub(super) fn with(&self, items: usize, last: Option<Vec<Cell>>) -> Self {
        Self { items: self.items + items as u64, after: last, ..self.clone() }
    }

    /// At the beginning of the next section.
    pub(super) fn at_next_section(&self) -> Self {
        Self { section: self.section + 1, after: None, ..self.clone() }
    }

    /// Finished, unless it was before.
    pub(super) fn finished_at(&self, now: TimeMs) -> Self {
        Self { finished: self.finished.or(Some(now)), ..self.clone() }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// What a source holds, in the order in which it is copied: the rows first, and the edges last, so that nobody takes a
/// half-copied stream for a whole one.
pub(super) fn sections(mut streams: Vec<StreamKey>) -> Vec<Section> {
    streams.sort_by_cached_key(ToString::to_string);
    streams.into_iter().map(Section::Rows).chain(Section::LEDGER).collect()
}

/// The copy into this store that is not finished, where there is one: nobody may collect into it.
///
/// # Errors
/// As the store says.
pub async fn unfinished(store: &dyn Notes) -> Result<Option<Progress>, StoreError> {
    let note = store.note(NOTE).await?;
    Ok(note.and_then(|text| Progress::parse(&text)).filter(|progress| progress.finished.is_none()))
}
