use hl_core::TimeMs;
use hl_core::alert::{Alert, AlertKind};
use hl_core::time::DAY_MS;

use super::New;
use super::fixture::{crash, run};

const RAISED: TimeMs = TimeMs(1_790_000_000_000);

fn alert(kind: AlertKind, subject: &str, raised: TimeMs) -> Alert {
    Alert {
        kind,
        subject: subject.to_owned(),
        severity: kind.severity(),
        raised,
        last_seen: raised,
        times: 1,
        resolved: None,
        words: "nothing comes".to_owned(),
    }
}

/// An alert is written again and again while it stands, and stays one row.
pub fn an_alert_is_one_row_from_its_rise_to_its_end(new: New<'_>) {
    let subject = new();
    run(async {
        let (one, other) = (subject.open().await.unwrap(), subject.open().await.unwrap());
        let mut standing = alert(AlertKind::NoProgress, "ws", RAISED);
        one.put_alert(&standing).await.unwrap();
        one.put_alert(&standing).await.unwrap();
        let later = alert(AlertKind::RateLow, "trades/BTC", RAISED + 5);
        other.put_alert(&later).await.unwrap();
        other.put_alert(&alert(AlertKind::NoProgress, "ws", RAISED)).await.unwrap();
        (standing.last_seen, standing.times) = (RAISED + 60_000, 2);
        one.put_alert(&standing).await.unwrap();

        let inspect = subject.inspect().await.unwrap();
        let open = inspect.alerts(false, 10).await.unwrap();
        assert_eq!(open.len(), 3, "the same of two processes are two: {open:?}");
        assert_eq!((open[0].token, &open[0].alert), (other.token(), &later), "newest first");
        assert_eq!(inspect.alerts(false, 1).await.unwrap(), open[..1]);

        standing.resolved = Some(RAISED + 90_000);
        one.put_alert(&standing).await.unwrap();
        let open = inspect.alerts(false, 10).await.unwrap();
        assert!(open.iter().all(|row| row.token == other.token()), "{open:?}");
        let all = inspect.alerts(true, 10).await.unwrap();
        assert_eq!(all.len(), 3);
        let of_one: Vec<_> = all.into_iter().filter(|row| row.token == one.token()).collect();
        assert_eq!((of_one.len(), &of_one[0].alert), (1, &standing));
    });
}

/// Who is gone has nothing to be looked at, whichever way it went.
pub fn an_alert_ends_with_its_session(new: New<'_>) {
    let subject = new();
    run(async {
        let (closing, dying) = (subject.open().await.unwrap(), subject.open().await.unwrap());
        let stays = subject.open().await.unwrap();
        for store in [&closing, &dying, &stays] {
            store.put_alert(&alert(AlertKind::NoOwner, "mids", RAISED)).await.unwrap();
        }
        closing.close().await.unwrap();
        let dead = dying.token();
        crash(&*subject, dying).await;
        let inspect = subject.inspect().await.unwrap();
        let open = inspect.alerts(false, 10).await.unwrap();
        assert_eq!(open.iter().map(|row| row.token).collect::<Vec<_>>(), [stays.token()]);
        stays.sessions("x").await.unwrap();
        let all = inspect.alerts(true, 10).await.unwrap();
        for row in all.iter().filter(|row| row.token != stays.token()) {
            assert!(row.alert.resolved.is_some(), "{row:?}");
            assert_eq!(row.alert.words, "nothing comes (its process ended)");
        }
        assert!(all.iter().any(|row| row.token == dead) && all.len() == 3);
    });
}

/// The history of alerts does not grow for ever, and none that is open is forgotten.
pub fn ended_alerts_are_kept_for_ninety_days(new: New<'_>) {
    let subject = new();
    run(async {
        let store = subject.open().await.unwrap();
        store.put_alert(&alert(AlertKind::TwoOwners, "mids", RAISED)).await.unwrap();
        for day in 0..100 {
            let raised = RAISED + day * DAY_MS;
            let ended = Alert { resolved: Some(raised + 1), ..alert(AlertKind::RateLow, "mids", raised) };
            store.put_alert(&ended).await.unwrap();
        }
        let all = subject.inspect().await.unwrap().alerts(true, 1_000).await.unwrap();
        let ended: Vec<_> = all.iter().filter(|row| row.alert.kind == AlertKind::RateLow).collect();
        assert_eq!(ended.last().map(|row| row.alert.raised), Some(RAISED + 9 * DAY_MS));
        assert_eq!((ended.len(), all.len()), (91, 92));
    });
}

/// Each process tells about itself, and what it told goes with it.
pub fn the_living_are_seen_with_their_notes(new: New<'_>) {
    let subject = new();
    run(async {
        let (one, other) = (subject.open().await.unwrap(), subject.open().await.unwrap());
        let name = |token: hl_core::Token| format!("word/{}", token.0);
        one.put_note(&name(one.token()), "here").await.unwrap();
        one.put_note("word", "of nobody").await.unwrap();
        other.put_note(&name(other.token()), "there").await.unwrap();
        let silent = subject.open().await.unwrap();
        let living = one.sessions("word").await.unwrap();
        let seen: Vec<_> = living.iter().map(|l| (l.holder.token, l.note.as_deref())).collect();
        assert_eq!(
            seen,
            [(one.token(), Some("here")), (other.token(), Some("there")), (silent.token(), None)]
        );

        let (dead, closed) = (other.token(), silent.token());
        silent.put_note(&name(closed), "soon gone").await.unwrap();
        silent.close().await.unwrap();
        crash(&*subject, other).await;
        let living = one.sessions("word").await.unwrap();
        assert_eq!(living.iter().map(|l| l.holder.token).collect::<Vec<_>>(), [one.token()]);
        for token in [dead, closed] {
            assert_eq!(one.note(&name(token)).await.unwrap(), None);
        }
        assert_eq!(one.note("word").await.unwrap().as_deref(), Some("of nobody"));
    });
}
