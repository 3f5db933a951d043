//! Planted defects are found and counted; nothing else is.

use hl_core::Coin;
use hl_core::decimal::Decimal;
use hl_core::ledger::Cause;
use hl_core::record::Mid;
use hl_core::record::{Address, Hash, Level, Side};
use hl_core::row::Arrival;
use hl_core::{Interval, StreamKey};
use proptest::prelude::*;

use super::*;

fn btc() -> Coin {
    Coin::new("BTC").unwrap()
}

fn piece(from: i64, to: i64, gaps: &[(i64, i64, GapState)]) -> Piece {
    let rows: Vec<_> = gaps
        .iter()
        .map(|&(from, to, state)| GapRow {
            stream: StreamKey::Trades(btc()),
            span: Span::new(TimeMs(from), TimeMs(to)),
            cause: Cause::Outage,
            state,
        })
        .collect();
    Piece {
        span: Span::new(TimeMs(from), TimeMs(to)),
        gaps: Gaps::of(&rows),
        thinned: Vec::new(),
        pushed: Gaps::default(),
    }
}

fn trade(time: i64, tid: u64) -> Trade {
    Trade {
        coin: btc(),
        time: TimeMs(time),
        tid,
        px: Decimal::from(time),
        sz: Decimal::ONE,
        side: Side::Buy,
        hash: Hash::parse(&format!("0x{}", "0".repeat(64))).unwrap(),
        buyer: Address::parse(&format!("0x{}", "1".repeat(40))).unwrap(),
        seller: Address::parse(&format!("0x{}", "2".repeat(40))).unwrap(),
        arrival: Arrival::default(),
    }
}

fn bar(time: i64) -> Candle {
    let px = Decimal::from(time);
    Candle {
        coin: btc(),
        interval: Interval::M1,
        time: TimeMs(time),
        open: px,
        high: px,
        low: px,
        close: px,
        volume: Decimal::ONE,
        trades: 1,
        arrival: Arrival::default(),
    }
}

fn counts(tally: &Tally) -> [u64; 7] {
    let count = |finding| tally.count(finding);
    [
        tally.truth,
        count(Finding::Missing),
        count(Finding::MissingInGap),
        count(Finding::Extra),
        count(Finding::Different),
        count(Finding::Pending),
        count(Finding::Duplicate),
    ]
}

#[test]
fn what_the_exchange_itself_showed_otherwise_is_not_held_against_the_store() {
    let at = |time: i64| TimeMs(time);
    let shown = [(at(200), at(200)), (at(300), at(1_300)), (at(400), at(3_600_400))];
    let mut tally = Tally::default();
    tally.excuse(crate::falsified(shown));
    let other = |time| Trade { sz: Decimal::TEN, ..trade(time, 1) };
    let mut truth: Vec<_> = (1..=5).map(|i| trade(i * 100, 1)).collect();
    let stored = [trade(100, 1), other(200), trade(1_300, 1), trade(3_600_400, 1), other(500)];
    tally.trades(&piece(0, 4_000_000, &[]), &mut truth, &stored);
    let found = |finding| (tally.count(finding), tally.first(finding));
    assert_eq!(found(Finding::Different), (1, Some(at(500))), "the one that was shown as it was");
    assert_eq!(found(Finding::Missing), (1, Some(at(400))), "an hour ahead can be seen");
    assert_eq!(found(Finding::Extra), (1, Some(at(3_600_400))), "and is not to be stored");
}

#[test]
fn trades_of_one_time_are_compared_in_their_order_where_it_is_known() {
    let placed = |tid, seq| Trade { arrival: Arrival { received: None, seq }, ..trade(200, tid) };
    let misordered = |stored: &[Trade]| {
        // The exchange sent 9 before 4 and 7.
        let mut truth = vec![trade(100, 1), trade(200, 9), trade(200, 4), trade(200, 7)];
        let mut tally = Tally::default();
        tally.trades(&piece(0, 1_000, &[]), &mut truth, stored);
        (tally.count(Finding::Misordered), tally.count(Finding::Different))
    };
    assert_eq!(misordered(&[placed(4, Some(1)), placed(7, Some(2)), placed(9, Some(0))]), (0, 0));
    assert_eq!(misordered(&[placed(4, Some(0)), placed(7, Some(2)), placed(9, Some(1))]), (1, 0), "by tid");
    assert_eq!(
        misordered(&[placed(4, Some(1)), placed(7, Some(1)), placed(9, Some(0))]),
        (1, 0),
        "one place twice"
    );
    assert_eq!(misordered(&[placed(4, None), placed(7, None), placed(9, Some(5))]), (0, 0), "not known");
}

/// What is done to one trade of the truth on its way to the store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Kept,
    Lost,
    Changed,
    Doubled,
    /// Kept, and beside it one that never happened.
    Invented,
}

proptest! {
    #[test]
    fn every_planted_defect_of_trades_is_counted_once(
        fates in prop::collection::vec(
            prop_oneof![
                6 => Just(Fate::Kept), 2 => Just(Fate::Lost), 1 => Just(Fate::Changed),
                1 => Just(Fate::Doubled), 1 => Just(Fate::Invented),
            ],
            2..60,
        ),
        gap in (0_i64..70, 0_i64..20),
        filled in any::<bool>(),
        cut in 1_i64..5,
    ) {
        let stop = i64::try_from(fates.len()).unwrap() - 1;
        let state = if filled { GapState::Backfilled } else { GapState::Unrecoverable };
        let piece = piece(0, stop, &[(gap.0, gap.0 + gap.1, state)]);
        let mut expected = [0; 7];
        let (mut truth, mut stored) = (Vec::new(), Vec::new());
        for (time, &fate) in (0..).zip(&fates) {
            truth.push(trade(time, 5));
            let interior = 0 < time && time < stop;
            let in_gap = !filled && gap.0 <= time && time <= gap.0 + gap.1;
            if fate != Fate::Lost {
                expected[0] += 1;
            }
            match fate {
                Fate::Kept => stored.push(trade(time, 5)),
                Fate::Lost if interior => {
                    expected[0] += 1;
                    expected[if in_gap { 2 } else { 1 }] += 1;
                }
                Fate::Lost => {}
                Fate::Changed => {
                    stored.push(Trade { sz: Decimal::TWO, ..trade(time, 5) });
                    expected[4] += 1;
                }
                Fate::Doubled => {
                    stored.extend([trade(time, 5), trade(time, 5)]);
                    expected[6] += 1;
                }
                Fate::Invented => {
                    stored.extend([trade(time, 5), trade(time, 9)]);
                    expected[3] += 1;
                }
            }
        }
        // Pages add up to the same as the whole.
        let mut paged = Tally::default();
        for from in (0..=stop).step_by(usize::try_from(cut).unwrap()) {
            let page = |time: TimeMs| (from..from + cut).contains(&time.0);
            let mut truth: Vec<_> = truth.iter().filter(|t| page(t.time)).copied().collect();
            let stored: Vec<_> = stored.iter().filter(|t| page(t.time)).copied().collect();
            paged.trades(&piece, &mut truth, &stored);
        }
        truth.reverse();
        let mut tally = Tally::default();
        tally.trades(&piece, &mut truth, &stored);
        prop_assert_eq!(counts(&tally), expected);
        prop_assert_eq!(tally, paged);
    }
}

#[test]
fn trailing_zeros_are_no_difference() {
    let long = |text: &str| Trade { px: text.parse().unwrap(), ..trade(5, 1) };
    let mut tally = Tally::default();
    tally.trades(&piece(0, 9, &[]), &mut vec![long("66410.0")], &[long("66410")]);
    assert_eq!(counts(&tally), [1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_bar_is_missing_only_where_it_had_to_be_there() {
    const M: i64 = 60_000;
    // The stop is not a bar's border here, as when the store was written by something else.
    let piece = piece(M, 6 * M + 29_000, &[(2 * M, 3 * M, GapState::Open)]);
    let mut truth: Vec<_> = [0, 1, 2, 3, 4, 5, 7].map(|minute| bar(minute * M)).to_vec();
    let mut tally = Tally::default();
    tally.candles(&piece, &mut truth, &[]);
    // Minute 0 is before the piece and 7 behind it; 2 is in the gap, whose end is not part of it; 5 has just closed.
    assert_eq!(counts(&tally), [5, 3, 1, 0, 0, 1, 0]);
    assert_eq!(tally.first(Finding::Missing), Some(TimeMs(M)));

    let mut newest = Tally::default();
    newest.candles(&piece, &mut vec![bar(M), bar(4 * M)], &[bar(M)]);
    assert_eq!(
        newest.count(Finding::Pending),
        1,
        "nothing later has been seen, so it may not be final for others"
    );

    let mut wrong = Tally::default();
    let other = Candle { trades: 2, ..bar(4 * M) };
    wrong.candles(
        &piece,
        &mut vec![bar(M), bar(4 * M), bar(5 * M)],
        &[bar(M), other, bar(3 * M), bar(5 * M)],
    );
    assert_eq!(counts(&wrong), [3, 0, 0, 1, 1, 0, 0]);
}

#[test]
fn funding_is_compared_like_bars() {
    let rate = |time| Funding {
        coin: btc(),
        time: TimeMs(time),
        rate: Decimal::ONE,
        premium: Decimal::ZERO,
        arrival: Arrival::default(),
    };
    let piece = piece(0, 100_000, &[(10, 20, GapState::Open)]);
    let mut tally = Tally::default();
    let changed = Funding { rate: Decimal::TWO, ..rate(50) };
    tally.funding(&piece, &mut vec![rate(10), rate(20), rate(50), rate(80_000)], &[changed, rate(60)]);
    assert_eq!(counts(&tally), [4, 1, 1, 1, 1, 1, 0]);
}

#[test]
fn a_book_is_the_exchanges_of_its_own_time() {
    let book = |time, variant, depth: u32| Book {
        coin: btc(),
        variant,
        time: TimeMs(time),
        bids: (1..=depth).map(|n| Level { px: Decimal::from(100 - n), sz: Decimal::ONE, n }).collect(),
        asks: (1..=depth).map(|n| Level { px: Decimal::from(100 + n), sz: Decimal::ONE, n }).collect(),
        arrival: Arrival::default(),
    };
    use BookVariant::{Default, Fast};
    let mut truth = vec![book(500, Default, 20), book(1_000, Default, 20), book(1_500, Default, 20)];
    let mut tally = Tally::default();
    tally.books(&mut truth, &[book(500, Default, 20), book(1_000, Default, 5), book(1_200, Default, 20)]);
    assert_eq!(counts(&tally), [2, 0, 0, 1, 1, 0, 0], "a default book of 5 levels has lost some");
    let mut tally = Tally::default();
    tally.books(&mut truth, &[book(500, Fast, 5), book(1_000, Fast, 4), book(1_000, Fast, 5)]);
    assert_eq!(counts(&tally), [2, 0, 0, 0, 1, 0, 1]);
}

#[test]
fn states_hold_until_the_next() {
    let mid = |time: i64, px: i64| Mid {
        coin: btc(),
        time: TimeMs(time),
        px: Decimal::from(px),
        arrival: Arrival::default(),
    };
    let states = States::of([mid(10_000, 2), mid(1_000, 1), mid(20_000, 3)]);
    let check = |row: Mid| {
        let mut tally = Tally::default();
        tally.stamped(states.clone(), &[row]);
        [Finding::Extra, Finding::Different].map(|finding| tally.count(finding))
    };
    assert_eq!(check(mid(19_000, 2)), [0, 0], "holds until the next");
    assert_eq!(check(mid(21_999, 2)), [0, 0], "held less than two seconds ago");
    assert_eq!(check(mid(22_000, 3)), [0, 0]);
    assert_eq!(check(mid(22_000, 2)), [0, 1], "long past");
    assert_eq!(check(mid(19_500, 3)), [0, 0], "stamped a little early");
    assert_eq!(check(mid(19_499, 3)), [0, 1], "not yet");
    assert_eq!(check(mid(499, 1)), [1, 0], "nothing is known so early");
    assert_eq!(check(Mid { coin: Coin::new("DELISTED").unwrap(), ..mid(19_000, 7) }), [0, 0]);

    let level = |px: i64| Some(Level { px: Decimal::from(px), sz: Decimal::ONE, n: 1 });
    let bbo = |time, px| Bbo {
        coin: btc(),
        time: TimeMs(time),
        bid: level(px),
        ask: None,
        arrival: Arrival::default(),
    };
    let states = States::of([bbo(100, 1), bbo(170, 2)]);
    let mut tally = Tally::default();
    let piece = piece(0, 1_000, &[]);
    tally.bbos(
        &piece,
        piece.span,
        states,
        &[bbo(99, 1), bbo(100, 1), bbo(169, 1), bbo(170, 2), bbo(240, 1), bbo(240, 1)],
    );
    assert_eq!(counts(&tally), [4, 0, 0, 1, 1, 0, 1]);
}

#[test]
fn every_change_of_the_best_bid_is_there_where_a_subscription_covers_it() {
    let level = |px: i64| Some(Level { px: Decimal::from(px), sz: Decimal::ONE, n: 1 });
    let bbo = |time: i64| Bbo {
        coin: btc(),
        time: TimeMs(time),
        bid: level(time),
        ask: None,
        arrival: Arrival::default(),
    };
    let covered = |spans: &[(i64, i64)]| {
        Gaps::default().and(spans.iter().map(|(from, to)| Span::new(TimeMs(*from), TimeMs(*to))))
    };
    let piece = Piece {
        pushed: covered(&[(10, 50), (70, 90)]),
        ..piece(0, 100, &[(30, 40, GapState::Unrecoverable)])
    };
    let truth: Vec<_> = (0..=100).step_by(5).map(bbo).collect();
    let stored = |missing: &[i64]| -> Vec<Bbo> {
        truth.iter().filter(|bbo| !missing.contains(&bbo.time.0)).copied().collect()
    };
    let tally = |missing: &[i64], cut: i64| {
        let mut tally = Tally::default();
        for from in (0..=100).step_by(usize::try_from(cut).unwrap()) {
            let page = Span::new(TimeMs(from), TimeMs(from + cut - 1));
            // The truth of a page begins with what held before it.
            let known = truth.iter().filter(|bbo| bbo.time <= page.to).copied();
            let begin = truth.iter().map(|bbo| bbo.time).filter(|time| *time <= page.from).max();
            let known = known.filter(|bbo| begin.is_none_or(|begin| bbo.time >= begin));
            let stored: Vec<_> = stored(missing).into_iter().filter(|bbo| page.contains(bbo.time)).collect();
            tally.bbos(&piece, page, States::of(known), &stored);
        }
        tally
    };
    let of = |missing: &[i64]| {
        let whole = tally(missing, 1_000);
        assert_eq!(whole, tally(missing, 25), "pages add up to the whole");
        assert_eq!(whole.truth, 21, "what is stored, and what should be");
        [Finding::Missing, Finding::MissingInGap, Finding::Different].map(|finding| whole.count(finding))
    };
    assert_eq!(of(&[]), [0, 0, 0]);
    assert_eq!(of(&[15]), [1, 0, 0]);
    assert_eq!(of(&[35]), [0, 1, 0]);
    assert_eq!(of(&[15, 20, 45, 80]), [4, 0, 0]);
}
