//! What the collector itself dropped, in words: of all that is missing the part that a larger machine would have kept.

use std::collections::BTreeSet;

use hl_core::StreamKey;
use hl_core::ledger::{Cause, Span};

use crate::human;

/// Says of gaps that are not filled how many of them are there because more came than could be taken in; nothing where none
/// is.
pub(crate) fn words(gaps: impl IntoIterator<Item = (StreamKey, Span, Cause)>) -> Option<String> {
    let dropped =
        gaps.into_iter().filter(|(_, _, cause)| matches!(cause, Cause::Overload | Cause::StoreFull));
    let (mut count, mut ms, mut streams, mut causes) = (0_u64, 0, BTreeSet::new(), BTreeSet::new());
    for (stream, span, cause) in dropped {
        (count, ms) = (count + 1, ms + span.ms());
        streams.insert(stream);
        causes.insert(cause.as_str());
    }
    let (gaps, of) = (human::count(count, "gap"), human::count(streams.len() as u64, "stream"));
    let causes: Vec<_> = causes.into_iter().collect();
    (count > 0).then(|| {
        let (length, causes) = (human::length(ms), causes.join(", "));
        format!("dropped because more came than could be taken in: {gaps} ({length}) of {of}, cause {causes}")
    })
}

#[cfg(test)]
mod tests {
    use hl_core::TimeMs;

    use super::*;

    #[test]
    fn only_what_the_collector_dropped_is_told() {
        let gap = |stream: &str, from, to, cause| {
            (stream.parse().unwrap(), Span::new(TimeMs(from), TimeMs(to)), cause)
        };
        assert_eq!(words([gap("bbo/BTC", 0, 9_000, Cause::Outage)]), None);
        let told = words([
            gap("bbo/BTC", 0, 1_000, Cause::Overload),
            gap("bbo/BTC", 4_000, 5_000, Cause::Overload),
            gap("mids", 0, 9_000, Cause::Outage),
            gap("trades/BTC", 0, 2_000, Cause::StoreFull),
        ]);
        let expected = "dropped because more came than could be taken in: 3 gaps (4.0s) of 2 streams, cause overload, store_full";
        assert_eq!(told.as_deref(), Some(expected));
    }
}
