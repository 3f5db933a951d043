//! Several daemons that share the streams of one store, in virtual time: who comes and goes moves streams without a hole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hl_chaos::{Daemon, Market, Weather};
use hl_core::ledger::GapState;
use hl_core::{SourceId, StreamKey};
use hl_engine::Sharing;

use crate::support::{World, assert_clean, verified};

const MINUTES: Duration = Duration::from_secs(240);

/// Starts a daemon of a machine of its own.
async fn join(world: &mut World, name: &str, weight: u8) -> Daemon {
    world.sharing = Some(Sharing { name: name.to_owned(), weight });
    world.daemon(&Market::mixed().streams).await.unwrap()
}

fn owned(daemon: &Daemon) -> BTreeSet<StreamKey> {
    let streams = daemon.engine.snapshot().streams;
    streams.into_iter().filter(|(_, meter)| meter.owner.is_some()).map(|(stream, _)| stream).collect()
}

/// Waits until every stream has one owner, and its preferred one; and each daemon has some.
async fn settled(daemons: &[&Daemon]) -> BTreeMap<StreamKey, usize> {
    let all: BTreeSet<_> = Market::mixed().streams.into_iter().collect();
    for _ in 0..6_000 {
        let owners: Vec<_> = daemons.iter().map(|daemon| owned(daemon)).collect();
        let union: BTreeSet<_> = owners.iter().flatten().copied().collect();
        let by_preferred = daemons.iter().all(|daemon| {
            let streams = daemon.engine.snapshot().streams;
            streams.iter().all(|(stream, meter)| meter.owner == Some(SourceId::Ws) || !stream.spec().ws)
        });
        if union == all && by_preferred && owners.iter().all(|owned| !owned.is_empty()) {
            let count: usize = owners.iter().map(BTreeSet::len).sum();
            assert_eq!(count, all.len(), "no stream has two owners");
            let of =
                |(i, owned): (usize, BTreeSet<StreamKey>)| owned.into_iter().map(move |stream| (stream, i));
            return owners.into_iter().enumerate().flat_map(of).collect();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {:#?}", daemons.iter().map(|daemon| owned(daemon)).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn who_comes_and_goes_moves_only_its_own_and_leaves_no_hole() {
    let mut world = World::new(21).await.unwrap();
    let first = join(&mut world, "one", 1).await;
    let alone = settled(&[&first]).await;
    tokio::time::sleep(MINUTES).await;

    let second = join(&mut world, "two", 1).await;
    let of_two = settled(&[&first, &second]).await;
    tokio::time::sleep(MINUTES).await;
    let third = join(&mut world, "three", 1).await;
    let of_three = settled(&[&first, &second, &third]).await;
    let moved: Vec<_> = alone.keys().filter(|stream| of_two[stream] != of_three[stream]).collect();
    assert!(moved.iter().all(|stream| of_three[stream] == 2), "only to the new one: {moved:?}");
    tokio::time::sleep(MINUTES).await;

    second.stop().await.unwrap();
    let rest = settled(&[&first, &third]).await;
    let stays = |stream: &StreamKey| match of_three[stream] {
        0 => rest[stream] == 0,
        1 => true,
        _ => rest[stream] == 1,
    };
    assert!(alone.keys().all(stays), "only what it had moves");
    tokio::time::sleep(MINUTES).await;
    first.stop().await.unwrap();
    settled(&[&third]).await;
    tokio::time::sleep(MINUTES).await;
    third.stop().await.unwrap();

    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    // A block of a border may stay as a gap without length, where a slow coin's last trades were asked for.
    let lasting = report.gaps.iter().filter(|gap| gap.state != GapState::Backfilled && gap.span.ms() > 0);
    let lasting: Vec<_> = lasting.collect();
    assert!(lasting.is_empty(), "{lasting:#?}");
    // What a slow coin's replay did not prove, its last trades did.
    let is_asked_for = |stream: StreamKey| matches!(stream, StreamKey::Candle(..) | StreamKey::Trades(_));
    let holes: Vec<_> = report.gaps.iter().filter(|gap| !is_asked_for(gap.stream)).collect();
    assert!(holes.is_empty(), "what the next one brought before it owned the stream joined: {holes:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_greater_weight_is_a_greater_share_and_a_dead_one_is_followed() {
    let mut world = World::new(22).await.unwrap();
    let heavy = join(&mut world, "one", 20).await;
    let light = join(&mut world, "two", 1).await;
    let owners = settled(&[&heavy, &light]).await;
    let of_light = owners.values().filter(|owner| **owner == 1).count();
    assert!(of_light * 2 < owners.len(), "{of_light} of {}", owners.len());
    tokio::time::sleep(MINUTES).await;
    heavy.crash().await;
    settled(&[&light]).await;
    tokio::time::sleep(MINUTES).await;
    light.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
}

#[tokio::test(start_paused = true)]
async fn who_no_longer_hears_of_the_exchange_is_relieved_and_gets_its_part_back() {
    let mut world = World::new(24).await.unwrap();
    let cut_off = join(&mut world, "one", 1).await;
    let net = world.net.elsewhere();
    let over_one = std::mem::replace(&mut world.net, net);
    let other = join(&mut world, "two", 1).await;
    let before = settled(&[&cut_off, &other]).await;
    over_one.strike(Weather::Partition, 600_000);
    settled(&[&other]).await;
    assert_eq!(owned(&cut_off), BTreeSet::new());
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(settled(&[&cut_off, &other]).await, before);
    tokio::time::sleep(MINUTES).await;
    for daemon in [cut_off, other] {
        daemon.stop().await.unwrap();
    }
    assert_clean(&verified(&world).await, &world.store_path());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_awaited_from_one_that_does_not_share() {
    let mut world = World::new(25).await.unwrap();
    let alone = world.daemon(&Market::mixed().streams).await.unwrap();
    settled(&[&alone]).await;
    let waiting = join(&mut world, "two", 1).await;
    tokio::time::sleep(MINUTES).await;
    let snapshot = waiting.engine.snapshot();
    assert!(snapshot.sockets.is_empty() && snapshot.streams.is_empty(), "{snapshot:#?}");
    assert_eq!(snapshot.held.len(), Market::mixed().streams.len());
    alone.crash().await;
    settled(&[&waiting]).await;
    waiting.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
}

/// Joins, leaves and deaths at random, also while streams are on their way: never two owners, and nothing quietly missing.
#[tokio::test(start_paused = true)]
async fn nothing_is_quietly_missing_while_they_come_and_go() {
    let mut rng = fastrand::Rng::with_seed(23);
    let mut world = World::new(23).await.unwrap();
    let mut daemons: BTreeMap<usize, Daemon> = BTreeMap::new();
    let (mut joined, mut left, mut died) = (0, 0, 0);
    for _ in 0..60 {
        let place = rng.usize(..4);
        match daemons.remove(&place) {
            None => {
                joined += 1;
                daemons.insert(place, join(&mut world, &format!("machine {place}"), 1).await);
            }
            Some(daemon) if rng.bool() => {
                left += 1;
                daemon.stop().await.unwrap();
            }
            Some(daemon) => {
                died += 1;
                daemon.crash().await;
            }
        }
        // Some of these are shorter than a hand-over.
        tokio::time::sleep(Duration::from_millis(rng.u64(100..90_000))).await;
    }
    if daemons.is_empty() {
        daemons.insert(0, join(&mut world, "machine 0", 1).await);
    }
    settled(&daemons.values().collect::<Vec<_>>()).await;
    tokio::time::sleep(MINUTES).await;
    for (_, daemon) in daemons {
        daemon.stop().await.unwrap();
    }
    let report = verified(&world).await;
    println!("{joined} joined, {left} left, {died} died\n{report:#?}");
    assert!(joined > 10 && left > 5 && died > 5);
    assert_clean(&report, &world.store_path());
}
