//! The recordings' own formats: cassettes and transcripts.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// Every file under `folder`, in order of its path.
pub(crate) fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

#[derive(Deserialize)]
struct Cassette {
    interactions: Vec<Interaction>,
}

#[derive(Deserialize)]
struct Interaction {
    request: Sent,
    response: Answered,
}

#[derive(Deserialize)]
struct Sent {
    body: String,
}

#[derive(Deserialize)]
struct Answered {
    body: Body,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Text(String),
    Boxed { string: String },
}

/// Requests and answers of a cassette.
pub(crate) fn cassette(path: &Path) -> Vec<(Value, Value)> {
    let cassette: Cassette = serde_saphyr::from_str(&fs::read_to_string(path).unwrap())
        .unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let parse =
        |text: &str| serde_json::from_str(text).unwrap_or_else(|e| panic!("{path:?}: {e}: {text:.80}"));
    let pair = |i: Interaction| {
        let (Body::Text(answer) | Body::Boxed { string: answer }) = i.response.body;
        (parse(&i.request.body), parse(&answer))
    };
    cassette.interactions.into_iter().map(pair).collect()
}

/// The path and the answer of a REST transcript: method, path, whether it is signed, then JSON.
pub(crate) fn endpoint(path: &Path) -> (String, Value) {
    let text = fs::read_to_string(path).unwrap();
    let mut parts = text.splitn(4, '\n').map(|part| part.trim_start_matches('\u{feff}').trim());
    let (_, endpoint, _) = (parts.next(), parts.next().unwrap(), parts.next());
    (
        endpoint.to_owned(),
        serde_json::from_str(parts.next().unwrap()).unwrap_or_else(|e| panic!("{path:?}: {e}")),
    )
}

/// Who sent a line of a WebSocket transcript.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Client,
    Acknowledgement,
    Push,
}

/// The messages of a WebSocket transcript.
pub(crate) fn transcript(path: &Path) -> Vec<(Direction, Value)> {
    let mut messages: Vec<(Direction, String)> = Vec::new();
    for line in fs::read_to_string(path).unwrap().trim_start_matches('\u{feff}').lines() {
        let direction = match line.chars().next() {
            Some('>') => Direction::Client,
            Some('<') => Direction::Acknowledgement,
            Some('=') => Direction::Push,
            _ => {
                messages.last_mut().unwrap().1.push_str(line);
                continue;
            }
        };
        messages.push((direction, line[1..].trim_start_matches(|c: char| c.is_ascii_digit()).to_owned()));
    }
    let parse =
        |text: String| serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path:?}: {e}: {text}"));
    messages.into_iter().map(|(direction, text)| (direction, parse(text))).collect()
}
