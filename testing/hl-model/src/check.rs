//! Runs a model through every order of steps, and says what was found.

use std::fmt::Display;

use hl_core::symbol::CoinError;
use serde::Serialize;
use stateright::{Checker as _, Expectation, HasDiscoveries, Model};

use crate::models::{Name, Reach};
use crate::owners;
use crate::rule::Rule;

/// How the states are searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Search {
    /// Everything there is, on so many threads.
    Everything(usize),
    /// Until a rule breaks, the shortest way first.
    Shortest,
}

/// What a model showed.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The model.
    pub model: &'static str,
    /// Different states.
    pub states: usize,
    /// Steps taken between them.
    pub steps: usize,
    /// The longest path.
    pub depth: usize,
    /// Rules that broke.
    pub violations: Vec<Violation>,
    /// What a model has to reach in order to prove anything, and did not.
    pub unreached: Vec<&'static str>,
}

/// A rule that broke.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// The rule, in words.
    pub rule: &'static str,
    /// The steps that lead there; the shortest where they were looked for.
    pub trace: Vec<String>,
}

/// Runs one model.
///
/// # Errors
/// When the model cannot be built.
pub fn check(name: Name, reach: Reach, search: Search) -> Result<Outcome, CoinError> {
    match name.world(reach)? {
        Some(setup) => {
            let calm = setup.clone();
            Ok(run(name, reach, setup, search, |world, rule| {
                let mut trace = Vec::new();
                if matches!(rule, Rule::Owner | Rule::Settled) || calm.calm {
                    let mut told = |act| trace.push(format!("in calm: {act}"));
                    let _ = crate::calm::follow(&calm, world, &mut told);
                }
                trace
            }))
        }
        None => Ok(run(name, reach, owners::Setup::new(reach)?, search, |_, _| Vec::new())),
    }
}

fn run<M>(
    name: Name,
    reach: Reach,
    model: M,
    search: Search,
    follow: impl Fn(&M::State, Rule) -> Vec<String>,
) -> Outcome
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + PartialEq + std::hash::Hash + Send + Sync + 'static,
    M::Action: Clone + PartialEq + Display,
{
    let builder = model.checker().finish_when(HasDiscoveries::AnyFailures);
    match search {
        Search::Everything(threads) => {
            outcome(name, reach, &builder.threads(threads).spawn_dfs().join(), follow)
        }
        Search::Shortest => outcome(name, reach, &builder.threads(1).spawn_bfs().join(), follow),
    }
}

fn outcome<M>(
    name: Name,
    reach: Reach,
    checker: &impl stateright::Checker<M>,
    follow: impl Fn(&M::State, Rule) -> Vec<String>,
) -> Outcome
where
    M: Model,
    M::State: Clone + PartialEq + std::hash::Hash,
    M::Action: Clone + PartialEq + Display,
{
    let mut found = checker.discoveries();
    let properties = checker.model().properties();
    let mut violations = Vec::new();
    for rule in Rule::ALL {
        let Some(path) = found.remove(rule.words()) else { continue };
        let steps = path.into_vec();
        let mut trace: Vec<_> =
            steps.iter().filter_map(|(_, act)| act.as_ref().map(ToString::to_string)).collect();
        // In calm it broke one step after the last state that was followed.
        if let Some((state, _)) = steps.last() {
            trace.extend(follow(state, rule));
        }
        violations.push(Violation { rule: rule.words(), trace });
    }
    let unreached = properties
        .iter()
        // The smallest bounds are too small for some of it, and a search that stopped did not look everywhere.
        .filter(|_| reach != Reach::Short && violations.is_empty())
        .filter(|p| p.expectation == Expectation::Sometimes && !found.contains_key(p.name))
        .map(|p| p.name)
        .collect();
    Outcome {
        model: name.as_str(),
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        violations,
        unreached,
    }
}
