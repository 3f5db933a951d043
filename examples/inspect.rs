//! Reads what a store knows of one stream: what is covered, by which source, and every gap with its cause.
//!
//! `cargo run --example inspect -- data/hyperliquid.db trades/BTC`, also while a collector writes.

use hyperliquid_collector::{Inspect as _, SqliteStore, StreamKey};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(stream)) = (arguments.next(), arguments.next()) else {
        return Err("usage: inspect STORE STREAM, such as data/hyperliquid.db trades/BTC".into());
    };
    let stream: StreamKey = stream.parse()?;
    let store = SqliteStore::inspect(&path)?;

    println!("covered, UTC milliseconds");
    for piece in store.coverage(Some(stream)).await? {
        println!(
            "  {} to {}  {} rows  {}",
            piece.span.from,
            piece.span.to,
            piece.rows,
            piece.source.as_str()
        );
    }

    let gaps = store.gaps(Some(stream)).await?;
    println!("gaps");
    for gap in &gaps {
        let (cause, state) = (gap.cause.as_str(), gap.state.as_str());
        println!("  {} to {}  {} ms  {cause}, {state}", gap.span.from, gap.span.to, gap.span.ms());
    }

    // Training data must not reach across a hole.
    let missing: i64 = gaps.iter().filter(|gap| gap.is_missing()).map(|gap| gap.span.ms()).sum();
    println!("{missing} ms of {stream} are not proven complete");
    Ok(())
}
