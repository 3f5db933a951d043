//! Hourly funding: a past that is a function of the hour, and rows settled from the market since the start.

use std::collections::VecDeque;

use super::num::mix;

pub(crate) const HOUR: i64 = 3_600_000;
/// What the exchange calls itself among others.
pub(crate) const VENUE: &str = "HlPerp";
/// Decimals of rates and premiums.
pub(crate) const RATE_DECIMALS: u32 = 10;
/// Rows generated before the start: sixty days, more than one page.
const PAST_HOURS: i64 = 60 * 24;
/// Rows kept: a year.
const KEPT: usize = 366 * 24;

/// One settled hour. Rate and premium in `10^-10`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settled {
    pub(crate) time: i64,
    pub(crate) rate: i64,
    pub(crate) premium: i64,
}

/// The funding of one perpetual.
#[derive(Debug)]
pub(crate) struct Funding {
    seed: u64,
    rows: VecDeque<Settled>,
    next_hour: i64,
    /// Sum and number of the premiums seen in the running hour.
    premiums: (i64, i64),
}

impl Funding {
    pub(crate) fn new(seed: u64, start: i64) -> Self {
        let first = start.div_euclid(HOUR) * HOUR - PAST_HOURS * HOUR;
        let mut funding = Self { seed, rows: VecDeque::new(), next_hour: first, premiums: (0, 0) };
        while funding.due() <= start {
            let hour = mix(seed ^ funding.next_hour as u64);
            // Premiums around +2 basis points, slowly changing: four hours share most of their value.
            let slow = mix(seed ^ (funding.next_hour / (4 * HOUR)) as u64);
            let premium = (slow % 12_000_000) as i64 - 4_000_000 + (hour % 2_000_001) as i64 - 1_000_000;
            funding.push(premium);
        }
        funding
    }

    /// When the next settlement happens: the full hour and a little.
    pub(crate) fn due(&self) -> i64 {
        let h = mix(self.seed ^ mix(self.next_hour as u64));
        let jitter = match h % 50 {
            0 => 150 + (h >> 8) % 700,
            _ => 20 + (h >> 8) % 80,
        };
        self.next_hour + jitter as i64
    }

    pub(crate) fn observe(&mut self, premium: i64) {
        self.premiums.0 += premium;
        self.premiums.1 += 1;
    }

    fn mean_premium(&self) -> i64 {
        self.premiums.0 / self.premiums.1.max(1)
    }

    /// The running estimate of this hour's rate.
    pub(crate) fn estimate(&self) -> i64 {
        rate(self.mean_premium())
    }

    /// Settles the hour from what was observed.
    pub(crate) fn settle(&mut self) -> Settled {
        let row = self.push(self.mean_premium());
        self.premiums = (0, 0);
        row
    }

    fn push(&mut self, premium: i64) -> Settled {
        let row = Settled { time: self.due(), rate: rate(premium), premium };
        self.rows.push_back(row);
        if self.rows.len() > KEPT {
            self.rows.pop_front();
        }
        self.next_hour += HOUR;
        row
    }

    /// Rows with `from <= time <= to`, oldest first.
    pub(crate) fn range(&self, from: i64, to: i64) -> impl Iterator<Item = &Settled> {
        self.rows.range(self.rows.partition_point(|r| r.time < from)..).take_while(move |r| r.time <= to)
    }
}

/// An eight-hour rate of premium plus clamped interest, paid in eighths.
fn rate(premium: i64) -> i64 {
    const INTEREST: i64 = 1_000_000;
    (premium + (INTEREST - premium).clamp(-5_000_000, 5_000_000)) / 8
}
