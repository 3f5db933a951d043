//! Warnings that a peer can bring about as often as it likes.

/// Keeps a peer that sends nonsense from filling the log: a line every ten seconds, with the number of those untold.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    last: Option<i64>,
    untold: u64,
}

impl Complaints {
    const EVERY_MS: i64 = 10_000;

    /// How many were not told since the last line, where one is due.
    pub(crate) fn due(&mut self, now: i64) -> Option<u64> {
        if self.last.is_some_and(|last| now - last < Self::EVERY_MS) {
            self.untold += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_nonsense_is_a_line_every_ten_seconds() {
        let mut complaints = Complaints::default();
        let told: Vec<_> = (0..30_000).filter_map(|now| complaints.due(now)).collect();
        assert_eq!(told, [0, 9_999, 9_999]);
    }
}
