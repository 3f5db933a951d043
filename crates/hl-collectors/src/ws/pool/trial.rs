//! The task of the trials: one socket at a time, and none while nothing is tried.

use std::sync::Arc;

use hl_core::decode;
use hl_core::seam::{sleep_until, stopped};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::{Act, Connection, Incoming, WsPool, lock, maybe, next};

impl WsPool {
    pub(super) async fn run_trials(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut masks = self.seed.derive("trials").rng("masks");
        let mut link: Option<Connection> = None;
        let mut opening = None;
        let mut acts = Vec::new();
        let mut version = lock(&self.trials).version();
        loop {
            let now = self.mono.now();
            lock(&self.trials).tick(now, &mut acts);
            let mut ended = None;
            let mut told = Vec::new();
            for act in acts.drain(..) {
                match act {
                    Act::Connect => {
                        let full = lock(&self.plan).is_full();
                        match lock(&self.connects).ask_for_trial(now, full) {
                            Ok(()) => opening = Some(self.open(masks.fork())),
                            Err(until) => lock(&self.trials).wait(until),
                        }
                    }
                    Act::Send(text) => {
                        if let Some(connection) = &mut link
                            && let Err(error) = connection.send_text(text).await
                        {
                            ended = Some(error.to_string());
                        }
                    }
                    Act::Close => ended = Some("nothing is left to try".to_owned()),
                    Act::Convicted(_) | Act::Cleared(_) => told.push(act),
                }
            }
            self.tell(told);
            if let Some(why) = ended {
                opening = None;
                if let Some(connection) = link.take() {
                    connection.close().await;
                }
                self.lost_trial(&why);
                continue;
            }
            let newest = lock(&self.trials).version();
            if std::mem::replace(&mut version, newest) != newest {
                self.slots.iter().for_each(|slot| slot.ordered.notify_one());
            }
            let deadline = lock(&self.trials).next_deadline().map(|at| self.mono.instant(at));
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                () = self.on_trial.notified() => {}
                opened = maybe(opening.as_mut()) => {
                    opening = None;
                    match opened {
                        Ok(connection) => {
                            link = Some(connection);
                            lock(&self.trials).connected();
                        }
                        Err(error) => self.lost_trial(&error.to_string()),
                    }
                }
                incoming = next(link.as_mut()) => match incoming {
                    // What cannot be read answers nothing.
                    Incoming::Text { mut text, .. } => if let Ok(frame) = decode::frame(&mut text, self.mono.exchange()) {
                        lock(&self.trials).frame(self.mono.now(), &frame, &mut acts);
                    },
                    Incoming::Ping(payload) => {
                        if let Some(connection) = &mut link
                            && let Err(error) = connection.send_pong(payload).await
                        {
                            link = None;
                            self.lost_trial(&error.to_string());
                        }
                    }
                    Incoming::Closed(end) => {
                        link = None;
                        self.lost_trial(&end.words);
                    }
                },
                () = sleep_until(deadline) => {}
            }
        }
        if let Some(connection) = link {
            connection.close().await;
        }
    }

    fn lost_trial(&self, why: &str) {
        debug!(why, "the socket for trials ended");
        let now = self.mono.now();
        lock(&self.connects).lost_trial(now);
        lock(&self.trials).closed(now);
    }

    /// Says what was found out.
    pub(super) fn tell(&self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Convicted(case) => {
                    let again_s = (case.next - self.mono.now()) / 1_000;
                    let (name, streams) = (case.subject, case.streams);
                    warn!(
                        name,
                        ?streams,
                        why = case.why,
                        failed = case.failed,
                        again_s,
                        "in quarantine: over REST meanwhile"
                    );
                    self.convicted.notify_one();
                }
                Act::Cleared(name) => info!(name, "no longer in quarantine"),
                Act::Connect | Act::Send(_) | Act::Close => {}
            }
        }
    }
}
