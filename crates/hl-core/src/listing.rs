//! What became of each market: the lists of the exchange, one poll after another, as states of every market.
//!
//! The exchange says what is listed, and leaves out the rest without a word: outcomes that have settled, names that were
//! taken away. So each list is held against what was known of every market before. What two whole lists lack, one after the
//! other, is gone; one answer may be short for a moment. Of an outcome that is absent the exchange is asked how it settled.
//!
//! Pure: what is asked, and when, is up to the source; what of all this is new, and is stored, is up to the time line.

use std::collections::{BTreeMap, BTreeSet};

use crate::decode::{Read, Unread};
use crate::message::info::market::SettledOutcome;
use crate::message::info::meta::{MarginTier, Meta, Outcome, OutcomeMeta, OutcomeSide, PerpAsset, SpotMeta};
use crate::record::{Market, MarketStatus, MarketType};
use crate::row::Arrival;
use crate::row::fields::decimal_text;
use crate::{Coin, Decimal, TimeMs};

/// So many whole lists, one after the other, must lack a market before it is gone.
const ANSWERS: u32 = 2;
/// So many outcomes are asked for after one poll.
pub const ASKED_AT_ONCE: usize = 10;
/// So many polls ask how an outcome settled before the exchange is taken not to say it.
const ASKED_AT_MOST: u32 = 24;
/// The margin that a perpetual has where the exchange says nothing of it …
const CROSS: &str = "cross";
/// … and where it says only that the margin is isolated.
const ISOLATED: &str = "isolated";

/// The lists of one poll, each with its time: the exchange's at receipt, as estimated.
#[derive(Clone, PartialEq, Debug)]
pub struct Lists {
    /// `spotMeta`.
    pub spot: (Read<SpotMeta>, TimeMs),
    /// `allPerpMetas`.
    pub perpetuals: (Read<Vec<Option<Meta>>>, TimeMs),
    /// `outcomeMeta`.
    pub outcomes: (Read<OutcomeMeta>, TimeMs),
}

/// A market that was known and that the last list lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Absence {
    /// Whole lists that lacked it, one after another.
    answers: u32,
    /// How often the exchange was asked how it settled.
    asked: u32,
}

/// What is known of every market.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Listing {
    known: BTreeMap<Coin, Market>,
    absent: BTreeMap<Coin, Absence>,
    /// The markets of which the last lists say something.
    seen: BTreeSet<Coin>,
}

impl Listing {
    /// As a store has it: the last row of each market.
    #[must_use]
    pub fn stored(latest: &[Market]) -> Self {
        let known = latest.iter().map(|market| (market.coin, market.clone())).collect();
        Self { known, ..Self::default() }
    }

    /// Takes in the lists of a poll. Returns the outcomes of which the exchange should be asked how they settled, at most
    /// [`ASKED_AT_ONCE`]; what it says goes to [`Listing::settle`].
    pub fn look(&mut self, lists: &Lists) -> Vec<u64> {
        self.seen.clear();
        for part in [self.spot(lists), self.perpetuals(lists), self.outcomes(lists)] {
            let listed: BTreeSet<Coin> = part.listed.iter().map(|market| market.coin).collect();
            let is_absent = |market: &Market| {
                let is_there = listed.contains(&market.coin) || part.unread.coins.contains(&market.coin);
                market.market_type == part.of && !is_there
            };
            for market in self.known.values_mut().filter(|market| part.is_whole && is_absent(market)) {
                market.time = part.at;
                self.seen.insert(market.coin);
                if market.status == MarketStatus::Settled {
                    continue;
                }
                let absence = self.absent.entry(market.coin).or_default();
                absence.answers = absence.answers.saturating_add(1);
                if absence.answers >= ANSWERS {
                    market.status = MarketStatus::Gone;
                }
            }
            for market in part.listed {
                self.absent.remove(&market.coin);
                self.seen.insert(market.coin);
                self.known.insert(market.coin, market);
            }
        }
        let mut unsaid: Vec<_> =
            self.absent.iter().filter_map(|(c, a)| Some((a.asked, c.outcome()?.0))).collect();
        unsaid.sort_unstable();
        unsaid.dedup_by_key(|(_, outcome)| *outcome);
        let asked: Vec<_> =
            unsaid.into_iter().filter(|(asked, _)| *asked < ASKED_AT_MOST).map(|(_, it)| it).collect();
        let asked: Vec<_> = asked.into_iter().take(ASKED_AT_ONCE).collect();
        for (coin, absence) in &mut self.absent {
            let is_asked = coin.outcome().is_some_and(|(outcome, _)| asked.contains(&outcome));
            absence.asked += u32::from(is_asked);
        }
        asked
    }

    /// Takes in how an absent outcome settled. Its first side is paid the fraction, the second one what is left of 1.
    pub fn settle(&mut self, said: &SettledOutcome) {
        let fraction = said.settle_fraction;
        if !(Decimal::ZERO..=Decimal::ONE).contains(&fraction) {
            return;
        }
        for (of_side, paid) in [fraction, Decimal::ONE - fraction].into_iter().enumerate() {
            let coin = said.spec.coins().nth(of_side).filter(|coin| self.absent.contains_key(coin));
            if let Some((coin, market)) = coin.and_then(|coin| Some((coin, self.known.get_mut(&coin)?))) {
                market.status = MarketStatus::Settled;
                market.settle_fraction = Some(paid);
                self.absent.remove(&coin);
            }
        }
    }

    /// What holds of every market of which the last lists say something, be it that they lack it, at the times of those lists
    /// and in their order. All of it each time: what was turned away on its way to the store comes again.
    #[must_use]
    pub fn states(&self) -> Vec<Market> {
        let seen = self.seen.iter().filter_map(|coin| self.known.get(coin));
        let mut states: Vec<_> = seen.cloned().collect();
        states.sort_by_key(|market| market.time);
        states
    }

    /// Whether the next lists are to tell if a market is gone.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.absent.values().any(|absence| absence.answers < ANSWERS)
    }

    fn spot<'a>(&self, lists: &'a Lists) -> Part<'a> {
        let (Read { value: meta, unread }, at) = &lists.spot;
        let token = |index: u32| meta.tokens.iter().find(|token| token.index == index);
        let listed = meta.universe.iter().filter_map(|pair| {
            let [base, quote] = pair.tokens.map(token);
            let market = Market {
                // Of a token that cannot be read nothing is known anew.
                name: format!("{}/{}", base?.name, quote?.name).into(),
                sz_decimals: Some(base?.sz_decimals),
                quote: Some(quote?.name.as_str().into()),
                description: base?.full_name.as_deref().map(Into::into),
                ..blank(pair.name, MarketType::Spot, *at)
            };
            Some(market)
        });
        let listed: Vec<_> = listed.collect();
        // No exchange means that it has none.
        let is_whole = !meta.universe.is_empty() && listed.len() == meta.universe.len() && unread.others == 0;
        Part { of: MarketType::Spot, at: *at, is_whole, unread, listed }
    }

    fn perpetuals<'a>(&self, lists: &'a Lists) -> Part<'a> {
        let (Read { value: metas, unread }, at) = &lists.perpetuals;
        let tokens = &lists.spot.0.value.tokens;
        let is_whole = unread.others == 0 && metas.iter().all(Option::is_some);
        let mut listed = Vec::new();
        for meta in metas.iter().flatten() {
            let token = tokens.iter().find(|token| Some(token.index) == meta.collateral_token);
            for asset in &meta.universe {
                let before = self.known.get(&asset.name);
                // What this answer does not show whole is as it was.
                let tiers = tiers(meta, asset).or_else(|| before?.margin_tiers.clone().filter(|_| !is_whole));
                let quote = token.map(|token| token.name.as_str().into()).or_else(|| before?.quote.clone());
                listed.push(Market {
                    dex: asset.name.dex().map(Into::into),
                    status: if asset.is_live() { MarketStatus::Listed } else { MarketStatus::Delisted },
                    sz_decimals: Some(asset.sz_decimals),
                    max_leverage: Some(asset.max_leverage),
                    margin_tiers: tiers,
                    margin_mode: Some(margin_mode(asset).into()),
                    quote,
                    ..blank(asset.name, MarketType::Perp, *at)
                });
            }
        }
        let is_whole = is_whole && !listed.is_empty();
        Part { of: MarketType::Perp, at: *at, is_whole, unread, listed }
    }

    fn outcomes<'a>(&self, lists: &'a Lists) -> Part<'a> {
        let (Read { value: meta, unread }, at) = &lists.outcomes;
        let sides = |outcome: &Outcome| {
            let side = |(coin, side): (Coin, &OutcomeSide)| Market {
                name: format!("{}: {}", outcome.name, side.name).into(),
                quote: outcome.quote_token.as_deref().map(Into::into),
                description: Some(outcome.description.as_str().into()),
                ..blank(coin, MarketType::Outcome, *at)
            };
            outcome.coins().zip(&outcome.side_specs).map(side).collect::<Vec<_>>()
        };
        let listed: Vec<_> = meta.outcomes.iter().flat_map(sides).collect();
        Part { of: MarketType::Outcome, at: *at, is_whole: unread.others == 0, unread, listed }
    }
}

/// The markets of one list.
struct Part<'a> {
    of: MarketType,
    at: TimeMs,
    /// Whether a market that is not in it is not listed.
    is_whole: bool,
    unread: &'a Unread,
    listed: Vec<Market>,
}

/// A listed market of which nothing else is known.
fn blank(coin: Coin, market_type: MarketType, time: TimeMs) -> Market {
    Market {
        coin,
        time,
        name: coin.as_str().into(),
        market_type,
        dex: None,
        status: MarketStatus::Listed,
        sz_decimals: None,
        max_leverage: None,
        margin_tiers: None,
        margin_mode: None,
        quote: None,
        settle_fraction: None,
        description: None,
        arrival: Arrival::ALONE,
    }
}

fn margin_mode(asset: &PerpAsset) -> &str {
    match (&asset.margin_mode, asset.only_isolated) {
        (Some(mode), _) => mode,
        (None, Some(true)) => ISOLATED,
        (None, _) => CROSS,
    }
}

/// The margin table of a perpetual as JSON.
fn tiers(meta: &Meta, asset: &PerpAsset) -> Option<Box<str>> {
    let (_, table) =
        meta.margin_tables.as_ref()?.iter().find(|(id, _)| Some(*id) == asset.margin_table_id)?;
    let tier = |tier: &MarginTier| format!("[\"{}\",{}]", decimal_text(tier.lower_bound), tier.max_leverage);
    let tiers: Vec<_> = table.margin_tiers.iter().map(tier).collect();
    Some(format!("[{}]", tiers.join(",")).into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::decode::rest;

    fn body(value: &Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    fn perpetual(name: &str) -> Value {
        json!({"name": name, "szDecimals": 5, "maxLeverage": 40, "marginTableId": 56})
    }

    fn outcome(number: u64) -> Value {
        json!({
            "outcome": number, "name": "BTC above 61209", "description": "class:priceBinary|underlying:BTC",
            "sideSpecs": [{"name": "Yes"}, {"name": "No"}], "quoteToken": "USDH",
        })
    }

    fn settled(number: u64, fraction: &str) -> SettledOutcome {
        let said = json!({"spec": outcome(number), "settleFraction": fraction, "details": "by the oracle"});
        serde_json::from_value(said).unwrap()
    }

    fn dexes(dexes: &[&[Value]]) -> Value {
        let tables = json!([[56, {"description": "tiered 40x", "marginTiers": [
            {"lowerBound": "0.0", "maxLeverage": 40}, {"lowerBound": "150000000.50", "maxLeverage": 20}]}]]);
        let dex =
            |universe: &&[Value]| json!({"universe": universe, "marginTables": tables, "collateralToken": 0});
        Value::Array(dexes.iter().map(dex).collect())
    }

    fn token(index: u32, name: &str, sz_decimals: u32) -> Value {
        json!({
            "name": name, "szDecimals": sz_decimals, "weiDecimals": 8, "index": index, "isCanonical": true,
            "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054", "evmContract": null, "fullName": null,
        })
    }

    fn pairs(pairs: &[Value]) -> Value {
        json!({"universe": pairs, "tokens": [token(0, "USDC", 8), token(150, "HYPE", 2)]})
    }

    fn hype() -> Value {
        json!({"name": "@107", "index": 107, "isCanonical": false, "tokens": [150, 0]})
    }

    /// Lists that were received one after another from `at` on, as the exchange sends them.
    fn lists(at: i64, spot: &Value, perpetuals: &Value, outcomes: &[Value]) -> Lists {
        let outcomes = json!({"outcomes": outcomes, "questions": []});
        Lists {
            spot: (rest::spot_meta(&mut body(spot)).unwrap(), TimeMs(at)),
            perpetuals: (rest::all_perp_metas(&mut body(perpetuals)).unwrap(), TimeMs(at + 1)),
            outcomes: (rest::outcome_meta(&mut body(&outcomes)).unwrap(), TimeMs(at + 2)),
        }
    }

    fn whole(at: i64) -> Lists {
        let nvda = [perpetual("xyz:NVDA")];
        let perpetuals = dexes(&[&[perpetual("BTC"), perpetual("ETH")], &nvda]);
        lists(at, &pairs(&[hype()]), &perpetuals, &[outcome(1_209), outcome(1_210)])
    }

    fn status_of(listing: &Listing, coin: &str) -> (MarketStatus, Option<String>) {
        let states = listing.states();
        let market = states.iter().find(|market| market.coin.as_str() == coin).expect(coin);
        (market.status, market.settle_fraction.map(|paid| paid.to_string()))
    }

    #[test]
    fn a_row_says_what_there_is_to_know() {
        let mut listing = Listing::default();
        assert_eq!(listing.look(&whole(10)), Vec::<u64>::new());
        let states = listing.states();
        let names: Vec<_> = states.iter().map(|it| (it.coin.as_str(), &*it.name, it.time.0)).collect();
        assert_eq!(
            names,
            [
                ("@107", "HYPE/USDC", 10),
                ("BTC", "BTC", 11),
                ("ETH", "ETH", 11),
                ("xyz:NVDA", "xyz:NVDA", 11),
                ("#12090", "BTC above 61209: Yes", 12),
                ("#12091", "BTC above 61209: No", 12),
                ("#12100", "BTC above 61209: Yes", 12),
                ("#12101", "BTC above 61209: No", 12),
            ]
        );
        let [spot, btc, nvda, yes] = [&states[0], &states[1], &states[3], &states[4]];
        assert_eq!(
            (spot.market_type, spot.sz_decimals, spot.quote.as_deref()),
            (MarketType::Spot, Some(2), Some("USDC"))
        );
        assert_eq!(
            (btc.max_leverage, btc.margin_mode.as_deref(), btc.dex.as_deref()),
            (Some(40), Some("cross"), None)
        );
        assert_eq!(btc.margin_tiers.as_deref(), Some(r#"[["0.0",40],["150000000.5",20]]"#));
        assert_eq!((nvda.dex.as_deref(), nvda.quote.as_deref()), (Some("xyz"), Some("USDC")));
        assert_eq!((yes.market_type, yes.quote.as_deref()), (MarketType::Outcome, Some("USDH")));
    }

    #[test]
    fn two_whole_lists_one_after_the_other_must_lack_a_market() {
        let mut listing = Listing::default();
        listing.look(&whole(10));
        let short = |at| {
            let nvda = [perpetual("xyz:NVDA")];
            lists(
                at,
                &pairs(&[hype()]),
                &dexes(&[&[perpetual("BTC")], &nvda]),
                &[outcome(1_209), outcome(1_210)],
            )
        };
        listing.look(&short(20));
        assert_eq!(status_of(&listing, "ETH").0, MarketStatus::Listed, "one short answer");
        assert!(listing.is_in_doubt());
        listing.look(&whole(30));
        listing.look(&short(40));
        assert_eq!(status_of(&listing, "ETH").0, MarketStatus::Listed, "it was there in between");
        listing.look(&short(50));
        assert_eq!(status_of(&listing, "ETH").0, MarketStatus::Gone);
        assert!(!listing.is_in_doubt());
        listing.look(&whole(60));
        assert_eq!(status_of(&listing, "ETH").0, MarketStatus::Listed, "listed again");
    }

    #[test]
    fn a_list_that_is_not_whole_says_nothing_of_what_it_lacks() {
        let spot = pairs(&[hype()]);
        let nameless = json!({"szDecimals": 5});
        for (what, perpetuals) in [
            ("a dex cannot be read", json!([dexes(&[&[perpetual("BTC")]])[0], 7])),
            ("a row cannot be read, nor whose it is", dexes(&[&[perpetual("BTC"), nameless]])),
            (
                "the market itself cannot be read",
                dexes(&[&[
                    perpetual("BTC"),
                    json!({"name": "ETH", "szDecimals": "five"}),
                    perpetual("xyz:NVDA"),
                ]]),
            ),
        ] {
            let mut listing = Listing::default();
            listing.look(&whole(10));
            for at in [20, 30, 40] {
                listing.look(&lists(at, &spot, &perpetuals, &[outcome(1_209), outcome(1_210)]));
                assert!(!listing.states().iter().any(|it| it.status == MarketStatus::Gone), "{what}");
                assert!(!listing.states().iter().any(|it| it.coin.as_str() == "ETH"), "{what}: not seen");
            }
        }
    }

    #[test]
    fn what_is_delisted_is_so_at_once() {
        let mut listing = Listing::default();
        listing.look(&whole(10));
        let mut eth = perpetual("ETH");
        eth["isDelisted"] = true.into();
        let nvda = [perpetual("xyz:NVDA")];
        listing.look(&lists(20, &pairs(&[hype()]), &dexes(&[&[perpetual("BTC"), eth], &nvda]), &[]));
        assert_eq!(status_of(&listing, "ETH").0, MarketStatus::Delisted);
    }

    #[test]
    fn an_absent_outcome_is_asked_for_and_each_side_is_paid() {
        let mut listing = Listing::default();
        listing.look(&whole(10));
        let without = |at| Lists {
            outcomes: lists(at, &pairs(&[]), &dexes(&[]), &[outcome(1_210)]).outcomes,
            ..whole(at)
        };
        assert_eq!(listing.look(&without(20)), [1_209]);
        assert_eq!(status_of(&listing, "#12090").0, MarketStatus::Listed, "the exchange did not say yet");
        assert_eq!(listing.look(&without(30)), [1_209]);
        assert_eq!(status_of(&listing, "#12090").0, MarketStatus::Gone);
        listing.settle(&settled(1_209, "1.5"));
        assert_eq!(status_of(&listing, "#12090").0, MarketStatus::Gone, "no such fraction");
        listing.settle(&settled(1_210, "1.0"));
        assert_eq!(status_of(&listing, "#12100").0, MarketStatus::Listed, "its list still has it");
        listing.settle(&settled(1_209, "0.4200"));
        let paid = |text: &str| (MarketStatus::Settled, Some(text.to_owned()));
        assert_eq!(status_of(&listing, "#12090"), paid("0.4200"));
        assert_eq!(status_of(&listing, "#12091"), paid("0.5800"));
        assert_eq!(listing.look(&without(40)), Vec::<u64>::new());
        assert_eq!(
            status_of(&listing, "#12090"),
            paid("0.4200"),
            "said once more: it may not have been stored"
        );
    }

    #[test]
    fn what_vanished_while_nothing_ran_is_found_by_what_is_stored() {
        let mut before = Listing::default();
        before.look(&whole(10));
        let mut listing = Listing::stored(&before.states());
        let lacking =
            |at| lists(at, &pairs(&[hype()]), &dexes(&[&[perpetual("BTC"), perpetual("ETH")]]), &[]);
        assert_eq!(listing.look(&lacking(20)), [1_209, 1_210]);
        listing.settle(&settled(1_209, "1.0"));
        assert_eq!(status_of(&listing, "#12091").0, MarketStatus::Settled, "its list and the exchange agree");
        listing.look(&lacking(30));
        assert_eq!(status_of(&listing, "xyz:NVDA").0, MarketStatus::Gone);
        assert_eq!(status_of(&listing, "BTC").0, MarketStatus::Listed);
    }

    #[test]
    fn no_more_is_asked_than_there_is_weight_for_and_not_for_ever() {
        let mut listing = Listing::default();
        let many: Vec<_> = (1..=25).map(outcome).collect();
        listing.look(&Lists { outcomes: lists(10, &pairs(&[]), &dexes(&[]), &many).outcomes, ..whole(10) });
        let mut asked = BTreeMap::new();
        for _ in 0..100 {
            let now = listing
                .look(&Lists { outcomes: lists(20, &pairs(&[]), &dexes(&[]), &[]).outcomes, ..whole(20) });
            assert!(now.len() <= ASKED_AT_ONCE, "{now:?}");
            now.into_iter().for_each(|outcome| *asked.entry(outcome).or_insert(0) += 1);
        }
        assert_eq!(asked, (1..=25).map(|outcome| (outcome, ASKED_AT_MOST)).collect());
    }
}
