//! How far a backfill is, on standard error: a bar where that is a terminal, and a line for each longer wait otherwise.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hl_collectors::rest::{Cost, InfoClient, Urgency};
use hl_core::StreamKey;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::human;
use crate::say::say;

/// A shorter wait is not worth a word.
const LEAST_WAIT: Duration = Duration::from_secs(2);
/// The window of the weight budget.
const WINDOW: Duration = Duration::from_secs(60);
/// What an answer takes, about.
const REQUEST: Duration = Duration::from_millis(300);

fn style(template: &str) -> ProgressStyle {
    // The templates are our own; the plain bar would do as well.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

/// How far a backfill is, in requests, with the rows so far and the time left.
pub(super) struct Progress {
    bar: ProgressBar,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    /// All that is to be asked for.
    total: Cost,
    requests: u64,
    /// Of the streams before the present one.
    rows: u64,
    stream: Option<StreamKey>,
    stream_rows: u64,
    /// The end of the wait that was told of last.
    told: Option<Instant>,
}

impl Done {
    /// What is left to be asked for.
    fn left(&self) -> Cost {
        let requests = self.total.requests.saturating_sub(self.requests);
        let weight = (self.total.weight * requests).checked_div(self.total.requests).unwrap_or(0);
        Cost { requests, weight }
    }
}

impl Progress {
    pub(super) fn new() -> Self {
        // Draws nothing where standard error is no terminal.
        let bar = ProgressBar::no_length();
        bar.set_style(style("{msg}"));
        bar.set_message("asking what there is");
        Self { bar, done: Mutex::default() }
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is waited for before anything can be asked.
    pub(super) fn waits_for(&self, words: &str) {
        match self.bar.is_hidden() {
            true => say!("hl-cli: {words}"),
            false => self.bar.set_message(words.to_owned()),
        }
    }

    /// So much is to be asked for.
    pub(super) fn begin(&self, total: Cost) {
        self.bar.set_style(style("{msg} [{wide_bar}]"));
        self.bar.set_length(total.requests);
        *self.done() = Done { total, ..Done::default() };
    }

    /// A page was written: how many rows its stream has by now.
    pub(super) fn page(&self, stream: StreamKey, stream_rows: u64) {
        let mut done = self.done();
        if done.stream != Some(stream) {
            done.rows += done.stream_rows;
            done.stream = Some(stream);
        }
        done.stream_rows = stream_rows;
        done.requests += 1;
        done.total.requests = done.total.requests.max(done.requests);
        self.bar.set_length(done.total.requests);
        self.bar.set_position(done.requests);
    }

    /// Says how it is now: the wait for the request budget, and the time left.
    pub(super) fn tick(&self, client: &InfoClient) {
        let mut done = self.done();
        if done.total.requests == 0 {
            self.bar.tick();
            return;
        }
        let waits = client.waits_until();
        let wait = waits.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left(done.left(), client.counters().weight_used, wait);
        let so_far = format!("{} of {} done", done.requests, done.total.requests);
        let about = format!("about {} left", length(left));
        let words = match wait.filter(|wait| *wait >= LEAST_WAIT) {
            Some(wait) => {
                format!("waiting for the request budget: {}, {so_far}, {about}", length(wait))
            }
            None => format!("{} rows, {so_far}, {about}", done.rows + done.stream_rows),
        };
        if self.bar.is_hidden() {
            let is_new = wait.is_some_and(|wait| wait >= LEAST_WAIT)
                && done.told.is_none_or(|told| told <= Instant::now());
            if is_new {
                done.told = waits;
                say!("hl-cli: {words}");
            }
        } else {
            self.bar.set_message(words);
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn length(duration: Duration) -> String {
    let whole = Duration::from_secs(duration.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX));
    match whole.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds => human::length(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000)),
    }
}

/// How long the rest takes, about: what does not fit into what is left of this minute's weight waits for the next.
/// Others that use the same budget make it longer.
fn left(rest: Cost, used: u32, wait: Option<Duration>) -> Duration {
    let minutes = (u64::from(used) + rest.weight).saturating_sub(1) / u64::from(Urgency::Backfill.ceiling());
    let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
    let waiting = match wait {
        Some(wait) => wait + WINDOW.saturating_mul(minutes.saturating_sub(1)),
        None => WINDOW.saturating_mul(minutes),
    };
    waiting.saturating_add(REQUEST.saturating_mul(u32::try_from(rest.requests).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_the_request_budget() {
        let seconds = |requests, weight, used, wait: Option<u64>| {
            left(Cost { requests, weight }, used, wait.map(Duration::from_secs)).as_millis()
        };
        assert_eq!(seconds(0, 0, 0, None), 0);
        assert_eq!(seconds(10, 400, 0, None), 3_000, "it fits into this minute");
        assert_eq!(seconds(10, 400, 301, None), 63_000, "it does not");
        assert_eq!(seconds(4, 160, 690, Some(38)), 38_000 + 1_200, "the present wait is known");
        assert_eq!(seconds(100, 4_000, 690, Some(38)), 38_000 + 5 * 60_000 + 30_000);
        assert_eq!(length(Duration::from_millis(37_200)), "38s");
        assert_eq!(length(Duration::from_secs(100)), "1m 40s");
    }

    #[test]
    fn what_is_left_weighs_as_much_as_its_part_of_the_requests() {
        let mut done = Done { total: Cost { requests: 15, weight: 600 }, ..Done::default() };
        done.requests = 11;
        assert_eq!(done.left(), Cost { requests: 4, weight: 160 });
        assert_eq!(Done::default().left(), Cost::default());
    }
}
