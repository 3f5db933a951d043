//! The read precompiles: addresses that answer from the state of the exchange, without a selector.

use hl_core::record::{Address, HexBytes};

use super::abi;
use crate::market::Exchange;
use crate::wire::account;
use crate::wire::metadata::DEXES;

/// Perpetuals of a dex at most: the number of one is `dex × 10,000 + place in its universe`.
const DEX_PLACES: u32 = 10_000;
const POSITION: Address = precompile(0x13);
const MARGIN_SUMMARY: Address = precompile(0x0f);

const fn precompile(last: u8) -> Address {
    HexBytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, last])
}

/// What a call to an address returns. `None`: it fails. An address without code returns nothing, and does not fail.
pub(super) fn read(exchange: &Exchange, target: &Address, arguments: &[u8]) -> Option<Vec<u8>> {
    match *target {
        POSITION => position(exchange, arguments),
        MARGIN_SUMMARY => margin_summary(exchange, arguments),
        _ => Some(Vec::new()),
    }
}

/// The position of a user in a perpetual: size, what its open size cost, USD of an isolated one, leverage, whether it is
/// isolated. Nobody's is in the simulation.
fn position(exchange: &Exchange, arguments: &[u8]) -> Option<Vec<u8>> {
    let (user, perpetual) = abi::user_and_number(arguments)?;
    let dex = DEXES.get(usize::try_from(perpetual / DEX_PLACES).ok()?)?;
    let place = usize::try_from(perpetual % DEX_PLACES).ok()?;
    let held = account::held(exchange, &user, dex, place)?;
    let mut out = Vec::with_capacity(160);
    abi::put_signed(&mut out, held.size);
    abi::put(&mut out, held.entry_notional);
    abi::put_signed(&mut out, 0);
    abi::put(&mut out, held.leverage.into());
    abi::put(&mut out, 0);
    Some(out)
}

/// The account of a user in a dex: value, margin used, notional of its positions, USD beside them, in `10^-6` USD.
fn margin_summary(exchange: &Exchange, arguments: &[u8]) -> Option<Vec<u8>> {
    let (dex, user) = abi::number_and_user(arguments)?;
    let dex = DEXES.get(usize::try_from(dex).ok()?)?;
    let margin = account::margin(exchange, &user, dex);
    let mut out = Vec::with_capacity(128);
    abi::put_signed(&mut out, margin.value);
    abi::put(&mut out, margin.used);
    abi::put(&mut out, margin.notional);
    abi::put_signed(&mut out, margin.raw);
    Some(out)
}
