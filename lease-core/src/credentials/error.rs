//! What can be wrong with credentials, and what to do about it.
//!
//! Errors name files, variables and positions. They never repeat content, not even of an address, which may
//! hold a password by mistake.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::exec::ExecProblem;
use super::files::{FileRole, MAX_FILE_BYTES};
#[cfg(feature = "kubeconfig")]
use super::kubeconfig::KubeconfigError;
use super::url::{MAX_URL_BYTES, ServerUrl};

/// Why there are no credentials, or no new ones. Its text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialError {
    /// An environment variable of the in-cluster source is missing or bad.
    Variable {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        problem: VariableProblem,
    },
    /// The address of the API server is not one that is taken.
    ServerUrl(UrlProblem),
    /// A bearer token would go over plain http to a host that is not loopback.
    PlainHttpToken {
        /// The address; it holds no user name, password or query.
        server: ServerUrl,
    },
    /// A client certificate is given with a plain http address, where it can never be shown.
    PlainHttpClientCertificate {
        /// The address; it holds no user name, password or query.
        server: ServerUrl,
    },
    /// A request cannot be joined to the server's address.
    Request(RequestProblem),
    /// A file could not be read.
    Unreadable {
        /// What the file is for.
        role: FileRole,
        /// Where it is looked for.
        path: PathBuf,
        /// How reading failed. Missing for a moment is normal while a file is rotated.
        kind: io::ErrorKind,
    },
    /// A file that [`files`](super::CredentialSource::files) lists was not handed in: the adapter's mistake.
    NotHandedIn {
        /// What the file is for.
        role: FileRole,
        /// Where it is.
        path: PathBuf,
    },
    /// A bearer token is malformed.
    Token {
        /// The file it came from; none when it was given inline.
        path: Option<PathBuf>,
        /// What is wrong with it.
        problem: TokenProblem,
    },
    /// A PEM text is malformed or lacks what it is for.
    Pem {
        /// What the text is for; none when it was given inline.
        role: Option<FileRole>,
        /// The file it came from; none when it was given inline.
        path: Option<PathBuf>,
        /// What is wrong with it.
        problem: PemProblem,
    },
    /// The namespace file does not hold the name of a namespace.
    Namespace {
        /// Where it is.
        path: PathBuf,
    },
    /// An exec plugin gave no credentials.
    Exec {
        /// What was to be run.
        program: PathBuf,
        /// What went wrong.
        problem: ExecProblem,
        /// What whoever configured the plugin says about installing it; only when it does not exist.
        install_hint: Option<String>,
    },
    /// A kubeconfig cannot be used.
    #[cfg(feature = "kubeconfig")]
    Kubeconfig(Box<KubeconfigError>),
}

/// What is wrong with an environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VariableProblem {
    /// It is not set (or is not Unicode).
    Missing,
    /// It is set to nothing.
    Empty,
    /// It is neither a DNS name nor an IP address.
    NotAHost,
    /// It is not a whole number from 1 to 65535.
    NotAPort,
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UrlProblem {
    /// It is longer than [`MAX_URL_BYTES`].
    TooLong,
    /// A character is not visible ASCII.
    Character,
    /// It starts neither with `https://` nor with `http://`.
    Scheme,
    /// It holds a user name or a password.
    UserInfo,
    /// It holds a query (`?`).
    Query,
    /// It holds a fragment (`#`).
    Fragment,
    /// The host is neither a DNS name, an IPv4 address nor an IPv6 address in brackets.
    Host,
    /// The port is not a whole number from 1 to 65535.
    Port,
    /// The path has empty, `.` or `..` segments, or characters that must be percent-encoded.
    Path,
}

/// Why a request cannot be joined to the server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestProblem {
    /// It names a scheme or a host of its own.
    OwnHost,
    /// Its path does not start with a slash.
    NoPath,
    /// Its path has a `.` or `..` segment.
    DotSegment,
    /// Joined, it is too long for a URI.
    TooLong,
}

/// What is wrong with a bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenProblem {
    /// It is empty, or all white space.
    Empty,
    /// A byte is not visible ASCII.
    NotVisibleAscii {
        /// How many bytes of the trimmed token stand before it.
        at: usize,
    },
    /// It is larger than [`MAX_FILE_BYTES`].
    TooLarge,
}

/// What is wrong with a PEM text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PemProblem {
    /// It is larger than [`MAX_FILE_BYTES`].
    TooLarge,
    /// It has no `CERTIFICATE` block.
    NoCertificate,
    /// It has no block with a private key.
    NoKey,
    /// It has more than one private key.
    SeveralKeys,
    /// The private key is encrypted.
    EncryptedKey,
    /// The private key is not of PKCS#8, PKCS#1 or SEC 1 form.
    UnsupportedKey,
    /// One block is broken.
    Block {
        /// Its number in the text, from 1.
        number: usize,
        /// How it is broken.
        fault: BlockFault,
    },
}

/// How one block of a PEM text is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlockFault {
    /// It has no `END` line of its own.
    Unterminated,
    /// It holds nothing.
    Empty,
    /// It holds something that is not base64.
    Base64,
}

impl fmt::Display for CredentialError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { name, problem } => write!(formatter, "environment variable {name} {problem}"),
            Self::ServerUrl(problem) => write!(formatter, "API server address: {problem}"),
            Self::PlainHttpToken { server } => write!(
                formatter,
                "a bearer token is never sent over plain http to a host that is not loopback ({server}): \
                 use an https address"
            ),
            Self::PlainHttpClientCertificate { server } => write!(
                formatter,
                "a client certificate cannot be shown over plain http ({server}): use an https address"
            ),
            Self::Request(problem) => write!(formatter, "request not sent: {problem}"),
            Self::Unreadable { role, path, kind: io::ErrorKind::NotFound } => write!(
                formatter,
                "{role} file {} does not exist: check the path, and that the volume or secret is mounted",
                path.display()
            ),
            Self::Unreadable { role, path, kind } => {
                write!(
                    formatter,
                    "{role} file {} cannot be read ({kind}): check its permissions",
                    path.display()
                )
            }
            Self::NotHandedIn { role, path } => write!(
                formatter,
                "{role} file {} was not read: the adapter must read every file that the source lists",
                path.display()
            ),
            Self::Token { path, problem } => write!(formatter, "token{} {problem}", At(path.as_deref())),
            Self::Pem { role, path, problem } => {
                match role {
                    Some(role) => write!(formatter, "{role}")?,
                    None => formatter.write_str("PEM text")?,
                }
                write!(formatter, "{} {problem}", At(path.as_deref()))
            }
            Self::Namespace { path } => write!(
                formatter,
                "namespace file {} does not hold the name of a namespace: lower case letters, digits, '-', \
                 at most 63",
                path.display()
            ),
            Self::Exec { program, problem, install_hint } => {
                write!(formatter, "exec plugin {} {problem}", program.display())?;
                match install_hint {
                    Some(hint) => write!(formatter, "; {}", Shown(hint)),
                    None => Ok(()),
                }
            }
            #[cfg(feature = "kubeconfig")]
            Self::Kubeconfig(problem) => write!(formatter, "kubeconfig: {problem}"),
        }
    }
}

/// A text of somebody else: control characters escaped, cut after 300 characters.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(300).map_or(self.0.len(), |(at, _)| at);
        for part in self.0[..end].trim().chars() {
            match part {
                '\n' => formatter.write_str(" ")?,
                part if part.is_control() => write!(formatter, "{}", part.escape_default())?,
                part => write!(formatter, "{part}")?,
            }
        }
        formatter.write_str(if end < self.0.len() { "…" } else { "" })
    }
}

/// ` file PATH`, or nothing for what was given inline.
struct At<'a>(Option<&'a Path>);

impl fmt::Display for At<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => write!(formatter, " file {}", path.display()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for VariableProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => {
                "is not set: this process seems not to run in a pod; name a server explicitly, or pass the \
                 pod's environment on"
            }
            Self::Empty => "is empty: unset what empties it, or name a server explicitly",
            Self::NotAHost => "is neither a DNS name nor an IP address: name a server explicitly",
            Self::NotAPort => "is not a port, a whole number from 1 to 65535: name a server explicitly",
        })
    }
}

impl fmt::Display for UrlProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(formatter, "it is longer than {MAX_URL_BYTES} bytes"),
            Self::Character => {
                formatter.write_str("it has a character that is not visible ASCII: remove white space")
            }
            Self::Scheme => formatter.write_str("it must start with https:// (or http://)"),
            Self::UserInfo => formatter
                .write_str("it holds a user name or password: use a token or a client certificate instead"),
            Self::Query => formatter.write_str("it holds a query: remove everything from '?' on"),
            Self::Fragment => formatter.write_str("it holds a fragment: remove everything from '#' on"),
            Self::Host => formatter.write_str(
                "its host is neither a DNS name, an IPv4 address in four parts nor a bracketed IPv6 address",
            ),
            Self::Port => formatter.write_str("its port is not a whole number from 1 to 65535"),
            Self::Path => formatter.write_str(
                "its path has an empty, '.' or '..' segment, or a character that must be percent-encoded",
            ),
        }
    }
}

impl fmt::Display for RequestProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OwnHost => "it names a host of its own; credentials go to their own server only",
            Self::NoPath => "its path does not start with '/'",
            Self::DotSegment => "its path has a '.' or '..' segment",
            Self::TooLong => "with the server's address it is too long for a URI",
        })
    }
}

impl fmt::Display for TokenProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("is empty: write a token there"),
            Self::NotVisibleAscii { at } => write!(
                formatter,
                "has a byte at offset {at} that is not visible ASCII: it must be one word, without 'Bearer'"
            ),
            Self::TooLarge => write!(formatter, "is larger than {MAX_FILE_BYTES} bytes: check the path"),
        }
    }
}

impl fmt::Display for PemProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(formatter, "is larger than {MAX_FILE_BYTES} bytes: check the path"),
            Self::NoCertificate => formatter.write_str(
                "has no '-----BEGIN CERTIFICATE-----' block: it must be PEM (not DER, not base64 of PEM), \
                 with its line breaks",
            ),
            Self::NoKey => formatter.write_str("has no private key: it must be PEM, PKCS#8, PKCS#1 or SEC 1"),
            Self::SeveralKeys => formatter.write_str("has more than one private key: leave one"),
            Self::EncryptedKey => {
                formatter.write_str("has an encrypted private key: decrypt it first, say with 'openssl pkey'")
            }
            Self::UnsupportedKey => formatter.write_str(
                "has a private key of an unsupported form: convert it to PKCS#8, say with 'openssl pkey'",
            ),
            Self::Block { number, fault } => write!(formatter, "is broken: PEM block {number} {fault}"),
        }
    }
}

impl fmt::Display for BlockFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unterminated => "has no END line of its own (was the file cut off?)",
            Self::Empty => "holds nothing",
            Self::Base64 => "is not base64",
        })
    }
}

impl Error for CredentialError {}
impl Error for UrlProblem {}
impl Error for RequestProblem {}
impl Error for VariableProblem {}
impl Error for TokenProblem {}
impl Error for PemProblem {}

impl CredentialError {
    /// The same problem, found in a file.
    pub(super) fn in_file(self, found_role: FileRole, found_path: &Path) -> Self {
        let path = Some(found_path.to_owned());
        match self {
            Self::Token { problem, .. } => Self::Token { path, problem },
            Self::Pem { problem, .. } => Self::Pem { role: Some(found_role), path, problem },
            other => other,
        }
    }
}

#[cfg(feature = "kubeconfig")]
impl From<KubeconfigError> for CredentialError {
    fn from(problem: KubeconfigError) -> Self {
        Self::Kubeconfig(Box::new(problem))
    }
}

impl From<TokenProblem> for CredentialError {
    fn from(problem: TokenProblem) -> Self {
        Self::Token { path: None, problem }
    }
}

impl From<PemProblem> for CredentialError {
    fn from(problem: PemProblem) -> Self {
        Self::Pem { role: None, path: None, problem }
    }
}
