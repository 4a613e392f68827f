//! A Kubernetes Lease holder for async-std: at most one process holds a lease at a time.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod http_client;
mod runtime;
mod transport;

use std::sync::Arc;

use lease_core::driver;

pub use lease_core::driver::{
    AcquireError, Attempt, BoxFuture, Call, Clock, Events, Interrupted, RecorderConfig, Runtime, SendError,
    SetupError, Stopped, Subscription, SystemClock, Transport, in_cluster_namespace, interface,
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
    FencingToken, Held, Identity, LostReason, MonoTime, Now, Problem, ReleaseOutcome, ReleasePolicy,
    SameIdentity, Seed, Verb, WallTime,
};
