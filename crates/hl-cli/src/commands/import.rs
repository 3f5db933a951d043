//! `hl-cli import`: what is sound in the database of the system that this one succeeds.
//!
//! What lives here: what of it may go where, the progress, and the answer. What a document is worth is decided in
//! `hl_mongo::original`, and that nothing is written over in the store.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hl_core::StreamKey;
use hl_core::store::StoreError;
use hl_host::stores::{self, Signed};
use hl_mongo::original::{Collection, Original, Sifted};
use hl_store::{Import, Inspect, Ours};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{CommandError, Common, Shell, interruptible};
use crate::compose::shutdown;
use crate::config::{ConfigError, Place, StoreUri};
use crate::exit::Exit;
use crate::human;
use crate::say::say;

/// What the session is called in the store.
const ROLE: &str = "hl-cli import";
/// Documents a transaction, about.
const PAGE: usize = 2_000;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli import --from mongodb://localhost/hyperliquid_btc
  hl-cli import --from mongodb://localhost/hyperliquid_btc --store sqlite:./data/hyperliquid.db --json

Reads btc_candles, btc_orderbook, btc_trades and all_mids, and keeps what is sound or can be set
right, as rows with the source `import`:
  - bars under the interval that they last, not the one they are labelled with; only those that
    were stored when they were over, by the second in their _id;
  - books with bids and asks exchanged back, where they were exchanged; their time is that of receipt;
  - trades without users, since none were kept;
  - of rows with one key the first, of bars the one with the most trades.
Numbers there are doubles; each becomes the decimal that is its shortest exact text.

Imported rows prove nothing: no piece becomes covered, and gaps stay as they are. Nothing is written
over, and nothing is brought into what was collected here; what is collected or backfilled later
takes the place of an imported row. It may run beside hl-daemon, and again: rows are there once.
That database is only read.

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.")]
pub(super) struct Args {
    /// The database of the original system, mongodb://HOST/DATABASE
    #[arg(long, value_name = "URI")]
    from: String,
    #[command(flatten)]
    common: Common,
}

/// An import did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImportFailure {
    /// Not a MongoDB.
    #[error(
        "--from: the original system keeps its data in MongoDB; write it like mongodb://host/hyperliquid_btc"
    )]
    NotMongo,
    /// None of its collections is there.
    #[error(
        "{0} holds none of the collections of the original system, such as btc_candles; its database is usually called \
         hyperliquid_btc"
    )]
    Nothing(String),
    /// The other database.
    #[error("{0}")]
    Original(StoreError),
    /// The store.
    #[error("the store: {0}; what was imported is kept, the same command goes on")]
    Store(StoreError),
}

impl ImportFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::NotMongo => Exit::Usage,
            Self::Nothing(_) | Self::Original(_) | Self::Store(_) => Exit::Failed,
        }
    }
}

/// What became of a collection. Every document is in one of the counts, but for those that were set right.
#[derive(Serialize)]
struct CollectionAnswer {
    collection: &'static str,
    documents: u64,
    /// New rows.
    imported: u64,
    /// Rows whose key the store had.
    existing: u64,
    /// Rows in pieces that were collected here.
    collected: u64,
    duplicates: u64,
    crossed: u64,
    open_bars: u64,
    malformed: u64,
    /// Documents of which there are no rows here.
    no_place: u64,
    /// Bars under another interval than they were stored.
    mislabelled: u64,
    /// Books whose bids and asks were exchanged back.
    exchanged: u64,
    /// Why there is no place.
    why: Option<&'static str>,
}

#[derive(Serialize)]
struct Answer {
    from: String,
    store: String,
    collections: Vec<CollectionAnswer>,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let parsed: Result<StoreUri, _> = args.from.parse();
    let from = parsed
        .map_err(|problem| ConfigError::Value { place: Place::Flag("from"), problem: problem.into() })?;
    let StoreUri::Mongo(mongo) = &from else { return Err(ImportFailure::NotMongo.into()) };
    let told = shell.told(&args.common, &[])?;
    let uri = told.store()?;
    let mut stop = shutdown::signal();
    let original = Original::open(mongo.uri()).await.map_err(ImportFailure::Original)?;
    let there = there(&original).await?;
    if there.is_empty() {
        return Err(ImportFailure::Nothing(from.to_string()).into());
    }
    let name = shell.name(&told)?;
    let signed = Signed { role: ROLE, name: &name };
    let store = stores::importing(&uri, signed, &shell.clock).await.map_err(ImportFailure::Store)?;
    let inspect = stores::inspect(&uri).await.map_err(ImportFailure::Store)?;
    let bar = ProgressBar::no_length();
    bar.set_style(style("{msg} [{bar:30}] {percent}%, {per_sec}, {eta} left"));
    bar.set_length(there.iter().filter(|(c, _)| has_place(*c)).map(|(_, documents)| documents).sum());
    let mut importing =
        Importing { store: store.as_ref(), inspect: inspect.as_ref(), ours: BTreeMap::new(), bar: &bar };
    let mut answer = Answer { from: from.to_string(), store: uri.to_string(), collections: Vec::new() };
    let working = async {
        for (collection, documents) in there {
            importing.collection(&original, collection, documents, &mut answer.collections).await?;
        }
        Ok::<_, ImportFailure>(())
    };
    let ended = interruptible(&mut stop, || bar.tick(), working).await;
    bar.finish_and_clear();
    store.close().await?;
    let Some(done) = ended else {
        say!("hl-cli: interrupted; what was imported is kept, the same command goes on");
        return Ok(Exit::Interrupted);
    };
    done?;
    shell.answer(&args.common, &answer, &answer.text())?;
    Ok(Exit::Done)
}

fn has_place(collection: Collection) -> bool {
    !matches!(collection, Collection::Other { .. })
}

/// The collections that hold something, and about how much.
async fn there(original: &Original) -> Result<Vec<(Collection, u64)>, ImportFailure> {
    let mut there = Vec::new();
    for collection in Collection::ALL {
        let documents = original.documents(collection).await.map_err(ImportFailure::Original)?;
        if documents > 0 {
            there.push((collection, documents));
        }
    }
    Ok(there)
}

fn style(template: &str) -> ProgressStyle {
    // The template is our own; the plain bar would do as well.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

struct Importing<'a> {
    store: &'a dyn Import,
    inspect: &'a dyn Inspect,
    ours: BTreeMap<StreamKey, Ours>,
    bar: &'a ProgressBar,
}

impl Importing<'_> {
    async fn collection(
        &mut self,
        original: &Original,
        collection: Collection,
        documents: u64,
        answers: &mut Vec<CollectionAnswer>,
    ) -> Result<(), ImportFailure> {
        self.bar.set_message(collection.name());
        let Some(mut reader) = original.read(collection).await.map_err(ImportFailure::Original)? else {
            answers.push(CollectionAnswer::without_place(collection, documents));
            return Ok(());
        };
        let (mut imported, mut existing, mut collected) = (0, 0, 0);
        let mut seen = 0;
        while let Some(page) = reader.next(PAGE).await.map_err(ImportFailure::Original)? {
            for (stream, mut records) in page {
                let all = records.len();
                let ours = self.ours(stream).await?;
                records.retain_time(|time| !ours.holds(time));
                collected += (all - records.len()) as u64;
                if !records.is_empty() {
                    let rows = records.len() as u64;
                    let new = self.store.put_imported(stream, records).await.map_err(ImportFailure::Store)?;
                    imported += new;
                    existing += rows - new;
                }
            }
            let documents = reader.sifted().documents;
            self.bar.inc(documents - seen);
            seen = documents;
        }
        answers.push(CollectionAnswer::new(collection, reader.sifted(), [imported, existing, collected]));
        Ok(())
    }

    /// What of a stream was collected here. Whoever collects meanwhile adds to it beyond its edge only, and there all is ours.
    async fn ours(&mut self, stream: StreamKey) -> Result<&Ours, ImportFailure> {
        if !self.ours.contains_key(&stream) {
            let pieces = self.inspect.coverage(Some(stream)).await.map_err(ImportFailure::Store)?;
            let leases = self.inspect.leases().await.map_err(ImportFailure::Store)?;
            let edge = leases.into_iter().find(|lease| lease.stream == stream).and_then(|lease| lease.edge);
            let ours = Ours::new(stream, edge, pieces.into_iter().map(|piece| piece.span));
            self.ours.insert(stream, ours);
        }
        Ok(&self.ours[&stream])
    }
}

impl CollectionAnswer {
    fn new(collection: Collection, sifted: Sifted, [imported, existing, collected]: [u64; 3]) -> Self {
        Self {
            collection: collection.name(),
            documents: sifted.documents,
            imported,
            existing,
            collected,
            duplicates: sifted.duplicates,
            crossed: sifted.crossed,
            open_bars: sifted.open,
            malformed: sifted.malformed,
            no_place: 0,
            mislabelled: sifted.mislabelled,
            exchanged: sifted.exchanged,
            why: None,
        }
    }

    fn without_place(collection: Collection, documents: u64) -> Self {
        let why = match collection {
            Collection::Other { why, .. } => Some(why),
            _ => None,
        };
        let nothing = Self::new(collection, Sifted::default(), [0; 3]);
        Self { documents, no_place: documents, why, ..nothing }
    }
}

impl Answer {
    fn text(&self) -> String {
        let mut table = human::table(&[
            "collection",
            "documents",
            "imported",
            "there",
            "collected here",
            "duplicates",
            "crossed",
            "open bars",
            "malformed",
            "no place",
        ]);
        for c in &self.collections {
            let counts = [
                c.documents,
                c.imported,
                c.existing,
                c.collected,
                c.duplicates,
                c.crossed,
                c.open_bars,
                c.malformed,
                c.no_place,
            ];
            let cells = counts.map(|count| count.to_string());
            table.add_row([&[c.collection.to_owned()], &cells[..]].concat());
        }
        let mut text = format!("{}\n\n", table.trim_fmt());
        for c in &self.collections {
            // Writing to a string cannot fail.
            if c.mislabelled > 0 {
                let _ = writeln!(
                    text,
                    "{}: {} under another interval than they last",
                    c.collection, c.mislabelled
                );
            }
            if c.exchanged > 0 {
                let _ = writeln!(text, "{}: {} with bids and asks exchanged back", c.collection, c.exchanged);
            }
            if let Some(why) = c.why {
                let _ = writeln!(text, "{}: {why}", c.collection);
            }
        }
        let imported: u64 = self.collections.iter().map(|c| c.imported).sum();
        let _ = writeln!(text, "{imported} rows imported into {}", self.store);
        text
    }
}
