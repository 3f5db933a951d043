//! The kinds of rows: of each its key, its fields, and how it is read back.

use hl_core::record::{Bbo, Book, Candle, Context, Funding, HexBytes, Level, Mid, Side, Trade};
use hl_core::stream::BookVariant;
use hl_core::{Coin, Decimal, Interval, StreamKey, TimeMs};
use mongodb::bson::{Bson, cstr};

use super::decimal;
use super::fields::{Fields, Value};
use crate::documents::Read;
use crate::error::MongoError;

/// A record that has a collection.
pub(super) trait Row: Sized {
    const COLLECTION: &'static str;
    /// Fields that every document has, with their types, beside `source` and `epoch`.
    const FIELDS: &'static [(&'static str, &'static str)];
    /// Fields that a document may lack.
    const OPTIONAL: &'static [(&'static str, &'static str)] = &[];
    fn time(&self) -> TimeMs;
    /// Whether it is a row of the stream that the collection can hold.
    fn belongs_to(&self, stream: StreamKey) -> bool;
    /// What makes it the same row.
    fn put_key(&self, key: &mut impl Fields);
    /// Everything else.
    fn put_fields(&self, fields: &mut impl Fields);
    fn read(key: Read<'_>, fields: Read<'_>) -> Result<Self, MongoError>;
}

const DECIMAL: &str = "decimal";
const TEXT: &str = "string";
const ARRAY: &str = "array";

impl<'a> Read<'a> {
    fn coin(self) -> Result<Coin, MongoError> {
        self.word("coin", |name| Coin::new(name).ok())
    }

    fn decimal_or_null(self, field: &'static str) -> Result<Option<Decimal>, MongoError> {
        match self.document.get(field) {
            None | Some(Bson::Null) => Ok(None),
            Some(Bson::Decimal128(stored)) => {
                decimal::decode(*stored).map(Some).ok_or_else(|| self.wrong(field))
            }
            Some(_) => Err(self.wrong(field)),
        }
    }

    fn decimal(self, field: &'static str) -> Result<Decimal, MongoError> {
        self.decimal_or_null(field)?.ok_or_else(|| self.wrong(field))
    }

    fn level(self) -> Result<Level, MongoError> {
        Ok(Level { px: self.decimal("px")?, sz: self.decimal("sz")?, n: self.small("n")? })
    }

    fn level_or_null(self, field: &'static str) -> Result<Option<Level>, MongoError> {
        match self.document.contains_key(field) {
            true => self.inner(field)?.level().map(Some),
            false => Ok(None),
        }
    }

    fn levels(self, field: &'static str) -> Result<Box<[Level]>, MongoError> {
        let levels = self.document.get_array(field).map_err(|_| self.wrong(field))?;
        let level = |level: &'a Bson| match level {
            Bson::Document(document) => Self { document, ..self }.level(),
            _ => Err(self.wrong(field)),
        };
        levels.iter().map(level).collect()
    }
}

impl Row for Trade {
    const COLLECTION: &'static str = "trades";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("px", DECIMAL),
        ("sz", DECIMAL),
        ("side", TEXT),
        ("hash", TEXT),
        ("buyer", TEXT),
        ("seller", TEXT),
    ];

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Trades(self.coin) && i64::try_from(self.tid).is_ok()
    }

    fn put_key(&self, key: &mut impl Fields) {
        key.put(cstr!("coin"), Value::Text(self.coin.as_str()));
        key.put(cstr!("time"), Value::Time(self.time));
        key.put(cstr!("tid"), Value::Long(self.tid.cast_signed()));
    }

    fn put_fields(&self, fields: &mut impl Fields) {
        fields.put(cstr!("px"), Value::Decimal(self.px));
        fields.put(cstr!("sz"), Value::Decimal(self.sz));
        fields.put(cstr!("side"), Value::Text(self.side.as_str()));
        fields.put(cstr!("hash"), Value::Hex(&self.hash.0));
        fields.put(cstr!("buyer"), Value::Hex(&self.buyer.0));
        fields.put(cstr!("seller"), Value::Hex(&self.seller.0));
    }

    fn read(key: Read<'_>, row: Read<'_>) -> Result<Self, MongoError> {
        Ok(Self {
            coin: key.coin()?,
            time: key.time("time")?,
            tid: key.count("tid")?,
            px: row.decimal("px")?,
            sz: row.decimal("sz")?,
            side: row
                .word("side", |s| [Side::Buy, Side::Sell].into_iter().find(|side| side.as_str() == s))?,
            hash: row.word("hash", HexBytes::parse)?,
            buyer: row.word("buyer", HexBytes::parse)?,
            seller: row.word("seller", HexBytes::parse)?,
        })
    }
}

impl Row for Book {
    const COLLECTION: &'static str = "books";
    const FIELDS: &'static [(&'static str, &'static str)] = &[("bids", ARRAY), ("asks", ARRAY)];

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Book(self.coin, self.variant)
    }

    fn put_key(&self, key: &mut impl Fields) {
        key.put(cstr!("coin"), Value::Text(self.coin.as_str()));
        key.put(cstr!("variant"), Value::Text(self.variant.as_str()));
        key.put(cstr!("time"), Value::Time(self.time));
    }

    fn put_fields(&self, fields: &mut impl Fields) {
        fields.put(cstr!("bids"), Value::Levels(&self.bids));
        fields.put(cstr!("asks"), Value::Levels(&self.asks));
    }

    fn read(key: Read<'_>, row: Read<'_>) -> Result<Self, MongoError> {
        let variants = [BookVariant::Default, BookVariant::Fast];
        Ok(Self {
            coin: key.coin()?,
            variant: key.word("variant", |s| variants.into_iter().find(|v| v.as_str() == s))?,
            time: key.time("time")?,
            bids: row.levels("bids")?,
            asks: row.levels("asks")?,
        })
    }
}

impl Row for Bbo {
    const COLLECTION: &'static str = "bbo";
    const FIELDS: &'static [(&'static str, &'static str)] = &[];
    const OPTIONAL: &'static [(&'static str, &'static str)] = &[("bid", "object"), ("ask", "object")];

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Bbo(self.coin)
    }

    fn put_key(&self, key: &mut impl Fields) {
        key.put(cstr!("coin"), Value::Text(self.coin.as_str()));
        key.put(cstr!("time"), Value::Time(self.time));
    }

    fn put_fields(&self, fields: &mut impl Fields) {
        for (name, side) in [(cstr!("bid"), &self.bid), (cstr!("ask"), &self.ask)] {
            if let Some(side) = side {
                fields.put(name, Value::Level(side));
            }
        }
    }

    fn read(key: Read<'_>, row: Read<'_>) -> Result<Self, MongoError> {
        let (bid, ask) = (row.level_or_null("bid")?, row.level_or_null("ask")?);
        Ok(Self { coin: key.coin()?, time: key.time("time")?, bid, ask })
    }
}

impl Row for Candle {
    const COLLECTION: &'static str = "candles";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("open", DECIMAL),
        ("high", DECIMAL),
        ("low", DECIMAL),
        ("close", DECIMAL),
        ("volume", DECIMAL),
        ("trades", "long"),
        ("final", "bool"),
    ];

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Candle(self.coin, self.interval) && i64::try_from(self.trades).is_ok()
    }

    fn put_key(&self, key: &mut impl Fields) {
        key.put(cstr!("coin"), Value::Text(self.coin.as_str()));
        key.put(cstr!("interval"), Value::Text(self.interval.as_str()));
        key.put(cstr!("time"), Value::Time(self.time));
    }

    fn put_fields(&self, fields: &mut impl Fields) {
        fields.put(cstr!("open"), Value::Decimal(self.open));
        fields.put(cstr!("high"), Value::Decimal(self.high));
        fields.put(cstr!("low"), Value::Decimal(self.low));
        fields.put(cstr!("close"), Value::Decimal(self.close));
        fields.put(cstr!("volume"), Value::Decimal(self.volume));
        fields.put(cstr!("trades"), Value::Long(self.trades.cast_signed()));
    }

    fn read(key: Read<'_>, row: Read<'_>) -> Result<Self, MongoError> {
        Ok(Self {
            coin: key.coin()?,
            interval: key.word("interval", |s| s.parse::<Interval>().ok())?,
            time: key.time("time")?,
            open: row.decimal("open")?,
            high: row.decimal("high")?,
            low: row.decimal("low")?,
            close: row.decimal("close")?,
            volume: row.decimal("volume")?,
            trades: row.count("trades")?,
        })
    }
}

impl Row for Mid {
    const COLLECTION: &'static str = "mids";
    const FIELDS: &'static [(&'static str, &'static str)] = &[("px", DECIMAL)];

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Mids
    }

    fn put_key(&self, key: &mut impl Fields) {
        key.put(cstr!("coin"), Value::Text(self.coin.as_str()));
        key.put(cstr!("time"), Value::Time(self.time));
    }

    fn put_fields(&self, fields: &mut impl Fields) {
        fields.put(cstr!("px"), Value::Decimal(self.px));
    }

    fn read(key: Read<'_>, row: Read<'_>) -> Result<Self, MongoError> {
        Ok(Self { coin: key.coin()?, time: key.time("time")?, px: row.decimal("px")? })
    }
}

impl Row for Context {
    const COLLECTION: &'static str = "contexts";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("mark_px", DECIMAL),
        ("prev_day_px", DECIMAL),
        ("day_ntl_vlm", DECIMAL),
        ("day_base_vlm", DECIMAL),
    ];
    const OPTIONAL: &'static [(&'static str, &'static str)] = &[
        ("mid_px", DECIMAL),
        ("oracle_px", DECIMAL),
        ("funding", DECIMAL),
        ("open_interest", DECIMAL),
        ("premium", DECIMAL),
        ("impact_bid", DECIMAL),
        ("impact_ask", DECIMAL),
    ];

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Context(self.coin)
    }

    fn put_key(&self, key: &mut impl Fields) {
        key.put(cstr!("coin"), Value::Text(self.coin.as_str()));
        key.put(cstr!("time"), Value::Time(self.time));
    }

    fn put_fields(&self, fields: &mut impl Fields) {
        fields.put(cstr!("mark_px"), Value::Decimal(self.mark_px));
        fields.put(cstr!("prev_day_px"), Value::Decimal(self.prev_day_px));
        fields.put(cstr!("day_ntl_vlm"), Value::Decimal(self.day_ntl_vlm));
        fields.put(cstr!("day_base_vlm"), Value::Decimal(self.day_base_vlm));
        fields.put_optional(&[
            (cstr!("mid_px"), self.mid_px),
            (cstr!("oracle_px"), self.oracle_px),
            (cstr!("funding"), self.funding),
            (cstr!("open_interest"), self.open_interest),
            (cstr!("premium"), self.premium),
            (cstr!("impact_bid"), self.impact_bid),
            (cstr!("impact_ask"), self.impact_ask),
        ]);
    }

    fn read(key: Read<'_>, row: Read<'_>) -> Result<Self, MongoError> {
        Ok(Self {
            coin: key.coin()?,
            time: key.time("time")?,
            mark_px: row.decimal("mark_px")?,
            mid_px: row.decimal_or_null("mid_px")?,
            oracle_px: row.decimal_or_null("oracle_px")?,
            prev_day_px: row.decimal("prev_day_px")?,
            funding: row.decimal_or_null("funding")?,
            open_interest: row.decimal_or_null("open_interest")?,
            premium: row.decimal_or_null("premium")?,
            day_ntl_vlm: row.decimal("day_ntl_vlm")?,
            day_base_vlm: row.decimal("day_base_vlm")?,
            impact_bid: row.decimal_or_null("impact_bid")?,
            impact_ask: row.decimal_or_null("impact_ask")?,
        })
    }
}

impl Row for Funding {
    const COLLECTION: &'static str = "funding";
    const FIELDS: &'static [(&'static str, &'static str)] = &[("rate", DECIMAL), ("premium", DECIMAL)];

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Funding(self.coin)
    }

    fn put_key(&self, key: &mut impl Fields) {
        key.put(cstr!("coin"), Value::Text(self.coin.as_str()));
        key.put(cstr!("time"), Value::Time(self.time));
    }

    fn put_fields(&self, fields: &mut impl Fields) {
        fields.put(cstr!("rate"), Value::Decimal(self.rate));
        fields.put(cstr!("premium"), Value::Decimal(self.premium));
    }

    fn read(key: Read<'_>, row: Read<'_>) -> Result<Self, MongoError> {
        let (rate, premium) = (row.decimal("rate")?, row.decimal("premium")?);
        Ok(Self { coin: key.coin()?, time: key.time("time")?, rate, premium })
    }
}
