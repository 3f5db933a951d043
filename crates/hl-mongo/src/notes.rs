//! Small texts by name. Those named `x/<token>` go with their session.

use async_trait::async_trait;
use mongodb::Database;
use mongodb::bson::doc;

use crate::documents::{Read, date};
use crate::error::MongoError;
use crate::reading::SOON;
use crate::schema::NOTES;
use crate::session::Work;
use crate::tx::Tx;

/// Writes a note, over the former one.
pub(crate) struct PutNote {
    pub(crate) name: String,
    pub(crate) text: String,
}

#[async_trait]
impl Work for PutNote {
    type Answer = ();
    const KEEPS_KNOWN: bool = true;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), MongoError> {
        let text = doc! { "text": &self.text, "updated_at": date(tx.now) };
        tx.upsert(NOTES, doc! { "_id": &self.name }, doc! { "$set": text }).await
    }
}

/// Reads a note.
pub(crate) async fn note(db: &Database, name: &str) -> Result<Option<String>, MongoError> {
    let found = SOON.find_one(db, NOTES, doc! { "_id": name }, doc! {}).await?;
    found.map(|found| Read::of(NOTES, &found).text("text").map(str::to_owned)).transpose()
}
