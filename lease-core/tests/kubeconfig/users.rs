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
        assert!(error.starts_with(&format!("kubeconfig: /etc/kube/config: user 'u': {name} ")), "{error}");
        assert!(!format!("{refused:?}{error}").contains("s3cr3t"), "{error}");
        assert_eq!(field(refused), (name, expected));
    }
    let empty = json!({
        "token": "t", "username": "", "password": null, "as": "", "as-groups": [], "as-user-extra": {},
        "auth-provider": null, "exec": null,
    });
    assert!(user(empty).is_ok());
}
