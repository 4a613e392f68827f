//! An adapter as a third party could write one: plain threads, blocking sockets, nothing asynchronous underneath.
//! It conforms, unless it commits a [`Sin`](crate::sins::Sin).

mod client;
mod connection;
mod runtime;
mod watch;
mod wire;

use std::sync::Arc;

use lease_core::driver::{Adapter, Runtime, SetupError, Transport, TransportSetup};

pub use runtime::block_on;

use crate::sins::current;

/// Stands for the adapter.
pub enum Naive {}

impl Adapter for Naive {
    fn runtime() -> Result<Arc<dyn Runtime>, SetupError> {
        Ok(Arc::new(runtime::Threads::new(current())))
    }

    fn transport(setup: TransportSetup) -> Result<Arc<dyn Transport>, SetupError> {
        Ok(Arc::new(client::Client::new(setup, current())?))
    }
}
