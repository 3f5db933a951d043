//! The newest lines of the log where the table owns the terminal, so that they stand under the table and not across it.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hl_core::seam::Clock as _;
use hl_runtime::SystemClock;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::human;

/// Lines that are kept.
const LINES: usize = 32;
/// Bytes of a line that are kept: no terminal shows more.
const BYTES: usize = 1_000;

/// Takes what the log writes. Cheap to clone; all clones are the same pane.
#[derive(Clone, Default)]
pub(crate) struct Pane(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Each kind of line once, the newest of it, and how often it came.
    lines: VecDeque<(String, u64)>,
    /// Whether a table is on the screen. Before and after, lines go to standard error.
    covered: bool,
}

impl Pane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let words = |(line, times): &(String, u64)| match times {
            1 => line.clone(),
            times => format!("{line} (one of {times})"),
        };
        self.lock().lines.iter().map(words).collect()
    }

    /// A table covers the screen from now on, or does not any more.
    pub(crate) fn cover(&self, covered: bool) {
        self.lock().covered = covered;
    }

    /// When this is dropped no table covers the screen any more.
    pub(crate) fn until_dropped(&self) -> Uncover {
        Uncover(self.clone())
    }
}

/// See [`Pane::until_dropped`].
pub(crate) struct Uncover(Pane);

impl Drop for Uncover {
    fn drop(&mut self) {
        self.0.cover(false);
    }
}

/// What is the same in lines that say the same of different things: what stands between the time and the first value.
fn kind(line: &str) -> &str {
    let words = line.split_once(' ').map_or(line, |(_, words)| words);
    words.split_once('=').map_or(words, |(words, _)| words)
}

/// The time of day, for lines that are on the screen for minutes.
pub(crate) struct OfDay;

impl FormatTime for OfDay {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        let time = human::time(SystemClock.now());
        w.write_str(time.get(11..19).unwrap_or(&time))
    }
}

/// Writes one event of the log.
pub(crate) struct Line(Pane);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(BYTES)]);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            // Whatever the exchange put into a message must not move the cursor.
            let line: String = line.chars().filter(|c| !c.is_control()).collect();
            let same = state.lines.iter().position(|(other, _)| kind(other) == kind(&line));
            let times = same.and_then(|at| state.lines.remove(at)).map_or(0, |(_, times)| times);
            if state.lines.len() == LINES {
                state.lines.pop_front();
            }
            state.lines.push_back((line, times + 1));
        }
        if !state.covered {
            // It may be closed: that is no reason to stop.
            let _ = io::stderr().write_all(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Pane {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_without_what_moves_a_cursor() {
        let pane = Pane::default();
        pane.cover(true);
        let write = |text: &str| pane.make_writer().write_all(text.as_bytes()).unwrap();
        for n in 0..40 {
            write(&format!("16:00:{n} WARN line {n} \x1b[2J\n"));
        }
        let lines = pane.lines();
        assert_eq!(lines.len(), 32);
        assert_eq!([&lines[0], &lines[31]], ["16:00:8 WARN line 8 [2J", "16:00:39 WARN line 39 [2J"]);
        for (time, stream) in [("16:01:00", "book/BTC"), ("16:01:01", "book/ETH"), ("16:01:02", "mids")] {
            write(&format!("{time}  WARN poll failed stream={stream}\n"));
        }
        write("16:01:03  WARN there is no password\n");
        let lines = pane.lines();
        assert_eq!(lines[30], "16:01:02  WARN poll failed stream=mids (one of 3)", "one of a kind");
        assert!(lines[31].ends_with("password"));
        write(&"x".repeat(5_000));
        assert!(pane.lines()[31].len() <= BYTES);
    }
}
