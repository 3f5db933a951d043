//! What a range holds, in words.

use hl_archive::export::Exported;
use hl_core::completeness::{Completeness, share};

use super::wish::Wanted;
use crate::{dropped, human};

/// So many streams that are not whole are told of one by one.
const TOLD: usize = 8;

/// What was written, and what the range holds.
pub(super) fn lines(exported: Exported, complete_only: bool, wanted: &[Wanted]) -> Vec<String> {
    let rows = human::count(exported.rows, "row");
    let gaps = wanted.iter().map(|wanted| wanted.gaps.len()).sum();
    let mut lines = match wanted {
        [only] => vec![format!("{rows}; {}", holds(&only.holds, gaps))],
        many => {
            let mut lines = vec![format!("{rows} of {} streams; {}", many.len(), all(many, gaps))];
            let broken: Vec<_> = many.iter().filter(|wanted| !wanted.holds.is_whole()).collect();
            let told = broken.iter().take(TOLD).map(|wanted| {
                format!("{}: {}", wanted.selection.stream, holds(&wanted.holds, wanted.gaps.len()))
            });
            lines.extend(told);
            if broken.len() > TOLD {
                lines.push(format!("… and {} more streams that are not whole", broken.len() - TOLD));
            }
            lines
        }
    };
    let gaps = wanted.iter().flat_map(|wanted| &wanted.gaps);
    lines.extend(dropped::words(gaps.map(|gap| (gap.stream, gap.span, gap.cause))));
    let is_derived = wanted.iter().any(|wanted| wanted.selection.stream != wanted.selection.source);
    if is_derived {
        lines.push("made of final one-minute bars".to_owned());
    }
    if exported.left_out > 0 {
        let why = match is_derived {
            true => "not all of their minutes are covered",
            false => "something around them is missing",
        };
        let what = if is_derived { "bar" } else { "row" };
        lines.push(format!("{} left out: {why}", human::count(exported.left_out, what)));
    } else if complete_only {
        lines.push("nothing had to be left out".to_owned());
    }
    lines
}

fn gaps_inside(gaps: usize, gap_ms: i64) -> String {
    let length = if gap_ms > 0 { format!(" ({})", human::length(gap_ms)) } else { String::new() };
    format!("{}{length} inside", human::count(gaps as u64, "gap"))
}

/// What the range of one stream holds.
fn holds(of: &Completeness, gaps: usize) -> String {
    let length = human::length;
    let range = length(of.range.ms());
    let mut text = if of.is_whole() && of.before_history_ms == 0 {
        format!("all of {range} covered")
    } else {
        format!("{} of {range} covered", length(of.covered_ms))
    };
    if of.before_history_ms > 0 {
        text += &format!(", {} before the exchange's history", length(of.before_history_ms));
    }
    if of.never_ms > 0 {
        match of.gap_ms == 0 && of.before_history_ms == 0 {
            true => text += ", the rest never collected",
            false => text += &format!(", {} never collected", length(of.never_ms)),
        }
    }
    format!("{text}; {}", gaps_inside(gaps, of.gap_ms))
}

/// What the ranges of many streams hold.
fn all(wanted: &[Wanted], gaps: usize) -> String {
    let holds = || wanted.iter().map(|wanted| &wanted.holds);
    let gap_ms = holds().map(|of| of.gap_ms).sum();
    let never = if holds().any(|of| of.never_ms > 0) { ", parts never collected" } else { "" };
    format!("{} of the range covered{never}; {}", human::percent(share(holds())), gaps_inside(gaps, gap_ms))
}

#[cfg(test)]
mod tests {
    use hl_core::TimeMs;
    use hl_core::ledger::{Cause, GapState, Span};

    use super::*;

    #[test]
    fn a_range_says_what_it_holds() {
        const DAY: i64 = 86_400_000;
        let span = |from, to| Span::new(TimeMs(from), TimeMs(to));
        let lost = |from, to| (span(from, to), Cause::Outage, GapState::Unrecoverable);
        let old = |from, to| (span(from, to), Cause::BeforeHistory, GapState::Unrecoverable);
        let week = span(0, 7 * DAY);
        let said = |covered, gaps: &[_]| holds(&Completeness::of(week, [covered], gaps.to_vec()), gaps.len());
        assert_eq!(
            said(span(DAY, DAY + 78_000), &[]),
            "1m 18s of 7d 0h covered, the rest never collected; 0 gaps inside"
        );
        assert_eq!(said(span(0, 7 * DAY), &[]), "all of 7d 0h covered; 0 gaps inside");
        assert_eq!(
            said(span(0, 6 * DAY), &[lost(6 * DAY, 7 * DAY)]),
            "6d 0h of 7d 0h covered; 1 gap (1d 0h) inside"
        );
        let history = Completeness::of(week, [span(3 * DAY, 7 * DAY)], [old(DAY, 3 * DAY)]);
        assert_eq!(
            holds(&history, 0),
            "4d 0h of 7d 0h covered, 2d 0h before the exchange's history, 1d 0h never collected; 0 gaps inside"
        );
    }
}
