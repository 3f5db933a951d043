//! Whether a process is healthy: what `/healthz` says.

use hl_core::alert::{Alert, AlertKind};
use hl_core::{TimeMs, Token};
use serde::Serialize;

use crate::{Process, ProcessKind, State, TotalReception};

/// A picture older than this says nothing of now, ms: whoever makes it is stuck.
pub const STALE_MS: i64 = 20_000;

/// What a process publishes of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Health {
    /// When, exchange time, ms.
    pub at: TimeMs,
    /// The token of its session on the store.
    pub token: Token,
    /// Everything that runs in it.
    pub processes: Vec<Process>,
    /// Its open alerts, oldest first.
    pub alerts: Vec<Alert>,
}

impl Health {
    /// Why it is not healthy, in words, `age_ms` after the picture was taken; nothing where it is. `reception` may be newer
    /// than the picture.
    #[must_use]
    pub fn reasons(&self, reception: &TotalReception, age_ms: i64) -> Vec<String> {
        let mut reasons = Vec::new();
        if age_ms > STALE_MS {
            reasons.push(format!("nothing was heard of the collector for {} s", age_ms / 1_000));
        }
        let not_receiving = reception.reason();
        let receives = not_receiving.is_none();
        reasons.extend(not_receiving);
        let mut collectors = self.processes.iter().filter(|p| p.kind == ProcessKind::Collector).peekable();
        if collectors.peek().is_none() {
            reasons.push("it has not begun to collect".to_owned());
        } else if receives && collectors.all(|collector| collector.state != State::Running) {
            reasons.push("it collects no stream".to_owned());
        }
        let stuck = |subject: &str| {
            self.alerts.iter().find(|alert| alert.kind == AlertKind::NoProgress && alert.subject == subject)
        };
        if let Some(alert) = self.alerts.iter().find(|alert| alert.kind == AlertKind::StoreGone) {
            reasons.push(format!("store: {}", alert.words));
        }
        if let Some(alert) = stuck("writer") {
            reasons.push(format!("writer: {}", alert.words));
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reception;

    fn collector(state: State) -> Process {
        Process {
            kind: ProcessKind::Collector,
            name: "mids".to_owned(),
            state,
            owner: None,
            since: TimeMs(0),
            last_progress: None,
            restarts: 0,
            reception: None,
        }
    }

    fn stuck(subject: &str) -> Alert {
        Alert {
            kind: AlertKind::NoProgress,
            subject: subject.to_owned(),
            severity: AlertKind::NoProgress.severity(),
            raised: TimeMs(0),
            last_seen: TimeMs(0),
            times: 1,
            resolved: None,
            words: "nothing for 60 s".to_owned(),
        }
    }

    #[test]
    fn a_process_is_healthy_while_it_collects_and_stores() {
        let health = Health { processes: vec![collector(State::Running)], ..Health::default() };
        let fine = TotalReception::default();
        assert_eq!(health.reasons(&fine, STALE_MS), Vec::<String>::new());
        let reasons = |alerts: &[&str], state, age_ms| {
            let alerts = alerts.iter().map(|subject| stuck(subject)).collect();
            Health { processes: vec![collector(state)], alerts, ..Health::default() }.reasons(&fine, age_ms)
        };
        assert_eq!(reasons(&["ws"], State::Running, 0), Vec::<String>::new(), "REST carries it");
        assert_eq!(reasons(&["writer"], State::Running, 0), ["writer: nothing for 60 s"]);
        let why = Some("ws: refused; rest: HTTP 502".to_owned());
        let nothing = TotalReception { state: Reception::Failing, silent_ms: 77_000, why, ..fine.clone() };
        for state in [State::Running, State::Down] {
            let said = Health { processes: vec![collector(state)], ..Health::default() }.reasons(&nothing, 0);
            assert_eq!(said, ["not receiving for 77 s: ws: refused; rest: HTTP 502"]);
        }
        let gone = Alert { kind: AlertKind::StoreGone, ..stuck("store") };
        let processes = vec![collector(State::Running)];
        let away = Health { processes, alerts: vec![gone], ..Health::default() };
        assert_eq!(away.reasons(&fine, 0), ["store: nothing for 60 s"]);
        assert_eq!(reasons(&[], State::Down, 0), ["it collects no stream"]);
        assert_eq!(
            reasons(&[], State::Running, 61_000),
            ["nothing was heard of the collector for 61 s"],
            "a stuck collector is never healthy"
        );
        assert_eq!(Health::default().reasons(&fine, 0), ["it has not begun to collect"]);
    }
}
