//! Signals of one trader: what was done to a position.

use hl_core::record::Address;
use hl_core::{Coin, Decimal, TimeMs};

use super::{SignalRules, View, product};

/// A change of one trader's position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// When, ms.
    pub time: TimeMs,
    /// Whose.
    pub user: Address,
    /// In which coin.
    pub coin: Coin,
    /// Signed size until then, coins; none where that was unknown.
    pub before: Option<Decimal>,
    /// Signed size from then on, coins.
    pub after: Decimal,
    /// Whether the exchange did it because this trader could not hold the position any longer.
    pub is_liquidation: bool,
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// There was none, and now there is one.
    Open,
    /// It is gone.
    Close,
    /// It is larger, on its side.
    Increase,
    /// It is smaller, on its side.
    Decrease,
    /// It is on the other side.
    Flip,
    /// The exchange closed it, or a part of it.
    Liquidation,
}

impl Action {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::Increase => "increase",
            Self::Decrease => "decrease",
            Self::Flip => "flip",
            Self::Liquidation => "liquidation",
        }
    }
}

/// A change that is worth telling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChangeSignal {
    /// The change.
    pub change: Change,
    /// What was done.
    pub action: Action,
    /// The weight of the trader, 0 to 1.
    pub weight: Decimal,
    /// The difference of both sizes at the last price, USD, never below zero.
    pub notional: Decimal,
}

impl Change {
    /// What was done. None where nothing was, or it is unknown what the position was before.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        let (before, after) = (self.before?, self.after);
        if before == after {
            return None;
        }
        Some(if self.is_liquidation {
            Action::Liquidation
        } else if before.is_zero() {
            Action::Open
        } else if after.is_zero() {
            Action::Close
        } else if before.is_sign_negative() != after.is_sign_negative() {
            Action::Flip
        } else if after.abs() > before.abs() {
            Action::Increase
        } else {
            Action::Decrease
        })
    }

    /// A signal, where the trader is followed and weighs enough, and enough was traded. None too where there is no price yet:
    /// how much it was is not known then.
    #[must_use]
    pub fn judge(&self, view: &View<'_>, rules: &SignalRules) -> Option<ChangeSignal> {
        let action = self.action()?;
        let weight = rules.weight(view.trader(self.user)?.score);
        let difference = self.after.saturating_sub(self.before?).abs();
        let notional = product(difference, view.price(self.coin)?.px);
        let is_enough = weight >= rules.change.least_weight && notional >= rules.change.least_notional;
        is_enough.then_some(ChangeSignal { change: *self, action, weight, notional })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NOW, coin, decimal, scene, user};
    use super::*;

    fn change(before: &str, after: &str) -> Change {
        Change {
            time: NOW,
            user: user(0),
            coin: coin("BTC"),
            before: Some(before).filter(|text| *text != "?").map(decimal),
            after: decimal(after),
            is_liquidation: false,
        }
    }

    #[test]
    fn what_was_done_is_told_by_both_sizes() {
        use Action::{Close, Decrease, Flip, Increase, Open};
        for (before, after, expected) in [
            ("0", "2", Some(Open)),
            ("0", "-2", Some(Open)),
            ("2", "0", Some(Close)),
            ("-2", "0", Some(Close)),
            ("2", "-0", Some(Close)),
            ("2", "2.01", Some(Increase)),
            ("-2", "-2.01", Some(Increase)),
            ("2", "1.99", Some(Decrease)),
            ("-2", "-1.99", Some(Decrease)),
            ("2", "-2", Some(Flip)),
            ("-2", "3", Some(Flip)),
            ("2", "2.0", None),
            ("0", "0", None),
            ("?", "2", None),
        ] {
            let change = change(before, after);
            assert_eq!(change.action(), expected, "{before} to {after}");
            let liquidated = Change { is_liquidation: true, ..change };
            assert_eq!(liquidated.action(), expected.map(|_| Action::Liquidation), "{before} to {after}");
        }
    }

    #[test]
    fn only_who_weighs_enough_and_trades_enough_is_told() {
        // At least 0.5, and 100,000 USD.
        for (score, px, before, after, expected) in [
            ("50", "50000", "1", "3", Some("100000")),
            ("49.9999", "50000", "1", "3", None),
            ("50", "49999.99", "1", "3", None),
            ("100", "50000", "1", "-2", Some("150000")),
            ("100", "50000", "0", "1.9999", None),
            ("", "50000", "-2", "0", Some("100000")),
            ("100", "50000", "?", "9", None),
            ("100", "", "1", "9", None),
        ] {
            let known = scene(&[(score, "")], Some(px).filter(|px| !px.is_empty()));
            let change = change(before, after);
            let told = change.judge(&known.view(NOW).unwrap(), &SignalRules::default());
            let notional = told.map(|told| told.notional);
            assert_eq!(notional, expected.map(decimal), "{score} {px} {before} {after}");
            if let Some(told) = told {
                assert_eq!((told.change, Some(told.action)), (change, change.action()));
                let score = Some(score).filter(|score| !score.is_empty()).map(decimal);
                assert_eq!(told.weight, SignalRules::default().weight(score));
            }
        }
    }

    #[test]
    fn who_is_not_followed_is_not_told_of() {
        let known = scene(&[], Some("1000000"));
        assert_eq!(change("0", "9").judge(&known.view(NOW).unwrap(), &SignalRules::default()), None);
    }

    #[test]
    fn a_change_beyond_a_decimal_is_the_largest_one() {
        let known = scene(&[("100", "")], Some("2"));
        let (least, most) = (Decimal::MIN.to_string(), Decimal::MAX.to_string());
        let told = change(&least, &most).judge(&known.view(NOW).unwrap(), &SignalRules::default());
        assert_eq!(told.map(|told| told.notional), Some(Decimal::MAX));
    }
}
