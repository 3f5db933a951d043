//! What a bad network does to a daemon, over real sockets: peers that go silent, drip, flood, or are not who they say.
//! Afterwards everything is stored once, or inside a recorded gap, and memory has stayed what it was.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use support::process::{Exchange, Process, StoreFile, all_over_ws, counter, until};
use support::proxy::{FLOOD, Harm, Harms, Proxy};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A busy coin, and one that trades less than once a minute.
const COINS: [&str; 4] = ["--coin", "BTC", "--coin", "DOGE"];
/// The most memory that the daemon may hold, as a multiple of what it held undisturbed. One body of 32 MB at a time is
/// taken, whatever is in it; all that are asked for at a time would be beyond this.
const MORE_MEMORY: u64 = 4;

/// A daemon behind a proxy.
struct Scene {
    exchange: Exchange,
    proxy: Proxy,
    store: StoreFile,
    daemon: Process,
    /// What it held undisturbed, kB.
    peak_kb: u64,
}

impl Scene {
    /// Undisturbed, until the sockets own everything.
    async fn set(seed: &str) -> Self {
        let exchange = Exchange::start(&["--coins", "5", "--seed", seed]).await;
        let proxy = Proxy::before(&exchange.base).await;
        let store = StoreFile::new();
        let daemon = store.daemon_at(&proxy.base, &COINS);
        store.until_live("the sockets own everything", all_over_ws).await;
        let peak_kb = daemon.peak_kb();
        Self { exchange, proxy, store, daemon, peak_kb }
    }

    /// Harms, until the daemon has said so in a line that holds all of `words`.
    async fn until_said(&self, harms: Harms, words: &[&str]) {
        let before = self.daemon.err().len();
        self.proxy.harm(harms);
        let what = format!("a line with {words:?}");
        let line = until(&what, async || {
            self.daemon.err().split_off(before).into_iter().find_map(|(_, line)| holds(&line, words))
        });
        println!("{}", line.await);
    }

    /// Does no more harm; waits until the sockets own everything and bring rows again.
    async fn recovered(&self) -> Value {
        self.proxy.relent();
        let healed = self.exchange.now().await.0;
        let live = until("the sockets own everything again", async || {
            let live = self.store.status().await["live"].take();
            (live["at"].as_i64() > Some(healed) && all_over_ws(&live)).then_some(live)
        })
        .await;
        let inserted = counter(&live, "rows_inserted");
        self.store.until_live("rows come again", |live| counter(live, "rows_inserted") > inserted).await
    }

    /// Ends it. Nothing is stored twice, what is missing lies in gaps, and memory has stayed bounded.
    async fn proven(mut self) {
        let peak_kb = self.daemon.peak_kb();
        println!("most memory: {} kB undisturbed, {peak_kb} kB after the faults", self.peak_kb);
        assert!(self.proxy.harmed() > 0, "no connection was harmed");
        assert_eq!(self.daemon.terminate().await.code(), Some(0), "{}", self.daemon.log());
        let report = self.store.verified(&self.exchange).await;
        for stream in report["streams"].as_array().unwrap() {
            println!(
                "{}: {} rows, {} missing in gaps",
                stream["stream"], stream["rows"], stream["missing_in_gaps"]
            );
        }
        assert!(
            peak_kb <= self.peak_kb * MORE_MEMORY,
            "memory rose from {} kB to {peak_kb} kB",
            self.peak_kb
        );
    }
}

fn holds(line: &str, words: &[&str]) -> Option<String> {
    words.iter().all(|word| line.contains(word)).then(|| line.to_owned())
}

fn sockets(ws: Harm) -> Harms {
    Harms { ws, rest: Harm::None }
}

/// Requests are made only where no socket serves.
fn requests(rest: Harm) -> Harms {
    Harms { ws: Harm::Cut, rest }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_go_silent() {
    let scene = Scene::set("21").await;
    scene.until_said(Harms { ws: Harm::Silent, rest: Harm::Silent }, &["socket lost"]).await;
    scene
        .until_said(Harms { ws: Harm::Silent, rest: Harm::Silent }, &["poll failed", "no answer within"])
        .await;
    scene.recovered().await;
    scene.proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_accepts_and_never_answers() {
    let exchange = Exchange::start(&["--coins", "5", "--seed", "22"]).await;
    let proxy = Proxy::before(&exchange.base).await;
    proxy.harm(Harms { ws: Harm::Silent, rest: Harm::Silent });
    let store = StoreFile::new();
    let daemon = store.daemon_at(&proxy.base, &COINS);
    let line = until("a line about it", async || {
        daemon.err().into_iter().find_map(|(_, line)| holds(&line, &["no answer within"]))
    });
    println!("{}", line.await);
    let peak_kb = daemon.peak_kb();
    let scene = Scene { exchange, proxy, store, daemon, peak_kb };
    scene.recovered().await;
    scene.proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_a_second() {
    let scene = Scene::set("23").await;
    // An open socket, then handshakes and answers.
    scene.until_said(Harms { ws: Harm::Drip, rest: Harm::Drip }, &["socket lost"]).await;
    scene.until_said(Harms { ws: Harm::Drip, rest: Harm::Drip }, &["poll failed", "no answer within"]).await;
    scene.recovered().await;
    scene.proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_no_exchange_sends() {
    let scene = Scene::set("24").await;
    for (harm, words) in [
        (Harm::GiantFrame, "a frame of 4194304 bytes or more"),
        (Harm::Fragments, "a message of more than 4194304 bytes, in fragments"),
        (Harm::CompressedFrame, "a frame with reserved bits, compressed perhaps"),
    ] {
        scene.until_said(sockets(harm), &["socket lost", words]).await;
        let flooded = scene.proxy.flooded();
        println!("{harm:?}: {flooded} bytes were taken by the network");
        scene.recovered().await;
    }
    assert!(scene.proxy.flooded() < FLOOD as u64, "it hangs up long before the end");
    scene.proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_no_exchange_gives() {
    let scene = Scene::set("25").await;
    for (harm, words) in [
        (Harm::LongAnswer, "the answer has more than 33554432 bytes"),
        (Harm::ChunkedAnswer, "the answer has more than 33554432 bytes"),
        (Harm::CompressedAnswer, "the answer is compressed (gzip)"),
        (Harm::EndlessHead, "message head is too large"),
    ] {
        scene.until_said(requests(harm), &["poll failed", words]).await;
        println!("{harm:?}: {} bytes flooded so far", scene.proxy.flooded());
    }
    scene.recovered().await;
    scene.proven().await;
}

/// Everything above one after another, twice, each for as long as it takes to wear the daemon down.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes about ten minutes"]
async fn ten_minutes_of_a_bad_network() {
    /// How long each harm lasts, ms.
    const LASTS_MS: i64 = 20_000;
    let scene = Scene::set("26").await;
    let harms = [
        Harms { ws: Harm::Silent, rest: Harm::None },
        Harms { ws: Harm::None, rest: Harm::Silent },
        Harms { ws: Harm::Silent, rest: Harm::Silent },
        Harms { ws: Harm::Drip, rest: Harm::Drip },
        Harms { ws: Harm::GiantFrame, rest: Harm::LongAnswer },
        Harms { ws: Harm::Fragments, rest: Harm::ChunkedAnswer },
        Harms { ws: Harm::CompressedFrame, rest: Harm::CompressedAnswer },
        Harms { ws: Harm::Cut, rest: Harm::EndlessHead },
    ];
    for harm in harms.iter().chain(&harms) {
        let begun = scene.exchange.now().await;
        scene.proxy.harm(*harm);
        until("it lasted", async || (scene.exchange.now().await >= begun + LASTS_MS).then_some(())).await;
        scene.recovered().await;
        println!("{harm:?}: recovered after {} ms", scene.exchange.now().await.since(begun));
    }
    scene.proven().await;
}

/// A server on a free port of this machine that shows a certificate signed by itself, which expires in `year`. Counts
/// the handshakes that succeeded.
async fn impostor(year: i32) -> (String, Arc<AtomicU64>, JoinSet<()>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let trusted = Arc::new(AtomicU64::new(0));
    let (counted, mut tasks) = (trusted.clone(), JoinSet::new());
    tasks.spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            if acceptor.accept(tcp).await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (base, trusted, tasks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_known_signed_is_never_accepted() {
    for (year, words) in [(4000, "signed by no known authority"), (2020, "has expired")] {
        let (base, trusted, _server) = impostor(year).await;
        let store = StoreFile::new();
        let mut daemon = store.daemon_at(&base, &COINS);
        let line = until("a line about it, twice", async || {
            let mut lines =
                daemon.err().into_iter().filter_map(|(_, line)| holds(&line, &["cannot reach", words]));
            lines.nth(1)
        });
        println!("{}", line.await);
        assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
        assert_eq!(trusted.load(Ordering::Relaxed), 0, "nothing may be sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve() {
    let store = StoreFile::new();
    let mut daemon = store.daemon_at("https://nowhere.invalid", &COINS);
    let line = until("a line about it", async || {
        let words = ["cannot reach", "the name nowhere.invalid cannot be resolved"];
        daemon.err().into_iter().find_map(|(_, line)| holds(&line, &words))
    });
    println!("{}", line.await);
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
}
