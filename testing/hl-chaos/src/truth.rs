//! The truth of a simulated exchange in the same process.

use hl_core::ledger::Span;
use hl_core::seam::BoxFuture;
use hl_core::{Records, StreamKey, TimeMs};
use hl_sim::Sim;
use hl_verify::{Falsified, Load, Truth, TruthError, falsified, position};

/// What a simulated exchange did, read without a network.
pub struct SimTruth<'a>(pub &'a Sim);

impl Truth for SimTruth<'_> {
    fn oldest(&self) -> BoxFuture<'_, Result<TimeMs, TruthError>> {
        Box::pin(async { Ok(TimeMs(self.0.status().from)) })
    }

    fn load(&self) -> BoxFuture<'_, Result<Load, TruthError>> {
        let status = self.0.status();
        let (now, peak_weight) = (TimeMs(status.now), status.peak_weight);
        Box::pin(async move { Ok(Load { now, peak_weight, rate_limited: status.counters.rate_limited }) })
    }

    fn falsified(&self, stream: StreamKey) -> BoxFuture<'_, Result<Falsified, TruthError>> {
        let rows = self.0.falsified();
        let of = rows.iter().filter(|row| row.stream == Some(stream));
        let falsified = falsified(of.map(|row| (TimeMs(row.time), TimeMs(row.shown))));
        Box::pin(async { Ok(falsified) })
    }

    fn rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<Records, TruthError>> {
        let (sim, Span { from, to }) = (self.0, span);
        let rows = match stream {
            StreamKey::Trades(coin) => Records::Trades(sim.truth_trades(coin, from, to)),
            StreamKey::Book(coin, variant) => Records::Books(match variant.figures() {
                None => sim.truth_books(coin, from, to),
                Some(_) => sim.truth_rounded_books(coin, variant, from, to),
            }),
            StreamKey::Bbo(coin) => Records::Bbos(sim.truth_bbos(coin, from, to)),
            StreamKey::Candle(coin, interval) => {
                Records::Candles(sim.truth_candles(coin, interval, from, to))
            }
            StreamKey::Mids(dex) => {
                let coins = sim.coins().into_iter().filter(|coin| dex.has(*coin));
                Records::Mids(coins.flat_map(|coin| sim.truth_mids(coin, from, to)).collect())
            }
            StreamKey::Context(coin) => Records::Contexts(sim.truth_contexts(coin, from, to)),
            StreamKey::Funding(coin) => Records::Funding(sim.truth_funding(coin, from, to)),
            StreamKey::Markets => Records::Markets(sim.truth_markets(from, to)),
            StreamKey::PredictedFunding(coin) => {
                Records::PredictedFunding(sim.truth_predicted_funding(coin, from, to))
            }
            StreamKey::Positions(user) => {
                let rows = sim.truth_moved(user.address(), from, to).into_iter();
                Records::Positions(rows.map(|row| position(user, row.coin, row.time, row.szi)).collect())
            }
            StreamKey::Leaderboard
            | StreamKey::Traders
            | StreamKey::Signals
            | StreamKey::Fills(_)
            | StreamKey::Orders(_)
            | StreamKey::Payments(_)
            | StreamKey::Movements(_) => Records::none(stream),
        };
        Box::pin(async { Ok(rows) })
    }
}
