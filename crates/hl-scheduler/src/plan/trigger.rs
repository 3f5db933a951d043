//! The points in time at which a job is planned.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use hl_core::TimeMs;

/// When a job is planned. Everything is UTC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// At every whole multiple of so many milliseconds since 1970: every process means the same points.
    Every(i64),
    /// At the times of a cron expression: seconds, minutes, hours, days of the month, months, days of the week, and a year
    /// if one is given.
    Cron(Box<cron::Schedule>),
    /// Once, when the process starts.
    AtStart,
    /// Only when somebody asks.
    ByHand,
}

/// Words that name no trigger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{words:?} is no schedule: {why}; write \"every 30s\", \"at start\", \"by hand\", or a cron expression such as \"0 0 3 * * *\""
)]
pub struct TriggerError {
    words: String,
    why: String,
}

impl Trigger {
    /// The first planned time after `time`.
    #[must_use]
    pub fn after(&self, time: TimeMs) -> Option<TimeMs> {
        match self {
            Self::Every(ms) => Some(time.floor(*ms) + *ms),
            Self::Cron(schedule) => schedule.after(&utc(time)?).next().map(of_utc),
            Self::AtStart | Self::ByHand => None,
        }
    }

    /// The last planned time that is not after `time`.
    #[must_use]
    pub fn until(&self, time: TimeMs) -> Option<TimeMs> {
        match self {
            Self::Every(ms) => Some(time.floor(*ms)),
            // The iterator goes back from a whole second, without it.
            Self::Cron(schedule) => schedule.after(&utc(time.floor(1_000) + 1_000)?).next_back().map(of_utc),
            Self::AtStart | Self::ByHand => None,
        }
    }

    /// How many planned times lie after `from`, up to and with `to`; counted no further than `most`.
    #[must_use]
    pub fn count(&self, from: TimeMs, to: TimeMs, most: u32) -> u32 {
        match self {
            Self::Every(ms) => {
                let steps = to.floor(*ms).since(from.floor(*ms)) / ms;
                u32::try_from(steps.max(0)).unwrap_or(u32::MAX).min(most)
            }
            Self::Cron(schedule) => {
                let Some(from) = utc(from) else { return 0 };
                let inside = schedule.after(&from).take_while(|time| of_utc(*time) <= to);
                inside.take(most as usize).fold(0, |count, _| count + 1)
            }
            Self::AtStart | Self::ByHand => 0,
        }
    }
}

fn utc(time: TimeMs) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(time.0)
}

fn of_utc(time: DateTime<Utc>) -> TimeMs {
    TimeMs(time.timestamp_millis())
}

impl FromStr for Trigger {
    type Err = TriggerError;

    fn from_str(words: &str) -> Result<Self, TriggerError> {
        let wrong = |why: String| TriggerError { words: words.to_owned(), why };
        let trimmed = words.trim();
        if let Some(length) = trimmed.strip_prefix("every ") {
            let length: jiff::SignedDuration =
                length.trim().parse().map_err(|error: jiff::Error| wrong(error.to_string()))?;
            return match i64::try_from(length.as_millis()) {
                Ok(ms) if ms >= 1_000 => Ok(Self::Every(ms)),
                _ => Err(wrong("a second is the shortest interval".to_owned())),
            };
        }
        match trimmed {
            "at start" => Ok(Self::AtStart),
            "by hand" => Ok(Self::ByHand),
            expression => match expression.parse::<cron::Schedule>() {
                Ok(schedule) => Ok(Self::Cron(Box::new(schedule))),
                Err(error) => Err(wrong(error.to_string().trim().to_owned())),
            },
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(ms) => write!(f, "every {:#}", jiff::SignedDuration::from_millis(*ms)),
            Self::Cron(schedule) => f.write_str(schedule.source()),
            Self::AtStart => f.write_str("at start"),
            Self::ByHand => f.write_str("by hand"),
        }
    }
}
