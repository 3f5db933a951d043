//! `POST /info`: the requests and their answers, one family a file.
//!
//! [`InfoRequest`] is the body of a request; [`InfoRequest::weight`] says what it costs. The answer's type is named in
//! the documentation of each request.

pub mod account;
pub mod fills;
pub mod ledger;
pub mod market;
pub mod meta;
pub mod orders;
pub mod positions;
mod request;
pub mod vaults;

pub use request::{CandleRange, InfoRequest, OrderId};
