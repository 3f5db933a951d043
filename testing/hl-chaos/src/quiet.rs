//! Fair weather for long: whatever the monitor says then is a false alarm.

use std::time::Duration;

use hl_monitor::AlertChange;
use serde::Serialize;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::sleep;

use crate::{ChaosError, Market, START, Trace, World};

const HOUR: Duration = Duration::from_secs(3_600);
/// The exchange knows its past for so long, ms.
const RETENTION_MS: i64 = 3 * 3_600_000;

/// What came of a quiet run.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Quiet {
    /// The seed.
    pub seed: u64,
    /// Simulated hours.
    pub hours: u64,
    /// Frames that the exchange sent.
    pub frames: u64,
    /// Live claims that moved after the first minute.
    pub handovers: u64,
    /// Every alert that rose, and when, ms after the start.
    pub alerts: Vec<String>,
}

/// Lets one daemon collect a market for so many hours without a fault, and calls `progress` after each. Must be called
/// inside a runtime of one thread with a paused clock, alone in it.
///
/// # Errors
/// When no world could be made, or the daemon does not end in good order.
pub async fn quiet(
    market: &Market,
    seed: u64,
    hours: u64,
    progress: &dyn Fn(u64),
) -> Result<Quiet, ChaosError> {
    let mut config = market.config(seed);
    config.retention_ms = RETENTION_MS;
    let world = World::with(config, Trace::new(false)).await?;
    let daemon = world.daemon(&market.streams).await?;
    let mut changes = daemon.engine.alerts();
    let mut out = Quiet { seed, hours, ..Quiet::default() };
    sleep(HOUR / 60).await;
    let first = daemon.engine.snapshot().handovers;
    for hour in 0..hours {
        sleep(HOUR).await;
        progress(hour + 1);
        loop {
            match changes.try_recv() {
                Ok(AlertChange::Raised(alert)) => {
                    let at = alert.raised.since(START);
                    out.alerts.push(format!(
                        "{at} {} {}: {}",
                        alert.kind.as_str(),
                        alert.subject,
                        alert.words
                    ));
                }
                Ok(AlertChange::Still(_) | AlertChange::Resolved(_)) => {}
                Err(TryRecvError::Lagged(missed)) => {
                    out.alerts.push(format!("{missed} changes went by unseen"))
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
    }
    out.handovers = daemon.engine.snapshot().handovers - first;
    out.frames = world.sim.status().counters.frames_sent;
    daemon.stop().await?;
    Ok(out)
}
