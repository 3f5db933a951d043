//! The targets, one a file: what is read from the exchange, what the machines are told, and what lies on disk.

pub(crate) mod answer;
pub(crate) mod config;
pub(crate) mod frame;
pub(crate) mod session;
pub(crate) mod socket;
pub(crate) mod spool;
pub(crate) mod statistics;
pub(crate) mod store;
pub(crate) mod timeline;
