//! `hl-cli backfill` as its user meets it: the real binaries, against a simulated exchange over TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

mod beside;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hl_core::ledger::{Batch, Cause, Change, GapState, Span};
use hl_core::record::{Address, Side, Trade};
use hl_core::seam::{Clock as _, Net as _};
use hl_core::store::prelude::*;
use hl_core::{Coin, Interval, Records, StreamKey, TimeMs};
use hl_runtime::{SystemClock, TcpNet};
use hl_sim::{Fault, FaultKind, Sim, SimConfig};
use hl_store::{GapRow, Inspect as _, SqliteOptions, SqliteStore, Writer};
use serde_json::Value;
use tokio::process::{Child, Command};

/// Half past a minute.
const START: TimeMs = TimeMs(1_790_000_070_000);
const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);

struct World {
    sim: Sim,
    folder: tempfile::TempDir,
}

/// What a process said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    /// A number of the only stream of the answer.
    fn number(&self, field: &str) -> i64 {
        self.json()["streams"][0][field].as_i64().unwrap()
    }
}

fn coin() -> Coin {
    Coin::new("BTC").unwrap()
}

fn minutes() -> StreamKey {
    StreamKey::Candle(coin(), Interval::M1)
}

fn command(binary: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> Said {
    Said::of(tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap())
}

async fn interrupt(child: Child) -> Said {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    finish(child).await
}

async fn finish(child: Child) -> Said {
    Said::of(tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap())
}

/// Asks again until there is an answer: what happens in another process announces itself nowhere else.
async fn until<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = answer().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{what} never came"))
}

impl World {
    async fn new(speed: f64) -> Self {
        Self::of(speed, 2).await
    }

    /// With so many coins: the last ones trade rarely.
    async fn of(speed: f64, coins: usize) -> Self {
        let listener = TcpNet::new().listen("127.0.0.1:0").await.unwrap();
        let config = SimConfig { seed: 5, coins, traders: 50, start: START, speed, ..SimConfig::default() };
        Self { sim: Sim::start(config, listener).unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("hl.db")
    }

    fn store(&self) -> String {
        format!("sqlite:{}", self.file().display())
    }

    fn url(&self) -> String {
        self.sim.endpoint().to_string()
    }

    fn backfill_command(&self, arguments: &[&str]) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_hl-cli"), &["backfill"]);
        command.args(arguments).args(["--network", &self.url(), "--store", &self.store(), "--json"]);
        command
    }

    async fn backfill(&self, arguments: &[&str]) -> Said {
        output(self.backfill_command(arguments)).await
    }

    /// Another command of `hl-cli` on the same store.
    async fn cli(&self, arguments: &[&str]) -> Said {
        let mut command = command(env!("CARGO_BIN_EXE_hl-cli"), arguments);
        command.args(["--store", &self.store()]);
        output(command).await
    }

    /// What `hl-cli coverage --json` answers.
    async fn coverage(&self, arguments: &[&str]) -> Value {
        self.cli(&[&["coverage", "--json"], arguments].concat()).await.exits(0).json()
    }

    fn begin(&self, arguments: &[&str]) -> Child {
        let mut command = self.backfill_command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn daemon(&self, streams: &str) -> Child {
        let mut command = command(env!("CARGO_BIN_EXE_hl-daemon"), &["--coin", "BTC", "--streams", streams]);
        command.args(["--network", &self.url(), "--store", &self.store()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The store must be consistent, and hold nothing but the truth.
    async fn verify(&self) {
        let arguments = ["verify", "--store", &self.store(), "--truth", &self.url()];
        output(command(env!("CARGO_BIN_EXE_hl-cli"), &arguments)).await.exits(0);
    }

    async fn gaps(&self, stream: StreamKey) -> Vec<GapRow> {
        SqliteStore::inspect(self.file()).unwrap().gaps(Some(stream)).await.unwrap()
    }

    async fn rows(&self, stream: StreamKey, from: TimeMs, to: TimeMs) -> Records {
        SqliteStore::inspect(self.file()).unwrap().rows(stream, Span::new(from, to)).await.unwrap()
    }

    /// The edge of a stream, and the role of its holder.
    async fn edge(&self, stream: StreamKey) -> Option<(TimeMs, Option<String>)> {
        let streams = SqliteStore::inspect(self.file()).ok()?.streams().await.ok()?;
        let row = streams.into_iter().find(|row| row.stream == stream)?;
        Some((row.edge?, row.holder.map(|holder| holder.role)))
    }

    async fn asked(&self, requests: u64) {
        until("requests", async || (self.sim.status().counters.info_requests >= requests).then_some(()))
            .await;
    }
}

fn ms(time: TimeMs) -> String {
    time.0.to_string()
}

#[tokio::test]
async fn bars_that_are_there_are_filled_and_what_never_was_is_not_missing() {
    let world = World::new(1.0).await;
    let to = START.floor(MINUTE) - MINUTE;
    let from = to - 5_400 * MINUTE;
    let arguments = ["candles", "--coin", "BTC", "--from", &ms(from), "--to", &ms(to)];
    let said = world.backfill(&arguments).await.exits(0);
    assert!(said.err.contains("candle/BTC/1m: the exchange's history begins at "), "{}", said.err);

    let lost: Vec<_> = world.gaps(minutes()).await;
    let lost: Vec<_> = lost.iter().filter(|gap| gap.state == GapState::Unrecoverable).collect();
    let [lost] = lost.as_slice() else { panic!("{lost:?}") };
    assert_eq!((lost.span.from, lost.cause), (from, Cause::BeforeHistory));
    let truth = world.sim.truth_candles(coin(), Interval::M1, lost.span.to, to - 1);
    assert!(truth.len() > 4_900, "{} bars", truth.len());
    assert_eq!(said.number("rows"), i64::try_from(truth.len()).unwrap());
    assert_eq!(world.rows(minutes(), from, to).await, Records::Candles(truth));
    assert_eq!((said.number("unrecoverable_ms"), said.number("before_history_ms")), (0, lost.span.ms()));
    assert_eq!(said.number("filled_ms"), to.since(lost.span.to));
    assert_eq!((said.number("from"), said.number("to"), said.number("open_ms")), (from.0, to.0, 0));
    assert_eq!(said.json()["complete"], true, "what never was is not missing");

    // The clock, twice where nothing agrees with it, and the markets are asked for; nothing else is left to ask.
    let asked = world.sim.status().counters.info_requests;
    let said = world.backfill(&arguments).await.exits(0);
    assert_eq!(world.sim.status().counters.info_requests, asked + 3);
    assert_eq!((said.number("rows"), said.number("filled_ms")), (0, 0));
    assert_eq!(said.number("before_history_ms"), lost.span.ms(), "once for all");
    let said = world.coverage(&[]).await;
    assert_eq!((&said["complete"], &said["gaps_to_look_at"]), (&1.0.into(), &0.into()), "{said:#}");
    let report = world.cli(&["verify", "--json"]).await.exits(0).json();
    assert!(report["gaps"].as_array().unwrap().iter().all(|gap| gap["state"] == "backfilled"), "{report:#}");
    let words = ["export", "--stream", "candle/BTC/1m", "--from", &ms(from), "--format", "csv"];
    let said = world.cli(&words).await.exits(0);
    assert!(said.err.contains("before the exchange's history; 0 gaps inside"), "{}", said.err);
    world.verify().await;
    world.sim.stop().await;
}

#[tokio::test]
async fn several_coins_and_intervals_in_pieces_that_grow_both_ways() {
    let world = World::new(1.0).await;
    let mid = START.floor(DAY);
    let run = async |from: TimeMs, to: TimeMs| {
        let (from, to) = (ms(from), ms(to));
        let said = world
            .backfill(&["candles", "--coin", "BTC,ETH", "--interval", "1h", "--from", &from, "--to", &to])
            .await;
        said.exits(0).json()["streams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["rows"].as_i64().unwrap())
            .collect()
    };
    let day: Vec<i64> = run(mid - DAY, mid).await;
    assert_eq!(day, [24, 24]);
    // Later, with a day between, and earlier, with a day between: what lies between is a gap, never a hole.
    let later: Vec<i64> = run(mid - 10 * DAY, mid - 9 * DAY).await;
    assert_eq!(later, [24, 24]);
    let stream = StreamKey::Candle(coin(), Interval::H1);
    let open: i64 =
        world.gaps(stream).await.iter().filter(|g| g.state == GapState::Open).map(|g| g.span.ms()).sum();
    assert_eq!(open, 8 * DAY);
    let said = world.backfill(&["gaps"]).await.exits(0);
    assert_eq!((said.number("rows"), said.number("filled_ms")), (192, 8 * DAY));
    assert_eq!(said.json()["complete"], true);
    world.verify().await;
    world.sim.stop().await;
}

#[tokio::test]
async fn stopped_in_the_middle_it_goes_on_where_it_stopped() {
    let world = World::new(1.0).await;
    let to = START.floor(MINUTE) - MINUTE;
    let from = to - 4_800 * MINUTE;
    let arguments = ["candles", "--coin", "BTC", "--from", &ms(from), "--to", &ms(to)];
    let slow = FaultKind::Http { status: None, body: None, delay_ms: Some(1_000) };
    world.sim.inject(Fault::new(slow));
    let child = world.begin(&arguments);
    until("the first page", async || {
        let inspect = SqliteStore::inspect(world.file()).ok()?;
        let covered = inspect.coverage(Some(minutes())).await.ok()?;
        (!covered.is_empty()).then_some(())
    })
    .await;
    let said = interrupt(child).await.exits(130);
    assert!(said.err.contains("the same command goes on from there"), "{}", said.err);
    let first = said.number("rows");
    assert!(first > 0 && said.number("open_ms") > 0 && said.json()["complete"] == false, "{}", said.out);

    world.sim.clear_faults();
    let said = world.backfill(&arguments).await.exits(0);
    let truth = world.sim.truth_candles(coin(), Interval::M1, from, to - 1);
    assert_eq!(
        first + said.number("rows"),
        i64::try_from(truth.len()).unwrap(),
        "no bar was asked for twice"
    );
    assert_eq!(world.rows(minutes(), from, to).await, Records::Candles(truth));
    assert_eq!(said.json()["complete"], true);
    world.verify().await;
    world.sim.stop().await;
}

#[tokio::test]
async fn what_another_backfill_is_at_is_left_to_it() {
    let world = World::new(1.0).await;
    let to = START.floor(MINUTE) - MINUTE;
    let arguments = ["candles", "--coin", "BTC", "--from", &ms(to - 4_800 * MINUTE), "--to", &ms(to)];
    let slow = FaultKind::Http { status: None, body: None, delay_ms: Some(2_000) };
    let child = {
        world.sim.inject(Fault::new(slow));
        world.begin(&arguments)
    };
    let pid = child.id().unwrap();
    // Clock, markets: the gap is there, claimed, and its first page on the way.
    world.asked(2).await;
    until("the gap", async || {
        let inspect = SqliteStore::inspect(world.file()).ok()?;
        (!inspect.gaps(Some(minutes())).await.ok()?.is_empty()).then_some(())
    })
    .await;
    let said = world.backfill(&["gaps"]).await.exits(3);
    assert!(said.err.contains(&format!("held by hl-cli backfill (pid {pid} on ")), "{}", said.err);
    assert_eq!(said.json()["complete"], false);
    world.sim.clear_faults();
    finish(child).await.exits(0);
    world.verify().await;
    world.sim.stop().await;
}

#[tokio::test]
async fn all_funding_of_weeks() {
    let world = World::new(1.0).await;
    let from = START - 50 * DAY;
    let said = world.backfill(&["funding", "--coin", "BTC", "--from", &ms(from)]).await.exits(0);
    let to = TimeMs(said.number("to"));
    assert!(world.sim.now().since(to) >= 30 * MINUTE, "a settlement may come late");
    let truth = world.sim.truth_funding(coin(), from, to - 1);
    assert!(truth.len() > 1_000, "more than two pages");
    assert_eq!(said.number("rows"), i64::try_from(truth.len()).unwrap());
    assert_eq!(world.rows(StreamKey::Funding(coin()), from, to).await, Records::Funding(truth));
    assert_eq!(said.json()["complete"], true);
    world.verify().await;
    world.sim.stop().await;
}

/// Reads the fills of a trader who has `between` so many after so many minutes, so often, and compares them with its trades.
async fn fills(minutes: i64, between: std::ops::Range<usize>, runs: u32) {
    let listener = TcpNet::new().listen("127.0.0.1:0").await.unwrap();
    let busy =
        SimConfig { seed: 5, coins: 2, traders: 12, start: START, activity: 5.0, ..SimConfig::default() };
    let busy = SimConfig { resume: Some(START + minutes * MINUTE), ..busy };
    let world = World { sim: Sim::start(busy, listener).unwrap(), folder: tempfile::tempdir().unwrap() };
    let now = world.sim.now();
    let sides = |user: Address, to: TimeMs| -> BTreeSet<(TimeMs, u64, Side)> {
        let trades = world.sim.coins().into_iter().flat_map(|coin| world.sim.truth_trades(coin, START, to));
        let of = |trade: &Trade| {
            let sides = [(trade.buyer, Side::Buy), (trade.seller, Side::Sell)];
            sides.into_iter().find(|(of, _)| *of == user).map(|(_, side)| (trade.time, trade.tid, side))
        };
        trades.filter_map(|trade| of(&trade)).collect()
    };
    let trades = world.sim.truth_trades(coin(), START, now);
    let users: BTreeSet<Address> = trades.iter().flat_map(|trade| [trade.buyer, trade.seller]).collect();
    let counts: Vec<_> = users.iter().map(|user| sides(*user, now).len()).collect();
    let user = users.iter().zip(&counts).find(|(_, fills)| between.contains(fills)).map(|(user, _)| *user);
    let user = user.unwrap_or_else(|| panic!("the traders have {counts:?} fills"));
    // In capital letters it is the same trader.
    let text = user.to_string().to_uppercase();
    let stream = StreamKey::Fills(text.parse().unwrap());
    for run in 0..runs {
        let said = world.backfill(&["fills", "--user", &text]).await.exits(0);
        let to = TimeMs(said.number("to"));
        let truth = sides(user, to - 1);
        let Records::Fills(stored) = world.rows(stream, START, to).await else { panic!("other rows") };
        let stored: BTreeSet<_> = stored.iter().map(|fill| (fill.time, fill.tid, fill.side)).collect();
        assert_eq!(stored, truth, "run {run}");
        assert_eq!((said.json()["complete"].clone(), said.number("rows") > 0), (true.into(), true));
        until("another fill", async || (sides(user, world.sim.now()).len() > truth.len()).then_some(()))
            .await;
    }
    world.verify().await;
    world.sim.stop().await;
}

#[tokio::test]
async fn all_fills_of_a_trader_over_several_pages() {
    fills(18, 2_001..5_000, 1).await;
}

#[tokio::test]
async fn the_fills_since_the_last_one_that_is_stored() {
    fills(10, 100..1_900, 2).await;
}

#[tokio::test]
async fn a_trader_without_fills_is_not_an_error_and_what_is_no_address_is() {
    let world = World::new(1.0).await;
    let unknown = format!("0x{:040x}", 1);
    let said = world.backfill(&["fills", "--user", &unknown]).await.exits(0);
    assert!(said.err.contains("the exchange has nothing of it"), "{}", said.err);
    assert!(
        world.backfill(&["fills", "--user", "0x12"]).await.exits(2).err.contains("40 hexadecimal digits")
    );
    world.sim.stop().await;
}

#[tokio::test]
async fn the_last_trades_and_what_came_between_is_lost() {
    let world = World::new(20.0).await;
    let trades = StreamKey::Trades(coin());
    let said = world.backfill(&["trades", "--coin", "BTC"]).await.exits(0);
    assert_eq!(said.number("rows"), 10);
    let first = TimeMs(said.number("to"));
    // Ten trades of one block prove nothing: it may have more.
    until("more trades than the exchange shows, in several blocks", async || {
        let trades = world.sim.truth_trades(coin(), first + 1, TimeMs::MAX);
        let shown = trades.iter().rev().take(6).map(|trade| trade.time);
        (trades.len() > 40 && shown.collect::<BTreeSet<_>>().len() > 3).then_some(())
    })
    .await;
    let said = world.backfill(&["trades", "--coin", "BTC"]).await.exits(4);
    assert!(said.err.contains("trades/BTC: the exchange no longer has"), "{}", said.err);
    assert_eq!((said.number("rows"), said.number("from")), (10, first.0));
    let lost: Vec<_> =
        world.gaps(trades).await.into_iter().filter(|gap| gap.state == GapState::Unrecoverable).collect();
    let [lost] = lost.as_slice() else { panic!("{lost:?}") };
    assert_eq!((lost.span.from, lost.span.ms()), (first, said.number("unrecoverable_ms")));
    // Whatever is stored is true, and inside the covered piece nothing is missing.
    let to = TimeMs(said.number("to"));
    let stored = match world.rows(trades, lost.span.to + 1, to - 1).await {
        Records::Trades(stored) => stored,
        other => panic!("{other:?}"),
    };
    let key = |mut trades: Vec<hl_core::record::Trade>| {
        trades.sort_by_key(hl_core::record::Trade::key);
        trades
    };
    assert_eq!(key(stored), key(world.sim.truth_trades(coin(), lost.span.to + 1, to - 1)));
    world.verify().await;
    world.sim.stop().await;
}

#[tokio::test]
async fn every_open_gap_is_filled_or_given_up() {
    let world = World::new(1.0).await;
    let to = START.floor(MINUTE) - MINUTE;
    let from = to - 30 * MINUTE;
    let streams = [minutes(), StreamKey::Trades(coin()), StreamKey::MIDS];
    let store = SqliteStore::open(SqliteOptions {
        path: world.file(),
        role: "hl-daemon".to_owned(),
        host: "here".to_owned(),
        pid: 1,
        writer: Writer::Inline { delay_ms: 0 },
        clock: Arc::new(SystemClock),
    })
    .await
    .unwrap();
    store.lease(&streams).await.unwrap();
    let opened = Change::GapOpened { span: Span::new(from, to), cause: Cause::Outage };
    let changes = streams.iter().flat_map(|s| [(*s, opened.clone()), (*s, Change::Edge(to))]).collect();
    store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
    store.close().await.unwrap();

    let said = world.backfill(&["gaps"]).await.exits(4);
    let length = to.since(from);
    for stream in said.json()["streams"].as_array().unwrap() {
        let filled = stream["stream"] == minutes().to_string();
        let expected = if filled { [length, 0, 0] } else { [0, length, 0] };
        let numbers = ["filled_ms", "unrecoverable_ms", "open_ms"].map(|f| stream[f].as_i64().unwrap());
        assert_eq!(numbers, expected, "{stream}");
    }
    let truth = world.sim.truth_candles(coin(), Interval::M1, from, to - 1);
    assert_eq!(world.rows(minutes(), from, to).await, Records::Candles(truth));
    let said = world.backfill(&["gaps"]).await.exits(0);
    assert_eq!(said.json(), serde_json::json!({"streams": [], "complete": true}));
    world.verify().await;
    world.sim.stop().await;
}

#[tokio::test]
async fn waiting_for_the_request_budget_is_said() {
    let world = World::new(1.0).await;
    let to = START.floor(MINUTE) - MINUTE;
    // Another process has used the budget up, for some seconds more.
    let store = SqliteStore::open(SqliteOptions {
        path: world.file(),
        role: "another".to_owned(),
        host: "here".to_owned(),
        pid: 1,
        writer: Writer::Inline { delay_ms: 0 },
        clock: Arc::new(SystemClock),
    })
    .await
    .unwrap();
    let then = SystemClock.now() - 50_000;
    store.reserve(&world.url(), then, 690, u32::MAX).await.unwrap();
    store.close().await.unwrap();
    let arguments = ["candles", "--coin", "BTC", "--from", &ms(to - 2_000 * MINUTE), "--to", &ms(to)];
    let said = world.backfill(&arguments).await.exits(0);
    let waits =
        said.err.lines().find(|line| line.contains("waiting for the request budget: ")).unwrap_or_default();
    assert!(waits.contains("s, 0 of 2 done, about ") && waits.ends_with(" left"), "{}", said.err);
    world.sim.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_nearest_right_word() {
    let world = World::new(1.0).await;
    let yesterday = ms(START - DAY);
    let candles = async |more: &[&str]| {
        let mut arguments = vec!["candles", "--from", &yesterday];
        arguments.extend(more);
        world.backfill(&arguments).await
    };
    let said = candles(&["--coin", "btc"]).await.exits(2);
    assert!(
        said.err.contains(r#"--coin: the exchange has no coin "btc"; did you mean "BTC"?"#),
        "{}",
        said.err
    );
    let said = candles(&["--coin", "BTC", "--interval", "7m"]).await.exits(2);
    assert!(said.err.contains("--interval: ") && said.err.contains("1m 3m 5m"), "{}", said.err);
    let said = candles(&["--coin", "BTC", "--to", "tomorow"]).await.exits(2);
    assert!(said.err.contains(r#"--to: "tomorow" is not a time; write it like"#), "{}", said.err);
    let said = candles(&["--coin", "BTC", "--to", &ms(START - 2 * DAY)]).await.exits(2);
    assert!(said.err.contains("--from: ") && said.err.contains("is not before"), "{}", said.err);
    let said = world.backfill(&["funding", "--coin", "BTC", "--from", &ms(START + DAY)]).await.exits(2);
    assert!(said.err.contains("is not before"), "{}", said.err);
    let said = world.backfill(&["candels", "--coin", "BTC"]).await.exits(2);
    assert!(said.err.contains("candles"), "{}", said.err);

    let raw = async |arguments: &[&str], variable: (&str, &str)| {
        let mut command = command(env!("CARGO_BIN_EXE_hl-cli"), &["backfill"]);
        command.args(arguments).env("HL_STORE", world.store()).env(variable.0, variable.1);
        output(command).await
    };
    let said = raw(&["trades", "--coin", "BTC"], ("HL_NETWROK", "testnet")).await.exits(2);
    assert!(said.err.contains(r#"did you mean "HL_NETWORK"?"#), "{}", said.err);
    let said = raw(&["trades", "--coin", "BTC"], ("HL_NETWORK", "sim")).await.exits(2);
    assert!(said.err.contains("inside hl-daemon"), "{}", said.err);
    // A port that was free a moment ago: nobody listens.
    let url = TcpNet::new().listen("127.0.0.1:0").await.unwrap().endpoint().to_string();
    let said = raw(&["trades", "--coin", "BTC"], ("HL_NETWORK", &url)).await.exits(1);
    assert!(said.err.contains(&format!("asking {url}: exchangeStatus: connection to {url}")), "{}", said.err);

    let absent = world.folder.path().join("absent.db");
    let uri = format!("sqlite:{}", absent.display());
    raw(&["gaps", "--network", &url, "--store", &uri], ("PATH", "")).await.exits(1);
    assert!(!absent.exists(), "looking for gaps makes no store");
    world.sim.stop().await;
}
