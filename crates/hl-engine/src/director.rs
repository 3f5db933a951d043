//! Carries out the selector's effects, in order: the one task between the pure machine and the sources.

use std::sync::Arc;
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::pipeline::{Inbox, Meters};
use hl_collectors::ws::WsPool;
use hl_core::seam::{sleep_until, stopped};
use hl_core::selector::{Effect, Event, SharedSelector};
use hl_core::source::{DataSource, Prober, Role};
use hl_core::stream::Conflation;
use hl_core::{RunId, SourceId, StreamKey, TimeMs};
use hl_scheduler::Runner;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, instrument, warn};

use crate::events::{Event as Told, Feed};
use crate::moved::Moved;

/// A probe that takes longer is no answer: the selector has given up on it.
const PROBE_LIMIT: Duration = Duration::from_secs(12);
/// What a probe found may still be on its way over the socket: it gets this long to arrive.
const GRACE: Duration = Duration::from_millis(1_500);
/// For streams without exact times: what is newer than the last frame by this much was missed.
const MARGIN_MS: i64 = 1_000;

pub(crate) struct Director {
    pub(crate) selector: Arc<SharedSelector>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) mono: MonoClock,
    pub(crate) ws: Arc<WsPool>,
    pub(crate) rest: Arc<dyn DataSource>,
    pub(crate) tracker: Arc<dyn DataSource>,
    pub(crate) prober: Arc<dyn Prober>,
    pub(crate) runner: Arc<Runner>,
    pub(crate) feed: Arc<Feed>,
}

impl Director {
    pub(crate) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        // One probe and one renewal a stream at most: each ends before the selector may ask again.
        let mut probes = JoinSet::new();
        let mut moved = Moved::default();
        loop {
            let deadline = loop {
                match self.selector.poll() {
                    (Some(effect), _) => self.carry_out(effect, &mut probes, &mut moved),
                    (None, deadline) => break deadline,
                }
            };
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(_) = probes.join_next() => {}
                () = self.selector.reported() => {}
                () = sleep_until(moved.due().map(|at| self.mono.instant(at))) => moved.tell(),
                () = sleep_until(deadline.map(|at| self.mono.instant(at))) => self.selector.report(self.mono.now(), Event::Tick),
            }
        }
        moved.tell();
        probes.shutdown().await;
    }

    fn carry_out(self: &Arc<Self>, effect: Effect, probes: &mut JoinSet<()>, moved: &mut Moved) {
        match effect {
            Effect::Handover { stream, grant } => {
                // Into the inbox first: what the new owner brings comes behind it.
                self.inbox.handover(stream, grant);
                let to = grant.map(|grant| grant.source);
                let from = moved.owner(stream, to);
                let (epoch, cause) = (grant.map(|grant| grant.epoch), grant.map(|grant| grant.cause));
                self.feed.tell(&[Told::Handover { stream, from, to, epoch, cause }]);
                match grant {
                    Some(grant) => {
                        debug!(%stream, owner = %grant.source, epoch = %grant.epoch, cause = grant.cause.as_str(), "handover");
                        moved.note(self.mono.now(), stream, grant);
                        let owner = Role::Owner(grant.epoch);
                        let (ws, fallback) = match grant.source {
                            SourceId::Ws => (owner, Role::Off),
                            SourceId::Rest | SourceId::Tracker => (Role::Standby, owner),
                        };
                        self.ws.assign(stream, ws);
                        self.fallback(stream).assign(stream, fallback);
                    }
                    None => {
                        warn!(%stream, "given up: another process holds it");
                        self.ws.assign(stream, Role::Off);
                        self.fallback(stream).assign(stream, Role::Off);
                        self.inbox.forget(stream);
                    }
                }
                self.runner.wake();
            }
            Effect::Release { stream } => {
                debug!(%stream, "released");
                let from = moved.owner(stream, None);
                self.feed.tell(&[Told::Handover { stream, from, to: None, epoch: None, cause: None }]);
                self.ws.assign(stream, Role::Off);
                self.fallback(stream).assign(stream, Role::Off);
                self.inbox.release(stream);
                self.runner.wake();
            }
            Effect::Probe { stream, run } => {
                debug!(%stream, "silent; asking whether it missed something");
                let director = self.clone();
                probes.spawn(async move { director.probe(stream, run).await });
            }
            Effect::Renew { stream, run } => {
                let director = self.clone();
                probes.spawn(async move { director.renew(stream, run).await });
            }
            Effect::Calm { stream, run } => self.ws.calm(stream, run),
        }
    }

    /// Who has a stream where no socket does.
    fn fallback(&self, stream: StreamKey) -> &dyn DataSource {
        match stream.spec().fallback {
            SourceId::Tracker => self.tracker.as_ref(),
            SourceId::Ws | SourceId::Rest => self.rest.as_ref(),
        }
    }

    /// Subscribes a stream anew. One whose coin or dex is listed no longer is left as it is: it brings nothing because there is
    /// nothing.
    async fn renew(&self, stream: StreamKey, run: RunId) {
        let listings = self.ws.listings();
        if stream.coin().is_some() || stream.whole_dex().is_some() {
            listings.again().await;
            if listings.lack(stream) {
                return debug!(%stream, "silent, and not listed now");
            }
        }
        warn!(%stream, "the socket missed something: subscribing anew");
        self.ws.renew(stream, run);
    }

    #[instrument(level = "debug", skip_all, fields(%stream))]
    async fn probe(&self, stream: StreamKey, run: RunId) {
        let missed = match tokio::time::timeout(PROBE_LIMIT, self.prober.newest(stream)).await {
            Ok(Ok(Some(newest))) => {
                tokio::time::sleep(GRACE).await;
                self.seen(stream).is_none_or(|seen| seen < newest)
            }
            Ok(Ok(None)) => false,
            // The exchange was not asked, so nothing is known: the silence goes on, and so does the doubt.
            Ok(Err(cause)) => {
                return debug!(%stream, cause = cause.as_str(), "the exchange could not be asked");
            }
            Err(_) => return debug!(%stream, "no answer in time"),
        };
        self.selector.report(self.mono.now(), Event::Probed { stream, run, missed });
    }

    /// Up to which exchange time the stream has surely been seen.
    fn seen(&self, stream: StreamKey) -> Option<TimeMs> {
        let spec = stream.spec();
        // What comes by a clock, or is an event of its own, is seen up to its own time.
        match spec.timed && (spec.steady || spec.conflation == Conflation::Event) {
            true => self.meters.edge(stream),
            false => {
                let silent_ms = self.mono.now() - self.meters.last(stream)?;
                Some(self.mono.exchange() - silent_ms + MARGIN_MS)
            }
        }
    }
}
