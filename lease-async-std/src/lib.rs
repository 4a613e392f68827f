//! A Kubernetes Lease holder for async-std: at most one process holds a lease at a time.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use lease_async_std::{Config, FencingToken, Lease};
//!
//! # async fn work(_token: FencingToken) {}
//! #[async_std::main] // async-std's feature `attributes`
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
//! It is `lease-tokio`'s handle, with the same names, errors and behaviour: code moves between the two by
//! its import and the runtime's `main`.
//!
//! # async-std is discontinued, and surf hardly maintained
//!
//! **Take `lease-tokio` for a new service.** This crate is for those that are on async-std, or on smol,
//! today. async-std ended with version 1.13 (RUSTSEC-2025-0052); [smol](https://docs.rs/smol) is its
//! successor. surf's last release is of 2021 (RUSTSEC-2025-0036, RUSTSEC-2026-0169), and so are those of
//! what it is made of (RUSTSEC-2026-0174). None of these is a vulnerability; but nobody will mend one
//! there. So this crate keeps small what it needs of them:
//!
//! - **TLS and HTTP are not theirs.** surf's own HTTP clients are not compiled. Those called h1 hand the
//!   response to a cancelled request to the next request, take a body that broke off for a whole one, and
//!   wait for ever when the end of a body comes in two pieces; one brings a rustls of 2020, another one
//!   libcurl. surf is given a client that is made here, over hyper's HTTP/1.1 connection and the rustls
//!   that `lease-tokio` has. So what a server says is read by maintained crates; surf carries requests and
//!   responses about.
//! - **async-std is named in one module**, of a page: sockets, tasks, timers. Another runtime is a
//!   matter of that page.
//! - **No executor is needed.** Everything here works under `async_std::task::block_on`,
//!   `smol::block_on`, in tasks of a `smol::Executor`, and under `futures_lite::future::block_on`, and is
//!   tested there. async-std starts a few threads of its own for sockets and timers, beside whatever the
//!   application runs on.
//! - **The advisories stay here.** The workspace's `deny.toml` excepts them for this crate only.
//!   Whoever runs `cargo deny` or `cargo audit` on an application with this crate in it will meet them,
//!   and has to make the same exceptions.
//!
//! # What it promises, and what it cannot
//!
//! The protocol is [`lease_core`]'s, a state machine without I/O; its documentation has the argument and
//! the assumptions. [`lease_core::driver`] runs it; this crate gives that an HTTP client and a runtime.
//! [`Lease::check_alive`](driver::Lease::check_alive) compares a deadline with the clock and nothing
//! else, so it is right when the network is gone, when the runtime is starved, and when the task is dead.
//! It cannot know how long the process sleeps between that answer and the side effect it allows: hand the
//! [`FencingToken`] to the protected resource and let it refuse older ones.
//!
//! # Outside of a cluster, and other HTTP clients
//!
//! [`Builder::credentials`](driver::Builder::credentials) takes an address, a CA and a token or client
//! certificate, as values or as files, as **one** [`CredentialSource`]. Files are followed: they are read
//! again every minute, at once after a 401, and soon after a connection failed.
//! [`Builder::transport`](driver::Builder::transport) takes any other [`Transport`]; one
//! [`SurfTransport`] can be shared by many leases.
//!
//! ```
//! # use std::time::Duration;
//! # use lease_async_std::*;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
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
//! tells [`Event::WatchTrouble`]; another [`Transport`] than [`SurfTransport`] may do without
//! ([`Transport::watch`]).
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod http_client;
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
pub use runtime::AsyncStdRuntime;
pub use transport::{SurfTransport, SurfTransportBuilder};

/// A handle on one holder of one lease, on async-std. All that it can do is
/// [`lease_core::driver::Lease`]'s, which every adapter shares.
pub type Lease = driver::Lease<AsyncStd>;

/// Sets up a holder. From [`Lease::builder`]; ends with [`spawn`](driver::Builder::spawn).
pub type Builder = driver::Builder<AsyncStd>;

/// Stands for this adapter in [`Lease`] and [`Builder`].
#[derive(Debug)]
pub enum AsyncStd {}

impl driver::Adapter for AsyncStd {
    /// async-std's own threads, wherever this is called: nothing has to be entered first.
    fn runtime() -> Result<Arc<dyn Runtime>, SetupError> {
        Ok(Arc::new(AsyncStdRuntime))
    }

    fn transport(setup: driver::TransportSetup) -> Result<Arc<dyn Transport>, SetupError> {
        let mut transport =
            SurfTransport::builder(setup.credentials).clock(setup.clock).runtime(setup.runtime);
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
