//! The commands over a real store.

use std::path::{Path, PathBuf};

use hl_core::alert::{Alert, AlertKind};
use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::record::{Candle, Market, MarketStatus, MarketType, Mid};
use hl_core::row::Arrival;
use hl_core::store::note_of;
use hl_core::store::prelude::*;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs, Token};
use hl_monitor::{Process, ProcessKind, ProcessNote, State};
use hl_store::{SqliteOptions, SqliteStore, Writer};
use serde_json::Value;

use super::*;
use crate::status::{self, StatusReport};

struct At(i64);

impl Clock for At {
    fn nanos(&self) -> i64 {
        self.0 * 1_000_000
    }
}

async fn open(path: &Path) -> SqliteStore {
    let options = SqliteOptions {
        path: path.to_owned(),
        role: "hl-daemon".to_owned(),
        host: "here".to_owned(),
        pid: 77,
        writer: Writer::Inline { delay_ms: 0 },
        clock: Arc::new(At(1_000)),
    };
    SqliteStore::open(options).await.unwrap()
}

/// Mids of one coin every 5 s to 50 s, with a gap from 20 s to 40 s.
async fn fill(store: &SqliteStore) {
    let stream = StreamKey::MIDS;
    assert_eq!(store.lease(&[stream]).await.unwrap().granted.len(), 1);
    let token = store.token();
    let epoch = Epoch { token, local: 1 };
    let coin = Coin::new("BTC").unwrap();
    let mids = |from: i64, to: i64| {
        let at = |s| Mid { coin, time: TimeMs(s * 1_000), px: Decimal::from(s), arrival: Arrival::default() };
        Records::Mids((from..=to).step_by(5).map(at).collect())
    };
    let span = |from: i64, to: i64| Span::new(TimeMs(from * 1_000), TimeMs(to * 1_000));
    let rows = |from, to| Change::Rows { epoch, origin: Origin::Ws, records: mids(from, to) };
    let covered = |from, to| Change::Covered { epoch, origin: Origin::Ws, span: span(from, to) };
    let changes = [
        rows(0, 20),
        covered(0, 20),
        Change::GapOpened { span: span(20, 40), cause: Cause::Outage },
        rows(40, 50),
        covered(40, 50),
        Change::Edge(TimeMs(50_000)),
    ];
    let batch = Batch { token, changes: changes.map(|change| (stream, change)).to_vec() };
    store.commit(Arc::new(batch)).await.unwrap();
}

/// A folder with a store that was filled and left.
async fn filled() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let store = open(&path).await;
    fill(&store).await;
    store.close().await.unwrap();
    (folder, path)
}

async fn cli(words: &[&str], path: &Path) -> (Exit, String) {
    cli_at(words, path, 60_000).await
}

async fn cli_at(words: &[&str], path: &Path, now: i64) -> (Exit, String) {
    let mut out = Vec::new();
    let mut shell = Shell {
        environment: vec![("HL_STORE".into(), format!("sqlite:{}", path.display()).into())],
        net: Arc::new(TcpNet::new()),
        clock: Arc::new(At(now)),
        out: &mut out,
    };
    let exit = run(["hl-cli"].iter().chain(words).map(OsString::from), &mut shell).await;
    (exit, String::from_utf8(out).unwrap())
}

async fn json(words: &[&str], path: &Path) -> Value {
    let (exit, text) = cli(&[words, &["--json"]].concat(), path).await;
    assert_eq!(exit, Exit::Done, "{text}");
    assert_eq!(text.lines().count(), 1, "one object: {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn coverage_shows_pieces_and_gaps_in_order() {
    let (_folder, path) = filled().await;
    let all = json(&["coverage"], &path).await;
    let mids = &all["streams"][0];
    assert_eq!((&mids["stream"], &mids["edge"]), (&"mids".into(), &50_000.into()));
    assert_eq!((&mids["covered_ms"], &mids["gap_ms"]), (&30_000.into(), &20_000.into()));
    assert_eq!(mids["coverage"][0]["from"], 0);
    assert_eq!(mids["coverage"][1]["source"], "ws");
    let gap = serde_json::json!({
        "stream": "mids", "from": 20_000, "to": 40_000, "cause": "outage", "state": "unrecoverable",
    });
    assert_eq!(mids["gaps"][0], gap);
    assert_eq!(json(&["coverage", "--stream", "mids"], &path).await, all);

    assert_eq!((&all["complete"], &all["gaps_to_look_at"]), (&0.6.into(), &1.into()));
    let first = json(&["coverage", "--to", "1970-01-01T00:00:30"], &path).await;
    let first = &first["streams"][0];
    assert_eq!((&first["covered_ms"], &first["gap_ms"]), (&20_000.into(), &10_000.into()));

    let (_, text) = cli(&["coverage"], &path).await;
    assert!(text.starts_with("1 stream, 60.00 % of 50.0s complete, 1 gap to look at\n"), "{text}");
    let (_, text) = cli(&["coverage", "--all"], &path).await;
    let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("{word} is not in\n{text}"));
    assert!(at("1970-01-01T00:00:00.000Z") < at("GAP outage, unrecoverable"), "{text}");
    let (_, text) = cli(&["coverage", "--stream", "trades/BTC"], &path).await;
    assert_eq!(text, "trades/BTC was never collected into this store\n");
    assert_eq!(
        cli(&["coverage", "--coin", "BTC"], &path).await.0,
        Exit::Usage,
        "mids have no coin of their own"
    );
}

/// Thirty minutes of Bitcoin's bars, with a gap from the twelfth to the fourteenth.
async fn fill_bars(store: &SqliteStore) {
    let (coin, interval) = (Coin::new("BTC").unwrap(), Interval::M1);
    let stream = StreamKey::Candle(coin, interval);
    store.lease(&[stream]).await.unwrap();
    let token = store.token();
    let (epoch, origin) = (Epoch { token, local: 1 }, Origin::Ws);
    let span = |from: i64, to: i64| Span::new(TimeMs(from * 60_000), TimeMs(to * 60_000));
    let bar = |n: i64| Candle {
        coin,
        interval,
        time: TimeMs(n * 60_000),
        open: Decimal::from(100 + n),
        high: Decimal::from(103 + n),
        low: Decimal::from(99 + n),
        close: Decimal::from(101 + n),
        volume: Decimal::new(25, 1),
        trades: 2,
        arrival: Arrival::default(),
    };
    let rows =
        |from, to| Change::Rows { epoch, origin, records: Records::Candles((from..to).map(bar).collect()) };
    let mut changes = Vec::new();
    for (from, to) in [(0, 12), (14, 30)] {
        let span = span(from, to);
        changes.extend([rows(from, to), Change::Final { span }, Change::Covered { epoch, origin, span }]);
    }
    changes.push(Change::GapOpened { span: span(12, 14), cause: Cause::Outage });
    changes.push(Change::Edge(TimeMs(30 * 60_000)));
    let batch = Batch { token, changes: changes.into_iter().map(|change| (stream, change)).collect() };
    store.commit(Arc::new(batch)).await.unwrap();
}

#[tokio::test]
async fn an_export_says_what_its_range_holds_and_overwrites_nothing() {
    let (folder, path) = filled().await;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (csv, gaps) = (file("m.csv"), file("g.ndjson"));
    let export = async |more: &[&str]| cli(&[&["export", "--stream", "mids"], more].concat(), &path).await;
    let (exit, text) = export(&["--out", &csv, "--gaps", &gaps]).await;
    assert_eq!((exit, text), (Exit::Partial, format!("8 rows in {csv}\n")), "a gap is inside");
    assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), 9);
    let gap: Value = serde_json::from_str(std::fs::read_to_string(&gaps).unwrap().trim()).unwrap();
    let expected = serde_json::json!({
        "stream": "mids", "coin": null, "from": 20_000, "to": 40_000, "from_iso": "1970-01-01T00:00:20.000Z",
        "to_iso": "1970-01-01T00:00:40.000Z", "what": "gap", "cause": "outage", "state": "unrecoverable",
    });
    assert_eq!(gap, expected);

    assert_eq!(export(&["--out", &csv]).await.0, Exit::Usage, "it is there already");
    assert_eq!(export(&["--out", &file("new.csv"), "--gaps", &gaps]).await.0, Exit::Usage);
    assert!(!folder.path().join("new.csv").exists());
    let (exit, text) = export(&["--out", &csv, "--force", "--complete-only", "--json"]).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(exit, Exit::Partial);
    assert_eq!(
        (&answer["rows"], &answer["left_out"], &answer["whole"]),
        (&6.into(), &2.into(), &false.into())
    );
    let holds = &answer["holds"][0];
    assert_eq!(
        (&holds["covered_ms"], &holds["gap_ms"], &holds["gaps"]),
        (&30_000.into(), &20_000.into(), &1.into())
    );
    let (exit, text) = export(&["--format", "ndjson", "--to", "1970-01-01T00:00:12"]).await;
    assert_eq!((exit, text.lines().count()), (Exit::Done, 3), "whole as far as that");
    assert!(text.contains(r#""px":"10.0""#), "exact: {text}");
    let (_, text) = export(&["--format", "ndjson", "--numbers", "float"]).await;
    assert!(text.contains(r#""px":10.0"#), "{text}");
    for wrong in [
        &["--out", "rows.txt"][..],
        &["--format", "parquet"],
        &["--format", "csv", "--numbers", "double"],
        &["--format", "csv", "--coin", "BTC"],
        &["--format", "csv", "--from", "1970-01-02"],
        &["--format", "csv", "--gaps", "gaps.parquet"],
    ] {
        assert_eq!(export(wrong).await.0, Exit::Usage, "{wrong:?}");
    }
    let link = file("link.csv");
    std::os::unix::fs::symlink(&csv, &link).unwrap();
    let before = std::fs::read(&csv).unwrap();
    for same in [&csv, &link, &file("./m.csv")] {
        assert_eq!(export(&["--out", &csv, "--gaps", same, "--force"]).await.0, Exit::Usage, "{same}");
    }
    assert_eq!(std::fs::read(&csv).unwrap(), before);
    let new = file("new.csv");
    assert_eq!(export(&["--out", &new, "--gaps", &new]).await.0, Exit::Usage);
    let unknown = ["export", "--stream", "trades", "--coin", "BTC", "--format", "csv"];
    assert_eq!(cli(&unknown, &path).await.0, Exit::Usage, "the store has no trades");
}

#[tokio::test]
async fn bars_are_derived_and_drawn_where_all_of_their_minutes_are_covered() {
    let (folder, path) = filled().await;
    let store = open(&path).await;
    fill_bars(&store).await;
    store.close().await.unwrap();
    let now = 40 * 60_000;
    let five = ["export", "--stream", "candles", "--coin", "BTC", "--interval", "5m", "--format", "ndjson"];
    let (exit, text) = cli_at(&five, &path, now).await;
    assert_eq!(exit, Exit::Partial);
    let bars: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let times: Vec<_> = bars.iter().map(|bar| bar["time"].as_i64().unwrap() / 60_000).collect();
    assert_eq!(times, [0, 5, 15, 20, 25], "not the one with the gap");
    let prices = ["open", "high", "low", "close", "volume"].map(|name| bars[1][name].as_str().unwrap());
    assert_eq!((prices, &bars[1]["trades"]), (["105.0", "112.0", "104.0", "110.0", "12.5"], &10.into()));
    let inside = ["--from", "1970-01-01T00:15", "--to", "1970-01-01T00:25"];
    let (exit, text) = cli_at(&[&five[..], &inside].concat(), &path, now).await;
    assert_eq!((exit, text.lines().count()), (Exit::Done, 2));

    let svg = folder.path().join("btc.svg").display().to_string();
    let (exit, text) = cli_at(&["chart", "--coin", "BTC"], &path, now).await;
    assert_eq!(exit, Exit::Done);
    assert!(
        text.starts_with("BTC 1m · 1970-01-01 00:00 to 1970-01-01 00:30 UTC\n93.33 % complete, 1 gap\n"),
        "{text}"
    );
    assert!(text.ends_with("░ outage 2m 0s from 1970-01-01 00:12 (open)\n"), "{text}");
    let draw = ["chart", "--coin", "BTC", "--interval", "5m", "--out", &svg];
    let (exit, text) = cli_at(&draw, &path, now).await;
    assert!(exit == Exit::Done && text.ends_with(&format!("5 bars in {svg}\n")), "{text}");
    assert!(std::fs::read_to_string(&svg).unwrap().contains(">outage 2m 0s</text>"));
    let months = ["chart", "--coin", "BTC", "--interval", "1M"];
    assert_eq!(cli_at(&months, &path, now).await.0, Exit::Usage, "they are not equally long");
    let (_, text) = cli_at(&["chart", "--coin", "BTC", "--json"], &path, now).await;
    let picture: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (picture["bars"].as_array().unwrap().len(), &picture["missing"][0]["cause"]),
        (28, &"outage".into())
    );
    assert_eq!(cli_at(&draw, &path, now).await.0, Exit::Usage, "it is there already");
    for (wrong, exit) in [
        (&["chart", "--coin", "BTC", "--out", "btc.png"][..], Exit::Usage),
        (&["chart", "--coin", "BCT"], Exit::Usage),
        (&["chart", "--coin", "BTC", "--interval", "7m"], Exit::Usage),
        (&["chart", "--coin", "BTC", "--from", "1970-01-01T00:31"], Exit::Failed),
    ] {
        assert_eq!(cli_at(wrong, &path, now).await.0, exit, "{wrong:?}");
    }
}

#[tokio::test]
async fn status_shows_the_daemon_while_it_lives() {
    let (_folder, path) = filled().await;
    let store = open(&path).await;
    let report = |token| StatusReport {
        at: TimeMs(59_000),
        token,
        role: "hl-daemon".to_owned(),
        pid: 77,
        host: "here".to_owned(),
        network: "sim".to_owned(),
        ..Default::default()
    };
    let note = |token| serde_json::to_string(&report(token)).unwrap();
    store.lease(&[StreamKey::MIDS]).await.unwrap();

    store.put_note(&status::note(Token(1)), &note(Token(1))).await.unwrap();
    let dead = json(&["status"], &path).await;
    assert_eq!(dead["live"], Value::Null, "the note of a daemon that has died is not shown");

    store.put_note(&status::note(store.token()), &note(store.token())).await.unwrap();
    let second = open(&path).await;
    store.put_note(&status::note(second.token()), &note(second.token())).await.unwrap();
    let both = json(&["status"], &path).await;
    assert_eq!(
        (&both["live"]["token"], &both["others"][0]["token"]),
        (&store.token().0.into(), &second.token().0.into())
    );
    second.close().await.unwrap();
    let alive = json(&["status"], &path).await;
    assert_eq!(alive["live"]["network"], "sim");
    let line = &alive["streams"][0];
    assert_eq!((&line["rows"], &line["age_ms"]), (&8.into(), &10_000.into()));
    assert_eq!(line["holder"]["pid"], 77);
    let (_, text) = cli(&["status"], &path).await;
    assert!(text.contains("hl-daemon (pid 77 on here), as of 1.0s ago:\n"), "{text}");

    store.close().await.unwrap();
    let (_, text) = cli(&["status"], &path).await;
    assert!(text.ends_with("no process is at work on this store\n"), "{text}");
}

#[tokio::test]
async fn ps_shows_each_living_process_and_what_runs_in_it() {
    let (_folder, path) = filled().await;
    let (_, text) = cli(&["ps"], &path).await;
    assert_eq!(text, "no process is at work on this store\n");
    let store = open(&path).await;
    let process = Process {
        kind: ProcessKind::Collector,
        name: "trades/BTC".to_owned(),
        state: State::Running,
        owner: Some("ws".to_owned()),
        since: TimeMs(10_000),
        last_progress: Some(TimeMs(58_500)),
        restarts: 2,
        reception: None,
    };
    let note = ProcessNote { at: TimeMs(59_000), processes: vec![process], ..ProcessNote::default() };
    let name = note_of(ProcessNote::NAME, store.token());
    store.put_note(&name, &serde_json::to_string(&note).unwrap()).await.unwrap();
    let silent = open(&path).await;
    let all = json(&["ps"], &path).await;
    let first = &all["processes"][0];
    assert_eq!(
        (&first["pid"], &first["told"], &first["role"]),
        (&77.into(), &59_000.into(), &"hl-daemon".into())
    );
    let row = &first["runs"][0];
    assert_eq!(
        (&row["name"], &row["state"], &row["restarts"]),
        (&"trades/BTC".into(), &"running".into(), &2.into())
    );
    assert_eq!(
        (&all["processes"][1]["told"], &all["processes"][1]["runs"]),
        (&Value::Null, &serde_json::json!([]))
    );

    let (_, text) = cli(&["ps"], &path).await;
    let token = store.token().0;
    assert!(
        text.starts_with(&format!("hl-daemon (pid 77 on here), token {token}, for 59.0s, as of 1.0s ago\n")),
        "{text}"
    );
    let words: Vec<_> = text.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(words, ["collector", "trades/BTC", "running", "ws", "50.0s", "1.5s", "ago", "2"], "{text}");
    assert!(text.contains("which does not tell what runs in it"), "{text}");
    silent.close().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn alerts_shows_what_is_open_and_all_of_it_where_asked_to() {
    let (_folder, path) = filled().await;
    let (exit, text) = cli(&["alerts"], &path).await;
    assert_eq!((exit, text.as_str()), (Exit::Done, "no open alerts\n"));
    assert_eq!(cli(&["alerts", "--all"], &path).await.1, "no alert in 90 days\n");
    let store = open(&path).await;
    let alert = |kind: AlertKind, raised: i64, resolved| Alert {
        kind,
        subject: "trades/BTC".to_owned(),
        severity: kind.severity(),
        raised: TimeMs(raised),
        last_seen: TimeMs(raised),
        times: 1,
        resolved,
        words: "nothing comes".to_owned(),
    };
    let over = Some(TimeMs(30_000));
    store.put_alert(&alert(AlertKind::RateLow, 20_000, over)).await.unwrap();
    store.put_alert(&alert(AlertKind::NoOwner, 40_000, None)).await.unwrap();
    let open_ones = json(&["alerts"], &path).await;
    let only = serde_json::json!([{
        "token": store.token().0, "kind": "no_owner", "subject": "trades/BTC", "severity": "critical",
        "raised": 40_000, "last_seen": 40_000, "times": 1, "resolved": null, "words": "nothing comes",
    }]);
    assert_eq!(open_ones["alerts"], only);
    let (_, text) = cli(&["alerts", "--all"], &path).await;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[1].contains("no_owner") && lines[1].contains("20.0s"), "newest first: {text}");
    assert!(lines[1].contains("hl-daemon (pid 77 on here)"), "{text}");
    assert!(lines[2].contains("rate_low") && lines[2].contains("10.0s, over"), "{text}");
    drop(store);
    assert_eq!(cli(&["alerts"], &path).await.1, "no open alerts\n", "its process ended");
}

#[tokio::test]
async fn verify_passes_a_clean_store_and_fails_one_that_was_tampered_with() {
    let (_folder, path) = filled().await;
    let report = json(&["verify"], &path).await;
    assert_eq!((&report["clean"], &report["gaps"][0]["cause"]), (&true.into(), &"outage".into()));

    let store = open(&path).await;
    assert_eq!(store.lease(&[StreamKey::MIDS]).await.unwrap().granted.len(), 1);
    let (token, coin) = (store.token(), Coin::new("BTC").unwrap());
    // A row from before anything was collected, which no claim covers.
    let records =
        Records::Mids(vec![Mid { coin, time: TimeMs(-1), px: Decimal::ONE, arrival: Arrival::default() }]);
    let change = Change::Rows { epoch: Epoch { token, local: 1 }, origin: Origin::Ws, records };
    let batch = Batch { token, changes: vec![(StreamKey::MIDS, change)] };
    store.commit(Arc::new(batch)).await.unwrap();
    store.close().await.unwrap();
    let (exit, text) = cli(&["verify", "--json"], &path).await;
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((exit, &report["clean"]), (Exit::Failed, &false.into()));
    let checks: Vec<_> = report["problems"].as_array().unwrap().iter().map(|p| p["check"].clone()).collect();
    assert!(checks.contains(&"rows_outside_claim".into()), "{report}");
}

#[tokio::test]
async fn mistakes_end_with_the_right_code() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none.db");
    for (words, exit) in [
        (&["coverage"][..], Exit::Failed),
        (&["coverage", "--stream", "tades/BTC"], Exit::Usage),
        (&["verify", "--truth", "nowhere"], Exit::Usage),
        (&["status", "--store", "mysql:x"], Exit::Usage),
        (&["probe", "--network", "http://127.0.0.1:1"], Exit::Failed),
        (&["probe", "--network", "sim"], Exit::Usage),
        (&["probe", "--coin", "B T C"], Exit::Usage),
        (&["statsu"], Exit::Usage),
        (&[], Exit::Usage),
        (&["coverage", "--help"], Exit::Done),
    ] {
        assert_eq!(cli(words, &none).await.0, exit, "{words:?}");
    }
    assert!(!none.exists(), "looking for a store does not make one");
}

fn market(name: &str, of: &str, time: i64, status: MarketStatus) -> Market {
    Market {
        coin: Coin::new(of).unwrap(),
        time: TimeMs(time),
        name: name.into(),
        market_type: if of.starts_with('@') { MarketType::Spot } else { MarketType::Perp },
        dex: of.split_once(':').map(|(dex, _)| dex.into()),
        status,
        sz_decimals: Some(2),
        max_leverage: Some(if time < 20_000 { 40 } else { 25 }),
        margin_tiers: None,
        margin_mode: None,
        quote: Some("USDC".into()),
        settle_fraction: None,
        description: None,
        arrival: Arrival::default(),
    }
}

/// A folder with a store that knows three markets, one of which changed and one of which is gone.
async fn with_markets() -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = filled().await;
    let store = open(&path).await;
    store.lease(&[StreamKey::Markets]).await.unwrap();
    let epoch = Epoch { token: store.token(), local: 1 };
    let rows = vec![
        market("HYPE/USDC", "@107", 10_000, MarketStatus::Listed),
        market("BTC", "BTC", 10_000, MarketStatus::Listed),
        market("xyz:NVDA", "xyz:NVDA", 10_000, MarketStatus::Listed),
        market("BTC", "BTC", 20_000, MarketStatus::Listed),
        market("xyz:NVDA", "xyz:NVDA", 30_000, MarketStatus::Gone),
    ];
    let span = Span::new(TimeMs(10_000), TimeMs(30_000));
    let changes = [
        Change::Rows { epoch, origin: Origin::Rest, records: Records::Markets(rows) },
        Change::Covered { epoch, origin: Origin::Rest, span },
        Change::Edge(TimeMs(30_000)),
    ];
    let changes = changes.map(|change| (StreamKey::Markets, change)).to_vec();
    store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
    store.close().await.unwrap();
    (folder, path)
}

#[tokio::test]
async fn markets_are_listed_shown_and_followed_from_the_store() {
    let (_folder, path) = with_markets().await;
    let coins = async |words: &[&str]| -> Vec<String> {
        let answer = json(&[&["markets"], words].concat(), &path).await;
        assert_eq!(answer["from"], "store");
        let markets = answer["markets"].as_array().unwrap();
        markets.iter().map(|market| format!("{} {}", market["coin"], market["max_leverage"])).collect()
    };
    assert_eq!(coins(&["list"]).await, [r#""BTC" 25"#, r#""@107" 40"#], "what is gone is left out");
    assert_eq!(coins(&["list", "--dex", "*"]).await, [r#""BTC" 25"#]);
    assert_eq!(coins(&["list", "--dex", "xyz", "--all"]).await, [r#""xyz:NVDA" 25"#]);
    assert_eq!(coins(&["list", "--spot"]).await, [r#""@107" 40"#]);
    assert_eq!(coins(&["show", "HYPE/USDC"]).await, [r#""@107" 40"#], "by its readable name");
    assert_eq!(coins(&["history", "BTC"]).await, [r#""BTC" 40"#, r#""BTC" 25"#]);
    assert_eq!(coins(&["history", "--from", "1970-01-01T00:00:25"]).await, [r#""xyz:NVDA" 25"#]);

    let (exit, text) = cli(&["markets", "list", "--all"], &path).await;
    assert!(exit == Exit::Done && text.starts_with("3 markets\n") && text.contains("gone"), "{text}");
    let (_, text) = cli(&["markets", "list", "--outcomes"], &path).await;
    assert!(text.starts_with("no such market; --all"), "{text}");
    let (_, text) = cli(&["markets", "history"], &path).await;
    for words in ["first seen", "max_leverage 40 → 25", "status listed → gone"] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    let (_, text) = cli(&["markets", "show", "BTC"], &path).await;
    assert!(text.starts_with("BTC\n") && text.contains("max_leverage     25\n"), "{text}");
    assert_eq!(cli(&["markets", "show", "BCT"], &path).await.0, Exit::Usage);
}

#[tokio::test]
async fn where_no_markets_are_stored_the_answer_says_so() {
    let (_folder, path) = filled().await;
    let (exit, text) = cli(&["markets", "history"], &path).await;
    assert_eq!(exit, Exit::Done);
    assert!(text.contains("add markets to the --streams"), "{text}");
    assert_eq!(
        cli(&["markets", "list", "--network", "sim"], &path).await.0,
        Exit::Usage,
        "inside the daemon"
    );
}
