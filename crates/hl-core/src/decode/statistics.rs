//! Statistics files, piece by piece: a file has up to 47 MB, and no more of it is held than one row.
//!
//! ```json
//! {"chart_data": [{"time": "2026-11-01T00:00:00", "coin": "BTC", "open_interest": 1.5}, …]}
//! {"chart_data": {"BTC": [{"time": "2026-11-01T00:00:00", "mid_price": 1.5, "median_liquidity": null}, …]}}
//! {"table_data": [{"name": "0x…", "value": 1.5}, …]}
//! ```

use actson::feeder::PushJsonFeeder;
use actson::options::JsonParserOptionsBuilder;
use actson::{JsonEvent, JsonParser};

use crate::TimeMs;
use crate::statistics::{Figure, Shape};

/// Objects and arrays inside each other; a file has four.
const DEPTH: usize = 8;
/// The longest piece of a file that brings no event: a text or a number, bytes.
const LONGEST: usize = 64 << 10;
/// The longest name of a coin, a user or a figure, bytes.
const LONGEST_NAME: usize = 80;
/// Figures of one row.
const MOST_FIGURES: usize = 64;

/// A file that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// It is no JSON, or breaks off.
    #[error("byte {at}: {reason}")]
    Json {
        /// Where, bytes from its beginning.
        at: u64,
        /// What the parser says.
        reason: String,
    },
    /// It is JSON of another shape.
    #[error("byte {at}: {what}")]
    Shape {
        /// Where, bytes from its beginning.
        at: u64,
        /// What is there.
        what: &'static str,
    },
}

/// Where in the file the parser is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Before the file's object.
    Outside,
    /// In the file's object.
    File,
    /// In the object that has an array a coin.
    Coins,
    /// In an array of rows.
    Rows,
    /// In a row.
    Row,
}

/// Reads one file.
pub struct Reader {
    shape: Shape,
    /// The day of a table, which says none.
    today: TimeMs,
    parser: JsonParser<PushJsonFeeder>,
    place: Place,
    /// Where the rows are: in an array of the file, or in one a coin.
    by_coin: bool,
    has_rows: bool,
    /// Bytes given to the parser, and how many of them had been when it last said something.
    given: u64,
    said: u64,
    field: String,
    coin: String,
    row: Row,
}

#[derive(Default)]
struct Row {
    day: Option<TimeMs>,
    subject: Option<String>,
    values: Vec<(String, f64)>,
}

impl Reader {
    /// A reader of a file of this shape. Figures of a table are of the day that begins at `today`.
    #[must_use]
    pub fn new(shape: Shape, today: TimeMs) -> Self {
        let options = JsonParserOptionsBuilder::default().with_max_depth(DEPTH).build();
        Self {
            shape,
            today,
            parser: JsonParser::new_with_options(PushJsonFeeder::new(), options),
            place: Place::Outside,
            by_coin: false,
            has_rows: false,
            given: 0,
            said: 0,
            field: String::new(),
            coin: String::new(),
            row: Row::default(),
        }
    }

    /// Takes the next piece, and adds the figures of every row that ends in it to `figures`.
    ///
    /// # Errors
    /// When the file is not what it should be. The reader is of no use afterwards.
    pub fn push(&mut self, mut piece: &[u8], figures: &mut Vec<Figure>) -> Result<(), StatisticsError> {
        loop {
            match self.next()? {
                Some(JsonEvent::NeedMoreInput) => {
                    if piece.is_empty() {
                        return Ok(());
                    }
                    let taken = self.parser.feeder.push_bytes(piece);
                    piece = piece.get(taken..).unwrap_or_default();
                    self.given += taken as u64;
                    if self.given - self.said > LONGEST as u64 {
                        return Err(self.shape("a text without end"));
                    }
                }
                Some(event) => {
                    self.said = self.given;
                    self.take(event, figures)?;
                }
                None if piece.iter().all(u8::is_ascii_whitespace) => return Ok(()),
                None => return Err(self.shape("something after the end")),
            }
        }
    }

    /// The file ends here.
    ///
    /// # Errors
    /// When it should not.
    pub fn end(mut self, figures: &mut Vec<Figure>) -> Result<(), StatisticsError> {
        self.parser.feeder.done();
        while let Some(event) = self.next()? {
            if event == JsonEvent::NeedMoreInput {
                return Err(self.shape("it breaks off"));
            }
            self.take(event, figures)?;
        }
        if self.has_rows { Ok(()) } else { Err(self.shape("there are no rows in it")) }
    }

    fn next(&mut self) -> Result<Option<JsonEvent>, StatisticsError> {
        let event = self.parser.next_event();
        event.map_err(|error| StatisticsError::Json { at: self.given, reason: error.to_string() })
    }

    fn shape(&self, what: &'static str) -> StatisticsError {
        StatisticsError::Shape { at: self.given, what }
    }

    fn take(&mut self, event: JsonEvent, figures: &mut Vec<Figure>) -> Result<(), StatisticsError> {
        match (self.place, event) {
            (Place::Outside, JsonEvent::StartObject) => self.place = Place::File,
            (Place::File, JsonEvent::EndObject) => self.place = Place::Outside,
            (Place::File | Place::Row, JsonEvent::FieldName) => self.field = self.text()?,
            (Place::Coins, JsonEvent::FieldName) => self.coin = self.text()?,
            (Place::File, JsonEvent::StartArray) if self.is_rows() => {
                (self.place, self.has_rows) = (Place::Rows, true);
            }
            (Place::File, JsonEvent::StartObject) if self.is_rows() && self.shape == Shape::Days => {
                (self.place, self.has_rows, self.by_coin) = (Place::Coins, true, true);
            }
            (Place::Coins, JsonEvent::StartArray) => self.place = Place::Rows,
            (Place::Coins, JsonEvent::EndObject) => (self.place, self.by_coin) = (Place::File, false),
            (Place::Rows, JsonEvent::EndArray) => {
                self.place = if self.by_coin { Place::Coins } else { Place::File };
            }
            (Place::Rows, JsonEvent::StartObject) => {
                self.row = Row::default();
                if self.by_coin {
                    self.row.subject = Some(self.coin.clone());
                }
                self.place = Place::Row;
            }
            (Place::Row, JsonEvent::EndObject) => {
                self.place = Place::Rows;
                self.finish(figures)?;
            }
            (Place::Row, JsonEvent::ValueString) => self.word()?,
            (Place::Row, JsonEvent::ValueInt | JsonEvent::ValueFloat) => self.figure()?,
            (Place::Row, JsonEvent::ValueNull) => {}
            _ => return Err(self.shape("the file has another shape")),
        }
        Ok(())
    }

    /// Whether the field of the file that begins has the rows.
    fn is_rows(&self) -> bool {
        let name = match self.shape {
            Shape::Days => "chart_data",
            Shape::Top => "table_data",
        };
        !self.has_rows && self.field == name
    }

    fn text(&self) -> Result<String, StatisticsError> {
        let text = self.parser.current_str().map_err(|_| self.shape("a text that is no UTF-8"))?;
        if text.len() > LONGEST_NAME || text.chars().any(char::is_control) {
            return Err(self.shape("a name that can be none"));
        }
        Ok(text.to_owned())
    }

    fn word(&mut self) -> Result<(), StatisticsError> {
        let text = self.text()?;
        match (self.shape, self.field.as_str()) {
            (Shape::Days, "time") => {
                let day = day(&text).ok_or_else(|| self.shape("a time that is no day"))?;
                self.row.day = Some(day);
            }
            (Shape::Days, "coin" | "user") | (Shape::Top, "name") => self.row.subject = Some(text),
            _ => return Err(self.shape("a text where a figure belongs")),
        }
        Ok(())
    }

    fn figure(&mut self) -> Result<(), StatisticsError> {
        let value = self.parser.current_float().ok().filter(|value| value.is_finite());
        let value = value.ok_or_else(|| self.shape("a number beyond all bounds"))?;
        if self.row.values.len() == MOST_FIGURES {
            return Err(self.shape("more figures than a row has"));
        }
        self.row.values.push((std::mem::take(&mut self.field), value));
        Ok(())
    }

    fn finish(&mut self, figures: &mut Vec<Figure>) -> Result<(), StatisticsError> {
        let row = std::mem::take(&mut self.row);
        let day = match self.shape {
            Shape::Days => row.day.ok_or_else(|| self.shape("a row without a day"))?,
            Shape::Top => self.today,
        };
        let subject = match (self.shape, row.subject) {
            (Shape::Top, None) => return Err(self.shape("a row without a user")),
            (_, subject) => subject.unwrap_or_default(),
        };
        figures.extend(row.values.into_iter().map(|(name, value)| Figure {
            day,
            subject: subject.clone(),
            name,
            value,
        }));
        Ok(())
    }
}

/// The first millisecond of the day that `text` names: `2025-07-02T00:00:00`.
fn day(text: &str) -> Option<TimeMs> {
    let date: jiff::civil::DateTime = text.parse().ok()?;
    let midnight = date.date().to_datetime(jiff::civil::Time::midnight());
    Some(TimeMs(jiff::tz::Offset::UTC.to_timestamp(midnight).ok()?.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TODAY: TimeMs = TimeMs(1_793_491_200_000);
    const BY_COIN: &str = r#" {"chart_data": {"BTC": [{"time": "2026-11-01T00:00:00", "mid_price": 1.5,
        "median_liquidity": null, "n": 3}, {"time": "2026-11-02T00:00:00", "mid_price": -2e-3}], "ETH": [],
        "k\u0050EPE": [{"time":"2026-11-01T00:00:00","mid_price":0}]}} "#;

    fn read(shape: Shape, pieces: &[&[u8]]) -> Result<Vec<String>, String> {
        let (mut reader, mut figures) = (Reader::new(shape, TODAY), Vec::new());
        for piece in pieces {
            reader.push(piece, &mut figures).map_err(|error| error.to_string())?;
        }
        reader.end(&mut figures).map_err(|error| error.to_string())?;
        Ok(figures.iter().map(|f| format!("{} {} {} {}", f.day, f.subject, f.name, f.value)).collect())
    }

    #[test]
    fn the_three_shapes_are_read() {
        let days = br#"{"chart_data":[{"time":"2026-11-01T00:00:00","daily_usd_volume":12345.678}]}"#;
        assert_eq!(read(Shape::Days, &[days]).unwrap(), ["1793491200000  daily_usd_volume 12345.678"]);
        let coins =
            br#"{"chart_data":[{"open_interest":0.1,"coin":"xyz:NVDA","time":"2026-11-02T00:00:00"}]}"#;
        assert_eq!(read(Shape::Days, &[coins]).unwrap(), ["1793577600000 xyz:NVDA open_interest 0.1"]);
        let top = br#"{"table_data":[{"name":"0xab","value":7},{"value":6.5,"name":"0xcd"}]}"#;
        let expected = ["1793491200000 0xab value 7", "1793491200000 0xcd value 6.5"];
        assert_eq!(read(Shape::Top, &[top]).unwrap(), expected);
        assert_eq!(read(Shape::Top, &[br#"{"table_data":[]}"#]).unwrap(), [""; 0]);
        let expected = [
            "1793491200000 BTC mid_price 1.5",
            "1793491200000 BTC n 3",
            "1793577600000 BTC mid_price -0.002",
            "1793491200000 kPEPE mid_price 0",
        ];
        assert_eq!(read(Shape::Days, &[BY_COIN.as_bytes()]).unwrap(), expected);
    }

    #[test]
    fn what_is_no_such_file_is_refused_with_the_place() {
        let long = format!(r#"{{"chart_data":[{{"time":"{}"}}]}}"#, "x".repeat(LONGEST * 2));
        for (text, says) in [
            ("", "byte 0: "),
            ("[]", "byte 2: the file has another shape"),
            ("<html>", "byte 6: "),
            (r#"{"chart_data":[]"#, "byte 16: "),
            (r#"{"chart_data":[]} x"#, "byte "),
            (r#"{"table_data":[]}"#, "another shape"),
            (r#"{"other":1}"#, "another shape"),
            ("{}", "there are no rows in it"),
            (r#"{"chart_data":[{"v":1}]}"#, "a row without a day"),
            (r#"{"chart_data":[{"time":"soon","v":1}]}"#, "no day"),
            (r#"{"chart_data":[{"time":"2026-11-01T00:00:00","v":"1"}]}"#, "a text where a figure belongs"),
            (r#"{"chart_data":[{"time":"2026-11-01T00:00:00","v":1e999}]}"#, "beyond all bounds"),
            (r#"{"chart_data":[{"time":"2026-11-01T00:00:00","v":[1]}]}"#, "another shape"),
            (r#"{"chart_data":[[[[[[[[[[["#, "byte "),
            (&long, "a text without end"),
        ] {
            let error = read(Shape::Days, &[text.as_bytes()]).unwrap_err();
            assert!(error.contains(says), "{}: {error}", &text[..text.len().min(80)]);
        }
        let error = read(Shape::Top, &[br#"{"table_data":[{"value":1}]}"#]).unwrap_err();
        assert!(error.contains("a row without a user"), "{error}");
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_a_file_is_cut(cuts in prop::collection::vec(0..BY_COIN.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (mut pieces, mut from) = (Vec::new(), 0);
            for cut in cuts.into_iter().chain([BY_COIN.len()]) {
                pieces.push(&BY_COIN.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(read(Shape::Days, &pieces), read(Shape::Days, &[BY_COIN.as_bytes()]));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), shape in any::<bool>()) {
            let shape = if shape { Shape::Days } else { Shape::Top };
            let _ = read(shape, &[&bytes]);
        }
    }
}
