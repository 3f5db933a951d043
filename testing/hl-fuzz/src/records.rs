//! Records of any stream, as a decoder may have made them.

use arbitrary::{Result, Unstructured};
use hl_core::record::{
    Bbo, Book, Candle, ChosenBy, CoinSignal, Context, Direction, Fill, Funding, HexBytes, KnownBy, Leader,
    Level, Likelihood, Liquidity, Market, MarketStatus, MarketType, Mid, Movement, Order, Payment, Position,
    PositionChange, PredictedFunding, Recommendation, Side, Trade, Trader, TraderStatus, Withheld,
};
use hl_core::row::Arrival;
use hl_core::symbol::Word;
use hl_core::{Coin, Decimal, Records, StreamKey, TimeMs};

/// A time near `now`, on either side; seldom any time at all.
pub(crate) fn time(u: &mut Unstructured<'_>, now: TimeMs) -> Result<TimeMs> {
    Ok(match u.int_in_range(0..=15)? {
        0 => TimeMs(*u.choose(&[i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX])?),
        1 => TimeMs(u.arbitrary()?),
        2..=4 => now + i64::from(u.arbitrary::<i16>()?) * 60,
        _ => now + i64::from(u.arbitrary::<i8>()?) * 20,
    })
}

/// Up to four records of a stream, oldest first.
pub(crate) fn records(u: &mut Unstructured<'_>, stream: StreamKey, now: TimeMs) -> Result<Records> {
    let number = u.int_in_range(0..=4)?;
    let name = stream.owner().dex().name().map_or_else(|| "BTC".to_owned(), |dex| format!("{dex}:BTC"));
    let coin = stream.coin().unwrap_or_else(|| Coin::new(&name).expect("a coin"));
    macro_rules! each {
        ($make:expr) => {{
            let mut all = Vec::with_capacity(number);
            for _ in 0..number {
                let time = time(u, now)?;
                all.push($make(u, time)?);
            }
            all.sort_by_key(|record| record.time);
            all
        }};
    }
    Ok(match stream {
        StreamKey::Trades(_) => Records::Trades(each!(|u: &mut Unstructured<'_>, time| -> Result<Trade> {
            Ok(Trade {
                coin,
                time,
                tid: u64::from(u.arbitrary::<u8>()? % 8),
                px: decimal(u)?,
                sz: decimal(u)?,
                side: if u.arbitrary()? { Side::Buy } else { Side::Sell },
                hash: HexBytes([0; 32]),
                buyer: HexBytes([1; 20]),
                seller: HexBytes([2; 20]),
                arrival: Arrival::default(),
            })
        })),
        StreamKey::Book(_, variant) => {
            Records::Books(each!(|u: &mut Unstructured<'_>, time| -> Result<Book> {
                Ok(Book {
                    coin,
                    variant,
                    time,
                    bids: [level(u)?].into(),
                    asks: [].into(),
                    arrival: Arrival::default(),
                })
            }))
        }
        StreamKey::Bbo(_) => Records::Bbos(each!(|u: &mut Unstructured<'_>, time| -> Result<Bbo> {
            Ok(Bbo { coin, time, bid: Some(level(u)?), ask: None, arrival: Arrival::default() })
        })),
        StreamKey::Candle(_, interval) => Records::Candles(each!(|u: &mut Unstructured<'_>,
                                                                  time: TimeMs|
         -> Result<Candle> {
            let px = decimal(u)?;
            let bars = i64::from(u.int_in_range(-3..=3)?);
            let open = if u.ratio(7, 8)? { interval.open_of(now) + bars * interval.ms() } else { time };
            Ok(Candle {
                coin,
                interval,
                time: open,
                open: px,
                high: px,
                low: px,
                close: px,
                volume: decimal(u)?,
                trades: if u.ratio(1, 32)? { u.arbitrary()? } else { u64::from(u.arbitrary::<u8>()? % 8) },
                arrival: Arrival::default(),
            })
        })),
        StreamKey::Mids(_) => Records::Mids(each!(|u: &mut Unstructured<'_>, time| -> Result<Mid> {
            Ok(Mid { coin, time, px: decimal(u)?, arrival: Arrival::default() })
        })),
        StreamKey::Context(_) => {
            Records::Contexts(each!(|u: &mut Unstructured<'_>, time| -> Result<Context> {
                let px = decimal(u)?;
                Ok(Context {
                    coin,
                    time,
                    mark_px: px,
                    mid_px: Some(px),
                    oracle_px: None,
                    prev_day_px: px,
                    funding: None,
                    open_interest: None,
                    premium: None,
                    day_ntl_vlm: px,
                    day_base_vlm: px,
                    impact_bid: None,
                    impact_ask: None,
                    arrival: Arrival::default(),
                })
            }))
        }
        StreamKey::PredictedFunding(_) => {
            Records::PredictedFunding(each!(|u: &mut Unstructured<'_>, time| -> Result<PredictedFunding> {
                let venue = Word::new(u.choose(&["HlPerp", "BinPerp"])?).expect("a word");
                let (rate, next_time, arrival) = (decimal(u)?, time, Arrival::default());
                Ok(PredictedFunding {
                    coin,
                    time,
                    venue,
                    rate,
                    next_time,
                    interval_hours: u.arbitrary()?,
                    arrival,
                })
            }))
        }
        StreamKey::Markets => Records::Markets(each!(|u: &mut Unstructured<'_>, time| -> Result<Market> {
            Ok(Market {
                coin,
                time,
                name: u.arbitrary()?,
                market_type: *u.choose(&MarketType::ALL)?,
                dex: u.arbitrary()?,
                status: *u.choose(&MarketStatus::ALL)?,
                sz_decimals: u.arbitrary()?,
                max_leverage: u.arbitrary()?,
                margin_tiers: u.arbitrary()?,
                margin_mode: None,
                quote: u.arbitrary()?,
                settle_fraction: if u.arbitrary()? { Some(decimal(u)?) } else { None },
                description: u.arbitrary()?,
                arrival: Arrival::default(),
            })
        })),
        StreamKey::Leaderboard => {
            Records::Leaderboard(each!(|u: &mut Unstructured<'_>, time| -> Result<Leader> {
                let user = HexBytes([u.arbitrary::<u8>()? % 4; 20]);
                let day_pnl = if u.arbitrary()? { Some(decimal(u)?) } else { None };
                let display_name = u.arbitrary()?;
                Ok(Leader { day_pnl, display_name, ..Leader::bare(user, time, decimal(u)?) })
            }))
        }
        StreamKey::Fills(user) => Records::Fills(each!(|u: &mut Unstructured<'_>, time| -> Result<Fill> {
            Ok(Fill {
                user,
                time,
                tid: u.arbitrary()?,
                side: *u.choose(&[Side::Buy, Side::Sell])?,
                coin,
                px: decimal(u)?,
                sz: decimal(u)?,
                start_position: decimal(u)?,
                dir: u.arbitrary()?,
                closed_pnl: decimal(u)?,
                liquidity: *u.choose(&[Liquidity::Taker, Liquidity::Maker])?,
                fee: decimal(u)?,
                fee_token: u.arbitrary()?,
                builder_fee: None,
                oid: u.arbitrary()?,
                cloid: u.arbitrary()?,
                twap_id: u.arbitrary()?,
                hash: HexBytes([0; 32]),
                liquidated_user: if u.arbitrary()? { Some(HexBytes([1; 20])) } else { None },
                liquidation_mark_px: None,
                liquidation_method: u.arbitrary()?,
                arrival: Arrival::default(),
            })
        })),
        StreamKey::Positions(user) => {
            Records::Positions(each!(|u: &mut Unstructured<'_>, time| -> Result<Position> {
                Ok(Position {
                    user,
                    coin,
                    time,
                    change: *u.choose(&[PositionChange::Open, PositionChange::Snapshot])?,
                    szi: decimal(u)?,
                    szi_before: if u.arbitrary()? { Some(decimal(u)?) } else { None },
                    known_by: *u.choose(&[KnownBy::Trade, KnownBy::State])?,
                    px: None,
                    entry_px: if u.arbitrary()? { Some(decimal(u)?) } else { None },
                    arrival: Arrival::default(),
                })
            }))
        }
        StreamKey::Orders(user) => {
            Records::Orders(each!(|u: &mut Unstructured<'_>, time| -> Result<Order> {
                Ok(Order {
                    user,
                    time,
                    oid: u.arbitrary()?,
                    status: Word::new(u.choose(&["open", "filled", "marginCanceled"])?).expect("a word"),
                    coin,
                    side: *u.choose(&[Side::Buy, Side::Sell])?,
                    limit_px: decimal(u)?,
                    sz: decimal(u)?,
                    orig_sz: decimal(u)?,
                    order_type: u.arbitrary()?,
                    tif: u.arbitrary()?,
                    reduce_only: u.arbitrary()?,
                    is_position_tpsl: u.arbitrary()?,
                    trigger_px: if u.arbitrary()? { Some(decimal(u)?) } else { None },
                    trigger_condition: u.arbitrary()?,
                    children: u.arbitrary()?,
                    cloid: u.arbitrary()?,
                    order_time: time,
                    arrival: Arrival::default(),
                })
            }))
        }
        StreamKey::Payments(user) => {
            Records::Payments(each!(|u: &mut Unstructured<'_>, time| -> Result<Payment> {
                Ok(Payment {
                    user,
                    coin,
                    time,
                    usdc: decimal(u)?,
                    szi: decimal(u)?,
                    rate: decimal(u)?,
                    samples: u.arbitrary()?,
                    hash: HexBytes([0; 32]),
                    arrival: Arrival::default(),
                })
            }))
        }
        StreamKey::Movements(user) => {
            Records::Movements(each!(|u: &mut Unstructured<'_>, time| -> Result<Movement> {
                Ok(Movement {
                    user,
                    time,
                    id: u.arbitrary()?,
                    kind: u.arbitrary()?,
                    hash: HexBytes([0; 32]),
                    direction: *u.choose(&[Direction::In, Direction::Unsaid])?,
                    counterpart: if u.arbitrary()? { Some(HexBytes([1; 20])) } else { None },
                    usdc: if u.arbitrary()? { Some(decimal(u)?) } else { None },
                    token: u.arbitrary()?,
                    amount: None,
                    fee: if u.arbitrary()? { Some(decimal(u)?) } else { None },
                    delta: u.arbitrary()?,
                    arrival: Arrival::default(),
                })
            }))
        }
        StreamKey::Traders => Records::Traders(each!(|u: &mut Unstructured<'_>, time| -> Result<Trader> {
            Ok(Trader {
                time,
                user: HexBytes([u.arbitrary::<u8>()? % 4; 20]),
                status: *u.choose(&[TraderStatus::Added, TraderStatus::Kept, TraderStatus::Dropped])?,
                chosen_by: *u.choose(&[ChosenBy::Score, ChosenBy::List])?,
                score: if u.arbitrary()? { Some(decimal(u)?) } else { None },
                rank: u.arbitrary()?,
                tags: u.arbitrary()?,
                position: *u.choose(&[Likelihood::Likely, Likelihood::Unlikely])?,
                account_value: None,
                snapshot_time: time,
                arrival: Arrival::default(),
            })
        })),
        StreamKey::Signals => {
            Records::Signals(each!(|u: &mut Unstructured<'_>, time| -> Result<CoinSignal> {
                let is_withheld = u.arbitrary()?;
                Ok(CoinSignal {
                    time,
                    coin,
                    strategy: u.arbitrary()?,
                    recommendation: if is_withheld { None } else { Some(Recommendation::Short) },
                    withheld: if is_withheld { Some(Withheld::Stale) } else { None },
                    confidence: if is_withheld { None } else { Some(decimal(u)?) },
                    long_bias: decimal(u)?,
                    short_bias: decimal(u)?,
                    net_exposure: if u.arbitrary()? { Some(decimal(u)?) } else { None },
                    traders_long: u.arbitrary()?,
                    traders_short: u.arbitrary()?,
                    traders_flat: u.arbitrary()?,
                    traders_unknown: u.arbitrary()?,
                    total_weight: decimal(u)?,
                    stale_ms: u.arbitrary()?,
                    arrival: Arrival::default(),
                })
            }))
        }
        StreamKey::Funding(_) => Records::Funding(each!(|u: &mut Unstructured<'_>,
                                                         time|
         -> Result<Funding> {
            Ok(Funding { coin, time, rate: decimal(u)?, premium: decimal(u)?, arrival: Arrival::default() })
        })),
    })
}

fn level(u: &mut Unstructured<'_>) -> Result<Level> {
    Ok(Level { px: decimal(u)?, sz: decimal(u)?, n: u.arbitrary()? })
}

/// Mostly small, sometimes the edges of what a decimal holds.
fn decimal(u: &mut Unstructured<'_>) -> Result<Decimal> {
    Ok(match u.arbitrary::<u8>()? {
        0 => Decimal::MAX,
        1 => Decimal::MIN,
        2 => Decimal::new(1, 28),
        small => Decimal::new(i64::from(small), u32::from(small % 3)),
    })
}
