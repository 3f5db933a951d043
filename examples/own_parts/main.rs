//! An engine of parts of one's own: a clock, a network, a store, and what waits before the store.
//!
//! `cargo run --example own_parts` needs no other network. Everything that is named here is reached through this crate, so
//! that it builds shows that parts can be written outside of it.

mod store;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hl_sim::{Sim, SimConfig};
use hyperliquid_collector::core::ledger::Batch;
use hyperliquid_collector::core::seam::{BoxListener, BoxStream, Clock, Endpoint, Net};
use hyperliquid_collector::core::store::prelude::*;
use hyperliquid_collector::core::store::{BatchQueue, StoreError};
use hyperliquid_collector::{
    BoxFuture, Endpoints, Engine, Event, Filter, SqliteOptions, SqliteStore, SystemClock, TcpNet,
};
use tokio::sync::watch;

use crate::store::CountingStore;

/// The system's clock, set right by hand.
struct Corrected(i64);

impl Clock for Corrected {
    fn nanos(&self) -> i64 {
        SystemClock.nanos() + self.0
    }
}

/// A network that counts connections; a proxy or a recorder would stand here.
struct CountingNet {
    tcp: TcpNet,
    connects: AtomicU64,
}

impl Net for CountingNet {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, io::Result<BoxStream>> {
        self.connects.fetch_add(1, Ordering::Relaxed);
        self.tcp.connect(to)
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxListener>> {
        self.tcp.listen(address)
    }
}

/// Batches in memory instead of on disk: a crash while the store is away loses them, and leaves a gap.
#[derive(Default)]
struct InMemory(Mutex<VecDeque<(u64, Batch)>>);

impl BatchQueue for InMemory {
    fn push<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<bool, StoreError>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.back().map_or(0, |(number, _)| number + 1);
        let fits = waiting.len() < 1_000;
        if fits {
            waiting.push_back((number, batch.clone()));
        }
        Box::pin(async move { Ok(fits) })
    }

    fn peek(&self) -> BoxFuture<'_, Result<Option<(u64, Batch)>, StoreError>> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner).front().cloned();
        Box::pin(async move { Ok(first) })
    }

    fn pop(&self, number: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _)| *of != number);
        Box::pin(async { Ok(()) })
    }

    fn size(&self) -> (u64, u64) {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64, 0)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let net = Arc::new(CountingNet { tcp: TcpNet::new(), connects: AtomicU64::new(0) });
    let clock = Arc::new(Corrected(0));
    let config = SimConfig { start: clock.now(), ..SimConfig::default() };
    let exchange = Sim::start(config, net.listen("127.0.0.1:0").await?)?;
    let folder = tempfile::tempdir()?;
    let options = SqliteOptions::of_this_process(folder.path().join("market.db"), "own_parts", clock.clone());
    let inner = SqliteStore::open(options).await?;
    let store = Arc::new(CountingStore { inner, rows: AtomicU64::new(0) });

    let engine = Engine::builder(net.clone(), clock, store.clone(), Arc::new(InMemory::default()))
        .exchange(&Endpoints::at(&exchange.endpoint()), "sim")
        .build();
    let mut events = engine.events(Filter::all());
    let (stop, stopped) = watch::channel(false);
    let streams = ["trades/BTC".parse()?, "bbo/BTC".parse()?];
    let running = tokio::spawn(async move { engine.run(&streams, &BTreeSet::new(), stopped).await });
    let mut told = 0;
    let end = tokio::time::sleep(Duration::from_secs(5));
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            Some(event) = events.recv() => told += u64::from(matches!(event, Event::Rows { .. })),
        }
    }
    stop.send(true)?;
    running.await??;
    store.close().await?;
    exchange.stop().await;
    let (rows, connects) = (store.rows.load(Ordering::Relaxed), net.connects.load(Ordering::Relaxed));
    println!("{rows} rows stored, {told} events of rows, {connects} connections");
    Ok(())
}
