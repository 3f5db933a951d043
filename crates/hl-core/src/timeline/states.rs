//! States: books, best bids and offers, mids, contexts. Each record replaces the one before.
//!
//! The edge is the last record. Of a kind that is pushed by a clock a hole is a longer time without one than its cadence
//! allows. A kind that is pushed at every change may be silent for any time inside one healthy subscription, and between
//! two of them any pause is a hole: from the moment up to which the first is known to have brought everything, to the
//! first record of the second. A run that begins with the state of the edge, or an earlier one, misses nothing after it.
//!
//! **What comes below the edge** under the standing claim, and bears a time of the exchange, is stored under that time:
//! frames came out of order, or the exchange's clock was set back. An earlier claim may have covered that time, and has
//! missed it then. In a recorded gap it proves nothing, and is left out; so is what waited in a ring while another
//! source stored newer ones, and what lies before all that this process knows of. What waited itself is stored in any order.
//!
//! **Where the clock was set back**, the time up to the edge is lived once more. What was covered of it is not complete before
//! it has passed, so it is doubted at once, and filled bit by bit. Where the stream was not received meanwhile, records may be
//! missing on both sides: before the first of them, by the new clock, and behind the edge, by the old one. And where it was
//! set back to before all that was ever collected, the time line begins there from then on.
//!
//! **Where the exchange stands still**, its front may push what bears no time on and on, unchanged. That is not news, and
//! covers nothing.

use super::below::Seen;
use super::latest::Latest;
use super::relived::Relived;
use super::{Common, Live, OVERTAKEN_MS, Rest, SET_BACK_MS, SetBack, Tally};
use crate::for_records;
use crate::ledger::{Cause, Change, Span};
use crate::row::Row as _;
use crate::source::Content;
use crate::store::Recent;
use crate::stream::Conflation;
use crate::{Records, StreamKey, TimeMs};

/// How much later, ms, than the fastest of them a frame may leave the exchange: what bears an earlier time than a ping has
/// been seen once its pong is there.
pub(super) const LEAVES_LATE_MS: i64 = 1_000;

/// Time that is lived once more is proven in pieces of this length, ms: each is one of the ledger.
const PASSED_MS: i64 = 5_000;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct States {
    stream: StreamKey,
    /// Of a kind whose rows are stored on change.
    latest: Latest,
    /// Up to when the run that owns the stream is known to have brought everything, of a kind that is pushed at every change.
    whole_to: Option<TimeMs>,
    /// The newest record; the edge may be later, where a run was proven whole up to there.
    newest: Option<TimeMs>,
    seen: Seen,
    /// The time that is lived once more since the clock was set back.
    relived: Option<Relived>,
    /// Up to here nothing is proven above the edge, and why: the clock was set back while this stream was not received.
    doubtful: Option<(TimeMs, Cause)>,
    /// Whether the newest record was pushed, as far as is known.
    is_pushed: bool,
    /// The oldest record that waited in the ring of the run that owns the stream, and was older than the edge.
    waited: Option<TimeMs>,
    pulse: Pulse,
}

/// Whether the exchange goes on, of a kind that bears no times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Pulse {
    GoesOn,
    StandsStill,
    /// It stood still, and nothing has come since.
    Back,
}

impl States {
    pub(super) fn new(stream: StreamKey, edge: Option<TimeMs>, recent: &Recent) -> Self {
        Self {
            stream,
            latest: Latest::of(stream, &recent.markets),
            whole_to: None,
            newest: None,
            seen: Seen::stored(edge, recent),
            relived: None,
            doubtful: None,
            is_pushed: true,
            waited: None,
            pulse: Pulse::GoesOn,
        }
    }

    pub(super) fn stand_still(&mut self, common: &Common, at: TimeMs, out: &mut Vec<Change>) {
        if self.stream.spec().timed || self.pulse == Pulse::StandsStill {
            return;
        }
        self.pulse = Pulse::StandsStill;
        if let Some(edge) = common.edge.filter(|edge| at < *edge) {
            out.push(Change::Doubted { span: Span::new(at, edge), cause: Cause::Outage });
        }
    }

    pub(super) fn go_on(&mut self) {
        if self.pulse == Pulse::StandsStill {
            self.pulse = Pulse::Back;
        }
    }

    pub(super) fn admit(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        content: Content,
        out: &mut Vec<Change>,
    ) -> Tally {
        let (records, is_pushed) = match content {
            Content::Frame(records) => (records, true),
            Content::Answer { records, asked, .. } => {
                live.unproven.get_or_insert(Cause::Sampled);
                live.heard_at = Some(asked);
                (records, false)
            }
            Content::Proof { sent } => {
                self.prove(live, sent);
                return Tally::default();
            }
            Content::Started { at } | Content::Broken { at } => {
                live.heard_at = Some(at);
                return Tally::default();
            }
            Content::Ahead { .. }
            | Content::Dropped
            | Content::Refuted { .. }
            | Content::Unanswered { .. } => return Tally::default(),
        };
        let mut tally = Tally { admitted: records.len() as u64, ..Tally::default() };
        // Frames without a time were stamped on receipt; a stamp never goes back, restarts included.
        let mut records = match common.edge {
            Some(edge) => self.restamp(records, edge + 1),
            None => records,
        };
        let Some((first, last)) = records.ends() else { return tally };
        // A poll brings a state of the time at which it was asked for, and says nothing of when it changed.
        if is_pushed && self.refutes(common, live, &records, &mut tally, out) {
            records.retain_time(|time| common.edge.is_none_or(|edge| time > edge));
        }
        if records.is_empty() {
            return tally;
        }
        if let Some(edge) = common.edge.filter(|_| is_pushed && self.stream.spec().timed) {
            self.relive(edge, live, &records, out);
        }
        let Some(records) = self.newer(common, live, records, &mut tally, out) else {
            // The state of the edge again, or one before it: what the run brings next is the next change.
            let is_too_old = common.edge.is_some_and(|edge| self.is_too_old(live, edge, first));
            if is_pushed && self.relived.is_none() && !is_too_old {
                live.unproven = None;
            }
            return tally;
        };
        if self.pulse == Pulse::StandsStill && !self.differ(&records) {
            return tally;
        }
        let first = common.edge.map_or(first, |edge| first.max(edge));
        if let Some(edge) = common.edge {
            self.end_relived(edge, live, first, out);
        }
        if let (Some(edge), Some((to, doubt))) = (common.edge, self.doubtful)
            && first <= to
        {
            // They are stored, and nothing between them is proven.
            let cause = live.unproven.take().unwrap_or(doubt);
            out.push(live.rows(records));
            if last.since(edge) >= PASSED_MS {
                self.open_gap(common, Span::new(edge, last), cause, out);
                self.newest = self.newest.max(Some(last));
                common.advance(last, out);
            }
            return tally;
        }
        let begin = match (common.edge, live.unproven.take()) {
            (None, _) => first,
            (Some(edge), cause) if let Some((_, doubt)) = self.doubtful.take() => {
                self.open_gap(common, Span::new(edge, first), cause.unwrap_or(doubt), out);
                first
            }
            (Some(edge), _) if self.pulse != Pulse::GoesOn => {
                self.open_gap(common, Span::new(edge, first), Cause::Outage, out);
                first
            }
            (Some(edge), cause) if self.joins(cause, first.since(edge)) => edge,
            (Some(edge), cause) => {
                self.settle(common, live, first, out);
                let from = common.edge.unwrap_or(edge);
                self.open_gap(common, Span::new(from, first), cause.unwrap_or(Cause::Silence), out);
                first
            }
        };
        self.pulse = Pulse::GoesOn;
        self.seen.begin(first);
        let changed = self.changed(records);
        if !changed.is_empty() {
            out.push(live.rows(changed));
        }
        out.push(live.covered(Span::new(begin, last)));
        self.newest = self.newest.max(Some(last));
        self.is_pushed = is_pushed;
        common.advance(last, out);
        tally
    }

    /// Whether these records refute the proof that moved the edge beyond the newest one: a run that was proven whole has
    /// missed those that lie between, and may have missed more. They are stored, and the time around them is doubted.
    fn refutes(
        &mut self,
        common: &Common,
        live: &mut Live,
        records: &Records,
        tally: &mut Tally,
        out: &mut Vec<Change>,
    ) -> bool {
        let (Some(edge), Some(newest)) = (common.edge, self.newest) else { return false };
        if newest >= edge || !self.is_pushed_at_every_change() {
            return false;
        }
        let mut missed = records.clone();
        missed.retain_time(|time| newest < time && time <= edge);
        let Some((_, last)) = missed.ends() else { return false };
        let mut from = newest;
        let mut doubt = |to| {
            out.push(Change::Doubted { span: Span::new(from, to), cause: Cause::Silence });
            from = to;
        };
        missed.each_time(&mut doubt);
        doubt(edge);
        tally.late += missed.len() as u64;
        tally.admitted -= missed.len() as u64;
        out.push(live.rows(missed));
        self.newest = Some(last);
        live.unproven.get_or_insert(Cause::Silence);
        true
    }

    /// Whether a record this long after the edge goes on from there. `cause`: why it may not.
    fn joins(&self, cause: Option<Cause>, pause_ms: i64) -> bool {
        let within_cadence = pause_ms <= self.stream.spec().hole_ms;
        match cause {
            None => self.is_pushed_at_every_change() || within_cadence,
            Some(Cause::Overload) => false,
            // Polls bring a state now and then, and promise no more.
            Some(Cause::Sampled) => within_cadence,
            Some(_) => !self.is_pushed_at_every_change() && within_cadence,
        }
    }

    fn is_pushed_at_every_change(&self) -> bool {
        let spec = self.stream.spec();
        !spec.steady && spec.conflation == Conflation::State
    }

    /// Every frame that left the exchange before a ping has been seen.
    fn prove(&mut self, live: &Live, sent: TimeMs) {
        if self.is_pushed_at_every_change() && live.unproven.is_none() {
            self.whole_to = Some(sent - LEAVES_LATE_MS);
        }
    }

    /// The claim ends, for a reason: what its run is known to have brought whole is covered. A run that was convicted of
    /// silence answered pings too.
    pub(super) fn release(
        &mut self,
        common: &mut Common,
        live: Option<&Live>,
        cause: Option<Cause>,
        out: &mut Vec<Change>,
    ) {
        if let Some(live) = live.filter(|_| cause != Some(Cause::Silence)) {
            self.settle(common, live, TimeMs::MAX, out);
        }
        self.whole_to = None;
        self.waited = None;
    }

    /// What is known of the time from the edge to an end. What is pushed by a clock ended with its last record.
    pub(super) fn rest(&self, live: Live, span: Span) -> Rest {
        let doubt = self.doubtful.map(|(_, cause)| cause);
        let is_unsure = self.relived.is_some() || self.pulse != Pulse::GoesOn;
        let spec = self.stream.spec();
        match Rest::under(live, doubt.or(is_unsure.then_some(Cause::Outage))) {
            Rest::Whole(_) if spec.steady => Rest::Nothing,
            Rest::Missing(Cause::Sampled) if span.ms() <= spec.hole_ms => Rest::Nothing,
            rest => rest,
        }
    }

    /// Covers what is known to be whole, where that is `before` the next record.
    fn settle(&mut self, common: &mut Common, live: &Live, before: TimeMs, out: &mut Vec<Change>) {
        if let (Some(edge), Some(to)) = (common.edge, self.whole_to.take())
            && edge < to
            && to < before
            && self.relived.is_none()
            && self.doubtful.is_none()
        {
            out.push(live.covered(Span::new(edge, to)));
            common.advance(to, out);
        }
    }

    fn open_gap(&mut self, common: &mut Common, span: Span, cause: Cause, out: &mut Vec<Change>) {
        self.seen.hole(span);
        common.open_gap(span, cause, out);
    }

    /// What is newer than the edge; none where nothing is. What is older is stored under its own time.
    fn newer(
        &self,
        common: &Common,
        live: &Live,
        mut records: Records,
        tally: &mut Tally,
        out: &mut Vec<Change>,
    ) -> Option<Records> {
        let Some(edge) = common.edge else { return Some(records) };
        let mut is_any_stored = false;
        // Of what waited only that which came out of order: what is older may have been stored by another source.
        let is_own = |time| !live.promoting || live.edge.is_none_or(|begin| begin < time);
        let is_stored =
            |time| time < edge && self.stream.spec().timed && is_own(time) && self.is_covered(time);
        records.each_time(|time| {
            tally.known += u64::from(time == edge);
            tally.late += u64::from(time < edge);
            is_any_stored |= is_stored(time);
        });
        tally.admitted -= tally.known + tally.late;
        if is_any_stored {
            let mut late = records.clone();
            late.retain_time(is_stored);
            out.push(live.rows(late));
        }
        records.retain_time(|time| time > edge);
        (!records.is_empty()).then_some(records)
    }

    pub(super) fn relived_from(&self) -> Option<TimeMs> {
        self.relived.as_ref().and_then(Relived::rest)
    }

    /// Stores what comes below the edge since the clock was set back, and proves the time that is lived once more as it passes.
    fn relive(&mut self, edge: TimeMs, live: &mut Live, records: &Records, out: &mut Vec<Change>) {
        let Some((first, last)) = records.ends().filter(|(first, _)| *first < edge) else { return };
        let is_too_old = self.is_too_old(live, edge, first);
        if live.promoting && !is_too_old {
            // Another source may have stored newer ones since.
            self.waited = Some(self.waited.map_or(first, |waited| waited.min(first)));
            return;
        }
        let reached = self.relived.as_ref().map(Relived::reached);
        if last < reached.unwrap_or(edge) - OVERTAKEN_MS || reached.is_none() && is_too_old {
            self.set_back(edge, live, first, out);
        }
        let reached = self.relived.as_ref().map(Relived::reached);
        let Some(reached) = reached.filter(|reached| *reached <= first) else { return };
        // In a gap of the first time they prove nothing.
        let mut lived = records.clone();
        lived.retain_time(|time| self.relived.as_ref().is_some_and(|relived| relived.contains(time)));
        if !lived.is_empty() {
            out.push(live.rows(lived));
        }
        let joins = self.joins(live.unproven.take(), first.since(reached));
        if !joins || last.since(reached) >= PASSED_MS {
            self.pass(live, if joins { reached } else { first }, last.min(edge), out);
        }
    }

    /// Time that is lived once more passes, from a record to a later one.
    fn pass(&mut self, live: &Live, from: TimeMs, to: TimeMs, out: &mut Vec<Change>) {
        let proven = self.relived.as_mut().map(|relived| relived.pass(from, to)).unwrap_or_default();
        out.extend(proven.into_iter().map(|piece| live.filled(piece, Records::none(self.stream))));
    }

    /// Whether a record says that the clock was set back: a run that begins after the newest one was pushed has nothing older to
    /// push.
    fn is_too_old(&self, live: &Live, edge: TimeMs, record: TimeMs) -> bool {
        let begins_later = live.unproven.is_some() && live.heard_at.is_some_and(|at| edge < at);
        begins_later && self.is_pushed && self.newest.is_some_and(|newest| record < newest)
    }

    /// The clock was set back from `edge` to `first`: what was covered of the time between is not complete before it has passed.
    /// Where the stream was not received meanwhile, records may be missing on both sides.
    fn set_back(&mut self, edge: TimeMs, live: &Live, first: TimeMs, out: &mut Vec<Change>) {
        let cause = live.unproven.unwrap_or(Cause::Silence);
        let mut from = first;
        if live.unproven.is_some() {
            let passed = live.missed_ms(edge).map_or(SET_BACK_MS, |passed| passed + LEAVES_LATE_MS);
            from = self.waited.map_or(first, |waited| waited.min(first)) - passed;
            self.doubtful = self.doubtful.max(Some((edge + passed, cause)));
        }
        let doubted = self.doubt(Span::new(from, edge), cause, out);
        if from < first {
            self.seen.hole(Span::new(from, first));
        }
        self.relived = Some(Relived::new(first, &doubted));
    }

    /// The clock was set back in a pause.
    pub(super) fn pause(&mut self, common: &Common, set_back: SetBack, cause: Cause, out: &mut Vec<Change>) {
        let SetBack { new, old, now } = set_back;
        let Some(edge) = common.edge else { return };
        // What was polled since is not proof either; and what is still to come is lived once more.
        let passed = Span { to: now.min(edge), ..new };
        if passed.from < edge {
            let doubted = self.doubt(Span { to: edge, ..new }, cause, out);
            self.seen.hole(passed);
            if self.relived.is_none() && now < edge {
                self.relived = Some(Relived::new(now, &doubted));
            }
        }
        self.doubtful = self.doubtful.max(Some((old.to, cause)).filter(|_| edge < old.to));
    }

    /// What was covered of a time is not proven any more, nor what lies before all that was ever collected. Returns the pieces that
    /// are known.
    fn doubt(&mut self, span: Span, cause: Cause, out: &mut Vec<Change>) -> Vec<Span> {
        let mut doubted = self.seen.whole(span);
        let all = self.seen.forgotten(span).into_iter().chain(doubted.iter().copied());
        out.extend(all.map(|span| Change::Doubted { span, cause }));
        if let Some(span) = self.seen.reach_back(span.from) {
            out.push(Change::GapOpened { span, cause });
            doubted.insert(0, span);
        }
        doubted
    }

    /// The time that was lived once more has passed, all up to the edge.
    fn end_relived(&mut self, edge: TimeMs, live: &Live, next: TimeMs, out: &mut Vec<Change>) {
        if let Some(reached) = self.relived.as_ref().map(Relived::reached)
            && live.unproven.is_none()
            && self.joins(None, next.since(reached))
        {
            self.pass(live, reached, edge, out);
        }
        self.relived = None;
    }

    /// Whether a time below the edge is covered, as far as is known.
    fn is_covered(&self, time: TimeMs) -> bool {
        let is_to_come = self.relived.as_ref().is_some_and(|relived| relived.reached() <= time);
        self.seen.covers(time) && !is_to_come
    }

    /// Whether a record differs from the last stored state, for the kinds that are stored on change.
    fn differ(&self, records: &Records) -> bool {
        self.stream.spec().timed || self.latest.differs(records)
    }

    /// Keeps what differs from the last stored state, for the kinds that are stored on change.
    fn changed(&mut self, mut records: Records) -> Records {
        if !self.stream.spec().timed {
            self.latest.take(&mut records);
        }
        records
    }

    /// Stamps what bears no time of the exchange so late at least.
    fn restamp(&self, mut records: Records, at_least: TimeMs) -> Records {
        if !self.stream.spec().timed {
            for_records!(&mut records, r => r.iter_mut().for_each(|x| x.set_time(x.time.max(at_least))));
        }
        records
    }
}
