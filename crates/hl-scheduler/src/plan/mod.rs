//! When jobs run, decided without a clock: time comes in as an argument, and what is to be done comes out.
//!
//! What lives here: [`Trigger`], the points in time at which a job is planned; [`Spec`], how a job may be run; and
//! [`Planner`], the machine that says start, skip or warn. What does not: running anything, and what a job does. A planned
//! run is named by its job and its planned time, so that two processes that ask the same question mean the same run.

mod planner;
mod spec;
#[cfg(test)]
mod tests;
mod trigger;

pub use planner::{Decision, Ended, Planner, Ran, Refused, Start, Why};
pub use spec::{JobId, Retry, Spec, SpecError};
pub use trigger::{Trigger, TriggerError};
