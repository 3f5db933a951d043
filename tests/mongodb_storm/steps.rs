//! A primary that steps down every ten seconds.

use std::time::Duration;

use hl_core::seam::Clock as _;
use hl_mongod::ReplicaSet;
use hl_runtime::SystemClock;
use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use crate::history::History;
use crate::support::process::{Exchange, StoreFile, all_over_ws, counter};
use crate::{Outcome, alone, lasting, median_and_worst, setting};

const EVERY: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_steps_down_again_and_again_costs_nothing() {
    let _alone = alone().await;
    let seconds = setting("HL_TEST_STEPS_S", 20);
    let exchange = Exchange::start(&["--coins", "5", "--seed", "11"]).await;
    let set = ReplicaSet::start(3).await.unwrap();
    let store = StoreFile::in_mongodb(set.uri("steps"));
    let mut daemons = ["127.0.0.2", "127.0.0.3"].map(|address| {
        let words = ["--coin", "all", "--local-address", address];
        store.daemon(&exchange, &words)
    });
    store.until_live("the sockets own everything", all_over_ws).await;

    let end = Instant::now() + Duration::from_secs(seconds);
    let mut next = Instant::now();
    let mut steps = Vec::new();
    while next < end {
        sleep_until(next).await;
        steps.push(SystemClock.now().0);
        set.step_down().await.unwrap();
        next += EVERY;
    }
    let before = store.until_live("there is a primary", |_| true).await;
    let committed = counter(&before, "rows_inserted");
    store.until_live("it commits", |live| counter(live, "rows_inserted") > committed).await;
    daemons.iter().for_each(|daemon| daemon.signal(Signal::TERM));
    for daemon in &mut daemons {
        assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    }

    let mut outcome = Outcome::new("steps", seconds);
    outcome.tell("step_downs", "step-downs", steps.len());
    let report = outcome.verify(&store, &exchange).await;
    outcome.tell_none("lasting", "gaps that stayed", lasting(&report));
    let history = History::read(&store.uri).await;
    let pauses = steps.iter().map(|&step| {
        let around = history.commits.windows(2).filter(|pair| pair[1] >= step && pair[0] <= step + 10_000);
        around.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    });
    if let Some((median, worst)) = median_and_worst(pauses.collect()) {
        outcome.tell("pause_median", "longest pause of a step-down, median", median);
        outcome.tell("pause_worst", "… worst", worst);
    }
    outcome.tell("transactions", "transactions in the server's log", history.transactions);
    outcome.tell("rows_compared", "rows in it with their token", history.rows);
    outcome.tell("fillers", "… that closed a gap", history.fillers);
    outcome.tell_none("late", "… written by one who might not", history.broken.len() as u64);
    outcome.broken.extend(history.broken);
    outcome.end();
}
