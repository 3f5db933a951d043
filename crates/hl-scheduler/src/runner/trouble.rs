//! What is wrong with jobs, for whoever watches.

use std::collections::BTreeMap;

use crate::plan::Decision;

/// Something that fails in the same way again and again, and is tried ever less often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failing {
    /// How often in a row it failed.
    pub times: u32,
    /// What, and why, in words.
    pub words: String,
}

/// What is wrong with one job.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trouble {
    /// How often its id was registered again.
    pub again: u64,
    /// Planned runs in a row that did not succeed, once they are so many that somebody should look; else 0.
    pub in_vain: u32,
    /// Why the last of these was skipped, in words; none where it ran and failed.
    pub skipped: Option<String>,
    /// What of a job that runs when it is needed fails again and again; none where nothing does.
    pub failing: Option<Failing>,
}

/// What is wrong, by job. Jobs of which nothing is wrong are not in it.
#[derive(Default)]
pub(super) struct Troubles(BTreeMap<String, Trouble>);

impl Troubles {
    pub(super) fn registered_again(&mut self, id: &str) {
        self.0.entry(id.to_owned()).or_default().again += 1;
    }

    pub(super) fn note(&mut self, decision: &Decision) {
        let (id, in_vain, why) = match decision {
            Decision::Warn { id, times, why } => (id, *times, why.as_ref()),
            Decision::Calm { id } => (id, 0, None),
            Decision::Start(_) | Decision::Skip { .. } => return,
        };
        let trouble = self.0.entry(id.to_string()).or_default();
        (trouble.in_vain, trouble.skipped) = (in_vain, why.map(ToString::to_string));
    }

    pub(super) fn all(&self) -> BTreeMap<String, Trouble> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{JobId, Why};

    #[test]
    fn a_job_is_in_trouble_until_it_succeeds() {
        let id = JobId::new("job");
        let mut troubles = Troubles::default();
        assert!(troubles.all().is_empty());
        troubles.note(&Decision::Warn { id: id.clone(), times: 3, why: Some(Why::Busy) });
        let words = Some("an earlier run had not ended".to_owned());
        assert_eq!(troubles.all()["job"], Trouble { in_vain: 3, skipped: words, ..Trouble::default() });
        troubles.registered_again("job");
        troubles.note(&Decision::Calm { id });
        assert_eq!(troubles.all()["job"], Trouble { again: 1, ..Trouble::default() });
    }
}
