//! Playback of a recording.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod common;

use std::io::Write as _;

use common::World;
use hl_sim::SimConfig;
use serde_json::json;

const SECOND: i64 = 1_000_000_000;

#[tokio::test(start_paused = true)]
async fn a_recording_is_played_at_its_pace_to_whoever_asks() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for i in 0..20_i64 {
        let coin = if i % 2 == 0 { "BTC" } else { "xyz:NVDA" };
        let trade = json!([{"coin": coin, "side": "B", "px": "10.0", "sz": if i < 2 { "0.125" } else { "688.0" }, "time": i, "hash": "0x0", "tid": i,
                            "users": ["0x0", "0x1"]}]);
        let line = json!({"received_wall_ns": 5 + i * SECOND, "channel": "trades", "data": trade});
        writeln!(file, "{line}").unwrap();
    }
    let book = json!({"coin": "BTC", "time": 1, "levels": [[], []]});
    writeln!(file, "{}", json!({"received_wall_ns": 5 + 20 * SECOND, "channel": "l2Book", "data": book}))
        .unwrap();
    writeln!(file, "{}", json!({"received_wall_ns": 5 + 21 * SECOND, "channel": "odd", "data": 1})).unwrap();

    let config = SimConfig { replay: Some(file.path().to_owned()), speed: 10.0, ..SimConfig::default() };
    let world = World::new(config).await;
    let meta = world.ask(json!({"type": "meta"})).await;
    assert_eq!(meta["universe"][0]["name"], "BTC");
    assert_eq!(meta["universe"][0]["szDecimals"], 3);
    assert_eq!(world.ask(json!({"type": "perpDexs"})).await[1]["name"], "xyz");
    assert_eq!(world.ask(json!({"type": "meta", "dex": "xyz"})).await["universe"][0]["name"], "xyz:NVDA");
    world.wait(30_000).await;
    assert_eq!(world.get("/sim/status").await["replay_played"], 0, "nobody has subscribed");

    let mut client = world.connect().await;
    let begun = tokio::time::Instant::now() + std::time::Duration::from_millis(500);
    client.subscribed(json!({"type": "l2Book", "coin": "BTC"})).await;
    client.subscribed(json!({"type": "trades", "coin": "BTC"})).await;
    for i in (0..20).step_by(2) {
        let frame = client.next_on("trades").await;
        assert_eq!(frame["data"][0]["tid"], i);
        let after = begun.elapsed().as_millis() as i64;
        assert!((i * 100..=i * 100 + 5).contains(&after), "frame {i} after {after} ms");
    }
    client.next_on("l2Book").await;
    let status = world.get("/sim/status").await;
    assert_eq!(status["replay_finished"], true);
    assert_eq!((&status["replay_frames"], &status["replay_skipped"]), (&json!(21), &json!(1)));
    world.wait(30_000).await;
    client.send(json!({"method": "ping"})).await;
    assert_eq!(client.next().await["channel"], "pong", "the socket stays");
    world.sim.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_recording_is_named_by_its_line() {
    use hl_core::seam::Net as _;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, r#"{{"received_wall_ns":1,"channel":"trades","data":[]}}"#).unwrap();
    writeln!(file, r#"{{"received_wall_ns":2,"chan"#).unwrap();
    let config = SimConfig { replay: Some(file.path().to_owned()), ..SimConfig::default() };
    let listener = hl_runtime::MemoryNet::new().listen("exchange:80").await.unwrap();
    let error = hl_sim::Sim::start(config, listener).err().unwrap();
    assert!(error.to_string().starts_with("line 2 of the recording"), "{error}");
}
