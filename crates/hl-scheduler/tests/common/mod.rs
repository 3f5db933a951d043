//! What the tests of this folder share.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

#[allow(dead_code, unused_imports, reason = "each test takes what it needs")]
mod published;

use std::sync::Arc;

use hl_runtime::TokioClock;
use hl_store::{SqliteOptions, SqliteStore, Writer};

#[allow(unused_imports, reason = "each test takes what it needs")]
pub(crate) use published::Published;

/// A new store in the folder, `hl.db`, that works in place and in virtual time.
pub(crate) async fn open(folder: &tempfile::TempDir, clock: TokioClock) -> SqliteStore {
    SqliteStore::open(SqliteOptions {
        path: folder.path().join("hl.db"),
        role: "test".to_owned(),
        host: "here".to_owned(),
        pid: 1,
        writer: Writer::Inline { delay_ms: 1 },
        clock: Arc::new(clock),
    })
    .await
    .unwrap()
}
