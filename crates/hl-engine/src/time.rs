//! Asks the exchange what time it is, where what came is not enough to know it, or says nothing of whether it goes on.

use std::sync::Arc;
use std::time::Duration;

use hl_collectors::rest::InfoClient;
use hl_core::seam::stopped;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::wanted::Wanted;

/// How often it is looked whether there is a question.
const EVERY: Duration = Duration::from_millis(500);
/// How long an answer may take, the wait for request weight included.
const LIMIT: Duration = Duration::from_secs(5);

/// Looks until `stop` turns true.
pub(crate) async fn ask(client: Arc<InfoClient>, wanted: Arc<Wanted>, mut stop: watch::Receiver<bool>) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = every.tick() => {}
        }
        if !client.mono().asks(wanted.has_timeless()) {
            continue;
        }
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            answer = tokio::time::timeout(LIMIT, client.ask_time(LIMIT)) => match answer {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "the exchange does not say what time it is"),
                Err(_) => debug!(after = ?LIMIT, "the exchange does not say what time it is"),
            },
        }
    }
}
