//! What the tests of signals share: scenes in few words.

use hl_core::record::{Address, HexBytes};
use hl_core::{Coin, Decimal, TimeMs};

use super::{Held, Known, Position, Row, What};

/// When scenes are looked at.
pub(super) const NOW: TimeMs = TimeMs(1_790_000_000_000);

pub(super) fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(super) fn coin(name: &str) -> Coin {
    Coin::new(name).unwrap()
}

pub(super) fn user(n: u8) -> Address {
    HexBytes([n; 20])
}

/// `5` long, `-5` short, `0` flat, `?` unknown; `5~` in doubt; `5@700` as of 700 ms before now.
fn position(text: &str) -> Position {
    let (text, age) = text.split_once('@').unwrap_or((text, "0"));
    let as_of = NOW - age.parse::<i64>().unwrap();
    match (text, text.strip_suffix('~')) {
        ("?", _) => Position::Unknown,
        (_, Some(size)) => Position::Suspect(Held { size: decimal(size), as_of }),
        (size, None) => Position::Exact(Held { size: decimal(size), as_of }),
    }
}

/// Traders, each a score and a position in BTC, both of which may be missing, and a price.
pub(super) fn scene(traders: &[(&str, &str)], px: Option<&str>) -> Known {
    let (coin, time) = (coin("BTC"), NOW);
    let mut known = Known::default();
    let mut take = |what| known.take(Row { time, what }).unwrap();
    for (n, (score, held)) in (0..).zip(traders) {
        let score = Some(*score).filter(|score| !score.is_empty()).map(decimal);
        take(What::Followed { user: user(n), score });
        if !held.is_empty() {
            take(What::Position { user: user(n), coin, position: position(held) });
        }
    }
    if let Some(px) = px {
        take(What::Price { coin, px: decimal(px) });
    }
    known
}
