//! The smallest worlds, searched whole.
#![allow(clippy::unwrap_used, reason = "tests")]

use hl_model::{Name, Reach, Search, check};

fn holds(name: Name) {
    let outcome = check(name, Reach::Short, Search::Everything(1)).unwrap();
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
    assert!(outcome.states > 100, "a world of {} states proves nothing", outcome.states);
}

#[test]
fn no_order_of_events_breaks_a_rule_of_trades() {
    holds(Name::Trades);
}

#[test]
fn no_order_of_events_breaks_a_rule_with_a_standby() {
    holds(Name::Standby);
}

#[test]
fn no_order_of_events_breaks_a_rule_of_bars() {
    holds(Name::Bars);
}

#[test]
fn no_order_of_events_breaks_a_rule_though_the_exchange_errs() {
    holds(Name::ErringTrades);
    holds(Name::ErringPolls);
    holds(Name::ErringBars);
}

#[test]
fn no_order_of_events_breaks_a_rule_between_two_processes() {
    holds(Name::Leases);
}

#[test]
fn no_order_of_events_breaks_a_rule_while_a_stream_moves() {
    holds(Name::Moves);
}

#[test]
fn no_order_of_events_confuses_the_selector() {
    holds(Name::Selector);
}

#[test]
fn once_faults_stop_every_stream_is_served_and_every_gap_closed() {
    for name in [Name::TradesCalm, Name::StandbyCalm, Name::BarsCalm, Name::LeasesCalm, Name::MovesCalm] {
        holds(name);
    }
}

/// Each guard, broken, is found by some model. One test, since only one guard can be broken in a process at a time.
#[cfg(feature = "seeded-bugs")]
#[test]
fn every_broken_guard_is_found() {
    use hl_core::seeded::{Guard, break_guard, mend};
    for guard in Guard::ALL {
        break_guard(guard);
        let found = Name::ALL
            .into_iter()
            .any(|name| !check(name, Reach::Short, Search::Shortest).unwrap().violations.is_empty());
        mend();
        assert!(found, "{guard} was broken, and no rule");
    }
}
