//! The client of the chain beside the exchange: bundles of reads, inside a limit of its own (PROTOCOL section 13: 100 requests a
//! minute an address, apart from the request weight; who asks for more is left without answers for minutes).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hl_core::decode::chain::{self, ChainError, PositionRead};
use hl_core::seam::{Endpoint, Net};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::connector::Connector;
use crate::mono::MonoClock;

/// Between two requests: 80 of the 100 that the chain grants a minute.
const BETWEEN: Duration = Duration::from_millis(750);
/// A request that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(15);
/// The longest answer taken, bytes: the chain gives no longer ones.
const LONGEST: usize = 2 << 20;
/// What was refused is not asked for before this, doubling …
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1_800);
/// Reads of the first bundle: what others are known to have sent.
const FIRST_READS: usize = 200;
/// No bundle has fewer …
const LEAST_READS: usize = 50;
/// … nor more: their answers would be longer than the chain gives.
const MOST_READS: usize = 1_200;

/// Reads did not come.
#[derive(Debug, thiserror::Error)]
pub enum ChainReadError {
    /// The request did not come through.
    #[error("reading {reads} positions from the chain: {source}")]
    Network {
        /// How many.
        reads: usize,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is none.
    #[error("reading {reads} positions from the chain: {source}")]
    Answer {
        /// How many.
        reads: usize,
        /// The cause.
        source: ChainError,
    },
}

struct State {
    /// When the next request may be sent.
    next: Instant,
    pause: Duration,
    reads: usize,
}

/// The client. Its bundles grow while they are answered, and shrink where they are not.
pub struct ChainClient {
    http: Client<Connector, Full<Bytes>>,
    endpoint: Endpoint,
    path: String,
    mono: MonoClock,
    state: Mutex<State>,
}

/// Sizes, in steps of each market's size decimals, and when they were true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainSizes {
    /// In the order of the reads; none of one that failed.
    pub sizes: Vec<Option<i64>>,
    /// Exchange time in the middle of the request, ms.
    pub time: hl_core::TimeMs,
    /// How long it took, ms.
    pub took_ms: i64,
}

impl ChainClient {
    /// A client that connects through `net`.
    #[must_use]
    pub fn new(net: Arc<dyn Net>, endpoint: Endpoint, path: String, mono: MonoClock) -> Self {
        let connector = Connector { net, endpoint: endpoint.clone() };
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(1)
            .build(connector);
        let state = State { next: Instant::now(), pause: FIRST_PAUSE, reads: FIRST_READS };
        Self { http, endpoint, path, mono, state: Mutex::new(state) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many reads the next bundle may have; none while nothing may be asked.
    #[must_use]
    pub fn room(&self) -> Option<usize> {
        let state = self.state();
        (state.next <= Instant::now()).then_some(state.reads)
    }

    /// Reads positions, all of one state.
    ///
    /// # Errors
    /// When the chain does not answer, or refuses.
    pub async fn read(&self, reads: &[PositionRead]) -> Result<ChainSizes, ChainReadError> {
        self.state().next = Instant::now() + BETWEEN;
        let asked = (self.mono.now(), self.mono.exchange());
        let read = tokio::time::timeout(LIMIT, self.ask(reads)).await;
        let network = |source: Box<dyn std::error::Error + Send + Sync>| ChainReadError::Network {
            reads: reads.len(),
            source,
        };
        let sizes = match read {
            Ok(Ok(body)) => chain::sizes(&body, reads.len())
                .map_err(|source| ChainReadError::Answer { reads: reads.len(), source }),
            Ok(Err(source)) => Err(network(source)),
            Err(late) => Err(network(late.into())),
        };
        let mut state = self.state();
        match sizes {
            Ok(sizes) => {
                state.pause = FIRST_PAUSE;
                if reads.len() * 2 > state.reads {
                    state.reads = (state.reads * 3 / 2).min(MOST_READS);
                }
                let took_ms = self.mono.now() - asked.0;
                Ok(ChainSizes { sizes, time: asked.1 + took_ms / 2, took_ms })
            }
            Err(error) => {
                state.next = Instant::now() + state.pause;
                state.pause = (state.pause * 2).min(LONGEST_PAUSE);
                state.reads = (state.reads / 2).max(LEAST_READS);
                Err(error)
            }
        }
    }

    async fn ask(&self, reads: &[PositionRead]) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::post(format!("{}{}", self.endpoint, self.path))
            .header(HOST, self.endpoint.authority())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, crate::USER_AGENT)
            .body(Full::new(Bytes::from(chain::request(reads))))?;
        let response = self.http.request(request).await?;
        if !response.status().is_success() {
            return Err(format!("HTTP {}", response.status().as_u16()).into());
        }
        Ok(Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes())
    }
}
