//! What can break, and for how long.

use hl_core::{Coin, StreamKey};
use serde::Serialize;
use serde_json::Value;

use super::parse::{self, FaultError};

/// What breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// Every open socket is dropped without a close frame; with a duration also each one that opens meanwhile.
    Drop,
    /// One of the open sockets is dropped without a close frame.
    DropOne {
        /// Which, by age from 0, the oldest; counted on from the oldest where there are fewer.
        socket: u64,
    },
    /// Connections to `/ws` are cut before an answer.
    Refuse,
    /// Data is lost, not delayed, a replay included; acknowledgements and pongs still flow.
    Mute {
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
    },
    /// Data is lost on one of the sockets open now, a replay included, as if the server had forgotten the subscription.
    MuteOne {
        /// Which, as with `drop_one`.
        socket: u64,
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
    },
    /// Subscriptions are gone without a word: on every socket open now, until they are made anew.
    Forget {
        /// Only this stream; all streams where absent.
        stream: Option<StreamKey>,
    },
    /// The sockets open now stay open, but nothing is sent on them any more, not even pongs.
    HalfOpen,
    /// Bytes leave every socket one by one.
    SlowDrip {
        /// Milliseconds between two bytes.
        every_ms: u64,
    },
    /// Data frames are sent twice.
    Duplicate {
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
    },
    /// Every second data frame of a socket is sent before the one that it follows.
    Reorder {
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
    },
    /// Data frames are cut in half: invalid JSON, and what they carried is lost.
    Garbage {
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
    },
    /// One frame of this size to every open socket; with a duration also to each one that opens meanwhile.
    GiantFrame {
        /// Size of the frame, bytes; 1 to 134,217,728.
        bytes: usize,
    },
    /// A socket is dropped when it subscribes.
    KillOnSubscribe {
        /// Only when it subscribes this stream; any where absent.
        stream: Option<StreamKey>,
    },
    /// Answers of `/info` and of the files are wrong or late. What is absent stays as it is.
    Http {
        /// 429, 500 or 502.
        status: Option<u16>,
        /// What becomes of the body.
        body: Option<BodyFault>,
        /// Milliseconds before the answer.
        delay_ms: Option<u64>,
    },
    /// Answers of `/evm` are wrong or late. What is absent stays as it is.
    Chain {
        /// 404 (as where there is no chain), 429, 500 or 502.
        status: Option<u16>,
        /// What becomes of the body.
        body: Option<BodyFault>,
        /// Milliseconds before the answer.
        delay_ms: Option<u64>,
    },
    /// Answers of `/info` say too little, or what was true some time ago.
    Answer(AnswerFault),
    /// Times in frames and answers are not those at which things happened.
    Stamp {
        /// Only this stream; everything that bears a time where absent, `exchangeStatus` too.
        stream: Option<StreamKey>,
        /// Milliseconds that are added.
        by_ms: i64,
        /// Only so many of the newest rows of a frame or an answer.
        rows: Option<usize>,
        /// Only there.
        on: Option<Way>,
    },
    /// A field holds something else than it should.
    Value {
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
        /// Its name; in mids that of a coin.
        field: String,
        /// What it holds.
        value: Value,
        /// Only one row in so many, always the same ones.
        one_in: Option<u64>,
        /// Only there.
        on: Option<Way>,
    },
    /// A decimal is written with an exponent: the same number in other words.
    Exponent {
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
        /// The field; in mids the name of a coin.
        field: String,
    },
    /// Behind the first trade of each frame another one follows with the same `tid` and time, and another size.
    SameTid {
        /// Only this stream; all trades where absent.
        stream: Option<StreamKey>,
    },
    /// Bars count other than they should.
    Bars {
        /// Only of this coin.
        coin: Option<Coin>,
        /// How many times as many trades.
        factor: u64,
        /// How many trades more; where above 0 the volume is a little larger too.
        more: u64,
        /// Only there.
        on: Option<Way>,
    },
    /// What a new subscription to trades replays ends some time before it; then the stream goes on.
    StaleReplay {
        /// Only this stream; all trades where absent.
        stream: Option<StreamKey>,
        /// How long before, ms.
        behind_ms: u64,
    },
    /// Pings are not answered.
    NoPong,
    /// Subscriptions are not acknowledged, though they work.
    NoAck,
    /// Handshakes of sockets are answered with an error.
    Handshake {
        /// 403, 429, 500, 502 or 503.
        status: u16,
    },
    /// Every socket is closed with a frame that says so, code 1000; with a duration each one so long after it opens.
    Expire,
    /// So many different users can be followed, more or fewer than before; of several such faults the newest counts. Who is
    /// followed already stays so, on further channels too: only new users are refused.
    UserCap {
        /// How many.
        users: usize,
        /// When it begins, sockets that follow others than the first so many are dropped without a close frame; the oldest
        /// sockets come first.
        drop: bool,
    },
    /// Frames reach every socket late, in their order.
    Late {
        /// How much, ms.
        by_ms: u64,
    },
    /// A coin is not listed: metadata lack it, a client that subscribes it is cut off without a word, and it has no trades. While
    /// it lasts from the start the coin is one that is listed later.
    Unlist {
        /// The coin.
        coin: Coin,
    },
    /// A perpetual is delisted, for good: it is flagged in metadata and keeps its place there, its book is empty and it
    /// has no trades.
    Delist {
        /// The coin.
        coin: Coin,
    },
    /// An outcome settles: its two coins are gone from metadata and mids, and a client that subscribes one is cut off.
    Settle {
        /// Its number.
        outcome: u64,
        /// What its first side is paid, in hundredths; 0 to 100.
        hundredths: u8,
    },
    /// The exchange's clock is set, ahead or back, and stays so: what happens from now on bears the new time.
    Clock {
        /// Milliseconds.
        by_ms: i64,
    },
    /// The exchange stands still: nothing happens, its clock stands, and what it pushes at fixed intervals says the same
    /// again. Afterwards the clock is right again.
    Halt,
}

/// Where something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// On sockets.
    Ws,
    /// In answers of `/info`.
    Rest,
}

/// What is wrong with an answer of `/info`, and with which. Unlike [`FaultKind::Http`] it depends on the question; what is
/// absent is as it should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AnswerFault {
    /// Only questions of this type.
    pub request: Option<String>,
    /// Only of this coin.
    pub coin: Option<Coin>,
    /// Only of this dex; the first one has no name.
    pub dex: Option<String>,
    /// 429, 500, 502 or 503, with `null`.
    pub status: Option<u16>,
    /// What is left of its rows.
    #[serde(flatten)]
    pub part: Option<Part>,
    /// A market of this name is missing.
    pub without: Option<String>,
    /// It is as old as this, ms.
    pub behind_ms: Option<u64>,
    /// It is the one of the moment at which the fault began.
    pub frozen: bool,
}

/// What is left of the rows of an answer, by their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// At most so many of the newest; 0: none.
    Newest(usize),
    /// At most so many of the oldest.
    Oldest(usize),
    /// All but so many of the newest.
    WithoutNewest(usize),
    /// All but so many of the oldest.
    WithoutOldest(usize),
    /// All but so many in the middle.
    WithoutMiddle(usize),
}

/// What becomes of the body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyFault {
    /// It is `null`.
    Null,
    /// Its second half is missing.
    Truncated,
}

/// A fault and how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What breaks.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Milliseconds of the client's time. Absent: `drop`, `expire` and `giant_frame` strike once, others last until cleared.
    /// `drop_one`, `forget` and `clock` strike once in any case.
    pub for_ms: Option<u64>,
    /// It ends once it has struck so often: frames, sockets or answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

impl Fault {
    /// A fault that lasts until it is cleared, or strikes once where it is one that strikes.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, for_ms: None, times: None }
    }

    /// A fault of limited duration.
    #[must_use]
    pub fn lasting(kind: FaultKind, for_ms: u64) -> Self {
        Self { kind, for_ms: Some(for_ms), times: None }
    }

    /// A fault that ends once it has struck so often.
    #[must_use]
    pub fn times(kind: FaultKind, times: u64) -> Self {
        Self { kind, for_ms: None, times: Some(times) }
    }

    /// Reads a fault from JSON, as `POST /sim/faults` takes it.
    ///
    /// # Errors
    /// When the kind or a field is unknown, or a value is out of its range; the error names the field.
    pub fn from_json(value: &Value) -> Result<Self, FaultError> {
        parse::fault(value)
    }
}

/// The kind, as JSON names it.
pub(super) fn name(kind: &FaultKind) -> &'static str {
    match kind {
        FaultKind::Drop => "drop",
        FaultKind::DropOne { .. } => "drop_one",
        FaultKind::Refuse => "refuse",
        FaultKind::Mute { .. } => "mute",
        FaultKind::MuteOne { .. } => "mute_one",
        FaultKind::Forget { .. } => "forget",
        FaultKind::HalfOpen => "half_open",
        FaultKind::SlowDrip { .. } => "slow_drip",
        FaultKind::Duplicate { .. } => "duplicate",
        FaultKind::Reorder { .. } => "reorder",
        FaultKind::Garbage { .. } => "garbage",
        FaultKind::GiantFrame { .. } => "giant_frame",
        FaultKind::KillOnSubscribe { .. } => "kill_on_subscribe",
        FaultKind::Http { .. } => "http",
        FaultKind::Chain { .. } => "chain",
        FaultKind::Answer(_) => "answer",
        FaultKind::Stamp { .. } => "stamp",
        FaultKind::Value { .. } => "value",
        FaultKind::Exponent { .. } => "exponent",
        FaultKind::SameTid { .. } => "same_tid",
        FaultKind::Bars { .. } => "bars",
        FaultKind::StaleReplay { .. } => "stale_replay",
        FaultKind::NoPong => "no_pong",
        FaultKind::NoAck => "no_ack",
        FaultKind::Handshake { .. } => "handshake",
        FaultKind::Expire => "expire",
        FaultKind::UserCap { .. } => "user_cap",
        FaultKind::Late { .. } => "late",
        FaultKind::Unlist { .. } => "unlist",
        FaultKind::Delist { .. } => "delist",
        FaultKind::Settle { .. } => "settle",
        FaultKind::Clock { .. } => "clock",
        FaultKind::Halt => "halt",
    }
}
