//! `hl-cli archive`: moves old rows to Parquet files, lists these, and proves them.

mod answer;
mod list;
mod run;
mod verify;

use clap::Subcommand;

use super::{ArchiveArgs, CommandError, Common, Shell};
use crate::exit::Exit;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli archive run --dry-run
  hl-cli archive run --retention trades=30d --retention bbo=7d:delete
  hl-cli archive list --stream trades/BTC
  hl-cli archive verify

It may run beside hl-daemon on the same store, which does the same every night at 00:30 UTC, and it
may be stopped at any time: nothing is lost, and the next run goes on.")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Moves the rows that are past their retention: written, read back, compared, then removed from the store
    #[command(after_help = "\
Examples:
  hl-cli archive run --dry-run
  hl-cli archive run --store sqlite:./data/hyperliquid.db --archive /mnt/archive
  hl-cli archive run --retention candle/1m=3d --retention mids=off --json

The store's file does not shrink; the space is used again.

Exit codes: 0 done, 1 failed, 2 usage, 3 a day is being archived by another process, 4 some rows
stay in the store (the log says why), 130 interrupted.")]
    Run {
        #[command(flatten)]
        place: PlaceArgs,
        /// How long rows stay in the store: trades=90d, bbo=7d:delete, mids=off; repeat it for more [env: HL_RETENTION]
        #[arg(long, value_name = "KIND=DAYS")]
        retention: Vec<String>,
        /// Only show what is due
        #[arg(long)]
        dry_run: bool,
    },
    /// The days in the archive
    #[command(after_help = "\
Examples:
  hl-cli archive list
  hl-cli archive list --stream candle/BTC/1m --json")]
    List {
        #[command(flatten)]
        place: PlaceArgs,
        /// Only this stream, such as trades/BTC or candle/BTC/1m
        #[arg(long, value_name = "STREAM")]
        stream: Option<String>,
    },
    /// Reads every part again: whether it is what was recorded, and agrees with the store and its ledger
    #[command(after_help = "\
Examples:
  hl-cli archive verify
  hl-cli archive verify --store sqlite:./data/hyperliquid.db --archive /mnt/archive --json

Exit code 0: clean. 1: something is wrong, or could not be read.")]
    Verify {
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(clap::Args, Debug)]
struct PlaceArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    archive: ArchiveArgs,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    match &args.what {
        What::Run { place, retention, dry_run } => run::run(place, retention, *dry_run, shell).await,
        What::List { place, stream } => list::run(place, stream.as_deref(), shell).await,
        What::Verify { place } => verify::run(place, shell).await,
    }
}
