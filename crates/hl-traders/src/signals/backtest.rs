//! What a strategy would have said of the past, and what the price did after that.

use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;

use hl_core::{Coin, Decimal, TimeMs};

use super::{Known, Row, RowError, Signal, Strategy, What, rounded};

/// A bar of a coin, final.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    /// Of which coin.
    pub coin: Coin,
    /// Its first millisecond.
    pub open_time: TimeMs,
    /// Its last millisecond: its price is known from then on.
    pub close_time: TimeMs,
    /// The price at its end, USD.
    pub close_px: Decimal,
}

impl Bar {
    /// Whether its price is that of `now`: it is over, and no further bar of its length is.
    fn is_current(&self, now: TimeMs) -> bool {
        (0..=self.close_time.since(self.open_time)).contains(&now.since(self.close_time))
    }
}

/// Something that a run tells, in the order of time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// What the strategy said.
    Said {
        /// When, ms. Rows and bars of up to here were known to it.
        time: TimeMs,
        /// What.
        signal: Signal,
    },
    /// What the price of a coin did after something was said of it. It is no profit: nobody trades at these prices, at no cost.
    Came {
        /// When that is known, ms: the horizon after it was said.
        time: TimeMs,
        /// When it was said, ms.
        said: TimeMs,
        /// Of which coin.
        coin: Coin,
        /// The price when it was said, USD.
        from: Decimal,
        /// The price the horizon later, USD.
        to: Decimal,
        /// `to / from - 1`, to four places: 0.01 is one percent up.
        change: Decimal,
    },
}

impl Told {
    /// When it is told, ms: nothing of later is in it.
    #[must_use]
    pub fn time(&self) -> TimeMs {
        match self {
            Self::Said { time, .. } | Self::Came { time, .. } => *time,
        }
    }
}

/// A run that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BacktestError {
    /// Moments do not follow each other.
    #[error("a strategy is asked every so many milliseconds, at least 1, not {0}")]
    Every(i64),
    /// What came after is not after.
    #[error("the horizon is at least 1 ms, not {0}")]
    Horizon(i64),
}

/// When a strategy is asked, and how far the price is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backtest {
    from: TimeMs,
    to: TimeMs,
    every_ms: i64,
    horizon_ms: i64,
}

impl Backtest {
    /// Asks at `from` and every `every_ms` after that, at `to` at the latest, and follows the price for `horizon_ms` from each of
    /// these moments on.
    ///
    /// # Errors
    /// When one of both lengths is below 1.
    pub fn new(from: TimeMs, to: TimeMs, every_ms: i64, horizon_ms: i64) -> Result<Self, BacktestError> {
        match (every_ms, horizon_ms) {
            (..=0, _) => Err(BacktestError::Every(every_ms)),
            (_, ..=0) => Err(BacktestError::Horizon(horizon_ms)),
            _ => Ok(Self { from, to, every_ms, horizon_ms }),
        }
    }

    /// Runs a strategy over rows in the order of their times and bars in the order of their close times, both of which are read
    /// as they are needed. Who is followed is among the rows, as it was at the time: with those that are followed today, the
    /// past would be told by its winners.
    ///
    /// The price at a moment is that of the last bar that was over, where no further one of its length was: [`Told::Came`] is
    /// told where both its prices exist. Bars bring the strategy's prices too.
    pub fn run<'a, R, B>(
        self,
        strategy: &'a dyn Strategy,
        rows: R,
        bars: B,
    ) -> Run<'a, R::IntoIter, B::IntoIter>
    where
        R: IntoIterator<Item = Row>,
        B: IntoIterator<Item = Bar>,
    {
        Run {
            backtest: self,
            strategy,
            rows: rows.into_iter().peekable(),
            bars: bars.into_iter().peekable(),
            known: Known::default(),
            last_bars: BTreeMap::new(),
            next: Some(self.from).filter(|from| *from <= self.to),
            awaited: VecDeque::new(),
            told: VecDeque::new(),
        }
    }
}

/// Something was said, and its horizon is not there yet.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    said: TimeMs,
    due: TimeMs,
    coin: Coin,
    from: Decimal,
}

/// A run under way: tells what was said and what came, in the order of time, and ends with the first row that cannot be taken.
///
/// Looking ahead is impossible by construction. A row is taken only once its time has come; the strategy is given nothing but a
/// view of what was taken; and what came after is told at its own time, apart from what was said. So whatever is told at or
/// before a moment does not depend on rows and bars of later.
pub struct Run<'a, R: Iterator, B: Iterator> {
    backtest: Backtest,
    strategy: &'a dyn Strategy,
    rows: Peekable<R>,
    bars: Peekable<B>,
    known: Known,
    last_bars: BTreeMap<Coin, Bar>,
    /// When the strategy is asked next; none once it was asked for the last time.
    next: Option<TimeMs>,
    /// By `due`.
    awaited: VecDeque<Awaited>,
    /// What is to be told of the moment that was reached.
    told: VecDeque<Told>,
}

impl<R: Iterator<Item = Row>, B: Iterator<Item = Bar>> Run<'_, R, B> {
    /// Takes everything of up to a moment.
    fn take_to(&mut self, now: TimeMs) -> Result<(), RowError> {
        loop {
            let row = self.rows.peek().map(|row| row.time).filter(|time| *time <= now);
            let bar = self.bars.peek().map(|bar| bar.close_time).filter(|time| *time <= now);
            if row.is_some() && bar.is_none_or(|bar| row <= Some(bar)) {
                let Some(row) = self.rows.next() else { return Ok(()) };
                self.known.take(row)?;
            } else if bar.is_some() {
                let Some(bar) = self.bars.next() else { return Ok(()) };
                let what = What::Price { coin: bar.coin, px: bar.close_px };
                self.known.take(Row { time: bar.close_time, what })?;
                self.last_bars.insert(bar.coin, bar);
            } else {
                return Ok(());
            }
        }
    }

    fn px(&self, coin: Coin, now: TimeMs) -> Option<Decimal> {
        self.last_bars.get(&coin).filter(|bar| bar.is_current(now)).map(|bar| bar.close_px)
    }

    /// Tells what came of what was said a horizon ago.
    fn look_back(&mut self, now: TimeMs) {
        while let Some(Awaited { said, coin, from, .. }) =
            self.awaited.front().copied().filter(|awaited| awaited.due <= now)
        {
            self.awaited.pop_front();
            let change = |to: Decimal| Some(rounded(to.checked_sub(from)?.checked_div(from)?));
            if let Some((to, change)) = self.px(coin, now).and_then(|to| Some((to, change(to)?))) {
                self.told.push_back(Told::Came { time: now, said, coin, from, to, change });
            }
        }
    }

    fn ask(&mut self, now: TimeMs) -> Result<(), RowError> {
        for signal in self.strategy.judge(&self.known.view(now)?) {
            if let Some(from) = self.px(signal.coin, now) {
                let due = now + self.backtest.horizon_ms;
                self.awaited.push_back(Awaited { said: now, due, coin: signal.coin, from });
            }
            self.told.push_back(Told::Said { time: now, signal });
        }
        let next = now + self.backtest.every_ms;
        self.next = Some(next).filter(|next| now < *next && *next <= self.backtest.to);
        Ok(())
    }

    /// Goes to the next moment at which there may be something to tell; false where there is none.
    fn advance(&mut self) -> Result<bool, RowError> {
        let due = self.awaited.front().map(|awaited| awaited.due);
        let Some(now) = self.next.into_iter().chain(due).min() else { return Ok(false) };
        self.take_to(now)?;
        self.look_back(now);
        if self.next == Some(now) {
            self.ask(now)?;
        }
        Ok(true)
    }
}

impl<R: Iterator<Item = Row>, B: Iterator<Item = Bar>> Iterator for Run<'_, R, B> {
    type Item = Result<Told, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(told) = self.told.pop_front() {
                return Some(Ok(told));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    (self.next, self.awaited) = (None, VecDeque::new());
                    return Some(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::Strategy as Generator;

    use super::super::fixture::{coin, decimal, user};
    // Both globs have a trait of that name.
    use super::super::Strategy;
    use super::super::{Basis, Consensus, Held, Position, SignalRules, Verdict, View, WithheldReason};
    use super::*;

    fn row(time: i64, what: What) -> Row {
        Row { time: TimeMs(time), what }
    }

    fn followed(time: i64, n: u8) -> Row {
        row(time, What::Followed { user: user(n), score: Some(80.into()) })
    }

    fn held(time: i64, n: u8, size: i64) -> Row {
        let position = Position::Exact(Held { size: size.into(), as_of: TimeMs(time) });
        row(time, What::Position { user: user(n), coin: coin("BTC"), position })
    }

    /// A bar of 100 ms.
    fn bar(open: i64, px: &str) -> Bar {
        let (open_time, close_time) = (TimeMs(open), TimeMs(open + 99));
        Bar { coin: coin("BTC"), open_time, close_time, close_px: decimal(px) }
    }

    fn told(test: Backtest, rows: &[Row], bars: &[Bar]) -> Vec<Result<Told, RowError>> {
        let consensus = Consensus::new(SignalRules::default()).unwrap();
        test.run(&consensus, rows.iter().copied(), bars.iter().copied()).collect()
    }

    fn test(from: i64, to: i64, every: i64, horizon: i64) -> Backtest {
        Backtest::new(TimeMs(from), TimeMs(to), every, horizon).unwrap()
    }

    /// `100 long` is what was said at 100, `100: 0.1 at 300` what came of it.
    fn words(told: &[Result<Told, RowError>]) -> Vec<String> {
        let word = |told: &Result<Told, RowError>| match told.as_ref().unwrap() {
            Told::Said { time, signal } => match signal.verdict {
                Verdict::Recommended { recommendation, .. } => format!("{time} {}", recommendation.as_str()),
                Verdict::Withheld { .. } => format!("{time} withheld"),
            },
            Told::Came { time, said, change, .. } => format!("{said}: {change} at {time}"),
        };
        told.iter().map(word).collect()
    }

    #[test]
    fn a_row_counts_from_its_own_moment_on_and_a_bar_from_its_end() {
        let rows = [followed(50, 1), held(100, 1, 5), held(201, 1, -5), held(301, 1, 0)];
        let said = told(test(0, 400, 100, 1_000), &rows, &[]);
        let expected = ["100 long", "200 long", "300 short", "400 neutral"];
        assert_eq!(words(&said), expected, "nothing is said of a coin before something is known of it");

        let price = |time: i64| {
            let said = told(test(time, time, 1, 1), &rows, &[bar(100, "7"), bar(200, "8")]);
            match said.first() {
                Some(Ok(Told::Said { signal, .. })) => {
                    signal.basis.price.map(|price| (price.px, price.time.0))
                }
                told => panic!("{told:?}"),
            }
        };
        for (time, expected) in [(198, None), (199, Some("7")), (298, Some("7")), (299, Some("8"))] {
            let px = price(time).map(|(px, _)| px);
            assert_eq!(px, expected.map(decimal), "{time}");
        }
        assert_eq!(price(350), Some((decimal("8"), 299)));
    }

    #[test]
    fn what_came_is_told_where_both_prices_exist() {
        let rows = [followed(0, 1), held(0, 1, 5)];
        let said = |time: i64| format!("{time} long");
        // The bar of 300 to 399 is missing; those of others end at 199, 299, 499.
        let bars = [bar(100, "100"), bar(200, "110"), bar(400, "99")];
        for (ask, horizon, expected) in [
            (200, 100, Some("200: 0.1 at 300")),
            (200, 99, Some("200: 0.1 at 299")),
            (200, 98, Some("200: 0 at 298")),
            (200, 300, Some("200: -0.01 at 500")),
            // A price is that of its bar for as long as the next one lasts, and no longer.
            (299, 99, Some("299: 0 at 398")),
            (298, 100, Some("298: 0.1 at 398")),
            (298, 101, None),
            (399, 101, None),
            (398, 101, Some("398: -0.1 at 499")),
            (198, 101, None),
            (199, 100, Some("199: 0.1 at 299")),
            (200, 1_000, None),
        ] {
            let words = words(&told(test(ask, ask, 1, horizon), &rows, &bars));
            let expected: Vec<_> = std::iter::once(said(ask)).chain(expected.map(str::to_owned)).collect();
            assert_eq!(words, expected, "{ask} and {horizon}");
        }
        assert_eq!(words(&told(test(250, 250, 1, 100), &rows, &[bar(100, "0"), bar(200, "5")])), [said(250)]);
    }

    #[test]
    fn everything_is_told_in_the_order_of_time() {
        let rows = [followed(0, 1), held(0, 1, 5)];
        let bars: Vec<_> = (0..8).map(|n| bar(n * 100, "100")).collect();
        let words = words(&told(test(100, 400, 150, 200), &rows, &bars));
        let expected =
            ["100 long", "250 long", "100: 0 at 300", "400 long", "250: 0 at 450", "400: 0 at 600"];
        assert_eq!(words, expected, "at 400 for the last time, and what came of that too");
        assert_eq!(told(test(401, 400, 150, 200), &rows, &bars), []);
    }

    #[test]
    fn a_row_out_of_order_ends_the_run() {
        let rows = [followed(0, 1), held(150, 1, 5), held(140, 1, -5), held(300, 1, 5)];
        let said = told(test(100, 400, 100, 100), &rows, &[bar(0, "1"), bar(100, "1")]);
        assert_eq!(words(&said[..1]), ["100 withheld"]);
        let error = RowError::OutOfOrder { time: TimeMs(140), last: TimeMs(150) };
        assert_eq!(said[1..], [Err(error)]);
    }

    #[test]
    fn lengths_below_one_are_refused() {
        let new = |every, horizon| Backtest::new(TimeMs(0), TimeMs(1), every, horizon).err();
        assert_eq!(new(0, 1), Some(BacktestError::Every(0)));
        assert_eq!(new(1, 0), Some(BacktestError::Horizon(0)));
        assert_eq!(new(-1, -1), Some(BacktestError::Every(-1)));
        assert_eq!(new(1, 1), None);
    }

    #[test]
    fn a_run_ends_where_time_does() {
        let consensus = Consensus::new(SignalRules::default()).unwrap();
        let rows = [followed(0, 1), held(0, 1, 5)];
        let run = test(i64::MAX - 1, i64::MAX, 5, 5).run(&consensus, rows, []);
        assert_eq!(run.take(9).count(), 2);
    }

    /// Says everything that it sees: what another trader holds or a price would change at once.
    struct Nosy;

    impl Strategy for Nosy {
        fn name(&self) -> &str {
            "nosy"
        }

        fn judge(&self, view: &View<'_>) -> Vec<Signal> {
            let signal = |coin| Signal {
                coin,
                verdict: Verdict::Withheld { reason: WithheldReason::Nobody },
                // Each trader by a digit of its own.
                basis: Basis::of(view, coin, |trader| {
                    let digit = Decimal::from(10_u64.pow(u32::from(trader.user.0[0]) * 3));
                    digit * trader.score.unwrap_or(Decimal::ONE)
                }),
            };
            view.coins().into_iter().map(signal).collect()
        }
    }

    fn some_row() -> impl Generator<Value = Row> {
        let what = (0_u8..4, 0_u8..3, 0_usize..2, -2_i64..=2, 0_i64..200, 0_u8..5);
        (0_i64..1_000, what).prop_map(|(time, (n, kind, of, size, lag, score))| {
            let (user, coin) = (user(n), coin(["BTC", "ETH"][of]));
            let held = Held { size: size.into(), as_of: TimeMs(time - lag) };
            let what = match (kind, score) {
                (0, 0) => What::Unfollowed { user },
                (0, score) => What::Followed { user, score: Some((i64::from(score) * 25).into()) },
                (_, 0) => What::Position { user, coin, position: Position::Unknown },
                (_, 1) => What::Position { user, coin, position: Position::Suspect(held) },
                _ => What::Position { user, coin, position: Position::Exact(held) },
            };
            row(time, what)
        })
    }

    fn some_bar() -> impl Generator<Value = Bar> {
        (0_i64..11, 0_usize..2, 1_i64..9).prop_map(|(n, of, px)| Bar {
            coin: coin(["BTC", "ETH"][of]),
            close_px: px.into(),
            ..bar(n * 100, "1")
        })
    }

    proptest! {
        #[test]
        fn nothing_of_later_changes_what_is_told_up_to_a_moment(
            rows in prop::collection::vec(some_row(), 0..60),
            bars in prop::collection::vec(some_bar(), 0..25),
            others in prop::collection::vec(some_row(), 0..30),
            other_bars in prop::collection::vec(some_bar(), 0..15),
            at in 0_i64..1_100, every in 1_i64..150, horizon in 1_i64..400,
        ) {
            let at = TimeMs(at);
            let everyone = (0..4).map(|n| followed(0, n));
            let mut rows: Vec<_> = everyone.chain(rows).collect();
            let mut bars = bars;
            rows.sort_by_key(|row| row.time);
            bars.sort_by_key(|bar| bar.close_time);
            // The same up to the moment, and something else after that.
            let mut other_rows: Vec<_> = rows.iter().copied().filter(|row| row.time <= at).collect();
            other_rows.extend(others.iter().copied().filter(|row| row.time > at));
            other_rows.sort_by_key(|row| row.time);
            let mut changed_bars: Vec<_> = bars.iter().copied().filter(|bar| bar.close_time <= at).collect();
            changed_bars.extend(other_bars.iter().copied().filter(|bar| bar.close_time > at));
            changed_bars.sort_by_key(|bar| bar.close_time);

            let mut rules = SignalRules::default();
            rules.set("withhold.unknown_share", "1").unwrap();
            let consensus = Consensus::new(rules).unwrap();
            for strategy in [&Nosy as &dyn Strategy, &consensus] {
                let run = |rows: &[Row], bars: &[Bar]| -> Result<Vec<Told>, RowError> {
                    let run = test(0, 1_200, every, horizon).run(strategy, rows.to_vec(), bars.to_vec());
                    run.collect()
                };
                let until = |told: Vec<Told>| {
                    told.into_iter().filter(|told| told.time() <= at).collect::<Vec<_>>()
                };
                let (before, after) = (run(&rows, &bars).unwrap(), run(&other_rows, &changed_bars).unwrap());
                prop_assert!(before.is_sorted_by_key(Told::time));
                prop_assert_eq!(until(before), until(after));
            }
        }
    }
}
