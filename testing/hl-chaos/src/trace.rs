//! What happened in a run: handovers and whatever else the daemon logs, commits, and what the storm did. One line each,
//! stamped with virtual time, folded into a hash; kept as text where somebody wants to read it.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use hl_core::seam::Seed;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// The module whose log tells also in detail what the selector asked for.
const SELECTOR: &str = "hl_engine::director";

/// The trace of one run. Cheap to clone; all clones write the same one.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Lines>>);

struct Lines {
    begun: Instant,
    hash: Seed,
    line: String,
    text: Option<String>,
}

impl Trace {
    /// An empty trace that begins now; keeps its lines where `written`.
    #[must_use]
    pub fn new(written: bool) -> Self {
        let text = written.then(String::new);
        Self(Arc::new(Mutex::new(Lines { begun: Instant::now(), hash: Seed(0), line: String::new(), text })))
    }

    /// Appends a line.
    pub fn line(&self, what: &str, text: fmt::Arguments<'_>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = std::mem::take(&mut lines.line);
        line.clear();
        // Writing to text cannot fail.
        let _ = writeln!(line, "{} {what} {text}", lines.begun.elapsed().as_millis());
        lines.hash = lines.hash.derive(&line);
        if let Some(text) = &mut lines.text {
            text.push_str(&line);
        }
        lines.line = line;
    }

    /// The hash of all lines so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hash.0
    }

    /// The lines, where they are kept.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).text.clone()
    }

    /// A layer of `tracing` that writes what the daemon logs.
    pub(crate) fn layer(&self) -> LogLayer {
        LogLayer(self.clone())
    }
}

pub(crate) struct LogLayer(Trace);

impl<S: Subscriber> Layer<S> for LogLayer {
    fn enabled(&self, of: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let most = if of.target() == SELECTOR { Level::DEBUG } else { Level::INFO };
        of.target().starts_with("hl_") && *of.level() <= most
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.line(event.metadata().target(), format_args!("{}", fields.0));
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to text cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?} "),
            name => write!(self.0, "{name}={value:?} "),
        };
    }
}
