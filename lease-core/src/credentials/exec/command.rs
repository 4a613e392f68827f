//! A plugin as a command that can be run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::{ExecPlugin, names};
use crate::credentials::base64;
use crate::credentials::connection::Connection;
use crate::credentials::pem::CaBundle;
use crate::credentials::url::ServerUrl;

/// The variable that tells a plugin what is asked of it.
const EXEC_INFO: &str = "KUBERNETES_EXEC_INFO";

/// A program to run for credentials. From [`CredentialSource::command`](crate::credentials::CredentialSource)
/// at the start, from [`Rotation::command`](crate::credentials::Rotation) later.
///
/// Run it without a shell, with no standard input, with our own environment and [`env`](Self::env) on top, and
/// with our standard error (a plugin says there what is wrong; what it says is not ours to keep). Read at most
/// [`MAX_EXEC_BYTES`](crate::credentials::MAX_EXEC_BYTES)` + 1` bytes of its standard output; kill it, and what it
/// has started (on Unix: give it a process group of its own), when there is more, or after
/// [`timeout`](Self::timeout). Hand what came of it to
/// [`FileContents::insert_exec`](crate::credentials::FileContents::insert_exec). Its output is never logged.
///
/// `Debug` shows the program and the names of its variables, neither arguments nor values.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecCommand {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    timeout: Duration,
}

impl ExecCommand {
    /// What to run: a name to be looked for in `PATH`, or a path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its arguments, without the program. They may hold secrets.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// Names and values to set on top of our own environment; the last of a name counts. Values may hold
    /// secrets.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// When to kill it, counted from its start: 1 s to 10 min.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl fmt::Debug for ExecCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExecCommand")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("env", &names(&self.env))
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// The cluster that credentials are wanted for.
pub(in crate::credentials) struct Cluster<'a> {
    pub(in crate::credentials) server: &'a ServerUrl,
    pub(in crate::credentials) ca: Option<&'a CaBundle>,
    pub(in crate::credentials) connection: &'a Connection,
}

/// An `ExecCredential` as a question.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    kind: &'static str,
    api_version: &'static str,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Spec<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Told<'a>>,
    interactive: bool,
}

/// What a plugin is told about the cluster.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Told<'a> {
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_server_name: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    insecure_skip_tls_verify: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_url: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    disable_compression: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a serde_json::Value>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl ExecPlugin {
    /// What to run for credentials of this cluster.
    pub(in crate::credentials) fn command(&self, cluster: &Cluster<'_>) -> ExecCommand {
        let told = self.cluster_info.as_ref().map(|info| Told {
            server: cluster.server.to_string(),
            tls_server_name: cluster.connection.tls_server_name.as_deref(),
            insecure_skip_tls_verify: cluster.connection.insecure,
            certificate_authority_data: cluster.ca.map(|ca| base64::encode(ca.pem())),
            proxy_url: cluster.connection.proxy.as_ref().map(|proxy| proxy.secret_url()),
            disable_compression: info.disable_compression,
            config: info.config.as_ref(),
        });
        let asked = Asked {
            kind: "ExecCredential",
            api_version: self.api_version.as_str(),
            spec: Spec { cluster: told, interactive: false },
        };
        // Neither a map with keys that are no strings nor a foreign type is in it: it cannot fail.
        let info = serde_json::to_string(&asked).unwrap_or_default();
        let mut env = self.env.clone();
        env.push((EXEC_INFO.to_owned(), info));
        ExecCommand { program: self.program.clone(), args: self.args.clone(), env, timeout: self.timeout }
    }
}
