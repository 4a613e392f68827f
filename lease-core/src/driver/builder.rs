//! From a configuration to a running holder.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_channel::mpsc;

use super::clock::{Clock, SystemClock};
use super::credentials::in_cluster;
use super::error::SetupError;
use super::handle::{Lease, Shared};
use super::recorder::{Recorder, RecorderConfig};
use super::run::Driver;
use super::runtime::Runtime;
use super::terms::Signals;
use super::transport::Transport;
use super::trouble::LastTrouble;
use crate::credentials::CredentialSource;
use crate::recording::Start;
use crate::{Config, Seed};

/// A runtime and an HTTP client: what makes a [`Lease`] of this module an adapter's.
///
/// A type that stands for the adapter, usually an empty `enum`; nothing of it is ever made.
pub trait Adapter: Sized + 'static {
    /// The runtime that holders run on unless [`Builder::runtime`] says otherwise.
    ///
    /// # Errors
    ///
    /// [`SetupError::NoRuntime`] or [`SetupError::NoTimers`] where there is none to run on.
    fn runtime() -> Result<Arc<dyn Runtime>, SetupError>;

    /// The HTTP client that is used unless [`Builder::transport`] says otherwise.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with credentials, TLS, proxy.
    fn transport(setup: TransportSetup) -> Result<Arc<dyn Transport>, SetupError>;
}

/// What a transport is made from. Given to [`Adapter::transport`].
#[non_exhaustive]
pub struct TransportSetup {
    /// Whom to talk to, whom to trust, and who we are.
    pub credentials: CredentialSource,
    /// The proxy that was asked for. Refused with an error, or honoured; never ignored.
    pub proxy: Option<String>,
    /// Tells when files are due to be read again.
    pub clock: Arc<dyn Clock>,
    /// Reads them.
    pub runtime: Arc<dyn Runtime>,
}

impl TransportSetup {
    /// What [`Builder::spawn`] would hand to [`Adapter::transport`], for those who want a transport without a
    /// holder: one that many leases share, or one that is tested by itself. No proxy.
    pub fn new(credentials: CredentialSource, clock: Arc<dyn Clock>, runtime: Arc<dyn Runtime>) -> Self {
        Self { credentials, proxy: None, clock, runtime }
    }

    /// Asks for this HTTP proxy, as [`Builder::proxy`] does.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }
}

/// How many events wait for a slow reader of [`Lease::events`].
const EVENTS: usize = 256;

/// Sets up a holder. From [`Lease::builder`]; ends with [`spawn`](Self::spawn).
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder<A> {
    config: Config,
    credentials: Option<CredentialSource>,
    transport: Option<Arc<dyn Transport>>,
    proxy: Option<String>,
    clock: Arc<dyn Clock>,
    runtime: Option<Arc<dyn Runtime>>,
    seed: Option<Seed>,
    recorder: RecorderConfig,
    adapter: PhantomData<fn() -> A>,
}

impl<A: Adapter> Builder<A> {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            credentials: None,
            transport: None,
            proxy: None,
            clock: Arc::new(SystemClock),
            runtime: None,
            seed: None,
            recorder: RecorderConfig::default(),
            adapter: PhantomData,
        }
    }

    /// Whom to talk to, whom to trust, and who we are: one source as a whole. Default: the service account
    /// of the pod that we run in.
    pub fn credentials(mut self, source: CredentialSource) -> Self {
        self.credentials = Some(source);
        self
    }

    /// Another HTTP client, or a scripted one in a test. Then credentials and proxy are its own affair.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Sends everything through this HTTP proxy, for example `http://proxy.example:3128`. Default: none, and
    /// the environment (`HTTPS_PROXY` and the like) is not asked.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Another clock. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Another runtime, for example a test's. Default: the adapter's.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Some(Arc::new(runtime));
        self
    }

    /// Seeds jitter and nonce. Default: drawn from the operating system, which is right everywhere but in
    /// tests: two holders with equal seeds and equal identities cannot tell each other's records apart.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What the flight recorder keeps, and when it writes it. Default: see [`RecorderConfig`].
    pub fn recorder(mut self, recorder: RecorderConfig) -> Self {
        self.recorder = recorder;
        self
    }

    /// Starts the holder's task. Nothing is sent until a command comes.
    ///
    /// Reads the files of the credentials, here and now, and runs their exec plugin: that blocks this thread for
    /// as long as the plugin takes, [its time-out](crate::credentials::ExecPlugin::timeout) at most.
    ///
    /// # Errors
    ///
    /// [`SetupError::NoRuntime`] and [`SetupError::NoTimers`] where the adapter's runtime has to be entered
    /// first and is not, or lacks timers; and whatever is wrong with credentials, TLS, proxy.
    pub fn spawn(self) -> Result<Lease<A>, SetupError> {
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None => A::runtime()?,
        };
        let seed = match self.seed {
            Some(seed) => seed,
            None => random_seed()?,
        };
        let transport = match self.transport {
            Some(transport) => transport,
            None => A::transport(TransportSetup {
                credentials: match self.credentials {
                    Some(source) => source,
                    None => in_cluster()?,
                },
                proxy: self.proxy,
                clock: Arc::clone(&self.clock),
                runtime: Arc::clone(&runtime),
            })?,
        };
        let now = self.clock.now();
        let start = Start { config: self.config.clone(), seed, now };
        let machine = start.machine();
        let recorder = Arc::new(Recorder::new(self.recorder, start));
        let signals = Arc::new(Signals::new(self.clock, runtime, EVENTS));
        let trouble = Arc::new(LastTrouble::default());
        let (commands, inbox) = mpsc::unbounded();
        let driver = Driver::new(
            machine,
            transport,
            Arc::clone(&signals),
            Arc::clone(&recorder),
            Arc::clone(&trouble),
            inbox,
        );
        signals.runtime.spawn(Box::pin(driver.run()));
        Ok(Lease::new(Shared { config: self.config, commands, signals, recorder, trouble }))
    }
}

impl<A> fmt::Debug for Builder<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither credentials nor the proxy's address, which can carry a password.
        formatter
            .debug_struct("Builder")
            .field("config", &self.config)
            .field("recorder", &self.recorder)
            .finish_non_exhaustive()
    }
}

fn random_seed() -> Result<Seed, SetupError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| SetupError::NoRandomness(io::Error::other(error.to_string())))?;
    Ok(Seed(u128::from_le_bytes(bytes)))
}

impl fmt::Debug for TransportSetup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TransportSetup")
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}
