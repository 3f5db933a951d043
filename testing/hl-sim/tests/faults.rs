//! Faults by request, seen from a client.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod common;

use common::{Client, Ended, World};
use hl_core::StreamKey;
use hl_sim::{BodyFault, Fault, FaultKind};
use serde_json::{Value, json};

async fn following(world: &World, subscriptions: &[Value]) -> Client {
    let mut client = world.connect().await;
    for subscription in subscriptions {
        client.subscribed(subscription.clone()).await;
    }
    client
}

fn trades() -> Value {
    json!({"type": "trades", "coin": "BTC"})
}

fn stream(name: &str) -> Option<StreamKey> {
    Some(name.parse().unwrap())
}

fn tids(frames: &[(i64, Value)]) -> Vec<u64> {
    let trades = frames.iter().filter(|(_, f)| f["channel"] == "trades");
    trades.flat_map(|(_, f)| f["data"].as_array().unwrap()).map(|t| t["tid"].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn drop_and_refuse_are_an_outage() {
    let world = World::small().await;
    let a = following(&world, &[trades()]).await;
    let b = following(&world, &[json!({"type": "allMids"})]).await;
    world.sim.inject(Fault::lasting(FaultKind::Refuse, 12_000));
    world.sim.inject(Fault::new(FaultKind::Drop));
    assert_eq!(a.ended().await.0, Ended::Cut);
    assert_eq!(b.ended().await.0, Ended::Cut);
    assert!(world.try_connect().await.is_err());
    assert_eq!(world.ask(json!({"type": "exchangeStatus"})).await["time"], world.sim.status().block_time);
    world.wait(12_000).await;
    let mut c = following(&world, &[trades()]).await;
    assert_eq!(c.next_on("trades").await["data"].as_array().unwrap().len(), 30);
    let applied = world.sim.status().faults_applied;
    assert_eq!((applied["drop"], applied["refuse"]), (2, 1));
    assert!(world.sim.faults().is_empty());

    world.sim.inject(Fault::lasting(FaultKind::Drop, 5_000));
    assert_eq!(c.ended().await.0, Ended::Cut);
    assert_eq!(world.connect().await.ended().await.0, Ended::Cut, "also those that open meanwhile");
}

#[tokio::test(start_paused = true)]
async fn what_a_mute_swallows_is_lost_and_not_late() {
    let world = World::small().await;
    let mut client = following(&world, &[trades(), json!({"type": "bbo", "coin": "BTC"})]).await;
    client.collect(&world.sim, 1_000).await;
    world.sim.inject(Fault::lasting(FaultKind::Mute { stream: stream("trades/BTC") }, 15_000));
    let begun = world.sim.now();
    let muted = client.collect(&world.sim, 14_990).await;
    assert!(tids(&muted).is_empty());
    assert!(muted.iter().any(|(_, f)| f["channel"] == "bbo"), "other streams still flow");
    client.send(json!({"method": "ping"})).await;
    client.next_on("pong").await;
    let mut other = following(&world, &[trades()]).await;
    assert!(other.text_within(5).await.is_none(), "acknowledged, but a replay asked for meanwhile is lost");
    let after = client.collect(&world.sim, 20_000).await;
    let oldest = after
        .iter()
        .filter(|(_, f)| f["channel"] == "trades")
        .map(|(_, f)| f["data"][0]["time"].as_i64().unwrap());
    assert!(oldest.min().unwrap() > begun.0 + 14_000, "nothing of the mute comes late");
    let lost = world.sim.truth_trades(common::coin("BTC"), begun, begun + 14_000);
    assert!(!lost.is_empty());
    assert!(world.sim.status().faults_applied["mute"] > 5);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_socket_stays_and_says_nothing() {
    let world = World::small().await;
    let mut client = following(&world, &[trades()]).await;
    client.collect(&world.sim, 1_000).await;
    world.sim.inject(Fault::lasting(FaultKind::HalfOpen, 90_000));
    client.send(json!({"method": "ping"})).await;
    assert!(client.collect(&world.sim, 89_000).await.is_empty());
    let mut fresh = following(&world, &[trades()]).await;
    assert_eq!(fresh.next_on("trades").await["data"].as_array().unwrap().len(), 30, "a new socket is sound");
    assert!(!tids(&client.collect(&world.sim, 30_000).await).is_empty(), "it was never closed");
}

#[tokio::test(start_paused = true)]
async fn bytes_drip() {
    let world = World::small().await;
    world.sim.inject(Fault::lasting(FaultKind::SlowDrip { every_ms: 10 }, 3_600_000));
    let mut client = world.connect().await;
    client.send(json!({"method": "ping"})).await;
    let before = world.sim.now();
    client.next_on("pong").await;
    // 18 bytes of text and 2 of frame.
    assert!((190..=210).contains(&world.sim.now().since(before)), "{}", world.sim.now().since(before));
}

#[tokio::test(start_paused = true)]
async fn frames_are_doubled_swapped_and_cut() {
    let world = World::small().await;
    let mut client = following(&world, &[trades()]).await;
    client.collect(&world.sim, 100).await;
    world.sim.inject(Fault::lasting(FaultKind::Duplicate { stream: stream("trades/BTC") }, 30_000));
    let frames = client.collect(&world.sim, 29_000).await;
    assert!(frames.len() > 10 && frames.len() % 2 == 0);
    assert!(frames.chunks(2).all(|pair| pair[0].1 == pair[1].1));
    world.sim.clear_faults();

    world.sim.inject(Fault::lasting(FaultKind::Reorder { stream: None }, 30_000));
    let frames = client.collect(&world.sim, 29_000).await;
    let times: Vec<_> = frames.iter().map(|(_, f)| f["data"][0]["time"].as_i64().unwrap()).collect();
    assert!(times.chunks_exact(2).all(|pair| pair[0] > pair[1]), "{times:?}");
    let mut sorted = times.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), times.len(), "nothing is lost or doubled by swapping");
    world.sim.clear_faults();
    client.collect(&world.sim, 5_000).await;

    world.sim.inject(Fault::lasting(FaultKind::Garbage { stream: stream("trades/BTC") }, 30_000));
    for _ in 0..5 {
        let text = client.text_within(20_000).await.unwrap();
        assert!(text.starts_with(r#"{"channel":"trades""#) && serde_json::from_str::<Value>(&text).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_giant_frame_comes_once_and_to_newcomers_while_it_lasts() {
    let world = World::small().await;
    let mut client = following(&world, &[]).await;
    world.sim.inject(Fault::lasting(FaultKind::GiantFrame { bytes: 5_000_000 }, 10_000));
    assert_eq!(client.text_within(1_000).await.unwrap().len(), 5_000_000);
    assert!(client.text_within(1_000).await.is_none());
    let mut newcomer = world.connect().await;
    assert_eq!(newcomer.text_within(1_000).await.unwrap().len(), 5_000_000);
    world.wait(10_000).await;
    assert!(world.connect().await.text_within(1_000).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_can_kill() {
    let world = World::small().await;
    world.sim.inject(Fault::new(FaultKind::KillOnSubscribe { stream: stream("candle/BTC/1m") }));
    let mut client = following(&world, &[trades()]).await;
    client.next_on("trades").await;
    client.subscribe(json!({"type": "candle", "coin": "BTC", "interval": "1m"})).await;
    let (ended, frames) = client.ended().await;
    assert_eq!(ended, Ended::Cut);
    assert!(frames.iter().all(|f| f.contains("trades")), "no acknowledgement: {frames:?}");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_subscription_is_silent_until_it_is_made_anew() {
    let world = World::small().await;
    let mut client = following(&world, &[trades(), json!({"type": "bbo", "coin": "BTC"})]).await;
    client.collect(&world.sim, 1_000).await;
    world.sim.inject(Fault::new(FaultKind::Forget { stream: stream("trades/BTC") }));
    assert!(world.sim.faults().is_empty(), "it has struck, and is over");
    assert_eq!(world.sim.status().faults_applied["forget"], 1);
    let forgotten = client.collect(&world.sim, 15_000).await;
    assert!(tids(&forgotten).is_empty());
    assert!(forgotten.iter().any(|(_, f)| f["channel"] == "bbo"), "other streams still flow");
    client.subscribed(trades()).await;
    assert_eq!(client.next_on("trades").await["data"].as_array().unwrap().len(), 30, "a replay");
}

#[tokio::test(start_paused = true)]
async fn answers_can_be_wrong_or_late() {
    let world = World::small().await;
    let post = |body: &'static str| world.http("POST", "/info", "application/json", body);
    let mids = r#"{"type":"allMids"}"#;
    for (status, html) in [(429, false), (500, false), (502, true)] {
        let http = FaultKind::Http { status: Some(status), body: None, delay_ms: None };
        world.sim.inject(Fault::lasting(http, 5_000));
        let (seen, body) = post(mids).await;
        assert_eq!(seen, status);
        assert_eq!(body.starts_with(b"<html>"), html);
        assert_eq!(world.http("GET", "/Mainnet/leaderboard", "", "").await.0, status);
        world.get("/sim/status").await;
        world.wait(5_000).await;
        assert_eq!(post(mids).await.0, 200);
    }
    world.sim.inject(Fault::new(FaultKind::Http {
        status: None,
        body: Some(BodyFault::Truncated),
        delay_ms: Some(700),
    }));
    let before = world.sim.now();
    let (status, body) = post(mids).await;
    assert_eq!(status, 200);
    assert!(serde_json::from_slice::<Value>(&body).is_err());
    assert!(world.sim.now().since(before) >= 700);
    assert_eq!(world.sim.clear_faults(), 1);
    world.sim.inject(Fault::new(FaultKind::Http {
        status: None,
        body: Some(BodyFault::Null),
        delay_ms: None,
    }));
    assert_eq!(&post(mids).await.1[..], b"null");
}

#[tokio::test(start_paused = true)]
async fn faults_are_posted_listed_and_cleared() {
    let world = World::small().await;
    let fault = r#"{"kind":"mute","stream":"trades/BTC","for_ms":15000}"#;
    let (status, body) = world.http("POST", "/sim/faults", "application/json", fault).await;
    assert_eq!((status, &body[..]), (200, &br#"{"id":1}"#[..]));
    world.wait(5_000).await;
    let listed = world.get("/sim/faults").await;
    assert_eq!(
        listed,
        json!([{"id": 1, "kind": "mute", "stream": "trades/BTC", "for_ms": 15000, "applied": 0, "remaining_ms": 10000}])
    );
    let (status, body) = world.http("POST", "/sim/faults", "", r#"{"kind":"drip"}"#).await;
    assert_eq!(status, 400);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["field"], "kind");
    assert_eq!(world.http("POST", "/sim/faults", "", "{").await.0, 400);
    let (_, body) = world.http("DELETE", "/sim/faults", "", "").await;
    assert_eq!(&body[..], br#"{"cleared":1}"#);
    assert_eq!(world.get("/sim/faults").await, json!([]));
    world.sim.stop().await;
}

fn user(n: u8) -> String {
    format!("0x{n:040x}")
}

fn follow(n: u8) -> Value {
    json!({"type": "userFundings", "user": user(n)})
}

#[tokio::test(start_paused = true)]
async fn the_users_that_can_be_followed_become_fewer_and_more() {
    let world = World::small().await;
    let mut client = following(&world, &[follow(1), follow(2), follow(3)]).await;
    let status = world.sim.status();
    assert_eq!((status.users, status.user_cap), (3, 15));
    let cap = |users| FaultKind::UserCap { users, drop: false };
    world.sim.inject(Fault::lasting(cap(2), 60_000));
    client.subscribe(follow(4)).await;
    assert_eq!(client.next_on("error").await["data"], "Cannot track more than 2 total users.");
    // Who is followed stays so, and may be followed on another channel.
    let states = json!({"type": "allDexsClearinghouseState", "user": user(3)});
    client.subscribed(states).await;
    for _ in 0..3 {
        assert_eq!(client.next_on("allDexsClearinghouseState").await["data"]["user"], user(3));
    }
    let status = world.sim.status();
    assert_eq!((status.users, status.user_cap, status.faults_applied["user_cap"]), (3, 2, 1));

    // A slot comes free only where the others are fewer than the limit.
    client.send(json!({"method": "unsubscribe", "subscription": follow(1)})).await;
    client.subscribe(follow(4)).await;
    assert_eq!(client.next_on("error").await["data"], "Cannot track more than 2 total users.");
    world.sim.inject(Fault::lasting(cap(3), 30_000));
    client.subscribed(follow(4)).await;
    assert_eq!(world.sim.status().user_cap, 3, "the newest counts");
    world.wait(31_000).await;
    assert_eq!(world.sim.status().user_cap, 2);
    world.wait(30_000).await;
    assert_eq!(world.sim.status().user_cap, 15);
    client.subscribed(follow(5)).await;
    assert_eq!(world.sim.status().users, 4);
}

#[tokio::test(start_paused = true)]
async fn sockets_that_follow_too_many_users_can_be_dropped() {
    let world = World::small().await;
    let first = following(&world, &[follow(1), follow(2)]).await;
    let second = following(&world, &[follow(3), trades()]).await;
    let mut third = following(&world, &[follow(2), trades()]).await;
    let mut public = following(&world, &[trades()]).await;
    world.sim.inject(Fault::new(FaultKind::UserCap { users: 2, drop: true }));
    assert_eq!(second.ended().await.0, Ended::Cut);
    let status = world.sim.status();
    assert_eq!((status.users, status.sockets, status.faults_applied["user_cap"]), (2, 3, 1));
    third.next_on("trades").await;
    public.next_on("trades").await;
    public.subscribe(follow(3)).await;
    assert_eq!(public.next_on("error").await["data"], "Cannot track more than 2 total users.");

    world.sim.inject(Fault::new(FaultKind::UserCap { users: 0, drop: true }));
    assert_eq!(first.ended().await.0, Ended::Cut);
    assert_eq!(third.ended().await.0, Ended::Cut);
    public.next_on("trades").await;
    world.sim.clear_faults();
    public.subscribed(follow(3)).await;
}
