//! `hl-cli copy`: a store into another one, of either kind.
//!
//! What lives here: which stores, the progress, and the answer. How it is copied and compared is `hl_store::transfer`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use hl_archive::{ArchiveError, Files};
use hl_core::archive::Part;
use hl_core::ledger::Span;
use hl_core::store::StoreError;
use hl_host::stores::{self, Signed};
use hl_store::transfer::{self, Copied, CopyError, Difference, Incoming, Options, Outgoing};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{ArchiveArgs, CommandError, Shell, interruptible};
use crate::compose::shutdown;
use crate::config::{ConfigError, Place, StoreUri, ThisMachine, Told};
use crate::exit::Exit;
use crate::human;
use crate::say::say;

/// What the session is called in the target.
const ROLE: &str = "hl-cli copy";
/// How often it is looked whether the lease of a copy that was killed has run out.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// So many differences are shown in the table; JSON has them all.
const SHOWN: usize = 20;
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli copy --from sqlite:./data/hyperliquid.db --to 'mongodb://host/hyperliquid?replicaSet=rs0'
  hl-cli copy --from 'mongodb://host/hyperliquid?replicaSet=rs0' --to sqlite:./copy.db
  hl-cli copy --from sqlite:./data/hyperliquid.db --to sqlite:/backup/hyperliquid.db --json

Copied is all that the store knows: rows of every kind, covered pieces, gaps and what became of
them, edges, recorded parts of the archive, runs of jobs, statistics, alerts, notes. Not copied are
files: those of the archive (give the collector the same --archive as before), raw frames and the
spool. Files of the archive that are on this machine are compared with their records. A
spool that is not empty is drained by a collector that is started on the source once more.

Both stores are to be left alone meanwhile: stop the collectors first, and let them go on with the
copy. The source is only read. The target has to be empty, or hold an interrupted copy of the same
source: then the same command goes on where it stopped. At the end both are read and compared, by
number and digest, stream by stream and day by day; given once more the command only compares.

Exit codes: 0 copied and equal, 1 failed, not equal, or a damaged file in the archive, 2 usage, 3 one of both is in use, 130 interrupted.")]
pub(super) struct Args {
    /// The store to copy, sqlite:PATH or mongodb://HOST/DATABASE
    #[arg(long, value_name = "URI")]
    from: String,
    /// The store to make
    #[arg(long, value_name = "URI")]
    to: String,
    /// Items a transaction: fewer for a weak server
    #[arg(long, value_name = "ITEMS", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    page: u32,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Answer with one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// A copy did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyFailure {
    /// Onto itself.
    #[error("--to: that is the store to copy itself")]
    Same,
    /// What was copied is kept, where anything was.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

impl CopyFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Same => Exit::Usage,
            Self::Copy(CopyError::InUse { .. } | CopyError::Elsewhere) => Exit::Held,
            Self::Copy(_) => Exit::Failed,
        }
    }
}

#[derive(Serialize)]
struct Answer {
    from: String,
    to: String,
    /// Items written now, and by a copy before that was interrupted.
    written: u64,
    resumed: u64,
    /// Items that were compared.
    compared: u64,
    equal: bool,
    differences: Vec<Difference>,
    /// Files of the archive that are recorded, and stay where they are.
    archive_files_not_copied: u64,
    /// Those of them that are not in the archive's folder on this machine.
    archive_files_not_there: u64,
    /// Those of them that are not what was recorded, in words.
    archive_files_damaged: Vec<String>,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let (from, to) = (store(&args.from, "from")?, store(&args.to, "to")?);
    if is_same(&from, &to) {
        return Err(CopyFailure::Same.into());
    }
    let mut stop = shutdown::signal();
    let source = stores::outgoing(&from).await.map_err(|error| of("source", error))?;
    let last = transfer::ready(source.as_ref()).await.map_err(CopyFailure::from)?;
    let of_target = |error| of("target", error);
    let archive = [args.archive.flag()];
    let told = Told::new(None, &archive, shell.environment.iter().cloned(), &ThisMachine)?;
    let name = shell.name(&told)?;
    let signed = Signed { role: ROLE, name: &name };
    let target = stores::incoming(&to, signed, &shell.clock, last).await.map_err(of_target)?;
    let written = stores::outgoing(&to).await.map_err(of_target)?;
    let bar = Bar::new();
    let tell = |told| bar.told(told);
    let options =
        Options { source: from.to_string(), now: shell.clock.now(), page: args.page as usize, told: &tell };
    let working = copy(source.as_ref(), target.as_ref(), written.as_ref(), &options);
    let ended = interruptible(&mut stop, || bar.bar.tick(), working).await;
    bar.bar.finish_and_clear();
    target.close().await.map_err(of_target)?;
    let Some(copied) = ended else {
        say!("hl-cli: interrupted; what was copied is kept, the same command goes on from there");
        return Ok(Exit::Interrupted);
    };
    let mut answer = Answer::new(&from, &to, copied.map_err(CopyFailure::from)?);
    let parts = stores::inspect(&from).await?.parts(None, Span::EVER).await?;
    let files = Files::new(told.archive(&from));
    let bar = Bar::new();
    let looking = answer.look_at(&files, &parts, &bar.bar);
    let looked = interruptible(&mut stop, || bar.bar.tick(), looking).await;
    bar.bar.finish_and_clear();
    if looked.is_none() {
        say!("hl-cli: interrupted; all is copied and compared, the files of the archive are not");
        return Ok(Exit::Interrupted);
    }
    shell.answer_as(args.json, &answer, &answer.text())?;
    if answer.archive_files_not_copied > 0 {
        say!(
            "hl-cli: {} files of the archive stay where they are; give the collector the same --archive as before",
            answer.archive_files_not_copied
        );
    }
    for damaged in &answer.archive_files_damaged {
        say!("hl-cli: {damaged}");
    }
    Ok(if answer.equal && answer.archive_files_damaged.is_empty() { Exit::Done } else { Exit::Failed })
}

fn of(side: &'static str, error: StoreError) -> CopyFailure {
    CopyError::Store { side, error }.into()
}

fn store(text: &str, flag: &'static str) -> Result<StoreUri, ConfigError> {
    let parsed: Result<StoreUri, _> = text.parse();
    parsed.map_err(|problem| ConfigError::Value { place: Place::Flag(flag), problem: problem.into() })
}

fn is_same(from: &StoreUri, to: &StoreUri) -> bool {
    let place = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match (from, to) {
        (StoreUri::Sqlite(from), StoreUri::Sqlite(to)) => place(from) == place(to),
        // Another spelling of the same database is refused, since the session of the copy is seen in the source then.
        _ => from == to,
    }
}

/// Copies, once the lease of a copy that was killed shortly before has run out.
async fn copy(
    source: &dyn Outgoing,
    target: &dyn Incoming,
    written: &dyn Outgoing,
    options: &Options<'_>,
) -> Result<Copied, CopyError> {
    let give_up = Instant::now() + target.patience();
    let in_target = |error| CopyError::Store { side: "target", error };
    loop {
        let living = target.sessions(ROLE).await.map_err(in_target)?;
        let is_former =
            living.iter().any(|one| one.holder.token != target.token() && one.holder.role == ROLE);
        if !is_former || Instant::now() >= give_up {
            return transfer::copy(source, target, written, options).await;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The progress bar, on standard error, where that is a terminal.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::no_length();
        bar.set_style(style("{msg} {pos} items, {per_sec}"));
        bar.set_message("copying");
        Self { bar }
    }

    fn told(&self, told: transfer::Told) {
        match told {
            transfer::Told::Resumed(items) => {
                self.bar.set_position(items);
                self.bar.reset_eta();
            }
            transfer::Told::Written(items) | transfer::Told::Compared(items) => self.bar.inc(items),
            transfer::Told::Comparing(items) => {
                self.bar.set_style(style("{msg} [{bar:30}] {percent}%, {eta} left"));
                self.bar.set_message("comparing");
                // Of either side.
                self.bar.set_length(2 * items);
                self.bar.set_position(0);
                self.bar.reset_eta();
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are our own; the plain bar would do as well.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

impl Answer {
    fn new(from: &StoreUri, to: &StoreUri, copied: Copied) -> Self {
        let Copied { written, resumed, compared, files, differences, .. } = copied;
        Self {
            from: from.to_string(),
            to: to.to_string(),
            written,
            resumed,
            compared,
            equal: differences.is_empty(),
            differences,
            archive_files_not_copied: files,
            archive_files_not_there: 0,
            archive_files_damaged: Vec::new(),
        }
    }

    /// Compares the files of the archive with what is recorded of them: a user who moves a store looks at it for the last time.
    async fn look_at(&mut self, files: &Files, parts: &[Part], bar: &ProgressBar) {
        bar.set_message("files of the archive:");
        bar.set_style(style("{msg} {pos}"));
        for part in parts.iter().filter(|part| part.path.is_some()) {
            match files.check(part) {
                Ok(()) => {}
                Err(ArchiveError::Missing(_)) => self.archive_files_not_there += 1,
                Err(error) => self.archive_files_damaged.push(error.to_string()),
            }
            bar.inc(1);
            tokio::task::yield_now().await;
        }
    }

    fn text(&self) -> String {
        let Self { from, to, written, resumed, compared, .. } = self;
        let before = if *resumed > 0 { format!(", {resumed} were there") } else { String::new() };
        let mut text = format!("{written} items written to {to}{before}\n");
        if self.equal {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{compared} items compared: equal to {from}");
            return text;
        }
        let mut table = human::table_of_words(&["what", "stream", "day", "source", "target"], 3);
        for difference in self.differences.iter().take(SHOWN) {
            table.add_row([
                difference.what.clone(),
                difference.stream.map_or("-".to_owned(), |stream| stream.to_string()),
                difference.day.map_or("-".to_owned(), |day| day.to_string()),
                difference.source.to_string(),
                difference.target.to_string(),
            ]);
        }
        let _ = writeln!(text, "{compared} items compared: NOT equal to {from}\n{}", table.trim_fmt());
        if let Some(more) = self.differences.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            let _ = writeln!(text, "… and {more} more; --json has all of them");
        }
        text
    }
}
