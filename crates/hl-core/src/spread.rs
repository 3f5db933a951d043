//! Which member of a cluster collects which stream: rendezvous hashing, inside what each address may ask of the exchange.
//!
//! Every member computes the same answer from the same notes, so nobody has to give orders. Who comes or goes moves only
//! what comes to it or was with it, as long as no address is full.
//!
//! What does not live here: telling the others, and moving a stream from one member to another (the engine); who really
//! holds a stream is said by the leases of the store alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::seam::Seed;
use crate::{Dex, Kind, StreamKey, Token};

/// The greatest weight of a member.
pub const MAX_WEIGHT: u8 = 100;
/// Request weight is reckoned in millionths, so that seldom polls add up.
pub const MICRO: u64 = 1_000_000;

/// What a member tells the others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Names the machine. A member that has started anew has the same name.
    pub name: String,
    /// The network and local address whose limits it lives under; members of one address share them.
    pub address: String,
    /// Its share in relation to the others', 1 to [`MAX_WEIGHT`].
    pub weight: u8,
    /// Whether it can collect now. One that cannot is given streams only where nobody can.
    pub able: bool,
    /// Whether it is about to go. It is given nothing while others stay.
    pub leaving: bool,
    /// What it is configured to collect.
    pub wants: BTreeSet<StreamKey>,
    /// Those of them that are to have a warm standby, and so take two subscriptions.
    pub doubled: BTreeSet<StreamKey>,
    /// Streams that another holds and that it could go on with at once.
    pub ready: BTreeSet<StreamKey>,
}

impl Member {
    /// The name of the note: of each member under `<NAME>/<token>`.
    pub const NAME: &'static str = "member";

    /// Whether it is given the same as another that stands in its place.
    fn is_drawn_as(&self, other: &Self) -> bool {
        // What it could go on with at once is asked when a stream moves, not when it is drawn.
        let Self { name, address, weight, able, leaving, wants, doubled, ready: _ } = self;
        (name, address, weight) == (&other.name, &other.address, &other.weight)
            && (able, leaving) == (&other.able, &other.leaving)
            && (wants, doubled) == (&other.wants, &other.doubled)
    }
}

/// What one address may ask of the exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Subscriptions.
    pub subscriptions: usize,
    /// Request weight for polling, a minute.
    pub weight: u64,
}

/// Request weight that polling takes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PolledWeight {
    shared: BTreeSet<(Kind, Dex)>,
    micro: u64,
}

impl PolledWeight {
    /// Polls one more stream. One request serves all streams of a shared kind and of a dex.
    pub fn add(&mut self, stream: StreamKey) {
        self.micro = self.with(stream);
        if stream.spec().poll_shared {
            self.shared.insert((stream.kind(), stream.owner().dex()));
        }
    }

    /// Weight a minute, in millionths, with one more stream.
    fn with(&self, stream: StreamKey) -> u64 {
        let spec = stream.spec();
        if self.shared.contains(&(spec.kind, stream.owner().dex())) {
            return self.micro;
        }
        let period = u64::try_from(spec.poll_ms).unwrap_or(u64::MAX).max(1);
        self.micro + u64::from(spec.poll_weight) * 60_000 * MICRO / period
    }

    /// Weight a minute, rounded up.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.micro.div_ceil(MICRO)
    }
}

/// What an address has given out.
#[derive(Default)]
struct Used {
    subscriptions: usize,
    polled: PolledWeight,
}

impl Used {
    /// Takes a subscription, or two, where there are so many left.
    fn subscribe(&mut self, stream: StreamKey, doubled: bool, limits: Limits) -> bool {
        let after = self.subscriptions + 1 + usize::from(doubled);
        let fits = stream.spec().ws && after <= limits.subscriptions;
        if fits {
            self.subscriptions = after;
        }
        fits
    }

    fn poll(&mut self, stream: StreamKey, limits: Limits) -> bool {
        let fits = self.polled.with(stream) <= limits.weight * MICRO;
        if fits {
            self.polled.add(stream);
        }
        fits
    }
}

/// To whom a stream is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Given {
    /// The member.
    pub to: Token,
    /// Whether it has room for it on its sockets; otherwise it polls it.
    pub pushed: bool,
}

/// Gives every stream that somebody wants to one of those who do: the most valuable first, to whom the draw puts first
/// and whose address has room. What no socket has room for is polled; what nobody has room for is missing in the answer.
#[must_use]
pub fn spread(members: &BTreeMap<Token, Member>, limits: Limits) -> BTreeMap<StreamKey, Given> {
    let names = identities(members);
    let mut streams: Vec<StreamKey> =
        members.values().flat_map(|member| member.wants.iter().copied()).collect();
    streams.sort_by_key(|stream| (!stream.spec().ws, std::cmp::Reverse(stream.spec().value), *stream));
    streams.dedup();
    let mut used: BTreeMap<&str, Used> = BTreeMap::new();
    let mut given = BTreeMap::new();
    for stream in streams {
        let drawn = draw(members, &names, stream);
        let mut take = |fits: &dyn Fn(&mut Used, &Member) -> bool| {
            let taker =
                drawn.iter().find(|(_, member)| fits(used.entry(&member.address).or_default(), member));
            taker.map(|(token, _)| *token)
        };
        let pushed = take(&|used, member| used.subscribe(stream, member.doubled.contains(&stream), limits));
        let to = pushed.or_else(|| take(&|used, _| used.poll(stream, limits)));
        if let Some(to) = to {
            given.insert(stream, Given { to, pushed: pushed.is_some() });
        }
    }
    given
}

/// The last answer of [`spread`], kept for as long as nothing that it depends on changes.
#[derive(Debug, Default)]
pub struct Drawn {
    of: BTreeMap<Token, Member>,
    given: Arc<BTreeMap<StreamKey, Given>>,
}

impl Drawn {
    /// What [`spread`] answers.
    pub fn given(
        &mut self,
        members: &BTreeMap<Token, Member>,
        limits: Limits,
    ) -> Arc<BTreeMap<StreamKey, Given>> {
        let same = self.of.len() == members.len()
            && self.of.iter().zip(members).all(|(of, now)| of.0 == now.0 && of.1.is_drawn_as(now.1));
        if !same {
            self.given = Arc::new(spread(members, limits));
            self.of.clone_from(members);
        }
        self.given.clone()
    }
}

/// What each member is drawn by: its name and address, and its place among those that share them, so that one that has
/// started anew draws what it drew before.
fn identities(members: &BTreeMap<Token, Member>) -> BTreeMap<Token, Seed> {
    let mut before: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    members
        .iter()
        .map(|(token, member)| {
            let place = before.entry((&member.name, &member.address)).or_default();
            *place += 1;
            (*token, Seed(*place).derive(&member.name).derive(&member.address))
        })
        .collect()
}

/// Those who want the stream, the first choice first: who can collect and stays, then by the highest of as many draws as
/// its weight.
fn draw<'a>(
    members: &'a BTreeMap<Token, Member>,
    names: &BTreeMap<Token, Seed>,
    stream: StreamKey,
) -> Vec<(Token, &'a Member)> {
    let name = stream.to_string();
    let mut drawn: Vec<_> = members
        .iter()
        .filter(|(_, member)| member.wants.contains(&stream))
        .map(|(token, member)| {
            let identity = names.get(token).map_or(0, |seed| seed.0);
            let draws = (0..member.weight.clamp(1, MAX_WEIGHT))
                .map(|n| Seed(identity ^ u64::from(n)).derive(&name).0);
            let merit = (!member.leaving, member.able, draws.max());
            (std::cmp::Reverse(merit), *token, member)
        })
        .collect();
    drawn.sort_by_key(|(merit, token, _)| (*merit, *token));
    drawn.into_iter().map(|(_, token, member)| (token, member)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Coin;

    const ROOM: Limits = Limits { subscriptions: 900, weight: 900 };

    fn trades(n: usize) -> BTreeSet<StreamKey> {
        (0..n).map(|i| StreamKey::Trades(Coin::new(&format!("C{i}")).unwrap())).collect()
    }

    fn member(name: &str, wants: &BTreeSet<StreamKey>) -> Member {
        Member {
            name: name.to_owned(),
            address: format!("mainnet from {name}"),
            weight: 1,
            able: true,
            leaving: false,
            wants: wants.clone(),
            doubled: BTreeSet::new(),
            ready: BTreeSet::new(),
        }
    }

    fn cluster(n: u32, wants: &BTreeSet<StreamKey>) -> BTreeMap<Token, Member> {
        (1..=n).map(|i| (Token(i), member(&format!("host {i}"), wants))).collect()
    }

    fn count(given: &BTreeMap<StreamKey, Given>, token: u32) -> usize {
        given.values().filter(|given| given.to.0 == token).count()
    }

    #[test]
    fn ten_addresses_of_ten_places_carry_a_hundred_streams_ten_each() {
        let limits = Limits { subscriptions: 10, weight: 0 };
        let given = spread(&cluster(10, &trades(100)), limits);
        assert_eq!(given.len(), 100);
        assert!((1..=10).all(|token| count(&given, token) == 10));
        assert_eq!(spread(&cluster(10, &trades(101)), limits).len(), 100, "one more finds no room");
    }

    #[test]
    fn members_of_one_address_share_its_room() {
        let mut members = cluster(2, &trades(30));
        for member in members.values_mut() {
            member.address = "mainnet".to_owned();
        }
        let given = spread(&members, Limits { subscriptions: 20, weight: 0 });
        assert_eq!(given.len(), 20);
        assert!(count(&given, 1) > 0 && count(&given, 2) > 0);
    }

    #[test]
    fn a_standby_takes_two_places_and_the_rest_is_polled() {
        let wants = trades(3);
        let mut members = cluster(1, &wants);
        members.get_mut(&Token(1)).unwrap().doubled = trades(1);
        let polls = |weight| {
            let given = spread(&members, Limits { subscriptions: 3, weight });
            let pushed = given.values().filter(|given| given.pushed).count();
            assert_eq!(pushed, 2, "a pair, and one more");
            given.len()
        };
        let mut polled = PolledWeight::default();
        polled.add(*trades(1).first().unwrap());
        assert_eq!((polls(0), polls(polled.weight() - 1), polls(polled.weight())), (2, 2, 3));
    }

    #[test]
    fn one_request_polls_every_stream_of_a_shared_kind_and_of_a_dex() {
        let weight = |names: &[&str]| {
            let mut polled = PolledWeight::default();
            names.iter().for_each(|name| polled.add(name.parse().unwrap()));
            polled.weight()
        };
        // Every minute at 20; mids twice a minute at 2.
        assert_eq!(weight(&["context/BTC", "context/ETH", "context/@107"]), 20);
        assert_eq!(weight(&["context/BTC", "context/xyz:NVDA", "context/xyz:TSLA"]), 40);
        assert_eq!(weight(&["mids"]), 4);
        assert_eq!(weight(&["mids", "mids/xyz", "mids/abc"]), 12);
    }

    #[test]
    fn a_weight_is_a_share() {
        let mut members = cluster(2, &trades(800));
        members.get_mut(&Token(2)).unwrap().weight = 3;
        let given = spread(&members, ROOM);
        let heavy = count(&given, 2);
        assert!((560..=640).contains(&heavy), "three in four of 800, give or take: {heavy}");
    }

    #[test]
    fn who_cannot_collect_or_is_leaving_gets_nothing_while_another_can() {
        let mut members = cluster(3, &trades(50));
        members.get_mut(&Token(1)).unwrap().able = false;
        members.get_mut(&Token(2)).unwrap().leaving = true;
        assert_eq!(count(&spread(&members, ROOM), 3), 50);
        members.get_mut(&Token(3)).unwrap().leaving = true;
        assert_eq!(count(&spread(&members, ROOM), 1), 50, "the blind one stays");
        members.remove(&Token(1));
        assert_eq!(spread(&members, ROOM).len(), 50, "the last to go keeps them until it is gone");
    }

    #[test]
    fn a_member_that_started_anew_draws_what_it_drew_before() {
        let wants = trades(200);
        let before = spread(&cluster(3, &wants), ROOM);
        let mut members = cluster(3, &wants);
        let again = members.remove(&Token(2)).unwrap();
        members.insert(Token(9), again);
        let after = spread(&members, ROOM);
        let same = |stream: &StreamKey| match before[stream].to {
            Token(2) => after[stream].to == Token(9),
            token => after[stream].to == token,
        };
        assert!(wants.iter().all(same));
    }

    #[test]
    fn two_of_one_name_both_get_some() {
        let mut members = cluster(2, &trades(100));
        for member in members.values_mut() {
            member.name = "one host".to_owned();
        }
        let given = spread(&members, ROOM);
        assert!(count(&given, 1) > 25 && count(&given, 2) > 25, "{given:?}");
    }

    #[test]
    fn the_draw_is_made_anew_only_where_something_changed() {
        let mut members = cluster(3, &trades(50));
        let mut drawn = Drawn::default();
        let first = drawn.given(&members, ROOM);
        assert_eq!(*first, spread(&members, ROOM));
        members.get_mut(&Token(2)).unwrap().ready = trades(10);
        assert!(Arc::ptr_eq(&first, &drawn.given(&members, ROOM)), "who is ready changes nothing");
        let changes: [fn(&mut Member); 7] = [
            |member| member.name.push('x'),
            |member| member.address.push('x'),
            |member| member.weight = 5,
            |member| member.able = false,
            |member| member.leaving = true,
            |member| member.wants = trades(20),
            |member| member.doubled = trades(3),
        ];
        for change in changes {
            let before = drawn.given(&members, ROOM);
            change(members.get_mut(&Token(1)).unwrap());
            let after = drawn.given(&members, ROOM);
            assert!(!Arc::ptr_eq(&before, &after));
            assert_eq!(*after, spread(&members, ROOM));
        }
        let gone = members.remove(&Token(1)).unwrap();
        assert_eq!(*drawn.given(&members, ROOM), spread(&members, ROOM));
        members.insert(Token(9), gone);
        assert_eq!(*drawn.given(&members, ROOM), spread(&members, ROOM));
    }

    proptest! {
        #[test]
        fn who_comes_takes_and_moves_nothing_else(n in 1_u32..8, streams in 1_usize..200, weight in 1_u8..5) {
            let wants = trades(streams);
            let mut members = cluster(n + 1, &wants);
            members.get_mut(&Token(n + 1)).unwrap().weight = weight;
            let with = spread(&members, ROOM);
            members.remove(&Token(n + 1));
            let without = spread(&members, ROOM);
            for stream in &wants {
                prop_assert!(with[stream].to == Token(n + 1) || with[stream] == without[stream]);
            }
        }

        #[test]
        fn every_stream_goes_to_one_who_wants_it(wants in prop::collection::vec(0_usize..60, 1..6)) {
            let members: BTreeMap<_, _> = (1..)
                .zip(&wants)
                .map(|(i, n)| (Token(i), member(&format!("host {i}"), &trades(*n))))
                .collect();
            let given = spread(&members, ROOM);
            prop_assert_eq!(given.len(), wants.iter().copied().max().unwrap_or(0));
            prop_assert!(given.iter().all(|(stream, given)| members[&given.to].wants.contains(stream)));
        }
    }
}
