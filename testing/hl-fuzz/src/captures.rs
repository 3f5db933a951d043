//! Recordings of the exchange as further texts to begin with, read where they are and nowhere kept.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// Of a recording every so-manyeth line: they resemble each other.
const EVERY: usize = 40;

/// Frames of recorded sockets; none where there are no recordings.
pub(crate) fn frames() -> Vec<String> {
    let texts = texts("ws-books-5m");
    let lines = texts.iter().flat_map(|text| text.lines().step_by(EVERY));
    let frame = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(serde_json::json!({"channel": line.get("channel")?, "data": line.get("data")?}).to_string())
    };
    lines.filter_map(frame).collect()
}

/// Answers of recorded requests; none where there are no recordings.
pub(crate) fn answers() -> Vec<String> {
    texts("account-frames")
}

fn texts(folder: &str) -> Vec<String> {
    let root = std::env::var_os("HL_CAPTURES_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/captures")),
        PathBuf::from,
    );
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}
