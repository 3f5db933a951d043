//! Three daemons on the same streams, killed, stopped for longer than their leases last, and cut off from the store.
//!
//! Each keeps its spool in a folder of its own, and has an address of its own, as on a machine of its own; one that is killed
//! is started again, as a service manager would. Which of them holds what is theirs to settle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hl_core::seam::Clock as _;
use hl_mongod::ReplicaSet;
use hl_runtime::SystemClock;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::history::History;
use crate::support::process::{Exchange, Process, StoreFile, all_over_ws};
use crate::{Outcome, alone, median_and_worst, setting};

/// Whence they collect.
const ADDRESSES: [&str; 3] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
/// How often the schedule is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A daemon is left alone for so long after a fault, or its start.
const REST_MS: u64 = 5_000;
/// Between two faults, ms.
const BETWEEN_MS: std::ops::Range<u64> = 4_000..12_000;
/// No more than so many at once: somebody has to be there to take over.
const AT_ONCE: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fault {
    /// kill -9.
    Killed,
    /// SIGSTOP, then SIGCONT.
    Stopped,
    /// No way to any member of the set, then again.
    CutOff,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Stopped => "stopped",
            Self::CutOff => "cut off",
        }
    }

    /// How long it lasts, ms: to the start of the next process, or until it goes on.
    fn length(self, random: &mut fastrand::Rng) -> u64 {
        match self {
            Self::Killed => random.u64(0..8_000),
            // Beyond the lease of 6 s.
            Self::Stopped => random.u64(7_000..20_000),
            // Now and then too short to matter.
            Self::CutOff => random.u64(2_000..20_000),
        }
    }
}

/// A fault that was done.
struct Done {
    fault: Fault,
    at: i64,
    pid: i64,
    length: u64,
}

/// A daemon and the folder it keeps its things in.
struct Machine {
    folder: tempfile::TempDir,
    address: &'static str,
    daemon: Option<Process>,
    suffers: Option<(Fault, Instant)>,
    left_alone_until: Instant,
    /// How its processes ended by themselves, which none is meant to.
    ends: Vec<String>,
}

impl Machine {
    fn start(&mut self, store: &StoreFile, exchange: &Exchange) {
        let words = ["--coin", "all", "--local-address", self.address];
        let before = ["env", "-C", self.folder.path().to_str().unwrap()];
        self.daemon = Some(store.daemon_with(exchange, &words, &before));
        self.left_alone_until = Instant::now() + Duration::from_millis(REST_MS);
    }

    async fn suffer(&mut self, set: &ReplicaSet, fault: Fault, length: u64) -> Done {
        let daemon = self.daemon.take().unwrap();
        let (at, pid) = (SystemClock.now().0, daemon.pid());
        match fault {
            Fault::Killed => daemon.kill().await,
            Fault::Stopped => {
                daemon.signal(Signal::STOP);
                self.daemon = Some(daemon);
            }
            Fault::CutOff => {
                set.cut_off(pid);
                self.daemon = Some(daemon);
            }
        }
        self.suffers = Some((fault, Instant::now() + Duration::from_millis(length)));
        Done { fault, at, pid: i64::from(pid), length }
    }

    /// Ends what it suffers, where it is time.
    fn relieve(&mut self, set: &ReplicaSet, now: Instant) {
        let Some((fault, _)) = self.suffers.take_if(|(_, until)| *until <= now) else { return };
        match (fault, &self.daemon) {
            (Fault::Stopped, Some(daemon)) => daemon.signal(Signal::CONT),
            (Fault::CutOff, Some(daemon)) => set.reconnect(daemon.pid()),
            _ => {}
        }
        self.left_alone_until = now + Duration::from_millis(REST_MS);
    }

    /// Starts a new process where there is none any more.
    async fn mend(&mut self, store: &StoreFile, exchange: &Exchange) {
        if self.suffers.is_none_or(|(fault, _)| fault == Fault::CutOff)
            && let Some(mut daemon) = self.daemon.take_if(|daemon| !daemon.is_running())
        {
            let code = daemon.ended().await.code();
            let log = daemon.log();
            self.ends.push(format!("{code:?}: {}", log.lines().last().unwrap_or_default()));
        }
        if self.suffers.is_none() && self.daemon.is_none() {
            self.start(store, exchange);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_daemons_in_a_storm_write_each_row_once_and_none_too_late() {
    let _alone = alone().await;
    let (seconds, seed) = (setting("HL_TEST_STORM_S", 40), setting("HL_TEST_SEED", 17));
    let mut random = fastrand::Rng::with_seed(seed);
    let market = ["--coins", "6", "--activity", "5", "--seed", "17"];
    let exchange = Exchange::start(&market).await;
    let set = ReplicaSet::start(3).await.unwrap();
    let store = StoreFile::in_mongodb(set.uri("storm"));
    let mut machines: Vec<_> = ADDRESSES.map(machine).into_iter().collect();
    for machine in &mut machines {
        machine.start(&store, &exchange);
        let pid = machine.daemon.as_ref().unwrap().pid();
        until_it_holds_something(&store, pid).await;
    }
    store.until_live("the oldest collects", all_over_ws).await;

    let end = Instant::now() + Duration::from_secs(seconds);
    let mut next_fault = Instant::now();
    let mut done = Vec::new();
    let mut look = Instant::now();
    while look < end {
        look += LOOK;
        sleep_until(look).await;
        let now = Instant::now();
        for machine in &mut machines {
            machine.relieve(&set, now);
            machine.mend(&store, &exchange).await;
        }
        let suffering = machines.iter().filter(|machine| machine.suffers.is_some()).count();
        if now < next_fault || suffering >= AT_ONCE {
            continue;
        }
        let healthy: Vec<_> = (0..machines.len())
            .filter(|&at| machines[at].suffers.is_none() && machines[at].left_alone_until <= now)
            .collect();
        let Some(&victim) = random.choice(&healthy) else { continue };
        let fault = [Fault::Killed, Fault::Stopped, Fault::CutOff][random.usize(0..3)];
        let length = fault.length(&mut random);
        done.push(machines[victim].suffer(&set, fault, length).await);
        next_fault = now + Duration::from_millis(random.u64(BETWEEN_MS));
    }

    // Everybody well again, and everything held.
    let never = Instant::now() + Duration::from_secs(3600);
    for machine in &mut machines {
        machine.relieve(&set, never);
    }
    crate::support::process::until("everything is held", async || {
        for machine in &mut machines {
            machine.mend(&store, &exchange).await;
        }
        let pids: BTreeSet<_> =
            machines.iter().filter_map(|machine| Some(machine.daemon.as_ref()?.pid())).collect();
        let status = store.status().await;
        let streams = status["streams"].as_array()?;
        let is_held = |stream: &Value| {
            let pid = stream["holder"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
            pid.is_some_and(|pid| pids.contains(&pid))
        };
        (!streams.is_empty() && streams.iter().all(is_held)).then_some(())
    })
    .await;
    store.until_live("the oldest collects", all_over_ws).await;
    let mut daemons: Vec<_> = machines.iter_mut().filter_map(|machine| machine.daemon.take()).collect();
    daemons.iter().for_each(|daemon| daemon.signal(Signal::TERM));
    for daemon in &mut daemons {
        assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    }

    let mut outcome = Outcome::new("storm", seconds);
    outcome.tell("seed", "seed", seed);
    outcome.tell("faults", "faults", done.len());
    outcome.verify(&store, &exchange).await;
    let history = History::read(&store.uri).await;
    let ends: Vec<_> = machines.into_iter().flat_map(|machine| machine.ends).collect();
    outcome.tell_none("ended", "daemons that ended by themselves", ends.len() as u64);
    outcome.broken.extend(ends);
    outcome.tell("buried", "sessions that others ended", history.ended.len());
    tell_take_overs(&mut outcome, &done, &history);
    outcome.tell("transactions", "transactions in the server's log", history.transactions);
    outcome.tell("rows_compared", "rows in it with their token", history.rows);
    outcome.tell("fillers", "… that closed a gap", history.fillers);
    outcome.tell_none("late", "… written by one who might not", history.broken.len() as u64);
    outcome.broken.extend(history.broken);
    outcome.end();
}

fn machine(address: &'static str) -> Machine {
    Machine {
        folder: tempfile::tempdir().unwrap(),
        address,
        daemon: None,
        suffers: None,
        left_alone_until: Instant::now(),
        ends: Vec::new(),
    }
}

async fn until_it_holds_something(store: &StoreFile, pid: u32) {
    crate::support::process::until("it holds something", async || {
        let status = store.status().await;
        let streams = status["streams"].as_array()?;
        streams.iter().any(|stream| stream["holder"]["pid"] == pid).then_some(())
    })
    .await;
}

/// How long it took from a fault until others held what the victim had held.
fn tell_take_overs(outcome: &mut Outcome, done: &[Done], history: &History) {
    let mut times = BTreeMap::<Fault, Vec<i64>>::new();
    let mut kept = BTreeMap::<Fault, u64>::new();
    let mut faults = Vec::new();
    for fault in done {
        let tokens = history.tokens.get(&fault.pid).cloned().unwrap_or_default();
        let mut held = BTreeMap::new();
        for taken in history.taken.iter().filter(|taken| taken.at <= fault.at) {
            held.insert(taken.stream.as_str(), taken.token);
        }
        held.retain(|_, token| tokens.contains(token));
        if held.is_empty() {
            continue;
        }
        let next = held.keys().map(|stream| {
            let after = history.taken.iter().find(|taken| taken.at > fault.at && taken.stream == *stream);
            after.map(|taken| taken.at - fault.at)
        });
        // The last of its streams counts. One that is back in time keeps them.
        let took = next.collect::<Option<Vec<_>>>().and_then(|times| times.into_iter().max());
        let back = fault.at + i64::try_from(fault.length).unwrap();
        let is_over = |token: &i64| history.ended.get(token).is_some_and(|ended| *ended <= back + 1_000);
        let took = took.filter(|_| fault.fault == Fault::Killed || held.values().any(is_over));
        match took {
            Some(took) => times.entry(fault.fault).or_default().push(took),
            None => *kept.entry(fault.fault).or_default() += 1,
        }
        faults.push(json!({
            "fault": fault.fault.name(), "at": fault.at, "length_ms": fault.length,
            "streams": held.len(), "taken_over_after_ms": took,
        }));
    }
    outcome.json["of_holders"] = faults.into();
    for (fault, times) in times {
        let (key, name, count) = (fault.name().replace(' ', "_"), fault.name(), times.len());
        if let Some((median, worst)) = median_and_worst(times) {
            outcome.tell(&format!("{key}_taken_over"), &format!("{name} while holding, taken over"), count);
            outcome.tell(&format!("{key}_median"), "… from the fault to the new lease, median", median);
            outcome.tell(&format!("{key}_worst"), "… worst", worst);
        }
    }
    for (fault, count) in kept {
        let key = fault.name().replace(' ', "_");
        outcome.tell(&format!("{key}_kept"), &format!("{} while holding, kept", fault.name()), count);
    }
}
