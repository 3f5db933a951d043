//! Records, batches and views for the cases.

use std::num::NonZeroI64;
use std::sync::Arc;

use hl_core::for_records;
use hl_core::ledger::{Ack, Batch, Change, Span};
use hl_core::record::{
    Address, Bbo, Book, Candle, ChosenBy, CoinSignal, Context, Direction, Fill, Funding, HexBytes, KnownBy,
    Leader, Level, Likelihood, Liquidity, Market, MarketStatus, MarketType, Mid, Movement, Order, Payment,
    Position, PositionChange, PredictedFunding, Recommendation, Side, Trade, Trader, TraderStatus, Withheld,
};
use hl_core::row::Arrival;
use hl_core::store::{Store, StoreError};
use hl_core::stream::BookVariant;
use hl_core::symbol::{User, Word};
use hl_core::{Coin, Decimal, Dex, Epoch, Interval, Origin, Records, StreamKey, TimeMs, Token};

use super::Subject;

pub(super) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

pub(super) fn coin(name: &str) -> Coin {
    Coin::new(name).unwrap()
}

pub(super) fn trades(name: &str) -> StreamKey {
    StreamKey::Trades(coin(name))
}

pub(super) fn minutes(name: &str) -> StreamKey {
    StreamKey::Candle(coin(name), Interval::M1)
}

pub(super) fn span(from: i64, to: i64) -> Span {
    Span::new(TimeMs(from), TimeMs(to))
}

pub(super) fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(super) fn trade(name: &str, time: i64, tid: u64) -> Trade {
    Trade {
        coin: coin(name),
        time: TimeMs(time),
        tid,
        px: decimal("66410.0"),
        sz: decimal("0.00015"),
        side: Side::Sell,
        hash: HexBytes([7; 32]),
        buyer: HexBytes([0xab; 20]),
        seller: HexBytes([0xcd; 20]),
        arrival: Arrival::default(),
    }
}

pub(super) fn bar(name: &str, time: i64, trades: u64, close: i64) -> Candle {
    Candle {
        coin: coin(name),
        interval: Interval::M1,
        time: TimeMs(time),
        open: Decimal::ONE,
        high: Decimal::from(9),
        low: Decimal::ONE,
        close: Decimal::from(close),
        volume: Decimal::from(trades),
        trades,
        arrival: Arrival::default(),
    }
}

pub(super) fn settlement(name: &str, time: i64) -> Funding {
    Funding {
        coin: coin(name),
        time: TimeMs(time),
        rate: decimal("0.0000125"),
        premium: Decimal::ZERO,
        arrival: Arrival::default(),
    }
}

pub(super) fn epoch(token: Token, local: u32) -> Epoch {
    Epoch { token, local }
}

/// Rows of a live claim, the piece that they cover, and the new edge.
pub(super) fn live(epoch: Epoch, records: Records, covered: Span) -> Vec<Change> {
    vec![
        rows(epoch, records),
        Change::Covered { epoch, origin: Origin::Ws, span: covered },
        Change::Edge(covered.to),
    ]
}

pub(super) fn rows(epoch: Epoch, records: Records) -> Change {
    Change::Rows { epoch, origin: Origin::Ws, records }
}

pub(super) fn filled(epoch: Epoch, span: Span, records: Records) -> Change {
    Change::Filled { epoch, origin: Origin::Backfill, span, records }
}

pub(super) async fn commit(
    store: &Arc<dyn Store>,
    token: Token,
    stream: StreamKey,
    changes: Vec<Change>,
) -> Result<Ack, StoreError> {
    let changes = changes.into_iter().map(|change| (stream, change)).collect();
    let ack = store.commit(Arc::new(Batch { token, changes })).await?;
    let left_out = ack.existing + ack.refused + ack.differing.values().sum::<u64>();
    assert_eq!(ack.left_out.len() as u64, left_out, "each row that was not written is named: {ack:?}");
    Ok(ack)
}

/// Opens a session that holds the leases.
pub(super) async fn holder(subject: &dyn Subject, streams: &[StreamKey]) -> Arc<dyn Store> {
    let store = subject.open().await.unwrap();
    let leases = store.lease(streams).await.unwrap();
    assert!(leases.held.is_empty(), "{:?}", leases.held);
    assert_eq!(leases.granted.iter().map(|start| start.stream).collect::<Vec<_>>(), streams);
    store
}

/// Ends a session as a crash does.
pub(super) async fn crash(subject: &dyn Subject, store: Arc<dyn Store>) {
    let token = store.token();
    drop(store);
    subject.until_dead(token).await;
}

/// Everything that a stream has, in words that compare.
pub(super) async fn picture(subject: &dyn Subject, stream: StreamKey) -> String {
    let inspect = subject.inspect().await.unwrap();
    let rows = inspect.rows(stream, Span::EVER).await.unwrap();
    let coverage = inspect.coverage(Some(stream)).await.unwrap();
    let gaps = inspect.gaps(Some(stream)).await.unwrap();
    let row = inspect.streams().await.unwrap().into_iter().find(|row| row.stream == stream);
    format!(
        "{rows:?}\n{coverage:?}\n{gaps:?}\n{:?}",
        row.map(|row| (row.edge, row.first, row.rows, row.newest))
    )
}

pub(super) async fn stored(subject: &dyn Subject, stream: StreamKey) -> Records {
    subject.inspect().await.unwrap().rows(stream, Span::EVER).await.unwrap()
}

/// The times of the stored rows.
pub(super) async fn times(subject: &dyn Subject, stream: StreamKey) -> Vec<i64> {
    let mut times = Vec::new();
    stored(subject, stream).await.retain_time(|time| {
        times.push(time.0);
        true
    });
    times
}

fn user(n: u8) -> User {
    User::new(&Address::to_string(&HexBytes([n; 20]))).unwrap()
}

/// A fill of one of two traders; the second was liquidated.
fn position(of: u8, name: &str, time: i64, szi: i64) -> Position {
    let is_known = name != Position::NOTHING;
    Position {
        user: user(of),
        coin: coin(name),
        time: TimeMs(time),
        change: if is_known { PositionChange::Open } else { PositionChange::Snapshot },
        szi: Decimal::from(szi),
        szi_before: is_known.then(|| Decimal::from(3)),
        known_by: if is_known { KnownBy::Trade } else { KnownBy::State },
        px: is_known.then(|| Decimal::new(5, 1)),
        entry_px: None,
        arrival: Arrival::default(),
    }
}

fn fill(of: u8, time: i64, side: Side) -> Fill {
    let liquidated = (of == 2).then_some(HexBytes([of; 20]));
    Fill {
        user: user(of),
        time: TimeMs(time),
        tid: 7,
        side,
        coin: coin("k'PEPE"),
        px: decimal("0.0110"),
        sz: decimal("3"),
        start_position: decimal("-3.0"),
        dir: "Close Short".into(),
        closed_pnl: decimal("0.5"),
        liquidity: if side == Side::Buy { Liquidity::Taker } else { Liquidity::Maker },
        fee: decimal("-0.001"),
        fee_token: Some("USDC".into()),
        builder_fee: (of == 2).then(|| decimal("0.1")),
        oid: 90_071_992_547_409_931,
        cloid: (of == 1).then(|| "0x00000000000000000000000000000001".into()),
        twap_id: (of == 1).then_some(12),
        hash: HexBytes([9; 32]),
        liquidated_user: liquidated,
        liquidation_mark_px: liquidated.map(|_| decimal("0.01")),
        liquidation_method: liquidated.map(|_| "market".into()),
        arrival: Arrival::default(),
    }
}

/// A change of status of one of a trader's orders; those of the second wait for a price.
fn order(of: u8, time: i64, oid: u64, status: &str) -> Order {
    let waits = of == 2;
    Order {
        user: user(of),
        time: TimeMs(time),
        oid,
        status: Word::new(status).unwrap(),
        coin: coin("k'PEPE"),
        side: Side::Sell,
        limit_px: decimal("0.0110"),
        sz: decimal("3"),
        orig_sz: decimal("3.50"),
        order_type: if waits { "Stop Market" } else { "Limit" }.into(),
        tif: (!waits).then(|| "Gtc".into()),
        reduce_only: waits,
        is_position_tpsl: false,
        trigger_px: waits.then(|| decimal("0.012")),
        trigger_condition: waits.then(|| "Price above 0.012".into()),
        children: (!waits).then(|| "90071992547409932 8".into()),
        cloid: waits.then(|| "0x00000000000000000000000000000001".into()),
        order_time: TimeMs(time - 1),
        arrival: Arrival::default(),
    }
}

/// Funding that a trader paid for a position, or received.
fn payment(of: u8, name: &str, time: i64, usdc: &str) -> Payment {
    Payment {
        user: user(of),
        coin: coin(name),
        time: TimeMs(time),
        usdc: decimal(usdc),
        szi: decimal("-40.13333333"),
        rate: decimal("-0.00029319"),
        samples: (of == 2).then_some(3),
        hash: HexBytes([of; 32]),
        arrival: Arrival::default(),
    }
}

/// A movement of a trader's money, of a kind that has columns of its own or of one that has none.
fn movement(of: u8, time: i64, id: u64) -> Movement {
    let is_sent = of == 1;
    Movement {
        user: user(of),
        time: TimeMs(time),
        id,
        kind: if is_sent { "send" } else { "some'thing new" }.into(),
        hash: HexBytes([0; 32]),
        direction: if is_sent { Direction::Out } else { Direction::Unsaid },
        counterpart: is_sent.then_some(HexBytes([2; 20])),
        usdc: is_sent.then(|| decimal("60.0")),
        token: is_sent.then(|| "HYPE".into()),
        amount: is_sent.then(|| decimal("1.50")),
        fee: None,
        delta: (!is_sent).then(|| r#"{"much":"1.0"}"#.into()),
        arrival: Arrival::default(),
    }
}

/// One of two traders on the leaderboard; the first shows no name.
pub(super) fn leader(user: u8, time: i64) -> Leader {
    Leader {
        day_pnl: Some(decimal("-1.50")),
        all_time_roi: Some(decimal("0.0001")),
        display_name: (user > 1).then(|| "it's".into()),
        ..Leader::bare(HexBytes([user; 20]), TimeMs(time), decimal("100000.0"))
    }
}

/// One of two traders in a choice of whom to track.
pub(super) fn trader(user: u8, time: i64, status: TraderStatus) -> Trader {
    let is_tracked = status != TraderStatus::Dropped;
    Trader {
        time: TimeMs(time),
        user: HexBytes([user; 20]),
        status,
        chosen_by: ChosenBy::Score,
        score: is_tracked.then(|| decimal("61.25")),
        rank: is_tracked.then(|| u32::from(user)),
        tags: if is_tracked { "whale top_performer" } else { "" }.into(),
        position: Likelihood::Likely,
        account_value: None,
        snapshot_time: TimeMs(time - 1),
        arrival: Arrival::default(),
    }
}

/// One of two coins in an answer of a strategy: of the second nothing is recommended.
fn signal(coin: &str, time: i64, withheld: Option<Withheld>) -> CoinSignal {
    let is_said = withheld.is_none();
    CoinSignal {
        time: TimeMs(time),
        coin: Coin::new(coin).unwrap(),
        strategy: "it's mine".into(),
        recommendation: is_said.then_some(Recommendation::Neutral),
        withheld,
        confidence: is_said.then(|| decimal("0.5198")),
        long_bias: decimal("0.7391"),
        short_bias: decimal("0.0"),
        net_exposure: is_said.then(|| decimal("-120000.50")),
        traders_long: 2,
        traders_short: 0,
        traders_flat: 7,
        traders_unknown: u64::from(!is_said),
        total_weight: decimal("2.3"),
        stale_ms: is_said.then_some(4_000),
        arrival: Arrival::default(),
    }
}

/// Funding expected at a venue: rows of one time that only a word tells apart.
fn next_funding(coin: Coin, venue: &str, interval_hours: Option<u32>) -> PredictedFunding {
    PredictedFunding {
        coin,
        time: TimeMs(5),
        venue: Word::new(venue).unwrap(),
        rate: decimal("-0.00001250"),
        next_time: TimeMs(3_600_000),
        interval_hours,
        arrival: Arrival::default(),
    }
}

/// What the exchange says of a market, with all there is to say and with nothing.
pub(super) fn market(coin: Coin, time: i64, status: MarketStatus) -> Market {
    let text = |text: &str| (status != MarketStatus::Gone).then(|| text.into());
    Market {
        coin,
        time: TimeMs(time),
        name: "it's \"odd\"/USDC".into(),
        market_type: MarketType::Perp,
        dex: text("xyz"),
        status,
        sz_decimals: (status == MarketStatus::Listed).then_some(2),
        max_leverage: (status == MarketStatus::Listed).then_some(u32::MAX),
        margin_tiers: text("[[\"0.0\",40],[\"150000000.5\",20]]"),
        margin_mode: text(""),
        quote: text("USDC"),
        settle_fraction: (status == MarketStatus::Settled).then(|| decimal("0.42")),
        description: text("class:priceBinary|underlying:BTC,\n\u{1f4c8}"),
        arrival: Arrival::default(),
    }
}

/// Says of some of the rows when they came, and in which order.
fn arrived(records: &mut Records) {
    for_records!(records, rows => for (at, row) in (0_u32..).zip(rows) {
        let received = NonZeroI64::new(i64::from(at) * 179_000_000_123_456_789);
        row.arrival = Arrival { received, seq: (at != 1).then_some(at) };
    });
}

/// A coin with an awkward name, and rows of every kind of stream within the first second, 19 in all.
pub(super) fn every_kind() -> (Coin, Vec<(StreamKey, Records)>) {
    let level = |px: &str, sz: &str, n| Level { px: decimal(px), sz: decimal(sz), n };
    let name = coin("it's:\"odd\"");
    let context = Context {
        coin: name,
        time: TimeMs(1),
        mark_px: decimal("0.00000001"),
        mid_px: None,
        oracle_px: Some(decimal("79228162514264337593543950335")),
        prev_day_px: decimal("1.0"),
        funding: Some(decimal("-0.0000125")),
        open_interest: None,
        premium: Some(decimal("0")),
        day_ntl_vlm: decimal("100.00"),
        day_base_vlm: decimal("5"),
        impact_bid: None,
        impact_ask: Some(decimal("2")),
        arrival: Arrival::default(),
    };
    let full = Book {
        coin: name,
        variant: BookVariant::Fast,
        time: TimeMs(1),
        bids: [level("66410.0", "1.99792", 6), level("66409.0", "3", 1)].into(),
        asks: [level("66411.0", "0.10", 2)].into(),
        arrival: Arrival::default(),
    };
    let empty = Book { time: TimeMs(2), bids: [].into(), asks: [].into(), ..full.clone() };
    let bid = Some(level("1.10", "2.0", 3));
    let at = trade("x", 3, (1 << 50) - 1);
    let bar = Candle { coin: name, ..bar("x", 0, 7, 2) };
    let mut everything = vec![
        (StreamKey::Trades(name), Records::Trades(vec![Trade { coin: name, ..at }])),
        (StreamKey::Book(name, BookVariant::Fast), Records::Books(vec![full, empty])),
        (
            StreamKey::Bbo(name),
            Records::Bbos(vec![
                Bbo { coin: name, time: TimeMs(1), bid, ask: None, arrival: Arrival::default() },
                Bbo { coin: name, time: TimeMs(2), bid: None, ask: bid, arrival: Arrival::default() },
                Bbo { coin: name, time: TimeMs(3), bid, ask: bid, arrival: Arrival::default() },
            ]),
        ),
        (StreamKey::Candle(name, Interval::M1), Records::Candles(vec![bar])),
        (
            StreamKey::MIDS,
            Records::Mids(vec![
                Mid { coin: coin("BTC"), time: TimeMs(1), px: decimal("1.50"), arrival: Arrival::default() },
                Mid { coin: coin("k'PEPE"), time: TimeMs(1), px: decimal("7"), arrival: Arrival::default() },
            ]),
        ),
        // The name has a colon: a dex is called so.
        (
            StreamKey::Mids(Dex::of(name)),
            Records::Mids(vec![
                Mid { coin: name, time: TimeMs(1), px: decimal("170.5"), arrival: Arrival::default() },
                Mid { coin: name, time: TimeMs(2), px: decimal("171"), arrival: Arrival::default() },
            ]),
        ),
        (
            StreamKey::Mids(Dex::of(coin("xyz:NVDA"))),
            Records::Mids(vec![Mid {
                coin: coin("xyz:NVDA"),
                time: TimeMs(1),
                px: decimal("9"),
                arrival: Arrival::default(),
            }]),
        ),
        (StreamKey::Context(name), Records::Contexts(vec![context])),
        (StreamKey::Funding(name), Records::Funding(vec![Funding { coin: name, ..settlement("x", 59) }])),
        (
            StreamKey::PredictedFunding(name),
            Records::PredictedFunding(vec![
                next_funding(name, "BinPerp", None),
                next_funding(name, "Hl'Perp", Some(1)),
            ]),
        ),
        (
            StreamKey::Markets,
            Records::Markets(vec![
                market(coin("#12090"), 8, MarketStatus::Settled),
                market(name, 5, MarketStatus::Listed),
                market(name, 8, MarketStatus::Gone),
            ]),
        ),
        (StreamKey::Leaderboard, Records::Leaderboard(vec![leader(1, 5), leader(2, 5), leader(1, 9)])),
        (
            StreamKey::Fills(user(1)),
            Records::Fills(vec![fill(1, 5, Side::Sell), fill(1, 5, Side::Buy), fill(1, 8, Side::Buy)]),
        ),
        (StreamKey::Fills(user(2)), Records::Fills(vec![fill(2, 5, Side::Sell)])),
        (
            StreamKey::Positions(user(1)),
            Records::Positions(vec![
                position(1, "*", 5, 0),
                position(1, "BTC", 6, 7),
                position(1, "BTC", 8, 0),
            ]),
        ),
        (StreamKey::Positions(user(2)), Records::Positions(vec![position(2, "BTC", 6, -1)])),
        (
            StreamKey::Orders(user(1)),
            Records::Orders(vec![
                order(1, 5, 7, "filled"),
                order(1, 5, 7, "open"),
                order(1, 5, 9, "open"),
                order(1, 8, 9, "marginCanceled"),
            ]),
        ),
        (StreamKey::Orders(user(2)), Records::Orders(vec![order(2, 5, 7, "open")])),
        (
            StreamKey::Payments(user(1)),
            Records::Payments(vec![
                payment(1, "BTC", 5, "0.145796"),
                payment(1, "xyz:NVDA", 5, "-0.1"),
                payment(1, "BTC", 8, "-2.50"),
            ]),
        ),
        (StreamKey::Payments(user(2)), Records::Payments(vec![payment(2, "BTC", 5, "0")])),
        (
            StreamKey::Movements(user(1)),
            Records::Movements(vec![
                movement(1, 5, 3),
                movement(1, 5, i64::MAX.unsigned_abs()),
                movement(1, 8, 1),
            ]),
        ),
        (StreamKey::Movements(user(2)), Records::Movements(vec![movement(2, 5, 3)])),
        (
            StreamKey::Traders,
            Records::Traders(vec![
                trader(1, 5, TraderStatus::Added),
                trader(1, 9, TraderStatus::Dropped),
                trader(2, 9, TraderStatus::Added),
            ]),
        ),
        (
            StreamKey::Signals,
            Records::Signals(vec![
                signal("BTC", 5, None),
                signal("xyz:NVDA", 5, Some(Withheld::Unknown)),
                signal("BTC", 9, Some(Withheld::Stale)),
            ]),
        ),
    ];
    everything.iter_mut().for_each(|(_, records)| arrived(records));
    (name, everything)
}
