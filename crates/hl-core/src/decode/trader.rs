//! What the exchange says of one trader's orders and money: `historicalOrders`, `userFunding`, `userNonFundingLedgerUpdates`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::DecodeError;
use super::rows::{self, Delta, Rows};
use crate::message::Exact;
use crate::message::info::ledger::{FundingDelta, LedgerUpdate};
use crate::message::info::orders::OrderStatus;
use crate::record::{Address, Direction, HexBytes, Movement, Order, Payment};
use crate::row::Arrival;
use crate::seam::Seed;
use crate::symbol::User;
use crate::{Decimal, TimeMs};

/// What stands where nothing sets an order off.
const NO_CONDITION: &str = "N/A";
/// The kind of a movement of which the exchange says none.
const UNKNOWN: &str = "unknown";

/// `historicalOrders` of a trader, oldest change of status first; it comes newest first.
///
/// # Errors
/// When the body is not a list of orders, or none of them can be read, nor when its status changed.
pub fn orders(body: &mut [u8], user: User) -> Result<Rows<Order>, DecodeError> {
    let Rows { rows, holes, reason } = rows::list::<OrderStatus>("historicalOrders", body, true)?;
    let rows = rows.into_iter().map(|(status, OrderStatus { order, status_timestamp, .. })| {
        let children: Vec<_> = order.children.iter().map(|child| child.oid.to_string()).collect();
        Order {
            user,
            time: status_timestamp,
            oid: order.oid,
            status,
            coin: order.coin,
            side: order.side,
            limit_px: order.limit_px,
            sz: order.sz,
            orig_sz: order.orig_sz,
            order_type: order.order_type.into(),
            tif: order.tif.map(Into::into),
            reduce_only: order.reduce_only,
            is_position_tpsl: order.is_position_tpsl,
            trigger_px: Some(order.trigger_px).filter(|px| !px.is_zero()),
            trigger_condition: Some(order.trigger_condition)
                .filter(|words| !words.is_empty() && words != NO_CONDITION)
                .map(Into::into),
            children: (!children.is_empty()).then(|| children.join(" ").into()),
            cloid: order.cloid.map(|cloid| cloid.to_string().into()),
            order_time: order.timestamp,
            arrival: Arrival::default(),
        }
    });
    Ok(Rows { rows: rows.collect(), holes, reason })
}

/// `userFunding` of a trader from a time on, oldest first.
///
/// # Errors
/// When the body is not a list of funding payments, or none of them can be read, nor when it was.
pub fn payments(body: &mut [u8], user: User) -> Result<Rows<Payment>, DecodeError> {
    let Rows { rows, holes, reason } = rows::list::<LedgerUpdate<FundingDelta>>("userFunding", body, false)?;
    let rows = rows.into_iter().map(|LedgerUpdate { time, hash, delta: FundingDelta::Funding(paid) }| {
        let (coin, usdc, szi, rate, samples) =
            (paid.coin, paid.usdc, paid.szi, paid.funding_rate, paid.n_samples);
        Payment { user, coin, time, usdc, szi, rate, samples, hash, arrival: Arrival::default() }
    });
    Ok(Rows { rows: rows.collect(), holes, reason })
}

/// `userNonFundingLedgerUpdates` of a trader from a time on, oldest first. A kind that is not known is read like any other.
///
/// # Errors
/// When the body is not a list of movements, or none of them can be read, nor when it was.
pub fn movements(body: &mut [u8], user: User) -> Result<Rows<Movement>, DecodeError> {
    let Rows { rows, holes, reason } =
        rows::list::<LedgerUpdate<Delta>>("userNonFundingLedgerUpdates", body, false)?;
    // Two movements may say the same in everything: their numbers differ by how many there were.
    let mut alike: BTreeMap<(TimeMs, u64), u64> = BTreeMap::new();
    let rows = rows.into_iter().map(|LedgerUpdate { time, hash, delta }| {
        let said = Value::Object(delta.clone()).to_string();
        let first = number(&format!("{hash} {said}"));
        let count = alike.entry((time, first)).or_default();
        let id = if *count == 0 { first } else { number(&format!("{hash} {said} {count}")) };
        *count += 1;
        Movement { time, id, hash, ..movement(user, delta) }
    });
    Ok(Rows { rows: rows.collect(), holes, reason })
}

/// A number of a text, the same on every machine and in every release. Stores hold numbers of 63 bits.
fn number(text: &str) -> u64 {
    Seed(0).derive(text).0 & i64::MAX.unsigned_abs()
}

/// What of a delta has a column, and the rest as it came.
fn movement(user: User, mut delta: Delta) -> Movement {
    let kind = take(&mut delta, "type", |value| value.as_str().map(Into::into));
    let ends = ["user", "destination"].map(|name| address(delta.get(name)));
    let own = user.address();
    let (direction, counterpart) = match ends {
        [Some(from), Some(to)] if from == own || to == own => {
            delta.remove("user");
            delta.remove("destination");
            match (from == own, to == own) {
                (true, true) => (Direction::Within, None),
                (true, false) => (Direction::Out, Some(to)),
                _ => (Direction::In, Some(from)),
            }
        }
        _ => (Direction::Unsaid, take(&mut delta, "vault", |value| address(Some(value)))),
    };
    let decimal = |value: &Value| Exact::parse(value.as_str()?).ok();
    let mut amount_of = |name: &str| -> Option<Decimal> { take(&mut delta, name, decimal) };
    let usdc = amount_of("usdc").or_else(|| amount_of("usdcValue"));
    let (amount, fee) = (amount_of("amount"), amount_of("fee"));
    let token = take(&mut delta, "token", |value| value.as_str().map(Into::into));
    Movement {
        user,
        time: TimeMs(0),
        id: 0,
        kind: kind.unwrap_or_else(|| UNKNOWN.into()),
        hash: HexBytes([0; 32]),
        direction,
        counterpart,
        usdc,
        token,
        amount,
        fee,
        delta: (!delta.is_empty()).then(|| Value::Object(delta).to_string().into()),
        arrival: Arrival::default(),
    }
}

/// Takes a field out, where it can be read; otherwise it stays.
fn take<T>(delta: &mut Delta, name: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
    let read = delta.get(name).and_then(read);
    if read.is_some() {
        delta.remove(name);
    }
    read
}

fn address(value: Option<&Value>) -> Option<Address> {
    Address::parse(value?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User::new("0x00000000000000000000000000000000000000ab").unwrap()
    }

    fn read(deltas: &[&str]) -> Vec<Movement> {
        let hash = HexBytes([7; 32]);
        let row = |delta: &&str| format!(r#"{{"time":5,"hash":"{hash}","delta":{delta}}}"#);
        let text = format!("[{}]", deltas.iter().map(row).collect::<Vec<_>>().join(","));
        let read = movements(&mut text.into_bytes(), user()).unwrap();
        assert!(read.holes.is_empty(), "{:?}", read.reason);
        read.rows
    }

    #[test]
    fn what_has_no_column_is_kept_as_it_came() {
        let other = "0x00000000000000000000000000000000000000cd";
        let sent = format!(
            r#"{{"type":"send","user":"{}","destination":"{other}","sourceDex":"","token":"HYPE","amount":"1.50",
            "usdcValue":"60.0","fee":"0.1","nonce":17}}"#,
            user()
        );
        let got = format!(
            r#"{{"type":"internalTransfer","usdc":"5","user":"{other}","destination":"{}","fee":"1"}}"#,
            user()
        );
        let rows = read(&[
            &sent,
            &got,
            r#"{"type":"deposit","usdc":"500000.0"}"#,
            r#"{"type":"somethingNew","usdc":{"much":1},"vault":"0x12"}"#,
            r#"{"usdc":"3"}"#,
        ]);
        let texts = |row: &Movement| {
            let number = |number: Option<Decimal>| number.map(|n| n.to_string());
            (row.kind.to_string(), row.direction, number(row.usdc), row.delta.as_deref().map(str::to_owned))
        };
        assert_eq!(
            texts(&rows[0]),
            (
                "send".into(),
                Direction::Out,
                Some("60.0".into()),
                Some(r#"{"nonce":17,"sourceDex":""}"#.into())
            )
        );
        assert_eq!(
            (rows[0].counterpart, rows[1].counterpart),
            (Address::parse(other), Address::parse(other))
        );
        assert_eq!(rows[0].amount.zip(rows[0].fee).map(|(a, b)| a + b), Some("1.60".parse().unwrap()));
        assert_eq!(texts(&rows[1]), ("internalTransfer".into(), Direction::In, Some("5".into()), None));
        assert_eq!(texts(&rows[2]), ("deposit".into(), Direction::Unsaid, Some("500000.0".into()), None));
        let new = r#"{"usdc":{"much":1},"vault":"0x12"}"#.to_owned();
        assert_eq!(texts(&rows[3]), ("somethingNew".into(), Direction::Unsaid, None, Some(new)));
        assert_eq!(texts(&rows[4]), ("unknown".into(), Direction::Unsaid, Some("3".into()), None));
    }

    #[test]
    fn movements_of_one_transaction_are_told_apart_and_the_same_each_time() {
        let (one, two) = (r#"{"type":"deposit","usdc":"1"}"#, r#"{"usdc":"2","type":"deposit"}"#);
        let ids = |deltas: &[&str]| read(deltas).iter().map(|row| row.id).collect::<Vec<_>>();
        let all = ids(&[one, two, one]);
        assert!(all[0] != all[1] && all[0] != all[2] && all.iter().all(|id| i64::try_from(*id).is_ok()));
        assert_eq!(ids(&[two, one, one]), [all[1], all[0], all[2]]);
        assert_eq!(ids(&[r#"{"usdc":"1","type":"deposit"}"#]), all[..1], "in whatever order its fields come");
    }

    #[test]
    fn an_order_is_read_with_all_that_is_said_of_it() {
        let row = |status: &str, time: i64| {
            format!(
                r#"{{"order":{{"coin":"BTC","side":"B","limitPx":"3.2","sz":"1.0","oid":9,"timestamp":3,
                "triggerCondition":"N/A","isTrigger":false,"triggerPx":"0.0","children":[],"isPositionTpsl":false,
                "reduceOnly":true,"orderType":"Limit","origSz":"1.0","tif":"Gtc","cloid":null}},
                "status":"{status}","statusTimestamp":{time}}}"#
            )
        };
        let text = format!("[{},{}]", row("marginCanceled", 8), row("open", 3));
        let read = orders(&mut text.into_bytes(), user()).unwrap();
        let [placed, ended] = read.rows.as_slice() else { panic!("{read:?}") };
        assert_eq!((placed.time, placed.status.as_str(), placed.order_time), (TimeMs(3), "open", TimeMs(3)));
        assert_eq!(
            (ended.time, ended.status.as_str(), ended.order_time),
            (TimeMs(8), "marginCanceled", TimeMs(3))
        );
        assert_eq!(
            (placed.trigger_px, placed.trigger_condition.clone(), placed.children.clone()),
            (None, None, None)
        );
        assert!(placed.reduce_only && !placed.is_position_tpsl);
        let text = format!("[{},{},{}]", row("filled", 9), row("no word", 8), row("open", 3));
        let holes = orders(&mut text.into_bytes(), user()).unwrap().holes;
        let times: Vec<_> = holes.iter().map(|hole| hole.times.map(|times| times.from.0)).collect();
        assert_eq!(times, [Some(8)], "where it lies is known");
    }
}
