//! One context of a kubeconfig as a source of credentials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf, is_separator};

use super::Kubeconfig;
use super::document::{Cluster, Context, Exec, User};
use super::error::{EntryKind, FieldProblem, KubeconfigError};
use super::merge::{Entry, Merged};
use super::options::KubeconfigOptions;
use crate::credentials::base64;
use crate::credentials::connection::{Connection, ProxyUrl};
use crate::credentials::error::{CredentialError, PemProblem};
use crate::credentials::exec::{ExecApiVersion, ExecPlugin};
use crate::credentials::pem::{CaBundle, CertificateChain, PrivateKey};
use crate::credentials::resolved::may_go_to;
use crate::credentials::source::{AuthenticationSource, Piece, is_namespace};
use crate::credentials::token::BearerToken;
use crate::credentials::url::{ServerUrl, host_alone};

/// The extension of a cluster that plugins are given as their `config`.
const EXEC_EXTENSION: &str = "client.authentication.k8s.io/exec";

/// The context that is asked for, or the current one.
pub(super) fn choose(all: Merged, options: &KubeconfigOptions) -> Result<Kubeconfig, CredentialError> {
    let available = || all.contexts.keys().cloned().collect();
    let Some(name) = options.context.clone().or(all.current_context) else {
        return Err(KubeconfigError::NoContext { available: available() }.into());
    };
    let Some(context) = all.contexts.get(&name) else {
        return Err(KubeconfigError::UnknownContext { name, available: available() }.into());
    };
    let cluster = referred(&name, EntryKind::Cluster, &context.value.cluster, &all.clusters)?;
    let user = referred(&name, EntryKind::User, &context.value.user, &all.users)?;
    let namespace = namespace(&At::new(EntryKind::Context, &name, context), &context.value)?;
    let at = At::new(EntryKind::Cluster, cluster.0, cluster.1);
    let server = server(&at, &cluster.1.value)?;
    let ca = ca(&at, &cluster.1.value)?;
    let connection = connection(&at, &cluster.1.value, options)?;
    let at = At::new(EntryKind::User, user.0, user.1);
    let authentication = authentication(&at, &user.1.value, &cluster.1.value, options)?;
    may_go_to(&server, authentication.way())?;
    Ok(Kubeconfig { context: name, server, ca, authentication, namespace, connection })
}

/// The entry that a context refers to, with its name.
fn referred<'a, T>(
    context: &str,
    kind: EntryKind,
    name: &'a Option<String>,
    entries: &'a BTreeMap<String, Entry<T>>,
) -> Result<(&'a str, &'a Entry<T>), KubeconfigError> {
    let context = context.to_owned();
    let Some(name) = given(name) else {
        return Err(KubeconfigError::Unreferred { context, kind });
    };
    match entries.get(name) {
        Some(entry) => Ok((name, entry)),
        None => {
            let available = entries.keys().cloned().collect();
            Err(KubeconfigError::Unknown { context, kind, name: name.to_owned(), available })
        }
    }
}

/// Which entry of which file something is in.
struct At<'a> {
    kind: EntryKind,
    name: &'a str,
    file: &'a Path,
}

impl<'a> At<'a> {
    fn new<T>(kind: EntryKind, name: &'a str, entry: &'a Entry<T>) -> Self {
        Self { kind, name, file: &entry.file }
    }

    fn bad(&self, field: &'static str, problem: FieldProblem) -> KubeconfigError {
        let (path, name) = (self.file.to_owned(), self.name.to_owned());
        KubeconfigError::Field { path, kind: self.kind, name, field, problem }
    }

    /// A path, relative to the folder of the file that names it.
    fn path(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Something that is given as the path of a file or as base64, not as both.
    fn piece<T>(
        &self,
        (file_field, file): (&'static str, &Option<String>),
        (data_field, data): (&'static str, &Option<String>),
        parse: impl FnOnce(&[u8]) -> Result<T, PemProblem>,
    ) -> Result<Option<Piece<T>>, KubeconfigError> {
        match (given(file), given(data)) {
            (Some(_), Some(_)) => Err(self.bad(file_field, FieldProblem::Conflict { with: data_field })),
            (Some(file), None) => Ok(Some(Piece::File(self.path(file)))),
            (None, Some(data)) => {
                let text = base64::decode(data).ok_or_else(|| self.bad(data_field, FieldProblem::Base64))?;
                let value =
                    parse(&text).map_err(|problem| self.bad(data_field, FieldProblem::Pem(problem)))?;
                Ok(Some(Piece::Inline(value)))
            }
            (None, None) => Ok(None),
        }
    }
}

/// As for kubectl, an empty text is an absent one.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn namespace(at: &At<'_>, context: &Context) -> Result<Option<String>, KubeconfigError> {
    match given(&context.namespace) {
        Some(name) if is_namespace(name) => Ok(Some(name.to_owned())),
        Some(_) => Err(at.bad("namespace", FieldProblem::Namespace)),
        None => Ok(None),
    }
}

fn server(at: &At<'_>, cluster: &Cluster) -> Result<ServerUrl, KubeconfigError> {
    let text = given(&cluster.server).ok_or_else(|| at.bad("server", FieldProblem::Missing))?;
    match ServerUrl::parse(text) {
        Ok(server) => Ok(server),
        Err(CredentialError::ServerUrl(problem)) => Err(at.bad("server", FieldProblem::Url(problem))),
        Err(_) => Err(at.bad("server", FieldProblem::Missing)),
    }
}

fn ca(at: &At<'_>, cluster: &Cluster) -> Result<Option<Piece<CaBundle>>, KubeconfigError> {
    at.piece(
        ("certificate-authority", &cluster.certificate_authority),
        ("certificate-authority-data", &cluster.certificate_authority_data),
        CaBundle::from_pem,
    )
}

fn connection(
    at: &At<'_>,
    cluster: &Cluster,
    options: &KubeconfigOptions,
) -> Result<Connection, KubeconfigError> {
    let insecure = cluster.insecure_skip_tls_verify.unwrap_or(false);
    if insecure {
        const FIELD: &str = "insecure-skip-tls-verify";
        if !options.insecure {
            return Err(at.bad(FIELD, FieldProblem::NotAllowed));
        }
        for (with, value) in [
            ("certificate-authority", &cluster.certificate_authority),
            ("certificate-authority-data", &cluster.certificate_authority_data),
        ] {
            if given(value).is_some() {
                return Err(at.bad(FIELD, FieldProblem::Conflict { with }));
            }
        }
    }
    let tls_server_name = given(&cluster.tls_server_name)
        .map(|name| host_alone(name).map_err(|_| at.bad("tls-server-name", FieldProblem::ServerName)))
        .transpose()?;
    let proxy = given(&cluster.proxy_url)
        .map(|url| ProxyUrl::parse(url).map_err(|problem| at.bad("proxy-url", FieldProblem::Proxy(problem))))
        .transpose()?;
    Ok(Connection { tls_server_name, insecure, proxy })
}

fn authentication(
    at: &At<'_>,
    user: &User,
    cluster: &Cluster,
    options: &KubeconfigOptions,
) -> Result<AuthenticationSource, KubeconfigError> {
    refuse(at, user)?;
    if let Some(exec) = &user.exec {
        for (with, value) in [
            ("token", &user.token),
            ("tokenFile", &user.token_file),
            ("client-certificate", &user.client_certificate),
            ("client-certificate-data", &user.client_certificate_data),
        ] {
            if given(value).is_some() {
                return Err(at.bad("exec", FieldProblem::Conflict { with }));
            }
        }
        return plugin(at, exec, cluster, options).map(AuthenticationSource::Exec);
    }
    let token = match (given(&user.token_file), given(&user.token)) {
        (Some(file), _) => Some(Piece::File(at.path(file))),
        (None, Some(token)) => Some(Piece::Inline(
            BearerToken::parse(token.as_bytes())
                .map_err(|problem| at.bad("token", FieldProblem::Token(problem)))?,
        )),
        (None, None) => None,
    };
    let chain = at.piece(
        ("client-certificate", &user.client_certificate),
        ("client-certificate-data", &user.client_certificate_data),
        CertificateChain::from_pem,
    )?;
    let key = at.piece(
        ("client-key", &user.client_key),
        ("client-key-data", &user.client_key_data),
        PrivateKey::from_pem,
    )?;
    let certificate = match (chain, key) {
        (Some(chain), Some(key)) => Some((chain, key)),
        (Some(_), None) => return Err(at.bad("client-key-data", FieldProblem::Missing)),
        // A key without a certificate shows nothing to anybody, and kubectl does not mind it.
        (None, _) => None,
    };
    Ok(match (token, certificate) {
        (Some(token), Some((chain, key))) => {
            AuthenticationSource::TokenAndClientCertificate { token, chain, key }
        }
        (Some(token), None) => AuthenticationSource::Token(token),
        (None, Some((chain, key))) => AuthenticationSource::ClientCertificate { chain, key },
        (None, None) => AuthenticationSource::None,
    })
}

/// What we cannot do, and must not do without.
fn refuse(at: &At<'_>, user: &User) -> Result<(), KubeconfigError> {
    if let Some(provider) = &user.auth_provider {
        let name = provider.name.clone().unwrap_or_default();
        return Err(at.bad("auth-provider", FieldProblem::AuthProvider { name }));
    }
    for (field, value) in [("username", &user.username), ("password", &user.password)] {
        if given(value).is_some() {
            return Err(at.bad(field, FieldProblem::BasicAuth));
        }
    }
    for (field, asked) in [
        ("as", given(&user.act_as).is_some()),
        ("as-uid", given(&user.as_uid).is_some()),
        ("as-groups", user.as_groups.as_ref().is_some_and(|groups| !groups.is_empty())),
        ("as-user-extra", user.as_user_extra.as_ref().is_some_and(|extra| !extra.is_empty())),
    ] {
        if asked {
            return Err(at.bad(field, FieldProblem::Impersonation));
        }
    }
    Ok(())
}

fn plugin(
    at: &At<'_>,
    exec: &Exec,
    cluster: &Cluster,
    options: &KubeconfigOptions,
) -> Result<ExecPlugin, KubeconfigError> {
    let missing = |field| at.bad(field, FieldProblem::Missing);
    let api_version = match given(&exec.api_version).ok_or_else(|| missing("exec.apiVersion"))? {
        "client.authentication.k8s.io/v1" => ExecApiVersion::V1,
        "client.authentication.k8s.io/v1beta1" => ExecApiVersion::V1Beta1,
        _ => return Err(at.bad("exec.apiVersion", FieldProblem::ExecApiVersion)),
    };
    match given(&exec.interactive_mode) {
        Some("Never" | "IfAvailable") => {}
        Some("Always") => return Err(at.bad("exec.interactiveMode", FieldProblem::NeedsTerminal)),
        Some(_) => return Err(at.bad("exec.interactiveMode", FieldProblem::InteractiveMode)),
        // For v1beta1 it defaults to IfAvailable.
        None if api_version == ExecApiVersion::V1Beta1 => {}
        None => return Err(missing("exec.interactiveMode")),
    }
    let command = given(&exec.command).ok_or_else(|| missing("exec.command"))?;
    let program = if command.chars().any(is_separator) { at.path(command) } else { command.into() };
    let args = exec.args.as_deref().unwrap_or_default();
    if command.contains('\0') || args.iter().any(|arg| arg.contains('\0')) {
        return Err(at.bad("exec.command", FieldProblem::Nul));
    }
    let mut plugin = ExecPlugin::new(api_version, program).args(args.iter().cloned());
    for variable in exec.env.iter().flatten() {
        let name = given(&variable.name).ok_or_else(|| missing("exec.env.name"))?;
        let value = variable.value.as_deref().unwrap_or_default();
        if name.contains(['=', '\0']) || value.contains('\0') {
            return Err(at.bad("exec.env", FieldProblem::Nul));
        }
        plugin = plugin.env(name, value);
    }
    if let Some(hint) = given(&exec.install_hint) {
        plugin = plugin.install_hint(hint);
    }
    if let Some(timeout) = options.exec_timeout {
        plugin = plugin.timeout(timeout);
    }
    if exec.provide_cluster_info.unwrap_or(false) {
        let extensions = cluster.extensions.iter().flatten();
        let mut ours = extensions.filter(|extension| extension.name.as_deref() == Some(EXEC_EXTENSION));
        let config = ours.next().and_then(|extension| extension.extension.clone());
        plugin = plugin.provide_cluster_info_of(cluster.disable_compression.unwrap_or(false), config);
    }
    Ok(plugin)
}
