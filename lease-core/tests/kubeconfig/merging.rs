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
        let expected = KubeconfigError::Duplicate { path: "/etc/kube/config".into(), kind, name: "a".into() };
        assert_eq!(problem(text(&twice)), expected);
        for name in [json!(""), json!(null)] {
            let unnamed = json!({ key: [{ "name": "a" }, { "name": name }] }).to_string();
            let expected = KubeconfigError::Unnamed { path: "/etc/kube/config".into(), kind, number: 2 };
            assert_eq!(problem(text(&unnamed)), expected);
        }
    }
}
