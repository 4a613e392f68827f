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
#[path = "kubeconfig/merging.rs"]
mod merging;

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

#[path = "kubeconfig/clusters.rs"]
mod clusters;

#[path = "kubeconfig/users.rs"]
mod users;

#[path = "kubeconfig/plugins.rs"]
mod plugins;

#[path = "kubeconfig/syntax.rs"]
mod syntax;

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
