//! Whether something gets on: counters, and how long they have stood.

use hl_core::selector::Mono;

/// A counter that should grow, and since when it has not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    value: u64,
    since: Mono,
}

impl Counter {
    pub(crate) fn new(now: Mono, value: u64) -> Self {
        Self { value, since: now }
    }

    /// Takes in the counter's value; returns for how long it has stood, ms.
    pub(crate) fn stood(&mut self, now: Mono, value: u64) -> i64 {
        if value != self.value {
            *self = Self { value, since: now };
        }
        now - self.since
    }

    /// It could not have grown: it is as if it had just done so.
    pub(crate) fn forgive(&mut self, now: Mono) {
        self.since = now;
    }
}

/// Attempts: successes and failures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts {
    successes: u64,
    failures: u64,
    /// The first failure since the last success, the last one, and how many they are.
    failing: Option<(Mono, Mono, u64)>,
}

impl Attempts {
    pub(crate) fn new(successes: u64, failures: u64) -> Self {
        Self { successes, failures, failing: None }
    }

    /// Takes in the counters; returns how many failures there were since the last success, and over how many ms.
    pub(crate) fn failing(&mut self, now: Mono, successes: u64, failures: u64) -> (u64, i64) {
        if successes != self.successes {
            self.failing = None;
        } else if failures != self.failures {
            let (first, _, count) = self.failing.unwrap_or((now, now, 0));
            self.failing = Some((first, now, count + failures.saturating_sub(self.failures)));
        }
        (self.successes, self.failures) = (successes, failures);
        self.failing.map_or((0, 0), |(first, last, count)| (count, last - first))
    }

    /// What failed so far has another reason.
    pub(crate) fn forgive(&mut self) {
        self.failing = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_tells_how_long_it_has_stood() {
        let mut counter = Counter::new(0, 7);
        assert_eq!(
            [(10, 7), (20, 8), (50, 8), (60, 9)].map(|(now, value)| counter.stood(now, value)),
            [10, 0, 30, 0]
        );
        counter.forgive(100);
        assert_eq!(counter.stood(130, 9), 30);
    }

    #[test]
    fn failures_count_from_the_first_to_the_last_since_a_success() {
        let mut attempts = Attempts::new(5, 5);
        assert_eq!(attempts.failing(10, 5, 5), (0, 0));
        assert_eq!(attempts.failing(20, 5, 7), (2, 0));
        assert_eq!(attempts.failing(90, 5, 8), (3, 70));
        assert_eq!(attempts.failing(500, 5, 8), (3, 70), "nobody has asked since");
        assert_eq!(attempts.failing(510, 6, 9), (0, 0));
    }
}
