//! The user channels.

use std::collections::BTreeMap;

use bytes::Bytes;
use hl_core::record::Address;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::hub::Hub;
use super::topic::{Topic, UserOptions, UserTopic};
use crate::market::traders::{OrderEvent, TradeRef};
use crate::market::{Block, Exchange};
use crate::wire;
use crate::wire::account;
use crate::wire::metadata::DEXES;

/// Rows of a snapshot.
const SNAPSHOT: usize = 2_000;

/// What subscribing brings at once: a snapshot where the channel has one, or the present state.
pub(super) fn first_frame(
    exchange: &Exchange,
    topic: UserTopic,
    user: Address,
    options: &UserOptions,
) -> Vec<Bytes> {
    let found = exchange.trader(&user);
    let trader = found.map(|(_, t)| t);
    let snapshot = |field: &str, rows: Vec<Value>| {
        let mut data = json!({"user": user, field: rows});
        if exchange.assumptions.snapshot_mark {
            data["isSnapshot"] = true.into();
        }
        vec![wire::frame(topic.channel(), data)]
    };
    match topic {
        UserTopic::Fills => {
            let fills = found.map_or_else(Vec::new, |(i, t)| account::fills(exchange, i, t, SNAPSHOT));
            snapshot("fills", fills.iter().map(|f| json!(f)).collect())
        }
        UserTopic::Fundings => {
            let payments = trader.iter().flat_map(|t| t.payments.iter().rev().take(SNAPSHOT));
            snapshot("fundings", payments.filter_map(|p| account::payment(exchange, p)).collect())
        }
        UserTopic::Ledger => {
            let deposit = trader.map(|t| account::deposit_row(exchange, t));
            snapshot("nonFundingLedgerUpdates", deposit.into_iter().collect())
        }
        UserTopic::HistoricalOrders => {
            let orders = trader.iter().flat_map(|t| t.orders.iter().rev().take(SNAPSHOT));
            snapshot("orderHistory", orders.filter_map(|e| account::order_history(exchange, e)).collect())
        }
        UserTopic::TwapSliceFills => {
            let slices = found.map_or_else(Vec::new, |(i, t)| account::twap_slices(exchange, i, t, SNAPSHOT));
            snapshot("twapSliceFills", slices)
        }
        UserTopic::TwapHistory => snapshot("history", Vec::new()),
        UserTopic::Events | UserTopic::OrderUpdates | UserTopic::Notification => Vec::new(),
        _ => state_frame(exchange, topic, user, options).into_iter().collect(),
    }
}

/// The present state of a channel that carries states.
pub(super) fn state_frame(
    exchange: &Exchange,
    topic: UserTopic,
    user: Address,
    options: &UserOptions,
) -> Option<Bytes> {
    let found = exchange.trader(&user);
    let trader = found.map(|(_, t)| t);
    let dex = options.dex.unwrap_or_default();
    let data = match topic {
        UserTopic::OpenOrders => {
            let orders = found.map_or_else(Vec::new, |(i, _)| account::open_orders(exchange, i, dex));
            let orders: Vec<_> = orders.into_iter().map(|o| account::with_details(o, "Alo")).collect();
            json!({"dex": dex, "user": user, "orders": orders})
        }
        UserTopic::Clearinghouse => {
            let account = account::clearinghouse(exchange, trader, dex);
            json!({"dex": dex, "user": user, "clearinghouseState": account})
        }
        UserTopic::AllDexsClearinghouse => {
            let states = DEXES.map(|dex| (dex, account::clearinghouse(exchange, trader, dex)));
            json!({"user": user, "clearinghouseStates": states})
        }
        UserTopic::SpotState => json!({"user": user, "spotState": account::spot_state(exchange, trader)}),
        UserTopic::TwapStates => json!({"dex": dex, "user": user, "states": []}),
        UserTopic::ActiveAssetData => {
            let market = exchange.market(options.coin?).filter(|m| !m.spec.is_spot())?;
            account::active_asset_data(exchange, user, market)
        }
        UserTopic::WebData => account::web_data(exchange, user),
        _ => return None,
    };
    Some(wire::frame(topic.channel(), data))
}

/// Sends what a block brought to those users that somebody follows.
pub(super) fn block(exchange: &Exchange, hub: &mut Hub, block: &Block, now: Instant) {
    let mut followed: BTreeMap<usize, Vec<(UserTopic, Topic)>> = BTreeMap::new();
    for topic in hub.topics() {
        if let Topic::User(kind, user, _) = topic
            && let Some((index, _)) = exchange.trader(user)
        {
            followed.entry(index).or_default().push((*kind, topic.clone()));
        }
    }
    for (index, topics) in followed {
        let Some(trader) = exchange.traders.get(index) else { continue };
        let places = fills_of(exchange, block, index);
        let fills: Vec<_> = places.iter().filter_map(|p| account::fill(exchange, *p, index)).collect();
        let slices: Vec<_> = places.iter().filter_map(|p| account::twap_slice(exchange, *p, index)).collect();
        let orders: Vec<&OrderEvent> = block.orders.iter().filter(|e| e.trader as usize == index).collect();
        let paid = |p: &&crate::market::traders::Payment| block.funded.contains(&p.market);
        let payments: Vec<_> = if block.funded.is_empty() {
            Vec::new()
        } else {
            let newest = trader.payments.iter().rev().take(block.funded.len());
            newest.filter(paid).filter_map(|p| account::payment(exchange, p)).collect()
        };
        let user = trader.address;
        for (kind, topic) in topics {
            let channel = kind.channel();
            let mut frames = Vec::new();
            match kind {
                UserTopic::Fills if !fills.is_empty() => {
                    frames.push(wire::frame(channel, json!({"user": user, "fills": fills})));
                }
                UserTopic::TwapSliceFills if !slices.is_empty() => {
                    frames.push(wire::frame(channel, json!({"user": user, "twapSliceFills": slices})));
                }
                UserTopic::Fundings if !payments.is_empty() => {
                    frames.push(wire::frame(channel, json!({"user": user, "fundings": payments})));
                }
                UserTopic::Events => {
                    if !fills.is_empty() {
                        frames.push(wire::frame(channel, json!({"fills": fills})));
                    }
                    frames.extend(payments.iter().map(|p| wire::frame(channel, json!({"funding": p}))));
                }
                UserTopic::OrderUpdates if !orders.is_empty() => {
                    let rows: Vec<_> =
                        orders.iter().filter_map(|e| account::order_event(exchange, e)).collect();
                    frames.push(wire::frame(channel, rows));
                }
                UserTopic::HistoricalOrders if !orders.is_empty() => {
                    let rows: Vec<_> =
                        orders.iter().filter_map(|e| account::order_history(exchange, e)).collect();
                    frames.push(wire::frame(channel, json!({"user": user, "orderHistory": rows})));
                }
                _ => {}
            }
            for frame in frames {
                hub.publish(&topic, &frame, now);
            }
        }
    }
}

/// The trades of a block in which a trader took part.
fn fills_of(exchange: &Exchange, block: &Block, index: usize) -> Vec<TradeRef> {
    let mut places = Vec::new();
    for (market, first) in &block.trades {
        let Some(m) = exchange.markets.get(*market) else { continue };
        for seq in *first..m.next_seq() {
            let is_in = |t: &crate::market::state::Trade| {
                [t.buyer.trader, t.seller.trader].iter().any(|x| *x as usize == index)
            };
            if m.trade(seq).is_some_and(is_in) {
                places.push(TradeRef { market: *market, seq });
            }
        }
    }
    places
}
