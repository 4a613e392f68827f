//! Where credentials come from: one source as a whole.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::connection::Connection;
use super::error::{CredentialError, VariableProblem};
use super::exec::{self, Cluster, ExecCommand, ExecPlugin};
use super::files::{FileContents, FileRole, FileToRead};
#[cfg(feature = "kubeconfig")]
use super::kubeconfig::Kubeconfig;
use super::pem::{CaBundle, CertificateChain, ClientCertificate, PrivateKey};
use super::resolved::{Authentication, Credentials, Shown, Way, may_go_to};
use super::token::BearerToken;
use super::url::{ServerUrl, parse_port};
use crate::WallTime;

const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// One source of credentials. See the [module](super) for why there is exactly one.
///
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialSource {
    /// Everything named by the application.
    Explicit(Explicit),
    /// The service account of the pod that we run in.
    InCluster(InCluster),
    /// One context of a kubeconfig.
    #[cfg(feature = "kubeconfig")]
    Kubeconfig(Kubeconfig),
}

/// Something that is given as it is, or as the path of a file that is read again from time to time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Piece<T> {
    /// As it is. It never changes.
    Inline(T),
    /// In a file, which may be rotated. A relative path is relative to the working directory of each reading.
    File(PathBuf),
}

/// How we are to show who we are: [`Authentication`](super::Authentication) before files are read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthenticationSource {
    /// Not at all.
    None,
    /// With a bearer token.
    Token(Piece<BearerToken>),
    /// With a client certificate. Certificates and key may lie in one file: name it twice.
    ClientCertificate {
        /// Our certificate and those between it and its authority.
        chain: Piece<CertificateChain>,
        /// Its private key.
        key: Piece<PrivateKey>,
    },
    /// With both.
    TokenAndClientCertificate {
        /// The bearer token.
        token: Piece<BearerToken>,
        /// Our certificate and those between it and its authority.
        chain: Piece<CertificateChain>,
        /// Its private key.
        key: Piece<PrivateKey>,
    },
    /// With what a program prints: a token, a client certificate, or both.
    Exec(ExecPlugin),
}

/// Address, certificate authority and authentication, named by the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explicit {
    server: ServerUrl,
    ca: Option<Piece<CaBundle>>,
    authentication: AuthenticationSource,
}

/// The service account of the pod that we run in: an address from two environment variables, and files that
/// the kubelet keeps fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InCluster {
    server: ServerUrl,
    ca: Piece<CaBundle>,
    authentication: AuthenticationSource,
    namespace: PathBuf,
}

/// What all sources have in common.
struct Parts<'a> {
    server: &'a ServerUrl,
    ca: Option<&'a Piece<CaBundle>>,
    authentication: &'a AuthenticationSource,
    namespace: Namespace<'a>,
    connection: &'a Connection,
}

/// Where the namespace is.
enum Namespace<'a> {
    Known(Option<&'a str>),
    File(&'a Path),
}

impl Explicit {
    /// A source of these pieces. Without `ca` the adapter's default roots are trusted; verification stays on.
    ///
    /// # Errors
    /// [`CredentialError::PlainHttpToken`] or [`CredentialError::PlainHttpClientCertificate`]: the address
    /// does not protect the secret.
    pub fn new(
        server: ServerUrl,
        ca: Option<Piece<CaBundle>>,
        authentication: AuthenticationSource,
    ) -> Result<Self, CredentialError> {
        may_go_to(&server, authentication.way())?;
        Ok(Self { server, ca, authentication })
    }
}

impl AuthenticationSource {
    /// An exec plugin gives a token as a rule; what it does give is looked at again.
    pub(super) fn way(&self) -> Way {
        match self {
            Self::None => Way::None,
            Self::Token(_) | Self::Exec(_) => Way::Token,
            Self::ClientCertificate { .. } | Self::TokenAndClientCertificate { .. } => Way::ClientCertificate,
        }
    }
}

impl InCluster {
    /// The source that a pod's environment describes: `https://HOST:PORT` of the variables
    /// `KUBERNETES_SERVICE_HOST` (a name, IPv4 or IPv6) and `KUBERNETES_SERVICE_PORT`, and the files `token`,
    /// `ca.crt` and `namespace` in `/var/run/secrets/kubernetes.io/serviceaccount`.
    ///
    /// ```
    /// use lease_core::credentials::InCluster;
    ///
    /// let in_cluster = InCluster::from_env(|name| match name {
    ///     "KUBERNETES_SERVICE_HOST" => Some("fd00::1".into()),
    ///     "KUBERNETES_SERVICE_PORT" => Some("443".into()),
    ///     _ => None,
    /// })?;
    /// assert_eq!(in_cluster.server().to_string(), "https://[fd00::1]:443");
    /// # Ok::<(), lease_core::credentials::CredentialError>(())
    /// ```
    ///
    /// # Errors
    /// [`CredentialError::Variable`]: one of the two is missing, empty, or not a host or a port.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, CredentialError> {
        let get = |name: &'static str| match variable(name) {
            None => Err(CredentialError::Variable { name, problem: VariableProblem::Missing }),
            Some(value) if value.trim().is_empty() => {
                Err(CredentialError::Variable { name, problem: VariableProblem::Empty })
            }
            Some(value) => Ok(value),
        };
        let host = get(HOST)?;
        let port = parse_port(&get(PORT)?)
            .map_err(|_| CredentialError::Variable { name: PORT, problem: VariableProblem::NotAPort })?;
        let server = ServerUrl::from_host_and_port(&host, port)
            .map_err(|_| CredentialError::Variable { name: HOST, problem: VariableProblem::NotAHost })?;
        Ok(Self::at(server, Path::new(SERVICE_ACCOUNT)))
    }

    /// The same source with its three files in another directory, as a whole: for processes that see the
    /// pod's files under another root, and for tests.
    #[must_use]
    pub fn in_directory(self, directory: impl AsRef<Path>) -> Self {
        Self::at(self.server, directory.as_ref())
    }

    /// The address that the environment names.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    fn at(server: ServerUrl, directory: &Path) -> Self {
        Self {
            server,
            ca: Piece::File(directory.join("ca.crt")),
            authentication: AuthenticationSource::Token(Piece::File(directory.join("token"))),
            namespace: directory.join("namespace"),
        }
    }
}

impl CredentialSource {
    /// The files that [`resolve`](Self::resolve) needs: each role once at most, none when all is inline.
    pub fn files(&self) -> Vec<FileToRead> {
        let mut files = self.rotating_files();
        if let Namespace::File(path) = self.parts().namespace {
            files.push(FileToRead { role: FileRole::Namespace, path: path.to_owned() });
        }
        files
    }

    /// The exec plugin to run for [`resolve`](Self::resolve), after the [`files`](Self::files) were read into
    /// `contents`; hand what comes of it in there as well. None when there is no plugin.
    ///
    /// # Errors
    /// The plugin is to be told the certificate authority, and that cannot be had: as [`resolve`](Self::resolve).
    pub fn command(&self, contents: &FileContents) -> Result<Option<ExecCommand>, CredentialError> {
        match self.plugin() {
            Some(_) => Ok(self.command_with(self.ca(contents)?.as_ref())),
            None => Ok(None),
        }
    }

    /// Credentials from what came of reading [`files`](Self::files) and of running the
    /// [`command`](Self::command). Whether they have expired is [`Rotation`](super::Rotation)'s to judge.
    ///
    /// # Errors
    /// The first file that could not be read, is missing from `contents`, too large or malformed. Only the
    /// namespace file may be missing: then there is no default namespace. Or an exec plugin that was not run,
    /// failed or printed something else.
    pub fn resolve(&self, contents: &FileContents) -> Result<Credentials, CredentialError> {
        self.resolve_at(None, contents)
    }

    /// As [`resolve`](Self::resolve), but what a plugin gave must not have expired by `now`.
    pub(super) fn resolve_at(
        &self,
        now: Option<WallTime>,
        contents: &FileContents,
    ) -> Result<Credentials, CredentialError> {
        let ca = self.ca(contents)?;
        self.credentials(ca, self.authentication(now, contents)?, self.namespace(contents)?)
    }

    /// As [`resolve_at`](Self::resolve_at), but a piece that cannot be had stays as it is in `old`, and so does
    /// the namespace, and what a plugin gave when it did not run again.
    pub(super) fn resolve_again(
        &self,
        now: Option<WallTime>,
        contents: &FileContents,
        old: &Credentials,
    ) -> (Credentials, Vec<CredentialError>) {
        let mut problems = Vec::new();
        let ca = self.ca(contents).unwrap_or_else(|problem| {
            problems.push(problem);
            old.ca().cloned()
        });
        let shown = match self.plugin() {
            Some(_) if contents.exec().is_none() => old.shown(),
            _ => self.authentication(now, contents).unwrap_or_else(|problem| {
                problems.push(problem);
                old.shown()
            }),
        };
        let namespace = old.namespace().map(str::to_owned);
        match self.credentials(ca, shown, namespace) {
            Ok(new) => (new, problems),
            Err(problem) => (old.clone(), vec![problem]),
        }
    }

    /// The plugin's command for a cluster with this certificate authority.
    pub(super) fn command_with(&self, ca: Option<&CaBundle>) -> Option<ExecCommand> {
        let Parts { server, connection, .. } = self.parts();
        self.plugin().map(|plugin| plugin.command(&Cluster { server, ca, connection }))
    }

    /// The plugin that gives the credentials, if that is how.
    pub(super) fn plugin(&self) -> Option<&ExecPlugin> {
        match self.parts().authentication {
            AuthenticationSource::Exec(plugin) => Some(plugin),
            _ => None,
        }
    }

    /// The files that may change while we run.
    pub(super) fn rotating_files(&self) -> Vec<FileToRead> {
        let parts = self.parts();
        let mut files = Vec::new();
        let mut add = |role, path: Option<&PathBuf>| {
            files.extend(path.map(|path| FileToRead { role, path: path.clone() }));
        };
        add(FileRole::CertificateAuthority, parts.ca.and_then(Piece::path));
        match parts.authentication {
            AuthenticationSource::None | AuthenticationSource::Exec(_) => {}
            AuthenticationSource::Token(token) => add(FileRole::Token, token.path()),
            AuthenticationSource::ClientCertificate { chain, key } => {
                add(FileRole::ClientCertificate, chain.path());
                add(FileRole::ClientKey, key.path());
            }
            AuthenticationSource::TokenAndClientCertificate { token, chain, key } => {
                add(FileRole::Token, token.path());
                add(FileRole::ClientCertificate, chain.path());
                add(FileRole::ClientKey, key.path());
            }
        }
        files
    }

    fn parts(&self) -> Parts<'_> {
        match self {
            Self::Explicit(Explicit { server, ca, authentication }) => {
                let namespace = Namespace::Known(None);
                Parts { server, ca: ca.as_ref(), authentication, namespace, connection: &Connection::PLAIN }
            }
            Self::InCluster(InCluster { server, ca, authentication, namespace }) => {
                let namespace = Namespace::File(namespace);
                Parts { server, ca: Some(ca), authentication, namespace, connection: &Connection::PLAIN }
            }
            #[cfg(feature = "kubeconfig")]
            Self::Kubeconfig(Kubeconfig { server, ca, authentication, namespace, connection, .. }) => {
                let namespace = Namespace::Known(namespace.as_deref());
                Parts { server, ca: ca.as_ref(), authentication, namespace, connection }
            }
        }
    }

    fn credentials(
        &self,
        ca: Option<CaBundle>,
        shown: Shown,
        namespace: Option<String>,
    ) -> Result<Credentials, CredentialError> {
        let Parts { server, connection, .. } = self.parts();
        Credentials::new(server.clone(), ca, shown, namespace, connection.clone())
    }

    /// The certificate authority, from `contents` if it is in a file.
    pub(super) fn ca(&self, contents: &FileContents) -> Result<Option<CaBundle>, CredentialError> {
        let role = FileRole::CertificateAuthority;
        self.parts().ca.map(|ca| ca.resolve(role, contents, CaBundle::from_pem)).transpose()
    }

    fn authentication(
        &self,
        now: Option<WallTime>,
        contents: &FileContents,
    ) -> Result<Shown, CredentialError> {
        let of_token =
            |token: &Piece<BearerToken>| token.resolve(FileRole::Token, contents, BearerToken::parse);
        let of_certificate = |chain: &Piece<CertificateChain>, key: &Piece<PrivateKey>| {
            let role = FileRole::ClientCertificate;
            let chain = chain.resolve(role, contents, CertificateChain::from_pem)?;
            let key = key.resolve(FileRole::ClientKey, contents, PrivateKey::from_pem)?;
            Ok::<_, CredentialError>(ClientCertificate { chain, key })
        };
        let authentication = match self.parts().authentication {
            AuthenticationSource::None => Authentication::None,
            AuthenticationSource::Token(token) => Authentication::Token(of_token(token)?),
            AuthenticationSource::ClientCertificate { chain, key } => {
                Authentication::ClientCertificate(of_certificate(chain, key)?)
            }
            AuthenticationSource::TokenAndClientCertificate { token, chain, key } => {
                let token = of_token(token)?;
                let certificate = of_certificate(chain, key)?;
                Authentication::TokenAndClientCertificate { token, certificate }
            }
            AuthenticationSource::Exec(plugin) => return exec::take(plugin, contents, now),
        };
        Ok(Shown { authentication, expires_at: None })
    }

    fn namespace(&self, contents: &FileContents) -> Result<Option<String>, CredentialError> {
        let path = match self.parts().namespace {
            Namespace::Known(namespace) => return Ok(namespace.map(str::to_owned)),
            Namespace::File(path) => path,
        };
        let content = match read(FileRole::Namespace, path, contents) {
            Err(CredentialError::Unreadable { kind: std::io::ErrorKind::NotFound, .. }) => return Ok(None),
            other => other?,
        };
        match std::str::from_utf8(content.trim_ascii()) {
            Ok(text) if is_namespace(text) => Ok(Some(text.to_owned())),
            _ => Err(CredentialError::Namespace { path: path.to_owned() }),
        }
    }
}

/// Whether this is the name of a namespace: a DNS label.
pub(super) fn is_namespace(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let ends = !name.starts_with('-') && !name.ends_with('-');
    (1..=63).contains(&name.len()) && ends && name.bytes().all(inner)
}

impl<T: Clone> Piece<T> {
    fn resolve<P: Into<CredentialError>>(
        &self,
        role: FileRole,
        contents: &FileContents,
        parse: impl FnOnce(&[u8]) -> Result<T, P>,
    ) -> Result<T, CredentialError> {
        match self {
            Self::Inline(value) => Ok(value.clone()),
            Self::File(path) => {
                let content = read(role, path, contents)?;
                parse(content).map_err(|problem| problem.into().in_file(role, path))
            }
        }
    }
}

impl<T> Piece<T> {
    fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Inline(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

fn read<'a>(role: FileRole, path: &Path, contents: &'a FileContents) -> Result<&'a Bytes, CredentialError> {
    match contents.get(role) {
        Some(Ok(content)) => Ok(content),
        Some(Err(kind)) => Err(CredentialError::Unreadable { role, path: path.to_owned(), kind: *kind }),
        None => Err(CredentialError::NotHandedIn { role, path: path.to_owned() }),
    }
}
