//! Handovers as they are told: those that come together in one line. A start moves every stream, and so does an outage.

use std::collections::BTreeMap;

use hl_core::ledger::Cause;
use hl_core::selector::Mono;
use hl_core::timeline::Grant;
use hl_core::{SourceId, StreamKey};
use tracing::info;

/// Told when none has come for so long, ms …
const QUIET_MS: i64 = 1_500;
/// … and at the latest so long after the first, ms.
const LATEST_MS: i64 = 15_000;

/// What is not told yet.
#[derive(Default)]
pub(crate) struct Moved {
    by_cause: BTreeMap<(SourceId, Cause), Vec<StreamKey>>,
    first: Mono,
    last: Mono,
    /// Which source has which stream.
    owners: BTreeMap<StreamKey, SourceId>,
}

impl Moved {
    pub(crate) fn note(&mut self, now: Mono, stream: StreamKey, grant: Grant) {
        if self.by_cause.is_empty() {
            self.first = now;
        }
        self.last = now;
        self.by_cause.entry((grant.source, grant.cause)).or_default().push(stream);
    }

    /// A stream gets another owner, or none. Returns who had it.
    pub(crate) fn owner(&mut self, stream: StreamKey, to: Option<SourceId>) -> Option<SourceId> {
        match to {
            Some(to) => self.owners.insert(stream, to),
            None => self.owners.remove(&stream),
        }
    }

    /// When to tell; none where there is nothing to tell.
    pub(crate) fn due(&self) -> Option<Mono> {
        (!self.by_cause.is_empty()).then(|| (self.last + QUIET_MS).min(self.first + LATEST_MS))
    }

    pub(crate) fn tell(&mut self) {
        for ((owner, cause), streams) in std::mem::take(&mut self.by_cause) {
            let cause = cause.as_str();
            match streams.as_slice() {
                [stream] => info!(%stream, %owner, cause, "handover"),
                streams => info!(streams = streams.len(), %owner, cause, "handover"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hl_core::{Epoch, Token};

    use super::*;

    #[test]
    fn what_moves_together_is_one_line_and_is_not_held_back_for_ever() {
        let grant = |local, cause| Grant {
            epoch: Epoch { token: Token(1), local },
            source: SourceId::Ws,
            run: None,
            cause,
        };
        let mut moved = Moved::default();
        assert_eq!(moved.due(), None);
        for (n, now) in (0..60).map(|n| (n, i64::from(n) * 1_000)).take_while(|(_, now)| *now <= 20_000) {
            moved.note(now, StreamKey::MIDS, grant(n, Cause::FirstStart));
            assert_eq!(moved.due(), Some((now + QUIET_MS).min(LATEST_MS)));
        }
        moved.note(20_000, StreamKey::MIDS, grant(99, Cause::Outage));
        assert_eq!(moved.by_cause.len(), 2, "a line a cause");
        moved.tell();
        assert_eq!(moved.due(), None);
    }
}
