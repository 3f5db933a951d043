//! What is believed of how often frames come, and how much is in them.

use super::assumption::{Assumption, Finding, Judged};
use super::evidence::{Evidence, Look};
use crate::human;

pub(super) const ALL: &[Assumption] = &[
    Assumption {
        id: "book-cadence",
        assumed: "a default book comes every 5.4s",
        tried: "the median pause between books",
        otherwise: "The collector learns each stream's own rhythm. Only a pause beyond 17s is a hole to it, so a much \
                    slower book is recorded as one gap after another.",
        judge: |e| {
            cadence(e.listened.books.iter().map(|b| b.at), 5_385, || e.listened.missing("too few books"))
        },
    },
    Assumption {
        id: "book-levels",
        assumed: "a default book has 20 levels a side",
        tried: "the deepest book of those that came",
        otherwise: "Rows have as many levels as came.",
        judge: |e| {
            let levels = e.listened.books.iter().map(|b| b.levels).max();
            let levels = levels.ok_or_else(|| e.listened.missing("no book came"))?;
            Finding::of(levels == 20, levels.to_string())
        },
    },
    Assumption {
        id: "fast-cadence",
        assumed: "a fast book comes every 0.54s",
        tried: "the median pause between fast books, on a socket of their own",
        otherwise: "The collector learns each stream's own rhythm. Only a pause beyond 3s is a hole to it.",
        judge: |e| {
            let books = e.fast.as_ref().map_err(Clone::clone)?;
            cadence(books.iter().map(|b| b.at), 538, || "too few books".to_owned())
        },
    },
    Assumption {
        id: "fast-levels",
        assumed: "a fast book has 5 levels a side",
        tried: "the deepest of them",
        otherwise: "Rows have as many levels as came; REST, which stands in for the socket, is cut to 5.",
        judge: |e| {
            let books = e.fast.as_ref().map_err(Clone::clone)?;
            let levels = books.iter().map(|b| b.levels).max().ok_or("no book came")?;
            Finding::of(levels == 5, levels.to_string())
        },
    },
    Assumption {
        id: "bbo-cadence",
        assumed: "best bid and offer come block by block, 70ms apart",
        tried: "one pause in ten is below 250ms",
        otherwise: "Rows are as many as came: what happened between two of them is not known.",
        judge: bbo,
    },
    Assumption {
        id: "mids-cadence",
        assumed: "mids come every 5.05s",
        tried: "the median pause between frames of mids",
        otherwise: "The collector learns each stream's own rhythm; a slower one makes the stored mids coarser.",
        judge: |e| cadence(e.listened.mids.iter().copied(), 5_050, || e.listened.missing("too few mids")),
    },
    Assumption {
        id: "context-cadence",
        assumed: "a context comes every second",
        tried: "the median pause between contexts",
        otherwise: "The collector learns each stream's own rhythm; a slower one makes the stored contexts coarser.",
        judge: |e| {
            cadence(e.listened.contexts.iter().copied(), 1_000, || e.listened.missing("too few contexts"))
        },
    },
    Assumption {
        id: "rest-book",
        assumed: "a book over REST is at most 2s old",
        tried: "its time against the exchange's clock, asked right after it",
        otherwise: "Books that REST brings where the socket is down are as old as that; their time says so.",
        judge: rest_book,
    },
];

/// Pauses between arrivals, shortest first; the first pause is between the snapshot and the clock.
fn pauses(arrivals: impl Iterator<Item = i64>) -> Vec<i64> {
    let arrivals: Vec<i64> = arrivals.skip(1).collect();
    let mut pauses: Vec<i64> = arrivals.iter().zip(arrivals.iter().skip(1)).map(|(a, b)| b - a).collect();
    pauses.sort_unstable();
    pauses
}

/// The median within a quarter of what is believed, ms.
fn cadence(arrivals: impl Iterator<Item = i64>, believed: i64, missing: impl Fn() -> String) -> Judged {
    let pauses = pauses(arrivals);
    let median = match pauses.get(pauses.len() / 2) {
        Some(median) if pauses.len() >= 3 => *median,
        _ => return Err(missing()),
    };
    let holds = (median - believed).abs() * 4 <= believed;
    Finding::of(holds, format!("{} at the median of {}", human::length(median), pauses.len()))
}

fn bbo(e: &Evidence) -> Judged {
    let pauses = pauses(e.listened.bbos.iter().copied());
    let short: Look<i64> = match pauses.get(pauses.len() / 10) {
        Some(short) if pauses.len() >= 20 => Ok(*short),
        _ => Err(e.listened.missing("too few changes")),
    };
    let short = short?;
    Finding::of(short < 250, format!("one in ten within {}, of {}", human::length(short), pauses.len()))
}

fn rest_book(e: &Evidence) -> Judged {
    let ages = e.samples.iter().filter_map(|s| Some(s.status.since(s.book?)));
    let oldest = ages.max().ok_or("no book came")?;
    Finding::of(oldest <= 2_000, format!("{} at most", human::length(oldest.max(0))))
}
