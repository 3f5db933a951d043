//! Writes down when trades are left out on purpose, and reads it.

use hl_core::TimeMs;
use hl_core::store::{Store, StoreError};
use hl_core::thinning::{NOTE, Policy, continued, told};
use tracing::warn;

/// From `now` on `policy` holds.
pub(crate) async fn note(store: &dyn Store, policy: Policy, now: TimeMs) -> Result<(), StoreError> {
    let text = store.note(NOTE).await?;
    let before = told(text.as_deref()).unwrap_or_else(|error| {
        warn!(%error, note = NOTE, "a note that cannot be read is begun anew");
        Vec::new()
    });
    let after = continued(before.clone(), policy, now);
    if after == before {
        return Ok(());
    }
    match serde_json::to_string(&after) {
        Ok(text) => store.put_note(NOTE, &text).await,
        Err(source) => Err(StoreError::Permanent {
            step: "writing down which trades are left out",
            source: source.into(),
        }),
    }
}
