use hl_core::record::{Bbo, Book, Context, Funding, HexBytes, Mid, Record as _, Side, Trade};
use hl_core::row::Arrival;
use hl_core::stream::BookVariant;
use hl_core::{Coin, Interval, Token};

use super::*;

const EPOCH: Epoch = Epoch { token: Token(7), local: 3 };
const STAMP: Stamp = Stamp { origin: Origin::Backfill, epoch: EPOCH };

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn odd() -> Coin {
    Coin::new("it's:\"$odd.\"").unwrap()
}

fn bar(trades: u64, close: &str) -> Candle {
    Candle {
        coin: odd(),
        interval: Interval::Month,
        time: TimeMs(60_000),
        open: decimal("1"),
        high: decimal("9.00"),
        low: decimal("1"),
        close: decimal(close),
        volume: decimal("7.50"),
        trades,
        arrival: Arrival::default(),
    }
}

fn stored(candle: Candle, is_final: bool) -> Bar {
    Bar { candle, is_final, origin: STAMP.origin, epoch: STAMP.epoch }
}

/// Rows of every kind but bars.
fn every_kind() -> Vec<(StreamKey, Records)> {
    let coin = odd();
    let level = |px: &str, sz: &str, n| Level { px: decimal(px), sz: decimal(sz), n };
    let trade = Trade {
        coin,
        time: TimeMs::MAX,
        tid: i64::MAX.cast_unsigned(),
        px: decimal("66410.0"),
        sz: decimal("0.00015"),
        side: Side::Sell,
        hash: HexBytes([7; 32]),
        buyer: HexBytes([0xab; 20]),
        seller: HexBytes([0xcd; 20]),
        arrival: Arrival::default(),
    };
    let full = Book {
        coin,
        variant: BookVariant::Fast,
        time: TimeMs::MIN,
        bids: [level("66410.0", "1.99792", u32::MAX), level("66409.0", "3", 1)].into(),
        asks: [level("66411.0", "0.10", 2)].into(),
        arrival: Arrival::default(),
    };
    let empty = Book { time: TimeMs(2), bids: [].into(), asks: [].into(), ..full.clone() };
    let bid = Some(level("1.10", "2.0", 3));
    let context = Context {
        coin,
        time: TimeMs(1),
        mark_px: decimal("0.00000001"),
        mid_px: None,
        oracle_px: Some(Decimal::MAX),
        prev_day_px: decimal("1.0"),
        funding: Some(decimal("-0.0000125")),
        open_interest: None,
        premium: Some(decimal("0.000")),
        day_ntl_vlm: decimal("100.00"),
        day_base_vlm: Decimal::MIN,
        impact_bid: None,
        impact_ask: Some(decimal("2")),
        arrival: Arrival::default(),
    };
    let mid = Mid { coin, time: TimeMs(1), px: decimal("1.50"), arrival: Arrival::default() };
    let funding = Funding {
        coin,
        time: TimeMs(59),
        rate: decimal("0.0000125"),
        premium: Decimal::ZERO,
        arrival: Arrival::default(),
    };
    vec![
        (StreamKey::Trades(coin), Records::Trades(vec![trade])),
        (StreamKey::Book(coin, BookVariant::Fast), Records::Books(vec![full, empty])),
        (
            StreamKey::Bbo(coin),
            Records::Bbos(vec![
                Bbo { coin, time: TimeMs(1), bid, ask: None, arrival: Arrival::default() },
                Bbo { coin, time: TimeMs(2), bid: None, ask: bid, arrival: Arrival::default() },
                Bbo { coin, time: TimeMs(3), bid, ask: bid, arrival: Arrival::default() },
            ]),
        ),
        (StreamKey::MIDS, Records::Mids(vec![Mid { coin: Coin::new("BTC").unwrap(), ..mid }])),
        (mid.stream(), Records::Mids(vec![mid])),
        (StreamKey::Context(coin), Records::Contexts(vec![context])),
        (StreamKey::Funding(coin), Records::Funding(vec![funding])),
    ]
}

/// What is sent of records, to be looked into.
fn written(stream: StreamKey, records: &Records) -> Vec<Document> {
    let sent = documents(stream, records, STAMP).into_iter();
    sent.map(|(_, document)| Document::try_from(document.unwrap()).unwrap()).collect()
}

/// The documents, once over the wire.
fn sent(documents: impl IntoIterator<Item = Document>) -> Vec<Document> {
    let over = |document: Document| Document::from_reader(&document.to_vec().unwrap()[..]).unwrap();
    documents.into_iter().map(over).collect()
}

#[test]
fn every_kind_comes_back_to_the_last_zero() {
    for (stream, records) in every_kind() {
        let written = sent(written(stream, &records));
        assert!(written.iter().all(|document| document.keys().next().unwrap() == "_id"), "{written:?}");
        let rows = read(stream, &written).unwrap();
        // Decimals are equal whatever their zeros; their text is not.
        assert_eq!(format!("{:?}", rows.records), format!("{records:?}"));
        let from = Provenance { origin: STAMP.origin, epoch: STAMP.epoch };
        assert_eq!(rows.provenance, vec![from; records.len()]);
    }
    for bar in [stored(bar(7, "2.0"), true), stored(bar(0, "2"), false)] {
        let back = Bar::from_document(&sent([bar.to_document()])[0]).unwrap();
        assert_eq!(format!("{back:?}"), format!("{bar:?}"));
    }
}

#[test]
fn a_removal_names_every_field_present_or_absent() {
    for (stream, records) in every_kind() {
        let written = written(stream, &records);
        let known: Vec<String> = validator(stream.spec().table)
            .get_document("$jsonSchema")
            .unwrap()
            .get_document("properties")
            .unwrap()
            .keys()
            .cloned()
            .collect();
        for (filter, document) in removal(&read(stream, &written).unwrap()).iter().zip(&written) {
            for name in &known {
                let expected = document.get(name).cloned().unwrap_or(doc! { "$exists": false }.into());
                assert_eq!(filter.get(name), Some(&expected), "{name} of {document}");
            }
            assert_eq!(filter.len(), known.len());
        }
    }
}

#[test]
fn documents_have_what_the_server_is_told_to_check() {
    let bars =
        vec![(StreamKey::Candle(odd(), Interval::Month), vec![stored(bar(7, "2"), true).to_document()])];
    let others = every_kind().into_iter().map(|(stream, records)| (stream, written(stream, &records)));
    for (stream, written) in others.chain(bars) {
        let validator = validator(stream.spec().table);
        let schema = validator.get_document("$jsonSchema").unwrap();
        let properties = schema.get_document("properties").unwrap();
        for document in written {
            for name in schema.get_array("required").unwrap() {
                assert!(document.contains_key(name.as_str().unwrap()), "{name} of {document}");
            }
            for (name, value) in &document {
                let kind = match value {
                    Bson::Decimal128(_) => "decimal",
                    Bson::String(_) => "string",
                    Bson::Array(_) => "array",
                    Bson::Document(_) => "object",
                    Bson::Int64(_) => "long",
                    Bson::Boolean(_) => "bool",
                    _ => "something else",
                };
                let told = properties.get_document(name).unwrap().get_str("bsonType").unwrap();
                assert_eq!(told, kind, "{name} of {document}");
            }
        }
    }
}

#[test]
fn a_bar_yields_to_more_trades_and_to_other_values_until_it_is_final() {
    let old = stored(bar(5, "2.0"), false);
    for (new, yields) in [
        (bar(6, "2.0"), true),
        (bar(4, "3"), false),
        (bar(5, "2.0"), false),
        (bar(5, "3"), true),
        // As in SQLite, where they are text.
        (bar(5, "2.00"), true),
    ] {
        assert_eq!(old.yields_to(&new), yields, "{new:?}");
        assert!(!stored(old.candle, true).yields_to(&new), "{new:?}");
    }
}

#[test]
fn a_row_of_another_stream_or_with_too_large_a_tid_has_no_document() {
    let (stream, records) = every_kind().swap_remove(0);
    let Records::Trades(rows) = &records else { panic!("trades come first") };
    let large = Records::Trades(vec![Trade { tid: u64::MAX, ..rows[0] }]);
    for (stream, records) in [(StreamKey::MIDS, &records), (stream, &large)] {
        assert_eq!(documents(stream, records, STAMP), [(TimeMs::MAX, None)]);
    }
}
