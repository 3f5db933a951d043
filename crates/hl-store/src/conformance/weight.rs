use hl_core::TimeMs;
use hl_core::store::Reservation;
use proptest::prelude::prop;
use proptest::test_runner::{Config, TestRunner};

use super::New;
use super::fixture::run;

/// In no window of 60 s is more than the ceiling booked, and whoever is told to wait gets in at that time.
pub fn no_window_exceeds_the_weight_ceiling(new: New<'_>) {
    const CEILING: u32 = 100;
    let wishes = prop::collection::vec((0_i64..30_000, 1_u32..=CEILING), 1..30);
    TestRunner::new(Config::with_cases(12))
        .run(&wishes, |wishes| {
            let subject = new();
            run(async {
                let sessions = [subject.open().await.unwrap(), subject.open().await.unwrap()];
                let mut now = TimeMs(1_700_000_000_000);
                let mut booked: Vec<(TimeMs, u32)> = Vec::new();
                for (at, &(pause, weight)) in wishes.iter().enumerate() {
                    now = now + pause;
                    let store = &sessions[at % 2];
                    let ask = |now| store.reserve("192.0.2.1", now, weight, CEILING);
                    if let Reservation::RetryAt(later) = ask(now).await.unwrap() {
                        assert!(later > now && later <= now + 60_000);
                        let before = ask(later - 1).await.unwrap();
                        assert_eq!(before, Reservation::RetryAt(later), "it is the first time that fits");
                        assert_eq!(ask(later).await.unwrap(), Reservation::Granted);
                        now = later;
                    }
                    booked.push((now, weight));
                }
                for (from, _) in &booked {
                    let window = booked.iter().filter(|(at, _)| at >= from && at.since(*from) < 60_000);
                    assert!(window.map(|(_, weight)| weight).sum::<u32>() <= CEILING);
                }
                // What an answer turned out to cost is booked in any case; another address has its own window.
                let store = &sessions[0];
                let ask = |address, ceiling| store.reserve(address, now, 60, ceiling);
                assert_eq!(ask("192.0.2.1", u32::MAX).await.unwrap(), Reservation::Granted);
                assert_eq!(ask("192.0.2.1", u32::MAX).await.unwrap(), Reservation::Granted);
                assert!(matches!(ask("192.0.2.1", CEILING).await.unwrap(), Reservation::RetryAt(_)));
                assert_eq!(ask("192.0.2.2", CEILING).await.unwrap(), Reservation::Granted);
                // What never fits is asked for again when everything has left the window.
                let never = store.reserve("192.0.2.3", now, CEILING + 1, CEILING).await.unwrap();
                assert_eq!(never, Reservation::RetryAt(now + 60_000));
            });
            Ok(())
        })
        .unwrap();
}
