//! What moves the estimate, and what does not.

use super::*;

const T: i64 = 1_790_000_000_000;
const HOUR: i64 = 3_600_000;

/// An estimate, and an exchange whose clock can be set.
struct World {
    time: ExchangeTime,
    mono: i64,
    /// The exchange's clock, less the monotonic one.
    exchange: i64,
    /// The system clock, less the monotonic one.
    system: i64,
    /// Whether the exchange answers.
    answers: bool,
    /// Which streams come, and how late, ms.
    streams: Vec<(Voice, i64)>,
    asked: Vec<i64>,
}

impl World {
    /// A minute in which all is well.
    fn settled() -> Self {
        let mut world = Self::new(T, T);
        world.answer(-300);
        world.run(60_000);
        world.asked.clear();
        world
    }

    fn new(exchange: i64, system: i64) -> Self {
        Self {
            time: ExchangeTime::new(TimeMs(system), 0),
            mono: 0,
            exchange,
            system,
            answers: true,
            streams: vec![(Voice::Trades, 300), (Voice::Books, 500), (Voice::Bbos, 250)],
            asked: Vec::new(),
        }
    }

    fn say(&mut self, voice: Voice, ahead_ms: i64) {
        let stamp = TimeMs(self.exchange + self.mono + ahead_ms);
        self.time.observe(voice, stamp, self.mono, TimeMs(self.system + self.mono));
    }

    fn answer(&mut self, ahead_ms: i64) {
        let stamp = TimeMs(self.exchange + self.mono + ahead_ms);
        self.time.answered(stamp, self.mono, 200, TimeMs(self.system + self.mono));
    }

    /// So long, ms, as it is: each stream speaks four times a second, and what is asked is answered.
    fn run(&mut self, for_ms: i64) {
        let end = self.mono + for_ms;
        while self.mono < end {
            self.mono += 250;
            for (voice, late_ms) in self.streams.clone() {
                self.say(voice, -late_ms);
            }
            if self.time.asks(self.mono, false) {
                self.asked.push(self.mono);
                if self.answers {
                    self.answer(-100);
                }
            }
        }
    }

    /// How far the estimate is from the truth, ms.
    fn error(&self) -> i64 {
        self.time.now(self.mono).0 - self.exchange - self.mono
    }

    fn takes(&self, ahead_ms: i64) -> bool {
        let stamp = TimeMs(self.exchange + self.mono + ahead_ms);
        self.time.can_be(stamp, self.mono, TimeMs(self.system + self.mono))
    }
}

#[test]
fn one_stamp_moves_nothing_however_far_ahead() {
    for voice in [Voice::Trades, Voice::Books, Voice::Bbos, Voice::Answers] {
        for ahead_ms in [400, 1_500, 2_900, 3_100, 6_000, 90_000, HOUR, i64::MAX / 4] {
            let mut world = World::settled();
            let before = world.error();
            world.say(voice, ahead_ms);
            assert_eq!(world.error(), before, "{voice:?} {ahead_ms} ms ahead");
            world.run(120_000);
            assert_eq!(world.error(), before, "{voice:?} {ahead_ms} ms ahead, later");
        }
    }
    let mut world = World::settled();
    let before = world.error();
    world.answer(HOUR);
    world.run(60_000);
    assert_eq!(world.error(), before, "an answer is one stamp as well");
}

#[test]
fn all_books_of_one_push_are_one_word() {
    let mut world = World::new(T, T - 2 * HOUR);
    world.run(60_000);
    let before = world.error();
    for _ in 0..200 {
        world.say(Voice::Books, 2_500);
    }
    assert_eq!(world.error(), before);
}

#[test]
fn a_stamp_of_the_future_is_refused_and_one_of_now_is_not() {
    let world = World::settled();
    assert!(world.takes(0) && world.takes(4_000) && world.takes(-HOUR));
    assert!(!world.takes(6_000) && !world.takes(HOUR));
    let unknown = World::new(T, T - 5 * HOUR);
    assert!(unknown.takes(0), "a system clock that is wrong by hours refuses nothing");
}

#[test]
fn a_kind_that_stays_ahead_is_refused_for_as_long_as_the_others_do_not_say_so() {
    let mut world = World::settled();
    world.streams = vec![(Voice::Trades, 300), (Voice::Books, -HOUR)];
    world.run(1_200_000);
    assert!(world.error().abs() < 1_000, "{}", world.error());
    assert!(world.asked.len() < 30, "asked {} times in 20 minutes", world.asked.len());
}

#[test]
fn a_clock_that_is_set_ahead_is_followed_within_seconds() {
    for answers in [true, false] {
        let mut world = World::settled();
        world.answers = answers;
        world.exchange += HOUR;
        world.run(if answers { 3_000 } else { 11_000 });
        assert!(world.error().abs() < 1_000, "answers: {answers}, {}", world.error());
        assert!(world.takes(0));
    }
}

#[test]
fn a_clock_that_is_set_back_is_followed_within_seconds() {
    for back_ms in [5_000, 20_000, HOUR] {
        let mut world = World::settled();
        world.exchange -= back_ms;
        world.run(10_000);
        assert!(world.error().abs() < 1_000, "{back_ms} ms: {}", world.error());
        assert!(back_ms == 5_000 || !world.takes(back_ms), "what was now is the future");
    }
    let mut world = World::settled();
    (world.streams, world.exchange, world.mono) = (vec![], world.exchange - 20_000, world.mono + 60_000);
    world.answer(-100);
    world.run(10_000);
    assert!(world.error().abs() < 1_000, "no stream speaks, and the answers changed: {}", world.error());
}

#[test]
fn sockets_that_are_behind_do_not_set_the_clock_back() {
    let mut world = World::settled();
    world.streams = vec![(Voice::Trades, 12_000), (Voice::Bbos, 15_000)];
    world.run(120_000);
    assert!(world.error().abs() < 1_000, "{}", world.error());
    assert!(!world.asked.is_empty() && world.asked.len() < 10, "{:?}", world.asked);
}

#[test]
fn an_answer_that_is_always_behind_sets_nothing_back() {
    let mut world = World::settled();
    for _ in 0..100 {
        world.run(5_000);
        world.answer(-20_000);
    }
    assert!(world.error().abs() < 1_000, "{}", world.error());
}

#[test]
fn a_wrong_system_clock_counts_for_nothing_once_the_time_is_known() {
    for system in [T - 9 * HOUR, T + 9 * HOUR] {
        let mut world = World::new(T, system);
        assert!(!world.time.is_learnt());
        world.answer(-100);
        assert!(!world.time.is_learnt(), "one word against another");
        world.mono += 500;
        world.answer(-100);
        assert!(world.time.is_learnt());
        assert!(world.error().abs() < 1_000, "{}", world.error());
        world.run(10_000);
        world.system += HOUR;
        world.run(10_000);
        assert!((-600..=0).contains(&world.error()), "{}", world.error());
    }
}

#[test]
fn the_first_words_of_streams_teach_the_time_where_nothing_else_does() {
    let mut world = World::new(T, T - 9 * HOUR);
    world.answers = false;
    world.say(Voice::Trades, -300);
    assert!(!world.time.is_learnt(), "one word");
    world.mono += 250;
    world.say(Voice::Bbos, -250);
    assert!(!world.time.is_learnt(), "two may be wrong together, in a burst");
    world.mono += 250;
    world.say(Voice::Trades, -300);
    assert!(world.time.is_learnt(), "three");
    assert!(world.error().abs() < 1_000, "{}", world.error());
}

#[test]
fn a_machine_that_slept_goes_by_its_system_clock() {
    let mut world = World::settled();
    world.answers = false;
    // The monotonic clock stood still meanwhile.
    (world.exchange, world.system) = (world.exchange + 2 * HOUR, world.system + 2 * HOUR);
    assert!(world.takes(0));
    world.run(250);
    assert!(world.error().abs() < 1_000, "{}", world.error());
}

#[test]
fn an_old_stamp_does_not_set_the_clock_back_before_better_ones_had_their_chance() {
    let system = |mono: i64| TimeMs(1_000_000 + mono);
    let mut time = ExchangeTime::new(system(0), 0);
    time.observe(Voice::Books, TimeMs(999_500), 100, system(100));
    assert_eq!(time.now(200), TimeMs(1_000_200), "a snapshot of half a second ago");
    time.observe(Voice::Bbos, TimeMs(1_000_250), 300, system(300));
    time.observe(Voice::Trades, TimeMs(1_000_260), 310, system(310));
    assert_eq!(time.now(6_000), TimeMs(1_005_950), "then only the exchange counts");
}

#[test]
fn the_fastest_frame_decides_and_is_forgotten_in_time() {
    let mut world = World::settled();
    assert_eq!(world.error(), -250);
    world.exchange -= 1_000;
    world.run(299_000);
    assert_eq!(world.error(), 750);
    world.run(320_000);
    assert_eq!(world.error(), -250, "a clock that was set back a little is followed");
    assert_eq!(world.asked, Vec::<i64>::new(), "and nothing of this is worth a question");
}

#[test]
fn an_exchange_that_goes_on_is_not_asked_and_one_that_is_silent_is() {
    let mut world = World::settled();
    let mut asks = 0;
    for _ in 0..600 {
        world.mono += 1_000;
        world.say(Voice::Books, -500);
        asks += u32::from(world.time.asks(world.mono, true));
    }
    assert_eq!(asks, 0);
    for _ in 0..600 {
        world.mono += 1_000;
        if world.time.asks(world.mono, true) {
            asks += 1;
            world.answer(-100);
        }
        assert_eq!(world.time.stands_since(), None);
    }
    assert!((30..=60).contains(&asks), "asked {asks} times in 10 minutes");
}

#[test]
fn an_exchange_that_shows_the_same_time_stands_still_since_then() {
    let mut world = World::settled();
    let last = world.mono;
    let stood = TimeMs(T + last);
    let stopped = |world: &mut World, for_ms: i64| {
        for _ in 0..for_ms / 1_000 {
            world.mono += 1_000;
            world.time.observe(Voice::Books, stood, world.mono, TimeMs(T + world.mono));
            if world.time.asks(world.mono, true) {
                world.time.answered(stood, world.mono, 200, TimeMs(T + world.mono));
            }
        }
    };
    stopped(&mut world, 9_000);
    assert_eq!(world.time.stands_since(), None, "nothing is known of it yet");
    stopped(&mut world, 60_000);
    assert_eq!(world.time.stands_since(), Some(stood));
    assert!(world.error().abs() < 1_000, "time goes on: {}", world.error());
    world.say(Voice::Bbos, -250);
    assert_eq!(world.time.stands_since(), None);
    world.streams.clear();
    stopped(&mut world, 60_000);
    assert_eq!(world.time.stands_since(), Some(TimeMs(T + last + 69_000 - 250)));
    world.time.changed(world.mono);
    assert_eq!(world.time.stands_since(), None, "a price that changes is life as well");
}

#[test]
fn a_burst_of_wrong_stamps_that_hits_a_stream_and_an_answer_moves_nothing() {
    let mut world = World::settled();
    // The answer to the question that the stamp caused is wrong alike, and so is the next stamp.
    for burst in [[true, false, true], [true, true, false], [false, true, true], [true, true, true]] {
        for is_stream in burst {
            if is_stream {
                world.say(Voice::Trades, HOUR);
            } else {
                world.answer(HOUR);
            }
            world.mono += 20;
        }
        assert!(world.error() <= 0, "{burst:?}: {}", world.error());
        assert!(!world.takes(HOUR));
        world.run(30_000);
    }
}

#[test]
fn a_burst_of_wrong_stamps_at_the_start_moves_nothing_that_the_exchange_has_said_otherwise() {
    const BURST: [(Voice, i64); 3] = [(Voice::Trades, 100), (Voice::Books, 0), (Voice::Bbos, 200)];
    // The system clock is wrong as well, and not by as much.
    for system in [T - 50_000, T + 50_000, T - HOUR, T + 2 * HOUR] {
        let mut world = World::new(T, system);
        world.answer(-100);
        for (voice, less) in BURST {
            let ahead = HOUR - less;
            assert!(!world.takes(ahead), "{voice:?}");
            world.say(voice, ahead);
        }
        assert!(!world.time.is_learnt() && world.takes(0));
        world.run(5_000);
        assert!(world.time.is_learnt() && world.error().abs() < 1_000, "{system}: {}", world.error());
    }
    // Streams that go on saying so are right after a while, where the exchange answers no more.
    let mut world = World::new(T, T - HOUR);
    world.answer(-HOUR / 2);
    world.answers = false;
    world.run(9_000);
    assert!(!world.time.is_learnt());
    world.run(3_000);
    assert!(world.time.is_learnt() && world.error().abs() < 1_000, "{}", world.error());
}
