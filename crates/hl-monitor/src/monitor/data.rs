//! What is wrong with the data that comes: streams that change hands, what cannot be read, what differs, what is dropped or
//! late, and what the exchange does not list.

use hl_core::alert::AlertKind;

use super::Monitor;
use crate::Observation;
use crate::flapping::{Flapping, MANY};
use crate::standing::Condition;

/// Frames of a socket that arrive so late, ms, are late: the exchange pushes some of them only every 5 s, and a network
/// takes less than a second.
const BEHIND_MS: i64 = 5_000;
/// A changed signal is told of for so long, ms: it is over before the next one comes.
const SIGNAL_MS: i64 = 120_000;

impl Monitor {
    /// Records that neither memory nor the spool had room for.
    pub(super) fn overload(&mut self, seen: &Observation, conditions: &mut Vec<Condition>) {
        let count = seen.writer.dropped;
        if !self.dropped.are_new(count, seen.mono) {
            return;
        }
        conditions.push(Condition {
            kind: AlertKind::Overload,
            subject: "writer".to_owned(),
            words: format!(
                "more came than could be taken in: {count} records were dropped so far, and are gaps with the cause overload \
                 or store_full"
            ),
        });
    }

    /// Coins of which the tracked traders say something else.
    pub(super) fn signals(&mut self, seen: &Observation, conditions: &mut Vec<Condition>) {
        for (coin, (count, words)) in &seen.signals {
            if self.signals.entry(*coin).or_default().are_newer(*count, seen.mono, SIGNAL_MS) {
                let (kind, subject) = (AlertKind::Signal, coin.to_string());
                conditions.push(Condition { kind, subject, words: words.clone() });
            }
        }
    }

    /// Streams that change their owner again and again.
    pub(super) fn flapping(&mut self, seen: &Observation, conditions: &mut Vec<Condition>) {
        self.flapping.retain(|key, _| seen.streams.contains_key(key));
        let mut flapping = Vec::new();
        for (key, stream) in &seen.streams {
            let of = self.flapping.entry(*key).or_insert_with(|| Flapping::new(stream.moves));
            if let Some(words) = of.words(seen.mono, stream.moves, stream.moved_by) {
                flapping.push((key.to_string(), words));
            }
        }
        self.as_one(AlertKind::Flapping, flapping, conditions);
    }

    /// What befalls many streams is one trouble, and stays so until the last of them is rid of it.
    fn as_one(&self, kind: AlertKind, mut told: Vec<(String, String)>, conditions: &mut Vec<Condition>) {
        let subject = "ws".to_owned();
        let was_one = self.standing.contains_key(&(kind, subject.clone()));
        if told.len() >= MANY || was_one && !told.is_empty() {
            let (first, words) = told.swap_remove(0);
            let words = match told.len() {
                0 => format!("{first}: {words}"),
                others => format!("{first} and {others} more: {words}"),
            };
            conditions.push(Condition { kind, subject, words });
        } else {
            let of = |(subject, words)| Condition { kind, subject, words };
            conditions.extend(told.into_iter().map(of));
        }
    }

    /// What cannot be read. What was seen once is over some time after.
    pub(super) fn unreadable(&mut self, seen: &Observation, conditions: &mut Vec<Condition>) {
        let mut told = Vec::new();
        for (subject, now) in &seen.unreadable {
            if self.unreadable.entry(subject.clone()).or_default().are_new(now.count, seen.mono) {
                let words = format!("{} so far could not be read; the last: {}", now.count, now.reason);
                told.push((subject.clone(), words));
            }
        }
        self.as_one(AlertKind::Undecodable, told, conditions);
    }

    /// Streams of which the exchange says now this, now that.
    pub(super) fn contents(&mut self, seen: &Observation, conditions: &mut Vec<Condition>) {
        self.differing.retain(|key, _| seen.streams.contains_key(key));
        for (key, stream) in seen.streams.iter().filter(|(_, stream)| stream.differing > 0) {
            let rows = stream.differing;
            if self.differing.entry(*key).or_default().are_new(rows, seen.mono) {
                let words = format!(
                    "{rows} rows so far bear a key that is stored, and say something else; what came first is kept"
                );
                conditions.push(Condition { kind: AlertKind::RowsDiffer, subject: key.to_string(), words });
            }
        }
    }
}

/// What no socket subscribes for a while.
pub(super) fn quarantined(seen: &Observation, conditions: &mut Vec<Condition>) {
    for case in &seen.quarantined {
        let streams: Vec<_> = case.streams.iter().map(ToString::to_string).collect();
        let again = match (case.next - seen.mono).max(0) / 1_000 {
            0 => "now".to_owned(),
            seconds => format!("in {seconds} s"),
        };
        let words = format!(
            "{}: {}; tried again {again} on a socket of its own, and failed {} times so far",
            streams.join(", "),
            case.why,
            case.failed
        );
        conditions.push(Condition { kind: AlertKind::Quarantined, subject: case.subject.clone(), words });
    }
}

/// Sockets whose frames arrive late.
pub(super) fn behind(seen: &Observation, conditions: &mut Vec<Condition>) {
    for session in seen.sessions.iter().filter(|session| session.delay_ms >= BEHIND_MS) {
        let (tenths, subject) = (session.delay_ms / 100, format!("session/{}", session.slot));
        let words = format!("frames arrive {}.{} s after they were sent", tenths / 10, tenths % 10);
        conditions.push(Condition { kind: AlertKind::Behind, subject, words });
    }
}

/// What was asked for and the exchange does not list.
pub(super) fn missing(seen: &Observation, conditions: &mut Vec<Condition>) {
    let missing = seen.missing.iter().map(|(subject, words)| (subject.clone(), words.clone()));
    conditions.extend(missing.map(|(subject, words)| Condition {
        kind: AlertKind::NotListed,
        subject,
        words,
    }));
}
