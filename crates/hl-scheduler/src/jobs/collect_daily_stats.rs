use std::sync::Arc;

use hl_core::TimeMs;
use hl_core::decode::statistics::{Reader, StatisticsError};
use hl_core::seam::BoxFuture;
use hl_core::source::{FetchError, Files};
use hl_core::statistics::{Figure, SERIES, Series, Shape};
use hl_core::store::{Statistics, StoreError};
use hl_core::time::DAY_MS;
use tracing::{debug, warn};

use crate::plan::{Retry, Spec, Trigger};
use crate::{Done, Task, TaskError};

/// The files are renewed once a day, at no hour that anybody has promised.
const PLAN: &str = "0 40 6 * * *";
/// So many figures are written at a time.
const BATCH: usize = 2_000;

/// Reads the files of daily statistics, and stores the days that are new: whole days only, since a day that goes on
/// changes. What the exchange adds later to a day that was read is not seen.
pub struct CollectDailyStats {
    store: Arc<dyn Statistics>,
    files: Arc<dyn Files>,
    exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
}

#[derive(Debug, thiserror::Error)]
#[error("{series}: {problem}")]
struct SeriesError {
    series: &'static str,
    #[source]
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the file is not what it should be: {0}")]
    Content(#[from] StatisticsError),
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

impl CollectDailyStats {
    /// Its id, which users of scheduled collectors know.
    pub const ID: &'static str = "collect_daily_stats";

    /// A task that reads `files`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Statistics>,
        files: Arc<dyn Files>,
        exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
    ) -> Self {
        Self { store, files, exchange_now }
    }

    /// How it runs where nothing else is said: daily.
    #[must_use]
    pub fn spec(trigger: Option<Trigger>) -> Option<Spec> {
        let trigger = trigger.or_else(|| PLAN.parse().ok())?;
        Some(Spec {
            grace_ms: 12 * 3_600_000,
            limit_ms: 3_600_000,
            jitter_ms: 600_000,
            retry: Retry { attempts: 4, first_ms: 300_000, longest_ms: 3_600_000 },
            ..Spec::new(Self::ID, trigger)
        })
    }

    /// Reads one file, unless its last whole day is stored already. Returns how many figures are new.
    async fn collect(&self, series: Series) -> Result<u64, Problem> {
        let now = (self.exchange_now)();
        let today = now.floor(DAY_MS);
        // Tables say how it stands today, series what was until yesterday.
        let newest = match series.shape {
            Shape::Top => today,
            Shape::Days => today - DAY_MS,
        };
        let stored = self.store.statistics_through(series.name).await?;
        if stored.is_some_and(|stored| stored >= newest) {
            debug!(series = series.name, "nothing new can be in the file");
            return Ok(0);
        }
        let is_new = |day: TimeMs| day <= newest && stored.is_none_or(|stored| day > stored);
        let mut pieces = self.files.open(series.name).await?;
        let mut reader = Reader::new(series.shape, today);
        let (mut figures, mut last, mut rows) = (Vec::new(), stored, 0);
        while let Some(piece) = pieces.next().await? {
            let before = figures.len();
            reader.push(&piece, &mut figures)?;
            last = keep(&mut figures, before, is_new).max(last);
            if figures.len() >= BATCH {
                rows += self.store.put_statistics(series.name, std::mem::take(&mut figures), None).await?;
            }
        }
        let before = figures.len();
        reader.end(&mut figures)?;
        last = keep(&mut figures, before, is_new).max(last);
        // Of a table that is empty today there is nothing more to be had today.
        let through = if series.shape == Shape::Top { Some(today) } else { last };
        Ok(rows + self.store.put_statistics(series.name, figures, through).await?)
    }
}

/// Drops those figures from `from` on that are not new; the newest day of those that stay.
fn keep(figures: &mut Vec<Figure>, from: usize, is_new: impl Fn(TimeMs) -> bool) -> Option<TimeMs> {
    let new: Vec<_> = figures.drain(from..).filter(|figure| is_new(figure.day)).collect();
    let newest = new.iter().map(|figure| figure.day).max();
    figures.extend(new);
    newest
}

impl Task for CollectDailyStats {
    fn run(&self, _: TimeMs) -> BoxFuture<'_, Result<Done, TaskError>> {
        Box::pin(async {
            let (mut rows, mut failed) = (0, None);
            for series in SERIES {
                // What one file fails at is not the fault of the others; those that were read are not read again.
                match self.collect(series).await {
                    Ok(new) => rows += new,
                    Err(problem) => {
                        let error = SeriesError { series: series.name, problem };
                        warn!(%error, "statistics could not be read");
                        failed = Some(error);
                    }
                }
            }
            match failed {
                Some(error) => Err(TaskError { step: "reading daily statistics", source: Box::new(error) }),
                None => Ok(Done { rows, weight: 0 }),
            }
        })
    }
}
