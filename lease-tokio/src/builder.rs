//! From a configuration to a running holder.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use lease_core::credentials::CredentialSource;
use lease_core::recording::Start;
use lease_core::{Config, Seed};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::clock::{Clock, SystemClock};
use crate::credentials::in_cluster;
use crate::driver::Driver;
use crate::error::SetupError;
use crate::handle::{Lease, Shared};
use crate::recorder::{Recorder, RecorderConfig};
use crate::terms::Signals;
use crate::transport::{ReqwestTransport, Transport};
use crate::trouble::LastTrouble;

/// How many events wait for a slow reader of [`Lease::events`].
const EVENTS: usize = 256;

/// Sets up a holder. From [`Lease::builder`]; ends with [`spawn`](Self::spawn).
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder {
    config: Config,
    credentials: Option<CredentialSource>,
    transport: Option<Arc<dyn Transport>>,
    proxy: Option<String>,
    clock: Arc<dyn Clock>,
    seed: Option<Seed>,
    recorder: RecorderConfig,
}

impl Builder {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            credentials: None,
            transport: None,
            proxy: None,
            clock: Arc::new(SystemClock),
            seed: None,
            recorder: RecorderConfig::default(),
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

    /// Starts the holder's task on the current tokio runtime. Nothing is sent until a command comes.
    ///
    /// Reads the files of the credentials, here and now. The runtime needs its I/O driver and its timers;
    /// either flavour will do.
    ///
    /// # Errors
    ///
    /// [`SetupError::NoRuntime`] outside of a runtime; and whatever is wrong with credentials, TLS, proxy.
    pub fn spawn(self) -> Result<Lease, SetupError> {
        let runtime = Handle::try_current().map_err(|_| SetupError::NoRuntime)?;
        has_timers()?;
        let seed = match self.seed {
            Some(seed) => seed,
            None => random_seed()?,
        };
        let transport = match &self.transport {
            Some(transport) => Arc::clone(transport),
            None => Arc::new(self.default_transport()?),
        };
        let now = self.clock.now();
        let start = Start { config: self.config.clone(), seed, now };
        let machine = start.machine();
        let recorder = Arc::new(Recorder::new(self.recorder, start));
        let signals = Arc::new(Signals::new(self.clock, EVENTS));
        let trouble = Arc::new(LastTrouble::default());
        let (commands, inbox) = mpsc::unbounded_channel();
        let driver = Driver::new(
            machine,
            transport,
            Arc::clone(&signals),
            Arc::clone(&recorder),
            Arc::clone(&trouble),
            inbox,
        );
        runtime.spawn(driver.run());
        Ok(Lease::new(Shared { config: self.config, commands, signals, recorder, trouble }))
    }

    fn default_transport(&self) -> Result<ReqwestTransport, SetupError> {
        let source = match &self.credentials {
            Some(source) => source.clone(),
            None => in_cluster()?,
        };
        let mut transport = ReqwestTransport::builder(source).clock(Arc::clone(&self.clock));
        if let Some(proxy) = &self.proxy {
            transport = transport.proxy(proxy);
        }
        transport.build()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither credentials nor the proxy's address, which can carry a password.
        formatter
            .debug_struct("Builder")
            .field("config", &self.config)
            .field("recorder", &self.recorder)
            .finish_non_exhaustive()
    }
}

/// tokio has no other way to ask than to try: without timers `sleep` panics.
fn has_timers() -> Result<(), SetupError> {
    catch_unwind(AssertUnwindSafe(|| drop(sleep(Duration::ZERO)))).map_err(|_| SetupError::NoTimers)
}

fn random_seed() -> Result<Seed, SetupError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| SetupError::NoRandomness(io::Error::other(error.to_string())))?;
    Ok(Seed(u128::from_le_bytes(bytes)))
}
