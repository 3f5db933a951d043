//! What is known of streams and sources, for the decision whether data is received.

use std::collections::BTreeMap;

use hl_collectors::pipeline::Meter;
use hl_collectors::ws::SocketView;
use hl_core::StreamKey;
use hl_core::selector::Mono;
use hl_monitor::{Heard, Reception, TotalReception, Ways, judge};

pub(crate) fn judged(
    streams: &BTreeMap<StreamKey, Meter>,
    sockets: &[SocketView],
    rest_trouble: Option<String>,
    now: Mono,
) -> (BTreeMap<StreamKey, Reception>, TotalReception) {
    let heard = |meter: &Meter| Heard {
        owner: meter.owner,
        since: meter.since,
        last: meter.heard,
        unanswered: meter.unanswered,
    };
    let streams = streams.iter().map(|(stream, meter)| (*stream, heard(meter))).collect();
    let ways = Ways {
        sockets: sockets.len(),
        open: sockets.iter().filter(|socket| socket.up).count(),
        socket_trouble: sockets.iter().find_map(|socket| socket.trouble.clone()),
        rest_trouble,
    };
    judge(&streams, &ways, now)
}
