//! Jobs by hand and by plan, as real processes: `hl-cli jobs` beside a daemon on a simulated exchange.

use serde_json::Value;

use crate::support::process::{Exchange, StoreFile, all_over_ws, answer, run, until};

fn job<'a>(list: &'a Value, id: &str) -> &'a Value {
    list["jobs"].as_array().unwrap().iter().find(|job| job["id"] == id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_run_and_remembered() {
    let exchange = Exchange::start(&["--coins", "2", "--seed", "8"]).await;
    let store = StoreFile::new();
    let by_hand = ["--coin", "BTC,ETH", "--job", "collect_funding=by hand"];
    let mut daemon = store.daemon(&exchange, &by_hand);
    store.until_live("the sockets own everything", all_over_ws).await;

    let on = |words: &[&'static str]| -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).chain(["--store".to_owned(), store.uri.clone()]).collect()
    };
    let list = async || {
        let words = on(&["jobs", "list"]);
        answer(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    let seen = until("the socket has withdrawn the fallbacks", async || {
        let list = list().await;
        (job(&list, "collect_trades")["state"] == "withdrawn").then_some(list)
    })
    .await;
    for id in ["collect_orderbook", "collect_trades", "update_ticker", "collect_mids"] {
        assert_eq!(job(&seen, id)["state"], "withdrawn", "{id}: the socket has its streams");
    }
    assert_eq!(job(&seen, "collect_funding")["state"], "idle");
    assert_eq!(job(&seen, "collect_funding")["schedule"], "by hand");

    let words = on(&["jobs", "run", "collect_funding"]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let row = answer(&words).await;
    assert_eq!((&row["outcome"], &row["attempt"]), (&"succeeded".into(), &1.into()), "{row}");
    assert!(row["rows"].as_u64().unwrap() >= 2 * 20, "a day of hours of two coins: {row}");
    let again = answer(&words).await;
    assert_eq!(
        (&again["outcome"], &again["rows"]),
        (&"succeeded".into(), &0.into()),
        "nothing twice: {again}"
    );
    let words = on(&["jobs", "run", "collect_daily_stats"]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let figures = answer(&words).await;
    assert!(figures["rows"].as_u64().unwrap() > 30 * 2 * 4, "a month of two coins, four files: {figures}");
    assert_eq!(answer(&words).await["rows"], 0, "no day twice");
    let words = on(&["jobs", "run", "archive_all_collections"]);
    let moved = answer(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(
        (&moved["outcome"], &moved["rows"]),
        (&"succeeded".into(), &0.into()),
        "nothing is old: {moved}"
    );
    let words = on(&["jobs", "history", "collect_funding"]);
    let history = answer(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(history["runs"].as_array().unwrap().len(), 2, "{history}");
    assert_eq!(history["runs"][1], row);

    for (words, code, says) in [
        (["jobs", "run", "collect_trades"], 2, "runs when a stream needs it"),
        (["jobs", "run", "collect_fundign"], 2, r#"did you mean "collect_funding"?"#),
        (["jobs", "history", "what"], 2, "unknown job"),
    ] {
        let output = run("hl-cli", &[&words[..], &["--store", &store.uri]].concat(), &[]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(says), "{words:?}: {said}");
    }

    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    let seen = list().await;
    assert_eq!(job(&seen, "collect_funding")["state"], "stopped");
    assert_eq!(job(&seen, "collect_funding")["last"]["outcome"], "succeeded");
    let output = run("hl-cli", &["jobs", "run", "collect_funding", "--store", &store.uri], &[]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("start hl-daemon"), "{said}");
    store.verified(&exchange).await;
}
