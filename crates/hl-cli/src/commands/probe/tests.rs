//! The probe in virtual time, against a simulated exchange in memory that behaves as believed, or otherwise.

use std::collections::BTreeSet;

use hl_core::store::prelude::*;
use hl_runtime::{MemoryNet, TokioClock};
use hl_sim::{ASSUMPTIONS, Sim, SimConfig};
use hl_store::{SqliteOptions, SqliteStore, Writer};

use super::assumption::{Verdict, all};
use super::*;

const START: TimeMs = TimeMs(1_790_000_000_000);

/// Probes an exchange that is told to behave otherwise in `assume`.
async fn probed(seed: u64, assume: &[String]) -> Report {
    let net = MemoryNet::new();
    let mut config = SimConfig { seed, start: START, ..SimConfig::default() };
    for text in assume {
        config.assume(text).unwrap();
    }
    let sim = Sim::start(config, net.listen("sim:0").await.unwrap()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(START));
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        path: folder.path().join("budget.db"),
        role: ROLE.to_owned(),
        host: "test".to_owned(),
        pid: 1,
        writer: Writer::Inline { delay_ms: 1 },
        clock: clock.clone(),
    };
    let store = Arc::new(SqliteStore::open(options).await.unwrap());
    let network = Network::Url(sim.endpoint());
    let endpoints = network.endpoints().unwrap();
    let net: Arc<dyn Net> = Arc::new(net);
    let exchange =
        Exchange::new(&network, endpoints.info, network.name(), store.clone(), net.clone(), clock.clone());
    let exchange = exchange.await.unwrap();
    let coins = Coins::Named(vec![NamedCoin { coin: Coin::new("BTC").unwrap(), place: Place::Default }]);
    let ws = endpoints.ws;
    let subject = Subject { network, net, clock, ws, exchange, coins, users: true, seed: Seed(1) };
    let report = probe(&subject, &Progress::new()).await.unwrap();
    // The last goodbye is on its way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sim.status().sockets, 0, "it leaves nothing open");
    store.close().await.unwrap();
    sim.stop().await;
    report
}

fn those(report: &Report, verdict: Verdict) -> Vec<&'static str> {
    report.assumptions.iter().filter(|line| line.verdict == verdict).map(|line| line.id).collect()
}

#[tokio::test(start_paused = true)]
async fn everything_holds_of_an_exchange_that_behaves_as_believed() {
    for seed in 1..4 {
        let begun = tokio::time::Instant::now();
        let report = probed(seed, &[]).await;
        assert!(begun.elapsed() < Duration::from_secs(180), "{:?}", begun.elapsed());
        assert_eq!(report.exit(), Exit::Done, "seed {seed}\n{}", report.text());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["holds"], &json["differs"]), (&ASSUMPTIONS.len().into(), &0.into()));
        assert_eq!(json["assumptions"][0]["verdict"], "holds");
    }
}

#[test]
fn every_assumption_can_be_changed_in_the_simulation() {
    let simulated: BTreeSet<_> = ASSUMPTIONS.iter().map(|a| a.name).collect();
    let probed: BTreeSet<_> = all(true).map(|a| a.id).collect();
    assert_eq!(probed, simulated);
}

#[tokio::test(start_paused = true)]
async fn exactly_what_differs_is_named() {
    for a in ASSUMPTIONS {
        let changed = format!("{}={}", a.name, a.other);
        let report = probed(7, std::slice::from_ref(&changed)).await;
        let text = report.text();
        assert_eq!(those(&report, Verdict::Differs), [a.name], "{changed}\n{text}");
        assert_eq!(those(&report, Verdict::NotSeen), [""; 0], "{changed}\n{text}");
        assert_eq!(report.exit(), Exit::Differs, "{changed}");
    }
}
