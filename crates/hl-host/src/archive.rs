//! The job that moves old rows to the archive, and when it is planned.

use std::path::PathBuf;
use std::sync::Arc;

use hl_archive::{Archiver, DayDone, Due, Files, Retention, due};
use hl_core::TimeMs;
use hl_core::seam::{BoxFuture, Clock};
use hl_core::store::{Store, StoreError};
use hl_scheduler::jobs::ARCHIVE_ALL_COLLECTIONS;
use hl_scheduler::plan::{Retry, Spec, Trigger};
use hl_scheduler::{Done, Task, TaskError};
use hl_store::Writer;
use tracing::{info, warn};

use crate::StoreUri;
use crate::stores::{self, Signed};

/// Half an hour after midnight, when nothing more comes of the day before.
const USUAL: &str = "0 30 0 * * *";

/// When the job is planned: as said, else daily at 00:30 UTC.
#[must_use]
pub fn spec(said: Option<Trigger>) -> Option<Spec> {
    let trigger = match said {
        Some(said) => said,
        None => USUAL.parse().ok()?,
    };
    Some(Spec {
        limit_ms: 6 * 3_600_000,
        jitter_ms: 60_000,
        retry: Retry { attempts: 3, first_ms: 300_000, longest_ms: 1_800_000 },
        ..Spec::new(ARCHIVE_ALL_COLLECTIONS, trigger)
    })
}

/// Moves what is due, in a session of its own: the one that collects goes on writing meanwhile.
pub struct ArchiveAll {
    /// The session that collects, which is asked what is due.
    pub store: Arc<dyn Store>,
    /// The store.
    pub uri: StoreUri,
    /// What its session is called in the store: the program, and that it archives.
    pub role: String,
    /// What this machine is called.
    pub name: String,
    /// The folder of the archive.
    pub folder: PathBuf,
    /// How long rows stay.
    pub retention: Retention,
    /// The clock of its session.
    pub clock: Arc<dyn Clock>,
}

fn of_store(source: StoreError) -> TaskError {
    TaskError { step: "archiving", source: Box::new(source) }
}

impl ArchiveAll {
    async fn run(&self, planned: TimeMs) -> Result<Done, TaskError> {
        let days = due(self.store.as_ref(), &self.retention, planned).await.map_err(of_store)?;
        if days.is_empty() {
            return Ok(Done::default());
        }
        let signed = Signed { role: &self.role, name: &self.name };
        let session = stores::open(&self.uri, signed, &self.clock).await.map_err(of_store)?;
        let moved = self.all(session.as_ref(), &days).await;
        let closed = session.close().await;
        let rows = moved?;
        closed.map_err(of_store)?;
        Ok(Done { rows, weight: 0 })
    }

    /// Moves every day; what one day fails at does not keep the others.
    async fn all(&self, session: &dyn Store, days: &[Due]) -> Result<u64, TaskError> {
        let files = Files::new(&self.folder);
        let archiver = Archiver::new(session, files, Writer::Thread, self.clock.clone()).await;
        let archiver = archiver.map_err(of_store)?;
        let (mut all, mut failed) = (DayDone::default(), None);
        for &day in days {
            match archiver.archive(day, &|_| ()).await {
                Ok(done) => all.add(done),
                Err(error) => {
                    warn!(stream = %day.stream, day = %day.day, %error, "a day could not be archived");
                    failed = Some(error);
                }
            }
        }
        let DayDone { parts, archived, bytes, deleted, aside, .. } = all;
        info!(days = days.len(), parts, archived, bytes, deleted, aside, stay = all.kept(), "archived");
        match failed {
            Some(error) => Err(TaskError { step: "archiving", source: Box::new(error) }),
            None => Ok(archived + all.doubled + deleted),
        }
    }
}

impl Task for ArchiveAll {
    fn run(&self, planned: TimeMs) -> BoxFuture<'_, Result<Done, TaskError>> {
        Box::pin(self.run(planned))
    }
}
