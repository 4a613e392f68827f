//! What the application wants of a kubeconfig.

use std::time::Duration;

use crate::credentials::exec::ExecPlugin;

/// Which context, and what is allowed. The default is what should be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeconfigOptions {
    pub(super) context: Option<String>,
    pub(super) insecure: bool,
    pub(super) exec_timeout: Option<Duration>,
}

impl KubeconfigOptions {
    /// The current context, TLS always verified.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This context instead of the current one.
    #[must_use]
    pub fn context(mut self, name: impl Into<String>) -> Self {
        self.context = Some(name.into());
        self
    }

    /// Does as the cluster says when it says `insecure-skip-tls-verify: true`, instead of refusing it. Whoever
    /// sits on the way can then take the credentials and fake every answer, so that two processes believe that
    /// they hold one lease. For clusters on the same machine, if at all.
    #[must_use]
    pub fn allow_insecure_skip_tls_verify(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// How long an exec plugin may take before it is killed, brought into the range from
    /// [`ExecPlugin::MIN_TIMEOUT`] (1 s) to [`ExecPlugin::MAX_TIMEOUT`] (10 min). Default:
    /// [`ExecPlugin::DEFAULT_TIMEOUT`] (60 s).
    #[must_use]
    pub fn exec_timeout(mut self, timeout: Duration) -> Self {
        self.exec_timeout = Some(timeout.clamp(ExecPlugin::MIN_TIMEOUT, ExecPlugin::MAX_TIMEOUT));
        self
    }
}
