use hl_core::ledger::{Cause, Change, Span};
use hl_core::past::{FUNDING_MS, HOURLY_SINCE};
use hl_core::record::Book;
use hl_core::row::Arrival;
use hl_core::stream::BookVariant;
use hl_core::thinning::{BOOKS_NOTE, ThinnedBooks};
use hl_core::{Records, StreamKey, TimeMs};

use super::fixture::{
    bar, coin, commit, epoch, filled, holder, live, minutes, run, settlement, span, trade, trades,
};
use super::{New, Subject};

const MINUTE: i64 = 60_000;

async fn found(subject: &dyn Subject) -> Vec<(&'static str, String, u64)> {
    let audit = subject.inspect().await.unwrap().audit().await.unwrap();
    let words = |problem: crate::Problem| {
        assert!(!problem.example.is_empty());
        (problem.check, problem.stream.unwrap().to_string(), problem.count)
    };
    audit.problems.into_iter().map(words).collect()
}

/// A minute that is covered as a bar, and in which trades are stored, has a bar.
pub fn a_covered_minute_with_trades_has_its_bar(new: New<'_>) {
    let subject = new();
    run(async {
        let (bars, deals) = (minutes("BTC"), trades("BTC"));
        let store = holder(&*subject, &[bars, deals]).await;
        let claim = epoch(store.token(), 1);
        let at = |n: i64| n * MINUTE + 7;
        // Trades in minutes 1, 3, 4 and 6; nothing in 0, 2 and 5.
        let of_minutes = Records::Trades(
            [1, 3, 3, 4, 6].iter().zip(0..).map(|(n, tid)| trade("BTC", at(*n), tid)).collect(),
        );
        commit(&store, store.token(), deals, live(claim, of_minutes, span(0, at(6)))).await.unwrap();
        let of = |n: i64| bar("BTC", n * MINUTE, 1, 1);
        let mut changes = live(claim, Records::Candles(vec![of(1)]), span(0, 4 * MINUTE));
        changes.push(Change::Final { span: span(0, 4 * MINUTE) });
        changes.push(Change::GapOpened { span: span(4 * MINUTE, 6 * MINUTE), cause: Cause::Outage });
        changes.push(Change::Edge(TimeMs(6 * MINUTE)));
        commit(&store, store.token(), bars, changes).await.unwrap();
        let without = |count| ("minute_without_bar", bars.to_string(), count);
        let only = |found: Vec<(&'static str, String, u64)>| {
            found.into_iter().filter(|(check, ..)| *check == "minute_without_bar").collect::<Vec<_>>()
        };
        assert_eq!(only(found(&*subject).await), [without(1)], "minute 3; 4 lies in a gap");

        // What fills the gap says that minute 4 was empty.
        let fill = filled(epoch(store.token(), 2), span(4 * MINUTE, 6 * MINUTE), Records::Candles(vec![]));
        commit(&store, store.token(), bars, vec![fill]).await.unwrap();
        assert_eq!(only(found(&*subject).await), [without(2)]);
        let doubted = Change::Doubted { span: span(3 * MINUTE, 5 * MINUTE), cause: Cause::Silence };
        let read = filled(
            epoch(store.token(), 3),
            span(3 * MINUTE, 5 * MINUTE),
            Records::Candles(vec![of(3), of(4)]),
        );
        commit(&store, store.token(), bars, vec![doubted, read]).await.unwrap();
        assert_eq!(only(found(&*subject).await), []);
    });
}

/// Books come by a clock and settlements by the hour: covered time without them does not prove anything.
pub fn covered_time_has_the_rhythm_of_its_kind(new: New<'_>) {
    let subject = new();
    run(async {
        let (book, funding) =
            (StreamKey::Book(coin("BTC"), BookVariant::Default), StreamKey::Funding(coin("BTC")));
        let store = holder(&*subject, &[book, funding]).await;
        let claim = epoch(store.token(), 1);
        let at = |time: i64| Book {
            coin: coin("BTC"),
            variant: BookVariant::Default,
            time: TimeMs(time),
            bids: [].into(),
            asks: [].into(),
            arrival: Arrival::default(),
        };
        let books = |times: &[i64]| Records::Books(times.iter().map(|time| at(*time)).collect());
        let minutes = [0, MINUTE, 2 * MINUTE, 9 * MINUTE];
        let changes = live(claim, books(&minutes), span(0, 9 * MINUTE));
        commit(&store, store.token(), book, changes).await.unwrap();
        let silence = ("covered_silence", book.to_string(), 1);
        assert_eq!(found(&*subject).await, std::slice::from_ref(&silence), "seven minutes");

        let hour = |n: i64| HOURLY_SINCE + n * FUNDING_MS;
        let rows = |hours: &[i64]| {
            Records::Funding(hours.iter().map(|n| settlement("BTC", (hour(*n) + 59).0)).collect())
        };
        let whole = Span { from: hour(0), to: hour(9) };
        let fill = filled(epoch(store.token(), 2), whole, rows(&[2, 3, 6, 7]));
        let opened = Change::GapOpened { span: whole, cause: Cause::NotCollected };
        commit(&store, store.token(), funding, vec![opened, Change::Edge(whole.to), fill]).await.unwrap();
        let missing = ("settlement_missing", funding.to_string(), 2);
        assert_eq!(found(&*subject).await, [silence.clone(), missing.clone()], "hours 4 and 5");

        // Where books were left out on purpose nothing is said of their rhythm.
        let thinned = [ThinnedBooks { from: TimeMs(2 * MINUTE), to: None }];
        store.put_note(BOOKS_NOTE, &serde_json::to_string(&thinned).unwrap()).await.unwrap();
        assert_eq!(found(&*subject).await, [missing]);
        let doubted = Change::Doubted { span: Span { from: hour(4), to: hour(6) }, cause: Cause::Silence };
        commit(&store, store.token(), funding, vec![doubted]).await.unwrap();
        assert_eq!(found(&*subject).await, [], "what is a gap is known to be missing");
    });
}
