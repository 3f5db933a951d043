//! When quotes move and takers come: drawn ahead, so that nobody has to look at the blocks between.

use super::spec::{BLOCK_MS, Spec};

/// Blocks drawn in one go. Whether something happens in a block does not depend on the blocks before it, so the drawing
/// may stop anywhere and go on there.
const AHEAD: i64 = 10_000;

/// One thing that happens now and then.
#[derive(Clone, Copy, Debug)]
struct Next {
    /// Mean time between two, ms.
    gap_ms: i64,
    /// The block that comes next.
    at: i64,
    /// Whether it happens there; otherwise only the drawing ended there.
    happens: bool,
}

impl Next {
    fn draw(&mut self, rng: &mut fastrand::Rng, after: i64) {
        (self.at, self.happens) = (after, false);
        for _ in 0..AHEAD {
            self.at += BLOCK_MS;
            if self.gap_ms <= BLOCK_MS || rng.i64(0..self.gap_ms) < BLOCK_MS {
                self.happens = true;
                return;
            }
        }
    }

    fn take(&mut self, rng: &mut fastrand::Rng, time: i64) -> bool {
        let happens = self.at == time && self.happens;
        if self.at <= time {
            self.draw(rng, time);
        }
        happens
    }
}

/// The pulse of one market.
#[derive(Debug)]
pub(crate) struct Pulse {
    rng: fastrand::Rng,
    quote: Next,
    /// Two draws: a block can hold two takers.
    takers: [Next; 2],
}

/// What happens in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Beat {
    pub(crate) quote: bool,
    pub(crate) takers: usize,
}

impl Pulse {
    /// The pulse from the block after `start` on.
    pub(crate) fn new(rng: fastrand::Rng, spec: &Spec, start: i64) -> Self {
        let next = |gap_ms| Next { gap_ms, at: start, happens: false };
        let mut pulse = Self { rng, quote: next(spec.quote_gap_ms), takers: [next(2 * spec.take_gap_ms); 2] };
        pulse.beat(start);
        pulse
    }

    /// What happens in the block at `time`. Blocks before [`Pulse::next`] may be left out.
    pub(crate) fn beat(&mut self, time: i64) -> Beat {
        let rng = &mut self.rng;
        let quote = self.quote.take(rng, time);
        let takers = self.takers.iter_mut().filter_map(|next| next.take(rng, time).then_some(())).count();
        Beat { quote, takers }
    }

    /// The first block in which something may happen.
    pub(crate) fn next(&self) -> i64 {
        self.takers.iter().fold(self.quote.at, |first, next| first.min(next.at))
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::listings;
    use super::*;

    #[test]
    fn things_happen_as_often_as_they_should_also_where_idle_blocks_are_left_out() {
        let specs = listings(2, 0, 0.5).unwrap();
        let (mut all, mut some) = (Pulse::new(seeded(), &specs[0], 0), Pulse::new(seeded(), &specs[0], 0));
        let (mut quotes, mut takers) = (0, 0);
        for time in (1..=60_000).map(|block| block * BLOCK_MS) {
            let beat = all.beat(time);
            quotes += usize::from(beat.quote);
            takers += beat.takers;
            let idle = Beat { quote: false, takers: 0 };
            assert_eq!(if some.next() <= time { some.beat(time) } else { idle }, beat);
        }
        // Quotes every 200 ms, takers every 1,100 ms, over 4,200 s.
        assert!((20_000..22_000).contains(&quotes), "{quotes}");
        assert!((3_600..4_050).contains(&takers), "{takers}");
    }

    fn seeded() -> fastrand::Rng {
        fastrand::Rng::with_seed(7)
    }
}
