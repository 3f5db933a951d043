//! The conformance suite, on a replica set of one member.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

use std::sync::Arc;
use std::time::Duration;

use hl_core::Token;
use hl_core::seam::{BoxFuture, Clock};
use hl_core::store::{Store, StoreError};
use hl_mongo::{MongoOptions, MongoStore};
use hl_runtime::SystemClock;
use hl_store::Inspect;
use hl_store::conformance::Subject;

/// Short, so that crashes are noticed soon.
const LEASE: Duration = Duration::from_secs(1);

struct Database {
    uri: String,
    clock: Arc<dyn Clock>,
}

impl Database {
    async fn session(&self, role: &str) -> Result<Arc<dyn Store>, StoreError> {
        let clock = Arc::clone(&self.clock);
        let options = MongoOptions { lease: LEASE, ..MongoOptions::of_this_process(&self.uri, role, clock) };
        Ok(Arc::new(MongoStore::open(options).await?) as Arc<dyn Store>)
    }
}

impl Subject for Database {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn Store>, StoreError>> {
        Box::pin(self.session("test"))
    }

    fn until_dead(&self, token: Token) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let undertaker = self.session("undertaker").await.unwrap();
            while undertaker.sessions("x").await.unwrap().iter().any(|living| living.holder.token == token) {
                tokio::time::sleep(LEASE / 20).await;
            }
            undertaker.close().await.unwrap();
        })
    }

    fn inspect(&self) -> BoxFuture<'_, Result<Box<dyn Inspect>, StoreError>> {
        Box::pin(async { Ok(Box::new(MongoStore::inspect(&self.uri).await?) as Box<dyn Inspect>) })
    }
}

fn new() -> Box<dyn Subject> {
    Box::new(Database { uri: hl_mongod::fresh_database(), clock: Arc::new(SystemClock) })
}

hl_store::conformance_tests!(new);
