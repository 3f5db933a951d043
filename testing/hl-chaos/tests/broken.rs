//! A storm shows what becomes of the data when a guard of the rules stands aside.
#![allow(clippy::unwrap_used, reason = "tests")]

use hl_chaos::{Density, Market, Outcome, Plan, Trace, run};
use hl_core::seeded::{Guard, break_guard, mend};

/// Storms in which a broken guard is looked for.
const SEEDS: u64 = 8;

fn storm(seed: u64) -> Outcome {
    let plan = Plan {
        seed,
        market: Market::apart(),
        density: Density::LOOSE,
        length_ms: 60 * 60_000,
        audited: false,
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _inside = runtime.enter();
    runtime.block_on(run(&plan, Trace::new(false), &|_| {})).unwrap()
}

// One test, since a guard is broken for the whole process.
#[test]
fn a_storm_shows_the_damage_of_a_broken_guard_and_none_with_all_of_them_whole() {
    for (guard, damage) in
        [(Guard::Epoch, "reused_epoch"), (Guard::Broken, "missing"), (Guard::WholeBars, "different")]
    {
        break_guard(guard);
        let shows = |seed| storm(seed).problems.iter().any(|problem| problem.contains(damage));
        let shown = (1..=SEEDS).any(shows);
        mend();
        assert!(shown, "{guard}: no storm of {SEEDS} shows {damage:?}");
    }
    let whole = storm(1);
    assert!(whole.problems.is_empty(), "{:#?}", whole.problems);
    assert!(whole.compared > 1_000 && whole.faults > 10, "{whole:?}");
}
