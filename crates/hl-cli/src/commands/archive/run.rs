//! `hl-cli archive run`.

use std::sync::Arc;

use hl_archive::{ArchiveError, Archiver, DayDone, Due, Files, Rule, Told, due};
use hl_host::stores::{self, Signed};
use hl_store::Writer;
use indicatif::{ProgressBar, ProgressStyle};

use super::PlaceArgs;
use super::answer::{Answer, DayRow};
use crate::commands::{CommandError, Shell, interruptible};
use crate::compose::shutdown;
use crate::exit::Exit;
use crate::say::say;

/// What the session is called in the store.
const ROLE: &str = "hl-cli archive";

pub(super) async fn run(
    args: &PlaceArgs,
    retention: &[String],
    dry_run: bool,
    shell: &mut Shell<'_>,
) -> Result<Exit, CommandError> {
    let place = shell.archive_place(&args.common, &args.archive, retention)?;
    // A store that is not there is not made for this.
    drop(stores::inspect(&place.store).await?);
    let mut stop = shutdown::signal();
    let name = shell.name(&shell.told(&args.common, &[])?)?;
    let store = stores::open(&place.store, Signed { role: ROLE, name: &name }, &shell.clock).await?;
    let days = due(store.as_ref(), &place.retention, shell.clock.now()).await?;
    let mut work = Work::default();
    let ended = match dry_run {
        true => {
            work.rows.extend(days.into_iter().map(|day| DayRow::new(day, None, None)));
            Some(())
        }
        false => {
            let files = Files::new(&place.folder);
            let archiver =
                Archiver::new(store.as_ref(), files, Writer::Thread, Arc::clone(&shell.clock)).await?;
            let bar = bar(&days);
            let ended = interruptible(&mut stop, || bar.tick(), work.all(&archiver, &days, &bar)).await;
            bar.finish_and_clear();
            ended
        }
    };
    // Claims are given back here, however it ended.
    store.close().await?;
    let answer = Answer {
        dry_run,
        archive: place.folder.display().to_string(),
        days: work.rows,
        total: work.total.into(),
    };
    shell.answer(&args.common, &answer, &answer.text())?;
    if ended.is_none() {
        say!("hl-cli: interrupted; what was archived is kept, and the next run goes on");
        return Ok(Exit::Interrupted);
    }
    if work.total.kept() > 0 {
        say!("hl-cli: {} rows stay in the store although they were due", work.total.kept());
    }
    Ok(match (work.failed, work.held, work.total.kept()) {
        (true, _, _) => Exit::Failed,
        (false, true, _) => Exit::Held,
        (false, false, 0) => Exit::Done,
        (false, false, _) => Exit::Partial,
    })
}

/// What was done so far.
#[derive(Default)]
struct Work {
    rows: Vec<DayRow>,
    total: DayDone,
    failed: bool,
    held: bool,
}

impl Work {
    /// Moves every day; what one day fails at does not keep the others.
    async fn all(&mut self, archiver: &Archiver<'_>, days: &[Due], bar: &ProgressBar) {
        for &day in days {
            let verb = if matches!(day.rule, Rule::Delete { .. }) { "deleting" } else { "archiving" };
            bar.set_message(format!("{verb} {} {}", day.stream, day.day));
            match archiver.archive(day, &|Told::Rows(rows)| bar.inc(rows)).await {
                Ok(done) => {
                    self.total.add(done);
                    self.rows.push(DayRow::new(day, Some(done), None));
                }
                Err(error) => {
                    match error {
                        ArchiveError::Held { .. } => self.held = true,
                        _ => self.failed = true,
                    }
                    self.rows.push(DayRow::new(day, None, Some(error.to_string())));
                }
            }
        }
    }
}

/// The progress, on standard error where that is a terminal.
fn bar(days: &[Due]) -> ProgressBar {
    let bar = ProgressBar::new(days.iter().map(|day| day.rows).sum());
    // The template is our own; the plain bar would do as well.
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent}%, {per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar
}
