//! Rotation by example. Random walks are among the crate's integration tests.

use std::io::ErrorKind;
use std::time::Duration;

use super::*;

type Read = Result<Vec<u8>, ErrorKind>;

fn certificate(number: u8) -> Vec<u8> {
    format!("-----BEGIN CERTIFICATE-----\nMI{number:02}\n-----END CERTIFICATE-----\n").into_bytes()
}

fn key(number: u8) -> Vec<u8> {
    format!("-----BEGIN PRIVATE KEY-----\nMK{number:02}\n-----END PRIVATE KEY-----\n").into_bytes()
}

fn contents(files: impl IntoIterator<Item = (FileRole, Read)>) -> FileContents {
    let mut contents = FileContents::new();
    for (role, read) in files {
        contents.insert(role, read);
    }
    contents
}

fn pod(host: &'static str, port: &'static str) -> Result<InCluster, CredentialError> {
    InCluster::from_env(|name| match name {
        "KUBERNETES_SERVICE_HOST" => Some(host.to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some(port.to_owned()),
        other => panic!("asked for {other}"),
    })
}

fn in_pod() -> CredentialSource {
    CredentialSource::InCluster(pod("10.96.0.1", "443").unwrap())
}

fn pod_files(token: &str, ca: u8, namespace: Read) -> FileContents {
    contents([
        (FileRole::Token, Ok(token.as_bytes().to_vec())),
        (FileRole::CertificateAuthority, Ok(certificate(ca))),
        (FileRole::Namespace, namespace),
    ])
}

fn explicit(url: &str, authentication: AuthenticationSource) -> Result<CredentialSource, CredentialError> {
    Ok(CredentialSource::Explicit(Explicit::new(url.parse()?, None, authentication)?))
}

fn inline_token(text: &str) -> AuthenticationSource {
    AuthenticationSource::Token(Piece::Inline(BearerToken::parse(text.as_bytes()).unwrap()))
}

fn certificate_files() -> CredentialSource {
    let ca = Some(Piece::File("/t/ca.crt".into()));
    let authentication = AuthenticationSource::ClientCertificate {
        chain: Piece::File("/t/tls.crt".into()),
        key: Piece::File("/t/tls.key".into()),
    };
    CredentialSource::Explicit(Explicit::new("https://a".parse().unwrap(), ca, authentication).unwrap())
}

fn certificate_contents(ca: Read, chain: Read, key: Read) -> FileContents {
    contents([
        (FileRole::CertificateAuthority, ca),
        (FileRole::ClientCertificate, chain),
        (FileRole::ClientKey, key),
    ])
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn files_are_read_every_minute_and_at_once_after_a_401() {
    let files = |token| pod_files(token, 1, Ok(b"team-a".to_vec()));
    let mut rotation = Rotation::start(in_pod(), &files("one"), RotationPolicy::default(), at(0)).unwrap();
    assert!(!rotation.is_due(at(60) - Duration::from_nanos(1)));
    assert!(rotation.is_due(at(60)));
    let roles: Vec<_> = rotation.files().into_iter().map(|file| file.role).collect();
    assert_eq!(roles, [FileRole::CertificateAuthority, FileRole::Token], "the namespace does not rotate");
    let same = rotation.reread(at(60), &files("one"));
    assert_eq!((same.change(), same.problems()), (Change::Nothing, [].as_slice()));
    rotation.accept(same);
    assert_eq!(rotation.due_at(), Some(at(120)));

    rotation.unauthorized();
    assert!(!rotation.is_due(at(61) - Duration::from_nanos(1)), "not within a second");
    assert!(rotation.is_due(at(61)), "at once");
    let new = rotation.reread(at(90), &files("two\n"));
    assert_eq!(new.change(), Change::Token);
    assert_eq!(rotation.credentials().authorization().unwrap(), "Bearer one", "not in use before accept");
    rotation.accept(new);
    assert_eq!(rotation.credentials().authorization().unwrap(), "Bearer two");
    assert_eq!(rotation.credentials().namespace(), Some("team-a"));
    assert_eq!(rotation.due_at(), Some(at(150)));
    let last = rotation.reread(Duration::MAX, &files("two"));
    rotation.accept(last);
    assert_eq!(rotation.due_at(), Some(Duration::MAX), "saturates");
}

#[test]
fn inline_credentials_are_never_due() {
    let source = explicit("https://a", inline_token("s3cr3t")).unwrap();
    assert_eq!(source.files(), []);
    let policy = RotationPolicy::default();
    let mut rotation = Rotation::start(source, &FileContents::new(), policy, at(0)).unwrap();
    rotation.unauthorized();
    assert!(!rotation.is_due(Duration::MAX));
}

#[test]
fn a_failed_reread_keeps_what_was_there_and_is_tried_again_soon() {
    let none = || Err(ErrorKind::NotFound);
    let first = pod_files("one", 1, none());
    let mut rotation = Rotation::start(in_pod(), &first, RotationPolicy::default(), at(0)).unwrap();
    let missing = contents([(FileRole::Token, none()), (FileRole::CertificateAuthority, Ok(certificate(2)))]);
    let reread = rotation.reread(at(60), &missing);
    assert_eq!(reread.change(), Change::Client, "the rotated authority is honoured all the same");
    assert!(matches!(reread.problems(), [CredentialError::Unreadable { role: FileRole::Token, .. }]));
    rotation.accept(reread);
    assert_eq!(rotation.credentials().authorization().unwrap(), "Bearer one");
    assert_eq!(rotation.credentials().ca().unwrap().pem(), certificate(2));
    assert_eq!(rotation.due_at(), Some(at(70)));

    let cut = contents([
        (FileRole::Token, Ok(b"two".to_vec())),
        (FileRole::CertificateAuthority, Ok(b"-----BEGIN CERTIFICATE-----\nMI".to_vec())),
    ]);
    let reread = rotation.reread(at(70), &cut);
    assert_eq!((reread.change(), reread.problems().len()), (Change::Token, 1));
    rotation.accept(reread);
    assert_eq!(rotation.credentials().authorization().unwrap(), "Bearer two");
    assert_eq!(rotation.credentials().ca().unwrap().pem(), certificate(2));
}

#[test]
fn a_client_that_cannot_be_built_leaves_the_old_credentials_in_use() {
    let files = |chain, key_number: u8| {
        certificate_contents(Ok(certificate(0)), Ok(certificate(chain)), Ok(key(key_number)))
    };
    let policy = RotationPolicy::default();
    let mut rotation = Rotation::start(certificate_files(), &files(1, 1), policy, at(0)).unwrap();
    let before = rotation.credentials().clone();
    let torn = rotation.reread(at(60), &files(2, 1));
    assert_eq!(torn.change(), Change::Client);
    drop(torn); // the TLS library found that certificate and key do not match
    assert_eq!(rotation.credentials(), &before);
    assert_eq!(rotation.due_at(), Some(at(70)), "soon");
    let whole = rotation.reread(at(70), &files(2, 2));
    assert_eq!(whole.change(), Change::Client, "reported again");
    rotation.accept(whole);
    assert_eq!(rotation.credentials().client_certificate().unwrap().chain.pem(), certificate(2));
    assert_eq!(rotation.due_at(), Some(at(130)));

    let half = certificate_contents(Ok(certificate(0)), Ok(certificate(3)), Err(ErrorKind::NotFound));
    let half = rotation.reread(at(130), &half);
    assert_eq!(
        (half.change(), half.problems().len()),
        (Change::Nothing, 1),
        "certificate and key change together"
    );
}

#[test]
fn a_result_of_another_servers_rotation_is_not_accepted() {
    let start = |url: &str| {
        let token = AuthenticationSource::Token(Piece::File("/t".into()));
        let first = contents([(FileRole::Token, Ok(b"one".to_vec()))]);
        Rotation::start(explicit(url, token).unwrap(), &first, RotationPolicy::default(), at(0)).unwrap()
    };
    let (mut one, mut other) = (start("https://a"), start("https://b"));
    let before = one.credentials().clone();
    let foreign = other.reread(at(60), &contents([(FileRole::Token, Ok(b"two".to_vec()))]));
    one.accept(foreign);
    assert_eq!(one.credentials(), &before);
}
