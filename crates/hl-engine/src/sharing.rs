//! Sharing the streams of a store with other processes: each takes what the draw gives it, and moves what it gives to
//! others.
//!
//! A stream moves while it is collected. Whoever it is given to subscribes it first and says so once its socket has
//! proved itself; only then does its holder commit what it has and give the lease back, and what the socket brought
//! meanwhile joins what is stored. What nobody holds is taken at once. The leases of the store alone say who may write:
//! two that reckon differently for a moment cannot both hold a stream.
//!
//! What does not live here: the draw itself ([`hl_core::spread`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hl_collectors::ws::plan::CAPACITY;
use hl_core::limits::POLLED_WEIGHT;
use hl_core::selector::{Event, Places};
use hl_core::source::{DataSource as _, Role};
use hl_core::spread::{Drawn, Given, Limits, Member, spread};
use hl_core::store::{Holder, LiveSession, StoreError, note_of};
use hl_core::{StreamKey, Token};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::Engine;

/// How often it looks who is there.
pub(crate) const EVERY: Duration = Duration::from_secs(1);
/// How long one that is told to stop goes on, so that others can take over from it.
pub(crate) const LEAVE_LIMIT: Duration = Duration::from_secs(8);
/// Without a sign of the exchange for this long a process counts as blind.
const BLIND_AFTER: Duration = Duration::from_secs(30);
/// How often one that is blind tries whether it still is.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// Streams of others that are subscribed at a time; each stands twice meanwhile.
const WARM_AT_ONCE: usize = 400;
/// The same, all together, where others subscribe from the same address, of whose 1,000 subscriptions 100 are kept free.
const WARM_BESIDE_OTHERS: usize = 100;
/// For so long one waits to be given: what its socket brings meanwhile takes memory. Then it is subscribed anew.
const WARM_LIMIT: Duration = Duration::from_secs(120);
/// Streams that are let go in one round: should the store go away then, only these are in nobody's hands.
const MOVED_AT_ONCE: usize = 50;
const LIMITS: Limits = Limits { subscriptions: CAPACITY, weight: POLLED_WEIGHT };

/// How a process takes part.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// Names the machine. The same after a restart, so that the same streams come back.
    pub name: String,
    /// Its share in relation to the others', 1 to [`MAX_WEIGHT`](hl_core::spread::MAX_WEIGHT).
    pub weight: u8,
}

/// What a process knows of its part.
pub(crate) struct Share {
    me: Member,
    /// Who is to have which stream, as last drawn.
    drawn: Drawn,
    /// What the others were told the last time.
    told: Option<Member>,
    /// Streams of others that are subscribed, whether they have a place on a socket, and since when.
    warm: BTreeMap<StreamKey, (Places, Instant)>,
    /// Streams that are on their way out.
    releasing: BTreeSet<StreamKey>,
    /// Streams whose lease could not be given back yet.
    owed: BTreeSet<StreamKey>,
    /// When the exchange was last heard of, and the answers and failures until then.
    sign: (Instant, u64, u64),
    /// When one that is blind last asked the exchange for the time.
    asked: Instant,
    /// Streams that nobody has room for, as last said.
    without_room: usize,
    /// Others that can take over.
    heirs: usize,
    /// Streams that another is to have and that are held here still.
    to_move: usize,
}

impl Share {
    pub(crate) fn new(
        sharing: &Sharing,
        address: &str,
        order: &[StreamKey],
        doubled: BTreeSet<StreamKey>,
    ) -> Self {
        Self {
            me: Member {
                name: sharing.name.clone(),
                address: address.to_owned(),
                weight: sharing.weight,
                able: true,
                leaving: false,
                wants: order.iter().copied().collect(),
                doubled,
                ready: BTreeSet::new(),
            },
            drawn: Drawn::default(),
            told: None,
            warm: BTreeMap::new(),
            releasing: BTreeSet::new(),
            owed: BTreeSet::new(),
            sign: (Instant::now(), 0, 0),
            asked: Instant::now(),
            without_room: 0,
            heirs: 0,
            to_move: 0,
        }
    }

    /// From now on everything is for the others. Whether there are any.
    pub(crate) fn leave(&mut self) -> bool {
        self.me.leaving = true;
        self.heirs > 0
    }

    /// Whether something is held here that another is to have.
    pub(crate) fn is_moving(&self) -> bool {
        self.to_move > 0
    }
}

impl Engine {
    /// Tells the others, hears of them, takes what is its own, and begins to give away what is not. Whether it got so far.
    ///
    /// # Errors
    /// When the store fails for good.
    pub(crate) async fn share(&self, share: &mut Share) -> Result<bool, StoreError> {
        match self.try_share(share).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_temporary() => {
                warn!(%error, "the others cannot be asked; everything stays where it is");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn try_share(&self, share: &mut Share) -> Result<(), StoreError> {
        let order = self.wanted.order();
        (share.me.wants, share.me.doubled) = (order.iter().copied().collect(), self.wanted.doubled());
        self.pay(share).await?;
        self.tell(share).await?;
        let living = self.store.sessions(Member::NAME).await?;
        let (members, holders) = read(living);
        let token = self.token();
        share.heirs =
            members.iter().filter(|(of, member)| **of != token && member.able && !member.leaving).count();
        let given = share.drawn.given(&members, LIMITS);
        say_what_has_no_room(share, &order, &given);

        let leased = self.leased().clone();
        let mine = |stream: &StreamKey| given.get(stream).filter(|given| given.to == token);
        let is_wanted = |stream: &&StreamKey| mine(stream).is_some() && !leased.contains(stream);
        let wanted: Vec<_> =
            order.iter().filter(is_wanted).filter(|s| !share.releasing.contains(s)).copied().collect();
        let mut held = Vec::new();
        if !wanted.is_empty() {
            let leases = match self.store.lease(&wanted).await {
                Ok(leases) => leases,
                Err(error) => {
                    // They may have been granted all the same.
                    share.owed.extend(wanted);
                    return Err(error);
                }
            };
            held.clone_from(&leases.held);
            for start in &leases.granted {
                share.warm.remove(&start.stream);
            }
            self.begin(leases, &share.me.doubled);
        }
        self.warm_up(share, &members, &held, &given);
        self.make_room(share, &given, &leased);
        // What another wants is moved to it as anything else is.
        let is_left = |stream: &StreamKey| !given.contains_key(stream) && !share.releasing.contains(stream);
        let left: Vec<_> = self.unwanted().into_iter().filter(is_left).collect();
        for stream in left {
            self.let_go(share, stream);
        }

        let moving = leased.iter().filter_map(|stream| Some((*stream, given.get(stream)?.to)));
        let moving: Vec<_> = moving.filter(|(_, heir)| *heir != token).collect();
        share.to_move = moving.len();
        // What waits in the spool must not be overtaken.
        if self.spool.size().0 == 0 {
            let is_ready = |(stream, heir): &(StreamKey, Token)| {
                let heir = members.get(heir).is_some_and(|member| member.ready.contains(stream));
                heir && !share.releasing.contains(stream)
            };
            let ready: Vec<_> = moving.into_iter().filter(is_ready).take(MOVED_AT_ONCE).collect();
            if !ready.is_empty() {
                info!(streams = ready.len(), "given to other processes, which are ready for them");
            }
            for (stream, _) in ready {
                self.let_go(share, stream);
            }
        }

        let of_others = order.iter().filter(|stream| mine(stream).is_none() && !leased.contains(stream));
        held.extend(
            of_others.filter_map(|stream| Some((*stream, holders.get(&given.get(stream)?.to)?.clone()))),
        );
        self.hold(held);
        Ok(())
    }

    /// Subscribes what is to come from others, and ends what is not to come any more.
    fn warm_up(
        &self,
        share: &mut Share,
        members: &BTreeMap<Token, Member>,
        held: &[(StreamKey, Holder)],
        given: &BTreeMap<StreamKey, Given>,
    ) {
        let others = members.iter().filter(|(of, m)| **of != self.token() && m.address == share.me.address);
        let most = match others.count() {
            0 => WARM_AT_ONCE,
            others => WARM_BESIDE_OTHERS / others,
        };
        // One that does not share gives nothing.
        let gives = |holder: &Holder| members.contains_key(&holder.token);
        let coming: BTreeSet<_> =
            held.iter().filter(|(_, holder)| gives(holder)).map(|(stream, _)| *stream).collect();
        let turned = share
            .warm
            .iter()
            .filter(|(stream, (_, since))| !coming.contains(stream) || since.elapsed() >= WARM_LIMIT);
        let turned: Vec<_> = turned.map(|(stream, _)| *stream).collect();
        for stream in turned {
            share.warm.remove(&stream);
            self.let_go(share, stream);
        }
        for stream in coming {
            let pushed = given.get(&stream).is_some_and(|given| given.pushed);
            let is_free = !share.warm.contains_key(&stream) && !share.releasing.contains(&stream);
            if share.warm.len() < most && is_free {
                self.warm(share, stream, pushed);
            }
        }
    }

    /// Subscribes a stream that another still holds.
    fn warm(&self, share: &mut Share, stream: StreamKey, pushed: bool) {
        let places = self.pool.place(stream, share.me.doubled.contains(&stream));
        if places == Places::None && pushed {
            // Its place is taken by one that is on its way out. To poll it meanwhile would be a loss.
            return;
        }
        debug!(%stream, "subscribed, to take it over");
        share.warm.insert(stream, (places, Instant::now()));
        self.inbox.warm(stream);
        self.selector.report(self.mono.now(), Event::Warm { stream, places });
        self.pool.assign(stream, Role::Standby);
    }

    /// Lets go what nobody has room for where it stands in the way of what is worth more, and what is polled though there
    /// is a place for it by now: it is taken anew.
    fn make_room(&self, share: &mut Share, given: &BTreeMap<StreamKey, Given>, leased: &BTreeSet<StreamKey>) {
        let token = self.token();
        let pushed = given.iter().filter(|(_, given)| given.to == token && given.pushed);
        let (mut without_place, mut goes) = (0, Vec::new());
        for (stream, _) in pushed.filter(|(stream, _)| !self.pool.has_place(**stream)) {
            without_place += 1;
            let is_free = leased.contains(stream)
                && self.pool.place(*stream, share.me.doubled.contains(stream)) != Places::None;
            if is_free {
                goes.push(*stream);
            }
        }
        if without_place > goes.len() {
            goes.extend(leased.iter().filter(|stream| !given.contains_key(stream)));
        }
        for stream in goes {
            if !share.releasing.contains(&stream) {
                debug!(%stream, "let go, for its place or for want of one");
                self.let_go(share, stream);
            }
        }
    }

    /// Stops collecting a stream. [`Engine::give_back`] is called when nothing of it is on its way any more.
    fn let_go(&self, share: &mut Share, stream: StreamKey) {
        share.releasing.insert(stream);
        self.selector.report(self.mono.now(), Event::Released { stream });
    }

    /// What was released is committed: its lease goes back with the next round.
    pub(crate) fn give_back(&self, share: &mut Share, stream: StreamKey) {
        share.releasing.remove(&stream);
        if self.leased().remove(&stream) {
            share.owed.insert(stream);
        }
    }

    async fn pay(&self, share: &mut Share) -> Result<(), StoreError> {
        // What came back to this process meanwhile is owed no more.
        share.owed.retain(|stream| !self.leased().contains(stream));
        if !share.owed.is_empty() {
            let owed: Vec<_> = share.owed.iter().copied().collect();
            self.store.release(&owed).await?;
            share.owed.clear();
        }
        Ok(())
    }

    /// Tells the others what has changed.
    async fn tell(&self, share: &mut Share) -> Result<(), StoreError> {
        share.me.able = self.sees(share);
        if !share.me.able && self.leased().is_empty() && share.asked.elapsed() >= ASK_EVERY {
            // Nothing else asks by now.
            self.learn_time().await;
            share.asked = Instant::now();
        }
        let views = self.selector.view();
        let ready = views.iter().filter(|view| {
            let polled = share.warm.get(&view.stream).is_some_and(|(places, _)| *places == Places::None);
            !view.leased && (polled || view.standby.is_some())
        });
        share.me.ready = ready.map(|view| view.stream).collect();
        if share.told.as_ref() == Some(&share.me) {
            return Ok(());
        }
        match serde_json::to_string(&share.me) {
            Ok(text) => self.store.put_note(&note_of(Member::NAME, self.token()), &text).await?,
            Err(error) => warn!(%error, "the others cannot be told"),
        }
        share.told = Some(share.me.clone());
        Ok(())
    }

    /// Whether the exchange was heard of lately, or is not missed.
    fn sees(&self, share: &mut Share) -> bool {
        let (sockets, counters) = (self.pool.sockets(), self.client.counters());
        let (_, answers, failures) = share.sign;
        let heard = counters.answers > answers || sockets.iter().any(|socket| socket.up);
        let missed = !sockets.is_empty() || counters.failures > failures;
        if heard || !missed {
            share.sign = (Instant::now(), counters.answers, counters.failures);
        }
        share.sign.0.elapsed() < BLIND_AFTER
    }
}

fn say_what_has_no_room(share: &mut Share, order: &[StreamKey], given: &BTreeMap<StreamKey, Given>) {
    let without_room = order.iter().filter(|stream| !given.contains_key(stream)).count();
    if without_room != std::mem::replace(&mut share.without_room, without_room) && without_room > 0 {
        warn!(
            streams = without_room,
            "no process has room for these: start one more from another address, or ask for less"
        );
    }
}

/// Who is to have which stream, as every member reckons it.
#[must_use]
pub fn assigned(members: &BTreeMap<Token, Member>) -> BTreeMap<StreamKey, Given> {
    spread(members, LIMITS)
}

/// Members by token, and who they are. A note of another shape is of another release, whose streams stay its own.
fn read(living: Vec<LiveSession>) -> (BTreeMap<Token, Member>, BTreeMap<Token, Holder>) {
    let mut members = BTreeMap::new();
    let mut holders = BTreeMap::new();
    for LiveSession { holder, note } in living {
        if let Some(member) = note.and_then(|text| serde_json::from_str(&text).ok()) {
            members.insert(holder.token, member);
        }
        holders.insert(holder.token, holder);
    }
    (members, holders)
}
