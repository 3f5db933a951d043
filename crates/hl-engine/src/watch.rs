//! Watches the engine: what runs, and what somebody should look at. One task looks and tells, another keeps what was told
//! in the store and reads there what the other processes say; so that a store that hangs does not blind the first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hl_collectors::ws::Quarantined;
use hl_core::alert::{Alert, Severity};
use hl_core::seam::stopped;
use hl_core::store::{Alerts, LiveSession, Store, StoreError, note_of};
use hl_core::{StreamKey, Token};
use hl_monitor::{
    AlertChange, Health, JobSeen, Monitor, Observation, Peer, ProcessNote, QuarantineSeen, Registry,
    RestSeen, SessionSeen, StreamSeen, TotalReception, UnreadableSeen, WriterSeen,
};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::Engine;
use crate::engine::is_followed;

/// How often it looks whether anything is received …
const EVERY: Duration = Duration::from_secs(1);
/// … and so many times as often as at everything.
const ALL_EVERY: u64 = 5;
/// How often it tells the other processes, and hears of them.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// Changes that may wait for the store, or for a subscriber.
const CHANGES: usize = 256;

/// What a process says of itself, and when it said so.
#[derive(Clone, Debug)]
pub struct Published {
    /// What it says; nothing before collecting has begun.
    pub health: Arc<Health>,
    /// When.
    pub taken: Instant,
    /// Whether anything is received; newer than the rest by some seconds.
    pub reception: TotalReception,
}

/// Where the watch publishes, and from where it is heard.
pub(crate) struct Board {
    health: watch::Sender<Published>,
    changes: broadcast::Sender<AlertChange>,
    peers: Mutex<Vec<Peer>>,
}

impl Board {
    pub(crate) fn new(token: Token) -> Self {
        let health = Arc::new(Health { token, ..Health::default() });
        Self {
            health: watch::Sender::new(Published {
                health,
                taken: Instant::now(),
                reception: TotalReception::default(),
            }),
            changes: broadcast::Sender::new(CHANGES),
            peers: Mutex::default(),
        }
    }

    pub(crate) fn health(&self) -> watch::Receiver<Published> {
        self.health.subscribe()
    }

    /// Says anew whether anything is received.
    pub(crate) fn say(&self, reception: TotalReception) {
        self.health.send_modify(|published| {
            (published.reception, published.taken) = (reception, Instant::now());
        });
    }

    pub(crate) fn changes(&self) -> broadcast::Receiver<AlertChange> {
        self.changes.subscribe()
    }

    fn peers(&self) -> Vec<Peer> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Both ends of what the looking task has for the keeping one.
pub(crate) fn channel() -> (Told, Untold) {
    let (alerts, told) = mpsc::channel(CHANGES);
    let (notes, note) = watch::channel(None);
    (Told { alerts, notes }, Untold { told, note, waiting: VecDeque::new() })
}

/// What is to be kept.
pub(crate) struct Told {
    alerts: mpsc::Sender<Alert>,
    notes: watch::Sender<Option<ProcessNote>>,
}

/// Looks until `stop` turns true.
pub(crate) async fn look(
    engine: Arc<Engine>,
    board: Arc<Board>,
    told: Told,
    mut stop: watch::Receiver<bool>,
) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut monitor, mut registry) = (Monitor::new(), Registry::default());
    for round in 0_u64.. {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            _ = every.tick() => {}
        }
        if round % ALL_EVERY != 0 {
            let reception = engine.reception();
            board.health.send_modify(|published| published.reception = reception);
            continue;
        }
        let (seen, reception) = observe(&engine, board.peers());
        for change in monitor.step(&seen) {
            tell(&change);
            if told.alerts.try_send(change.alert().clone()).is_err() {
                warn!("the store takes no alerts; one is not kept");
            }
            // Nobody may be listening.
            let _ = board.changes.send(change);
        }
        registry.observe(&seen);
        let processes = registry.processes();
        told.notes.send_replace(Some(ProcessNote::new(&seen, processes.clone())));
        let token = engine.token();
        let health = Arc::new(Health { at: seen.at, token, processes, alerts: monitor.open() });
        board.health.send_replace(Published { health, taken: Instant::now(), reception });
    }
}

fn tell(change: &AlertChange) {
    let Alert { kind, subject, severity, words, .. } = change.alert();
    let kind = kind.as_str();
    match (change, severity) {
        (AlertChange::Raised(_), Severity::Critical) => error!(kind, subject, words, "alert"),
        (AlertChange::Raised(_), Severity::Warning) => warn!(kind, subject, words, "alert"),
        (AlertChange::Resolved(_), _) => info!(kind, subject, "the alert is over"),
        (AlertChange::Still(_), _) => {}
    }
}

fn observe(engine: &Engine, peers: Vec<Peer>) -> (Observation, TotalReception) {
    let snapshot = engine.snapshot();
    let stream = |key: &StreamKey| {
        let meter = snapshot.streams.get(key).copied().unwrap_or_default();
        let held_by = snapshot.held.iter().find(|(held, _)| held == key).map(|(_, holder)| holder.token);
        let seen = StreamSeen {
            owner: meter.owner,
            held_by,
            subscribed: engine.has_socket(*key),
            records: meter.tally.admitted,
            differing: meter.differing,
            late: meter.late,
            moves: meter.moves,
            moved_by: meter.moved_by,
            reception: snapshot.receptions.get(key).copied().unwrap_or_default(),
        };
        (*key, seen)
    };
    let troubles = engine.job_troubles();
    let job = |job: &hl_scheduler::JobView| {
        let trouble = troubles.get(&job.id).cloned().unwrap_or_default();
        JobSeen {
            id: job.id.clone(),
            planned: job.schedule.is_some(),
            running: job.state == hl_scheduler::JobState::Running,
            due: job.state == hl_scheduler::JobState::Due,
            runs: job.runs,
            again: trouble.again,
            in_vain: trouble.in_vain,
            skipped: trouble.skipped,
            failing: trouble.failing.map(|failing| (failing.times, failing.words)),
        }
    };
    let sessions = snapshot.sockets.iter().map(|socket| SessionSeen {
        slot: socket.slot,
        up: socket.up,
        live: socket.live,
        wanted: socket.wanted,
        trouble: socket.trouble.clone(),
        connects: socket.counters.connects,
        frames: socket.counters.frames,
        delay_ms: socket.delay_ms,
    });
    let observation = Observation {
        at: snapshot.at,
        mono: snapshot.mono,
        streams: engine.wanted.order().iter().filter(|stream| !is_followed(**stream)).map(stream).collect(),
        missing: engine.wanted.missing(),
        signals: engine.told(),
        sessions: sessions.collect(),
        quarantined: engine.pool.quarantined().into_iter().map(quarantine).collect(),
        rest: RestSeen {
            answers: snapshot.rest.answers,
            failures: snapshot.rest.failures,
            rate_limited: snapshot.rest.rate_limited,
            weight_used: snapshot.rest.weight_used,
        },
        writer: WriterSeen {
            commits: snapshot.pipeline.commits,
            failures: snapshot.pipeline.failures,
            spooled: snapshot.spool.0,
            dropped: snapshot.inbox.conflated + snapshot.pipeline.spool_full,
        },
        store: engine.store.condition(),
        unreadable: snapshot
            .unreadable
            .iter()
            .map(|(subject, seen)| {
                (subject.clone(), UnreadableSeen { count: seen.count, reason: seen.reason.clone() })
            })
            .collect(),
        jobs: snapshot.jobs.iter().map(job).collect(),
        peers,
        shares: engine.shares(),
    };
    (observation, snapshot.reception)
}

fn quarantine(case: Quarantined) -> QuarantineSeen {
    let Quarantined { subject, streams, why, next, failed } = case;
    QuarantineSeen { subject, streams, why, next, failed }
}

/// What is not in the store yet.
pub(crate) struct Untold {
    told: mpsc::Receiver<Alert>,
    note: watch::Receiver<Option<ProcessNote>>,
    waiting: VecDeque<Alert>,
}

impl Untold {
    /// Keeps until `stop` turns true, whatever the store does.
    pub(crate) async fn keep(
        mut self,
        store: Arc<dyn Store>,
        board: Arc<Board>,
        mut stop: watch::Receiver<bool>,
    ) {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => {}
            () = self.go_on(store.as_ref(), &board) => {}
        }
    }

    async fn go_on(&mut self, store: &dyn Store, board: &Board) {
        let mut every = interval(KEEP_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complained = false;
        loop {
            let kept = tokio::select! {
                biased;
                alert = self.told.recv() => match alert {
                    Some(alert) => {
                        self.put(alert);
                        self.flush(store).await
                    }
                    None => break,
                },
                _ = every.tick() => match self.flush(store).await {
                    Ok(()) => self.exchange(store, board).await,
                    failed => failed,
                },
            };
            match kept {
                Ok(()) => complained = false,
                // The store is the pipeline's worry, which says more; here it is said once.
                Err(error) if !complained => {
                    complained = true;
                    warn!(%error, "what runs here cannot be kept in the store");
                }
                Err(_) => {}
            }
        }
    }

    /// The newest word about an alert replaces what waits.
    fn put(&mut self, alert: Alert) {
        let same = |a: &Alert| a.kind == alert.kind && a.subject == alert.subject && a.raised == alert.raised;
        self.waiting.retain(|waiting| !same(waiting));
        if self.waiting.len() == CHANGES {
            self.waiting.pop_front();
        }
        self.waiting.push_back(alert);
    }

    async fn flush(&mut self, store: &dyn Alerts) -> Result<(), StoreError> {
        while let Some(alert) = self.waiting.front() {
            match store.put_alert(alert).await {
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => {
                    self.waiting.pop_front();
                    return Err(error);
                }
                Ok(()) => {
                    self.waiting.pop_front();
                }
            }
        }
        Ok(())
    }

    /// Tells the others, and hears of them.
    async fn exchange(&self, store: &dyn Store, board: &Board) -> Result<(), StoreError> {
        let text = self.note.borrow().as_ref().map(serde_json::to_string).transpose();
        match text {
            Ok(None) => {}
            Ok(Some(text)) => store.put_note(&note_of(ProcessNote::NAME, store.token()), &text).await?,
            Err(error) => warn!(%error, "what runs here cannot be told"),
        }
        let living = store.sessions(ProcessNote::NAME).await?;
        let others = living.into_iter().filter(|living| living.holder.token != store.token());
        *board.peers.lock().unwrap_or_else(PoisonError::into_inner) = others.map(peer).collect();
        Ok(())
    }
}

fn peer(living: LiveSession) -> Peer {
    let LiveSession { holder, note } = living;
    // A note of another shape is of another release: that process tells nothing.
    let note = note.and_then(|text| serde_json::from_str::<ProcessNote>(&text).ok());
    Peer {
        token: holder.token,
        name: format!("{holder:#}"),
        at: note.as_ref().map(|note| note.at),
        weight_used: note.as_ref().map_or(0, |note| note.weight_used),
        streams: note.as_ref().map(|note| note.collects.clone()).unwrap_or_default(),
        jobs: note.map(|note| note.plans).unwrap_or_default(),
    }
}
