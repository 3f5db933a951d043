//! What a document of the original system is worth. Pure; documents come in the order of their keys.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use hl_core::record::{Book, Candle, HexBytes, Level, Mid, Record as _, Side, Trade};
use hl_core::row::Arrival;
use hl_core::stream::BookVariant;
use hl_core::{Coin, Decimal, Interval, Records, StreamKey, TimeMs};
use mongodb::bson::{Bson, Document};

use super::{Collection, Sifted};

const DAY: i64 = 86_400_000;

/// What is known of the bars, or of the keys, of one time.
enum Seen {
    /// The best version of each that was stored when it was over.
    Bars(BTreeMap<(Coin, Interval), Candle>),
    /// Of two rows with one key the first stays.
    Keys(BTreeSet<(Option<Coin>, u64)>),
}

/// What is wrong with a document.
enum Wrong {
    Malformed,
    Crossed,
}

type Sound<T> = Result<T, Wrong>;

/// Goes through the documents of one collection.
pub(super) struct Sift {
    collection: Collection,
    sifted: Sifted,
    time: Option<TimeMs>,
    seen: Seen,
    ready: BTreeMap<StreamKey, Records>,
}

impl Sift {
    /// None where the collection has no place here.
    pub(super) fn of(collection: Collection) -> Option<Self> {
        let seen = match collection {
            Collection::Candles => Seen::Bars(BTreeMap::new()),
            Collection::Books | Collection::Trades | Collection::Mids => Seen::Keys(BTreeSet::new()),
            Collection::Other { .. } => return None,
        };
        let (sifted, ready) = (Sifted::default(), BTreeMap::new());
        Some(Self { collection, sifted, time: None, seen, ready })
    }

    pub(super) fn sifted(&self) -> Sifted {
        self.sifted
    }

    /// The rows that are known to be good by now.
    pub(super) fn ready(&mut self) -> Vec<(StreamKey, Records)> {
        std::mem::take(&mut self.ready).into_iter().collect()
    }

    pub(super) fn take(&mut self, document: &Document) {
        self.sifted.documents += 1;
        let read = Read(document);
        let taken = read.time("t").and_then(|time| {
            if self.time != Some(time) {
                self.end();
                self.time = Some(time);
            }
            match self.collection {
                Collection::Candles => self.bar(read, time),
                Collection::Books => self.book(read, time),
                Collection::Trades => self.trade(read, time),
                Collection::Mids => self.mid(read, time),
                Collection::Other { .. } => Ok(()),
            }
        });
        match taken {
            Ok(()) => {}
            Err(Wrong::Malformed) => self.sifted.malformed += 1,
            Err(Wrong::Crossed) => self.sifted.crossed += 1,
        }
    }

    /// The time that was at work is over.
    pub(super) fn end(&mut self) {
        match &mut self.seen {
            Seen::Keys(keys) => keys.clear(),
            Seen::Bars(bars) => {
                for ((coin, interval), bar) in std::mem::take(bars) {
                    self.keep(StreamKey::Candle(coin, interval), Records::Candles(vec![bar]));
                }
            }
        }
    }

    fn keep(&mut self, stream: StreamKey, records: Records) {
        self.sifted.rows += 1;
        // Of one stream they are of one kind.
        let _ = self.ready.entry(stream).or_insert_with(|| Records::none(stream)).append(records);
    }

    /// Keeps a row, unless its key was seen.
    fn keep_once(&mut self, stream: StreamKey, key: (Option<Coin>, u64), records: Records) -> bool {
        let is_new = match &mut self.seen {
            Seen::Keys(keys) => keys.insert(key),
            Seen::Bars(_) => false,
        };
        match is_new {
            true => self.keep(stream, records),
            false => self.sifted.duplicates += 1,
        }
        is_new
    }

    fn bar(&mut self, read: Read<'_>, time: TimeMs) -> Sound<()> {
        let named = read.text("interval").ok().and_then(|text| text.parse::<Interval>().ok());
        // What came over the socket says when it ends; the interval beside it may be that of another handler.
        let interval = match read.has("T") {
            true => lasting(read.time("T")?.since(time)),
            false => named,
        };
        let interval = interval.ok_or(Wrong::Malformed)?;
        let either = |short, long| read.decimal(if read.has(short) { short } else { long });
        let candle = Candle {
            coin: read.coin_or_bitcoin()?,
            interval,
            time,
            open: either("o", "open")?,
            high: either("h", "high")?,
            low: either("l", "low")?,
            close: either("c", "close")?,
            volume: either("v", "volume")?,
            trades: read.count(if read.has("n") { "n" } else { "trades" })?,
            arrival: Arrival::ALONE,
        };
        let is_right = candle.low <= candle.open.min(candle.close)
            && candle.open.max(candle.close) <= candle.high
            && candle.low > Decimal::ZERO
            && candle.volume >= Decimal::ZERO
            && (!interval.is_fixed() || interval.open_of(time) == time);
        if !is_right {
            return Err(Wrong::Malformed);
        }
        self.sifted.mislabelled += u64::from(named != Some(interval));
        let over = read.time("T").map_or(time + interval.ms(), |last| last + 1);
        if read.stored_at().is_none_or(|stored| stored < over) {
            self.sifted.open += 1;
            return Ok(());
        }
        let Seen::Bars(bars) = &mut self.seen else { return Ok(()) };
        match bars.entry((candle.coin, interval)) {
            Entry::Vacant(place) => {
                place.insert(candle);
            }
            Entry::Occupied(mut best) => {
                self.sifted.duplicates += 1;
                if candle.trades > best.get().trades {
                    best.insert(candle);
                }
            }
        }
        Ok(())
    }

    fn book(&mut self, read: Read<'_>, time: TimeMs) -> Sound<()> {
        let coin = read.coin_or_bitcoin()?;
        let book = |bids: &[Level], asks: &[Level]| Book {
            coin,
            variant: BookVariant::Default,
            time,
            bids: bids.into(),
            asks: asks.into(),
            arrival: Arrival::ALONE,
        };
        let (bids, asks) = (read.levels("bids")?, read.levels("asks")?);
        // With one side there is no telling whether it is that side.
        if bids.is_empty() || asks.is_empty() {
            return Err(Wrong::Malformed);
        }
        let (as_stored, exchanged) = (book(&bids, &asks), book(&asks, &bids));
        let (book, was_exchanged) = match (as_stored.is_crossed(), exchanged.is_crossed()) {
            (false, _) => (as_stored, false),
            (true, false) => (exchanged, true),
            (true, true) => return Err(Wrong::Crossed),
        };
        let falls = |levels: &[Level]| levels.windows(2).all(|pair| pair[0].px > pair[1].px);
        let rises = |levels: &[Level]| levels.windows(2).all(|pair| pair[0].px < pair[1].px);
        if !falls(&book.bids) || !rises(&book.asks) {
            return Err(Wrong::Malformed);
        }
        let stream = StreamKey::Book(coin, BookVariant::Default);
        let is_new = self.keep_once(stream, (None, 0), Records::Books(vec![book]));
        self.sifted.exchanged += u64::from(is_new && was_exchanged);
        Ok(())
    }

    fn trade(&mut self, read: Read<'_>, time: TimeMs) -> Sound<()> {
        let side = match read.text("side")? {
            "B" => Side::Buy,
            "A" => Side::Sell,
            _ => return Err(Wrong::Malformed),
        };
        let trade = Trade {
            coin: read.coin_or_bitcoin()?,
            time,
            tid: read.count("tid")?,
            px: read.positive("px")?,
            sz: read.positive("sz")?,
            side,
            hash: HexBytes::parse(read.text("hash")?).ok_or(Wrong::Malformed)?,
            // It kept no users.
            buyer: HexBytes([0; 20]),
            seller: HexBytes([0; 20]),
            arrival: Arrival::default(),
        };
        let stream = StreamKey::Trades(trade.coin);
        self.keep_once(stream, (Some(trade.coin), trade.tid), Records::Trades(vec![trade]));
        Ok(())
    }

    fn mid(&mut self, read: Read<'_>, time: TimeMs) -> Sound<()> {
        let coin = Coin::new(read.text("coin")?).map_err(|_| Wrong::Malformed)?;
        let mid = Mid { coin, time, px: read.positive("price")?, arrival: Arrival::ALONE };
        self.keep_once(mid.stream(), (Some(coin), 0), Records::Mids(vec![mid]));
        Ok(())
    }
}

/// The interval of a bar by the time from its open to its last millisecond.
fn lasting(ms: i64) -> Option<Interval> {
    // Some write the end of the bar, some the last millisecond in it.
    let length = ms + i64::from(ms % 1_000 == 999);
    match length / DAY {
        28..=31 if length % DAY == 0 => Some(Interval::Month),
        _ => Interval::ALL.into_iter().find(|interval| interval.ms() == length),
    }
}

/// A document for reading.
#[derive(Clone, Copy)]
struct Read<'a>(&'a Document);

impl<'a> Read<'a> {
    fn has(self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    fn text(self, field: &str) -> Sound<&'a str> {
        self.0.get_str(field).map_err(|_| Wrong::Malformed)
    }

    fn time(self, field: &str) -> Sound<TimeMs> {
        match self.0.get(field) {
            Some(Bson::DateTime(date)) => Ok(TimeMs(date.timestamp_millis())),
            _ => self.whole(field).map(TimeMs),
        }
    }

    /// A whole number, whatever it is stored as.
    fn whole(self, field: &str) -> Sound<i64> {
        let number = self.decimal(field)?;
        if !number.fract().is_zero() {
            return Err(Wrong::Malformed);
        }
        i64::try_from(number).map_err(|_| Wrong::Malformed)
    }

    fn count(self, field: &str) -> Sound<u64> {
        u64::try_from(self.whole(field)?).map_err(|_| Wrong::Malformed)
    }

    /// A double is the number whose shortest text it is read from: what the exchange wrote, had it up to 15 digits.
    fn decimal(self, field: &str) -> Sound<Decimal> {
        let text = match self.0.get(field) {
            Some(Bson::Double(number)) => number.to_string(),
            Some(Bson::Int32(number)) => number.to_string(),
            Some(Bson::Int64(number)) => number.to_string(),
            Some(Bson::String(text)) => text.clone(),
            _ => return Err(Wrong::Malformed),
        };
        Decimal::from_str_exact(&text).map_err(|_| Wrong::Malformed)
    }

    fn positive(self, field: &str) -> Sound<Decimal> {
        self.decimal(field).and_then(|number| match number > Decimal::ZERO {
            true => Ok(number),
            false => Err(Wrong::Malformed),
        })
    }

    fn levels(self, field: &str) -> Sound<Vec<Level>> {
        let levels = self.0.get_array(field).map_err(|_| Wrong::Malformed)?;
        let level = |level: &Bson| {
            let read = Read(level.as_document().ok_or(Wrong::Malformed)?);
            let n = u32::try_from(read.whole("n")?).map_err(|_| Wrong::Malformed)?;
            Ok(Level { px: read.positive("px")?, sz: read.positive("sz")?, n })
        };
        levels.iter().map(level).collect()
    }

    /// It collected one coin, and did not always say so.
    fn coin_or_bitcoin(self) -> Sound<Coin> {
        let name = if self.has("coin") { self.text("coin")? } else { "BTC" };
        Coin::new(name).map_err(|_| Wrong::Malformed)
    }

    /// When it was stored, by its id: to the second, and never later than it was.
    fn stored_at(self) -> Option<TimeMs> {
        let id = self.0.get_object_id("_id").ok()?;
        Some(TimeMs(id.timestamp().timestamp_millis()))
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::oid::ObjectId;
    use mongodb::bson::{DateTime, doc};
    use proptest::prelude::*;

    use super::*;

    /// Whatever a field may hold, with what is right among it.
    fn value() -> impl Strategy<Value = Bson> {
        let level = || doc! { "px": 3.5, "sz": 1, "n": 1 };
        prop_oneof![
            Just(Bson::Null),
            any::<f64>().prop_map(Bson::Double),
            any::<i32>().prop_map(Bson::Int32),
            any::<i64>().prop_map(Bson::Int64),
            any::<i64>().prop_map(|ms| Bson::DateTime(DateTime::from_millis(ms))),
            (0..4_i64).prop_map(|n| Bson::DateTime(DateTime::from_millis(n * 60_000 - 1))),
            (0..4_i64).prop_map(|n| Bson::DateTime(DateTime::from_millis(n * 60_000))),
            (1..4_i32).prop_map(Bson::Int32),
            prop::sample::select(vec!["1m", "5m", "BTC", "B", "A", "7.5", "", "\u{0}"]).prop_map(Bson::from),
            (0..3_usize).prop_map(move |n| Bson::from(vec![level(); n])),
            any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
        ]
    }

    fn document() -> impl Strategy<Value = Document> {
        let fields = vec![
            "_id", "t", "T", "interval", "coin", "o", "h", "l", "c", "v", "n", "open", "high", "low",
            "close", "volume", "trades", "bids", "asks", "tid", "px", "sz", "side", "hash", "price",
        ];
        let field = (prop::sample::select(fields), value());
        prop::collection::vec(field, 0..30)
            .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    proptest! {
        #[test]
        fn each_document_is_told_of_whatever_it_holds(documents in prop::collection::vec(document(), 0..12)) {
            for collection in [Collection::Candles, Collection::Books, Collection::Trades, Collection::Mids] {
                let mut sift = Sift::of(collection).unwrap();
                documents.iter().for_each(|document| sift.take(document));
                sift.end();
                let rows: usize = sift.ready().iter().map(|(_, records)| records.len()).sum();
                let Sifted { documents, rows: told, duplicates, crossed, open, malformed, .. } = sift.sifted();
                prop_assert_eq!(rows as u64, told);
                prop_assert_eq!(told + duplicates + crossed + open + malformed, documents);
            }
        }
    }

    #[test]
    fn an_interval_is_known_by_how_long_a_bar_lasts() {
        for interval in Interval::ALL.into_iter().filter(|interval| *interval != Interval::Month) {
            assert_eq!(lasting(interval.ms() - 1), Some(interval));
            assert_eq!(lasting(interval.ms()), Some(interval));
        }
        assert_eq!([28, 29, 30, 31].map(|days| lasting(days * DAY - 1)), [Some(Interval::Month); 4]);
        assert_eq!([59_000, 61_000, 0, -1, 32 * DAY].map(lasting), [None; 5]);
    }

    #[test]
    fn doubles_are_read_as_they_were_written() {
        let number = |bson: Bson| Read(&Document::from_iter([("x".to_owned(), bson)])).decimal("x").ok();
        for text in ["66410.5", "0.00015", "0.1", "97123456.78901", "-0.0000125", "123456789012345"] {
            let double: f64 = text.parse().unwrap();
            assert_eq!(number(Bson::Double(double)), Some(text.parse().unwrap()), "{text}");
        }
        for no_number in [f64::NAN, f64::INFINITY, 1e40, 1e-40] {
            assert_eq!(number(Bson::Double(no_number)), None);
        }
    }
}
