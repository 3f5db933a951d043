//! Trials against an exchange of which some names end sockets.

use std::collections::BTreeSet;

use super::cases::{FIRST_PAUSE_MS, LONGEST_PAUSE_MS};
use super::*;

const STREAMS: [&str; 8] =
    ["trades/BTC", "bbo/BTC", "book/BTC", "trades/ETH", "candle/ETH/1m", "bbo/ETH", "book/ETH", "mids"];

fn key(name: &str) -> StreamKey {
    name.parse().unwrap()
}

fn keys(names: &[&str]) -> Vec<StreamKey> {
    names.iter().map(|name| key(name)).collect()
}

fn death(suspects: &[&str], proved: &[&str]) -> Death {
    let proved = proved.iter().map(|coin| Coin::new(coin).unwrap()).collect();
    Death { suspects: keys(suspects), proved }
}

/// What a socket dies of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ill {
    Nothing,
    /// It cannot be opened.
    Refused,
    /// It dies as soon as anything is subscribed on it.
    Everything,
}

struct Rig {
    trials: Trials,
    now: Mono,
    open: bool,
    opened: u32,
    /// Subscribing one of these ends the socket.
    bad: BTreeSet<StreamKey>,
    ill: Ill,
    /// Whether anything is acknowledged, and pings answered.
    answers: bool,
    convicted: Vec<Quarantined>,
    cleared: Vec<String>,
    tried: Vec<StreamKey>,
}

impl Rig {
    fn new(bad: &[&str]) -> Self {
        Self {
            trials: Trials::default(),
            now: 1_000,
            open: false,
            opened: 0,
            bad: keys(bad).into_iter().collect(),
            ill: Ill::Nothing,
            answers: true,
            convicted: Vec::new(),
            cleared: Vec::new(),
            tried: Vec::new(),
        }
    }

    fn suspect(&mut self, suspects: &[&str], proved: &[&str]) {
        let of_coin = |coin| keys(&STREAMS).into_iter().filter(|s| s.coin() == Some(coin)).collect();
        self.trials.suspect(self.now, &death(suspects, proved), of_coin);
    }

    fn refused(&mut self, stream: &str) {
        let mut acts = Vec::new();
        self.trials.refused(self.now, key(stream), "Invalid subscription", &mut acts);
        acts.into_iter().for_each(|act| self.obey(act));
    }

    fn in_quarantine(&self) -> Vec<StreamKey> {
        let is = |stream: &StreamKey| self.trials.hold(*stream) == Hold::Quarantine;
        keys(&STREAMS).into_iter().filter(is).collect()
    }

    fn held(&self) -> Vec<StreamKey> {
        keys(&STREAMS).into_iter().filter(|stream| self.trials.hold(*stream) != Hold::No).collect()
    }

    /// Works until the trial's socket was opened a second time: it has died once.
    fn until_opened_twice(&mut self) {
        while self.opened < 2 {
            let mut acts = Vec::new();
            self.trials.tick(self.now, &mut acts);
            acts.into_iter().for_each(|act| self.obey(act));
        }
    }

    /// Works until `ms` have passed; a message takes 100 ms there and back.
    fn pass(&mut self, ms: i64) {
        let end = self.now + ms;
        for _ in 0..100_000 {
            let mut acts = Vec::new();
            self.trials.tick(self.now, &mut acts);
            if acts.is_empty() {
                match self.trials.next_deadline().filter(|at| *at <= end) {
                    Some(at) => {
                        assert!(at > self.now, "work is left at {} that no tick does", self.now);
                        self.now = at;
                    }
                    None => {
                        self.now = end;
                        return;
                    }
                }
            }
            for act in acts {
                self.obey(act);
            }
        }
        panic!("it never rests");
    }

    fn obey(&mut self, act: Act) {
        match act {
            Act::Connect => {
                assert!(!self.open, "one socket at a time");
                self.opened += 1;
                self.open = self.ill != Ill::Refused;
                if self.open { self.trials.connected() } else { self.trials.closed(self.now) }
            }
            // What was decided before the socket died goes nowhere.
            Act::Send(text) if self.open => self.receive(&text),
            Act::Send(_) => {}
            Act::Close => {
                self.open = false;
                self.trials.closed(self.now);
            }
            Act::Convicted(case) => self.convicted.push(case),
            Act::Cleared(subject) => self.cleared.push(subject),
        }
    }

    fn receive(&mut self, text: &str) {
        self.now += 100;
        if text == Request::Ping.to_text() {
            return self.answer(Frame::Pong);
        }
        let all = keys(&STREAMS).into_iter();
        let request =
            |stream: StreamKey| Subscription::for_stream(stream).map(|s| Request::subscribe(&s).to_text());
        let Some(stream) = all.into_iter().find(|stream| request(*stream).as_deref() == Some(text)) else {
            assert!(text.contains("unsubscribe"), "{text}");
            return;
        };
        self.tried.push(stream);
        if self.ill == Ill::Everything || self.bad.contains(&stream) {
            self.open = false;
            return self.trials.closed(self.now);
        }
        let subscription = serde_json::to_value(Subscription::for_stream(stream).unwrap()).unwrap();
        self.answer(Frame::Ack { method: Method::Subscribe, subscription });
    }

    fn answer(&mut self, frame: Frame) {
        if self.answers {
            let mut acts = Vec::new();
            self.trials.frame(self.now, &frame, &mut acts);
            acts.into_iter().for_each(|act| self.obey(act));
        }
    }
}

const ETH: [&str; 4] = ["trades/ETH", "candle/ETH/1m", "bbo/ETH", "book/ETH"];

#[test]
fn a_name_that_ends_sockets_is_left_alone_whole_and_nothing_else_is() {
    let mut rig = Rig::new(&ETH);
    rig.suspect(&["trades/ETH", "bbo/BTC", "book/BTC", "mids"], &["BTC"]);
    assert_eq!(
        rig.held(),
        keys(&["bbo/BTC", "book/BTC", "trades/ETH", "candle/ETH/1m", "bbo/ETH", "book/ETH", "mids"])
    );
    rig.pass(2_000);
    assert_eq!(rig.held(), keys(&ETH), "the others are back at once");
    assert_eq!((rig.convicted.len(), rig.opened, rig.open), (1, 3, false));
    let case = &rig.convicted[0];
    assert_eq!((case.subject.as_str(), case.streams.len(), case.failed), ("ETH", 4, 1));
    assert!(rig.trials.hold(key("context/ETH")) == Hold::Quarantine, "also what is wanted only now");
    assert_eq!(rig.trials.take_convicted(), BTreeSet::from([Coin::new("ETH").unwrap()]));
    assert!(rig.trials.take_convicted().is_empty(), "said once");
}

#[test]
fn a_quarantine_begins_short_doubles_and_ends_when_the_name_is_good_again() {
    let mut rig = Rig::new(&ETH);
    rig.suspect(&["trades/ETH"], &[]);
    rig.pass(2_000);
    for (failed, pause) in (1..).zip([30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]) {
        assert_eq!((rig.convicted.len(), rig.convicted.last().unwrap().failed), (failed as usize, failed));
        let next = rig.trials.next_deadline().unwrap();
        assert_eq!(rig.trials.quarantined(rig.now)[0].next, next);
        assert!((pause - 2_000..=pause).contains(&(next - rig.now)), "{pause}: {}", next - rig.now);
        let opened = rig.opened;
        rig.pass(next - rig.now - 1);
        assert_eq!(rig.opened, opened, "left alone until then");
        rig.pass(2_001);
        assert_eq!(rig.opened, opened + 2, "once with it, and once without");
    }
    rig.bad.clear();
    rig.pass(LONGEST_PAUSE_MS);
    assert_eq!((rig.held(), rig.cleared.as_slice()), (vec![], ["ETH".to_owned()].as_slice()));
    assert!(!rig.open && rig.trials.quarantined(rig.now).is_empty());
    assert_eq!(rig.trials.next_deadline(), None);
}

#[test]
fn one_bad_subscription_of_a_good_name_is_left_alone_by_itself() {
    for bad in ETH {
        for proved in [&["ETH"][..], &[]] {
            let mut rig = Rig::new(&[bad]);
            rig.suspect(&["trades/ETH", "candle/ETH/1m", "bbo/ETH", "book/ETH"], proved);
            rig.pass(3_000);
            assert_eq!(rig.held(), keys(&[bad]), "{bad} {proved:?}: {:?}", rig.tried);
            assert_eq!(rig.convicted[0].subject, bad);
            assert!(rig.opened <= 3, "{} sockets for {bad}", rig.opened);
            rig.pass(FIRST_PAUSE_MS);
            assert_eq!((rig.held(), rig.convicted.len()), (keys(&[bad]), 2));
        }
    }
}

#[test]
fn what_is_innocent_is_acquitted_on_one_socket() {
    let mut rig = Rig::new(&[]);
    rig.suspect(&["trades/BTC", "bbo/BTC", "mids", "trades/ETH"], &[]);
    rig.pass(1_000);
    assert_eq!((rig.held(), rig.opened, rig.open), (vec![], 1, false));
    assert!(rig.convicted.is_empty() && rig.cleared.is_empty(), "the rig hears nothing of it");
}

#[test]
fn where_everything_dies_no_name_is_guilty() {
    for ill in [Ill::Refused, Ill::Everything] {
        for suspects in [&["trades/ETH"][..], &["trades/ETH", "mids", "trades/BTC"], &STREAMS] {
            let mut rig = Rig::new(&[]);
            rig.ill = ill;
            rig.suspect(suspects, &[]);
            rig.pass(100);
            assert_eq!((rig.held(), rig.convicted.len()), (vec![], 0), "{ill:?} {suspects:?}");
            assert!(rig.opened <= 2);
            let opened = rig.opened;
            rig.suspect(suspects, &[]);
            rig.pass(OUTAGE_MS + 200);
            assert_eq!((rig.held(), rig.opened), (vec![], opened), "it is known to be an outage");
            rig.suspect(suspects, &[]);
            rig.pass(100);
            assert!(rig.opened > opened, "which is over some time");
        }
    }
}

#[test]
fn an_outage_does_not_lengthen_a_quarantine_nor_end_it() {
    let mut rig = Rig::new(&ETH);
    rig.suspect(&["trades/ETH"], &[]);
    rig.pass(2_000);
    rig.ill = Ill::Refused;
    rig.pass(10 * FIRST_PAUSE_MS);
    assert_eq!((rig.held(), rig.convicted.len()), (keys(&ETH), 1));
    rig.ill = Ill::Nothing;
    rig.pass(FIRST_PAUSE_MS + 2_000);
    assert_eq!(rig.convicted.len(), 2);
    assert_eq!(
        rig.convicted[1].next - rig.now,
        2 * FIRST_PAUSE_MS - (rig.now - (rig.convicted[1].next - 2 * FIRST_PAUSE_MS))
    );
}

#[test]
fn a_second_death_is_needed_for_the_first_verdict() {
    let mut rig = Rig::new(&["trades/ETH"]);
    rig.suspect(&["trades/ETH"], &["ETH"]);
    // By chance the socket dies with it once.
    rig.until_opened_twice();
    rig.bad.clear();
    rig.pass(2_000);
    assert_eq!((rig.held(), rig.convicted.len()), (vec![], 0));
}

#[test]
fn where_nothing_is_acknowledged_a_socket_that_stays_open_acquits() {
    let mut rig = Rig::new(&["trades/ETH"]);
    rig.answers = false;
    rig.suspect(&["trades/BTC", "trades/ETH"], &["BTC", "ETH"]);
    rig.pass(5 * BLAME_MS);
    assert_eq!((rig.held(), rig.convicted.len()), (keys(&["trades/ETH"]), 1));
}

#[test]
fn what_the_exchange_refuses_in_words_is_left_alone_at_once() {
    let mut rig = Rig::new(&[]);
    let mut acts = Vec::new();
    rig.trials.refused(rig.now, key("bbo/ETH"), "Invalid subscription: {}", &mut acts);
    let [Act::Convicted(case)] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!((case.subject.as_str(), case.next), ("bbo/ETH", rig.now + FIRST_PAUSE_MS));
    assert!(case.why.contains("Invalid"), "{}", case.why);
    assert_eq!(rig.held(), keys(&["bbo/ETH"]));
    // It is refused again.
    rig.answers = false;
    rig.pass(FIRST_PAUSE_MS + 100);
    let echo = serde_json::to_string(&Subscription::for_stream(key("bbo/ETH"))).unwrap();
    let mut acts = Vec::new();
    rig.trials.frame(rig.now, &Frame::Error(format!("Invalid subscription: {echo}")), &mut acts);
    let [Act::Convicted(case)] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!((case.next, case.failed), (rig.now + 2 * FIRST_PAUSE_MS, 2));
    rig.answers = true;
    rig.pass(3 * FIRST_PAUSE_MS);
    assert_eq!((rig.held(), rig.cleared.as_slice()), (vec![], ["bbo/ETH".to_owned()].as_slice()));
}

#[test]
fn what_nobody_wants_any_more_is_not_tried() {
    let mut rig = Rig::new(&ETH);
    rig.suspect(&["trades/ETH"], &[]);
    rig.pass(2_000);
    let mut acts = Vec::new();
    for stream in keys(&ETH) {
        rig.trials.forget(stream, &mut acts);
    }
    assert!(matches!(acts.as_slice(), [Act::Cleared(_)]), "its alert is over: {acts:?}");
    assert_eq!((rig.held(), rig.trials.next_deadline()), (vec![], None));
}

#[test]
fn where_there_is_no_room_a_trial_waits_and_what_is_suspected_stays_held() {
    let mut rig = Rig::new(&[]);
    rig.suspect(&["trades/ETH"], &[]);
    let mut acts = Vec::new();
    rig.trials.tick(rig.now, &mut acts);
    assert_eq!(acts, [Act::Connect]);
    rig.trials.wait(rig.now + 20_000);
    assert_eq!(rig.trials.next_deadline(), Some(rig.now + 20_000));
    rig.pass(9_999);
    assert_eq!(rig.trials.quarantined(rig.now), []);
    rig.pass(10_000);
    assert_eq!((rig.held(), rig.opened), (keys(&ETH), 0));
    let told = &rig.trials.quarantined(rig.now)[0];
    assert_eq!((told.subject.as_str(), told.streams.len(), told.failed), ("ETH", 4, 0), "it shows");
    rig.pass(1_000);
    assert_eq!((rig.held(), rig.opened), (vec![], 1));
    assert_eq!(rig.trials.quarantined(rig.now), []);
}

#[test]
fn one_stream_in_quarantine_takes_no_other_of_its_coin_along_without_a_trial() {
    let mut rig = Rig::new(&["bbo/BTC"]);
    rig.refused("bbo/BTC");
    // An ordinary death.
    rig.suspect(&["trades/BTC"], &[]);
    assert_eq!(rig.in_quarantine(), keys(&["bbo/BTC"]));
    assert_eq!(rig.held(), keys(&["trades/BTC", "bbo/BTC", "book/BTC"]), "the others are on trial");
    rig.pass(1_000);
    assert_eq!((rig.held(), rig.convicted.len()), (keys(&["bbo/BTC"]), 1), "and are back at once");
    assert_eq!(rig.trials.quarantined(rig.now)[0].streams, keys(&["bbo/BTC"]));
    // Where the coin itself has gone meanwhile, it is found out, and what was alone in quarantine has its own time.
    rig.bad = keys(&STREAMS[..3]).into_iter().collect();
    rig.suspect(&["trades/BTC"], &[]);
    rig.pass(2_000);
    let subjects: Vec<_> = rig.trials.quarantined(rig.now).into_iter().map(|case| case.subject).collect();
    assert_eq!((rig.in_quarantine(), subjects), (keys(&STREAMS[..3]), vec!["BTC".into(), "bbo/BTC".into()]));
    rig.bad.clear();
    rig.pass(FIRST_PAUSE_MS);
    assert_eq!((rig.held(), rig.trials.quarantined(rig.now)), (vec![], vec![]));
}

#[test]
fn an_outage_lets_go_of_what_is_suspected_beside_a_quarantine() {
    let mut rig = Rig::new(&[]);
    rig.refused("bbo/BTC");
    rig.ill = Ill::Refused;
    rig.suspect(&["trades/BTC"], &[]);
    rig.pass(1_000);
    assert_eq!(rig.held(), keys(&["bbo/BTC"]));
}

#[test]
fn one_death_by_chance_does_not_convict_beside_a_quarantine() {
    let mut rig = Rig::new(&["trades/BTC"]);
    rig.refused("bbo/BTC");
    rig.suspect(&["trades/BTC"], &["BTC"]);
    rig.until_opened_twice();
    rig.bad.clear();
    rig.pass(2_000);
    assert_eq!((rig.held(), rig.convicted.len()), (keys(&["bbo/BTC"]), 1));
}

#[test]
fn what_is_refused_in_words_while_its_coin_is_suspected_goes_alone() {
    let mut rig = Rig::new(&[]);
    rig.suspect(&["trades/BTC", "bbo/BTC"], &[]);
    rig.refused("bbo/BTC");
    assert_eq!(rig.in_quarantine(), keys(&["bbo/BTC"]));
    assert_eq!(rig.held(), keys(&["trades/BTC", "bbo/BTC", "book/BTC"]));
    rig.pass(1_000);
    assert_eq!(rig.held(), keys(&["bbo/BTC"]));
}
