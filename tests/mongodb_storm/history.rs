//! What the server itself wrote down: every transaction in its order, from the log that its members replicate.
//!
//! A transaction of a session updates the session's document in `members`, so it names its token; a document in `streams`
//! names the token that may write the stream; and every row carries the token under which it was written. From these three
//! follows, without a word from a daemon, whether anything was written by somebody who might not.

use std::collections::{BTreeMap, BTreeSet};

use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};

/// A stream was taken.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// When, by the server's clock, ms.
    pub(crate) at: i64,
    pub(crate) stream: String,
    pub(crate) token: i64,
}

/// What the log tells.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) transactions: u64,
    /// Rows whose stream and token were compared.
    pub(crate) rows: u64,
    /// Rows that closed a gap: their writer needs a claim of the gap, and not the stream.
    pub(crate) fillers: u64,
    /// When rows were committed, ms.
    pub(crate) commits: Vec<i64>,
    pub(crate) taken: Vec<Taken>,
    /// The token of each process.
    pub(crate) tokens: BTreeMap<i64, BTreeSet<i64>>,
    /// When a session was ended by another one, ms.
    pub(crate) ended: BTreeMap<i64, i64>,
    /// Everything that must not be.
    pub(crate) broken: Vec<String>,
    /// Who may write each stream, so far.
    holders: BTreeMap<String, Option<i64>>,
    /// Sessions that live, so far.
    living: BTreeSet<i64>,
    /// Gaps, by their id, so far.
    gaps: BTreeMap<String, Document>,
}

impl History {
    /// Reads the whole log of the database that the URI names.
    pub(crate) async fn read(uri: &str) -> Self {
        let client = Client::with_uri_str(uri).await.unwrap();
        let database = client.default_database().unwrap().name().to_owned();
        let log = client.database("local").collection::<Document>("oplog.rs");
        let mut entries = log.find(doc! {}).sort(doc! { "$natural": 1 }).await.unwrap();
        let mut history = Self::default();
        // A large transaction is several entries, of which the last is no longer partial.
        let mut begun: BTreeMap<String, Vec<Document>> = BTreeMap::new();
        let mut is_begin = true;
        while entries.advance().await.unwrap() {
            let entry = entries.deserialize_current().unwrap();
            if std::mem::take(&mut is_begin) {
                let first = entry.get_document("o").ok().and_then(|o| o.get_str("msg").ok());
                assert_eq!(first, Some("initiating set"), "the log has lost its beginning: it is too small");
            }
            let at = entry.get_datetime("wall").unwrap().timestamp_millis();
            let word = entry.get_document("o").unwrap();
            let operations = match word.get_array("applyOps") {
                Ok(operations) => operations.iter().filter_map(Bson::as_document).cloned().collect(),
                Err(_) => vec![entry.clone()],
            };
            let of = format!("{:?} {:?}", entry.get("lsid"), entry.get("txnNumber"));
            let whole = begun.entry(of.clone()).or_default();
            whole.extend(operations);
            if word.get_bool("partialTxn").unwrap_or_default() {
                continue;
            }
            let whole = begun.remove(&of).unwrap_or_default();
            history.transaction(&database, at, &whole);
        }
        history
    }

    fn transaction(&mut self, database: &str, at: i64, operations: &[Document]) {
        let of = |collection: &str| {
            let namespace = format!("{database}.{collection}");
            operations.iter().filter(move |operation| operation.get_str("ns").is_ok_and(|of| of == namespace))
        };
        let (mut sessions, mut deleted) = (BTreeSet::new(), BTreeSet::new());
        for operation in of("members") {
            let document = operation.get_document("o").unwrap();
            match operation.get_str("op").unwrap() {
                "i" => {
                    let token = whole(document, "_id").unwrap();
                    self.living.insert(token);
                    self.tokens.entry(whole(document, "pid").unwrap()).or_default().insert(token);
                }
                "u" => {
                    let token = whole(operation.get_document("o2").unwrap(), "_id").unwrap();
                    if !self.living.contains(&token) {
                        self.broken.push(format!("{at}: session {token} was ended, and wrote"));
                    }
                    sessions.insert(token);
                }
                "d" => {
                    deleted.insert(whole(document, "_id").unwrap());
                }
                other => self.broken.push(format!("{at}: {other} on members")),
            }
        }
        for token in deleted {
            self.living.remove(&token);
            if !sessions.contains(&token) {
                self.ended.insert(token, at);
            }
        }
        for operation in of("streams") {
            if let Some((stream, token)) = holder(operation) {
                if let Some(token) = token
                    && self.holders.get(&stream) != Some(&Some(token))
                {
                    self.taken.push(Taken { at, stream: stream.clone(), token });
                }
                self.holders.insert(stream, token);
            }
        }
        let closed: Vec<_> = of("gaps").filter_map(|operation| self.closed(operation)).collect();
        let mut rows = 0;
        for (collection, name) in [
            ("trades", stream_of_trade as fn(&Document) -> Option<String>),
            ("bbo", stream_of_bbo),
            ("books", stream_of_book),
            ("contexts", stream_of_context),
            ("mids", |_| Some("mids".to_owned())),
            ("candles", stream_of_bar),
        ] {
            for row in of(collection).filter_map(row) {
                rows += 1;
                let token = whole(row, "epoch").map(|epoch| epoch >> 32);
                let id = row.get_document("_id").unwrap();
                let stream = name(id).unwrap_or_default();
                let holder = self.holders.get(&stream).copied().flatten();
                if token != holder && closed.iter().any(|gap| is_inside(gap, &stream, id)) {
                    self.fillers += 1;
                    continue;
                }
                if token.is_none() || token != holder {
                    let who = format!("{token:?} wrote {stream}, which {holder:?} holds");
                    self.broken.push(format!("{at}: {who}"));
                }
                self.rows += 1;
            }
        }
        if rows > 0 {
            self.commits.push(at);
            if sessions.len() != 1 {
                self.broken.push(format!("{at}: rows without a lease, or with two: {sessions:?}"));
            }
        }
        self.transactions += u64::from(!sessions.is_empty());
    }

    /// The gap, where this closes one.
    fn closed(&mut self, operation: &Document) -> Option<Document> {
        let document = operation.get_document("o").ok()?;
        let id = match operation.get_str("op").ok()? {
            "i" => document.get("_id")?,
            "u" => operation.get_document("o2").ok()?.get("_id")?,
            _ => return None,
        };
        let gap = self.gaps.entry(id.to_string()).or_default();
        match document.get_document("diff") {
            Ok(diff) => {
                for fields in ["u", "i"].iter().filter_map(|part| diff.get_document(part).ok()) {
                    gap.extend(fields.clone());
                }
            }
            Err(_) => *gap = document.clone(),
        }
        gap.get_str("state").is_ok_and(|state| state == "backfilled").then(|| gap.clone())
    }
}

/// Whether a row with this key lies in a gap.
fn is_inside(gap: &Document, stream: &str, id: &Document) -> bool {
    let within = |at| gap.get_datetime("from").unwrap() <= at && at <= gap.get_datetime("to").unwrap();
    gap.get_str("stream").is_ok_and(|of| of == stream) && id.get_datetime("time").is_ok_and(within)
}

/// A new row. A bar that is changed afterwards may keep the claim under which it came.
fn row(operation: &Document) -> Option<&Document> {
    let is_new = operation.get_str("op").is_ok_and(|op| op == "i");
    operation.get_document("o").ok().filter(|_| is_new)
}

/// The stream, and who may write it from now on, where that was written.
fn holder(operation: &Document) -> Option<(String, Option<i64>)> {
    let document = operation.get_document("o").ok()?;
    let (id, token) = match operation.get_str("op").ok()? {
        "i" => (document.get_str("_id").ok()?, document.get("token")?),
        "u" => {
            let id = operation.get_document("o2").ok()?.get_str("_id").ok()?;
            let diff = document.get_document("diff").ok()?;
            let of = |part| diff.get_document(part).ok().and_then(|fields| fields.get("token"));
            (id, of("u").or_else(|| of("i"))?)
        }
        _ => return None,
    };
    Some((id.to_owned(), number(token)))
}

fn number(value: &Bson) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}

fn whole(document: &Document, field: &str) -> Option<i64> {
    document.get(field).and_then(number)
}

fn stream_of_trade(id: &Document) -> Option<String> {
    Some(format!("trades/{}", id.get_str("coin").ok()?))
}

fn stream_of_bbo(id: &Document) -> Option<String> {
    Some(format!("bbo/{}", id.get_str("coin").ok()?))
}

fn stream_of_context(id: &Document) -> Option<String> {
    Some(format!("context/{}", id.get_str("coin").ok()?))
}

fn stream_of_book(id: &Document) -> Option<String> {
    let coin = id.get_str("coin").ok()?;
    Some(match id.get_str("variant").ok()? {
        "fast" => format!("book/{coin}/fast"),
        _ => format!("book/{coin}"),
    })
}

fn stream_of_bar(id: &Document) -> Option<String> {
    Some(format!("candle/{}/{}", id.get_str("coin").ok()?, id.get_str("interval").ok()?))
}

#[cfg(test)]
mod tests {
    use mongodb::bson::DateTime;

    use super::*;

    const STREAM: &str = "trades/BTC";

    fn operation(op: &str, collection: &str, id: Bson, mut fields: Document) -> Document {
        fields.insert("_id", id.clone());
        let of = match id {
            Bson::Document(_) => doc! {},
            id => doc! { "_id": id },
        };
        doc! { "op": op, "ns": format!("x.{collection}"), "o": fields, "o2": of }
    }

    fn member(op: &str, token: i64) -> Document {
        operation(op, "members", token.into(), doc! { "pid": token })
    }

    fn lease(token: i64) -> Document {
        operation("i", "streams", STREAM.into(), doc! { "token": token })
    }

    fn trade(token: i64, source: &str) -> Document {
        let fields = doc! { "epoch": token << 32 | 7, "source": source };
        operation("i", "trades", doc! { "coin": "BTC", "time": DateTime::from_millis(1_500) }.into(), fields)
    }

    fn gap(stream: &str, to: i64) -> Document {
        let (from, to) = (DateTime::from_millis(1_000), DateTime::from_millis(to));
        let fields = doc! { "stream": stream, "from": from, "to": to, "state": "backfilled" };
        operation("u", "gaps", 7.into(), fields)
    }

    /// What is wrong with these transactions, after two sessions began and the first took the stream.
    fn broken(transactions: &[&[Document]]) -> usize {
        let mut history = History::default();
        let before: [&[Document]; 3] =
            [&[member("i", 1)], &[member("i", 2)], &[member("u", 1), lease(1), trade(1, "ws")]];
        for (at, operations) in (0..).zip(before.iter().chain(transactions)) {
            history.transaction("x", at, operations);
        }
        assert_eq!(history.taken[0].token, 1);
        history.broken.len()
    }

    #[test]
    fn what_a_holder_writes_is_right_and_what_others_write_is_not() {
        assert_eq!(broken(&[&[member("u", 1), trade(1, "rest")]]), 0);
        let taken = [member("u", 2), lease(2), trade(2, "ws")];
        assert_eq!(broken(&[&taken]), 0);
        assert_eq!(broken(&[&[member("u", 2), trade(2, "ws")]]), 1, "not taken");
        assert_eq!(broken(&[&taken, &[member("u", 1), trade(1, "ws")]]), 1, "taken away");
        let fills = |gap| broken(&[&taken, &[member("u", 1), gap, trade(1, "ws")]]);
        assert_eq!(fills(gap(STREAM, 2_000)), 0);
        assert_eq!((fills(gap(STREAM, 1_200)), fills(gap("trades/ETH", 2_000))), (1, 1), "beside the gap");
    }

    #[test]
    fn a_session_that_was_ended_writes_nothing_and_nobody_writes_without_one() {
        let ended = [member("d", 1), member("u", 2)];
        assert_eq!(broken(&[&ended]), 0);
        assert_eq!(broken(&[&ended, &[member("u", 1), trade(1, "ws")]]), 1);
        assert_eq!(broken(&[&[trade(1, "ws")]]), 1);
    }
}
