//! The REST source: polls the streams that the selector gave it, when its jobs say so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use hl_core::backoff::Backoff;
use hl_core::decode::{Part, Read, Rows, Unread, rest as decode};
use hl_core::exchange_time::Voice;
use hl_core::ledger::{Cause, Span};
use hl_core::limits::POLLED_WEIGHT;
use hl_core::listing::Listing;
use hl_core::message::info::{CandleRange, InfoRequest};
use hl_core::past::{KEPT_BARS, Page};
use hl_core::record::{Bbo, Book, Context};
use hl_core::row::Arrival;
use hl_core::seam::BoxFuture;
use hl_core::source::{
    Content, DataSource, FetchError, Intake, Offer, Past, Polled, Polls, Prober, Role, Ticket,
};
use hl_core::store::StreamStart;
use hl_core::stream::BookVariant;
use hl_core::{Coin, Dex, Epoch, Kind, Records, RunId, SourceId, StreamKey, TimeMs};
use tracing::{debug, warn};

use super::client::{InfoClient, RestError, fresh};
use super::past::{Aside, RECENT_TRADES};
use super::weights::Urgency;

/// How long a poll waits for room in the budget.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests under way at a time, of one job.
const AT_ONCE: usize = 4;
const MINUTE_MS: i64 = 60_000;
/// How soon it is looked again whether the exchange has said what time it is, ms.
const POSTPONED_MS: i64 = 500;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// The longest pause after answers that came whole and cannot be read: there is little hope for the next.
const LONGEST_UNREAD_RETRY: Duration = Duration::from_secs(900);
/// Levels of the fast book.
const FAST_LEVELS: usize = 5;
/// Bars before the edge that a poll of candles asks for as well, when nothing is stored yet.
const FIRST_BARS: i64 = 2;
/// Bars before the edge that a poll of candles asks for in any case: an hour of minutes, which weighs as much as one.
const ANCHOR_BARS: i64 = 60;

#[derive(Clone, Copy, Debug)]
struct Wanted {
    epoch: Epoch,
    due: i64,
    /// The period that the stream itself asks for, ms; the plan may stretch it.
    desired_ms: i64,
    /// How it fails, and the pauses since it last succeeded; none where it did not fail since.
    backoff: Option<(Cause, Backoff)>,
}

/// Tells where a stream's past is settled: what a poll of bars has to ask from.
pub type EdgeOf = Box<dyn Fn(StreamKey) -> Option<TimeMs> + Send + Sync>;

/// Asks over REST for what was assigned to it, at the pace that the request weight allows.
pub struct RestSource {
    client: Arc<InfoClient>,
    intake: Arc<dyn Intake>,
    edge_of: EdgeOf,
    wanted: Mutex<BTreeMap<StreamKey, Wanted>>,
    /// What is known of every market.
    listing: Mutex<Listing>,
}

/// What one request can answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Query {
    /// `recentTrades` of a coin.
    Trades(Coin),
    /// Bars since the edge.
    Candles(StreamKey),
    /// `l2Book` of a coin: by the default variant all books whose prices are not rounded, and the best bid and offer.
    Book(Coin, BookVariant),
    /// `allMids` of a dex.
    Mids(Dex),
    /// `metaAndAssetCtxs` of a dex, none for the first; spot pairs apart.
    Contexts(ContextScope),
    /// `predictedFundings`.
    PredictedFunding,
    /// `spotMeta`, `allPerpMetas` and `outcomeMeta`.
    Markets,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ContextScope {
    Dex(Option<String>),
    Spot,
}

impl Query {
    /// The request that brings a stream; none where REST jobs do not poll it.
    fn of(stream: StreamKey) -> Option<Self> {
        Some(match stream {
            StreamKey::Trades(coin) => Self::Trades(coin),
            StreamKey::Candle(..) => Self::Candles(stream),
            StreamKey::Book(coin, variant) if variant.figures().is_some() => Self::Book(coin, variant),
            StreamKey::Book(coin, _) | StreamKey::Bbo(coin) => Self::Book(coin, BookVariant::Default),
            StreamKey::Mids(dex) => Self::Mids(dex),
            StreamKey::Context(coin) => Self::Contexts(scope_of(coin)),
            StreamKey::PredictedFunding(_) => Self::PredictedFunding,
            StreamKey::Markets => Self::Markets,
            StreamKey::Funding(_)
            | StreamKey::Leaderboard
            | StreamKey::Traders
            | StreamKey::Signals
            | StreamKey::Fills(_)
            | StreamKey::Positions(_)
            | StreamKey::Orders(_)
            | StreamKey::Payments(_)
            | StreamKey::Movements(_) => return None,
        })
    }
}

fn all_mids(dex: Dex) -> InfoRequest {
    InfoRequest::AllMids { dex: dex.name().map(str::to_owned) }
}

/// The contexts of outcomes are among those of spot pairs.
fn scope_of(coin: Coin) -> ContextScope {
    match coin.is_perpetual() {
        true => ContextScope::Dex(coin.dex().map(str::to_owned)),
        false => ContextScope::Spot,
    }
}

impl RestSource {
    /// A source without streams. `edge_of` tells the edge as queued.
    #[must_use]
    pub fn new(client: Arc<InfoClient>, intake: Arc<dyn Intake>, edge_of: EdgeOf) -> Self {
        Self { client, intake, edge_of, wanted: Mutex::default(), listing: Mutex::default() }
    }

    /// What tracked traders did, read while there is room for it.
    #[must_use]
    pub fn aside(&self) -> Arc<dyn Past> {
        Arc::new(Aside(self.client.clone()))
    }

    fn wanted(&self) -> MutexGuard<'_, BTreeMap<StreamKey, Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listing(&self) -> MutexGuard<'_, Listing> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream begins, where the store says.
    pub fn begin(&self, start: &StreamStart) {
        if start.stream == StreamKey::Markets {
            *self.listing() = Listing::stored(&start.recent.markets);
        }
    }

    /// The streams of a job that are due, by the request that answers them, the most valuable first.
    fn due(&self, job: &str, now: i64) -> Vec<(Query, Vec<(StreamKey, Epoch)>)> {
        let mut queries: BTreeMap<Query, (u8, Vec<(StreamKey, Epoch)>)> = BTreeMap::new();
        for (stream, wanted) in self.wanted().iter() {
            if stream.spec().job != job || wanted.due > now {
                continue;
            }
            let Some(query) = Query::of(*stream) else { continue };
            let (value, streams) = queries.entry(query).or_default();
            *value = (*value).max(stream.spec().value);
            streams.push((*stream, wanted.epoch));
        }
        let mut queries: Vec<_> = queries.into_iter().collect();
        queries.sort_by_key(|(_, (value, _))| std::cmp::Reverse(*value));
        queries.into_iter().map(|(query, (_, streams))| (query, streams)).collect()
    }

    async fn ask(&self, query: Query, mut streams: Vec<(StreamKey, Epoch)>) -> Polls {
        // Others of the same run came first: the socket may have taken some back meanwhile.
        streams.retain(|(stream, epoch)| self.wanted().get(stream).is_some_and(|w| w.epoch == *epoch));
        if streams.is_empty() {
            return Polls::default();
        }
        // What the answer says would bear the system clock's time.
        if self.client.mono().awaits_time() && streams.iter().any(|(stream, _)| !stream.spec().timed) {
            self.postpone(&streams);
            return Polls::default();
        }
        let asked = u32::try_from(streams.len()).unwrap_or(u32::MAX);
        let started = self.client.mono().now();
        let result = self.answer(&query, &streams).await;
        let failed = match result {
            Ok(desired_ms) => {
                self.answered(started, &streams, desired_ms);
                0
            }
            Err(error) => {
                let names = streams.iter().map(|(stream, _)| stream).collect::<Vec<_>>();
                match &error {
                    // Said once where it was met.
                    RestError::RateLimited { .. } => debug!(%error, streams = ?names, "poll put off"),
                    _ => warn!(%error, streams = ?names, "poll failed"),
                }
                self.failed(&streams, error.cause());
                self.unanswered(&streams, error.cause()).await;
                asked
            }
        };
        Polls { asked, failed }
    }

    /// Asks, and offers the answer to every stream that it serves. Returns the period that the stream asks for, where
    /// the answer tells.
    async fn answer(&self, query: &Query, streams: &[(StreamKey, Epoch)]) -> Result<Option<i64>, RestError> {
        let client = &self.client;
        let asked = client.mono().exchange();
        match query {
            Query::Trades(coin) => {
                let request = InfoRequest::RecentTrades { coin: *coin };
                let trades = client
                    .ask(&request, RECENT_TRADES, Urgency::Live, PATIENCE, decode::recent_trades)
                    .await?;
                // So that the next answer still overlaps with this one.
                let spec = Kind::Trades.spec();
                let span = trades.rows.first().map_or(spec.poll_ms, |first| asked.since(first.time));
                let desired = (span * 6 / 10).clamp(spec.fastest_poll_ms, spec.poll_ms);
                // What follows one that cannot be read does not join what came before it.
                let broken = Content::Broken { at: asked };
                self.offer_rows(streams, asked, None, trades, Records::Trades, &broken).await;
                Ok(Some(desired))
            }
            Query::Candles(stream) => {
                let StreamKey::Candle(coin, interval) = *stream else { return Ok(None) };
                let asked = client.asked().await?;
                let start = (self.edge_of)(*stream)
                    .unwrap_or_else(|| interval.open_of(asked) - FIRST_BARS * interval.ms());
                // With bars before the edge: minutes without trades are empty where the answer has a bar on each side.
                let anchor = start - ANCHOR_BARS * interval.ms();
                let req = CandleRange { coin, interval, start_time: anchor.max(TimeMs(0)), end_time: None };
                let bars = usize::try_from(asked.since(anchor) / interval.ms() + 2).unwrap_or(0).min(5_000);
                let request = InfoRequest::CandleSnapshot { req };
                let bars = client.ask(&request, bars, Urgency::Live, PATIENCE, decode::candles).await?;
                // Only the most recent exist: what lies before them is not in the answer, traded or not.
                let from = start.max(interval.open_of(asked) - (KEPT_BARS - 1) * interval.ms());
                // The next bars that can be read have to join anew.
                let missed = Content::Unanswered { cause: Cause::Undecodable };
                self.offer_rows(streams, asked, Some(from), bars, Records::Candles, &missed).await;
                Ok(None)
            }
            Query::Book(coin, variant) => {
                let n_sig_figs = variant.figures();
                let request = InfoRequest::L2Book { coin: *coin, n_sig_figs, mantissa: None };
                let decode = |body: &mut [u8]| decode::l2_book(body, *variant);
                let Some(book) = client.ask(&request, 0, Urgency::Live, PATIENCE, decode).await? else {
                    return Err(RestError::Refused {
                        request: request.name(),
                        status: 200,
                        body: format!("null for {coin}: the exchange does not know the coin"),
                    });
                };
                client.mono().observe(Voice::Answers, book.time);
                self.offer(streams, asked, None, |stream| Some(from_book(stream, &book))).await;
                Ok(None)
            }
            Query::Mids(dex) => {
                let stamp = || client.mono().exchange();
                let request = all_mids(*dex);
                let decode = |body: &mut [u8]| decode::all_mids(body, *dex, stamp());
                let answer = client.ask_timed(&request, 0, Urgency::Live, PATIENCE, decode).await?;
                let Read { value: mids, unread } = fresh(&request, answer)?;
                client.tell_unread(&StreamKey::Mids(*dex).to_string(), &unread);
                self.offer(streams, asked, None, |_| Some(Records::Mids(mids.clone()))).await;
                Ok(None)
            }
            Query::Contexts(scope) => {
                let stamp = || client.mono().exchange();
                let Read { value: contexts, unread } = match scope {
                    ContextScope::Dex(dex) => {
                        let request = InfoRequest::MetaAndAssetCtxs { dex: dex.clone() };
                        let decode = |body: &mut [u8]| decode::meta_and_contexts(body, stamp());
                        let answer = client.ask_timed(&request, 0, Urgency::Live, PATIENCE, decode).await?;
                        contexts_of(fresh(&request, answer)?)
                    }
                    ContextScope::Spot => {
                        let request = InfoRequest::SpotMetaAndAssetCtxs;
                        let decode = |body: &mut [u8]| decode::spot_meta_and_contexts(body, stamp());
                        let answer = client.ask_timed(&request, 0, Urgency::Live, PATIENCE, decode).await?;
                        contexts_of(fresh(&request, answer)?)
                    }
                };
                self.missed(streams, &unread).await;
                self.offer(streams, asked, None, |stream| {
                    let context = contexts.iter().find(|c| stream.coin() == Some(c.coin))?;
                    Some(Records::Contexts(vec![*context]))
                })
                .await;
                Ok(None)
            }
            Query::Markets => self.markets(streams).await,
            Query::PredictedFunding => {
                let stamp = || client.mono().exchange();
                let request = InfoRequest::PredictedFundings;
                let decode = |body: &mut [u8]| decode::predicted_funding(body, stamp());
                let answer = client.ask_timed(&request, 0, Urgency::Live, PATIENCE, decode).await?;
                let Read { value: rates, unread } = fresh(&request, answer)?;
                self.missed(streams, &unread).await;
                let unread =
                    |stream: StreamKey| stream.coin().is_some_and(|coin| unread.coins.contains(&coin));
                self.offer(streams, asked, None, |stream| {
                    let of_coin = rates.iter().filter(|rate| stream.coin() == Some(rate.coin)).copied();
                    let rates: Vec<_> = of_coin.collect();
                    (!rates.is_empty() && !unread(stream)).then_some(Records::PredictedFunding(rates))
                })
                .await;
                Ok(None)
            }
        }
    }

    /// Asks for the lists of all markets, and how outcomes settled that these lack. Returns after what time to ask again, ms,
    /// where the next lists are to tell what is gone.
    async fn markets(&self, streams: &[(StreamKey, Epoch)]) -> Result<Option<i64>, RestError> {
        let asked = self.client.mono().exchange();
        let lists = self.client.lists(Urgency::Live, PATIENCE).await?;
        for unread in [&lists.spot.0.unread, &lists.perpetuals.0.unread, &lists.outcomes.0.unread] {
            self.client.tell_unread(&StreamKey::Markets.to_string(), unread);
        }
        let unsaid = self.listing().look(&lists);
        for outcome in unsaid {
            match self.client.settled_outcome(outcome, PATIENCE).await {
                Ok(Some(settled)) => self.listing().settle(&settled),
                Ok(None) => {}
                // Asked again at the next poll.
                Err(error) => warn!(outcome, %error, "the exchange does not say how it settled"),
            }
        }
        let (states, in_doubt) = {
            let listing = self.listing();
            (listing.states(), listing.is_in_doubt())
        };
        self.offer(streams, asked, None, |_| Some(Records::Markets(states.clone()))).await;
        let spec = Kind::Markets.spec();
        Ok(Some(if in_doubt { spec.fastest_poll_ms } else { spec.poll_ms }))
    }

    /// Says which of the streams have nothing in an answer because it cannot be read. What cannot be read of markets that were
    /// not asked for is not a loss.
    async fn missed(&self, streams: &[(StreamKey, Epoch)], unread: &Unread) {
        let mut missed = Vec::new();
        for (stream, epoch) in streams {
            let coin = stream.coin().filter(|coin| unread.coins.contains(coin));
            let reason = unread.reason.clone();
            let unread = Unread { coins: coin.into_iter().collect(), others: 0, reason };
            self.client.tell_unread(&stream.to_string(), &unread);
            missed.extend(coin.map(|_| (*stream, *epoch)));
        }
        self.unanswered(&missed, Cause::Undecodable).await;
    }

    /// Offers the rows of an answer to every stream that it serves, in pieces that rows which cannot be read part. `from`:
    /// it holds everything since then. `between` is what a time line hears where such rows lie.
    async fn offer_rows<T: Clone>(
        &self,
        streams: &[(StreamKey, Epoch)],
        asked: TimeMs,
        mut from: Option<TimeMs>,
        rows: Rows<T>,
        records: impl Fn(Vec<T>) -> Records,
        between: &Content,
    ) {
        if let [(stream, _), ..] = streams {
            self.client.tell_rows(*stream, &rows);
        }
        if rows.is_empty() {
            return self.offer(streams, asked, from, |_| Some(records(Vec::new()))).await;
        }
        for part in rows.into_parts() {
            match part {
                Part::Rows(rows) => {
                    self.offer(streams, asked, from.take(), |_| Some(records(rows.clone()))).await;
                }
                Part::Hole(_) => {
                    from = None;
                    for (stream, epoch) in streams {
                        let (ticket, content) = (Ticket::Claim(*epoch), between.clone());
                        self.intake.offer(Offer { stream: *stream, ticket, content }).await;
                    }
                }
            }
        }
    }

    async fn offer(
        &self,
        streams: &[(StreamKey, Epoch)],
        asked: TimeMs,
        from: Option<TimeMs>,
        records: impl Fn(StreamKey) -> Option<Records>,
    ) {
        for (stream, epoch) in streams {
            let Some(records) = records(*stream) else {
                debug!(%stream, "the answer does not hold the stream");
                continue;
            };
            let content = Content::Answer { records, from, asked };
            self.intake.offer(Offer { stream: *stream, ticket: Ticket::Claim(*epoch), content }).await;
        }
    }

    /// Says of every stream why the answer did not come: a gap that it leaves is called by that.
    async fn unanswered(&self, streams: &[(StreamKey, Epoch)], cause: Cause) {
        for (stream, epoch) in streams {
            let (ticket, content) = (Ticket::Claim(*epoch), Content::Unanswered { cause });
            self.intake.offer(Offer { stream: *stream, ticket, content }).await;
        }
    }

    fn answered(&self, started: i64, streams: &[(StreamKey, Epoch)], desired_ms: Option<i64>) {
        let mut wanted = self.wanted();
        for (stream, epoch) in streams {
            if let Some(w) = wanted.get_mut(stream).filter(|w| w.epoch == *epoch) {
                w.desired_ms = desired_ms.unwrap_or(w.desired_ms);
                w.backoff = None;
            }
        }
        let stretch = stretch(&wanted, self.client.plannable().min(POLLED_WEIGHT.cast_signed()));
        for (stream, epoch) in streams {
            if let Some(w) = wanted.get_mut(stream).filter(|w| w.epoch == *epoch) {
                w.due = started + stretch.period_ms(*stream, w.desired_ms);
            }
        }
    }

    /// They are asked for a moment later.
    fn postpone(&self, streams: &[(StreamKey, Epoch)]) {
        let due = self.client.mono().now() + POSTPONED_MS;
        let mut wanted = self.wanted();
        for (stream, epoch) in streams {
            if let Some(w) = wanted.get_mut(stream).filter(|w| w.epoch == *epoch) {
                w.due = due;
            }
        }
    }

    fn failed(&self, streams: &[(StreamKey, Epoch)], cause: Cause) {
        let now = self.client.mono().now();
        let mut wanted = self.wanted();
        for (stream, epoch) in streams {
            if let Some(w) = wanted.get_mut(stream).filter(|w| w.epoch == *epoch) {
                let longest = match cause {
                    Cause::Undecodable => LONGEST_UNREAD_RETRY,
                    _ => LONGEST_RETRY,
                };
                // To fail in another way is to begin anew.
                w.backoff.take_if(|(before, _)| *before != cause);
                let (_, backoff) = w.backoff.get_or_insert((cause, Backoff::new(FIRST_RETRY, longest)));
                let pause = self.client.pause(backoff);
                w.due = now + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
            }
        }
    }
}

/// How much periods are stretched so that all polls together stay inside the planned weight. Trades, which are
/// sampled anyway, take what the others leave.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    trades_permille: i64,
    others_permille: i64,
}

impl Stretch {
    fn period_ms(self, stream: StreamKey, desired_ms: i64) -> i64 {
        let permille =
            if stream.kind() == Kind::Trades { self.trades_permille } else { self.others_permille };
        desired_ms.saturating_mul(permille) / 1_000
    }
}

fn stretch(wanted: &BTreeMap<StreamKey, Wanted>, planned: i64) -> Stretch {
    let mut queries: BTreeMap<Query, (i64, i64)> = BTreeMap::new();
    for (stream, w) in wanted {
        if let Some(query) = Query::of(*stream) {
            let (weight, period) =
                queries.entry(query).or_insert((i64::from(stream.spec().poll_weight), i64::MAX));
            *weight = (*weight).max(i64::from(stream.spec().poll_weight));
            *period = (*period).min(w.desired_ms);
        }
    }
    let demand = |trades: bool| -> i64 {
        let of_kind = queries.iter().filter(|(q, _)| matches!(q, Query::Trades(_)) == trades);
        of_kind.map(|(_, (weight, period))| weight * MINUTE_MS / (*period).max(1)).sum()
    };
    let (trades, others) = (demand(true), demand(false));
    // Trades keep a third at least: they are the most valuable.
    let for_others = if trades == 0 { planned } else { planned * 2 / 3 };
    let for_trades = planned - others.min(for_others);
    Stretch {
        trades_permille: (trades * 1_000 / for_trades.max(1)).max(1_000),
        others_permille: (others * 1_000 / for_others.max(1)).max(1_000),
    }
}

fn contexts_of<M>(read: Read<(M, Vec<Context>)>) -> Read<Vec<Context>> {
    Read { value: read.value.1, unread: read.unread }
}

/// What a book snapshot of REST says of each stream that it serves.
fn from_book(stream: StreamKey, book: &Book) -> Records {
    match stream {
        // The answer says whose book it is: another coin's is turned away by the time line.
        StreamKey::Bbo(_) => Records::Bbos(vec![Bbo {
            coin: book.coin,
            time: book.time,
            bid: book.bids.first().copied(),
            ask: book.asks.first().copied(),
            arrival: Arrival::ALONE,
        }]),
        StreamKey::Book(_, BookVariant::Fast) => {
            let top = |levels: &[hl_core::record::Level]| levels.iter().take(FAST_LEVELS).copied().collect();
            Records::Books(vec![Book {
                variant: BookVariant::Fast,
                bids: top(&book.bids),
                asks: top(&book.asks),
                ..*book
            }])
        }
        _ => Records::Books(vec![book.clone()]),
    }
}

impl DataSource for RestSource {
    fn id(&self) -> SourceId {
        SourceId::Rest
    }

    fn serves(&self, stream: StreamKey) -> bool {
        Query::of(stream).is_some()
    }

    fn assign(&self, stream: StreamKey, role: Role) {
        let now = self.client.mono().now();
        let mut wanted = self.wanted();
        match role {
            Role::Owner(epoch) if self.serves(stream) => {
                if wanted.get(&stream).is_none_or(|w| w.epoch != epoch) {
                    let desired_ms = stream.spec().fastest_poll_ms;
                    wanted.insert(stream, Wanted { epoch, due: now, desired_ms, backoff: None });
                }
            }
            Role::Off | Role::Standby | Role::Owner(_) => {
                wanted.remove(&stream);
            }
        }
    }

    fn renew(&self, _: StreamKey, _: RunId) {}

    fn calm(&self, _: StreamKey, _: RunId) {}
}

impl Polled for RestSource {
    fn next_due(&self, job: &str) -> Option<i64> {
        self.wanted().iter().filter(|(stream, _)| stream.spec().job == job).map(|(_, w)| w.due).min()
    }

    fn poll<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Polls> {
        Box::pin(async move {
            let due = self.due(job, self.client.mono().now());
            stream::iter(due)
                .map(|(query, streams)| self.ask(query, streams))
                .buffer_unordered(AT_ONCE)
                .fold(Polls::default(), async |sum, polls| Polls {
                    asked: sum.asked + polls.asked,
                    failed: sum.failed + polls.failed,
                })
                .await
        })
    }
}

impl Prober for RestSource {
    fn newest(&self, stream: StreamKey) -> BoxFuture<'_, Result<Option<TimeMs>, Cause>> {
        Box::pin(async move {
            let client = &self.client;
            let newest = match stream {
                // A trade moves the best bid or offer and the bar as well.
                StreamKey::Trades(coin) | StreamKey::Bbo(coin) | StreamKey::Candle(coin, _) => {
                    let request = InfoRequest::RecentTrades { coin };
                    let trades = client.ask(
                        &request,
                        RECENT_TRADES,
                        Urgency::Question,
                        PATIENCE,
                        decode::recent_trades,
                    );
                    trades.await.map(|trades| trades.rows.last().map(|t| t.time))
                }
                StreamKey::Book(coin, variant) => {
                    let request = InfoRequest::L2Book { coin, n_sig_figs: None, mantissa: None };
                    let decode = |body: &mut [u8]| decode::l2_book(body, variant);
                    let book = client.ask(&request, 0, Urgency::Question, PATIENCE, decode).await;
                    book.map(|book| book.map(|b| b.time))
                }
                // Pushed also where nothing changed: that the exchange has the coin, or one of the dex, at all says that they
                // were missed.
                _ => {
                    let (coin, dex) = (stream.coin(), stream.owner().dex());
                    let request = all_mids(dex);
                    let stamp = || client.mono().exchange();
                    let decode = |body: &mut [u8]| decode::all_mids(body, dex, stamp());
                    let mids = client.ask(&request, 0, Urgency::Question, PATIENCE, decode).await;
                    mids.map(|Read { value, unread }| {
                        let has =
                            |coin| value.iter().any(|mid| mid.coin == coin) || unread.coins.contains(&coin);
                        let has_any = !value.is_empty() || !unread.is_empty();
                        coin.map_or(has_any, has).then(stamp)
                    })
                }
            };
            newest.map_err(|error| error.cause())
        })
    }
}

impl Past for RestSource {
    fn page(&self, stream: StreamKey, piece: Span, effort: u32) -> BoxFuture<'_, Result<Page, FetchError>> {
        self.client.page(stream, piece, effort)
    }
}
