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
//! source stored newer ones, and what lies before all that this process knows of. Where the clock was set back to before all
//! that was ever collected, the time line begins there from then on, with a gap that is filled as that time passes.
//!
//! **Where the exchange stands still**, its front may push what bears no time on and on, unchanged. That is not news, and
//! covers nothing.

use std::collections::BTreeMap;

use super::below::Seen;
use super::{Common, Live, OVERTAKEN_MS, Tally};
use crate::ledger::{Cause, Change, Span};
use crate::record::Context;
use crate::source::Content;
use crate::store::Recent;
use crate::stream::Conflation;
use crate::{Coin, Decimal, Kind, Records, TimeMs};

/// How much later, ms, than the fastest of them a frame may leave the exchange: what bears an earlier time than a ping has
/// been seen once its pong is there.
const LEAVES_LATE_MS: i64 = 1_000;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct States {
    kind: Kind,
    /// The last stored mid of each coin: rows are stored on change.
    mids: BTreeMap<Coin, Decimal>,
    /// The last stored context.
    context: Option<Context>,
    /// Up to when the run that owns the stream is known to have brought everything, of a kind that is pushed at every change.
    whole_to: Option<TimeMs>,
    /// The newest record; the edge may be later, where a run was proven whole up to there.
    newest: Option<TimeMs>,
    seen: Seen,
    /// What is left of the time before collecting began, where the clock was set back to before that: it is lived now.
    relived: Option<Span>,
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
    pub(super) fn new(kind: Kind, edge: Option<TimeMs>, recent: &Recent) -> Self {
        Self {
            kind,
            mids: BTreeMap::new(),
            context: None,
            whole_to: None,
            newest: None,
            seen: Seen::stored(edge, recent),
            relived: None,
            pulse: Pulse::GoesOn,
        }
    }

    pub(super) fn stand_still(&mut self, common: &Common, at: TimeMs, out: &mut Vec<Change>) {
        if self.kind.spec().timed || self.pulse == Pulse::StandsStill {
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
            Content::Answer { records, .. } => {
                live.unproven.get_or_insert(Cause::Sampled);
                (records, false)
            }
            Content::Proof { sent } => {
                self.prove(live, sent);
                return Tally::default();
            }
            Content::Started { .. }
            | Content::Broken { .. }
            | Content::Dropped
            | Content::Unanswered { .. } => {
                return Tally::default();
            }
        };
        let mut tally = Tally { admitted: records.len() as u64, ..Tally::default() };
        // Frames without a time were stamped on receipt; a stamp never goes back, restarts included.
        let mut records = match common.edge {
            Some(edge) => restamp(records, edge + 1),
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
        let Some(records) = self.newer(common, live, records, &mut tally, out) else {
            // Seen again at the same time: the stream lives, and nothing is new.
            if is_pushed {
                live.unproven = None;
            }
            return tally;
        };
        if self.pulse == Pulse::StandsStill && !self.differ(&records) {
            return tally;
        }
        let first = common.edge.map_or(first, |edge| first.max(edge));
        let begin = match (common.edge, live.unproven.take()) {
            (None, _) => first,
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
        let within_cadence = pause_ms <= self.kind.spec().hole_ms;
        match cause {
            None => self.is_pushed_at_every_change() || within_cadence,
            Some(Cause::Overload) => false,
            // Polls bring a state now and then, and promise no more.
            Some(Cause::Sampled) => within_cadence,
            Some(_) => !self.is_pushed_at_every_change() && within_cadence,
        }
    }

    fn is_pushed_at_every_change(&self) -> bool {
        let spec = self.kind.spec();
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
        self.relived = None;
    }

    /// Covers what is known to be whole, where that is `before` the next record.
    fn settle(&mut self, common: &mut Common, live: &Live, before: TimeMs, out: &mut Vec<Change>) {
        if let (Some(edge), Some(to)) = (common.edge, self.whole_to.take())
            && edge < to
            && to < before
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
        &mut self,
        common: &Common,
        live: &Live,
        mut records: Records,
        tally: &mut Tally,
        out: &mut Vec<Change>,
    ) -> Option<Records> {
        let Some(edge) = common.edge else { return Some(records) };
        if self.kind.spec().timed && !live.promoting {
            self.relive(edge, live, &records, out);
        }
        let mut is_any_stored = false;
        let is_stored =
            |time| time < edge && self.kind.spec().timed && !live.promoting && self.seen.covers(time);
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
        self.relived.map(|left| left.from)
    }

    /// Stores what comes before all that was ever collected, where the clock was set back to before that.
    fn relive(&mut self, edge: TimeMs, live: &Live, records: &Records, out: &mut Vec<Change>) {
        let Some((first, last)) = records.ends() else { return };
        if self.relived.is_none() && last < edge - OVERTAKEN_MS {
            self.relived = self.seen.reach_back(last, first - 1);
            out.extend(self.relived.map(|span| Change::GapOpened { span, cause: Cause::Silence }));
        }
        let Some(left) = self.relived else { return };
        let mut lived = records.clone();
        lived.retain_time(|time| left.contains(time));
        // A later one says that all of it has passed.
        let to = if left.to < last { left.to } else { last.max(left.from) };
        out.push(live.filled(Span::new(left.from, to), lived));
        self.relived = (to < left.to).then(|| Span::new(to, left.to));
    }

    /// Whether a record differs from the last stored state, for the kinds that are stored on change.
    fn differ(&self, records: &Records) -> bool {
        match records {
            Records::Mids(mids) => mids.iter().any(|mid| self.mids.get(&mid.coin) != Some(&mid.px)),
            Records::Contexts(contexts) => {
                contexts.iter().any(|new| self.context.is_none_or(|last| !last.same_values(new)))
            }
            _ => true,
        }
    }

    /// Keeps what differs from the last stored state, for the kinds that are stored on change.
    fn changed(&mut self, records: Records) -> Records {
        match records {
            Records::Mids(mut mids) => {
                mids.retain(|mid| self.mids.insert(mid.coin, mid.px) != Some(mid.px));
                Records::Mids(mids)
            }
            Records::Contexts(mut contexts) => {
                contexts.retain(|context| {
                    let changed = self.context.is_none_or(|last| !last.same_values(context));
                    self.context = Some(*context);
                    changed
                });
                Records::Contexts(contexts)
            }
            other => other,
        }
    }
}

fn restamp(mut records: Records, at_least: TimeMs) -> Records {
    match &mut records {
        Records::Mids(mids) => mids.iter_mut().for_each(|r| r.time = r.time.max(at_least)),
        Records::Contexts(contexts) => contexts.iter_mut().for_each(|r| r.time = r.time.max(at_least)),
        _ => {}
    }
    records
}
