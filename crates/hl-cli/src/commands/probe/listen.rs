//! The socket that is listened to all the time: one coin's streams, and the fills of one of its traders.

use std::collections::BTreeMap;
use std::time::Duration;

use hl_core::exchange_time::Voice;
use hl_core::message::Subscription;
use hl_core::message::market::{WsBbo, WsBook, WsCandle, WsTrade};
use hl_core::message::user::UserFills;
use hl_core::message::ws::Ack;
use hl_core::record::{Address, Candle, Trade};
use hl_core::seam::stopped;
use hl_core::{Coin, Interval, TimeMs};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Subject;
use super::evidence::{BookSeen, Listened, Notes};
use super::wire::{Heard, Wire};

/// After so long the busiest trader so far is chosen.
const CHOOSE_AFTER_MS: i64 = 5_000;
/// A socket with contexts on it is never silent for so long.
const SILENCE: Duration = Duration::from_secs(60);

/// Listens until told to stop, or the socket ends.
pub(super) async fn listen(
    mut wire: Wire<'_>,
    subject: &Subject,
    coin: Coin,
    notes: &Notes,
    mut stop: watch::Receiver<bool>,
) {
    let streams = [
        Subscription::Trades { coin },
        Subscription::L2Book { coin, n_sig_figs: None, mantissa: None, fast: false },
        Subscription::Bbo { coin },
        Subscription::Candle { coin, interval: Interval::M1 },
        Subscription::AllMids { dex: None },
        Subscription::ActiveAssetCtx { coin },
    ];
    let begun = subject.mono().now();
    let mut due = streams.to_vec();
    loop {
        for subscription in due.drain(..) {
            let sent = wire.subscribe(&subscription).await;
            notes.with(|e| e.listened.asked.push((subscription, false)));
            if let Err(why) = sent {
                return notes.with(|e| e.listened.ended = Some(why));
            }
        }
        let heard = tokio::select! {
            biased;
            () = stopped(&mut stop) => return wire.close().await,
            heard = wire.next(Instant::now() + SILENCE) => heard,
        };
        match heard {
            Heard::Frame { at, channel, data, .. } => {
                let now = subject.mono().exchange();
                if let Some(stamp) = notes.with(|e| note(&mut e.listened, at, now, &channel, data)) {
                    let voice = match channel.as_str() {
                        "trades" => Voice::Trades,
                        "l2Book" => Voice::Books,
                        _ => Voice::Bbos,
                    };
                    subject.mono().observe(voice, stamp);
                }
                if at - begun >= CHOOSE_AFTER_MS
                    && let Some(user) = notes.with(|e| choose(&mut e.listened))
                {
                    due.push(Subscription::UserFills { user, aggregate_by_time: false });
                }
            }
            Heard::Nothing => {
                return notes.with(|e| e.listened.ended = Some(format!("nothing for {SILENCE:?}")));
            }
            Heard::Ended(end) => return notes.with(|e| e.listened.ended = Some(end.words)),
        }
    }
}

/// Whom to follow: who trades most, once.
fn choose(listened: &mut Listened) -> Option<Address> {
    if listened.followed.is_some() {
        return None;
    }
    let mut trades = BTreeMap::<Address, u64>::new();
    for user in listened.trades.iter().flatten().flat_map(|t| [t.buyer, t.seller]) {
        *trades.entry(user).or_default() += 1;
    }
    listened.followed = trades.into_iter().max_by_key(|(_, n)| *n).map(|(user, _)| user);
    listened.followed
}

fn typed<T: DeserializeOwned>(data: Value) -> Option<T> {
    // What cannot be read was refused by the decoder already.
    serde_json::from_value(data).ok()
}

/// Writes down a frame. The exchange's stamp in it, where it has one and is no replay.
fn note(seen: &mut Listened, at: i64, now: TimeMs, channel: &str, data: Value) -> Option<TimeMs> {
    let asked = |name: &str| match name {
        "subscriptionResponse" => None,
        "activeSpotAssetCtx" => Some("activeAssetCtx"),
        name => ["trades", "l2Book", "bbo", "candle", "allMids", "activeAssetCtx", "userFills"]
            .into_iter()
            .find(|known| *known == name),
    };
    if let Some(name) = asked(channel) {
        let is_it = |s: &Subscription| serde_json::to_value(s).is_ok_and(|s| s["type"] == name);
        if seen.asked.iter().any(|(s, acknowledged)| !acknowledged && is_it(s)) {
            seen.early.insert(name);
        }
    }
    let stamp = match channel {
        "subscriptionResponse" => {
            let ack: Ack = typed(data)?;
            let sent = seen.asked.iter_mut().find(|(s, _)| s.matches_echo(&ack.subscription));
            sent.into_iter().for_each(|(_, acknowledged)| *acknowledged = true);
            return None;
        }
        "trades" => {
            let trades: Vec<Trade> = typed::<Vec<WsTrade>>(data)?.into_iter().map(Trade::from).collect();
            let newest = trades.iter().map(|t| t.time).max();
            let replayed = seen.whole_from.is_none();
            seen.whole_from.get_or_insert(now);
            seen.trades.push(trades);
            newest.filter(|_| !replayed)?
        }
        "l2Book" => {
            let book: WsBook = typed(data)?;
            let levels = book.levels.iter().map(Vec::len).max().unwrap_or(0);
            seen.books.push(BookSeen { at, levels });
            book.time
        }
        "bbo" => {
            let bbo: WsBbo = typed(data)?;
            seen.bbos.push(at);
            bbo.time
        }
        "candle" => {
            let bar = Candle::from(typed::<WsCandle>(data)?);
            let best = seen.bars.entry(bar.time).or_insert(bar);
            if bar.trades >= best.trades {
                *best = bar;
            }
            return None;
        }
        "allMids" => {
            seen.mids.push(at);
            return None;
        }
        "activeAssetCtx" | "activeSpotAssetCtx" => {
            seen.contexts.push(at);
            return None;
        }
        "userFills" => {
            let fills: UserFills = typed(data)?;
            seen.fills.push((fills.is_snapshot, fills.fills));
            return None;
        }
        _ => return None,
    };
    seen.stamp(at, stamp);
    Some(stamp)
}
