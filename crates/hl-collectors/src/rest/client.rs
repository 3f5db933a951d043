//! The client of `POST /info`: keep-alive, time limits, retries, the status map of PROTOCOL section 3.4.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hl_core::backoff::Backoff;
use hl_core::decode::rest::{self as decode, answer};
use hl_core::decode::{DecodeError, Read, Rows, Unread};
use hl_core::ledger::Cause;
use hl_core::listing::Lists;
use hl_core::message::info::InfoRequest;
use hl_core::message::info::market::{ExchangeStatus, SettledOutcome};
use hl_core::seam::{Endpoint, Net};
use hl_core::{StreamKey, TimeMs};
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::body::{Bodies, Body, BodyError};
use super::connector::Connector;
use super::weights::{Urgency, Weights};
use crate::complaints::Complaints;
use crate::mono::MonoClock;
use crate::unreadable::{Unreadable, Unreadables};

/// One request, from connecting to the last byte.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How long a question what time it is may wait for room in the budget.
const TIME_PATIENCE: Duration = Duration::from_secs(20);
/// The exchange drops idle connections after about three minutes.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How often a request is tried.
const ATTEMPTS: u32 = 3;
const FIRST_RETRY: Duration = Duration::from_millis(300);
/// After a 429 nobody asks for this long; doubles with each.
const FIRST_PENALTY_MS: i64 = 10_000;
const LONGEST_PENALTY_MS: i64 = 60_000;
/// Those who waited for its end do not all ask in the same moment.
const PENALTY_JITTER_MS: u64 = 1_000;

/// Where `/info` is.
#[derive(Clone, Debug)]
pub struct RestOptions {
    /// Host, port, TLS.
    pub endpoint: Endpoint,
    /// Its path, `/info`.
    pub path: String,
}

/// A request got no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The connection failed or broke.
    #[error("{request}: connection to {endpoint}: {source}")]
    Network {
        /// The request.
        request: String,
        /// Where to.
        endpoint: Endpoint,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("{request}: no answer within {REQUEST_LIMIT:?}")]
    Limit {
        /// The request.
        request: String,
    },
    /// The exchange counts more weight on this address than it grants.
    #[error("{request}: rate limited (429); nothing is asked for {wait_ms} ms")]
    RateLimited {
        /// The request.
        request: String,
        /// How long nothing is asked, ms.
        wait_ms: i64,
    },
    /// The answer bears no time, and took so long that nobody knows when it was true.
    #[error("{request}: the answer took {took_ms} ms, too long to say when it was true")]
    Stale {
        /// The request.
        request: String,
        /// How long it took, ms.
        took_ms: i64,
    },
    /// Our own ledger has no room in time.
    #[error("{request}: the weight budget has no room in time")]
    Budget {
        /// The request.
        request: String,
    },
    /// The exchange is being upgraded, or broken.
    #[error("{request}: HTTP {status}")]
    Server {
        /// The request.
        request: String,
        /// The status.
        status: u16,
    },
    /// The exchange does not know what was asked for.
    #[error("{request}: HTTP {status}: {body}")]
    Refused {
        /// The request.
        request: String,
        /// The status.
        status: u16,
        /// The start of the answer.
        body: String,
    },
    /// The answer is longer than any of the exchange's, or compressed: somebody else gave it.
    #[error("{request}: {reason}: this is not the exchange, or something stands between; see --network")]
    Foreign {
        /// The request.
        request: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is cut short, or is not what was asked for.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl RestError {
    /// What a gap is called that is left because of it.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Network { .. }
            | Self::Stale { .. }
            | Self::Limit { .. }
            | Self::Server { .. }
            | Self::Foreign { .. } => Cause::Outage,
            Self::Decode(error) if error.well_formed => Cause::Undecodable,
            Self::Decode(_) => Cause::Outage,
            Self::RateLimited { .. } | Self::Budget { .. } => Cause::OverCapacity,
            Self::Refused { .. } => Cause::Refused,
        }
    }

    /// What is whole and not what was asked for would come again.
    fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Limit { .. } | Self::Server { .. } => true,
            Self::Decode(error) => !error.well_formed,
            Self::RateLimited { .. }
            | Self::Stale { .. }
            | Self::Budget { .. }
            | Self::Refused { .. }
            | Self::Foreign { .. } => false,
        }
    }
}

/// What the client counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestCounters {
    /// Requests sent, repetitions included.
    pub requests: u64,
    /// Answers that could be used.
    pub answers: u64,
    /// Attempts that brought none.
    pub failures: u64,
    /// 429s.
    pub rate_limited: u64,
    /// Request weight booked in the last minute.
    pub weight_used: u32,
}

#[derive(Debug, Default)]
struct State {
    counters: RestCounters,
    /// Nobody asks before this, on the monotonic clock.
    quiet_until: i64,
    penalty_ms: i64,
    /// Why the last attempt brought no answer, where none has come since.
    trouble: Option<String>,
    /// Whether the last attempt did not even get a connection.
    unreachable: bool,
    /// About rows that cannot be read: a poll brings the same one again and again.
    complaints: Complaints,
}

/// The client. Cheap to share; all users slow down together on a 429.
pub struct InfoClient {
    net: Arc<dyn Net>,
    http: Client<Connector, Full<Bytes>>,
    options: RestOptions,
    weights: Weights,
    mono: MonoClock,
    rng: Mutex<fastrand::Rng>,
    state: Mutex<State>,
    bodies: Bodies,
    unreadables: Unreadables,
}

/// An answer without a time that took longer than this is not stamped, ms.
const STAMP_LIMIT_MS: i64 = 1_500;

/// Refuses an answer whose stamp could be wrong.
pub(super) fn fresh<T>(request: &InfoRequest, (answer, took_ms): (T, i64)) -> Result<T, RestError> {
    match took_ms {
        ..=STAMP_LIMIT_MS => Ok(answer),
        took_ms => Err(RestError::Stale { request: request.name(), took_ms }),
    }
}

impl InfoClient {
    /// A client that connects through `net` and books its weight in `weights`.
    #[must_use]
    pub fn new(
        net: Arc<dyn Net>,
        options: RestOptions,
        weights: Weights,
        mono: MonoClock,
        rng: fastrand::Rng,
    ) -> Self {
        let connector = Connector { net: net.clone(), endpoint: options.endpoint.clone() };
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(4)
            .build(connector);
        Self {
            net,
            http,
            options,
            weights,
            mono,
            rng: Mutex::new(rng),
            state: Mutex::default(),
            bodies: Bodies::new(),
            unreadables: Unreadables::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted so far.
    pub fn counters(&self) -> RestCounters {
        RestCounters { weight_used: self.weights.used(), ..self.state().counters }
    }

    /// What could not be read, by stream, or by request where it is not of one stream.
    pub fn unreadables(&self) -> BTreeMap<String, Unreadable> {
        self.unreadables.all()
    }

    /// Counts the rows of a stream that an answer holds and that cannot be read.
    pub(super) fn tell_rows<T>(&self, stream: StreamKey, rows: &Rows<T>) {
        if let Some(reason) = &rows.reason {
            let due = self.state().complaints.due(self.mono.now());
            if let Some(untold) = due {
                warn!(%stream, rows = rows.unreadable(), %reason, untold, "rows of an answer cannot be read");
            }
            self.unreadables.note(&stream.to_string(), rows.unreadable(), reason);
        }
    }

    /// Counts what cannot be read of an answer that holds many markets.
    pub(super) fn tell_unread(&self, subject: &str, unread: &Unread) {
        if let Some(reason) = unread.reason.as_ref().filter(|_| !unread.is_empty()) {
            debug!(%subject, rows = unread.rows(), %reason, "a part of an answer cannot be read");
        }
        self.unreadables.note_coins(subject, unread);
    }

    /// The next pause before something is asked again.
    pub(super) fn pause(&self, backoff: &mut Backoff) -> Duration {
        backoff.pause(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Weight a minute that polls can count on now.
    pub(super) fn plannable(&self) -> i64 {
        i64::from(self.weights.allowance())
    }

    /// What the exchange lists: spot pairs, perpetuals of every dex and outcomes, each list with the exchange's time at its
    /// receipt.
    ///
    /// # Errors
    /// When one of the lists does not come, cannot be read, or takes too long to say when it held.
    pub async fn lists(&self, urgency: Urgency, limit: Duration) -> Result<Lists, RestError> {
        Ok(Lists {
            spot: self.list(&InfoRequest::SpotMeta, urgency, limit, decode::spot_meta).await?,
            perpetuals: self.list(&InfoRequest::AllPerpMetas, urgency, limit, decode::all_perp_metas).await?,
            outcomes: self.list(&InfoRequest::OutcomeMeta, urgency, limit, decode::outcome_meta).await?,
        })
    }

    /// How an outcome settled; none where it has not, and where the answer is of another one.
    ///
    /// # Errors
    /// When the exchange does not answer.
    pub async fn settled_outcome(
        &self,
        outcome: u64,
        limit: Duration,
    ) -> Result<Option<SettledOutcome>, RestError> {
        let request = InfoRequest::SettledOutcome { outcome };
        let decode = |body: &mut [u8]| answer::<Option<SettledOutcome>>("settledOutcome", body);
        let settled = self.ask(&request, 0, Urgency::Live, limit, decode).await?;
        Ok(settled.filter(|settled| settled.spec.outcome == outcome))
    }

    async fn list<T>(
        &self,
        request: &InfoRequest,
        urgency: Urgency,
        limit: Duration,
        decode: impl Fn(&mut [u8]) -> Result<T, DecodeError>,
    ) -> Result<(T, TimeMs), RestError> {
        let decode = |body: &mut [u8]| Ok((decode(body)?, self.mono.exchange()));
        let answer = self.ask_timed(request, 0, urgency, limit, decode).await?;
        fresh(request, answer)
    }

    /// Why the last request got no usable answer, in words, where none has got one since.
    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Until when a request waits for room in the weight budget; none where none does.
    pub fn waits_until(&self) -> Option<Instant> {
        self.weights.waits_until()
    }

    /// The clock that answers are stamped with.
    #[must_use]
    pub fn mono(&self) -> &MonoClock {
        &self.mono
    }

    /// Asks the exchange what time it is: the system clock may be wrong, and some streams bear no time. Asks twice where
    /// nothing else says the same: an answer may be wrong as well.
    ///
    /// # Errors
    /// As [`InfoClient::ask`].
    pub async fn learn_time(&self, limit: Duration) -> Result<(), RestError> {
        self.ask_time(limit).await?;
        if !self.mono.is_learnt() {
            self.ask_time(limit).await?;
        }
        Ok(())
    }

    /// Asks the exchange once what time it is.
    ///
    /// # Errors
    /// As [`InfoClient::ask`].
    pub async fn ask_time(&self, limit: Duration) -> Result<(), RestError> {
        let request = InfoRequest::ExchangeStatus;
        let decode = |body: &mut [u8]| answer::<ExchangeStatus>("exchangeStatus", body);
        let (status, took_ms) = self.ask_timed(&request, 0, Urgency::Question, limit, decode).await?;
        self.mono.learn(status.time, took_ms);
        Ok(())
    }

    /// Exchange time before a question whose answer proves what had ended by then. Where the exchange has not said yet what
    /// time it is, it is asked first: by a system clock that is fast, a bar in progress would be final.
    ///
    /// # Errors
    /// As [`InfoClient::learn_time`].
    pub(super) async fn asked(&self) -> Result<TimeMs, RestError> {
        if !self.mono.is_learnt() {
            self.learn_time(TIME_PATIENCE).await?;
        }
        Ok(self.mono.exchange())
    }

    /// Asks, and decodes the answer. Books the weight first, for up to `items` rows; waits at most `limit` for room.
    ///
    /// # Errors
    /// After three attempts where another try makes sense, at once where not.
    pub async fn ask<T>(
        &self,
        request: &InfoRequest,
        items: usize,
        urgency: Urgency,
        limit: Duration,
        decode: impl Fn(&mut [u8]) -> Result<T, DecodeError>,
    ) -> Result<T, RestError> {
        Ok(self.ask_timed(request, items, urgency, limit, decode).await?.0)
    }

    /// The same, and how long the answer took, ms: what bears no time was true at some moment within that.
    ///
    /// # Errors
    /// As [`InfoClient::ask`].
    pub async fn ask_timed<T>(
        &self,
        request: &InfoRequest,
        items: usize,
        urgency: Urgency,
        limit: Duration,
        decode: impl Fn(&mut [u8]) -> Result<T, DecodeError>,
    ) -> Result<(T, i64), RestError> {
        let weight = request.weight() + request.weight_of_items(items);
        let mut retry = Backoff::new(FIRST_RETRY, REQUEST_LIMIT);
        let mut attempt = 1;
        loop {
            let error = match self.attempt(request, weight, urgency, limit).await {
                Ok((mut body, took_ms)) => match decode(&mut body.bytes) {
                    Ok(answer) => {
                        self.note(None);
                        return Ok((answer, took_ms));
                    }
                    Err(error) => {
                        if error.well_formed {
                            self.unreadables.note(&error.what, 1, &error.to_string());
                        }
                        RestError::Decode(error)
                    }
                },
                Err(error) => error,
            };
            self.note(Some(&error));
            if attempt == ATTEMPTS || !error.is_worth_another_try() {
                return Err(error);
            }
            attempt += 1;
            debug!(%error, "asking again");
            tokio::time::sleep(self.pause(&mut retry)).await;
        }
    }

    /// Asks for a listing, as [`InfoClient::ask`] does. What cannot be read of it is counted.
    ///
    /// # Errors
    /// As [`InfoClient::ask`].
    pub async fn read<T>(
        &self,
        request: &InfoRequest,
        urgency: Urgency,
        limit: Duration,
        decode: impl Fn(&mut [u8]) -> Result<Read<T>, DecodeError>,
    ) -> Result<Read<T>, RestError> {
        let read = self.ask(request, 0, urgency, limit, decode).await?;
        self.tell_unread(&request.name(), &read.unread);
        Ok(read)
    }

    fn note(&self, error: Option<&RestError>) {
        let mut state = self.state();
        match error {
            None => {
                state.counters.answers += 1;
                state.trouble = None;
            }
            Some(error) => {
                state.counters.failures += 1;
                // What our own ledger has no room for was never asked.
                if !matches!(error, RestError::Budget { .. }) {
                    state.trouble = Some(error.to_string());
                }
            }
        }
    }

    /// Whether a connection can be made. It is not kept.
    async fn reach(&self, request: &InfoRequest) -> Result<(), RestError> {
        let connected = tokio::time::timeout(REQUEST_LIMIT, self.net.connect(&self.options.endpoint)).await;
        let connected = connected.map_err(|_| RestError::Limit { request: request.name() })?;
        connected.map_err(|source| RestError::Network {
            request: request.name(),
            endpoint: self.options.endpoint.clone(),
            source: source.into(),
        })?;
        self.state().unreachable = false;
        Ok(())
    }

    async fn attempt(
        &self,
        request: &InfoRequest,
        weight: u32,
        urgency: Urgency,
        limit: Duration,
    ) -> Result<(Body<'_>, i64), RestError> {
        let name = || request.name();
        let deadline = Instant::now() + limit;
        self.wait_out_penalty(request, deadline).await?;
        if self.state().unreachable {
            // What never reaches the exchange costs nothing there: no weight is taken before there is a connection.
            self.reach(request).await?;
        }
        if !self.weights.take(weight, urgency, deadline - Instant::now()).await {
            return Err(RestError::Budget { request: name() });
        }
        // Somebody may have met a 429 while this one waited for room.
        self.wait_out_penalty(request, deadline).await?;
        self.state().counters.requests += 1;
        let network = |source: Box<dyn std::error::Error + Send + Sync>| RestError::Network {
            request: name(),
            endpoint: self.options.endpoint.clone(),
            source,
        };
        let http = Request::post(format!("{}{}", self.options.endpoint, self.options.path))
            .header(HOST, self.options.endpoint.authority())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, crate::USER_AGENT)
            .body(Full::new(Bytes::from(request.to_body())))
            .map_err(|e| network(e.into()))?;
        let sent = self.mono.now();
        let answer = tokio::time::timeout(REQUEST_LIMIT, async {
            let response = self.http.request(http).await.map_err(|error| {
                self.state().unreachable = error.is_connect();
                network(root_cause(error))
            })?;
            let status = response.status();
            let body = self.bodies.read(response).await.map_err(|error| match error {
                BodyError::Broken(source) => network(source.into()),
                foreign => RestError::Foreign { request: name(), reason: foreign.to_string() },
            })?;
            Ok::<_, RestError>((status, body))
        });
        let (status, body) = answer.await.map_err(|_| RestError::Limit { request: name() })??;
        match status {
            StatusCode::OK => {
                self.state().penalty_ms = 0;
                Ok((body, self.mono.now() - sent))
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let wait_ms = self.penalise();
                warn!(wait_ms, "the exchange says 429: too much weight on this address; all requests wait");
                Err(RestError::RateLimited { request: name(), wait_ms })
            }
            // A 500 whose body is `null` is how it says that it does not know a coin or a dex.
            StatusCode::INTERNAL_SERVER_ERROR if body.bytes == b"null" => {
                Err(RestError::Refused { request: name(), status: 500, body: "null".into() })
            }
            status if status.is_server_error() => {
                Err(RestError::Server { request: name(), status: status.as_u16() })
            }
            status => {
                let start = &body.bytes[..body.bytes.len().min(120)];
                let body = String::from_utf8_lossy(start).into_owned();
                Err(RestError::Refused { request: name(), status: status.as_u16(), body })
            }
        }
    }

    /// Waits until nobody has to be quiet any more.
    async fn wait_out_penalty(&self, request: &InfoRequest, deadline: Instant) -> Result<(), RestError> {
        loop {
            let wait_ms = self.state().quiet_until - self.mono.now();
            if wait_ms <= 0 {
                return Ok(());
            }
            let jitter = self.rng.lock().unwrap_or_else(PoisonError::into_inner).u64(..PENALTY_JITTER_MS);
            let wait = Duration::from_millis(wait_ms.unsigned_abs() + jitter);
            if Instant::now() + wait > deadline {
                return Err(RestError::RateLimited { request: request.name(), wait_ms });
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn penalise(&self) -> i64 {
        let mut state = self.state();
        state.counters.rate_limited += 1;
        let now = self.mono.now();
        // Requests that were under way together are refused together: that is one penalty.
        if now < state.quiet_until {
            return state.quiet_until - now;
        }
        state.penalty_ms = (state.penalty_ms * 2).clamp(FIRST_PENALTY_MS, LONGEST_PENALTY_MS);
        state.quiet_until = now + state.penalty_ms;
        state.penalty_ms
    }
}

/// hyper-util wraps what happened twice; people want the innermost words.
fn root_cause(error: hyper_util::client::legacy::Error) -> Box<dyn std::error::Error + Send + Sync> {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        words = inner.to_string();
        cause = inner.source();
    }
    words.into()
}
