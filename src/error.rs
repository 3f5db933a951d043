//! Why collecting does not begin, or ends.

use std::net::{IpAddr, SocketAddr};

use hl_core::store::StoreError;
use hl_core::stream::StreamKeyError;
use hl_core::symbol::CoinError;
use hl_core::{Coin, Kind, StreamKey};
use hl_engine::EngineError;
use hl_engine::markets::Unread;
use hl_engine::network::NetworkError;
use hl_host::webhook::NotAWebhook;
use hl_host::{NotAStore, StoreUri};
use hl_store::Nameless;

/// How a stream comes that no source collects.
fn instead(stream: StreamKey) -> &'static str {
    match stream.kind() {
        Kind::Leaderboard | Kind::Traders => "`Builder::track` reads the leaderboard and chooses from it",
        Kind::Signals => "`Builder::track` says them, of the traders that it chooses",
        Kind::Fills | Kind::Orders | Kind::Payments | Kind::Movements => {
            "`Builder::track` reads it of the traders that it tracks"
        }
        _ => "`hl-cli backfill funding` fills it from the exchange's past",
    }
}

/// Why a collector did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// A name that names no stream.
    #[error(transparent)]
    Stream(#[from] StreamKeyError),
    /// A text that no coin can be called.
    #[error(transparent)]
    Coin(#[from] CoinError),
    /// There is nothing to do.
    #[error("no stream was asked for")]
    NoStreams,
    /// No source collects it as it comes: a job reads it.
    #[error("{0} is not collected live; {how}", how = instead(*.0))]
    NotLive(StreamKey),
    /// The rules by which traders are to be chosen do not go together.
    #[error(transparent)]
    Rules(#[from] hl_traders::RuleError),
    /// Traders cannot be chosen where there is no leaderboard.
    #[error("this exchange publishes no leaderboard, from which traders are chosen")]
    NoLeaderboard,
    /// The exchange has no such market. Names are case-sensitive, and subscribing to an unknown one would cost the
    /// whole socket.
    #[error("the exchange has no coin {coin}, which {stream} asks for")]
    UnknownCoin {
        /// The coin.
        coin: Coin,
        /// The first stream that names it.
        stream: StreamKey,
    },
    /// The exchange has no such dex, or none any more. Subscribing to an unknown one might cost the whole socket.
    #[error("the exchange has no dex {dex}{}", stream.map(|stream| format!(", which {stream} asks for")).unwrap_or_default())]
    UnknownDex {
        /// The dex.
        dex: String,
        /// The first stream that names it; none where all of its markets are asked for.
        stream: Option<StreamKey>,
    },
    /// The exchange did not say which markets it has, and the store does not remember them.
    #[error("asking {network} for its markets: {source}")]
    Exchange {
        /// Which exchange.
        network: String,
        /// The cause.
        source: Unread,
    },
    /// The exchange does not list a market now, or could not say, so that its stream cannot be added.
    #[error("{network} does not list {coin} now, which {stream} asks for")]
    NotListed {
        /// Which exchange.
        network: String,
        /// The coin.
        coin: Coin,
        /// The first stream that names it.
        stream: StreamKey,
    },
    /// A text that names no store.
    #[error(transparent)]
    NotAStore(#[from] NotAStore),
    /// The store could not be opened or closed.
    #[error("the store{}: {source}", store.as_ref().map(|store| format!(" {store}")).unwrap_or_default())]
    Store {
        /// Which; none of a store that was given. It is shown without credentials.
        store: Option<StoreUri>,
        /// The cause.
        source: StoreError,
    },
    /// No store was given, and this library was built without SQLite.
    #[error("there is no store to collect into")]
    NoStore,
    /// An archive was asked for, and the store was given open.
    #[error(
        "the archive needs a session of its own on the store: name that with store_sqlite or store_mongodb"
    )]
    ArchiveOfGiven,
    /// An address that HTTP cannot be answered on.
    #[error("answering over HTTP on {address}: {source}")]
    Http {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A text that is not the URL of a webhook.
    #[error(transparent)]
    NotAWebhook(#[from] NotAWebhook),
    /// A local address that this machine cannot connect from.
    #[error("this machine cannot connect from {address}: {source}")]
    LocalAddress {
        /// The address.
        address: IpAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Sessions are signed, and streams are shared, by the name of the machine, and it has none.
    #[error("this machine has no host name: give it one with Builder::name, another one for each machine")]
    Nameless(#[from] Nameless),
    /// The store holds data of another exchange.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Collecting.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
