//! One kubeconfig file as it is written. The only place that knows of a YAML parser.
//!
//! Nothing in here has `Debug`: it holds secrets.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{Error, NonFiniteFloatPolicy};

use super::error::{KubeconfigError, SyntaxProblem};
use crate::credentials::files::MAX_FILE_BYTES;

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Document {
    #[serde(rename = "apiVersion")]
    pub(super) api_version: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) current_context: Option<String>,
    pub(super) clusters: Option<Vec<NamedCluster>>,
    pub(super) contexts: Option<Vec<NamedContext>>,
    pub(super) users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
pub(super) struct NamedCluster {
    pub(super) name: Option<String>,
    pub(super) cluster: Option<Cluster>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Cluster {
    pub(super) server: Option<String>,
    pub(super) certificate_authority: Option<String>,
    pub(super) certificate_authority_data: Option<String>,
    pub(super) tls_server_name: Option<String>,
    pub(super) insecure_skip_tls_verify: Option<bool>,
    pub(super) proxy_url: Option<String>,
    pub(super) disable_compression: Option<bool>,
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Deserialize)]
pub(super) struct Extension {
    pub(super) name: Option<String>,
    pub(super) extension: Option<serde_json::Value>,
}

#[derive(Deserialize)]
pub(super) struct NamedContext {
    pub(super) name: Option<String>,
    pub(super) context: Option<Context>,
}

#[derive(Default, Deserialize)]
pub(super) struct Context {
    pub(super) cluster: Option<String>,
    pub(super) user: Option<String>,
    pub(super) namespace: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct NamedUser {
    pub(super) name: Option<String>,
    pub(super) user: Option<User>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct User {
    pub(super) token: Option<String>,
    #[serde(rename = "tokenFile")]
    pub(super) token_file: Option<String>,
    pub(super) client_certificate: Option<String>,
    pub(super) client_certificate_data: Option<String>,
    pub(super) client_key: Option<String>,
    pub(super) client_key_data: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    #[serde(rename = "as")]
    pub(super) act_as: Option<String>,
    pub(super) as_uid: Option<String>,
    pub(super) as_groups: Option<Vec<IgnoredAny>>,
    pub(super) as_user_extra: Option<BTreeMap<String, IgnoredAny>>,
    pub(super) auth_provider: Option<AuthProvider>,
    pub(super) exec: Option<Exec>,
}

#[derive(Deserialize)]
pub(super) struct AuthProvider {
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Exec {
    pub(super) api_version: Option<String>,
    pub(super) command: Option<String>,
    pub(super) args: Option<Vec<String>>,
    pub(super) env: Option<Vec<Variable>>,
    pub(super) install_hint: Option<String>,
    pub(super) interactive_mode: Option<String>,
    pub(super) provide_cluster_info: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct Variable {
    pub(super) name: Option<String>,
    pub(super) value: Option<String>,
}

/// Parses one file, YAML or JSON. An empty one is an empty kubeconfig, as for kubectl.
pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Document, KubeconfigError> {
    let malformed =
        |problem, line, column| KubeconfigError::Malformed { path: path.to_owned(), problem, line, column };
    if content.len() > MAX_FILE_BYTES {
        return Err(malformed(SyntaxProblem::TooLarge, 0, 0));
    }
    let options = serde_saphyr::options! {
        with_snippet: false,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    };
    let document: Option<Document> =
        serde_saphyr::from_slice_with_options(content, options).map_err(|error| {
            let location = error.location().filter(|location| location.line() > 0);
            let (line, column) = location.map_or((0, 0), |location| (location.line(), location.column()));
            malformed(problem(&error), line, column)
        })?;
    let document = document.unwrap_or_default();
    for (field, value, wanted) in
        [("kind", &document.kind, "Config"), ("apiVersion", &document.api_version, "v1")]
    {
        if value.as_deref().is_some_and(|value| !value.is_empty() && value != wanted) {
            return Err(malformed(SyntaxProblem::AnotherKind { field }, 0, 0));
        }
    }
    Ok(document)
}

/// What is wrong, without the parser's words: they repeat what stands there, which may be a secret.
fn problem(error: &Error) -> SyntaxProblem {
    match error.without_snippet() {
        Error::AliasError { error, .. } => problem(error),
        Error::MultipleDocuments { .. } => SyntaxProblem::SeveralDocuments,
        Error::DuplicateMappingKey { .. } => SyntaxProblem::DuplicateKey,
        Error::InvalidUtf8Input => SyntaxProblem::NotUtf8,
        Error::Unexpected { .. }
        | Error::UnexpectedSequenceEnd { .. }
        | Error::UnexpectedMappingEnd { .. }
        | Error::InvalidBooleanStrict { .. }
        | Error::NullIntoString { .. }
        | Error::TaggedScalarCannotDeserializeIntoString { .. }
        | Error::InvalidScalar { .. }
        | Error::SerdeInvalidType { .. }
        | Error::SerdeInvalidValue { .. } => SyntaxProblem::Type,
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::Budget { .. } => SyntaxProblem::TooComplex,
        _ => SyntaxProblem::Syntax,
    }
}
