//! `POST /info`: the requests and their answers, one family a file. Market data in [`market`], the listing of markets
//! in [`meta`].
//!
//! [`InfoRequest`] is the body of a request; [`InfoRequest::weight`] says what it costs. The answer's type is named in
//! the documentation of each request.

pub mod market;
pub mod meta;
mod request;

pub use request::{CandleRange, InfoRequest, OrderId};
