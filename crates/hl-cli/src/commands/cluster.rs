//! `hl-cli cluster`: the daemons that share a store, what each holds and how far it is behind, and what is on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use hl_core::spread::{Given, Member};
use hl_core::store::{Holder, note_of};
use hl_core::{StreamKey, TimeMs, Token};
use hl_engine::assigned;
use hl_store::{Inspect, LeaseRow};
use serde::Serialize;

use super::{CommandError, Common, Shell};
use crate::exit::Exit;
use crate::human;

/// A stream that moves is held by no process for a moment.
const ON_THE_WAY: Duration = Duration::from_secs(3);

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli cluster --store mongodb://db.example/hyperliquid
  hl-cli cluster --leases
  hl-cli cluster --json | jq '.leases[] | select(.holder == null)'

How far a stream is behind is how long its settled past lies behind now: at most a bar for bars,
and for quiet streams as long as nothing happens. Exit code 1: a stream that is to be
collected is held by no process.")]
pub(super) struct Args {
    /// List every stream, too
    #[arg(long)]
    leases: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Answer {
    /// When, ms.
    at: TimeMs,
    /// Living processes on the store, the oldest first.
    members: Vec<Row>,
    /// Every stream that has had a lease or is wanted, by name.
    leases: Vec<Lease>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    holder: Holder,
    /// What it does: `collecting`, `blind` (it does not hear of the exchange), `leaving`, or `alone`: it does not share.
    state: &'static str,
    /// Whose limits it lives under; none where it does not share.
    address: Option<String>,
    /// Its part; none where it does not share.
    weight: Option<u8>,
    /// Streams that it holds.
    holds: usize,
    /// Streams that are on their way to it.
    coming: usize,
    /// Streams that are on their way from it.
    going: usize,
    /// How far the stream that is furthest behind is behind now, ms.
    behind_ms: Option<i64>,
}

#[derive(Serialize)]
struct Lease {
    stream: StreamKey,
    /// The living process that holds it.
    holder: Option<Token>,
    /// Whether a living process is to collect it.
    wanted: bool,
    /// Who is to have it; none where no process wants it, or has room for it.
    given: Option<Token>,
    /// The past below this time is settled, ms.
    edge: Option<TimeMs>,
    /// How far that is behind now, ms.
    behind_ms: Option<i64>,
}

impl Answer {
    /// Streams that a process is to collect, and that none holds.
    fn unheld(&self) -> impl Iterator<Item = &Lease> {
        self.leases.iter().filter(|lease| lease.wanted && lease.holder.is_none())
    }
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let store = shell.open(&args.common).await?;
    let mut answer = look(store.as_ref(), shell.clock.now()).await?;
    if answer.unheld().next().is_some() {
        // It may be on its way just now.
        tokio::time::sleep(ON_THE_WAY).await;
        answer = look(store.as_ref(), shell.clock.now()).await?;
    }
    shell.answer(&args.common, &answer, &text(&answer, args.leases))?;
    Ok(if answer.unheld().next().is_none() { Exit::Done } else { Exit::Failed })
}

async fn look(store: &dyn Inspect, at: TimeMs) -> Result<Answer, CommandError> {
    let holders = store.holders().await?;
    let mut members = BTreeMap::new();
    for holder in &holders {
        let note = store.note(&note_of(Member::NAME, holder.token)).await?;
        // A note of another shape is of another release: no reason to fail.
        if let Some(member) = note.and_then(|text| serde_json::from_str::<Member>(&text).ok()) {
            members.insert(holder.token, member);
        }
    }
    let wanted = members.values().flat_map(|member| member.wants.iter().copied()).collect();
    let leases = leases(store.leases().await?, &wanted, &assigned(&members), at);
    let members = holders.into_iter().map(|holder| row(holder, &members, &leases)).collect();
    Ok(Answer { at, members, leases })
}

fn leases(
    known: Vec<LeaseRow>,
    wanted: &BTreeSet<StreamKey>,
    given: &BTreeMap<StreamKey, Given>,
    at: TimeMs,
) -> Vec<Lease> {
    let mut known: BTreeMap<_, _> = known.into_iter().map(|lease| (lease.stream, lease)).collect();
    for stream in wanted {
        known.entry(*stream).or_insert(LeaseRow { stream: *stream, edge: None, ended: None, holder: None });
    }
    // What has ended needs no holder.
    known.retain(|stream, lease| lease.ended.is_none() || wanted.contains(stream));
    let lease = |LeaseRow { stream, edge, holder, .. }| Lease {
        stream,
        holder,
        wanted: wanted.contains(&stream),
        given: given.get(&stream).map(|given| given.to),
        edge,
        behind_ms: edge.map(|edge| at.since(edge).max(0)),
    };
    let mut leases: Vec<_> = known.into_values().map(lease).collect();
    leases.sort_by_cached_key(|lease| lease.stream.to_string());
    leases
}

fn row(holder: Holder, members: &BTreeMap<Token, Member>, leases: &[Lease]) -> Row {
    let token = holder.token;
    let member = members.get(&token);
    let holds = || leases.iter().filter(|lease| lease.holder == Some(token));
    let is_another = |given: Option<Token>| given.is_some_and(|given| given != token);
    Row {
        state: match member {
            None => "alone",
            Some(member) if member.leaving => "leaving",
            Some(member) if !member.able => "blind",
            Some(_) => "collecting",
        },
        address: member.map(|member| member.address.clone()),
        weight: member.map(|member| member.weight),
        holds: holds().count(),
        coming: leases.iter().filter(|l| l.given == Some(token) && l.holder != Some(token)).count(),
        going: holds().filter(|lease| is_another(lease.given)).count(),
        behind_ms: holds().filter_map(|lease| lease.behind_ms).max(),
        holder,
    }
}

fn text(answer: &Answer, with_leases: bool) -> String {
    if answer.members.is_empty() {
        return "no process is at work on this store\n".to_owned();
    }
    let headings =
        ["token", "process", "address", "state", "weight", "for", "holds", "coming", "going", "behind"];
    let mut table = human::table_of_words(&headings, 4);
    let length = |ms: Option<i64>| ms.map_or("-".to_owned(), human::length);
    for row in &answer.members {
        table.add_row([
            row.holder.token.0.to_string(),
            row.holder.to_string(),
            row.address.clone().unwrap_or("-".to_owned()),
            row.state.to_owned(),
            row.weight.map_or("-".to_owned(), |weight| weight.to_string()),
            human::length(answer.at.since(row.holder.since).max(0)),
            row.holds.to_string(),
            row.coming.to_string(),
            row.going.to_string(),
            length(row.behind_ms),
        ]);
    }
    let mut text = format!("{}\n", table.trim_fmt());
    for (words, has_room) in [("held by no process", true), ("no room for", false)] {
        let unheld = answer.unheld().filter(|lease| lease.given.is_some() == has_room);
        let unheld: Vec<_> = unheld.map(|lease| lease.stream.to_string()).collect();
        if !unheld.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\n{words}: {}", unheld.join(", "));
        }
    }
    if with_leases {
        let token = |token: Option<Token>| token.map_or("-".to_owned(), |token| token.0.to_string());
        let mut table = human::table(&["stream", "holder", "given to", "behind"]);
        for lease in &answer.leases {
            table.add_row([
                lease.stream.to_string(),
                token(lease.holder),
                token(lease.given),
                length(lease.behind_ms),
            ]);
        }
        let _ = writeln!(text, "\n{}", table.trim_fmt());
    }
    text
}
