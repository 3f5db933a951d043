//! The task of a sink: reads what is new in the store, offers it, and keeps how far the sink has come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use hl_collectors::mono::MonoClock;
use hl_core::archive::{Day, RowKey, StoredRows};
use hl_core::backoff::Backoff;
use hl_core::ledger::Span;
use hl_core::seam::stopped;
use hl_core::store::{RECENT_MS, Settled, Store, StoreError};
use hl_core::{StreamKey, TimeMs};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{Instrument as _, debug, error, info_span, instrument, warn};

use super::position::Position;
use super::{Fed, Sink, SinkBatch, SinkView, behind, note};
use crate::engine::lock;
use crate::events::{Event, EventSort, Events, Feed, Filter};

/// How often streams of which something was committed are looked at …
const EVERY: Duration = Duration::from_secs(1);
/// … and how often all of them: another process may have filled a gap.
const ALL_EVERY: Duration = Duration::from_secs(60);
/// How often positions that have moved are written to the store.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// Steps that are made at a time in a stream of which much is new, a week: then others have their turn, and positions are kept.
const STEPS: usize = 168;
/// Rows that are offered at a time.
const PAGE: usize = 1_000;
/// How long a sink may take for them.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// How long the end may take: what is not taken by then waits in the store.
const LAST_LIMIT: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// What was filled is stamped by the clock of the process that did it, which may differ so much from ours, ms: what was filled
/// shortly before the last look is handed out again.
const CLOCKS_DIFFER_MS: i64 = 3_600_000;
/// News of gaps that may wait.
const GAPS_WAITING: usize = 65_536;

/// The sinks of an engine while it collects.
pub(crate) struct Feeders {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Feeders {
    pub(crate) fn start(feeders: impl IntoIterator<Item = Feeder>) -> Self {
        let (stop, stops) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for feeder in feeders {
            let span = info_span!("sink", name = feeder.hand.sink.name());
            tasks.spawn(feeder.run(stops.clone()).instrument(span));
        }
        Self { tasks, stop }
    }

    /// Hands out what was committed until now, as far as the sinks take it in time.
    pub(crate) async fn finish(mut self) {
        let _ = self.stop.send(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                error!(%error, "a sink panicked: it gets nothing more until the next start");
            }
        }
    }
}

/// A stream, as a sink follows it.
#[derive(Default)]
struct Followed {
    position: Position,
    /// The position as the store has it.
    kept: Position,
    /// Rows at the position and beyond that were handed out already.
    ahead: BTreeSet<RowKey>,
    /// Pieces that were told to be filled, and are not handed out yet.
    told: Vec<Span>,
    /// The edge, as last seen.
    edge: Option<TimeMs>,
    /// How many parts the archive had of a day that is over, as last seen.
    parts: BTreeMap<Day, usize>,
}

/// Why a round did not get to its end.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("it did not take {rows} rows of {stream}: {error}")]
    Sink { stream: StreamKey, rows: usize, error: String },
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

/// Reads one stream, and offers what it finds.
struct Hand {
    sink: Arc<dyn Sink>,
    store: Arc<dyn Store>,
    mono: MonoClock,
    view: Arc<Mutex<SinkView>>,
}

/// See the [module](self).
pub(crate) struct Feeder {
    hand: Hand,
    leased: Box<dyn Fn() -> BTreeSet<StreamKey> + Send + Sync>,
    rows: Events,
    gaps: Events,
    /// Whether it wants a stream.
    wants: BTreeMap<StreamKey, bool>,
    streams: BTreeMap<StreamKey, Followed>,
    /// Streams of which something was committed.
    news: BTreeSet<StreamKey>,
    /// Whether every stream is to be looked at.
    all: bool,
    rng: fastrand::Rng,
}

impl Feeder {
    pub(crate) fn new(
        fed: Fed,
        store: Arc<dyn Store>,
        mono: MonoClock,
        feed: &Feed,
        leased: Box<dyn Fn() -> BTreeSet<StreamKey> + Send + Sync>,
        rng: fastrand::Rng,
    ) -> Self {
        let Fed { sink, view } = fed;
        let rows = feed.subscribe(Filter::all().sorts([EventSort::Rows]));
        let gaps = feed.subscribe(Filter::all().sorts([EventSort::Gaps]).waiting(GAPS_WAITING));
        let (wants, streams, news) = <_>::default();
        let hand = Hand { sink, store, mono, view };
        Self { hand, leased, rows, gaps, wants, streams, news, all: true, rng }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut again = interval(EVERY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut look_at_all, mut keep_at) = (Instant::now() + ALL_EVERY, Instant::now() + KEEP_EVERY);
        let mut pauses = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let mut not_before = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                _ = again.tick() => self.hear(),
            }
            if Instant::now() < not_before {
                continue;
            }
            if Instant::now() >= look_at_all {
                self.all = true;
                look_at_all = Instant::now() + ALL_EVERY;
            }
            let done = tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                done = self.round() => done,
            };
            self.tell();
            match done {
                Ok(()) => {
                    pauses = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
                    if lock(&self.hand.view).failing.take().is_some() {
                        debug!("the sink takes rows again");
                    }
                }
                Err(failed) => {
                    let pause = pauses.pause(&mut self.rng);
                    warn!(error = %failed, retry_in = ?pause, "rows wait in the store");
                    let mut view = lock(&self.hand.view);
                    view.failures += 1;
                    view.failing = Some(failed.to_string());
                    not_before = Instant::now() + pause;
                }
            }
            if Instant::now() >= keep_at {
                self.keep().await;
                keep_at = Instant::now() + KEEP_EVERY;
            }
        }
        let end = Instant::now() + LAST_LIMIT;
        self.hear();
        self.all = true;
        if let Ok(Err(failed)) = tokio::time::timeout_at(end, self.round()).await {
            warn!(error = %failed, "rows wait in the store for the next start");
        }
        if tokio::time::timeout_at(end.max(Instant::now() + EVERY), self.keep()).await.is_err() {
            warn!("how far the sink has come could not be kept: it gets some rows again");
        }
    }

    /// Takes in what was told since the last time.
    fn hear(&mut self) {
        while let Some(Some(event)) = self.rows.recv().now_or_never() {
            match event.stream() {
                Some(stream) => _ = self.news.insert(stream),
                None => self.all = true,
            }
        }
        while let Some(Some(event)) = self.gaps.recv().now_or_never() {
            let Some(stream) = event.stream() else {
                warn!(
                    "too much happened to gaps at once: what was doubted and filled meanwhile is not offered again"
                );
                continue;
            };
            self.news.insert(stream);
            if let (Event::GapFilled { span, .. } | Event::Resync { span, .. }, Some(followed)) =
                (event, self.streams.get_mut(&stream))
            {
                followed.told.push(span);
            }
        }
    }

    /// Offers everything that is new.
    async fn round(&mut self) -> Result<(), Failed> {
        let leased = (self.leased)();
        for stream in &leased {
            let sink = &self.hand.sink;
            let wanted = *self.wants.entry(*stream).or_insert_with(|| sink.wants(*stream));
            if wanted && !self.streams.contains_key(stream) {
                let followed = self.recall(*stream).await?;
                self.streams.insert(*stream, followed);
                self.news.insert(*stream);
            }
        }
        let gone: Vec<_> = self.streams.keys().filter(|stream| !leased.contains(stream)).copied().collect();
        if std::mem::take(&mut self.all) {
            self.news.extend(self.streams.keys());
        }
        self.news.extend(&gone);
        for stream in self.news.clone() {
            // It stays among the news until all of it was taken.
            let mut is_whole = true;
            if let Some(followed) = self.streams.get_mut(&stream) {
                is_whole = self.hand.advance(stream, followed).await?;
            }
            if is_whole {
                self.news.remove(&stream);
            }
        }
        // Another process may follow them from here on.
        for stream in gone {
            if self.keep_one(stream).await {
                self.streams.remove(&stream);
            }
        }
        Ok(())
    }

    /// Says how far it has come.
    fn tell(&self) {
        let mut view = lock(&self.hand.view);
        view.missed = self.streams.values().map(|followed| followed.position.missed).sum();
        let lag = |followed: &Followed| behind(followed.position.below, followed.edge);
        view.behind_ms = self.streams.values().filter_map(lag).max();
    }

    /// Where the sink has come to in a stream.
    async fn recall(&self, stream: StreamKey) -> Result<Followed, StoreError> {
        let text = self.hand.store.note(&note(self.hand.sink.name(), stream)).await?;
        let position = match text.map(|text| serde_json::from_str(&text)) {
            None => Position::default(),
            Some(Ok(position)) => position,
            Some(Err(error)) => {
                warn!(%stream, %error, "where the sink has come to cannot be read: it begins anew");
                Position::default()
            }
        };
        // It was not there to be told.
        let told = match position.below {
            Some(_) => self.hand.store.filled_since(stream, position.at - CLOCKS_DIFFER_MS).await?,
            None => Vec::new(),
        };
        Ok(Followed { kept: position.clone(), position, told, ..Followed::default() })
    }

    /// Writes down how far the sink has come.
    async fn keep(&mut self) {
        let streams: Vec<_> = self.streams.keys().copied().collect();
        for stream in streams {
            if !self.keep_one(stream).await {
                return;
            }
        }
    }

    /// Whether the store has the position now. Where it has not, the next time will do: rows are offered again after a crash.
    async fn keep_one(&mut self, stream: StreamKey) -> bool {
        let Some(Followed { position, kept, .. }) = self.streams.get_mut(&stream) else { return true };
        if (Position { at: kept.at, ..position.clone() }) == *kept {
            return true;
        }
        let Ok(text) = serde_json::to_string(position) else { return true };
        match self.hand.store.put_note(&note(self.hand.sink.name(), stream), &text).await {
            Ok(()) => {
                kept.clone_from(position);
                true
            }
            Err(error) => {
                warn!(%stream, %error, "how far the sink has come cannot be kept now");
                false
            }
        }
    }
}

impl Hand {
    /// Offers what is new of a stream, or a part of that. Returns whether it came to the edge.
    #[instrument(name = "stream", level = "debug", skip_all, fields(%stream))]
    async fn advance(&self, stream: StreamKey, followed: &mut Followed) -> Result<bool, Failed> {
        let Settled { edge, unfilled } = self.store.settled(stream).await?;
        let Some(edge) = edge else { return Ok(true) };
        followed.edge = Some(edge);
        for piece in followed.position.filled(&unfilled, &followed.told) {
            self.hand_out(stream, piece, true, &BTreeSet::new()).await?;
            self.look_for_late(stream, piece, edge, followed).await?;
        }
        followed.told.clear();
        if followed.position.below.is_none() {
            // What is not of a day that is settled lies in the last one, or after it.
            let days = self.store.settled_days(stream, edge).await?;
            let first = days.first().map_or(Day::of(edge - RECENT_MS), |(day, _)| *day);
            followed.position.pass(first.span().from, &unfilled);
        }
        for _ in 0..STEPS {
            let piece = followed.position.next(edge);
            let reached = self.hand_out(stream, piece, false, &followed.ahead).await?;
            self.look_for_parts(stream, piece, edge, followed).await?;
            followed.ahead.extend(reached);
            followed.ahead.retain(|key| key.time >= piece.to);
            let let_go = followed.position.pass(piece.to, &unfilled);
            if let_go > 0 {
                debug!(%stream, gaps = let_go, "the oldest gaps are not watched for rows any more");
            }
            followed.position.at = self.mono.exchange();
            if piece.to >= edge {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Offers the rows of a closed piece but those to be skipped. Returns their keys.
    async fn hand_out(
        &self,
        stream: StreamKey,
        piece: Span,
        late: bool,
        skip: &BTreeSet<RowKey>,
    ) -> Result<Vec<RowKey>, Failed> {
        let (mut after, mut last) = (None, Vec::new());
        loop {
            let rows = self.store.rows_in(stream, piece, after, PAGE).await?;
            let (found, keys) = (rows.len(), rows.records.keys());
            after = keys.last().copied();
            let new: Vec<_> = (0..found).filter(|at| !skip.contains(&keys[*at])).collect();
            last.extend(new.iter().map(|at| keys[*at]).filter(|key| key.time >= piece.to));
            if !new.is_empty() {
                let rows = if new.len() == found { rows } else { rows.pick(&new) };
                self.offer(stream, rows, late).await?;
            }
            if found < PAGE {
                return Ok(last);
            }
        }
    }

    async fn offer(&self, stream: StreamKey, rows: StoredRows, late: bool) -> Result<(), Failed> {
        let batch = SinkBatch { stream, rows, late };
        let rows = batch.rows.len();
        let failed = |error: String| Failed::Sink { stream, rows, error };
        match timeout(WRITE_LIMIT, self.sink.write(&batch)).await {
            Ok(taken) => taken.map_err(|error| failed(error.to_string()))?,
            Err(_) => return Err(failed(format!("no answer for {} s", WRITE_LIMIT.as_secs()))),
        }
        let mut view = lock(&self.view);
        view.rows += rows as u64;
        view.late += if late { rows as u64 } else { 0 };
        Ok(())
    }

    /// Whether the archive took rows of a piece before the sink did. It takes days that are over; looked for once the piece
    /// was read, so that what it took meanwhile is seen too.
    async fn look_for_parts(
        &self,
        stream: StreamKey,
        piece: Span,
        edge: TimeMs,
        followed: &mut Followed,
    ) -> Result<(), StoreError> {
        let (first, today) = (Day::of(piece.from), Day::of(edge));
        followed.parts.retain(|day, _| *day >= first);
        let mut day = first;
        while day < today && day.span().from <= piece.to {
            let parts = self.store.day_parts(stream, day).await?;
            let seen = followed.parts.insert(day, parts.len()).unwrap_or_default();
            let new = parts.iter().skip(seen).filter(|part| part.last >= piece.from);
            self.miss(stream, new.map(|part| part.rows).sum(), followed);
            day = Day::of(day.end());
        }
        Ok(())
    }

    /// Whether the archive took rows that filled a gap before the sink did.
    async fn look_for_late(
        &self,
        stream: StreamKey,
        piece: Span,
        edge: TimeMs,
        followed: &mut Followed,
    ) -> Result<(), StoreError> {
        let since = followed.position.at;
        let mut day = Day::of(piece.from);
        while day < Day::of(edge) && day.span().from <= piece.to {
            let parts = self.store.day_parts(stream, day).await?;
            let new = parts
                .iter()
                .filter(|part| part.written_at >= since && part.first <= piece.to && part.last >= piece.from);
            self.miss(stream, new.map(|part| part.rows).sum(), followed);
            day = Day::of(day.end());
        }
        Ok(())
    }

    fn miss(&self, stream: StreamKey, rows: u64, followed: &mut Followed) {
        if rows > 0 {
            followed.position.missed += rows;
            warn!(%stream, rows, "the archive took rows before the sink did: so many at most do not reach it, and are to be read there");
        }
    }
}
