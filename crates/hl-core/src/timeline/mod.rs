//! Time lines: for each stream the live claim, the edge, the joins and the gaps.
//!
//! A [`Timeline`] is a pure machine at the single reader of the inbox. [`Offer`](crate::source::Offer)s and
//! handovers come in, in one order; [`Change`]s for the store come out, in the same order. This is the gate: what
//! comes without the standing claim is kept in a ring (a run that may be promoted) or fenced and counted.
//!
//! What does not live here: who should own a stream (the selector), and how changes become batches (the pipeline).

mod below;
mod candles;
mod known;
mod latest;
mod pause;
mod reconcile;
mod relived;
mod ring;
mod standby;
mod states;
mod told;
mod trades;

#[cfg(test)]
mod tests;

pub use pause::ClockReading;
use pause::{CLOCK_MARGIN_MS, Pause, SET_BACK_MS, SetBack};
pub use reconcile::{Audited, NoWitness, Reconciler, Verdict, Witness};
use ring::Ring;

use serde::Serialize;

use crate::ledger::{Cause, Change, Span};
use crate::record::Trade;
use crate::seeded::guard;
use crate::source::{Content, Ticket};
use crate::store::{Recent, StreamStart};
use crate::{Epoch, Kind, Origin, Records, RunId, SourceId, StreamKey, TimeMs};

/// A live claim being given to a source: an entry in the inbox, so that what was queued before it commits first and
/// the new piece begins at the edge as queued.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Grant {
    /// The new claim.
    pub epoch: Epoch,
    /// Who gets it.
    pub source: SourceId,
    /// The run that it is given to, where the source is a subscription.
    pub run: Option<RunId>,
    /// Why the piece before it may be incomplete.
    pub cause: Cause,
}

/// What became of what was offered, counted in records.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize)]
pub struct Tally {
    /// Admitted under the standing claim.
    pub admitted: u64,
    /// Kept in a ring.
    pub ringed: u64,
    /// Turned away: a late answer, a second socket, a run that is nobody's candidate.
    pub fenced: u64,
    /// Under the standing claim, but below what is settled: a bar that is final, a state older than the last, a trade that
    /// the claim that covered that time has missed.
    pub late: u64,
    /// Under the standing claim, and stored already: what replays and answers have in common with what was there.
    pub known: u64,
    /// Dropped from a full ring, oldest first.
    pub overflowed: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.admitted += other.admitted;
        self.ringed += other.ringed;
        self.fenced += other.fenced;
        self.late += other.late;
        self.known += other.known;
        self.overflowed += other.overflowed;
    }
}

/// The standing live claim.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Live {
    grant: Grant,
    /// Why the next record may not join what is stored; none while frames are continuous.
    unproven: Option<Cause>,
    /// Where the claim's present covered piece begins; none until it has one.
    piece: Option<TimeMs>,
    /// The last block that its run brought, below the edge or above; none before the first.
    reached: Option<TimeMs>,
    /// What comes now waited in a ring.
    promoting: bool,
    /// Exchange time when its run began or broke, or when its last answer was asked for.
    heard_at: Option<TimeMs>,
    replay: Replay,
    /// The edge when it began.
    edge: Option<TimeMs>,
    /// For how long nothing was received before it, ms, where that is known.
    silent_ms: Option<i64>,
    /// The pause before it, while it is still to be told if the exchange's clock was set back in it.
    pause: Option<Pause>,
}

/// What a run brings first: trades of before it began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Replay {
    /// The next frame is it.
    Awaited,
    /// Its newest trade is too old to reach up to the live frames, which have not begun.
    Stale,
    /// The live frames have begun, as far as is known.
    Passed,
}

impl Live {
    /// For how long nothing was received before what comes now, ms; none where that is not known.
    fn missed_ms(&self, edge: TimeMs) -> Option<i64> {
        let heard = self.heard_at.map(|at| at.since(edge)).filter(|passed| *passed > 0);
        // The first answer to a poll may come long after the claim began.
        heard.or(self.silent_ms.filter(|_| self.grant.run.is_some()))
    }
}

/// What the kinds share: the edge, the open gaps of this process, and where changes are written.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Common {
    key: StreamKey,
    edge: Option<TimeMs>,
    /// Gaps of trades that a promoted ring may still fill, the last found at the end, at most [`MAX_HOLES`].
    holes: Vec<Span>,
    /// Where the newest of those ends for which there was no room.
    forgotten: Option<TimeMs>,
}

/// How far a standby's ring reaches back beyond the edge while a run owns the stream, ms: longer than any witness takes
/// to find a hole. What is older has been stored.
const STANDBY_MS: i64 = 300_000;

/// Frames of one run overtake each other by less than this, ms; stamps that are older were set back.
const OVERTAKEN_MS: i64 = 5_000;

/// More remembered gaps than this are left to the backfill.
const MAX_HOLES: usize = 256;

impl Common {
    fn remember(&mut self, hole: Span) {
        // Of bars and states nothing below the edge is ever taken from a ring.
        if self.key.kind() != Kind::Trades {
            return;
        }
        if self.holes.len() == MAX_HOLES {
            self.forgotten = self.forgotten.max(Some(self.holes.remove(0).to));
        }
        self.holes.push(hole);
    }

    fn open_gap(&mut self, span: Span, cause: Cause, out: &mut Vec<Change>) {
        self.remember(span);
        out.push(Change::GapOpened { span, cause });
    }

    /// Whether a time lies in a remembered gap, or at its border.
    fn is_missing(&self, time: TimeMs) -> bool {
        self.holes.iter().any(|hole| hole.contains(time))
    }

    /// What of the remembered gaps lies inside `span` is filled.
    fn fill(&mut self, span: Span) {
        self.holes = self.holes.iter().flat_map(|hole| unfilled(*hole, span)).collect();
    }

    /// Moves the edge forward; never back.
    fn advance(&mut self, to: TimeMs, out: &mut Vec<Change>) {
        if self.edge.is_none_or(|edge| edge < to) {
            self.edge = Some(to);
            out.push(Change::Edge(to));
        }
    }
}

/// What is left of a gap where a piece of it is filled; blocks at its borders are not filled.
fn unfilled(gap: Span, filled: Span) -> impl Iterator<Item = Span> {
    let left = (gap.from < filled.from).then(|| Span::new(gap.from, gap.to.min(filled.from)));
    let right = (filled.to < gap.to).then(|| Span::new(gap.from.max(filled.to), gap.to));
    match gap.touches(filled) {
        true => [left, right],
        false => [Some(gap), None],
    }
    .into_iter()
    .flatten()
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one to a stream, and it stays where it is")]
enum Body {
    Trades(trades::Trades),
    Candles(candles::Candles),
    States(states::States),
    Told(told::Told),
}

/// What is known of the time from the edge to the end of a time line.
enum Rest {
    /// The exchange had nothing more.
    Nothing,
    /// This claim has brought all that there was.
    Whole(Live),
    /// Something may be missing.
    Missing(Cause),
}

impl Rest {
    /// Under a claim. `doubt`: why the claim may not have brought all, where its own run does not say so.
    fn under(live: Live, doubt: Option<Cause>) -> Self {
        // Polls sample.
        let sampled = live.grant.run.is_none().then_some(Cause::Sampled);
        live.unproven.or(sampled).or(doubt).map_or(Self::Whole(live), Self::Missing)
    }
}

/// The time line of one stream. See the [module](self).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Timeline {
    common: Common,
    live: Option<Live>,
    /// What waits, by lane: the newest run of each.
    rings: [Option<Ring>; 2],
    /// The exchange's clock at the next handover, and when the stream was last received.
    clock: Option<(ClockReading, Option<ClockReading>)>,
    /// The pause before the last claim, where it ended before that was told of it.
    pending: Option<Pause>,
    /// Whether it had ended when it was begun, and no claim has stood since.
    had_ended: bool,
    /// Whether it has ended: nothing is admitted any more.
    is_over: bool,
    body: Body,
}

impl Timeline {
    /// The time line as the store knows it.
    #[must_use]
    pub fn new(start: StreamStart) -> Self {
        let key = start.stream;
        let body = match key {
            StreamKey::Trades(_) => Body::Trades(trades::Trades::new(start.edge, &start.recent)),
            StreamKey::Candle(_, interval) => Body::Candles(candles::Candles::new(interval, start.edge)),
            StreamKey::Positions(_) => Body::Told(told::Told),
            _ => Body::States(states::States::new(key, start.edge, &start.recent)),
        };
        let edge = start.edge.filter(|_| guard!(StoredEdge));
        let mut common = Common { key, edge, holes: Vec::new(), forgotten: None };
        for gap in start.recent.gaps {
            common.remember(gap);
        }
        let had_ended = start.ended.is_some();
        Self {
            common,
            live: None,
            rings: [None, None],
            clock: None,
            pending: None,
            had_ended,
            is_over: false,
            body,
        }
    }

    /// The time line as the store knows it, with what waited before the store was asked.
    #[must_use]
    pub fn warmed(start: StreamStart, waited: Self) -> Self {
        Self { rings: waited.rings, ..Self::new(start) }
    }

    /// A time line of what another process holds: all that comes waits.
    #[must_use]
    pub fn warm(stream: StreamKey) -> Self {
        Self::new(StreamStart { stream, edge: None, ended: None, recent: Recent::default() })
    }

    /// Below this time the past is settled, as queued so far.
    #[must_use]
    pub fn edge(&self) -> Option<TimeMs> {
        self.common.edge
    }

    /// From where on time below the edge is lived once more, since the exchange's clock was set back. What lies behind is still
    /// to come, however it is recorded, and the claim fills it as it passes. Of trades all that is lived once more, and for
    /// seconds after it has passed: the exchange's newest records say nothing of the first time.
    #[must_use]
    pub fn relived_from(&self) -> Option<TimeMs> {
        match &self.body {
            Body::Trades(body) => body.relived_from(&self.common),
            Body::States(body) => body.relived_from(),
            Body::Candles(_) | Body::Told(_) => None,
        }
    }

    /// The piece of which the run that owns a stream of trades has brought every trade, as far as it says so itself: from its
    /// acknowledgement to the last proof. Nothing is said of how it joins what came before. None of other kinds, and of other
    /// owners.
    #[must_use]
    pub fn heard(&self) -> Option<Span> {
        match &self.body {
            Body::Trades(body) => body.heard(),
            Body::Candles(_) | Body::States(_) | Body::Told(_) => None,
        }
    }

    /// The standing claim.
    #[must_use]
    pub fn claim(&self) -> Option<Grant> {
        self.live.map(|live| live.grant)
    }

    /// Moves the live claim. A run that has a ring is promoted: what waited there is admitted, and rows below the
    /// edge fill gaps. `None` ends the claim with no successor.
    pub fn handover(&mut self, grant: Option<Grant>, witness: &dyn Witness, out: &mut Vec<Change>) -> Tally {
        let mut tally = Tally::default();
        let grant = grant.filter(|_| !self.is_over);
        let clock = self.clock.take();
        let told = clock.map(|(now, _)| now);
        // A run that began before the exchange had said what time it is bears the system clock's.
        let latest = told.map_or(TimeMs::MAX, |now| now.exchange() + CLOCK_MARGIN_MS);
        let clock = clock.filter(|_| self.follows_clock());
        // While it is still to be told of an earlier one, that goes on.
        let pending = self.live.and_then(|live| live.pause).or(self.pending.take());
        let pause = self.common.edge.zip(clock).map(|(edge, (now, begin))| {
            let pause = Pause { edge, begin, end: now.mono, later: None };
            pending.map_or(pause, |pause| Pause { end: now.mono, ..pause })
        });
        let (live, cause) = (self.live.as_ref(), grant.map(|grant| grant.cause));
        self.body.release(&mut self.common, live, cause, out);
        let Some(grant) = grant else {
            (self.live, self.pending) = (None, pending);
            return tally;
        };
        // A claim under which nothing came leaves its reason to the next: that is why the data was not received.
        let not_listed = std::mem::take(&mut self.had_ended).then_some(Cause::NotListed);
        let cause = not_listed.or(self.live.and_then(Live::missed)).unwrap_or(grant.cause);
        let grant = Grant { cause, ..grant };
        let unproven = guard!(Handover).then_some(cause);
        let live = self.live.insert(Live {
            grant,
            unproven,
            piece: None,
            reached: None,
            heard_at: None,
            replay: Replay::Passed,
            promoting: grant.run.is_some(),
            edge: self.common.edge,
            silent_ms: clock.and_then(|(now, begin)| Some(now.mono - begin?.mono)),
            pause,
        });
        if let Some((now, _)) = clock {
            self.body.follow(&mut self.common, live, now, out);
        }
        let Some(run) = grant.run else { return tally };
        let ring = self.rings[run.lane.index()].take_if(|ring| ring.run == run);
        let guessed = ring.as_ref().and_then(|ring| ring.guessed);
        let began = guessed.zip(told).map(|(mono, now)| ClockReading { mono, ..now }.exchange());
        let is_guess = guessed.is_some() && told.is_none();
        for content in ring.filter(|_| guard!(Ring)).into_iter().flat_map(Ring::into_contents) {
            let before = count(&content);
            let content = match (content, &mut self.body) {
                (Content::Started { at }, Body::Candles(body)) if is_guess => {
                    body.guess(at);
                    continue;
                }
                // Sent by a clock that was wrong.
                (Content::Proof { sent }, _) if latest < sent => continue,
                (Content::Started { at }, _) => Content::Started { at: began.unwrap_or(at).min(latest) },
                (content, _) => content,
            };
            let after = self.common.edge.unwrap_or(TimeMs::MIN);
            let content = states_between(content, self.common.key.kind(), after, latest, &mut tally);
            // What was dropped before a stale state is stale itself.
            if before > 0 && count(&content) == 0 && live.unproven == Some(Cause::Overload) {
                live.unproven = unproven;
            }
            let is_start = matches!(content, Content::Started { .. });
            tally += self.body.admit(&mut self.common, live, content, witness, out);
            if is_start && is_guess {
                // By a system clock that is slow its replay would look younger than it is.
                live.heard_at = None;
            }
        }
        live.promoting = false;
        tally
    }

    /// The exchange lists the market no longer, since `at` at the latest: the time line ends. What the standing claim has not
    /// brought whole up to there is a gap. That all that was sent before `at` has come is for the caller to know: where it is in
    /// `doubt`, everything behind the edge is a gap, for that reason. Nothing is admitted afterwards.
    pub fn end(&mut self, at: TimeMs, doubt: Option<Cause>, witness: &dyn Witness, out: &mut Vec<Change>) {
        let live = self.live.take().filter(|_| doubt.is_none());
        (self.rings, self.is_over) = ([None, None], true);
        let Some(edge) = self.common.edge.filter(|edge| *edge < at) else {
            return out.push(Change::Ended(self.common.edge.unwrap_or(at)));
        };
        let to = self.body.border(at).max(edge);
        let (span, common) = (Span::new(edge, to), &mut self.common);
        let rest = match live {
            Some(live) => self.body.rest(live, Span::new(edge, at)),
            None => Rest::Missing(doubt.unwrap_or(Cause::Outage)),
        };
        match rest {
            Rest::Nothing => return out.push(Change::Ended(edge)),
            _ if edge == to => {}
            Rest::Whole(mut live) => self.body.cover(common, &mut live, span, witness, out),
            Rest::Missing(cause) => common.open_gap(span, cause, out),
        }
        self.common.advance(to, out);
        out.push(Change::Ended(at));
    }

    /// What is known before a handover: the exchange's clock, and when the stream was last received in this process, and what the
    /// clock said then. Where it was set back in the pause, records may be missing by either clock.
    pub fn clock(&mut self, now: ClockReading, received: Option<ClockReading>) {
        self.clock = Some((now, received));
    }

    /// A run that waits was acknowledged at this moment of the monotonic clock, ms, and the exchange had not said then what time it
    /// is: what says when it began is the system clock's word.
    pub fn guessed(&mut self, run: RunId, mono: i64) {
        if let Some(ring) = self.rings[run.lane.index()].as_mut().filter(|ring| ring.run == run) {
            ring.guessed = Some(mono);
        }
    }

    /// Whether what is about to be offered says something of the exchange's clock: [`Timeline::look_at_clock`] comes first then.
    #[must_use]
    pub fn looks_at_clock(&self, ticket: Ticket, content: &Content) -> bool {
        self.stands(ticket)
            && match content {
                Content::Answer { .. } => self.follows_clock(),
                content => self.awaits_clock() && content.records().is_some(),
            }
    }

    /// Holds what comes under the standing claim against the exchange's clock. Since the stream was last received, when the clock
    /// said `received`, nothing was heard of it where it is polled: that is a pause as well.
    pub fn look_at_clock(
        &mut self,
        content: &Content,
        now: ClockReading,
        received: Option<ClockReading>,
        out: &mut Vec<Change>,
    ) {
        if let Content::Answer { .. } = content {
            self.polled(now, received);
        }
        let Some((_, newest)) = content.records().and_then(Records::extent) else { return };
        self.follow_clock(now, out);
        // It bears the time that the clock is believed to say, which went on in the pause.
        if let Some(live) = &mut self.live
            && now.exchange() - CLOCK_MARGIN_MS <= newest
        {
            live.pause = None;
        }
    }

    fn polled(&mut self, now: ClockReading, received: Option<ClockReading>) {
        let follows = self.follows_clock();
        let (Some(edge), Some(live), Some(received)) =
            (self.common.edge, &mut self.live, received.filter(|_| follows))
        else {
            return;
        };
        let first = Pause { edge, begin: Some(received), end: now.mono, later: None };
        live.pause = Some(live.pause.map_or(first, |pause| pause.polled(edge, received, now)));
    }

    /// Whether the exchange's clock matters to its records: they bear its time.
    fn follows_clock(&self) -> bool {
        self.common.key.spec().timed && guard!(Late)
    }

    /// Whether it is still to be told what time it is at the exchange, or if its clock was set back in the last pause.
    #[must_use]
    pub fn awaits_clock(&self) -> bool {
        let is_guessing = matches!(&self.body, Body::Candles(body) if body.is_guessing());
        self.live.is_some_and(|live| is_guessing || live.pause.is_some())
    }

    /// The exchange's clock turns out to be so far ahead of the monotonic one.
    pub fn follow_clock(&mut self, now: ClockReading, out: &mut Vec<Change>) {
        if let Some(live) = &mut self.live {
            self.body.follow(&mut self.common, live, now, out);
        }
    }

    /// A backfill has committed this below the edge.
    pub fn backfilled(&mut self, change: &Change) {
        let Change::Filled { span, records, .. } = change else { return };
        match (&mut self.body, records) {
            (Body::Trades(body), Records::Trades(trades)) => body.filled(&mut self.common, *span, trades),
            (Body::Candles(body), Records::Candles(bars)) => body.filled(*span, bars),
            _ => {}
        }
    }

    /// The exchange stands still since `at`: of states that bear no time nothing that comes now is news, and what was covered
    /// since then is not. It holds until [`Timeline::goes_on`], or until one comes that is another than the last.
    pub fn stands_still(&mut self, at: TimeMs, out: &mut Vec<Change>) {
        if let Body::States(body) = &mut self.body {
            body.stand_still(&self.common, at, out);
        }
    }

    /// The exchange goes on.
    pub fn goes_on(&mut self) {
        if let Body::States(body) = &mut self.body {
            body.go_on();
        }
    }

    /// Records turned out to be missing inside a covered piece: a promoted ring may still fill it.
    pub fn doubted(&mut self, span: Span) {
        match &mut self.body {
            Body::Trades(body) => body.lose(&mut self.common, &[span]),
            Body::Candles(_) | Body::States(_) | Body::Told(_) => {}
        }
    }

    /// Whether what comes with the ticket is the standing claim's.
    fn stands(&self, ticket: Ticket) -> bool {
        self.live.is_some_and(|live| match ticket {
            Ticket::Run(run) => live.grant.run == Some(run),
            Ticket::Claim(epoch) => live.grant.epoch == epoch,
        })
    }

    /// Takes one piece of data: admits, rings or fences it. `witness` judges bars before they become final.
    pub fn offer(
        &mut self,
        ticket: Ticket,
        content: Content,
        witness: &dyn Witness,
        out: &mut Vec<Change>,
    ) -> Tally {
        if !belongs(self.common.key, &content) {
            return Tally { fenced: count(&content), ..Tally::default() };
        }
        if matches!(content, Content::Broken { .. }) && !guard!(Broken) {
            return Tally::default();
        }
        if self.is_over {
            return Tally { fenced: count(&content), ..Tally::default() };
        }
        let stands = self.stands(ticket);
        if let Some(live) = self.live.as_mut().filter(|_| stands || !guard!(Gate)) {
            return self.body.admit(&mut self.common, live, content, witness, out);
        }
        match ticket {
            Ticket::Run(run) => {
                let pushed = self.live.is_some_and(|live| live.grant.run.is_some());
                let stored = self.common.edge.filter(|_| pushed).map(|edge| edge - STANDBY_MS);
                let ring = &mut self.rings[run.lane.index()];
                // A new subscription is a new candidate; an older one can no longer be promoted.
                if ring.as_ref().is_none_or(|ring| ring.run < run) {
                    *ring = Some(Ring::new(run));
                }
                match ring.as_mut().filter(|ring| ring.run == run) {
                    Some(ring) => {
                        let tally = ring.push(content);
                        if let Some(stored) = stored {
                            ring.forget(stored);
                        }
                        tally
                    }
                    None => Tally { fenced: count(&content), ..Tally::default() },
                }
            }
            Ticket::Claim(_) => Tally { fenced: count(&content), ..Tally::default() },
        }
    }
}

impl Body {
    /// The exchange's clock is so far ahead of the monotonic one: was it set back in the last pause?
    fn follow(&mut self, common: &mut Common, live: &mut Live, now: ClockReading, out: &mut Vec<Change>) {
        if let Self::Candles(body) = self {
            body.learn(common, live, now.exchange(), out);
        }
        let Some(set_back) = live.pause.and_then(|pause| pause.set_back(now)) else { return };
        live.pause = None;
        match self {
            Self::Trades(body) => body.pause(common, set_back, live.grant.cause, out),
            Self::States(body) => body.pause(common, set_back, live.grant.cause, out),
            Self::Candles(_) | Self::Told(_) => {}
        }
    }

    /// Takes what comes under the standing claim.
    fn admit(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        content: Content,
        witness: &dyn Witness,
        out: &mut Vec<Change>,
    ) -> Tally {
        match content {
            Content::Broken { .. } => _ = live.unproven.get_or_insert(Cause::Undecodable),
            Content::Dropped => _ = live.unproven.replace(Cause::Overload),
            // Between two answers it is sampled; without the second one it was not received.
            Content::Unanswered { cause } => _ = live.unproven.replace(live.missed().unwrap_or(cause)),
            _ => {}
        }
        match self {
            Self::Trades(body) => body.admit(common, live, content, out),
            Self::Candles(body) => body.admit(common, live, content, witness, out),
            Self::States(body) => body.admit(common, live, content, out),
            Self::Told(_) => told::Told::admit(common, live, content, out),
        }
    }

    /// What is known of the time from the edge to an end, under a claim.
    fn rest(&self, live: Live, span: Span) -> Rest {
        match self {
            Self::Trades(body) => body.rest(live),
            Self::Candles(body) => body.rest(live, span.from),
            Self::States(body) => body.rest(live, span),
            Self::Told(_) => Rest::under(live, Some(Cause::Outage)),
        }
    }

    /// The claim has brought all of the piece behind the edge.
    fn cover(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        span: Span,
        witness: &dyn Witness,
        out: &mut Vec<Change>,
    ) {
        match self {
            Self::Trades(_) | Self::States(_) | Self::Told(_) => out.push(live.covered(span)),
            Self::Candles(body) => body.conclude(common, live, span.to, witness, out),
        }
    }

    /// Where the last piece before a time ends.
    fn border(&self, time: TimeMs) -> TimeMs {
        match self {
            Self::Trades(_) | Self::States(_) | Self::Told(_) => time,
            Self::Candles(body) => body.open_of(time),
        }
    }

    /// The claim ends: forget what only its holder could still prove.
    fn release(
        &mut self,
        common: &mut Common,
        live: Option<&Live>,
        cause: Option<Cause>,
        out: &mut Vec<Change>,
    ) {
        match self {
            Self::Trades(body) => body.release(),
            Self::Told(_) => {}
            Self::Candles(body) => body.release(),
            Self::States(body) => body.release(common, live, cause, out),
        }
    }
}

impl Live {
    /// Why nothing has come, where nothing has since the claim was given or since requests go unanswered.
    fn missed(self) -> Option<Cause> {
        self.unproven.filter(|cause| {
            !matches!(cause, Cause::Undecodable | Cause::Overload | Cause::Sampled | Cause::Handover)
        })
    }

    fn rows(&self, records: Records) -> Change {
        Change::Rows { epoch: self.grant.epoch, origin: self.origin(), records }
    }

    fn covered(&self, span: Span) -> Change {
        Change::Covered { epoch: self.grant.epoch, origin: self.origin(), span }
    }

    /// Trades of one block, which is stored whole by them: where a gap begins at it, no fill of the gap stores them.
    fn block(&self, time: TimeMs, trades: Vec<Trade>) -> [Change; 2] {
        [self.rows(Records::Trades(trades)), self.covered(Span::new(time, time))]
    }

    fn filled(&self, span: Span, records: Records) -> Change {
        Change::Filled { epoch: self.grant.epoch, origin: self.origin(), span, records }
    }

    fn origin(&self) -> Origin {
        self.grant.source.into()
    }
}

/// Records in a content.
fn count(content: &Content) -> u64 {
    match content {
        Content::Frame(records) | Content::Answer { records, .. } => records.len() as u64,
        Content::Started { .. }
        | Content::Broken { .. }
        | Content::Ahead { .. }
        | Content::Dropped
        | Content::Proof { .. }
        | Content::Refuted { .. }
        | Content::Unanswered { .. } => 0,
    }
}

/// States that bear the time of their receipt, as they waited in a ring. One is history where another source has stored newer
/// ones since: it must not be stamped anew. And one that came before the exchange had said what time it is may bear a time that
/// is still to come.
fn states_between(content: Content, kind: Kind, after: TimeMs, latest: TimeMs, tally: &mut Tally) -> Content {
    match content {
        Content::Frame(mut records) if !kind.spec().timed => {
            let before = records.len();
            records.retain_time(|time| after < time && time <= latest);
            tally.late += (before - records.len()) as u64;
            Content::Frame(records)
        }
        content => content,
    }
}

/// Whether the records are of the stream: an answer may be another one's.
fn belongs(key: StreamKey, content: &Content) -> bool {
    let (Content::Frame(records) | Content::Answer { records, .. }) = content else { return true };
    records.are_of(key)
}
