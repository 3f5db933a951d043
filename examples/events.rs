//! Prints trades, gaps and handovers while the exchange does harm: a stream falls silent, sockets are cut, and new ones are
//! refused.
//!
//! `cargo run --example events` needs no network. With `Collector::mainnet()` in place of `Collector::at` the same program
//! listens to the exchange itself.

use std::time::Duration;

use hl_sim::{Fault, FaultKind, Sim, SimConfig};
use hyperliquid_collector::{Clock as _, Collector, Event, Filter, Net as _, Records, SystemClock, TcpNet};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpNet::new().listen("127.0.0.1:0").await?;
    let exchange = Sim::start(SimConfig { start: SystemClock.now(), ..SimConfig::default() }, listener)?;
    let folder = tempfile::tempdir()?;
    let collector = Collector::at(&exchange.endpoint())
        .streams(["trades/BTC", "bbo/BTC"])
        .store_sqlite(folder.path().join("market.db"))
        .start()
        .await?;
    let mut events = collector.events(Filter::all());

    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    for second in 0..60 {
        match second {
            8 => {
                let stream = Some("trades/BTC".parse()?);
                exchange.inject(Fault::lasting(FaultKind::Mute { stream }, 12_000));
            }
            30 => {
                exchange.inject(Fault::lasting(FaultKind::Refuse, 10_000));
                exchange.inject(Fault::new(FaultKind::Drop));
            }
            _ => {}
        }
        tokio::select! {
            _ = every_second.tick() => {}
            () = async { while let Some(event) = events.recv().await { print(&event) } } => {}
        }
    }
    collector.stop().await?;
    exchange.stop().await;
    Ok(())
}

fn print(event: &Event) {
    match event {
        Event::Rows { stream, records, .. } => match &**records {
            Records::Trades(all) => {
                all.iter().for_each(|t| println!("{stream} {} {} {}", t.time, t.px, t.sz))
            }
            other => println!("{stream} {} rows", other.len()),
        },
        Event::Handover { stream, from, to, .. } => println!("{stream} from {from:?} to {to:?}"),
        Event::Lagged(events) => println!("{events} events were missed here"),
        other => println!("{other:?}"),
    }
}
