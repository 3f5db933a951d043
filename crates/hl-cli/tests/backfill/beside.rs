//! Beside a daemon on the same store, and by the daemon itself.

use std::process::Stdio;

use hl_core::ledger::Span;
use hl_core::{Coin, Interval, Records, StreamKey, TimeMs};
use hl_store::{Inspect as _, SqliteStore};

use crate::{DAY, MINUTE, START, World, coin, command, interrupt, minutes, ms, until};

#[tokio::test]
async fn beside_a_daemon_only_what_lies_below_its_edge_is_touched() {
    let world = World::new(1.0).await;
    let daemon = world.daemon("candles,trades");
    let held = until("the daemon's edge", async || world.edge(minutes()).await).await;
    assert_eq!(held.1.as_deref(), Some("hl-daemon"));
    let to = START.floor(MINUTE);
    let from = to - 200 * MINUTE;
    // Far beyond the edge, which stays the daemon's.
    let beyond = ms(world.sim.now() + DAY);
    let arguments = ["candles", "--coin", "BTC", "--from", &ms(from), "--to", &beyond];
    // The daemon looks after open gaps as well, and may be at this one just now.
    let said = until("its turn", async || {
        let said = world.backfill(&arguments).await;
        (said.code != Some(3)).then_some(said)
    })
    .await;
    said.exits(0);
    let truth = world.sim.truth_candles(coin(), Interval::M1, from, to - 1);
    assert_eq!(world.rows(minutes(), from, to - 1).await, Records::Candles(truth));
    let said = world.backfill(&["trades", "--coin", "BTC"]).await.exits(0);
    assert!(said.err.contains("trades/BTC: the newest is collected by hl-daemon"), "{}", said.err);

    let still = world.edge(minutes()).await.unwrap();
    assert_eq!(still.1.as_deref(), Some("hl-daemon"), "the lease stays where it was");
    assert!(held.0 <= still.0 && still.0 <= world.sim.now() + MINUTE, "{still:?}");
    interrupt(daemon).await.exits(0);
    world.verify().await;
    world.sim.stop().await;
}

#[tokio::test]
async fn beside_a_daemon_that_has_just_begun_a_quiet_coin_gets_its_past() {
    let world = World::of(1.0, 12).await;
    let quiet =
        *world.sim.coins().iter().rfind(|coin| coin.as_str().chars().all(char::is_alphanumeric)).unwrap();
    let stream = StreamKey::Candle(quiet, Interval::M1);
    let mut command =
        command(env!("CARGO_BIN_EXE_hl-daemon"), &["--coin", quiet.as_str(), "--streams", "candles"]);
    command.args(["--network", &world.url(), "--store", &world.store()]);
    let daemon = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the daemon's lease", async || {
        let leases = SqliteStore::inspect(world.file()).ok()?.leases().await.ok()?;
        leases.into_iter().find(|lease| lease.stream == stream && lease.holder.is_some())
    })
    .await;
    // Whether it has said by now where its past ends or not: the answer is the same. A bar that ended a moment ago, and behind
    // which nothing was traded, may be an old version of itself.
    let to = START.floor(MINUTE) - 6 * MINUTE;
    let from = to - 300 * MINUTE;
    let arguments = ["candles", "--coin", quiet.as_str(), "--from", &ms(from), "--to", &ms(to)];
    let said = until("its turn", async || {
        let said = world.backfill(&arguments).await;
        (said.code != Some(3)).then_some(said)
    })
    .await
    .exits(0);
    let truth = world.sim.truth_candles(quiet, Interval::M1, from, to - 1);
    assert!(!truth.is_empty());
    assert_eq!(world.rows(stream, from, to - 1).await, Records::Candles(truth), "{}", said.err);
    interrupt(daemon).await.exits(0);
    world.verify().await;
    world.sim.stop().await;
}

#[tokio::test]
async fn a_newcomer_has_the_bars_of_days_in_the_first_minute() {
    let world = World::of(1.0, 3).await;
    let began = world.sim.now();
    let mut command = command(env!("CARGO_BIN_EXE_hl-daemon"), &["--coin", "all", "--streams", "candles"]);
    command.args(["--backfill", "1d", "--network", &world.url(), "--store", &world.store()]);
    let daemon = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Of each coin, also of the one that hardly trades: what lies a day back, and what lies minutes back.
    let (from, to) = (began.floor(MINUTE) - DAY + 10 * MINUTE, began.floor(MINUTE) - 5 * MINUTE);
    let coins: Vec<Coin> = ["BTC", "ETH", "SOL"].map(|name| Coin::new(name).unwrap()).to_vec();
    for &coin in &coins {
        let truth = Records::Candles(world.sim.truth_candles(coin, Interval::M1, from, to - 1));
        let stream = StreamKey::Candle(coin, Interval::M1);
        until("a day of bars", async || {
            let inspect = SqliteStore::inspect(world.file()).ok()?;
            let rows = inspect.rows(stream, Span::new(from, to - 1)).await.ok()?;
            (rows == truth).then_some(())
        })
        .await;
    }
    let said = world.coverage(&["--from", &ms(from), "--to", &ms(to)]).await;
    assert_eq!((&said["complete"], &said["gaps_to_look_at"]), (&1.0.into(), &0.into()), "{said:#}");
    interrupt(daemon).await.exits(0);
    world.verify().await;
    world.sim.stop().await;
}

#[tokio::test]
async fn a_daemon_that_comes_later_begins_at_the_edge() {
    let world = World::new(1.0).await;
    let from = START.floor(MINUTE) - 100 * MINUTE;
    let said = world.backfill(&["candles", "--coin", "BTC", "--from", &ms(from)]).await.exits(0);
    let end = TimeMs(said.number("to"));
    assert_eq!(world.edge(minutes()).await.unwrap(), (end, None), "at the last final bar, and free");

    let daemon = world.daemon("candles");
    let edge = until("the daemon's edge", async || {
        world.edge(minutes()).await.map(|(edge, _)| edge).filter(|edge| *edge > end)
    })
    .await;
    interrupt(daemon).await.exits(0);
    let inspect = SqliteStore::inspect(world.file()).unwrap();
    let covered = inspect.coverage(Some(minutes())).await.unwrap().into_iter().map(|piece| piece.span);
    let gaps = inspect.gaps(Some(minutes())).await.unwrap().into_iter().map(|gap| gap.span);
    let mut known: Vec<_> = covered.chain(gaps).collect();
    known.sort();
    let reached = known.iter().fold(from, |reached, span| {
        assert!(span.from <= reached, "a hole at {reached}: {known:?}");
        reached.max(span.to)
    });
    assert!(reached >= edge, "{reached} {edge}");
    world.verify().await;
    world.sim.stop().await;
}
