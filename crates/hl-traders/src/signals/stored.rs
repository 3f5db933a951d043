//! What was known at each moment of the past, out of what a store has of it.

use std::num::NonZeroI64;

use hl_core::ledger::Span;
use hl_core::record::{self, Address};
use hl_core::row::Arrival;
use hl_core::{Decimal, TimeMs};

use super::{Held, Position, Row, What};
use crate::tracker::SETTLE_MS;

const NANOS_A_MS: i64 = 1_000_000;

/// What a store has of the positions of one trader.
#[derive(Clone, Debug)]
pub struct StoredPositions {
    /// Whose.
    pub user: Address,
    /// The rows, in any order.
    pub rows: Vec<record::Position>,
    /// The covered pieces of their stream, each without its end, in any order. What lies between two of them is a gap.
    pub covered: Vec<Span>,
}

/// The rows by which a [`Backtest`](super::Backtest) knows who was followed and what they held.
///
/// - A row counts from when it was received, or else from its own time.
/// - Where a gap begins, nothing is known of the trader any more, until the next snapshot. What was only later found to be missing is
///   a gap too: then less is known here than it was at the time, and never more.
/// - In a covered piece the positions are of a few seconds ago at each of `moments`, which go up; behind the last piece they grow old.
///
/// Rows of after the last moment are left out.
pub fn stored_rows(
    choices: &[record::Trader],
    positions: Vec<StoredPositions>,
    moments: impl IntoIterator<Item = TimeMs>,
) -> impl Iterator<Item = Row> {
    let mut rows: Vec<Row> = choices.iter().map(choice).collect();
    let mut pieces = Vec::with_capacity(positions.len());
    for StoredPositions { user, rows: stored, mut covered } in positions {
        covered.sort_unstable_by_key(|piece| (piece.from, piece.to));
        let covered = Span::joined(covered);
        known(user, stored, &covered, &mut rows);
        pieces.push((user, covered));
    }
    // Rows of one moment keep their order: a snapshot begins with what says that everything else is flat.
    rows.sort_by_key(|row| row.time);
    let mut rows = rows.into_iter().peekable();
    moments.into_iter().flat_map(move |now| {
        let mut due: Vec<Row> = std::iter::from_fn(|| rows.next_if(|row| row.time <= now)).collect();
        let heard = |(user, covered): &(Address, Vec<Span>)| {
            let to = heard_to(covered, now)?;
            Some(Row { time: now, what: What::Heard { user: *user, to } })
        };
        due.extend(pieces.iter().filter_map(heard));
        due
    })
}

/// When something that bears this time was known.
fn known_at(time: TimeMs, arrival: Arrival) -> TimeMs {
    let received = arrival.received.map(NonZeroI64::get);
    // Within a millisecond it is the end of it: nothing is known before it came.
    let received =
        received.map(|nanos| TimeMs(nanos.div_euclid(NANOS_A_MS)) + i64::from(nanos % NANOS_A_MS != 0));
    received.map_or(time, |received| received.max(time))
}

fn choice(trader: &record::Trader) -> Row {
    let user = trader.user;
    let what = match trader.is_tracked() {
        true => What::Followed { user, score: trader.score },
        false => What::Unfollowed { user },
    };
    Row { time: known_at(trader.time, trader.arrival), what }
}

fn known(user: Address, mut stored: Vec<record::Position>, covered: &[Span], out: &mut Vec<Row>) {
    let is_snapshot = |row: &record::Position| row.coin.as_str() == record::Position::NOTHING;
    stored.sort_by_key(|row| (row.time, !is_snapshot(row)));
    let mut stored = stored.into_iter().peekable();
    for (n, piece) in covered.iter().enumerate() {
        let is_last = n + 1 == covered.len();
        while stored.next_if(|row| row.time < piece.from).is_some() {}
        while let Some(row) = stored.next_if(|row| row.time < piece.to) {
            let time = known_at(row.time, row.arrival);
            if piece.to <= time && !is_last {
                // When it came, the gap had begun.
                continue;
            }
            let held = |size: Decimal| Position::Exact(Held { size, as_of: row.time });
            out.push(Row {
                time,
                what: match is_snapshot(&row) {
                    true => What::Account { user, position: held(Decimal::ZERO) },
                    false => What::Position { user, coin: row.coin, position: held(row.szi) },
                },
            });
        }
        if !is_last {
            out.push(Row { time: piece.to, what: What::Account { user, position: Position::Unknown } });
        }
    }
}

/// Up to when everything that a trader did is known at a moment; none in a gap.
fn heard_to(covered: &[Span], now: TimeMs) -> Option<TimeMs> {
    let begun = covered.partition_point(|piece| piece.from <= now);
    let piece = covered.get(begun.checked_sub(1)?)?;
    match now < piece.to {
        true => Some(now - SETTLE_MS),
        false => (begun == covered.len()).then_some(piece.to - 1),
    }
}

#[cfg(test)]
mod tests {
    use hl_core::record::{ChosenBy, KnownBy, Likelihood, PositionChange, Trader, TraderStatus};
    use hl_core::symbol::User;

    use super::super::fixture::{coin, user};
    use super::super::{Known, RowError};
    use super::*;

    fn trader(time: i64, status: TraderStatus) -> Trader {
        Trader {
            time: TimeMs(time),
            user: user(1),
            status,
            chosen_by: ChosenBy::Score,
            score: Some(80.into()),
            rank: Some(1),
            tags: "".into(),
            position: Likelihood::Likely,
            account_value: None,
            snapshot_time: TimeMs(time),
            arrival: Arrival::default(),
        }
    }

    /// `received`: ms; 0 where that is not known.
    fn position(name: &str, time: i64, received: i64, size: i64) -> record::Position {
        record::Position {
            user: User::new(&user(1).to_string()).unwrap(),
            coin: coin(name),
            time: TimeMs(time),
            change: PositionChange::Snapshot,
            szi: size.into(),
            szi_before: None,
            known_by: KnownBy::State,
            px: None,
            entry_px: None,
            arrival: Arrival { received: NonZeroI64::new(received * NANOS_A_MS), seq: None },
        }
    }

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    /// What is known of BTC at each moment: `5 of 9000`, or `?`.
    fn at(rows: Vec<record::Position>, covered: Vec<Span>, moments: &[i64]) -> Vec<String> {
        let choices = [trader(1_000, TraderStatus::Added)];
        let told = |now: &i64| -> Result<String, RowError> {
            let stored = StoredPositions { user: user(1), rows: rows.clone(), covered: covered.clone() };
            let mut known = Known::default();
            for row in stored_rows(&choices, vec![stored], [TimeMs(*now)]) {
                known.take(row)?;
            }
            let view = known.view(TimeMs(*now))?;
            let held = view.trader(user(1)).and_then(|trader| trader.position(coin("BTC")).held());
            Ok(held.map_or_else(|| "?".to_owned(), |held| format!("{} of {}", held.size, held.as_of.0)))
        };
        moments.iter().map(|now| told(now).unwrap()).collect()
    }

    #[test]
    fn a_position_is_known_in_covered_pieces_from_their_snapshots_on() {
        let rows = vec![
            position("BTC", 10_000, 12_000, 5),
            position("*", 10_000, 12_000, 0),
            position("BTC", 20_000, 20_500, 7),
            // After the gap only BTC is said before the next snapshot, in which it is flat.
            position("*", 50_000, 0, 0),
            position("ETH", 50_000, 0, 3),
        ];
        let covered = vec![span(50_000, 60_000), span(10_000, 20_000), span(20_000, 30_000)];
        let moments = [500, 11_999, 12_000, 20_499, 20_500, 29_999, 30_000, 49_999, 50_000, 59_999, 99_000];
        assert_eq!(
            at(rows, covered, &moments),
            [
                "?",
                "?",
                "5 of 10000",
                "5 of 17499",
                "7 of 20000",
                "7 of 26999",
                "?",
                "?",
                "0 of 50000",
                "0 of 56999",
                "0 of 59999",
            ]
        );
    }

    #[test]
    fn what_came_in_a_gap_or_lies_in_one_is_not_known() {
        let begin = || vec![position("*", 10_000, 0, 0)];
        let late = [begin(), vec![position("BTC", 29_000, 31_000, 7)]].concat();
        let covered = vec![span(10_000, 30_000), span(50_000, 60_000)];
        assert_eq!(at(late.clone(), covered.clone(), &[29_999, 31_000, 50_000]), ["0 of 26999", "?", "?"]);
        let inside = [begin(), vec![position("BTC", 40_000, 0, 7)]].concat();
        assert_eq!(at(inside, covered, &[40_000, 55_000]), ["?", "?"]);
        // Behind the last piece nothing is missing that is known of.
        assert_eq!(at(late, vec![span(10_000, 30_000)], &[31_000]), ["7 of 29999"]);
    }

    #[test]
    fn who_is_dropped_is_followed_no_longer() {
        let choices = [trader(1_000, TraderStatus::Added), trader(9_000, TraderStatus::Dropped)];
        let rows: Vec<Row> = stored_rows(&choices, Vec::new(), [5_000, 9_500].map(TimeMs)).collect();
        let whats: Vec<_> = rows.iter().map(|row| (row.time.0, row.what)).collect();
        let user = user(1);
        let expected =
            [(1_000, What::Followed { user, score: Some(80.into()) }), (9_000, What::Unfollowed { user })];
        assert_eq!(whats, expected);
    }
}
