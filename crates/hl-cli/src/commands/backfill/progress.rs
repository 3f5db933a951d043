//! The progress bar, on standard error, where that is a terminal.

use std::sync::{Mutex, PoisonError};

use hl_core::StreamKey;
use hl_core::ledger::Span;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

fn style(template: &str) -> ProgressStyle {
    // The templates are our own; the plain bar would do as well.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

/// How far a backfill is, in time that is filled, with the rate of rows and the time left.
pub(super) struct Progress {
    bar: ProgressBar,
    done: Mutex<Done>,
}

struct Done {
    begun: Instant,
    /// Of the pieces before the present one, ms.
    ms: i64,
    /// Of the streams before the present one.
    rows: u64,
    piece: Option<(StreamKey, Span)>,
    piece_ms: i64,
    stream_rows: u64,
}

impl Progress {
    pub(super) fn new() -> Self {
        // Draws nothing where standard error is no terminal.
        let bar = ProgressBar::no_length();
        bar.set_style(style("{msg}"));
        bar.set_message("asking what there is");
        let begun = Instant::now();
        let done = Done { begun, ms: 0, rows: 0, piece: None, piece_ms: 0, stream_rows: 0 };
        Self { bar, done: Mutex::new(done) }
    }

    /// So much is to be filled.
    pub(super) fn begin(&self, total_ms: i64) {
        self.bar.set_message("filling");
        self.bar.set_style(style("{msg} [{bar:30}] {percent}%, {eta} left"));
        self.bar.set_length(total_ms.unsigned_abs());
        self.bar.reset_eta();
        self.done.lock().unwrap_or_else(PoisonError::into_inner).begun = Instant::now();
    }

    /// A page was written: how far its piece is, and how many rows its stream has by now.
    pub(super) fn page(&self, stream: StreamKey, piece: Span, piece_ms: i64, stream_rows: u64) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.piece != Some((stream, piece)) {
            done.ms += done.piece_ms;
            if done.piece.is_some_and(|(before, _)| before != stream) {
                done.rows += done.stream_rows;
            }
            done.piece = Some((stream, piece));
        }
        (done.piece_ms, done.stream_rows) = (piece_ms, stream_rows);
        let rows = done.rows + stream_rows;
        let ms = u64::try_from(done.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.bar.set_message(format!("{stream} {rows} rows, {}/s", rows.saturating_mul(1_000) / ms));
        self.bar.set_position((done.ms + piece_ms).unsigned_abs());
    }

    /// Draws the bar again: the time left changes also while the weight budget has no room.
    pub(super) fn tick(&self) {
        self.bar.tick();
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
