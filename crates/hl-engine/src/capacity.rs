//! What fits: sockets first, the most valuable streams first, and the rest into the request weight.

use hl_collectors::ws::plan::{CAPACITY, PER_SLOT, SLOTS};
use hl_core::StreamKey;

/// Weight a minute that polling may plan with, out of the exchange's 1,200 per IP.
pub const POLLED_WEIGHT: u64 = 900;

/// More was asked for than sockets and weight can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{asked} streams do not fit: {sockets} sockets of {PER_SLOT} subscriptions carry {pushed}, and polling the other \
     {polled} even at their slowest would take {weight} weight a minute of {POLLED_WEIGHT}; leave out some coins, or \
     some of --streams",
    sockets = SLOTS
)]
pub struct OverCapacity {
    /// Streams asked for.
    pub asked: usize,
    /// Of these, carried by sockets.
    pub pushed: usize,
    /// The rest.
    pub polled: usize,
    /// What polling the rest would weigh, a minute.
    pub weight: u64,
}

/// Puts streams into the order in which places are given out, and checks that everything fits.
///
/// # Errors
/// With the arithmetic, when it does not.
pub fn plan(streams: &[StreamKey]) -> Result<Vec<StreamKey>, OverCapacity> {
    let mut order = streams.to_vec();
    order.sort_by_key(|stream| (!stream.spec().ws, std::cmp::Reverse(stream.spec().value), *stream));
    order.dedup();
    let pushed = order.iter().filter(|stream| stream.spec().ws).count().min(CAPACITY);
    let rest = &order[pushed..];
    // One shared request polls every stream of such a kind.
    let mut shared = Vec::new();
    let mut micro_weight = 0_u64;
    for stream in rest {
        let spec = stream.spec();
        if spec.poll_shared {
            if shared.contains(&spec.kind) {
                continue;
            }
            shared.push(spec.kind);
        }
        let period = u64::try_from(spec.poll_ms).unwrap_or(u64::MAX).max(1);
        micro_weight += u64::from(spec.poll_weight) * 60_000 * 1_000_000 / period;
    }
    let weight = micro_weight.div_ceil(1_000_000);
    if weight > POLLED_WEIGHT {
        return Err(OverCapacity { asked: order.len(), pushed, polled: rest.len(), weight });
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use hl_core::Coin;

    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_the_arithmetic() {
        let trades = |n: usize| -> Vec<StreamKey> {
            (0..n).map(|i| StreamKey::Trades(Coin::new(&format!("C{i}")).unwrap())).collect()
        };
        assert_eq!(plan(&trades(CAPACITY)).unwrap().len(), CAPACITY);
        assert!(plan(&trades(CAPACITY + 40)).is_ok(), "40 polls of trades a minute weigh 840");
        let refused = plan(&trades(CAPACITY + 50)).unwrap_err();
        assert_eq!((refused.pushed, refused.polled, refused.weight), (CAPACITY, 50, 1_050));
        assert!(refused.to_string().contains("1050 weight a minute of 900"), "{refused}");
    }

    #[test]
    fn the_most_valuable_streams_get_the_sockets() {
        let coin = Coin::new("BTC").unwrap();
        let order = plan(&[StreamKey::Context(coin), StreamKey::Mids, StreamKey::Trades(coin)]).unwrap();
        assert_eq!(order, [StreamKey::Trades(coin), StreamKey::Mids, StreamKey::Context(coin)]);
    }
}
