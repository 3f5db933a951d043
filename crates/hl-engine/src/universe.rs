//! What there is to collect: the markets, read from live metadata, and remembered in the store so that a failing REST
//! never delays subscribing.

use std::time::Duration;

use hl_collectors::rest::{InfoClient, RestError, Urgency};
use hl_core::Coin;
use hl_core::decode::rest as decode;
use hl_core::message::info::InfoRequest;
use hl_core::store::Store;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// How long reading metadata waits for room in the weight budget.
const PATIENCE: Duration = Duration::from_secs(30);
/// Names that are remembered serve after this long without an answer.
const RECALL_AFTER: Duration = Duration::from_secs(5);

/// The markets of an exchange.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Universe {
    /// Live perpetuals of the first dex, in its order.
    pub perps: Vec<Coin>,
    /// Live perpetuals of builder dexes, and spot pairs.
    pub others: Vec<Coin>,
}

impl Universe {
    /// Reads the markets as [`Universe::read`] does and keeps them in the store under the network's name; where the
    /// exchange does not answer, what was kept the last time serves.
    ///
    /// # Errors
    /// When the exchange does not answer and the store remembers nothing.
    pub async fn read_or_recall(
        client: &InfoClient,
        store: &dyn Store,
        network: &str,
        everything: bool,
    ) -> Result<Self, RestError> {
        let note = format!("universe {network}{}", if everything { ", all dexes" } else { "" });
        let known = store.note(&note).await.ok().flatten();
        let known: Option<Self> = known.and_then(|text| serde_json::from_str(&text).ok());
        // A failing REST must not delay subscribing where the names are known.
        let limit = if known.is_some() { RECALL_AFTER } else { Duration::MAX };
        let read = tokio::time::timeout(limit, Self::read(client, everything)).await;
        match (read, known) {
            (Ok(Ok(universe)), _) => {
                if let Ok(text) = serde_json::to_string(&universe)
                    && let Err(error) = store.put_note(&note, &text).await
                {
                    warn!(%error, "the names of the markets could not be kept");
                }
                Ok(universe)
            }
            (Ok(Err(error)), None) => Err(error),
            (Ok(Err(error)), Some(known)) => {
                warn!(%error, "the exchange does not say what it has; taking the names it had last time");
                Ok(known)
            }
            (Err(_), known) => {
                warn!(after = ?limit, "the exchange does not say what it has; taking the names it had last time");
                Ok(known.unwrap_or_default())
            }
        }
    }

    /// Whether the exchange has this market.
    #[must_use]
    pub fn has(&self, coin: Coin) -> bool {
        self.perps.contains(&coin) || self.others.contains(&coin)
    }

    /// Reads the perpetuals of the first dex; with `everything` also those of every builder dex, and spot.
    ///
    /// # Errors
    /// When the exchange does not answer.
    pub async fn read(client: &InfoClient, everything: bool) -> Result<Self, RestError> {
        let mut universe = Self { perps: perps(client, None).await?, others: Vec::new() };
        if everything {
            let dexes =
                client.read(&InfoRequest::PerpDexs, Urgency::Question, PATIENCE, decode::perp_dexs).await?;
            for dex in dexes.into_iter().flatten() {
                universe.others.extend(perps(client, Some(dex.name)).await?);
            }
            let spot =
                client.read(&InfoRequest::SpotMeta, Urgency::Question, PATIENCE, decode::spot_meta).await?;
            universe.others.extend(spot.universe.into_iter().map(|pair| pair.name));
        }
        Ok(universe)
    }
}

async fn perps(client: &InfoClient, dex: Option<String>) -> Result<Vec<Coin>, RestError> {
    let request = InfoRequest::Meta { dex };
    let meta = client.read(&request, Urgency::Question, PATIENCE, decode::meta).await?;
    Ok(meta.universe.into_iter().filter(|asset| asset.is_live()).map(|asset| asset.name).collect())
}
