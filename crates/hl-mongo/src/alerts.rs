//! The history of alerts.

use std::collections::BTreeSet;

use async_trait::async_trait;
use hl_core::Token;
use hl_core::alert::{Alert, AlertKind, Severity};
use hl_store::AlertRow;
use hl_store::rules::ALERTS_KEPT_MS;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::documents::{Read, date, date_or_null};
use crate::error::MongoError;
use crate::reading::SOON;
use crate::schema::ALERTS;
use crate::session::Work;
use crate::tx::Tx;

/// Keeps an alert of the session: a new one, or what became of it.
pub(crate) struct PutAlert(pub(crate) Alert);

#[async_trait]
impl Work for PutAlert {
    type Answer = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), MongoError> {
        let Self(alert) = self;
        let which = doc! {
            "token": i64::from(tx.token.0), "kind": alert.kind.as_str(), "subject": &alert.subject,
            "raised": date(alert.raised),
        };
        let state = doc! {
            "last_seen": date(alert.last_seen), "times": i64::from(alert.times),
            "resolved": date_or_null(alert.resolved), "words": &alert.words,
        };
        let change = doc! { "$set": state, "$setOnInsert": { "severity": alert.severity.as_str() } };
        tx.upsert(ALERTS, which, change).await?;
        let oldest = date(alert.last_seen - ALERTS_KEPT_MS);
        let over = doc! { "raised": { "$lt": oldest }, "resolved": { "$lt": oldest } };
        tx.delete_all(ALERTS, over).await
    }
}

/// The alerts of a session that has ended are over.
pub(crate) async fn end(tx: &mut Tx<'_>, token: Token) -> Result<(), MongoError> {
    let ended = doc! {
        "resolved": { "$max": [date(tx.now), "$last_seen"] },
        "words": { "$concat": ["$words", " (its process ended)"] },
    };
    let open = doc! { "token": i64::from(token.0), "resolved": Bson::Null };
    tx.update(ALERTS, vec![doc! { "q": open, "u": [{ "$set": ended }], "multi": true }]).await?;
    Ok(())
}

/// The newest alerts, newest first: all, or the open ones of the living. Open ones of the dead are over: their process
/// ended.
pub(crate) async fn newest(
    db: &Database,
    all: bool,
    most: u32,
    living: &BTreeSet<Token>,
) -> Result<Vec<AlertRow>, MongoError> {
    // The server takes 0 for no limit.
    if most == 0 {
        return Ok(Vec::new());
    }
    let filter = if all {
        doc! {}
    } else {
        let living: Vec<_> = living.iter().map(|token| i64::from(token.0)).collect();
        doc! { "resolved": Bson::Null, "token": { "$in": living } }
    };
    let newest = doc! { "raised": -1, "_id": -1 };
    let found = SOON.first(db, ALERTS, filter, newest, i64::from(most)).await?;
    found.iter().map(read).collect()
}

pub(crate) fn read(document: &Document) -> Result<AlertRow, MongoError> {
    let read = Read::of(ALERTS, document);
    let alert = Alert {
        kind: read.word("kind", AlertKind::parse)?,
        subject: read.text("subject")?.to_owned(),
        severity: read.word("severity", Severity::parse)?,
        raised: read.time("raised")?,
        last_seen: read.time("last_seen")?,
        times: read.small("times")?,
        resolved: read.time_or_null("resolved")?,
        words: read.text("words")?.to_owned(),
    };
    Ok(AlertRow { token: Token(read.small("token")?), alert })
}
