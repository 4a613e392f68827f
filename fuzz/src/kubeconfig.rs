//! Arbitrary bytes as kubeconfig files and as what an exec plugin prints: nothing panics, nothing secret is printed.
//!
//! An input is text: up to three files and, last, what the plugin prints, with a line `=====` between them. A file that
//! begins with `#context NAME` asks for that context; one that holds `#insecure` allows TLS without verification.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use lease_core::credentials::kubeconfig::{
    EntryKind, FieldProblem, Kubeconfig, KubeconfigError, KubeconfigFiles, KubeconfigOptions,
};
use lease_core::credentials::{
    BearerToken, CredentialError, CredentialSource, FileContents, FileRole, Rotation, RotationPolicy,
};
use lease_core::{MonoTime, Now, WallTime};

const SEPARATOR: &[u8] = b"\n=====\n";
/// 2026-01-01T00:00:00Z.
const EPOCH: i64 = 1_767_225_600_000_000;
/// Shorter texts may stand in an error by chance.
const SECRET_BYTES: usize = 8;

/// Runs an input; panics when something must not be.
pub fn run(input: &[u8]) {
    let mut parts = split(input);
    let stdout = if parts.len() > 1 { parts.pop().unwrap_or_default() } else { b"" };
    parts.truncate(3);
    let paths: Vec<String> = (0..parts.len()).map(|number| format!("/kube/{number}")).collect();
    let variable = std::env::join_paths(&paths).expect("no separator in them");
    let files = KubeconfigFiles::from_env(Some(&variable), None).expect("it is set");
    let mut options = KubeconfigOptions::new();
    let first = String::from_utf8_lossy(parts[0]);
    if let Some(name) = first.strip_prefix("#context ").and_then(|rest| rest.lines().next()) {
        options = options.context(name);
    }
    if first.contains("#insecure") {
        options = options.allow_insecure_skip_tls_verify();
    }
    // An empty part stands for a file that is not there.
    let reads = parts.iter().map(|part| match part {
        [] => Err(ErrorKind::NotFound),
        part => Ok(part.to_vec()),
    });
    match Kubeconfig::from_files(&files, reads, &options) {
        Ok(kubeconfig) => resolve(CredentialSource::Kubeconfig(kubeconfig), input, stdout),
        Err(error) => names_nothing_else(&error),
    }
}

fn split(input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        parts.push(&rest[..at]);
        rest = &rest[at + SEPARATOR.len()..];
    }
    parts.push(rest);
    parts
}

fn resolve(source: CredentialSource, input: &[u8], stdout: &[u8]) {
    let mut contents = FileContents::new();
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n\
               -----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
    for file in source.files() {
        let content = if file.role == FileRole::Token { "t" } else { pem };
        contents.insert(file.role, Ok(content));
    }
    let command = source.command(&contents).expect("the authority is there");
    let mut secrets: Vec<String> = Vec::new();
    if let Some(command) = &command {
        assert!(command.timeout() <= Duration::from_secs(600));
        secrets.extend(command.args().iter().cloned());
        secrets.extend(command.env().iter().map(|(_, value)| value.clone()));
        not_printed(&secrets, input, &format!("{command:?}"));
    }
    not_printed(&secrets, input, &format!("{source:?} {command:?}"));
    contents.insert_exec(Ok(Bytes::copy_from_slice(stdout)));
    let now = Now { mono: MonoTime::ZERO, wall: WallTime::from_micros(EPOCH) };
    match Rotation::start(source.clone(), &contents, RotationPolicy::default(), now) {
        Ok(mut rotation) => {
            let credentials = rotation.credentials().clone();
            if let Some(header) = credentials.authorization() {
                let token = header.to_str().expect("visible").trim_start_matches("Bearer ").to_owned();
                assert!(BearerToken::parse(token.as_bytes()).is_ok());
                secrets.push(token);
            }
            if let Some(proxy) = credentials.proxy_url() {
                let user = proxy.secret_url().split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
                secrets.extend(user.map(|(user, _)| user.to_owned()));
            }
            assert!(credentials.server().is_https() || credentials.client_certificate().is_none());
            assert_eq!(credentials.insecure_skip_tls_verify(), !credentials.warnings().is_empty());
            if let Some(expiry) = credentials.expires_at() {
                assert!(expiry > now.wall && command.is_some());
                assert!(rotation.due_at().is_some());
            }
            rotation.unauthorized();
            let later = Now { mono: MonoTime::from_nanos(10_000_000_000), ..now };
            assert_eq!(rotation.command(later, &contents).is_some(), command.is_some());
            let reread = rotation.reread(later, &contents);
            assert_eq!(reread.problems(), []);
            rotation.accept(reread);
            not_printed(&secrets, input, &format!("{source:?} {rotation:?} {contents:?}"));
        }
        Err(CredentialError::PlainHttpToken { .. } | CredentialError::PlainHttpClientCertificate { .. }) => {}
        Err(CredentialError::Exec { problem, .. }) => holds_no_text(problem),
        Err(error) => panic!("the files are good: {error}"),
    }
}

/// What can be copied can only hold numbers and words of ours.
fn holds_no_text(_: impl Copy + 'static) {}

/// What stands in the input once only, in the place of a secret, is not in this.
fn not_printed(secrets: &[String], input: &[u8], printed: &str) {
    // The names of types and fields.
    const OURS: &str = include_str!("kubeconfig_words.txt");
    let input = String::from_utf8_lossy(input);
    for secret in secrets.iter().filter(|secret| secret.len() >= SECRET_BYTES) {
        if input.matches(secret.as_str()).count() == 1 && !OURS.contains(secret.as_str()) {
            assert!(!printed.contains(secret.as_str()), "{printed}");
        }
    }
}

/// An error holds names of entries and files, numbers, and words of ours: nothing else of a file.
fn names_nothing_else(error: &CredentialError) {
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
    let problem = match error {
        CredentialError::Kubeconfig(problem) => &**problem,
        CredentialError::PlainHttpToken { .. } | CredentialError::PlainHttpClientCertificate { .. } => return,
        other => panic!("{other:?}"),
    };
    match problem {
        KubeconfigError::NoFile { .. }
        | KubeconfigError::Duplicate { .. }
        | KubeconfigError::Unnamed { .. }
        | KubeconfigError::NoContext { .. }
        | KubeconfigError::UnknownContext { .. }
        | KubeconfigError::Unreferred { .. }
        | KubeconfigError::Unknown { .. } => {}
        KubeconfigError::Malformed { line, column, .. } => assert_eq!(*line == 0, *column == 0),
        KubeconfigError::Field { kind, problem: FieldProblem::AuthProvider { .. }, .. } => {
            assert_eq!(*kind, EntryKind::User);
        }
        KubeconfigError::Field { path, kind, field, problem, .. } => {
            let bare = KubeconfigError::Field {
                path: path.clone(),
                kind: *kind,
                name: String::new(),
                field,
                problem: problem.clone(),
            };
            assert!(bare.to_string().is_ascii() && bare.to_string().len() < 300, "{bare}");
        }
        other => panic!("is there anything secret in it? {other:?}"),
    }
}
