//! A lease in memory, for unit tests of code that needs one: the real state machine and driver, the model of
//! the API server, no HTTP, no network.
//!
//! On **virtual time** a [`Cluster`] is a whole world in one thread: minutes pass in microseconds, and the same
//! test takes the same steps on every run. Its [`Lease`] is the handle that the adapters' is, so code that takes
//! an [`Arc<dyn interface::Lease>`](lease_core::driver::interface::Lease) cannot tell them apart:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use lease_core::Config;
//! use lease_core::driver::interface::Lease;
//! use lease_sim::memory::Cluster;
//!
//! /// The code under test: a job that nobody else may run at the same time.
//! async fn run_once(lease: Arc<dyn Lease>) -> bool {
//!     lease.acquire().await.unwrap_or(false)
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::new();
//! let config = |identity: &str| {
//!     Config::builder().namespace("default").name("job").identity(identity).ttl(Duration::from_secs(15)).build()
//! };
//! let first = cluster.lease(config("a")?)?;
//! let second = cluster.lease(config("b")?)?;
//! cluster.block_on(async {
//!     assert!(run_once(Arc::new(first.clone())).await);
//!     assert!(!run_once(Arc::new(second.clone())).await);
//!     cluster.server().take_away(); // the API server does not answer any more
//!     cluster.sleep(Duration::from_secs(15)).await;
//!     assert!(!first.check_alive());
//! });
//! # Ok(())
//! # }
//! ```
//!
//! On **real time**, or on tokio's paused one, give a [`Server`] to any adapter as its transport:
//! `lease_tokio::Lease::builder(config).transport(Server::default()).spawn()`; clones are the same server.

mod server;
mod time;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lease_core::driver::{self, Runtime, SetupError, Transport, TransportSetup};
use lease_core::{Config, Seed};

pub use server::{Fate, Server};
pub use time::VirtualTime;

/// A handle on a holder in memory. All that it can do is [`lease_core::driver::Lease`]'s.
pub type Lease = driver::Lease<Memory>;

/// Sets up a holder in memory. From [`Cluster::builder`].
pub type Builder = driver::Builder<Memory>;

/// Stands for this adapter in [`Lease`] and [`Builder`]. It has no runtime and no transport of its own: both
/// come from a [`Cluster`].
#[derive(Debug)]
pub enum Memory {}

impl driver::Adapter for Memory {
    fn runtime() -> Result<Arc<dyn Runtime>, SetupError> {
        Err(SetupError::NoRuntime)
    }

    fn transport(_: TransportSetup) -> Result<Arc<dyn Transport>, SetupError> {
        Err(SetupError::NoRuntime)
    }
}

/// An API server and as many holders as one likes, on virtual time. Clones are the same cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    time: VirtualTime,
    server: Server,
    holders: Arc<AtomicU64>,
}

impl Cluster {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let time = VirtualTime::new();
        let server = Server::with_timers(time.clone(), time.clone());
        Self { time, server, holders: Arc::default() }
    }

    /// A holder.
    ///
    /// # Errors
    ///
    /// None that is known; the adapters' can fail here.
    pub fn lease(&self, config: Config) -> Result<Lease, SetupError> {
        self.builder(config).spawn()
    }

    /// A holder whose settings are not done yet. Its seed is its number in this cluster, and its namespace is
    /// made if it is missing.
    pub fn builder(&self, config: Config) -> Builder {
        self.server.ensure_namespace(config.namespace());
        let number = self.holders.fetch_add(1, Ordering::Relaxed);
        Lease::builder(config)
            .runtime(self.time.clone())
            .clock(self.time.clone())
            .transport(self.server.clone())
            .seed(Seed(u128::from(number) + 1))
    }

    /// The API server: to look at it, to edit what is stored, to make it fail.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The clock that everything here goes by.
    #[must_use]
    pub fn time(&self) -> &VirtualTime {
        &self.time
    }

    /// Runs a future and all holders until the future is done: see [`VirtualTime::block_on`].
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.time.block_on(future)
    }

    /// Waits on virtual time.
    pub async fn sleep(&self, time: Duration) {
        Runtime::sleep(&self.time, time).await;
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}
