//! The archive: old rows in Parquet files, and rows of store and archive read as one.
//!
//! What lives here: which days are due ([`Retention`]), the procedure that moves a day's rows into verified parts
//! ([`Archiver`]), the format and the layout of parts ([`Files`]), reading both places as one ([`Whole`]), the
//! examination of every part ([`examine`]), and rows as CSV, NDJSON or Parquet for an export ([`export`]). What does
//! not: claims, recorded parts and the removal of rows, which are the store's ([`hl_core::store::Store`]); and the
//! decision when to run.
//!
//! # The format
//! A part is one Parquet file, zstd, of the rows of one stream and day, in key order, with the columns of the table in
//! the store under the same names. Prices, sizes and all other numbers with a fraction are `DECIMAL(38, 12)`. The
//! exchange was never seen to write more than 10 decimal places, nor more than 11 digits before the point: 12 places
//! and 26 digits hold everything seen with room, and the product of two such columns still has 14 digits before the
//! point in engines whose decimals end at 38 digits. A value that does not fit is not rounded: its row stays in the
//! store, and is told. Only the number is kept: `66410.0` and `66410` are the same.
//!
//! Times are `TIMESTAMP(ms, UTC)`. The levels of a book are a list of structs of `px`, `sz` and `n`.
//!
//! # The layout
//! `stream=candle%2FBTC%2F1m/date=2026-11-01/part-7-1-1.parquet`: token and number of the claim that wrote it, and the
//! number of the file under it. Other characters of a stream's name than letters, digits, `-`, `_` and `.` are written as
//! `%3A`, as the readers of such layouts expect. The path says the same two things of every part, so that a reader takes in
//! all of them at once; what it says the file does not repeat. Parts of earlier releases have the coin in their path and not
//! in their columns, and are read as well.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod columns;
mod error;
mod examine;
pub mod export;
mod files;
mod layout;
mod parquet_file;
mod procedure;
mod retention;
mod whole;

pub use error::ArchiveError;
pub use examine::{Examined, examine};
pub use files::{Files, Leftover, LeftoverKind, Sum};
pub use procedure::{Archiver, DayDone, Due, Told, due};
pub use retention::{Class, Retention, RetentionError, Rule};
pub use whole::Whole;
