//! When final bars are audited.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hl_core::ledger::{Cause, Span};
use hl_core::past::Page;
use hl_core::seam::{BoxFuture, Clock as _};
use hl_core::source::{FetchError, Past};
use hl_core::{Coin, Interval, StreamKey, TimeMs};
use hl_runtime::TokioClock;
use hl_scheduler::Job as _;
use hl_scheduler::jobs::AuditBars;
use tokio::time::Instant;

/// Notes what it is asked for, and has nothing.
#[derive(Default)]
struct Asked(Mutex<Vec<(Instant, StreamKey)>>);

impl Past for Asked {
    fn page(&self, stream: StreamKey, _: Span, _: u32) -> BoxFuture<'_, Result<Page, FetchError>> {
        self.0.lock().unwrap().push((Instant::now(), stream));
        Box::pin(async move {
            match stream.coin().map(Coin::as_str) {
                Some("SOL") => {
                    Err(FetchError { step: "asking", reason: "told to".to_owned(), cause: Cause::Refused })
                }
                _ => Ok(Page::nothing(None)),
            }
        })
    }
}

/// A process that ends every few minutes has looked at every stream before it does.
#[tokio::test(start_paused = true)]
async fn the_first_round_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TokioClock::starting_at(TimeMs(1_790_000_000_000));
    let store = common::open(&folder, clock).await;
    let streams: Vec<_> = ["BTC", "ETH", "SOL", "HYPE"]
        .map(|coin| StreamKey::Candle(Coin::new(coin).unwrap(), Interval::M1))
        .into();
    let asked = Arc::new(Asked::default());
    let of_job = streams.clone();
    let audit = AuditBars::new(
        Arc::new(store),
        asked.clone(),
        Box::new(move || of_job.clone()),
        Box::new(move || clock.now()),
        Box::new(|_, _| ()),
    );
    let begun = Instant::now();
    for _ in 0..2 * streams.len() {
        tokio::time::sleep_until(audit.next_due().unwrap()).await;
        audit.run().await;
    }
    let asked = asked.0.lock().unwrap();
    let round = |n: usize| &asked[n * streams.len()..(n + 1) * streams.len()];
    for n in [0, 1] {
        assert_eq!(round(n).iter().map(|(_, stream)| *stream).collect::<BTreeSet<_>>().len(), streams.len());
    }
    let after = |at: usize| asked[at].0.duration_since(begun);
    assert!(after(3) <= Duration::from_secs(240), "the first round: {:?}", after(3));
    assert!(
        after(7) - after(3) >= Duration::from_secs(450),
        "no hurry afterwards: {:?}",
        after(7) - after(3)
    );
}

/// Bars that can never be read cost the budget ever less, and the others keep their turn.
#[tokio::test(start_paused = true)]
async fn bars_that_fail_for_ever_are_asked_for_ever_less_often_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TokioClock::starting_at(TimeMs(1_790_000_000_000));
    let store = common::open(&folder, clock).await;
    let of = |coin: &str| StreamKey::Candle(Coin::new(coin).unwrap(), Interval::M1);
    let asked = Arc::new(Asked::default());
    let audit = AuditBars::new(
        Arc::new(store),
        asked.clone(),
        Box::new(move || vec![of("BTC"), of("SOL")]),
        Box::new(move || clock.now()),
        Box::new(|_, _| ()),
    );
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(86_400) {
        tokio::time::sleep_until(audit.next_due().unwrap()).await;
        audit.run().await;
    }
    let asked = asked.0.lock().unwrap();
    let count = |coin: &str| asked.iter().filter(|(_, stream)| *stream == of(coin)).count();
    assert!((20..40).contains(&count("SOL")), "{}", count("SOL"));
    assert!(count("BTC") > 140, "{}", count("BTC"));
    let failing = audit.failing().unwrap();
    assert!(failing.times as usize == count("SOL") && failing.words.contains("candle/SOL/1m"), "{failing:?}");
}
