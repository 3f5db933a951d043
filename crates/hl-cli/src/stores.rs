//! The store that a URI names, whatever its kind.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hl_core::seam::Clock;
use hl_core::store::{Store, StoreError};
use hl_mongo::{MongoOptions, MongoStore};
use hl_store::{Inspect, Spool, SqliteOptions, SqliteStore, Writer};

use crate::config::StoreUri;

/// Where the spool of a store lies that is on another machine.
const FOLDER: &str = "data";

/// Opens a session that writes. The store is made where it is missing.
///
/// # Errors
/// As the store says.
pub async fn open(uri: &StoreUri, role: &str, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match uri {
        StoreUri::Sqlite(path) => {
            Arc::new(SqliteStore::open(SqliteOptions::of_this_process(path, role, clock)).await?)
        }
        StoreUri::Mongo(mongo) => {
            Arc::new(MongoStore::open(MongoOptions::of_this_process(mongo.uri(), role, clock)).await?)
        }
    })
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
