//! Whom to track, without a daemon: reads a leaderboard, scores its traders, and prints the best.
//!
//! `cargo run --example traders` needs no network.

use std::collections::BTreeSet;

use hl_sim::{Sim, SimConfig};
use hyperliquid_collector::collectors::files;
use hyperliquid_collector::core::decode::leaderboard::Reader;
use hyperliquid_collector::traders::{Rules, Selection};
use hyperliquid_collector::{Clock as _, Net as _, SystemClock, TcpNet};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = SystemClock;
    let exchange = TcpNet::new().listen("127.0.0.1:0").await?;
    let endpoint = exchange.endpoint();
    let sim = Sim::start(SimConfig { traders: 500, start: clock.now(), ..SimConfig::default() }, exchange)?;

    // The file has 35 MB on the real exchange: its rows are read piece by piece, and no piece is kept.
    let file = files::get(&TcpNet::new(), &endpoint, "/Mainnet/leaderboard").await?;
    let rules = Rules { track: 10, minimum_score: 60.into(), ..Rules::default() };
    let mut selection = Selection::new(&rules, BTreeSet::new());
    let (mut reader, mut leaders) = (Reader::new(clock.now()), Vec::new());
    for piece in file.chunks(64 << 10) {
        reader.push(piece, &mut leaders)?;
        leaders.drain(..).for_each(|leader| selection.see(&leader));
    }
    let tally = reader.end(&mut leaders)?;
    leaders.drain(..).for_each(|leader| selection.see(&leader));

    let mut chosen = selection.finish(clock.now(), clock.now(), true);
    chosen.sort_by_key(|trader| trader.rank);
    println!("{} traders on the leaderboard; the best:", tally.rows);
    for trader in chosen {
        let score = trader.score.unwrap_or_default().round_dp(1);
        println!("{score:>5}  {}  {}", trader.user, trader.tags);
    }
    sim.stop().await;
    Ok(())
}
