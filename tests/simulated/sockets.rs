//! What sockets do when the exchange, or the way to it, is in trouble: who is blamed, and how soon they are back.

use std::time::Duration;

use hl_chaos::Trace;
use hl_core::SourceId;
use hl_core::alert::AlertKind;
use hl_core::ledger::GapState;
use hl_engine::Snapshot;
use hl_sim::{Fault, FaultKind, SimConfig};

use crate::support::{World, assert_clean, coin, streams, verified};

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

/// A name that vanishes: a socket that subscribes any of its streams is cut off.
#[tokio::test(start_paused = true)]
async fn a_name_that_ends_sockets_costs_the_others_no_more_than_seconds() {
    let names = ["trades/BTC", "bbo/BTC", "candle/BTC/1m", "mids", "trades/ETH", "bbo/ETH", "candle/ETH/1m"];
    let world = World::new(11).await.unwrap();
    let daemon = world.daemon(&streams(&names)).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    for stream in streams(&names).into_iter().filter(|stream| stream.coin() == Some(coin("ETH"))) {
        world.sim.inject(Fault::new(FaultKind::KillOnSubscribe { stream: Some(stream) }));
    }
    world.sim.inject(Fault::new(FaultKind::Drop));
    tokio::time::sleep(Duration::from_secs(15)).await;
    let innocent = |s: &Snapshot| of_coin("BTC", s, SourceId::Ws);
    let before = daemon.engine.snapshot();
    assert!(innocent(&before), "{before:#?}");
    // From then on no trial of it costs the others anything.
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = daemon.engine.snapshot();
        assert!(innocent(&now) && of_coin("ETH", &now, SourceId::Rest), "{now:#?}");
    }
    let after = daemon.engine.snapshot();
    assert_eq!(after.handovers, before.handovers);
    let alerts = daemon.engine.health().borrow().health.alerts.clone();
    let told: Vec<_> = alerts.iter().map(|alert| (alert.kind, alert.subject.as_str())).collect();
    assert_eq!(told, [(AlertKind::Quarantined, "ETH")]);
    assert!(alerts[0].words.contains("tried again"), "{}", alerts[0].words);
    // It comes back, and is found out at the next trial.
    world.sim.clear_faults();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let back = daemon.engine.snapshot();
    daemon.stop().await.unwrap();
    assert!(owned_by(SourceId::Ws)(&back), "{back:#?}");
    assert_clean(&verified(&world).await, &world.store_path());
}

/// An exchange that never answers a ping: a socket full of data stays, and its bars become final.
#[tokio::test(start_paused = true)]
async fn without_pongs_a_socket_with_data_stays_and_its_bars_become_final() {
    let mut config = SimConfig { seed: 5, ..SimConfig::default() };
    config.assumptions.pong = false;
    let world = World::with(config, Trace::new(false)).await.unwrap();
    let wanted = streams(&["trades/BTC", "candle/BTC/1m", "candle/ETH/1m", "bbo/BTC", "mids", "context/BTC"]);
    let daemon = world.daemon(&wanted).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let after = daemon.engine.snapshot();
    daemon.stop().await.unwrap();
    let losses: u64 = after.sockets.iter().map(|socket| socket.counters.losses).sum();
    assert_eq!((losses, after.handovers), (0, wanted.len() as u64));
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    assert!(report.minutes_compared >= 8, "{} bars are final", report.minutes_compared);
    let lasting: Vec<_> = report.gaps.iter().filter(|gap| gap.state != GapState::Backfilled).collect();
    assert!(lasting.is_empty(), "{lasting:?}");
}

/// However long it was away, the socket has everything again ten seconds after the exchange is back.
#[tokio::test(start_paused = true)]
async fn after_an_outage_the_socket_owns_everything_within_ten_seconds() {
    let one = streams(&["trades/BTC", "book/BTC", "mids"]);
    for (seed, outage_ms) in (1..).zip([3_000, 25_000, 26_000, 27_500, 60_000, 600_000]) {
        for standby in [vec![], vec![coin("BTC")]] {
            let world = World::new(seed).await.unwrap();
            let daemon = world.daemon_with(&one, &standby).await.unwrap();
            daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(70)).await;
            world.sim.inject(Fault::lasting(FaultKind::Refuse, outage_ms));
            world.sim.inject(Fault::new(FaultKind::Drop));
            tokio::time::sleep(Duration::from_millis(outage_ms + 10_000)).await;
            let after = daemon.engine.snapshot();
            daemon.stop().await.unwrap();
            assert!(owned_by(SourceId::Ws)(&after), "seed {seed}, {outage_ms} ms: {after:#?}");
        }
    }
}
