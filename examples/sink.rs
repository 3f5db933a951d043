//! A sink of one's own: appends the trades of a store to a CSV file, also those that filled a gap later, and goes on where it
//! stopped.
//!
//! `cargo run --example sink` needs no network, and shows the end of the file.

use std::{fs, io::Write as _, path::PathBuf, time::Duration};

use hl_sim::{Sim, SimConfig};
use hyperliquid_collector::{
    BoxFuture, Clock as _, Collector, Kind, Net as _, Records, Sink, SinkBatch, SinkError, StreamKey,
    SystemClock, TcpNet,
};

struct Csv(PathBuf);

impl Sink for Csv {
    fn name(&self) -> &str {
        "csv"
    }

    fn wants(&self, stream: StreamKey) -> bool {
        stream.kind() == Kind::Trades
    }

    fn write<'a>(&'a self, batch: &'a SinkBatch) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async move {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.0)?;
            if let Records::Trades(trades) = &batch.rows.records {
                for t in trades {
                    writeln!(file, "{},{},{},{},{},{}", t.coin, t.time, t.tid, t.px, t.sz, t.side.as_str())?;
                }
            }
            // Only what is on the disk counts as taken: until then it is offered again.
            Ok(file.sync_all()?)
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpNet::new().listen("127.0.0.1:0").await?;
    let exchange = Sim::start(SimConfig { start: SystemClock.now(), ..SimConfig::default() }, listener)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("trades.csv");
    let collector = Collector::at(&exchange.endpoint())
        .streams(["trades/BTC", "trades/ETH", "mids"])
        .store_sqlite(folder.path().join("market.db"))
        .sink(Csv(file.clone()))
        .start()
        .await?;
    tokio::time::sleep(Duration::from_secs(8)).await;
    collector.stop().await?;
    exchange.stop().await;
    let text = fs::read_to_string(file)?;
    println!("{} lines, the last of which is {:?}", text.lines().count(), text.lines().last());
    Ok(())
}
