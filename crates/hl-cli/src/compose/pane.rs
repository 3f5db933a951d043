//! The newest lines of the log where the table owns the terminal, so that they stand under the table and not across it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that are kept.
const LINES: usize = 32;
/// Bytes of a line that are kept: no terminal shows more.
const BYTES: usize = 1_000;

/// Takes what the log writes. Cheap to clone; all clones are the same pane.
#[derive(Clone, Default)]
pub(crate) struct Pane(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lines: VecDeque<String>,
    /// Whether a table is on the screen. Before and after, lines go to standard error.
    covered: bool,
}

impl Pane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lock().lines.iter().cloned().collect()
    }

    /// A table covers the screen from now on, or does not any more.
    pub(crate) fn cover(&self, covered: bool) {
        self.lock().covered = covered;
    }
}

/// Writes one event of the log.
pub(crate) struct Line(Pane);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(BYTES)]);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if state.lines.len() == LINES {
                state.lines.pop_front();
            }
            // Whatever the exchange put into a message must not move the cursor.
            state.lines.push_back(line.chars().filter(|c| !c.is_control()).collect());
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
        for n in 0..40 {
            pane.make_writer().write_all(format!("line {n} \x1b[2J\n").as_bytes()).unwrap();
        }
        let lines = pane.lines();
        assert_eq!((lines.len(), lines[0].as_str(), lines[31].as_str()), (32, "line 8 [2J", "line 39 [2J"));
        pane.make_writer().write_all(&[b'x'; 5_000]).unwrap();
        assert!(pane.lines()[31].len() <= BYTES);
    }
}
