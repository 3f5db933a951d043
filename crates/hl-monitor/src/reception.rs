//! Whether data is received: of one stream, and of all together.
//!
//! Who owns a stream is one thing, whether anything comes is another: in an outage every stream has an owner. It is judged
//! from data alone, never from pongs, and by the rhythm of each kind: a coin that nobody trades waits, a book that is pushed
//! every five seconds and is not fails.

use std::collections::BTreeMap;

use hl_core::ledger::Cause;
use hl_core::selector::Mono;
use hl_core::stream::KindSpec;
use hl_core::{SourceId, StreamKey};
use serde::{Deserialize, Serialize};

/// What was heard longer ago says nothing of now, ms: two pushes of the slowest kind that is pushed by a clock, and a bit.
const RECENT_MS: i64 = 12_000;
/// How long a stream may take from its start to its first owner, ms.
const START_MS: i64 = 15_000;
/// So many periods of its poll may pass without an answer: the weight stretches them.
const PERIODS: i64 = 10;

/// Whether data of a stream is received.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reception {
    /// Data came just now, as often as its kind sends any.
    Receiving,
    /// Nothing came lately, and nothing says that anything was missed: it begins, its coin is quiet, or its next poll is
    /// not due.
    #[default]
    Waiting,
    /// Data should come and does not.
    Failing,
}

impl Reception {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Waiting => "waiting",
            Self::Failing => "failing",
        }
    }
}

/// What is known of one stream. Times on the monotonic clock, ms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// Who owns it in this process.
    pub owner: Option<SourceId>,
    /// Since when; since when it was begun where it has no owner.
    pub since: Mono,
    /// When the exchange last sent anything of it.
    pub last: Option<Mono>,
    /// Why the last request of its owner got no answer, where none has got one since.
    pub unanswered: Option<Cause>,
}

/// What is known of the ways to the exchange.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ways {
    /// Sockets that have subscriptions.
    pub sockets: usize,
    /// Those of them that are open.
    pub open: usize,
    /// Why one of the others is not, in words.
    pub socket_trouble: Option<String>,
    /// Why the last request got no answer, in words, where none has got one since.
    pub rest_trouble: Option<String>,
}

/// Whether anything is received at all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TotalReception {
    /// [`Reception::Failing`]: nothing is received, and something should be.
    pub state: Reception,
    /// How long ago the exchange last sent data of any stream, or since the start where it never did, ms.
    pub silent_ms: i64,
    /// Streams that receive.
    pub receiving: usize,
    /// Streams that wait.
    pub waiting: usize,
    /// Streams that fail.
    pub failing: usize,
    /// Why nothing is received, in words, where nothing is.
    pub why: Option<String>,
}

impl TotalReception {
    /// That nothing is received, in words; nothing where something is, or need not be.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let why = self.why.as_ref().filter(|_| self.state == Reception::Failing)?;
        Some(format!("not receiving for {} s: {why}", self.silent_ms / 1_000))
    }
}

/// Whether data of a stream is received.
#[must_use]
pub fn of_stream(stream: StreamKey, heard: Heard, rest_fails: bool, now: Mono) -> Reception {
    let spec = stream.spec();
    let Heard { owner, since, last, unanswered } = heard;
    let silent_ms = now - last.unwrap_or(since);
    match owner {
        None if now - since <= START_MS => Reception::Waiting,
        None => Reception::Failing,
        Some(_) if unanswered.is_some() => Reception::Failing,
        Some(_) if last.is_some() && silent_ms <= pause_ms(spec) => Reception::Receiving,
        // What another source has brought before says nothing of what this one brings.
        Some(SourceId::Ws) if spec.steady && now - last.unwrap_or(since).max(since) > pause_ms(spec) => {
            Reception::Failing
        }
        // It says itself how well it knows each trader.
        Some(SourceId::Ws | SourceId::Tracker) => Reception::Waiting,
        Some(SourceId::Rest) if last.is_some_and(|last| last >= since) => {
            if silent_ms <= spec.poll_ms * PERIODS { Reception::Waiting } else { Reception::Failing }
        }
        // Its first poll waits for its turn.
        Some(SourceId::Rest) if rest_fails || spec.steady && silent_ms > pause_ms(spec) => Reception::Failing,
        Some(SourceId::Rest) => Reception::Waiting,
    }
}

/// For how long after data of a kind it is taken to be received.
fn pause_ms(spec: &KindSpec) -> i64 {
    spec.first_silence_ms.min(RECENT_MS)
}

/// Whether data of each stream is received, and of any. `now` is also the time since the start, ms.
#[must_use]
pub fn judge(
    streams: &BTreeMap<StreamKey, Heard>,
    ways: &Ways,
    now: Mono,
) -> (BTreeMap<StreamKey, Reception>, TotalReception) {
    let rest_fails = ways.rest_trouble.is_some();
    let each: BTreeMap<_, _> = streams
        .iter()
        .map(|(stream, heard)| (*stream, of_stream(*stream, *heard, rest_fails, now)))
        .collect();
    let count = |reception| each.values().filter(|of| **of == reception).count();
    let [receiving, waiting, failing] =
        [Reception::Receiving, Reception::Waiting, Reception::Failing].map(count);
    let fails = failing > 0 || streams.is_empty() && rest_fails;
    let state = match receiving {
        0 if fails => Reception::Failing,
        0 => Reception::Waiting,
        _ => Reception::Receiving,
    };
    let last = streams.values().filter_map(|heard| heard.last).max();
    let why = (state == Reception::Failing).then(|| why(ways));
    let silent_ms = now - last.unwrap_or(0);
    (each, TotalReception { state, silent_ms, receiving, waiting, failing, why })
}

fn why(ways: &Ways) -> String {
    let closed = ways.sockets - ways.open.min(ways.sockets);
    let ws = match (&ways.socket_trouble, closed) {
        (_, 0) if ways.sockets == 0 => None,
        (_, 0) => Some("ws: the sockets are open and bring nothing".to_owned()),
        (Some(words), _) => Some(format!("ws: {words}")),
        (None, _) => Some("ws: connecting".to_owned()),
    };
    let rest = ways.rest_trouble.as_ref().map(|words| format!("rest: {words}"));
    let words: Vec<_> = ws.into_iter().chain(rest).collect();
    if words.is_empty() { "no source has brought anything".to_owned() } else { words.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = 1_000_000;

    fn ws(silent_ms: i64) -> Heard {
        Heard { owner: Some(SourceId::Ws), last: Some(NOW - silent_ms), ..Heard::default() }
    }

    fn rest(silent_ms: i64, since_ms: i64) -> Heard {
        Heard { owner: Some(SourceId::Rest), since: NOW - since_ms, ..ws(silent_ms) }
    }

    fn of(stream: &str, heard: Heard) -> Reception {
        of_stream(stream.parse().unwrap(), heard, false, NOW)
    }

    fn all(streams: &[(&str, Heard)], ways: &Ways) -> TotalReception {
        let streams = streams.iter().map(|(name, heard)| (name.parse().unwrap(), *heard)).collect();
        judge(&streams, ways, NOW).1
    }

    use Reception::{Failing, Receiving, Waiting};

    #[test]
    fn a_quiet_coin_waits_and_what_is_pushed_by_a_clock_fails() {
        for quiet in ["trades/BTC", "candle/BTC/1m", "bbo/BTC"] {
            let at = [1_000, 60_000, 7_200_000].map(|silent_ms| of(quiet, ws(silent_ms)));
            assert_eq!(at, [Receiving, Waiting, Waiting], "{quiet}");
        }
        for steady in ["book/BTC", "book/BTC/fast", "mids", "context/BTC"] {
            let at = [1_000, RECENT_MS + 1].map(|silent_ms| of(steady, ws(silent_ms)));
            assert_eq!(at, [Receiving, Failing], "{steady}");
        }
        let fresh = Heard { since: NOW - 2_000, ..ws(60_000) };
        assert_eq!(of("book/BTC", fresh), Waiting, "the socket has just taken it back");
    }

    #[test]
    fn a_polled_stream_waits_between_its_polls_and_fails_where_they_are_not_answered() {
        assert_eq!(of("book/BTC", rest(1_000, 90_000)), Receiving);
        assert_eq!(of("book/BTC", rest(25_000, 90_000)), Waiting, "the next poll is not due");
        assert_eq!(of("book/BTC", rest(301_000, 900_000)), Failing, "it is overdue by far");
        let unanswered = Heard { unanswered: Some(Cause::Outage), ..rest(1_000, 90_000) };
        assert_eq!(of("trades/BTC", unanswered), Failing);
        assert_eq!(of("trades/BTC", rest(90_000, 9_000)), Waiting, "its first poll has to wait for its turn");
        assert_eq!(of_stream("trades/BTC".parse().unwrap(), rest(90_000, 9_000), true, NOW), Failing);
        assert_eq!(of("book/BTC", rest(13_000, 1_000)), Failing, "the socket failed it before");
    }

    #[test]
    fn what_begins_is_waited_for_and_what_nobody_owns_fails() {
        let begun = |ago| Heard { since: NOW - ago, ..Heard::default() };
        assert_eq!([begun(8_000), begun(16_000)].map(|heard| of("mids", heard)), [Waiting, Failing]);
    }

    #[test]
    fn nothing_is_received_only_where_no_stream_receives_and_one_fails() {
        let fine = Ways { sockets: 1, open: 1, ..Ways::default() };
        let total = all(&[("trades/BTC", ws(60_000)), ("book/BTC", ws(2_000))], &fine);
        assert_eq!((total.state, total.receiving, total.waiting), (Receiving, 1, 1));
        let total = all(&[("trades/BTC", ws(60_000)), ("trades/ETH", ws(90_000))], &fine);
        assert_eq!((total.state, total.reason()), (Waiting, None), "a quiet market is no outage");

        let muted = [("trades/BTC", ws(14_000)), ("book/BTC", ws(15_500))];
        let said = all(&muted, &fine).reason().unwrap();
        assert_eq!(said, "not receiving for 14 s: ws: the sockets are open and bring nothing");
        let gone = Ways {
            sockets: 2,
            open: 0,
            socket_trouble: Some("connection refused".to_owned()),
            rest_trouble: Some("recentTrades: HTTP 502".to_owned()),
        };
        let unanswered = Heard { unanswered: Some(Cause::Outage), ..rest(77_900, 77_000) };
        let total = all(&[("trades/BTC", unanswered), ("candle/BTC/1m", rest(79_000, 200_000))], &gone);
        assert_eq!(
            total.reason().unwrap(),
            "not receiving for 77 s: ws: connection refused; rest: recentTrades: HTTP 502"
        );
    }

    #[test]
    fn an_exchange_that_was_never_reached_is_said_before_there_are_streams() {
        assert_eq!(all(&[], &Ways::default()).state, Waiting);
        let ways = Ways { rest_trouble: Some("meta: no answer within 10s".to_owned()), ..Ways::default() };
        assert_eq!(
            all(&[], &ways).reason().unwrap(),
            "not receiving for 1000 s: rest: meta: no answer within 10s"
        );
    }
}
