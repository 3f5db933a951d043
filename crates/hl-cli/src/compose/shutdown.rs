//! When to stop: a signal, or the time that was given.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal as unix_signal};
use tokio::sync::watch;
use tracing::{error, info};

/// Turns true at the first SIGINT or SIGTERM, or after `run_for`. A second signal ends the process at once.
pub(crate) fn signal(run_for: Option<Duration>) -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    // Ends with the process; nothing waits for it.
    tokio::spawn(async move {
        let (mut interrupt, mut terminate) =
            match (unix_signal(SignalKind::interrupt()), unix_signal(SignalKind::terminate())) {
                (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
                (Err(error), _) | (_, Err(error)) => {
                    error!(%error, "no signals can be received; stop with kill -9");
                    return std::future::pending().await;
                }
            };
        tokio::select! {
            biased;
            _ = interrupt.recv() => info!("interrupted; finishing what is in hand"),
            _ = terminate.recv() => info!("terminated; finishing what is in hand"),
            () = after(run_for) => info!("the time given is over"),
        }
        let _ = stop.send(true);
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // What is in hand becomes a gap at the next start, as after a crash.
        std::process::exit(130);
    });
    stopped
}

async fn after(run_for: Option<Duration>) {
    match run_for {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
