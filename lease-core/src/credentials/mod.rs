//! Whom to talk to, whom to trust, and who we are: parsing and policy, without reading anything.
//!
//! Address, certificate authority and authentication come from **one** [`CredentialSource`] as a whole. They
//! are never mixed: a [`Credentials`] value can only be made by [`CredentialSource::resolve`] or by a
//! [`Rotation`] of the same source, its fields cannot be exchanged, and [`Credentials::prepare`] joins the
//! address and the token to a request in one step. So a cluster's token cannot go to an address that it was
//! not issued for. Nor does it ever go over plain http, unless to the loopback interface.
//!
//! Reading files is the adapter's part. It asks for a list, reads each with a limit, and hands in what came
//! of it, successes and failures alike:
//!
//! ```
//! use lease_core::credentials::*;
//!
//! # fn read_at_most(_path: &std::path::Path, _limit: usize) -> std::io::Result<Vec<u8>> {
//! #     Ok(b"s3cr3t\n".to_vec())
//! # }
//! let source = CredentialSource::Explicit(Explicit::new(
//!     "https://10.0.0.1:6443".parse()?,
//!     None,
//!     AuthenticationSource::Token(Piece::File("/etc/lease/token".into())),
//! )?);
//! let mut contents = FileContents::new();
//! for file in source.files() {
//!     let read = read_at_most(&file.path, MAX_FILE_BYTES + 1); // one byte more shows that it is too large
//!     contents.insert(file.role, read.map_err(|error| error.kind()));
//! }
//! let credentials = source.resolve(&contents)?;
//! let request = http::Request::get("/version").body(())?;
//! let request = credentials.prepare(request)?;
//! assert_eq!(request.uri(), "https://10.0.0.1:6443/version");
//! assert_eq!(request.headers()["authorization"], "Bearer s3cr3t");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Afterwards a [`Rotation`] says when to read again and what a re-read changed.
//!
//! Secrets (tokens, private keys, what was read from files) never appear in `Debug` or `Display` output of
//! anything in here, errors included. They are not wiped from memory when dropped.
//!
//! An exec plugin is a command to run beside the files to read: [`CredentialSource::command`] and
//! [`Rotation::command`] describe it, [`FileContents::insert_exec`] takes what it printed.

mod base64;
mod connection;
mod error;
mod exec;
mod files;
#[cfg(feature = "kubeconfig")]
pub mod kubeconfig;
mod pem;
mod resolved;
mod rotation;
mod schedule;
mod source;
mod token;
mod url;

#[cfg(test)]
mod tests;

pub use connection::{CredentialWarning, ProxyScheme, ProxyUrl};
pub use error::{
    BlockFault, CredentialError, PemProblem, RequestProblem, TokenProblem, UrlProblem, VariableProblem,
};
pub use exec::{ExecApiVersion, ExecCommand, ExecFailure, ExecPlugin, ExecProblem, MAX_EXEC_BYTES};
pub use files::{FileContents, FileRole, FileToRead, MAX_FILE_BYTES};
pub use pem::{CaBundle, CertificateChain, ClientCertificate, PrivateKey};
pub use resolved::{Authentication, Credentials};
pub use rotation::{Change, Reread, Rotation, RotationPolicy, RotationTime};
pub use source::{AuthenticationSource, CredentialSource, Explicit, InCluster, Piece};
pub use token::BearerToken;
pub use url::{MAX_URL_BYTES, ServerUrl};
