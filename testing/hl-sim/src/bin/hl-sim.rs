//! The simulated exchange as a program.

// Those who read its words may go away, and it goes on: these would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write as _;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hl_core::TimeMs;
use hl_core::seam::{Clock as _, Net as _};
use hl_runtime::{SystemClock, TcpNet};
use hl_sim::{ASSUMPTIONS, FAULTS, Limits, Sim, SimConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};

const EXAMPLES: &str = "Examples:
  hl-sim
  hl-sim --listen 127.0.0.1:4001 --seed 7 --coins 5 --traders 200 --speed 1
  hl-sim --start 1773146070000 --speed 60
  hl-sim --replay frames.jsonl --speed 10
  hl-sim --assume replay=10 --assume candle-count=false

  curl -s 127.0.0.1:4001/info -H 'Content-Type: application/json' -d '{\"type\":\"allMids\"}'
  curl -s 127.0.0.1:4001/sim/status
  curl -s 127.0.0.1:4001/sim/faults -d '{\"kind\":\"mute\",\"stream\":\"trades/BTC\",\"for_ms\":15000}'
  curl -s '127.0.0.1:4001/sim/truth/trades?coin=BTC'";

/// A simulated Hyperliquid exchange: WebSocket at /ws, REST at /info, the chain's JSON-RPC at /evm, control and truth under /sim.
#[derive(Parser)]
#[command(name = "hl-sim", version, after_help = help())]
struct Options {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:4001", value_name = "HOST:PORT")]
    listen: String,
    /// Seed of the market.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Live perpetuals of the first dex, 1 to 1000.
    #[arg(long, default_value_t = 5)]
    coins: usize,
    /// Outcomes that have not settled, with two coins each, 0 to 100.
    #[arg(long, default_value_t = 1)]
    outcomes: usize,
    /// Traders, 4 to 100000.
    #[arg(long, default_value_t = 200)]
    traders: usize,
    /// How many times as often as usual quotes move and takers come, 0.0001 to 100.
    #[arg(long, default_value_t = 1.0)]
    activity: f64,
    /// How many of 10,000 takers of perpetuals are liquidations instead, 0 to 10000. They change the market of a seed.
    #[arg(long, default_value_t = 0, value_name = "N")]
    liquidations: u32,
    /// Simulated seconds in a second, above 0, at most 1000. A collector takes no stamp that is more than 5 s ahead of what it
    /// knows of the time: where frames come with pauses it keeps up with a speed of about 4.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Simulated time at the start, milliseconds since 1970 [default: now].
    #[arg(long, value_name = "TIME_MS")]
    start: Option<i64>,
    /// Play back a recording instead of making a market.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// JSON-RPC requests to /evm that are granted in a minute.
    #[arg(long, default_value_t = Limits::default().chain_requests, value_name = "N")]
    chain_requests: usize,
    /// A network without a chain: there is no /evm.
    #[arg(long)]
    no_chain: bool,
    /// Behave otherwise than the exchange is believed to; repeat it for more. The names are listed below.
    #[arg(long, value_name = "NAME=VALUE")]
    assume: Vec<String>,
}

/// What stands below the options.
fn help() -> String {
    let mut text = format!("{EXAMPLES}\n\nWhat --assume changes, with what is believed:\n");
    for a in ASSUMPTIONS {
        let believed = format!("{}={}", a.name, a.believed);
        text.push_str(&format!("  {believed:<22} {}\n", a.means));
    }
    text.push_str("\nWhat POST /sim/faults takes, each with for_ms, how long it lasts, and times, how often it strikes:\n");
    for (json, means) in FAULTS {
        text.push_str(&format!("  {json:<75} {means}\n"));
    }
    text.push_str("`hl-cli probe --network URL` names what differs.");
    text
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .init();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            let _ = writeln!(std::io::stderr(), "hl-sim: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = SimConfig {
        seed: options.seed,
        coins: options.coins,
        outcomes: options.outcomes,
        traders: options.traders,
        activity: options.activity,
        liquidations: options.liquidations,
        speed: options.speed,
        start: options.start.map_or_else(|| SystemClock.now(), TimeMs),
        replay: options.replay,
        chain: !options.no_chain,
        limits: Limits { chain_requests: options.chain_requests, ..Limits::default() },
        ..SimConfig::default()
    };
    for text in &options.assume {
        config.assume(text).map_err(|error| format!("--assume: {error}"))?;
    }
    let listener = TcpNet::new()
        .listen(&options.listen)
        .await
        .map_err(|e| format!("cannot listen on {}: {e}", options.listen))?;
    let sim = Sim::start(config, listener)?;
    // Before it says that it listens: a program that reads this may end it at once.
    let mut ends = Ends::listen()?;
    let _ = writeln!(std::io::stdout(), "hl-sim listens on {}", sim.endpoint());
    ends.asked().await;
    sim.stop().await;
    Ok(())
}

/// The requests to end that this process listens for.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    /// From now on a request is heard.
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Ends at an interrupt or a request to terminate.
    async fn asked(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
