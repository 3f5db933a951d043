//! From the words of a command to the streams whose rows are read, and what is known of them.

use hl_archive::export::Selection;
use hl_core::bars::is_derivable;
use hl_core::completeness::Completeness;
use hl_core::ledger::Span;
use hl_core::{Interval, Kind, StreamKey, TimeMs};
use hl_store::GapRow;

use crate::commands::CommandError;
use crate::commands::ledgers::{Ledger, Ledgers};
use crate::config::{ConfigError, Place, StreamChoice, ValueError};

/// What is asked for is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WishError {
    /// A kind without a coin.
    #[error("--coin: which coin? give --coin BTC, or a whole stream such as --stream {0}/BTC")]
    NoCoin(String),
    /// Markets are one stream, and the mids of a dex.
    #[error("--coin: {0} is not of one coin; leave --coin out")]
    CoinOfAll(String),
    /// A whole stream has its coin in its name.
    #[error("--coin: {0} names its coin already; leave --coin out, or give the kind alone")]
    CoinTwice(StreamKey),
    /// Nothing of it was ever collected.
    #[error("--stream: the store has nothing of {stream}{}", nearest.as_ref().map(|n| format!("; did you mean {n}?")).unwrap_or_default())]
    NotCollected {
        /// What was asked for.
        stream: StreamKey,
        /// The stream of the store that is called nearly so.
        nearest: Option<String>,
    },
    /// A calendar interval.
    #[error(
        "--interval: the store has nothing of {stream}, and {interval} is not made of minutes; `hl-cli backfill candle --interval {interval}` gets it"
    )]
    NotDerivable {
        /// The interval.
        interval: Interval,
        /// The stream that would have it.
        stream: StreamKey,
    },
}

/// What is asked for, as far as it can be understood without the store.
pub(crate) enum Wish {
    /// One stream by its name.
    One(StreamKey),
    /// A kind of some coins, which the store may not know.
    Each(StreamChoice, Vec<String>, Interval),
}

/// A stream that is read, and what the range holds.
pub(crate) struct Wanted {
    pub(crate) selection: Selection,
    /// The range that is shown and that the exit code is about.
    pub(crate) holds: Completeness,
    /// Gaps in it that are not filled.
    pub(crate) gaps: Vec<GapRow>,
}

pub(crate) fn understand(
    stream: &str,
    coins: &[String],
    interval: Option<&str>,
) -> Result<Wish, CommandError> {
    let value = |flag, problem| ConfigError::Value { place: Place::Flag(flag), problem };
    // `book/fast` is a kind, and of a coin named `fast` a stream.
    let is_kind = !coins.is_empty() && stream.parse::<StreamChoice>().is_ok();
    if let Ok(stream) = stream.parse::<StreamKey>()
        && (coins.is_empty() || stream.coin().is_some())
        && !is_kind
    {
        return if coins.is_empty() {
            Ok(Wish::One(stream))
        } else {
            Err(WishError::CoinTwice(stream).into())
        };
    }
    let choice = match Kind::of_word(stream) {
        Some(kind) => StreamChoice(kind),
        None => stream.parse().map_err(|problem| value("stream", problem))?,
    };
    let interval = interval.unwrap_or("1m");
    let interval = interval.parse().map_err(|problem| value("interval", ValueError::Interval(problem)))?;
    match (choice.0.streams(&[], &[]).is_empty(), coins.is_empty()) {
        (false, false) => Err(WishError::CoinOfAll(stream.to_owned()).into()),
        (true, true) => Err(WishError::NoCoin(stream.to_owned()).into()),
        _ => Ok(Wish::Each(choice, coins.to_vec(), interval)),
    }
}

impl Wish {
    /// What a store has of it. `ends` are the ends of the range, as far as they were said.
    pub(crate) fn of(
        self,
        ledgers: &Ledgers,
        ends: (Option<TimeMs>, Option<TimeMs>),
        now: TimeMs,
    ) -> Result<Vec<Wanted>, CommandError> {
        let streams = match self {
            Self::One(stream) => vec![stream],
            Self::Each(choice, names, interval) => choice.0.streams(&ledgers.coins(&names)?, &[interval]),
        };
        let wanted = streams.into_iter().map(|stream| wanted(stream, ledgers, ends, now));
        Ok(wanted.collect::<Result<_, _>>()?)
    }
}

/// Where the rows of a stream are: in its own, or, of bars that are not collected, in that of one-minute bars.
pub(crate) fn source(stream: StreamKey, ledgers: &Ledgers) -> Result<(StreamKey, &Ledger), WishError> {
    if let Some(ledger) = ledgers.0.get(&stream) {
        return Ok((stream, ledger));
    }
    if let StreamKey::Candle(coin, interval) = stream {
        let minutes = StreamKey::Candle(coin, Interval::M1);
        match ledgers.0.get(&minutes) {
            Some(ledger) if is_derivable(interval) => return Ok((minutes, ledger)),
            Some(_) => return Err(WishError::NotDerivable { interval, stream }),
            None => {}
        }
    }
    Err(WishError::NotCollected { stream, nearest: ledgers.nearest(stream) })
}

fn wanted(
    stream: StreamKey,
    ledgers: &Ledgers,
    (from, to): (Option<TimeMs>, Option<TimeMs>),
    now: TimeMs,
) -> Result<Wanted, WishError> {
    let (source, ledger) = source(stream, ledgers)?;
    let extent = ledger.extent();
    // Imported rows may lie before everything that is known to the ledger.
    let begins =
        [ledger.row.oldest, ledger.row.first, extent.map(|extent| extent.from)].into_iter().flatten();
    let begins = match ledger.row.archived {
        0 => begins.min(),
        // The oldest rows lie in the archive, and collecting proved them.
        _ => extent.map(|extent| extent.from),
    };
    let first = from.or(begins).unwrap_or(now);
    let newest = ledger.row.newest.map(|newest| newest + 1);
    let last = to.or(extent.map(|extent| extent.to).or(newest)).unwrap_or(now).max(first);
    let range = Span { from: first, to: last };
    let holds = ledger.completeness(range);
    let is_in = |gap: &&GapRow| holds.missing.iter().any(|m| m.contains(gap.span.from.max(first)));
    let gaps = ledger.gaps.iter().filter(|gap| gap.is_missing() && gap.span.touches(range));
    let gaps = gaps.filter(is_in).cloned().collect();
    // Rows that are newer than what is settled are there as well, where no end was said.
    let span = Span { from: from.unwrap_or(TimeMs(0)), to: to.unwrap_or(now) - 1 };
    let known = ledger.completeness(extent.unwrap_or(range));
    Ok(Wanted { selection: Selection { stream, source, span, known }, holds, gaps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_books_are_a_kind_of_some_coins() {
        let of_coins = understand("book/fast", &["BTC".to_owned()], None);
        assert!(matches!(of_coins, Ok(Wish::Each(StreamChoice(Kind::BookFast), ..))));
        let one = understand("book/BTC/fast", &[], None);
        assert!(matches!(one, Ok(Wish::One(stream)) if stream.to_string() == "book/BTC/fast"));
        assert!(understand("book/BTC", &["BTC".to_owned()], None).is_err(), "it names its coin already");
    }
}
