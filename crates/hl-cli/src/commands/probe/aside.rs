//! Short-lived sockets beside the one that is listened to, never more than one at a time: how the exchange answers
//! mistakes, and what ends a socket.

use std::time::Duration;

use hl_core::Coin;
use hl_core::message::{Request, Subscription};
use hl_core::record::Address;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Subject;
use super::evidence::{Answer, BookSeen, Cap, Ending, Look, Notes};
use super::progress::Progress;
use super::wire::{Heard, Wire};

/// No market has this name, whatever will be listed.
pub(super) const NO_COIN: &str = "NO-SUCH-COIN";
/// A pong may take as long as the daemon waits for one.
const PONG_LIMIT: Duration = Duration::from_secs(10);
/// How long fast books are counted.
const FAST_FOR: Duration = Duration::from_secs(12);
/// A bad subscription ends its socket within this.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// A silent socket is closed within this.
const IDLE_LIMIT: Duration = Duration::from_secs(75);
/// Users that are tried at most.
const MOST_USERS: usize = 20;

/// Everything that needs a socket of its own, one after another.
pub(super) async fn aside(subject: &Subject, coin: Coin, notes: &Notes, progress: &Progress) {
    progress.say("mistakes on a second socket");
    if let Err(why) = manners(subject, coin, notes).await {
        // Those that came before have their answer.
        notes.with(|e| {
            let lost = format!("the second socket failed: {why}");
            if let Err(why) = &mut e.pong {
                why.clone_from(&lost);
            }
            if let Err(why) = &mut e.fast {
                why.clone_from(&lost);
            }
            for look in [&mut e.duplicate, &mut e.not_subscribed, &mut e.unknown_channel] {
                if let Err(why) = look {
                    why.clone_from(&lost);
                }
            }
        });
    }
    progress.say("a subscription to a coin that does not exist");
    let kill = ending(subject, notes, Some(NO_COIN), KILL_LIMIT).await;
    notes.with(|e| e.kill = kill);
    progress.say("a socket without subscriptions");
    let idle = ending(subject, notes, None, IDLE_LIMIT).await;
    notes.with(|e| e.idle = idle);
}

/// A ping, fast books, and three mistakes that a socket survives.
async fn manners(subject: &Subject, coin: Coin, notes: &Notes) -> Look<()> {
    let mut wire = Wire::open(subject, notes, "mistakes").await?;
    let sent = subject.mono().now();
    wire.send(&Request::Ping).await?;
    let pong = wire.next_on("pong", PONG_LIMIT).await?;
    notes.with(|e| e.pong = Ok(pong.map(|at| at - sent)));

    let fast = Subscription::L2Book { coin, n_sig_figs: None, mantissa: None, fast: true };
    wire.subscribe(&fast).await?;
    let until = Instant::now() + FAST_FOR;
    let mut books = Vec::new();
    loop {
        match wire.next(until).await {
            Heard::Frame { at, channel, data, .. } if channel == "l2Book" => {
                let sides = data["levels"].as_array().into_iter().flatten();
                let levels = sides.filter_map(Value::as_array).map(Vec::len).max().unwrap_or(0);
                books.push(BookSeen { at, levels });
            }
            Heard::Frame { .. } => {}
            Heard::Nothing => break,
            Heard::Ended(end) => return Err(end.words),
        }
    }
    notes.with(|e| e.fast = Ok(books));

    let said = wire.ask(Request::subscribe(&fast).to_text(), "l2Book").await;
    notes.with(|e| e.duplicate = Ok(said));
    let said = wire.ask(Request::unsubscribe(&Subscription::Trades { coin }).to_text(), "l2Book").await;
    notes.with(|e| e.not_subscribed = Ok(said));
    let said = wire.ask(unknown_channel(coin), "l2Book").await;
    notes.with(|e| e.unknown_channel = Ok(said));
    wire.close().await;
    Ok(())
}

/// A request for a channel that does not exist.
pub(super) fn unknown_channel(coin: Coin) -> String {
    json!({"method": "subscribe", "subscription": {"type": "noSuchChannel", "coin": coin}}).to_string()
}

/// Opens a socket, subscribes to a name that is none where one is given, and waits for the end.
async fn ending(subject: &Subject, notes: &Notes, name: Option<&str>, limit: Duration) -> Look<Ending> {
    let mut wire = Wire::open(subject, notes, "ending").await?;
    let begun = subject.mono().now();
    if let Some(coin) = name.map(Coin::new) {
        wire.subscribe(&Subscription::Trades { coin: coin.map_err(|error| error.to_string())? }).await?;
    }
    let until = Instant::now() + limit;
    let mut said = None;
    loop {
        match wire.next(until).await {
            Heard::Frame { text, .. } => _ = said.get_or_insert(text),
            Heard::Nothing => {
                wire.close().await;
                return Ok(Ending { end: None, said });
            }
            Heard::Ended(end) => return Ok(Ending { end: Some((subject.mono().now() - begun, end)), said }),
        }
    }
}

/// Follows one user after another until the exchange refuses. Their notices are the lightest thing to follow: nothing
/// comes at once.
pub(super) async fn users(subject: &Subject, notes: &Notes) {
    let cap = count_users(subject, notes).await;
    notes.with(|e| e.users = cap);
}

async fn count_users(subject: &Subject, notes: &Notes) -> Look<Cap> {
    let users = notes.with(|e| {
        let seen = e.listened.trades.iter().flatten().flat_map(|t| [t.buyer, t.seller]);
        // The one whose fills were followed first: the exchange may still count it.
        let mut users: Vec<Address> = Vec::new();
        for user in e.listened.followed.into_iter().chain(seen) {
            if users.len() < MOST_USERS && !users.contains(&user) {
                users.push(user);
            }
        }
        users
    });
    let mut wire = Wire::open(subject, notes, "users").await?;
    let mut taken = 0;
    for user in users {
        let request = Request::subscribe(&Subscription::Notification { user }).to_text();
        match wire.answer(request).await? {
            Answer::Acknowledged => taken += 1,
            Answer::Error(words) => {
                wire.close().await;
                return Ok(Cap { taken, refusal: Some(words) });
            }
            Answer::Nothing => return Err(format!("no answer after {taken} users")),
        }
    }
    wire.close().await;
    Ok(Cap { taken, refusal: None })
}
