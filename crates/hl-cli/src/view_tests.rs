//! What the views look like.

use hl_core::Token;
use hl_core::alert::AlertKind;

use super::*;
use crate::status::{SocketState, SocketStatus, SpoolStatus, StreamStatus};

fn report() -> StatusReport {
    let stream = |name: &str, owner, records, edge: Option<i64>| StreamStatus {
        stream: name.parse().unwrap(),
        owner,
        reception: if owner == Owner::None { Reception::Failing } else { Reception::Receiving },
        standby: false,
        records,
        records_per_s: 0.1 * f64::from(u32::try_from(records).unwrap()),
        silent_ms: edge.map(|edge| 1_795_501_321_500 - edge),
        latency_ms: None,
        gaps: u64::from(owner == Owner::Rest),
        edge: edge.map(TimeMs),
    };
    StatusReport {
        at: TimeMs(1_795_501_321_500),
        token: Token(3),
        role: "hl-daemon".to_owned(),
        pid: 77,
        host: "here".to_owned(),
        uptime_ms: 200_000,
        network: "sim".to_owned(),
        reception: TotalReception { state: Reception::Receiving, ..TotalReception::default() },
        streams: vec![
            stream("trades/BTC", Owner::Ws, 123, Some(1_795_501_321_000)),
            stream("candle/BTC/1m", Owner::Rest, 4, Some(1_795_501_260_000)),
            stream("mids", Owner::None, 0, None),
        ],
        sockets: vec![SocketStatus {
            slot: 0,
            state: SocketState::Live,
            subscriptions: 3,
            since: TimeMs(1_795_501_121_500),
        }],
        jobs: Vec::new(),
        weight_used: 40,
        spool: SpoolStatus::default(),
        counters: [("fenced".to_owned(), 2), ("conflated".to_owned(), 0)].into(),
        traders: None,
        alerts: Vec::new(),
    }
}

fn shown(mode: Mode, reports: &[StatusReport]) -> String {
    let mut out = Vec::new();
    let mut view = View::new(&mut out, mode);
    for report in reports {
        view.show(report, &[]).unwrap();
    }
    drop(view);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_table() {
    let expected = "\
partly receiving sim up 3m 20s: 3 streams (ws 1, rest 1, none 1), 127 records, 12.7 records/s, 1 gaps, weight 40/1200
 stream         owner  reception  records  records/s  silent  gaps      edge
 trades/BTC        ws  receiving   123    12.3  500ms    0     06:22:01
";
    let text = table(&report(), 10, false);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert!(words(&text).starts_with(&words(expected)), "{text}");
    assert!(words(&text).contains("mids none failing 0 0.0 - 0 -"), "{text}");
    assert!(text.lines().skip(1).all(|line| line.len() <= 80), "it fits: {text}");
    assert_eq!(of_day(report().at, TimeMs(1_790_000_000_000)), "2026-09-21", "long ago");
    assert!(text.contains("sockets: #0 live (3 subscriptions)\ncounted: fenced 2\n"), "{text}");
    assert!(!text.contains('\x1b'), "no escape sequences without colours");
    assert!(table(&report(), 10, true).starts_with("\x1b[33mpartly receiving\x1b[0m "));
    assert!(text.lines().all(|line| line == line.trim_end()), "{text:?}");
}

#[test]
fn a_standby_is_a_word_beside_the_owner() {
    let mut report = report();
    report.streams[0].standby = true;
    let text = table(&report, 10, false);
    assert!(text.lines().any(|line| line.contains("trades/BTC") && line.contains(" ws+standby ")), "{text}");
}

#[test]
fn a_table_never_grows_beyond_its_rows() {
    let text = table(&report(), 1, false);
    assert!(text.contains("… and 2 more streams\n") && !text.contains("\n mids"), "{text}");
}

#[test]
fn the_line() {
    assert_eq!(
        line(&report()),
        "2026-11-24T06:22:01.500Z sim up 3m 20s: 3 streams (ws 1, rest 1, none 1), 127 records, 12.7 records/s, 1 gaps, \
         weight 40/1200"
    );
    let full = StatusReport { spool: SpoolStatus { batches: 2, bytes: 900 }, ..report() };
    let failing = TotalReception { failing: 2, ..report().reception };
    let failing = StatusReport { reception: failing, ..report() };
    assert!(line(&failing).contains("3 streams (ws 1, rest 1, none 1), 2 failing, 127 records"));
    assert!(line(&full).ends_with("weight 40/1200, spool 2 batches (900 bytes)"));
}

#[test]
fn lines_come_every_ten_seconds_and_json_survives_the_round_trip() {
    let seconds: Vec<_> = (0..25).map(|s| StatusReport { at: report().at + s * 1_000, ..report() }).collect();
    assert_eq!(shown(Mode::Line, &seconds).lines().count(), 3);
    let json = shown(Mode::Json, &seconds);
    assert_eq!(json.lines().count(), 3);
    let back: StatusReport = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(back, report());
}

#[test]
fn the_terminal_is_given_back() {
    let text = shown(Mode::Table { colour: false }, &[report(), report()]);
    assert!(
        text.starts_with("\x1b[?25l\x1b[?7l\x1b[2J\x1b[H") && text.ends_with("\x1b[?7h\x1b[?25h"),
        "{text:?}"
    );
    assert_eq!(text.matches("\x1b[2J").count(), 1, "cleared once, then drawn over");
    assert_eq!(shown(Mode::Table { colour: true }, &[]), "", "nothing shown, nothing to give back");
}

fn in_an_outage() -> StatusReport {
    let why = Some("ws: connection refused; rest: meta: HTTP 502".to_owned());
    let reception =
        TotalReception { state: Reception::Failing, silent_ms: 77_000, why, ..Default::default() };
    let alert = |subject: &str| Alert {
        kind: AlertKind::NoProgress,
        subject: subject.to_owned(),
        severity: AlertKind::NoProgress.severity(),
        raised: TimeMs(1_795_501_304_500),
        last_seen: TimeMs(1_795_501_321_500),
        times: 1,
        resolved: None,
        words: "3 of 3 sockets have no subscription: connection refused".to_owned(),
    };
    StatusReport { reception, alerts: ["ws", "rest", "a", "b", "c", "d"].map(alert).into(), ..report() }
}

#[test]
fn an_outage_is_the_first_line_whoever_owns_the_streams() {
    let words = "not receiving for 1m 17s: ws: connection refused; rest: meta: HTTP 502";
    let text = table(&in_an_outage(), 10, true);
    assert!(text.starts_with(&format!("\x1b[31m{words}\x1b[0m\nsim up 3m 20s: 3 streams")), "{text}");
    assert!(line(&in_an_outage()).contains(&format!("Z {words}; sim up ")), "{}", line(&in_an_outage()));
    let quiet = StatusReport { reception: TotalReception::default(), ..report() };
    assert!(
        table(&quiet, 10, true).starts_with("\x1b[33mwaiting\x1b[0m sim up"),
        "nothing fails, and nothing comes"
    );
    let mut whole = report();
    whole.streams.pop();
    assert!(table(&whole, 10, true).starts_with("\x1b[32mreceiving\x1b[0m sim up"));
}

#[test]
fn an_exchange_that_cannot_be_reached_is_no_blank_screen() {
    let report = StatusReport { streams: Vec::new(), sockets: Vec::new(), ..in_an_outage() };
    let text = table(&report, 10, false);
    assert!(text.starts_with("not receiving for 1m 17s: ws: connection refused;"), "{text}");
    assert!(!text.contains("last record"), "a table without streams: {text}");
}

#[test]
fn alerts_and_the_last_warnings_stand_below_the_table_and_push_nothing_off_the_screen() {
    let text = table(&in_an_outage(), 10, false);
    let alert = "alert no_progress ws for 17.0s: 3 of 3 sockets have no subscription: connection refused\n";
    assert!(text.contains(alert) && text.ends_with("… and 2 more alerts: hl-cli alerts\n"), "{text}");

    let warnings: Vec<_> = (0..9).map(|n| format!("WARN there is no password {n}")).collect();
    let many = vec![report().streams[0].clone(); 60];
    let report = StatusReport { streams: many, ..in_an_outage() };
    let shown = screen(&report, &warnings, (100, 60), false);
    assert!(shown.contains("log WARN there is no password 8") && !shown.contains("password 4"), "{shown}");
    for size in [(50, 18), (80, 24), (100, 60)] {
        let shown = screen(&report, &warnings, size, true);
        assert!(shown.lines().count() < size.1, "{size:?}: {shown}");
        assert!(shown.starts_with("\x1b[31mnot receiving for 1m 17s: ws:"), "{shown}");
    }
    assert_eq!(wrapped("\x1b[31mabcdefgh\x1b[0m\nabc\n", 3), "\x1b[31mabc\ndef\ngh\x1b[0m\nabc\n");
    assert_eq!(wrapped("not \x1b[31mone\x1b[0m word\n", 8), "not \x1b[31mone\x1b[0m\nword\n");
}
