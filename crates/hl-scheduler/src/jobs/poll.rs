use std::sync::Arc;
use std::time::Duration;

use hl_core::seam::BoxFuture;
use hl_core::source::Polled;
use hl_core::stream::KindSpec;
use hl_core::{Kind, SourceId};
use tokio::time::Instant;

use crate::Job;

/// The fallback jobs, by id: one or more kinds have the same. The ids are those that users of scheduled collectors know.
#[must_use]
pub fn fallbacks() -> Vec<&'static str> {
    let mut jobs: Vec<&'static str> = Vec::new();
    let is_polled = |spec: &&KindSpec| spec.live && spec.fallback == SourceId::Rest;
    for spec in Kind::ALL.into_iter().map(Kind::spec).filter(is_polled) {
        if !jobs.contains(&spec.job) {
            jobs.push(spec.job);
        }
    }
    jobs
}

/// A fallback: polls the streams of its kinds that REST owns.
pub struct Poll {
    id: &'static str,
    source: Arc<dyn Polled>,
    zero: Instant,
}

impl Poll {
    /// The fallback `id` on a source whose monotonic clock began at `zero`.
    #[must_use]
    pub fn new(id: &'static str, source: Arc<dyn Polled>, zero: Instant) -> Self {
        Self { id, source, zero }
    }
}

impl Job for Poll {
    fn id(&self) -> &'static str {
        self.id
    }

    fn next_due(&self) -> Option<Instant> {
        let due = self.source.next_due(self.id)?;
        Some(self.zero + Duration::from_millis(u64::try_from(due).unwrap_or(0)))
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Failures were reported where they happened, with their cause.
            self.source.poll(self.id).await;
        })
    }
}
