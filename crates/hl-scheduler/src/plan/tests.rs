use std::collections::{BTreeMap, BTreeSet};

use hl_core::TimeMs;
use hl_core::seam::Seed;
use proptest::prelude::*;

use super::{Decision, Ended, JobId, Planner, Ran, Refused, Retry, Spec, SpecError, Start, Trigger, Why};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-11-01T00:00:00Z, a Sunday.
const MONTH: TimeMs = TimeMs(1_793_491_200_000);

fn trigger(words: &str) -> Trigger {
    words.parse().unwrap()
}

fn since(last: TimeMs) -> Ran {
    Ran { last: Some(last), succeeded: None }
}

fn spec(id: &str, words: &str) -> Spec {
    Spec::new(id, trigger(words))
}

fn planner(specs: &[Spec]) -> Planner {
    let mut planner = Planner::new(Seed(1));
    for spec in specs {
        assert_eq!(planner.register(MONTH, spec.clone(), Ran::default()), Ok(false));
    }
    planner
}

fn starts(decisions: &[Decision]) -> Vec<Start> {
    let start = |decision: &Decision| match decision {
        Decision::Start(start) => Some(start.clone()),
        Decision::Skip { .. } | Decision::Warn { .. } | Decision::Calm { .. } => None,
    };
    decisions.iter().filter_map(start).collect()
}

fn start(decisions: &[Decision]) -> Start {
    let starts = starts(decisions);
    assert_eq!(starts.len(), 1, "{decisions:?}");
    starts.into_iter().next().unwrap()
}

#[test]
fn words_are_schedules_or_say_what_to_write() {
    assert_eq!(trigger("every 30s"), Trigger::Every(30 * SECOND));
    assert_eq!(trigger(" every 8h "), Trigger::Every(8 * HOUR));
    assert_eq!(trigger("every 1h 30m"), Trigger::Every(90 * MINUTE));
    assert_eq!(trigger("at start"), Trigger::AtStart);
    assert_eq!(trigger("by hand"), Trigger::ByHand);
    for words in ["every 30s", "every 8h", "at start", "by hand", "0 30 3 * * Mon-Fri"] {
        assert_eq!(trigger(&trigger(words).to_string()), trigger(words), "{words}");
    }
    for words in ["", "every", "every 0s", "every -5m", "every 10ms", "30s", "0 99 3 * * *", "* * *", "daily"]
    {
        let error = words.parse::<Trigger>().unwrap_err().to_string();
        assert!(error.contains("every 30s") && error.contains("0 0 3 * * *"), "{error}");
    }
}

#[test]
fn planned_times_are_those_of_utc() {
    let day = trigger("0 30 3 * * *");
    assert_eq!(day.after(MONTH), Some(MONTH + 3 * HOUR + 30 * MINUTE));
    assert_eq!(day.after(MONTH + 3 * HOUR + 30 * MINUTE), Some(MONTH + DAY + 3 * HOUR + 30 * MINUTE));
    assert_eq!(day.until(MONTH + DAY), Some(MONTH + 3 * HOUR + 30 * MINUTE));
    assert_eq!(trigger("0 0 0 29 2 *").after(MONTH), Some(TimeMs(1_835_395_200_000)), "a leap day");
    assert_eq!(trigger("0 0 0 * * 1").after(MONTH - 1), Some(MONTH), "a Sunday");
    assert_eq!(trigger("0 0 0 * * Sun").after(MONTH - 1), Some(MONTH));
    assert_eq!(trigger("0 0 0 1 1 * 2020").after(MONTH), None, "never again");
    assert_eq!(trigger("every 1h").after(MONTH), Some(MONTH + HOUR));
    assert_eq!(trigger("every 1h").until(MONTH), Some(MONTH));
    assert_eq!(trigger("every 5m").count(MONTH - DAY, MONTH, 1_000), 288);
    assert_eq!(trigger("0 */5 * * * *").count(MONTH - DAY, MONTH, 1_000), 288);
    assert_eq!(trigger("0 */5 * * * *").count(MONTH - DAY, MONTH, 100), 100);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Forty years: what comes after a time, what was until it, and how many lie between agree with each other.
    #[test]
    fn next_last_and_count_agree(
        words in prop::sample::select(vec![
            "every 30s", "every 7m", "every 8h", "every 1s", "0 0 3 * * *", "*/20 * * * * *", "0 0 0 1 * *",
            "30 59 23 31 12 *", "0 0 */6 * * Mon", "0 15,45 8-17 * * Mon-Fri",
        ]),
        at in 1_600_000_000_000_i64..2_860_000_000_000,
    ) {
        let (trigger, at) = (trigger(words), TimeMs(at));
        let next = trigger.after(at).unwrap();
        prop_assert!(next > at);
        prop_assert_eq!(trigger.until(next), Some(next));
        prop_assert_eq!(trigger.count(at, next, 10), 1);
        prop_assert_eq!(trigger.count(at, next - 1, 10), 0);
        let last = trigger.until(at).unwrap();
        prop_assert!(last <= at);
        prop_assert_eq!(trigger.until(next - 1), Some(last));
        prop_assert_eq!(trigger.after(last - 1), Some(last));
        prop_assert_eq!(trigger.after(last), Some(next));
    }
}

/// A month with the jobs that a collector has: each planned time is run once, nothing runs twice at once, and nothing is
/// skipped.
#[test]
fn a_month_of_jobs() {
    let long = |spec: Spec| Spec { jitter_ms: 5 * SECOND, ..spec };
    let mut specs = vec![
        spec("collect_funding", "every 1h"),
        long(spec("collect_daily_stats", "0 10 0 * * *")),
        Spec { after: vec![JobId::new("collect_daily_stats")], ..spec("archive", "0 30 0 * * *") },
        spec("report", "0 0 6 * * Mon"),
    ];
    specs.push(spec("update_ticker", "every 60s"));
    let takes = BTreeMap::from([
        ("collect_funding", 2 * MINUTE),
        ("collect_daily_stats", 40 * MINUTE),
        ("archive", HOUR),
        ("report", MINUTE),
        ("update_ticker", 20 * SECOND),
    ]);
    let mut planner = planner(&specs);
    let mut running = BTreeSet::<(TimeMs, u64)>::new();
    let mut inside = BTreeMap::<JobId, u32>::new();
    let mut names = BTreeMap::new();
    let mut runs = BTreeMap::<JobId, Vec<TimeMs>>::new();
    let end = MONTH + 30 * DAY;
    let mut now = MONTH;
    while now < end {
        let ended = running.first().copied();
        now = ended.map(|(at, _)| at).into_iter().chain(planner.next()).min().unwrap().max(now);
        let decisions = match ended.filter(|(at, _)| *at <= now) {
            Some((at, run)) => {
                running.remove(&(at, run));
                *inside.get_mut(&names[&run]).unwrap() -= 1;
                planner.ended(now, run, Ended::Succeeded)
            }
            None => planner.tick(now),
        };
        assert_eq!(decisions.len(), starts(&decisions).len(), "nothing is skipped: {decisions:?}");
        for start in starts(&decisions) {
            let count = inside.entry(start.id.clone()).or_default();
            *count += 1;
            assert_eq!((*count, start.attempt, start.missed), (1, 1, 0));
            assert!(start.planned <= now && start.planned + 20 * MINUTE + 5 * SECOND >= now, "{start:?}");
            runs.entry(start.id.clone()).or_default().push(start.planned);
            running.insert((now + takes[start.id.as_str()], start.run));
            names.insert(start.run, start.id);
        }
    }
    for spec in &specs {
        let runs = &runs[&spec.id];
        let mut planned = Vec::new();
        let mut at = MONTH;
        while let Some(next) = spec.trigger.after(at).filter(|next| *next <= end) {
            planned.push(next);
            at = next;
        }
        assert_eq!(*runs, planned, "{}", spec.id);
    }
    assert_eq!(runs[&JobId::new("report")].len(), 5, "the Mondays of November 2026");
}

#[test]
fn what_was_missed_is_made_up_for_once_and_inside_its_grace() {
    let hourly = Spec { grace_ms: 20 * MINUTE, ..spec("hourly", "every 1h") };
    let mut planner = Planner::new(Seed(1));
    planner.register(MONTH + 10 * MINUTE, hourly.clone(), since(MONTH - 5 * HOUR)).unwrap();
    let made_up = start(&planner.tick(MONTH + 10 * MINUTE));
    assert_eq!((made_up.planned, made_up.missed), (MONTH, 4));
    assert_eq!(planner.tick(MONTH + 10 * MINUTE), []);
    assert_eq!(planner.next(), Some(MONTH + HOUR));

    let mut planner = Planner::new(Seed(1));
    planner.register(MONTH + 21 * MINUTE, hourly.clone(), since(MONTH - 5 * HOUR)).unwrap();
    let skip = Decision::Skip { id: JobId::new("hourly"), planned: MONTH, why: Why::Late };
    assert_eq!(planner.tick(MONTH + 21 * MINUTE), [skip]);

    // Never run before: the past is nobody's business.
    let mut planner = Planner::new(Seed(1));
    planner.register(MONTH + 10 * MINUTE, hourly, Ran::default()).unwrap();
    assert_eq!(planner.tick(MONTH + 10 * MINUTE), []);
}

#[test]
fn a_run_that_comes_due_while_the_job_runs_waits_its_turn_and_says_why_it_does_not_get_it() {
    let mut planner = planner(&[Spec { grace_ms: 30 * SECOND, ..spec("slow", "every 1m") }]);
    let first = start(&planner.tick(MONTH + MINUTE));
    assert_eq!(planner.tick(MONTH + 2 * MINUTE), []);
    let next = start(&planner.ended(MONTH + 2 * MINUTE + 10 * SECOND, first.run, Ended::Succeeded));
    assert_eq!((next.planned, next.missed), (MONTH + 2 * MINUTE, 0));
    assert_eq!(planner.tick(MONTH + 3 * MINUTE), []);
    assert_eq!(planner.next(), Some(MONTH + 3 * MINUTE + 30 * SECOND + 1));
    let skip = |planned| Decision::Skip { id: JobId::new("slow"), planned, why: Why::Busy };
    assert_eq!(planner.tick(MONTH + 3 * MINUTE + 31 * SECOND), [skip(MONTH + 3 * MINUTE)]);
    planner.tick(MONTH + 4 * MINUTE);
    assert_eq!(planner.tick(MONTH + 4 * MINUTE + 31 * SECOND), [skip(MONTH + 4 * MINUTE)]);
    planner.tick(MONTH + 5 * MINUTE);
    let id = JobId::new("slow");
    assert_eq!(
        planner.tick(MONTH + 5 * MINUTE + 31 * SECOND),
        [skip(MONTH + 5 * MINUTE), Decision::Warn { id: id.clone(), times: 3, why: Some(Why::Busy) }],
        "one that keeps being skipped is told of"
    );
    planner.tick(MONTH + 6 * MINUTE);
    assert_eq!(planner.tick(MONTH + 6 * MINUTE + 31 * SECOND), [skip(MONTH + 6 * MINUTE)], "once");
    assert_eq!(
        planner.ended(MONTH + 6 * MINUTE + 40 * SECOND, next.run, Ended::Succeeded),
        [Decision::Calm { id }]
    );
}

#[test]
fn two_instances_may_run_where_they_are_allowed() {
    let mut planner = planner(&[Spec { instances: 2, ..spec("pair", "every 1m") }]);
    start(&planner.tick(MONTH + MINUTE));
    start(&planner.tick(MONTH + 2 * MINUTE));
    assert_eq!(planner.tick(MONTH + 3 * MINUTE), []);
}

#[test]
fn a_failure_is_tried_again_with_longer_pauses() {
    let retry = Retry { attempts: 4, first_ms: 10 * SECOND, longest_ms: 30 * SECOND };
    let mut planner = planner(&[Spec { retry, ..spec("flaky", "every 1h") }]);
    let mut now = MONTH + HOUR;
    let mut attempt = start(&planner.tick(now));
    for (number, pause) in [(2, 10 * SECOND), (3, 20 * SECOND), (4, 30 * SECOND)] {
        now = now + SECOND;
        assert_eq!(planner.ended(now, attempt.run, Ended::Failed), []);
        assert_eq!(planner.next(), Some(now + pause));
        assert_eq!(planner.tick(now + pause - 1), []);
        now = now + pause;
        attempt = start(&planner.tick(now));
        assert_eq!((attempt.attempt, attempt.planned), (number, MONTH + HOUR));
    }
    assert_eq!(planner.ended(now, attempt.run, Ended::Failed), []);
    assert_eq!(planner.next(), Some(MONTH + 2 * HOUR), "no fifth attempt");
}

#[test]
fn a_new_planned_time_ends_the_attempts_at_the_old_one() {
    let retry = Retry { attempts: 9, first_ms: 40 * SECOND, longest_ms: HOUR };
    let mut planner = planner(&[Spec { retry, ..spec("flaky", "every 1m") }]);
    let first = start(&planner.tick(MONTH + MINUTE));
    planner.ended(MONTH + MINUTE + 30 * SECOND, first.run, Ended::Failed);
    let next = start(&planner.tick(MONTH + 2 * MINUTE));
    assert_eq!((next.planned, next.attempt, next.missed), (MONTH + 2 * MINUTE, 1, 1));
}

#[test]
fn a_job_waits_for_those_that_it_depends_on() {
    let stats = || spec("stats", "0 0 1 * * *");
    let archive = || Spec { after: vec![JobId::new("stats")], ..spec("archive", "0 0 1 * * *") };
    let one = MONTH + HOUR;
    let skip = |why| Decision::Skip { id: JobId::new("archive"), planned: one, why };

    let mut planner = planner(&[stats(), archive()]);
    let first = start(&planner.tick(one));
    assert_eq!(first.id.as_str(), "stats");
    let second = start(&planner.ended(one + MINUTE, first.run, Ended::Succeeded));
    assert_eq!(second.id.as_str(), "archive");

    for (ended, why) in [
        (Ended::Failed, Why::Failed(JobId::new("stats"))),
        (Ended::Elsewhere, Why::Elsewhere(JobId::new("stats"))),
    ] {
        let mut planner = self::planner(&[stats(), archive()]);
        let first = start(&planner.tick(one));
        assert_eq!(planner.ended(one + MINUTE, first.run, ended), [skip(why)]);
    }

    let mut planner = self::planner(&[stats(), archive()]);
    start(&planner.tick(one));
    assert_eq!(planner.tick(one + HOUR), []);
    assert_eq!(planner.tick(one + HOUR + 1), [skip(Why::Waiting(JobId::new("stats")))]);
}

#[test]
fn a_job_that_waits_for_nobody_or_for_itself_is_refused() {
    let after = |id: &str, after: &str| Spec { after: vec![JobId::new(after)], ..spec(id, "every 1h") };
    let mut planner = planner(&[spec("a", "every 1h"), after("b", "a")]);
    let unknown = SpecError::Unknown { id: JobId::new("c"), after: JobId::new("nobody") };
    assert_eq!(planner.register(MONTH, after("c", "nobody"), Ran::default()), Err(unknown));
    assert_eq!(
        planner.register(MONTH, after("a", "b"), Ran::default()),
        Err(SpecError::Circle(JobId::new("a")))
    );
    assert_eq!(
        planner.register(MONTH, after("c", "c"), Ran::default()),
        Err(SpecError::Circle(JobId::new("c")))
    );
}

#[test]
fn a_job_that_is_registered_again_is_replaced() {
    let mut planner = planner(&[spec("job", "every 1h")]);
    let running = start(&planner.tick(MONTH + HOUR));
    assert_eq!(planner.register(MONTH + HOUR, spec("job", "every 10m"), Ran::default()), Ok(true));
    assert_eq!(planner.tick(MONTH + HOUR + 10 * MINUTE), [], "one instance, of old and new together");
    let next = start(&planner.ended(MONTH + HOUR + 15 * MINUTE, running.run, Ended::Succeeded));
    assert_eq!(next.planned, MONTH + HOUR + 10 * MINUTE);
    // The same again changes nothing.
    assert_eq!(
        planner.register(MONTH + HOUR + 16 * MINUTE, spec("job", "every 10m"), Ran::default()),
        Ok(true)
    );
    assert_eq!(planner.next(), Some(MONTH + HOUR + 20 * MINUTE));
}

#[test]
fn a_clock_that_was_set_moves_planned_times_with_it() {
    let mut planner = planner(&[spec("job", "every 10m")]);
    let first = start(&planner.tick(MONTH + 10 * MINUTE));
    planner.ended(MONTH + 11 * MINUTE, first.run, Ended::Succeeded);
    // An hour ahead: six times are due, one run makes up for them.
    let ahead = start(&planner.tick(MONTH + 72 * MINUTE));
    assert_eq!((ahead.planned, ahead.missed), (MONTH + 70 * MINUTE, 5));
    planner.ended(MONTH + 73 * MINUTE, ahead.run, Ended::Succeeded);
    // And back: planned times come again, and are refused by the store where they ran.
    assert_eq!(planner.tick(MONTH + 14 * MINUTE), []);
    assert_eq!(planner.next(), Some(MONTH + 20 * MINUTE));
    let again = start(&planner.tick(MONTH + 20 * MINUTE));
    assert_eq!((again.planned, again.missed), (MONTH + 20 * MINUTE, 0));
    // A step of seconds changes nothing.
    planner.ended(MONTH + 20 * MINUTE, again.run, Ended::Elsewhere);
    assert_eq!(planner.tick(MONTH + 20 * MINUTE - 30 * SECOND), []);
    assert_eq!(planner.tick(MONTH + 20 * MINUTE), []);
}

#[test]
fn jitter_is_the_same_for_the_same_planned_time() {
    let jittered = || planner(&[Spec { jitter_ms: 30 * SECOND, ..spec("job", "every 10m") }]);
    let dues: Vec<_> = (1..200)
        .map(|n| {
            let (mut one, mut other) = (jittered(), jittered());
            let planned = MONTH + n * 10 * MINUTE;
            assert!(starts(&one.tick(planned - 1)).len().max(starts(&other.tick(planned - 1)).len()) <= 1);
            one.tick(planned);
            other.tick(planned);
            let due = one.next().unwrap();
            assert_eq!(Some(due), other.next());
            due.since(planned)
        })
        .collect();
    assert!(dues.iter().all(|ms| (0..=30 * SECOND).contains(ms)), "{dues:?}");
    assert!(dues.iter().collect::<BTreeSet<_>>().len() > 100, "{dues:?}");
}

#[test]
fn at_start_and_by_hand() {
    let mut planner = planner(&[spec("first", "at start"), spec("asked", "by hand")]);
    let first = start(&planner.tick(MONTH));
    assert_eq!((first.id.as_str(), first.by_hand), ("first", false));
    planner.ended(MONTH + 1, first.run, Ended::Succeeded);
    assert_eq!(planner.next(), None);
    assert_eq!(planner.tick(MONTH + 30 * DAY), [], "once");

    let asked = planner.ask(MONTH + DAY, &JobId::new("asked")).unwrap();
    assert!(asked.by_hand);
    assert_eq!(planner.ask(MONTH + DAY, &JobId::new("asked")), Err(Refused::Running(JobId::new("asked"))));
    assert_eq!(planner.ended(MONTH + DAY, asked.run, Ended::Failed), [], "nobody is warned, somebody looks");
    assert!(planner.ask(MONTH + DAY, &JobId::new("asked")).is_ok());
    assert_eq!(planner.ask(MONTH, &JobId::new("what")), Err(Refused::Unknown(JobId::new("what"))));
}

#[test]
fn what_never_ran_runs_at_once_where_that_was_asked_for() {
    let daily = |first_at_once| Spec { jitter_ms: HOUR, first_at_once, ..spec("daily", "0 0 6 * * *") };
    let mut planner = Planner::new(Seed(1));
    planner.register(MONTH, daily(true), Ran::default()).unwrap();
    let first = start(&planner.tick(MONTH));
    assert_eq!(first.planned, MONTH, "without the jitter of planned times");
    planner.ended(MONTH + MINUTE, first.run, Ended::Succeeded);
    assert_eq!(planner.planned(&JobId::new("daily")), Some(MONTH + 6 * HOUR), "and as planned from then on");
    let yesterday = Some(MONTH - 18 * HOUR);
    let tried = Ran { last: yesterday, succeeded: None };
    let ran = Ran { last: yesterday, succeeded: yesterday };
    for (first_at_once, ran, starts) in [(true, tried, 1), (true, ran, 0), (false, Ran::default(), 0)] {
        let mut planner = Planner::new(Seed(1));
        planner.register(MONTH, daily(first_at_once), ran).unwrap();
        assert_eq!(planner.tick(MONTH).len(), starts, "{first_at_once} {ran:?}");
    }
}

#[test]
fn what_succeeded_before_a_restart_keeps_no_job_waiting() {
    let mut planner = Planner::new(Seed(1));
    let fetched = Ran { last: Some(MONTH), succeeded: Some(MONTH) };
    planner.register(MONTH + HOUR, spec("fetch", "0 0 0 * * *"), fetched).unwrap();
    let update =
        Spec { after: vec![JobId::new("fetch")], first_at_once: true, ..spec("update", "0 30 0 * * *") };
    planner.register(MONTH + HOUR, update, Ran::default()).unwrap();
    assert_eq!(start(&planner.tick(MONTH + HOUR)).id.as_str(), "update");
}

#[test]
fn a_run_asked_for_counts_against_the_instances() {
    let mut planner = planner(&[spec("job", "every 1h")]);
    let asked = planner.ask(MONTH + 59 * MINUTE, &JobId::new("job")).unwrap();
    assert_eq!(planner.tick(MONTH + HOUR), []);
    let planned = start(&planner.ended(MONTH + HOUR + MINUTE, asked.run, Ended::Succeeded));
    assert_eq!(planned.planned, MONTH + HOUR);
}
