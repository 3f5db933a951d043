//! What a signal is built on: who is on which side, and how well that is known.

use hl_core::{Coin, Decimal};

use super::{Price, Trader, View, rounded, share};
use crate::tracker::Standing;

/// The sides of a coin, among all who are followed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Basis {
    /// The weight of those that are long.
    pub long_weight: Decimal,
    /// The weight of those that are short.
    pub short_weight: Decimal,
    /// The weight of those of whom that is unknown.
    pub unknown_weight: Decimal,
    /// The weight of all who are followed: long, short, flat and unknown.
    pub total_weight: Decimal,
    /// How many are long.
    pub traders_long: usize,
    /// How many are short.
    pub traders_short: usize,
    /// How many are known to hold nothing.
    pub traders_flat: usize,
    /// Of how many it is unknown what they hold: in none of the numbers above.
    pub traders_unknown: usize,
    /// How many of those that are long, short or flat are so by a position that is in doubt.
    pub traders_suspect: usize,
    /// The last price; none where none is known.
    pub price: Option<Price>,
    /// Long minus short positions at that price, USD, below zero where more is short; every trader's in full, whatever the
    /// weight (the Python collector says the sum of sizes times weights, in coins). None without a price, and where a decimal
    /// does not hold it.
    pub net_exposure: Option<Decimal>,
    /// How long ago the oldest of the positions that are known was true, ms; none where none is known.
    pub oldest_ms: Option<i64>,
}

impl Basis {
    /// The sides of a coin at a moment, where each trader weighs so much. A weight below zero is none.
    #[must_use]
    pub fn of(view: &View<'_>, coin: Coin, weight: impl Fn(&Trader) -> Decimal) -> Self {
        let mut basis = Self { price: view.price(coin), ..Self::default() };
        let mut net = Some(Decimal::ZERO);
        let add = |sum: &mut Decimal, weight: Decimal| *sum = sum.saturating_add(weight);
        for trader in view.traders() {
            let weight = weight(trader).max(Decimal::ZERO);
            add(&mut basis.total_weight, weight);
            let position = trader.position(coin);
            let Some(held) = position.held() else {
                basis.traders_unknown += 1;
                add(&mut basis.unknown_weight, weight);
                continue;
            };
            if held.size.is_zero() {
                basis.traders_flat += 1;
            } else if held.size > Decimal::ZERO {
                basis.traders_long += 1;
                add(&mut basis.long_weight, weight);
            } else {
                basis.traders_short += 1;
                add(&mut basis.short_weight, weight);
            }
            basis.traders_suspect += usize::from(position.standing() == Standing::Suspect);
            basis.oldest_ms = basis.oldest_ms.max(Some(view.now().since(held.as_of)));
            net = net.and_then(|net| net.checked_add(held.size));
        }
        basis.net_exposure = basis.price.zip(net).and_then(|(price, net)| net.checked_mul(price.px));
        basis
    }

    /// How many hold a position, long or short.
    #[must_use]
    pub fn traders_with_position(&self) -> usize {
        self.traders_long + self.traders_short
    }

    /// The share of the weight of all who are followed that is long: 0 to 1, to four places, 0 where there is no weight.
    #[must_use]
    pub fn long_bias(&self) -> Decimal {
        rounded(share(self.long_weight, self.total_weight))
    }

    /// The same of short.
    #[must_use]
    pub fn short_bias(&self) -> Decimal {
        rounded(share(self.short_weight, self.total_weight))
    }

    /// The same of unknown.
    #[must_use]
    pub fn unknown_share(&self) -> Decimal {
        rounded(share(self.unknown_weight, self.total_weight))
    }
}

#[cfg(test)]
mod tests {
    use hl_core::TimeMs;

    use super::super::fixture::{NOW, coin, decimal, scene};
    use super::*;

    fn basis(traders: &[(&str, &str)], px: Option<&str>) -> Basis {
        let known = scene(traders, px);
        let weight = |trader: &Trader| trader.score.unwrap_or_default();
        Basis::of(&known.view(NOW).unwrap(), coin("BTC"), weight)
    }

    fn text(of: Option<Decimal>) -> Option<String> {
        of.map(|decimal| decimal.normalize().to_string())
    }

    #[test]
    fn everyone_is_on_one_side_and_unknown_is_one_of_them() {
        let traders = [("1", "5"), ("2", "-0.5~"), ("4", "0"), ("8", "?"), ("16", ""), ("32", "1@700")];
        let basis = basis(&traders, Some("100"));
        let weights = [basis.long_weight, basis.short_weight, basis.unknown_weight, basis.total_weight];
        assert_eq!(weights, [33, 2, 24, 63].map(Decimal::from));
        let counts = [
            basis.traders_long,
            basis.traders_short,
            basis.traders_flat,
            basis.traders_unknown,
            basis.traders_suspect,
        ];
        assert_eq!((counts, basis.traders_with_position()), ([2, 1, 1, 2, 1], 3));
        let shares = [basis.long_bias(), basis.short_bias(), basis.unknown_share()];
        assert_eq!(shares, ["0.5238", "0.0317", "0.381"].map(decimal));
        assert_eq!(text(basis.net_exposure), Some("550".into()));
        assert_eq!(basis.oldest_ms, Some(700));
    }

    #[test]
    fn exposure_needs_a_price_and_a_decimal_that_holds_it() {
        let most = Decimal::MAX.to_string();
        for (sizes, px, expected) in [
            (["2", "-3.5"], Some("10"), Some("-15")),
            (["2", "-2"], Some("10"), Some("0")),
            (["0", "0"], Some("10"), Some("0")),
            (["?", "?"], Some("10"), Some("0")),
            (["2", "-3.5"], None, None),
            ([most.as_str(), "0"], Some("10"), None),
            ([most.as_str(), "1"], Some("0"), None),
        ] {
            let found = basis(&[("1", sizes[0]), ("1", sizes[1])], px);
            assert_eq!(text(found.net_exposure).as_deref(), expected, "{sizes:?} at {px:?}");
        }
    }

    #[test]
    fn the_oldest_position_is_told_whatever_it_is() {
        for (traders, expected) in [
            (&[][..], None),
            (&[("1", "?")], None),
            (&[("1", "5@3"), ("1", "5@2")], Some(3)),
            (&[("1", "0@9"), ("1", "5@2")], Some(9)),
            (&[("0", "-5~@7"), ("1", "?")], Some(7)),
        ] {
            assert_eq!(basis(traders, None).oldest_ms, expected, "{traders:?}");
        }
    }

    #[test]
    fn a_weight_below_zero_is_none() {
        let known = scene(&[("1", "5"), ("2", "-5")], None);
        let view = known.view(TimeMs::MAX).unwrap();
        let basis = Basis::of(&view, coin("BTC"), |trader| Decimal::ONE - trader.score.unwrap_or_default());
        assert_eq!((basis.total_weight, basis.short_weight), (Decimal::ZERO, Decimal::ZERO));
        assert_eq!((basis.short_bias(), basis.traders_short), (Decimal::ZERO, 1));
    }
}
