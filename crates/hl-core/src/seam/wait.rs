use tokio::sync::watch;
use tokio::time::Instant;

/// Resolves when the stop signal turned true, or nobody can give it any more. Safe to drop and call again.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The value that is borrowed here must not live across the branches of a `select!`.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Resolves at a point in time, or never where there is none. Safe to drop and call again.
pub async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
