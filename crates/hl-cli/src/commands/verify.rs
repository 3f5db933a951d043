//! `hl-cli verify`: the proof.

use std::sync::Arc;

use hl_core::seam::Endpoint;

use super::{ArchiveArgs, CommandError, Common, Shell};
use crate::exit::Exit;
use crate::verify::{HttpTruth, Truth, verify};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli verify
  hl-cli verify --store sqlite:./demo.db --truth http://127.0.0.1:4001 --json

Exit code 0: clean; recorded gaps are not wrong. 1: something is wrong, or could not be read.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Base URL of the simulated exchange that the store was collected from
    #[arg(long, value_name = "URL")]
    truth: Option<String>,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let base: Option<Endpoint> = args.truth.as_deref().map(str::parse).transpose()?;
    let store = shell.open_whole(&args.common, &args.archive).await?;
    let truth = base.map(|base| HttpTruth::new(Arc::clone(&shell.net), base));
    let truth = truth.as_ref().map(|truth| truth as &dyn Truth);
    // A simulated exchange has a time of its own.
    let now = truth.is_none().then(|| shell.clock.now());
    let report = verify(&store, truth, now).await?;
    shell.answer(&args.common, &report, &report.text())?;
    Ok(if report.clean { Exit::Done } else { Exit::Failed })
}
