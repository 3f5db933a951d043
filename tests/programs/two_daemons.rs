//! Two daemons on one store, as real processes: each stream has one holder, and a dead one is followed.

use serde_json::Value;

use crate::support::process::{Exchange, StoreFile, all_over_ws, answer, run, until};

fn held(store: &Value, pid: u32) -> Vec<String> {
    let streams = store["streams"].as_array().unwrap();
    let of_pid = streams.iter().filter(|stream| stream["holder"]["pid"] == pid);
    of_pid.map(|stream| stream["stream"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_takes_what_the_first_does_not_hold_and_follows_it_when_it_dies() {
    let exchange = Exchange::start(&["--coins", "2", "--seed", "5"]).await;
    let store = StoreFile::new();
    let first = store.daemon(&exchange, &["--coin", "BTC"]);
    store.until_live("the first collects", all_over_ws).await;

    let mut second = store.daemon(&exchange, &["--coin", "BTC", "--coin", "ETH"]);
    let shared = until("the second collects", async || {
        let status = store.status().await;
        (!held(&status, second.pid()).is_empty()).then_some(status)
    })
    .await;
    let (of_first, of_second) = (held(&shared, first.pid()), held(&shared, second.pid()));
    assert_eq!(of_first, ["bbo/BTC", "book/BTC", "candle/BTC/1m", "context/BTC", "mids", "trades/BTC"]);
    assert_eq!(of_second, ["bbo/ETH", "book/ETH", "candle/ETH/1m", "context/ETH", "trades/ETH"]);
    assert!(second.log().contains(&format!("pid={}", first.pid())), "{}", second.log());

    // Nothing is left for a third: it names both holders and goes.
    let words = ["--network", &exchange.base, "--store", &store.uri, "--coin", "BTC", "--coin", "ETH"];
    let third = run("hl-daemon", &words, &[]).await;
    let said = String::from_utf8(third.stderr).unwrap();
    assert_eq!(third.status.code(), Some(3), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("hl-daemon: every stream asked for is held by another process: hl-daemon"),
        "{last}"
    );
    for holder in [&first, &second] {
        assert!(last.contains(&format!("pid {}", holder.pid())), "{last}");
    }

    first.kill().await;
    let all = of_first.len() + of_second.len();
    until("the second has everything", async || {
        (held(&store.status().await, second.pid()).len() == all).then_some(())
    })
    .await;
    store
        .until_live("the sockets own everything", |live| {
            all_over_ws(live) && live["streams"].as_array().unwrap().len() == all
        })
        .await;
    assert_eq!(second.terminate().await.code(), Some(0), "{}", second.log());

    store.verified(&exchange).await;
    let covered = answer(&["coverage", "--store", &store.uri, "--stream", "trades/BTC"]).await;
    let epochs = covered.to_string();
    assert!(epochs.contains("trades/BTC"), "{epochs}");
}
