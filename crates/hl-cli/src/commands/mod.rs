//! The commands of `hl-cli`, one a file. Each reads what it needs, and answers as a table or as one JSON object.

mod alerts;
mod archive;
mod backfill;
mod backup;
mod chart;
mod cluster;
mod copy;
mod coverage;
mod exchange;
mod export;
mod fields;
mod import;
mod jobs;
mod ledgers;
mod markets;
mod outfile;
mod probe;
mod ps;
mod signals;
mod status;
mod traders;
mod verify;
mod when;

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use hl_archive::{ArchiveError, Retention, Whole};
use hl_core::seam::{Clock, EndpointError, Net, stopped};
use hl_core::store::StoreError;
use hl_core::stream::StreamKeyError;
use hl_host::stores;
use hl_runtime::{SystemClock, TcpNet};
use hl_store::{Inspect, Nameless};
use hl_verify::VerifyError;
use serde::Serialize;
use tokio::sync::watch;

use crate::config::{self, ConfigError, Flag, StoreUri, ThisMachine, Told};
use crate::exit::Exit;
use crate::say::say;

/// How often the progress is drawn where nothing else moves it.
const DRAW_EVERY: Duration = Duration::from_millis(500);

/// Looks into what hl-daemon has collected, and fills its past.
#[derive(Parser, Debug)]
#[command(name = "hl-cli", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hl-cli status                                    what is collected, how fresh, by whom
  hl-cli coverage                                  how complete each stream is, and the gaps to look at
  hl-cli chart --coin BTC --out btc.svg            candles, with what is missing marked
  hl-cli verify --store sqlite:./data/hyperliquid.db
  hl-cli backfill candle --coin BTC --from 2026-11-01
  hl-cli jobs list                                 which jobs there are, and when they run
  hl-cli markets list --dex '*'                    which perpetuals there are, on every dex
  hl-cli traders list                              whom hl-daemon --track follows, the best first
  hl-cli signals                                   what their positions say of each coin
  hl-cli ps                                        what runs, and how it gets on
  hl-cli alerts                                    what needs attention
  hl-cli archive run --dry-run                     which old rows would go to Parquet files
  hl-cli export --stream candle --coin BTC --interval 5m --out btc.parquet
  hl-cli backup --to backup.db                     the store of a running daemon as one file
  hl-cli copy --from sqlite:./data/hyperliquid.db --to mongodb://host/hyperliquid?replicaSet=rs0
  hl-cli import --from mongodb://host/hyperliquid_btc    what the original system has of use
  hl-cli probe                                     whether the exchange behaves as it is believed to

Exit codes: 0 done and clean, 1 failed or unclean, 2 usage, 3 held by another
process, 4 not whole: partly missing or unrecoverable, 5 the exchange behaves otherwise, 6 not all of
it was seen.";

#[derive(Subcommand, Debug)]
enum Command {
    /// What needs attention: open alerts, newest first
    Alerts(alerts::Args),
    /// Moves old rows to Parquet files, lists them, and proves them
    Archive(archive::Args),
    /// Fills the past: bars, funding, trades, or every open gap, as far as the exchange still has it
    Backfill(backfill::Args),
    /// A copy of the store as one file, checked, also while a daemon writes to it
    Backup(backup::Args),
    /// Candles with what is missing marked, as an SVG picture or in the terminal
    Chart(chart::Args),
    /// The daemons that share the store, what each holds, and what is on its way
    Cluster(cluster::Args),
    /// Copies a store into another one, of either kind, and proves that both are equal
    Copy(copy::Args),
    /// How complete each stream is, and every gap with its cause and state
    Coverage(coverage::Args),
    /// Rows of store and archive as one file: Parquet, CSV or NDJSON
    Export(export::Args),
    /// Takes in what is sound of the database of the original system, a Python collector on MongoDB
    Import(import::Args),
    /// The jobs of the daemon: what they do now, what they did, and how to run one at once
    Jobs(jobs::Args),
    /// Which markets there are, what the exchange says of each, and when that changed
    Markets(markets::Args),
    /// Tries on the exchange itself what is believed of it, in about two minutes
    Probe(probe::Args),
    /// Everything that runs on the store: sources, sessions, collectors, jobs, writers
    Ps(ps::Args),
    /// What the positions of tracked traders say of each coin, what they said before, and what a strategy would have said
    Signals(signals::Args),
    /// What is collected, how fresh it is, and who is at it
    Status(status::Args),
    /// Whom to track of the leaderboard: who was chosen, how each was scored, and when that changed
    Traders(traders::Args),
    /// Proves that a store is consistent, and with --truth that it equals what a simulated exchange did
    Verify(verify::Args),
}

/// What every command takes.
#[derive(clap::Args, Debug)]
struct Common {
    /// The store, sqlite:PATH or mongodb://HOST/DATABASE [default: that of the network, as for hl-daemon; where no
    /// network is named either, sqlite:./data/hyperliquid.db, or the only one in ./data] [env: HL_STORE]
    #[arg(long, value_name = "URI")]
    store: Option<String>,
    /// The exchange: mainnet, testnet, sim, or the base URL of another [default: mainnet] [env: HL_NETWORK]
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Read options from this TOML file, the same as hl-daemon's; what only hl-daemon has is left alone [env: HL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Answer with one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What every command takes that asks the exchange.
#[derive(clap::Args, Debug)]
struct LocalArgs {
    /// Reach the exchange from this address of this machine [default: as the system routes] [env: HL_LOCAL_ADDRESS]
    #[arg(long, value_name = "IP")]
    local_address: Option<String>,
    /// What this machine is called in the store, the same as for hl-daemon: with mongodb:// request weight is counted by it
    /// [default: the host name] [env: HL_NAME]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl LocalArgs {
    fn flags(&self) -> [Flag<'_>; 2] {
        [
            ("local-address", self.local_address.as_deref().into_iter().collect()),
            ("name", self.name.as_deref().into_iter().collect()),
        ]
    }
}

/// What every command takes that reads old rows.
#[derive(clap::Args, Debug)]
struct ArchiveArgs {
    /// The archive [default: archive beside the store, as for hl-daemon] [env: HL_ARCHIVE]
    #[arg(long, value_name = "DIR")]
    archive: Option<String>,
}

impl ArchiveArgs {
    fn flag(&self) -> Flag<'_> {
        ("archive", self.archive.as_deref().into_iter().collect())
    }
}

/// The store that a command looks into, and its archive.
struct ArchivePlace {
    store: StoreUri,
    folder: PathBuf,
    retention: Retention,
}

/// A command did not come to an answer.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("--local-address {address}: this machine cannot connect from there: {source}")]
    LocalAddress { address: IpAddr, source: io::Error },
    #[error(transparent)]
    Nameless(#[from] Nameless),
    #[error("--stream: {0}")]
    Stream(#[from] StreamKeyError),
    #[error("--truth: {0}")]
    Url(#[from] EndpointError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Probe(#[from] probe::ProbeFailure),
    #[error(transparent)]
    Backfill(#[from] backfill::BackfillFailure),
    #[error(transparent)]
    Backup(#[from] backup::BackupFailure),
    #[error(transparent)]
    Copy(#[from] copy::CopyFailure),
    #[error(transparent)]
    Import(#[from] import::ImportFailure),
    #[error(transparent)]
    Job(#[from] jobs::JobFailure),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Export(#[from] export::ExportFailure),
    #[error(transparent)]
    Chart(#[from] chart::ChartFailure),
    #[error(transparent)]
    Markets(#[from] markets::MarketsFailure),
    #[error(transparent)]
    Signals(#[from] signals::SignalsFailure),
    #[error(transparent)]
    Traders(#[from] traders::TradersFailure),
    #[error(transparent)]
    Wish(#[from] export::wish::WishError),
    #[error(transparent)]
    Coin(#[from] ledgers::UnknownCoin),
    #[error(transparent)]
    Range(#[from] when::EmptyRange),
    #[error(transparent)]
    OutFile(#[from] outfile::OutFileError),
    #[error("writing the answer: {0}")]
    Output(#[from] io::Error),
    #[error("writing the answer as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl CommandError {
    fn exit(&self) -> Exit {
        match self {
            Self::Config(_)
            | Self::LocalAddress { .. }
            | Self::Nameless(_)
            | Self::Stream(_)
            | Self::Url(_)
            | Self::Coin(_)
            | Self::Wish(_)
            | Self::Range(_) => Exit::Usage,
            Self::OutFile(failure) => failure.exit(),
            Self::Backfill(failure) => failure.exit(),
            Self::Backup(failure) => failure.exit(),
            Self::Copy(failure) => failure.exit(),
            Self::Import(failure) => failure.exit(),
            Self::Job(failure) => failure.exit(),
            Self::Probe(failure) => failure.exit(),
            Self::Export(failure) => failure.exit(),
            Self::Chart(failure) => failure.exit(),
            Self::Markets(failure) => failure.exit(),
            Self::Signals(failure) => failure.exit(),
            Self::Traders(failure) => failure.exit(),
            Self::Archive(ArchiveError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Exit::Done
            }
            _ => Exit::Failed,
        }
    }
}

/// What a command is given: the outside world, and where to answer.
struct Shell<'a> {
    environment: Vec<(OsString, OsString)>,
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    out: &'a mut (dyn Write + Send),
}

impl Shell<'_> {
    /// What the command is told by flags that it shares with the daemon, by variables and by the daemon's file.
    fn told(&self, common: &Common, flags: &[Flag<'_>]) -> Result<Told<'static>, ConfigError> {
        let Common { store, network, config, .. } = common;
        let mut all = vec![
            ("store", store.as_deref().into_iter().collect()),
            ("network", network.as_deref().into_iter().collect()),
        ];
        all.extend_from_slice(flags);
        Told::new(config.as_deref(), &all, self.environment.iter().cloned(), &ThisMachine)
    }

    /// The network, from the local address that was asked for, and that address.
    fn outward(&self, told: &Told<'_>) -> Result<(Arc<dyn Net>, Option<IpAddr>), CommandError> {
        let Some(address) = told.local_address()? else {
            return Ok((Arc::clone(&self.net), None));
        };
        let net =
            TcpNet::from_address(address).map_err(|source| CommandError::LocalAddress { address, source })?;
        Ok((Arc::new(net), Some(address)))
    }

    /// The store to look into.
    fn store(&self, common: &Common) -> Result<StoreUri, ConfigError> {
        let (store, word) = self.told(common, &[])?.store_to_look_into()?;
        remark(word);
        Ok(store)
    }

    /// What this machine is called.
    fn name(&self, told: &Told<'_>) -> Result<String, CommandError> {
        Ok(stores::name(told.name()?.as_deref())?)
    }

    async fn open(&self, common: &Common) -> Result<Box<dyn Inspect>, CommandError> {
        Ok(stores::inspect(&self.store(common)?).await?)
    }

    /// The store together with its archive.
    async fn open_whole(&self, common: &Common, archive: &ArchiveArgs) -> Result<Whole, CommandError> {
        let place = self.archive_place(common, archive, &[])?;
        Ok(Whole::new(stores::inspect(&place.store).await?, place.folder))
    }

    fn archive_place(
        &self,
        common: &Common,
        archive: &ArchiveArgs,
        retention: &[String],
    ) -> Result<ArchivePlace, ConfigError> {
        let retention = ("retention", retention.iter().map(String::as_str).collect());
        let told = self.told(common, &[archive.flag(), retention])?;
        let (store, word) = told.store_to_look_into()?;
        remark(word);
        Ok(ArchivePlace { folder: told.archive(&store), retention: told.retention()?, store })
    }

    /// Writes an answer in the form that was asked for.
    fn answer(&mut self, common: &Common, json: &impl Serialize, text: &str) -> Result<(), CommandError> {
        self.answer_as(common.json, json, text)
    }

    fn answer_as(&mut self, as_json: bool, json: &impl Serialize, text: &str) -> Result<(), CommandError> {
        let line = if as_json { serde_json::to_string(json)? + "\n" } else { text.to_owned() };
        match self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()) {
            // The reader has seen enough (`hl-cli verify | head -1`): what was found out holds all the same.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }
}

/// Says which store is looked into, where that is not the one that was to be expected.
fn remark(word: Option<String>) {
    if let Some(word) = word {
        say!("hl-cli: {word}");
    }
}

/// Works until it is done, or until `stop`; draws the progress meanwhile. None where it was stopped.
async fn interruptible<T>(
    stop: &mut watch::Receiver<bool>,
    draw: impl Fn(),
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::pin!(work);
    let mut every = tokio::time::interval(DRAW_EVERY);
    loop {
        tokio::select! {
            biased;
            () = stopped(stop) => return None,
            ended = &mut work => return Some(ended),
            _ = every.tick() => draw(),
        }
    }
}

/// Runs the command of this process.
#[must_use]
pub fn run_process() -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say!("hl-cli: starting: {error}");
            return Exit::Failed;
        }
    };
    let mut shell = Shell {
        environment: std::env::vars_os().collect(),
        net: Arc::new(TcpNet::new()),
        clock: Arc::new(SystemClock),
        out: &mut io::stdout(),
    };
    runtime.block_on(run(std::env::args_os(), &mut shell))
}

async fn run(arguments: impl IntoIterator<Item = OsString>, shell: &mut Shell<'_>) -> Exit {
    let done = match Cli::try_parse_from(arguments) {
        Ok(Cli { command: Command::Alerts(args) }) => alerts::run(&args, shell).await,
        Ok(Cli { command: Command::Archive(args) }) => archive::run(&args, shell).await,
        Ok(Cli { command: Command::Export(args) }) => export::run(&args, shell).await,
        Ok(Cli { command: Command::Backfill(args) }) => backfill::run(&args, shell).await,
        Ok(Cli { command: Command::Backup(args) }) => backup::run(&args, shell).await,
        Ok(Cli { command: Command::Chart(args) }) => chart::run(&args, shell).await,
        Ok(Cli { command: Command::Cluster(args) }) => cluster::run(&args, shell).await,
        Ok(Cli { command: Command::Copy(args) }) => copy::run(&args, shell).await,
        Ok(Cli { command: Command::Coverage(args) }) => coverage::run(&args, shell).await,
        Ok(Cli { command: Command::Import(args) }) => import::run(&args, shell).await,
        Ok(Cli { command: Command::Jobs(args) }) => jobs::run(&args, shell).await,
        Ok(Cli { command: Command::Markets(args) }) => markets::run(&args, shell).await,
        Ok(Cli { command: Command::Probe(args) }) => probe::run(&args, shell).await,
        Ok(Cli { command: Command::Ps(args) }) => ps::run(&args, shell).await,
        Ok(Cli { command: Command::Status(args) }) => status::run(&args, shell).await,
        Ok(Cli { command: Command::Signals(args) }) => signals::run(&args, shell).await,
        Ok(Cli { command: Command::Traders(args) }) => traders::run(&args, shell).await,
        Ok(Cli { command: Command::Verify(args) }) => verify::run(&args, shell).await,
        Err(error) => Err(ConfigError::from(error).into()),
    };
    match done {
        Ok(exit) => exit,
        Err(CommandError::Config(error)) => config::complain("hl-cli", &error),
        Err(error) => {
            let exit = error.exit();
            if exit != Exit::Done {
                say!("hl-cli: {}", config::mask_words(&error.to_string()));
            }
            exit
        }
    }
}

#[cfg(test)]
mod tests;
