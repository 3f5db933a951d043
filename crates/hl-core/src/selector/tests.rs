//! The selector's rules, step by step and under random events.

use proptest::prelude::*;

use super::*;
use crate::{Coin, Lane, SourceId, Token};

fn stream() -> StreamKey {
    StreamKey::Trades(Coin::new("BTC").unwrap())
}

fn selector() -> Selector {
    let mut s = Selector::new(Token(7), Timing::default());
    s.step(0, Event::Leased { stream: stream(), places: Places::One, is_new: false });
    s
}

fn effects(s: &mut Selector) -> Vec<Effect> {
    std::iter::from_fn(|| s.next_effect()).collect()
}

fn owner(s: &Selector) -> Option<(SourceId, Option<RunId>)> {
    s.view()[0].live.map(|live| (live.source, live.run))
}

fn up(run: u64) -> Event {
    Event::Up { stream: stream(), run: RunId::first(run) }
}

fn down(run: u64) -> Event {
    Event::Down { stream: stream(), lane: Lane::First, run: Some(RunId::first(run)), cause: Cause::Outage }
}

const WS: fn(u64) -> Option<(SourceId, Option<RunId>)> = |run| Some((SourceId::Ws, Some(RunId::first(run))));
const REST: Option<(SourceId, Option<RunId>)> = Some((SourceId::Rest, None));

/// A selector whose socket owns the stream, at 10 s.
fn owned() -> Selector {
    let mut s = selector();
    s.step(100, up(1));
    s.step(10_000, Event::Tick);
    assert_eq!(owner(&s), WS(1));
    effects(&mut s);
    s
}

#[test]
fn at_the_start_the_socket_is_waited_for_and_nothing_is_fetched_twice() {
    let mut s = selector();
    s.step(100, up(1));
    s.step(2_000, Event::Tick);
    assert_eq!(owner(&s), None, "settling: its data waits in the ring, and REST is not asked");
    s.step(3_100, Event::Tick);
    assert_eq!(owner(&s), WS(1));
    assert_eq!(effects(&mut s).len(), 1);
}

#[test]
fn where_the_socket_does_not_come_rest_begins_after_the_grace() {
    let mut s = selector();
    let grace = Timing::default().start_grace_ms;
    s.step(grace - 1, Event::Tick);
    assert_eq!(owner(&s), None);
    assert_eq!(s.next_deadline(), Some(grace));
    s.step(grace, Event::Tick);
    assert_eq!(owner(&s), REST);
}

#[test]
fn a_dead_socket_hands_over_at_once_and_takes_back_only_after_proof() {
    let mut s = owned();
    s.step(20_000, down(1));
    assert_eq!(owner(&s), REST, "at once");
    s.step(21_000, up(2));
    assert_eq!(owner(&s), REST, "settling");
    let until = s.next_deadline().unwrap();
    s.step(until - 1, Event::Tick);
    assert_eq!(owner(&s), REST);
    s.step(until, Event::Tick);
    assert_eq!(owner(&s), WS(2));
    let epochs: Vec<_> = effects(&mut s)
        .into_iter()
        .filter_map(|e| match e {
            Effect::Handover { grant: Some(grant), .. } => Some(grant.epoch),
            _ => None,
        })
        .collect();
    assert!(epochs.is_sorted() && epochs.len() == 2);
}

#[test]
fn a_flapping_socket_settles_longer_each_time_and_a_stable_one_is_forgiven() {
    let mut s = owned();
    let mut now = 20_000;
    let mut settled = Vec::new();
    for run in 2..8 {
        s.step(now, down(run - 1));
        now += 1_000;
        s.step(now, up(run));
        let until = s.next_deadline().unwrap();
        settled.push(until - now);
        now = until;
        s.step(now, Event::Tick);
        now += 1_000;
    }
    assert_eq!(settled, [3_000, 6_000, 12_000, 20_000, 20_000, 20_000]);
    now += Timing::default().stable_ms;
    s.step(now, down(7));
    s.step(now + 1, up(8));
    assert_eq!(s.next_deadline().unwrap() - now - 1, Timing::default().settle_ms);
}

#[test]
fn a_run_that_dies_while_it_settles_has_moved_nothing_and_lengthens_nothing() {
    let mut s = owned();
    s.step(90_000, down(1));
    for run in 2..20 {
        let now = 90_000 + 2_000 * i64::try_from(run).unwrap();
        s.step(now, up(run));
        assert_eq!(s.next_deadline(), Some(now + Timing::default().settle_ms), "run {run}");
        s.step(now + 1_500, down(run));
    }
    assert_eq!(s.handovers(), 2, "an outage in which sockets open and die");
}

/// A run is up at 1 s after the end of the one before, and convicted so long after it owns the stream. How long it settled.
fn convicted(s: &mut Selector, now: &mut Mono, run: u64, after_ms: i64) -> i64 {
    *now += 1_000;
    s.step(*now, up(run));
    let until = s.next_deadline().unwrap();
    let settled = until - *now;
    *now = until;
    s.step(*now, Event::Tick);
    assert_eq!(owner(s), WS(run));
    *now += after_ms;
    s.step(*now, Event::Missed { stream: stream(), run: RunId::first(run) });
    assert_eq!(owner(s), REST);
    settled
}

#[test]
fn a_witness_that_convicts_again_and_again_moves_the_stream_less_and_less_often() {
    for after_ms in [2_000, 65_000] {
        let mut s = owned();
        let mut now = 20_000;
        s.step(now, Event::Missed { stream: stream(), run: RunId::first(1) });
        let settled: Vec<_> = (2..10).map(|run| convicted(&mut s, &mut now, run, after_ms)).collect();
        assert_eq!(settled, [3_000, 6_000, 12_000, 24_000, 48_000, 60_000, 60_000, 60_000], "{after_ms}");
        convicted(&mut s, &mut now, 10, 5 * Timing::default().stable_ms);
        assert_eq!(
            convicted(&mut s, &mut now, 11, 0),
            3_000,
            "a witness that was silent for long is heard at once"
        );
    }
}

#[test]
fn deaths_and_convictions_do_not_add_up() {
    let mut s = owned();
    let mut now = 20_000;
    s.step(now, Event::Missed { stream: stream(), run: RunId::first(1) });
    (2..5).for_each(|run| _ = convicted(&mut s, &mut now, run, 0));
    for (run, settled) in [(5, 24_000), (6, 24_000), (7, 24_000)] {
        s.step(now, up(run));
        assert_eq!(s.next_deadline(), Some(now + settled));
        now += settled;
        s.step(now, Event::Tick);
        s.step(now, down(run));
    }
}

#[test]
fn rest_that_gets_no_answers_does_not_keep_a_stream_whose_socket_works() {
    let mut s = owned();
    let mut now = 20_000;
    s.step(now, Event::Missed { stream: stream(), run: RunId::first(1) });
    (2..6).for_each(|run| _ = convicted(&mut s, &mut now, run, 0));
    let epoch = s.view()[0].live.unwrap().epoch;
    let answers = |fail, epoch| Event::Answers { stream: stream(), epoch, fail };
    s.step(now, up(6));
    assert_eq!(s.next_deadline(), Some(now + 48_000));
    s.step(now + 1_000, answers(true, Epoch { local: epoch.local - 1, ..epoch }));
    assert_eq!(s.next_deadline(), Some(now + 48_000), "what an earlier claim met says nothing of this one");
    s.step(now + 1_000, answers(true, epoch));
    assert_eq!(s.next_deadline(), Some(now + 3_000));
    s.step(now + 2_000, answers(false, epoch));
    assert_eq!(s.next_deadline(), Some(now + 48_000), "it is answered again");
    s.step(now + 20_000, answers(true, epoch));
    assert_eq!(owner(&s), WS(6), "it has settled for long enough");
    s.step(now + 30_000, down(6));
    s.step(now + 31_000, up(7));
    assert_eq!(s.next_deadline(), Some(now + 31_000 + 48_000), "a new claim has met nothing yet");
}

#[test]
fn silence_asks_and_only_a_witness_takes_over() {
    let silent = Event::Silent { stream: stream(), run: RunId::first(1) };
    let mut s = owned();
    s.step(20_000, silent);
    assert_eq!(effects(&mut s), [Effect::Probe { stream: stream(), run: RunId::first(1) }]);
    assert_eq!(owner(&s), WS(1));
    s.step(21_000, Event::Probed { stream: stream(), run: RunId::first(1), missed: false });
    assert_eq!(effects(&mut s), [Effect::Calm { stream: stream(), run: RunId::first(1) }]);
    assert_eq!(owner(&s), WS(1));

    s.step(40_000, silent);
    s.step(41_000, Event::Probed { stream: stream(), run: RunId::first(1), missed: true });
    assert_eq!(owner(&s), REST);
    assert!(effects(&mut s).contains(&Effect::Renew { stream: stream(), run: RunId::first(1) }));
}

#[test]
fn a_witness_of_its_own_accord_takes_over_at_once() {
    let mut s = owned();
    s.step(20_000, Event::Missed { stream: stream(), run: RunId::first(9) });
    assert_eq!(owner(&s), WS(1), "another run's loss");
    s.step(20_000, Event::Missed { stream: stream(), run: RunId::first(1) });
    assert_eq!(owner(&s), REST);
    assert!(effects(&mut s).contains(&Effect::Renew { stream: stream(), run: RunId::first(1) }));
}

#[test]
fn an_unanswered_question_is_no_witness() {
    let mut s = owned();
    s.step(20_000, Event::Silent { stream: stream(), run: RunId::first(1) });
    s.step(20_000 + Timing::default().probe_limit_ms, Event::Tick);
    assert_eq!(owner(&s), WS(1));
    effects(&mut s);
    s.step(90_000, Event::Silent { stream: stream(), run: RunId::first(1) });
    assert_eq!(effects(&mut s).len(), 1, "and it may be asked again");
}

#[test]
fn a_witness_that_comes_after_the_limit_is_one_all_the_same() {
    let probed = |missed| Event::Probed { stream: stream(), run: RunId::first(1), missed };
    let mut s = owned();
    s.step(20_000, Event::Silent { stream: stream(), run: RunId::first(1) });
    s.step(20_000 + Timing::default().probe_limit_ms, Event::Tick);
    effects(&mut s);
    s.step(50_000, probed(false));
    assert_eq!((owner(&s), effects(&mut s)), (WS(1), Vec::new()), "nobody asks any more");
    s.step(50_000, probed(true));
    assert_eq!(owner(&s), REST);
    assert!(effects(&mut s).contains(&Effect::Renew { stream: stream(), run: RunId::first(1) }));
}

#[test]
fn what_an_old_run_says_changes_nothing() {
    let mut s = owned();
    s.step(20_000, down(1));
    s.step(21_000, up(5));
    let before = s.next_deadline();
    s.step(21_500, up(4));
    s.step(21_600, down(4));
    s.step(21_700, Event::Silent { stream: stream(), run: RunId::first(4) });
    s.step(21_800, Event::Probed { stream: stream(), run: RunId::first(4), missed: true });
    assert_eq!((s.next_deadline(), owner(&s)), (before, REST));
}

#[test]
fn a_stream_without_a_place_on_a_socket_belongs_to_rest_at_once() {
    let mut s = Selector::new(Token(1), Timing::default());
    s.step(0, Event::Leased { stream: stream(), places: Places::None, is_new: false });
    assert_eq!(owner(&s), REST);
    s.step(1, up(1));
    s.step(100_000, Event::Tick);
    assert_eq!(owner(&s), REST);
}

#[test]
fn a_superseded_stream_is_given_up() {
    let mut s = owned();
    s.step(20_000, Event::Superseded { stream: stream() });
    assert_eq!(effects(&mut s), [Effect::Handover { stream: stream(), grant: None }]);
    assert!(s.view().is_empty());
}

#[test]
fn what_another_holds_is_warmed_up_and_gone_on_with_at_once() {
    let mut s = Selector::new(Token(7), Timing::default());
    let (stream, places) = (stream(), Places::One);
    s.step(0, Event::Warm { stream, places });
    assert_eq!(s.next_deadline(), None, "nothing begins by itself");
    s.step(100, up(1));
    s.step(200, down(1));
    s.step(300, up(2));
    let settled = s.next_deadline().unwrap();
    s.step(settled, Event::Tick);
    let view = s.view()[0];
    assert_eq!((view.live, view.leased, view.standby), (None, false, Some(RunId::first(2))));
    assert_eq!((effects(&mut s), s.next_deadline()), (vec![], None), "it is not ours");

    s.step(90_000, Event::Leased { stream, places, is_new: false });
    assert_eq!((owner(&s), s.view()[0].leased), (WS(2), true));
    assert_eq!(causes(&mut s), [Cause::Handover]);
}

#[test]
fn what_is_taken_before_its_socket_has_proved_itself_begins_as_at_a_start() {
    let mut s = Selector::new(Token(7), Timing::default());
    let (stream, places) = (stream(), Places::One);
    s.step(0, Event::Warm { stream, places });
    s.step(100, up(1));
    s.step(1_000, Event::Leased { stream, places, is_new: false });
    assert_eq!(owner(&s), None, "settling");
    s.step(3_100, Event::Tick);
    assert_eq!((owner(&s), causes(&mut s)), (WS(1), vec![Cause::DaemonDown]));

    let mut s = Selector::new(Token(7), Timing::default());
    s.step(0, Event::Warm { stream, places });
    s.step(90_000, Event::Leased { stream, places, is_new: false });
    assert_eq!(owner(&s), REST, "the grace is over");
}

#[test]
fn a_silent_socket_of_a_stream_that_another_holds_is_renewed() {
    let mut s = Selector::new(Token(7), Timing::default());
    s.step(0, Event::Warm { stream: stream(), places: Places::One });
    s.step(100, up(1));
    s.step(10_000, Event::Tick);
    let (stream, run) = (stream(), RunId::first(1));
    s.step(20_000, Event::Silent { stream, run });
    assert_eq!(effects(&mut s), [Effect::Calm { stream, run }, Effect::Renew { stream, run }]);
    assert_eq!(s.view()[0].standby, None);
}

#[test]
fn a_stream_that_another_is_to_have_is_released_owned_or_not() {
    let mut s = owned();
    let stream = stream();
    s.step(20_000, Event::Released { stream });
    assert_eq!(effects(&mut s), [Effect::Release { stream }]);
    s.step(20_001, Event::Released { stream });
    assert_eq!((effects(&mut s), s.view()), (vec![], vec![]), "once");
    s.step(30_000, Event::Warm { stream, places: Places::One });
    s.step(30_001, Event::Released { stream });
    assert_eq!(effects(&mut s), [Effect::Release { stream }]);
}

/// Why the grants handed out since the last look may be incomplete before their first piece.
fn causes(s: &mut Selector) -> Vec<Cause> {
    let cause = |effect| match effect {
        Effect::Handover { grant, .. } => grant.map(|grant| grant.cause),
        _ => None,
    };
    effects(s).into_iter().filter_map(cause).collect()
}

#[test]
fn a_handover_says_why_the_piece_before_it_may_be_incomplete() {
    let ended = |lane, run, cause| Event::Down { stream: stream(), lane, run, cause };
    let mut s = Selector::new(Token(7), Timing::default());
    s.step(0, Event::Leased { stream: stream(), places: Places::Two, is_new: false });
    s.step(100, ended(Lane::First, None, Cause::Refused));
    assert_eq!(causes(&mut s), [Cause::DaemonDown], "it was missed before it was refused");
    s.step(200, up(1));
    s.step(10_000, Event::Tick);
    assert_eq!(causes(&mut s), [Cause::Handover], "between two samples of REST nothing failed");
    s.step(20_000, Event::Up { stream: stream(), run: RunId::second(1) });
    s.step(30_000, ended(Lane::Second, Some(RunId::second(1)), Cause::Refused));
    s.step(40_000, ended(Lane::First, Some(RunId::first(1)), Cause::Undecodable));
    assert_eq!(causes(&mut s), [Cause::Undecodable], "the owner's end, not the standby's");
    s.step(50_000, up(2));
    s.step(60_000, Event::Tick);
    s.step(70_000, Event::Missed { stream: stream(), run: RunId::first(2) });
    assert_eq!(causes(&mut s), [Cause::Handover, Cause::Silence]);
    assert_eq!(s.handovers(), 5);
}

#[test]
fn a_newer_run_replaces_one_whose_end_nobody_reported() {
    let mut s = owned();
    s.step(20_000, up(2));
    assert_eq!((owner(&s), s.view()[0].settling), (REST, true), "the old run is no more");
    s.step(20_000 + Timing::default().settle_ms, Event::Tick);
    assert_eq!(owner(&s), WS(2));
    s.step(30_000, up(3));
    assert_eq!(
        s.next_deadline(),
        Some(30_000 + 2 * Timing::default().settle_ms),
        "it counts as one that died"
    );
}

#[test]
fn silence_of_a_run_that_is_no_more_changes_nothing() {
    let mut s = owned();
    s.step(20_000, Event::Silent { stream: stream(), run: RunId::first(9) });
    assert_eq!((owner(&s), effects(&mut s)), (WS(1), vec![]));
    s.step(30_000, Event::Silent { stream: stream(), run: RunId::first(1) });
    assert_eq!(s.next_deadline(), Some(30_000 + Timing::default().probe_limit_ms));
}

fn event() -> impl Strategy<Value = Event> {
    let run = || {
        (any::<bool>(), 1..5_u64).prop_map(|(second, number)| match second {
            false => RunId::first(number),
            true => RunId::second(number),
        })
    };
    let lane = || prop_oneof![Just(Lane::First), Just(Lane::Second)];
    let stream = stream();
    prop_oneof![
        4 => run().prop_map(move |run| Event::Up { stream, run }),
        3 => run().prop_map(move |run| Event::Down { stream, lane: run.lane, run: Some(run), cause: Cause::Outage }),
        1 => lane().prop_map(move |lane| Event::Down { stream, lane, run: None, cause: Cause::Outage }),
        2 => run().prop_map(move |run| Event::Silent { stream, run }),
        2 => (run(), any::<bool>()).prop_map(move |(run, missed)| Event::Probed { stream, run, missed }),
        1 => run().prop_map(move |run| Event::Missed { stream, run }),
        1 => (0..20_u32, any::<bool>()).prop_map(move |(local, fail)| {
            Event::Answers { stream, epoch: Epoch { token: Token(7), local }, fail }
        }),
        4 => Just(Event::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever happens: handovers follow one another without an epoch used twice, and once events stop an owner
    /// exists as soon as the deadlines have passed.
    #[test]
    fn one_owner_and_never_none_for_long(
        places in prop_oneof![Just(Places::None), Just(Places::One), Just(Places::Two)],
        events in prop::collection::vec((0..20_000_i64, event()), 0..60),
    ) {
        let mut s = Selector::new(Token(7), Timing::default());
        s.step(0, Event::Leased { stream: stream(), places, is_new: false });
        let mut now = 0;
        let mut last = Epoch::default();
        let mut standing = s.view()[0].live;
        if let Some(grant) = standing {
            last = grant.epoch;
            effects(&mut s);
        }
        for (pause, event) in events {
            now += pause;
            s.step(now, event);
            for effect in effects(&mut s) {
                if let Effect::Handover { grant, .. } = effect {
                    let grant = grant.expect("nothing superseded it");
                    prop_assert!(grant.epoch > last);
                    last = grant.epoch;
                    standing = Some(grant);
                }
            }
            prop_assert_eq!(standing, s.view()[0].live, "what was told is what stands");
        }
        for _ in 0..6 {
            if let Some(deadline) = s.next_deadline() {
                now = now.max(deadline);
                s.step(now, Event::Tick);
                prop_assert!(s.next_deadline().is_none_or(|next| next > now), "a deadline that passed is done with");
            }
        }
        prop_assert!(s.view()[0].live.is_some());
    }
}

mod with_a_standby {
    use super::*;

    fn second_up(run: u64) -> Event {
        Event::Up { stream: stream(), run: RunId::second(run) }
    }

    fn second_down(run: u64) -> Event {
        Event::Down {
            stream: stream(),
            lane: Lane::Second,
            run: Some(RunId::second(run)),
            cause: Cause::Outage,
        }
    }

    const SECOND: fn(u64) -> Option<(SourceId, Option<RunId>)> =
        |run| Some((SourceId::Ws, Some(RunId::second(run))));

    /// A selector whose first lane owns the stream and whose second stands by, at 10 s.
    fn owned() -> Selector {
        let mut s = Selector::new(Token(7), Timing::default());
        s.step(0, Event::Leased { stream: stream(), places: Places::Two, is_new: false });
        s.step(100, up(1));
        s.step(150, second_up(1));
        s.step(10_000, Event::Tick);
        assert_eq!((owner(&s), s.view()[0].standby), (WS(1), Some(RunId::second(1))));
        effects(&mut s);
        s
    }

    #[test]
    fn the_standby_takes_over_at_once_and_keeps_the_stream() {
        let mut s = owned();
        s.step(20_000, down(1));
        assert_eq!((owner(&s), effects(&mut s).len()), (SECOND(1), 1), "one handover, and none to REST");
        s.step(21_000, up(2));
        s.step(60_000, Event::Tick);
        assert_eq!((owner(&s), s.view()[0].standby), (SECOND(1), Some(RunId::first(2))));
        assert_eq!(effects(&mut s), []);
        s.step(70_000, second_down(1));
        assert_eq!(owner(&s), WS(2));
    }

    #[test]
    fn a_standby_that_dies_or_never_comes_changes_nothing() {
        let mut s = owned();
        s.step(20_000, second_down(1));
        assert_eq!((owner(&s), effects(&mut s)), (WS(1), vec![]));
        s.step(30_000, down(1));
        assert_eq!(owner(&s), REST, "both are gone");
    }

    #[test]
    fn a_standby_that_still_settles_does_not_take_over() {
        let mut s = owned();
        s.step(20_000, second_down(1));
        s.step(21_000, second_up(2));
        s.step(21_500, down(1));
        assert_eq!(owner(&s), REST);
        s.step(40_000, Event::Tick);
        assert_eq!(owner(&s), SECOND(2));
    }

    #[test]
    fn a_witness_against_the_owner_makes_the_standby_own() {
        let mut s = owned();
        s.step(20_000, Event::Silent { stream: stream(), run: RunId::first(1) });
        s.step(21_000, Event::Probed { stream: stream(), run: RunId::first(1), missed: true });
        assert_eq!(owner(&s), SECOND(1));
    }

    #[test]
    fn a_silent_standby_is_subscribed_anew_without_asking() {
        let mut s = owned();
        let run = RunId::second(1);
        s.step(20_000, Event::Silent { stream: stream(), run });
        let (calm, renew) = (Effect::Calm { stream: stream(), run }, Effect::Renew { stream: stream(), run });
        assert_eq!((owner(&s), effects(&mut s)), (WS(1), vec![calm, renew]));
        s.step(20_100, second_up(2));
        s.step(60_000, Event::Tick);
        assert_eq!(s.view()[0].standby, Some(RunId::second(2)));
    }

    #[test]
    fn rest_waits_for_whichever_socket_settles_first() {
        let mut s = Selector::new(Token(7), Timing::default());
        s.step(0, Event::Leased { stream: stream(), places: Places::Two, is_new: false });
        s.step(100, Event::Down { stream: stream(), lane: Lane::Second, run: None, cause: Cause::Outage });
        assert_eq!(owner(&s), REST, "one failed and the other is not up");
        let mut s = Selector::new(Token(7), Timing::default());
        s.step(0, Event::Leased { stream: stream(), places: Places::Two, is_new: false });
        s.step(100, up(1));
        s.step(200, Event::Down { stream: stream(), lane: Lane::Second, run: None, cause: Cause::Outage });
        assert_eq!(owner(&s), None, "it settles: what it brings waits in its ring");
        s.step(3_100, Event::Tick);
        assert_eq!(owner(&s), WS(1));
    }
}

#[test]
fn a_first_start_is_called_so_however_its_sockets_come() {
    let begun = |fails: bool, is_new| {
        let mut s = Selector::new(Token(7), Timing::default());
        s.step(0, Event::Leased { stream: stream(), places: Places::One, is_new });
        if fails {
            s.step(50, Event::Down { stream: stream(), lane: Lane::First, run: None, cause: Cause::Outage });
        }
        s.step(100, up(1));
        s.step(10_000, Event::Tick);
        causes(&mut s)
    };
    assert_eq!(begun(false, true), [Cause::FirstStart]);
    assert_eq!(begun(true, true), [Cause::FirstStart, Cause::Handover]);
    assert_eq!(begun(false, false), [Cause::DaemonDown]);
    assert_eq!(begun(true, false), [Cause::DaemonDown, Cause::Handover], "that is why the past is missing");
}
