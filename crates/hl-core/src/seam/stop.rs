use tokio::sync::watch;

/// Resolves when the stop signal turned true, or nobody can give it any more. Safe to drop and call again.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The value that is borrowed here must not live across the branches of a `select!`.
    let _ = stop.wait_for(|stop| *stop).await;
}
