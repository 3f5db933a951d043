//! What the pipeline tells its owner.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::store::StoreError;
use hl_core::{Epoch, RunId, StreamKey};

/// What the pipeline reports to its owner.
#[derive(Debug)]
pub enum PipelineEvent {
    /// Another process holds the stream's lease by now.
    Superseded(StreamKey),
    /// Everything of a stream that was released is committed: its lease can be given back.
    Released(StreamKey),
    /// The store will not get better by itself: collecting on makes no sense.
    Failed(StoreError),
    /// A witness saw that the run missed something.
    Missed {
        /// The stream.
        stream: StreamKey,
        /// The run: the one that owns it, or its standby.
        run: RunId,
    },
    /// The requests of a stream's owner begin to fail, or are answered again.
    Answers {
        /// The stream.
        stream: StreamKey,
        /// The claim that they are made under.
        epoch: Epoch,
        /// Whether they fail.
        fail: bool,
    },
    /// Gaps were opened that a backfill may fill.
    GapsOpened,
}

/// What the owner is still to be told: the reader never waits for it. Said twice it is told once, so there is at most one
/// report a stream.
#[derive(Debug, Default)]
pub(super) struct Untold {
    superseded: BTreeSet<StreamKey>,
    answers: BTreeMap<StreamKey, (Epoch, bool)>,
    gaps_opened: bool,
    failed: Option<StoreError>,
}

impl Untold {
    pub(super) fn superseded(&mut self, stream: StreamKey) {
        self.superseded.insert(stream);
    }

    pub(super) fn answers(&mut self, stream: StreamKey, epoch: Epoch, fail: bool) {
        self.answers.insert(stream, (epoch, fail));
    }

    pub(super) fn gaps_opened(&mut self) {
        self.gaps_opened = true;
    }

    pub(super) fn failed(&mut self, error: StoreError) {
        self.failed.get_or_insert(error);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.superseded.is_empty() && self.answers.is_empty() && !self.gaps_opened && self.failed.is_none()
    }

    pub(super) fn next(&mut self) -> Option<PipelineEvent> {
        if let Some(stream) = self.superseded.pop_first() {
            return Some(PipelineEvent::Superseded(stream));
        }
        if let Some((stream, (epoch, fail))) = self.answers.pop_first() {
            return Some(PipelineEvent::Answers { stream, epoch, fail });
        }
        if std::mem::take(&mut self.gaps_opened) {
            return Some(PipelineEvent::GapsOpened);
        }
        self.failed.take().map(PipelineEvent::Failed)
    }
}
