//! Reading outside transactions, with a time limit on both sides: the server ends a request that takes too long, and a
//! server that says nothing at all is not waited for.

use std::time::Duration;

use mongodb::bson::{Bson, Document};
use mongodb::{Cursor, Database};
use tokio::time::timeout;

use crate::error::MongoError;

/// How long one answer may take.
#[derive(Clone, Copy)]
pub(crate) struct Within(Duration);

/// What an index finds.
pub(crate) const SOON: Within = Within(Duration::from_secs(20));
/// What goes through all rows of a stream.
pub(crate) const AT_LENGTH: Within = Within(Duration::from_secs(600));
/// So much later than the server itself gives up, its answer would have been here.
const ON_THE_WAY: Duration = Duration::from_secs(5);

impl Within {
    /// The first document that matches, in order.
    pub(crate) async fn find_one(
        self,
        db: &Database,
        collection: &str,
        filter: Document,
        sort: Document,
    ) -> Result<Option<Document>, MongoError> {
        let of = db.collection::<Document>(collection);
        self.answer(of.find_one(filter).sort(sort).max_time(self.0)).await
    }

    /// What matches, in order.
    pub(crate) async fn find(
        self,
        db: &Database,
        collection: &str,
        filter: Document,
        sort: Document,
    ) -> Result<Vec<Document>, MongoError> {
        self.first(db, collection, filter, sort, 0).await
    }

    /// The first of what matches, in order; 0 for all.
    pub(crate) async fn first(
        self,
        db: &Database,
        collection: &str,
        filter: Document,
        sort: Document,
        most: i64,
    ) -> Result<Vec<Document>, MongoError> {
        let of = db.collection::<Document>(collection);
        let found = self.answer(of.find(filter).sort(sort).limit(most).max_time(self.0)).await?;
        self.all(found).await
    }

    /// Some fields of what matches, in order, one document after another.
    pub(crate) async fn walk(
        self,
        db: &Database,
        collection: &str,
        filter: Document,
        sort: Document,
        fields: Document,
    ) -> Result<Cursor<Document>, MongoError> {
        let of = db.collection::<Document>(collection);
        self.answer(of.find(filter).sort(sort).projection(fields).max_time(self.0)).await
    }

    /// The next one of a walk.
    pub(crate) async fn next(self, walk: &mut Cursor<Document>) -> Result<Option<Document>, MongoError> {
        Ok(match self.answer(walk.advance()).await? {
            true => Some(walk.deserialize_current()?),
            false => None,
        })
    }

    /// The documents of an aggregation.
    pub(crate) async fn aggregate(
        self,
        db: &Database,
        collection: &str,
        pipeline: Vec<Document>,
    ) -> Result<Vec<Document>, MongoError> {
        let of = db.collection::<Document>(collection);
        let found = self.answer(of.aggregate(pipeline).max_time(self.0)).await?;
        self.all(found).await
    }

    /// Every value of a field.
    pub(crate) async fn distinct(
        self,
        db: &Database,
        collection: &str,
        field: &str,
        filter: Document,
    ) -> Result<Vec<Bson>, MongoError> {
        let of = db.collection::<Document>(collection);
        self.answer(of.distinct(field, filter).max_time(self.0)).await
    }

    async fn all(self, mut found: Cursor<Document>) -> Result<Vec<Document>, MongoError> {
        let mut documents = Vec::new();
        while let Some(document) = self.next(&mut found).await? {
            documents.push(document);
        }
        Ok(documents)
    }

    /// An answer, within the time and a little more.
    pub(crate) async fn answer<T>(
        self,
        asking: impl IntoFuture<Output = Result<T, mongodb::error::Error>>,
    ) -> Result<T, MongoError> {
        let limit = self.0 + ON_THE_WAY;
        match timeout(limit, asking.into_future()).await {
            Ok(answer) => answer.map_err(MongoError::from),
            Err(_) => Err(MongoError::Late(limit.as_secs())),
        }
    }
}
