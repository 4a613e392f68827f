//! A Kubernetes Lease holder for tokio: at most one process holds a lease at a time.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use lease_tokio::{Config, FencingToken, Lease};
//!
//! # async fn work(_token: FencingToken) {}
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = Config::builder()
//!         .namespace("default")
//!         .name("nightly-job")
//!         .identity(std::env::var("POD_NAME")?)
//!         .ttl(Duration::from_secs(15))
//!         .build()?;
//!     let lease = Lease::in_cluster(config)?;
//!     loop {
//!         let token = lease.campaign().await?; // waits until we hold it
//!         match lease.while_held(work(token)).await {
//!             Ok(()) => break,
//!             Err(why) => eprintln!("stopped: {why}"), // the work was dropped; campaign again
//!         }
//!     }
//!     lease.shutdown().await?; // gives it back: the next holder need not wait
//!     Ok(())
//! }
//! ```
//!
//! # What it promises, and what it cannot
//!
//! The protocol is [`lease_core`]'s, a state machine without I/O; its documentation has the argument and the
//! assumptions. [`lease_core::driver`] runs it; this crate gives that an HTTP client and a runtime. [`Lease::check_alive`](driver::Lease::check_alive) compares a
//! deadline with the clock and nothing else, so it is right when the network is gone, when the runtime is
//! starved, and when the task is dead. It cannot know how long the process sleeps between that answer and the
//! side effect it allows: hand the [`FencingToken`] to the protected resource and let it refuse older ones.
//!
//! # Outside of a cluster, and other HTTP clients
//!
//! [`Builder::credentials`](driver::Builder::credentials) takes an address, a CA and a token or client certificate, as values or as files,
//! as **one** [`CredentialSource`]. Files are followed: they are read again every minute, at once after a 401,
//! and soon after a connection failed. [`Builder::transport`](driver::Builder::transport) takes any other [`Transport`]; one
//! [`ReqwestTransport`] can be shared by many leases.
//!
//! ```
//! # use std::time::Duration;
//! # use lease_tokio::*;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let config = Config::builder().namespace("a").name("b").identity("c").ttl(Duration::from_secs(15)).build()?;
//! let source = CredentialSource::Explicit(Explicit::new(
//!     "http://127.0.0.1:8001".parse()?, // kubectl proxy
//!     None,
//!     AuthenticationSource::None,
//! )?);
//! let lease = Lease::builder(config).credentials(source).spawn()?;
//! assert!(!lease.check_alive());
//! # Ok(())
//! # }
//! ```
//!
//! # Sooner than the next poll
//!
//! With [`ConfigBuilder::watch`] a holder watches the object, on one more connection, and needs the verb `watch` on it:
//! a campaign hears of a release within milliseconds instead of at its next poll, a holder at once that its object was
//! deleted or taken. Nothing else hangs on it. Where it does not work the holder renews and polls as ever, and
//! tells [`Event::WatchTrouble`]; another [`Transport`] than [`ReqwestTransport`] may do without
//! ([`Transport::watch`]).
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod runtime;
mod transport;

use std::sync::Arc;

use lease_core::driver;

pub use lease_core::driver::{
    AcquireError, Attempt, BoxFuture, Call, Chunks, Clock, Events, Interrupted, RecorderConfig, Runtime,
    SendError, SetupError, Stopped, Subscription, SystemClock, Transport, in_cluster_namespace, interface,
};
#[cfg(feature = "kubeconfig")]
pub use lease_core::driver::{kubeconfig, kubeconfig_file};
pub use runtime::TokioRuntime;
pub use transport::{ReqwestTransport, ReqwestTransportBuilder};

/// A handle on one holder of one lease, on tokio. All that it can do is
/// [`lease_core::driver::Lease`]'s, which every adapter shares.
pub type Lease = driver::Lease<Tokio>;

/// Sets up a holder. From [`Lease::builder`]; ends with [`spawn`](driver::Builder::spawn).
pub type Builder = driver::Builder<Tokio>;

/// Stands for this adapter in [`Lease`] and [`Builder`].
#[derive(Debug)]
pub enum Tokio {}

impl driver::Adapter for Tokio {
    /// The runtime that this is called on, either flavour. It needs its I/O driver and its timers.
    fn runtime() -> Result<Arc<dyn Runtime>, SetupError> {
        Ok(Arc::new(TokioRuntime::current()?))
    }

    fn transport(setup: driver::TransportSetup) -> Result<Arc<dyn Transport>, SetupError> {
        let mut transport =
            ReqwestTransport::builder(setup.credentials).clock(setup.clock).runtime(setup.runtime);
        if let Some(proxy) = setup.proxy {
            transport = transport.proxy(proxy);
        }
        Ok(Arc::new(transport.build()?))
    }
}

pub use lease_core;
#[cfg(feature = "kubeconfig")]
pub use lease_core::credentials::kubeconfig::KubeconfigOptions;
pub use lease_core::credentials::{
    AuthenticationSource, BearerToken, CaBundle, CertificateChain, CredentialError, CredentialSource,
    Explicit, InCluster, Piece, PrivateKey, RotationPolicy, ServerUrl,
};
pub use lease_core::credentials::{ExecApiVersion, ExecPlugin};
pub use lease_core::{
    Acquisition, AttemptOutcome, Config, ConfigBuilder, ConfigError, Denial, DenialReason, Event, Failure,
    FencingToken, Held, Identity, LostReason, MonoTime, Now, OwnerReference, Problem, ReleaseOutcome,
    ReleasePolicy, SameIdentity, Seed, Verb, WallTime,
};

/// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
