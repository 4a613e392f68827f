//! What runs a [`Lease`](crate::Lease) on an asynchronous runtime, whichever that is.
//!
//! Everything that the adapters share lives here once: the loop between the state machine and the world
//! ([`Lease`], [`Builder`]), the deadline that [`check_alive`](Lease::check_alive) reads, the handlers of
//! [`on_lost`](Lease::on_lost), the scoped run, the flight recorder, the following of credential files, the
//! system's clocks. An adapter adds a [`Runtime`] and a [`Transport`] and names both in an [`Adapter`];
//! `lease-tokio` and `lease-async-std` are little more than that, and so is one of your own:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use lease_core::driver::{Adapter, BoxFuture, Runtime, SetupError, Transport, TransportSetup};
//! # use lease_core::driver::{Call, SendError};
//! # struct MyTransport;
//! # impl Transport for MyTransport {
//! #     fn send(&self, _: Call) -> BoxFuture<'_, Result<http::Response<bytes::Bytes>, SendError>> { unimplemented!() }
//! #     fn refresh_credentials(&self) -> BoxFuture<'_, ()> { unimplemented!() }
//! # }
//!
//! struct MyRuntime;
//!
//! impl Runtime for MyRuntime {
//!     fn spawn(&self, task: BoxFuture<'static, ()>) { /* … */ }
//!     fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> { Box::pin(std::future::pending()) }
//!     fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool {
//!         std::thread::Builder::new().spawn(work).is_ok()
//!     }
//! }
//!
//! pub enum Mine {}
//!
//! impl Adapter for Mine {
//!     fn runtime() -> Result<Arc<dyn Runtime>, SetupError> {
//!         Ok(Arc::new(MyRuntime))
//!     }
//!     fn transport(setup: TransportSetup) -> Result<Arc<dyn Transport>, SetupError> {
//!         Ok(Arc::new(MyTransport))
//!     }
//! }
//!
//! pub type Lease = lease_core::driver::Lease<Mine>;
//! ```
//!
//! A transport with these two methods serves every holder but one that [watches](crate::ConfigBuilder::watch), which
//! goes on by polling then: [`Transport::watch`] is the third, and what it gives are [`Chunks`].
//!
//! # Why it is here, and what it may do
//!
//! The state machine knows nothing of this module and does no I/O; this module decides nothing about the
//! protocol. It is behind the feature `driver` because two adapters need the very same thing, an adapter must
//! not depend on another one, and a driver that exists twice drifts apart. It spawns and sleeps through
//! [`Runtime`] and sends through [`Transport`]. The world it touches by itself, and only with this feature:
//! the system's clocks ([`SystemClock`]), the files of credentials and of flight recordings and exec plugins (on
//! the runtime's threads for blocking work, and on the thread that sets a transport up), and the operating system's random numbers, once, for a holder's seed.

mod builder;
mod clock;
mod credentials;
mod error;
mod exec;
mod handle;
pub mod interface;
mod published;
mod recorder;
mod run;
mod runtime;
mod scope;
mod subscribers;
mod terms;
#[cfg(feature = "rustls")]
mod tls;
mod transport;
mod trouble;
mod watch;
mod watched;

pub use builder::{Adapter, Builder, TransportSetup};
pub use clock::{Clock, SystemClock};
pub use credentials::{Rotating, in_cluster_namespace};
#[cfg(feature = "kubeconfig")]
pub use credentials::{kubeconfig, kubeconfig_file};
pub use error::{AcquireError, Interrupted, SetupError, Stopped};
pub use handle::{Attempt, Events, Lease};
pub use recorder::RecorderConfig;
pub use runtime::{BoxFuture, Runtime, timeout};
pub use subscribers::Subscription;
#[cfg(feature = "rustls")]
pub use tls::client_config;
pub use transport::{Call, Chunks, SendError, Transport};
