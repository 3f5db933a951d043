//! When planned jobs run.

use std::collections::BTreeMap;

use hl_scheduler::jobs::{
    ARCHIVE_ALL_COLLECTIONS, CollectDailyStats, CollectFunding, CollectTraderOrders, FetchLeaderboard,
    GenerateSignals, UpdateTrackedTraders, known,
};
use hl_scheduler::plan::{Spec, Trigger};

use super::place::Sourced;
use super::{Place, ValueError};

/// What was said of planned jobs: a schedule, or none where one is off.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Jobs(BTreeMap<String, Option<Trigger>>);

impl Jobs {
    pub(super) fn parse(words: &[Sourced]) -> Result<Self, (Place, ValueError)> {
        let mut jobs = Self::default();
        for word in words {
            let fail = |problem| (word.place.clone(), problem);
            let (id, schedule) = word.text.split_once('=').ok_or_else(|| {
                fail(ValueError::Malformed {
                    what: "a plan of a job",
                    text: word.text.clone(),
                    example: format!("{}='every 8h'", CollectFunding::ID),
                })
            })?;
            let (id, schedule) = (id.trim(), schedule.trim());
            let known = known();
            let planned = known.iter().filter(|known| known.is_planned).map(|known| known.id);
            if !planned.clone().any(|known| known == id) {
                return Err(fail(ValueError::unknown("planned job", id, planned)));
            }
            let trigger = match schedule {
                "off" => None,
                words => Some(words.parse().map_err(|error| fail(ValueError::Schedule(error)))?),
            };
            jobs.0.insert(id.to_owned(), trigger);
        }
        Ok(jobs)
    }

    /// When the archive's job is planned; none where it is off.
    #[must_use]
    pub fn archive(&self) -> Option<Spec> {
        self.spec(ARCHIVE_ALL_COLLECTIONS, hl_host::archive::spec)
    }

    /// The jobs to plan that an engine knows.
    #[must_use]
    pub fn planned(&self) -> Vec<Spec> {
        let all = [
            self.spec(CollectFunding::ID, CollectFunding::spec),
            self.spec(CollectDailyStats::ID, CollectDailyStats::spec),
        ];
        all.into_iter().flatten().collect()
    }

    /// The jobs that choose whom to track, read what those did, and say what they hold means.
    #[must_use]
    pub fn tracking(&self) -> Vec<Spec> {
        let all = [
            self.spec(FetchLeaderboard::ID, FetchLeaderboard::spec),
            self.spec(UpdateTrackedTraders::ID, UpdateTrackedTraders::spec),
            self.spec(CollectTraderOrders::ID, CollectTraderOrders::spec),
            self.spec(GenerateSignals::ID, GenerateSignals::spec),
        ];
        let mut all: Vec<Spec> = all.into_iter().flatten().collect();
        // Without the first one the second chooses from what is stored.
        let planned: Vec<_> = all.iter().map(|spec| spec.id.clone()).collect();
        all.iter_mut().for_each(|spec| spec.after.retain(|after| planned.contains(after)));
        all
    }

    fn spec(&self, id: &str, spec: fn(Option<Trigger>) -> Option<Spec>) -> Option<Spec> {
        match self.0.get(id) {
            Some(None) => None,
            said => spec(said.cloned().flatten()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Vec<String>, String> {
        let word = Sourced { text: words.to_owned(), place: Place::Flag("job") };
        let jobs = Jobs::parse(&[word]).map_err(|(_, problem)| problem.to_string())?;
        Ok(jobs
            .planned()
            .into_iter()
            .filter(|spec| spec.id.as_str() == CollectFunding::ID)
            .collect::<Vec<_>>()
            .iter()
            .map(|spec| format!("{}: {}", spec.id, spec.trigger))
            .collect())
    }

    #[test]
    fn plans_can_be_changed_and_switched_off() {
        assert_eq!(Jobs::default().planned()[0].trigger.to_string(), "0 31 * * * *");
        assert_eq!(parse("collect_funding=every 8h"), Ok(vec!["collect_funding: every 8h".to_owned()]));
        assert_eq!(
            parse("collect_funding = 0 0,30 * * * *"),
            Ok(vec!["collect_funding: 0 0,30 * * * *".to_owned()])
        );
        assert_eq!(parse("collect_funding=off"), Ok(Vec::new()));
        let off = Sourced { text: "fetch_leaderboard=off".to_owned(), place: Place::Flag("job") };
        let tracking = Jobs::parse(&[off]).unwrap().tracking();
        assert!(tracking.len() == 3 && tracking[0].after.is_empty(), "it waits for no job that is off");
        for (words, told) in [
            ("collect_funding", "every 8h"),
            ("collect_fundings=off", "collect_funding"),
            ("collect_funding=daily", "cron expression"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(told), "{words}: {error}");
        }
    }
}
