//! Collects a simulated market inside this process for a few seconds, and shows what was stored.
//!
//! `cargo run --example embed` needs no network. With `Collector::mainnet()` in place of `Collector::at` the same
//! program collects from the exchange itself.

use std::time::Duration;

use hl_sim::{Sim, SimConfig};
use hyperliquid_collector::{
    Clock as _, Collector, Inspect as _, Net as _, SqliteStore, SystemClock, TcpNet,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpNet::new().listen("127.0.0.1:0").await?;
    let exchange = Sim::start(SimConfig { start: SystemClock.now(), ..SimConfig::default() }, listener)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("market.db");

    let collector = Collector::at(&exchange.endpoint())
        .streams(["trades/BTC", "trades/ETH", "book/BTC/fast", "bbo/BTC", "mids"])
        .store_sqlite(&path)
        .start()
        .await?;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let snapshot = collector.snapshot();
        let owned = snapshot.streams.values().filter(|meter| meter.owner.is_some()).count();
        println!("{owned} streams have an owner, {} rows are stored", snapshot.pipeline.inserted);
    }
    collector.stop().await?;
    exchange.stop().await;

    println!("\n{:16} {:>6}  newest row, ms", "stream", "rows");
    for stream in SqliteStore::inspect(&path)?.streams().await? {
        let newest = stream.newest.map_or_else(|| "-".to_owned(), |time| time.to_string());
        println!("{:16} {:>6}  {newest}", stream.stream.to_string(), stream.rows);
    }
    Ok(())
}
