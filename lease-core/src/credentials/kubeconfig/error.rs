//! What can be wrong with a kubeconfig, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::credentials::error::{PemProblem, Shown, TokenProblem, UrlProblem};
use crate::credentials::files::MAX_FILE_BYTES;

/// Why a kubeconfig cannot be used. Its text says what to do. It names files, lines, entries and fields, and
/// repeats nothing else of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KubeconfigError {
    /// `KUBECONFIG` is not set, and there is no home folder to look in.
    NoHome,
    /// None of the files exists, or there is none.
    NoFile {
        /// Where they were looked for.
        paths: Vec<PathBuf>,
    },
    /// A file could not be read.
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// How reading failed.
        kind: io::ErrorKind,
    },
    /// What came of reading a file was not handed in: the adapter's mistake.
    NotHandedIn {
        /// Where it is.
        path: PathBuf,
    },
    /// A file cannot be parsed.
    Malformed {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        problem: SyntaxProblem,
        /// The line where that shows, from 1; 0 when it concerns the whole file.
        line: u64,
        /// The column, from 1; 0 with line 0.
        column: u64,
    },
    /// An entry of a list has no name.
    Unnamed {
        /// The file.
        path: PathBuf,
        /// The list.
        kind: EntryKind,
        /// Which entry, from 1.
        number: usize,
    },
    /// Two entries of a list have one name.
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The list.
        kind: EntryKind,
        /// The name.
        name: String,
    },
    /// No context is asked for, and no file has a `current-context`.
    NoContext {
        /// The contexts that there are.
        available: Vec<String>,
    },
    /// There is no such context.
    UnknownContext {
        /// The one that is asked for, or the current one.
        name: String,
        /// The contexts that there are.
        available: Vec<String>,
    },
    /// A context names no cluster or no user.
    Unreferred {
        /// The context.
        context: String,
        /// What it does not name.
        kind: EntryKind,
    },
    /// A context names a cluster or a user that is not there.
    Unknown {
        /// The context.
        context: String,
        /// What it names.
        kind: EntryKind,
        /// The name.
        name: String,
        /// Those that there are.
        available: Vec<String>,
    },
    /// A field of an entry cannot be used.
    Field {
        /// The file.
        path: PathBuf,
        /// The list.
        kind: EntryKind,
        /// The entry.
        name: String,
        /// The field, with those that it stands in.
        field: &'static str,
        /// What is wrong with it.
        problem: FieldProblem,
    },
}

/// What is wrong with a file as a whole, or with a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyntaxProblem {
    /// It is larger than [`MAX_FILE_BYTES`].
    TooLarge,
    /// It is not UTF-8.
    NotUtf8,
    /// It is neither YAML nor JSON.
    Syntax,
    /// Something has another type than it must have.
    Type,
    /// A key stands twice in one mapping.
    DuplicateKey,
    /// There is more than one document.
    SeveralDocuments,
    /// It is nested too deeply, or its aliases stand for too much.
    TooComplex,
    /// It is something else than a kubeconfig: this field says so.
    AnotherKind {
        /// `kind` or `apiVersion`.
        field: &'static str,
    },
}

/// The lists of a kubeconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// `clusters`.
    Cluster,
    /// `contexts`.
    Context,
    /// `users`.
    User,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldProblem {
    /// It is needed, and missing or empty.
    Missing,
    /// It cannot stand beside another one.
    Conflict {
        /// The other one.
        with: &'static str,
    },
    /// It is not base64.
    Base64,
    /// It is not the PEM that it must be.
    Pem(PemProblem),
    /// It is not a token.
    Token(TokenProblem),
    /// It is not the address of a server.
    Url(UrlProblem),
    /// It is not the address of a proxy.
    Proxy(UrlProblem),
    /// It is neither a DNS name nor an IP address.
    ServerName,
    /// It is not the name of a namespace.
    Namespace,
    /// It switches TLS verification off, which the application did not allow.
    NotAllowed,
    /// User name and password are not supported.
    BasicAuth,
    /// Auth providers are not supported.
    AuthProvider {
        /// Which one is named.
        name: String,
    },
    /// Acting as somebody else is not supported.
    Impersonation,
    /// It is no version of `client.authentication.k8s.io` that is supported.
    ExecApiVersion,
    /// It is none of the modes.
    InteractiveMode,
    /// The plugin wants a terminal, and there is none.
    NeedsTerminal,
    /// It has a NUL character, or the name of a variable has a `=`.
    Nul,
}

impl EntryKind {
    fn list(self) -> &'static str {
        match self {
            Self::Cluster => "clusters",
            Self::Context => "contexts",
            Self::User => "users",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cluster => "cluster",
            Self::Context => "context",
            Self::User => "user",
        })
    }
}

/// Names in quotes, the first 20 of them.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 20;
        if self.0.is_empty() {
            return formatter.write_str("none");
        }
        for (at, name) in self.0.iter().take(MOST).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(formatter, "{comma}'{}'", Shown(name))?;
        }
        match self.0.len().saturating_sub(MOST) {
            0 => Ok(()),
            more => write!(formatter, " and {more} more"),
        }
    }
}

impl fmt::Display for KubeconfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHome => formatter.write_str(
                "KUBECONFIG is not set and there is no home folder to look in: set KUBECONFIG or name a file",
            ),
            Self::NoFile { paths } if paths.is_empty() => {
                formatter.write_str("KUBECONFIG lists no file: name one, or unset it")
            }
            Self::NoFile { paths } => {
                formatter.write_str("there is no file at ")?;
                for (at, path) in paths.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(formatter, "{comma}{}", path.display())?;
                }
                formatter.write_str(": set KUBECONFIG to one that exists, or name it")
            }
            Self::Unreadable { path, kind: io::ErrorKind::NotFound } => {
                write!(formatter, "{} does not exist: check the path", path.display())
            }
            Self::Unreadable { path, kind } => {
                write!(formatter, "{} cannot be read ({kind}): check its permissions", path.display())
            }
            Self::NotHandedIn { path } => write!(
                formatter,
                "{} was not read: the adapter must read every file that is listed",
                path.display()
            ),
            Self::Malformed { path, problem, line: 0, .. } => {
                write!(formatter, "{} {problem}", path.display())
            }
            Self::Malformed { path, problem, line, column } => {
                write!(formatter, "{}, line {line}, column {column}: {problem}", path.display())
            }
            Self::Unnamed { path, kind, number } => {
                write!(formatter, "{}: entry {number} of {} has no name", path.display(), kind.list())
            }
            Self::Duplicate { path, kind, name } => write!(
                formatter,
                "{}: {} has two entries named '{}': remove or rename one",
                path.display(),
                kind.list(),
                Shown(name)
            ),
            Self::NoContext { available } => write!(
                formatter,
                "there is no current-context: set it with 'kubectl config use-context', or name a context; \
                 there are: {}",
                Names(available)
            ),
            Self::UnknownContext { name, available } => write!(
                formatter,
                "there is no context named '{}': name another; there are: {}",
                Shown(name),
                Names(available)
            ),
            Self::Unreferred { context, kind } => {
                write!(formatter, "context '{}' names no {kind}: add one", Shown(context))
            }
            Self::Unknown { context, kind, name, available } => write!(
                formatter,
                "context '{}' names the {kind} '{}', which is not there: correct it, or add it to {}; there \
                 are: {}",
                Shown(context),
                Shown(name),
                kind.list(),
                Names(available)
            ),
            Self::Field { path, kind, name, field, problem } => {
                write!(formatter, "{}: {kind} '{}': {field} {problem}", path.display(), Shown(name))
            }
        }
    }
}

impl fmt::Display for SyntaxProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(formatter, "is larger than {MAX_FILE_BYTES} bytes: check the path"),
            Self::NotUtf8 => formatter.write_str("is not UTF-8: save it as that"),
            Self::Syntax => {
                formatter.write_str("this is neither YAML nor JSON: look for tabs, indentation and quotes")
            }
            Self::Type => formatter.write_str(
                "here stands something of another type than it must be (a text, a list, a mapping, true or \
                 false)",
            ),
            Self::DuplicateKey => formatter.write_str("this key stands twice: remove one"),
            Self::SeveralDocuments => formatter.write_str(
                "a second document begins: leave one in the file, or list several files in KUBECONFIG",
            ),
            Self::TooComplex => formatter.write_str("it is nested too deeply, or has too many aliases"),
            Self::AnotherKind { field } => {
                write!(formatter, "is no kubeconfig: its {field} says so (kind Config, apiVersion v1)")
            }
        }
    }
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("is missing: add it"),
            Self::Conflict { with } => write!(formatter, "cannot stand beside {with}: remove one of them"),
            Self::Base64 => formatter.write_str("is not base64"),
            Self::Pem(problem) => write!(formatter, "{problem}"),
            Self::Token(problem) => write!(formatter, "{problem}"),
            Self::Url(problem) => write!(formatter, "cannot be used: {problem}"),
            Self::Proxy(UrlProblem::Scheme) => {
                formatter.write_str("cannot be used: it must start with http://, https:// or socks5://")
            }
            Self::Proxy(problem) => write!(formatter, "cannot be used: {problem}"),
            Self::ServerName => formatter.write_str("is neither a DNS name nor an IP address"),
            Self::Namespace => formatter
                .write_str("is not the name of a namespace: lower case letters, digits, '-', at most 63"),
            Self::NotAllowed => formatter.write_str(
                "is set, and the application does not allow it: set certificate-authority-data instead (and \
                 tls-server-name, if the names differ), or allow it in the application",
            ),
            Self::BasicAuth => formatter.write_str(
                "is not supported, nor by API servers since 1.19: use a token or a client certificate",
            ),
            Self::AuthProvider { name } => write!(
                formatter,
                "'{}' is not supported, nor by kubectl since 1.26: use the exec plugin that replaces it",
                Shown(name)
            ),
            Self::Impersonation => {
                formatter.write_str("is not supported: use credentials of the user to act as")
            }
            Self::ExecApiVersion => formatter
                .write_str("must be client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1"),
            Self::InteractiveMode => formatter.write_str("must be Never or IfAvailable"),
            Self::NeedsTerminal => formatter.write_str(
                "is Always, and there is no terminal: use a plugin, or a way to log in, that needs none",
            ),
            Self::Nul => formatter.write_str("has a NUL character, or a variable's name has a '='"),
        }
    }
}

impl Error for KubeconfigError {}
impl Error for FieldProblem {}
impl Error for SyntaxProblem {}
