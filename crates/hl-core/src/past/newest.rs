use std::collections::BTreeMap;

use crate::ledger::Span;
use crate::stream::History;
use crate::{SourceId, StreamKey, TimeMs};

/// A gap of a stream of which the exchange gives only the newest records is asked for until its end is this old, ms: of a
/// market of 178 coins each is asked for once within the spare request weight of six minutes.
const YOUNG_MS: i64 = 600_000;
/// A stream is asked for no more often than this, ms.
const PAUSE_MS: i64 = 60_000;
/// Until its end is this old a promoted ring may fill a gap, ms.
const RING_LIMIT_MS: i64 = 90_000;

/// When the newest records of a stream are asked for because of young gaps, and which gaps are given up.
///
/// One answer says all there is to say of every gap that ended before it was asked for. While REST owns the stream its polls
/// are that answer. What no process here collects is left for a while to the one that does.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Newest {
    /// When each stream was last asked for and answered, in exchange time.
    asked: BTreeMap<StreamKey, TimeMs>,
}

/// What to do about the open gaps of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NewestPlan {
    /// Whether to ask now.
    pub asks: bool,
    /// Gaps that end no later are given up, also without an answer.
    pub given_up: TimeMs,
}

impl Newest {
    /// What to do about open gaps of a stream that lie in `gaps`, where `owner` collects it in this process.
    #[must_use]
    pub fn plan(&self, stream: StreamKey, gaps: Span, owner: Option<SourceId>, now: TimeMs) -> NewestPlan {
        let (old, past_rings) = (now - YOUNG_MS, now - RING_LIMIT_MS);
        if owner == Some(SourceId::Rest) || !matches!(stream.spec().history, History::Recent(_)) {
            return NewestPlan { asks: false, given_up: past_rings };
        }
        let asked = self.asked.get(&stream).copied();
        let has_rested = asked.is_none_or(|asked| now.since(asked) >= PAUSE_MS);
        let is_new = old < gaps.to && asked.is_none_or(|asked| asked < gaps.to);
        NewestPlan {
            asks: owner.is_some() && is_new && has_rested,
            given_up: asked.map_or(old, |asked| asked.min(past_rings).max(old)),
        }
    }

    /// The exchange answered what it was asked at `sent`.
    pub fn answered(&mut self, stream: StreamKey, sent: TimeMs) {
        self.asked.insert(stream, sent);
    }

    /// Forgets what no young gap can be compared with: what is long ago, and what lies ahead of a clock that was set back.
    pub fn forget(&mut self, now: TimeMs) {
        self.asked.retain(|_, asked| (0..=YOUNG_MS).contains(&now.since(*asked)));
    }
}

/// The order in which the open gaps of streams are seen to, smallest first: the newest records are gone soonest, so those
/// that are likely to be gone next come first, then those that are likely to be gone; then the shortest piece of what can
/// wait. Nothing was seen inside a gap: so many times its length is how long as many records take.
#[must_use]
pub fn precedence(stream: StreamKey, gaps: Span, now: TimeMs) -> (u8, i64) {
    let History::Recent(most) = stream.spec().history else { return (2, gaps.ms()) };
    let gone = gaps.to.0.saturating_add(gaps.ms().saturating_mul(i64::from(most) - 1));
    (u8::from(gone < now.0), gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = TimeMs(10_000_000);
    const WS: Option<SourceId> = Some(SourceId::Ws);
    const REST: Option<SourceId> = Some(SourceId::Rest);

    fn trades() -> StreamKey {
        "trades/BTC".parse().unwrap()
    }

    /// A gap of a minute that ended so long ago.
    fn ended(ms: i64) -> Span {
        Span::new(NOW - ms - 60_000, NOW - ms)
    }

    fn plan(newest: &Newest, gaps: Span, owner: Option<SourceId>) -> (bool, i64) {
        let plan = newest.plan(trades(), gaps, owner, NOW);
        (plan.asks, NOW.since(plan.given_up))
    }

    #[test]
    fn a_young_gap_is_asked_for_once() {
        let mut newest = Newest::default();
        assert_eq!(plan(&newest, ended(0), WS), (true, YOUNG_MS));
        assert_eq!(plan(&newest, ended(YOUNG_MS - 1), WS), (true, YOUNG_MS));
        assert_eq!(plan(&newest, ended(YOUNG_MS), WS), (false, YOUNG_MS), "it is old");
        newest.answered(trades(), NOW - 200_000);
        assert_eq!(plan(&newest, ended(200_000), WS), (false, 200_000), "rings are waited for no longer");
        assert_eq!(plan(&newest, ended(300_000), WS), (false, 200_000));
        newest.answered(trades(), NOW - 70_000);
        assert_eq!(plan(&newest, ended(70_000), WS), (false, RING_LIMIT_MS), "a ring may still fill it");
    }

    #[test]
    fn a_gap_that_ended_after_the_question_has_one_of_its_own_a_minute_later() {
        let mut newest = Newest::default();
        newest.answered(trades(), NOW - PAUSE_MS + 1);
        assert_eq!(plan(&newest, ended(5_000), WS), (false, RING_LIMIT_MS));
        newest.answered(trades(), NOW - PAUSE_MS);
        assert_eq!(plan(&newest, ended(5_000), WS), (true, RING_LIMIT_MS));
        newest.answered(trades(), NOW - 300_000);
        assert_eq!(
            plan(&newest, ended(5_000), WS),
            (true, 300_000),
            "what came between was not asked for yet"
        );
        let other = "trades/ETH".parse().unwrap();
        assert!(newest.plan(other, ended(5_000), WS, NOW).asks, "each stream for itself");
    }

    #[test]
    fn polls_are_the_same_answer_and_what_another_process_has_is_left_to_it() {
        let newest = Newest::default();
        assert_eq!(plan(&newest, ended(5_000), REST), (false, RING_LIMIT_MS));
        assert_eq!(plan(&newest, ended(5_000), None), (false, YOUNG_MS));
        let mids = newest.plan(StreamKey::MIDS, ended(5_000), WS, NOW);
        assert_eq!((mids.asks, NOW.since(mids.given_up)), (false, RING_LIMIT_MS), "nothing is to be had");
    }

    #[test]
    fn a_clock_that_is_set_back_stops_no_question() {
        let mut newest = Newest::default();
        newest.answered(trades(), NOW + 3_600_000);
        newest.forget(NOW);
        assert_eq!(plan(&newest, ended(0), WS), (true, YOUNG_MS));
        newest.answered(trades(), NOW - YOUNG_MS);
        newest.forget(NOW);
        assert_ne!(newest, Newest::default());
        newest.forget(NOW + 1);
        assert_eq!(newest, Newest::default());
    }

    #[test]
    fn what_is_gone_soonest_goes_first_and_what_can_wait_last() {
        let of = |stream: &str, length: i64, end: i64| {
            let gaps = Span::new(NOW - end - length, NOW - end);
            (precedence(stream.parse().unwrap(), gaps, NOW), stream.to_owned())
        };
        let mut order = [
            of("candle/BTC/1m", 60_000, 0),
            of("candle/ETH/1m", 1, 0),
            of("trades/BTC", 2_000, 19_000),
            of("trades/ETH", 2_000, 17_000),
            of("trades/SOL", 600_000, 17_000),
            of("trades/HYPE", 3_000, 1_000),
        ];
        order.sort();
        let order = order.map(|(_, stream)| stream);
        let expected =
            ["trades/ETH", "trades/HYPE", "trades/SOL", "trades/BTC", "candle/ETH/1m", "candle/BTC/1m"];
        assert_eq!(order, expected);
    }
}
