//! Words on standard error. Its reader may go away (`2>&1 | head`), or the terminal: the words are lost then, and the
//! work goes on. `eprintln!` would end the process with a panic, and the lints of this crate refuse it.

use std::fmt;
use std::io::{self, Write};

/// Writes a line on standard error, if it has a reader.
macro_rules! say {
    ($($words:tt)*) => { $crate::say::line(format_args!($($words)*)) };
}
pub(crate) use say;

pub(crate) fn line(words: fmt::Arguments<'_>) {
    // In one piece, so that lines of two threads do not mix.
    let _ = io::stderr().write_all(format!("{words}\n").as_bytes());
}

/// Takes everything, and passes on what can be written.
pub(crate) struct WhereRead<W>(pub(crate) W);

impl<W: Write> Write for WhereRead<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }
    }

    #[test]
    fn what_nobody_reads_is_written_all_the_same() {
        let mut out = WhereRead(Gone);
        out.write_all(b"words").unwrap();
        out.flush().unwrap();
        let mut out = WhereRead(Vec::new());
        out.write_all(b"words").unwrap();
        assert_eq!(out.0, b"words");
    }
}
