//! Kubeconfig files as a source of credentials. Needs the feature `kubeconfig`.
//!
//! Nothing is read in here. [`KubeconfigFiles`] says which files to read; [`Kubeconfig::from_files`] takes what
//! came of that, merges them as kubectl does, picks one context and makes one [`CredentialSource`] of it, which
//! an adapter takes like any other.
//!
//! ```
//! use lease_core::credentials::CredentialSource;
//! use lease_core::credentials::kubeconfig::{Kubeconfig, KubeconfigFiles, KubeconfigOptions};
//! # use std::path::Path;
//!
//! # let variable = None; // std::env::var_os("KUBECONFIG")
//! # let home = Some(Path::new("/home/me"));
//! # let read = |_: &Path| Ok::<_, std::io::ErrorKind>(r#"
//! # current-context: dev
//! # contexts: [{name: prod, context: {cluster: c, user: u, namespace: team-a}}]
//! # clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443"}}]
//! # users: [{name: u, user: {token: s3cr3t}}]
//! # "#);
//! let files = KubeconfigFiles::from_env(variable, home)?; // KUBECONFIG, or .kube/config in the home folder
//! let reads = files.paths().iter().map(|path| read(path)); // at most MAX_FILE_BYTES + 1 bytes of each
//! let options = KubeconfigOptions::new().context("prod"); // default: the current-context
//! let source = CredentialSource::Kubeconfig(Kubeconfig::from_files(&files, reads, &options)?);
//! # assert_eq!(source.resolve(&lease_core::credentials::FileContents::new())?.namespace(), Some("team-a"));
//! # Ok::<(), lease_core::credentials::CredentialError>(())
//! ```
//!
//! # What is taken
//!
//! | where | what |
//! | --- | --- |
//! | cluster | `server`; `certificate-authority` or `certificate-authority-data`; `tls-server-name`; `proxy-url`; `insecure-skip-tls-verify`, refused unless [allowed](KubeconfigOptions::allow_insecure_skip_tls_verify), and then with a [warning](super::Credentials::warnings); `disable-compression`, which only plugins are told: nothing is ever compressed |
//! | context | `cluster`, `user`, both needed; `namespace` |
//! | user | `token` or `tokenFile` (the file counts); `client-certificate` or `client-certificate-data` with `client-key` or `client-key-data`; a token and a certificate together; or `exec`, alone; or nothing |
//!
//! Refused by name, since ignoring them would do something else than what is written there: `username` and
//! `password` (API servers have no longer taken them since 1.19), `auth-provider` (replaced by plugins), `as` and
//! its relatives (ignored, we would act with other rights than asked for). Other fields are ignored, as kubectl
//! does.
//!
//! Merging, from client-go's `ClientConfigLoadingRules.Load`: of entries with one name in several files the
//! first counts, as a whole; the first file with a `current-context` sets it; files of a list that do not exist
//! are skipped, one that was named explicitly must exist; a file that cannot be parsed is an error; relative
//! paths belong to the folder of their own file, and so do plugins with a separator in their name. Beyond that,
//! it is an error when no file of a list exists.
//!
//! YAML and JSON are taken, one document a file, with or without a byte order mark, with any line ends. A key
//! that stands twice in one mapping is an error here, and so is one name twice in a list of one file.
//!
//! The files themselves are read once. What they point to (`tokenFile` and certificates in files) is followed,
//! and plugins are run again: see [`Rotation`](super::Rotation).
//!
//! Errors name files, lines, entries and fields. They repeat the names of entries, never their content, and
//! nothing of a line that cannot be parsed.

mod choose;
mod document;
mod error;
mod files;
mod merge;
mod options;

pub use error::{EntryKind, FieldProblem, KubeconfigError, SyntaxProblem};
pub use files::KubeconfigFiles;
pub use options::KubeconfigOptions;

use std::io;

use bytes::Bytes;

use super::connection::Connection;
use super::error::CredentialError;
use super::pem::CaBundle;
use super::source::{AuthenticationSource, Piece};
use super::url::ServerUrl;

#[cfg(doc)]
use super::CredentialSource;

/// One context of a kubeconfig: whom to talk to, whom to trust, and who we are.
///
/// `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubeconfig {
    context: String,
    pub(super) server: ServerUrl,
    pub(super) ca: Option<Piece<CaBundle>>,
    pub(super) authentication: AuthenticationSource,
    pub(super) namespace: Option<String>,
    pub(super) connection: Connection,
}

impl Kubeconfig {
    /// Merges what came of reading the [paths](KubeconfigFiles::paths), one outcome for each, in their order,
    /// and picks the context that `options` ask for.
    ///
    /// # Errors
    /// [`CredentialError::Kubeconfig`]: no file, one that cannot be read or parsed, no such context, or
    /// something in it that cannot be used. [`CredentialError::PlainHttpToken`] or
    /// [`CredentialError::PlainHttpClientCertificate`]: the address does not protect the secret.
    pub fn from_files(
        files: &KubeconfigFiles,
        reads: impl IntoIterator<Item = Result<impl Into<Bytes>, io::ErrorKind>>,
        options: &KubeconfigOptions,
    ) -> Result<Self, CredentialError> {
        let mut reads = reads.into_iter();
        let mut documents = Vec::new();
        for path in files.paths() {
            match reads.next().map(|read| read.map(Into::into)) {
                Some(Ok(content)) => documents.push((path.as_path(), document::parse(path, &content)?)),
                Some(Err(io::ErrorKind::NotFound)) if !files.must_exist() => {}
                Some(Err(kind)) => {
                    return Err(KubeconfigError::Unreadable { path: path.clone(), kind }.into());
                }
                None => return Err(KubeconfigError::NotHandedIn { path: path.clone() }.into()),
            }
        }
        if documents.is_empty() {
            return Err(KubeconfigError::NoFile { paths: files.paths().to_vec() }.into());
        }
        choose::choose(merge::merge(documents)?, options)
    }

    /// The name of the context.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The API server.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// The context's namespace. None: it names none, which kubectl takes for `default`.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}
