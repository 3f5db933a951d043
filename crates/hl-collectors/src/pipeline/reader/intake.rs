//! What becomes of what the inbox holds: each entry goes to its stream's time line, and what the line admits, or doubts, waits
//! for the store. Not here: when a batch is begun, and what happens where the store does not take it ([reader](super)).

use std::collections::BTreeMap;

use hl_core::ledger::{Cause, Change, Span};
use hl_core::record::Trade;
use hl_core::source::{Content, Offer, Ticket};
use hl_core::timeline::{Tally, Timeline};
use hl_core::{Epoch, Kind, Records, RunId, StreamKey, TimeMs};
use tokio::time::Instant;
use tracing::{instrument, warn};

use super::Pipeline;
use crate::pipeline::inbox::Entry;
use crate::pipeline::reports::PipelineEvent;

/// Smaller steps of the exchange's clock are looked at where the next data come, ms.
const STEP_MS: i64 = 500;
/// A record that lies further ahead bears a wrong stamp, rather than that of a clock which was set back since, ms.
const MOST_SET_BACK_MS: i64 = 600_000;

impl Pipeline {
    pub(super) fn read(&mut self, entries: Vec<Entry>) {
        let mut changes = Vec::new();
        self.follow_the_exchange();
        self.follow_its_clock();
        for entry in entries {
            match entry {
                Entry::Start(mut start) => {
                    let stream = start.stream;
                    if stream.kind() == Kind::Trades && self.thinner.leaves_out_trades() {
                        // What was left out was not missed.
                        (start.recent.since, start.recent.is_all) = (start.edge, false);
                    }
                    let since = self.mono.now();
                    self.meters.stream(stream, |m| (m.edge, m.since) = (start.edge, since));
                    self.reconciler.start(&start);
                    let line = match self.warm.remove(&stream) {
                        Some(waited) => Timeline::warmed(start, waited),
                        None => Timeline::new(start),
                    };
                    self.lines.insert(stream, line);
                }
                Entry::Warm(stream) => {
                    self.warm.insert(stream, Timeline::warm(stream));
                }
                Entry::End { stream, at, doubt } => {
                    let Some(line) = self.lines.get_mut(&stream) else { continue };
                    line.end(at, doubt, &self.reconciler, &mut changes);
                    self.gather(stream, &mut changes);
                }
                Entry::Release(stream) => {
                    self.warm.remove(&stream);
                    self.lines.remove(&stream);
                    self.reconciler.forget(stream);
                    self.meters.forget(stream);
                    self.releasing.push(stream);
                }
                Entry::Forget(stream) => {
                    self.lines.remove(&stream);
                    self.pending.forget(stream);
                    self.reconciler.forget(stream);
                    self.meters.forget(stream);
                }
                Entry::Filled { stream, change } => {
                    if let Some(line) = self.lines.get_mut(&stream) {
                        line.backfilled(&change);
                    }
                    self.tell_hearing(stream, &change);
                    self.reconciler.note(self.mono.now(), stream, &change);
                    self.take_doubts();
                }
                Entry::Audited { stream, bars } => {
                    for (stream, span) in self.reconciler.audited(stream, &bars) {
                        warn!(%stream, ?span, "the exchange counts more trades in a final bar: it is read again");
                        self.doubt(stream, span);
                    }
                    self.take_doubts();
                }
                Entry::Handover { stream, grant } => {
                    self.reconciler.handover(stream);
                    self.take_doubts();
                    let Some(line) = self.lines.get_mut(&stream) else { continue };
                    if let Some(now) = self.mono.reading() {
                        line.clock(now, self.meters.received(stream));
                    }
                    // A run that was convicted of silence had not heard what it said it had.
                    let was_deaf = grant.is_some_and(|grant| grant.cause == Cause::Silence);
                    if let Some((hearing, edge)) = self.hearing.as_ref().zip(line.edge()).filter(|_| was_deaf)
                    {
                        hearing.deaf(stream, Span::new(edge, self.mono.exchange()));
                    }
                    let tally = line.handover(grant, &self.reconciler, &mut changes);
                    let reached = (line.edge(), line.relived_from());
                    let since = self.mono.now();
                    self.meters.stream(stream, |m| {
                        (m.owner, m.since, m.unanswered) = (grant.map(|g| g.source), since, None);
                        m.moves += u64::from(grant.is_some());
                        // Going back to where it belongs does not count as a reason.
                        let why = grant.map(|g| g.cause).filter(|cause| *cause != Cause::Handover);
                        m.moved_by = why.or(m.moved_by);
                    });
                    self.meter(stream, reached, tally);
                    self.gather(stream, &mut changes);
                }
                Entry::Offer(offer) => self.take(offer),
                Entry::Newest(offer) => {
                    let (stream, ticket) = (offer.stream, offer.ticket);
                    self.take(Offer { stream, ticket, content: Content::Dropped });
                    self.take(offer);
                }
            }
        }
    }

    #[instrument(level = "debug", skip_all, fields(stream = %offer.stream))]
    fn take(&mut self, mut offer: Offer) {
        let (stream, ticket) = (offer.stream, offer.ticket);
        if let Some(records) = offer.content.records()
            && !stream.spec().timed
            && self.mono.awaits_time()
        {
            let late = records.len() as u64;
            return self.meters.stream(stream, |m| m.tally += Tally { late, ..Tally::default() });
        }
        let ahead = self.keep_of_this_time(stream, &mut offer.content);
        let is_left = offer.content.records().is_some_and(|records| !records.is_empty());
        let is_answer = matches!(offer.content, Content::Answer { .. });
        let at = self.mono.exchange();
        if let Some(newest) = ahead.filter(|newest| newest.since(at) <= MOST_SET_BACK_MS) {
            self.admit(Offer { stream, ticket, content: Content::Ahead { at, newest } });
        }
        if ahead.is_none() || is_left {
            self.admit(offer);
        }
        // What follows has to join anew, as each answer does anyway.
        if ahead.is_some() && !(is_answer && is_left) {
            self.admit(Offer { stream, ticket, content: Content::Broken { at } });
        }
    }

    fn admit(&mut self, offer: Offer) {
        let mut changes = Vec::new();
        let guessed = match (&offer.content, offer.ticket) {
            (Content::Started { .. }, Ticket::Run(run)) if !self.mono.is_learnt() => Some(run),
            _ => None,
        };
        if let Some(line) = self.warm.get_mut(&offer.stream) {
            line.offer(offer.ticket, offer.content, &self.reconciler, &mut changes);
            guessed.into_iter().for_each(|run| line.guessed(run, self.mono.now()));
            return;
        }
        if let Content::Frame(Records::Candles(bars)) = &offer.content {
            self.reconciler.bars(self.mono.now(), offer.stream, bars);
        }
        let Some(line) = self.lines.get_mut(&offer.stream) else { return };
        let aside = aside(line, &offer);
        let answer = answered(line, &offer);
        if line.looks_at_clock(offer.ticket, &offer.content)
            && let Some(now) = self.mono.reading()
        {
            line.look_at_clock(&offer.content, now, self.meters.received(offer.stream), &mut changes);
        }
        let late_ms = late_ms(&offer);
        let is_proof = matches!(offer.content, Content::Proof { .. });
        let tally = line.offer(offer.ticket, offer.content, &self.reconciler, &mut changes);
        guessed.into_iter().for_each(|run| line.guessed(run, self.mono.now()));
        if let Some(late_ms) = late_ms.filter(|_| tally.admitted > 0) {
            self.meters.delayed(offer.stream, self.mono.now(), late_ms);
        }
        let reached = (line.edge(), line.relived_from());
        let heard = line.heard();
        self.meter(offer.stream, reached, tally);
        if matches!(offer.ticket, Ticket::Run(_)) && tally.late > 0 {
            self.meters.stream(offer.stream, |m| m.late += tally.late);
        }
        if let Some((epoch, unanswered)) = answer {
            self.hear(offer.stream, epoch, unanswered);
        }
        // Before the gaps that it shows not to be any.
        let tells = is_proof || changes.iter().any(|change| matches!(change, Change::GapOpened { .. }));
        if let Some((hearing, piece)) = self.hearing.as_ref().zip(heard.filter(|_| tells)) {
            hearing.run(offer.stream, piece);
        }
        self.gather(offer.stream, &mut changes);
        if let Some((run, keys)) = aside.filter(|_| tally.ringed > 0) {
            self.reconciler.standby(self.mono.now(), offer.stream, run, &keys);
        }
    }

    /// Whether the exchange goes on, told to the streams that bear no time.
    fn follow_the_exchange(&mut self) {
        let stood = self.mono.stands_since();
        if stood.is_none() && self.stood.is_none() {
            return;
        }
        if stood.is_some() && self.stood.is_none() {
            warn!(?stood, "the exchange stands still: what bears no time is not news");
        }
        self.tell_lines(
            |stream, _| !stream.spec().timed,
            |line, changes| match stood {
                Some(at) => line.stands_still(at, changes),
                None => line.goes_on(),
            },
        );
        self.stood = stood;
    }

    /// Where the exchange's clock turns out to have been set back, it may have been in the pause before a stream changed hands.
    /// And once it is known at all, what waited for it begins.
    fn follow_its_clock(&mut self) {
        let Some(now) = self.mono.reading() else { return };
        let before = self.ahead.replace(now.ahead);
        if before.is_none_or(|before| before.saturating_sub(now.ahead) >= STEP_MS) {
            self.tell_lines(|_, line| line.awaits_clock(), |line, changes| line.follow_clock(now, changes));
        }
    }

    /// Tells some of the lines something that no entry of the inbox does.
    fn tell_lines(
        &mut self,
        which: impl Fn(StreamKey, &Timeline) -> bool,
        tell: impl Fn(&mut Timeline, &mut Vec<Change>),
    ) {
        let told =
            self.lines.iter().filter(|(stream, line)| which(**stream, line)).map(|(stream, _)| *stream);
        for stream in told.collect::<Vec<_>>() {
            let Some(line) = self.lines.get_mut(&stream) else { continue };
            let mut changes = Vec::new();
            tell(line, &mut changes);
            let relived_from = line.relived_from();
            self.meters.stream(stream, |m| m.relived_from = relived_from);
            self.gather(stream, &mut changes);
        }
    }

    /// `reached`: the edge, and from where on time below it is lived once more.
    fn meter(&self, stream: StreamKey, reached: (Option<TimeMs>, Option<TimeMs>), tally: Tally) {
        let now = self.mono.now();
        self.meters.stream(stream, |m| {
            (m.edge, m.relived_from) = reached;
            m.tally += tally;
            // What comes too late to be stored is a sign of life all the same.
            if tally.admitted + tally.late + tally.known > 0 {
                (m.last, m.ahead) = (Some(now), self.ahead);
            }
            if tally.admitted + tally.late + tally.known + tally.ringed > 0 {
                m.heard = Some(now);
            }
        });
    }

    /// The request of a stream's owner was answered, with no record perhaps, or was not.
    fn hear(&mut self, stream: StreamKey, epoch: Epoch, unanswered: Option<Cause>) {
        let now = self.mono.now();
        let mut begins = false;
        self.meters.stream(stream, |m| {
            begins = m.unanswered.is_some() != unanswered.is_some();
            m.unanswered = unanswered;
            if unanswered.is_none() {
                m.heard = Some(now);
            }
        });
        if begins {
            self.untold.answers(stream, epoch, unanswered.is_some());
        }
    }

    /// Takes records from the future out: a time line never goes back. Returns the newest of their times.
    fn keep_of_this_time(&mut self, stream: StreamKey, content: &mut Content) -> Option<TimeMs> {
        let newest = content.records().and_then(Records::extent).map(|(_, last)| last);
        let newest = newest.filter(|newest| !self.mono.can_be(*newest))?;
        if let Some(untold) = self.complaints.due(self.mono.now()) {
            warn!(%stream, time = %newest, untold, "a record from the future: not taken");
        }
        if let Content::Frame(records) | Content::Answer { records, .. } = content {
            records.retain_time(|time| self.mono.can_be(time));
        }
        Some(newest)
    }

    /// Tells of runs that missed something. Where the channel is full an owner's loss is found again by the final bar, and a
    /// standby's when it is silent.
    pub(super) fn witness(&mut self) {
        let now = self.mono.now();
        let missed = self.reconciler.take_missed(now);
        self.take_doubts();
        let owner = |stream| self.lines.get(&stream).and_then(Timeline::claim).and_then(|claim| claim.run);
        let owners = missed.into_iter().filter_map(|stream| Some((stream, owner(stream)?)));
        for (stream, run) in owners.chain(self.reconciler.take_mute_standbys(now)) {
            let _ = self.events.try_send(PipelineEvent::Missed { stream, run });
        }
    }

    fn tell_hearing(&self, stream: StreamKey, change: &Change) {
        if let Some(hearing) = &self.hearing {
            hearing.changed(stream, change);
            let relived = self.lines.get(&stream).and_then(Timeline::relived_from);
            if let Some(from) = relived.filter(|_| stream.kind() == Kind::Trades) {
                hearing.relived(stream, from);
            }
        }
    }

    fn gather(&mut self, stream: StreamKey, changes: &mut Vec<Change>) {
        let is_gap = |c: &&Change| matches!(c, Change::GapOpened { .. } | Change::Doubted { .. });
        let gaps = changes.iter().filter(is_gap).count() as u64;
        if gaps > 0 {
            self.meters.stream(stream, |m| m.gaps += gaps);
        }
        if !changes.is_empty() {
            self.since.get_or_insert_with(Instant::now);
        }
        for change in changes.drain(..) {
            self.tell_hearing(stream, &change);
            self.reconciler.note(self.mono.now(), stream, &change);
            if !stream.spec().timed && matches!(change, Change::Rows { .. }) {
                self.mono.changed();
            }
            self.pending.push(stream, self.thinner.thin(stream, change));
        }
        let left_out = self.thinner.left_out();
        self.meters.count(|counters| counters.thinned = left_out);
        self.take_doubts();
    }

    /// Records gaps where a witness knows of trades that never came.
    fn take_doubts(&mut self) {
        let doubts = self.reconciler.take_doubts();
        for (stream, (pieces, span)) in hulls(&doubts) {
            warn!(%stream, pieces, ?span, "trades that never came: recorded as gaps");
        }
        for (stream, span) in doubts {
            self.doubt(stream, span);
        }
    }

    /// What is covered there is not complete: it becomes a gap.
    fn doubt(&mut self, stream: StreamKey, span: Span) {
        let Some(line) = self.lines.get_mut(&stream) else { return };
        line.doubted(span);
        let doubt = Change::Doubted { span, cause: Cause::Silence };
        self.tell_hearing(stream, &doubt);
        self.reconciler.note(self.mono.now(), stream, &doubt);
        self.pending.push(stream, doubt);
        self.since.get_or_insert_with(Instant::now);
        self.meters.stream(stream, |m| m.gaps += 1);
    }
}

/// Whether the owner's request was answered: under which claim, and why not, where not. None where the request is not
/// the owner's.
fn answered(line: &Timeline, offer: &Offer) -> Option<(Epoch, Option<Cause>)> {
    let epoch = line.claim()?.epoch;
    match (&offer.content, offer.ticket) {
        (Content::Answer { .. }, ticket) if ticket == Ticket::Claim(epoch) => Some((epoch, None)),
        (Content::Unanswered { cause }, ticket) if ticket == Ticket::Claim(epoch) => {
            Some((epoch, Some(*cause)))
        }
        _ => None,
    }
}

/// How late the newest record of a frame was received, ms, of a kind whose records bear the time of their sending.
fn late_ms(offer: &Offer) -> Option<i64> {
    let Content::Frame(records) = &offer.content else { return None };
    offer.stream.spec().voice?;
    let (time, received) = records.newest_received()?;
    Some(received.get() / 1_000_000 - time.0)
}

/// Trades that a standby brings: its run and their keys.
fn aside(line: &Timeline, offer: &Offer) -> Option<(RunId, Vec<(TimeMs, u64)>)> {
    let owner = line.claim()?.run?;
    match (offer.ticket, &offer.content) {
        (Ticket::Run(run), Content::Frame(Records::Trades(trades))) if run != owner => {
            Some((run, trades.iter().map(Trade::key).collect()))
        }
        _ => None,
    }
}

/// How many pieces there are of each stream, and their hull.
fn hulls(pieces: &[(StreamKey, Span)]) -> BTreeMap<StreamKey, (usize, Span)> {
    let mut hulls = BTreeMap::<StreamKey, (usize, Span)>::new();
    for (stream, piece) in pieces {
        let (count, hull) = hulls.entry(*stream).or_insert((0, *piece));
        *count += 1;
        *hull = hull.hull(*piece);
    }
    hulls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_pieces_are_in_doubt_a_stream_is_told_once() {
        let [btc, eth]: [StreamKey; 2] = ["trades/BTC", "trades/ETH"].map(|name| name.parse().unwrap());
        let span = |from, to| Span::new(TimeMs(from), TimeMs(to));
        let pieces = [(btc, span(20, 30)), (eth, span(1, 2)), (btc, span(5, 9)), (btc, span(9, 12))];
        let told: Vec<_> = hulls(&pieces).into_iter().collect();
        assert_eq!(told, [(btc, (3, span(5, 30))), (eth, (1, span(1, 2)))]);
    }
}
