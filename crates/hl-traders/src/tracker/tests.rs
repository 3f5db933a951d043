use std::collections::VecDeque;

use hl_core::record::{Hash, HexBytes, Side};
use hl_core::row::Arrival;
use proptest::prelude::*;

use super::*;

const T0: i64 = 1_790_000_000_000;

fn coin(name: &str) -> Coin {
    Coin::new(name).unwrap()
}

fn user(n: u8) -> Address {
    HexBytes([n; 20])
}

fn trade(name: &str, ms: i64, size: i64, [buyer, seller]: [u8; 2]) -> Trade {
    Trade {
        coin: coin(name),
        time: TimeMs(T0 + ms),
        tid: ms.unsigned_abs(),
        px: Decimal::ONE,
        sz: size.into(),
        // Says nothing of who bought.
        side: if size % 2 == 0 { Side::Buy } else { Side::Sell },
        hash: Hash::parse(&format!("0x{:064x}", 0)).unwrap(),
        buyer: user(buyer),
        seller: user(seller),
        arrival: Arrival::default(),
    }
}

fn said(ms: i64, sizes: Sizes) -> State {
    State { time: TimeMs(T0 + ms), sizes, entry_px: BTreeMap::new() }
}

fn sizes(of: &[(&str, i64)]) -> Sizes {
    of.iter().map(|(name, size)| (coin(name), (*size).into())).collect()
}

fn span(from: i64, to: i64) -> Span {
    Span::new(TimeMs(T0 + from), TimeMs(T0 + to))
}

/// One trader, 1, on the first dex, followed from the beginning.
struct Scene {
    tracker: Tracker,
    events: Vec<Event>,
}

impl Scene {
    fn new() -> Self {
        let mut tracker = Tracker::default();
        tracker.track(user(1), 1, &[Dex::First], TimeMs(T0));
        Self { tracker, events: Vec::new() }
    }

    fn bought(&mut self, name: &str, ms: i64, size: i64) {
        let sides = if size > 0 { [1, 9] } else { [9, 1] };
        self.tracker.trades(&[trade(name, ms, size.abs(), sides)], &mut self.events);
    }

    /// A state of this time, judged.
    fn state(&mut self, ms: i64, of: &[(&str, i64)]) {
        let state = said(ms, sizes(of));
        self.tracker.state(user(1), Dex::First, state);
        self.tracker.judge(TimeMs(T0 + ms + AROUND_MS + SETTLE_MS), &mut self.events);
    }

    fn held(&self) -> (Sizes, Standing) {
        let (sizes, standing) = self.tracker.held(user(1), Dex::First).unwrap();
        (sizes.clone(), standing)
    }

    fn wanted(&self, ms: i64) -> Option<Reason> {
        self.tracker.wanted(TimeMs(T0 + ms), 600_000, 9).first().map(|wanted| wanted.reason)
    }

    fn drifts(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Drift { .. })).count()
    }
}

fn changed(event: &Event) -> Option<String> {
    match event {
        Event::Changed { coin, time, before, after, .. } => {
            Some(format!("{coin} at {}: {before} to {after}", time.0 - T0))
        }
        Event::Anchored { time, held, .. } => {
            let held: Vec<_> = held.iter().map(|held| format!("{} {}", held.size, held.coin)).collect();
            Some(format!("at {}: {held:?}", time.0 - T0))
        }
        _ => None,
    }
}

#[test]
fn unknown_is_not_flat_and_flat_is_a_state() {
    let mut scene = Scene::new();
    assert_eq!((scene.held(), scene.wanted(0)), ((sizes(&[]), Standing::Unknown), None));
    assert_eq!(
        scene.wanted(AROUND_MS),
        Some(Reason::Unknown),
        "a state of before it was followed says nothing"
    );
    scene.bought("BTC", 1_000, 5);
    assert_eq!(scene.held(), (sizes(&[]), Standing::Unknown), "what it held before is not known");
    assert_eq!(scene.events, [], "nor what changed");
    scene.state(10_000, &[]);
    assert_eq!(scene.held(), (sizes(&[]), Standing::Exact));
    scene.bought("BTC", 20_000, 5);
    scene.bought("BTC", 21_000, -7);
    assert_eq!(scene.held(), (sizes(&[("BTC", -2)]), Standing::Exact));
    scene.bought("BTC", 22_000, 2);
    assert_eq!(scene.held(), (sizes(&[]), Standing::Exact));
    let told: Vec<_> = scene.events.iter().filter_map(changed).collect();
    assert_eq!(
        told,
        ["at 12000: []", "BTC at 20000: 0 to 5", "BTC at 21000: 5 to -2", "BTC at 22000: -2 to 0"]
    );
}

#[test]
fn a_state_is_joined_at_the_moment_where_it_fits() {
    let mut scene = Scene::new();
    scene.state(10_000, &[("BTC", 10)]);
    scene.bought("BTC", 19_500, 1);
    scene.bought("BTC", 20_500, 1);
    // Of either of three moments.
    for size in [10, 11, 12] {
        let mut scene = Scene { tracker: scene.tracker.clone(), events: Vec::new() };
        scene.state(20_000, &[("BTC", size)]);
        assert_eq!(scene.held(), (sizes(&[("BTC", 12)]), Standing::Exact), "{size}");
        assert_eq!((scene.drifts(), scene.wanted(24_000)), (0, None));
    }
    scene.state(20_000, &[("BTC", 13)]);
    assert_eq!(scene.held(), (sizes(&[("BTC", 12)]), Standing::Suspect));
    assert_eq!(scene.wanted(24_000), Some(Reason::Again));
}

#[test]
fn a_first_state_near_a_trade_is_not_enough() {
    let mut scene = Scene::new();
    scene.bought("BTC", 9_500, 3);
    scene.state(10_000, &[("BTC", 10)]);
    assert_eq!((scene.held().1, scene.wanted(14_000)), (Standing::Unknown, Some(Reason::Again)));
    scene.bought("BTC", 20_000, 1);
    // The first one was of before the trade at 9.5 s: it held 13 then, and one more by now.
    scene.state(21_000, &[("BTC", 13)]);
    assert_eq!(scene.held(), (sizes(&[("BTC", 14)]), Standing::Exact));
}

#[test]
fn which_of_two_near_states_was_first_their_times_do_not_say() {
    let mut scene = Scene::new();
    scene.bought("ETH", 10_000, -1);
    scene.bought("ETH", 10_375, 2);
    // The one that bears the later time was true before the first trade, and the other one between both.
    scene.state(9_999, &[("ETH", -1)]);
    scene.state(10_000, &[]);
    assert_eq!((scene.held().1, scene.wanted(16_000)), (Standing::Unknown, Some(Reason::Again)));
    scene.state(30_000, &[("ETH", 1)]);
    assert_eq!(scene.held(), (sizes(&[("ETH", 1)]), Standing::Exact));
}

#[test]
fn a_state_proves_nothing_where_the_trades_since_are_not_known() {
    let mut scene = Scene::new();
    scene.state(1_000, &[("BTC", 10)]);
    assert_eq!(scene.held().1, Standing::Unknown, "it may be of before its trades were heard");
    scene.tracker.state(user(1), Dex::First, said(10_000, sizes(&[("BTC", 10)])));
    scene.tracker.judge(TimeMs(T0 + 10_000 + KEPT_MS), &mut scene.events);
    assert_eq!(scene.held().1, Standing::Unknown, "it came so late that the trades since are forgotten");
    scene.state(200_000, &[("BTC", 10)]);
    assert_eq!(scene.held(), (sizes(&[("BTC", 10)]), Standing::Exact));
}

#[test]
fn drift_is_believed_once_two_states_agree() {
    let mut scene = Scene::new();
    scene.state(10_000, &[("BTC", 10)]);
    scene.state(30_000, &[("BTC", 4), ("ETH", 1)]);
    assert_eq!(scene.held(), (sizes(&[("BTC", 10)]), Standing::Suspect));
    scene.bought("ETH", 35_000, 2);
    scene.state(50_000, &[("BTC", 4), ("ETH", 3)]);
    assert_eq!((scene.held(), scene.drifts()), ((sizes(&[("BTC", 4), ("ETH", 3)]), Standing::Exact), 2));
    // An answer that erred once changes nothing.
    scene.state(70_000, &[]);
    scene.state(90_000, &[("BTC", 4), ("ETH", 3)]);
    assert_eq!((scene.held(), scene.drifts()), ((sizes(&[("BTC", 4), ("ETH", 3)]), Standing::Exact), 2));
    // Two that fit neither what is known nor each other: the later one is taken, in doubt.
    scene.state(110_000, &[("BTC", 7)]);
    scene.state(130_000, &[("BTC", 8)]);
    assert_eq!(scene.held(), (sizes(&[("BTC", 8)]), Standing::Suspect));
    scene.state(150_000, &[("BTC", 8)]);
    assert_eq!(scene.held(), (sizes(&[("BTC", 8)]), Standing::Exact));
}

#[test]
fn a_gap_makes_everyone_suspect_in_that_coin_until_a_later_state() {
    let mut scene = Scene::new();
    scene.state(10_000, &[("BTC", 10)]);
    scene.tracker.gap(coin("ETH"), span(15_000, 20_000));
    let standing = |scene: &Scene, name| scene.tracker.standing(user(1), coin(name));
    assert_eq!(
        (standing(&scene, "BTC"), standing(&scene, "ETH")),
        (Some(Standing::Exact), Some(Standing::Suspect)),
        "what it did not hold it may hold by now"
    );
    assert_eq!((scene.wanted(21_000), scene.wanted(22_000)), (None, Some(Reason::Suspect)));
    scene.state(21_000, &[("BTC", 10), ("ETH", 5)]);
    assert_eq!(
        standing(&scene, "ETH"),
        Some(Standing::Suspect),
        "the state may be of before the end of the gap"
    );
    scene.state(30_000, &[("BTC", 10), ("ETH", 6)]);
    assert_eq!(scene.held(), (sizes(&[("BTC", 10), ("ETH", 6)]), Standing::Exact));
    assert_eq!(scene.drifts(), 0, "that was to be expected");
    assert_eq!(scene.tracker.standing(user(1), coin("xyz:NVDA")), None, "that dex is not followed");
}

#[test]
fn what_is_wanted_comes_by_urgency_and_rank() {
    let mut tracker = Tracker::default();
    let mut events = Vec::new();
    for n in 1..=6 {
        tracker.track(user(n), u32::from(10 - n), &[Dex::First], TimeMs(T0));
    }
    for n in [1, 2, 3, 4] {
        tracker.state(user(n), Dex::First, said(10_000 + i64::from(n), Sizes::new()));
    }
    tracker.judge(TimeMs(T0 + 20_000), &mut events);
    tracker.trades(&[trade("BTC", 30_000, 1, [2, 3])], &mut events);
    let wanted = |tracker: &Tracker, ms: i64, most: usize| -> Vec<(Reason, u8)> {
        let wanted = tracker.wanted(TimeMs(T0 + ms), 600_000, most);
        wanted.iter().map(|wanted| (wanted.reason, wanted.user.0[0])).collect()
    };
    let unknown = [(Reason::Unknown, 6), (Reason::Unknown, 5)];
    assert_eq!(wanted(&tracker, 35_000, 9), unknown, "the trade may have followers");
    let traded = [(Reason::Traded, 3), (Reason::Traded, 2)];
    assert_eq!(wanted(&tracker, 40_000, 9), [unknown, traded].concat());
    assert_eq!(wanted(&tracker, 40_000, 3), [&unknown[..], &traded[..1]].concat());
    tracker.asked(user(6), Dex::First, TimeMs(T0 + 40_000));
    assert_eq!(wanted(&tracker, 45_000, 1), [(Reason::Unknown, 5)]);
    assert_eq!(wanted(&tracker, 70_000, 1), [(Reason::Unknown, 6)], "no answer came");
    tracker.asked(user(6), Dex::First, TimeMs(T0 + 70_000));
    tracker.put_off(user(6), Dex::First);
    assert_eq!(wanted(&tracker, 70_001, 1), [(Reason::Unknown, 6)], "none will");
    let round = [(Reason::Round, 1), (Reason::Round, 4)];
    assert_eq!(wanted(&tracker, 640_000, 9), [&unknown[..], &traded[..], &round[..]].concat());
    tracker.untrack(user(1));
    assert_eq!(tracker.held(user(1), Dex::First), None);
}

#[test]
fn what_is_known_of_an_account_begins_anew_behind_a_hole_unless_it_is_filled() {
    let mut scene = Scene::new();
    let known = |scene: &Scene| scene.tracker.known(user(1), Dex::First, scene.tracker.hearing(Dex::First));
    ["BTC", "ETH"].iter().for_each(|name| scene.tracker.listen(coin(name)));
    scene.state(10_000, &[("BTC", 1)]);
    assert_eq!((known(&scene), scene.wanted(16_000)), (None, None), "no coin is heard");
    scene.tracker.heard(coin("BTC"), span(5_000, 40_000));
    scene.tracker.heard(coin("ETH"), span(7_000, 35_000));
    assert_eq!((known(&scene), scene.wanted(16_000)), (Some(span(12_000, 34_999)), None));
    scene.bought("BTC", 36_000, 2);
    assert_eq!(scene.tracker.held_at(user(1), Dex::First, TimeMs(T0 + 35_000)), Some(sizes(&[("BTC", 1)])));
    // The subscription of ETH ended, and another began; the trades between come later.
    scene.tracker.heard(coin("ETH"), span(50_000, 60_000));
    assert_eq!((known(&scene), scene.wanted(61_000)), (None, Some(Reason::Suspect)));
    scene.bought("ETH", 45_000, 4);
    scene.tracker.whole(coin("ETH"), span(35_000, 50_000));
    assert_eq!(known(&scene), Some(span(12_000, 39_999)));
    assert_eq!(scene.held(), (sizes(&[("BTC", 3), ("ETH", 4)]), Standing::Exact));
    // This time they do not.
    scene.tracker.heard(coin("BTC"), span(70_000, 90_000));
    scene.tracker.heard(coin("ETH"), span(50_000, 90_000));
    scene.state(80_000, &[("BTC", 5), ("ETH", 4)]);
    assert_eq!(known(&scene), Some(span(82_000, 89_999)));
    let told: Vec<_> = scene.events.iter().filter_map(changed).collect();
    assert_eq!(told.last().unwrap(), r#"at 82000: ["5 BTC", "4 ETH"]"#);
    scene.tracker.delisted(coin("ETH"), TimeMs(T0 + 95_000));
    assert_eq!(scene.held().1, Standing::Suspect, "how it ended no trade says");
    scene.state(100_000, &[("BTC", 5)]);
    assert_eq!(scene.held(), (sizes(&[("BTC", 5)]), Standing::Exact));
    assert_eq!(scene.drifts(), 0);
    assert_eq!(scene.tracker.coins().collect::<Vec<_>>(), [coin("BTC")]);
    // Listed again, it is heard anew.
    scene.tracker.listen(coin("ETH"));
    assert_eq!((scene.tracker.coins().count(), scene.held().1), (2, Standing::Suspect));
}

#[test]
fn a_trade_that_comes_after_the_state_of_its_time_was_judged_is_not_counted_twice() {
    let mut scene = Scene::new();
    scene.state(50_000, &[("BTC", 5)]);
    scene.bought("BTC", 17_000, 2);
    assert_eq!(scene.held(), (sizes(&[("BTC", 5)]), Standing::Exact), "the state has it");
    scene.bought("BTC", 51_000, 2);
    assert_eq!(scene.held(), (sizes(&[("BTC", 5)]), Standing::Suspect), "the state may have it");
    scene.bought("BTC", 52_001, 1);
    assert_eq!(scene.held(), (sizes(&[("BTC", 6)]), Standing::Suspect));
    scene.state(70_000, &[("BTC", 8)]);
    scene.state(90_000, &[("BTC", 8)]);
    assert_eq!(scene.held(), (sizes(&[("BTC", 8)]), Standing::Exact));
}

#[test]
fn a_trade_that_comes_again_is_one_trade() {
    let mut scene = Scene::new();
    scene.state(10_000, &[]);
    for _ in 0..3 {
        scene.bought("BTC", 20_000, 5);
    }
    assert_eq!(scene.held(), (sizes(&[("BTC", 5)]), Standing::Exact));
    // So long after it nothing says whether it was counted.
    scene.bought("BTC", 20_000 + SEEN_MS + 1, 1);
    scene.bought("BTC", 20_000, 5);
    assert_eq!(scene.held(), (sizes(&[("BTC", 6)]), Standing::Suspect));
}

#[test]
fn trades_of_spot_move_no_position() {
    let mut scene = Scene::new();
    scene.state(10_000, &[]);
    ["PURR/USDC", "@107", "#12090"].iter().for_each(|name| scene.bought(name, 20_000, 5));
    assert_eq!(scene.held(), (sizes(&[]), Standing::Exact));
}

/// What happens in a world of four tracked traders and two coins.
#[derive(Clone, Debug)]
enum Step {
    /// A trade, so much later than the last step.
    Trade { after: i64, name: &'static str, size: i64, sides: [u8; 2], delay: i64 },
    /// So many trades to come are lost, and the gap is told.
    Lose { name: &'static str, trades: usize },
    /// A state is asked for; it is so old, and bears a time that is wrong by so much.
    Ask { after: i64, user: u8, old: i64, wrong: i64 },
    /// The exchange answers with what held half a minute ago.
    Err { user: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let name = prop::sample::select(vec!["BTC", "ETH"]);
    prop_oneof![
        8 => (0_i64..1_500, name.clone(), 1_i64..4, [1_u8..6, 1_u8..6], 0_i64..2_500)
            .prop_map(|(after, name, size, sides, delay)| Step::Trade { after, name, size, sides, delay }),
        1 => (name, 1_usize..4).prop_map(|(name, trades)| Step::Lose { name, trades }),
        5 => (0_i64..6_000, 1_u8..5, 0_i64..900, -900_i64..900)
            .prop_map(|(after, user, old, wrong)| Step::Ask { after, user, old, wrong }),
        1 => (1_u8..5).prop_map(|user| Step::Err { user }),
    ]
}

struct World {
    now: i64,
    /// Every trade that happened.
    trades: Vec<Trade>,
    /// Those on their way: when each is here.
    coming: BTreeMap<&'static str, VecDeque<(i64, Trade)>>,
    losing: BTreeMap<&'static str, usize>,
    tracker: Tracker,
    events: Vec<Event>,
    /// Whom the exchange gave a wrong answer, since their last right one.
    erred: BTreeSet<u8>,
}

impl World {
    fn new() -> Self {
        let mut tracker = Tracker::default();
        for n in 1..5 {
            tracker.track(user(n), u32::from(n), &[Dex::First], TimeMs(T0));
        }
        let (trades, coming, losing, events, erred) = <_>::default();
        Self { now: 10_000, trades, coming, losing, tracker, events, erred }
    }

    /// What a trader held at a moment.
    fn truth(&self, n: u8, at: i64) -> Sizes {
        let mut truth = Sizes::new();
        for trade in self.trades.iter().filter(|trade| trade.time.0 <= T0 + at && trade.buyer != trade.seller)
        {
            let signed = [(trade.buyer, trade.sz), (trade.seller, -trade.sz)];
            for (_, size) in signed.iter().filter(|(of, _)| *of == user(n)) {
                *truth.entry(trade.coin).or_default() += *size;
            }
        }
        truth.retain(|_, size| !size.is_zero());
        truth
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
        for coming in self.coming.values_mut() {
            while coming.front().is_some_and(|(at, _)| *at <= self.now)
                && let Some((_, trade)) = coming.pop_front()
            {
                self.tracker.trades(&[trade], &mut self.events);
            }
        }
        self.tracker.judge(TimeMs(T0 + self.now), &mut self.events);
    }

    fn ask(&mut self, n: u8, old: i64, wrong: i64) {
        let sizes = self.truth(n, self.now - old);
        self.tracker.state(user(n), Dex::First, said(self.now - old + wrong, sizes));
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Trade { after, name, size, sides, delay } => {
                self.pass(after);
                let trade = Trade { tid: self.trades.len() as u64, ..trade(name, self.now, size, sides) };
                self.trades.push(trade);
                match self.losing.get_mut(name).filter(|left| **left > 0) {
                    Some(left) => {
                        *left -= 1;
                        self.tracker.gap(coin(name), Span::new(trade.time, trade.time));
                    }
                    None => {
                        let coming = self.coming.entry(name).or_default();
                        let at = coming.back().map_or(0, |(at, _)| *at).max(self.now + delay);
                        coming.push_back((at, trade));
                    }
                }
            }
            Step::Lose { name, trades } => *self.losing.entry(name).or_default() += trades,
            Step::Ask { after, user: n, old, wrong } => {
                self.pass(after);
                self.erred.remove(&n);
                self.ask(n, old, wrong);
            }
            Step::Err { user: n } => {
                // One that was never seen right cannot be known to be wrong, and two in a row are a word against a word.
                let is_known = |name| self.tracker.standing(user(n), coin(name)) == Some(Standing::Exact);
                if is_known("BTC") && is_known("ETH") && self.losing.is_empty() && self.erred.insert(n) {
                    let sizes = self.truth(n, self.now - 30_000);
                    self.tracker.state(user(n), Dex::First, said(self.now, sizes));
                    self.pass(4_000);
                }
            }
        }
    }

    /// What the events say that a trader held, from the last time on that it became known anew. The trades of one coin come in
    /// their order, those of several do not.
    fn history(&self, n: u8) -> Option<(i64, Vec<(i64, Sizes)>)> {
        let mut anchor = None;
        let mut changes = Vec::new();
        for event in &self.events {
            match event {
                Event::Anchored { user: of, time, held, .. } if *of == user(n) => {
                    let held: Sizes = held.iter().map(|held| (held.coin, held.size)).collect();
                    anchor = Some((time.0 - T0, held));
                    changes.clear();
                }
                Event::Changed { user: of, coin, time, before, after, .. } if *of == user(n) => {
                    changes.push((time.0 - T0, *coin, *before, *after));
                }
                _ => {}
            }
        }
        changes.sort_by_key(|(time, ..)| *time);
        let (since, mut sizes) = anchor?;
        let mut steps = vec![(since, sizes.clone())];
        for (time, coin, before, after) in changes {
            if sizes.insert(coin, after).unwrap_or_default() != before {
                return None;
            }
            sizes.retain(|_, size| !size.is_zero());
            steps.push((time, sizes.clone()));
        }
        Some((since, steps))
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for n in 1..5 {
            if self.tracker.held(user(n), Dex::First).unwrap().1 == Standing::Exact {
                let (since, steps) = self.history(n).expect("each change goes on from the one before");
                prop_assert_eq!(self.tracker.accounts[&user(n)][&Dex::First].since().0 - T0, since);
                // Of one moment the last one tells what was held from then on.
                for (at, (time, sizes)) in steps.iter().enumerate() {
                    let until = steps.get(at + 1).map_or(self.now, |(next, _)| next - 1);
                    if *time <= until {
                        prop_assert_eq!(sizes, &self.truth(n, *time), "{} at {}", n, time);
                        prop_assert_eq!(sizes, &self.truth(n, until), "{} until {}", n, until);
                    }
                }
            }
            let truth = self.truth(n, self.now);
            let (held, _) = self.tracker.held(user(n), Dex::First).unwrap();
            for name in ["BTC", "ETH"].map(coin) {
                let of = |sizes: &Sizes| sizes.get(&name).copied().unwrap_or_default();
                if self.tracker.standing(user(n), name) == Some(Standing::Exact) {
                    prop_assert_eq!(of(held), of(&truth), "{} in {}", n, name);
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_called_exact_is_exact_and_a_quiet_moment_makes_everything_so(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.pass(10_000);
        world.check()?;
        for _ in 0..2 {
            (1..5).for_each(|n| world.ask(n, 0, 0));
            world.pass(10_000);
            world.check()?;
        }
        for n in 1..5 {
            prop_assert_eq!(world.tracker.held(user(n), Dex::First).unwrap().1, Standing::Exact);
        }
    }
}
