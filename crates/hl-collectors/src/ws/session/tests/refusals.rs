use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use super::rig::{QUARANTINE_MS, Rig, STREAMS, Socket, ack, coin, down, echo, key};
use crate::ws::session::refusals::{BLAME_MS, OVER_LIMIT_PAUSE_MS};

/// The answers that the exchange gave before it closed the socket.
fn open_with_answers(names: &[&str], answers: usize) -> Rig {
    let mut rig = Rig::open(names);
    for _ in 0..answers {
        let answer = rig.unread.pop_front().unwrap();
        rig.frame(answer);
    }
    rig
}

#[test]
fn what_was_on_the_way_when_a_living_socket_died_is_suspected_in_the_order_of_sending() {
    let mut rig = open_with_answers(&["mids", "trades/ETH", "trades/BTC", "bbo/BTC"], 1);
    rig.take_reports();
    rig.lose();
    let suspects = ["trades/ETH", "bbo/BTC", "mids"].map(key).to_vec();
    let proved = BTreeSet::from([coin(key("trades/BTC"))]);
    assert_eq!(rig.deaths, [Death { suspects, proved }]);
    assert_eq!(rig.pause(), 0, "those that are not suspected do not wait");
}

#[test]
fn the_suspects_do_not_ride_with_the_others() {
    let mut rig = Rig::new(1);
    rig.poison = Some(key("bbo/BTC"));
    for name in STREAMS {
        rig.want(key(name), true);
    }
    rig.work();
    rig.connect();
    assert!(rig.deaths.is_empty(), "a socket that never brought anything accuses nobody");
    // The next one has to show first that it lives.
    rig.take_sent();
    rig.reconnect();
    assert!(rig.take_sent().iter().all(|text| !text.contains("subscribe")));
    rig.read_all();
    rig.work();
    assert_eq!(rig.deaths.len(), 1);
    rig.work();
    rig.connect();
    rig.read_all();
    let live: BTreeSet<_> = rig.live.keys().copied().collect();
    let innocent: BTreeSet<_> = STREAMS.map(key).into_iter().filter(|s| *s != key("bbo/BTC")).collect();
    assert_eq!(live, innocent, "only the guilty one is left out");
    assert_eq!(rig.session.view(), (true, 5, 5));
    let refused: Vec<_> =
        rig.reports.iter().filter(|e| matches!(e, Event::Down { cause: Cause::Refused, .. })).collect();
    assert_eq!(refused, [&down("bbo/BTC", None, Cause::Refused)]);
    assert_eq!(rig.session.counters().quarantined, 1);

    rig.poison = None;
    for _ in 0..20 {
        rig.data("mids");
        rig.pass(2_000);
        rig.read_all();
    }
    assert!(rig.live.contains_key(&key("bbo/BTC")), "once it is let go it is subscribed");
}

#[test]
fn a_socket_that_never_answers_accuses_nobody() {
    let mut rig = Rig::open(&["bbo/BTC", "mids"]);
    for _ in 0..10 {
        rig.unread.clear();
        rig.pass(20);
        rig.lose();
        rig.reconnect();
    }
    assert!(rig.deaths.is_empty());
    assert_eq!(rig.subscribes("bbo/BTC"), 1, "and nothing is sent on one that does not live");
    // Where no ping is answered, a socket that stays open lives.
    rig.unread.clear();
    rig.pass(CAREFUL_MS);
    assert_eq!(rig.subscribes("bbo/BTC"), 2);
}

#[test]
fn sockets_that_die_again_and_again_are_not_opened_without_a_pause() {
    let mut rig = open_with_answers(&["bbo/BTC", "mids"], 1);
    rig.lose();
    assert_eq!(rig.pause(), 0);
    rig.reconnect();
    let answer = rig.unread.pop_front().unwrap();
    rig.frame(answer);
    rig.lose();
    assert!(rig.pause() >= FIRST_BACKOFF_MS / 2, "{}", rig.pause());
    assert_eq!(rig.deaths.len(), 2);
}

#[test]
fn what_is_held_is_not_subscribed_and_what_lives_goes_on() {
    let mut rig = Rig::live(&["bbo/BTC", "trades/BTC", "mids"]);
    rig.take_sent();
    let mut out = Vec::new();
    rig.session.hold(|stream| if stream == StreamKey::Mids { Hold::No } else { Hold::Trial }, &mut out);
    assert!(out.is_empty(), "it lives: {out:?}");
    assert_eq!(rig.session.view(), (true, 3, 3));
    rig.renew(key("trades/BTC"));
    rig.session.tick(rig.now, rig.exchange(), &mut out);
    assert!(out.is_empty(), "anew only after a trial: {out:?}");
    assert_eq!(rig.session.view(), (true, 2, 2));
    rig.session.hold(|_| Hold::No, &mut out);
    rig.session.tick(rig.now, rig.exchange(), &mut out);
    assert_eq!(out.len(), 2, "unsubscribe and subscribe: {out:?}");
}

#[test]
fn a_socket_of_which_everything_is_held_is_closed_and_none_is_opened_for_it() {
    let mut rig = Rig::open(&["bbo/BTC"]);
    rig.unread.clear();
    rig.frame(Frame::Error(format!("Invalid subscription: {}", echo(key("bbo/BTC")))));
    rig.work();
    assert_eq!((rig.socket, rig.session.view()), (Socket::None, (false, 0, 0)));
    rig.pass(QUARANTINE_MS - 1);
    assert_eq!((rig.socket, rig.session.next_deadline()), (Socket::None, None));
    rig.pass(1);
    assert_eq!(rig.socket, Socket::Opening);
}

#[test]
fn a_close_long_after_a_subscribe_is_not_blamed_on_it() {
    let mut rig = Rig::open(&["bbo/BTC", "mids"]);
    for _ in 0..4 {
        rig.unread.retain(|frame| *frame == ack(key("mids")));
        rig.read_all();
        rig.pass(BLAME_MS + 1);
        rig.lose();
        rig.reconnect();
    }
    assert!(rig.deaths.is_empty());
}

#[test]
fn a_refusal_that_quotes_a_subscription_is_about_that_one_alone() {
    let mut rig = Rig::open(&["bbo/BTC", "mids"]);
    rig.frame(Frame::Error(format!("Invalid subscription: {}", echo(key("bbo/BTC")))));
    rig.work();
    assert_eq!(rig.take_reports(), [down("bbo/BTC", None, Cause::Refused)]);
    rig.unread.retain(|frame| *frame != ack(key("bbo/BTC")));
    rig.read_all();
    assert_eq!(rig.live.keys().collect::<Vec<_>>(), [&key("mids")]);
}

#[test]
fn a_stream_that_the_exchange_forgot_is_made_anew_without_blame() {
    let mut rig = Rig::live(&["trades/BTC"]);
    rig.subscribed.clear();
    rig.renew(key("trades/BTC"));
    rig.work();
    rig.read_all();
    assert_eq!(rig.session.counters().quarantined, 0, "\"Already unsubscribed\" refuses nothing");
    assert!(rig.live.contains_key(&key("trades/BTC")));
}

#[test]
fn over_the_limit_waits_and_tries_again() {
    let mut rig = Rig::open(&["bbo/BTC", "mids"]);
    rig.unread.clear();
    rig.subscribed.clear();
    rig.take_sent();
    rig.frame(Frame::Error("Cannot subscribe to more than 1000 channels.".into()));
    let mut reports = rig.take_reports();
    reports.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(
        reports,
        [down("bbo/BTC", None, Cause::OverCapacity), down("mids", None, Cause::OverCapacity)]
    );
    rig.pass(OVER_LIMIT_PAUSE_MS - 1);
    assert_eq!(rig.subscribes("mids"), 0);
    rig.pass(1);
    assert_eq!((rig.subscribes("mids"), rig.subscribes("bbo/BTC")), (1, 1));
    assert_eq!(rig.session.counters().quarantined, 0);
}

#[test]
fn garbage_ends_runs_of_trades_and_breaks_the_others() {
    let mut rig = Rig::live(&["trades/BTC", "bbo/BTC", "mids"]);
    let (trades, bbo, mids) =
        (rig.live[&key("trades/BTC")], rig.live[&key("bbo/BTC")], rig.live[&key("mids")]);
    rig.offers.clear();
    rig.take_sent();

    rig.garbage("bbo");
    assert!(rig.take_reports().is_empty());
    assert_eq!(
        rig.offers,
        [Offer {
            stream: key("bbo/BTC"),
            ticket: Ticket::Run(bbo),
            content: Content::Broken { at: rig.exchange() }
        }]
    );

    // Whose frame it was is not known: everybody's.
    rig.offers.clear();
    rig.garbage("?");
    assert_eq!(rig.take_reports(), [down("trades/BTC", Some(trades), Cause::Undecodable)]);
    let broken: BTreeMap<_, _> = rig.offers.iter().map(|o| (o.stream, o.ticket)).collect();
    let expected = [(key("bbo/BTC"), Ticket::Run(bbo)), (key("mids"), Ticket::Run(mids))];
    assert_eq!(broken, BTreeMap::from(expected));
    assert!(rig.offers.iter().all(|o| matches!(o.content, Content::Broken { .. })));

    rig.data("trades/BTC");
    rig.work();
    let sent = rig.take_sent();
    assert!(sent[0].contains("unsubscribe") && sent[1].contains("\"subscribe\""), "{sent:?}");
    rig.read_all();
    assert!(rig.live[&key("trades/BTC")] > trades);
    assert_eq!(rig.session.counters().undecodable, 2);
    assert_eq!(rig.session.counters().unrouted, 1, "between the runs its data belongs to nobody");
}
