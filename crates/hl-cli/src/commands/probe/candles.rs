//! What is believed of bars.

use hl_core::record::{Candle, Trade};
use hl_core::{Decimal, TimeMs};

use super::ask::MINUTE_MS;
use super::assumption::{Assumption, Finding, Judged};
use super::evidence::{Evidence, Look};

pub(super) const ALL: &[Assumption] = &[
    Assumption {
        id: "candle-count",
        assumed: "a final bar counts the public trades",
        tried: "a whole minute of trades against its bar over REST",
        otherwise: "Trades cannot be proven complete: the collector calibrates this by itself, finds no bars that \
                    agree, and doubts nothing. verify calls the minutes unknown.",
        judge: count,
    },
    Assumption {
        id: "candle-volume",
        assumed: "a final bar's volume is the sum of their sizes",
        tried: "the same minute",
        otherwise: "Nothing in the collector rests on the volume; where it is another for good, verify calls the minutes unknown.",
        judge: volume,
    },
    Assumption {
        id: "candle-final",
        assumed: "the socket brings a bar's last version",
        tried: "the best version of that minute against REST, 12s after its end",
        otherwise: "A bar that the socket left unfinished counts fewer trades than were stored: the collector calls it \
                    stale and reads it again over REST, where trades of the coin are collected too.",
        judge: last_version,
    },
    Assumption {
        id: "candle-range",
        assumed: "both ends of a range of bars are included",
        tried: "three old minutes are asked for by their open times",
        otherwise: "A missing bar at the end does no harm: the collector asks up to the millisecond before the next. One \
                    at the beginning would be taken for a minute without trades.",
        judge: range,
    },
    Assumption {
        id: "candle-page",
        assumed: "an answer has every bar that was asked for, up to 5,000",
        tried: "the one-minute bars of ten hours",
        otherwise: "Nothing is lost: the collector goes on from the last bar that it was given, and a backfill takes more \
                    requests.",
        judge: page,
    },
];

/// The ends of what was asked for may be so long without a trade, ms.
const SLACK_MS: i64 = 30 * MINUTE_MS;

/// The minute's bar, and the trades that were heard in it.
fn minute(e: &Evidence) -> Look<(Candle, Vec<Trade>)> {
    let bar = e.minute.clone()?.ok_or("nothing traded in that minute")?;
    if let Some(why) = &e.listened.ended {
        return Err(format!("the socket ended: {why}"));
    }
    let inside = |time: TimeMs| time >= bar.time && time < bar.time + MINUTE_MS;
    Ok((bar, e.listened.distinct().into_iter().filter(|t| inside(t.time)).collect()))
}

fn count(e: &Evidence) -> Judged {
    let (bar, trades) = minute(e)?;
    let heard = u64::try_from(trades.len()).unwrap_or(u64::MAX);
    Finding::of(bar.trades == heard, format!("n = {}, {heard} trades heard", bar.trades))
}

fn volume(e: &Evidence) -> Judged {
    let (bar, trades) = minute(e)?;
    let heard: Decimal = trades.iter().map(|t| t.sz).sum();
    let (v, sum) = (bar.volume.normalize(), heard.normalize());
    Finding::of(v == sum, format!("v = {v}, {sum} heard"))
}

fn last_version(e: &Evidence) -> Judged {
    let (rest, _) = minute(e)?;
    let socket = e.listened.bars.get(&rest.time).ok_or("the socket brought no bar of that minute")?;
    let seen = if *socket == rest {
        format!("the same, n = {}", rest.trades)
    } else {
        format!("n = {} over the socket, {} over REST", socket.trades, rest.trades)
    };
    Finding::of(*socket == rest, seen)
}

/// A quiet coin lacks minutes, so the ends are looked at.
fn page(e: &Evidence) -> Judged {
    let (got, asked) = e.page.clone()?;
    let (Some(first), Some(last)) = (got.first(), got.last()) else {
        return Err("the answer has no bars of that time".to_owned());
    };
    let whole = first.since(asked.from) < SLACK_MS && asked.to.since(*last) < SLACK_MS;
    let seen = if whole { "all of them" } else { "a part of the time" };
    Finding::of(whole, format!("{} bars, {seen}", got.len()))
}

fn range(e: &Evidence) -> Judged {
    let (got, asked) = e.range.clone()?;
    let missing = asked.iter().filter(|t| !got.contains(t)).count();
    let [first, _, last] = asked;
    let seen = match (got.contains(&first), got.contains(&last)) {
        _ if got == asked => "all three bars".to_owned(),
        (true, false) => "the last bar is missing".to_owned(),
        (false, true) => "the first bar is missing".to_owned(),
        _ => format!("{} bars, {missing} of the three missing", got.len()),
    };
    Finding::of(got == asked, seen)
}
