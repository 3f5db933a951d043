//! What the exchange says it did.

use std::sync::Arc;

use hl_collectors::files::{GetError, encode, get};
use hl_core::ledger::Span;
use hl_core::record::{KnownBy, Mid, Position, PositionChange};
use hl_core::row::Arrival;
use hl_core::seam::{BoxFuture, Endpoint, Net};
use hl_core::symbol::User;
use hl_core::{Coin, Decimal, Records, StreamKey, TimeMs};
use serde::de::DeserializeOwned;

use super::{Falsified, wire};

/// Knows what really happened: a simulated exchange.
pub trait Truth: Send + Sync {
    /// The oldest time that it still knows, ms.
    fn oldest(&self) -> BoxFuture<'_, Result<TimeMs, TruthError>>;

    /// Its time now, ms, and what it was asked for.
    fn load(&self) -> BoxFuture<'_, Result<Load, TruthError>>;

    /// What happened on a stream in the closed piece, oldest first. For candles the final ones; for books every
    /// snapshot, 20 levels a side, whatever the variant; for other states what held at the beginning, and each one that
    /// began to hold after it. For positions what the trader held at the beginning, with that time, and each change after it.
    fn rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<Records, TruthError>>;

    /// What the exchange itself showed otherwise than it was.
    fn falsified(&self, stream: StreamKey) -> BoxFuture<'_, Result<Falsified, TruthError>>;
}

/// What an exchange was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// Its time, ms.
    pub now: TimeMs,
    /// The most request weight in 60 s since its start.
    pub peak_weight: u64,
    /// Requests that it refused for their weight since its start.
    pub rate_limited: u64,
}

/// A position of a trader, as far as the truth says it.
#[must_use]
pub fn position(user: User, coin: Coin, time: TimeMs, szi: Decimal) -> Position {
    Position {
        user,
        coin,
        time,
        change: PositionChange::Snapshot,
        szi,
        szi_before: None,
        known_by: KnownBy::State,
        px: None,
        entry_px: None,
        arrival: Arrival::default(),
    }
}

/// Sorts what an exchange showed otherwise than it was: the true time and the one that was shown, ms.
#[must_use]
pub fn falsified(rows: impl IntoIterator<Item = (TimeMs, TimeMs)>) -> Falsified {
    let mut falsified = Falsified::default();
    for (time, shown) in rows {
        if time == shown {
            falsified.values.insert(time);
        } else if shown.since(time).abs() < Falsified::UNSEEN_MS {
            falsified.times.extend([time, shown]);
        }
    }
    falsified
}

/// The truth could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    /// The request failed.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The answer is not what it should be.
    #[error("GET {path}: the answer is not understood: {source}")]
    Shape {
        /// What was asked.
        path: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// Store and truth give rows of different kinds.
    #[error("{0}: rows of another kind than the stream's")]
    OtherKind(StreamKey),
}

/// The truth of a simulated exchange, over HTTP: its `/sim/status` and `/sim/truth/…`.
pub struct HttpTruth {
    net: Arc<dyn Net>,
    base: Endpoint,
}

impl HttpTruth {
    /// The truth of the exchange at `base`.
    #[must_use]
    pub fn new(net: Arc<dyn Net>, base: Endpoint) -> Self {
        Self { net, base }
    }

    async fn json<T: DeserializeOwned>(&self, path: String) -> Result<T, TruthError> {
        let body = get(&*self.net, &self.base, &path).await?;
        serde_json::from_slice(&body).map_err(|source| TruthError::Shape { path, source })
    }

    async fn list<W, R>(&self, what: &str, query: &str, span: Span) -> Result<Vec<R>, TruthError>
    where
        W: DeserializeOwned + Into<R>,
    {
        let to = if span.to == TimeMs::MAX { String::new() } else { format!("&to={}", span.to) };
        let path = format!("/sim/truth/{what}?{query}from={}{to}", span.from);
        Ok(self.json::<Vec<W>>(path).await?.into_iter().map(Into::into).collect())
    }
}

impl Truth for HttpTruth {
    fn falsified(&self, stream: StreamKey) -> BoxFuture<'_, Result<Falsified, TruthError>> {
        Box::pin(async move {
            let rows: Vec<wire::Falsified> = self.json("/sim/truth/falsified".to_owned()).await?;
            let named = stream.to_string();
            let of = rows.iter().filter(|row| row.stream.as_deref() == Some(named.as_str()));
            Ok(falsified(of.map(|row| (row.time, row.shown))))
        })
    }

    fn oldest(&self) -> BoxFuture<'_, Result<TimeMs, TruthError>> {
        Box::pin(async { Ok(self.json::<wire::Status>("/sim/status".to_owned()).await?.from) })
    }

    fn load(&self) -> BoxFuture<'_, Result<Load, TruthError>> {
        Box::pin(async {
            let status: wire::Status = self.json("/sim/status".to_owned()).await?;
            let (now, peak_weight) = (status.now, status.peak_weight);
            Ok(Load { now, peak_weight, rate_limited: status.counters.rate_limited })
        })
    }

    fn rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<Records, TruthError>> {
        Box::pin(async move {
            let of = |coin: hl_core::Coin| format!("coin={}&", encode(coin.as_str()));
            Ok(match stream {
                StreamKey::Trades(coin) => {
                    Records::Trades(self.list::<wire::Trade, _>("trades", &of(coin), span).await?)
                }
                StreamKey::Book(coin, variant) => {
                    let figures = variant.figures().map(|figures| format!("nSigFigs={figures}&"));
                    let query = of(coin) + &figures.unwrap_or_default();
                    Records::Books(self.list::<wire::Book, _>("books", &query, span).await?)
                }
                StreamKey::Bbo(coin) => {
                    Records::Bbos(self.list::<wire::Bbo, _>("bbo", &of(coin), span).await?)
                }
                StreamKey::Candle(coin, interval) => {
                    let query = format!("{}interval={interval}&", of(coin));
                    Records::Candles(self.list::<wire::Candle, _>("candles", &query, span).await?)
                }
                StreamKey::Mids(dex) => {
                    let mut mids: Vec<Mid> = self.list::<wire::Mid, _>("mids", "", span).await?;
                    mids.retain(|mid| dex.has(mid.coin));
                    Records::Mids(mids)
                }
                StreamKey::Context(coin) => {
                    Records::Contexts(self.list::<wire::Context, _>("contexts", &of(coin), span).await?)
                }
                StreamKey::PredictedFunding(coin) => Records::PredictedFunding(
                    self.list::<wire::PredictedFunding, _>("predicted_funding", &of(coin), span).await?,
                ),
                StreamKey::Markets => {
                    Records::Markets(self.list::<wire::Market, _>("markets", "", span).await?)
                }
                StreamKey::Funding(coin) => {
                    Records::Funding(self.list::<wire::Funding, _>("funding", &of(coin), span).await?)
                }
                StreamKey::Positions(user) => {
                    let path = format!("/sim/truth/moved?user={user}&from={}&to={}", span.from, span.to);
                    let rows = self.json::<Vec<wire::Moved>>(path).await?.into_iter();
                    Records::Positions(rows.map(|row| position(user, row.coin, row.time, row.szi)).collect())
                }
                StreamKey::Leaderboard
                | StreamKey::Traders
                | StreamKey::Signals
                | StreamKey::Fills(_)
                | StreamKey::Orders(_)
                | StreamKey::Payments(_)
                | StreamKey::Movements(_) => {
                    return Err(TruthError::OtherKind(stream));
                }
            })
        })
    }
}
