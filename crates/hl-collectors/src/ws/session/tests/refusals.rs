use std::collections::{BTreeMap, BTreeSet};

use hl_core::decode::{Hole, Rows};

use hl_core::record::Trade;
use hl_core::row::Arrival;

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
    assert!(rig.deaths.is_empty(), "a socket that never brought anything accuses no name");
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
    rig.session.hold(|stream| if stream == StreamKey::MIDS { Hold::No } else { Hold::Trial }, &mut out);
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

    rig.garbage("bbo", None);
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
    rig.garbage("?", None);
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

#[test]
fn what_cannot_be_read_of_one_coin_costs_no_other_its_run() {
    let mut rig = Rig::live(&["trades/BTC", "trades/ETH", "bbo/BTC", "candle/BTC/1m"]);
    let (btc, eth) = (rig.live[&key("trades/BTC")], rig.live[&key("trades/ETH")]);
    rig.take_reports();
    rig.offers.clear();
    rig.garbage("trades", Some("BTC"));
    assert_eq!(rig.take_reports(), [down("trades/BTC", Some(btc), Cause::Undecodable)]);
    assert!(rig.offers.is_empty());
    rig.garbage("bbo", Some("BTC"));
    rig.garbage("candle", Some("BTC"));
    let broken: Vec<_> = rig.offers.iter().map(|offer| offer.stream.to_string()).collect();
    assert_eq!(broken, ["bbo/BTC", "candle/BTC/1m"]);
    assert_eq!(rig.live.get(&key("trades/ETH")), Some(&eth));

    // A name that none of ours has was damaged: it may have been the name of any stream.
    rig.offers.clear();
    rig.garbage("bbo", Some("BTD"));
    assert_eq!(rig.offers.len(), 1);
    // What carries no stream takes nothing with it.
    rig.offers.clear();
    rig.garbage("subscriptionResponse", None);
    assert!(rig.offers.is_empty() && rig.take_reports().is_empty());
    assert_eq!(rig.session.counters().undecodable, 5);
}

#[test]
fn what_is_never_readable_is_renewed_ever_less_often() {
    let mut rig = Rig::live(&["trades/BTC", "mids"]);
    let mut renewals = Vec::new();
    for second in 0..3_600 {
        let before = rig.session.counters().renewed;
        rig.offers.clear();
        rig.garbage("trades", Some("BTC"));
        if rig.session.counters().renewed > before {
            renewals.push(second);
        } else if rig.live.contains_key(&key("trades/BTC")) {
            let broken = rig.offers.iter().any(|o| matches!(o.content, Content::Broken { .. }));
            assert!(broken, "a frame that was missed is a break, whether it is made anew or not");
        }
        rig.work();
        rig.read_all();
        rig.data("trades/BTC");
        rig.data("mids");
        rig.pass(1_000);
        rig.read_all();
    }
    assert!(renewals.len() > 8 && renewals.len() < 20, "{renewals:?}");
    let pauses: Vec<_> = renewals.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted() && pauses[0] <= 2 && pauses.last() >= Some(&500), "{pauses:?}");
}

#[test]
fn what_a_subscription_begins_with_was_not_received_just_now_and_what_follows_was() {
    let mut rig = Rig::live(&["trades/BTC", "bbo/BTC"]);
    let places = |rig: &mut Rig, tids: &[u64], at: i64| -> Vec<(bool, Option<u32>)> {
        let Frame::Data(stream, Records::Trades(trades)) = super::rig::data(key("trades/BTC"), at) else {
            panic!("trades")
        };
        let trades = tids.iter().map(|&tid| Trade { tid, ..trades[0] }).collect();
        rig.offers.clear();
        rig.frame(Frame::Data(stream, Records::Trades(trades)));
        let Content::Frame(records) = &rig.offers[0].content else { panic!("a frame") };
        records.arrivals().iter().map(|arrival| (arrival.received.is_some(), arrival.seq)).collect()
    };
    assert_eq!(
        places(&mut rig, &[5, 3], 0),
        [(false, Some(1_000_000)), (false, Some(1_000_001))],
        "it may begin inside a block"
    );
    assert_eq!(places(&mut rig, &[4], 0), [(true, Some(1_000_002))]);
    assert_eq!(places(&mut rig, &[9, 2], 70), [(true, Some(0)), (true, Some(1))]);
    assert_eq!(places(&mut rig, &[7], 70), [(true, Some(2))], "a block in two frames");
    for (nth, is_new) in [false, true].into_iter().enumerate() {
        rig.offers.clear();
        rig.data("bbo/BTC");
        let Content::Frame(records) = &rig.offers[0].content else { panic!("a frame") };
        assert_eq!(records.arrivals()[0].received.is_some(), is_new, "frame {nth}");
    }
}

#[test]
fn a_book_is_of_the_variant_that_the_socket_has() {
    for name in ["book/BTC", "book/BTC/5", "book/BTC/4", "book/BTC/3"] {
        let mut rig = Rig::live(&[name]);
        rig.offers.clear();
        // However its prices are rounded, its frames do not say it.
        rig.data("book/BTC");
        let offered: Vec<_> = rig.offers.iter().map(|offer| offer.stream).collect();
        assert_eq!(offered, [key(name)]);
        let Content::Frame(records) = &rig.offers[0].content else { panic!("a frame") };
        assert!(records.are_of(key(name)), "{records:?}");
    }
}

#[test]
fn of_a_frame_of_trades_what_can_be_read_is_taken_and_the_run_goes_on() {
    let mut rig = Rig::live(&["trades/BTC"]);
    let run = rig.live[&key("trades/BTC")];
    rig.take_reports();
    rig.data("trades/BTC");
    rig.take_reports();
    let trade = |tid| {
        let Frame::Data(_, Records::Trades(trades)) = super::rig::data(key("trades/BTC"), 0) else {
            panic!("trades")
        };
        Trade { tid, ..trades[0] }
    };
    rig.offers.clear();
    let hole = |at| Hole { at, rows: 1, times: None };
    let rows = Rows {
        rows: vec![trade(1), trade(2), trade(3)],
        holes: vec![hole(1), hole(3)],
        reason: Some("why".into()),
    };
    rig.frame(Frame::SomeTrades(rows));
    let broken = Content::Broken { at: rig.exchange() };
    let received = std::num::NonZeroI64::new(rig.exchange().0 * 1_000_000);
    // The second, third and fourth of their block.
    let arrived = |trade: Trade| {
        let seq = u32::try_from(trade.tid).ok().map(|tid| 1_000_000 + tid);
        Trade { arrival: Arrival { received, seq }, ..trade }
    };
    let frame = |trades: Vec<_>| Content::Frame(Records::Trades(trades.into_iter().map(arrived).collect()));
    let offered: Vec<_> = rig.offers.iter().map(|offer| offer.content.clone()).collect();
    assert_eq!(offered, [frame(vec![trade(1)]), broken.clone(), frame(vec![trade(2), trade(3)]), broken]);
    assert!(rig.offers.iter().all(|offer| offer.ticket == Ticket::Run(run)));
    assert!(rig.take_reports().is_empty());
    assert_eq!((rig.session.counters().unreadable, rig.session.counters().renewed), (2, 0));
}

#[test]
fn a_frame_that_came_whole_ends_a_run_only_with_others_like_it() {
    let mut rig = Rig::live(&["trades/BTC"]);
    let run = rig.live[&key("trades/BTC")];
    rig.take_reports();
    for _ in 0..20 {
        rig.offers.clear();
        rig.unreadable("trades", Some("BTC"), true);
        rig.unreadable("trades", Some("BTC"), true);
        assert_eq!(rig.offers.len(), 2);
        assert!(rig.offers.iter().all(|offer| matches!(offer.content, Content::Broken { .. })));
        rig.data("trades/BTC");
    }
    assert_eq!((rig.live[&key("trades/BTC")], rig.session.counters().renewed), (run, 0));
    for _ in 0..3 {
        rig.unreadable("trades", Some("BTC"), true);
    }
    assert_eq!(rig.take_reports().last(), Some(&down("trades/BTC", Some(run), Cause::Undecodable)));
    assert_eq!(rig.session.counters().renewed, 1);
}
