//! The whole daemon in virtual time, on an exchange that errs: what it says is evidence, not truth. Whatever it says, no row
//! is missing without a word, nothing is stored or covered beyond now, and who is not concerned keeps collecting.

use std::collections::BTreeMap;
use std::time::Duration;

use hl_chaos::Trace;
use hl_core::ledger::{Cause, GapState, Span};
use hl_core::{Records, SourceId, StreamKey, TimeMs};
use hl_engine::Snapshot;
use hl_monitor::AlertChange;
use hl_scheduler::jobs::CollectFunding;
use hl_scheduler::plan::{Retry, Spec};
use hl_sim::{AnswerFault, Fault, FaultKind, Part, SimConfig, Way};
use hl_store::{CoverageRow, Inspect as _, SqliteStore};
use hl_verify::Report;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{World, coin, streams, verified};

const TRADES: &[&str] = &["trades/BTC", "trades/ETH"];
const BOTH: &[&str] = &["trades/BTC", "trades/ETH", "candle/BTC/1m", "candle/ETH/1m"];
const EVERY_KIND: &[&str] =
    &["trades/BTC", "candle/BTC/1m", "book/BTC", "bbo/BTC", "context/BTC", "mids", "trades/ETH", "book/ETH"];

/// A daemon, and what the exchange does to it.
#[derive(Default)]
struct Case {
    name: &'static str,
    streams: &'static [&'static str],
    standby: bool,
    /// What the exchange does otherwise from the start.
    assume: &'static [&'static str],
    /// Settled funding is read as often.
    funding: Option<&'static str>,
    /// Seconds after the start, and what happens then.
    faults: Vec<(u64, Fault)>,
    /// States that may be stored as if they were of now before the collector could see that they are not.
    unseen: u64,
    /// Seconds.
    lasts: u64,
}

/// What came of it.
struct Seen {
    name: &'static str,
    report: Report,
    first: Snapshot,
    last: Snapshot,
    pieces: Vec<CoverageRow>,
    /// Alerts that rose, as `behind book/BTC`.
    told: Vec<String>,
    begun: TimeMs,
    unseen: u64,
    world: World,
}

impl Case {
    async fn run(self) -> Seen {
        let mut config = SimConfig { seed: 3, ..SimConfig::default() };
        for text in self.assume {
            config.assume(text).unwrap();
        }
        let mut world = World::with(config, Trace::new(false)).await.unwrap();
        if let Some(every) = self.funding {
            let spec = CollectFunding::spec(Some(every.parse().unwrap())).unwrap();
            world.jobs = vec![Spec { grace_ms: 1_000, jitter_ms: 0, retry: Retry::NEVER, ..spec }];
        }
        let begin = Instant::now();
        let begun = world.sim.now();
        let standby: Vec<_> = if self.standby { vec![coin("BTC")] } else { Vec::new() };
        let daemon = world.daemon_with(&streams(self.streams), &standby).await.unwrap();
        let mut changes = daemon.engine.alerts();
        let at = |s| begin + Duration::from_secs(s);
        sleep_until(at(15)).await;
        let first = daemon.engine.snapshot();
        for (second, fault) in self.faults {
            sleep_until(at(second)).await;
            world.sim.inject(fault);
        }
        sleep_until(at(self.lasts)).await;
        let mut told = Vec::new();
        loop {
            match changes.try_recv() {
                Ok(AlertChange::Raised(alert)) => {
                    told.push(format!("{} {}", alert.kind.as_str(), alert.subject))
                }
                Ok(_) => {}
                Err(TryRecvError::Lagged(missed)) => panic!("{missed} changes went by unseen"),
                Err(_) => break,
            }
        }
        let last = daemon.engine.snapshot();
        daemon.stop().await.unwrap_or_else(|e| panic!("{}: it ended: {e}", self.name));
        let report = verified(&world).await;
        let inspect = SqliteStore::inspect(world.store_path()).unwrap();
        let pieces = inspect.coverage(None).await.unwrap();
        let seen =
            Seen { name: self.name, report, first, last, pieces, told, begun, unseen: self.unseen, world };
        seen.nothing_is_quietly_missing();
        seen.nothing_lies_beyond_now().await;
        seen
    }
}

impl Seen {
    fn nothing_is_quietly_missing(&self) {
        for stream in &self.report.streams {
            let Some(compared) = &stream.compared else { continue };
            let different = compared.different.saturating_sub(self.unseen);
            let wrong = (compared.missing.unwrap_or(0), compared.extra, different);
            assert_eq!(wrong, (0, 0, 0), "{}: {}: missing, extra, different", self.name, stream.stream);
        }
        let compared = self.report.streams.iter().filter_map(|stream| stream.compared.as_ref());
        assert!(compared.map(|c| c.truth).sum::<u64>() > 30, "{}: nothing was compared", self.name);
    }

    async fn nothing_lies_beyond_now(&self) {
        let now = self.world.sim.now() + 1_000;
        let inspect = SqliteStore::inspect(self.world.store_path()).unwrap();
        for stream in inspect.streams().await.unwrap() {
            let rows = inspect.rows(stream.stream, Span { from: now, to: TimeMs::MAX }).await.unwrap();
            assert_eq!(rows.len(), 0, "{}: {}: rows beyond now", self.name, stream.stream);
            assert!(stream.edge.is_none_or(|edge| edge <= now), "{}: {:?}", self.name, stream);
        }
        for piece in &self.pieces {
            assert!(piece.span.to <= now, "{}: covered beyond now: {piece:?}", self.name);
        }
        for gap in &self.report.gaps {
            assert!(gap.span.to <= now, "{}: a gap beyond now: {gap:?}", self.name);
        }
    }

    /// The audit finds nothing, either.
    fn clean(&self) -> &Self {
        assert!(self.report.problems.is_empty(), "{}: {:#?}", self.name, self.report.problems);
        self
    }

    /// How long, ms, a stream has gaps that stay.
    fn missing_ms(&self, stream: &str) -> i64 {
        let stream: StreamKey = stream.parse().unwrap();
        let lasting = self.report.gaps.iter().filter(|gap| gap.stream == stream);
        let spans = lasting.filter(|gap| gap.state != GapState::Backfilled).map(|gap| gap.span);
        let mut spans: Vec<Span> = spans.collect();
        spans.sort();
        Span::joined(spans).into_iter().map(Span::ms).sum()
    }

    /// Nothing of a stream is missing.
    fn whole(&self, stream: &str) -> &Self {
        let gaps: Vec<_> = self.report.gaps.iter().filter(|g| g.stream.to_string() == stream).collect();
        assert_eq!(self.missing_ms(stream), 0, "{}: {stream}: {gaps:?}", self.name);
        self
    }

    /// No stream changed hands after the beginning.
    fn still(&self) -> &Self {
        let moved = self.last.handovers - self.first.handovers;
        assert_eq!(moved, 0, "{}: streams changed hands", self.name);
        self
    }

    /// Streams changed hands at most so often after the beginning.
    fn moved_at_most(&self, times: u64) -> &Self {
        let moved = self.last.handovers - self.first.handovers;
        assert!(moved <= times, "{}: streams changed hands {moved} times", self.name);
        self
    }

    fn owned_by_the_socket(&self, stream: &str) -> &Self {
        let owner = self.last.streams[&stream.parse::<StreamKey>().unwrap()].owner;
        assert_eq!(owner, Some(SourceId::Ws), "{}: {stream}", self.name);
        self
    }

    /// An alert of this kind rose.
    fn tells(&self, kind: &str) -> &Self {
        let told = self.told.iter().any(|told| told.split(' ').next() == Some(kind));
        assert!(told, "{}: {kind} is not among {:?}", self.name, self.told);
        self
    }

    async fn rows(&self, stream: &str, from: TimeMs, to: TimeMs) -> Records {
        let inspect = SqliteStore::inspect(self.world.store_path()).unwrap();
        inspect.rows(stream.parse().unwrap(), Span { from, to }).await.unwrap()
    }

    /// Seconds between the start and a time.
    fn second(&self, s: i64) -> TimeMs {
        self.begun + s * 1_000
    }
}

fn answer(request: &str, part: Part) -> FaultKind {
    FaultKind::Answer(AnswerFault {
        request: Some(request.into()),
        part: Some(part),
        ..AnswerFault::default()
    })
}

fn fails(request: &str, dex: Option<&str>) -> FaultKind {
    FaultKind::Answer(AnswerFault {
        request: Some(request.into()),
        dex: dex.map(Into::into),
        status: Some(500),
        ..AnswerFault::default()
    })
}

fn stale(request: &str, behind_ms: u64) -> FaultKind {
    FaultKind::Answer(AnswerFault {
        request: Some(request.into()),
        behind_ms: Some(behind_ms),
        ..AnswerFault::default()
    })
}

fn stamp(stream: &str, by_ms: i64) -> FaultKind {
    FaultKind::Stamp { stream: Some(stream.parse().unwrap()), by_ms, rows: None, on: Some(Way::Ws) }
}

fn drop() -> Fault {
    Fault::new(FaultKind::Drop)
}

fn for_s(kind: FaultKind, seconds: u64) -> Fault {
    Fault::lasting(kind, seconds * 1_000)
}

/// An outage of the sockets from a second on, during which REST errs for longer.
fn outage(at: u64, seconds: u64, kind: &FaultKind, errs: u64) -> Vec<(u64, Fault)> {
    vec![
        (at, for_s(kind.clone(), errs)),
        (at, for_s(FaultKind::Handshake { status: 502 }, seconds)),
        (at, drop()),
    ]
}

#[tokio::test(start_paused = true)]
async fn recent_trades_that_are_short_empty_or_stale_prove_only_what_they_contain() {
    for (name, kind) in [
        ("two trades", answer("recentTrades", Part::Newest(2))),
        ("one trade", answer("recentTrades", Part::Newest(1))),
        ("no trades", answer("recentTrades", Part::Newest(0))),
        ("without the newest five", answer("recentTrades", Part::WithoutNewest(5))),
        ("four seconds behind", stale("recentTrades", 4_000)),
        ("a minute behind", stale("recentTrades", 60_000)),
    ] {
        // Before anything is calibrated, and after.
        let early =
            Case { name, streams: TRADES, faults: outage(20, 25, &kind, 40), lasts: 120, ..Case::default() };
        early.run().await.clean();
        let late =
            Case { name, streams: BOTH, faults: outage(190, 25, &kind, 45), lasts: 420, ..Case::default() };
        late.run().await.clean();
    }
}

#[tokio::test(start_paused = true)]
async fn no_minute_is_covered_without_its_bar() {
    for (name, kind) in [
        ("no bars", answer("candleSnapshot", Part::Newest(0))),
        ("without the newest two", answer("candleSnapshot", Part::WithoutNewest(2))),
        ("one bar", answer("candleSnapshot", Part::Newest(1))),
        ("two minutes behind", stale("candleSnapshot", 120_000)),
    ] {
        for at in [25, 190] {
            let faults = vec![(at, for_s(kind.clone(), 60)), (at, drop())];
            let case = Case { name, streams: BOTH, faults, lasts: at + 240, ..Case::default() };
            case.run().await.clean().owned_by_the_socket("candle/BTC/1m");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_past_is_read_in_pages_however_short_they_are() {
    for assume in [&["candle-page=500"][..], &["candle-page=70"]] {
        let mut config = SimConfig { seed: 3, activity: 0.1, ..SimConfig::default() };
        assume.iter().for_each(|text| config.assume(text).unwrap());
        let world = World::with(config, Trace::new(false)).await.unwrap();
        let wanted = streams(&["candle/BTC/1m"]);
        let daemon = world.daemon(&wanted).await.unwrap();
        sleep(Duration::from_secs(200)).await;
        daemon.stop().await.unwrap();
        let hours = if assume[0].ends_with("=70") { 1 } else { 10 };
        sleep(Duration::from_secs(hours * 3_600)).await;
        let daemon = world.daemon(&wanted).await.unwrap();
        sleep(Duration::from_secs(600)).await;
        daemon.stop().await.unwrap();
        let report = verified(&world).await;
        let compared = report.streams[0].compared.as_ref().unwrap();
        assert_eq!((compared.missing, compared.extra), (Some(0), 0), "{assume:?}: {report:#?}");
        // The minute in which everything began was never whole.
        let past = report.gaps.iter().filter(|gap| gap.cause != Cause::FirstStart);
        let left: Vec<_> = past.filter(|gap| gap.state != GapState::Backfilled).collect();
        assert!(left.is_empty(), "{assume:?}: everything could be read: {left:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_stamp_an_hour_ahead_moves_nothing() {
    for stream in ["book/BTC", "bbo/BTC", "trades/BTC", "candle/BTC/1m"] {
        for by_ms in [3_600_000, 90_000] {
            let faults = vec![(100, Fault::times(stamp(stream, by_ms), 1))];
            let case = Case { name: stream, streams: EVERY_KIND, faults, lasts: 360, ..Case::default() };
            let seen = case.run().await;
            seen.clean();
            for other in EVERY_KIND.iter().filter(|other| **other != stream && !other.starts_with("candle")) {
                seen.whole(other);
            }
            // Books come every five seconds.
            let Records::Books(books) = seen.rows("book/BTC", seen.second(120), seen.second(340)).await
            else {
                panic!("books");
            };
            assert!(books.len() > 35, "{stream} {by_ms}: {} books", books.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_loses_no_trade() {
    for (by_ms, with_drop) in [
        (-20_000, true),
        (-20_000, false),
        (-75_000, true),
        (-75_000, false),
        (-3_000, false),
        (20_000, true),
    ] {
        let mut faults = vec![(100, Fault::new(FaultKind::Clock { by_ms }))];
        if with_drop {
            faults.push((100, drop()));
        }
        let name = if with_drop { "with a new socket" } else { "inside one socket" };
        let case = Case { name, streams: TRADES, faults: faults.clone(), lasts: 400, ..Case::default() };
        case.run().await;
        let case = Case { name, streams: BOTH, faults, lasts: 600, ..Case::default() };
        case.run().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_value_that_is_none_spoils_itself() {
    let value = |stream: Option<&str>, field: &str, value: serde_json::Value, one_in| FaultKind::Value {
        stream: stream.map(|s| s.parse().unwrap()),
        field: field.into(),
        value,
        one_in,
        on: None,
    };
    // Settled funding: the rows around are stored.
    let nan = value(Some("funding/BTC"), "premium", "NaN".into(), Some(5));
    let case = Case {
        name: "premium",
        streams: &["trades/BTC"],
        funding: Some("every 60s"),
        faults: vec![(1, Fault::new(nan))],
        lasts: 400,
        ..Case::default()
    };
    let seen = case.run().await;
    let Records::Funding(rows) = seen.rows("funding/BTC", TimeMs::MIN, TimeMs::MAX).await else {
        panic!("funding");
    };
    assert!(rows.len() > 10, "{} rows", rows.len());
    seen.tells("undecodable");

    // Mids: the other coins'.
    for none in [serde_json::Value::Null, "".into(), "NaN".into()] {
        let faults = vec![(1, Fault::new(value(None, "SOL", none.clone(), None)))];
        let case =
            Case { name: "mids", streams: &["mids", "trades/BTC"], faults, lasts: 300, ..Case::default() };
        let seen = case.run().await;
        seen.whole("trades/BTC").still().whole("mids");
        let Records::Mids(mids) = seen.rows("mids", TimeMs::MIN, TimeMs::MAX).await else { panic!("mids") };
        let mut of: BTreeMap<_, usize> = BTreeMap::new();
        mids.iter().for_each(|mid| *of.entry(mid.coin).or_default() += 1);
        // The fault began a quarter of a minute after the start.
        let last = mids.iter().filter(|mid| mid.coin == coin("SOL")).map(|mid| mid.time).max();
        assert!(of.len() > 5 && last.is_none_or(|last| last < seen.second(20)), "{none}: {of:?}, {last:?}");
    }

    // An exponent is a number.
    let exponent = FaultKind::Exponent { stream: None, field: "sz".into() };
    let faults = vec![(60, Fault::new(exponent))];
    let case = Case { name: "exponent", streams: EVERY_KIND, faults, lasts: 300, ..Case::default() };
    case.run().await.clean().still().whole("trades/BTC").whole("book/BTC");

    // What cannot be read concerns its coin only.
    let bad = value(Some("trades/ETH"), "sz", "much".into(), None);
    let faults = vec![(60, for_s(bad, 200))];
    let case = Case { name: "poison", streams: EVERY_KIND, faults, lasts: 500, ..Case::default() };
    let seen = case.run().await;
    for other in EVERY_KIND.iter().filter(|stream| !stream.contains("ETH")) {
        seen.whole(other).owned_by_the_socket(other);
    }
    assert!(seen.missing_ms("trades/ETH") > 100_000, "{}", seen.missing_ms("trades/ETH"));
    seen.moved_at_most(8).tells("undecodable");
}

#[tokio::test(start_paused = true)]
async fn when_everything_dies_no_name_is_guilty() {
    for standby in [false, true] {
        let faults = vec![(20, for_s(FaultKind::Drop, 6))];
        let case = Case {
            name: "sockets die at once",
            streams: &["trades/BTC"],
            standby,
            faults,
            lasts: 120,
            ..Case::default()
        };
        let seen = case.run().await;
        seen.clean().owned_by_the_socket("trades/BTC").moved_at_most(4);
        assert!(seen.missing_ms("trades/BTC") < 20_000, "{:#?}", seen.report.gaps);
    }
}

#[tokio::test(start_paused = true)]
async fn a_coin_that_vanishes_takes_no_other_one_off_its_socket() {
    let streams = &["trades/BTC", "trades/ETH", "bbo/ETH", "candle/ETH/1m", "candle/BTC/1m", "bbo/BTC"][..];
    let unlist = FaultKind::Unlist { coin: coin("ETH") };
    // For good, and for some minutes.
    for faults in [
        vec![(60, Fault::new(unlist.clone())), (65, drop())],
        vec![(60, for_s(unlist.clone(), 200)), (65, drop()), (150, drop())],
    ] {
        let comes_back = faults.len() > 2;
        let case = Case { name: "vanish", streams, faults, lasts: 700, ..Case::default() };
        let seen = case.run().await;
        for stream in streams.iter().filter(|s| s.contains("BTC") && !s.starts_with("candle")) {
            seen.owned_by_the_socket(stream);
            assert!(seen.missing_ms(stream) < 30_000, "{stream}: {:#?}", seen.report.gaps);
        }
        // Each loss of the socket moves what it carried to REST and back.
        seen.moved_at_most(if comes_back { 24 } else { 16 });
        if comes_back {
            seen.owned_by_the_socket("trades/ETH");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_that_fail_in_part_stop_nothing() {
    for (name, fault) in [
        ("no list of dexes", fails("perpDexs", None)),
        ("no list of a dex", fails("meta", Some("xyz"))),
        ("no spot", fails("spotMeta", None)),
        (
            "a short list",
            FaultKind::Answer(AnswerFault {
                request: Some("meta".into()),
                without: Some("ETH".into()),
                ..AnswerFault::default()
            }),
        ),
    ] {
        let faults = vec![(60, for_s(fault, 120)), (61, drop())];
        let streams = &["trades/BTC", "trades/ETH", "trades/xyz:NVDA", "trades/@107"][..];
        let case = Case { name, streams, faults, lasts: 900, ..Case::default() };
        let seen = case.run().await;
        for stream in streams {
            seen.owned_by_the_socket(stream);
        }
        assert!(seen.missing_ms("trades/BTC") < 30_000, "{name}: {:#?}", seen.report.gaps);
    }
}

#[tokio::test(start_paused = true)]
async fn bars_that_count_otherwise_are_no_witness() {
    let bars = |factor, more, on| FaultKind::Bars { coin: None, factor, more, on };
    for (name, kind) in
        [("twice the trades", bars(2, 0, None)), ("half again", bars(1, 7, None)), ("none", bars(0, 0, None))]
    {
        let faults = vec![(1, Fault::new(kind.clone()))];
        let case = Case { name, streams: BOTH, faults, lasts: 600, ..Case::default() };
        let seen = case.run().await;
        seen.moved_at_most(16).whole("trades/BTC").owned_by_the_socket("trades/BTC");
        assert!(!seen.told.iter().any(|told| told.starts_with("flapping")), "{:?}", seen.told);
        // And after they had agreed for minutes.
        let faults = vec![(250, Fault::new(kind))];
        let case = Case { name, streams: BOTH, faults, lasts: 900, ..Case::default() };
        // Damped: less than one change of hands a minute and stream.
        case.run().await.moved_at_most(43).owned_by_the_socket("trades/BTC");
    }
    // REST differs from the socket, for good: a minute in doubt is a row, not hundreds.
    let faults = vec![(1, Fault::new(bars(1, 1, Some(Way::Rest))))];
    let case = Case { name: "rest differs", streams: BOTH, faults, lasts: 1_800, ..Case::default() };
    let seen = case.run().await;
    seen.moved_at_most(8);
    for stream in BOTH {
        let rows = seen.report.gaps.iter().filter(|gap| gap.stream.to_string() == *stream).count();
        assert!(rows <= 31, "{stream}: {rows} rows for 30 minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn data_that_flow_are_a_sign_of_life() {
    for (name, kind) in [("no pong", FaultKind::NoPong), ("no acknowledgements", FaultKind::NoAck)] {
        let faults = vec![(1, Fault::new(kind.clone()))];
        let case = Case { name, streams: EVERY_KIND, faults, lasts: 400, ..Case::default() };
        let seen = case.run().await;
        seen.clean().moved_at_most(8);
        for stream in EVERY_KIND.iter().filter(|stream| !stream.starts_with("candle")) {
            seen.owned_by_the_socket(stream).whole(stream);
        }
        let opened = seen.world.sim.status().counters.sockets_opened;
        assert!(opened <= 3, "{name}: {opened} sockets");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_reaches_as_far_as_its_newest_row() {
    for behind_ms in [4_000, 1_000, 20_000] {
        for standby in [false, true] {
            let stale = FaultKind::StaleReplay { stream: None, behind_ms };
            let faults = vec![(1, Fault::new(stale)), (150, drop()), (210, drop())];
            let case = Case {
                name: "stale replay",
                streams: TRADES,
                standby,
                faults,
                lasts: 330,
                ..Case::default()
            };
            case.run().await.clean().owned_by_the_socket("trades/BTC");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_key_with_other_content_changes_nothing() {
    let faults = vec![(60, for_s(FaultKind::SameTid { stream: Some("trades/BTC".parse().unwrap()) }, 30))];
    let case = Case { name: "same tid", streams: TRADES, faults, lasts: 200, ..Case::default() };
    case.run().await.clean().still().whole("trades/BTC");
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_held_frames_out_of_order_hides_none() {
    for (seconds, refused) in [(60, 12), (40, 5), (90, 25)] {
        let faults = vec![
            (100, for_s(FaultKind::Reorder { stream: None }, seconds)),
            (101, for_s(FaultKind::Refuse, refused)),
            (101, drop()),
        ];
        let case = Case { name: "reorder", streams: TRADES, faults, lasts: 400, ..Case::default() };
        case.run().await.clean();
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_exchange_says_that_stands_still_covers_nothing() {
    let faults = vec![(100, for_s(FaultKind::Halt, 120))];
    let streams = &["mids", "context/BTC", "trades/BTC"][..];
    let case = Case { name: "halt", streams, faults, lasts: 400, ..Case::default() };
    let seen = case.run().await;
    for stream in ["mids", "context/BTC"] {
        let inside = Span { from: seen.second(130), to: seen.second(215) };
        let covered: Vec<_> = seen
            .pieces
            .iter()
            .filter(|piece| piece.stream.to_string() == stream)
            .filter_map(|piece| piece.span.intersect(inside))
            .collect();
        let gaps = seen.report.gaps.iter().filter(|gap| gap.stream.to_string() == stream);
        let known: i64 = gaps.filter_map(|gap| gap.span.intersect(inside)).map(Span::ms).sum();
        let covered: i64 = covered.into_iter().map(Span::ms).sum();
        assert!(
            covered - known < 5_000,
            "{stream}: {covered} ms of {} are covered, {known} ms are gaps",
            inside.ms()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_behind_is_told_and_its_states_are_not_of_now() {
    let faults = vec![(120, for_s(FaultKind::Late { by_ms: 9_000 }, 400))];
    let case = Case { name: "late", streams: EVERY_KIND, faults, unseen: 5, lasts: 800, ..Case::default() };
    case.run().await.tells("behind");
}

#[tokio::test(start_paused = true)]
async fn what_holds_for_long_still_holds() {
    for (name, faults) in [
        ("handshakes fail", vec![(60, for_s(FaultKind::Handshake { status: 429 }, 50)), (60, drop())]),
        ("sockets expire", (1..8).map(|n| (n * 35, Fault::new(FaultKind::Expire))).collect()),
        (
            "REST is limited at first",
            vec![(
                0,
                for_s(FaultKind::Answer(AnswerFault { status: Some(429), ..AnswerFault::default() }), 45),
            )],
        ),
        ("no trades over REST", outage(60, 25, &answer("recentTrades", Part::Newest(0)), 40)),
    ] {
        let case = Case { name, streams: BOTH, faults, lasts: 400, ..Case::default() };
        case.run().await.clean().owned_by_the_socket("trades/BTC");
    }
}
