//! The session, step by step and under random orders.

mod refusals;
mod rig;

use std::collections::BTreeSet;

use proptest::prelude::*;

use self::rig::{EPOCH, QUARANTINE_MS, Rig, STREAMS, Socket, ack, data, down, echo, key};
use super::pings::{PING_FOR_PROOF_MS, PING_MS, PONG_LIMIT_MS};
use super::*;

#[test]
fn an_acknowledgement_with_added_defaults_starts_a_run_and_its_first_data_proves_it() {
    let mut rig = Rig::open(&["book/BTC"]);
    assert_eq!(rig.session.view(), (true, 0, 1));
    rig.read_all();
    let run = rig.live[&key("book/BTC")];
    assert_eq!(rig.offers.last().unwrap().content, Content::Started { at: TimeMs(EPOCH) });
    assert!(rig.take_reports().is_empty(), "an acknowledgement is no data");
    rig.data("book/BTC");
    rig.data("book/BTC");
    assert_eq!(rig.take_reports(), [Event::Up { stream: key("book/BTC"), run }], "once");
    assert_eq!(rig.session.view(), (true, 1, 1));
}

#[test]
fn already_subscribed_is_an_acknowledgement() {
    let mut rig = Rig::open(&["book/BTC"]);
    rig.unread.clear();
    rig.frame(Frame::Error(format!("Already subscribed: {}", echo(key("book/BTC")))));
    assert!(rig.live.contains_key(&key("book/BTC")));
}

#[test]
fn an_acknowledgement_of_another_book_is_not_ours() {
    let mut rig = Rig::open(&["book/BTC"]);
    rig.unread.clear();
    rig.frame(ack(key("book/BTC/fast")));
    assert!(rig.live.is_empty());
    assert_eq!(rig.session.counters().unrouted, 1);
}

#[test]
fn data_before_the_acknowledgement_belongs_to_nobody() {
    let mut rig = Rig::open(&["trades/BTC"]);
    rig.data("trades/BTC");
    rig.data("trades/ETH");
    assert!(rig.offers.is_empty());
    assert_eq!(rig.session.counters().unrouted, 2);
}

#[test]
fn a_lost_socket_ends_every_run_and_its_successor_has_the_same_set() {
    let mut rig = Rig::live(&STREAMS);
    let before: BTreeSet<_> = rig.take_sent().into_iter().collect();
    let runs = rig.live.clone();
    rig.lose();
    let mut lost = rig.take_reports();
    lost.sort_by_key(|event| format!("{event:?}"));
    let mut expected: Vec<_> = STREAMS.map(|name| down(name, Some(runs[&key(name)]), Cause::Outage)).into();
    expected.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(lost, expected);
    rig.reconnect();
    assert_eq!(rig.take_sent().into_iter().collect::<BTreeSet<_>>(), before);
    rig.read_all();
    assert!(rig.live.iter().all(|(stream, run)| *run > runs[stream]), "new runs");
    rig.work();
    assert!(rig.take_sent().is_empty(), "nothing twice");
}

#[test]
fn many_subscriptions_are_paced() {
    let mut rig = Rig::new(1);
    for i in 0..150 {
        rig.want(key(&format!("bbo/C{i}")), true);
    }
    rig.work();
    rig.connect();
    let at_once = rig.sent.len();
    assert!(at_once <= SENDS_AT_ONCE as usize, "{at_once}");
    // None of them ever brings data, so all of them are made anew again and again.
    for _ in 0..60 {
        rig.pass(1_000);
        rig.read_all();
    }
    assert_eq!(rig.subscribed.len(), 150);
    assert!(rig.session.counters().renewed >= 150);
    let earned = |ms: i64| SENDS_AT_ONCE as usize + usize::try_from(ms / SEND_EVERY_MS).unwrap();
    for (i, (from, _)) in rig.sent.iter().enumerate() {
        for (j, (to, _)) in rig.sent.iter().enumerate().skip(i) {
            assert!(j - i < earned(to - from) + 4, "{} messages in {} ms", j - i + 1, to - from);
        }
    }
}

#[test]
fn pauses_double_with_jitter_and_only_health_starts_them_anew() {
    let mut rig = Rig::new(5);
    rig.want(key("bbo/BTC"), true);
    rig.work();
    for longest in [1_000, 2_000, 4_000, 4_000, 4_000] {
        rig.lose();
        assert!((longest / 2..=longest).contains(&rig.pause()), "{} of {longest}", rig.pause());
        rig.pass(rig.pause());
    }
    // Long-lived without data, then data without a long life: neither is health.
    rig.connect();
    rig.read_all();
    rig.lose();
    assert!(rig.pause() >= LONGEST_BACKOFF_MS / 2);
    rig.reconnect();
    rig.read_all();
    rig.data("bbo/BTC");
    rig.pass(HEALTHY_MS / 2);
    rig.lose();
    assert!(rig.pause() >= LONGEST_BACKOFF_MS / 2);
    rig.reconnect();
    rig.read_all();
    for _ in 0..35 {
        rig.pass(1_000);
        rig.read_all();
        rig.data("bbo/BTC");
    }
    rig.lose();
    assert!(rig.pause() <= 1_000, "{}", rig.pause());
}

#[test]
fn where_there_is_no_room_for_a_socket_it_waits_and_that_is_no_loss() {
    let mut rig = Rig::new(5);
    rig.want(key("bbo/BTC"), true);
    rig.work();
    rig.socket = Socket::None;
    rig.session.wait(7_000);
    rig.pass(6_999);
    assert_eq!((rig.socket, rig.session.counters().losses), (Socket::None, 0));
    rig.pass(1);
    assert_eq!(rig.socket, Socket::Opening);
    rig.lose();
    assert!(rig.pause() <= FIRST_BACKOFF_MS, "the pauses have not grown");
}

#[test]
fn where_sockets_live_again_the_pause_is_cut_short() {
    let mut rig = Rig::new(5);
    rig.want(key("bbo/BTC"), true);
    rig.work();
    for _ in 0..8 {
        rig.lose();
        rig.pass(rig.pause());
    }
    rig.lose();
    assert!(rig.pause() > HURRY_MS);
    rig.session.hurry(rig.now);
    assert!(rig.pause() <= HURRY_MS);
}

/// What a session does with a frame must not grow with the number of its subscriptions.
#[test]
fn a_frame_looks_at_no_other_subscription() {
    let looks_a_frame = |count: usize| {
        let mut session = Session::new(0, fastrand::Rng::with_seed(1));
        let names: Vec<_> = (0..count).map(|i| key(&format!("bbo/C{i}"))).collect();
        let (mut out, mut now) = (Vec::new(), 0);
        for stream in &names {
            session.want(*stream, Lane::First, true);
        }
        let tick = |session: &mut Session, now: Mono, out: &mut Vec<Action>| {
            session.tick(now, TimeMs(EPOCH + now), out);
        };
        tick(&mut session, now, &mut out);
        session.connected(now);
        while session.view().1 < count {
            now += 1_000;
            out.clear();
            tick(&mut session, now, &mut out);
            for stream in &names {
                session.frame(now, TimeMs(EPOCH + now), (ack(*stream), None), &mut out);
            }
            session.frame(now, TimeMs(EPOCH + now), (Frame::Pong, None), &mut out);
        }
        let (before, frames) = (session.subs.looked, 100 * count);
        for i in 0..frames {
            // Each comes a hundred times, a second apart.
            now += i64::from(i % count == 0) * 1_000;
            out.clear();
            session.frame(now, TimeMs(EPOCH + now), (data(names[i % count], now), None), &mut out);
            session.frame(now, TimeMs(EPOCH + now), (Frame::Pong, None), &mut out);
            tick(&mut session, now, &mut out);
            assert!(session.next_deadline().is_some());
        }
        assert_eq!(session.counters().frames, frames as u64);
        (session.subs.looked - before) * 1_000 / frames as u64
    };
    let (few, many) = (looks_a_frame(10), looks_a_frame(1_000));
    assert!(few < 500 && many <= 2 * few.max(1), "looks in 1,000 frames: {few} of 10, {many} of 1,000");
}

#[test]
fn mids_of_two_dexes_share_a_socket_and_are_told_apart() {
    let mut rig = Rig::live(&["mids", "mids/xyz"]);
    for (at, name) in ["mids/xyz", "mids", "mids/xyz"].into_iter().enumerate() {
        rig.offers.clear();
        rig.data(name);
        rig.read_all();
        let brought: Vec<_> = rig.offers.iter().map(|offer| offer.stream).collect();
        assert_eq!(brought, [key(name)], "frame {at}");
    }
    rig.session.want(key("mids/xyz"), Lane::First, false);
    let before = rig.session.counters().unrouted;
    rig.data("mids/xyz");
    rig.read_all();
    assert_eq!(rig.session.counters().unrouted, before + 1, "it is not wanted here");
}

#[test]
fn two_sockets_that_died_together_do_not_come_back_together() {
    let pauses: BTreeSet<_> = (0..20)
        .map(|seed| {
            let mut rig = Rig::new(seed);
            rig.want(key("mids"), true);
            rig.work();
            rig.lose();
            rig.pause()
        })
        .collect();
    assert!(pauses.len() > 10, "{pauses:?}");
}

#[test]
fn an_attempt_to_connect_has_a_limit() {
    let mut rig = Rig::new(1);
    rig.want(key("mids"), true);
    rig.work();
    assert_eq!(rig.session.next_deadline(), Some(CONNECT_LIMIT_MS));
    rig.pass(CONNECT_LIMIT_MS);
    assert_eq!((rig.socket, rig.session.counters().losses), (Socket::None, 1));
}

#[test]
fn no_pong_closes_and_a_pong_proves_bars() {
    let mut rig = Rig::live(&["candle/BTC/1m", "trades/BTC", "bbo/BTC"]);
    rig.pass(PING_FOR_PROOF_MS);
    let sent = TimeMs(EPOCH + PING_FOR_PROOF_MS);
    rig.pass(100);
    assert_eq!(proofs(&mut rig), [(key("candle/BTC/1m"), sent)], "stamped when the ping was sent");

    rig.answers_pings = false;
    rig.pass(PING_FOR_PROOF_MS + PONG_LIMIT_MS);
    assert_eq!((rig.socket, rig.session.counters().half_open), (Socket::None, 1));
}

/// What is read proves.
fn proofs(rig: &mut Rig) -> Vec<(StreamKey, TimeMs)> {
    rig.offers.clear();
    rig.read_all();
    let proof = |offer: &Offer| match offer.content {
        Content::Proof { sent } => Some((offer.stream, sent)),
        _ => None,
    };
    rig.offers.iter().filter_map(proof).collect()
}

#[test]
fn a_pong_proves_best_bids_as_far_as_the_exchange_has_come_with_them() {
    let mut rig = Rig::live(&["mids", "bbo/BTC", "bbo/C0"]);
    rig.pass(PING_FOR_PROOF_MS);
    assert_eq!(proofs(&mut rig), [], "none has come yet");
    rig.data("bbo/BTC");
    rig.pass(1_000);
    let time = TimeMs(EPOCH + rig.now);
    rig.data("bbo/C0");
    rig.pass(PING_FOR_PROOF_MS - 1_000);
    assert_eq!(proofs(&mut rig), [(key("bbo/BTC"), time), (key("bbo/C0"), time)], "also of a quiet coin");
    rig.pass(PING_FOR_PROOF_MS - 1);
    rig.data("bbo/C0");
    let sent = TimeMs(EPOCH + rig.now + 1);
    rig.pass(1);
    rig.data("bbo/C0");
    assert!(proofs(&mut rig).iter().all(|(_, proven)| *proven <= sent), "no more than the pong does");
}

#[test]
fn a_trade_shows_how_far_all_trades_of_its_socket_have_come() {
    let mut rig = Rig::live(&["trades/BTC", "trades/ETH", "mids"]);
    let proofs = |rig: &mut Rig, name: &str| {
        rig.offers.clear();
        rig.data(name);
        let proof = |offer: &Offer| match offer.content {
            Content::Proof { sent } => Some((offer.stream.to_string(), sent.0 - EPOCH)),
            _ => None,
        };
        rig.offers.iter().filter_map(proof).collect::<Vec<_>>()
    };
    proofs(&mut rig, "trades/BTC");
    assert_eq!(proofs(&mut rig, "trades/BTC"), [], "once a second");
    rig.pass(1_000);
    let at = rig.now;
    assert_eq!(proofs(&mut rig, "mids"), []);
    let both = ["trades/BTC", "trades/ETH"].map(|name| (name.to_owned(), at));
    assert_eq!(proofs(&mut rig, "trades/ETH"), both);
}

#[test]
fn after_standing_still_frames_without_a_time_wait_for_the_answer_to_a_new_ping() {
    let mut rig = Rig::live(&["trades/BTC", "mids"]);
    for name in ["trades/BTC", "mids"] {
        rig.data(name);
    }
    while rig.unread.is_empty() {
        rig.pass(1_000);
        rig.data("mids");
    }
    let old_pong = rig.unread.pop_front().unwrap();
    rig.now += 4_000;
    rig.session.stood_still(rig.now);
    let brings = |rig: &mut Rig| {
        rig.offers.clear();
        rig.data("mids");
        rig.data("trades/BTC");
        let frames = rig.offers.iter().filter(|offer| offer.content.records().is_some());
        frames.map(|offer| offer.stream).collect::<Vec<_>>()
    };
    assert_eq!(brings(&mut rig), [key("trades/BTC")], "a trade says when it was");
    rig.frame(old_pong);
    assert_eq!(brings(&mut rig), [key("trades/BTC")], "that ping was sent before");
    rig.work();
    assert_eq!(brings(&mut rig), [key("trades/BTC")], "the answer is on its way");
    rig.read_all();
    assert_eq!(brings(&mut rig), [key("mids"), key("trades/BTC")]);
    assert_eq!(rig.session.counters().stale, 3);
}

#[test]
fn after_standing_still_a_pong_that_was_lost_before_delays_mids_by_one_ping() {
    for lost in [1, 2, 5] {
        let mut rig = Rig::live(&["mids", "context/BTC"]);
        rig.answers_pings = false;
        while rig.session.counters().unanswered == 0 {
            rig.pass(1_000);
            rig.data("mids");
        }
        for _ in 2..lost {
            rig.pass(PING_FOR_PROOF_MS);
            rig.data("mids");
        }
        rig.answers_pings = true;
        rig.now += 4_000;
        rig.session.stood_still(rig.now);
        let brings_mids = |rig: &mut Rig, ms| {
            rig.pass(ms);
            rig.read_all();
            rig.offers.clear();
            rig.data("mids");
            !rig.offers.is_empty()
        };
        assert!(!brings_mids(&mut rig, 1), "that pong may be an old one");
        let waits = (0..10).take_while(|_| !brings_mids(&mut rig, PING_FOR_PROOF_MS)).count();
        assert!(waits < lost, "{lost} lost, {waits}");
    }
}

#[test]
fn a_best_bid_and_offer_of_the_future_does_not_say_how_far_the_pushes_have_come() {
    let mut rig = Rig::live(&["bbo/BTC", "bbo/C0"]);
    rig.pass(1_000);
    let time = rig.exchange();
    rig.data("bbo/C0");
    rig.frame(data(key("bbo/C0"), rig.now + 60_000));
    rig.offers.clear();
    rig.pass(2 * PING_FOR_PROOF_MS);
    rig.read_all();
    let proofs: Vec<_> = rig
        .offers
        .iter()
        .filter_map(|offer| match offer.content {
            Content::Proof { sent } => Some(sent),
            _ => None,
        })
        .collect();
    assert!(!proofs.is_empty() && proofs.iter().all(|sent| *sent == time), "{proofs:?} {time:?}");
}

#[test]
fn a_socket_that_brings_data_stays_without_pongs_and_stamps_prove_bars() {
    let mut rig = Rig::live(&["candle/BTC/1m", "bbo/BTC", "mids"]);
    rig.answers_pings = false;
    rig.offers.clear();
    let mut proofs = Vec::new();
    for second in 0..300 {
        rig.pass(1_000);
        let stamp = rig.exchange();
        for name in ["mids", "bbo/BTC", "candle/BTC/1m"] {
            rig.data(name);
        }
        for offer in std::mem::take(&mut rig.offers) {
            if let Content::Proof { sent } = offer.content {
                assert_eq!(sent, stamp, "second {second}");
                proofs.extend((offer.stream == key("candle/BTC/1m")).then_some(second));
            }
        }
    }
    let counters = rig.session.counters();
    assert_eq!((counters.losses, counters.half_open, counters.unanswered), (0, 0, 1));
    assert!((14..17).contains(&proofs[0]), "as soon as a pong is missed: {proofs:?}");
    assert!(proofs.windows(2).all(|pair| pair[1] - pair[0] == 5), "{proofs:?}");

    // A stamp of the future proves no more than now, and a pong that may answer any ping nothing.
    rig.pass(PING_FOR_PROOF_MS);
    rig.data("mids");
    rig.frame(data(key("bbo/BTC"), rig.now + 60_000));
    let sent = rig.exchange();
    let proof =
        |offer: &Offer| offer.stream == key("candle/BTC/1m") && offer.content == Content::Proof { sent };
    assert_eq!(rig.offers.iter().filter(|offer| proof(offer)).count(), 1);
    rig.pass(PING_FOR_PROOF_MS);
    rig.offers.clear();
    rig.frame(Frame::Pong);
    assert!(rig.offers.is_empty());

    // Nothing at all is a half-open connection still.
    rig.data("mids");
    rig.pass(PONG_LIMIT_MS - 1);
    assert_eq!(rig.socket, Socket::Open);
    rig.pass(PING_FOR_PROOF_MS + 1);
    assert_eq!((rig.socket, rig.session.counters().half_open), (Socket::None, 1));
}

#[test]
fn after_standing_still_without_pongs_a_stamp_says_what_is_new() {
    let mut rig = Rig::live(&["bbo/BTC", "mids"]);
    rig.answers_pings = false;
    for _ in 0..40 {
        rig.pass(1_000);
        rig.data("bbo/BTC");
        rig.data("mids");
    }
    rig.now += 4_000;
    rig.session.stood_still(rig.now);
    let brings_mids = |rig: &mut Rig| {
        rig.offers.clear();
        rig.data("mids");
        !rig.offers.is_empty()
    };
    rig.pass(PING_FOR_PROOF_MS);
    rig.frame(data(key("bbo/BTC"), rig.now - PING_FOR_PROOF_MS - 1_000));
    assert!(!brings_mids(&mut rig), "that waited");
    rig.pass(PING_FOR_PROOF_MS);
    rig.data("bbo/BTC");
    assert!(brings_mids(&mut rig));
}

#[test]
fn a_pong_that_nobody_asked_for_proves_nothing() {
    let mut rig = Rig::live(&["candle/BTC/1m"]);
    rig.offers.clear();
    rig.frame(Frame::Pong);
    assert!(rig.offers.is_empty());
}

#[test]
fn a_lost_acknowledgement_is_asked_for_again() {
    let mut rig = Rig::open(&["bbo/BTC"]);
    rig.unread.clear();
    rig.pass(ACK_LIMIT_MS);
    assert_eq!(rig.subscribes("bbo/BTC"), 2);
    rig.read_all();
    assert!(rig.live.contains_key(&key("bbo/BTC")), "the exchange says that it has it already");
}

#[test]
fn renewing_makes_a_new_run_and_an_old_wish_does_nothing() {
    let mut rig = Rig::live(&["trades/BTC"]);
    let stream = key("trades/BTC");
    let old = rig.live[&stream];
    rig.renew(stream);
    rig.work();
    rig.read_all();
    let new = rig.live[&stream];
    assert!(new > old);
    rig.session.renew(stream, old);
    rig.take_sent();
    rig.work();
    assert!(rig.take_sent().is_empty());
    assert_eq!(rig.session.counters().renewed, 1);
}

#[test]
fn a_subscription_that_brings_nothing_is_made_anew_and_ever_more_patiently() {
    let mut rig = Rig::live(&["trades/BTC"]);
    let mut limit = FIRST_DATA_LIMIT_MS;
    for _ in 0..4 {
        let run = rig.live[&key("trades/BTC")];
        let end = rig.now + limit;
        while rig.now < end - 1 {
            rig.pass(1_000.min(end - 1 - rig.now));
            rig.read_all();
        }
        assert!(rig.take_reports().is_empty(), "not before {limit} ms");
        rig.pass(1);
        assert_eq!(rig.take_reports(), [down("trades/BTC", Some(run), Cause::Silence)]);
        rig.read_all();
        limit *= 2;
    }
    assert_eq!(rig.session.counters().renewed, 4);
}

#[test]
fn silence_is_reported_once_a_limit_and_calm_makes_it_longer() {
    let mut rig = Rig::live(&["trades/BTC"]);
    let stream = key("trades/BTC");
    rig.data("trades/BTC");
    rig.take_reports();
    let run = rig.live[&stream];
    let limit = stream.spec().first_silence_ms;
    let silent = Event::Silent { stream, run };
    rig.pass(limit - 1);
    assert!(rig.take_reports().is_empty());
    rig.pass(1);
    assert_eq!(rig.take_reports(), [silent]);
    rig.pass(limit - 1);
    rig.read_all();
    assert!(rig.take_reports().is_empty(), "asked once, not at every tick");
    rig.session.calm(stream, run);
    rig.pass(limit);
    rig.read_all();
    assert!(rig.take_reports().is_empty(), "calm doubled the limit");
    rig.pass(1);
    assert_eq!(rig.take_reports(), [silent]);
    // An answer about an earlier run says nothing about this one.
    rig.session.calm(stream, RunId::first(run.number - 1));
    rig.pass(2 * limit);
    assert_eq!(rig.take_reports(), [silent]);
}

#[test]
fn a_socket_without_its_heartbeat_is_closed() {
    let mut rig = Rig::live(&["mids", "trades/BTC"]);
    rig.data("mids");
    let limit = key("mids").spec().first_silence_ms;
    while rig.socket == Socket::Open && rig.now < 10 * limit {
        rig.pass(500);
        rig.read_all();
    }
    assert_eq!((rig.socket, rig.session.counters().stalled), (Socket::None, 1), "pongs are no life");
}

#[test]
fn what_is_no_longer_wanted_is_unsubscribed_and_the_last_one_closes_the_socket() {
    let mut rig = Rig::live(&["trades/BTC", "bbo/BTC"]);
    rig.take_sent();
    rig.want(key("trades/BTC"), false);
    rig.work();
    assert_eq!(rig.take_sent().len(), 1);
    assert_eq!(rig.subscribed, BTreeSet::from([key("bbo/BTC")]));
    rig.want(key("bbo/BTC"), false);
    rig.pass(PING_MS);
    assert_eq!(rig.socket, Socket::None);
    assert_eq!(rig.session.next_deadline(), None, "and nothing is left to do");
}

#[derive(Clone, Debug)]
enum Op {
    Want(usize, bool),
    Pass(i64),
    Connect,
    Lose,
    Read,
    LoseAnswer,
    Data(usize),
    Garbage(&'static str, Option<&'static str>),
    Renew(usize),
    Forget(usize),
    Words(&'static str),
    Refuse(usize),
    Poison(Option<usize>),
    Pings(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let which = 0..STREAMS.len();
    prop_oneof![
        4 => (which.clone(), prop::bool::weighted(0.7)).prop_map(|(i, wanted)| Op::Want(i, wanted)),
        8 => Just(Op::Pass(0)),
        6 => (0_i64..6_000).prop_map(Op::Pass),
        1 => (0_i64..700_000).prop_map(Op::Pass),
        4 => Just(Op::Connect),
        1 => Just(Op::Lose),
        8 => Just(Op::Read),
        1 => Just(Op::LoseAnswer),
        8 => which.clone().prop_map(Op::Data),
        1 => (
            prop::sample::select(vec!["trades", "bbo", "l2Book", "candle", "?"]),
            prop::sample::select(vec![None, Some("BTC"), Some("ETH"), Some("DOGE")]),
        )
            .prop_map(|(channel, coin)| Op::Garbage(channel, coin)),
        1 => which.clone().prop_map(Op::Renew),
        1 => which.clone().prop_map(Op::Forget),
        1 => prop::sample::select(vec![
            "Cannot subscribe to more than 1000 channels.",
            "Cannot send more than 2000 messages per minute.",
            "Already subscribed: {",
            "Already subscribed: {}",
            "Invalid subscription: null",
            "",
        ])
        .prop_map(Op::Words),
        1 => which.clone().prop_map(Op::Refuse),
        1 => prop::option::of(which).prop_map(Op::Poison),
        1 => prop::bool::weighted(0.7).prop_map(Op::Pings),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens: one socket at most, frames only inside their run, no run twice, no work left undone at a
    /// deadline (all checked by the rig), never more on the exchange's side than was asked for; and once the exchange
    /// behaves, exactly the wanted set is subscribed.
    #[test]
    fn ends_with_exactly_the_wanted_set(seed: u64, ops in prop::collection::vec(op(), 0..80)) {
        let mut rig = Rig::new(seed);
        let mut wanted = BTreeSet::new();
        for op in ops {
            match op {
                Op::Want(i, yes) => {
                    let stream = key(STREAMS[i]);
                    if yes { wanted.insert(stream) } else { wanted.remove(&stream) };
                    rig.want(stream, yes);
                }
                Op::Pass(ms) => rig.pass(ms),
                Op::Connect => if rig.socket == Socket::Opening { rig.connect() },
                Op::Lose => if rig.socket != Socket::None { rig.lose() },
                Op::Read => rig.read_all(),
                Op::LoseAnswer => drop(rig.unread.pop_front()),
                Op::Data(i) => if rig.socket == Socket::Open { rig.data(STREAMS[i]) },
                Op::Garbage(channel, coin) => if rig.socket == Socket::Open { rig.garbage(channel, coin) },
                Op::Renew(i) => rig.renew(key(STREAMS[i])),
                Op::Forget(i) => drop(rig.subscribed.remove(&key(STREAMS[i]))),
                Op::Words(words) => if rig.socket == Socket::Open { rig.frame(Frame::Error(words.into())) },
                Op::Refuse(i) => if rig.socket == Socket::Open {
                    // In place of the acknowledgement.
                    let stream = key(STREAMS[i]);
                    if let Some(at) = rig.unread.iter().position(|frame| *frame == ack(stream)) {
                        rig.subscribed.remove(&stream);
                        rig.unread[at] = Frame::Error(format!("Invalid subscription: {}", echo(stream)));
                    }
                },
                Op::Poison(i) => rig.poison = i.map(|i| key(STREAMS[i])),
                Op::Pings(answered) => rig.answers_pings = answered,
            }
        }
        (rig.poison, rig.answers_pings) = (None, true);
        let end = rig.now + 2 * QUARANTINE_MS;
        while rig.now < end {
            rig.pass(1_000);
            if rig.socket == Socket::Opening {
                rig.connect();
            }
            rig.read_all();
            for stream in rig.subscribed.clone() {
                rig.frame(data(stream, rig.now));
            }
            // What the selector does once a witness has seen what a silent stream missed.
            for event in rig.take_reports() {
                if let Event::Silent { stream, .. } = event {
                    rig.renew(stream);
                }
            }
        }
        prop_assert_eq!(&rig.subscribed, &wanted);
        prop_assert_eq!(rig.live.keys().copied().collect::<BTreeSet<_>>(), wanted);
    }
}

#[test]
fn a_second_subscription_runs_and_ends_on_its_own_lane() {
    let mut rig = Rig::new(1);
    let trades = key("trades/BTC");
    rig.session.want(trades, Lane::Second, true);
    rig.work();
    rig.connect();
    rig.read_all();
    rig.data("trades/BTC");
    let run = rig.live[&trades];
    assert_eq!((run.lane, rig.take_reports()), (Lane::Second, vec![Event::Up { stream: trades, run }]));
    rig.session.want(trades, Lane::First, false);
    assert_eq!(rig.session.view(), (true, 1, 1), "the other lane is not ours");
    rig.lose();
    let down = Event::Down { stream: trades, lane: Lane::Second, run: Some(run), cause: Cause::Outage };
    assert_eq!(rig.take_reports(), [down]);
}

#[test]
fn wanting_the_other_lane_subscribes_anew() {
    let mut rig = Rig::live(&["trades/BTC"]);
    let trades = key("trades/BTC");
    rig.session.want(trades, Lane::Second, true);
    rig.live.remove(&trades);
    rig.work();
    rig.read_all();
    assert_eq!(rig.live[&trades].lane, Lane::Second);
    assert_eq!(rig.sent.iter().filter(|(_, text)| text.contains("unsubscribe")).count(), 1);
}
