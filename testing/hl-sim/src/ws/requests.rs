//! What clients send, and the answers: acknowledgements before data, and the exchange's own error strings.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::hub::What;
use super::push;
use super::topic::{Bad, Topic};
use crate::sim::{Source, State};
use crate::wire;

/// What becomes of the socket after a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Continue,
    /// It is dropped without a word after this time.
    Drop(Duration),
}

/// One in four replays is followed by its newest trade once more.
const RESENT_ONE_IN: u32 = 4;

/// Handles one text message.
pub(crate) fn on_text(state: &mut State, id: u64, text: &str, now: Instant) -> Next {
    if state.hub.is_half_open(id) {
        return Next::Continue;
    }
    if !state.hub.usage.take_message(now) {
        let limit = state.hub.usage.limits.messages;
        error(state, id, &format!("Cannot send more than {limit} messages per minute."), now);
        return Next::Continue;
    }
    let answered = serde_json::from_str::<Value>(text).map_err(|_| Bad::Parse).and_then(|request| {
        match request.get("method").and_then(Value::as_str) {
            Some("ping") => {
                if state.hub.assumptions.pong && !state.hub.faults.swallows_pong(now) {
                    state.hub.send(id, What::Control, &Bytes::from_static(br#"{"channel":"pong"}"#), now);
                }
                Ok(Next::Continue)
            }
            Some("subscribe") => subscribe(state, id, topic(state, &request)?, now),
            Some("unsubscribe") => unsubscribe(state, id, &topic(state, &request)?, now),
            Some("post") => post(state, id, &request, now),
            _ => Err(Bad::Parse),
        }
    });
    match answered {
        Ok(next) => next,
        Err(Bad::Parse) if state.hub.assumptions.unknown_channel => {
            error(state, id, &format!("Error parsing JSON into valid websocket request: {text}"), now);
            Next::Continue
        }
        Err(Bad::Parse) => Next::Continue,
        Err(Bad::Fatal) if !state.hub.assumptions.silent_kill => {
            error(state, id, &format!("Invalid subscription: {text}"), now);
            Next::Continue
        }
        Err(Bad::Fatal) => {
            state.hub.counters.fatal_subscriptions += 1;
            let wait = state.hub.socket(id).map_or(100, |s| s.rng.u64(100..800));
            Next::Drop(Duration::from_millis(wait))
        }
    }
}

/// The topic of a request, whose market must be listed.
fn topic(state: &State, request: &Value) -> Result<Topic, Bad> {
    let topic = Topic::parse(request.get("subscription").ok_or(Bad::Parse)?)?;
    match topic.coin() {
        Some(coin) if !state.source.lists(coin) => Err(Bad::Fatal),
        _ => Ok(topic),
    }
}

fn error(state: &mut State, id: u64, text: &str, now: Instant) {
    state.hub.send(id, What::Control, &wire::frame("error", text), now);
}

fn acknowledge(state: &mut State, id: u64, method: &str, topic: &Topic, now: Instant) {
    if state.hub.faults.swallows_ack(now) {
        return;
    }
    // Composed as text: the order of the keys is the exchange's.
    let text = format!(
        r#"{{"channel":"subscriptionResponse","data":{{"method":"{method}","subscription":{}}}}}"#,
        topic.echo()
    );
    state.hub.send(id, What::Control, &Bytes::from(text), now);
}

fn subscribe(state: &mut State, id: u64, topic: Topic, now: Instant) -> Result<Next, Bad> {
    let limits = state.hub.usage.limits;
    if state.hub.socket(id).is_some_and(|s| s.topics.contains(&topic)) {
        if state.hub.assumptions.duplicate {
            error(state, id, &format!("Already subscribed: {}", topic.echo()), now);
        } else {
            acknowledge(state, id, "subscribe", &topic, now);
        }
        return Ok(Next::Continue);
    }
    if state.hub.subscriptions() + state.hub.usage.ghosts(now) >= limits.subscriptions {
        error(state, id, &format!("Cannot subscribe to more than {} channels.", limits.subscriptions), now);
        return Ok(Next::Continue);
    }
    if let Some(user) = topic.user() {
        let (users, most) = (state.hub.users(), state.hub.user_cap(now));
        if !users.contains(&user) && users.len() >= most {
            state.hub.faults.refused_user(now);
            error(state, id, &format!("Cannot track more than {most} total users."), now);
            return Ok(Next::Continue);
        }
    }
    if state.hub.faults.kills(now, topic.stream()) {
        return Ok(Next::Drop(Duration::ZERO));
    }
    state.hub.subscribe(id, topic.clone());
    let acknowledged_first = state.hub.assumptions.ack;
    if acknowledged_first {
        acknowledge(state, id, "subscribe", &topic, now);
    }
    match &mut state.source {
        Source::Replay(replay) => {
            replay.begin(now);
            state.wake.notify_one();
        }
        Source::Market(exchange) => {
            let socket_rng = state.hub.socket(id).map(|s| s.rng.u32(0..RESENT_ONE_IN));
            let resend = socket_rng == Some(0);
            let stale_ms = match topic {
                Topic::Trades(_) => state.hub.faults.stale_replay(now, topic.stream()),
                _ => None,
            };
            for frame in push::first_frames(exchange, &mut state.hub, id, &topic, resend, stale_ms) {
                state.hub.send(id, What::Data(topic.stream()), &frame, now);
            }
        }
    }
    if !acknowledged_first {
        acknowledge(state, id, "subscribe", &topic, now);
    }
    Ok(Next::Continue)
}

fn unsubscribe(state: &mut State, id: u64, topic: &Topic, now: Instant) -> Result<Next, Bad> {
    if state.hub.unsubscribe(id, topic) || !state.hub.assumptions.not_subscribed {
        acknowledge(state, id, "unsubscribe", topic, now);
    } else {
        error(state, id, &format!("Already unsubscribed: {}", topic.echo()), now);
    }
    Ok(Next::Continue)
}

/// An `/info` request over the socket. Whether the exchange counts its weight is not known; here it does not.
fn post(state: &mut State, id: u64, request: &Value, now: Instant) -> Result<Next, Bad> {
    let number = request.get("id").and_then(Value::as_u64).ok_or(Bad::Parse)?;
    let inner = request.get("request").ok_or(Bad::Parse)?;
    let payload = inner.get("payload").ok_or(Bad::Parse)?;
    let response = match inner.get("type").and_then(Value::as_str) {
        Some("info") => {
            let reply = state.answer(payload, now);
            if reply.status == 200 {
                let data: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
                json!({"type": "info", "payload": {"type": payload.get("type"), "data": data}})
            } else {
                let text = String::from_utf8_lossy(&reply.body);
                json!({"type": "error", "payload": format!("{}: {text}", reply.status)})
            }
        }
        Some("action") => json!({"type": "error", "payload": "Must deposit before performing actions."}),
        _ => return Err(Bad::Parse),
    };
    let frame = wire::frame("post", json!({"id": number, "response": response}));
    state.hub.send(id, What::Control, &frame, now);
    Ok(Next::Continue)
}
