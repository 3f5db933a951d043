//! What fits: sockets first, the most valuable streams first and their standbys with them, and the rest into the request
//! weight.

use std::collections::BTreeSet;

use hl_collectors::ws::plan::{PER_SLOT, Plan, SLOTS};
use hl_core::limits::POLLED_WEIGHT;
use hl_core::selector::Places;
use hl_core::spread::PolledWeight;
use hl_core::{Coin, StreamKey};

/// More was asked for than sockets and weight can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverCapacity {
    /// Too many streams.
    #[error(
        "{asked} streams do not fit: {sockets} sockets of {PER_SLOT} subscriptions carry {pushed}{beside}, and polling \
         the other {polled} even at their slowest would take {weight} weight a minute of {POLLED_WEIGHT}; leave out \
         some coins, or some of --streams",
        sockets = SLOTS,
        beside = match .standbys { 0 => String::new(), n => format!(" beside {n} standbys") }
    )]
    Streams {
        /// Streams asked for.
        asked: usize,
        /// Of these, carried by sockets.
        pushed: usize,
        /// Second subscriptions on the sockets.
        standbys: usize,
        /// The rest.
        polled: usize,
        /// What polling the rest would weigh, a minute.
        weight: u64,
    },
    /// Too many standbys.
    #[error(
        "{asked} coins cannot have a standby: {sockets} sockets of {PER_SLOT} subscriptions, never two of one coin on \
         one socket, have room for {placed}; leave out some of --standby",
        sockets = SLOTS
    )]
    Standbys {
        /// Coins that were to have one.
        asked: usize,
        /// Of these, those that there is room for.
        placed: usize,
    },
}

/// Whether a stream is to have a warm standby: the trades of the coins named.
pub(crate) fn has_standby(stream: StreamKey, standby: &BTreeSet<Coin>) -> bool {
    matches!(stream, StreamKey::Trades(coin) if standby.contains(&coin))
}

/// Puts streams into the order in which places are given out.
pub(crate) fn order(streams: &[StreamKey], standby: &BTreeSet<Coin>) -> Vec<StreamKey> {
    let mut order = streams.to_vec();
    // Pairs of places before single ones: what is left over may be one socket's, which no pair fits on.
    order.sort_by_key(|stream| {
        let spec = stream.spec();
        (!spec.ws, std::cmp::Reverse(spec.value), !has_standby(*stream, standby), *stream)
    });
    order.dedup();
    order
}

/// Puts streams into the order in which places are given out, and checks that everything fits.
///
/// # Errors
/// With the arithmetic, when it does not.
pub fn plan(streams: &[StreamKey], standby: &BTreeSet<Coin>) -> Result<Vec<StreamKey>, OverCapacity> {
    let order = order(streams, standby);
    let mut places = Plan::new();
    let (mut rest, mut standbys, mut wanted) = (Vec::new(), 0, 0);
    for &stream in &order {
        let doubled = has_standby(stream, standby);
        wanted += usize::from(doubled);
        let placed = match stream.spec().ws {
            true => places.place(stream, doubled),
            false => Places::None,
        };
        match placed {
            Places::None => rest.push(stream),
            Places::One => {}
            Places::Two => standbys += 1,
        }
    }
    if standbys < wanted {
        return Err(OverCapacity::Standbys { asked: wanted, placed: standbys });
    }
    let mut polls = PolledWeight::default();
    for stream in &rest {
        polls.add(*stream);
    }
    let weight = polls.weight();
    if weight > POLLED_WEIGHT {
        let (asked, polled) = (order.len(), rest.len());
        return Err(OverCapacity::Streams { asked, pushed: asked - polled, standbys, polled, weight });
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use hl_collectors::ws::plan::CAPACITY;

    use super::*;

    fn coin(i: usize) -> Coin {
        Coin::new(&format!("C{i}")).unwrap()
    }

    fn trades(n: usize) -> Vec<StreamKey> {
        (0..n).map(|i| StreamKey::Trades(coin(i))).collect()
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_arithmetic() {
        let plan = |n| plan(&trades(n), &BTreeSet::new());
        assert_eq!(plan(CAPACITY).unwrap().len(), CAPACITY);
        assert!(plan(CAPACITY + 40).is_ok(), "40 polls of trades a minute weigh 840");
        let refused = plan(CAPACITY + 50).unwrap_err();
        let (asked, pushed) = (CAPACITY + 50, CAPACITY);
        assert_eq!(refused, OverCapacity::Streams { asked, pushed, standbys: 0, polled: 50, weight: 1_050 });
        assert!(refused.to_string().contains("1050 weight a minute of 900"), "{refused}");
    }

    #[test]
    fn a_standby_takes_a_subscription_from_what_is_worth_less() {
        let standby: BTreeSet<_> = (0..60).map(coin).collect();
        assert!(plan(&trades(CAPACITY - 60), &standby).is_ok());
        let refused = plan(&trades(CAPACITY - 10), &standby).unwrap_err();
        let (asked, pushed) = (CAPACITY - 10, CAPACITY - 60);
        assert_eq!(refused, OverCapacity::Streams { asked, pushed, standbys: 60, polled: 50, weight: 1_050 });
        assert!(refused.to_string().contains("carry 840 beside 60 standbys, and"), "{refused}");
    }

    #[test]
    fn standbys_that_find_no_second_socket_are_refused() {
        let standby = |n| (0..n).map(coin).collect();
        assert!(plan(&trades(400), &standby(400)).is_ok());
        let refused = plan(&trades(420), &standby(420)).unwrap_err();
        assert_eq!(refused, OverCapacity::Standbys { asked: 420, placed: 400 });
    }

    #[test]
    fn the_most_valuable_streams_get_the_sockets() {
        let coin = coin(0);
        let (trades, context) = (StreamKey::Trades(coin), StreamKey::Context(coin));
        // What no socket carries comes last, whatever it is worth.
        let funding = StreamKey::Funding(coin);
        let order = plan(&[funding, context, StreamKey::MIDS, trades], &BTreeSet::new()).unwrap();
        assert_eq!(order, [trades, StreamKey::MIDS, context, funding]);
    }

    #[test]
    fn mids_take_a_subscription_a_dex_and_a_request_a_dex_where_none_is_left() {
        let mids = |n: usize| (0..n).map(|i| format!("mids/d{i}").parse().unwrap()).collect::<Vec<_>>();
        let plan = |streams: &[StreamKey]| plan(streams, &BTreeSet::new());
        let streams = [mids(9), trades(CAPACITY - 9), vec![StreamKey::Funding(coin(0))]].concat();
        assert_eq!(plan(&streams).unwrap().len(), CAPACITY + 1, "each has a place");
        // Polled twice a minute at a weight of 2: 225 of them are 900, and one more is too many.
        let full = trades(CAPACITY);
        assert!(plan(&[mids(225), full.clone()].concat()).is_ok());
        let Err(OverCapacity::Streams { weight, polled, .. }) = plan(&[mids(226), full].concat()) else {
            panic!("904 a minute")
        };
        assert_eq!((weight, polled), (904, 226));
    }

    #[test]
    fn pairs_are_placed_before_single_streams() {
        let standby: BTreeSet<_> = (120..510).map(coin).collect();
        let order = plan(&trades(510), &standby).unwrap();
        assert_eq!(order.len(), 510, "390 pairs and 120 others fill every socket");
    }

    #[test]
    fn polling_may_take_all_of_its_weight_and_no_more() {
        let settlements = |n| (0..n).map(|i| StreamKey::Funding(coin(i))).collect::<Vec<_>>();
        let plan = |n| plan(&settlements(n), &BTreeSet::new());
        assert!(plan(2_571).is_ok(), "at 21 an hour each: 899.85 a minute");
        let Err(OverCapacity::Streams { weight, polled, .. }) = plan(2_572) else { panic!("900.2 a minute") };
        assert_eq!((weight, polled), (POLLED_WEIGHT + 1, 2_572));
    }
}
