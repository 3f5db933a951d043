//! `clearinghouseState` as far as positions go: what an account holds on one dex. The rest of the answer may change its shape.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_with::serde_as;

use super::error::{DecodeError, Fault, locate};
use super::parser;
use crate::message::Exact;
use crate::{Coin, Decimal, Dex, TimeMs};

const WHAT: &str = "clearinghouseState";

/// Everything that an account holds on one dex. No position is a state too: flat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountState {
    /// When it was true, as the exchange says, ms; none where it does not say.
    pub time: Option<TimeMs>,
    /// Signed size, coins, and mean price of entry, USD, by coin. No size is 0.
    pub positions: BTreeMap<Coin, (Decimal, Option<Decimal>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    asset_positions: Vec<AssetPosition>,
    time: Option<TimeMs>,
}

#[derive(Deserialize)]
struct AssetPosition {
    position: Position,
}

#[serde_as]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    coin: Coin,
    #[serde_as(as = "Exact")]
    szi: Decimal,
    #[serde_as(as = "Option<Exact>")]
    entry_px: Option<Decimal>,
}

/// Decodes an answer of a dex. One position that cannot be read spoils the whole state: what is not known is not flat.
///
/// # Errors
/// When it is not such a state, has a coin of another dex, or one coin twice.
pub fn account(body: &mut [u8], dex: Dex) -> Result<AccountState, DecodeError> {
    let found = parser::typed::<Answer>(body)
        .map_err(|fault| locate::<Answer>(Some(WHAT.to_owned()), body, fault))?;
    let mut positions = BTreeMap::new();
    for AssetPosition { position: Position { coin, szi, entry_px } } in found.asset_positions {
        if !dex.has(coin) || !coin.is_perpetual() {
            return Err(unlike(Fault::Rule("a position of another dex")));
        }
        if positions.insert(coin, (szi, entry_px)).is_some() {
            return Err(unlike(Fault::Rule("two positions in one coin")));
        }
    }
    positions.retain(|_, (szi, _)| !szi.is_zero());
    Ok(AccountState { time: found.time, positions })
}

fn unlike(fault: Fault) -> DecodeError {
    super::rest::unlike(WHAT, fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AccountState, DecodeError> {
        account(&mut text.as_bytes().to_vec(), Dex::First)
    }

    fn position(coin: &str, szi: &str) -> String {
        format!(
            r#"{{"type":"oneWay","position":{{"coin":"{coin}","szi":"{szi}","entryPx":"2.5","new":[1]}}}}"#
        )
    }

    #[test]
    fn an_account_is_what_it_holds_and_nothing_else_has_to_be_readable() {
        let state = read(&format!(
            r#"{{"marginSummary":null,"assetPositions":[{},{}],"time":1790000000123}}"#,
            position("BTC", "-0.5"),
            position("ETH", "0.0"),
        ));
        let state = state.unwrap();
        assert_eq!(state.time, Some(TimeMs(1_790_000_000_123)));
        let held: Vec<_> =
            state.positions.iter().map(|(coin, (szi, px))| (coin.as_str(), *szi, *px)).collect();
        assert_eq!(held, [("BTC", Decimal::new(-5, 1), Some(Decimal::new(25, 1)))]);
        let flat = read(r#"{"assetPositions":[]}"#).unwrap();
        assert_eq!(flat, AccountState { time: None, positions: BTreeMap::new() });
    }

    #[test]
    fn what_cannot_be_a_state_of_the_dex_is_refused_as_a_whole() {
        let of = |positions: &str| read(&format!(r#"{{"assetPositions":[{positions}],"time":1}}"#));
        for bad in [
            position("xyz:NVDA", "1"),
            position("@107", "1"),
            [position("BTC", "1"), position("BTC", "2")].join(","),
            [position("BTC", "1"), position("ETH", "NaN")].join(","),
        ] {
            assert!(of(&bad).is_err(), "{bad}");
        }
        for bad in ["null", "[]", "{}", r#"{"assetPositions":null}"#, ""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
