//! What a plugin printed, as credentials.

use std::io;

use serde::Deserialize;

use super::{ExecApiVersion, ExecFailure, ExecPlugin, ExecProblem, MAX_EXEC_BYTES};
use crate::credentials::error::CredentialError;
use crate::credentials::files::FileContents;
use crate::credentials::pem::{CertificateChain, ClientCertificate, PrivateKey};
use crate::credentials::resolved::{Authentication, Shown};
use crate::credentials::token::BearerToken;
use crate::{WallTime, timestamp};

/// An `ExecCredential` as an answer. Has no `Debug`: it holds secrets.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    api_version: Option<String>,
    kind: Option<String>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<String>,
}

/// The credentials in what came of running `plugin`. What has expired by `now` is refused, if there is a wall
/// clock.
pub(in crate::credentials) fn take(
    plugin: &ExecPlugin,
    contents: &FileContents,
    now: Option<WallTime>,
) -> Result<Shown, CredentialError> {
    let taken = match contents.exec() {
        Some(Ok(stdout)) => parse(stdout, plugin.api_version),
        Some(Err(failure)) => Err(ExecProblem::Failed(*failure)),
        None => Err(ExecProblem::NotRun),
    };
    taken.and_then(|shown| not_expired(shown, now)).map_err(|problem| plugin.problem(problem))
}

fn not_expired(shown: Shown, now: Option<WallTime>) -> Result<Shown, ExecProblem> {
    match now.zip(shown.expires_at) {
        Some((now, expiry)) if expiry <= now => {
            Err(ExecProblem::Expired { ago: now.saturating_since(expiry) })
        }
        _ => Ok(shown),
    }
}

fn parse(stdout: &[u8], asked: ExecApiVersion) -> Result<Shown, ExecProblem> {
    if stdout.len() > MAX_EXEC_BYTES {
        return Err(ExecProblem::TooLarge);
    }
    // The error's own text may repeat what it found.
    let answer: Answer = serde_json::from_slice(stdout)
        .map_err(|error| ExecProblem::NotJson { line: error.line(), column: error.column() })?;
    if answer.kind.as_deref() != Some("ExecCredential") {
        return Err(ExecProblem::Kind);
    }
    if answer.api_version.as_deref() != Some(asked.as_str()) {
        return Err(ExecProblem::ApiVersion { asked });
    }
    let status = answer.status.unwrap_or_default();
    let expires_at = match &status.expiration_timestamp {
        Some(text) => Some(timestamp::parse(text).ok_or(ExecProblem::Timestamp)?),
        None => None,
    };
    Ok(Shown { authentication: status.authentication()?, expires_at })
}

impl Status {
    /// As for Go, an empty text is an absent one.
    fn authentication(&self) -> Result<Authentication, ExecProblem> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let token = given(&self.token)
            .map(|token| BearerToken::parse(token.as_bytes()).map_err(ExecProblem::Token))
            .transpose()?;
        let certificate = match (given(&self.client_certificate_data), given(&self.client_key_data)) {
            (Some(chain), Some(key)) => Some(ClientCertificate {
                chain: CertificateChain::from_pem(chain.as_bytes()).map_err(ExecProblem::Certificate)?,
                key: PrivateKey::from_pem(key.as_bytes()).map_err(ExecProblem::Key)?,
            }),
            (None, None) => None,
            _ => return Err(ExecProblem::HalfACertificate),
        };
        match (token, certificate) {
            (Some(token), Some(certificate)) => {
                Ok(Authentication::TokenAndClientCertificate { token, certificate })
            }
            (Some(token), None) => Ok(Authentication::Token(token)),
            (None, Some(certificate)) => Ok(Authentication::ClientCertificate(certificate)),
            (None, None) => Err(ExecProblem::NoCredentials),
        }
    }
}

impl ExecPlugin {
    /// The error that says what is wrong with this plugin.
    pub(in crate::credentials) fn problem(&self, problem: ExecProblem) -> CredentialError {
        let missing = problem == ExecProblem::Failed(ExecFailure::NotStarted(io::ErrorKind::NotFound));
        CredentialError::Exec {
            program: self.program.clone(),
            problem,
            install_hint: self.install_hint.clone().filter(|_| missing),
        }
    }
}
