//! What sockets do when the exchange, or the way to it, is in trouble: who is blamed, and how soon they are back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use hl_chaos::Trace;
use hl_core::ledger::GapState;
use hl_core::{SourceId, StreamKey};
use hl_engine::Snapshot;
use hl_sim::{Fault, FaultKind, SimConfig};
use support::{World, assert_clean, coin, streams, verified};

fn owned_by(source: SourceId) -> impl Fn(&Snapshot) -> bool {
    move |snapshot| !snapshot.streams.is_empty() && snapshot.streams.values().all(|m| m.owner == Some(source))
}

fn of_coin(name: &str, snapshot: &Snapshot, source: SourceId) -> bool {
    let mut all = snapshot.streams.iter().filter(|(stream, _)| stream.coin() == Some(coin(name))).peekable();
    all.peek().is_some() && all.all(|(_, meter)| meter.owner == Some(source))
}

fn quarantined(snapshot: &Snapshot) -> u64 {
    snapshot.sockets.iter().map(|socket| socket.counters.quarantined).sum()
}

/// Sockets open, and die: at once, or at their first subscription. Whatever dies then, no name is to blame.
#[tokio::test(start_paused = true)]
async fn while_every_socket_dies_no_name_is_guilty() {
    let collected: [&[&str]; 3] = [
        &["trades/BTC"],
        &["trades/BTC", "trades/ETH", "mids"],
        &["trades/BTC", "bbo/BTC", "candle/BTC/1m", "book/ETH", "mids"],
    ];
    let faults = [FaultKind::Drop, FaultKind::KillOnSubscribe { stream: None }];
    for (names, standby) in collected.iter().flat_map(|names| [(*names, false), (*names, true)]) {
        for (fault, for_ms) in faults.iter().flat_map(|fault| [(fault, 6_000), (fault, 20_000)]) {
            let world = World::new(7).await.unwrap();
            let doubled = if standby { vec![coin("BTC")] } else { vec![] };
            let daemon = world.daemon_with(&streams(names), &doubled).await.unwrap();
            daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(20)).await;
            world.sim.inject(Fault::lasting(fault.clone(), for_ms));
            world.sim.inject(Fault::new(FaultKind::Drop));
            tokio::time::sleep(Duration::from_millis(for_ms + 10_000)).await;
            let after = daemon.engine.snapshot();
            daemon.stop().await.unwrap();
            let what = format!("{names:?}, {standby}, {fault:?} for {for_ms}");
            assert_eq!(quarantined(&after), 0, "{what}");
            assert!(owned_by(SourceId::Ws)(&after), "{what}: {after:#?}");
            assert_clean(&verified(&world).await, &world.store_path());
        }
    }
}
