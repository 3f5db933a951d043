//! Writes down when rows are left out on purpose, and reads it.

use hl_core::TimeMs;
use hl_core::store::{Notes, StoreError};
use hl_core::thinning::{BOOKS_NOTE, NOTE, Policy, continued, continued_for_books, told, told_of_books};
use serde::Serialize;
use tracing::warn;

/// From `now` on `policy` holds.
pub(crate) async fn note(store: &dyn Notes, policy: Policy, now: TimeMs) -> Result<(), StoreError> {
    let before = read(NOTE, told(store.note(NOTE).await?.as_deref()));
    keep(store, NOTE, &before, &continued(before.clone(), policy, now)).await?;
    let before = read(BOOKS_NOTE, told_of_books(store.note(BOOKS_NOTE).await?.as_deref()));
    keep(store, BOOKS_NOTE, &before, &continued_for_books(before.clone(), policy, now)).await
}

fn read<T>(note: &str, told: Result<Vec<T>, serde_json::Error>) -> Vec<T> {
    told.unwrap_or_else(|error| {
        warn!(%error, note, "a note that cannot be read is begun anew");
        Vec::new()
    })
}

async fn keep<T: Serialize + PartialEq>(
    store: &dyn Notes,
    note: &str,
    before: &[T],
    after: &[T],
) -> Result<(), StoreError> {
    if after == before {
        return Ok(());
    }
    match serde_json::to_string(after) {
        Ok(text) => store.put_note(note, &text).await,
        Err(source) => {
            Err(StoreError::Permanent { step: "writing down which rows are left out", source: source.into() })
        }
    }
}
