//! A strategy of one's own, asked about traders who are followed without a daemon: from a state of each account and a trade.
//!
//! `cargo run --example strategy` needs no network. `Collector::mainnet().track(rules).strategy(Heads)` asks it every five minutes.

use std::{cmp::Ordering, collections::BTreeMap};

use hyperliquid_collector::core::record::{HexBytes, Recommendation, Side, Trade};
use hyperliquid_collector::core::{ledger::Span, row::Arrival};
use hyperliquid_collector::traders::signals::{
    Basis, Known, Signal, Strategy, Verdict, View, WithheldReason,
};
use hyperliquid_collector::traders::tracker::{State, Tracker};
use hyperliquid_collector::{Coin, Decimal, Dex, TimeMs};

/// What most traders do, whatever their scores; nothing where one of them is unknown.
struct Heads;

impl Strategy for Heads {
    fn name(&self) -> &str {
        "heads"
    }
    fn judge(&self, view: &View<'_>) -> Vec<Signal> {
        let judge = |coin| {
            let basis = Basis::of(view, coin, |_| Decimal::ONE);
            let recommendation = match basis.traders_long.cmp(&basis.traders_short) {
                Ordering::Greater => Recommendation::Long,
                Ordering::Less => Recommendation::Short,
                Ordering::Equal => Recommendation::Neutral,
            };
            let (share, confidence) = (basis.unknown_share(), (basis.long_bias() - basis.short_bias()).abs());
            let verdict = match share.is_zero() {
                true => Verdict::Recommended { recommendation, confidence },
                false => Verdict::Withheld { reason: WithheldReason::Unknown { share, most: Decimal::ZERO } },
            };
            Signal { coin, verdict, basis }
        };
        view.coins().into_iter().map(judge).collect()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (coin, start) = (Coin::new("BTC")?, TimeMs(1_790_000_000_000));
    let [a, b, c] = [1, 2, 3].map(|n| HexBytes([n; 20]));
    let (mut tracker, mut events) = (Tracker::default(), Vec::new());
    [a, b, c].into_iter().for_each(|user| tracker.track(user, 1, &[Dex::First], start));
    tracker.heard(coin, Span::new(start, start + 30_000));
    for (user, size) in [(a, 5), (b, 3), (c, -2)] {
        let sizes = BTreeMap::from([(coin, Decimal::from(size))]);
        tracker.state(user, Dex::First, State { time: start + 10_000, sizes, entry_px: BTreeMap::new() });
    }
    tracker.judge(start + 20_000, &mut events);
    let (px, sz, time, arrival) = (60_000.into(), 4.into(), start + 25_000, Arrival::default());
    let (side, hash, buyer, seller) = (Side::Buy, HexBytes([0; 32]), a, b);
    tracker.trades(&[Trade { coin, time, tid: 1, px, sz, side, hash, buyer, seller, arrival }], &mut events);
    let (now, scores) = (start + 30_000, [a, b, c].map(|user| (user, None)).into());
    let known = Known::now(&tracker.following(Dex::First, now), &scores, &[(coin, px)].into())?;
    Heads.judge(&known.view(now)?).iter().for_each(|signal| println!("{signal}: {:?}", signal.basis));
    Ok(())
}
