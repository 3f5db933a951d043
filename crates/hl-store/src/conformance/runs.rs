use hl_core::TimeMs;
use hl_core::runs::{Begun, Outcome, Report};
use hl_core::time::DAY_MS;

use super::New;
use super::fixture::{crash, run};

const PLANNED: TimeMs = TimeMs(1_790_000_000_000);

fn report(outcome: Outcome) -> Report {
    Report {
        outcome,
        rows: 7,
        weight: 40,
        error: (outcome != Outcome::Succeeded).then(|| "no answer".to_owned()),
    }
}

/// Of two processes one runs what was planned; who failed tries again, and what succeeded is not done twice.
pub fn a_planned_run_is_run_once(new: New<'_>) {
    let subject = new();
    run(async {
        let (one, other) = (subject.open().await.unwrap(), subject.open().await.unwrap());
        assert_eq!(one.begin_run("job", PLANNED).await.unwrap(), Begun::Yes(1));
        for store in [&one, &other] {
            let begun = store.begin_run("job", PLANNED).await.unwrap();
            assert!(matches!(begun, Begun::Elsewhere(holder) if holder.token == one.token()), "it runs");
        }
        assert_eq!(other.begin_run("job", PLANNED + 1).await.unwrap(), Begun::Yes(1), "another planned time");
        assert_eq!(other.begin_run("jobs", PLANNED).await.unwrap(), Begun::Yes(1), "another job");

        other.end_run("job", PLANNED, report(Outcome::Succeeded)).await.unwrap();
        let begun = other.begin_run("job", PLANNED).await.unwrap();
        assert!(matches!(begun, Begun::Elsewhere(_)), "nobody ends what somebody else runs");
        one.end_run("job", PLANNED, report(Outcome::Failed)).await.unwrap();
        let begun = other.begin_run("job", PLANNED).await.unwrap();
        assert!(matches!(begun, Begun::Elsewhere(_)), "who failed tries again");
        assert_eq!(one.begin_run("job", PLANNED).await.unwrap(), Begun::Yes(2));
        one.end_run("job", PLANNED, report(Outcome::Succeeded)).await.unwrap();
        for store in [&one, &other] {
            assert_eq!(store.begin_run("job", PLANNED).await.unwrap(), Begun::Done);
        }
        one.end_run("job", PLANNED, report(Outcome::Failed)).await.unwrap();

        let rows = other.runs(Some("job"), 10).await.unwrap();
        let row = rows.iter().find(|row| row.planned == PLANNED).unwrap();
        assert_eq!((row.attempt, row.token, row.outcome), (2, one.token(), Some(Outcome::Succeeded)));
        assert_eq!((row.rows, row.weight, &row.error), (7, 40, &None));
        assert!(row.ended.is_some_and(|ended| ended >= row.started));
        assert_eq!((rows.len(), other.runs(None, 10).await.unwrap().len()), (2, 3));
        assert_eq!(other.runs(None, 1).await.unwrap().len(), 1);
    });
}

/// A run of a process that died is free, and the dead end nothing.
pub fn what_the_dead_began_is_begun_anew(new: New<'_>) {
    let subject = new();
    run(async {
        let dying = subject.open().await.unwrap();
        assert_eq!(dying.begin_run("job", PLANNED).await.unwrap(), Begun::Yes(1));
        crash(&*subject, dying).await;
        let store = subject.open().await.unwrap();
        let rows = store.runs(None, 10).await.unwrap();
        assert_eq!((rows[0].ended, rows[0].outcome), (None, None));
        assert_eq!(store.begin_run("job", PLANNED).await.unwrap(), Begun::Yes(2));
        store.end_run("job", PLANNED, report(Outcome::TimedOut)).await.unwrap();
        store.close().await.unwrap();
        let last = subject.open().await.unwrap();
        assert_eq!(last.begin_run("job", PLANNED).await.unwrap(), Begun::Yes(3));
        let rows = last.runs(Some("job"), 10).await.unwrap();
        assert_eq!(
            (rows.len(), rows[0].outcome, &rows[0].error),
            (1, None, &None),
            "what the last attempt says"
        );
    });
}

/// The history of a job does not grow for ever.
pub fn runs_are_kept_for_a_month(new: New<'_>) {
    let subject = new();
    run(async {
        let store = subject.open().await.unwrap();
        store.begin_run("rare", PLANNED).await.unwrap();
        for day in 0..40 {
            let planned = PLANNED + day * DAY_MS;
            assert_eq!(store.begin_run("daily", planned).await.unwrap(), Begun::Yes(1));
            store.end_run("daily", planned, report(Outcome::Succeeded)).await.unwrap();
        }
        let of = async |job| store.runs(Some(job), 100).await.unwrap();
        let daily = of("daily").await;
        assert_eq!(daily.iter().map(|row| row.planned).min(), Some(PLANNED + 9 * DAY_MS));
        assert_eq!(daily.len(), 31);
        assert_eq!(of("rare").await.len(), 1, "the newest of each job stays");
    });
}

/// What a living session asks for anybody may begin, once; it can be taken back until then, and is void with who asked.
pub fn a_run_that_is_asked_for_is_begun_once(new: New<'_>) {
    let subject = new();
    run(async {
        let (one, other) = (subject.open().await.unwrap(), subject.open().await.unwrap());
        let asked = async || other.requested_runs().await.unwrap();
        let first = one.request_run("job").await.unwrap();
        let second = one.request_run("job").await.unwrap();
        assert!(first < second, "two wishes are two runs");
        assert_eq!(asked().await, [("job".to_owned(), first), ("job".to_owned(), second)]);
        let rows = other.runs(Some("job"), 10).await.unwrap();
        assert!(rows.iter().all(|row| row.attempt == 0 && row.token == one.token() && row.ended.is_none()));

        assert_eq!(other.begin_run("job", first).await.unwrap(), Begun::Yes(1));
        assert!(matches!(one.begin_run("job", first).await.unwrap(), Begun::Elsewhere(_)), "it is begun");
        assert_eq!(asked().await, [("job".to_owned(), second)]);
        one.end_run("job", first, report(Outcome::Stopped)).await.unwrap();
        other.end_run("job", first, report(Outcome::Succeeded)).await.unwrap();
        one.end_run("job", second, Report::skipped(&"taken back")).await.unwrap();
        assert_eq!(asked().await, []);
        let rows = other.runs(Some("job"), 10).await.unwrap();
        let row = |planned| rows.iter().find(|row| row.planned == planned).unwrap();
        assert_eq!(row(first).outcome, Some(Outcome::Succeeded));
        assert_eq!(
            (row(second).outcome, row(second).error.as_deref()),
            (Some(Outcome::Skipped), Some("taken back"))
        );

        let dying = subject.open().await.unwrap();
        dying.request_run("other").await.unwrap();
        assert_eq!(asked().await.len(), 1);
        dying.close().await.unwrap();
        assert_eq!(asked().await, [], "void with who asked");
    });
}

/// What one process skipped another may do.
pub fn a_run_that_was_skipped_may_be_begun(new: New<'_>) {
    let subject = new();
    run(async {
        let (one, other) = (subject.open().await.unwrap(), subject.open().await.unwrap());
        one.begin_run("job", PLANNED).await.unwrap();
        one.end_run("job", PLANNED, Report::skipped(&"an earlier run had not ended")).await.unwrap();
        assert_eq!(other.begin_run("job", PLANNED).await.unwrap(), Begun::Yes(2));
        assert!(matches!(one.begin_run("job", PLANNED).await.unwrap(), Begun::Elsewhere(_)));
    });
}
