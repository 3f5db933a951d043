//! The machine: observations in, changes of alerts out.

mod data;

use std::collections::BTreeMap;

use hl_core::alert::{Alert, AlertKind};
use hl_core::limits::{QUESTION_WEIGHT, WEIGHT};
use hl_core::selector::Mono;
use hl_core::stream::Conflation;
use hl_core::{Coin, SourceId, StreamKey, TimeMs};

use crate::band::{Band, Verdict};
use crate::events::{EVENT_MS, Events};
use crate::flapping::Flapping;
use crate::process::token_words;
use crate::progress::{Attempts, Counter};
use crate::standing::{Condition, Patience, Standing};
use crate::{Observation, Peer, StreamSeen};
use data::{behind, missing, quarantined};

/// Without an observation for so long the process stood still, ms.
const STOOD_STILL_MS: i64 = 30_000;
/// A peer whose note is older than this does not do what it says, ms.
const FRESH_MS: i64 = 60_000;
/// Sockets with a stream that is pushed by a clock are silent after this, ms.
const SILENT_MS: i64 = 30_000;
/// A writer that has something to write and does not stands after this, ms.
const STUCK_MS: i64 = 10_000;
/// So many late records of a stream in a minute are more than replays bring …
const LATE: u64 = 60;
/// … where they are this part of all at least.
const LATE_PART: u64 = 4;
/// Requests fail when so many did since the last answer, over so many ms.
const FAILURES: u64 = 3;
const FAILING_MS: i64 = 30_000;
const MINUTE_MS: i64 = 60_000;
/// A log of this size that a reader holds is worth a word, bytes.
const LOG_LARGE: u64 = 32 << 20;

/// What has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AlertChange {
    /// An alert rose: somebody should be told.
    Raised(Alert),
    /// It stands: worth writing down, not worth telling.
    Still(Alert),
    /// It is over: who was told of its rise should be told.
    Resolved(Alert),
}

impl AlertChange {
    /// The alert as it is now.
    #[must_use]
    pub fn alert(&self) -> &Alert {
        match self {
            Self::Raised(alert) | Self::Still(alert) | Self::Resolved(alert) => alert,
        }
    }
}

fn patience(kind: AlertKind) -> Patience {
    let (raise_ms, resolve_ms) = match kind {
        AlertKind::NoProgress => (60_000, 30_000),
        AlertKind::NoOwner => (60_000, 10_000),
        // Where a stream moves, the word of its old owner is as old as two rounds of notes, and a look.
        AlertKind::TwoOwners => (30_000, 20_000),
        AlertKind::Behind => (30_000, 30_000),
        AlertKind::JobTwice => (20_000, 20_000),
        // A list may be short for a moment.
        AlertKind::NotListed => (60_000, 0),
        // These have their own patience.
        AlertKind::Quarantined
        | AlertKind::StoreGone
        | AlertKind::StoreReplaced
        | AlertKind::WalGrowing
        | AlertKind::Overload
        | AlertKind::ForeignWeight
        | AlertKind::Flapping
        | AlertKind::RateLow
        | AlertKind::RateHigh
        | AlertKind::Late
        | AlertKind::JobSkipped
        | AlertKind::JobFailing
        | AlertKind::RowsDiffer
        | AlertKind::Signal
        | AlertKind::Undecodable => (0, 0),
    };
    Patience { raise_ms, resolve_ms }
}

/// A stream's rate.
#[derive(Debug)]
struct Rated {
    band: Band,
    /// Records at the beginning of the minute, and who collected then.
    records: u64,
    owner: Option<SourceId>,
    /// Whether something happened within the minute that makes it say nothing.
    disturbed: bool,
    /// Late records at its beginning.
    late: u64,
    /// The last minute with many late ones: when it ended, and how many of how many they were.
    overdue: Option<(Mono, u64, u64)>,
}

/// Which source is in trouble, as far as rates go.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    ws: bool,
    rest: bool,
}

/// Says which alert rises, stands and resolves. One a process.
#[derive(Debug, Default)]
pub struct Monitor {
    standing: BTreeMap<(AlertKind, String), Standing>,
    rated: BTreeMap<StreamKey, Rated>,
    flapping: BTreeMap<StreamKey, Flapping>,
    minute: Option<i64>,
    last: Option<Mono>,
    frames: Option<Counter>,
    commits: Option<Counter>,
    /// Records of all streams at the last commit.
    written: u64,
    requests: Option<Attempts>,
    rate_limited: u64,
    /// The last 429 while there was room, and what was booked then.
    foreign: Option<(Mono, u32)>,
    /// How often each job id was registered again.
    again: BTreeMap<String, Events>,
    /// How much could not be read, by subject.
    unreadable: BTreeMap<String, Events>,
    /// How often the store was replaced.
    replaced: Events,
    /// How many rows of a stream differed from what is stored.
    differing: BTreeMap<StreamKey, Events>,
    /// How many records were dropped.
    dropped: Events,
    /// How often the signal of a coin changed.
    signals: BTreeMap<Coin, Events>,
}

impl Monitor {
    /// A monitor that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The open alerts, oldest first.
    #[must_use]
    pub fn open(&self) -> Vec<Alert> {
        let open = self.standing.values().filter_map(|standing| match standing {
            Standing::Open { alert, .. } => Some(alert.clone()),
            Standing::Pending { .. } => None,
        });
        let mut open: Vec<_> = open.collect();
        open.sort_by_key(|alert| alert.raised);
        open
    }

    /// Takes in an observation, some seconds after the last.
    pub fn step(&mut self, seen: &Observation) -> Vec<AlertChange> {
        let stood_still = self.last.is_some_and(|last| seen.mono - last > STOOD_STILL_MS);
        if stood_still {
            self.stood_still(seen);
        }
        self.last = Some(seen.mono);
        let mut conditions = Vec::new();
        let trouble = self.progress(seen, &mut conditions);
        quarantined(seen, &mut conditions);
        behind(seen, &mut conditions);
        self.store(seen, &mut conditions);
        self.owners(seen, &mut conditions);
        self.flapping(seen, &mut conditions);
        missing(seen, &mut conditions);
        self.signals(seen, &mut conditions);
        self.jobs(seen, &mut conditions);
        self.contents(seen, &mut conditions);
        self.unreadable(seen, &mut conditions);
        self.rates(seen, trouble, stood_still, &mut conditions);
        self.settle(seen, conditions)
    }

    fn stood_still(&mut self, seen: &Observation) {
        for standing in self.standing.values_mut() {
            standing.stood_still(seen.mono);
        }
        for counter in self.frames.iter_mut().chain(&mut self.commits) {
            counter.forgive(seen.mono);
        }
    }

    /// Sources, sessions and the writer.
    fn progress(&mut self, seen: &Observation, conditions: &mut Vec<Condition>) -> Trouble {
        let mut stuck = |subject: String, words: String| {
            conditions.push(Condition { kind: AlertKind::NoProgress, subject, words });
        };
        let mut trouble = Trouble::default();

        let down = |session: &&crate::SessionSeen| !session.up || session.live == 0;
        let all = seen.sessions.len();
        let why = |session: &crate::SessionSeen| match (&session.trouble, session.up) {
            (Some(words), _) => words.clone(),
            (None, true) => "no subscription is acknowledged".to_owned(),
            (None, false) => "connecting".to_owned(),
        };
        let count = seen.sessions.iter().filter(down).count();
        let frames = seen.sessions.iter().map(|session| session.frames).sum();
        let counter = self.frames.get_or_insert(Counter::new(seen.mono, frames));
        let silent_ms = counter.stood(seen.mono, frames);
        let is_steady = |(key, stream): (&StreamKey, &StreamSeen)| stream.subscribed && key.spec().steady;
        if !seen.streams.iter().any(is_steady) {
            counter.forgive(seen.mono);
        }
        trouble.ws = count > 0;
        // Sockets that come back one by one are still the same trouble.
        let was_told = matches!(
            self.standing.get(&(AlertKind::NoProgress, "ws".to_owned())),
            Some(Standing::Open { .. })
        );
        if count > 0 && (count == all || was_told) {
            let words = seen.sessions.iter().find(down).map(why).unwrap_or_default();
            stuck("ws".to_owned(), format!("{count} of {all} sockets have no subscription: {words}"));
        } else if all > 0 && silent_ms > SILENT_MS {
            trouble.ws = true;
            stuck("ws".to_owned(), format!("no data came for {} s over {all} sockets", silent_ms / 1_000));
        } else {
            for session in seen.sessions.iter().filter(down) {
                let words = format!("none of its {} subscriptions: {}", session.wanted, why(session));
                stuck(format!("session/{}", session.slot), words);
            }
        }

        self.foreign_weight(seen);
        let requests = self.requests.get_or_insert(Attempts::new(seen.rest.answers, seen.rest.failures));
        let (failures, over_ms) = requests.failing(seen.mono, seen.rest.answers, seen.rest.failures);
        if self.foreign.is_some() {
            // Who is told to be quiet gets no answers; that has an alert of its own.
            requests.forgive();
            trouble.rest = true;
        } else if failures >= FAILURES && over_ms >= FAILING_MS {
            trouble.rest = true;
            stuck("rest".to_owned(), format!("{failures} requests failed since the last answer"));
        }

        let taken: u64 = seen.streams.values().map(|stream| stream.records).sum();
        let commits = self.commits.get_or_insert(Counter::new(seen.mono, seen.writer.commits));
        let stood_ms = commits.stood(seen.mono, seen.writer.commits);
        if stood_ms == 0 {
            self.written = taken;
        } else if taken == self.written && seen.writer.spooled == 0 {
            commits.forgive(seen.mono);
        }
        if stood_ms > STUCK_MS && (taken != self.written || seen.writer.spooled > 0) {
            let spooled = match seen.writer.spooled {
                0 => String::new(),
                batches => format!(", {batches} batches wait in the spool"),
            };
            let words = format!(
                "nothing was stored for {} s, {} attempts failed so far{spooled}",
                stood_ms / 1_000,
                seen.writer.failures
            );
            stuck("writer".to_owned(), words);
        }
        self.overload(seen, conditions);
        if let Some((_, booked)) = self.foreign {
            conditions.push(Condition {
                kind: AlertKind::ForeignWeight,
                subject: "rest".to_owned(),
                words: format!(
                    "the exchange answered 429 while {booked} of its {WEIGHT} weight a minute were booked on this store: \
                     another program asks from this address"
                ),
            });
        }
        trouble
    }

    /// The place where the rows lie.
    fn store(&mut self, seen: &Observation, conditions: &mut Vec<Condition>) {
        let mut tell = |kind, words: String| {
            conditions.push(Condition { kind, subject: "store".to_owned(), words });
        };
        if let Some(words) = &seen.store.gone {
            tell(AlertKind::StoreGone, words.clone());
        }
        let count = seen.store.replaced;
        if self.replaced.are_new(count.into(), seen.mono) {
            let words = format!(
                "another program replaced the database or its log ({count} so far), and it was opened anew: rows that \
                 went with it are gaps with the cause store_lost"
            );
            tell(AlertKind::StoreReplaced, words);
        }
        if seen.store.log_held_since.is_some() && seen.store.log_bytes > LOG_LARGE {
            let who = match &seen.store.log_held_by[..] {
                [] => "a program".to_owned(),
                named => named.join(", "),
            };
            let words = format!(
                "the database's log has grown to {} MB, because {who} keeps a transaction open on it",
                seen.store.log_bytes / 1_000_000
            );
            tell(AlertKind::WalGrowing, words);
        }
    }

    fn foreign_weight(&mut self, seen: &Observation) {
        let others = seen.peers.iter().filter(|peer| is_fresh(peer, seen.at)).map(|peer| peer.weight_used);
        let booked = others.fold(seen.rest.weight_used, u32::saturating_add);
        if seen.rest.rate_limited > self.rate_limited && booked <= QUESTION_WEIGHT {
            self.foreign = Some((seen.mono, booked));
        }
        self.rate_limited = seen.rest.rate_limited;
        self.foreign = self.foreign.filter(|(last, _)| seen.mono - last < EVENT_MS);
    }

    /// Streams of which nobody is the owner, or two are.
    fn owners(&self, seen: &Observation, conditions: &mut Vec<Condition>) {
        for (key, stream) in &seen.streams {
            let others: Vec<_> = seen
                .peers
                .iter()
                .filter(|peer| is_fresh(peer, seen.at) && peer.streams.contains(key))
                .collect();
            let words = match (stream.owner, others.as_slice()) {
                (Some(source), [first, ..]) => {
                    let words = format!("collected here over {source}, and by {}", first.name);
                    conditions.push(Condition {
                        kind: AlertKind::TwoOwners,
                        subject: key.to_string(),
                        words,
                    });
                    continue;
                }
                (Some(_), []) | (None, [_, ..]) => continue,
                (None, []) => match stream.held_by {
                    Some(token) => {
                        let peer = seen.peers.iter().find(|peer| peer.token == token);
                        let name = peer.map_or_else(|| token_words(token), |peer| peer.name.clone());
                        format!("held by {name}, which does not collect it")
                    }
                    None => "held by this process, or by none, and collected by no source".to_owned(),
                },
            };
            conditions.push(Condition { kind: AlertKind::NoOwner, subject: key.to_string(), words });
        }
    }

    fn jobs(&mut self, seen: &Observation, conditions: &mut Vec<Condition>) {
        for job in &seen.jobs {
            let again = self.again.entry(job.id.clone()).or_default().are_new(job.again, seen.mono);
            let others =
                || seen.peers.iter().filter(|peer| is_fresh(peer, seen.at) && peer.jobs.contains(&job.id));
            let words = match others().next() {
                _ if again => Some(format!(
                    "registered {} times in this process; the last registration counts",
                    job.again + 1
                )),
                Some(other) if job.planned && !seen.shares => Some(format!(
                    "planned here, and by {}; the store lets one of them run each time",
                    other.name
                )),
                _ => None,
            };
            if let Some(words) = words {
                conditions.push(Condition { kind: AlertKind::JobTwice, subject: job.id.clone(), words });
            }
            if job.in_vain > 0 {
                let (kind, words) = match &job.skipped {
                    Some(why) => (
                        AlertKind::JobSkipped,
                        format!("{} planned runs in a row or more did not happen: {why}", job.in_vain),
                    ),
                    None => (
                        AlertKind::JobFailing,
                        format!(
                            "{} planned runs in a row or more did not succeed: `hl-cli jobs history {}` has the errors",
                            job.in_vain, job.id
                        ),
                    ),
                };
                conditions.push(Condition { kind, subject: job.id.clone(), words });
            } else if let Some((times, what)) = &job.failing {
                let words = format!("failed {times} times in a row, and is tried ever less often: {what}");
                conditions.push(Condition { kind: AlertKind::JobFailing, subject: job.id.clone(), words });
            }
        }
    }

    /// Rates, by the minute.
    fn rates(
        &mut self,
        seen: &Observation,
        trouble: Trouble,
        stood_still: bool,
        conditions: &mut Vec<Condition>,
    ) {
        let minute = seen.mono.div_euclid(MINUTE_MS);
        let is_over = self.minute.replace(minute).is_some_and(|before| before != minute);
        self.rated.retain(|key, _| seen.streams.contains_key(key));
        for (key, stream) in &seen.streams {
            let rated = self.rated.entry(*key).or_insert_with(|| Rated {
                band: Band::new(key.spec().conflation == Conflation::PerKey),
                records: stream.records,
                owner: stream.owner,
                disturbed: true,
                late: stream.late,
                overdue: None,
            });
            let in_trouble = match stream.owner {
                Some(SourceId::Ws) => trouble.ws && stream.records == rated.records,
                Some(SourceId::Rest | SourceId::Tracker) => trouble.rest || trouble.ws && stream.subscribed,
                None => true,
            };
            rated.disturbed |= stood_still || in_trouble || stream.owner != rated.owner;
            if is_over {
                let late = stream.late.saturating_sub(rated.late);
                // Versions of a bar that another source reads whole are late until the bar is over.
                let late = if key.spec().conflation == Conflation::PerKey { 0 } else { late };
                let all = late + stream.records.saturating_sub(rated.records);
                if late >= LATE && late >= all / LATE_PART && !rated.disturbed {
                    rated.overdue = Some((seen.mono, late, all));
                }
                rated.late = stream.late;
                match (rated.owner, stream.records.checked_sub(rated.records)) {
                    (Some(source), Some(records)) if !rated.disturbed => {
                        rated.band.minute(source, records);
                    }
                    _ => rated.band.pause(),
                }
                (rated.records, rated.owner, rated.disturbed) = (stream.records, stream.owner, false);
            }
            rated.overdue = rated.overdue.filter(|(at, ..)| seen.mono - at < EVENT_MS);
            if let Some((_, late, all)) = rated.overdue {
                let words = format!(
                    "{late} of {all} records in a minute were older than what is stored: the clock of the exchange was \
                     set back, or frames come out of order"
                );
                conditions.push(Condition { kind: AlertKind::Late, subject: key.to_string(), words });
            }
            let over = stream.owner.map_or(String::new(), |source| format!(", over {source}"));
            let (kind, words) = match rated.band.verdict() {
                Verdict::Inside => continue,
                Verdict::Low { records, lowest } => (
                    AlertKind::RateLow,
                    format!("{records} records in 5 minutes{over}; of late it had {lowest} at least"),
                ),
                Verdict::High { records, highest } => (
                    AlertKind::RateHigh,
                    format!("{records} records in 5 minutes{over}; of late it had {highest} at most"),
                ),
            };
            conditions.push(Condition { kind, subject: key.to_string(), words });
        }
    }

    /// From what is so to what has changed.
    fn settle(&mut self, seen: &Observation, conditions: Vec<Condition>) -> Vec<AlertChange> {
        let (now, at) = (seen.mono, seen.at);
        let mut changes = Vec::new();
        let mut standing = BTreeMap::new();
        for condition in conditions {
            let key = (condition.kind, condition.subject.clone());
            let before = self.standing.remove(&key).unwrap_or(Standing::Pending { since: now });
            let (next, change) = before.seen(now, at, patience(condition.kind), condition);
            standing.insert(key, next);
            changes.extend(change);
        }
        for (key, before) in std::mem::take(&mut self.standing) {
            let (next, change) = before.unseen(now, at, patience(key.0));
            changes.extend(change);
            standing.extend(next.map(|next| (key, next)));
        }
        self.standing = standing;
        changes
    }
}

fn is_fresh(peer: &Peer, at: TimeMs) -> bool {
    peer.at.is_some_and(|told| at.since(told).abs() <= FRESH_MS)
}
