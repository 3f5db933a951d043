//! What the views look like.

use hl_core::Token;

use super::*;
use crate::status::{SocketState, SocketStatus, SpoolStatus, StreamStatus};

fn report() -> StatusReport {
    let stream = |name: &str, owner, records, edge: Option<i64>| StreamStatus {
        stream: name.parse().unwrap(),
        owner,
        standby: false,
        records,
        records_per_s: 0.1 * f64::from(u32::try_from(records).unwrap()),
        silent_ms: edge.map(|edge| 1_795_501_321_500 - edge),
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
    }
}

fn shown(mode: Mode, reports: &[StatusReport]) -> String {
    let mut out = Vec::new();
    let mut view = View::new(&mut out, mode);
    for report in reports {
        view.show(report).unwrap();
    }
    drop(view);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_table() {
    let expected = "\
partly collecting sim up 3m 20s: 3 streams (ws 1, rest 1, none 1), 127 records, 12.7 records/s, 1 gaps, weight 40/1200
 stream         owner  records  records/s  silent  gaps                      edge
 trades/BTC        ws   123    12.3  500ms    0    2026-11-24T06:22:01.000Z
";
    let text = table(&report(), 10, false);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert!(words(&text).starts_with(&words(expected)), "{text}");
    assert!(words(&text).contains("mids none 0 0.0 - 0 -"), "{text}");
    assert!(text.contains("sockets: #0 live (3 subscriptions)\ncounted: fenced 2\n"), "{text}");
    assert!(!text.contains('\x1b'), "no escape sequences without colours");
    assert!(table(&report(), 10, true).starts_with("\x1b[33mpartly collecting\x1b[0m "));
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
