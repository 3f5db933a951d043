//! A clock of the exchange that is set back: in a run, in a pause, between polls, into a gap, twice. Against a ledger, as the store
//! keeps it.

use super::errs::{Erring, ONE};
use super::*;

/// How far the exchange's clock is set back, ms: within the claim's own piece, and behind it.
const SET_BACK: [i64; 3] = [200, 1_500, 20_000];

#[test]
fn a_clock_that_is_set_back_inside_one_socket_loses_nothing() {
    for by in SET_BACK {
        let mut erring = Erring::live(30_000);
        // The claim's own piece is short.
        erring.give(Some(ONE(2)));
        erring.started(ONE(2), 30_050);
        let replay = erring.newest(10);
        erring.frame(ONE(2), &replay);
        for time in (30_100..=31_000).step_by(100) {
            let block = erring.happen(&[time]);
            erring.frame(ONE(2), &block);
        }
        for time in (31_050 - by..=33_000).step_by(100) {
            let block = erring.happen(&[time]);
            erring.frame(ONE(2), &block);
        }
        assert_eq!((erring.gaps(), erring.missing()), (vec![], vec![]), "{by} ms");
        assert_eq!(erring.line.edge().map(|edge| edge.0 >= 32_900), Some(true), "it went on");
    }
}

#[test]
fn a_clock_that_is_set_back_by_a_restart_leaves_gaps_where_trades_may_be_missing() {
    for (by, replayed) in [(20_000, 3), (20_000, 0), (2_000, 3)] {
        let mut erring = Erring::live(30_000);
        // For half a second no source listens: some trades bear the old clock's time, some the new one's.
        erring.happen(&[30_100, 30_200, 30_300]);
        let new = |time: i64| time - by;
        erring.happen(&[new(30_400), new(30_500), new(30_600), new(30_700), new(30_800)]);
        erring.give(Some(ONE(2)));
        erring.started(ONE(2), 30_850);
        if replayed > 0 {
            let replay = erring.newest(replayed);
            erring.frame(ONE(2), &replay);
        }
        for time in (30_900..=54_000).step_by(100) {
            let block = erring.happen(&[new(time) + 50]);
            erring.frame(ONE(2), &block);
            erring.missing();
        }
        let missing = erring.missing();
        assert!(missing.iter().all(|time| *time <= 30_300), "what came is stored: {by}: {missing:?}");
        assert!(!erring.gaps().is_empty());
    }
}

#[test]
fn a_replay_over_the_moment_at_which_the_clock_was_set_back_loses_nothing() {
    let mut erring = Erring::live(30_000);
    erring.happen(&[10_150, 10_250, 10_350]);
    erring.give(Some(ONE(2)));
    erring.started(ONE(2), 30_400);
    // Sorted by time, it looks as if it began 20 s ago and had passed over everything since.
    let replay = erring.newest(6);
    erring.frame(ONE(2), &replay);
    for time in (10_450..=31_000).step_by(100) {
        let block = erring.happen(&[time]);
        erring.frame(ONE(2), &block);
    }
    assert_eq!(erring.missing(), vec![0; 0]);
}

#[test]
fn who_dies_while_a_time_is_lived_once_more_leaves_a_gap_up_to_the_edge() {
    // Also where that time begins before anything was collected.
    for since in [10_350, -9_650] {
        let mut erring = Erring::live(30_000);
        for time in (since..since + 4_800).step_by(100) {
            let block = erring.happen(&[time]);
            erring.frame(ONE(1), &block);
        }
        assert_eq!(erring.missing(), vec![0; 0]);
        // No source listens from here on: these are missing, and each lies in a gap.
        erring.happen(&[since + 4_800, 22_250, 29_950]);
        assert_eq!(erring.missing(), [since + 4_800, 22_250, 29_950]);
    }
}

#[test]
fn polls_over_a_clock_that_is_set_back_store_what_they_bring() {
    for size in [3, 8] {
        let mut erring = Erring::live(30_000);
        erring.give(None);
        let mut at = 30_000;
        for _ in 0..60 {
            // Five trades from one poll to the next, by a clock 20 s behind.
            for _ in 0..5 {
                at += 100;
                erring.happen(&[at - 19_950]);
            }
            let polled = erring.newest(size);
            erring.answer(at, &polled);
            let (edge, newest) = (erring.line.edge().unwrap(), TimeMs(at - 19_950));
            assert_eq!(edge, newest.max(TimeMs(30_000)));
            erring.missing();
        }
        let missing = erring.missing().len();
        assert!(if size == 3 { missing == 120 } else { missing == 0 }, "{size}: {missing}");
    }
}

#[test]
fn a_clock_that_is_set_back_while_a_socket_settles_or_a_standby_waits_loses_nothing() {
    for standby in [false, true] {
        let mut erring = Erring::live(30_000);
        let run = if standby { RunId::second(1) } else { ONE(2) };
        let replay = erring.newest(10);
        erring.started(run, 30_050);
        erring.frame(run, &replay);
        if !standby {
            erring.give(None);
        }
        let old = [30_100, 30_200, 30_300];
        for time in old.into_iter().chain((10_350..=11_000).step_by(50)) {
            let block = erring.happen(&[time]);
            erring.frame(run, &block);
            if standby {
                erring.frame(ONE(1), &block);
            }
        }
        erring.give(Some(run));
        for time in (11_050..=31_000).step_by(130) {
            let block = erring.happen(&[time]);
            erring.frame(run, &block);
        }
        assert_eq!(erring.missing(), vec![0; 0], "standby {standby}");
    }
}

#[test]
fn a_gap_that_a_backfill_has_filled_is_lived_once_more_like_any_time() {
    let mut erring = Erring::live(5_000);
    erring.offer(Ticket::Run(ONE(1)), Content::Broken { at: TimeMs(6_000) });
    for time in (20_000..=30_000).step_by(100) {
        let block = erring.happen(&[time]);
        erring.frame(ONE(1), &block);
    }
    let span = Span::new(TimeMs(5_000), TimeMs(20_000));
    assert_eq!(erring.gaps(), [(5_000, 20_000)]);
    let (epoch, records) = (Epoch { token: Token(2), local: 1 }, Records::Trades(Vec::new()));
    let filled = Change::Filled { epoch, origin: Origin::Backfill, span, records };
    erring.ledger.apply(vec![filled.clone()]);
    erring.line.backfilled(&filled);
    for time in (10_050..=15_050).step_by(100) {
        let block = erring.happen(&[time]);
        erring.frame(ONE(1), &block);
    }
    assert_eq!(erring.missing(), vec![0; 0], "what came is stored");
    erring.happen(&[15_150]);
    assert_eq!(erring.missing(), [15_150], "and what may still come lies in a gap");
}

#[test]
fn a_clock_that_is_set_back_to_before_the_first_trade_loses_nothing() {
    for (by, pause) in [(40_000, 0), (40_000, 400), (29_000, 0), (29_000, 400)] {
        let mut erring = Erring::live(30_000);
        let new = |time: i64| time - by;
        if pause > 0 {
            erring.happen(&[30_050, new(30_150), new(30_350)]);
            erring.give(Some(ONE(2)));
            erring.started(ONE(2), 30_400);
            let replay = erring.newest(2);
            erring.frame(ONE(2), &replay);
        }
        let run = if pause > 0 { ONE(2) } else { ONE(1) };
        for time in (30_400..=75_000).step_by(100) {
            let block = erring.happen(&[new(time)]);
            erring.frame(run, &block);
            // Before the time has passed that is lived once more it lies in gaps.
            erring.missing();
        }
        let missing = erring.missing();
        assert!(missing.is_empty() || pause > 0 && missing == [30_050], "by {by}: {missing:?}");
        assert_eq!(erring.gaps().is_empty(), pause == 0, "by {by}: {:?}", erring.gaps());
    }
}

#[test]
fn a_clock_that_is_set_back_beyond_all_memory_loses_no_row() {
    let recent = Recent { since: Some(TimeMs(90_000)), keys: vec![(TimeMs(90_000), 1)], ..Recent::default() };
    let start =
        StreamStart { stream: StreamKey::Trades(coin()), edge: Some(TimeMs(90_000)), ended: None, recent };
    let mut line = Timeline::new(start);
    let mut out = Vec::new();
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    line.offer(Ticket::Run(ONE(1)), pushed(&[50_000, 50_100]), &NoWitness, &mut out);
    line.offer(Ticket::Run(ONE(1)), pushed(&[50_200]), &NoWitness, &mut out);
    let rows = out.iter().filter(|change| matches!(change, Change::Rows { .. })).count();
    assert_eq!((rows, out.len()), (2, 2), "the store knows whether it has them: {out:?}");
    out.clear();
    line.offer(Ticket::Run(ONE(1)), pushed(&[95_000]), &NoWitness, &mut out);
    let span = Span::new(TimeMs(90_000), TimeMs(95_000));
    assert!(out.contains(&Change::GapOpened { span, cause: Cause::Outage }), "{out:?}");
}

#[test]
fn a_clock_that_is_set_back_into_a_gap_fills_nothing_of_the_first_time() {
    for (restarts, told_late) in [(false, false), (true, false), (true, true)] {
        let mut erring = Erring::live(10_000);
        // Nothing of the first time between 10 and 20 s is received.
        erring.happen(&[11_000, 15_000, 19_000]);
        erring.offer(Ticket::Run(ONE(1)), Content::Broken { at: TimeMs(19_500) });
        for time in (20_000..=40_000).step_by(100) {
            let block = erring.happen(&[time]);
            erring.frame(ONE(1), &block);
        }
        let mut run = ONE(1);
        if restarts {
            // An outage around the moment, and the exchange has said since what time it is.
            let reading = |mono, ahead| ClockReading { mono, ahead };
            let ahead = if told_late { 0 } else { -28_000 };
            erring.line.clock(reading(40_500, ahead), Some(reading(40_000, 0)));
            run = ONE(2);
            erring.give(Some(run));
            erring.started(run, if told_late { 40_500 } else { 12_500 });
        }
        for time in (12_550..=42_000).step_by(100) {
            let block = erring.happen(&[time]);
            erring.frame(run, &block);
            if told_late && time == 14_550 {
                let mut out = Vec::new();
                let now = ClockReading { mono: 42_550, ahead: -28_000 };
                erring.line.follow_clock(now, &mut out);
                erring.ledger.apply(out);
            }
            assert!(erring.missing().starts_with(&[11_000, 15_000, 19_000]));
            let relived = erring.line.relived_from().is_none_or(|from| from.0 <= time);
            assert!(relived, "a backfill leaves it alone: {:?} at {time}", erring.line.relived_from());
        }
        assert!(erring.gaps().contains(&(10_000, 20_000)), "{:?}", erring.gaps());
        let lost = Span::joined(erring.ledger.lost.iter().copied());
        assert!(
            lost.iter().any(|lost| lost.to == TimeMs(20_000)),
            "no answer shows the first time: {lost:?}"
        );
        let missing = erring.missing();
        assert!(missing.iter().all(|time| *time < 20_000), "what came outside of it is stored: {missing:?}");
    }
}

#[test]
fn polls_of_a_time_that_is_lived_once_more_fill_no_gap_of_the_first() {
    let mut erring = Erring::live(10_000);
    erring.happen(&[11_000, 15_000]);
    erring.offer(Ticket::Run(ONE(1)), Content::Broken { at: TimeMs(19_500) });
    for time in (20_000..=40_000).step_by(100) {
        let block = erring.happen(&[time]);
        erring.frame(ONE(1), &block);
    }
    erring.give(None);
    // The answer joins what was stored before the gap, and passes over the trade that is missing in it.
    let before = erring.happened.iter().rposition(|trade| trade.time == TimeMs(10_000)).unwrap();
    let mut answer = erring.happened[before - 2..=before].to_vec();
    answer.extend(erring.happen(&[12_050, 13_050]));
    erring.answer(13_100, &answer);
    assert!(erring.missing().starts_with(&[11_000, 15_000]));
    assert!(erring.gaps().contains(&(10_000, 20_000)), "{:?}", erring.gaps());
}

#[test]
fn a_clock_that_is_set_back_twice_leaves_all_in_a_gap_that_is_still_to_come() {
    let mut erring = Erring::live(40_000);
    for (from, to) in [(10_050, 30_000), (15_030, 20_000)] {
        for time in (from..=to).step_by(100) {
            let block = erring.happen(&[time]);
            erring.frame(ONE(1), &block);
            assert_eq!(erring.missing(), vec![0; 0]);
        }
    }
    // No source listens from here on.
    erring.happen(&[20_050, 29_950, 35_000]);
    assert_eq!(erring.missing(), [20_050, 29_950, 35_000]);
}

#[test]
fn a_trade_that_comes_late_into_a_block_that_is_stored_is_stored() {
    let mut erring = Erring::live(30_000);
    erring.give(Some(ONE(2)));
    erring.started(ONE(2), 30_020);
    let replay = erring.newest(3);
    erring.frame(ONE(2), &replay);
    // The clock is set back by a multiple of the time between blocks.
    for time in (10_000..=31_000).step_by(100) {
        let block = erring.happen(&[time]);
        erring.frame(ONE(2), &block);
    }
    assert_eq!(erring.missing(), vec![0; 0]);
    assert_eq!(erring.ledger.rows.len(), erring.happened.len());
}

#[test]
fn a_gap_may_end_at_a_block_that_is_not_stored() {
    let mut erring = Erring::live(10_000);
    erring.give(None);
    erring.happen(&[10_500]);
    erring.started(ONE(2), 12_050);
    let replay = erring.happen(&[12_000]);
    erring.frame(ONE(2), &replay);
    let live = erring.happen(&[12_500, 13_000]);
    erring.frame(ONE(2), &live);
    erring.answer(13_050, &live[1..]);
    erring.give(Some(ONE(2)));
    for time in (13_500..=30_000).step_by(500) {
        let block = erring.happen(&[time]);
        erring.frame(ONE(2), &block);
    }
    assert_eq!(erring.gaps(), [(10_000, 12_000)]);
    // Between that block and the next one that is stored.
    for time in [12_250, 12_750] {
        let block = erring.happen(&[time]);
        erring.frame(ONE(2), &block);
    }
    assert_eq!(erring.missing(), [10_500, 12_000], "both in the gap, the second at its border");
}

#[test]
fn what_an_outage_hid_of_two_lives_is_filled_by_no_ring_of_the_second() {
    let mut erring = Erring::live(30_000);
    let reading = |mono, ahead| ClockReading { mono, ahead };
    erring.give(None);
    erring.line.clock(reading(33_000, -10_000), Some(reading(30_000, 0)));
    // In three seconds the old clock has shown two more, and the new one has begun.
    erring.happen(&[30_500, 31_500, 22_500]);
    erring.give(Some(ONE(2)));
    erring.started(ONE(2), 23_000);
    for time in (23_050..=31_000).step_by(100) {
        let block = erring.happen(&[time]);
        erring.frame(ONE(2), &block);
    }
    // Another run begins behind what was the edge, and its replay reaches before it.
    erring.give(Some(ONE(3)));
    erring.started(ONE(3), 33_000);
    erring.happen(&[31_400, 32_000, 32_900]);
    let replay = erring.newest(12);
    erring.frame(ONE(3), &replay);
    for time in (33_050..=36_000).step_by(100) {
        let block = erring.happen(&[time]);
        erring.frame(ONE(3), &block);
    }
    let missing = erring.missing();
    assert!(missing.starts_with(&[30_500, 31_500, 22_500]), "each in a gap: {missing:?}");
    let lost = Span::joined(erring.ledger.lost.iter().copied());
    let is_lost = |time| lost.iter().any(|lost| lost.contains(TimeMs(time)));
    assert!(is_lost(30_500) && is_lost(31_500), "{lost:?}");
}

#[test]
fn a_clock_that_is_set_back_between_two_polls_leaves_what_it_hid_in_a_gap() {
    // What of the old clock's time was not polled lies between what is polled of the new one's.
    for by in [5_000, 15_000] {
        let mut erring = Erring::live(30_000);
        erring.give(None);
        let reading = |mono, ahead| ClockReading { mono, ahead };
        let known = erring.newest(3);
        erring.answer(30_050, &known);
        erring.happen(&[32_000, 36_000, 37_500]);
        // Ten seconds later, and the last two by the new clock.
        let new = |time: i64| time - by;
        erring.happen(&[new(38_500), new(39_400), new(39_800)]);
        let mut out = Vec::new();
        erring.line.polled(reading(40_000, -by), Some(reading(30_050, 0)));
        erring.line.follow_clock(reading(40_000, -by), &mut out);
        erring.ledger.apply(out);
        let answer = erring.newest(2);
        erring.answer(new(40_000), &answer);
        for time in (40_100..=70_000).step_by(300) {
            erring.happen(&[new(time)]);
            let answer = erring.newest(5);
            erring.answer(new(time) + 50, &answer);
        }
        let missing = erring.missing();
        // A later answer may still show the last of them.
        let expected = [32_000, 36_000];
        assert!(expected.iter().all(|time| missing.contains(time)), "{by}: {missing:?}");
    }
}

#[test]
fn a_clock_that_is_set_back_between_polls_of_a_quiet_coin_hides_nothing_however_late_it_is_followed() {
    let mut erring = Erring::live(30_000);
    erring.give(None);
    let reading = |mono, ahead| ClockReading { mono, ahead };
    let mut received = reading(30_000, 0);
    let mut poll = |erring: &mut Erring, mono: i64, ahead: i64, trades: &[Trade]| {
        let mut out = Vec::new();
        let now = reading(mono, ahead);
        erring.line.polled(now, Some(received));
        erring.line.follow_clock(now, &mut out);
        erring.ledger.apply(out);
        erring.answer(mono + ahead, trades);
        received = now;
    };
    // Nothing is traded for so long that each poll ends a pause.
    for mono in (36_000..=120_000).step_by(12_000) {
        let newest = erring.newest(3);
        poll(&mut erring, mono, 0, &newest);
    }
    erring.happen(&[124_000, 124_200, 124_300]);
    // 20 s back; and two polls more until that is known.
    let new = |time: i64| time - 20_000;
    for (mono, ahead) in [(132_000, 0), (140_000, 0), (148_000, -20_000), (156_000, -20_000)] {
        // The first answer does not reach back to them, and the later ones join it.
        let count = if mono == 132_000 { 3 } else { 8 };
        for time in (mono - count * 1_000..mono).step_by(1_000) {
            erring.happen(&[new(time)]);
        }
        let newest = erring.newest(if mono == 132_000 { 3 } else { 9 });
        poll(&mut erring, mono, ahead, &newest);
    }
    let missing = erring.missing();
    assert!(missing.starts_with(&[124_000, 124_200, 124_300]), "each in a gap: {missing:?}");
}

#[test]
fn an_estimate_that_falls_a_little_convicts_no_pause() {
    let mut erring = Erring::live(30_000);
    let reading = |mono, ahead| ClockReading { mono, ahead };
    erring.line.clock(reading(30_100, 3_000), Some(reading(30_000, 3_000)));
    erring.give(Some(ONE(2)));
    erring.started(ONE(2), 30_100);
    let replay = erring.newest(3);
    erring.frame(ONE(2), &replay);
    let mut out = Vec::new();
    erring.line.follow_clock(reading(600_000, 100), &mut out);
    assert_eq!(out, []);
    // And after a day a monotonic clock may be wrong by seconds itself.
    erring.line.follow_clock(reading(86_400_000, -2_000), &mut out);
    assert_eq!(out, []);
    erring.line.follow_clock(reading(86_400_000, -20_000), &mut out);
    assert_ne!(out, []);
}

#[test]
fn after_a_restart_what_the_old_clock_may_have_shown_is_a_gap() {
    let mut erring = Erring::live(30_000);
    let (edge, recent) = (erring.line.edge(), recent_of(&erring));
    erring.line = Timeline::new(StreamStart { stream: StreamKey::Trades(coin()), edge, ended: None, recent });
    // No process ran: the old clock showed ten seconds more, and the new one is eight behind the edge.
    erring.happen(&[33_000, 36_000, 39_000, 21_800, 21_900]);
    erring.give(Some(ONE(2)));
    erring.started(ONE(2), 22_000);
    let replay = erring.newest(2);
    erring.frame(ONE(2), &replay);
    for time in (22_050..=60_000).step_by(500) {
        let block = erring.happen(&[time]);
        erring.frame(ONE(2), &block);
    }
    assert!(erring.missing().starts_with(&[33_000, 36_000, 39_000]), "each in a gap");
}

#[test]
fn what_was_given_up_of_a_first_life_is_not_filled_after_a_restart() {
    let mut erring = Erring::live(30_000);
    // What the old clock showed last was not received; then the time is lived once more, and passes.
    erring.happen(&[33_000, 36_000, 39_000]);
    let mut out = Vec::new();
    let reading = |mono, ahead| ClockReading { mono, ahead };
    erring.line.clock(reading(40_000, -18_000), Some(reading(30_000, 0)));
    erring.give(Some(ONE(2)));
    erring.line.follow_clock(reading(40_000, -18_000), &mut out);
    erring.ledger.apply(out);
    erring.started(ONE(2), 22_000);
    for time in (22_050..=45_000).step_by(500) {
        let block = erring.happen(&[time]);
        erring.frame(ONE(2), &block);
    }
    assert_eq!(erring.missing(), [33_000, 36_000, 39_000], "each in a gap");
    // A process that begins then is shown the second life only.
    let (edge, recent) = (erring.line.edge(), recent_of(&erring));
    erring.line = Timeline::new(StreamStart { stream: StreamKey::Trades(coin()), edge, ended: None, recent });
    erring.give(Some(ONE(3)));
    erring.started(ONE(3), 45_100);
    let replay = erring.newest(40);
    erring.frame(ONE(3), &replay);
    assert_eq!(erring.missing(), [33_000, 36_000, 39_000], "each in a gap still");
}

/// What a process reads that begins anew.
fn recent_of(erring: &Erring) -> Recent {
    let Ledger { rows, gaps, lost, .. } = &erring.ledger;
    let keys = rows.iter().map(|(time, tid)| (TimeMs(*time), *tid)).collect();
    let given_up = gaps.iter().filter(|gap| lost.iter().any(|lost| lost.overlaps(**gap)));
    Recent {
        since: Some(TimeMs(1_000)),
        is_all: true,
        keys,
        gaps: gaps.clone(),
        given_up: given_up.map(|gap| gap.to).max(),
        ..Recent::default()
    }
}

/// What the pipeline makes of a stretch of which a part is still to come at `now`: that part is not taken.
fn without_what_is_to_come(erring: &mut Erring, ticket: Ticket, trades: &[Trade], now: i64) {
    const AHEAD_MS: i64 = 5_000;
    let newest = trades.iter().map(|trade| trade.time).max().unwrap();
    let taken: Vec<_> = trades.iter().copied().filter(|trade| trade.time.0 <= now + AHEAD_MS).collect();
    let (at, is_whole) = (TimeMs(now), taken.len() == trades.len());
    if !is_whole {
        erring.offer(ticket, Content::Ahead { at, newest });
    }
    if !taken.is_empty() {
        let records = Records::Trades(taken);
        erring.offer(
            ticket,
            match ticket {
                Ticket::Run(_) => Content::Frame(records),
                Ticket::Claim(_) => Content::Answer { records, from: None, asked: at },
            },
        );
    }
    if !is_whole && matches!(ticket, Ticket::Run(_)) {
        erring.offer(ticket, Content::Broken { at });
    }
}

#[test]
fn a_first_life_that_a_replay_shows_while_it_is_still_to_come_is_not_proven_by_the_second() {
    for (by, waits) in [6_000, 9_000, 20_000].into_iter().flat_map(|by| [(by, false), (by, true)]) {
        let mut erring = Erring::live(30_000);
        erring.give(None);
        // No source listens for four seconds, and then the clock is set back.
        let first_life: Vec<_> = (30_100..=34_000).step_by(100).collect();
        erring.happen(&first_life);
        let now = 34_050 - by;
        if !waits {
            erring.give(Some(ONE(2)));
        }
        erring.started(ONE(2), now);
        let replay = erring.newest(60);
        without_what_is_to_come(&mut erring, Ticket::Run(ONE(2)), &replay, now);
        for time in (now + 3..=40_000).step_by(100) {
            if waits && time > now + 2_000 {
                erring.give(Some(ONE(2)));
            }
            let block = erring.happen(&[time]);
            erring.frame(ONE(2), &block);
            // What waits is neither stored nor proven.
            if time % 1_000 < 100 && erring.line.claim().is_some_and(|claim| claim.run.is_some()) {
                erring.missing();
            }
        }
        erring.missing();
        assert!(!erring.gaps().is_empty(), "{by} {waits}");
    }
}

#[test]
fn a_first_life_that_an_answer_shows_while_it_is_still_to_come_is_not_proven_by_the_second() {
    for by in [6_000, 9_000, 20_000] {
        let mut erring = Erring::live(30_000);
        erring.give(None);
        let first_life: Vec<_> = (30_100..=34_000).step_by(100).collect();
        erring.happen(&first_life);
        for time in (34_053 - by..=40_000).step_by(100) {
            erring.happen(&[time]);
            let epoch = erring.line.claim().unwrap().epoch;
            let newest = erring.newest(10);
            without_what_is_to_come(&mut erring, Ticket::Claim(epoch), &newest, time);
        }
        assert!(!erring.missing().is_empty(), "{by}: the first life was not seen");
        assert!(!erring.gaps().is_empty(), "{by}");
    }
}

#[test]
fn a_wrong_stamp_in_a_live_frame_puts_nothing_in_doubt_but_what_it_breaks() {
    let mut erring = Erring::live(30_000);
    let mut block = erring.happen(&[30_100]);
    block[0].time = TimeMs(45_000);
    without_what_is_to_come(&mut erring, Ticket::Run(ONE(1)), &block, 30_100);
    for time in (30_200..=50_000).step_by(100) {
        let block = erring.happen(&[time]);
        erring.frame(ONE(1), &block);
    }
    assert_eq!(erring.missing(), [30_100]);
    assert_eq!(erring.gaps(), [(30_000, 30_200)]);
}

#[test]
fn a_time_that_is_lived_once_more_between_polls_holds_no_row_in_a_gap() {
    for shown in [2, 5, 10] {
        let mut erring = Erring::live(30_000);
        erring.give(None);
        // The claim's own piece, by answers that join.
        for time in (30_100..=40_000).step_by(100) {
            erring.happen(&[time]);
            let answer = erring.newest(5);
            erring.answer(time + 50, &answer);
        }
        // The clock is set back into it, and from then on an answer shows some of what came since the last one.
        for (at, time) in (32_050..=60_000).step_by(100).enumerate() {
            erring.happen(&[time]);
            if at % 8 == 0 {
                let answer = erring.newest(shown);
                erring.answer(time + 50, &answer);
                erring.missing();
            }
        }
    }
}

#[test]
fn a_run_that_began_before_the_time_was_known_has_a_stale_replay_unless_it_is_known_when() {
    const SLOW_MS: i64 = 3_600_000;
    // When it began, where that is found out; and what is known to be missing.
    for (began, gaps) in
        [(None, vec![(6_500, 9_000)]), (Some(8_000), vec![(6_500, 9_000)]), (Some(6_600), vec![])]
    {
        let mut erring = Erring::live(6_000);
        erring.give(None);
        let until = if gaps.is_empty() { 6_500 } else { 7_900 };
        let during: Vec<_> = (6_100..=until).step_by(100).collect();
        erring.happen(&during);
        let replay: Vec<_> = erring.newest(30).into_iter().filter(|t| t.time.0 <= 6_500).collect();
        // The system clock is an hour slow.
        erring.started(ONE(2), 8_000 - SLOW_MS);
        erring.frame(ONE(2), &replay);
        erring.line.guessed(ONE(2), 0);
        if let Some(ahead) = began {
            erring.line.clock(ClockReading { mono: 8_100, ahead }, None);
        }
        erring.give(Some(ONE(2)));
        let live = erring.happen(&[9_000]);
        erring.frame(ONE(2), &live);
        assert_eq!(
            (erring.gaps(), erring.missing().is_empty()),
            (gaps.clone(), gaps.is_empty()),
            "{began:?}"
        );
    }
}
