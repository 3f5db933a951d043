//! What a running daemon says about itself: filled by the daemon every second, shown by its terminal view, and kept
//! as the note [`note`] in the store, where `hl-cli status` finds it.

use std::collections::BTreeMap;

use hl_collectors::pipeline::Latency;
use hl_core::alert::Alert;
use hl_core::store::{Holder, note_of};
use hl_core::{StreamKey, TimeMs, Token};
use hl_engine::TrackerView;
use hl_monitor::{Reception, TotalReception};
use serde::{Deserialize, Serialize};

/// The name of the note in the store that a process with this token keeps. It goes with its session.
#[must_use]
pub fn note(token: Token) -> String {
    note_of("status", token)
}

/// A daemon at one moment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StatusReport {
    /// When, ms.
    pub at: TimeMs,
    /// The token of its session on the store: whether it still lives is seen from that.
    pub token: Token,
    /// What it is: `hl-daemon`.
    #[serde(default)]
    pub role: String,
    /// Its process id.
    #[serde(default)]
    pub pid: u32,
    /// The machine that it runs on.
    #[serde(default)]
    pub host: String,
    /// How long it has been running, ms.
    pub uptime_ms: i64,
    /// Which exchange, as `--network` names it.
    pub network: String,
    /// Whether anything is received at all.
    #[serde(default)]
    pub reception: TotalReception,
    /// Every stream it collects, in its order of value.
    pub streams: Vec<StreamStatus>,
    /// Every socket it has or is making.
    pub sockets: Vec<SocketStatus>,
    /// Every job, by id.
    #[serde(default)]
    pub jobs: Vec<JobStatus>,
    /// REST weight booked in the last 60 s.
    pub weight_used: u32,
    /// What waits for the store.
    pub spool: SpoolStatus,
    /// Everything that is counted, by name.
    pub counters: BTreeMap<String, u64>,
    /// How well the tracked traders are known, where positions are followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traders: Option<TrackerView>,
    /// Open alerts, oldest first.
    #[serde(default)]
    pub alerts: Vec<Alert>,
}

impl StatusReport {
    /// The daemon, as the store names it.
    #[must_use]
    pub fn holder(&self) -> Holder {
        let Self { token, pid, host, role, .. } = self;
        let since = self.at - self.uptime_ms;
        Holder { token: *token, pid: *pid, host: host.clone(), role: role.clone(), since }
    }
}

/// Who collects a stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// A socket.
    Ws,
    /// A REST job.
    Rest,
    /// The tracker of positions.
    Tracker,
    /// Nobody at this moment.
    None,
}

impl Owner {
    /// The word: `ws`, `rest`, `tracker`, `none`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Rest => "rest",
            Self::Tracker => "tracker",
            Self::None => "none",
        }
    }
}

/// One stream of a daemon.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StreamStatus {
    /// The stream.
    pub stream: StreamKey,
    /// Who collects it.
    pub owner: Owner,
    /// Whether data of it is received: to have an owner is not enough.
    #[serde(default)]
    pub reception: Reception,
    /// Whether a warm standby is ready to take over.
    #[serde(default)]
    pub standby: bool,
    /// Records taken in since the daemon began. Most become rows; those that the store has already, or that are left
    /// out on purpose, do not.
    pub records: u64,
    /// Records a second, lately.
    pub records_per_s: f64,
    /// How long no record has come, ms; none before the first.
    pub silent_ms: Option<i64>,
    /// How late the frames of its subscription come, from the time that they bear to the reading of their last byte, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// Gaps that are not filled.
    pub gaps: u64,
    /// The past below this time is settled, as taken in; the store follows within seconds. Ms.
    pub edge: Option<TimeMs>,
}

impl StreamStatus {
    /// Who collects it, in a word: `ws`, `rest`, `none`, each with `+standby` where one is ready to take over.
    #[must_use]
    pub fn collector(&self) -> String {
        format!("{}{}", self.owner.as_str(), if self.standby { "+standby" } else { "" })
    }
}

/// How far a socket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketState {
    /// It is not open.
    Connecting,
    /// It is open, and subscriptions are not acknowledged yet.
    Subscribing,
    /// Every subscription that it is to carry is acknowledged.
    Live,
}

impl SocketState {
    /// The word: `connecting`, `subscribing`, `live`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Subscribing => "subscribing",
            Self::Live => "live",
        }
    }
}

/// One socket of a daemon.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SocketStatus {
    /// Its slot: its number in the pool, the same whatever the other sockets do.
    pub slot: u32,
    /// How far it is.
    pub state: SocketState,
    /// Subscriptions on it that are acknowledged.
    pub subscriptions: u32,
    /// Since when it is in this state, ms.
    pub since: TimeMs,
}

/// One job of a daemon.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its id.
    pub id: String,
    /// One word: `running`, `due`, `withdrawn`, `idle`.
    pub state: String,
    /// Its plan, in words; none for a job that runs when it is needed.
    pub schedule: Option<String>,
    /// When it is planned next, ms.
    pub planned: Option<TimeMs>,
    /// How often it ran since the daemon began.
    pub runs: u64,
}

/// What waits on disk for the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// Batches.
    pub batches: u64,
    /// Bytes.
    pub bytes: u64,
}
