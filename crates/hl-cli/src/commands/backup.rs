//! `hl-cli backup`: a store in use as one file.
//!
//! What lives here: which store, the progress, and the answer. How it is copied and checked is `SqliteStore::backup`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use hl_core::row::Table;
use hl_store::{BackedUp, BackupProgress, SqliteStore};
use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{CommandError, Common, Shell, interruptible};
use crate::compose::shutdown;
use crate::config::StoreUri;
use crate::exit::Exit;
use crate::say::say;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli backup --to backup.db
  hl-cli backup --to /backup/$(date +%F).db --json
  hl-cli backup --to backup.db --force              replace the one of yesterday
  hl-daemon --store sqlite:backup.db                a backup is a store: collect into it, or read it

Safe beside a running daemon, which goes on meanwhile: the copy is the store as it was at one moment.
It is checked before it gets its name: SQLite's integrity check, and as many rows in every table as the
store had. Copying the file of a running daemon with cp is not safe: its last rows are in the log beside it.

Not in the copy: files of the archive, which never change once they are there (copy them with any tool),
and the spool. A store on MongoDB is backed up with mongodump, or with hl-cli copy.

Exit codes: 0 made and checked, 1 failed, 2 usage, 130 interrupted.")]
pub(super) struct Args {
    /// The file to make
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Replace the file if there is one; it stays as it is until the new one is whole
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// A backup was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackupFailure {
    /// The store is no file.
    #[error(
        "{0} is not a file; back it up with mongodump, or copy it with hl-cli copy --from {0} --to sqlite:FILE"
    )]
    NoFile(StoreUri),
    /// There is a file of that name.
    #[error("--to: {} exists; choose another name, or replace it with --force", .0.display())]
    Exists(PathBuf),
}

impl BackupFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::NoFile(_) | Self::Exists(_) => Exit::Usage,
        }
    }
}

#[derive(Serialize)]
struct Answer {
    from: String,
    to: PathBuf,
    bytes: u64,
    /// Rows of all streams.
    rows: u64,
    /// Files of the archive that are recorded, and stay where they are.
    archive_files_not_copied: u64,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let store = shell.store(&args.common)?;
    let StoreUri::Sqlite(from) = &store else {
        return Err(BackupFailure::NoFile(store).into());
    };
    if args.to.exists() && !args.force {
        return Err(BackupFailure::Exists(args.to.clone()).into());
    }
    let mut stop = shutdown::signal();
    let progress = Arc::new(BackupProgress::default());
    let bar = Bar::new();
    let working = SqliteStore::backup(from, &args.to, args.force, progress.clone());
    let ended = interruptible(&mut stop, || bar.draw(&progress), working).await;
    bar.bar.finish_and_clear();
    let Some(made) = ended else {
        say!("hl-cli: interrupted; no backup was made");
        return Ok(Exit::Interrupted);
    };
    let answer = Answer::new(&store, args.to.clone(), &made?);
    shell.answer(&args.common, &answer, &answer.text())?;
    Ok(Exit::Done)
}

/// The progress bar, on standard error, where that is a terminal.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::no_length();
        // The template is our own; the plain bar would do as well.
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent}%, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_message("copying");
        Self { bar }
    }

    fn draw(&self, progress: &BackupProgress) {
        let (copied, all) = progress.pages();
        self.bar.set_length(all);
        self.bar.set_position(copied);
        if progress.is_checking() {
            self.bar.set_message("checking the copy");
        }
    }
}

impl Answer {
    fn new(from: &StoreUri, to: PathBuf, made: &BackedUp) -> Self {
        let of = |is_wanted: &dyn Fn(&str) -> bool| {
            made.rows.iter().filter(|(table, _)| is_wanted(table)).map(|(_, rows)| rows).sum()
        };
        Self {
            from: from.to_string(),
            to,
            bytes: made.bytes,
            rows: of(&|name| Table::all().any(|table| table.name == name)),
            archive_files_not_copied: of(&|table| table == "archive_parts"),
        }
    }

    fn text(&self) -> String {
        let Self { from, to, bytes, rows, archive_files_not_copied: files } = self;
        let mut text =
            format!("{}: {rows} rows, {}, checked: a copy of {from}\n", to.display(), DecimalBytes(*bytes));
        if *files > 0 {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{files} files of the archive stay where they are: copy that folder too, and name it with --archive"
            );
        }
        text
    }
}
