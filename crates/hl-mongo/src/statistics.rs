//! Daily statistics.

use std::collections::HashSet;

use async_trait::async_trait;
use hl_core::TimeMs;
use hl_core::statistics::Figure;
use mongodb::Database;
use mongodb::bson::{Document, doc};

use crate::documents::{Read, date};
use crate::error::MongoError;
use crate::reading::SOON;
use crate::schema::{SERIES, STATISTICS};
use crate::session::Work;
use crate::tx::Tx;

/// How many keys are looked for at a time.
const CHUNK: usize = 1_000;

/// Writes the figures that are not there yet. Answers how many were new.
pub(crate) struct PutStatistics {
    pub(crate) series: String,
    pub(crate) figures: Vec<Figure>,
    /// Up to which day the series is complete with them.
    pub(crate) through: Option<TimeMs>,
}

impl PutStatistics {
    fn key(&self, figure: &Figure) -> Document {
        let Figure { day, subject, name, .. } = figure;
        doc! { "series": &self.series, "day": date(*day), "subject": subject, "name": name }
    }

    /// Of two figures with one key the first one counts.
    async fn put(&self, tx: &mut Tx<'_>, figures: &[Figure]) -> Result<u64, MongoError> {
        let keys: Vec<_> = figures.iter().map(|figure| self.key(figure)).collect();
        let found = vec![
            doc! { "$match": { "_id": { "$in": keys } } },
            // The value is of no interest.
            doc! { "$project": { "_id": 1 } },
        ];
        let found = tx.aggregate(STATISTICS, found).await?;
        let mut known = HashSet::new();
        for found in &found {
            let key = Read::of(STATISTICS, found).inner("_id")?;
            known.insert((key.time("day")?, key.text("subject")?, key.text("name")?));
        }
        let mut new = Vec::new();
        for figure in figures {
            if known.insert((figure.day, &figure.subject, &figure.name)) {
                new.push(doc! { "_id": self.key(figure), "value": figure.value });
            }
        }
        let count = new.len() as u64;
        tx.insert(STATISTICS, new).await?;
        Ok(count)
    }
}

#[async_trait]
impl Work for PutStatistics {
    type Answer = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u64, MongoError> {
        let mut new = 0;
        for figures in self.figures.chunks(CHUNK) {
            new += self.put(tx, figures).await?;
        }
        if let Some(through) = self.through {
            let change = doc! { "$max": { "through": date(through) }, "$set": { "read_at": date(tx.now) } };
            tx.upsert(SERIES, doc! { "_id": &self.series }, change).await?;
        }
        Ok(new)
    }
}

/// Up to which day a series is complete.
pub(crate) async fn through(db: &Database, series: &str) -> Result<Option<TimeMs>, MongoError> {
    let found = SOON.find_one(db, SERIES, doc! { "_id": series }, doc! {}).await?;
    found.map(|found| Read::of(SERIES, &found).time("through")).transpose()
}
