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
                    let mut answer = ask(now).await.unwrap();
                    if let Reservation::RetryAt(later) = answer {
                        assert!(later > now && later <= now + 60_000);
                        let before = ask(later - 1).await.unwrap();
                        assert_eq!(before, Reservation::RetryAt(later), "it is the first time that fits");
                        answer = ask(later).await.unwrap();
                        now = later;
                    }
                    booked.push((now, weight));
                    assert_eq!(answer, Reservation::Granted { booked: held(&booked, now) });
                }
                for (from, _) in &booked {
                    let window = booked.iter().filter(|(at, _)| at >= from && at.since(*from) < 60_000);
                    assert!(window.map(|(_, weight)| weight).sum::<u32>() <= CEILING);
                }
                // Another address has its own window.
                let store = &sessions[0];
                let other = store.reserve("192.0.2.2", now, CEILING, CEILING).await.unwrap();
                assert_eq!(other, Reservation::Granted { booked: CEILING });
                // What never fits is asked for again when everything has left the window.
                let never = store.reserve("192.0.2.3", now, CEILING + 1, CEILING).await.unwrap();
                assert_eq!(never, Reservation::RetryAt(now + 60_000));
            });
            Ok(())
        })
        .unwrap();
}

/// What lies in the window at `now`.
fn held(booked: &[(TimeMs, u32)], now: TimeMs) -> u32 {
    booked.iter().filter(|(at, _)| now.since(*at) < 60_000).map(|(_, weight)| weight).sum()
}

/// What was spent without a reservation is booked whatever the window holds, at the times at which it was spent.
pub fn spent_weight_is_booked_late(new: New<'_>) {
    const CEILING: u32 = 100;
    let subject = new();
    run(async {
        let [one, other] = [subject.open().await.unwrap(), subject.open().await.unwrap()];
        let now = TimeMs(1_700_000_000_000);
        let ask = |now, weight| other.reserve("192.0.2.1", now, weight, CEILING);
        assert_eq!(ask(now, 70).await.unwrap(), Reservation::Granted { booked: 70 });
        // More than fits, and partly from before the last minute.
        let spent = [(now - 60_000, 90), (now - 40_000, 40), (now - 10_000, 20)];
        one.book_spent("192.0.2.1", &spent).await.unwrap();
        one.book_spent("192.0.2.1", &[]).await.unwrap();
        assert_eq!(ask(now, 30).await.unwrap(), Reservation::RetryAt(now + 50_000));
        assert_eq!(ask(now + 20_000 - 1, 10).await.unwrap(), Reservation::RetryAt(now + 20_000));
        assert_eq!(ask(now + 20_000, 10).await.unwrap(), Reservation::Granted { booked: 100 });
        let elsewhere = one.reserve("192.0.2.2", now, 1, CEILING).await.unwrap();
        assert_eq!(elsewhere, Reservation::Granted { booked: 1 });
    });
}
