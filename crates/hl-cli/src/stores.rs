//! The store that a URI names, whatever its kind.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hl_core::Token;
use hl_core::seam::Clock;
use hl_core::store::{Store, StoreError};
use hl_mongo::{MongoOptions, MongoStore};
use hl_store::transfer::{self, Incoming, Outgoing};
use hl_store::{Import, Inspect, Spool, SqliteOptions, SqliteStore, Writer};

use crate::config::StoreUri;

/// Where the spool of a store lies that is on another machine.
const FOLDER: &str = "data";

/// Opens a session that writes. The store is made where it is missing.
///
/// # Errors
/// As the store says.
pub async fn open(uri: &StoreUri, role: &str, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StoreError> {
    let store: Arc<dyn Store> = match uri {
        StoreUri::Sqlite(path) => {
            Arc::new(SqliteStore::open(SqliteOptions::of_this_process(path, role, clock)).await?)
        }
        StoreUri::Mongo(mongo) => {
            Arc::new(MongoStore::open(MongoOptions::of_this_process(mongo.uri(), role, clock)).await?)
        }
    };
    whole(store.as_ref()).await?;
    Ok(store)
}

/// Opens a session that takes in rows of another system.
///
/// # Errors
/// As the store says.
pub(crate) async fn importing(
    uri: &StoreUri,
    role: &str,
    clock: &Arc<dyn Clock>,
) -> Result<Box<dyn Import>, StoreError> {
    let clock = Arc::clone(clock);
    let store: Box<dyn Import> = match uri {
        StoreUri::Sqlite(path) => {
            Box::new(SqliteStore::open(SqliteOptions::of_this_process(path, role, clock)).await?)
        }
        StoreUri::Mongo(mongo) => {
            Box::new(MongoStore::open(MongoOptions::of_this_process(mongo.uri(), role, clock)).await?)
        }
    };
    whole(store.as_ref()).await?;
    Ok(store)
}

/// Closes a store that is half of a copy.
async fn whole(store: &dyn Store) -> Result<(), StoreError> {
    let Some(copy) = transfer::unfinished(store).await? else { return Ok(()) };
    store.close().await?;
    let source = Box::new(HalfCopied(copy.source));
    Err(StoreError::Permanent { step: "opening the store", source })
}

/// Whoever collected into it would take what is not copied yet for missing.
#[derive(Debug, thiserror::Error)]
#[error("it is a copy of {0} that is not finished; run the same hl-cli copy again, which goes on with it")]
struct HalfCopied(String);

/// Opens a store to be copied from; one that is not there is not made.
///
/// # Errors
/// As the store says.
pub(crate) async fn outgoing(uri: &StoreUri) -> Result<Box<dyn Outgoing>, StoreError> {
    Ok(match uri {
        StoreUri::Sqlite(path) => Box::new(SqliteStore::inspect(path)?),
        StoreUri::Mongo(mongo) => Box::new(MongoStore::inspect(mongo.uri()).await?),
    })
}

/// Opens a session that writes a copy, with a token beyond `last`.
///
/// # Errors
/// As the store says.
pub(crate) async fn incoming(
    uri: &StoreUri,
    role: &str,
    clock: &Arc<dyn Clock>,
    last: Token,
) -> Result<Box<dyn Incoming>, StoreError> {
    loop {
        let store: Box<dyn Incoming> = match uri {
            StoreUri::Sqlite(path) => {
                let options = SqliteOptions::of_this_process(path, role, Arc::clone(clock));
                Box::new(SqliteStore::open(options).await?)
            }
            StoreUri::Mongo(mongo) => {
                let options = MongoOptions::of_this_process(mongo.uri(), role, Arc::clone(clock));
                Box::new(MongoStore::open(options).await?)
            }
        };
        if store.token() > last {
            return Ok(store);
        }
        store.skip_tokens(last).await?;
        store.close().await?;
    }
}

/// Opens a store for reading; one that is not there is not made.
///
/// # Errors
/// As the store says.
pub async fn inspect(uri: &StoreUri) -> Result<Box<dyn Inspect>, StoreError> {
    Ok(match uri {
        StoreUri::Sqlite(path) => Box::new(SqliteStore::inspect(path)?),
        StoreUri::Mongo(mongo) => Box::new(MongoStore::inspect(mongo.uri()).await?),
    })
}

/// Opens the spool before a store: beside its file, or under the name of its database in `./data`.
///
/// # Errors
/// As the spool says.
pub async fn spool(uri: &StoreUri, max_bytes: u64) -> Result<Spool, StoreError> {
    Spool::open_beside(&place(uri), Writer::Thread, max_bytes).await
}

/// What names the ledger of request weight: the network, and the address that requests go out from as far as it is known.
/// One store on several machines is asked for from several addresses.
#[must_use]
pub fn address(uri: &StoreUri, network: &str, local: Option<IpAddr>) -> String {
    match (uri, local) {
        (_, Some(local)) => format!("{network} from {local}"),
        (StoreUri::Mongo(_), None) => format!("{network} from {}", hl_store::host_name()),
        (StoreUri::Sqlite(_), None) => network.to_owned(),
    }
}

/// What lies on this machine is named after this.
fn place(uri: &StoreUri) -> PathBuf {
    match uri {
        StoreUri::Sqlite(path) => path.clone(),
        StoreUri::Mongo(mongo) => Path::new(FOLDER).join(mongo.database()),
    }
}

/// The folder on this machine that is the store's.
#[must_use]
pub fn folder(uri: &StoreUri) -> PathBuf {
    place(uri).parent().unwrap_or(Path::new("")).to_owned()
}
