//! When to stop: a signal, or the time that was given.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal as unix_signal};
use tokio::sync::watch;
use tracing::{error, info};

use crate::say::say;

/// Why it is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// SIGINT: Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// SIGHUP: its terminal is gone, or it was asked to begin anew, which the next start does.
    HungUp,
    /// The time that was given is over.
    TimeOver,
}

impl Why {
    /// For programs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
            Self::HungUp => "hung_up",
            Self::TimeOver => "time_over",
        }
    }

    /// For people: what it was stopped by.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Interrupted => "stopped by Ctrl-C",
            Self::Terminated => "stopped by SIGTERM",
            Self::HungUp => "stopped by SIGHUP",
            Self::TimeOver => "the time given is over",
        }
    }
}

/// Turns true when the process is to stop, and says why.
#[derive(Clone)]
pub(crate) struct Shutdown {
    pub(crate) stop: watch::Receiver<bool>,
    why: watch::Receiver<Option<Why>>,
}

impl Shutdown {
    /// Why it stops; none while it does not.
    pub(crate) fn why(&self) -> Option<Why> {
        *self.why.borrow()
    }
}

/// Turns true at the first SIGINT, SIGTERM or SIGHUP. A second one ends the process at once.
pub(crate) fn signal() -> watch::Receiver<bool> {
    watch("hl-cli: ended at once", None).stop
}

/// The same for the daemon, which also stops after `run_for`.
pub(crate) fn of_daemon(run_for: Option<Duration>) -> Shutdown {
    watch("hl-daemon: ended at once; what was not stored yet becomes a gap at the next start", run_for)
}

/// `at_once` is said where a second signal ends the process.
fn watch(at_once: &'static str, run_for: Option<Duration>) -> Shutdown {
    let (stop, stopped) = watch::channel(false);
    let (tell, why) = watch::channel(None);
    // Ends with the process; nothing waits for it.
    tokio::spawn(async move {
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => {
                error!(%error, "no signals can be received; stop with kill -9");
                return std::future::pending().await;
            }
        };
        let first = tokio::select! {
            biased;
            why = signals.next() => why,
            () = after(run_for) => Why::TimeOver,
        };
        info!(
            "{}; finishing what is in hand",
            match first {
                Why::Interrupted => "interrupted",
                Why::Terminated => "terminated",
                Why::HungUp => "hung up",
                Why::TimeOver => "the time given is over",
            }
        );
        let _ = tell.send(Some(first));
        let _ = stop.send(true);
        signals.next().await;
        say!("{at_once}");
        std::process::exit(130);
    });
    Shutdown { stop: stopped, why }
}

/// Those that ask a process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None where the user who started the process wants it to go on without a terminal: `nohup`.
    hang_up: Option<Signal>,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let hang_up = match is_ignored(1) {
            true => None,
            false => Some(unix_signal(SignalKind::hangup())?),
        };
        let interrupt = unix_signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: unix_signal(SignalKind::terminate())?, hang_up })
    }

    async fn next(&mut self) -> Why {
        let hung_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Why::Interrupted,
            _ = self.terminate.recv() => Why::Terminated,
            _ = hung_up => Why::HungUp,
        }
    }
}

/// Whether the process was started with this signal ignored. Where the system does not say, it was not.
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

async fn after(run_for: Option<Duration>) {
    match run_for {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
