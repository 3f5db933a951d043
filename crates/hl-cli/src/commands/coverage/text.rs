//! The answer for people: one sentence, a strip a stream, and the gaps.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hl_core::TimeMs;
use hl_core::completeness::share;
use hl_core::ledger::Span;
use hl_store::GapRow;

use super::{Answer, Line};
use crate::{dropped, human};

/// Room for the name of a stream: longer ones are cut.
const NAME: usize = 20;
/// Room for `99.98 %` and the number of gaps, with the blanks before them.
const NUMBERS: usize = 9 + 7;
/// The same in the list of gaps.
const GAP_NAME: usize = 18;
/// A shorter strip says nothing.
const LEAST_STRIP: usize = 8;
/// So many gaps are listed, the longest, and so many markets that have ended, the last.
const LISTED: usize = 20;

/// How many cells a strip has where lines may be so wide.
pub(super) fn strip_width(width: usize) -> usize {
    width.saturating_sub(NAME + 2 + NUMBERS).max(LEAST_STRIP)
}

/// The answer on lines of at most `width`.
pub(super) fn text(answer: &Answer, all: bool, width: usize) -> String {
    let mut text = format!("{}\n\n", sentence(answer));
    let with_strip = width >= NAME + 2 + NUMBERS + LEAST_STRIP;
    let axis = answer.range.map(|range| axis(range, strip_width(width))).unwrap_or_default();
    let mut row = |name: &str, strip: &str, complete: &str, gaps: &str| {
        let strip = if with_strip { format!("{strip}  ") } else { String::new() };
        let name = cut(name, NAME);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:NAME$}  {strip}{complete:>8}  {gaps:>4}");
    };
    row("stream", &axis, "complete", "gaps");
    for line in &answer.streams {
        let complete = human::percent(share(&line.holds));
        row(&line.stream.to_string(), &line.strip, &complete, &line.gaps_to_look_at.to_string());
    }
    ends(answer, &mut text);
    let missing = answer.streams.iter().flat_map(Line::missing);
    if let Some(dropped) = dropped::words(missing.map(|gap| (gap.stream, gap.span, gap.cause))) {
        let _ = writeln!(text, "\n{dropped}");
    }
    match all {
        true => pieces(answer, &mut text),
        false => gaps(answer, &mut text),
    }
    text
}

/// What it comes to.
fn sentence(answer: &Answer) -> String {
    let holds = || answer.streams.iter().filter_map(|line| line.holds.as_ref());
    let streams = human::count(answer.streams.len() as u64, "stream");
    let Some(range) = answer.range else { return format!("{streams}, and nothing of them is known yet") };
    let gaps = human::count(answer.gaps_to_look_at as u64, "gap");
    let mut text = format!(
        "{streams}, {} of {} complete, {gaps} to look at",
        human::percent(share(holds())),
        human::length(range.ms()),
    );
    // A hundredth is no more than how far streams lie apart.
    let later = holds().filter(|of| of.range.from.since(range.from) > range.ms() / 100).count();
    if later > 0 {
        text.push_str(&format!("; {later} of them began later"));
    }
    if holds().any(|of| of.never_ms > 0) {
        text.push_str("; a part was never collected");
    }
    text
}

/// The markets that are listed no longer, the newest ends first.
fn ends(answer: &Answer, text: &mut String) {
    let mut by_coin = BTreeMap::<_, (TimeMs, usize)>::new();
    for line in &answer.streams {
        if let (Some(coin), Some(at)) = (line.stream.coin(), line.ended) {
            let (last, streams) = by_coin.entry(coin).or_insert((at, 0));
            (*last, *streams) = (at.max(*last), *streams + 1);
        }
    }
    let mut ended: Vec<_> = by_coin.into_iter().collect();
    ended.sort_by_key(|(coin, (at, _))| (std::cmp::Reverse(*at), *coin));
    if !ended.is_empty() {
        text.push('\n');
    }
    let hidden = ended.len().saturating_sub(LISTED);
    for (coin, (at, streams)) in ended.into_iter().take(LISTED) {
        let streams = human::count(streams as u64, "stream");
        let _ = writeln!(text, "{coin} ended {}: listed no longer ({streams})", human::second(at));
    }
    if hidden > 0 {
        let _ = writeln!(text, "and {hidden} more that ended before; --json has all of them");
    }
}

/// Both ends of the range, over the strips.
fn axis(range: Span, width: usize) -> String {
    let short = |time| human::written(time, "%m-%d %H:%M");
    let ends = [(human::minute(range.from), human::minute(range.to)), (short(range.from), short(range.to))];
    let fits = ends.into_iter().find(|(from, to)| from.chars().count() + to.chars().count() < width);
    let (from, to) = fits.unwrap_or_default();
    format!("{from}{to:>rest$}", rest = width.saturating_sub(from.chars().count()))
}

/// At most so many characters; what is cut is told.
fn cut(name: &str, most: usize) -> String {
    match name.chars().count() > most {
        true => name.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => name.to_owned(),
    }
}

/// The longest of the gaps that are not filled, in order of stream and time.
fn gaps(answer: &Answer, text: &mut String) {
    let mut all: Vec<&GapRow> = answer.streams.iter().flat_map(Line::missing).collect();
    if all.is_empty() {
        return;
    }
    let hidden = all.len().saturating_sub(LISTED);
    all.sort_by_key(|gap| std::cmp::Reverse(gap.span.ms()));
    all.truncate(LISTED);
    all.sort_by_key(|gap| (gap.stream, gap.span));
    let from = "gap from (UTC)";
    let _ = writeln!(text, "\n{:GAP_NAME$}  {from:19}  {:>8}  {:14}  state", "stream", "length", "cause");
    for gap in all {
        let _ = writeln!(
            text,
            "{:GAP_NAME$}  {:19}  {:>8}  {:14}  {}",
            cut(&gap.stream.to_string(), GAP_NAME),
            human::second(gap.span.from),
            human::length(gap.span.ms()),
            gap.cause.as_str(),
            gap.state.as_str(),
        );
    }
    if hidden > 0 {
        let _ = writeln!(text, "… and {}: --all shows every one", human::count(hidden as u64, "shorter gap"));
    }
}

/// Every piece of every stream, in order of time.
fn pieces(answer: &Answer, text: &mut String) {
    for line in &answer.streams {
        let covered = line.coverage.iter().map(|piece| {
            let rows = human::count(piece.rows, "row");
            (piece.span, format!("covered by {}, claim {}, {rows}", piece.source.as_str(), piece.epoch))
        });
        let gaps = line
            .gaps
            .iter()
            .map(|gap| (gap.span, format!("GAP {}, {}", gap.cause.as_str(), gap.state.as_str())));
        let mut pieces: Vec<(Span, String)> = covered.chain(gaps).collect();
        pieces.sort();
        let _ = writeln!(text, "\n{}", line.stream);
        for (span, what) in pieces {
            let length = human::length(span.ms());
            let _ = writeln!(text, "  {}  {length:>8}  {what}", human::time(span.from));
        }
    }
}

#[cfg(test)]
mod tests {
    use hl_core::ledger::{Cause, GapState};
    use hl_core::{Coin, Epoch, Origin, StreamKey, TimeMs, Token};
    use hl_store::{CoverageRow, StreamRow};

    use super::*;
    use crate::commands::ledgers::Ledger;

    const HOUR: i64 = 3_600_000;
    /// 2026-11-24, 06:00.
    const START: i64 = 1_795_500_000_000;

    fn hours(from: i64, to: i64) -> Span {
        Span::new(TimeMs(START + from * HOUR), TimeMs(START + to * HOUR))
    }

    fn ledger(name: &str, covered: &[Span], gaps: &[(Span, Cause, GapState)]) -> Ledger {
        let stream = StreamKey::Trades(Coin::new(name).unwrap());
        let (source, epoch) = (Origin::Ws, Epoch { token: Token(3), local: 1 });
        let piece = |span: &Span| CoverageRow { stream, span: *span, source, epoch, rows: 7 };
        let gap = |&(span, cause, state): &_| GapRow { stream, span, cause, state };
        let (rows, archived) = (0, 0);
        let (edge, ended, first, oldest, newest, holder) = (None, None, None, None, None, None);
        let row = StreamRow { stream, edge, ended, first, rows, archived, oldest, newest, holder };
        Ledger { row, coverage: covered.iter().map(piece).collect(), gaps: gaps.iter().map(gap).collect() }
    }

    fn two() -> Vec<Ledger> {
        let gap = |from, to, cause, state| (hours(from, to), cause, state);
        vec![
            ledger(
                "BTC",
                &[hours(0, 40), hours(50, 99), hours(99, 100)],
                &[
                    gap(-70, 0, Cause::BeforeHistory, GapState::Unrecoverable),
                    gap(40, 50, Cause::Outage, GapState::Unrecoverable),
                    gap(99, 100, Cause::Silence, GapState::Backfilled),
                ],
            ),
            ledger("a-coin-with-a-very-long-name", &[hours(60, 100)], &[]),
        ]
    }

    fn shown(all: bool, width: usize) -> String {
        let answer = Answer::new(two(), (None, None), strip_width(width));
        text(&answer, all, width)
    }

    #[test]
    fn markets_that_have_ended_are_named_once_the_last_first() {
        let mut ledgers: Vec<_> = (0..25).map(|n| ledger(&format!("#{n}0"), &[hours(0, 9)], &[])).collect();
        for (n, ledger) in (0..).zip(&mut ledgers) {
            ledger.row.ended = Some(hours(0, 9).to + n * HOUR);
        }
        ledgers.push(ledger("BTC", &[hours(0, 40)], &[]));
        let text = text(&Answer::new(ledgers, (None, None), strip_width(80)), false, 80);
        assert!(
            text.contains("#240 ended 2026-11-25 15:00:00: listed no longer (1 stream)\n#230 ended"),
            "{text}"
        );
        assert!(text.ends_with("#50 ended 2026-11-24 20:00:00: listed no longer (1 stream)\nand 5 more that ended before; --json has all of them\n"), "{text}");
    }

    #[test]
    fn the_answer_comes_first_and_every_stream_has_a_strip() {
        let text = shown(false, 80);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "2 streams, 92.85 % of 4d 4h complete, 1 gap to look at; 1 of them began later");
        assert!(lines[2].starts_with("stream                2026-11-24 06:00    "), "{text}");
        let strip = format!("{}▒░░░░{}", "█".repeat(16), "█".repeat(21));
        assert_eq!(lines[3], format!("trades/BTC            {strip}   90.00 %     1"));
        assert!(lines[4].starts_with("trades/a-coin-with-…  ·········") && lines[4].ends_with("     0"));
        assert!(lines[7].ends_with("   10h 0m  outage          unrecoverable"), "{text}");
        assert_eq!(lines.len(), 8, "what was filled or never was is not shown: {text}");
        for line in lines {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn all_shows_every_piece_and_a_narrow_terminal_has_no_strip() {
        let text = shown(true, 80);
        let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("{word} is not in\n{text}"));
        assert!(at("GAP before_history, unrecoverable") < at("GAP outage, unrecoverable"));
        assert!(at("covered by ws, claim 3.1, 7 rows") < at("GAP silence, backfilled"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let narrow = shown(false, 40);
        assert!(!narrow.contains('█'), "{narrow}");
    }

    #[test]
    fn a_range_that_was_asked_for_counts_whole() {
        let ends = (Some(hours(-100, 0).from), Some(hours(0, 100).to));
        let answer = Answer::new(two(), ends, 20);
        assert_eq!(answer.streams[0].holds.as_ref().map(|of| of.never_ms), Some(30 * HOUR));
        assert_eq!(
            sentence(&answer),
            "2 streams, 39.39 % of 8d 8h complete, 1 gap to look at; a part was never collected"
        );
        let strips: Vec<_> = answer.streams.iter().map(|line| line.strip.as_str()).collect();
        assert_eq!(strips, ["··········████░█████", "················████"]);
    }
}
