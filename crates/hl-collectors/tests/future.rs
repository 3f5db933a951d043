//! A record from the future, on its way through the pipeline into a store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]
#![cfg(test)]

use std::sync::Arc;

use hl_collectors::mono::MonoClock;
use hl_collectors::pipeline::{Inbox, Meters, Pipeline};
use hl_core::ledger::Cause;
use hl_core::record::Bbo;
use hl_core::row::Arrival;
use hl_core::source::{Content, Intake as _, Offer, Ticket};
use hl_core::store::prelude::*;
use hl_core::timeline::Grant;
use hl_core::{Coin, Epoch, Records, RunId, SourceId, StreamKey, TimeMs};
use hl_runtime::TokioClock;
use hl_store::{Spool, SqliteOptions, SqliteStore, Writer};
use tokio::sync::mpsc;

const START: TimeMs = TimeMs(1_790_000_000_000);

#[tokio::test(start_paused = true)]
async fn a_record_from_the_future_does_not_end_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hl.db");
    let clock = TokioClock::starting_at(START);
    let writer = Writer::Inline { delay_ms: 1 };
    let store = SqliteStore::open(SqliteOptions {
        path: path.clone(),
        role: "test".to_owned(),
        host: "here".to_owned(),
        pid: 1,
        writer,
        clock: Arc::new(clock),
    });
    let store = Arc::new(store.await.unwrap());
    let spool = Arc::new(Spool::open(Spool::beside(&path, 0), writer, 1 << 20).await.unwrap());
    let (inbox, meters) = (Arc::new(Inbox::new()), Arc::new(Meters::default()));
    let (events, _reports) = mpsc::channel(64);
    let mono = MonoClock::new(Arc::new(clock));
    let running = tokio::spawn(
        Pipeline::new(
            inbox.clone(),
            store.clone(),
            spool,
            meters.clone(),
            mono,
            events,
            fastrand::Rng::with_seed(1),
        )
        .run(),
    );

    let coin = Coin::new("BTC").unwrap();
    let stream = StreamKey::Bbo(coin);
    let start = store.lease(&[stream]).await.unwrap().granted.remove(0);
    inbox.start(start);
    let epoch = Epoch { token: store.token(), local: 1 };
    let run = RunId::first(1);
    let grant = Grant { epoch, source: SourceId::Ws, run: Some(run), cause: Cause::DaemonDown };
    inbox.handover(stream, Some(grant));
    for time in [START, TimeMs::MAX, START + 400 * 86_400_000, START + 1_000] {
        let bbo = Bbo { coin, time, bid: None, ask: None, arrival: Arrival::default() };
        let content = Content::Frame(Records::Bbos(vec![bbo]));
        inbox.offer(Offer { stream, ticket: Ticket::Run(run), content }).await;
    }
    inbox.close();
    running.await.unwrap();
    assert_eq!(meters.counters().inserted, 2, "what comes after it is stored");
    assert_eq!(meters.edge(stream), Some(START + 1_000));
}
