//! Whether a coin or a dex is listed, asked before anything is subscribed anew: one name that the exchange has not ends the socket of
//! all others, without a word (PROTOCOL section 0, point 5).
//!
//! The lists are not read here: the task that follows them reads them. Where no task follows them, or the answer takes too
//! long, what was known serves.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::StreamKey;
use hl_core::stream::Owner;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

/// What was read within this time serves sockets that come back one after another. The lists are read no more often.
pub const FRESH_FOR: Duration = Duration::from_secs(10);
/// A socket waits no longer for the lists before it subscribes: trades are missed meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// What is not urgent waits no longer: one reading may just have begun, and the next has to wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the lists said the last time.
#[derive(Debug, Default)]
struct Known {
    /// Coins and dexes that were listed, and are not now.
    unlisted: BTreeSet<Owner>,
    /// When it was read; none where no task follows the lists.
    read: Option<Instant>,
    version: u64,
}

/// What is known of the lists, and how to ask for more. See the [module](self).
#[derive(Debug)]
pub struct Listings {
    known: Mutex<Known>,
    asked: Notify,
    answers: watch::Sender<u64>,
}

impl Default for Listings {
    fn default() -> Self {
        Self { known: Mutex::default(), asked: Notify::new(), answers: watch::Sender::new(0) }
    }
}

impl Listings {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the lists have just been read, for a second at most. Safe to drop.
    pub async fn fresh(&self) {
        let now = Instant::now();
        self.read_since(now.checked_sub(FRESH_FOR).unwrap_or(now), LONGEST_WAIT).await;
    }

    /// Waits until the lists have been read once more, some seconds at most. Safe to drop.
    pub async fn again(&self) {
        self.read_since(Instant::now(), PATIENCE).await;
    }

    async fn read_since(&self, since: Instant, limit: Duration) {
        let mut answers = self.answers.subscribe();
        let read = async {
            while self.lock().read.is_some_and(|read| read <= since) {
                self.asked.notify_one();
                if answers.changed().await.is_err() {
                    break;
                }
            }
        };
        // Late: what was known serves.
        let _ = timeout(limit, read).await;
    }

    /// Ends when a socket or a stream waits for the lists to be read. Safe to drop.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// The lists were read from `asked` on, as far as they could be: these were listed, and are not now. Returns whether they
    /// are others than before.
    pub(super) fn answer(&self, asked: Instant, unlisted: BTreeSet<Owner>) -> bool {
        let mut known = self.lock();
        let changed = known.unlisted != unlisted;
        known.version += u64::from(changed);
        (known.unlisted, known.read) = (unlisted, Some(asked));
        drop(known);
        self.answers.send_modify(|answers| *answers += 1);
        changed
    }

    /// Whether the coin or the dex of a stream was listed, and is not now.
    pub fn lack(&self, stream: StreamKey) -> bool {
        self.lock().unlisted.contains(&stream.owner())
    }

    /// Another number where others are lacking.
    pub(super) fn version(&self) -> u64 {
        self.lock().version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_who_is_followed_waits_and_not_for_long() {
        let listings = Listings::default();
        let begun = Instant::now();
        listings.fresh().await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "no task follows the lists");
        let eth: StreamKey = "trades/ETH".parse().unwrap();
        assert!(listings.answer(begun, BTreeSet::from([eth.owner()])) && listings.lack(eth));
        listings.fresh().await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "they were just read");
        tokio::time::advance(FRESH_FOR).await;
        let follower = async || {
            listings.asked().await;
            tokio::time::advance(Duration::from_millis(1)).await;
            listings.answer(Instant::now(), BTreeSet::new());
        };
        tokio::join!(listings.fresh(), follower());
        assert!(!listings.lack(eth));
        let once = begun.elapsed();
        listings.fresh().await;
        assert_eq!(begun.elapsed(), once, "what was just read serves");
        tokio::join!(listings.again(), follower());
        assert_eq!(begun.elapsed(), once + Duration::from_millis(1), "but not who wants it once more");
        tokio::time::advance(FRESH_FOR).await;
        let before = begun.elapsed();
        listings.fresh().await;
        assert_eq!(begun.elapsed(), before + LONGEST_WAIT, "no answer");
    }
}
