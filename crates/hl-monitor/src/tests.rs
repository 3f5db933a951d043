//! Each alert rises once, after its patience, and resolves by itself.

use std::collections::BTreeSet;

use hl_core::alert::AlertKind;
use hl_core::{SourceId, StreamKey, TimeMs, Token};

use super::*;

const START: TimeMs = TimeMs(1_790_000_000_000);
const EVERY_MS: i64 = 5_000;

fn key(name: &str) -> StreamKey {
    name.parse().unwrap()
}

#[test]
fn a_changed_signal_is_told_once_and_is_over_before_the_next_one() {
    let mut world = World::new();
    let coin = hl_core::Coin::new("BTC").unwrap();
    let say = |world: &mut World, count: u64, words: &str| {
        world.seen.signals.insert(coin, (count, words.to_owned()));
        world.told.clear();
        world.run(300, |_| ());
        world.told.retain(|told| told.contains("signal"));
        world.told.len()
    };
    assert_eq!(say(&mut world, 1, "consensus says long"), 2, "it rises, and is over");
    assert_eq!(say(&mut world, 1, "consensus says long"), 0);
    assert_eq!(say(&mut world, 2, "consensus says short"), 2);
}

/// A process that collects, and what becomes of it.
struct World {
    seen: Observation,
    monitor: Monitor,
    told: Vec<String>,
}

impl World {
    /// One socket, with books and trades; a planned job.
    fn new() -> Self {
        let stream = StreamSeen { owner: Some(SourceId::Ws), subscribed: true, ..StreamSeen::default() };
        let session = SessionSeen { up: true, live: 2, wanted: 2, connects: 1, ..SessionSeen::default() };
        let job = JobSeen { id: "job".to_owned(), planned: true, due: true, ..JobSeen::default() };
        let seen = Observation {
            at: START,
            streams: [(key("trades/BTC"), stream), (key("book/BTC"), stream)].into(),
            sessions: vec![session],
            jobs: vec![job],
            ..Observation::default()
        };
        Self { seen, monitor: Monitor::new(), told: Vec::new() }
    }

    /// One more socket, in the next slot.
    fn add_session(&mut self) {
        let slot = u32::try_from(self.seen.sessions.len()).unwrap();
        self.seen.sessions.push(SessionSeen { slot, ..self.seen.sessions[0].clone() });
    }

    /// Goes on for so many seconds; `what` happens before each observation.
    fn run(&mut self, seconds: i64, mut what: impl FnMut(&mut Observation)) {
        for _ in 0..seconds * 1_000 / EVERY_MS {
            self.seen.mono += EVERY_MS;
            self.seen.at = self.seen.at + EVERY_MS;
            for peer in &mut self.seen.peers {
                peer.at = peer.at.map(|_| self.seen.at);
            }
            what(&mut self.seen);
            self.step();
        }
    }

    fn step(&mut self) {
        let second = self.seen.mono / 1_000;
        for change in self.monitor.step(&self.seen) {
            let (alert, word) = (
                change.alert(),
                match &change {
                    AlertChange::Raised(_) => "raised",
                    AlertChange::Still(_) => "still",
                    AlertChange::Resolved(_) => "resolved",
                },
            );
            self.told.push(format!("{second} {word} {} {}", alert.kind.as_str(), alert.subject));
        }
    }

    /// What was told since the last time.
    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

/// Everything gets on.
fn fine(seen: &mut Observation) {
    for stream in seen.streams.values_mut() {
        stream.records += 10;
    }
    for session in &mut seen.sessions {
        session.frames += 20;
    }
    seen.writer.commits += 1;
    seen.rest.answers += 1;
}

#[test]
fn nothing_is_told_of_a_process_that_gets_on() {
    let mut world = World::new();
    world.run(7_200, fine);
    assert_eq!(world.told(), Vec::<String>::new());
    assert_eq!(world.monitor.open(), []);
}

/// Moves the streams of these names there and back every so many seconds.
fn moving<'a>(names: &'a [&str], every_s: i64) -> impl FnMut(&mut Observation) + 'a {
    move |seen| {
        fine(seen);
        if seen.mono % (every_s * 1_000) == 0 {
            for name in names {
                seen.streams.get_mut(&key(name)).unwrap().moves += 2;
            }
        }
    }
}

#[test]
fn a_stream_that_changes_its_owner_again_and_again_is_told_once() {
    let mut world = World::new();
    world.run(600, moving(&["trades/BTC"], 120));
    assert_eq!(world.told(), Vec::<String>::new(), "an outage every other minute");
    world.run(600, moving(&["trades/BTC"], 60));
    let words = world.monitor.open()[0].words.clone();
    assert!(words.starts_with("changes its owner 2."), "{words}");
    world.run(600, fine);
    assert_eq!(
        world.told(),
        ["720 raised", "1320 still", "1440 resolved"].map(|told| format!("{told} flapping trades/BTC"))
    );
}

#[test]
fn what_moves_many_streams_is_one_alert() {
    let mut world = World::new();
    let names = ["trades/BTC", "book/BTC", "bbo/BTC", "mids"];
    for name in &names[2..] {
        world.seen.streams.insert(key(name), world.seen.streams[&key("book/BTC")]);
    }
    world.run(600, moving(&names, 20));
    world.run(600, moving(&names[..1], 20));
    assert_eq!(world.monitor.open().len(), 1, "one is left, and it is the same trouble");
    world.run(600, fine);
    assert_eq!(
        world.told(),
        ["80 raised", "680 still", "1280 still", "1480 resolved"].map(|told| format!("{told} flapping ws"))
    );
}

#[test]
fn sockets_that_stay_down_are_told_once_and_the_rates_are_not() {
    let mut world = World::new();
    world.run(3_600, fine);
    world.run(900, |seen| {
        fine(seen);
        (seen.sessions[0].up, seen.sessions[0].live, seen.sessions[0].frames) = (false, 0, 0);
        for stream in seen.streams.values_mut() {
            stream.owner = Some(SourceId::Rest);
            stream.records -= 10;
        }
    });
    assert_eq!(world.told(), ["3665 raised no_progress ws", "4265 still no_progress ws"]);
    assert_eq!(world.monitor.open()[0].words, "1 of 1 sockets have no subscription: connecting");
    world.run(3_600, |seen| {
        fine(seen);
        (seen.sessions[0].up, seen.sessions[0].live) = (true, 2);
        seen.streams.values_mut().for_each(|stream| stream.owner = Some(SourceId::Ws));
    });
    assert_eq!(world.told(), ["4535 resolved no_progress ws"]);
}

#[test]
fn a_short_loss_is_nobodys_business_and_one_that_comes_back_is_one_alert() {
    let mut world = World::new();
    let down = |seen: &mut Observation| {
        fine(seen);
        seen.sessions[0].up = false;
    };
    let up = |seen: &mut Observation| {
        fine(seen);
        seen.sessions[0].up = true;
    };
    world.run(55, down);
    world.run(60, up);
    assert_eq!(world.told(), Vec::<String>::new());
    world.run(70, down);
    world.run(20, up);
    world.run(70, down);
    world.run(60, up);
    assert_eq!(
        world.told(),
        ["180 raised no_progress ws", "210 still no_progress ws", "310 resolved no_progress ws"]
    );
}

#[test]
fn one_socket_of_two_is_a_session_and_its_streams_are_not_told_one_by_one() {
    let mut world = World::new();
    world.add_session();
    world.run(3_600, fine);
    world.run(1_200, |seen| {
        fine(seen);
        (seen.sessions[1].up, seen.sessions[1].trouble) = (false, Some("refused".to_owned()));
        let stream = seen.streams.get_mut(&key("trades/BTC")).unwrap();
        (stream.owner, stream.records) = (Some(SourceId::Rest), stream.records - 10);
    });
    let told = world.told();
    assert_eq!(told[0], "3665 raised no_progress session/1");
    assert!(told.iter().all(|line| line.ends_with("session/1")), "{told:?}");
    assert!(world.monitor.open()[0].words.ends_with("refused"));
}

#[test]
fn a_session_is_named_by_its_slot_whatever_the_others_do() {
    let mut world = World::new();
    world.add_session();
    world.add_session();
    world.run(3_600, fine);
    // Sharing gave all that the first socket carried to another process.
    world.seen.sessions.remove(0);
    world.run(1_200, |seen| {
        fine(seen);
        (seen.sessions[1].up, seen.sessions[1].trouble) = (false, Some("refused".to_owned()));
    });
    assert_eq!(world.told(), ["3665 raised no_progress session/2", "4265 still no_progress session/2"]);
    let mut registry = Registry::default();
    registry.observe(&world.seen);
    let names: Vec<_> = registry.processes().into_iter().map(|process| process.name).collect();
    assert!(names.iter().any(|name| name == "session/2"), "{names:?}");
    assert!(!names.iter().any(|name| name == "session/0"), "{names:?}");
}

#[test]
fn sockets_that_come_back_one_by_one_are_one_alert() {
    let mut world = World::new();
    world.add_session();
    let up = |seen: &mut Observation, count: usize| {
        fine(seen);
        seen.sessions.iter_mut().enumerate().for_each(|(number, session)| session.up = number < count);
    };
    world.run(60, |seen| up(seen, 2));
    world.run(120, |seen| up(seen, 0));
    world.run(300, |seen| up(seen, 1));
    world.run(60, |seen| up(seen, 2));
    assert_eq!(world.told(), ["125 raised no_progress ws", "515 resolved no_progress ws"]);
}

#[test]
fn silence_counts_only_where_something_is_pushed_by_a_clock() {
    let silent = |seen: &mut Observation| {
        seen.writer.commits += 1;
        seen.rest.answers += 1;
    };
    let mut world = World::new();
    world.run(60, fine);
    world.run(300, silent);
    assert_eq!(world.told(), ["155 raised no_progress ws"]);
    world.run(60, fine);
    assert_eq!(world.told(), ["395 resolved no_progress ws"]);

    let mut world = World::new();
    world.seen.streams.remove(&key("book/BTC"));
    world.run(60, fine);
    world.run(3_600, silent);
    assert_eq!(world.told(), Vec::<String>::new(), "a coin that nobody trades is quiet");
}

#[test]
fn requests_that_fail_are_told_and_a_refusal_for_weight_is_another_thing() {
    let mut world = World::new();
    let failing = |seen: &mut Observation| {
        fine(seen);
        seen.rest.answers -= 1;
        seen.rest.failures += 1;
    };
    world.run(60, fine);
    world.run(300, failing);
    world.run(60, fine);
    assert_eq!(world.told(), ["155 raised no_progress rest", "395 resolved no_progress rest"]);

    world.run(60, |seen| {
        failing(seen);
        seen.rest.rate_limited += 1;
        seen.rest.weight_used = 120;
    });
    world.run(120, failing);
    world.run(600, fine);
    let told = world.told();
    assert_eq!(told, ["425 raised foreign_weight rest", "780 resolved foreign_weight rest"]);

    world.run(60, |seen| {
        failing(seen);
        seen.rest.rate_limited += 1;
        seen.rest.weight_used = 600;
        seen.peers = vec![Peer { at: Some(seen.at), ..peer(500) }];
    });
    assert_eq!(world.told(), Vec::<String>::new(), "our own ledger is full: no stranger");
}

fn peer(weight_used: u32) -> Peer {
    Peer {
        token: Token(9),
        name: "hl-daemon (pid 7 on here, token 9)".to_owned(),
        at: Some(START),
        streams: BTreeSet::new(),
        jobs: BTreeSet::new(),
        weight_used,
    }
}

#[test]
fn a_writer_that_stores_nothing_is_told_and_one_without_work_is_not() {
    let mut world = World::new();
    world.run(60, fine);
    world.run(600, |_| {});
    // The sockets are silent meanwhile, which is told; the writer had nothing to write.
    assert!(world.told().iter().all(|line| line.ends_with("ws")));
    world.run(60, fine);
    world.told();
    world.run(300, |seen| {
        fine(seen);
        seen.writer.commits -= 1;
        seen.writer.failures += 1;
    });
    assert_eq!(world.told(), ["795 raised no_progress writer"]);
    assert!(world.monitor.open()[0].words.contains("attempts failed"), "{:?}", world.monitor.open());
    world.run(60, fine);
    assert_eq!(world.told(), ["1055 resolved no_progress writer"]);
}

#[test]
fn a_stream_of_nobody_and_one_of_two_are_told() {
    let mut world = World::new();
    let owned = |owner| {
        move |seen: &mut Observation| {
            fine(seen);
            seen.streams.get_mut(&key("trades/BTC")).unwrap().owner = owner;
        }
    };
    world.run(60, owned(Some(SourceId::Ws)));
    world.run(120, owned(None));
    world.run(60, owned(Some(SourceId::Rest)));
    assert_eq!(world.told(), ["125 raised no_owner trades/BTC", "195 resolved no_owner trades/BTC"]);

    let mut other = peer(0);
    other.streams.insert(key("trades/BTC"));
    world.run(60, |seen| {
        fine(seen);
        seen.peers = vec![other.clone()];
        seen.peers[0].at = Some(seen.at);
    });
    world.run(60, |seen| {
        fine(seen);
        seen.peers.clear();
    });
    assert_eq!(world.told(), ["275 raised two_owners trades/BTC", "325 resolved two_owners trades/BTC"]);
}

#[test]
fn a_stream_that_another_process_holds_is_its_business_while_it_tells_so() {
    let mut world = World::new();
    let mut other = peer(0);
    other.streams.insert(key("trades/BTC"));
    let held = |seen: &mut Observation| {
        fine(seen);
        let stream = seen.streams.get_mut(&key("trades/BTC")).unwrap();
        (stream.owner, stream.held_by) = (None, Some(Token(9)));
    };
    world.seen.peers = vec![other];
    world.run(600, held);
    assert_eq!(world.told(), Vec::<String>::new());
    // It is stopped, and holds the lease all the same.
    world.seen.peers[0].at = None;
    world.run(180, held);
    assert_eq!(world.told(), ["665 raised no_owner trades/BTC"]);
    assert_eq!(
        world.monitor.open()[0].words,
        "held by hl-daemon (pid 7 on here, token 9), which does not collect it"
    );
}

#[test]
fn a_job_that_is_there_twice_is_told() {
    let mut world = World::new();
    world.run(60, fine);
    world.seen.jobs[0].again = 1;
    world.run(900, fine);
    assert_eq!(world.told(), ["85 raised job_twice job", "385 resolved job_twice job"]);

    let mut other = peer(0);
    other.jobs.insert("job".to_owned());
    other.at = Some(world.seen.at);
    world.seen.peers = vec![other];
    world.run(60, fine);
    world.seen.peers.clear();
    world.run(60, fine);
    assert_eq!(world.told(), ["985 raised job_twice job", "1045 resolved job_twice job"]);

    // Where the work is shared all of them plan the same jobs.
    let mut other = peer(0);
    other.jobs.insert("job".to_owned());
    other.at = Some(world.seen.at);
    world.seen.peers = vec![other];
    world.seen.shares = true;
    world.run(60, fine);
    assert_eq!(world.told(), [""; 0]);
}

#[test]
fn a_job_in_vain_is_told_until_it_succeeds() {
    let mut world = World::new();
    let in_vain = |times, why: Option<&'static str>| {
        move |seen: &mut Observation| {
            fine(seen);
            (seen.jobs[0].in_vain, seen.jobs[0].skipped) = (times, why.map(str::to_owned));
        }
    };
    world.run(60, in_vain(3, Some("an earlier run had not ended")));
    world.run(60, in_vain(0, None));
    world.run(60, in_vain(4, None));
    world.run(60, in_vain(0, None));
    assert_eq!(
        world.told(),
        [
            "5 raised job_skipped job",
            "65 resolved job_skipped job",
            "125 raised job_failing job",
            "185 resolved job_failing job"
        ]
    );
}

#[test]
fn a_stream_that_stops_alone_is_told_by_its_rate() {
    let mut world = World::new();
    world.run(3_600, fine);
    world.run(1_200, |seen| {
        fine(seen);
        seen.streams.get_mut(&key("trades/BTC")).unwrap().records -= 10;
    });
    let told = world.told();
    assert!(told[0].ends_with("raised rate_low trades/BTC"), "{told:?}");
    assert_eq!(told.iter().filter(|line| line.contains("raised")).count(), 1, "{told:?}");
    world.run(1_200, fine);
    assert_eq!(world.told().iter().filter(|line| line.contains("resolved rate_low")).count(), 1);
}

#[test]
fn a_process_that_stood_still_takes_nothing_for_lasting() {
    let mut world = World::new();
    world.run(60, fine);
    world.seen.sessions[0].up = false;
    world.run(10, |_| {});
    world.seen.mono += 3_600_000;
    world.seen.at = world.seen.at + 3_600_000;
    world.step();
    world.run(30, |_| {});
    assert_eq!(world.told(), Vec::<String>::new(), "an hour asleep is no hour without a socket");
}

#[test]
fn the_registry_knows_since_when_how_far_and_how_often() {
    let mut world = World::new();
    let mut registry = Registry::default();
    let trades = |registry: &Registry| {
        registry.processes().into_iter().find(|process| process.name == "trades/BTC").unwrap()
    };
    for second in 0..10 {
        world.seen.at = START + second * 1_000;
        fine(&mut world.seen);
        registry.observe(&world.seen);
    }
    let seen = trades(&registry);
    assert_eq!((seen.state, seen.owner.as_deref(), seen.since), (State::Running, Some("ws"), START));
    assert_eq!((seen.last_progress, seen.restarts), (Some(START + 9_000), 0));

    let owners = [None, Some(SourceId::Rest), None, Some(SourceId::Rest), Some(SourceId::Ws)];
    for (owner, second) in owners.into_iter().zip(20..) {
        world.seen.at = START + second * 1_000;
        world.seen.streams.get_mut(&key("trades/BTC")).unwrap().owner = owner;
        registry.observe(&world.seen);
    }
    let seen = trades(&registry);
    assert_eq!((seen.owner.as_deref(), seen.since, seen.restarts), (Some("ws"), START + 24_000, 2));
    assert_eq!(seen.last_progress, Some(START + 9_000), "it has brought nothing since");

    world.seen.streams.clear();
    registry.observe(&world.seen);
    assert!(registry.processes().iter().all(|process| process.kind != ProcessKind::Collector));
    let note = ProcessNote::new(&world.seen, registry.processes());
    let text = serde_json::to_string(&note).unwrap();
    assert_eq!(serde_json::from_str::<ProcessNote>(&text).unwrap(), note);
    assert_eq!(note.plans, ["job".to_owned()].into());
}

#[test]
fn what_other_programs_do_to_the_store_is_told() {
    let mut world = World::new();
    world.run(60, |_| {});
    world.run(10, |seen| seen.store.gone = Some("it is not there any more".to_owned()));
    assert_eq!(world.monitor.open()[0].words, "it is not there any more", "at once");
    world.run(10, |seen| seen.store.gone = None);
    world.run(5, |seen| seen.store.replaced = 1);
    world.run(600, |_| {});
    world.run(60, |seen| {
        // A log that is read, or large for a moment, is in order.
        (seen.store.log_bytes, seen.store.log_held_since) = (LARGE - 1, Some(seen.at));
    });
    let since = world.seen.at;
    world.run(60, |seen| (seen.store.log_bytes, seen.store.log_held_since) = (LARGE + 1, Some(since)));
    let open = world.monitor.open();
    let alert = open.iter().find(|alert| alert.subject == "store").unwrap();
    assert!(alert.words.contains("33 MB"), "{}", alert.words);
    world.run(10, |seen| seen.store.log_held_since = None);
    let of_store = world.told.iter().filter(|told| told.ends_with(" store"));
    let kinds: Vec<_> = of_store.map(|told| told.split(' ').nth(2).unwrap()).collect();
    let both = |kind| [kind, kind];
    assert_eq!(kinds, ["store_gone", "store_replaced", "wal_growing"].map(both).concat(), "{:?}", world.told);
}

#[test]
fn what_is_dropped_is_told_at_once_and_for_a_while() {
    let mut world = World::new();
    world.run(60, |_| {});
    world.run(5, |seen| seen.writer.dropped = 7);
    world.run(60, |_| {});
    world.run(5, |seen| seen.writer.dropped = 9);
    let open = world.monitor.open();
    let alert = open.iter().find(|alert| alert.kind == AlertKind::Overload).unwrap();
    assert!(alert.words.contains("9 records were dropped"), "{}", alert.words);
    world.run(600, |_| {});
    let of_kind = world.told.iter().filter(|told| told.ends_with("overload writer"));
    assert_eq!(of_kind.count(), 2, "one rise, one end: {:?}", world.told);
}

/// Above this a log that a reader holds is told of, bytes.
const LARGE: u64 = 32 << 20;

#[test]
fn rows_that_say_something_else_under_a_known_key_are_told_once() {
    let mut world = World::new();
    world.run(60, |_| {});
    let differ = |seen: &mut Observation, rows| {
        seen.streams.get_mut(&key("trades/BTC")).unwrap().differing = rows;
    };
    world.run(10, |seen| differ(seen, 3));
    let open = world.monitor.open();
    let alert = open.iter().find(|alert| alert.kind.as_str() == "rows_differ").unwrap();
    assert!(alert.words.starts_with("3 rows so far"), "{}", alert.words);
    world.run(200, |seen| differ(seen, 4));
    world.run(600, |_| {});
    let of_kind: Vec<_> =
        world.told.iter().filter(|told| told.contains("rows_differ") && !told.contains("still")).collect();
    assert_eq!(of_kind.len(), 2, "one rise and one end: {of_kind:?}");
    assert!(of_kind[1].contains("resolved rows_differ trades/BTC"), "{of_kind:?}");
}

#[test]
fn a_socket_that_is_behind_is_told_and_a_hiccup_is_not() {
    let mut world = World::new();
    let late = |delay_ms| {
        move |seen: &mut Observation| {
            fine(seen);
            seen.sessions[0].delay_ms = delay_ms;
        }
    };
    world.run(600, late(4_900));
    world.run(25, late(60_000));
    world.run(60, late(600));
    assert_eq!(world.told(), Vec::<String>::new());
    world.run(60, late(9_750));
    assert_eq!(world.monitor.open()[0].words, "frames arrive 9.7 s after they were sent");
    world.run(60, late(600));
    assert_eq!(world.told(), ["720 raised behind session/0", "780 resolved behind session/0"]);
}

#[test]
fn many_late_records_in_a_minute_are_told_and_replays_are_not() {
    let mut world = World::new();
    let late = |late: u64| {
        move |seen: &mut Observation| {
            fine(seen);
            for stream in seen.streams.values_mut() {
                stream.late += late;
            }
        }
    };
    world.run(600, fine);
    world.run(3, |seen| {
        fine(seen);
        seen.streams.values_mut().for_each(|stream| stream.late += 59);
    });
    world.run(600, fine);
    // A minute has 120 records of each: fewer than a quarter of all does not make a rate.
    world.run(600, late(3));
    assert_eq!(world.told(), Vec::<String>::new());
    world.run(60, late(20));
    let words = &world.monitor.open()[0].words;
    assert!(words.starts_with("240 of 360 records in a minute were older"), "{words}");
    world.run(600, fine);
    let told = [
        "raised late trades/BTC",
        "raised late book/BTC",
        "resolved late book/BTC",
        "resolved late trades/BTC",
    ];
    let words = |told: String| told.split_once(' ').map(|(_, words)| words.to_owned()).unwrap();
    assert_eq!(world.told().into_iter().map(words).collect::<Vec<_>>(), told);
}

#[test]
fn what_cannot_be_read_is_told_and_is_over_some_time_after_the_last() {
    let mut world = World::new();
    world.run(60, fine);
    world.told();
    let unreadable = |count| UnreadableSeen { count, reason: "at data[3].px: \"NaN\"".to_owned() };
    world.run(5, |seen| {
        seen.unreadable.insert("trades/DUST".to_owned(), unreadable(3));
        fine(seen);
    });
    let open = world.monitor.open();
    assert!(open[0].words.starts_with("3 so far could not be read") && open[0].words.contains("data[3].px"));
    world.run(600, fine);
    let told: Vec<_> = world.told().into_iter().filter(|told| !told.contains("still")).collect();
    let words: Vec<_> = told.iter().map(|told| told.split_once(' ').unwrap().1).collect();
    assert_eq!(words, ["raised undecodable trades/DUST", "resolved undecodable trades/DUST"], "{told:?}");
    // It comes again, and again: one alert that stands.
    world.run(900, |seen| {
        seen.unreadable.get_mut("trades/DUST").unwrap().count += 1;
        fine(seen);
    });
    assert_eq!(world.told().iter().filter(|told| told.contains("raised undecodable")).count(), 1);
    assert_eq!(world.monitor.open().len(), 1);
}

#[test]
fn a_job_that_fails_in_the_same_way_again_and_again_is_told_with_its_reason() {
    let mut world = World::new();
    world.run(60, |seen| {
        seen.jobs[0].failing = Some((4, "gaps of 2 streams cannot be filled: HTTP 500".to_owned()));
        fine(seen);
    });
    let open = world.monitor.open();
    let alert = open.iter().find(|alert| alert.kind == hl_core::alert::AlertKind::JobFailing).unwrap();
    assert!(alert.words.contains("4 times") && alert.words.contains("HTTP 500"), "{}", alert.words);
    world.run(60, |seen| {
        seen.jobs[0].failing = None;
        fine(seen);
    });
    assert!(world.monitor.open().is_empty());
}
