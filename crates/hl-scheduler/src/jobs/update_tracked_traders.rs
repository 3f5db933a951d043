use std::collections::BTreeSet;

use hl_core::record::{Address, Leader, Trader};
use hl_core::row::fields::time_text;
use hl_core::seam::BoxFuture;
use hl_core::store::StoreError;
use hl_core::time::DAY_MS;
use hl_core::{Kind, Origin, Records, StreamKey, TimeMs};
use hl_traders::{Rules, Selection};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::FetchLeaderboard;
use super::snapshot::{Snapshot, SnapshotError, Snapshots};
use crate::plan::{JobId, Retry, Spec, Trigger};
use crate::{Done, Task, TaskError};

/// Half an hour after the leaderboard.
const PLAN: &str = "0 50 6 * * *";

/// The file is renewed once a day: one that is read so much later is another one, ms.
const CONFIRMED_AFTER_MS: i64 = DAY_MS / 2;
/// The note of a leaderboard that was too short to be believed.
const REFUSED: &str = "leaderboard/refused";

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Refused {
    time: TimeMs,
    rows: u64,
}

/// Chooses whom to track from the last leaderboard that is stored.
pub struct UpdateTrackedTraders {
    snapshots: Snapshots,
    rules: Rules,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("no leaderboard is stored; {} reads one", FetchLeaderboard::ID)]
    NoLeaderboard,
    #[error(
        "the last leaderboard, of {}, has {rows} rows, and the one that the last choice was made from had {before}: the \
         choice stays until the leaderboard of another day confirms it", time_text(*.time)
    )]
    TooShort { time: TimeMs, rows: u64, before: u64 },
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl UpdateTrackedTraders {
    /// Its id, which users of scheduled collectors know.
    pub const ID: &'static str = Kind::Traders.spec().job;

    /// A task that chooses by these rules, from what is stored where the choice is.
    #[must_use]
    pub fn new(snapshots: Snapshots, rules: Rules) -> Self {
        Self { snapshots, rules }
    }

    /// How it runs where nothing else is said: daily after the leaderboard, and at once where it never succeeded.
    #[must_use]
    pub fn spec(trigger: Option<Trigger>) -> Option<Spec> {
        let trigger = trigger.or_else(|| PLAN.parse().ok())?;
        Some(Spec {
            id: JobId::new(Self::ID),
            grace_ms: DAY_MS,
            limit_ms: 600_000,
            retry: Retry { attempts: 3, first_ms: 60_000, longest_ms: 600_000 },
            after: vec![JobId::new(FetchLeaderboard::ID)],
            first_at_once: true,
            ..Spec::new(Self::ID, trigger)
        })
    }

    /// Whether one that came since the last choice was refused and was as short; else this one is kept in mind.
    async fn is_confirmed(
        &self,
        chosen_from: Option<TimeMs>,
        time: TimeMs,
        rows: u64,
    ) -> Result<bool, StoreError> {
        let refused = self.snapshots.store.note(REFUSED).await?;
        let refused = refused.and_then(|text| serde_json::from_str::<Refused>(&text).ok());
        let refused = refused.filter(|refused| chosen_from < Some(refused.time));
        // The same file, read once more, confirms nothing.
        let is_another = |refused: &Refused| time.since(refused.time) >= CONFIRMED_AFTER_MS;
        if refused.is_some_and(|refused| is_another(&refused) && rows * 2 >= refused.rows) {
            return Ok(true);
        }
        if refused.is_none()
            && let Ok(text) = serde_json::to_string(&Refused { time, rows })
        {
            self.snapshots.store.put_note(REFUSED, &text).await?;
        }
        Ok(false)
    }

    async fn choose(&self) -> Result<u64, Problem> {
        let leaderboard = self.snapshots.store.settled(StreamKey::Leaderboard).await?;
        let snapshot = leaderboard.edge.ok_or(Problem::NoLeaderboard)?;
        // Rows of it may be missing that could not be read.
        let is_whole = leaderboard.unfilled.iter().all(|gap| gap.to != snapshot);
        let (mut before, mut chosen_from) = (BTreeSet::<Address>::new(), None);
        if let Some(last) = self.snapshots.store.settled(StreamKey::Traders).await?.edge {
            self.snapshots
                .each(StreamKey::Traders, last, |trader: &Trader| {
                    chosen_from = Some(trader.snapshot_time);
                    if trader.is_tracked() {
                        before.insert(trader.user);
                    }
                })
                .await?;
        }
        let rows_before = match chosen_from.filter(|from| *from != snapshot) {
            Some(from) => self.snapshots.each(StreamKey::Leaderboard, from, |_: &Leader| {}).await?,
            None => 0,
        };
        let mut selection = Selection::new(&self.rules, before);
        let rows =
            self.snapshots.each(StreamKey::Leaderboard, snapshot, |leader| selection.see(leader)).await?;
        if rows * 2 < rows_before && !self.is_confirmed(chosen_from, snapshot, rows).await? {
            return Err(Problem::TooShort { time: snapshot, rows, before: rows_before });
        }
        let time = self.snapshots.now()?;
        let age_ms = time.since(snapshot);
        if age_ms > Kind::Leaderboard.spec().hole_ms {
            warn!(
                days = age_ms / DAY_MS,
                "the last leaderboard is old; {} reads a new one",
                FetchLeaderboard::ID
            );
        }
        let traders = selection.finish(time, snapshot, is_whole);
        let tracked = traders.iter().filter(|trader| trader.is_tracked()).count();
        let (stream, origin) = (StreamKey::Traders, Origin::Derived);
        let dropped = traders.len() - tracked;
        let rows = vec![Records::Traders(traders)];
        let choice = Snapshot { stream, origin, time, rows, lacks: None };
        let stored = self.snapshots.put(choice).await?;
        info!(tracked, dropped, "tracked traders chosen");
        Ok(stored)
    }
}

impl Task for UpdateTrackedTraders {
    fn run(&self, _: TimeMs) -> BoxFuture<'_, Result<Done, TaskError>> {
        Box::pin(async {
            match self.choose().await {
                Ok(rows) => Ok(Done { rows, weight: 0 }),
                Err(problem) => Err(TaskError { step: "choosing whom to track", source: Box::new(problem) }),
            }
        })
    }
}
