//! A deterministic simulator for Kubernetes Lease holders, and an embedded API server for tests.
//!
//! * [`api_server`]: a pure model of the Kubernetes Lease API. No I/O, no clock: for simulations.
//! * `listener` (feature `listener`, on by default): the same model behind HTTP and TLS, for tests of
//!   clients.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod api_server;
pub mod check;
pub mod compare;
pub mod incident;
#[cfg(feature = "listener")]
pub mod listener;
pub mod oracle;
pub mod plan;
pub mod protocol;
pub mod trace;
pub mod world;
