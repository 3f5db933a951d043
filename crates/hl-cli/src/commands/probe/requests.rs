//! What is believed of REST, and of the exchange's clock.

use super::assumption::{Assumption, Finding, Judged};
use super::evidence::Evidence;
use crate::human;

/// A system clock that is off by more is not believed by the collector.
const NEARLY_MS: i64 = 10_000;

pub(super) const ALL: &[Assumption] = &[
    Assumption {
        id: "unknown-coin",
        assumed: "an unknown coin is HTTP 500",
        tried: "funding of a coin that does not exist",
        otherwise: "Any 4xx is a refusal as well. Another 5xx is taken for an outage, and asked again.",
        judge: |e| {
            let status = e.unknown_coin.clone()?;
            Finding::of(status == 500, format!("HTTP {status}"))
        },
    },
    Assumption {
        id: "unknown-book",
        assumed: "the book of an unknown coin is null",
        tried: "the book of a coin that does not exist",
        otherwise: "An error is a refusal or an outage, as its status says.",
        judge: |e| {
            let answer = e.unknown_book.clone()?;
            Finding::of(answer.is_none(), answer.unwrap_or_else(|| "null".to_owned()))
        },
    },
    Assumption {
        id: "funding-page",
        assumed: "a page of funding has 500 rows",
        tried: "funding from 700 hours ago",
        otherwise: "More are read as they come. FEWER ARE DANGEROUS: a backfill takes a short page for the last one, and \
                    counts what lies behind it as read.",
        judge: |e| {
            let rows = e.funding.clone()?;
            Finding::of(rows == 500, rows.to_string())
        },
    },
    Assumption {
        id: "weight",
        assumed: "a request weighs what we count for it",
        tried: "no answer says 429; the limit itself is never tried",
        otherwise: "All requests wait after a 429, longer each time, and nothing is lost. The address may be in use by \
                    others: give them one store to share, or an address of their own.",
        judge: |e| {
            let ((weight, ms), limited) = (e.weight, e.rate_limited);
            if weight == 0 {
                return Err("nothing was asked".to_owned());
            }
            let refused = if limited == 0 { "no 429".to_owned() } else { format!("{limited} times 429") };
            Finding::of(limited == 0, format!("{weight} in {}, {refused}", human::length(ms)))
        },
    },
    Assumption {
        id: "clock",
        assumed: "our clock and the exchange's agree within 10s",
        tried: "the youngest stamps of the exchange against the system clock",
        otherwise: "The collector goes by the exchange's stamps alone; only what it collects in its first seconds, and \
                    bears no time of its own, is stamped with the system clock.",
        judge: clock,
    },
    Assumption {
        id: "status-clock",
        assumed: "exchangeStatus shows the time of the newest block",
        tried: "it against the youngest stamp heard until then",
        otherwise: "A backfill asks it for the time: an old one leaves out the newest bars, which the next run fetches. One \
                    ahead would take open bars for final.",
        judge: status,
    },
];

fn clock(e: &Evidence) -> Judged {
    let ahead = e.listened.stamps.iter().map(|(at, stamp)| stamp.since(e.system_zero + *at)).max();
    let ahead = ahead.ok_or_else(|| e.listened.missing("no stamp came"))?;
    let word = if ahead < 0 { "behind ours" } else { "ahead of ours" };
    Finding::of(ahead.abs() <= NEARLY_MS, format!("{} {word}", human::length(ahead.abs())))
}

fn status(e: &Evidence) -> Judged {
    let stamps = &e.listened.stamps;
    let mut ahead: Vec<i64> = e
        .samples
        .iter()
        .filter_map(|s| {
            let heard = stamps.partition_point(|(at, _)| *at <= s.at).checked_sub(1)?;
            Some(s.status.since(stamps.get(heard)?.1))
        })
        .collect();
    ahead.sort_unstable();
    let median = *ahead.get(ahead.len() / 2).ok_or("no stamp came before its answers")?;
    let word = if median < 0 { "behind it" } else { "ahead of it" };
    Finding::of((-2_000..=3_000).contains(&median), format!("{} {word}", human::length(median.abs())))
}
