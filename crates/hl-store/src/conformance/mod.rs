//! What every store must do, as tests that any implementation can be held to.
//!
//! An implementation gives a [`Subject`], an empty store on which sessions can be opened, and names it in
//! [`conformance_tests!`](crate::conformance_tests). Each case panics where a promise of
//! [`Store`] or [`Inspect`] is broken.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: they panic where a store breaks its promise"
)]

mod alerts;
mod archive;
mod bars;
mod claims;
mod commits;
mod fills;
mod fixture;
mod leases;
mod plausible;
mod runs;
mod statistics;
mod weight;

use std::sync::Arc;

use hl_core::Token;
use hl_core::seam::BoxFuture;
use hl_core::store::{Store, StoreError};

pub use alerts::*;
pub use archive::*;
pub use bars::*;
pub use claims::*;
pub use commits::*;
pub use fills::*;
pub use leases::*;
pub use plausible::*;
pub use runs::*;
pub use statistics::*;
pub use weight::*;

use crate::Inspect;

/// One empty store.
pub trait Subject: Send + Sync {
    /// Opens a session. Dropping every handle to it is its crash.
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn Store>, StoreError>>;

    /// Waits until the store takes a session that has crashed for dead: at once, where it needs no lease to run out.
    fn until_dead(&self, token: Token) -> BoxFuture<'_, ()> {
        let _ = token;
        Box::pin(std::future::ready(()))
    }

    /// Looks into the store.
    fn inspect(&self) -> BoxFuture<'_, Result<Box<dyn Inspect>, StoreError>>;
}

/// Makes a test of each case. The argument is the path of a function that makes a boxed [`Subject`](crate::conformance::Subject).
#[macro_export]
macro_rules! conformance_tests {
    ($new:path) => {
        $crate::conformance_tests! { @each $new:
            a_lease_is_held_until_its_holder_lets_go_or_dies
            a_lease_begins_at_the_stored_edge
            a_lease_brings_the_last_row_of_each_market
            a_stream_that_ended_goes_on_with_its_next_lease
            the_recent_past_is_continuous
            a_stream_that_only_backfills_touched_begins_where_its_ledger_ends
            a_closed_session_answers_nothing
            notes_are_kept
            a_stale_token_writes_nothing
            an_answer_says_what_was_written
            a_reader_learns_what_is_settled_and_reads_it_in_pages
            a_reader_learns_what_was_filled_while_it_was_away
            a_spooled_batch_of_the_dead_is_taken_until_somebody_else_has_the_stream
            what_the_store_lost_becomes_a_gap
            a_repeated_batch_changes_nothing
            rows_of_another_stream_are_refused
            rows_out_of_order_are_written_once
            what_says_something_else_under_a_known_key_is_counted_apart
            every_record_survives_the_round_trip
            covered_pieces_grow_and_count_their_rows
            what_is_doubted_is_a_gap_and_no_longer_covered
            what_was_filled_can_be_doubted_again
            a_minute_in_doubt_is_one_gap
            the_best_version_of_a_bar_wins
            a_final_bar_never_changes
            a_doubted_bar_is_read_again
            pieces_count_each_of_their_bars_once
            covered_bars_are_whole_and_bounded
            fills_match_a_model
            what_is_asked_for_is_what_is_unknown
            what_lies_before_history_is_told_from_what_was_lost
            what_cannot_be_read_is_a_gap_of_its_own
            claims_are_disjoint
            what_sticks_out_is_not_claimed_with_whole_gaps
            open_gaps_are_counted
            neighbouring_gaps_are_opened_once_each
            a_gap_that_nothing_can_fill_is_never_open
            a_gap_that_goes_on_is_one_gap
            no_window_exceeds_the_weight_ceiling
            spent_weight_is_booked_late
            a_planned_run_is_run_once
            what_the_dead_began_is_begun_anew
            runs_are_kept_for_a_month
            a_run_that_is_asked_for_is_begun_once
            a_run_that_was_skipped_may_be_begun
            statistics_are_written_once
            an_alert_is_one_row_from_its_rise_to_its_end
            an_alert_ends_with_its_session
            ended_alerts_are_kept_for_ninety_days
            the_living_are_seen_with_their_notes
            a_day_is_claimed_by_one_living_session
            settled_rows_of_whole_days_are_archived
            a_part_is_recorded_with_the_rows_that_it_takes
            what_changed_meanwhile_stays
            rows_of_every_kind_leave_as_they_came
            archived_bars_are_not_audited
            a_covered_minute_with_trades_has_its_bar
            covered_time_has_the_rhythm_of_its_kind
        }
    };
    (@each $new:path: $($case:ident)*) => {
        $(#[test] fn $case() { $crate::conformance::$case(&|| $new()); })*
    };
}

/// Makes an empty store.
pub type New<'a> = &'a dyn Fn() -> Box<dyn Subject>;
