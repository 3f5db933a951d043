//! The open sockets, their subscriptions, and the one way out to them: faults strike here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hl_core::record::Address;
use hl_core::seam::Seed;
use hl_core::{Coin, StreamKey};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant};

use super::topic::{Clock, Topic};
use crate::assumptions::Assumptions;
use crate::faults::{Fault, FaultKind, Faults, Way};
use crate::limits::Usage;
use crate::wire;
use crate::wire::metadata::FastCtx;

/// The code of a socket that is closed in good order.
const EXPIRED: u16 = 1_000;

/// Something for a socket's writer.
#[derive(Debug)]
pub(crate) enum Out {
    Text(Bytes, Instant),
    Pong(Vec<u8>),
    Close(Vec<u8>),
}

/// What a frame is, to the faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// An acknowledgement, an error, a pong, the answer to a post.
    Control,
    /// Data, of a stream where it has a name.
    Data(Option<StreamKey>),
}

/// How fast sockets drip, shared with their writers.
#[derive(Default, Debug)]
pub(crate) struct Drip {
    /// 0: they do not.
    pub(crate) every_ms: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

#[derive(Default, Debug, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) frames_sent: u64,
    pub(crate) opened: u64,
    pub(crate) refused: u64,
    pub(crate) idle_closed: u64,
    pub(crate) not_reading: u64,
    pub(crate) fatal_subscriptions: u64,
}

pub(crate) struct Socket {
    queue: mpsc::Sender<Out>,
    /// Dropped with the socket: the session then ends without a word.
    _kill: oneshot::Sender<()>,
    pub(crate) topics: BTreeSet<Topic>,
    /// Next push of each clock, simulated ms.
    due: [i64; 6],
    pub(crate) rng: fastrand::Rng,
    last_sent: Instant,
    half_open: bool,
    /// Faults that chose this socket.
    muted_by: Vec<u64>,
    /// A frame held back to be sent after the next one.
    held: Option<Bytes>,
    pub(crate) fast_sent: BTreeMap<Coin, FastCtx>,
}

/// What a session holds of its socket.
pub(crate) struct Opened {
    pub(crate) id: u64,
    pub(crate) queue: mpsc::Receiver<Out>,
    pub(crate) kill: oneshot::Receiver<()>,
    pub(crate) drip: Arc<Drip>,
    /// A fault ends it as soon as its handshake is through.
    pub(crate) doomed: bool,
}

pub(crate) struct Hub {
    sockets: BTreeMap<u64, Socket>,
    index: BTreeMap<Topic, BTreeSet<u64>>,
    pub(crate) usage: Usage,
    pub(crate) assumptions: Assumptions,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    drip: Arc<Drip>,
    next_id: u64,
    seed: Seed,
    latency: Duration,
}

impl Hub {
    pub(crate) fn new(usage: Usage, seed: Seed, latency: Duration, assumptions: Assumptions) -> Self {
        Self {
            sockets: BTreeMap::new(),
            index: BTreeMap::new(),
            usage,
            assumptions,
            faults: Faults::default(),
            counters: Counters::default(),
            drip: Arc::new(Drip::default()),
            next_id: 0,
            seed: seed.derive("sockets"),
            latency,
        }
    }

    pub(crate) fn open(&mut self, now: Instant, sim_now: i64) -> Opened {
        self.next_id += 1;
        self.counters.opened += 1;
        let id = self.next_id;
        let (queue, rx) = mpsc::channel(self.usage.limits.queued_frames.max(1));
        let (kill_tx, kill) = oneshot::channel();
        let mut rng = self.seed.rng(&id.to_string());
        let due = Clock::ALL.map(|c| sim_now + rng.i64(0..c.period(&self.assumptions).0));
        let socket = Socket {
            queue,
            _kill: kill_tx,
            topics: BTreeSet::new(),
            due,
            rng,
            last_sent: now,
            half_open: false,
            muted_by: Vec::new(),
            held: None,
            fast_sent: BTreeMap::new(),
        };
        self.sockets.insert(id, socket);
        if let Some(bytes) = self.faults.giant(now, 1) {
            self.send(id, What::Control, &giant(bytes), now);
        }
        let doomed = self.faults.drops(now, 1);
        Opened { id, queue: rx, kill, drip: Arc::clone(&self.drip), doomed }
    }

    /// Forgets a socket, and so drops it. Its subscriptions count for a while longer.
    pub(crate) fn close(&mut self, id: u64, now: Instant) {
        if let Some(topics) = self.remove(id) {
            self.usage.leave_ghost(now, topics);
        }
    }

    /// Forgets a socket that the client closed properly.
    pub(crate) fn leave(&mut self, id: u64) {
        self.remove(id);
    }

    fn remove(&mut self, id: u64) -> Option<usize> {
        let socket = self.sockets.remove(&id)?;
        for topic in &socket.topics {
            self.unindex(id, topic);
        }
        Some(socket.topics.len())
    }

    fn unindex(&mut self, id: u64, topic: &Topic) {
        if let Some(ids) = self.index.get_mut(topic) {
            ids.remove(&id);
            if ids.is_empty() {
                self.index.remove(topic);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.sockets.keys().copied().collect()
    }

    pub(crate) fn socket(&mut self, id: u64) -> Option<&mut Socket> {
        self.sockets.get_mut(&id)
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.sockets.values().map(|s| s.topics.len()).sum()
    }

    /// Different users over all sockets.
    pub(crate) fn users(&self) -> BTreeSet<Address> {
        self.index.keys().filter_map(Topic::user).collect()
    }

    /// How many of them there may be now.
    pub(crate) fn user_cap(&self, now: Instant) -> usize {
        self.faults.user_cap(now).unwrap_or(self.usage.limits.users)
    }

    /// The sockets that follow others than the first `most` users, the oldest sockets coming first.
    fn beyond(&self, most: usize) -> Vec<u64> {
        let mut followed = BTreeSet::new();
        let mut beyond = Vec::new();
        for (id, socket) in &self.sockets {
            let mut with: BTreeSet<_> = socket.topics.iter().filter_map(Topic::user).collect();
            with.extend(&followed);
            // A socket that adds nobody stays, also where the others are too many already.
            if with.len() > followed.len() && with.len() > most {
                beyond.push(*id);
            } else {
                followed = with;
            }
        }
        beyond
    }

    pub(crate) fn subscribe(&mut self, id: u64, topic: Topic) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.topics.insert(topic.clone());
            self.index.entry(topic).or_default().insert(id);
        }
    }

    pub(crate) fn unsubscribe(&mut self, id: u64, topic: &Topic) -> bool {
        let had = self.sockets.get_mut(&id).is_some_and(|s| s.topics.remove(topic));
        if had {
            self.unindex(id, topic);
        }
        had
    }

    pub(crate) fn subscribers(&self, topic: &Topic) -> Vec<u64> {
        self.index.get(topic).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    pub(crate) fn has_topics(&self) -> bool {
        !self.index.is_empty()
    }

    /// The topics of all sockets.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.index.keys()
    }

    /// Whether the server writes nothing to this socket any more, nor hears it.
    pub(crate) fn is_half_open(&mut self, id: u64) -> bool {
        let active = self.faults.is_half_open();
        self.sockets.get_mut(&id).is_some_and(|s| {
            s.half_open &= active;
            s.half_open
        })
    }

    /// Sends to every subscriber of a topic.
    pub(crate) fn publish(&mut self, topic: &Topic, text: &Bytes, now: Instant) {
        for id in self.subscribers(topic) {
            self.send(id, What::Data(topic.stream()), text, now);
        }
    }

    /// The one way out. What the faults leave of a frame goes into the socket's queue; a socket whose queue is full
    /// is dropped.
    pub(crate) fn send(&mut self, id: u64, what: What, text: &Bytes, now: Instant) {
        if self.faults.is_empty() {
            // Nothing is held back any longer than the fault that held it.
            let held = self.sockets.get_mut(&id).and_then(|s| s.held.take());
            self.enqueue(id, held, now);
            return self.enqueue(id, [text.clone()], now);
        }
        if self.is_half_open(id) {
            self.faults.swallowed(now);
            if let Some(socket) = self.sockets.get_mut(&id) {
                socket.last_sent = now;
            }
            return;
        }
        let What::Data(stream) = what else { return self.enqueue(id, [text.clone()], now) };
        let chosen = self.sockets.get(&id).map_or(&[][..], |s| &s.muted_by);
        if self.faults.mutes_one(now, chosen, stream) || self.faults.mutes(now, stream) {
            return;
        }
        let falsified = self.falsified(stream, text, now);
        let text = falsified.as_ref().unwrap_or(text);
        let text = if self.faults.garbles(now, stream) { text.slice(..text.len() / 2) } else { text.clone() };
        let copies = if self.faults.duplicates(now, stream) { 2 } else { 1 };
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let held = socket.held.take();
        if held.is_none() && self.faults.reorders(now, stream) {
            socket.held = Some(text);
            return;
        }
        self.enqueue(id, std::iter::repeat_n(text, copies), now);
        self.enqueue(id, held, now);
    }

    /// The frame that faults make of this one, where they change its rows.
    fn falsified(&mut self, stream: Option<StreamKey>, text: &Bytes, now: Instant) -> Option<Bytes> {
        if !self.faults.may_falsify(now, Way::Ws, stream) {
            return None;
        }
        let mut frame: Value = serde_json::from_slice(text).ok()?;
        let changed = self.faults.falsify(now, Way::Ws, stream, frame.get_mut("data")?);
        changed.then(|| wire::json(&frame))
    }

    fn enqueue(&mut self, id: u64, frames: impl IntoIterator<Item = Bytes>, now: Instant) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        for text in frames {
            let due = now + self.latency + self.faults.late(now);
            if socket.queue.try_send(Out::Text(text, due)).is_err() {
                self.counters.not_reading += 1;
                return self.close(id, now);
            }
            socket.last_sent = now;
            self.counters.frames_sent += 1;
        }
    }

    /// A pong of the protocol itself, or the answer to a close.
    pub(crate) fn send_raw(&mut self, id: u64, out: Out) {
        if !self.is_half_open(id)
            && let Some(socket) = self.sockets.get_mut(&id)
        {
            // A full queue is noticed at the next data frame.
            let _ = socket.queue.try_send(out);
        }
    }

    /// Which clocks of a socket are due. Those that nobody listens to tick on silently.
    pub(crate) fn due(&mut self, id: u64, sim_now: i64) -> Vec<Topic> {
        let Some(socket) = self.sockets.get_mut(&id) else { return Vec::new() };
        let mut fired = [false; 6];
        for (clock, (due, fired)) in Clock::ALL.into_iter().zip(socket.due.iter_mut().zip(&mut fired)) {
            let (least, spread) = clock.period(&self.assumptions);
            while *due <= sim_now {
                *due += least + socket.rng.i64(0..=spread);
                *fired = true;
            }
        }
        if !fired.contains(&true) {
            return Vec::new();
        }
        let is_due = |t: &&Topic| t.clock().is_some_and(|c| fired[c as usize]);
        socket.topics.iter().filter(is_due).cloned().collect()
    }

    /// When the first clock is due that somebody listens to, simulated ms.
    pub(crate) fn next_push(&self) -> i64 {
        let of = |socket: &Socket| {
            let clocks = socket.topics.iter().filter_map(Topic::clock);
            clocks.filter_map(|clock| socket.due.get(clock as usize).copied()).min()
        };
        self.sockets.values().filter_map(of).min().unwrap_or(i64::MAX)
    }

    /// When [`Hub::refresh`] has something to end next.
    pub(crate) fn next_refresh(&self) -> Option<Instant> {
        let idle = Duration::from_millis(self.usage.limits.idle_ms);
        let sockets = self.sockets.values().map(|s| s.last_sent + idle).min();
        sockets.into_iter().chain(self.faults.next_end()).min()
    }

    /// Starts a fault, and strikes where it strikes at once.
    pub(crate) fn inject(&mut self, fault: Fault, now: Instant) -> u64 {
        let (kind, lasts) = (fault.kind.clone(), fault.for_ms.is_some());
        let id = self.faults.add(fault, now);
        match kind {
            FaultKind::Drop => {
                self.faults.drops(now, self.sockets.len() as u64);
                for socket in self.ids() {
                    self.close(socket, now);
                }
                if !lasts {
                    self.faults.end(id);
                }
            }
            FaultKind::GiantFrame { bytes } => {
                self.faults.giant(now, self.sockets.len() as u64);
                for socket in self.ids() {
                    self.send(socket, What::Control, &giant(bytes), now);
                }
                if !lasts {
                    self.faults.end(id);
                }
            }
            FaultKind::DropOne { socket } => {
                if let Some(socket) = self.by_age(socket) {
                    self.faults.drops_one(now);
                    self.close(socket, now);
                }
                self.faults.end(id);
            }
            FaultKind::MuteOne { socket, .. } => {
                let chosen = self.by_age(socket).and_then(|socket| self.sockets.get_mut(&socket));
                if let Some(socket) = chosen {
                    socket.muted_by.push(id);
                }
            }
            FaultKind::Forget { stream } => {
                let forgotten = self.forget(stream);
                self.faults.forgot(now, forgotten);
                self.faults.end(id);
            }
            FaultKind::Expire => {
                self.faults.struck(now, id, self.sockets.len() as u64);
                for socket in self.ids() {
                    let mut reason = EXPIRED.to_be_bytes().to_vec();
                    reason.extend_from_slice(b"Expired");
                    self.send_raw(socket, Out::Close(reason));
                }
                self.faults.end(id);
            }
            FaultKind::UserCap { users, drop: true } => {
                let beyond = self.beyond(users);
                self.faults.struck(now, id, beyond.len() as u64);
                for socket in beyond {
                    self.close(socket, now);
                }
            }
            FaultKind::HalfOpen => self.sockets.values_mut().for_each(|s| s.half_open = true),
            _ => {}
        }
        self.refresh(now);
        id
    }

    /// Ends the subscriptions of a stream, or all, on every socket, and returns how many.
    fn forget(&mut self, stream: Option<StreamKey>) -> u64 {
        let named = |topic: &&Topic| stream.is_none() || topic.stream() == stream;
        let topics: Vec<Topic> = self.topics().filter(named).cloned().collect();
        let mut forgotten = 0;
        for topic in topics {
            for id in self.subscribers(&topic) {
                forgotten += u64::from(self.unsubscribe(id, &topic));
            }
        }
        forgotten
    }

    /// The open socket of this age, from 0, the oldest; counted on from the oldest where there are fewer.
    fn by_age(&self, n: u64) -> Option<u64> {
        let age = n.checked_rem(self.sockets.len() as u64)?;
        self.sockets.keys().nth(usize::try_from(age).ok()?).copied()
    }

    /// Ends what is over: faults, and sockets that were sent nothing for too long.
    pub(crate) fn refresh(&mut self, now: Instant) {
        let bytes = self.drip.bytes.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            self.faults.dripped(now, bytes);
        }
        self.faults.expire(now);
        self.drip.every_ms.store(self.faults.drip(now).unwrap_or(0), Ordering::Relaxed);
        let idle = Duration::from_millis(self.usage.limits.idle_ms);
        let dead: Vec<u64> = self
            .sockets
            .iter()
            .filter(|(_, s)| now.duration_since(s.last_sent) >= idle)
            .map(|(id, _)| *id)
            .collect();
        for id in dead {
            self.counters.idle_closed += 1;
            self.close(id, now);
        }
    }
}

/// Well-formed JSON of a given size, on a channel that nobody knows.
fn giant(bytes: usize) -> Bytes {
    let mut text = br#"{"channel":"giant","data":""#.to_vec();
    text.resize(bytes.saturating_sub(2).max(text.len()), b'x');
    text.extend_from_slice(b"\"}");
    Bytes::from(text)
}
