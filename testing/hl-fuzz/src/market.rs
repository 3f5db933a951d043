//! Valid frames and answers to begin with: a minute and a half of the simulated exchange.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::ws::{Connection, Incoming};
use hl_core::seam::{BoxStream, Net as _};
use hl_runtime::{MemoryNet, TokioClock};
use hl_sim::{Limits, Sim, SimConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Frames of each channel that are kept.
const FRAMES_OF_A_CHANNEL: usize = 12;
/// How long is listened, ms.
const LISTEN_MS: u64 = 90_000;

/// What the simulated exchange said.
pub(crate) struct Said {
    /// WebSocket frames, some of every channel.
    pub(crate) frames: Vec<String>,
    /// Answers of `POST /info`, by the name of the request.
    pub(crate) answers: BTreeMap<&'static str, String>,
}

/// Listened to once, and the same in every process.
pub(crate) static SAID: LazyLock<Said> = LazyLock::new(|| {
    // On a thread of its own: the caller may be inside a runtime.
    let listening = std::thread::spawn(|| {
        let runtime = paused();
        runtime.block_on(listen())
    });
    listening.join().expect("the simulated exchange answers")
});

/// A runtime on this thread, whose clock stands still while there is something to do.
pub(crate) fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

async fn listen() -> Said {
    let net = MemoryNet::new();
    let listener = net.listen("exchange:80").await.expect("a listener");
    let config = SimConfig {
        traders: 40,
        limits: Limits { weight: u32::MAX, ..Limits::default() },
        ..SimConfig::default()
    };
    let sim = Sim::start(config, listener).expect("an exchange");
    let connect = async || net.connect(&sim.endpoint()).await.expect("a connection");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let trade: Value =
        serde_json::from_str(&ask(connect().await, &json!({"type": "recentTrades", "coin": "BTC"})).await)
            .expect("trades");
    // A maker, and so somebody with fills, orders and positions.
    let user = trade[0]["users"][usize::from(trade[0]["side"] == "B")].clone();
    let rng = fastrand::Rng::with_seed(1);
    let mono = MonoClock::new(Arc::new(TokioClock::starting_at(sim.now())));
    let opening = Connection::open(Arc::new(net.clone()), sim.endpoint(), "/ws".into(), mono, rng);
    let mut socket = opening.await.expect("a socket");
    let subscribe = |subscription: Value| json!({"method": "subscribe", "subscription": subscription});
    let mut messages: Vec<_> = subscriptions(&user).into_iter().map(subscribe).collect();
    messages.push(json!({"method": "ping"}));
    messages.push(subscribe(json!({"type": "trades", "coin": "BTC"})));
    messages.push(json!({"method": "nonsense"}));
    for message in messages {
        socket.send_text(message.to_string()).await.expect("a message goes out");
    }
    let mut frames: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let end = sim.now() + i64::try_from(LISTEN_MS).unwrap_or(i64::MAX);
    while sim.now() < end {
        let text = match tokio::time::timeout(Duration::from_secs(1), socket.next()).await {
            Ok(Incoming::Text { text, .. }) => String::from_utf8_lossy(&text).into_owned(),
            Ok(Incoming::Ping(_)) | Err(_) => continue,
            Ok(Incoming::Closed(end)) => panic!("the socket stays, and not: {}", end.words),
        };
        let channel = serde_json::from_str::<Value>(&text).map(|frame| frame["channel"].to_string());
        let kept = frames.entry(channel.unwrap_or_default()).or_default();
        if kept.len() < FRAMES_OF_A_CHANNEL {
            kept.push(text);
        }
    }
    let mut answers = BTreeMap::new();
    for (name, request) in requests(&user, sim.now().0) {
        answers.insert(name, ask(connect().await, &request).await);
    }
    sim.stop().await;
    Said { frames: frames.into_values().flatten().collect(), answers }
}

fn subscriptions(user: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for coin in ["BTC", "PURR/USDC", "xyz:NVDA", "MATIC"] {
        for kind in ["trades", "l2Book", "bbo", "activeAssetCtx"] {
            all.push(json!({"type": kind, "coin": coin}));
        }
        all.push(json!({"type": "candle", "coin": coin, "interval": "1m"}));
    }
    all.push(json!({"type": "l2Book", "coin": "ETH", "fast": true}));
    for kind in
        ["allMids", "assetCtxs", "allDexsAssetCtxs", "spotAssetCtxs", "fastAssetCtxs", "outcomeMetaUpdates"]
    {
        all.push(json!({"type": kind}));
    }
    all.push(json!({"type": "allMids", "dex": "xyz"}));
    for kind in [
        "userFills",
        "userFundings",
        "userNonFundingLedgerUpdates",
        "userHistoricalOrders",
        "userTwapSliceFills",
        "userTwapHistory",
        "userEvents",
        "orderUpdates",
        "notification",
        "openOrders",
        "clearinghouseState",
        "allDexsClearinghouseState",
        "spotState",
        "twapStates",
        "webData3",
    ] {
        all.push(json!({"type": kind, "user": user}));
    }
    all.push(json!({"type": "activeAssetData", "user": user, "coin": "BTC"}));
    all
}

fn requests(user: &Value, now: i64) -> Vec<(&'static str, Value)> {
    let coin = |name: &'static str| (name, json!({"type": name, "coin": "BTC"}));
    let of_user = |name: &'static str| (name, json!({"type": name, "user": user}));
    let plain = |name: &'static str| (name, json!({"type": name}));
    vec![
        coin("recentTrades"),
        coin("l2Book"),
        (
            "candleSnapshot",
            json!({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": now - 600_000}}),
        ),
        ("fundingHistory", json!({"type": "fundingHistory", "coin": "BTC", "startTime": now - 36_000_000})),
        plain("allMids"),
        plain("meta"),
        plain("metaAndAssetCtxs"),
        plain("spotMeta"),
        plain("spotMetaAndAssetCtxs"),
        plain("perpDexs"),
        of_user("clearinghouseState"),
        of_user("spotClearinghouseState"),
        of_user("openOrders"),
        of_user("frontendOpenOrders"),
        of_user("historicalOrders"),
        of_user("userFills"),
        of_user("userTwapSliceFills"),
        of_user("twapHistory"),
        of_user("userFunding"),
        of_user("userNonFundingLedgerUpdates"),
        of_user("userFees"),
        of_user("portfolio"),
        of_user("userRateLimit"),
        of_user("userRole"),
        of_user("referral"),
        of_user("subAccounts"),
        of_user("extraAgents"),
        of_user("userVaultEquities"),
        of_user("delegations"),
        of_user("delegatorSummary"),
        of_user("delegatorHistory"),
        of_user("delegatorRewards"),
        plain("predictedFundings"),
        plain("vaultSummaries"),
    ]
}

/// The body of an answer; not every request is known to the simulated exchange, and a refusal is a body too.
async fn ask(mut stream: BoxStream, request: &Value) -> String {
    let body = request.to_string();
    let length = body.len();
    let head =
        "POST /info HTTP/1.1\r\nhost: exchange\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let request = format!("{head}content-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("a request goes out");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer comes");
    let answer = String::from_utf8(answer).expect("text");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
