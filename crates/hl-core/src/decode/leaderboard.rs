//! The leaderboard, piece by piece: the file has up to 35 MB, and no more of it is held than one row.
//!
//! ```json
//! {"leaderboardRows": [{"ethAddress": "0x…", "accountValue": "1.5", "windowPerformances":
//!   [["day", {"pnl": "1.0", "roi": "0.1", "vlm": "5.0"}], …], "prize": 0, "displayName": null}, …]}
//! ```

use std::collections::BTreeSet;

use actson::feeder::PushJsonFeeder;
use actson::options::JsonParserOptionsBuilder;
use actson::parser::ParserError;
use actson::{JsonEvent, JsonParser};

use crate::TimeMs;
use crate::message::stats::LeaderboardRow;
use crate::record::{Address, Leader};

/// Objects and arrays inside each other; a row has five above its deepest value.
const DEPTH: usize = 12;
/// The longest row, bytes; those of the exchange are below 700.
const LONGEST_ROW: usize = 4 << 10;
/// The longest piece of a file that brings no event: a text or a number, bytes.
const LONGEST: usize = 64 << 10;
/// The most rows; the exchange has 42,000.
const MOST_ROWS: u64 = 500_000;
/// What has the rows.
const ROWS: &str = "leaderboardRows";

/// A file that is not a leaderboard.
#[derive(Debug, thiserror::Error)]
pub enum LeaderboardError {
    /// It is not JSON, or breaks off.
    #[error("byte {at}: {reason}")]
    Json {
        /// Where, bytes from its beginning.
        at: u64,
        /// What the parser says.
        reason: String,
    },
    /// No row of it can be read.
    #[error("{reason}")]
    Rows {
        /// How many there are, and why the first cannot.
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
    /// Before the file's object, or behind it.
    Outside,
    /// In the file's object.
    File,
    /// In something else of the file, so deep.
    Else(usize),
    /// In the array of rows.
    Rows,
    /// In a row, so deep.
    Row(usize),
}

/// What was read of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Rows that could be read.
    pub rows: u64,
    /// Rows that could not be read.
    pub unread: u64,
    /// Why the first of those could not.
    pub reason: Option<String>,
    /// Rows of a trader that had one already: the first one counts.
    pub twice: u64,
}

/// Reads one file.
pub struct Reader {
    time: TimeMs,
    parser: JsonParser<PushJsonFeeder>,
    place: Place,
    is_rows: bool,
    has_rows: bool,
    /// What was given to the parser and may be of a row, and where that begins in the file.
    text: Vec<u8>,
    text_at: usize,
    /// Where the row begins.
    row_at: usize,
    /// Up to where the parser had come when it last said something.
    said: usize,
    seen: BTreeSet<Address>,
    tally: Tally,
}

impl Reader {
    /// A reader of a file. Its rows get this time.
    #[must_use]
    pub fn new(time: TimeMs) -> Self {
        let options = JsonParserOptionsBuilder::default().with_max_depth(DEPTH).build();
        Self {
            time,
            parser: JsonParser::new_with_options(PushJsonFeeder::new(), options),
            place: Place::Outside,
            is_rows: false,
            has_rows: false,
            text: Vec::new(),
            text_at: 0,
            row_at: 0,
            said: 0,
            seen: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    /// Takes the next piece, and adds every row that ends in it to `leaders`.
    ///
    /// # Errors
    /// When the file is not a leaderboard. The reader is of no use afterwards.
    pub fn push(&mut self, mut piece: &[u8], leaders: &mut Vec<Leader>) -> Result<(), LeaderboardError> {
        loop {
            match self.next()? {
                Some(JsonEvent::NeedMoreInput) => {
                    if piece.is_empty() {
                        return Ok(());
                    }
                    self.forget();
                    let (taken, rest) = piece.split_at(self.parser.feeder.push_bytes(piece));
                    piece = rest;
                    self.text.extend_from_slice(taken);
                    if self.given() - self.said > LONGEST {
                        return Err(self.shape("a text without end"));
                    }
                }
                Some(event) => {
                    self.said = self.parser.parsed_bytes();
                    self.take(event, leaders)?;
                }
                None if piece.iter().all(u8::is_ascii_whitespace) => return Ok(()),
                None => return Err(self.shape("something after the end")),
            }
        }
    }

    /// The file ends here.
    ///
    /// # Errors
    /// When it should not, or has no rows.
    pub fn end(mut self, leaders: &mut Vec<Leader>) -> Result<Tally, LeaderboardError> {
        self.parser.feeder.done();
        while let Some(event) = self.next()? {
            if event == JsonEvent::NeedMoreInput {
                return Err(self.shape("it breaks off"));
            }
            self.take(event, leaders)?;
        }
        match (self.tally.rows, &self.tally.reason) {
            (0, Some(reason)) => {
                let reason = format!("none of {} rows can be read: {reason}", self.tally.unread);
                Err(LeaderboardError::Rows { reason })
            }
            (0, None) => Err(self.shape("there are no rows in it")),
            _ => Ok(self.tally),
        }
    }

    fn next(&mut self) -> Result<Option<JsonEvent>, LeaderboardError> {
        self.parser.next_event().map_err(|error| match error {
            ParserError::NoMoreInput => self.shape("it breaks off"),
            error => LeaderboardError::Json { at: self.at(), reason: error.to_string() },
        })
    }

    fn given(&self) -> usize {
        self.text_at + self.text.len()
    }

    fn at(&self) -> u64 {
        self.parser.parsed_bytes() as u64
    }

    fn shape(&self, what: &'static str) -> LeaderboardError {
        LeaderboardError::Shape { at: self.at(), what }
    }

    /// Forgets the text that is of no row any more.
    fn forget(&mut self) {
        let from = match self.place {
            Place::Row(_) => self.row_at,
            Place::Outside | Place::File | Place::Else(_) | Place::Rows => self.parser.parsed_bytes(),
        };
        let is_long = self.given() - from > LONGEST_ROW;
        let from = if is_long { self.parser.parsed_bytes() } else { from };
        self.text.drain(..(from - self.text_at).min(self.text.len()));
        self.text_at = from;
    }

    fn take(&mut self, event: JsonEvent, leaders: &mut Vec<Leader>) -> Result<(), LeaderboardError> {
        let opens = matches!(event, JsonEvent::StartObject | JsonEvent::StartArray);
        let closes = matches!(event, JsonEvent::EndObject | JsonEvent::EndArray);
        self.place = match self.place {
            Place::Outside if event == JsonEvent::StartObject => Place::File,
            Place::File if event == JsonEvent::FieldName => {
                self.is_rows = self.parser.current_str().is_ok_and(|name| name == ROWS);
                Place::File
            }
            Place::File if event == JsonEvent::EndObject => Place::Outside,
            Place::File if self.is_rows && event == JsonEvent::StartArray && !self.has_rows => {
                self.has_rows = true;
                Place::Rows
            }
            Place::File if self.is_rows => return Err(self.shape("the file has another shape")),
            Place::File if opens => Place::Else(1),
            Place::File => Place::File,
            Place::Else(1) if closes => Place::File,
            Place::Else(depth) => Place::Else(if opens { depth + 1 } else { depth - usize::from(closes) }),
            Place::Rows if event == JsonEvent::StartObject => {
                self.row_at = self.parser.parsed_bytes().saturating_sub(1);
                Place::Row(1)
            }
            Place::Rows if event == JsonEvent::EndArray => Place::File,
            Place::Row(1) if closes => {
                self.row(leaders)?;
                Place::Rows
            }
            Place::Row(depth) => Place::Row(if opens { depth + 1 } else { depth - usize::from(closes) }),
            Place::Outside | Place::Rows => return Err(self.shape("the file has another shape")),
        };
        Ok(())
    }

    /// A row has ended.
    fn row(&mut self, leaders: &mut Vec<Leader>) -> Result<(), LeaderboardError> {
        if self.tally.rows + self.tally.unread + self.tally.twice >= MOST_ROWS {
            return Err(self.shape("more rows than a leaderboard has"));
        }
        let from = self.row_at.checked_sub(self.text_at);
        let to = self.parser.parsed_bytes().saturating_sub(self.text_at);
        let row = from.and_then(|from| self.text.get(from..to)).filter(|row| row.len() <= LONGEST_ROW);
        let read = match row {
            Some(row) => serde_json::from_slice(row).map_err(|error| error.to_string()),
            None => Err(format!("a row of more than {LONGEST_ROW} bytes")),
        };
        match read.map(|row| leader(row, self.time)) {
            Ok(leader) if self.seen.insert(leader.user) => {
                self.tally.rows += 1;
                leaders.push(leader);
            }
            Ok(_) => self.tally.twice += 1,
            Err(reason) => {
                self.tally.unread += 1;
                let at = self.row_at;
                self.tally.reason.get_or_insert_with(|| format!("the row at byte {at}: {reason}"));
            }
        }
        Ok(())
    }
}

fn leader(row: LeaderboardRow, time: TimeMs) -> Leader {
    let window = |name: &str| {
        let of_window = row.window_performances.iter().find(|(window, _)| window == name);
        of_window.map(|(_, performance)| *performance)
    };
    let [day, week, month, all_time] = ["day", "week", "month", "allTime"].map(window);
    Leader {
        day_pnl: day.map(|day| day.pnl),
        day_roi: day.map(|day| day.roi),
        day_vlm: day.map(|day| day.vlm),
        week_pnl: week.map(|week| week.pnl),
        week_roi: week.map(|week| week.roi),
        week_vlm: week.map(|week| week.vlm),
        month_pnl: month.map(|month| month.pnl),
        month_roi: month.map(|month| month.roi),
        month_vlm: month.map(|month| month.vlm),
        all_time_pnl: all_time.map(|all| all.pnl),
        all_time_roi: all_time.map(|all| all.roi),
        all_time_vlm: all_time.map(|all| all.vlm),
        display_name: row.display_name.map(Into::into),
        ..Leader::bare(row.eth_address, time, row.account_value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOWS: &str = r#"[["day",{"pnl":"-1.5","roi":"-0.01","vlm":"10.0"}],["week",{"pnl":"2.0","roi":"0.02","vlm":"20.0"}],["month",{"pnl":"3.0","roi":"0.03","vlm":"30.0"}],["allTime",{"pnl":"4.0","roi":"0.04","vlm":"40.0"}],["year",{"pnl":"5.0","roi":"0.05","vlm":"50.0"}]]"#;

    fn row(user: u8) -> String {
        format!(
            r#"{{"ethAddress":"0x{user:040x}","accountValue":"100.5","windowPerformances":{WINDOWS},"prize":3,"displayName":"a \"}}]"}}"#
        )
    }

    fn file(rows: &[String]) -> String {
        format!(r#"{{"asOf":{{"x":[1,{{}}]}},"leaderboardRows":[{}],"more":null}} "#, rows.join(","))
    }

    fn read(pieces: &[&[u8]]) -> Result<(Vec<Leader>, Tally), LeaderboardError> {
        let (mut reader, mut leaders) = (Reader::new(TimeMs(7)), Vec::new());
        for piece in pieces {
            reader.push(piece, &mut leaders)?;
        }
        let tally = reader.end(&mut leaders)?;
        Ok((leaders, tally))
    }

    #[test]
    fn each_row_is_read_exactly() {
        let text = file(&[row(1), row(2)]);
        let (leaders, tally) = read(&[text.as_bytes()]).unwrap();
        assert_eq!(tally, Tally { rows: 2, ..Tally::default() });
        let first = &leaders[0];
        assert_eq!((first.time, first.user.to_string()), (TimeMs(7), format!("0x{:040x}", 1)));
        assert_eq!(first.display_name.as_deref(), Some("a \"}]"));
        let texts =
            [first.account_value, first.day_pnl.unwrap(), first.week_roi.unwrap(), first.month_vlm.unwrap()];
        assert_eq!(texts.map(|number| number.to_string()), ["100.5", "-1.5", "0.02", "30.0"]);
        assert_eq!(first.all_time_pnl.map(|pnl| pnl.to_string()).as_deref(), Some("4.0"));
    }

    #[test]
    fn what_cannot_be_read_of_some_rows_costs_no_other() {
        let long = row(4).replace("a ", &"a".repeat(LONGEST_ROW));
        let rows = [row(1), row(2).replace("100.5", "1e"), row(3), long, row(1), row(5)];
        let text = file(&rows);
        let (leaders, tally) = read(&[text.as_bytes()]).unwrap();
        let users: Vec<_> = leaders.iter().map(|leader| leader.user.0[19]).collect();
        assert_eq!((users, tally.rows, tally.unread, tally.twice), (vec![1, 3, 5], 3, 2, 1));
        assert!(tally.reason.unwrap().starts_with("the row at byte "));
        let no_windows = row(6).replace(WINDOWS, "[]").replace("\"a \\\"}]\"", "null");
        let (leaders, _) = read(&[file(&[no_windows]).as_bytes()]).unwrap();
        assert_eq!((leaders[0].day_pnl, leaders[0].display_name.clone()), (None, None));
    }

    #[test]
    fn a_file_of_another_shape_is_an_error_that_says_where() {
        let whole = file(&[row(1)]);
        for (text, says) in [
            ("", "it breaks off"),
            ("[]", "another shape"),
            ("{}", "no rows"),
            (r#"{"leaderboardRows":[]}"#, "no rows"),
            (r#"{"leaderboardRows":{}}"#, "another shape"),
            (r#"{"leaderboardRows":[1]}"#, "another shape"),
            (r#"{"leaderboardRows":null}"#, "another shape"),
            (&whole[..whole.len() - 4], "breaks off"),
            (&format!("{whole}{whole}"), "byte"),
            ("<html>", "byte 1"),
            (&whole.replace("100.5", "1e"), "none of 1 rows can be read: the row at byte"),
        ] {
            let error = read(&[text.as_bytes()]).unwrap_err().to_string();
            assert!(error.contains(says), "{text:.40}: {error}");
        }
        let endless = format!(r#"{{"leaderboardRows":[{{"x":"{}"#, "a".repeat(1 << 20));
        assert!(read(&[endless.as_bytes()]).unwrap_err().to_string().contains("without end"));
    }

    #[test]
    fn no_more_is_held_than_a_row() {
        let rows: Vec<_> = (0..=255).map(row).collect();
        let text = file(&rows);
        let (mut reader, mut leaders) = (Reader::new(TimeMs(7)), Vec::new());
        for piece in text.as_bytes().chunks(10_000) {
            reader.push(piece, &mut leaders).unwrap();
            assert!(reader.text.capacity() <= 4 * LONGEST_ROW, "{}", reader.text.capacity());
        }
        assert_eq!(reader.end(&mut leaders).unwrap().rows, 256);
    }

    proptest! {
        #[test]
        fn where_a_piece_ends_makes_no_difference(cuts in prop::collection::vec(0_usize..1_600, 0..8), users in prop::collection::vec(0_u8..3, 1..4)) {
            let text = file(&users.iter().map(|user| row(*user)).collect::<Vec<_>>());
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|ends| &text.as_bytes()[ends[0]..ends[1]]).collect();
            prop_assert_eq!(read(&pieces).unwrap(), read(&[text.as_bytes()]).unwrap());
        }
    }
}
