//! The single reader: the loop around the inbox, the committer and the spool, and what happens where the store does not take a
//! batch. What becomes of each entry is in [intake].

mod intake;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hl_core::ledger::Batch;
use hl_core::seam::sleep_until;
use hl_core::store::{BatchQueue, Store};
use hl_core::thinning::{Policy, Thinner};
use hl_core::timeline::{Reconciler, Timeline};
use hl_core::{StreamKey, TimeMs};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::batch::Pending;
use super::committer::{self, Done, Job};
use super::inbox::Inbox;
use super::meter::Meters;
use super::reports::{PipelineEvent, Untold};
use crate::complaints::Complaints;
use crate::mono::MonoClock;
use crate::tracker::Hearing;

/// A transaction is begun when this many rows have gathered …
const BATCH_ROWS: usize = 2_000;
/// … or this long after the first change.
const BATCH_AGE: Duration = Duration::from_millis(250);
/// What gathers in memory while a commit is under way, bytes; beyond that it goes to the spool.
const MEMORY_BYTES: usize = 16 << 20;
/// Entries taken from the inbox at a time.
const TAKE: usize = 256;
/// The pause before a batch that was committed is tried to be taken off the spool again.
const POP_AGAIN: Duration = Duration::from_secs(1);
/// How long the last commits may take when the pipeline is closed; what is left then goes to the spool.
const CLOSING_LIMIT: Duration = Duration::from_secs(20);

/// The single reader. See the [module](super).
pub struct Pipeline {
    inbox: Arc<Inbox>,
    store: Arc<dyn Store>,
    spool: Arc<dyn BatchQueue>,
    meters: Arc<Meters>,
    mono: MonoClock,
    events: mpsc::Sender<PipelineEvent>,
    /// For the pauses between the attempts at a commit.
    rng: fastrand::Rng,
    lines: BTreeMap<StreamKey, Timeline>,
    /// What another process holds and is about to give to this one.
    warm: BTreeMap<StreamKey, Timeline>,
    /// Streams that were released and of which something may not be committed yet.
    releasing: Vec<StreamKey>,
    untold: Untold,
    reconciler: Reconciler,
    thinner: Thinner,
    pending: Pending,
    since: Option<Instant>,
    /// What the committer has in hand, where it did not come from the spool.
    in_flight: Option<Arc<Batch>>,
    committing: bool,
    spooled: bool,
    /// A batch of the spool that is in the store and could not be taken off yet, and when to try again. The spool's next
    /// batch is behind it, and what comes behind the spool must not pass it.
    to_pop: Option<(u64, Instant)>,
    /// The store will not take anything any more.
    failed: bool,
    /// About records from the future.
    complaints: Complaints,
    /// Up to when the exchange went on, where it was last seen to stand still.
    stood: Option<TimeMs>,
    /// How far the exchange's clock was ahead of the monotonic one when the inbox was last read, ms, as far as is known.
    ahead: Option<i64>,
    /// Where positions are followed.
    hearing: Option<Arc<Hearing>>,
}

impl Pipeline {
    /// A pipeline from `inbox` to `store`. What an earlier process left in the spool goes first.
    #[must_use]
    pub fn new(
        inbox: Arc<Inbox>,
        store: Arc<dyn Store>,
        spool: Arc<dyn BatchQueue>,
        meters: Arc<Meters>,
        mono: MonoClock,
        events: mpsc::Sender<PipelineEvent>,
        rng: fastrand::Rng,
    ) -> Self {
        let spooled = spool.size().0 > 0;
        Self {
            inbox,
            store,
            spool,
            meters,
            mono,
            events,
            rng,
            lines: BTreeMap::new(),
            warm: BTreeMap::new(),
            releasing: Vec::new(),
            untold: Untold::default(),
            reconciler: Reconciler::new(),
            thinner: Thinner::default(),
            pending: Pending::default(),
            since: None,
            in_flight: None,
            committing: false,
            spooled,
            to_pop: None,
            failed: false,
            complaints: Complaints::default(),
            stood: None,
            ahead: None,
            hearing: None,
        }
    }

    /// Leaves rows out as `policy` says, once they have passed every check.
    #[must_use]
    pub fn thinned(mut self, policy: Policy) -> Self {
        self.thinner = Thinner::new(policy);
        self
    }

    /// Tells of all trades, whichever rows of them are stored.
    #[must_use]
    pub fn heard_by(mut self, hearing: Option<Arc<Hearing>>) -> Self {
        self.hearing = hearing;
        self
    }

    /// Runs until the inbox is closed and empty, and everything is committed, or in the spool where the store does not take
    /// it in time.
    pub async fn run(mut self) {
        let (jobs, job_queue) = mpsc::channel(1);
        let (done, mut done_queue) = mpsc::channel(1);
        let mut committer = JoinSet::new();
        let rng = self.rng.fork();
        committer.spawn(committer::run(self.store.clone(), self.meters.clone(), job_queue, done, rng));
        let events = self.events.clone();
        loop {
            let flush_at = self.since.map(|since| since + BATCH_AGE).filter(|_| !self.is_busy());
            tokio::select! {
                biased;
                Some(done) = done_queue.recv() => self.finished(done).await,
                () = sleep_until(self.pop_at()) => self.pop_again().await,
                () = sleep_until(flush_at) => {}
                Ok(permit) = events.reserve(), if self.has_report() => {
                    if let Some(report) = self.report() {
                        permit.send(report);
                    }
                }
                entries = self.inbox.take(TAKE) => match entries {
                    Some(entries) => {
                        self.read(entries);
                        self.witness();
                    }
                    None => break,
                },
            }
            self.flush(&jobs, false).await;
        }
        let drained = tokio::time::timeout(CLOSING_LIMIT, async {
            loop {
                self.flush(&jobs, true).await;
                if !self.committing && (self.failed || self.pending.is_empty()) {
                    break;
                }
                tokio::select! {
                    biased;
                    done = done_queue.recv() => match done {
                        Some(done) => self.finished(done).await,
                        None => break,
                    },
                    () = sleep_until(self.pop_at()) => self.pop_again().await,
                }
            }
        });
        if drained.await.is_err() {
            warn!("the store did not take the last batches in time; they go to the spool");
            committer.abort_all();
            self.spool_pending().await;
        }
        drop(jobs);
        // Aborted or at its end: either way it is joined here.
        while committer.join_next().await.is_some() {}
    }

    fn has_report(&self) -> bool {
        !self.untold.is_empty() || self.released().is_some()
    }

    fn report(&mut self) -> Option<PipelineEvent> {
        if let Some(report) = self.untold.next() {
            return Some(report);
        }
        let released = self.released()?;
        self.releasing.retain(|releasing| *releasing != released);
        Some(PipelineEvent::Released(released))
    }

    /// A released stream of which nothing waits or is under way any more; what is in the spool may be of any.
    fn released(&self) -> Option<StreamKey> {
        if self.spooled || self.failed {
            return None;
        }
        let in_flight = self.in_flight.as_ref().map_or(&[][..], |batch| &batch.changes);
        let waits =
            |stream: StreamKey| self.pending.has(stream) || in_flight.iter().any(|(of, _)| *of == stream);
        self.releasing.iter().copied().find(|stream| !waits(*stream))
    }

    /// Gives the committer its next batch where it is idle, and relieves memory where it is not.
    async fn flush(&mut self, jobs: &mpsc::Sender<Job>, closing: bool) {
        if self.is_busy() {
            if self.pending.bytes() > MEMORY_BYTES {
                self.pending.conflate();
                if self.pending.bytes() > MEMORY_BYTES / 2 {
                    self.spool_pending().await;
                }
            }
            return;
        }
        let due = closing
            || self.pending.rows() >= BATCH_ROWS
            || self.since.is_some_and(|since| since.elapsed() >= BATCH_AGE);
        if due {
            self.since = None;
        }
        if due && (self.spooled || self.failed) && !self.pending.is_empty() {
            // Order within a stream: while the spool holds anything, what is newer lines up behind it.
            self.spool_pending().await;
        }
        if self.failed {
            return;
        }
        let job = match self.oldest_spooled().await {
            Some((number, batch)) => Job { batch: Arc::new(batch), spooled: Some(number) },
            None if due && !self.pending.is_empty() => {
                let batch = Arc::new(self.pending.take(self.store.token()));
                self.in_flight = Some(batch.clone());
                Job { batch, spooled: None }
            }
            None => return,
        };
        // The committer is idle, so its queue of one has room.
        self.committing = jobs.try_send(job).is_ok();
    }

    async fn oldest_spooled(&mut self) -> Option<(u64, Batch)> {
        if !self.spooled {
            return None;
        }
        let oldest = self.spool.peek().await.unwrap_or_else(|error| {
            error!(%error, "the spool cannot be read; it is left aside until the next start");
            None
        });
        self.spooled = oldest.is_some();
        oldest
    }

    async fn spool_pending(&mut self) {
        let batch = self.pending.take(self.store.token());
        self.spool(batch).await;
    }

    /// Puts a batch on disk. What the committer still has in hand goes first: were this process to die now, the edge of
    /// what is spooled would pass over it. Committing a batch twice changes nothing. What finds no room is given up.
    async fn spool(&mut self, batch: Batch) {
        let behind_the_edge = match self.in_flight.clone() {
            Some(in_flight) if self.push(&in_flight).await => {
                self.in_flight = None;
                true
            }
            // Not lost: the committer goes on trying it.
            Some(_) => false,
            None => true,
        };
        if !(behind_the_edge && self.push(&batch).await) {
            let lost = self.pending.give_up(batch);
            self.meters.count(|c| c.spool_full += lost);
            warn!(lost, "neither store nor spool takes them: records given up, recorded as a gap");
        }
    }

    /// Whether the spool took a batch.
    async fn push(&mut self, batch: &Batch) -> bool {
        match self.spool.push(batch).await {
            Ok(true) => {
                self.spooled = true;
                self.meters.count(|c| c.spooled += 1);
                true
            }
            Ok(false) => {
                warn!("the spool is full");
                false
            }
            Err(error) => {
                error!(%error, "the spool failed");
                false
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.committing || self.to_pop.is_some()
    }

    fn pop_at(&self) -> Option<Instant> {
        self.to_pop.map(|(_, at)| at)
    }

    async fn pop_again(&mut self) {
        if let Some((number, _)) = self.to_pop.take() {
            self.pop(number).await;
        }
    }

    async fn pop(&mut self, number: u64) {
        match self.spool.pop(number).await {
            Ok(()) => {}
            Err(error) if error.is_temporary() => {
                warn!(%error, retry_in = ?POP_AGAIN, "a drained batch cannot be taken off the spool");
                self.to_pop = Some((number, Instant::now() + POP_AGAIN));
            }
            Err(error) => {
                // It would come again and again: the rest is left to the next start.
                error!(%error, "a drained batch could not be taken off the spool");
                self.spooled = false;
            }
        }
    }

    async fn finished(&mut self, done: Done) {
        self.committing = false;
        let in_flight = self.in_flight.take();
        match done.result {
            Ok(ack) => {
                self.meters.count(|c| {
                    c.commits += 1;
                    c.inserted += ack.inserted;
                    c.existing += ack.existing;
                    c.refused += ack.refused;
                    c.differing += ack.differing.values().sum::<u64>();
                });
                for (stream, rows) in ack.differing {
                    debug!(%stream, rows, "rows say something else than those stored under their keys");
                    self.meters.stream(stream, |meter| meter.differing += rows);
                }
                for stream in ack.superseded {
                    warn!(%stream, "another process holds the stream by now; its rows of this batch were refused");
                    self.untold.superseded(stream);
                }
                // Not before: the backfill looks for them in the store.
                if done.batch.opens_gaps() {
                    self.untold.gaps_opened();
                }
                if let Some(number) = done.spooled {
                    self.pop(number).await;
                }
            }
            Err(error) => {
                error!(%error, "the store failed for good");
                self.failed = true;
                // What finds no room becomes a gap at the next start, as after a crash.
                if let Some(batch) = in_flight {
                    self.push(&batch).await;
                }
                self.untold.failed(error);
            }
        }
    }
}
