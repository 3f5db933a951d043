//! One transaction: the few operations that the store is made of, inside a session where the server has transactions.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use hl_core::store::Holder;
use hl_core::{TimeMs, Token};
use mongodb::bson::{Bson, Document, doc};
use mongodb::{ClientSession, Database};
use serde::Serialize;

use crate::documents;
use crate::error::MongoError;
use crate::known::Known;
use crate::schema::MEMBERS;

/// A transaction that holds the session's lease.
pub(crate) struct Tx<'a> {
    pub(crate) db: &'a Database,
    /// None on a standalone server.
    pub(crate) session: Option<&'a mut ClientSession>,
    /// Of the session, not of the batch.
    pub(crate) token: Token,
    /// Wall time, for stamps.
    pub(crate) now: TimeMs,
    /// Whether keys may exist: somebody has to look.
    pub(crate) careful: bool,
    pub(crate) living: Option<BTreeMap<Token, Holder>>,
    /// From before, and for the next one; nothing where somebody has to look.
    pub(crate) known: Known,
}

impl Tx<'_> {
    /// What matches, in order.
    pub(crate) async fn find(
        &mut self,
        collection: &str,
        filter: Document,
        sort: Document,
    ) -> Result<Vec<Document>, MongoError> {
        let of = self.db.collection::<Document>(collection);
        let find = of.find(filter).sort(sort);
        Ok(match self.session.as_deref_mut() {
            Some(session) => {
                let mut cursor = find.session(&mut *session).await?;
                cursor.stream(session).try_collect().await?
            }
            None => find.await?.try_collect().await?,
        })
    }

    pub(crate) async fn find_one(
        &mut self,
        collection: &str,
        filter: Document,
    ) -> Result<Option<Document>, MongoError> {
        let of = self.db.collection::<Document>(collection);
        let find = of.find_one(filter);
        Ok(match self.session.as_deref_mut() {
            Some(session) => find.session(session).await?,
            None => find.await?,
        })
    }

    /// The documents of an aggregation.
    pub(crate) async fn aggregate(
        &mut self,
        collection: &str,
        pipeline: Vec<Document>,
    ) -> Result<Vec<Document>, MongoError> {
        let of = self.db.collection::<Document>(collection);
        let aggregate = of.aggregate(pipeline);
        Ok(match self.session.as_deref_mut() {
            Some(session) => {
                let mut cursor = aggregate.session(&mut *session).await?;
                cursor.stream(session).try_collect().await?
            }
            None => aggregate.await?.try_collect().await?,
        })
    }

    /// Inserts new documents; a key that exists ends the transaction.
    pub(crate) async fn insert<T: Serialize + Send + Sync>(
        &mut self,
        collection: &str,
        documents: Vec<T>,
    ) -> Result<(), MongoError> {
        if documents.is_empty() {
            return Ok(());
        }
        let of = self.db.collection::<T>(collection);
        let insert = of.insert_many(documents);
        match self.session.as_deref_mut() {
            Some(session) => insert.session(session).await?,
            None => insert.await?,
        };
        Ok(())
    }

    /// Runs updates of single documents, as `{q, u, upsert}`, in one command. Returns how many matched or were made.
    pub(crate) async fn update(
        &mut self,
        collection: &str,
        updates: Vec<Document>,
    ) -> Result<u64, MongoError> {
        self.many("update", "updates", collection, updates).await
    }

    /// As [`Tx::update`], where each of them has to match or make a document.
    pub(crate) async fn update_each(
        &mut self,
        collection: &'static str,
        updates: Vec<Document>,
    ) -> Result<(), MongoError> {
        let expected = updates.len() as u64;
        match self.update(collection, updates).await? {
            matched if matched == expected => Ok(()),
            _ => Err(MongoError::Changed(collection)),
        }
    }

    /// Updates the document that matches, or makes it.
    pub(crate) async fn upsert(
        &mut self,
        collection: &str,
        filter: Document,
        change: Document,
    ) -> Result<(), MongoError> {
        self.update(collection, vec![doc! { "q": filter, "u": change, "upsert": true }]).await.map(drop)
    }

    /// Takes the value of a field away wherever it matches.
    pub(crate) async fn clear(
        &mut self,
        collection: &str,
        filter: Document,
        field: &str,
    ) -> Result<(), MongoError> {
        let change = doc! { "$set": { field: Bson::Null } };
        self.update(collection, vec![doc! { "q": filter, "u": change, "multi": true }]).await.map(drop)
    }

    /// Deletes one document that matches. Returns whether there was one.
    pub(crate) async fn delete_one(
        &mut self,
        collection: &str,
        filter: Document,
    ) -> Result<bool, MongoError> {
        Ok(self.delete(collection, vec![doc! { "q": filter, "limit": 1 }]).await? > 0)
    }

    /// Deletes everything that matches.
    pub(crate) async fn delete_all(&mut self, collection: &str, filter: Document) -> Result<(), MongoError> {
        self.delete(collection, vec![doc! { "q": filter, "limit": 0 }]).await.map(drop)
    }

    /// Deletes what matches, as `{q, limit}`, in one command. Returns how many.
    pub(crate) async fn delete(
        &mut self,
        collection: &str,
        deletes: Vec<Document>,
    ) -> Result<u64, MongoError> {
        self.many("delete", "deletes", collection, deletes).await
    }

    async fn many(
        &mut self,
        command: &str,
        of: &str,
        collection: &str,
        statements: Vec<Document>,
    ) -> Result<u64, MongoError> {
        // The server takes up to 100,000 statements, and 48 MB.
        const CHUNK: usize = 5_000;
        let mut matched = 0;
        let mut left = statements.into_iter();
        while left.len() > 0 {
            let chunk: Vec<Document> = left.by_ref().take(CHUNK).collect();
            let words = doc! { command: collection, of: chunk };
            let run = self.db.run_command(words);
            let answer = match self.session.as_deref_mut() {
                Some(session) => run.session(session).await?,
                None => run.await?,
            };
            if let Some(Bson::Document(first)) =
                answer.get_array("writeErrors").ok().and_then(|errors| errors.first())
            {
                return Err(MongoError::Refused {
                    collection: collection.to_owned(),
                    code: first.get_i32("code").unwrap_or_default(),
                    words: first.get_str("errmsg").unwrap_or_default().to_owned(),
                });
            }
            matched += answer.get_i32("n").map_or(0, i64::from).unsigned_abs();
        }
        Ok(matched)
    }

    /// Every session that has not been ended, by token.
    pub(crate) async fn living(&mut self) -> Result<&BTreeMap<Token, Holder>, MongoError> {
        if self.living.is_none() {
            let members = self.find(MEMBERS, doc! {}, doc! { "_id": 1 }).await?;
            let living = members.iter().map(documents::holder).collect::<Result<Vec<_>, _>>()?;
            self.living = Some(living.into_iter().map(|holder| (holder.token, holder)).collect());
        }
        Ok(self.living.get_or_insert_default())
    }

    /// The living session behind a token.
    pub(crate) async fn alive(&mut self, token: Token) -> Result<Option<Holder>, MongoError> {
        Ok(self.living().await?.get(&token).cloned())
    }
}
