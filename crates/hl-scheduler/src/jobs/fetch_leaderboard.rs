use std::sync::Arc;

use hl_core::decode::leaderboard::{LeaderboardError, Reader};
use hl_core::ledger::Cause;
use hl_core::seam::BoxFuture;
use hl_core::source::{FetchError, Files};
use hl_core::time::DAY_MS;
use hl_core::{Kind, Origin, Records, StreamKey, TimeMs};
use tracing::{info, warn};

use super::snapshot::{Snapshot, SnapshotError, Snapshots};
use crate::plan::{JobId, Retry, Spec, Trigger};
use crate::{Done, Task, TaskError};

/// The file is renewed once a day, at no hour that the exchange has promised.
const PLAN: &str = "0 20 6 * * *";
/// The name of the file.
const FILE: &str = "leaderboard";
/// So many rows go into one list, and no list is moved but where a single piece of the file has very many.
const LIST: usize = 2_048;

/// Reads the leaderboard row by row, and stores it as one snapshot.
pub struct FetchLeaderboard {
    snapshots: Snapshots,
    files: Arc<dyn Files>,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the file is not what it should be: {0}")]
    Content(#[from] LeaderboardError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl FetchLeaderboard {
    /// Its id, which users of scheduled collectors know.
    pub const ID: &'static str = Kind::Leaderboard.spec().job;

    /// A task that reads the file `leaderboard` of `files`.
    #[must_use]
    pub fn new(snapshots: Snapshots, files: Arc<dyn Files>) -> Self {
        Self { snapshots, files }
    }

    /// How it runs where nothing else is said: daily, and at once where it never succeeded.
    #[must_use]
    pub fn spec(trigger: Option<Trigger>) -> Option<Spec> {
        let trigger = trigger.or_else(|| PLAN.parse().ok())?;
        Some(Spec {
            id: JobId::new(Self::ID),
            // Until the next one: a daemon that starts late in the day reads it then.
            grace_ms: DAY_MS,
            limit_ms: 1_800_000,
            jitter_ms: 600_000,
            // For about seven hours.
            retry: Retry { attempts: 12, first_ms: 60_000, longest_ms: 3_600_000 },
            first_at_once: true,
            ..Spec::new(Self::ID, trigger)
        })
    }

    async fn fetch(&self) -> Result<u64, Problem> {
        let time = self.snapshots.now()?;
        let mut pieces = self.files.open(FILE).await?;
        let mut reader = Reader::new(time);
        let (mut rows, mut list) = (Vec::new(), Vec::with_capacity(LIST));
        while let Some(piece) = pieces.next().await? {
            reader.push(&piece, &mut list)?;
            if list.len() + 64 > LIST {
                let full = std::mem::replace(&mut list, Vec::with_capacity(LIST));
                rows.push(Records::Leaderboard(full));
            }
        }
        let tally = reader.end(&mut list)?;
        rows.push(Records::Leaderboard(list));
        if let Some(reason) = &tally.reason {
            warn!(unread = tally.unread, of = tally.rows + tally.unread, %reason, "rows of the leaderboard could not be read");
        }
        let snapshot = Snapshot {
            stream: StreamKey::Leaderboard,
            origin: Origin::Rest,
            time,
            rows,
            lacks: (tally.unread > 0).then_some(Cause::Undecodable),
        };
        let stored = self.snapshots.put(snapshot).await?;
        info!(traders = stored, twice = tally.twice, "leaderboard stored");
        Ok(stored)
    }
}

impl Task for FetchLeaderboard {
    fn run(&self, _: TimeMs) -> BoxFuture<'_, Result<Done, TaskError>> {
        Box::pin(async {
            match self.fetch().await {
                Ok(rows) => Ok(Done { rows, weight: 0 }),
                Err(problem) => Err(TaskError { step: "reading the leaderboard", source: Box::new(problem) }),
            }
        })
    }
}
