//! Where credentials come from: one source as a whole.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::{CredentialError, VariableProblem};
use super::files::{FileContents, FileRole, FileToRead};
use super::pem::{CaBundle, CertificateChain, ClientCertificate, PrivateKey};
use super::resolved::{Authentication, Credentials, Way, may_go_to};
use super::token::BearerToken;
use super::url::{ServerUrl, parse_port};

const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// One source of credentials. See the [module](super) for why there is exactly one.
///
/// A kubeconfig file and exec plugins are to become further variants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialSource {
    /// Everything named by the application.
    Explicit(Explicit),
    /// The service account of the pod that we run in.
    InCluster(InCluster),
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
    namespace: Option<&'a Path>,
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
        let way = match authentication {
            AuthenticationSource::None => Way::None,
            AuthenticationSource::Token(_) => Way::Token,
            AuthenticationSource::ClientCertificate { .. } => Way::ClientCertificate,
        };
        may_go_to(&server, way)?;
        Ok(Self { server, ca, authentication })
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
        let namespace = self.parts().namespace.map(Path::to_owned);
        let mut files = self.rotating_files();
        files.extend(namespace.map(|path| FileToRead { role: FileRole::Namespace, path }));
        files
    }

    /// Credentials from what came of reading [`files`](Self::files).
    ///
    /// # Errors
    /// The first file that could not be read, is missing from `contents`, too large or malformed. Only the
    /// namespace file may be missing: then there is no default namespace.
    pub fn resolve(&self, contents: &FileContents) -> Result<Credentials, CredentialError> {
        let ca = self.ca(contents)?;
        let authentication = self.authentication(contents)?;
        Credentials::new(self.parts().server.clone(), ca, authentication, self.namespace(contents)?)
    }

    /// As [`resolve`](Self::resolve), but a piece that cannot be had stays as it is in `old`, and so does the
    /// namespace.
    pub(super) fn resolve_again(
        &self,
        contents: &FileContents,
        old: &Credentials,
    ) -> (Credentials, Vec<CredentialError>) {
        let mut problems = Vec::new();
        let ca = self.ca(contents).unwrap_or_else(|problem| {
            problems.push(problem);
            old.ca().cloned()
        });
        let authentication = self.authentication(contents).unwrap_or_else(|problem| {
            problems.push(problem);
            old.authentication().clone()
        });
        let namespace = old.namespace().map(str::to_owned);
        match Credentials::new(self.parts().server.clone(), ca, authentication, namespace) {
            Ok(new) => (new, problems),
            Err(problem) => (old.clone(), vec![problem]),
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
            AuthenticationSource::None => {}
            AuthenticationSource::Token(token) => add(FileRole::Token, token.path()),
            AuthenticationSource::ClientCertificate { chain, key } => {
                add(FileRole::ClientCertificate, chain.path());
                add(FileRole::ClientKey, key.path());
            }
        }
        files
    }

    fn parts(&self) -> Parts<'_> {
        match self {
            Self::Explicit(Explicit { server, ca, authentication }) => {
                Parts { server, ca: ca.as_ref(), authentication, namespace: None }
            }
            Self::InCluster(InCluster { server, ca, authentication, namespace }) => {
                Parts { server, ca: Some(ca), authentication, namespace: Some(namespace) }
            }
        }
    }

    fn ca(&self, contents: &FileContents) -> Result<Option<CaBundle>, CredentialError> {
        let role = FileRole::CertificateAuthority;
        self.parts().ca.map(|ca| ca.resolve(role, contents, CaBundle::from_pem)).transpose()
    }

    fn authentication(&self, contents: &FileContents) -> Result<Authentication, CredentialError> {
        Ok(match self.parts().authentication {
            AuthenticationSource::None => Authentication::None,
            AuthenticationSource::Token(token) => {
                Authentication::Token(token.resolve(FileRole::Token, contents, BearerToken::parse)?)
            }
            AuthenticationSource::ClientCertificate { chain, key } => {
                let role = FileRole::ClientCertificate;
                let chain = chain.resolve(role, contents, CertificateChain::from_pem)?;
                let key = key.resolve(FileRole::ClientKey, contents, PrivateKey::from_pem)?;
                Authentication::ClientCertificate(ClientCertificate { chain, key })
            }
        })
    }

    fn namespace(&self, contents: &FileContents) -> Result<Option<String>, CredentialError> {
        let Some(path) = self.parts().namespace else {
            return Ok(None);
        };
        let content = match read(FileRole::Namespace, path, contents) {
            Err(CredentialError::Unreadable { kind: std::io::ErrorKind::NotFound, .. }) => return Ok(None),
            other => other?,
        };
        let name = content.trim_ascii();
        let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        let ends = !name.starts_with(b"-") && !name.ends_with(b"-");
        match std::str::from_utf8(name) {
            Ok(text) if (1..=63).contains(&text.len()) && ends && name.iter().all(inner) => {
                Ok(Some(text.to_owned()))
            }
            _ => Err(CredentialError::Namespace { path: path.to_owned() }),
        }
    }
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
