//! How far the probe is, on standard error, where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

fn style(template: &str) -> ProgressStyle {
    // The templates are our own; the plain bar would do as well.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

/// A bar over the time that the probe takes, and what it is at.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        // Draws nothing where standard error is no terminal.
        let bar = ProgressBar::no_length();
        bar.set_style(style("{msg}"));
        bar.set_message("asking what there is");
        Self(bar)
    }

    /// How long it takes.
    pub(super) fn expect(&self, whole: Duration) {
        self.0.set_style(style("[{bar:30}] {pos}s of about {len}s: {msg}"));
        self.0.set_length(whole.as_secs());
    }

    /// What it is at.
    pub(super) fn say(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// Draws it again.
    pub(super) fn tick(&self) {
        self.0.set_position(self.0.elapsed().as_secs());
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
