//! Credentials: sources, rotation, and that secrets stay secret whatever is fed in.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see helpers and properties"
)]

use std::fmt::Debug;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use http::Request;
use lease_core::credentials::*;
use proptest::prelude::*;

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
fn a_pod_is_recognised_by_its_environment() {
    let source = in_pod();
    let files: Vec<_> = source.files().into_iter().map(|file| (file.role, file.path)).collect();
    let path = |name| PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount").join(name);
    assert_eq!(
        files,
        [
            (FileRole::CertificateAuthority, path("ca.crt")),
            (FileRole::Token, path("token")),
            (FileRole::Namespace, path("namespace")),
        ]
    );
    let credentials = source.resolve(&pod_files("s3cr3t\n", 1, Ok(b"team-a\n".to_vec()))).unwrap();
    assert_eq!(credentials.server().to_string(), "https://10.96.0.1:443");
    assert_eq!(credentials.namespace(), Some("team-a"));
    assert_eq!(credentials.ca().unwrap().count(), 1);
    assert_eq!(credentials.authorization().unwrap(), "Bearer s3cr3t");
    let moved = CredentialSource::InCluster(pod("::1", "6443").unwrap().in_directory("/proc/1/root/sa"));
    assert!(moved.files().iter().all(|file| file.path.starts_with("/proc/1/root/sa")));
    let credentials = moved.resolve(&pod_files("s3cr3t", 1, Err(ErrorKind::NotFound))).unwrap();
    assert_eq!(credentials.server().to_string(), "https://[::1]:6443");
    assert_eq!(credentials.namespace(), None);
}

#[test]
fn a_bad_environment_is_named() {
    let problem = |host, port| pod(host, port).unwrap_err().to_string();
    for (host, port, name, say) in [
        ("", "443", "KUBERNETES_SERVICE_HOST", "empty"),
        ("  ", "443", "KUBERNETES_SERVICE_HOST", "empty"),
        ("a.b/c", "443", "KUBERNETES_SERVICE_HOST", "neither a DNS name nor an IP address"),
        ("evil.example:1/", "443", "KUBERNETES_SERVICE_HOST", "neither"),
        ("user@host", "443", "KUBERNETES_SERVICE_HOST", "neither"),
        ("[::1]", "443", "KUBERNETES_SERVICE_HOST", "neither"),
        ("10.0.0.1", "", "KUBERNETES_SERVICE_PORT", "empty"),
        ("10.0.0.1", "0", "KUBERNETES_SERVICE_PORT", "not a port"),
        ("10.0.0.1", "65536", "KUBERNETES_SERVICE_PORT", "not a port"),
        ("10.0.0.1", "tcp://10.0.0.1:443", "KUBERNETES_SERVICE_PORT", "not a port"),
        ("10.0.0.1", "+443", "KUBERNETES_SERVICE_PORT", "not a port"),
    ] {
        let text = problem(host, port);
        assert!(text.contains(name) && text.contains(say), "{host} {port}: {text}");
    }
    let missing = InCluster::from_env(|_| None).unwrap_err();
    let expected = VariableProblem::Missing;
    assert_eq!(missing, CredentialError::Variable { name: "KUBERNETES_SERVICE_HOST", problem: expected });
    assert!(missing.to_string().contains("name a server explicitly"));
}

#[test]
fn errors_name_the_file_and_say_what_to_do() {
    let good = || pod_files("s3cr3t", 1, Ok(b"team-a".to_vec()));
    let with = |role, read: Read| {
        let mut contents = good();
        contents.insert(role, read);
        in_pod().resolve(&contents).unwrap_err().to_string()
    };
    let directory = "/var/run/secrets/kubernetes.io/serviceaccount";
    for (text, expected) in [
        (with(FileRole::Token, Err(ErrorKind::NotFound)), "token file DIR/token does not exist"),
        (
            with(FileRole::Token, Err(ErrorKind::PermissionDenied)),
            "token file DIR/token cannot be read (permission",
        ),
        (with(FileRole::Token, Ok(vec![])), "token file DIR/token is empty"),
        (with(FileRole::Token, Ok(vec![b'a'; MAX_FILE_BYTES + 1])), "DIR/token is larger than 1048576 bytes"),
        (with(FileRole::CertificateAuthority, Ok(vec![])), "certificate authority file DIR/ca.crt has no"),
        (with(FileRole::Namespace, Err(ErrorKind::PermissionDenied)), "namespace file DIR/namespace cannot"),
        (with(FileRole::Namespace, Ok(b"Team A".to_vec())), "namespace file DIR/namespace does not hold"),
        (with(FileRole::Namespace, Ok(vec![b'a'; 64])), "namespace file DIR/namespace does not hold"),
        (with(FileRole::Namespace, Ok(b"-a".to_vec())), "namespace file DIR/namespace does not hold"),
        (in_pod().resolve(&FileContents::new()).unwrap_err().to_string(), "DIR/ca.crt was not read"),
    ] {
        assert!(text.contains(&expected.replace("DIR", directory)), "{text}");
        assert!(text.contains(": ") || text.contains("larger"), "says what to do: {text}");
    }
}

#[test]
fn a_token_goes_over_https_or_to_loopback_only() {
    let file = || AuthenticationSource::Token(Piece::File("/t".into()));
    for url in ["http://10.0.0.1", "http://localhost.example", "http://[fd00::1]", "http://128.0.0.1"] {
        for token in [inline_token("s3cr3t"), file()] {
            let refused = explicit(url, token).unwrap_err();
            assert_eq!(refused, CredentialError::PlainHttpToken { server: url.parse().unwrap() });
        }
        assert!(explicit(url, AuthenticationSource::None).is_ok());
    }
    for url in ["http://127.0.0.1:8001", "http://localhost", "http://[::1]", "https://10.0.0.1"] {
        assert!(explicit(url, file()).is_ok(), "{url}");
    }
    let certificate = AuthenticationSource::ClientCertificate {
        chain: Piece::File("/c".into()),
        key: Piece::File("/k".into()),
    };
    let refused = explicit("http://[::1]", certificate).unwrap_err();
    assert!(matches!(refused, CredentialError::PlainHttpClientCertificate { .. }));
}

#[test]
fn a_prepared_request_goes_to_the_own_server_with_the_own_header() {
    let credentials = |authentication| {
        explicit("https://a/p/", authentication).unwrap().resolve(&FileContents::new()).unwrap()
    };
    let with_token = credentials(inline_token("s3cr3t"));
    let request = || Request::put("/apis?x=1").header("Authorization", "Bearer of-another").body(7).unwrap();
    let prepared = with_token.prepare(request()).unwrap();
    assert_eq!((prepared.uri().to_string().as_str(), *prepared.body()), ("https://a/p/apis?x=1", 7));
    assert_eq!(prepared.headers().get_all("authorization").iter().collect::<Vec<_>>(), ["Bearer s3cr3t"]);
    assert!(!format!("{prepared:?}").contains("s3cr3t"));
    assert!(credentials(AuthenticationSource::None).prepare(request()).unwrap().headers().is_empty());
    let elsewhere = Request::get("https://evil.example/p/apis").body(()).unwrap();
    let refused = with_token.prepare(elsewhere).unwrap_err();
    assert_eq!(refused, CredentialError::Request(RequestProblem::OwnHost));
}

#[test]
fn certificate_and_key_may_lie_in_one_file() {
    let both = || Ok([certificate(7), key(7)].concat());
    let credentials = certificate_files().resolve(&certificate_contents(both(), both(), both())).unwrap();
    let pair = credentials.client_certificate().unwrap();
    assert_eq!((pair.chain.pem(), pair.key.secret_pem()), (&*certificate(7), &*key(7)));
    assert_eq!(credentials.ca().unwrap().pem(), certificate(7));
    assert_eq!(credentials.authorization(), None);
}

/// Everything that can be printed of what came of `contents`.
fn all_that_can_be_printed(contents: &FileContents) -> Vec<String> {
    fn debug(value: &impl Debug) -> String {
        format!("{value:?} {value:#?}")
    }
    let mut printed = vec![debug(contents)];
    let good = certificate_contents(Ok(certificate(1)), Ok(certificate(1)), Ok(key(1)));
    let good_pod = pod_files("one", 1, Ok(b"team-a".to_vec()));
    for (source, good) in [(in_pod(), good_pod), (certificate_files(), good)] {
        match source.resolve(contents) {
            Ok(credentials) => {
                let request = credentials.prepare(Request::get("/").body(()).unwrap()).unwrap();
                printed.extend([debug(&credentials), debug(&request)]);
            }
            Err(error) => printed.extend([debug(&error), error.to_string()]),
        }
        let mut rotation = Rotation::start(source, &good, RotationPolicy::default(), at(0)).unwrap();
        let reread = rotation.reread(at(1), contents);
        printed.push(debug(&reread));
        printed.extend(reread.problems().iter().map(ToString::to_string));
        rotation.accept(reread);
        printed.push(debug(&rotation));
    }
    printed
}

fn any_read() -> impl Strategy<Value = Read> {
    let pem = "(-----(BEGIN|END) (CERTIFICATE|(RSA |EC |ENCRYPTED )?PRIVATE KEY|X)-----\r?\n|\
               [A-Za-z0-9+/]{4}\n?|[=: -]){0,12}";
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Ok),
        4 => pem.prop_map(|text| Ok(text.into_bytes())),
        1 => Just(Err(ErrorKind::NotFound)),
        1 => Just(Err(ErrorKind::PermissionDenied)),
    ]
}

/// The secret among other bytes, in the places where it could come to light.
fn holding(secret: &str, shape: u8, before: &[u8], after: &[u8]) -> Vec<u8> {
    let label = ["CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"]
        [usize::from(shape) / 8 % 4];
    let block = |body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes();
    match shape % 8 {
        0 => secret.as_bytes().to_vec(),
        1 => block(secret),
        2 => [certificate(1), block(secret), key(2)].concat(),
        3 => format!("-----BEGIN {secret}-----\nMIIB\n-----END {secret}-----\n").into_bytes(),
        4 => block(&format!("{secret}: {secret}\n\nMIIB")),
        5 => format!("{secret}\n{secret}").into_bytes(),
        6 => block(&format!("{secret}!")),
        _ => [before, secret.as_bytes(), after].concat(),
    }
}

proptest! {
    #[test]
    fn no_content_makes_it_panic(
        token in any_read(),
        ca in any_read(),
        chain in any_read(),
        key in any_read(),
        namespace in any_read(),
    ) {
        let files = contents([
            (FileRole::Token, token),
            (FileRole::CertificateAuthority, ca),
            (FileRole::ClientCertificate, chain),
            (FileRole::ClientKey, key),
            (FileRole::Namespace, namespace),
        ]);
        all_that_can_be_printed(&files);
    }

    #[test]
    fn secrets_are_never_printed(
        secret in "[A-Za-z0-9]{24}",
        shape: u8,
        before in prop::collection::vec(any::<u8>(), 0..20),
        after in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let secret_content = || Ok(holding(&secret, shape, &before, &after));
        use FileRole::{CertificateAuthority, ClientCertificate, ClientKey, Token};
        let roles = [Token, CertificateAuthority, ClientCertificate, ClientKey];
        for alone in roles {
            // One file holds the secret, or all do.
            let good = |role| match role {
                FileRole::Token => b"one".to_vec(),
                FileRole::ClientKey => key(1),
                _ => certificate(1),
            };
            let read = |role| if role == alone { secret_content() } else { Ok(good(role)) };
            let one = contents(roles.map(|role| (role, read(role))));
            let all = contents(roles.map(|role| (role, secret_content())));
            for files in [one, all] {
                for text in all_that_can_be_printed(&files) {
                    prop_assert!(!text.contains(&secret[..8]), "{text}");
                    prop_assert!(!text.contains(&secret[16..]), "{text}");
                    // Bytes printed as a list of numbers would give it away as well.
                    let numbers: Vec<_> = secret.bytes().take(8).map(|byte| byte.to_string()).collect();
                    prop_assert!(!text.contains(&numbers.join(", ")), "{text}");
                }
            }
        }
        for shape in ["https://u:_@a", "https://_@a/#", "https://a?_", "_://a", "https://a/_//b"] {
            let url = shape.replace('_', &secret);
            let error = ServerUrl::parse(&url).unwrap_err();
            prop_assert!(!format!("{error:?} {error}").contains(&secret[..8]), "{error}");
        }
        let error = InCluster::from_env(|_| Some(format!("!{secret}"))).unwrap_err();
        prop_assert!(!format!("{error:?} {error}").contains(&secret[..8]), "{error}");
    }

    #[test]
    fn a_token_that_is_taken_is_sent_as_it_is(content in prop_oneof!["[ -~]{0,30}\n?", "\\PC*"]) {
        match BearerToken::parse(content.as_bytes()) {
            Ok(token) => {
                let value = token.header_value();
                prop_assert!(value.is_sensitive());
                prop_assert_eq!(value.to_str().unwrap(), format!("Bearer {}", content.trim_ascii()));
            }
            Err(_) => {
                let text = content.trim_ascii();
                prop_assert!(text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }

    #[test]
    fn an_address_that_is_taken_stays_one(text in prop_oneof![
        "\\PC*",
        "(https?|HTTPS|ftp)://[a-zA-Z0-9.:@/%?#_\\[\\]-]{0,24}",
        "https?://(localhost|127\\.0\\.0\\.1|\\[[0-9a-f:]{2,8}\\])(:[0-9]{1,5})?(/[a-z.%2E]{0,4}){0,3}",
        "https?://[a-z]{1,3}(\\.[a-z0-9]{1,3}){0,2}(:[0-9]{1,5})?(/[a-z.%2E]{0,4}){0,3}",
    ]) {
        let Ok(server) = ServerUrl::parse(&text) else { return Ok(()) };
        prop_assert_eq!(&ServerUrl::parse(&server.to_string()).unwrap(), &server);
        let uri = server.join(&"/version".parse().unwrap()).unwrap();
        prop_assert_eq!(uri.scheme_str(), Some(if server.is_https() { "https" } else { "http" }));
        prop_assert_eq!(uri.host().map(|host| host.trim_matches(['[', ']']).to_owned()), Some(server.host()));
        prop_assert!(uri.port_u16().is_none_or(|port| port == server.port()));
        prop_assert_eq!(uri.path(), format!("{}/version", server.path_prefix()));
        prop_assert!(!uri.to_string().contains('@') || server.path_prefix().contains('@'));
        let token = explicit(&text, inline_token("s3cr3t"));
        prop_assert_eq!(token.is_ok(), server.is_https() || server.is_loopback());
    }

    /// Random walks through a rotation: reads keep their distance and their pace, what is in use was read as
    /// a whole and accepted, and a failed read changes nothing.
    #[test]
    fn rotation_keeps_its_promises(
        interval in 0u64..90,
        steps in prop::collection::vec((0u64..30_000, any::<bool>(), 0u8..6, any::<bool>()), 1..60),
    ) {
        let files = |number: u8| {
            certificate_contents(Ok(certificate(number)), Ok(certificate(number)), Ok(key(number)))
        };
        let policy = RotationPolicy::every(at(interval));
        let mut rotation = Rotation::start(certificate_files(), &files(0), policy, at(0)).unwrap();
        let (mut now, mut last, mut in_use) = (at(0), at(0), 0);
        for (wait, refused, number, accepted) in steps {
            now += Duration::from_millis(wait);
            if refused {
                rotation.unauthorized();
                prop_assert_eq!(rotation.due_at(), Some(last + RotationPolicy::MIN_GAP));
            }
            let due = rotation.due_at().unwrap();
            prop_assert!(due >= last + RotationPolicy::MIN_GAP && due <= last + RotationPolicy::MAX_INTERVAL);
            if !rotation.is_due(now) {
                continue;
            }
            last = now;
            // 5: the key cannot be read; the authority is as in use.
            let no_key = Err(ErrorKind::NotFound);
            let failing = certificate_contents(Ok(certificate(in_use)), Ok(certificate(5)), no_key);
            let reread = rotation.reread(now, &if number == 5 { failing } else { files(number) });
            let changed = number != 5 && number != in_use;
            prop_assert_eq!(reread.change(), if changed { Change::Client } else { Change::Nothing });
            prop_assert_eq!(reread.problems().len(), usize::from(number == 5));
            if accepted {
                rotation.accept(reread);
                in_use = if changed { number } else { in_use };
            }
            let credentials = rotation.credentials();
            let pair = credentials.client_certificate().unwrap();
            prop_assert_eq!(pair.key.secret_pem(), key(in_use));
            prop_assert_eq!(pair.chain.pem(), certificate(in_use));
            prop_assert_eq!(credentials.ca().unwrap().pem(), certificate(in_use));
        }
    }
}
