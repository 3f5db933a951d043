//! The past of a stream, page by page: what `/info` still has of it.

use std::time::Duration;

use hl_core::decode::{Rows, rest as decode};
use hl_core::ledger::Span;
use hl_core::message::info::{CandleRange, InfoRequest};
use hl_core::seam::BoxFuture;
use hl_core::source::{FetchError, Page, Past};
use hl_core::{Coin, Interval, Records, StreamKey, TimeMs};

use super::client::{InfoClient, RestError};
use super::weights::Urgency;

/// A backfill waits this long for room in the budget before it says so.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bars of an interval that the exchange keeps.
pub(super) const KEPT_BARS: i64 = 5_000;
/// Bars asked for at a time: weight 20 + 1 for each 60.
const PAGE_BARS: i64 = 1_200;
/// Funding is settled every hour.
const FUNDING_MS: i64 = 3_600_000;
/// Funding rows of a full page.
const PAGE_FUNDING: usize = 500;
/// A funding row was seen up to 24 minutes after its hour.
const FUNDING_LAG_MS: i64 = 30 * 60_000;
/// A bar may change for this long after its end.
const BAR_LAG_MS: i64 = 5_000;
/// `recentTrades` gives this many, unless a coin has never traded more.
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
            (request, piece.to.min(now).since(start_time) / FUNDING_MS, PAGE_FUNDING as u64)
        }
        StreamKey::Trades(coin) => (InfoRequest::RecentTrades { coin }, 10, RECENT_TRADES as u64),
        // Nothing is asked: there is nothing to be had.
        StreamKey::Book(..) | StreamKey::Bbo(_) | StreamKey::Mids | StreamKey::Context(_) => {
            return Cost::default();
        }
    };
    let items = items.max(0).unsigned_abs();
    let requests = items.div_ceil(page).max(1);
    let of_items = request.weight_of_items(usize::try_from(items).unwrap_or(usize::MAX));
    Cost { requests, weight: requests * u64::from(request.weight()) + u64::from(of_items) }
}

impl Past for InfoClient {
    fn page(&self, stream: StreamKey, piece: Span) -> BoxFuture<'_, Result<Page, FetchError>> {
        Box::pin(async move {
            let page = match stream {
                StreamKey::Candle(coin, interval) => self.candles(coin, interval, piece).await,
                StreamKey::Funding(coin) => self.funding(coin, piece).await,
                StreamKey::Trades(coin) => self.trades(coin, piece).await,
                // The exchange has no past of states.
                StreamKey::Book(..) | StreamKey::Bbo(_) | StreamKey::Mids | StreamKey::Context(_) => {
                    return Ok(nothing(stream, piece));
                }
            };
            page.map_err(|error| FetchError {
                step: "reading the past",
                reason: error.to_string(),
                cause: error.cause(),
            })
        })
    }
}

impl InfoClient {
    async fn candles(&self, coin: Coin, interval: Interval, piece: Span) -> Result<Page, RestError> {
        let step = interval.ms();
        let asked = self.asked().await?;
        let kept_from = interval.open_of(asked) - (KEPT_BARS - 1) * step;
        let from = piece.from.max(TimeMs(0));
        let start = if from < kept_from { kept_from.min(piece.to) } else { from };
        let end = piece.to.min(start + PAGE_BARS * step);
        // The bars that are final, asked for after the time in which they could still change.
        let settled = end.min(interval.open_of(asked - BAR_LAG_MS));
        if settled <= start && start <= from {
            return Ok(Page {
                records: Records::Candles(Vec::new()),
                proven: None,
                lost: None,
                unreadable: Vec::new(),
                next: None,
            });
        }
        let req = CandleRange { coin, interval, start_time: from, end_time: Some(end - 1) };
        let request = InfoRequest::CandleSnapshot { req };
        let items = usize::try_from(end.since(start) / step + 1).unwrap_or(usize::MAX);
        let rows = self.ask(&request, items, Urgency::Backfill, PATIENCE, decode::candles).await?;
        self.tell_rows(StreamKey::Candle(coin, interval), &rows);
        let unreadable = unreadable(
            &rows,
            |bar| (bar.time, bar.time + step),
            |time| {
                let open = interval.open_of(time);
                (open, open + step)
            },
        );
        let mut bars = rows.rows;
        bars.retain(|bar| bar.time >= from && bar.time < settled);
        // The exchange may keep some more bars than it says.
        let start = bars.first().map_or(start, |bar| bar.time.min(start));
        let proven = (start < settled).then(|| Span::new(start, settled));
        Ok(Page {
            records: Records::Candles(bars),
            proven,
            lost: (from < start).then(|| Span::new(piece.from, start)),
            unreadable: within(&unreadable, proven),
            next: (settled == end && end < piece.to).then_some(end),
        })
    }

    async fn funding(&self, coin: Coin, piece: Span) -> Result<Page, RestError> {
        let asked = self.asked().await?;
        let start_time = piece.from.max(TimeMs(0));
        let request = InfoRequest::FundingHistory { coin, start_time, end_time: Some(piece.to - 1) };
        let rows = self.ask(&request, PAGE_FUNDING, Urgency::Backfill, PATIENCE, decode::funding).await?;
        self.tell_rows(StreamKey::Funding(coin), &rows);
        let unreadable = unreadable(
            &rows,
            |row| (row.time, row.time + 1),
            |time| {
                let hour = time.floor(FUNDING_MS);
                (hour, hour + FUNDING_MS)
            },
        );
        let full = rows.len() >= PAGE_FUNDING;
        let last_unread = rows.holes.last().and_then(|hole| hole.times).map(|times| times.to);
        let mut rows = rows.rows;
        rows.retain(|row| row.time >= piece.from && row.time < piece.to);
        let last = rows.last().map(|row| row.time).max(last_unread.filter(|last| piece.contains(*last)));
        let proven_to = match last {
            Some(last) if full => last + 1,
            _ => piece.to.min((asked - FUNDING_LAG_MS).max(last.map_or(TimeMs::MIN, |last| last + 1))),
        };
        let proven = (piece.from < proven_to).then(|| Span::new(piece.from, proven_to));
        Ok(Page {
            records: Records::Funding(rows),
            proven,
            lost: None,
            unreadable: within(&unreadable, proven),
            next: (full && proven_to < piece.to).then_some(proven_to),
        })
    }

    async fn trades(&self, coin: Coin, piece: Span) -> Result<Page, RestError> {
        let asked = self.asked().await?;
        let request = InfoRequest::RecentTrades { coin };
        let rows =
            self.ask(&request, RECENT_TRADES, Urgency::Backfill, PATIENCE, decode::recent_trades).await?;
        self.tell_rows(StreamKey::Trades(coin), &rows);
        let is_hole = |at: usize| rows.holes.iter().any(|hole| hole.at == at);
        let first = match rows.rows.first() {
            Some(first) if rows.len() >= RECENT_TRADES || is_hole(0) => first.time,
            // Fewer than it could give: that is all there ever was.
            _ => TimeMs::MIN,
        };
        let last = rows.rows.last().map(|trade| trade.time).filter(|_| is_hole(rows.rows.len()));
        let proven = Span::new(first, last.unwrap_or(asked).max(first)).intersect(piece);
        // Blocks that may hold what cannot be read are borders of a gap.
        let mut unreadable = unreadable(&rows, |trade| (trade.time, trade.time), |time| (time, time));
        // A gap has to have an inside.
        for part in unreadable.iter_mut().filter(|part| part.ms() == 0) {
            *part = Span::new(part.from - 1, part.to + 1);
        }
        let mut trades = rows.rows;
        trades.retain(|trade| piece.contains(trade.time));
        Ok(Page {
            records: Records::Trades(trades),
            proven,
            lost: (piece.from < first || proven.is_none())
                .then(|| Span::new(piece.from, proven.map_or(piece.to, |p| p.from))),
            unreadable: within(&unreadable, proven),
            next: None,
        })
    }
}

fn nothing(stream: StreamKey, piece: Span) -> Page {
    let records = match stream {
        StreamKey::Trades(_) => Records::Trades(Vec::new()),
        StreamKey::Book(..) => Records::Books(Vec::new()),
        StreamKey::Bbo(_) => Records::Bbos(Vec::new()),
        StreamKey::Candle(..) => Records::Candles(Vec::new()),
        StreamKey::Mids => Records::Mids(Vec::new()),
        StreamKey::Context(_) => Records::Contexts(Vec::new()),
        StreamKey::Funding(_) => Records::Funding(Vec::new()),
    };
    Page { records, proven: None, lost: Some(piece), unreadable: Vec::new(), next: None }
}

/// Where rows lie that cannot be read: from the end of the row before to the beginning of the row after, or closer, where
/// their own times say so. `of` is what a row takes, `at` what a row of that time takes.
fn unreadable<T>(
    rows: &Rows<T>,
    of: impl Fn(&T) -> (TimeMs, TimeMs),
    at: impl Fn(TimeMs) -> (TimeMs, TimeMs),
) -> Vec<Span> {
    let span = |hole| {
        let (before, after) = rows.neighbours(hole);
        let from = before.map_or(TimeMs::MIN, |row| of(row).1);
        let to = after.map_or(TimeMs::MAX, |row| of(row).0);
        let near = hole.times.map(|times| Span::new(at(times.from).0, at(times.to).1));
        near.and_then(|near| near.intersect(Span::new(from, to))).unwrap_or(Span::new(from, to))
    };
    rows.holes.iter().map(span).collect()
}

/// What of these pieces lies in what is proven.
fn within(pieces: &[Span], proven: Option<Span>) -> Vec<Span> {
    let Some(proven) = proven else { return Vec::new() };
    pieces.iter().filter_map(|piece| piece.intersect(proven)).collect()
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
