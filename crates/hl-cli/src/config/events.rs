//! Which events go to standard output.

use std::fmt;
use std::str::FromStr;

use hl_core::{Coin, Kind, StreamKey};
use hl_engine::Filter;

use super::{Config, StreamChoice, ValueError};

/// What `--stdout` names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventChoice {
    /// Everything.
    All,
    /// The streams of a kind.
    Kind(Kind),
    /// One stream.
    Stream(StreamKey),
}

impl fmt::Display for EventChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.pad("all"),
            Self::Kind(kind) => f.pad(kind.spec().word),
            Self::Stream(stream) => stream.fmt(f),
        }
    }
}

impl FromStr for EventChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "all" {
            return Ok(Self::All);
        }
        match text.parse::<StreamChoice>() {
            Ok(StreamChoice(kind)) => Ok(Self::Kind(kind)),
            // A word without a slash can only be meant for a kind.
            Err(unknown) if !text.contains('/') => Err(unknown),
            Err(_) => text.parse().map(Self::Stream).map_err(|_| ValueError::Malformed {
                what: "a stream, a kind of stream or `all`",
                text: text.to_owned(),
                example: "trades/BTC".to_owned(),
            }),
        }
    }
}

impl Config {
    /// The events that go to standard output; none where the status does.
    #[must_use]
    pub fn events(&self) -> Option<Filter> {
        let (mut kinds, mut streams) = (Vec::new(), Vec::new());
        for choice in &self.stdout {
            match choice {
                EventChoice::All => return Some(Filter::all()),
                EventChoice::Kind(kind) => kinds.push(*kind),
                EventChoice::Stream(stream) => streams.push(*stream),
            }
        }
        (!self.stdout.is_empty()).then(|| Filter::all().kinds(kinds).streams(streams))
    }

    /// Whether something of it may be collected.
    pub(super) fn may_tell(&self, choice: EventChoice) -> bool {
        let stream = match choice {
            EventChoice::All => return true,
            EventChoice::Kind(kind) => return self.streams.contains(&StreamChoice(kind)),
            EventChoice::Stream(stream) => stream,
        };
        let wish = self.coins.wish(&self.network, &self.every);
        let coins: Vec<Coin> = stream.coin().filter(|coin| wish.has(*coin)).into_iter().collect();
        match stream.whole_dex() {
            Some(dex) => wish.has_dex(dex) && self.streams.contains(&StreamChoice(stream.kind())),
            None => self.stream_keys(&coins).contains(&stream),
        }
    }
}
