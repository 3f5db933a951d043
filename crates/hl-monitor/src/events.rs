//! Events that happen once: each is told of for some minutes after the last.

use hl_core::selector::Mono;

/// What happens once, and not again, is over after so long, ms.
pub(crate) const EVENT_MS: i64 = 300_000;

/// Events of one sort, as their count tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Events {
    count: u64,
    last: Option<Mono>,
}

impl Events {
    /// Takes in how many there were so far. Whether the last is so new that it is told of.
    pub(crate) fn are_new(&mut self, count: u64, now: Mono) -> bool {
        self.are_newer(count, now, EVENT_MS)
    }

    /// The same, where one is told of for `event_ms`.
    pub(crate) fn are_newer(&mut self, count: u64, now: Mono, event_ms: i64) -> bool {
        if std::mem::replace(&mut self.count, count) != count {
            self.last = Some(now);
        }
        self.last.is_some_and(|last| now - last < event_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_new_for_some_minutes_after_the_last() {
        let mut events = Events::default();
        assert!(!events.are_new(0, 1_000), "none so far");
        assert!(events.are_new(1, 2_000));
        assert!(events.are_new(2, EVENT_MS));
        assert!(events.are_new(2, 2 * EVENT_MS - 1));
        assert!(!events.are_new(2, 2 * EVENT_MS));
    }
}
