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
    for (given, kept) in [("API.example", "api.example"), ("10.0.0.1", "10.0.0.1"), ("FD00::1", "fd00::1")] {
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
    let (strict, lax) = (KubeconfigOptions::new(), KubeconfigOptions::new().allow_insecure_skip_tls_verify());
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
