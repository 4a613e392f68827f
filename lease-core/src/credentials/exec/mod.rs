//! Exec plugins: a program that hands out credentials, as a description to run and an answer to take.

mod answer;
mod command;
mod error;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) use answer::take;
pub(super) use command::Cluster;
pub use command::ExecCommand;
pub use error::{ExecFailure, ExecProblem};

/// The most bytes of a plugin's standard output that are taken: 1 MiB. Adapters stop reading after one byte
/// more, kill the plugin, and hand in what they have; taking it then refuses it as too large.
pub const MAX_EXEC_BYTES: usize = 1 << 20;

/// Which version of `client.authentication.k8s.io` is spoken with a plugin. Its answer must be of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExecApiVersion {
    /// `client.authentication.k8s.io/v1`.
    V1,
    /// `client.authentication.k8s.io/v1beta1`.
    V1Beta1,
}

impl ExecApiVersion {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "client.authentication.k8s.io/v1",
            Self::V1Beta1 => "client.authentication.k8s.io/v1beta1",
        }
    }
}

impl fmt::Display for ExecApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A program that prints credentials on its standard output: an `exec` section of a kubeconfig, or one that
/// the application names itself.
///
/// It never gets a terminal. `Debug` shows the program and the names of its variables, neither arguments nor
/// values: those may hold secrets.
///
/// ```
/// use std::time::Duration;
/// use lease_core::credentials::*;
///
/// let plugin = ExecPlugin::new(ExecApiVersion::V1, "get-token")
///     .args(["--cluster", "prod"])
///     .env("PROFILE", "ops")
///     .timeout(Duration::from_secs(10));
/// let server = "https://10.0.0.1:6443".parse()?;
/// let source = CredentialSource::Explicit(Explicit::new(server, None, AuthenticationSource::Exec(plugin))?);
///
/// let mut contents = FileContents::new(); // of source.files(): here, none
/// let command = source.command(&contents)?.expect("there is a plugin");
/// assert_eq!(command.args(), ["--cluster", "prod"]);
/// # let stdout = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
/// #     "status": {"token": "s3cr3t", "expirationTimestamp": "2026-01-01T00:15:00Z"}}"#;
/// contents.insert_exec(Ok(stdout)); // what running it printed
/// let credentials = source.resolve(&contents)?;
/// assert_eq!(credentials.authorization().unwrap(), "Bearer s3cr3t");
/// assert_eq!(credentials.expires_at(), Some(WallTime::from_micros(1_767_226_500_000_000)));
/// # use lease_core::WallTime;
/// # Ok::<(), CredentialError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ExecPlugin {
    api_version: ExecApiVersion,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    timeout: Duration,
    install_hint: Option<String>,
    cluster_info: Option<ClusterInfo>,
}

/// What a plugin is told about the cluster beyond its address.
#[derive(Clone, Default, PartialEq, Eq)]
struct ClusterInfo {
    disable_compression: bool,
    config: Option<serde_json::Value>,
}

impl ExecPlugin {
    /// The time that a plugin may take unless something else is said: 60 s. Enough to fetch a token over a
    /// slow network.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
    /// The least time-out: 1 s.
    pub const MIN_TIMEOUT: Duration = Duration::from_secs(1);
    /// The greatest time-out: 10 min.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(600);

    /// A plugin without arguments. A name without a separator is looked for in `PATH`; a relative path with
    /// one is relative to the working directory.
    #[must_use]
    pub fn new(api_version: ExecApiVersion, program: impl Into<PathBuf>) -> Self {
        Self {
            api_version,
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            timeout: Self::DEFAULT_TIMEOUT,
            install_hint: None,
            cluster_info: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment that the plugin inherits.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// How long it may take before it is killed, brought into the range from [`MIN_TIMEOUT`](Self::MIN_TIMEOUT)
    /// to [`MAX_TIMEOUT`](Self::MAX_TIMEOUT). Default: [`DEFAULT_TIMEOUT`](Self::DEFAULT_TIMEOUT).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(Self::MIN_TIMEOUT, Self::MAX_TIMEOUT);
        self
    }

    /// What the error says when the program does not exist.
    #[must_use]
    pub fn install_hint(mut self, hint: impl Into<String>) -> Self {
        self.install_hint = Some(hint.into());
        self
    }

    /// Tells the plugin about the cluster: address, certificate authority, TLS name, proxy.
    #[must_use]
    pub fn provide_cluster_info(mut self) -> Self {
        self.cluster_info.get_or_insert_default();
        self
    }

    /// The same with what a kubeconfig's cluster says beside that.
    #[cfg(feature = "kubeconfig")]
    pub(super) fn provide_cluster_info_of(
        mut self,
        disable_compression: bool,
        config: Option<serde_json::Value>,
    ) -> Self {
        self.cluster_info = Some(ClusterInfo { disable_compression, config });
        self
    }

    /// What is run.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

impl fmt::Debug for ExecPlugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExecPlugin")
            .field("api_version", &self.api_version)
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("env", &names(&self.env))
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn names(env: &[(String, String)]) -> Vec<&str> {
    env.iter().map(|(name, _)| name.as_str()).collect()
}
