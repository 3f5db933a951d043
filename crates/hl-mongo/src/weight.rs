//! The weight ledger: request weight of every process on this store, in a sliding window of 60 s.

use async_trait::async_trait;
use hl_core::TimeMs;
use hl_core::store::Reservation;
use hl_store::rules::{self, WINDOW_MS};
use mongodb::bson::{Document, doc};

use crate::documents::{Read, date};
use crate::error::MongoError;
use crate::schema::{META, WEIGHT};
use crate::session::Work;
use crate::tx::Tx;

/// Books weight, where the window has room for it.
pub(crate) struct Reserve {
    pub(crate) address: String,
    pub(crate) now: TimeMs,
    pub(crate) weight: u32,
    pub(crate) ceiling: u32,
}

#[async_trait]
impl Work for Reserve {
    type Answer = Reservation;
    const KEEPS_KNOWN: bool = true;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Reservation, MongoError> {
        let Self { address, now, weight, ceiling } = self;
        meet(tx, address).await?;
        let gone = doc! { "address": address, "at": { "$lte": date(*now - WINDOW_MS) } };
        tx.delete_all(WEIGHT, gone).await?;
        // A clock that was set back must not block the address for as long.
        let ahead = doc! { "address": address, "at": { "$gt": date(*now) } };
        let pull = doc! { "q": ahead, "u": { "$set": { "at": date(*now) } }, "multi": true };
        tx.update(WEIGHT, vec![pull]).await?;
        let found = tx.find(WEIGHT, doc! { "address": address }, doc! { "at": 1 }).await?;
        let mut booked = Vec::with_capacity(found.len());
        for found in &found {
            let read = Read::of(WEIGHT, found);
            booked.push((read.time("at")?, read.int("weight")?));
        }
        let answer = rules::reservation(&booked, *now, *weight, *ceiling);
        if matches!(answer, Reservation::Granted { .. }) {
            tx.insert(WEIGHT, vec![booking(address, *now, *weight)]).await?;
        }
        Ok(answer)
    }
}

/// Two transactions that see the same room must not both take it: they meet at this document.
async fn meet(tx: &mut Tx<'_>, address: &str) -> Result<(), MongoError> {
    let counter = doc! { "_id": format!("address/{address}") };
    tx.upsert(META, counter, doc! { "$inc": { "asked": 1_i64 } }).await
}

fn booking(address: &str, at: TimeMs, weight: u32) -> Document {
    doc! { "address": address, "at": date(at), "weight": i64::from(weight) }
}

/// Books weight that was spent without a reservation.
pub(crate) struct Spent {
    pub(crate) address: String,
    pub(crate) spent: Vec<(TimeMs, u32)>,
}

#[async_trait]
impl Work for Spent {
    type Answer = ();
    const KEEPS_KNOWN: bool = true;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), MongoError> {
        meet(tx, &self.address).await?;
        let spent = self.spent.iter().map(|(at, weight)| booking(&self.address, *at, *weight));
        tx.insert(WEIGHT, spent.collect()).await
    }
}
