//! What is believed of sockets: acknowledgements, answers to mistakes, and what ends one.

use hl_core::message::Subscription;
use serde_json::Value;

use super::aside::unknown_channel;
use super::assumption::{Assumption, Finding, Judged};
use super::evidence::{Answer, Ending, Evidence, Look, Said};
use crate::human;

pub(super) const ALL: &[Assumption] = &[
    Assumption {
        id: "shapes",
        assumed: "everything that comes can be read",
        tried: "the collector's own decoder on every frame and answer",
        otherwise: "What cannot be read is never stored and never skipped in silence: its run ends, and a gap with the \
                    cause 'undecodable' says from when to when.",
        judge: shapes,
    },
    Assumption {
        id: "ack",
        assumed: "a subscription is acknowledged before its first frame",
        tried: "six public subscriptions and one of a user",
        otherwise: "What comes before the acknowledgement is dropped and counted: a replay is lost, and what it would \
                    have closed stays a gap. Without one the stream is subscribed anew after 10s, and left to REST.",
        judge: acknowledged,
    },
    Assumption {
        id: "snapshot-mark",
        assumed: "only the first frame of a user's fills is marked",
        tried: "the fills of the busiest trader",
        otherwise: "Nothing yet: fills of users are not collected.",
        judge: marks,
    },
    Assumption {
        id: "pong",
        assumed: "a ping is answered within 10s",
        tried: "one ping on a new socket",
        otherwise: "A socket that brings data stays, and the times of its frames prove its bars instead. One that brings \
                    nothing for 10s is taken for dead: the collector opens another, and REST has the streams meanwhile.",
        judge: |e| match e.pong.clone()? {
            Some(ms) => Finding::of(true, format!("after {}", human::length(ms))),
            None => Finding::of(false, "no answer"),
        },
    },
    Assumption {
        id: "duplicate",
        assumed: "a second subscription: 'Already subscribed: …'",
        tried: "the same is subscribed twice",
        otherwise: "The collector takes it for an acknowledgement by these words. Others that quote the subscription put \
                    it into quarantine for a while, and any others have it subscribed anew after 10s; REST has the \
                    stream meanwhile.",
        judge: |e| {
            said(&e.duplicate, |words| {
                let echo = words.strip_prefix("Already subscribed: ").map(serde_json::from_str::<Value>);
                let fast =
                    Subscription::L2Book { coin: e.coin, n_sig_figs: None, mantissa: None, fast: true };
                echo.is_some_and(|echo| echo.is_ok_and(|echo| fast.matches_echo(&echo)))
            })
        },
    },
    Assumption {
        id: "not-subscribed",
        assumed: "the end of nothing: 'Already unsubscribed: …'",
        tried: "what was never subscribed is unsubscribed",
        otherwise: "Nothing: the collector does not wait for this answer.",
        judge: |e| said(&e.not_subscribed, |words| words.starts_with("Already unsubscribed: ")),
    },
    Assumption {
        id: "unknown-channel",
        assumed: "an unknown channel: 'Error parsing JSON …', no more",
        tried: "a channel that does not exist is subscribed",
        otherwise: "The collector never asks for one; its words would only be logged.",
        judge: |e| {
            said(&e.unknown_channel, |words| {
                words.strip_prefix("Error parsing JSON into valid websocket request: ")
                    == Some(&unknown_channel(e.coin))
            })
        },
    },
    Assumption {
        id: "silent-kill",
        assumed: "an unknown coin ends the socket without a word",
        tried: "on a socket of its own",
        otherwise: "The collector quarantines a subscription that ends sockets, or that an error quotes; an answer \
                    of another kind leaves that stream to REST.",
        judge: |e| {
            let ending = e.kill.as_ref().map_err(Clone::clone)?;
            Finding::of(silent(ending).is_some(), describe(ending))
        },
    },
    Assumption {
        id: "idle-close",
        assumed: "a socket that is sent nothing is closed after 60s",
        tried: "a socket without subscriptions is left alone for up to 75s",
        otherwise: "The collector pings every 20s, and every 5s where bars are on the socket. Less than that would close \
                    quiet sockets between two pings.",
        judge: |e| {
            let ending = e.idle.as_ref().map_err(Clone::clone)?;
            let holds = silent(ending).is_some_and(|ms| (55_000..=65_000).contains(&ms));
            Finding::of(holds, describe(ending))
        },
    },
];

/// Tried on request only: it takes user slots of this address.
pub(super) const USER_CAP: Assumption = Assumption {
    id: "user-cap",
    assumed: "15 users can be followed",
    tried: "users are followed one after another until the exchange refuses",
    otherwise: "Nothing yet: users are not followed by the collector.",
    judge: |e| {
        let cap = e.users.as_ref().map_err(Clone::clone)?;
        match &cap.refusal {
            Some(words) => {
                let holds = cap.taken == 15 && words.starts_with("Cannot track more than 15 total users");
                Finding::of(holds, format!("{}, then: {}", cap.taken, short(words)))
            }
            None if cap.taken > 15 => Finding::of(false, format!("{} or more", cap.taken)),
            None => Err(format!("only {} users came up", cap.taken)),
        }
    },
};

fn shapes(e: &Evidence) -> Judged {
    let all = e.shapes.read + e.shapes.refused;
    match &e.shapes.first {
        Some(first) => {
            Finding::of(false, format!("{} of {all} frames cannot: {}", e.shapes.refused, short(first)))
        }
        None if all == 0 => Err("no frame came".to_owned()),
        None => Finding::of(true, format!("{all} frames")),
    }
}

fn acknowledged(e: &Evidence) -> Judged {
    let asked = &e.listened.asked;
    let open = asked.iter().filter(|(_, acknowledged)| !acknowledged).count();
    if let Some(name) = e.listened.early.first() {
        return Finding::of(false, format!("frames of {name} came before"));
    }
    if open > 0 && e.listened.ended.is_some() {
        return Err(e.listened.missing("not all were acknowledged"));
    }
    Finding::of(open == 0, format!("{} of {}", asked.len() - open, asked.len()))
}

fn marks(e: &Evidence) -> Judged {
    let Some(((first, _), later)) = e.listened.fills.split_first() else {
        return Err(e.listened.missing("no fills of a user came"));
    };
    let marked = later.iter().filter(|(mark, _)| *mark == Some(true)).count();
    let first = *first == Some(true);
    let word = if first { "the first is" } else { "the first is not" };
    let later = match later.len() {
        0 => "no later one came".to_owned(),
        all => format!("{marked} of {all} later ones"),
    };
    Finding::of(first && marked == 0, format!("{word}; {later}"))
}

fn said(look: &Look<Said>, right: impl Fn(&str) -> bool) -> Judged {
    let Said { answer, ended } = look.as_ref().map_err(Clone::clone)?;
    let (right, mut seen) = match answer {
        Answer::Error(words) => (right(words), short(words)),
        Answer::Acknowledged => (false, "it is acknowledged".to_owned()),
        Answer::Nothing => (false, "no answer".to_owned()),
    };
    if let Some(why) = ended {
        seen = format!("{seen}; then {why}");
    }
    Finding::of(right && ended.is_none(), seen)
}

/// After how many ms a socket ended, without a frame and without a goodbye.
fn silent(ending: &Ending) -> Option<i64> {
    let (ms, end) = ending.end.as_ref()?;
    (ending.said.is_none() && !end.goodbye).then_some(*ms)
}

fn describe(ending: &Ending) -> String {
    let end = match &ending.end {
        None => "it stays open".to_owned(),
        Some((ms, end)) if end.goodbye => format!("after {}: {}", human::length(*ms), end.words),
        Some((ms, _)) => format!("after {}, without a goodbye", human::length(*ms)),
    };
    match &ending.said {
        Some(frame) => format!("{end}; it said: {}", short(frame)),
        None => end,
    }
}

/// The beginning of what may be long.
fn short(words: &str) -> String {
    const MOST: usize = 60;
    match words.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}
