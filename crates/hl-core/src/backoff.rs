//! Pauses that double, each drawn, so that those who failed together do not try again together.

use std::time::Duration;

/// The pauses between attempts at one thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Begins with `first`, and doubles up to `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first.min(longest), longest }
    }

    /// The next pause: from half of it to the whole.
    pub fn pause(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(0.5 + rng.f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_no_two_are_alike() {
        let [first, longest] = [100, 1_000].map(Duration::from_millis);
        let pauses = |seed| {
            let (mut backoff, mut rng) = (Backoff::new(first, longest), fastrand::Rng::with_seed(seed));
            std::array::from_fn(|_| backoff.pause(&mut rng))
        };
        let (one, other): ([Duration; 8], [Duration; 8]) = (pauses(1), pauses(2));
        for (n, pause) in one.iter().enumerate() {
            let whole = (first * (1 << n)).min(longest);
            assert!(*pause >= whole / 2 && *pause <= whole, "{n}: {pause:?}");
        }
        assert!(one.iter().zip(other).all(|(a, b)| *a != b));
    }
}
