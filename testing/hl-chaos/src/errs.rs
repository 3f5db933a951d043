//! What an exchange says wrong in a storm: pure, from a seed.

use fastrand::Rng;
use hl_core::{Kind, StreamKey};
use hl_sim::{AnswerFault, Fault, FaultKind, Part, Way};
use serde_json::{Value, json};

/// What was held up has arrived so long after it could, ms.
pub(crate) const ARRIVED_MS: i64 = 10_000;

/// One thing that the exchange says wrong, and whether its sockets die with it.
/// `bars_show`: bars stand beside the trades, and show what those lack.
pub(crate) fn draw(rng: &mut Rng, streams: &[StreamKey], bars_show: bool) -> (Fault, bool) {
    let stream = rng.choice(streams.iter().copied());
    let some = rng.bool().then_some(stream).flatten();
    let for_ms = rng.u64(2_000..60_000);
    let lasting = |kind| Fault::lasting(kind, for_ms);
    let fault = match rng.u8(..16) {
        0 => lasting(FaultKind::Answer(AnswerFault {
            request: Some("recentTrades".into()),
            part: Some(part(rng)),
            ..AnswerFault::default()
        })),
        1 => lasting(FaultKind::Answer(AnswerFault {
            request: Some("candleSnapshot".into()),
            part: Some(part(rng)),
            ..AnswerFault::default()
        })),
        2 => lasting(FaultKind::Answer(AnswerFault {
            request: rng.choice(["recentTrades", "candleSnapshot", "l2Book"]).map(Into::into),
            behind_ms: Some(rng.u64(500..90_000)),
            ..AnswerFault::default()
        })),
        3 => lasting(FaultKind::Answer(AnswerFault {
            request: Some("exchangeStatus".into()),
            frozen: rng.bool(),
            behind_ms: Some(rng.u64(1_000..60_000)),
            ..AnswerFault::default()
        })),
        4 => lasting(metadata(rng, stream)),
        5 => lasting(FaultKind::StaleReplay { stream: None, behind_ms: rng.u64(500..20_000) }),
        6 => Fault::times(stamped_ahead(rng, some), rng.u64(1..4)),
        // Blocks come every 70 ms: hardly any time is that of two blocks.
        7 => {
            let blocks = rng.i64(10..1_200);
            Fault::new(FaultKind::Clock { by_ms: -(blocks * 70 + 1 + blocks % 69) })
        }
        8 => match stream.and_then(|stream| unreadable(rng, stream)) {
            Some(kind) if rng.bool() => Fault::times(kind, rng.u64(1..6)),
            Some(kind) => lasting(kind),
            None => lasting(FaultKind::NoAck),
        },
        9 => lasting(FaultKind::Exponent {
            stream: some,
            field: rng.choice(["sz", "px", "v", "c"]).unwrap_or("sz").into(),
        }),
        10 => lasting(FaultKind::SameTid { stream: None }),
        11 if bars_show => Fault::lasting(bars(rng), for_ms * 5),
        12 => lasting(match rng.u8(..3) {
            0 => FaultKind::NoPong,
            1 => FaultKind::NoAck,
            _ => FaultKind::Late { by_ms: rng.u64(500..9_000) },
        }),
        13 => match stream.and_then(StreamKey::coin) {
            Some(coin) => Fault::lasting(FaultKind::Unlist { coin }, for_ms * 4),
            None => Fault::new(FaultKind::Expire),
        },
        14 => lasting(FaultKind::Halt),
        _ => Fault::lasting(FaultKind::Drop, rng.u64(1_000..12_000)),
    };
    (fault, rng.bool())
}

/// How long before and after a fault, ms, what bears no time of its own cannot be compared: frames are late, answers old, or
/// one time means two moments. `None`: it can.
pub(crate) fn unsure_ms(fault: &Fault) -> Option<(i64, i64)> {
    let (before, after) = match &fault.kind {
        FaultKind::Clock { by_ms } => (by_ms.abs() + ARRIVED_MS, by_ms.abs()),
        FaultKind::Late { by_ms } => (0, by_ms.cast_signed()),
        FaultKind::Answer(AnswerFault { behind_ms: Some(by_ms), .. }) => (by_ms.cast_signed(), 0),
        FaultKind::Stamp { .. } | FaultKind::Halt => (0, 0),
        _ => return None,
    };
    Some((before, after + fault.for_ms.unwrap_or(0).cast_signed() + ARRIVED_MS))
}

fn part(rng: &mut Rng) -> Part {
    match rng.u8(..4) {
        0 => Part::Newest(0),
        1 => Part::Newest(rng.usize(1..4)),
        2 => Part::WithoutNewest(rng.usize(1..6)),
        _ => Part::Oldest(rng.usize(1..6)),
    }
}

fn metadata(rng: &mut Rng, stream: Option<StreamKey>) -> FaultKind {
    let request = rng.choice(["meta", "perpDexs", "spotMeta"]).map(Into::into);
    let coin = stream.and_then(StreamKey::coin).filter(|_| rng.bool());
    FaultKind::Answer(match coin {
        Some(coin) => AnswerFault { without: Some(coin.to_string()), ..AnswerFault::default() },
        None => AnswerFault { request, status: Some(500), ..AnswerFault::default() },
    })
}

/// Far enough ahead that the checks can see it.
fn stamped_ahead(rng: &mut Rng, stream: Option<StreamKey>) -> FaultKind {
    let rows = rng.bool().then_some(1);
    FaultKind::Stamp { stream, by_ms: rng.i64(90_000..7_200_000), rows, on: None }
}

/// A field of a stream that cannot be read.
fn unreadable(rng: &mut Rng, stream: StreamKey) -> Option<FaultKind> {
    let field = match stream.kind() {
        Kind::Trades => rng.choice(["sz", "px", "time"])?.to_owned(),
        Kind::Candle => rng.choice(["v", "c", "n"])?.to_owned(),
        Kind::Book | Kind::BookFast | Kind::Book5 | Kind::Book4 | Kind::Book3 => "levels".to_owned(),
        Kind::Bbo => "bbo".to_owned(),
        Kind::Context => "markPx".to_owned(),
        Kind::Mids => "SOL".to_owned(),
        Kind::Funding
        | Kind::PredictedFunding
        | Kind::Markets
        | Kind::Leaderboard
        | Kind::Traders
        | Kind::Signals
        | Kind::Fills
        | Kind::Positions
        | Kind::Orders
        | Kind::Payments
        | Kind::Movements => {
            return None;
        }
    };
    let value = rng.choice([Value::Null, json!(""), json!("NaN"), json!("much")])?;
    Some(FaultKind::Value { stream: Some(stream), field, value, one_in: None, on: None })
}

fn bars(rng: &mut Rng) -> FaultKind {
    let on = rng.bool().then_some(Way::Rest);
    let (factor, more) = if rng.bool() { (2, 0) } else { (1, rng.u64(1..4)) };
    FaultKind::Bars { coin: None, factor, more, on }
}
