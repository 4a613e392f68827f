//! A deterministic simulator for Kubernetes Lease holders, and an embedded API server for tests.
//!
//! * [`api_server`]: a pure model of the Kubernetes Lease API. No I/O, no clock: for simulations.
//! * `conformance` (feature `conformance`, off by default): the cases that every adapter has to pass.
//! * `explore` (feature `explore`, on by default): all schedules of small configurations, exhaustively.
//! * `listener` (feature `listener`, on by default): the same model behind HTTP and TLS, for tests of
//!   clients.
//! * `memory` (feature `memory`, on by default): a lease in memory, on virtual or real time, for unit tests.
//! * [`simulation`]: your own code beside simulated leases, with everything going wrong that can.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod api_server;
pub mod check;
pub mod compare;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "explore")]
pub mod explore;
pub mod incident;
#[cfg(feature = "listener")]
pub mod listener;
#[cfg(feature = "memory")]
pub mod memory;
pub mod oracle;
pub mod plan;
pub mod protocol;
pub mod simulation;
mod splitmix;
pub mod trace;
pub mod world;
