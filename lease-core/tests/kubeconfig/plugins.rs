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
    assert_eq!(info(&command(told(all, exec(json!({})))))["spec"]["cluster"], json!(null), "not asked for");

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
    for (api_version, mode) in [(V1, json!("IfAvailable")), (V1BETA1, json!(null)), (V1BETA1, json!("Never"))]
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
