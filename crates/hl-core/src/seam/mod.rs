//! The seams behind which the outside world lives: network, wall clock, randomness.
//!
//! Production gives TCP with rustls and the system clock; a simulation gives an in-memory network, a clock that
//! follows tokio's paused one, and seeds. The daemon runs unchanged on both.

mod clock;
mod net;
mod random;
mod wait;

pub use clock::Clock;
pub use net::{BoxFuture, BoxListener, BoxStream, ByteStream, Endpoint, EndpointError, Listener, Net};
pub use random::Seed;
pub use wait::{sleep_until, stopped};
