//! One store into another: page by page, each with the record of it in one transaction, and both sides compared at the end.

use std::sync::Arc;

use hl_core::archive::Part;
use hl_core::store::{Holder, StoreError};
use hl_core::{TimeMs, Token};

use super::progress::{NOTE, Progress, sections};
use super::tally::{Difference, Tally};
use super::{Incoming, Outgoing, Page, Section, Turn};

/// How to copy.
pub struct Options<'a> {
    /// What the source is called in the target's record of the copy: no credentials.
    pub source: String,
    /// Wall time.
    pub now: TimeMs,
    /// Items a transaction.
    pub page: usize,
    /// Hears how it goes.
    pub told: &'a (dyn Fn(Told) + Sync),
}

/// How it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// So many items were written before, by a copy that was interrupted.
    Resumed(u64),
    /// So many items more are written.
    Written(u64),
    /// All is written; this many items are compared with the source now.
    Comparing(u64),
    /// So many items more, of either side, were read to be compared.
    Compared(u64),
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copied {
    /// Items that were written now.
    pub written: u64,
    /// Items that an interrupted copy had written.
    pub resumed: u64,
    /// Whether it had been finished before, and was only compared.
    pub was_finished: bool,
    /// Items of the source that were compared.
    pub compared: u64,
    /// Parts of the archive that are files, which are not copied.
    pub files: u64,
    /// Where the target is not what the source is. None where it is a copy.
    pub differences: Vec<Difference>,
}

/// It cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Somebody writes to one of the two.
    #[error("the {side} is in use by {holder}; stop it first")]
    InUse {
        /// Source or target.
        side: &'static str,
        /// Who.
        holder: Holder,
    },
    /// There is something in the target.
    #[error("the target holds data already ({0}); give one that is empty, or does not exist yet")]
    NotEmpty(String),
    /// There is a part of another copy in the target.
    #[error("the target holds a copy of {0}; remove it, or give another target")]
    OtherCopy(String),
    /// The source is not what it was when the copy began.
    #[error(
        "the source was written to since this copy began; remove the target, and copy again while no process collects"
    )]
    SourceMoved,
    /// The source is itself a copy that was interrupted.
    #[error("the source is a copy of {0} that is not finished; finish it first")]
    HalfCopied(String),
    /// The session on the target has a token that the source has given out, too.
    #[error("the session on the target has a token of the source")]
    Token,
    /// Somebody else copies into the target.
    #[error("another process copies into the target")]
    Elsewhere,
    /// A store.
    #[error("the {side}: {error}")]
    Store {
        /// Source or target.
        side: &'static str,
        /// What it says.
        error: StoreError,
    },
    /// The record of the copy.
    #[error("writing as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

const SOURCE: &str = "source";
const TARGET: &str = "target";

pub(super) fn of<T>(side: &'static str, answer: Result<T, StoreError>) -> Result<T, CopyError> {
    answer.map_err(|error| CopyError::Store { side, error })
}

/// Looks whether a store can be copied, before anything is made of the target. Returns its last token: the session on the
/// target needs a later one.
///
/// # Errors
/// Where somebody writes to it, where it is a part of a copy itself, and where it fails.
pub async fn ready(source: &dyn Outgoing) -> Result<Token, CopyError> {
    if let Some(holder) = of(SOURCE, source.holders().await)?.into_iter().next() {
        return Err(CopyError::InUse { side: SOURCE, holder });
    }
    let record = of(SOURCE, source.note(NOTE).await)?.and_then(|text| Progress::parse(&text));
    match record.filter(|copy| copy.finished.is_none()) {
        Some(copy) => Err(CopyError::HalfCopied(copy.source)),
        None => of(SOURCE, source.last_token().await),
    }
}

/// Copies everything from `source` into the store on which `target` is a session and that `written` reads, or goes on where
/// an interrupted copy stopped, and compares both.
///
/// # Errors
/// Where one of the two is in use, where the target holds something else, and where a store fails. What was copied is kept,
/// and the next call goes on from there.
pub async fn copy(
    source: &dyn Outgoing,
    target: &dyn Incoming,
    written: &dyn Outgoing,
    options: &Options<'_>,
) -> Result<Copied, CopyError> {
    let token = ready(source).await?;
    if target.token() <= token {
        return Err(CopyError::Token);
    }
    alone(written, target.token()).await?;
    let streams = of(SOURCE, source.streams().await)?;
    let sections = sections(streams.into_iter().map(|row| row.stream).collect());
    let mut copying = Copying { target, record: None };
    let before = match of(TARGET, written.note(NOTE).await)? {
        Some(text) => copying.go_on(text, token, options)?,
        None => {
            empty(written).await?;
            let fresh = Progress::begun(options.source.clone(), token, options.now);
            copying.put(None, &fresh).await?;
            fresh
        }
    };
    let (resumed, was_finished) = (before.items, before.finished.is_some());
    (options.told)(Told::Resumed(resumed));
    let mut progress = before;
    while let Some((section, after)) = progress.place(&sections) {
        let page = of(SOURCE, source.page(section, after, options.page).await)?;
        let Some(last) = page.last() else {
            // Noted with the page that follows: of nothing there is nothing to repeat.
            progress = progress.at_next_section();
            continue;
        };
        let items = page.len();
        let next = progress.with(items, Some(last));
        copying.put(Some(page), &next).await?;
        progress = next;
        (options.told)(Told::Written(items as u64));
    }
    let done = progress.clone();
    let differences = compare(source, written, &sections, options, done.items).await?;
    if ready(source).await? != token {
        return Err(CopyError::SourceMoved);
    }
    alone(written, target.token()).await?;
    if differences.1.is_empty() {
        let finished = done.finished_at(options.now);
        copying.put(None, &finished).await?;
    }
    Ok(Copied {
        written: done.items - resumed,
        resumed,
        was_finished,
        compared: differences.0,
        files: files(source, options.page).await?,
        differences: differences.1,
    })
}

/// The writing side, with the record as it stands.
struct Copying<'a> {
    target: &'a dyn Incoming,
    record: Option<String>,
}

impl Copying<'_> {
    /// Takes up the copy of which the target has a record.
    fn go_on(&mut self, text: String, token: Token, options: &Options<'_>) -> Result<Progress, CopyError> {
        let Some(progress) = Progress::parse(&text) else {
            return Err(CopyError::OtherCopy("something that a later release has begun".to_owned()));
        };
        if progress.source != options.source {
            return Err(CopyError::OtherCopy(progress.source));
        }
        if progress.token != token {
            return Err(CopyError::SourceMoved);
        }
        self.record = Some(text);
        Ok(progress)
    }

    async fn put(&mut self, page: Option<Page>, progress: &Progress) -> Result<(), CopyError> {
        let to = progress.text()?;
        let turn = Turn { from: self.record.clone(), to: to.clone() };
        match of(TARGET, self.target.put_page(page.map(Arc::new), turn).await)? {
            true => self.record = Some(to),
            false => return Err(CopyError::Elsewhere),
        }
        Ok(())
    }
}

/// The target has no other session than the one that copies.
async fn alone(target: &dyn Outgoing, own: Token) -> Result<(), CopyError> {
    let others = of(TARGET, target.holders().await)?;
    match others.into_iter().find(|holder| holder.token != own) {
        Some(holder) => Err(CopyError::InUse { side: TARGET, holder }),
        None => Ok(()),
    }
}

/// Nothing was ever collected into it.
async fn empty(target: &dyn Outgoing) -> Result<(), CopyError> {
    if let Some(row) = of(TARGET, target.streams().await)?.first() {
        return Err(CopyError::NotEmpty(row.stream.to_string()));
    }
    for section in Section::LEDGER {
        if !of(TARGET, target.page(section, None, 1).await)?.is_empty() {
            return Err(CopyError::NotEmpty(section.name()));
        }
    }
    Ok(())
}

async fn compare(
    source: &dyn Outgoing,
    target: &dyn Outgoing,
    sections_of_source: &[Section],
    options: &Options<'_>,
    items: u64,
) -> Result<(u64, Vec<Difference>), CopyError> {
    (options.told)(Told::Comparing(items));
    let told = |items| (options.told)(Told::Compared(items));
    let ours = Tally::of((SOURCE, source), sections_of_source, options.page, &told).await?;
    let streams = of(TARGET, target.streams().await)?;
    let sections_of_target = sections(streams.into_iter().map(|row| row.stream).collect());
    let theirs = Tally::of((TARGET, target), &sections_of_target, options.page, &told).await?;
    Ok((ours.items(), ours.differences(&theirs)))
}

/// How many parts of the archive are files.
async fn files(source: &dyn Outgoing, most: usize) -> Result<u64, CopyError> {
    let (mut files, mut after) = (0, None);
    loop {
        let page = of(SOURCE, source.page(Section::Parts, after.as_deref(), most).await)?;
        let Some(last) = page.last() else { return Ok(files) };
        if let Page::Parts(parts) = &page {
            let is_file = |(_, part): &&(u32, Part)| part.path.is_some();
            files += parts.iter().filter(is_file).count() as u64;
        }
        after = Some(last);
    }
}
