//! Collecting, from its start to its end: what runs meanwhile, what it reports, and in which order it stops.

use std::collections::BTreeSet;
use std::sync::Arc;

use hl_collectors::pipeline::{Pipeline, PipelineEvent};
use hl_core::seam::{sleep_until, stopped};
use hl_core::selector::Event;
use hl_core::source::DataSource as _;
use hl_core::store::{Leases, StoreError};
use hl_core::{Coin, StreamKey};
use hl_scheduler::jobs::BackfillGaps;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::error;

use super::leases::distinct;
use super::{Engine, EngineError};
use crate::events::Feed;
use crate::rounds::{Returned, Rounds};
use crate::sharing::{self, Share};
use crate::sinks::{self, Feeders};
use crate::watch as watching;
use crate::{spooled, thinned, time, tracked};

/// Reports of the pipeline that may wait.
const PIPELINE_EVENTS: usize = 64;

/// Ends the events when collecting ends, however it does.
struct Ending<'a>(&'a Feed);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Engine {
    /// Collects `streams` until `stop` turns true, or the store fails for good. Ends with everything that was taken in
    /// committed, or in the spool, and the leases given back.
    ///
    /// The trades of the coins in `standby` are subscribed twice, on different sockets.
    ///
    /// # Errors
    /// When nothing can be collected at all, or the store fails for good.
    pub async fn run(
        self: &Arc<Self>,
        streams: &[StreamKey],
        standby: &BTreeSet<Coin>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), EngineError> {
        let _ending = Ending(&self.feed);
        if let Some(stream) = streams.iter().find(|s| !self.pool.serves(**s) && !self.rest.serves(**s)) {
            return Err(EngineError::NotLive(*stream));
        }
        if let Some(coin) = standby.iter().find(|coin| !streams.contains(&StreamKey::Trades(**coin))) {
            return Err(EngineError::NoTrades(*coin));
        }
        sinks::checked(self.sinks.iter().map(|fed| fed.sink.name()))?;
        self.wanted.add(streams, standby, self.shares())?;
        let (order, doubled) = (self.wanted.order(), self.wanted.doubled());
        // Before any token moves: what an earlier process left in the spool is still the leaseholder's own.
        spooled::drain(self.store.as_ref(), self.spool.as_ref(), || self.selector.mint()).await?;
        let share =
            self.sharing.as_ref().map(|sharing| Share::new(sharing, &self.address, &order, doubled.clone()));
        let leases = match share {
            // The others are asked first.
            Some(_) => Leases::default(),
            None => {
                let leases = self.first_leases(&order, &mut stop).await?;
                if leases.granted.is_empty() {
                    return Err(EngineError::Held(distinct(&leases)));
                }
                leases
            }
        };
        self.learn_time().await;
        thinned::note(self.store.as_ref(), self.policy, self.mono.exchange()).await?;
        let backfill = self.register_jobs().await?;
        self.wait_for(&leases.held);
        self.begin(leases, &doubled);
        let mut running = Running::start(self.clone(), share, backfill);
        let ended = running.until(&mut stop).await;
        running.end().await;
        ended
    }
}

/// All that runs while an engine collects. Dropped, it ends as well, without what was taken in.
struct Running {
    engine: Arc<Engine>,
    backfill: Arc<BackfillGaps>,
    pipeline: JoinSet<()>,
    reports: mpsc::Receiver<PipelineEvent>,
    /// What brings data, decides who does, and looks at it. Each says its name when it ends.
    sources: JoinSet<&'static str>,
    stop_sources: watch::Sender<bool>,
    /// Asks the store for leases, in a task of its own: what the pipeline reports waits for no answer of the store.
    rounds: JoinSet<Result<(), StoreError>>,
    leave: watch::Sender<bool>,
    feeders: Feeders,
}

impl Running {
    fn start(engine: Arc<Engine>, share: Option<Share>, backfill: Arc<BackfillGaps>) -> Self {
        let (reporting, reports) = mpsc::channel(PIPELINE_EVENTS);
        let mut pipeline = JoinSet::new();
        pipeline.spawn(
            Pipeline::new(
                engine.inbox.clone(),
                engine.store.clone(),
                engine.spool.clone(),
                engine.meters.clone(),
                engine.mono.clone(),
                reporting,
                engine.seed.rng("commits"),
            )
            .thinned(engine.policy)
            .heard_by(engine.is_tracking().then(|| engine.tracker.hearing()))
            .run(),
        );
        let feeders = Feeders::start(engine.feeders());
        let (stop_sources, stop) = watch::channel(false);
        let mut sources = JoinSet::new();
        let (director, pool, runner) = (engine.director(), engine.pool.clone(), engine.runner.clone());
        spawn(&mut sources, "the director", {
            let stop = stop.clone();
            async move { director.run(stop).await }
        });
        spawn(&mut sources, "the socket pool", {
            let stop = stop.clone();
            async move { pool.run(stop).await }
        });
        let (told, untold) = watching::channel();
        let look = watching::look(engine.clone(), engine.board.clone(), told, stop.clone());
        spawn(&mut sources, "the watch", look);
        let keep = untold.keep(engine.store.clone(), engine.board.clone(), stop.clone());
        spawn(&mut sources, "the watch's keeper", keep);
        let time = time::ask(engine.client.clone(), engine.wanted.clone(), stop.clone());
        spawn(&mut sources, "the clock", time);
        spawn(&mut sources, "the job runner", async move { runner.run(stop).await });

        if engine.is_tracking() {
            let (tracker, whom) = (engine.tracker.clone(), engine.clone());
            let (stop, stop_too) = (stop_sources.subscribe(), stop_sources.subscribe());
            spawn(&mut sources, "the tracker", async move { tracker.run(stop).await });
            spawn(
                &mut sources,
                "the choice of traders",
                async move { tracked::follow(whom, stop_too).await },
            );
        }

        let (leave, leaves) = watch::channel(false);
        let mut rounds = JoinSet::new();
        rounds.spawn(Rounds::new(engine.clone(), share).run(leaves));
        Self { engine, backfill, pipeline, reports, sources, stop_sources, rounds, leave, feeders }
    }

    /// Until `stop` turns true and the others have taken over what they can, or a part fails.
    async fn until(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), EngineError> {
        let mut leave_until = None;
        loop {
            tokio::select! {
                biased;
                () = stopped(stop), if leave_until.is_none() => {
                    let _ = self.leave.send(true);
                    leave_until = Some(Instant::now() + sharing::LEAVE_LIMIT);
                }
                () = sleep_until(leave_until) => return Ok(()),
                report = self.reports.recv() => {
                    self.take(report.ok_or(EngineError::Ended("the pipeline"))?)?;
                }
                Some(ended) = self.sources.join_next() => {
                    if let Err(error) = &ended {
                        error!(%error, "a task panicked");
                    }
                    return Err(EngineError::Ended(ended.unwrap_or("a source")));
                }
                Some(left) = self.rounds.join_next() => return match left {
                    Ok(left) => left.map_err(EngineError::from),
                    Err(error) => {
                        error!(%error, "a task panicked");
                        Err(EngineError::Ended("the leases"))
                    }
                },
            }
        }
    }

    /// Passes on what the pipeline reports.
    fn take(&self, report: PipelineEvent) -> Result<(), EngineError> {
        let engine = &self.engine;
        match report {
            PipelineEvent::Superseded(stream) => engine.returned.put(Returned::Superseded(stream)),
            PipelineEvent::Released(stream) => engine.returned.put(Returned::Committed(stream)),
            PipelineEvent::Missed { stream, run } => {
                engine.selector.report(engine.mono.now(), Event::Missed { stream, run });
            }
            PipelineEvent::Answers { stream, epoch, fail } => {
                engine.selector.report(engine.mono.now(), Event::Answers { stream, epoch, fail });
            }
            PipelineEvent::GapsOpened => {
                self.backfill.gaps_opened();
                engine.runner.wake();
            }
            PipelineEvent::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Ends all of it, with everything committed that was taken in.
    async fn end(mut self) {
        self.rounds.shutdown().await;
        // Sources first, so that nothing more comes in; then the pipeline, which commits what came.
        // A full channel of reports must not hold the pipeline up meanwhile.
        self.reports.close();
        let _ = self.stop_sources.send(true);
        while self.sources.join_next().await.is_some() {}
        self.engine.inbox.close();
        while self.pipeline.join_next().await.is_some() {}
        self.feeders.finish().await;
    }
}

fn spawn(
    sources: &mut JoinSet<&'static str>,
    name: &'static str,
    source: impl Future<Output = ()> + Send + 'static,
) {
    sources.spawn(async move {
        source.await;
        name
    });
}
