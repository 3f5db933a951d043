//! The registry of everything that runs: since when, how far, how often anew.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::{StreamKey, TimeMs, Token};
use serde::{Deserialize, Serialize};

use crate::{Observation, Reception};

/// What something that runs is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessKind {
    /// All sockets, or all requests: `ws`, `rest`.
    Source,
    /// One socket with its subscriptions.
    Session,
    /// One stream.
    Collector,
    /// A job of the scheduler.
    Job,
    /// What puts rows into the store.
    Writer,
}

impl ProcessKind {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Session => "session",
            Self::Collector => "collector",
            Self::Job => "job",
            Self::Writer => "writer",
        }
    }
}

/// What it is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its work.
    Running,
    /// Its time has not come, or another process does its work.
    Waiting,
    /// There is nothing for it to do.
    Idle,
    /// It should work and does not: nothing is received of a stream that has an owner, a socket is not open.
    Down,
}

impl State {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Idle => "idle",
            Self::Down => "down",
        }
    }
}

/// A row of the registry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Process {
    /// What it is.
    pub kind: ProcessKind,
    /// Its name: `ws`, `session/0`, `trades/BTC`, `collect_funding`, `writer`.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Who is in charge of it: of a stream the source, or the token of the process that holds it.
    pub owner: Option<String>,
    /// Since when it does that under that owner, exchange time, ms.
    pub since: TimeMs,
    /// When it last got on, ms; none where it never did.
    pub last_progress: Option<TimeMs>,
    /// How often it had to begin anew: a socket its connection, a stream under another owner, a writer its transaction.
    pub restarts: u64,
    /// Of a stream that this process owns: whether data of it is received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reception: Option<Reception>,
}

/// What a process tells the others on its store.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProcessNote {
    /// When, exchange time, ms.
    pub at: TimeMs,
    /// Request weight booked in the last minute.
    pub weight_used: u32,
    /// The streams that it collects.
    pub collects: BTreeSet<StreamKey>,
    /// The jobs that it plans.
    pub plans: BTreeSet<String>,
    /// Everything that runs in it.
    pub processes: Vec<Process>,
}

impl ProcessNote {
    /// The name of the note: of each process under `<NAME>/<token>`.
    pub const NAME: &'static str = "processes";

    /// What an observation and the registry say.
    #[must_use]
    pub fn new(seen: &Observation, processes: Vec<Process>) -> Self {
        let owned = seen.streams.iter().filter(|(_, stream)| stream.owner.is_some());
        Self {
            at: seen.at,
            weight_used: seen.rest.weight_used,
            collects: owned.map(|(stream, _)| *stream).collect(),
            plans: seen.jobs.iter().filter(|job| job.planned).map(|job| job.id.clone()).collect(),
            processes,
        }
    }
}

/// What is seen of one thing that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// What it is.
    pub kind: ProcessKind,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Who is in charge of it.
    pub owner: Option<String>,
    /// Grows with its progress.
    pub progress: u64,
    /// How often it began, or failed to.
    pub restarts: Restarts,
    /// Of a stream that this process owns: whether data of it is received.
    pub reception: Option<Reception>,
}

/// How it is known how often something began anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restarts {
    /// It is counted elsewhere.
    Counted(u64),
    /// Each change of its owner is one, but for the first.
    Owners,
}

#[derive(Debug)]
struct Entry {
    process: Process,
    progress: u64,
}

/// Remembers since when, and how far.
#[derive(Debug, Default)]
pub struct Registry {
    entries: BTreeMap<(ProcessKind, String), Entry>,
}

impl Registry {
    /// Takes in an observation.
    pub fn observe(&mut self, seen: &Observation) {
        let samples = samples(seen);
        let names: BTreeSet<_> = samples.iter().map(|sample| (sample.kind, sample.name.clone())).collect();
        self.entries.retain(|name, _| names.contains(name));
        for sample in samples {
            self.take(seen.at, sample);
        }
    }

    fn take(&mut self, at: TimeMs, sample: Sample) {
        let Sample { kind, name, state, owner, progress, restarts, reception } = sample;
        let entry = self.entries.entry((kind, name.clone())).or_insert_with(|| Entry {
            process: Process {
                kind,
                name,
                state,
                owner: owner.clone(),
                since: at,
                last_progress: None,
                restarts: 0,
                reception: None,
            },
            progress: 0,
        });
        let process = &mut entry.process;
        if process.state != state || process.owner != owner {
            process.since = at;
        }
        match restarts {
            Restarts::Counted(count) => process.restarts = count,
            Restarts::Owners if process.owner != owner && process.owner.is_some() && owner.is_some() => {
                process.restarts += 1;
            }
            Restarts::Owners => {}
        }
        // Nobody in between is no change of hands.
        if owner.is_some() || restarts != Restarts::Owners {
            process.owner = owner;
        }
        process.state = state;
        process.reception = reception;
        if progress > entry.progress {
            entry.progress = progress;
            process.last_progress = Some(at);
        }
    }

    /// Every row, by kind and name.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        self.entries.values().map(|entry| entry.process.clone()).collect()
    }
}

/// Everything that runs, of an observation.
fn samples(seen: &Observation) -> Vec<Sample> {
    let mut samples = vec![ws(seen), rest(seen), writer(seen)];
    samples.extend(seen.sessions.iter().map(|session| Sample {
        kind: ProcessKind::Session,
        name: format!("session/{}", session.slot),
        state: if session.up && session.live > 0 { State::Running } else { State::Down },
        owner: Some("ws".to_owned()),
        progress: session.frames,
        restarts: Restarts::Counted(session.connects.saturating_sub(1)),
        reception: None,
    }));
    samples.extend(seen.streams.iter().map(|(key, stream)| Sample {
        kind: ProcessKind::Collector,
        name: key.to_string(),
        state: match (stream.owner, stream.held_by) {
            (Some(_), _) if stream.reception == Reception::Failing => State::Down,
            (Some(_), _) => State::Running,
            (None, Some(_)) => State::Waiting,
            (None, None) => State::Down,
        },
        owner: match (stream.owner, stream.held_by) {
            (Some(source), _) => Some(source.to_string()),
            (None, holder) => holder.map(token_words),
        },
        progress: stream.records,
        restarts: Restarts::Owners,
        reception: stream.owner.map(|_| stream.reception),
    }));
    samples.extend(seen.jobs.iter().map(|job| Sample {
        kind: ProcessKind::Job,
        name: job.id.clone(),
        state: match (job.running, job.due) {
            _ if job.in_vain > 0 => State::Down,
            (true, _) => State::Running,
            (false, true) => State::Waiting,
            (false, false) => State::Idle,
        },
        owner: Some("scheduler".to_owned()),
        progress: job.runs,
        restarts: Restarts::Counted(u64::from(job.in_vain)),
        reception: None,
    }));
    samples
}

fn ws(seen: &Observation) -> Sample {
    let works = |session: &&crate::SessionSeen| session.up && session.live > 0;
    Sample {
        kind: ProcessKind::Source,
        name: "ws".to_owned(),
        state: match seen.sessions.iter().filter(works).count() {
            _ if seen.sessions.is_empty() => State::Idle,
            0 => State::Down,
            _ => State::Running,
        },
        owner: Some("engine".to_owned()),
        progress: seen.sessions.iter().map(|session| session.frames).sum(),
        restarts: Restarts::Counted(seen.sessions.iter().map(|s| s.connects.saturating_sub(1)).sum()),
        reception: None,
    }
}

fn rest(seen: &Observation) -> Sample {
    let owns = seen.streams.values().any(|stream| stream.owner == Some(hl_core::SourceId::Rest));
    Sample {
        kind: ProcessKind::Source,
        name: "rest".to_owned(),
        state: if owns { State::Running } else { State::Waiting },
        owner: Some("engine".to_owned()),
        progress: seen.rest.answers,
        restarts: Restarts::Counted(0),
        reception: None,
    }
}

fn writer(seen: &Observation) -> Sample {
    Sample {
        kind: ProcessKind::Writer,
        name: "writer".to_owned(),
        state: State::Running,
        owner: Some("engine".to_owned()),
        progress: seen.writer.commits,
        restarts: Restarts::Counted(seen.writer.failures),
        reception: None,
    }
}

/// A token, for people.
pub(crate) fn token_words(token: Token) -> String {
    format!("token {}", token.0)
}
