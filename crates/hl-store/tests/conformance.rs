//! The SQLite store, held to what every store must do.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use hl_core::seam::BoxFuture;
use hl_core::store::{Store, StoreError};
use hl_runtime::SystemClock;
use hl_store::conformance::Subject;
use hl_store::{Inspect, SqliteOptions, SqliteStore, Writer};

struct Folder {
    folder: tempfile::TempDir,
    writer: Writer,
}

impl Subject for Folder {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn Store>, StoreError>> {
        Box::pin(async {
            let store = SqliteStore::open(SqliteOptions {
                path: self.folder.path().join("store.db"),
                role: "test".to_owned(),
                host: "here".to_owned(),
                pid: std::process::id(),
                writer: self.writer,
                clock: Arc::new(SystemClock),
            });
            Ok(Arc::new(store.await?) as Arc<dyn Store>)
        })
    }

    fn inspect(&self) -> BoxFuture<'_, Result<Box<dyn Inspect>, StoreError>> {
        Box::pin(async {
            Ok(Box::new(SqliteStore::inspect(self.folder.path().join("store.db"))?) as Box<dyn Inspect>)
        })
    }
}

fn subject(writer: Writer) -> Box<dyn Subject> {
    Box::new(Folder { folder: tempfile::tempdir().unwrap(), writer })
}

mod on_a_thread {
    fn new() -> Box<dyn super::Subject> {
        super::subject(super::Writer::Thread)
    }
    hl_store::conformance_tests!(new);
}

mod in_place {
    fn new() -> Box<dyn super::Subject> {
        super::subject(super::Writer::Inline { delay_ms: 0 })
    }
    hl_store::conformance_tests!(new);
}
