//! Request weight over time, in virtual time on a real store: when it is booked, and when it leaves the window.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::rest::{Urgency, Weights};
use hl_core::TimeMs;
use hl_runtime::TokioClock;
use hl_store::{SqliteOptions, SqliteStore, Writer};
use tokio::time::{Instant, advance};

/// What the store takes for a request, ms.
const DELAY_MS: u64 = 1;
const MINUTE: Duration = Duration::from_secs(60);

async fn weights(folder: &tempfile::TempDir) -> Weights {
    let clock = Arc::new(TokioClock::starting_at(TimeMs(1_790_000_000_000)));
    let store = SqliteStore::open(SqliteOptions {
        path: folder.path().join("weights.db"),
        role: "test".into(),
        host: "test".into(),
        pid: std::process::id(),
        writer: Writer::Inline { delay_ms: DELAY_MS },
        clock: clock.clone(),
    });
    let store = Arc::new(store.await.unwrap());
    Weights::new(store, "sim".into(), MonoClock::new(clock.clone()), clock)
}

#[tokio::test(start_paused = true)]
async fn what_was_booked_counts_for_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let weights = weights(&folder).await;
    assert_eq!(weights.used(), 0);
    assert!(weights.take(20, Urgency::Live, Duration::ZERO).await);
    advance(MINUTE / 2).await;
    assert!(weights.take(30, Urgency::Live, Duration::ZERO).await);
    assert_eq!(weights.used(), 50);
    advance(MINUTE / 2 - Duration::from_millis(DELAY_MS + 1)).await;
    assert_eq!(weights.used(), 50, "a millisecond before");
    advance(Duration::from_millis(1)).await;
    assert_eq!(weights.used(), 30);
    advance(MINUTE).await;
    assert_eq!(weights.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_long_enough_gets_in_as_soon_as_there_is_room() {
    for (short_ms, expected) in [(0, true), (1, false)] {
        let folder = tempfile::tempdir().unwrap();
        let weights = weights(&folder).await;
        let ceiling = Urgency::Backfill.ceiling();
        assert!(weights.take(40, Urgency::Backfill, Duration::ZERO).await);
        let booked = Instant::now();
        advance(Duration::from_secs(10)).await;
        assert!(weights.take(ceiling - 40, Urgency::Backfill, Duration::ZERO).await, "up to the ceiling");

        // The first booking has to leave: it makes room for as much as it weighed.
        let limit = booked + MINUTE - Instant::now() - Duration::from_millis(short_ms);
        let asked = Instant::now();
        assert_eq!(weights.take(40, Urgency::Backfill, limit).await, expected, "{short_ms} ms too short");
        if expected {
            assert_eq!(booked.elapsed(), MINUTE + Duration::from_millis(DELAY_MS));
            assert_eq!(weights.used(), ceiling);
            // And one more has to wait for the second, with or without the third.
            assert!(weights.take(1, Urgency::Backfill, MINUTE).await);
            let second = booked + Duration::from_secs(10) + Duration::from_millis(DELAY_MS);
            assert_eq!(Instant::now() - second, MINUTE + Duration::from_millis(DELAY_MS));
        } else {
            assert_eq!(asked.elapsed(), Duration::ZERO, "it is said at once");
        }
    }
}
