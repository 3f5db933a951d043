//! What is asked over REST: spread over the time that is listened anyway, about 250 request weight in all.

use std::time::Duration;

use hl_collectors::rest::{RestError, Urgency};
use hl_core::decode::{DecodeError, rest as decode};
use hl_core::ledger::Span;
use hl_core::message::info::market::{ExchangeStatus, FundingRate};
use hl_core::message::info::{CandleRange, InfoRequest};
use hl_core::message::market::{WsCandle, WsTrade};
use hl_core::record::{Candle, Trade};
use hl_core::stream::BookVariant;
use hl_core::{Coin, Interval, TimeMs};

use super::Subject;
use super::aside::NO_COIN;
use super::evidence::{Look, Notes, Sample};
use super::progress::Progress;

pub(super) const MINUTE_MS: i64 = 60_000;
/// A bar is asked for so long after its end: trades were seen to be late by as much.
pub(super) const FINAL_AFTER_MS: i64 = 12_000;
/// The estimate of exchange time is low by the delay of the network.
const MARGIN_MS: i64 = 2_000;
const PATIENCE: Duration = Duration::from_secs(60);
/// After a refusal for weight nothing is asked until the exchange has forgotten all of it; then it is asked once more.
const WINDOW: Duration = Duration::from_secs(60);
/// Rounds of small questions, and the pause between them.
const ROUNDS: u32 = 4;
const PAUSE: Duration = Duration::from_secs(7);
/// Far enough back for a full page of hourly funding.
const FUNDING_MS: i64 = 700 * 3_600_000;

/// Ten hours of one-minute bars.
const PAGE_MS: i64 = 600 * MINUTE_MS;

/// Everything that is asked, one after another.
pub(super) async fn ask(subject: &Subject, coin: Coin, notes: &Notes, progress: &Progress) {
    let asker = Asker { subject, notes };
    for round in 0..ROUNDS {
        progress.say("questions over REST");
        asker.sample(coin).await;
        asker.recent(coin).await;
        match round {
            0 => asker.unknown().await,
            1 => asker.range(coin).await,
            2 => asker.funding(coin).await,
            3 => asker.page(coin).await,
            _ => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
    asker.minute(coin, progress).await;
}

struct Asker<'a> {
    subject: &'a Subject,
    notes: &'a Notes,
}

impl Asker<'_> {
    /// Asks once, and again where the exchange counts more weight than we do.
    async fn once<T>(
        &self,
        request: &InfoRequest,
        items: usize,
        decode: impl Fn(&mut [u8]) -> Result<T, DecodeError>,
    ) -> Result<T, RestError> {
        let client = self.subject.exchange.client();
        let mut refused = false;
        loop {
            let answer = client.ask(request, items, Urgency::Question, PATIENCE, &decode).await;
            match answer {
                Err(RestError::RateLimited { .. }) if !refused => {
                    refused = true;
                    tokio::time::sleep(WINDOW).await;
                }
                Err(RestError::Decode(error)) => {
                    self.notes.with(|e| e.shapes.refuse(error.to_string()));
                    return Err(RestError::Decode(error));
                }
                answer => {
                    let weight = request.weight() + request.weight_of_items(items);
                    self.notes.with(|e| e.weight.0 += weight);
                    return answer;
                }
            }
        }
    }

    async fn look<T>(
        &self,
        request: &InfoRequest,
        items: usize,
        decode: impl Fn(&mut [u8]) -> Result<T, DecodeError>,
    ) -> Look<T> {
        self.once(request, items, decode).await.map_err(|error| error.to_string())
    }

    /// A book, and the exchange's clock right after it.
    async fn sample(&self, coin: Coin) {
        let book = InfoRequest::L2Book { coin, n_sig_figs: None, mantissa: None };
        let book = self.look(&book, 0, |body| decode::l2_book(body, BookVariant::Default)).await;
        let status = |body: &mut [u8]| decode::answer::<ExchangeStatus>("exchangeStatus", body);
        let status = self.look(&InfoRequest::ExchangeStatus, 0, status).await;
        let at = self.subject.mono().now();
        if let Ok(status) = status {
            let book = book.ok().flatten().map(|book| book.time);
            self.notes.with(|e| e.samples.push(Sample { book, status: status.time, at }));
        }
    }

    async fn recent(&self, coin: Coin) {
        // In the order of the answer, which the collector's own decoder turns round.
        let decode = |body: &mut [u8]| decode::answer::<Vec<WsTrade>>("recentTrades", body);
        if let Ok(trades) = self.look(&InfoRequest::RecentTrades { coin }, 10, decode).await {
            self.notes.with(|e| e.recent.push(trades.into_iter().map(Trade::from).collect()));
        }
    }

    /// A coin that does not exist, in a request that fails over it and in one that does not.
    async fn unknown(&self) {
        let Ok(coin) = Coin::new(NO_COIN) else { return };
        let start_time = self.subject.mono().exchange() - MINUTE_MS;
        let request = InfoRequest::FundingHistory { coin, start_time, end_time: None };
        let status = match self.once(&request, 0, decode::funding).await {
            Ok(_) => Ok(200),
            Err(RestError::Refused { status, .. } | RestError::Server { status, .. }) => Ok(status),
            Err(error) => Err(error.to_string()),
        };
        let request = InfoRequest::L2Book { coin, n_sig_figs: None, mantissa: None };
        let book = match self.once(&request, 0, |body| decode::l2_book(body, BookVariant::Default)).await {
            Ok(None) => Ok(None),
            Ok(Some(_)) => Ok(Some("a book".to_owned())),
            Err(RestError::Refused { status, .. } | RestError::Server { status, .. }) => {
                Ok(Some(format!("HTTP {status}")))
            }
            Err(error) => Err(error.to_string()),
        };
        self.notes.with(|e| (e.unknown_coin, e.unknown_book) = (status, book));
    }

    async fn candles(&self, coin: Coin, from: TimeMs, to: TimeMs) -> Look<Vec<Candle>> {
        let req = CandleRange { coin, interval: Interval::M1, start_time: from, end_time: Some(to) };
        let minutes = usize::try_from(to.since(from) / MINUTE_MS).unwrap_or(0) + 1;
        let decode = |body: &mut [u8]| decode::answer::<Vec<WsCandle>>("candleSnapshot", body);
        let bars = self.look(&InfoRequest::CandleSnapshot { req }, minutes, decode).await?;
        Ok(bars.into_iter().map(Candle::from).collect())
    }

    /// Three minutes that are long over.
    async fn range(&self, coin: Coin) {
        let last = self.subject.mono().exchange().floor(MINUTE_MS) - 2 * MINUTE_MS;
        let asked = [last - 2 * MINUTE_MS, last - MINUTE_MS, last];
        let bars = self.candles(coin, asked[0], asked[2]).await;
        self.notes.with(|e| e.range = bars.map(|bars| (bars.iter().map(|bar| bar.time).collect(), asked)));
    }

    /// More bars than other lists have rows.
    async fn page(&self, coin: Coin) {
        let to = self.subject.mono().exchange().floor(MINUTE_MS) - 2 * MINUTE_MS;
        let asked = Span { from: to - PAGE_MS, to };
        let bars = self.candles(coin, asked.from, asked.to).await;
        self.notes.with(|e| e.page = bars.map(|bars| (bars.iter().map(|bar| bar.time).collect(), asked)));
    }

    async fn funding(&self, coin: Coin) {
        let start_time = self.subject.mono().exchange() - FUNDING_MS;
        let request = InfoRequest::FundingHistory { coin, start_time, end_time: None };
        let decode = |body: &mut [u8]| decode::answer::<Vec<FundingRate>>("fundingHistory", body);
        let rows = self.look(&request, 500, decode).await;
        self.notes.with(|e| e.funding = rows.map(|rows| rows.len()));
    }

    /// The first minute that was listened to from its beginning, once it is final.
    async fn minute(&self, coin: Coin, progress: &Progress) {
        let Some(whole_from) = self.notes.with(|e| e.listened.whole_from) else {
            return self.notes.with(|e| e.minute = Err(e.listened.missing("no trades came")));
        };
        let minute = first_minute(whole_from);
        progress.say(&format!("waiting until the minute of {} is final", crate::human::time(minute)));
        let mono = self.subject.mono();
        loop {
            let left = (minute + MINUTE_MS + FINAL_AFTER_MS).since(mono.exchange());
            match u64::try_from(left) {
                Ok(left) if left > 0 => tokio::time::sleep(Duration::from_millis(left)).await,
                _ => break,
            }
        }
        let bars = self.candles(coin, minute, minute + (MINUTE_MS - 1)).await;
        self.notes.with(|e| e.minute = bars.map(|bars| bars.into_iter().find(|bar| bar.time == minute)));
    }
}

/// The first minute of which every trade was heard, where that began at `whole_from`.
pub(super) fn first_minute(whole_from: TimeMs) -> TimeMs {
    (whole_from + MARGIN_MS).floor(MINUTE_MS) + MINUTE_MS
}
