//! One event, and how it is written as JSON.

use std::sync::Arc;

use hl_core::ledger::{Cause, GapState, Span};
use hl_core::record::Record;
use hl_core::row::fields::{put_arrival, put_columns, put_time};
use hl_core::{Epoch, Origin, Records, SourceId, StreamKey, TimeMs, for_records};
use serde::ser::{SerializeMap, SerializeSeq as _};
use serde::{Serialize, Serializer};

use super::EventSort;

/// What a collector tells. Events of one stream come in the order in which the store took what they tell; of one commit the
/// rows come first, then what became of gaps.
///
/// Serialised it is one JSON object with its sort in `event`, fields under the names that the store's columns have, decimals
/// as text and times as UTC milliseconds with the same in words beside them. [`Event::lines`] gives a line a row instead.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Rows that were stored, exactly these: none of them was there before, but for bars, whose better version takes the
    /// place of an earlier one.
    Rows {
        /// The stream.
        stream: StreamKey,
        /// Where they came from.
        origin: Origin,
        /// The claim under which they were written.
        epoch: Epoch,
        /// The rows with their arrival, in the order in which they came.
        records: Arc<Records>,
    },
    /// A piece is missing, as far as is known. Of a kind of which the exchange keeps no past it is so for good.
    GapOpened {
        /// The stream.
        stream: StreamKey,
        /// The piece.
        span: Span,
        /// Why.
        cause: Cause,
        /// Whether it may still be filled.
        state: GapState,
    },
    /// A gap, or a part of one, is still open, and its cause is another one now.
    GapRenamed {
        /// The stream.
        stream: StreamKey,
        /// The piece.
        span: Span,
        /// Why.
        cause: Cause,
    },
    /// A gap, or a part of one, was filled: its rows were told before.
    GapFilled {
        /// The stream.
        stream: StreamKey,
        /// The piece.
        span: Span,
        /// Why it was missing.
        cause: Cause,
    },
    /// A gap, or a part of one, was given up: the exchange no longer has it.
    GapLost {
        /// The stream.
        stream: StreamKey,
        /// The piece.
        span: Span,
        /// Why it is missing.
        cause: Cause,
    },
    /// Another source, or another run of the same one, collects a stream from now on. Told when it is decided: rows of the
    /// claim before may still be on their way to the store, and bear its epoch.
    Handover {
        /// The stream.
        stream: StreamKey,
        /// Which source had it.
        from: Option<SourceId>,
        /// Which source has it now; none where this process has given it up.
        to: Option<SourceId>,
        /// The new claim.
        epoch: Option<Epoch>,
        /// Why.
        cause: Option<Cause>,
    },
    /// The market of a stream is delisted, or has settled: the stream ended, and nothing of it is missing after that. Where
    /// the market is listed again, the stream goes on without a further word.
    Ended {
        /// The stream.
        stream: StreamKey,
        /// When, at the latest.
        at: TimeMs,
    },
    /// A commit got no answer and was made again, so that it is not known here what of it had been stored by the first
    /// attempt and was never told: read this piece of the stream from the store.
    Resync {
        /// The stream.
        stream: StreamKey,
        /// The piece.
        span: Span,
    },
    /// So many events were dropped here, because the reader was too slow.
    Lagged(u64),
}

impl Event {
    /// The stream that it is about; none where it is about the reader.
    #[must_use]
    pub fn stream(&self) -> Option<StreamKey> {
        match self {
            Self::Rows { stream, .. }
            | Self::GapOpened { stream, .. }
            | Self::GapRenamed { stream, .. }
            | Self::GapFilled { stream, .. }
            | Self::GapLost { stream, .. }
            | Self::Handover { stream, .. }
            | Self::Ended { stream, .. }
            | Self::Resync { stream, .. } => Some(*stream),
            Self::Lagged(_) => None,
        }
    }

    /// Whether it is one of those: of a repeated commit, of rows and of gaps.
    pub(super) fn is_a(&self, sort: EventSort) -> bool {
        match self {
            Self::Rows { .. } => sort == EventSort::Rows,
            Self::GapOpened { .. }
            | Self::GapRenamed { .. }
            | Self::GapFilled { .. }
            | Self::GapLost { .. } => sort == EventSort::Gaps,
            Self::Handover { .. } => sort == EventSort::Handovers,
            Self::Ended { .. } => sort == EventSort::Ends,
            Self::Resync { .. } => matches!(sort, EventSort::Rows | EventSort::Gaps),
            Self::Lagged(_) => true,
        }
    }

    /// It as lines of NDJSON: one a row, and one for any other event. Each serialises to one object.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let lines = match self {
            Self::Rows { records, .. } => records.len(),
            _ => 1,
        };
        (0..lines).map(move |row| Line { event: self, row })
    }

    /// Its name in the field `event`.
    fn name(&self) -> &'static str {
        match self {
            Self::Rows { .. } => "rows",
            Self::GapOpened { .. } => "gap_opened",
            Self::GapRenamed { .. } => "gap_renamed",
            Self::GapFilled { .. } => "gap_filled",
            Self::GapLost { .. } => "gap_lost",
            Self::Handover { .. } => "handover",
            Self::Ended { .. } => "ended",
            Self::Resync { .. } => "resync",
            Self::Lagged(_) => "lagged",
        }
    }

    /// The fields of all but rows.
    fn put<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("event", self.name())?;
        if let Some(stream) = self.stream() {
            map.serialize_entry("stream", &stream)?;
        }
        match self {
            Self::Rows { .. } => {}
            Self::GapOpened { span, cause, state, .. } => {
                put_span(map, *span)?;
                map.serialize_entry("cause", cause)?;
                map.serialize_entry("state", state)?;
            }
            Self::GapRenamed { span, cause, .. }
            | Self::GapFilled { span, cause, .. }
            | Self::GapLost { span, cause, .. } => {
                put_span(map, *span)?;
                map.serialize_entry("cause", cause)?;
            }
            Self::Handover { from, to, epoch, cause, .. } => {
                map.serialize_entry("from", from)?;
                map.serialize_entry("to", to)?;
                map.serialize_entry("epoch", &epoch.map(Epoch::to_i64))?;
                map.serialize_entry("cause", cause)?;
            }
            Self::Ended { at, .. } => put_time(map, "ended", *at)?,
            Self::Resync { span, .. } => put_span(map, *span)?,
            Self::Lagged(events) => map.serialize_entry("events", events)?,
        }
        Ok(())
    }
}

fn put_span<M: SerializeMap>(map: &mut M, span: Span) -> Result<(), M::Error> {
    put_time(map, "from_time", span.from)?;
    put_time(map, "to_time", span.to)
}

/// The columns that every table has.
fn put_row<T: Record, M: SerializeMap>(map: &mut M, row: &T, claim: (Origin, Epoch)) -> Result<(), M::Error> {
    put_columns(map, row)?;
    map.serialize_entry("source", &claim.0)?;
    map.serialize_entry("epoch", &claim.1.to_i64())?;
    put_arrival(map, row)
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.put(&mut map)?;
        if let Self::Rows { origin, epoch, records, .. } = self {
            map.serialize_entry("rows", &Rows { records, claim: (*origin, *epoch) })?;
        }
        map.end()
    }
}

struct Rows<'a> {
    records: &'a Records,
    claim: (Origin, Epoch),
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = serializer.serialize_seq(Some(self.records.len()))?;
        for at in 0..self.records.len() {
            all.serialize_element(&RowAt { rows: self, at })?;
        }
        all.end()
    }
}

struct RowAt<'a> {
    rows: &'a Rows<'a>,
    at: usize,
}

impl Serialize for RowAt<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for_records!(self.rows.records, records => {
            records.get(self.at).map_or(Ok(()), |row| put_row(&mut map, row, self.rows.claim))
        })?;
        map.end()
    }
}

/// A line of an event: `{"event":"row","stream":"trades/BTC","coin":"BTC","time":…}`.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    event: &'a Event,
    /// Which of its rows.
    row: usize,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Event::Rows { stream, origin, epoch, records } = self.event else {
            return self.event.serialize(serializer);
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", "row")?;
        map.serialize_entry("stream", stream)?;
        for_records!(&**records, records => {
            records.get(self.row).map_or(Ok(()), |row| put_row(&mut map, row, (*origin, *epoch)))
        })?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use hl_core::record::{Bbo, Level, Side, Trade};
    use hl_core::row::{Arrival, HexBytes};
    use hl_core::{Coin, TimeMs, Token};
    use serde_json::{Value, json};

    use super::*;

    fn coin() -> Coin {
        Coin::new("BTC").unwrap()
    }

    fn lines(event: &Event) -> Vec<Value> {
        event.lines().map(|line| serde_json::to_value(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_the_names_of_the_columns_and_exact_decimals() {
        let level = Level { px: "100.50".parse().unwrap(), sz: "2".parse().unwrap(), n: 3 };
        let bbo = Bbo {
            coin: coin(),
            time: TimeMs(1_000),
            bid: Some(level),
            ask: None,
            arrival: Arrival { received: 1_001_000_000.try_into().ok(), seq: Some(4) },
        };
        let epoch = Epoch { token: Token(1), local: 2 };
        let records = Arc::new(Records::Bbos(vec![bbo]));
        let event = Event::Rows { stream: StreamKey::Bbo(coin()), origin: Origin::Ws, epoch, records };
        let columns = json!({
            "coin": "BTC", "time": 1_000, "iso": "1970-01-01T00:00:01.000Z",
            "bid_px": "100.5", "bid_sz": "2.0", "bid_n": 3, "ask_px": null, "ask_sz": null, "ask_n": null,
            "source": "ws", "epoch": 4_294_967_298_i64, "received": 1_001_000_000, "seq": 4,
        });
        let mut row = json!({ "event": "row", "stream": "bbo/BTC" });
        row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
        assert_eq!(lines(&event), [row]);
        let whole = json!({ "event": "rows", "stream": "bbo/BTC", "rows": [columns] });
        assert_eq!(serde_json::to_value(&event).unwrap(), whole);
    }

    #[test]
    fn an_event_is_a_line_and_rows_are_a_line_each() {
        let trade = |tid| Trade {
            coin: coin(),
            time: TimeMs(5),
            tid,
            side: Side::Buy,
            px: "1".parse().unwrap(),
            sz: "2".parse().unwrap(),
            hash: HexBytes([0; 32]),
            buyer: HexBytes([1; 20]),
            seller: HexBytes([2; 20]),
            arrival: Arrival::default(),
        };
        let stream = StreamKey::Trades(coin());
        let records = Arc::new(Records::Trades(vec![trade(1), trade(2)]));
        let rows = Event::Rows { stream, origin: Origin::Rest, epoch: Epoch::default(), records };
        let tids: Vec<_> = lines(&rows).iter().map(|line| line["tid"].as_u64()).collect();
        assert_eq!(tids, [Some(1), Some(2)]);

        let span = Span::new(TimeMs(0), TimeMs(5));
        let opened = Event::GapOpened { stream, span, cause: Cause::Sampled, state: GapState::Open };
        let gap = json!({
            "event": "gap_opened", "stream": "trades/BTC", "cause": "sampled", "state": "open",
            "from_time": 0, "from_time_iso": "1970-01-01T00:00:00.000Z",
            "to_time": 5, "to_time_iso": "1970-01-01T00:00:00.005Z",
        });
        assert_eq!(lines(&opened), [gap]);
        let (from, to) = (Some(SourceId::Ws), None);
        let moved = Event::Handover { stream, from, to, epoch: None, cause: None };
        let given_up = json!({
            "event": "handover", "stream": "trades/BTC", "from": "ws", "to": null, "epoch": null, "cause": null,
        });
        assert_eq!(lines(&moved), [given_up]);
        assert_eq!(lines(&Event::Lagged(7)), [json!({ "event": "lagged", "events": 7 })]);
    }
}
