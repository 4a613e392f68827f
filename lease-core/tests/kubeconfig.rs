//! Kubeconfig files: what is taken, what is refused, and that secrets stay secret.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see helpers and properties"
)]

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lease_core::credentials::kubeconfig::*;
use lease_core::credentials::*;
use proptest::prelude::*;
use serde_json::{Value, json};

type Read<'a> = Result<&'a str, ErrorKind>;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
/// The same as base64.
const CERTIFICATE_DATA: &str =
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUIKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
const KEY_DATA: &str = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JSUIKLS0tLS1FTkQgUFJJVkFURSBLRVktLS0tLQo=";

/// The files of a `KUBECONFIG` list, with what came of reading each.
fn list(files: &[(&str, Read<'_>)], options: &KubeconfigOptions) -> Result<Kubeconfig, CredentialError> {
    let variable = std::env::join_paths(files.iter().map(|(path, _)| path)).unwrap();
    let paths = KubeconfigFiles::from_env(Some(&variable), None).unwrap();
    let reads = files.iter().map(|(_, read)| read.map(str::to_owned));
    Kubeconfig::from_files(&paths, reads, options)
}

fn bytes(content: &[u8]) -> Result<Kubeconfig, CredentialError> {
    let files = KubeconfigFiles::explicit("/etc/kube/config");
    Kubeconfig::from_files(&files, [Ok(content.to_vec())], &KubeconfigOptions::new())
}

fn text(content: &str) -> Result<Kubeconfig, CredentialError> {
    bytes(content.as_bytes())
}

/// One context `dev` of one cluster `c` and one user `u` with these fields.
fn of(cluster: &Value, user: &Value) -> Value {
    json!({
        "current-context": "dev",
        "clusters": [{ "name": "c", "cluster": cluster }],
        "contexts": [{ "name": "dev", "context": { "cluster": "c", "user": "u" } }],
        "users": [{ "name": "u", "user": user }],
    })
}

fn with(extra: Value, mut fields: Value) -> Value {
    let Value::Object(extra) = extra else { panic!("an object") };
    fields.as_object_mut().unwrap().extend(extra);
    fields
}

fn cluster(extra: Value) -> Result<Kubeconfig, CredentialError> {
    let cluster = with(extra, json!({ "server": "https://10.0.0.1:6443" }));
    text(&of(&cluster, &json!({ "token": "s3cr3t" })).to_string())
}

fn user(user: Value) -> Result<Kubeconfig, CredentialError> {
    text(&of(&json!({ "server": "https://10.0.0.1:6443" }), &user).to_string())
}

fn resolve(kubeconfig: Kubeconfig) -> Credentials {
    let source = CredentialSource::Kubeconfig(kubeconfig);
    assert_eq!(source.files(), []);
    source.resolve(&FileContents::new()).unwrap()
}

fn source(kubeconfig: Result<Kubeconfig, CredentialError>) -> CredentialSource {
    CredentialSource::Kubeconfig(kubeconfig.unwrap())
}

fn file(role: FileRole, path: &str) -> FileToRead {
    FileToRead { role, path: path.into() }
}

fn problem<T: std::fmt::Debug>(result: Result<T, CredentialError>) -> KubeconfigError {
    match result {
        Err(CredentialError::Kubeconfig(problem)) => *problem,
        other => panic!("{other:?}"),
    }
}

/// The field that is named, and what is wrong with it.
fn field(result: Result<Kubeconfig, CredentialError>) -> (&'static str, FieldProblem) {
    match problem(result) {
        KubeconfigError::Field { field, problem, .. } => (field, problem),
        other => panic!("{other:?}"),
    }
}

fn syntax(content: &[u8]) -> (SyntaxProblem, u64) {
    match problem(bytes(content)) {
        KubeconfigError::Malformed { problem, line, .. } => (problem, line),
        other => panic!("{other:?}"),
    }
}

const SIMPLE: &str = "\
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
fn a_context_becomes_a_source() {
    let kubeconfig = text(SIMPLE).unwrap();
    assert_eq!((kubeconfig.context(), kubeconfig.namespace()), ("dev", Some("team-a")));
    assert_eq!(kubeconfig.server().to_string(), "https://10.0.0.1:6443");
    let source = CredentialSource::Kubeconfig(kubeconfig);
    assert_eq!(source.files(), [file(FileRole::CertificateAuthority, "/etc/kube/pki/ca.crt")]);
    let mut contents = FileContents::new();
    contents.insert(FileRole::CertificateAuthority, Ok(CERTIFICATE));
    let credentials = source.resolve(&contents).unwrap();
    assert_eq!(credentials.authorization().unwrap(), "Bearer s3cr3t");
    assert_eq!(credentials.ca().unwrap().pem(), CERTIFICATE.as_bytes());
    assert_eq!(credentials.namespace(), Some("team-a"));
    assert_eq!((credentials.tls_server_name(), credentials.insecure_skip_tls_verify()), (None, false));
    assert_eq!((credentials.proxy_url(), credentials.expires_at()), (None, None));
    assert_eq!(credentials.warnings(), []);
    assert_eq!(source.command(&contents).unwrap(), None);
    assert!(!format!("{source:?}{credentials:?}").contains("s3cr3t"));
}

#[test]
fn the_variable_is_a_list_and_the_home_folder_comes_after_it() {
    let home = Path::new("/home/me");
    let paths = |variable: Option<&str>, home| {
        let files = KubeconfigFiles::from_env(variable.map(OsStr::new), home)?;
        Ok::<_, CredentialError>(files.paths().to_vec())
    };
    let all = ["/b/config", "", "config", "/b/config", "/a"];
    let joined = std::env::join_paths(all).unwrap();
    let expected: Vec<PathBuf> = ["/b/config", "config", "/a"].map(PathBuf::from).into();
    assert_eq!(paths(joined.to_str(), Some(home)), Ok(expected), "no empty one, none twice");
    for unset in [None, Some("")] {
        assert_eq!(paths(unset, Some(home)), Ok(vec![PathBuf::from("/home/me/.kube/config")]));
        for home in [None, Some(Path::new(""))] {
            assert_eq!(problem(paths(unset, home)), KubeconfigError::NoHome);
        }
    }
    let only_separators = std::env::join_paths(["", ""]).unwrap();
    assert_eq!(paths(only_separators.to_str(), Some(home)), Ok(vec![]), "as kubectl: it is set");
    let files = KubeconfigFiles::from_env(Some(&only_separators), None).unwrap();
    let nothing = Kubeconfig::from_files(&files, [] as [Result<&str, _>; 0], &KubeconfigOptions::new());
    assert_eq!(problem(nothing), KubeconfigError::NoFile { paths: vec![] });
}

/// The rules of `ClientConfigLoadingRules.Load` in client-go's `tools/clientcmd/loader.go`.
mod merging {
    use super::*;

    fn named(name: &str, cluster: &str, token: &str) -> Value {
        json!({
            "clusters": [{ "name": name, "cluster": { "server": cluster } }],
            "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
            "users": [{ "name": name, "user": { "token": token } }],
        })
    }

    fn current(name: &str, config: Value) -> String {
        with(json!({ "current-context": name }), config).to_string()
    }

    #[test]
    fn the_first_file_with_an_entry_says_all_of_it() {
        let first = json!({ "users": [{ "name": "u", "user": { "token": "first" } }] }).to_string();
        let second = json!({
            "current-context": "dev",
            "clusters": [{ "name": "c", "cluster": { "server": "https://second" } }],
            "contexts": [{ "name": "dev", "context": { "cluster": "c", "user": "u", "namespace": "second" } }],
            // Had it been merged by field, there would be two ways to show who we are.
            "users": [{ "name": "u", "user": {
                "client-certificate-data": CERTIFICATE_DATA, "client-key-data": KEY_DATA,
            } }],
        });
        let third = of(&json!({ "server": "https://third" }), &json!({ "token": "third" })).to_string();
        let files = [("/1/c", Ok(&*first)), ("/2/c", Ok(&*second.to_string())), ("/3/c", Ok(&*third))];
        let credentials = resolve(list(&files, &KubeconfigOptions::new()).unwrap());
        assert_eq!(credentials.server().to_string(), "https://second");
        assert_eq!(credentials.authorization().unwrap(), "Bearer first");
        assert_eq!(credentials.client_certificate(), None);
        assert_eq!(credentials.namespace(), Some("second"));
    }

    #[test]
    fn the_first_current_context_that_is_set_counts() {
        let files = |first: &str, second: &str| {
            let (first, second) = (current(first, named("a", "https://a", "a")), current(second, json!({})));
            let third = current("a", named("b", "https://b", "b"));
            let files = [("/1", Ok(&*first)), ("/2", Ok(&*second)), ("/3", Ok(&*third))];
            list(&files, &KubeconfigOptions::new()).unwrap().context().to_owned()
        };
        assert_eq!(files("a", "b"), "a");
        assert_eq!(files("b", "a"), "b", "its entry may be in a later file");
        assert_eq!(files("", "b"), "b", "an empty one is none");
        assert_eq!(files("", ""), "a");
    }

    #[test]
    fn missing_files_of_a_list_are_skipped() {
        let good = current("a", named("a", "https://a", "a"));
        let missing = Err(ErrorKind::NotFound);
        let options = KubeconfigOptions::new();
        assert!(list(&[("/1", missing), ("/2", Ok(&*good)), ("/3", missing)], &options).is_ok());
        let none = problem(list(&[("/1", missing), ("/2", missing)], &options));
        assert_eq!(none, KubeconfigError::NoFile { paths: vec!["/1".into(), "/2".into()] });
        assert!(none.to_string().contains("/1, /2"), "{none}");
        // One that is there and cannot be read or parsed is another matter.
        let kind = ErrorKind::PermissionDenied;
        let refused = problem(list(&[("/1", Ok(&*good)), ("/2", Err(kind))], &options));
        assert_eq!(refused, KubeconfigError::Unreadable { path: "/2".into(), kind });
        let broken = problem(list(&[("/1", Ok(&*good)), ("/2", Ok("a: b: c"))], &options));
        assert!(matches!(broken, KubeconfigError::Malformed { line: 1, .. }), "{broken:?}");
        assert!(broken.to_string().starts_with("/2, line 1, column "), "{broken}");
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let files = KubeconfigFiles::explicit("/1");
        let options = KubeconfigOptions::new();
        let load = |reads: Vec<Result<Vec<u8>, ErrorKind>>| Kubeconfig::from_files(&files, reads, &options);
        let kind = ErrorKind::NotFound;
        assert_eq!(problem(load(vec![Err(kind)])), KubeconfigError::Unreadable { path: "/1".into(), kind });
        assert_eq!(problem(load(vec![])), KubeconfigError::NotHandedIn { path: "/1".into() });
    }

    #[test]
    fn paths_belong_to_the_folder_of_their_file() {
        let users = json!({ "users": [{ "name": "u", "user": {
            "tokenFile": "tokens/t", "client-certificate": "/abs/c.crt", "client-key": "../k.key",
        } }] });
        let rest = of(
            &json!({ "server": "https://a", "certificate-authority": "ca.crt" }),
            &json!({ "token": "of the second file" }),
        );
        for (first, second, token, key, ca) in [
            (
                "/home/me/.kube/users",
                "/etc/kube/config",
                "/home/me/.kube/tokens/t",
                "/home/me/.kube/../k.key",
                "/etc/kube/ca.crt",
            ),
            ("users", "config", "tokens/t", "../k.key", "ca.crt"),
            ("./users", "sub/config", "./tokens/t", "./../k.key", "sub/ca.crt"),
        ] {
            let files = [(first, Ok(&*users.to_string())), (second, Ok(&*rest.to_string()))];
            let source = source(list(&files, &KubeconfigOptions::new()));
            assert_eq!(
                source.files(),
                [
                    file(FileRole::CertificateAuthority, ca),
                    file(FileRole::Token, token),
                    file(FileRole::ClientCertificate, "/abs/c.crt"),
                    file(FileRole::ClientKey, key),
                ]
            );
        }
    }

    #[test]
    fn one_name_twice_in_one_file_is_an_error() {
        for (key, kind) in
            [("clusters", EntryKind::Cluster), ("contexts", EntryKind::Context), ("users", EntryKind::User)]
        {
            let twice = json!({ key: [{ "name": "a" }, { "name": "b" }, { "name": "a" }] }).to_string();
            let expected =
                KubeconfigError::Duplicate { path: "/etc/kube/config".into(), kind, name: "a".into() };
            assert_eq!(problem(text(&twice)), expected);
            for name in [json!(""), json!(null)] {
                let unnamed = json!({ key: [{ "name": "a" }, { "name": name }] }).to_string();
                let expected = KubeconfigError::Unnamed { path: "/etc/kube/config".into(), kind, number: 2 };
                assert_eq!(problem(text(&unnamed)), expected);
            }
        }
    }
}

#[test]
fn a_context_is_named_or_current() {
    let mut config = of(&json!({ "server": "https://a" }), &json!({ "token": "t" }));
    let more = json!({ "name": "prod", "context": { "cluster": "c", "user": "u", "namespace": "team-a" } });
    config["contexts"].as_array_mut().unwrap().push(more);
    let load =
        |config: &Value, options: KubeconfigOptions| list(&[("/1", Ok(&*config.to_string()))], &options);
    let named = |name: &str| load(&config, KubeconfigOptions::new().context(name));
    assert_eq!(named("prod").unwrap().namespace(), Some("team-a"));
    assert_eq!(load(&config, KubeconfigOptions::new()).unwrap().context(), "dev");
    let available = vec!["dev".to_owned(), "prod".to_owned()];
    let unknown = problem(named("stage"));
    assert_eq!(
        unknown,
        KubeconfigError::UnknownContext { name: "stage".into(), available: available.clone() }
    );
    assert_eq!(
        CredentialError::from(unknown).to_string(),
        "kubeconfig: there is no context named 'stage': name another; there are: 'dev', 'prod'"
    );
    config["current-context"] = json!("gone");
    let gone = problem(load(&config, KubeconfigOptions::new()));
    assert_eq!(gone, KubeconfigError::UnknownContext { name: "gone".into(), available: available.clone() });
    for none in [json!(""), json!(null)] {
        config["current-context"] = none;
        let no_context = problem(load(&config, KubeconfigOptions::new()));
        assert_eq!(no_context, KubeconfigError::NoContext { available: available.clone() });
        assert!(no_context.to_string().ends_with("there are: 'dev', 'prod'"), "{no_context}");
    }
}

#[test]
fn a_context_must_name_a_cluster_and_a_user_that_are_there() {
    let good = of(&json!({ "server": "https://a" }), &json!({}));
    for (kind, key, list) in [(EntryKind::Cluster, "cluster", "clusters"), (EntryKind::User, "user", "users")]
    {
        for none in [json!(""), json!(null)] {
            let mut config = good.clone();
            config["contexts"][0]["context"][key] = none;
            let expected = KubeconfigError::Unreferred { context: "dev".into(), kind };
            assert_eq!(problem(text(&config.to_string())), expected);
        }
        let mut config = good.clone();
        config["contexts"][0]["context"][key] = json!("x");
        let unknown = problem(text(&config.to_string()));
        let available = vec![if kind == EntryKind::User { "u" } else { "c" }.to_owned()];
        let (context, name) = ("dev".to_owned(), "x".to_owned());
        assert_eq!(unknown, KubeconfigError::Unknown { context, kind, name, available });
        config[list] = json!(null);
        let empty = problem(text(&config.to_string())).to_string();
        assert!(
            empty.contains(&format!("names the {key} 'x'")) && empty.ends_with("there are: none"),
            "{empty}"
        );
    }
    let mut config = good.clone();
    config["contexts"][0]["context"] = json!(null);
    assert!(matches!(problem(text(&config.to_string())), KubeconfigError::Unreferred { .. }));
    for bad in ["Team", "a.b", "-a", "a b", &"a".repeat(64)] {
        let mut config = good.clone();
        config["contexts"][0]["context"]["namespace"] = json!(bad);
        assert_eq!(field(text(&config.to_string())), ("namespace", FieldProblem::Namespace), "{bad}");
    }
    // What is wrong with an entry that is not used does not matter.
    let mut config = good;
    let more = json!({ "name": "other", "user": { "auth-provider": { "name": "gcp" } } });
    config["users"].as_array_mut().unwrap().push(more);
    assert!(text(&config.to_string()).is_ok());
}

#[test]
fn many_names_are_not_all_listed_and_none_can_forge_a_line() {
    let contexts: Vec<_> = (10..100).map(|number| json!({ "name": format!("c{number}") })).collect();
    let error = problem(text(&json!({ "contexts": contexts }).to_string())).to_string();
    assert!(error.contains("'c10'") && error.contains("'c29' and 70 more"), "{error}");
    assert!(!error.contains("c30"), "{error}");
    let evil = json!({ "contexts": [{ "name": "\n\u{1b}[2J" }, { "name": "x".repeat(1000) }] });
    let error = problem(text(&evil.to_string())).to_string();
    assert!(!error.contains(char::is_control) && error.len() < 500, "{error}");
}

mod clusters {
    use super::*;

    #[test]
    fn the_authority_is_data_or_a_file() {
        let folded = format!(" {}\n  {}\n", &CERTIFICATE_DATA[..20], &CERTIFICATE_DATA[20..]);
        for data in [CERTIFICATE_DATA, &folded] {
            let credentials = resolve(cluster(json!({ "certificate-authority-data": data })).unwrap());
            assert_eq!(credentials.ca().unwrap().pem(), CERTIFICATE.as_bytes());
        }
        assert_eq!(resolve(cluster(json!({ "certificate-authority-data": "" })).unwrap()).ca(), None);
        const DATA: &str = "certificate-authority-data";
        for bad in ["s3cr3t!", "LS0", "MIIB-_=="] {
            assert_eq!(field(cluster(json!({ DATA: bad }))), (DATA, FieldProblem::Base64), "{bad}");
        }
        let der = FieldProblem::Pem(PemProblem::NoCertificate);
        assert_eq!(field(cluster(json!({ DATA: "MIIB" }))), (DATA, der));
        let both = cluster(json!({ DATA: CERTIFICATE_DATA, "certificate-authority": "ca.crt" }));
        assert_eq!(field(both), ("certificate-authority", FieldProblem::Conflict { with: DATA }));
    }

    #[test]
    fn the_server_is_needed_and_protects_the_secret() {
        let server = |server: Value, user: Value| text(&of(&json!({ "server": server }), &user).to_string());
        for none in [json!(null), json!("")] {
            assert_eq!(field(server(none, json!({}))), ("server", FieldProblem::Missing));
        }
        let userinfo = server(json!("https://me:s3cr3t@a"), json!({}));
        assert!(!format!("{userinfo:?}").contains("s3cr3t"));
        assert_eq!(field(userinfo), ("server", FieldProblem::Url(UrlProblem::UserInfo)));
        assert_eq!(
            field(server(json!("10.0.0.1:6443"), json!({}))),
            ("server", FieldProblem::Url(UrlProblem::Scheme))
        );
        let token = json!({ "token": "s3cr3t" });
        let plain = server(json!("http://10.0.0.1"), token.clone());
        assert!(matches!(plain, Err(CredentialError::PlainHttpToken { .. })), "{plain:?}");
        assert!(server(json!("http://127.0.0.1:8001"), token).is_ok());
        let certificate = json!({ "client-certificate-data": CERTIFICATE_DATA, "client-key-data": KEY_DATA });
        let plain = server(json!("http://127.0.0.1:8001"), certificate);
        assert!(matches!(plain, Err(CredentialError::PlainHttpClientCertificate { .. })), "{plain:?}");
        assert!(server(json!("http://10.0.0.1"), json!({})).is_ok(), "there is no secret");
    }

    #[test]
    fn the_name_in_the_certificate_may_be_another() {
        let name = |name: &str| cluster(json!({ "tls-server-name": name }));
        for (given, kept) in
            [("API.example", "api.example"), ("10.0.0.1", "10.0.0.1"), ("FD00::1", "fd00::1")]
        {
            assert_eq!(resolve(name(given).unwrap()).tls_server_name(), Some(kept));
        }
        assert_eq!(resolve(name("").unwrap()).tls_server_name(), None);
        for bad in ["https://a", "a:443", "*.a", "[::1]", "a b"] {
            assert_eq!(field(name(bad)), ("tls-server-name", FieldProblem::ServerName), "{bad}");
        }
    }

    #[test]
    fn verification_is_switched_off_by_the_application_only() {
        let config =
            |skip: Value| with(json!({ "insecure-skip-tls-verify": skip }), json!({ "server": "https://a" }));
        let load = |config: &Value, options: &KubeconfigOptions| {
            list(&[("/1", Ok(&*of(config, &json!({ "token": "t" })).to_string()))], options)
        };
        let (strict, lax) =
            (KubeconfigOptions::new(), KubeconfigOptions::new().allow_insecure_skip_tls_verify());
        let refused = load(&config(json!(true)), &strict);
        assert_eq!(field(refused), ("insecure-skip-tls-verify", FieldProblem::NotAllowed));
        let credentials = resolve(load(&config(json!(true)), &lax).unwrap());
        assert!(credentials.insecure_skip_tls_verify());
        let server = "https://a".parse().unwrap();
        assert_eq!(credentials.warnings(), [CredentialWarning::InsecureSkipTlsVerify { server }]);
        let warning = credentials.warnings()[0].to_string();
        assert!(warning.starts_with("TLS VERIFICATION IS OFF for https://a"), "{warning}");
        for verified in [json!(false), json!(null)] {
            for options in [&strict, &lax] {
                let credentials = resolve(load(&config(verified.clone()), options).unwrap());
                assert!(!credentials.insecure_skip_tls_verify());
                assert_eq!(credentials.warnings(), []);
            }
        }
        // client-go refuses it as well: nobody can say what was meant.
        for with_ca in ["certificate-authority", "certificate-authority-data"] {
            let both = with(json!({ with_ca: CERTIFICATE_DATA }), config(json!(true)));
            let conflict = FieldProblem::Conflict { with: with_ca };
            assert_eq!(field(load(&both, &lax)), ("insecure-skip-tls-verify", conflict));
        }
    }

    #[test]
    fn a_proxy_is_carried_on_or_refused() {
        let proxy = |url: &str| cluster(json!({ "proxy-url": url }));
        let credentials = resolve(proxy("http://me:s3cr3t@proxy:3128").unwrap());
        assert_eq!(credentials.proxy_url().unwrap().secret_url(), "http://me:s3cr3t@proxy:3128");
        assert!(!format!("{credentials:?}").contains("s3cr3t"));
        assert_eq!(resolve(proxy("").unwrap()).proxy_url(), None);
        for (url, problem) in [("proxy:3128", UrlProblem::Scheme), ("http://s3cr3t@", UrlProblem::Host)] {
            let refused = proxy(url);
            assert!(!format!("{refused:?}").contains("s3cr3t"));
            assert_eq!(field(refused), ("proxy-url", FieldProblem::Proxy(problem)));
        }
    }
}

mod users {
    use super::*;

    #[test]
    fn a_token_is_inline_or_in_a_file_and_the_file_counts() {
        let both = source(user(json!({ "token": "inline", "tokenFile": "t" })));
        assert_eq!(both.files(), [file(FileRole::Token, "/etc/kube/t")]);
        let mut contents = FileContents::new();
        contents.insert(FileRole::Token, Ok("s3cr3t\n"));
        assert_eq!(both.resolve(&contents).unwrap().authorization().unwrap(), "Bearer s3cr3t");
        let at = TokenProblem::NotVisibleAscii { at: 6 };
        assert_eq!(field(user(json!({ "token": "s3cr3t x" }))), ("token", FieldProblem::Token(at)));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let pair = json!({ "client-certificate-data": CERTIFICATE_DATA, "client-key-data": KEY_DATA });
        let credentials = resolve(user(pair.clone()).unwrap());
        let certificate = credentials.client_certificate().unwrap();
        assert_eq!(certificate.chain.pem(), CERTIFICATE.as_bytes());
        assert_eq!(certificate.key.secret_pem(), KEY.as_bytes());
        assert_eq!(credentials.authorization(), None);
        let mixed = json!({ "client-certificate": "c.crt", "client-key-data": KEY_DATA });
        assert_eq!(source(user(mixed)).files(), [file(FileRole::ClientCertificate, "/etc/kube/c.crt")]);
        let (chain, key) = ("client-certificate-data", "client-key-data");
        assert_eq!(field(user(json!({ chain: CERTIFICATE_DATA }))), (key, FieldProblem::Missing));
        assert!(resolve(user(json!({ key: KEY_DATA })).unwrap()).client_certificate().is_none());
        let swapped = user(json!({ chain: KEY_DATA, key: CERTIFICATE_DATA }));
        assert_eq!(field(swapped), (chain, FieldProblem::Pem(PemProblem::NoCertificate)));
        let no_key = user(json!({ chain: CERTIFICATE_DATA, key: CERTIFICATE_DATA }));
        assert_eq!(field(no_key), (key, FieldProblem::Pem(PemProblem::NoKey)));
        for (file, data) in [("client-certificate", chain), ("client-key", key)] {
            let both = user(with(json!({ file: "f" }), pair.clone()));
            assert_eq!(field(both), (file, FieldProblem::Conflict { with: data }));
        }
    }

    #[test]
    fn a_token_and_a_certificate_are_both_shown() {
        let both = json!({
            "token": "s3cr3t", "client-certificate-data": CERTIFICATE_DATA, "client-key-data": KEY_DATA,
        });
        let credentials = resolve(user(both).unwrap());
        assert_eq!(credentials.authorization().unwrap(), "Bearer s3cr3t");
        assert!(credentials.client_certificate().is_some());
        assert_eq!(*resolve(user(json!({})).unwrap()).authentication(), Authentication::None);
        assert_eq!(*resolve(user(json!(null)).unwrap()).authentication(), Authentication::None);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (name, value, expected) in [
            ("username", json!("me"), FieldProblem::BasicAuth),
            ("password", json!("s3cr3t"), FieldProblem::BasicAuth),
            ("as", json!("root"), FieldProblem::Impersonation),
            ("as-uid", json!("0"), FieldProblem::Impersonation),
            ("as-groups", json!(["system:masters"]), FieldProblem::Impersonation),
            ("as-user-extra", json!({ "a": ["b"] }), FieldProblem::Impersonation),
            (
                "auth-provider",
                json!({ "name": "oidc", "config": { "id-token": "s3cr3t" } }),
                FieldProblem::AuthProvider { name: "oidc".into() },
            ),
        ] {
            let refused = user(json!({ "token": "s3cr3t", name: value }));
            let error = refused.clone().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("kubeconfig: /etc/kube/config: user 'u': {name} ")),
                "{error}"
            );
            assert!(!format!("{refused:?}{error}").contains("s3cr3t"), "{error}");
            assert_eq!(field(refused), (name, expected));
        }
        let empty = json!({
            "token": "t", "username": "", "password": null, "as": "", "as-groups": [], "as-user-extra": {},
            "auth-provider": null, "exec": null,
        });
        assert!(user(empty).is_ok());
    }
}

mod plugins {
    use super::*;

    const V1: &str = "client.authentication.k8s.io/v1";
    const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";

    fn exec(extra: Value) -> Value {
        let exec = json!({ "apiVersion": V1, "command": "get-token", "interactiveMode": "Never" });
        json!({ "exec": with(extra, exec) })
    }

    fn command(kubeconfig: Result<Kubeconfig, CredentialError>) -> ExecCommand {
        source(kubeconfig).command(&FileContents::new()).unwrap().unwrap()
    }

    fn variable<'a>(command: &'a ExecCommand, name: &str) -> Option<&'a str> {
        let found = command.env().iter().rev().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    fn info(command: &ExecCommand) -> Value {
        serde_json::from_str(variable(command, "KUBERNETES_EXEC_INFO").unwrap()).unwrap()
    }

    #[test]
    fn the_command_is_as_it_is_written() {
        let command = command(user(exec(json!({
            "args": ["--secret", "s3cr3t"],
            "env": [{ "name": "A", "value": "s3cr3t" }, { "name": "B" }],
        }))));
        assert_eq!(command.program(), Path::new("get-token"));
        assert_eq!(command.args(), ["--secret", "s3cr3t"]);
        assert_eq!((variable(&command, "A"), variable(&command, "B")), (Some("s3cr3t"), Some("")));
        assert_eq!(command.timeout(), Duration::from_secs(60));
        assert_eq!(
            variable(&command, "KUBERNETES_EXEC_INFO"),
            Some(
                r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#
            )
        );
        assert!(!format!("{command:?}").contains("s3cr3t"), "{command:?}");
        let source =
            source(user(exec(json!({ "args": ["s3cr3t"], "env": [{ "name": "A", "value": "s3cr3t" }] }))));
        assert!(!format!("{source:?}").contains("s3cr3t"), "{source:?}");
    }

    #[test]
    fn a_name_with_a_separator_belongs_to_the_folder_of_its_file() {
        for (written, run) in [
            ("get-token", "get-token"),
            ("./get-token", "/etc/kube/./get-token"),
            ("bin/get-token", "/etc/kube/bin/get-token"),
            ("/usr/bin/get-token", "/usr/bin/get-token"),
        ] {
            assert_eq!(command(user(exec(json!({ "command": written })))).program(), Path::new(run));
        }
        let config = of(&json!({ "server": "https://a" }), &exec(json!({ "command": "./get-token" })));
        let here = list(&[("config", Ok(&*config.to_string()))], &KubeconfigOptions::new());
        assert_eq!(command(here).program(), Path::new("./get-token"));
    }

    #[test]
    fn the_time_out_is_the_applications_and_has_bounds() {
        let config = of(&json!({ "server": "https://a" }), &exec(json!({}))).to_string();
        for (asked, given) in [(0, 1), (5, 5), (6000, 600)] {
            let options = KubeconfigOptions::new().exec_timeout(Duration::from_secs(asked));
            let command = command(list(&[("/1", Ok(&*config))], &options));
            assert_eq!(command.timeout(), Duration::from_secs(given));
        }
    }

    #[test]
    fn the_cluster_is_told_when_it_is_asked_for() {
        let told = |extra: Value, user: Value| {
            let cluster = with(extra, json!({ "server": "https://10.0.0.1:6443/" }));
            text(&of(&cluster, &user).to_string())
        };
        let asked = exec(json!({ "provideClusterInfo": true, "apiVersion": V1BETA1 }));
        let all = json!({
            "certificate-authority-data": CERTIFICATE_DATA,
            "tls-server-name": "api.example",
            "proxy-url": "socks5://me:s3cr3t@proxy",
            "disable-compression": true,
            "extensions": [
                { "name": "minikube", "extension": { "last-update": "Wed, 21 Oct 2026 07:28:00 UTC" } },
                { "name": "client.authentication.k8s.io/exec", "extension": { "audience": ["a", 1, null] } },
            ],
        });
        let command_of_all = command(told(all.clone(), asked.clone()));
        assert_eq!(
            info(&command_of_all),
            json!({
                "kind": "ExecCredential",
                "apiVersion": V1BETA1,
                "spec": {
                    "interactive": false,
                    "cluster": {
                        "server": "https://10.0.0.1:6443",
                        "tls-server-name": "api.example",
                        "certificate-authority-data": CERTIFICATE_DATA,
                        "proxy-url": "socks5://me:s3cr3t@proxy",
                        "disable-compression": true,
                        "config": { "audience": ["a", 1, null] },
                    },
                },
            })
        );
        assert!(!format!("{command_of_all:?}").contains("s3cr3t"));
        assert_eq!(
            info(&command(told(json!({}), asked.clone())))["spec"]["cluster"],
            json!({ "server": "https://10.0.0.1:6443" })
        );
        assert_eq!(
            info(&command(told(all, exec(json!({})))))["spec"]["cluster"],
            json!(null),
            "not asked for"
        );

        let insecure =
            of(&json!({ "server": "https://a", "insecure-skip-tls-verify": true }), &asked).to_string();
        let options = KubeconfigOptions::new().allow_insecure_skip_tls_verify();
        let told_insecure = info(&command(list(&[("/1", Ok(&*insecure))], &options)));
        assert_eq!(told_insecure["spec"]["cluster"]["insecure-skip-tls-verify"], json!(true));

        // An authority in a file is read first.
        let source = source(told(json!({ "certificate-authority": "ca.crt" }), asked));
        assert_eq!(source.files(), [file(FileRole::CertificateAuthority, "/etc/kube/ca.crt")]);
        let mut contents = FileContents::new();
        assert!(matches!(source.command(&contents), Err(CredentialError::NotHandedIn { .. })));
        contents.insert(FileRole::CertificateAuthority, Ok(CERTIFICATE));
        let command = source.command(&contents).unwrap().unwrap();
        assert_eq!(info(&command)["spec"]["cluster"]["certificate-authority-data"], json!(CERTIFICATE_DATA));
    }

    #[test]
    fn what_is_not_a_plugin_for_a_daemon_is_refused() {
        let missing = FieldProblem::Missing;
        for (extra, name, expected) in [
            (json!({ "apiVersion": null }), "exec.apiVersion", missing.clone()),
            (
                json!({ "apiVersion": "client.authentication.k8s.io/v1alpha1" }),
                "exec.apiVersion",
                FieldProblem::ExecApiVersion,
            ),
            (json!({ "command": "" }), "exec.command", missing.clone()),
            (json!({ "command": "a\0b" }), "exec.command", FieldProblem::Nul),
            (json!({ "args": ["a\0b"] }), "exec.command", FieldProblem::Nul),
            (json!({ "env": [{ "value": "s3cr3t" }] }), "exec.env.name", missing.clone()),
            (json!({ "env": [{ "name": "A=B", "value": "s3cr3t" }] }), "exec.env", FieldProblem::Nul),
            (json!({ "env": [{ "name": "A", "value": "\0" }] }), "exec.env", FieldProblem::Nul),
            (json!({ "interactiveMode": null }), "exec.interactiveMode", missing),
            (json!({ "interactiveMode": "Always" }), "exec.interactiveMode", FieldProblem::NeedsTerminal),
            (json!({ "interactiveMode": "never" }), "exec.interactiveMode", FieldProblem::InteractiveMode),
        ] {
            let refused = user(exec(extra));
            assert!(!format!("{refused:?}").contains("s3cr3t"));
            assert_eq!(field(refused), (name, expected));
        }
        for (api_version, mode) in
            [(V1, json!("IfAvailable")), (V1BETA1, json!(null)), (V1BETA1, json!("Never"))]
        {
            assert!(user(exec(json!({ "apiVersion": api_version, "interactiveMode": mode }))).is_ok());
        }
        for with_field in ["token", "tokenFile", "client-certificate", "client-certificate-data"] {
            let both = user(with(json!({ with_field: CERTIFICATE_DATA }), exec(json!({}))));
            assert_eq!(field(both), ("exec", FieldProblem::Conflict { with: with_field }));
        }
        let plain = text(&of(&json!({ "server": "http://10.0.0.1" }), &exec(json!({}))).to_string());
        assert!(matches!(plain, Err(CredentialError::PlainHttpToken { .. })), "{plain:?}");
    }

    #[test]
    fn a_missing_plugin_is_reported_with_its_hint() {
        let source = source(user(exec(json!({ "installHint": "apt install\nget-token\u{7}" }))));
        let mut contents = FileContents::new();
        contents.insert_exec(Err::<Vec<u8>, _>(ExecFailure::NotStarted(ErrorKind::NotFound)));
        assert_eq!(
            source.resolve(&contents).unwrap_err().to_string(),
            "exec plugin get-token does not exist: install it, or add its folder to PATH; \
             apt install get-token\\u{7}"
        );
        contents.insert_exec(Err::<Vec<u8>, _>(ExecFailure::Exit(Some(1))));
        let failed = source.resolve(&contents).unwrap_err().to_string();
        assert_eq!(failed, "exec plugin get-token exited with code 1; see what it wrote to stderr");
    }
}

mod syntax {
    use super::*;

    #[test]
    fn json_marks_and_line_ends_make_no_difference() {
        let expected = text(SIMPLE).unwrap();
        let json = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "dev", "preferences": {},
            "clusters": [{ "name": "c", "cluster": {
                "server": "https://10.0.0.1:6443", "certificate-authority": "pki/ca.crt",
            } }],
            "contexts": [{ "name": "dev", "context": { "cluster": "c", "user": "u", "namespace": "team-a" } }],
            "users": [{ "name": "u", "user": { "token": "s3cr3t" } }],
        });
        for variant in [
            json.to_string(),
            format!("{json:#}"),
            format!("\u{feff}{SIMPLE}"),
            format!("\u{feff}{json}"),
            SIMPLE.replace('\n', "\r\n"),
            format!("\u{feff}{}", SIMPLE.replace('\n', "\r\n")),
            format!("# comment\n%YAML 1.2\n---\n{SIMPLE}...\n"),
            SIMPLE.replace("s3cr3t", "\"s3cr3t\" # comment"),
            SIMPLE.replace("s3cr3t", ">-\n      s3cr3t"),
            SIMPLE.replace("s3cr3t", "!!str s3cr3t"),
            SIMPLE
                .replace("\n- name", "\n  - name")
                .replace("\n  cluster:\n", "\n    cluster:\n")
                .replace("\n    server", "\n        server")
                .replace("\n    certificate", "\n        certificate")
                .replace(
                    "\n  context:\n    cluster: c\n    user: u\n    namespace",
                    "\n    context:\n      cluster: c\n      user: u\n      namespace",
                )
                .replace("\n  user:\n    token", "\n    user:\n      token"),
        ] {
            assert_eq!(text(&variant), Ok(expected.clone()), "{variant}");
        }
    }

    #[test]
    fn names_that_look_like_something_else_stay_names() {
        for name in ["on", "no", "0123", "1e3", "null-ish", "2026-01-01", "0x10", "a@b:c/d"] {
            let renamed = SIMPLE.replace("dev", name);
            assert_eq!(text(&renamed).unwrap().context(), name);
        }
        assert!(text(&SIMPLE.replace("s3cr3t", "12345")).is_ok());
    }

    #[test]
    fn anchors_are_followed() {
        let shared = SIMPLE
            .replace(
                "  user:\n    token: s3cr3t",
                "  user: &u\n    token: s3cr3t\n- name: v\n  user:\n    <<: *u",
            )
            .replace("    user: u", "    user: v");
        assert_eq!(resolve_token(&shared), "Bearer s3cr3t");
    }

    fn resolve_token(config: &str) -> http::HeaderValue {
        let config = config.replace("    certificate-authority: pki/ca.crt\n", "");
        resolve(text(&config).unwrap()).authorization().unwrap()
    }

    #[test]
    fn an_empty_file_is_an_empty_kubeconfig() {
        for empty in ["", "\n", "# nothing\n", "---\n", "null", "~", "{}", "\u{feff}"] {
            assert_eq!(problem(text(empty)), KubeconfigError::NoContext { available: vec![] }, "{empty:?}");
        }
        let nulls =
            "apiVersion: v1\nkind: Config\nclusters: null\ncontexts: ~\nusers:\ncurrent-context: ''\n";
        assert_eq!(problem(text(nulls)), KubeconfigError::NoContext { available: vec![] });
        let first = ("/1", Ok(""));
        assert!(list(&[first, ("/2", Ok(SIMPLE))], &KubeconfigOptions::new()).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (content, problem, line) in [
            (SIMPLE.replace("clusters:", "clusters"), SyntaxProblem::Syntax, 5),
            (SIMPLE.replace("    token", "\ttoken"), SyntaxProblem::Syntax, 19),
            (SIMPLE.replace("s3cr3t", "\"s3cr3t"), SyntaxProblem::Syntax, 19),
            (SIMPLE.replace("s3cr3t", "s3cr3t: s3cr3t"), SyntaxProblem::Syntax, 19),
            (SIMPLE.replace("s3cr3t", "[s3cr3t]"), SyntaxProblem::Type, 19),
            (SIMPLE.replace("s3cr3t", "{s3cr3t: s3cr3t}"), SyntaxProblem::Type, 19),
            (SIMPLE.replace("s3cr3t", "*s3cr3t"), SyntaxProblem::Syntax, 19),
            (SIMPLE.replace("s3cr3t", "t\n    token: s3cr3t"), SyntaxProblem::DuplicateKey, 20),
            (SIMPLE.replace("clusters:\n", "clusters: s3cr3t\nx:\n"), SyntaxProblem::Type, 5),
            (
                SIMPLE.replace("    server", "    insecure-skip-tls-verify: s3cr3t\n    server"),
                SyntaxProblem::Type,
                8,
            ),
            (format!("{SIMPLE}---\n{SIMPLE}"), SyntaxProblem::SeveralDocuments, 21),
            ("s3cr3t".to_owned(), SyntaxProblem::Type, 1),
            ("[s3cr3t]".to_owned(), SyntaxProblem::Type, 1),
            (SIMPLE.replace("kind: Config", "kind: s3cr3t"), SyntaxProblem::AnotherKind { field: "kind" }, 0),
            (SIMPLE.replace("v1", "s3cr3t"), SyntaxProblem::AnotherKind { field: "apiVersion" }, 0),
        ] {
            let error = text(&content).unwrap_err();
            let shown = format!("{error} {error:?} {error:#?}");
            assert!(!shown.contains("s3cr3t"), "{shown}");
            assert!(line == 0 || shown.contains(&format!("line {line}")), "{shown}\n{content}");
            assert_eq!(super::syntax(content.as_bytes()), (problem, line), "{content}");
        }
        assert_eq!(super::syntax(b"users: \xff\xfe").0, SyntaxProblem::NotUtf8);
        let large = vec![b' '; MAX_FILE_BYTES + 1];
        assert_eq!(super::syntax(&large).0, SyntaxProblem::TooLarge);
    }

    /// As the value of `key`, lists in lists.
    fn deep(key: &str, depth: usize) -> String {
        format!("{key}:\n      {}1", "- ".repeat(depth))
    }

    #[test]
    fn bombs_are_stopped() {
        let mut bomb = "a0: &a0 [s3cr3t]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb += &format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(", "));
        }
        for (content, problem) in [
            (bomb, SyntaxProblem::TooComplex),
            ("[".repeat(100_000), SyntaxProblem::Syntax),
            ("{a: ".repeat(100_000), SyntaxProblem::Syntax),
            (format!("x:\n  {}a", "- ".repeat(100_000)), SyntaxProblem::TooComplex),
            (deep("x", 5000), SyntaxProblem::TooComplex),
            (
                deep("clusters:\n- name: c\n  cluster:\n    extensions:\n    - extension", 5000),
                SyntaxProblem::TooComplex,
            ),
            (deep("users:\n- name: u\n  user:\n    as-groups", 5000), SyntaxProblem::TooComplex),
        ] {
            assert_eq!(super::syntax(content.as_bytes()).0, problem, "{}", &content[..40]);
        }
    }
}

/// Writes a value as YAML, in the styles that `styles` chooses, over and over.
struct Writer<'a> {
    styles: &'a [u8],
    at: usize,
    text: String,
}

impl Writer<'_> {
    fn write(styles: &[u8], value: &Value) -> String {
        let mut writer = Writer { styles, at: 0, text: String::new() };
        writer.value(value, 0);
        writer.text
    }

    fn style(&mut self) -> u8 {
        self.at += 1;
        self.styles[self.at % self.styles.len()]
    }

    fn value(&mut self, value: &Value, indent: usize) {
        let line = |text: &mut String| *text += &format!("\n{}", " ".repeat(indent));
        match value {
            Value::Object(fields) if !fields.is_empty() && !self.style().is_multiple_of(4) => {
                for (name, value) in fields {
                    line(&mut self.text);
                    self.scalar(name);
                    self.text += ":";
                    let deeper = indent + 1 + usize::from(self.style() % 3);
                    self.value(value, deeper);
                }
            }
            Value::Array(items) if !items.is_empty() && !self.style().is_multiple_of(4) => {
                for item in items {
                    line(&mut self.text);
                    self.text += "-";
                    self.value(item, indent + 2);
                }
            }
            Value::String(text) => {
                self.text += " ";
                self.scalar(text);
            }
            // JSON is YAML.
            other => self.text += &format!(" {other}"),
        }
    }

    fn scalar(&mut self, text: &str) {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'_');
        let plain = text.bytes().all(safe) && text.starts_with(|first: char| first.is_ascii_alphabetic());
        let written = match self.style() % 3 {
            0 if plain && !["null", "Null", "NULL"].contains(&text) => text.to_owned(),
            1 if !text.contains(char::is_control) => format!("'{}'", text.replace('\'', "''")),
            _ => Value::from(text).to_string(),
        };
        self.text += &written;
    }
}

/// What a configuration is made from.
#[derive(Clone, Debug)]
struct Parts {
    names: [String; 3],
    host: String,
    token: Option<String>,
    token_file: bool,
    certificate: Option<[bool; 2]>,
    ca: Option<bool>,
    namespace: Option<String>,
    tls_server_name: Option<String>,
    proxy: bool,
}

fn any_parts() -> impl Strategy<Value = Parts> {
    let name = || {
        prop_oneof![
            "[a-z]{1,8}",
            "\\PC{1,12}",
            "(on|null|~|0x1|1e3|true|- a|a: b|#a|'|\"|a,b|\\[|&a|\\*a|!a|%a)"
        ]
    };
    let label = "[a-z]([a-z0-9-]{0,10}[a-z0-9])?";
    (
        [name(), name(), name()],
        label,
        prop::option::of("[!-~]{1,30}"),
        any::<bool>(),
        any::<Option<[bool; 2]>>(),
        any::<Option<bool>>(),
        prop::option::of(label),
        prop::option::of(label),
        any::<bool>(),
    )
        .prop_map(
            |(names, host, token, token_file, certificate, ca, namespace, tls_server_name, proxy)| Parts {
                names,
                host,
                token,
                token_file,
                certificate,
                ca,
                namespace,
                tls_server_name,
                proxy,
            },
        )
}

impl Parts {
    fn config(&self) -> Value {
        let [cluster, user, context] = &self.names;
        let piece = |fields: &mut Value, name: &str, inline: bool, data: &str| match inline {
            true => fields[format!("{name}-data")] = json!(data),
            false => fields[name] = json!(format!("pki/{name}")),
        };
        let mut cluster_fields = json!({ "server": format!("https://{}", self.host), "unknown": [1, {}] });
        if let Some(inline) = self.ca {
            piece(&mut cluster_fields, "certificate-authority", inline, CERTIFICATE_DATA);
        }
        if let Some(name) = &self.tls_server_name {
            cluster_fields["tls-server-name"] = json!(name);
        }
        if self.proxy {
            cluster_fields["proxy-url"] = json!("http://me:pw@proxy:1");
        }
        let mut user_fields = json!({});
        if let Some(token) = &self.token {
            user_fields["token"] = json!(token);
        }
        if self.token_file {
            user_fields["tokenFile"] = json!("/abs/token");
        }
        if let Some([chain, key]) = self.certificate {
            piece(&mut user_fields, "client-certificate", chain, CERTIFICATE_DATA);
            piece(&mut user_fields, "client-key", key, KEY_DATA);
        }
        let context_fields = json!({ "cluster": cluster, "user": user, "namespace": self.namespace });
        json!({
            "apiVersion": "v1",
            "current-context": context,
            "clusters": [{ "name": "Other!" }, { "name": cluster, "cluster": cluster_fields }],
            "contexts": [{ "context": context_fields, "name": context }],
            "users": [{ "name": user, "user": user_fields }],
        })
    }

    /// What the source asks for and resolves to.
    fn check(&self, kubeconfig: Kubeconfig) -> Result<(), TestCaseError> {
        prop_assert_eq!(kubeconfig.context(), &self.names[2]);
        let source = CredentialSource::Kubeconfig(kubeconfig);
        let mut contents = FileContents::new();
        let mut asked = source.files();
        for (role, wanted, path, content) in [
            (
                FileRole::CertificateAuthority,
                self.ca == Some(false),
                "/k/pki/certificate-authority",
                CERTIFICATE,
            ),
            (FileRole::Token, self.token_file, "/abs/token", "from-file"),
            (
                FileRole::ClientCertificate,
                self.certificate.is_some_and(|[chain, _]| !chain),
                "/k/pki/client-certificate",
                CERTIFICATE,
            ),
            (FileRole::ClientKey, self.certificate.is_some_and(|[_, key]| !key), "/k/pki/client-key", KEY),
        ] {
            if wanted {
                prop_assert_eq!(asked.remove(0), file(role, path));
                contents.insert(role, Ok(content));
            }
        }
        prop_assert_eq!(asked, []);
        let credentials = source.resolve(&contents).unwrap();
        prop_assert_eq!(credentials.server().host(), self.host.clone());
        prop_assert_eq!(credentials.ca().is_some(), self.ca.is_some());
        prop_assert_eq!(credentials.namespace(), self.namespace.as_deref());
        prop_assert_eq!(credentials.tls_server_name(), self.tls_server_name.as_deref());
        prop_assert_eq!(credentials.proxy_url().is_some(), self.proxy);
        prop_assert_eq!(credentials.client_certificate().is_some(), self.certificate.is_some());
        let token = if self.token_file { Some("from-file") } else { self.token.as_deref() };
        let header = credentials.authorization().map(|header| header.to_str().unwrap().to_owned());
        prop_assert_eq!(header, token.map(|token| format!("Bearer {token}")));
        Ok(())
    }
}

/// Everything that a file can say, with secrets wherever there may be some.
fn full_of_secrets() -> String {
    let data = |text: &str| text.replace("MIIB", "s3cr3tAA");
    let pair = json!({
        "client-certificate-data": CERTIFICATE_DATA,
        "client-key-data": KEY_DATA.replace("TUlJQg", "s3cr3tAA"),
        "token": "s3cr3t",
    });
    let plugin = json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "get-token",
        "interactiveMode": "Never",
        "args": ["s3cr3t", data("MIIB")],
        "env": [{ "name": "A", "value": "s3cr3t" }],
    } });
    let user = |name: &str, user: Value| json!({ "name": name, "user": user });
    let cluster = json!({ "server": "https://a", "proxy-url": "http://me:s3cr3t@proxy" });
    let context = |user: &str| json!({ "name": user, "context": { "cluster": "c", "user": user } });
    let config = json!({
        "current-context": "pair",
        "clusters": [{ "name": "c", "cluster": cluster }],
        "contexts": [context("pair"), context("plugin"), context("basic"), context("provider")],
        "users": [
            user("pair", pair),
            user("plugin", plugin),
            user("basic", json!({ "username": "s3cr3t", "password": "s3cr3t" })),
            user("provider", json!({ "auth-provider": { "name": "oidc", "config": { "id-token": "s3cr3t" } } })),
        ],
    });
    Writer::write(&[1], &config)
}

proptest! {
    #[test]
    fn what_is_put_together_is_taken_apart(
        parts in any_parts(),
        styles in prop::collection::vec(any::<u8>(), 1..40),
        mark in any::<bool>(),
        crlf in any::<bool>(),
        split in any::<bool>(),
    ) {
        let config = parts.config();
        let mut texts = vec![config.clone()];
        if split {
            // The users in a first file, the rest in a second.
            texts = vec![json!({ "users": config["users"] }), with(json!({ "users": [] }), config)];
        }
        let texts: Vec<String> = texts
            .iter()
            .map(|config| Writer::write(&styles, config))
            .map(|text| if crlf { text.replace('\n', "\r\n") } else { text })
            .map(|text| if mark { format!("\u{feff}{text}") } else { text })
            .collect();
        let files: Vec<(&str, Read<'_>)> =
            ["/k/1", "/k/2"].into_iter().zip(texts.iter().map(|text| Ok(text.as_str()))).collect();
        match list(&files, &KubeconfigOptions::new()) {
            Ok(kubeconfig) => parts.check(kubeconfig)?,
            Err(error) => prop_assert!(false, "{error}\n{}", texts.join("\n=====\n")),
        }
    }

    #[test]
    fn secrets_are_never_printed(
        context in prop::sample::select(vec!["pair", "plugin", "basic", "provider"]),
        at in 0usize..10_000,
        by in prop_oneof![
            Just(String::new()),
            "[ -~\t\n]",
            "[:\\-?\\[\\]{}#&*!|>'\"%@,`\t\n\r ]{1,3}",
            "\\PC",
        ],
        removed in 0usize..3,
        cut in any::<bool>(),
    ) {
        let mut text = full_of_secrets();
        let at = at % text.len();
        if cut {
            text.truncate(at);
            text += &by;
        } else {
            text.replace_range(at..(at + removed).min(text.len()), &by);
        }
        let options = KubeconfigOptions::new().context(context);
        let printed = match list(&[("/k/1", Ok(&*text))], &options) {
            Ok(kubeconfig) => {
                let source = CredentialSource::Kubeconfig(kubeconfig);
                let contents = FileContents::new();
                format!("{source:?} {:?} {:?}", source.command(&contents), source.resolve(&contents))
            }
            Err(error) => format!("{error} {error:?} {error:#?}"),
        };
        prop_assert!(!printed.contains("s3cr3t"), "{printed}\n{text}");
    }

    #[test]
    fn no_bytes_make_it_panic(content in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "([a-z]{1,3}|[:?\\-\\[\\]{}#&*!|>'\"%@,\n ]|: |- |\n  ){0,60}".prop_map(String::into_bytes),
    ]) {
        if let Err(error) = bytes(&content) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
