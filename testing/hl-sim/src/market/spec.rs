//! What is listed: names, ticks and how busy each market is.

use hl_core::Coin;

use crate::config::SimError;

/// Milliseconds between two blocks.
pub(crate) const BLOCK_MS: i64 = 70;
/// The one builder dex.
pub(crate) const BUILDER_DEX: &str = "xyz";
/// Listed, but no longer traded: an empty book, a context with nulls.
pub(crate) const DELISTED: &str = "MATIC";

/// Where a market is traded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Venue {
    /// The first perpetual dex.
    Perp,
    /// The builder dex.
    Builder,
    /// Spot; the number is `spotMeta.universe[].index`, which is not the position.
    Spot { index: u32, token: u32 },
    /// One side of an outcome: 0 is yes, 1 is no.
    Outcome { outcome: u64, side: u8 },
}

/// The fixed facts of a market. Every price is five digits times `10^-px_decimals`, of outcomes four: inside the exchange's
/// five significant figures, without a tick that changes on the way.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) coin: Coin,
    pub(crate) venue: Venue,
    pub(crate) px_decimals: u32,
    pub(crate) sz_decimals: u32,
    /// The price that the market reverts to, in ticks.
    pub(crate) base: i64,
    pub(crate) max_leverage: u32,
    /// Typical size of an order (about 4,000 USD), in units of `10^-sz_decimals`.
    pub(crate) lot: i64,
    /// Mean time between two takers, ms.
    pub(crate) take_gap_ms: i64,
    /// Mean time between two changes of quotes, ms.
    pub(crate) quote_gap_ms: i64,
    /// Largest step of the fair price at an event, in 1/1024 ticks.
    pub(crate) step: i64,
}

impl Spec {
    /// Digits behind the point of price times size.
    pub(crate) fn ntl_decimals(&self) -> u32 {
        self.px_decimals + self.sz_decimals
    }

    /// Whether what is bought is held, and not a position: spot pairs and outcomes.
    pub(crate) fn is_spot(&self) -> bool {
        matches!(self.venue, Venue::Spot { .. } | Venue::Outcome { .. })
    }

    /// `""` for the first dex and for spot.
    pub(crate) fn dex(&self) -> &'static str {
        if self.venue == Venue::Builder { BUILDER_DEX } else { "" }
    }
}

struct Listed(&'static str, u32, u32, i64, u32);

/// Name, price decimals, size decimals, base price in ticks, maximal leverage.
const KNOWN: [Listed; 10] = [
    Listed("BTC", 0, 5, 66_410, 40),
    Listed("ETH", 1, 4, 34_567, 25),
    Listed("SOL", 2, 2, 15_825, 20),
    Listed("HYPE", 3, 2, 38_123, 10),
    Listed("DOGE", 5, 0, 23_456, 10),
    Listed("XRP", 4, 0, 24_123, 20),
    Listed("kPEPE", 6, 0, 21_345, 10),
    Listed("AVAX", 3, 2, 31_234, 10),
    Listed("LINK", 3, 1, 18_456, 10),
    Listed("SUI", 4, 1, 34_871, 10),
];

/// The spot pairs, each with its index and that of its token: the second's and third's index is not their position.
const SPOT: [(Listed, u32, u32); 3] = [
    (Listed("PURR/USDC", 5, 0, 19_456, 1), 0, 1),
    (Listed("@107", 3, 2, 38_110, 1), 107, 2),
    (Listed("@142", 0, 5, 66_380, 1), 142, 3),
];

const BUILDER: [Listed; 2] = [Listed("xyz:NVDA", 2, 3, 20_735, 10), Listed("xyz:TSLA", 2, 3, 42_150, 10)];

/// The number of the first outcome.
const FIRST_OUTCOME: u64 = 1_209;

/// The coin of a side of an outcome.
pub(crate) fn outcome_coin(outcome: u64, side: u8) -> String {
    format!("#{}", outcome * 10 + u64::from(side))
}

/// Every live market: the first dex, then the builder dex, then spot, then outcomes.
pub(crate) fn listings(coins: usize, outcomes: usize, activity: f64) -> Result<Vec<Spec>, SimError> {
    let mut specs = Vec::with_capacity(coins + BUILDER.len() + SPOT.len() + 2 * outcomes);
    for i in 0..coins {
        // 8.5 octaves from the busiest to the quietest, in 1/1024 octaves.
        let octaves = if coins == 1 { 0 } else { (8_704 * i / (coins - 1)) as i64 };
        let spec = match KNOWN.get(i) {
            Some(known) => spec(known.0, known, Venue::Perp, octaves, activity)?,
            None => {
                let px_decimals = (i % 6) as u32;
                let base = 15_000 + (i as i64 * 7_919) % 55_000;
                let listed = Listed("", px_decimals, 5 - px_decimals, base, 5);
                spec(&generated_name(i - KNOWN.len()), &listed, Venue::Perp, octaves, activity)?
            }
        };
        specs.push(spec);
    }
    for listed in &BUILDER {
        specs.push(spec(listed.0, listed, Venue::Builder, 5 * 1_024, activity)?);
    }
    for (listed, index, token) in &SPOT {
        let venue = Venue::Spot { index: *index, token: *token };
        specs.push(spec(listed.0, listed, venue, 6 * 1_024, activity)?);
    }
    for n in 0..outcomes as u64 {
        let (outcome, yes) = (FIRST_OUTCOME + n, 3_500 + (n as i64 * 1_301) % 3_000);
        for (side, base) in [(0, yes), (1, 10_000 - yes)] {
            let listed = Listed("", 4, 0, base, 1);
            let venue = Venue::Outcome { outcome, side };
            specs.push(spec(&outcome_coin(outcome, side), &listed, venue, 6 * 1_024, activity)?);
        }
    }
    Ok(specs)
}

fn spec(name: &str, listed: &Listed, venue: Venue, octaves: i64, activity: f64) -> Result<Spec, SimError> {
    let Listed(_, px_decimals, sz_decimals, base, max_leverage) = *listed;
    let coin = Coin::new(name)?;
    // One division of small whole numbers, rounded down: the same on every machine.
    let paced = |gap_ms: i64| ((gap_ms as f64 / activity) as i64).max(1);
    let quote_gap_ms = paced(scaled(100, octaves * 4 / 5));
    // A square root is exact to the last bit everywhere, unlike a power: the market is the same on every machine.
    let per_event = 0.000_15 * (quote_gap_ms as f64 / 1_000.0).sqrt();
    let step = ((base * 1_024) as f64 * per_event) as i64;
    let lot = 4_000 * 10_i64.pow(px_decimals + sz_decimals) / base;
    Ok(Spec {
        coin,
        venue,
        px_decimals,
        sz_decimals,
        base,
        max_leverage,
        lot: lot.max(10),
        take_gap_ms: paced(scaled(550, octaves)),
        quote_gap_ms,
        step: step.max(1_024),
    })
}

/// `gap × 2^(octaves / 1024)`, linear inside an octave.
fn scaled(gap: i64, octaves: i64) -> i64 {
    let whole = gap << (octaves / 1_024);
    whole + whole * (octaves % 1_024) / 1_024
}

/// Two syllables, different for every `i` below 4,900.
fn generated_name(i: usize) -> String {
    const CONSONANTS: &[u8; 14] = b"BDFGKLMNPRSTVZ";
    const VOWELS: &[u8; 5] = b"AEIOU";
    let syllable = |k: usize| [CONSONANTS[k % 14] as char, VOWELS[k / 14 % 5] as char];
    syllable(i % 70).into_iter().chain(syllable((i / 70 + i) % 70)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_prices_have_five_digits() {
        let specs = listings(400, 0, 1.0).unwrap();
        let names: BTreeSet<_> = specs.iter().map(|s| s.coin).collect();
        assert_eq!(names.len(), specs.len());
        for s in &specs {
            assert!((15_000..75_000).contains(&s.base), "{}", s.coin);
            let most = if s.is_spot() { 8 } else { 6 };
            assert!(s.ntl_decimals() <= most, "{}", s.coin);
        }
    }
}
