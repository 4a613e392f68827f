//! Kubeconfig files and exec plugins: what is taken, what is refused, and that secrets stay secret.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see helpers and properties"
)]

use std::io::ErrorKind;
use std::path::PathBuf;

use lease_core::credentials::kubeconfig::*;
use lease_core::credentials::*;

/// Reads these files, in this order, and takes the current context.
fn load(
    files: &[(&str, Result<&str, ErrorKind>)],
    options: &KubeconfigOptions,
) -> Result<Kubeconfig, CredentialError> {
    let list = std::env::join_paths(files.iter().map(|(path, _)| path)).unwrap();
    let files_to_read = KubeconfigFiles::from_env(Some(&list), None)?;
    assert_eq!(files_to_read.paths().len(), files.len());
    let reads = files.iter().map(|(_, read)| read.map(|text| text.as_bytes().to_vec()));
    Kubeconfig::from_files(&files_to_read, reads, options)
}

fn one(text: &str) -> Result<Kubeconfig, CredentialError> {
    load(&[("/etc/kube/config", Ok(text))], &KubeconfigOptions::new())
}

const SIMPLE: &str = "
apiVersion: v1
kind: Config
current-context: dev
preferences: {}
clusters:
- name: c
  cluster:
    server: https://10.0.0.1:6443
    certificate-authority: pki/ca.crt
contexts:
- name: dev
  context:
    cluster: c
    user: u
    namespace: team-a
users:
- name: u
  user:
    token: s3cr3t
";

#[test]
fn a_simple_file_becomes_a_source() {
    let kubeconfig = one(SIMPLE).unwrap();
    assert_eq!((kubeconfig.context(), kubeconfig.namespace()), ("dev", Some("team-a")));
    assert_eq!(kubeconfig.server().to_string(), "https://10.0.0.1:6443");
    let source = CredentialSource::Kubeconfig(kubeconfig);
    let files = source.files();
    assert_eq!(
        files,
        [FileToRead { role: FileRole::CertificateAuthority, path: PathBuf::from("/etc/kube/pki/ca.crt") }]
    );
    let mut contents = FileContents::new();
    contents.insert(
        FileRole::CertificateAuthority,
        Ok("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
    );
    let credentials = source.resolve(&contents).unwrap();
    assert_eq!(credentials.authorization().unwrap(), "Bearer s3cr3t");
    assert_eq!(credentials.namespace(), Some("team-a"));
    assert_eq!(credentials.warnings(), []);
    assert!(!format!("{source:?}{credentials:?}").contains("s3cr3t"));
}
