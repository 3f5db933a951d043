//! The store that a URI names, whatever its kind.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hl_core::Token;
use hl_core::seam::Clock;
use hl_core::store::{Store, StoreError};
use hl_engine::Sharing;
#[cfg(feature = "mongodb")]
use hl_mongo::{MongoOptions, MongoStore};
use hl_store::transfer::{self, Incoming, Outgoing};
use hl_store::{Import, Inspect, Nameless, Spool, SqliteOptions, SqliteStore, Writer};

#[cfg(feature = "mongodb")]
use crate::MongoUri;
use crate::StoreUri;

/// Where the spool of a store lies that is on another machine.
#[cfg(feature = "mongodb")]
const FOLDER: &str = "data";
/// A spool holds at most this much: hours of a busy market.
const SPOOL_BYTES: u64 = 1 << 30;

/// What a session is signed with, beside its process id.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// What it is: `hl-daemon`, `hl-cli backfill`.
    pub role: &'a str,
    /// The name of this machine.
    pub name: &'a str,
}

fn sqlite(path: &Path, signed: Signed<'_>, clock: &Arc<dyn Clock>) -> SqliteOptions {
    let options = SqliteOptions::of_this_process(path, signed.role, Arc::clone(clock));
    SqliteOptions { host: signed.name.to_owned(), ..options }
}

#[cfg(feature = "mongodb")]
fn mongo(uri: &MongoUri, signed: Signed<'_>, clock: &Arc<dyn Clock>) -> MongoOptions {
    let options = MongoOptions::of_this_process(uri.uri(), signed.role, Arc::clone(clock));
    MongoOptions { host: signed.name.to_owned(), ..options }
}

/// The name of this machine: what was said, else what the machine says.
///
/// # Errors
/// Where neither says any.
pub fn name(said: Option<&str>) -> Result<String, Nameless> {
    said.map_or_else(hl_store::host_name, |said| Ok(said.to_owned()))
}

/// A session that writes, in all its roles.
trait Session: Import + Incoming {}

impl<S: Import + Incoming> Session for S {}

async fn session(
    uri: &StoreUri,
    signed: Signed<'_>,
    clock: &Arc<dyn Clock>,
) -> Result<Box<dyn Session>, StoreError> {
    Ok(match uri {
        StoreUri::Sqlite(path) => Box::new(SqliteStore::open(sqlite(path, signed, clock)).await?),
        #[cfg(feature = "mongodb")]
        StoreUri::Mongo(uri) => Box::new(MongoStore::open(mongo(uri, signed, clock)).await?),
    })
}

/// Opens a session that writes. The store is made where it is missing.
///
/// # Errors
/// As the store says.
pub async fn open(
    uri: &StoreUri,
    signed: Signed<'_>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Store>, StoreError> {
    let store: Box<dyn Store> = session(uri, signed, clock).await?;
    whole(store.as_ref()).await?;
    Ok(Arc::from(store))
}

/// Opens a session that takes in rows of another system.
///
/// # Errors
/// As the store says.
pub async fn importing(
    uri: &StoreUri,
    signed: Signed<'_>,
    clock: &Arc<dyn Clock>,
) -> Result<Box<dyn Import>, StoreError> {
    let store: Box<dyn Import> = session(uri, signed, clock).await?;
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

/// A daemon that collected into it would take what is not copied yet for missing.
#[derive(Debug, thiserror::Error)]
#[error("it is a copy of {0} that is not finished; run the same hl-cli copy again, which goes on with it")]
struct HalfCopied(String);

/// Opens a store to be copied from; one that is not there is not made.
///
/// # Errors
/// As the store says.
pub async fn outgoing(uri: &StoreUri) -> Result<Box<dyn Outgoing>, StoreError> {
    Ok(match uri {
        StoreUri::Sqlite(path) => Box::new(SqliteStore::inspect(path)?),
        #[cfg(feature = "mongodb")]
        StoreUri::Mongo(mongo) => Box::new(MongoStore::inspect(mongo.uri()).await?),
    })
}

/// Opens a session that writes a copy, with a token beyond `last`.
///
/// # Errors
/// As the store says.
pub async fn incoming(
    uri: &StoreUri,
    signed: Signed<'_>,
    clock: &Arc<dyn Clock>,
    last: Token,
) -> Result<Box<dyn Incoming>, StoreError> {
    loop {
        let store: Box<dyn Incoming> = session(uri, signed, clock).await?;
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
    Ok(outgoing(uri).await?)
}

/// Opens the spool before a store, of at most 1 GiB: beside its file, or under the name of its database in `./data`.
///
/// # Errors
/// As the spool says.
pub async fn spool(uri: &StoreUri) -> Result<Spool, StoreError> {
    Spool::open_beside(&place(uri), Writer::Thread, SPOOL_BYTES).await
}

/// What names the ledger of request weight: the network, and the address that requests go out from as far as it is known.
/// One store on several machines is asked for from several addresses: then `name`, that of this machine, tells them apart.
#[must_use]
pub fn address(uri: &StoreUri, network: &str, local: Option<IpAddr>, name: &str) -> String {
    match local {
        Some(local) => format!("{network} from {local}"),
        None if uri.is_shared() => format!("{network} from {name}"),
        None => network.to_owned(),
    }
}

/// How the streams of a store are shared: with all its processes where several machines reach it, else where a weight was
/// said. `name` is that of this machine.
#[must_use]
pub fn sharing(uri: &StoreUri, weight: Option<u8>, name: &str) -> Option<Sharing> {
    let weight = weight.or(uri.is_shared().then_some(1));
    weight.map(|weight| Sharing { name: name.to_owned(), weight })
}

/// What lies on this machine is named after this.
fn place(uri: &StoreUri) -> PathBuf {
    match uri {
        StoreUri::Sqlite(path) => path.clone(),
        #[cfg(feature = "mongodb")]
        StoreUri::Mongo(mongo) => Path::new(FOLDER).join(mongo.database()),
    }
}

/// The folder on this machine that is the store's.
#[must_use]
pub fn folder(uri: &StoreUri) -> PathBuf {
    place(uri).parent().unwrap_or(Path::new("")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "mongodb")]
    #[test]
    fn an_address_is_the_machine_only_where_a_store_is_on_several() {
        let address = |uri: &str, local, name| address(&uri.parse().unwrap(), "mainnet", local, name);
        let mongo = "mongodb://db.example/hyperliquid";
        assert_ne!(address(mongo, None, "one"), address(mongo, None, "two"));
        assert_eq!(address(mongo, None, "one"), "mainnet from one");
        let local = Some([192, 0, 2, 7].into());
        assert_eq!(address(mongo, local, "one"), address(mongo, local, "two"));
        assert_eq!(address("sqlite:a.db", None, "one"), address("sqlite:a.db", None, "two"));
    }

    #[cfg(feature = "mongodb")]
    #[test]
    fn a_store_of_several_machines_is_shared_and_a_file_where_a_weight_was_said() {
        let weight =
            |uri: &str, said| sharing(&uri.parse().unwrap(), said, "one").map(|sharing| sharing.weight);
        assert_eq!(weight("mongodb://db.example/hyperliquid", None), Some(1));
        assert_eq!(weight("mongodb://db.example/hyperliquid", Some(7)), Some(7));
        assert_eq!((weight("sqlite:a.db", None), weight("sqlite:a.db", Some(3))), (None, Some(3)));
    }

    #[tokio::test]
    async fn a_session_is_signed_with_the_name_of_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let uri = StoreUri::Sqlite(folder.path().join("a.db"));
        let clock: Arc<dyn Clock> = Arc::new(hl_runtime::SystemClock);
        let signed = Signed { role: "test", name: "box-2" };
        let store = open(&uri, signed, &clock).await.unwrap();
        let holders = inspect(&uri).await.unwrap().holders().await.unwrap();
        assert_eq!(holders.iter().map(|holder| holder.host.as_str()).collect::<Vec<_>>(), ["box-2"]);
        store.close().await.unwrap();
        assert_eq!(name(Some("box-2")), Ok("box-2".to_owned()));
        assert_eq!(name(None), hl_store::host_name());
    }
}
