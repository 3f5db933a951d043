//! One batch, one transaction: rows, covered pieces, gaps, edges, and the check of the token.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use hl_core::ledger::sheet::Stamp;
use hl_core::ledger::{Ack, Batch, Cause, Change, Span};
use hl_core::record::Record as _;
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs, Token};
use hl_store::rules;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};

use crate::documents::{Read, date};
use crate::error::MongoError;
use crate::ledger::{self, Wanted};
use crate::rows;
use crate::schema::STREAMS;
use crate::session::Work;
use crate::sheet::{Put, Sheet};
use crate::tx::Tx;

/// A batch to be committed.
pub(crate) struct Commit(pub(crate) Arc<Batch>);

#[async_trait]
impl Work for Commit {
    type Answer = Ack;
    const KEEPS_KNOWN: bool = true;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Ack, MongoError> {
        let batch = &*self.0;
        if let Some(token) = batch.foreign_token() {
            return Err(MongoError::MixedTokens { batch: batch.token.0, epoch: token.0 });
        }
        let (superseded, edges) = leases_of(tx, batch).await?;
        let changes: Vec<_> = batch
            .changes
            .iter()
            .enumerate()
            .filter(|(_, (stream, change))| !(change.needs_lease() && superseded.contains(stream)))
            .collect();
        let (places, changes): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
        let living: BTreeSet<Token> = match changes.iter().any(|(_, change)| !change.needs_lease()) {
            true => tx.living().await?.keys().copied().collect(),
            false => BTreeSet::new(),
        };
        let is_own = batch.token == tx.token;
        let mut sheets = BTreeMap::new();
        let mut wanted = wanted(&changes);
        let holes = holes(batch, edges);
        for (stream, hole) in &holes {
            let nothing = Wanted { span: *hole, whole_pieces: false, gaps: true };
            let of_stream = wanted.entry(*stream).or_insert(nothing);
            (of_stream.span, of_stream.gaps) = (of_stream.span.hull(*hole), true);
        }
        if is_own {
            let is_whole = |stream: &StreamKey| holes.iter().all(|(of, _)| of != stream);
            let changes: Vec<_> = changes.iter().copied().filter(|(stream, _)| is_whole(stream)).collect();
            recall(tx, &changes, &mut wanted, &mut sheets);
        }
        sheets.extend(ledger::load(tx, &wanted).await?);
        for (stream, hole) in holes {
            if let Some(sheet) = sheets.get_mut(&stream) {
                sheet.ledger.open_unknown(hole, Cause::StoreLost);
            }
        }
        let mut first_covered = BTreeMap::new();
        for (stream, change) in &changes {
            if matches!(change, Change::GapLost { .. }) && !first_covered.contains_key(stream) {
                first_covered.insert(*stream, ledger::first_covered(tx, *stream).await?);
            }
        }
        let mut writing = Writing {
            batch,
            place: 0,
            first_covered,
            ack: Ack::default(),
            rows: BTreeMap::new(),
            edges: BTreeMap::new(),
            ends: BTreeMap::new(),
            inserted: BTreeMap::new(),
            replaced: BTreeMap::new(),
        };
        let mut keys = match tx.careful {
            true => stored_keys(tx, &changes).await?,
            false => Keys::default(),
        };
        for (place, (stream, change)) in places.into_iter().zip(changes) {
            writing.place = place;
            writing.apply(*stream, change, &mut sheets, &mut keys, &living);
        }
        let Writing { mut ack, rows, edges, ends, replaced, .. } = writing;
        for (collection, imported) in replaced {
            tx.delete(collection, imported).await?;
        }
        for (collection, documents) in rows {
            tx.insert(collection, documents).await?;
        }
        ledger::store(tx, &sheets).await?;
        for (stream, sheet) in &sheets {
            ack.gaps.extend(sheet.ledger.gap_changes().iter().map(|change| (*stream, *change)));
        }
        let held = |stream: StreamKey| doc! { "_id": stream.to_string(), "token": i64::from(batch.token.0) };
        // There is an index of tokens, too: the server would try both, each time.
        let update = |stream, update: Document| doc! { "q": held(stream), "u": update, "hint": "_id_" };
        let edges =
            edges.into_iter().map(|(stream, edge)| update(stream, doc! { "$max": { "edge": date(edge) } }));
        let ends =
            ends.into_iter().map(|(stream, at)| update(stream, doc! { "$set": { "ended": date(at) } }));
        tx.update_each(STREAMS, edges.chain(ends).collect()).await?;
        if is_own {
            let leased = batch.leased().into_iter().filter(|stream| !superseded.contains(stream));
            let now = tx.now;
            tx.known.learn_leases(leased.map(|stream| (stream, Sheet::new(stream, now))));
            tx.known.learn(sheets, batch.token, now);
        }
        ack.superseded = superseded.into_iter().collect();
        Ok(ack)
    }
}

/// What a batch comes to.
struct Writing<'a> {
    batch: &'a Batch,
    /// The number of the change that is applied.
    place: usize,
    /// Where the first covered piece begins, of streams of which gaps are given up.
    first_covered: BTreeMap<StreamKey, Option<TimeMs>>,
    ack: Ack,
    /// New rows, by collection.
    rows: BTreeMap<&'static str, Vec<RawDocumentBuf>>,
    edges: BTreeMap<StreamKey, TimeMs>,
    /// When streams ended.
    ends: BTreeMap<StreamKey, TimeMs>,
    /// Rows inserted since the last covered piece of the same claim.
    inserted: BTreeMap<(StreamKey, Epoch), u64>,
    /// Imported rows that give way to these, by collection.
    replaced: BTreeMap<&'static str, Vec<Document>>,
}

/// The keys of rows that are stored, or about to be. None where nobody looked: every row is taken for new then, and the
/// server says where one is not.
#[derive(Default)]
struct Keys {
    stored: Option<BTreeMap<StreamKey, BTreeMap<Vec<u8>, RawDocumentBuf>>>,
    /// Of the rows that were imported, which are as good as not there.
    imported: BTreeMap<StreamKey, BTreeSet<Vec<u8>>>,
}

impl Keys {
    /// What is stored under the key of a row; none where the row is new, which it is not the next time.
    fn known(&mut self, stream: StreamKey, document: &RawDocument) -> Option<&RawDocument> {
        match self.stored.as_mut()?.entry(stream).or_default().entry(key(document)) {
            Entry::Vacant(place) => {
                place.insert(document.to_owned());
                None
            }
            Entry::Occupied(stored) => Some(&**stored.into_mut()),
        }
    }

    /// Whether a new row takes the place of an imported one.
    fn replaces(&self, stream: StreamKey, document: &RawDocument) -> bool {
        self.imported.get(&stream).is_some_and(|imported| imported.contains(&key(document)))
    }
}

fn key(document: &RawDocument) -> Vec<u8> {
    document.get_document("_id").map(|id| id.as_bytes().to_vec()).unwrap_or_default()
}

impl Writing<'_> {
    fn apply(
        &mut self,
        stream: StreamKey,
        change: &Change,
        sheets: &mut BTreeMap<StreamKey, Sheet>,
        keys: &mut Keys,
        living: &BTreeSet<Token>,
    ) {
        let is_alive = |token: Token| living.contains(&token);
        let sheet = sheets.get_mut(&stream);
        match (change, sheet) {
            (Change::Ended(at), _) => _ = self.ends.insert(stream, *at),
            (Change::Edge(to), _) => {
                let edge = self.edges.entry(stream).or_insert(*to);
                *edge = (*edge).max(*to);
            }
            (Change::Rows { epoch, origin, records }, sheet) => {
                let new =
                    self.write(stream, records, (*origin, *epoch), false, sheet, keys, |_| true, |_| ());
                *self.inserted.entry((stream, *epoch)).or_default() += new;
            }
            (Change::Covered { epoch, origin, span }, Some(sheet)) => {
                let rows = self.inserted.remove(&(stream, *epoch)).unwrap_or_default();
                sheet.cover(*span, (*origin, *epoch), rows);
            }
            (Change::Final { span }, Some(sheet)) => sheet.set_final(*span, true),
            (Change::GapOpened { span, cause }, Some(sheet)) => sheet.ledger.open_gap(*span, *cause),
            (Change::Doubted { span, cause }, Some(sheet)) => sheet.doubt(*span, *cause),
            (Change::Filled { epoch, origin, span, records }, Some(sheet)) => {
                let stamp = (*origin, *epoch);
                let parts = sheet.ledger.fill(*span, *epoch, is_alive);
                let borders = stream.spec().borders;
                let part_at = |time| rules::part_at(borders, &parts, time);
                let mut counts = vec![0; parts.len()];
                let admit = |time| part_at(time).is_some();
                let counted = |time| {
                    if let Some(at) = part_at(time) {
                        counts[at] += 1;
                    }
                };
                self.write(stream, records, stamp, true, Some(&mut *sheet), keys, admit, counted);
                for (&part, &count) in parts.iter().zip(&counts) {
                    let rows = match stream {
                        StreamKey::Candle(..) => {
                            sheet.set_final(part, true);
                            sheet.count_bars(part)
                        }
                        _ => count,
                    };
                    sheet.ledger.insert_piece(part, stamp, rows);
                }
            }
            (Change::GapLost { span }, Some(sheet)) => {
                let first = self.first_covered.get(&stream).copied().flatten();
                sheet.ledger.lose(*span, self.batch.token, first, is_alive);
            }
            (Change::GapUnreadable { span }, Some(sheet)) => {
                sheet.ledger.rename(*span, self.batch.token, Cause::Undecodable, is_alive);
            }
            // Every change but rows and edges has a sheet.
            (_, None) => {}
        }
    }

    /// Writes those of the records that belong to the stream and whose time is admitted; a key that exists is left alone.
    /// Returns how many are new, or improved.
    #[allow(clippy::too_many_arguments, reason = "what is written, under what, into what, and who is told")]
    fn write(
        &mut self,
        stream: StreamKey,
        records: &Records,
        stamp: Stamp,
        is_final: bool,
        sheet: Option<&mut Sheet>,
        keys: &mut Keys,
        admit: impl Fn(TimeMs) -> bool,
        mut inserted: impl FnMut(TimeMs),
    ) -> u64 {
        let (mut new, place) = (0, self.place);
        let mut note = |ack: &mut Ack, (at, time), put: Put| {
            match put {
                Put::New => {
                    ack.inserted += 1;
                    new += 1;
                    return inserted(time);
                }
                Put::Same => ack.existing += 1,
                Put::Other => *ack.differing.entry(stream).or_default() += 1,
            }
            ack.left_out.push((place, at));
        };
        if let (Records::Candles(bars), Some(sheet)) = (records, sheet) {
            for (at, bar) in bars.iter().enumerate() {
                if !bar.belongs_to(stream) || !admit(bar.time) {
                    self.ack.refused += 1;
                    self.ack.left_out.push((place, at));
                } else {
                    let put = sheet.put_bar(*bar, stamp, is_final);
                    note(&mut self.ack, (at, bar.time), put);
                }
            }
            return new;
        }
        let collection = rows::collection(stream);
        let stamp = rows::Stamp { origin: stamp.0, epoch: stamp.1 };
        for (at, (time, document)) in rows::documents(stream, records, stamp).into_iter().enumerate() {
            match document.filter(|_| admit(time)) {
                None => {
                    self.ack.refused += 1;
                    self.ack.left_out.push((place, at));
                }
                Some(document) => {
                    let put = match keys.known(stream, &document) {
                        None => Put::New,
                        Some(stored) if rows::contradict(stream, &document, stored) => Put::Other,
                        Some(_) => Put::Same,
                    };
                    note(&mut self.ack, (at, time), put);
                    if put == Put::New {
                        if keys.replaces(stream, &document) {
                            let id = document
                                .get("_id")
                                .ok()
                                .flatten()
                                .and_then(|id| Bson::try_from(id).ok())
                                .unwrap_or_default();
                            let imported = doc! { "q": { "_id": id }, "limit": 1 };
                            self.replaced.entry(collection).or_default().push(imported);
                        }
                        self.rows.entry(collection).or_default().push(document);
                    }
                }
            }
        }
        new
    }
}

/// The part of each stream's ledger that the changes touch.
fn wanted(changes: &[&(StreamKey, Change)]) -> BTreeMap<StreamKey, Wanted> {
    let mut wanted = BTreeMap::<StreamKey, Wanted>::new();
    for (stream, change) in changes {
        let is_bars = matches!(stream, StreamKey::Candle(..));
        let span = match change {
            Change::Rows { records, .. } if is_bars => records.extent().map(|(from, to)| Span { from, to }),
            Change::Rows { .. } | Change::Edge(_) | Change::Ended(_) => None,
            Change::Final { span } if is_bars => Some(*span),
            Change::Final { .. } => None,
            Change::Covered { span, .. }
            | Change::GapOpened { span, .. }
            | Change::Doubted { span, .. }
            | Change::Filled { span, .. }
            | Change::GapLost { span }
            | Change::GapUnreadable { span } => Some(*span),
        };
        let Some(span) = span else { continue };
        let of_stream = wanted.entry(*stream).or_insert(Wanted { span, whole_pieces: false, gaps: false });
        of_stream.span = of_stream.span.hull(span);
        of_stream.gaps |=
            !matches!(change, Change::Rows { .. } | Change::Covered { .. } | Change::Final { .. });
        of_stream.whole_pieces |= matches!(change, Change::Doubted { .. });
    }
    wanted
}

/// What the store has lost of each stream, before and between the pieces of the batch.
fn holes(batch: &Batch, edges: BTreeMap<StreamKey, Option<TimeMs>>) -> Vec<(StreamKey, Span)> {
    let of_stream = |(stream, edge)| {
        rules::holes(edge, &batch.told_of(stream)).into_iter().map(move |hole| (stream, hole))
    };
    edges.into_iter().flat_map(of_stream).collect()
}

/// Takes those of the wanted sheets that are known well enough.
fn recall(
    tx: &Tx<'_>,
    changes: &[&(StreamKey, Change)],
    wanted: &mut BTreeMap<StreamKey, Wanted>,
    sheets: &mut BTreeMap<StreamKey, Sheet>,
) {
    let mut of_streams = BTreeMap::<StreamKey, Vec<&Change>>::new();
    for (stream, change) in changes {
        of_streams.entry(*stream).or_default().push(change);
    }
    for (stream, changes) in of_streams {
        if wanted.contains_key(&stream)
            && let Some(sheet) = tx.known.sheet(stream, &changes)
        {
            wanted.remove(&stream);
            sheets.insert(stream, sheet.recalled(tx.now));
        }
    }
}

/// The keys that are stored between the first and the last row of each stream.
async fn stored_keys(tx: &mut Tx<'_>, changes: &[&(StreamKey, Change)]) -> Result<Keys, MongoError> {
    let mut spans = BTreeMap::<StreamKey, Span>::new();
    for (stream, change) in changes {
        if let Change::Rows { records, .. } | Change::Filled { records, .. } = change
            && !matches!(stream, StreamKey::Candle(..))
            && let Some((from, to)) = records.extent()
        {
            let rows = Span { from, to };
            let span = spans.entry(*stream).or_insert(rows);
            *span = span.hull(rows);
        }
    }
    let (mut stored, mut imported) =
        (BTreeMap::<_, BTreeMap<_, _>>::new(), BTreeMap::<_, BTreeSet<_>>::new());
    for (stream, span) in spans {
        let matching = doc! { "$match": rows::key_filter(stream, span) };
        // What a trade or a settlement says is compared; of the others the key is enough.
        let pipeline = match rows::is_compared(stream) {
            true => vec![matching],
            false => vec![matching, doc! { "$project": { "_id": 1, "source": 1 } }],
        };
        let found = tx.aggregate(rows::collection(stream), pipeline).await?;
        let (of_stream, from_elsewhere) =
            (stored.entry(stream).or_default(), imported.entry(stream).or_default());
        for row in &found {
            let id = row.get_document("_id").ok().and_then(|id| id.to_vec().ok()).unwrap_or_default();
            match row.get_str("source").is_ok_and(|source| source == Origin::Import.as_str()) {
                true => _ = from_elsewhere.insert(id),
                false => _ = of_stream.insert(id, RawDocumentBuf::try_from(row).unwrap_or_default()),
            }
        }
    }
    Ok(Keys { stored: Some(stored), imported })
}

/// The streams of the batch for which it needs a lease that its token does not have; and the edges of those whose lease was
/// not known, and was read.
async fn leases_of(
    tx: &mut Tx<'_>,
    batch: &Batch,
) -> Result<(BTreeSet<StreamKey>, BTreeMap<StreamKey, Option<TimeMs>>), MongoError> {
    let (mut superseded, mut edges) = (batch.leased(), BTreeMap::new());
    if superseded.is_empty() {
        return Ok((superseded, edges));
    }
    let needed = superseded.len();
    if batch.token == tx.token {
        let known = tx.known.leased(&batch.changes);
        superseded.retain(|stream| !known.contains(stream));
        if superseded.is_empty() {
            return Ok((superseded, edges));
        }
    }
    let names: Vec<_> = superseded.iter().map(ToString::to_string).collect();
    let held = doc! { "_id": { "$in": names.clone() }, "token": i64::from(batch.token.0) };
    for document in tx.find(STREAMS, held, doc! {}).await? {
        let read = Read::of(STREAMS, &document);
        let stream = read.stream("_id")?;
        superseded.remove(&stream);
        edges.insert(stream, read.time_or_null("edge")?);
    }
    if batch.token != tx.token && superseded.len() < needed {
        // Of another session: that nobody takes its streams meanwhile, the stream's document is written.
        let held = doc! { "_id": { "$in": names }, "token": i64::from(batch.token.0) };
        let touch = doc! { "$currentDate": { "adopted_at": true } };
        tx.update(STREAMS, vec![doc! { "q": held, "u": touch, "multi": true }]).await?;
    }
    Ok((superseded, edges))
}
