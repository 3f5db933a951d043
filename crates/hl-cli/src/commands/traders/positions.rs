//! What tracked traders hold, as the store last knew it, and each change as it is stored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use hl_core::ledger::Span;
use hl_core::record::{Position, PositionChange, Trader};
use hl_core::store::StoreError;
use hl_core::symbol::User;
use hl_core::{Coin, Records, StreamKey, TimeMs};
use hl_store::Inspect;
use serde::Serialize;
use tokio::time::Instant;

use super::{Line, TradersFailure, last};
use crate::commands::{CommandError, Common, Shell};
use crate::exit::Exit;
use crate::human;
use crate::say::say;

/// How often `watch` looks.
const EVERY: Duration = Duration::from_secs(1);
/// Longer ago than this a trader is not known any more: the daemon that follows it has ended, or cannot, ms.
const KNOWN_MS: i64 = 900_000;

/// What a trader holds.
#[derive(Default)]
pub(super) struct Held {
    /// When the last snapshot was, ms: from there on `rows` tell everything.
    snapshot: Option<TimeMs>,
    /// Up to when every change is known, ms.
    known_to: Option<TimeMs>,
    /// The last row of each coin in which something is held.
    rows: BTreeMap<Coin, Position>,
}

#[derive(Serialize)]
pub(super) struct HeldLine<'a> {
    snapshot: Option<TimeMs>,
    known_to: Option<TimeMs>,
    held: Vec<Line<'a, Position>>,
}

/// What the store knows of the positions of a trader.
pub(super) async fn held(store: &dyn Inspect, user: User) -> Result<Held, StoreError> {
    let stream = StreamKey::Positions(user);
    let leases = store.leases().await?;
    let known_to = leases.into_iter().find(|lease| lease.stream == stream).and_then(|lease| lease.edge);
    let Records::Positions(rows) = store.rows(stream, Span::EVER).await? else { return Ok(Held::default()) };
    let is_snapshot = |row: &&Position| row.coin.as_str() == Position::NOTHING;
    let snapshot = rows.iter().filter(is_snapshot).map(|row| row.time).max();
    let mut held = Held { snapshot, known_to, rows: BTreeMap::new() };
    let Some(begin) = snapshot else { return Ok(held) };
    for row in rows.into_iter().filter(|row| begin <= row.time && row.coin.as_str() != Position::NOTHING) {
        let newer = |known: &Position| known.time <= row.time;
        if held.rows.get(&row.coin).is_none_or(newer) {
            held.rows.insert(row.coin, row);
        }
    }
    held.rows.retain(|_, row| !row.szi.is_zero());
    Ok(held)
}

impl Held {
    pub(super) fn line(&self) -> HeldLine<'_> {
        HeldLine {
            snapshot: self.snapshot,
            known_to: self.known_to,
            held: self.rows.values().map(Line).collect(),
        }
    }

    /// For people, indented.
    pub(super) fn text(&self, now: TimeMs) -> String {
        let (Some(_), Some(known_to)) = (self.snapshot, self.known_to) else {
            return "  positions        not known: hl-daemon --track follows those that it tracks\n"
                .to_owned();
        };
        let ago = now.since(known_to);
        let ago = if ago > KNOWN_MS {
            format!(", {} ago: not followed now", human::length(ago))
        } else {
            String::new()
        };
        let mut text = format!("  positions        known to {}{ago}\n", human::second(known_to));
        if self.rows.is_empty() {
            text += "                   none: flat\n";
            return text;
        }
        let mut table = human::table_of_words(&["coin", "side", "since", "size", "price, USD"], 3);
        for row in self.rows.values() {
            table.add_row([
                row.coin.to_string(),
                if row.szi.is_sign_negative() { "short" } else { "long" }.to_owned(),
                human::second(row.time),
                row.szi.abs().normalize().to_string(),
                row.px.or(row.entry_px).map_or_else(|| "-".to_owned(), |px| px.normalize().to_string()),
            ]);
        }
        for line in table.trim_fmt().lines() {
            let _ = writeln!(text, "  {line}");
        }
        text
    }
}

/// One change, as a line for people.
fn words(row: &Position) -> String {
    let before = row.szi_before.map_or_else(|| "?".to_owned(), |before| before.normalize().to_string());
    let px = row.px.map_or_else(String::new, |px| format!(" at {}", px.normalize()));
    format!(
        "{} {} {:<8} {:<8} {before} -> {}{px}",
        human::time(row.time),
        row.user,
        row.coin,
        row.change.as_str(),
        row.szi.normalize(),
    )
}

/// Tells each change of these traders as it is stored, until `limit` is over.
pub(super) async fn watch(
    users: &[String],
    top: u32,
    limit: Option<Duration>,
    common: &Common,
    shell: &mut Shell<'_>,
) -> Result<Exit, CommandError> {
    let store = shell.open(common).await?;
    let named: Result<Vec<User>, _> = users
        .iter()
        .map(|text| User::new(text.trim()).ok_or_else(|| TradersFailure::Address(text.clone())))
        .collect();
    let mut users = named?;
    if users.is_empty() {
        let mut chosen = last::<Trader>(store.as_ref(), StreamKey::Traders).await?;
        chosen.retain(Trader::is_tracked);
        chosen.sort_by_key(|trader| trader.rank);
        users = chosen.iter().take(top as usize).filter_map(|t| User::new(&t.user.to_string())).collect();
    }
    if users.is_empty() {
        return Err(TradersFailure::NoneTracked.into());
    }
    let mut seen = BTreeMap::new();
    for user in &users {
        let stream = StreamKey::Positions(*user);
        let edge = store.leases().await?.into_iter().find(|lease| lease.stream == stream);
        seen.insert(*user, edge.and_then(|lease| lease.edge).unwrap_or(TimeMs(0)));
    }
    if !common.json {
        say!("hl-cli: watching {}; Ctrl-C ends it", human::count(users.len() as u64, "trader"));
    }
    let until = limit.map(|limit| Instant::now() + limit);
    loop {
        let mut changes = Vec::new();
        for (user, seen) in &mut seen {
            let span = Span { from: *seen + 1, to: TimeMs::MAX };
            let Records::Positions(rows) = store.rows(StreamKey::Positions(*user), span).await? else {
                continue;
            };
            *seen = rows.iter().map(|row| row.time).max().unwrap_or(*seen);
            changes.extend(rows.into_iter().filter(|row| row.change != PositionChange::Snapshot));
        }
        changes.sort_by_key(|row| row.time);
        for row in &changes {
            let line = if common.json { serde_json::to_string(&Line(row))? } else { words(row) };
            match writeln_to(shell, &line) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
                written => written?,
            }
        }
        let next = Instant::now() + EVERY;
        if until.is_some_and(|until| until < next) {
            return Ok(Exit::Done);
        }
        tokio::time::sleep_until(next).await;
    }
}

fn writeln_to(shell: &mut Shell<'_>, line: &str) -> io::Result<()> {
    shell.out.write_all(line.as_bytes())?;
    shell.out.write_all(b"\n")?;
    shell.out.flush()
}
