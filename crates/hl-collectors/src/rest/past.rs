//! The past of a stream, page by page: what `/info` still has of it.

use std::sync::Arc;
use std::time::Duration;

use hl_core::decode::{DecodeError, Rows, rest as decode, trader as of_trader};
use hl_core::ledger::Span;
use hl_core::message::info::{CandleRange, InfoRequest};
use hl_core::past::{
    self, BarsQuestion, FUNDING_MS, FundingQuestion, KEPT_BARS, KEPT_ORDERS, OrdersQuestion, PAGE_BARS,
    PAGE_FILLS, PAGE_FUNDING, PAGE_MOVEMENTS, PAGE_PAYMENTS, Page, PagedQuestion,
};
use hl_core::record::{Mid, Record};
use hl_core::seam::BoxFuture;
use hl_core::source::{FetchError, Past};
use hl_core::symbol::User;
use hl_core::{Coin, Dex, Interval, StreamKey, TimeMs};

use super::client::{InfoClient, RestError, fresh};
use super::weights::Urgency;

/// A backfill waits this long for room in the budget before it says so.
const PATIENCE: Duration = Duration::from_secs(120);
/// `recentTrades` gives this many, unless a coin has never traded more (PROTOCOL section 3.1).
pub(super) const RECENT_TRADES: usize = 10;

/// What reading a piece of the past costs at least.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    /// Requests.
    pub requests: u64,
    /// Their weight, all together.
    pub weight: u64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.weight += other.weight;
    }
}

/// What reading `piece` costs, as the exchange's clock says `now`. What it no longer has costs one request, however long
/// it is.
#[must_use]
pub fn cost(stream: StreamKey, piece: Span, now: TimeMs) -> Cost {
    let (start_time, end_time) = (piece.from, Some(piece.to));
    let (request, items, page) = match stream {
        StreamKey::Candle(coin, interval) => {
            let step = interval.ms();
            let kept_from = interval.open_of(now) - (KEPT_BARS - 1) * step;
            let req = CandleRange { coin, interval, start_time, end_time };
            let bars = piece.to.since(start_time.max(kept_from)) / step;
            (InfoRequest::CandleSnapshot { req }, bars, PAGE_BARS.unsigned_abs())
        }
        StreamKey::Funding(coin) => {
            let request = InfoRequest::FundingHistory { coin, start_time, end_time };
            (request, piece.to.min(now).since(start_time) / FUNDING_MS, PAGE_FUNDING.unsigned_abs())
        }
        StreamKey::Trades(coin) => (InfoRequest::RecentTrades { coin }, 10, RECENT_TRADES as u64),
        StreamKey::Fills(user) => (fills_of(user, piece), PAGE_FILLS as i64, PAGE_FILLS as u64),
        StreamKey::Orders(user) => (orders_of(user), KEPT_ORDERS as i64, KEPT_ORDERS as u64),
        StreamKey::Payments(user) => (payments_of(user, piece), PAGE_PAYMENTS as i64, PAGE_PAYMENTS as u64),
        StreamKey::Movements(user) => (movements_of(user, piece), 1, PAGE_MOVEMENTS as u64),
        // Nothing is asked: there is nothing to be had.
        _ => return Cost::default(),
    };
    let items = items.max(0).unsigned_abs();
    let requests = items.div_ceil(page).max(1);
    let of_items = request.weight_of_items(usize::try_from(items).unwrap_or(usize::MAX));
    Cost { requests, weight: requests * u64::from(request.weight()) + u64::from(of_items) }
}

impl Past for InfoClient {
    fn page(&self, stream: StreamKey, piece: Span, effort: u32) -> BoxFuture<'_, Result<Page, FetchError>> {
        Box::pin(self.page_of(stream, piece, effort, Urgency::Backfill))
    }
}

/// The past of tracked traders, read while there is room for it: collecting goes before it, and so does filling gaps.
pub struct Aside(pub Arc<InfoClient>);

impl Past for Aside {
    fn page(&self, stream: StreamKey, piece: Span, effort: u32) -> BoxFuture<'_, Result<Page, FetchError>> {
        Box::pin(self.0.page_of(stream, piece, effort, Urgency::Proof))
    }
}

fn fills_of(user: User, span: Span) -> InfoRequest {
    InfoRequest::UserFillsByTime {
        user: user.address(),
        start_time: span.from,
        end_time: Some(span.to),
        aggregate_by_time: None,
        reversed: None,
    }
}

fn orders_of(user: User) -> InfoRequest {
    InfoRequest::HistoricalOrders { user: user.address() }
}

fn payments_of(user: User, span: Span) -> InfoRequest {
    let (start_time, end_time) = (Some(span.from), Some(span.to));
    InfoRequest::UserFunding { user: user.address(), start_time, end_time }
}

fn movements_of(user: User, span: Span) -> InfoRequest {
    let (start_time, end_time) = (Some(span.from), Some(span.to));
    InfoRequest::UserNonFundingLedgerUpdates { user: user.address(), start_time, end_time }
}

impl InfoClient {
    /// The mid prices of now of all coins of a dex, where they can wait: a stream of them has its own way.
    ///
    /// # Errors
    /// When the exchange cannot be asked, or its answer took so long that it may not be of now.
    pub async fn mids(&self, dex: Dex) -> Result<Vec<Mid>, FetchError> {
        let request = InfoRequest::AllMids { dex: dex.name().map(str::to_owned) };
        let decode = |body: &mut [u8]| decode::all_mids(body, dex, self.mono().exchange());
        let answer = self.ask_timed(&request, 0, Urgency::Backfill, PATIENCE, decode).await;
        let mids = answer.and_then(|answer| fresh(&request, answer));
        let failed = |error: RestError| FetchError {
            step: "reading mid prices",
            reason: error.to_string(),
            cause: error.cause(),
        };
        mids.map(|read| read.value).map_err(failed)
    }

    /// A page of the past, once the weight has room for it at this urgency.
    async fn page_of(
        &self,
        stream: StreamKey,
        piece: Span,
        effort: u32,
        urgency: Urgency,
    ) -> Result<Page, FetchError> {
        let paged = |full| PagedQuestion::new(piece, effort, full);
        let page = match stream {
            StreamKey::Candle(coin, interval) => self.candles(coin, interval, piece, effort).await,
            StreamKey::Funding(coin) => self.funding(coin, piece, effort).await,
            StreamKey::Trades(coin) => self.trades(coin, piece).await,
            StreamKey::Fills(user) => {
                let (asked, question) = (paged(PAGE_FILLS), |span| fills_of(user, span));
                let decode = |body: &mut [u8]| decode::user_fills(body, user, false);
                self.paged(stream, asked, PAGE_FILLS, question, urgency, decode).await
            }
            StreamKey::Payments(user) => {
                let (asked, question) = (paged(PAGE_PAYMENTS), |span| payments_of(user, span));
                let decode = |body: &mut [u8]| of_trader::payments(body, user);
                self.paged(stream, asked, PAGE_PAYMENTS, question, urgency, decode).await
            }
            StreamKey::Movements(user) => {
                let (asked, question) = (paged(PAGE_MOVEMENTS), |span| movements_of(user, span));
                let decode = |body: &mut [u8]| of_trader::movements(body, user);
                self.paged(stream, asked, PAGE_MOVEMENTS, question, urgency, decode).await
            }
            StreamKey::Orders(user) => self.orders(user, piece, effort, urgency).await,
            // The exchange has no past of states.
            _ => Ok(Page::gone(piece)),
        };
        page.map_err(|error| FetchError {
            step: "reading the past",
            reason: error.to_string(),
            cause: error.cause(),
        })
    }

    /// A page of what a trader did, oldest first.
    async fn paged<T: Record>(
        &self,
        stream: StreamKey,
        question: PagedQuestion,
        full: usize,
        request: impl Fn(Span) -> InfoRequest,
        urgency: Urgency,
        decode: impl Fn(&mut [u8]) -> Result<Rows<T>, DecodeError>,
    ) -> Result<Page, RestError> {
        let rows = self.ask(&request(question.request), full, urgency, PATIENCE, decode).await?;
        self.tell_rows(stream, &rows);
        Ok(question.page(rows))
    }

    async fn orders(
        &self,
        user: User,
        piece: Span,
        effort: u32,
        urgency: Urgency,
    ) -> Result<Page, RestError> {
        let decode = |body: &mut [u8]| of_trader::orders(body, user);
        let orders = self.ask(&orders_of(user), KEPT_ORDERS, urgency, PATIENCE, decode).await?;
        self.tell_rows(StreamKey::Orders(user), &orders);
        Ok(OrdersQuestion::new(piece, effort).page(orders))
    }

    /// From the first fill of a trader that the exchange has, or from `known` where that is earlier, to right behind the last one;
    /// none where it has none.
    ///
    /// # Errors
    /// When the exchange cannot be asked.
    pub async fn fills_ends(&self, user: User, known: Option<TimeMs>) -> Result<Option<Span>, RestError> {
        let request = InfoRequest::UserFills { user: user.address(), aggregate_by_time: None };
        let newest = |body: &mut [u8]| decode::user_fills(body, user, true);
        let newest = self.ask(&request, PAGE_FILLS, Urgency::Backfill, PATIENCE, newest).await?;
        let Some((mut first, last)) =
            newest.rows.first().zip(newest.rows.last()).map(|(a, b)| (a.time, b.time))
        else {
            return Ok(None);
        };
        if newest.len() >= PAGE_FILLS {
            let request = fills_of(user, Span { from: TimeMs(0), to: last });
            let oldest = |body: &mut [u8]| decode::user_fills(body, user, false);
            let oldest = self.ask(&request, PAGE_FILLS, Urgency::Backfill, PATIENCE, oldest).await?;
            first = oldest.rows.first().map_or(first, |fill| fill.time.min(first));
        }
        Ok(Some(Span { from: known.map_or(first, |known| known.min(first)), to: last + 1 }))
    }

    async fn candles(
        &self,
        coin: Coin,
        interval: Interval,
        piece: Span,
        effort: u32,
    ) -> Result<Page, RestError> {
        let asked = self.asked().await?;
        let Some(question) = BarsQuestion::new(coin, interval, piece, asked, effort) else {
            return Ok(Page::nothing(None));
        };
        let Span { from: start_time, to } = question.request;
        let req = CandleRange { coin, interval, start_time, end_time: Some(to) };
        let request = InfoRequest::CandleSnapshot { req };
        let bars = self.ask(&request, question.items(), Urgency::Backfill, PATIENCE, decode::candles).await?;
        self.tell_rows(StreamKey::Candle(coin, interval), &bars);
        Ok(question.page(bars))
    }

    async fn funding(&self, coin: Coin, piece: Span, effort: u32) -> Result<Page, RestError> {
        let asked = self.asked().await?;
        let Some(question) = FundingQuestion::new(coin, piece, asked, effort) else {
            return Ok(Page::nothing(None));
        };
        let Span { from: start_time, to } = question.request;
        let request = InfoRequest::FundingHistory { coin, start_time, end_time: Some(to) };
        let items = usize::try_from(PAGE_FUNDING).unwrap_or_default();
        let rows = self.ask(&request, items, Urgency::Backfill, PATIENCE, decode::funding).await?;
        self.tell_rows(StreamKey::Funding(coin), &rows);
        Ok(question.page(asked, rows))
    }

    async fn trades(&self, coin: Coin, piece: Span) -> Result<Page, RestError> {
        let request = InfoRequest::RecentTrades { coin };
        let trades =
            self.ask(&request, RECENT_TRADES, Urgency::Backfill, PATIENCE, decode::recent_trades).await?;
        self.tell_rows(StreamKey::Trades(coin), &trades);
        Ok(past::trades(coin, piece, trades, RECENT_TRADES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_the_past_is_that_of_its_pages() {
        const MINUTE: i64 = 60_000;
        let now = TimeMs(10_000 * MINUTE + 7);
        let of = |stream: &str, from: i64, to: i64| {
            let piece = Span::new(TimeMs(from * MINUTE), TimeMs(to * MINUTE));
            let Cost { requests, weight } = cost(stream.parse().unwrap(), piece, now);
            (requests, weight)
        };
        assert_eq!(of("candle/BTC/1m", 9_990, 10_000), (1, 21));
        assert_eq!(of("candle/BTC/1m", 8_000, 10_000), (2, 40 + 34));
        assert_eq!(of("candle/BTC/1m", 0, 10_000), (5, 100 + 84), "no more than is kept");
        assert_eq!(of("candle/BTC/1m", 0, 1_000), (1, 20), "nothing of it is kept");
        assert_eq!(of("funding/BTC", 0, 60_060), (1, 20 + 9), "166 hours until now");
        assert_eq!((of("trades/BTC", 0, 9), of("mids", 0, 9)), ((1, 21), (0, 0)));
    }
}
