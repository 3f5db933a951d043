//! What the tests of this folder share: a daemon in virtual time against a simulated exchange in memory.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

pub(crate) mod furnished;
pub(crate) mod process;
pub(crate) mod proxy;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub(crate) use hl_chaos::World;
use hl_core::seam::Net;
use hl_core::{Coin, StreamKey};
use hl_store::SqliteStore;
use hl_verify::{HttpTruth, Report, verify};

pub(crate) fn coin(name: &str) -> Coin {
    Coin::new(name).unwrap()
}

pub(crate) fn streams(names: &[&str]) -> Vec<StreamKey> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// The seeds to try. Another range, `HL_TEST_SEEDS=4..50`, for a longer look, or for one seed again.
pub(crate) fn seeds(range: Range<u64>) -> Range<u64> {
    let Ok(words) = std::env::var("HL_TEST_SEEDS") else { return range };
    let ends = words.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.unwrap_or_else(|| panic!("HL_TEST_SEEDS is FROM..TO, and not {words:?}"))
}

/// Compares the store with the truth.
pub(crate) async fn verified(world: &World) -> Report {
    let inspect = SqliteStore::inspect(world.store_path()).unwrap();
    let net: Arc<dyn Net> = Arc::new(world.net.clone());
    let truth = HttpTruth::new(net, world.sim.endpoint());
    verify(&inspect, Some(&truth), None).await.unwrap()
}

/// Fails with everything that was found, and keeps the store for whoever looks into it.
pub(crate) fn assert_clean(report: &Report, store: &Path) {
    if !report.clean {
        let kept = std::env::temp_dir().join("unclean.db");
        std::fs::copy(store, &kept).unwrap();
        panic!("{report:#?}\nstore: {}", kept.display());
    }
}
