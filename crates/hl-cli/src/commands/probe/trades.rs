//! What is believed of trades.

use hl_core::record::{Side, Trade};

use super::assumption::{Assumption, Finding, Judged};
use super::evidence::Evidence;

pub(super) const ALL: &[Assumption] = &[
    Assumption {
        id: "replay",
        assumed: "a new subscription replays 30 trades",
        tried: "the first frame of a new subscription to trades is counted",
        otherwise: "Nothing breaks: a gap is closed as far as the replay reaches. A shorter one leaves more gaps, a \
                    longer one fewer, and coverage shows them.",
        judge: replay,
    },
    Assumption {
        id: "recent-trades",
        assumed: "REST gives the last 10 trades, newest first",
        tried: "recentTrades is asked a few times",
        otherwise: "More only make polls join more often. FEWER ARE DANGEROUS: the collector takes a short answer for \
                    all that a coin ever traded, and joins over what is missing. Do not collect trades over REST then.",
        judge: recent,
    },
    Assumption {
        id: "trade-order",
        assumed: "trades come in the order of their times",
        tried: "the times in and between the frames of trades, the replay included",
        otherwise: "A frame is put in order before it is looked at. A trade that comes after younger ones is stored \
                    while it lies in what its subscription covers, and left out and counted as late where it does not.",
        judge: order,
    },
    Assumption {
        id: "trade-keys",
        assumed: "coin, time and tid tell trades apart",
        tried: "no two different trades of those heard share the three",
        otherwise: "Of two trades with one key the first is stored, and the second is taken for the same. Bars then \
                    count more trades than are stored: verify reports the minutes.",
        judge: keys,
    },
    Assumption {
        id: "block-order",
        assumed: "REST has a block's trades in the order of the socket",
        tried: "blocks of several trades are compared in both",
        otherwise: "Nothing changes: answers join inside a block only with what the same source brought.",
        judge: blocks,
    },
    Assumption {
        id: "buyer-first",
        assumed: "the first user of a trade is the buyer",
        tried: "the fills of the busiest trader are compared with the trades",
        otherwise: "buyer and seller change places in every stored row: turn them round when reading.",
        judge: buyer,
    },
];

fn replay(e: &Evidence) -> Judged {
    let first = e.listened.trades.first().ok_or_else(|| e.listened.missing("no trades came"))?;
    Finding::of(first.len() == 30, first.len().to_string())
}

fn recent(e: &Evidence) -> Judged {
    let least = e.recent.iter().map(Vec::len).min().ok_or("no answer came")?;
    let most = e.recent.iter().map(Vec::len).max().unwrap_or(least);
    let newest_first = e.recent.iter().all(|trades| trades.is_sorted_by(|a, b| a.time >= b.time));
    let order = if newest_first { "newest first" } else { "in another order" };
    let count = if least == most { least.to_string() } else { format!("{least} to {most}") };
    Finding::of(
        (least, most) == (10, 10) && newest_first,
        format!("{count}, {order}, in {} answers", e.recent.len()),
    )
}

fn order(e: &Evidence) -> Judged {
    let trades = e.listened.distinct();
    if trades.len() < 2 {
        return Err(e.listened.missing("too few trades came"));
    }
    let back = trades.iter().zip(trades.iter().skip(1)).filter(|(a, b)| b.time < a.time).count();
    Finding::of(back == 0, format!("{back} of {} trades before their predecessor", trades.len()))
}

fn keys(e: &Evidence) -> Judged {
    let trades = e.listened.distinct();
    if trades.len() < 2 {
        return Err(e.listened.missing("too few trades came"));
    }
    let keys: std::collections::BTreeSet<_> = trades.iter().map(Trade::key).collect();
    Finding::of(keys.len() == trades.len(), format!("{} trades, {} keys", trades.len(), keys.len()))
}

fn blocks(e: &Evidence) -> Judged {
    let heard = e.listened.distinct();
    let (mut same, mut other) = (0, 0);
    for answer in &e.recent {
        let oldest_first: Vec<&Trade> = answer.iter().rev().collect();
        for block in oldest_first.chunk_by(|a, b| a.time == b.time) {
            let places: Option<Vec<usize>> =
                block.iter().map(|trade| heard.iter().position(|h| h == *trade)).collect();
            match places {
                Some(places) if places.len() > 1 && places.is_sorted() => same += 1,
                Some(places) if places.len() > 1 => other += 1,
                // One trade has no order; and what was not heard cannot be compared.
                _ => {}
            }
        }
    }
    if same + other == 0 {
        return Err("no block of several trades came up in both".to_owned());
    }
    Finding::of(other == 0, format!("the same in {same} of {} blocks", same + other))
}

fn buyer(e: &Evidence) -> Judged {
    let user = e.listened.followed.ok_or("no trader was followed")?;
    let (mut agree, mut disagree) = (0, 0);
    for trade in e.listened.distinct() {
        let Trade { buyer, seller, .. } = trade;
        // Who trades with himself has a fill on either side.
        if (buyer == user) == (seller == user) {
            continue;
        }
        let side = if buyer == user { Side::Buy } else { Side::Sell };
        let is_it = |f: &&hl_core::message::info::fills::Fill| {
            (f.coin, f.time, f.tid) == (trade.coin, trade.time, Some(trade.tid))
        };
        match e.listened.fills.iter().flat_map(|(_, fills)| fills).find(is_it) {
            Some(fill) if fill.side == side => agree += 1,
            Some(_) => disagree += 1,
            None => {}
        }
    }
    if agree + disagree == 0 {
        return Err(e.listened.missing("no fill of the followed trader met a trade"));
    }
    Finding::of(disagree == 0, format!("in {agree} of {} fills of one trader", agree + disagree))
}
