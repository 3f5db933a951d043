//! What the gate lets through, keeps or turns away, and how it is counted.

use super::*;
use crate::record::{
    Book, ChosenBy, CoinSignal, Context, Direction, Fill, Funding, HexBytes, KnownBy, Leader, Likelihood,
    Liquidity, Market, MarketStatus, MarketType, Mid, Movement, Order, Payment, Position, PositionChange,
    PredictedFunding, Recommendation, Side, Trader, TraderStatus,
};
use crate::row::Arrival;
use crate::stream::BookVariant;
use crate::symbol::{User, Word};

fn line(stream: StreamKey, edge: Option<i64>) -> Timeline {
    Timeline::new(StreamStart { stream, edge: edge.map(TimeMs), ended: None, recent: Recent::default() })
}

fn offer(line: &mut Timeline, run: u64, content: Content) -> Tally {
    line.offer(Ticket::Run(RunId::first(run)), content, &NoWitness, &mut Vec::new())
}

fn mid(time: i64, px: i64) -> Mid {
    Mid { coin: coin(), time: TimeMs(time), px: px.into(), arrival: Arrival::default() }
}

/// A record of each kind, at 5 s.
fn record(kind: Kind, coin: Coin) -> (StreamKey, Records) {
    let (time, one) = (TimeMs(5_000), Decimal::ONE);
    match kind {
        Kind::Trades => (StreamKey::Trades(coin), Records::Trades(vec![Trade { coin, ..trade(5_000, 1) }])),
        Kind::Book | Kind::BookFast | Kind::Book5 | Kind::Book4 | Kind::Book3 => {
            let variant = match kind {
                Kind::Book => BookVariant::Default,
                Kind::BookFast => BookVariant::Fast,
                Kind::Book5 => BookVariant::Figures5,
                Kind::Book4 => BookVariant::Figures4,
                _ => BookVariant::Figures3,
            };
            let book = Book {
                coin,
                variant,
                time,
                bids: Box::default(),
                asks: Box::default(),
                arrival: Arrival::default(),
            };
            (StreamKey::Book(coin, variant), Records::Books(vec![book]))
        }
        Kind::Bbo => (
            StreamKey::Bbo(coin),
            Records::Bbos(vec![Bbo { coin, time, bid: None, ask: None, arrival: Arrival::default() }]),
        ),
        Kind::Candle => {
            let bar = Candle { coin, ..bar(1, 1) };
            (StreamKey::Candle(coin, Interval::M1), Records::Candles(vec![bar]))
        }
        Kind::Mids => {
            (StreamKey::MIDS, Records::Mids(vec![Mid { coin, time, px: one, arrival: Arrival::default() }]))
        }
        Kind::Context => (StreamKey::Context(coin), Records::Contexts(vec![context(coin, 5_000, 1)])),
        Kind::Funding => {
            let funding = Funding { coin, time, rate: one, premium: one, arrival: Arrival::default() };
            (StreamKey::Funding(coin), Records::Funding(vec![funding]))
        }
        Kind::PredictedFunding => {
            let (venue, arrival) = (Word::new("HlPerp").unwrap(), Arrival::default());
            let next = PredictedFunding {
                coin,
                time,
                venue,
                rate: one,
                next_time: time,
                interval_hours: None,
                arrival,
            };
            (StreamKey::PredictedFunding(coin), Records::PredictedFunding(vec![next]))
        }
        Kind::Markets => {
            (StreamKey::Markets, Records::Markets(vec![market(coin, 5_000, MarketStatus::Listed)]))
        }
        Kind::Leaderboard => {
            let leader = Leader::bare(HexBytes([1; 20]), time, one);
            (StreamKey::Leaderboard, Records::Leaderboard(vec![leader]))
        }
        Kind::Fills => {
            let user = User::new(&HexBytes::<20>([1; 20]).to_string()).unwrap();
            let fill = Fill {
                user,
                time,
                tid: 1,
                side: Side::Buy,
                coin,
                px: one,
                sz: one,
                start_position: one,
                dir: "Open Long".into(),
                closed_pnl: one,
                liquidity: Liquidity::Maker,
                fee: one,
                fee_token: None,
                builder_fee: None,
                oid: 1,
                cloid: None,
                twap_id: None,
                hash: HexBytes([0; 32]),
                liquidated_user: None,
                liquidation_mark_px: None,
                liquidation_method: None,
                arrival: Arrival::default(),
            };
            (StreamKey::Fills(user), Records::Fills(vec![fill]))
        }
        Kind::Positions => {
            let user = User::new(&HexBytes::<20>([1; 20]).to_string()).unwrap();
            let position = Position {
                user,
                coin,
                time,
                change: PositionChange::Open,
                szi: one,
                szi_before: None,
                known_by: KnownBy::Trade,
                px: None,
                entry_px: None,
                arrival: Arrival::default(),
            };
            (StreamKey::Positions(user), Records::Positions(vec![position]))
        }
        Kind::Orders => {
            let user = User::new(&HexBytes::<20>([1; 20]).to_string()).unwrap();
            let order = Order {
                user,
                time,
                oid: 1,
                status: Word::new("open").unwrap(),
                coin,
                side: Side::Buy,
                limit_px: one,
                sz: one,
                orig_sz: one,
                order_type: "Limit".into(),
                tif: None,
                reduce_only: false,
                is_position_tpsl: false,
                trigger_px: None,
                trigger_condition: None,
                children: None,
                cloid: None,
                order_time: time,
                arrival: Arrival::default(),
            };
            (StreamKey::Orders(user), Records::Orders(vec![order]))
        }
        Kind::Payments => {
            let user = User::new(&HexBytes::<20>([1; 20]).to_string()).unwrap();
            let payment = Payment {
                user,
                coin,
                time,
                usdc: one,
                szi: one,
                rate: one,
                samples: None,
                hash: HexBytes([0; 32]),
                arrival: Arrival::default(),
            };
            (StreamKey::Payments(user), Records::Payments(vec![payment]))
        }
        Kind::Movements => {
            let user = User::new(&HexBytes::<20>([1; 20]).to_string()).unwrap();
            let movement = Movement {
                user,
                time,
                id: 1,
                kind: "deposit".into(),
                hash: HexBytes([0; 32]),
                direction: Direction::Unsaid,
                counterpart: None,
                usdc: Some(one),
                token: None,
                amount: None,
                fee: None,
                delta: None,
                arrival: Arrival::default(),
            };
            (StreamKey::Movements(user), Records::Movements(vec![movement]))
        }
        Kind::Traders => {
            let trader = Trader {
                time,
                user: HexBytes([1; 20]),
                status: TraderStatus::Added,
                chosen_by: ChosenBy::Score,
                score: Some(one),
                rank: Some(1),
                tags: "whale".into(),
                position: Likelihood::Likely,
                account_value: Some(one),
                snapshot_time: time,
                arrival: Arrival::default(),
            };
            (StreamKey::Traders, Records::Traders(vec![trader]))
        }
        Kind::Signals => {
            let signal = CoinSignal {
                time,
                coin,
                strategy: "consensus".into(),
                recommendation: Some(Recommendation::Long),
                withheld: None,
                confidence: Some(one),
                long_bias: one,
                short_bias: Decimal::ZERO,
                net_exposure: Some(one),
                traders_long: 1,
                traders_short: 0,
                traders_flat: 0,
                traders_unknown: 0,
                total_weight: one,
                stale_ms: Some(1),
                arrival: Arrival::default(),
            };
            (StreamKey::Signals, Records::Signals(vec![signal]))
        }
    }
}

pub(super) fn market(coin: Coin, time: i64, status: MarketStatus) -> Market {
    Market {
        coin,
        time: TimeMs(time),
        name: coin.as_str().into(),
        market_type: MarketType::Perp,
        dex: None,
        status,
        sz_decimals: None,
        max_leverage: None,
        margin_tiers: None,
        margin_mode: None,
        quote: None,
        settle_fraction: None,
        description: None,
        arrival: Arrival::default(),
    }
}

pub(super) fn context(coin: Coin, time: i64, mark: i64) -> Context {
    Context {
        coin,
        time: TimeMs(time),
        mark_px: mark.into(),
        mid_px: None,
        oracle_px: None,
        prev_day_px: Decimal::ONE,
        funding: None,
        open_interest: None,
        premium: None,
        day_ntl_vlm: Decimal::ONE,
        day_base_vlm: Decimal::ONE,
        impact_bid: None,
        impact_ask: None,
        arrival: Arrival::default(),
    }
}

#[test]
fn every_kind_admits_its_own_records_and_nobody_elses() {
    // Of another dex as well.
    let other = Coin::new("xyz:NVDA").unwrap();
    for kind in Kind::ALL {
        let (stream, own) = record(kind, coin());
        let mut line = line(stream, None);
        line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut Vec::new());
        if stream.has(coin()) && !stream.has(other) {
            let tally = offer(&mut line, 1, Content::Frame(record(kind, other).1));
            assert_eq!((tally.admitted, tally.fenced), (0, 1), "{stream}: another market's");
        }
        let wrong = if kind == Kind::Trades { Kind::Bbo } else { Kind::Trades };
        let tally = offer(&mut line, 1, Content::Frame(record(wrong, coin()).1));
        assert_eq!((tally.admitted, tally.fenced), (0, 1), "{stream}: another kind's");
        let content = match (kind, own.extent()) {
            // What the tracker brings says from when on it is whole.
            (Kind::Positions, Some((from, asked))) => {
                Content::Answer { records: own, from: Some(from), asked: asked + 1 }
            }
            _ => Content::Frame(own),
        };
        let tally = offer(&mut line, 1, content);
        assert_eq!((tally.admitted, tally.fenced), (1, 0), "{stream}");
    }
}

#[test]
fn a_newer_run_replaces_the_candidate_and_an_older_one_is_turned_away() {
    let mut line = line(StreamKey::Trades(coin()), Some(50));
    assert_eq!(offer(&mut line, 1, pushed(&[60, 70])).ringed, 2);
    assert_eq!(offer(&mut line, 2, pushed(&[40, 80])).ringed, 2);
    let tally = offer(&mut line, 1, pushed(&[90, 91, 92]));
    assert_eq!((tally.ringed, tally.fenced), (0, 3), "nobody will promote it any more");
    let mut out = Vec::new();
    let tally = line.handover(Some(ws_grant(1, 2)), &NoWitness, &mut out);
    assert_eq!((tally.admitted, tally.late, line.edge()), (1, 1, Some(TimeMs(80))));
}

#[test]
fn what_comes_under_no_claim_is_counted_as_fenced() {
    let mut line = line(StreamKey::Trades(coin()), Some(50));
    let answer = |times: &[i64]| {
        let Content::Frame(records) = pushed(times) else { unreachable!() };
        Content::Answer { records, from: None, asked: TimeMs(100) }
    };
    let claim = Epoch { token: Token(1), local: 1 };
    let mut out = Vec::new();
    let tally = line.offer(Ticket::Claim(claim), answer(&[40, 60]), &NoWitness, &mut out);
    assert_eq!((tally.fenced, tally.admitted), (2, 0), "nobody owns the stream");
    line.handover(
        Some(Grant { epoch: claim, source: SourceId::Rest, run: None, cause: Cause::Outage }),
        &NoWitness,
        &mut out,
    );
    line.handover(None, &NoWitness, &mut out);
    let tally = line.offer(Ticket::Claim(claim), answer(&[40, 60, 70]), &NoWitness, &mut out);
    assert_eq!((tally.fenced, line.claim(), out), (3, None, vec![]), "it has been withdrawn");
}

#[test]
fn tallies_add_up_count_by_count() {
    let mut sum = Tally { admitted: 1, ringed: 2, fenced: 3, late: 4, known: 5, overflowed: 6 };
    sum += Tally { admitted: 10, ringed: 20, fenced: 30, late: 40, known: 50, overflowed: 60 };
    assert_eq!(sum, Tally { admitted: 11, ringed: 22, fenced: 33, late: 44, known: 55, overflowed: 66 });
}

#[test]
fn states_that_waited_until_they_were_history_are_late() {
    let mut line = line(StreamKey::MIDS, Some(1_000));
    let rest = Epoch { token: Token(1), local: 1 };
    let mut out = Vec::new();
    let grant = Grant { epoch: rest, source: SourceId::Rest, run: None, cause: Cause::Outage };
    line.handover(Some(grant), &NoWitness, &mut out);
    for (time, px) in [(4_000, 1), (8_000, 2), (9_000, 3)] {
        offer(&mut line, 1, Content::Frame(Records::Mids(vec![mid(time, px)])));
    }
    let records = Records::Mids(vec![mid(8_000, 7)]);
    line.offer(
        Ticket::Claim(rest),
        Content::Answer { records, from: None, asked: TimeMs(8_000) },
        &NoWitness,
        &mut out,
    );
    out.clear();
    let tally = line.handover(Some(ws_grant(2, 1)), &NoWitness, &mut out);
    assert_eq!((tally.late, tally.admitted), (2, 1), "older than the stored one, and as old");
    let rows: Vec<_> = out.iter().filter(|c| matches!(c, Change::Rows { .. })).collect();
    let stored = Records::Mids(vec![mid(9_000, 3)]);
    assert!(matches!(rows[..], [Change::Rows { records, .. }] if *records == stored), "{out:?}");
}

#[test]
fn after_a_restart_only_what_is_not_stored_of_markets_is_new() {
    let stored = vec![market(coin(), 10, MarketStatus::Listed)];
    let recent = Recent { markets: stored, ..Recent::default() };
    let start = StreamStart { stream: StreamKey::Markets, edge: Some(TimeMs(10)), ended: None, recent };
    let mut line = Timeline::new(start);
    let epoch = Epoch { token: Token(1), local: 1 };
    let grant = Grant { epoch, source: SourceId::Rest, run: None, cause: Cause::DaemonDown };
    line.handover(Some(grant), &NoWitness, &mut Vec::new());
    let other = Coin::new("ETH").unwrap();
    let poll = |time, status| {
        let records = Records::Markets(vec![market(coin(), time, status), market(other, time, status)]);
        Content::Answer { records, from: None, asked: TimeMs(time) }
    };
    let mut new = Vec::new();
    for (time, status) in [(20, MarketStatus::Listed), (30, MarketStatus::Listed), (40, MarketStatus::Gone)] {
        let mut out = Vec::new();
        line.offer(Ticket::Claim(epoch), poll(time, status), &NoWitness, &mut out);
        let rows = out.into_iter().filter_map(|change| match change {
            Change::Rows { records: Records::Markets(rows), .. } => Some(rows),
            _ => None,
        });
        new.extend(rows.flatten().map(|row| (row.coin, row.time.0, row.status)));
    }
    use MarketStatus::{Gone, Listed};
    assert_eq!(new, [(other, 20, Listed), (coin(), 40, Gone), (other, 40, Gone)]);
}
