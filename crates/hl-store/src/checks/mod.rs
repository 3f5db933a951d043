//! Checks that look at rows one by one, wherever these lie: in a store or in its archive; those of a ledger; and the audit,
//! which says which of them a stream gets.

mod ahead;
mod audit;
mod ledger;
mod minutes;
mod rhythm;

use hl_core::archive::Provenance;
use hl_core::ledger::{GapState, Span};
use hl_core::record::Candle;
use hl_core::stream::{Borders, Conflation};
use hl_core::{Interval, Origin, SourceId, StreamKey, TimeMs};

pub use self::ahead::beyond_now;
pub use self::audit::{AuditSource, StreamLedger, audit};
use self::ledger::ledger;
pub use self::minutes::{Compared, Minutes, Sum};
use self::rhythm::{LeftOut, MINUTE_WITHOUT_BAR, Rhythm};
use crate::{CoverageRow, GapRow, Problem};

/// The check for two rows with one natural key.
const DUPLICATE_KEYS: &str = "duplicate_keys";
/// Length of the shortest bar, ms.
pub const MINUTE_MS: i64 = 60_000;

/// What one check found in one stream.
#[derive(Clone, Debug)]
pub struct Finding {
    check: &'static str,
    stream: Option<StreamKey>,
    count: u64,
    example: String,
}

impl Finding {
    /// Nothing yet.
    #[must_use]
    pub fn none(check: &'static str, stream: StreamKey) -> Self {
        Self { stream: Some(stream), ..Self::of_the_store(check) }
    }

    /// Nothing yet, of the whole store.
    #[must_use]
    pub fn of_the_store(check: &'static str) -> Self {
        Self { check, stream: None, count: 0, example: String::new() }
    }

    /// Counts one more; the first is kept in words.
    pub fn add(&mut self, example: impl FnOnce() -> String) {
        if self.count == 0 {
            self.example = example();
        }
        self.count += 1;
    }

    /// So many were found, and the first of them.
    #[must_use]
    pub fn with(self, count: u64, example: String) -> Self {
        Self { count, example, ..self }
    }

    /// The name of the check.
    #[must_use]
    pub fn check(&self) -> &'static str {
        self.check
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The problem; none where nothing was found.
    #[must_use]
    pub fn into_problem(self) -> Option<Problem> {
        let Self { check, stream, count, example } = self;
        (count > 0).then_some(Problem { check, stream, count, example })
    }
}

/// The bar of a longer interval that these one-minute bars make; none where they are not all of its minutes.
#[must_use]
pub fn derived(minutes: &[Candle], interval: Interval) -> Option<Candle> {
    let [first, .., last] = minutes else { return None };
    (i64::try_from(minutes.len()) == Ok(interval.ms() / MINUTE_MS)).then(|| Candle {
        interval,
        high: minutes.iter().map(|m| m.high).max().unwrap_or(first.high),
        low: minutes.iter().map(|m| m.low).min().unwrap_or(first.low),
        close: last.close,
        volume: minutes.iter().map(|m| m.volume).sum(),
        trades: minutes.iter().map(|m| m.trades).sum(),
        ..*first
    })
}

/// The values of a bar, for an example.
#[must_use]
pub fn words(bar: &Candle) -> String {
    let Candle { open, high, low, close, volume, trades, .. } = bar;
    format!("{open} {high} {low} {close}, volume {volume}, {trades} trades")
}

/// Looks for rows below the edge that lie in no covered piece of their claim, and for rows inside gaps that are not
/// filled.
pub struct LedgerCheck<'a> {
    borders: Borders,
    is_bar: bool,
    is_state: bool,
    is_timed: bool,
    edge: Option<TimeMs>,
    coin: String,
    covered: Sweep<'a, CoverageRow>,
    missing: Sweep<'a, GapRow>,
    outside: Finding,
    in_gap: Finding,
}

impl<'a> LedgerCheck<'a> {
    /// A check against the ledger of a stream. Pieces and gaps come in order of their beginning.
    #[must_use]
    pub fn new(
        stream: StreamKey,
        pieces: &'a [CoverageRow],
        gaps: &'a [GapRow],
        edge: Option<TimeMs>,
    ) -> Self {
        let gaps = gaps.iter().filter(|gap| gap.state != GapState::Backfilled).collect();
        Self {
            borders: stream.spec().borders,
            is_bar: matches!(stream, StreamKey::Candle(..)),
            is_state: stream.spec().conflation == Conflation::State
                || stream.spec().fallback == SourceId::Tracker,
            is_timed: stream.spec().timed,
            edge,
            coin: String::new(),
            covered: Sweep::new(pieces.iter().collect(), |piece: &CoverageRow| piece.span),
            missing: Sweep::new(gaps, |gap: &GapRow| gap.span),
            outside: Finding::none("rows_outside_claim", stream),
            in_gap: Finding::none("rows_in_gap", stream),
        }
    }

    /// Begins with the rows of another place: times may go back once.
    pub fn restart(&mut self) {
        self.covered.restart();
        self.missing.restart();
    }

    /// Looks at one row. Within a coin times do not go back.
    pub fn see(&mut self, coin: &str, time: TimeMs, from: Provenance) {
        // What was brought in from elsewhere does not prove anything.
        if from.origin == Origin::Import {
            return;
        }
        if coin != self.coin {
            coin.clone_into(&mut self.coin);
            self.restart();
        }
        let epoch = from.epoch;
        let missing = self.missing.at(time);
        // A state is what it is, also where it was doubted later that those around it are complete; and what was worked out and
        // turned out to be wrong lies in a gap.
        if self.is_state && !missing.is_empty() {
            return;
        }
        let gap = missing.iter().find(|gap| match self.borders {
            Borders::Shared => gap.span.from < time && time < gap.span.to,
            Borders::HalfOpen => time < gap.span.to,
        });
        let is_claimed = self.covered.at(time).iter().any(|piece| {
            let holds = self.borders == Borders::Shared || time < piece.span.to;
            // A bar bears the claim that wrote its best version; a later one may have proved it final. A state that bears
            // its time may come late, under a later claim than the one that covered it, and a later one may prove that time
            // once more.
            let claim = piece.epoch == epoch
                || self.is_state && self.is_timed
                || self.is_bar && (piece.epoch.may_follow(epoch) || piece.source == Origin::Backfill);
            holds && claim
        });
        if !is_claimed && self.edge.is_none_or(|edge| time < edge) {
            self.outside.add(|| format!("{coin} at {time} under {epoch}"));
        }
        // A block between two pieces that were doubted is covered by itself.
        let is_block = is_claimed
            && self.borders == Borders::Shared
            && self.covered.at(time).iter().all(|piece| piece.span.from == time || piece.span.to == time);
        if let Some(gap) = gap.filter(|_| !is_block) {
            self.in_gap.add(|| format!("{coin} at {time} in {:?}", gap.span));
        }
    }

    /// What was found.
    #[must_use]
    pub fn findings(self) -> [Finding; 2] {
        [self.outside, self.in_gap]
    }
}

/// Walks along pieces that come in order of their beginning, together with times that come in order.
struct Sweep<'a, T> {
    pieces: Vec<&'a T>,
    span: fn(&T) -> Span,
    next: usize,
    open: Vec<&'a T>,
}

impl<'a, T> Sweep<'a, T> {
    fn new(pieces: Vec<&'a T>, span: fn(&T) -> Span) -> Self {
        Self { pieces, span, next: 0, open: Vec::new() }
    }

    fn restart(&mut self) {
        self.next = 0;
        self.open.clear();
    }

    /// The pieces that hold `time`, both ends included. Times must not go back.
    fn at(&mut self, time: TimeMs) -> &[&'a T] {
        while let Some(piece) = self.pieces.get(self.next).filter(|piece| (self.span)(piece).from <= time) {
            self.open.push(piece);
            self.next += 1;
        }
        self.open.retain(|piece| time <= (self.span)(piece).to);
        &self.open
    }
}

#[cfg(test)]
mod tests {
    use hl_core::{Epoch, Token};

    use super::*;

    fn epoch(token: u32, local: u32) -> Epoch {
        Epoch { token: Token(token), local }
    }

    #[test]
    fn a_bar_may_be_proved_final_by_a_later_claim_and_by_no_earlier_one() {
        let stream: StreamKey = "candle/BTC/1m".parse().unwrap();
        let is_outside = |written: Epoch, covered: Epoch| {
            let span = Span::new(TimeMs(0), TimeMs(60_000));
            let pieces = [CoverageRow { stream, span, source: Origin::Ws, epoch: covered, rows: 1 }];
            let mut check = LedgerCheck::new(stream, &pieces, &[], Some(TimeMs(120_000)));
            check.see("BTC", TimeMs(0), Provenance { origin: Origin::Ws, epoch: written });
            check.findings()[0].count > 0
        };
        assert!(!is_outside(epoch(2, 1), epoch(2, 1)));
        assert!(!is_outside(epoch(2, 1), epoch(2, 4)));
        assert!(is_outside(epoch(2, 4), epoch(2, 1)), "a claim does not prove what came after it");
        assert!(!is_outside(epoch(1, 9), epoch(2, 1)));
        assert!(
            !is_outside(epoch(2, 1), epoch(1, 9)),
            "the stream went back to the session that began earlier"
        );
    }
}
