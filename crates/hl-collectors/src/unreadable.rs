//! What the exchange sent and the decoder could not read: how much of which stream, and why, for the log and the alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hl_core::Coin;
use hl_core::decode::Unread;
use serde::Serialize;

/// Of so many subjects is written down what each could not be read of; what comes beyond is counted together.
const SUBJECTS: usize = 256;
const OTHERS: &str = "others";

/// What could not be read of one stream, or of one kind of answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Unreadable {
    /// Rows, frames and answers.
    pub count: u64,
    /// Why the last of them could not be read, in words.
    pub reason: String,
}

/// Counts what cannot be read, by subject.
#[derive(Default)]
pub(crate) struct Unreadables {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by: BTreeMap<String, Unreadable>,
    /// The coins that could not be read the last time, of subjects that hold many.
    coins: BTreeMap<String, BTreeSet<Coin>>,
}

impl Unreadables {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what could not be read just now.
    pub(crate) fn note(&self, subject: &str, count: u64, reason: &str) {
        self.state().note(subject, count, reason);
    }

    /// Counts coins in a map or listing that holds many, and comes again and again: each once, as long as it stays
    /// unreadable.
    pub(crate) fn note_coins(&self, subject: &str, unread: &Unread) {
        let mut state = self.state();
        let before = match unread.is_empty() {
            true => state.coins.remove(subject),
            false => state.coins.insert(subject.to_owned(), unread.coins.clone()),
        };
        let new = match before {
            Some(before) => unread.coins.difference(&before).count() as u64,
            None => unread.rows(),
        };
        if new > 0 {
            state.note(subject, new, unread.reason.as_deref().unwrap_or_default());
        }
    }

    /// All of it.
    pub(crate) fn all(&self) -> BTreeMap<String, Unreadable> {
        self.state().by.clone()
    }
}

impl State {
    fn note(&mut self, subject: &str, count: u64, reason: &str) {
        let is_full = self.by.len() >= SUBJECTS && !self.by.contains_key(subject);
        let seen = self.by.entry(if is_full { OTHERS } else { subject }.to_owned()).or_default();
        seen.count += count;
        reason.clone_into(&mut seen.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(coins: &[&str]) -> Unread {
        let coins = coins.iter().map(|name| Coin::new(name).unwrap()).collect();
        Unread { coins, others: 0, reason: Some("why".to_owned()) }
    }

    #[test]
    fn what_cannot_be_read_is_counted_by_subject_and_in_bounds() {
        let unreadables = Unreadables::default();
        for n in 0..1_000 {
            unreadables.note(&format!("trades/C{n}"), 2, "why");
        }
        unreadables.note("trades/C0", 1, "another reason");
        let all = unreadables.all();
        assert_eq!(all.len(), SUBJECTS + 1);
        assert_eq!(all["trades/C0"], Unreadable { count: 3, reason: "another reason".to_owned() });
        assert_eq!(all.values().map(|u| u.count).sum::<u64>(), 2_001);
    }

    #[test]
    fn a_coin_that_never_has_a_price_is_counted_once() {
        let unreadables = Unreadables::default();
        let count = || unreadables.all().get("mids").map_or(0, |u| u.count);
        unreadables.note_coins("mids", &unread(&[]));
        assert_eq!(count(), 0);
        for _ in 0..3 {
            unreadables.note_coins("mids", &unread(&["DEAD"]));
        }
        assert_eq!(count(), 1);
        unreadables.note_coins("mids", &unread(&["DEAD", "GONE"]));
        assert_eq!(count(), 2);
        unreadables.note_coins("mids", &unread(&[]));
        unreadables.note_coins("mids", &unread(&["DEAD"]));
        assert_eq!(count(), 3, "it could be read in between");
    }
}
