//! An HTTP client for `surf`: hyper's HTTP/1.1 client connection over rustls and this runtime's sockets.
//!
//! surf's own clients are not used, and not even compiled: after a cancelled request its h1 clients hand its
//! answer to the next one, they take a body that broke off for a whole one, and they wait for ever when the
//! last line of a chunked body comes in two pieces. What must stay as it is so that this one does none of that
//! is numbered in comments (`Point 1` to `Point 11`); `.ci/async-std-points.sh` takes each away in turn and
//! sees a test fail.
//!
//! One client talks to one origin. Requests and responses are small here (leases): request bodies are sent
//! from memory, response bodies are handed out as they come.

mod body;
mod client;
mod connect;
mod convert;
mod error;
mod io;
mod origin;
mod pool;
mod proxy;
#[cfg(test)]
mod tests;

pub(crate) use client::{Client, Settings};
pub(crate) use convert::{Committed, Head, to_surf};
pub(crate) use error::ClientError;
pub(crate) use origin::Origin;
pub(crate) use proxy::HttpProxy;
