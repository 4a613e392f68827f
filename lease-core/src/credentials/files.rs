//! What an adapter has to read, and what came of it, as data.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use super::exec::ExecFailure;

/// The most bytes of one file that are taken: 1 MiB.
///
/// Adapters stop reading after `MAX_FILE_BYTES + 1` bytes (a token path that points to `/dev/zero` must not
/// fill the memory) and hand in what they have; parsing then refuses it as too large. The largest honest
/// files are CA bundles, some 250 KiB.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FileRole {
    /// The bearer token.
    Token,
    /// The certificates of the authorities that are trusted to vouch for the server.
    CertificateAuthority,
    /// Our certificate and those between it and its authority.
    ClientCertificate,
    /// The private key of our certificate.
    ClientKey,
    /// The namespace of the pod. It may be missing.
    Namespace,
}

impl fmt::Display for FileRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Token => "token",
            Self::CertificateAuthority => "certificate authority",
            Self::ClientCertificate => "client certificate",
            Self::ClientKey => "client key",
            Self::Namespace => "namespace",
        })
    }
}

/// One file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileToRead {
    /// What it is for; one source never has two files of one role.
    pub role: FileRole,
    /// Where it is, as configured.
    pub path: PathBuf,
}

/// What came of reading files, for each role the content or how reading it failed, and of running an exec
/// plugin, if there is one.
///
/// `Debug` shows sizes, never content.
#[derive(Clone, Default)]
pub struct FileContents {
    files: BTreeMap<FileRole, Result<Bytes, io::ErrorKind>>,
    exec: Option<Result<Bytes, ExecFailure>>,
}

impl FileContents {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Files the outcome of reading the file of this role; a second one takes the first one's place.
    ///
    /// Content beyond [`MAX_FILE_BYTES`] is refused later, with the file's path.
    pub fn insert(&mut self, role: FileRole, read: Result<impl Into<Bytes>, io::ErrorKind>) {
        self.files.insert(role, read.map(Into::into));
    }

    /// Takes the outcome of running an [`ExecCommand`](super::ExecCommand): its standard output if it ended
    /// with success.
    ///
    /// Output beyond [`MAX_EXEC_BYTES`](super::MAX_EXEC_BYTES) is refused later, with the plugin's name.
    pub fn insert_exec(&mut self, outcome: Result<impl Into<Bytes>, ExecFailure>) {
        self.exec = Some(outcome.map(Into::into));
    }

    pub(super) fn exec(&self) -> Option<&Result<Bytes, ExecFailure>> {
        self.exec.as_ref()
    }

    pub(crate) fn get(&self, role: FileRole) -> Option<&Result<Bytes, io::ErrorKind>> {
        self.files.get(&role)
    }
}

impl fmt::Debug for FileContents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = formatter.debug_map();
        for (role, read) in &self.files {
            map.entry(role, &read.as_ref().map(Bytes::len));
        }
        if let Some(outcome) = &self.exec {
            map.entry(&"exec", &outcome.as_ref().map(Bytes::len));
        }
        map.finish()
    }
}
