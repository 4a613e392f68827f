//! Whom the client talks to, and what it shows of itself.

use lease_core::Failure;
use lease_core::credentials::{AuthenticationSource, CertificateChain, Piece, PrivateKey};
use lease_core::driver::{Adapter, SetupError};
use rustls::ServerConfig;

use crate::conformance::bench::{
    Bench, Seen, TOKEN, answered, assert_no_secret, ca, chain, explicit, failed, open, token,
};
use crate::conformance::engine::{Case, cases};
use crate::conformance::raw::{RawServer, Tls};
use crate::listener::{ClientCertificate, Clients, EmbeddedServer};

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "transport",
        a_server_of_another_authority_is_refused => "NotSent, the error says certificate, no request arrives",
        a_certificate_for_another_name_is_refused => "NotSent, no request arrives",
        the_platforms_roots_do_not_vouch_for_a_made_ca => "without a CA only the platform's are trusted",
        a_server_without_tls_gets_nothing => "NotSent, and nothing of the token on the wire",
        the_token_is_never_in_the_clear => "over TLS the wire shows no HTTP",
        client_certificates_are_shown => "the server knows who it is",
        a_missing_client_certificate_is_named => "the server's alert is in the error",
        http_1_1_is_spoken => "even where the server offers HTTP/2: a time-out must take its connection along",
    ]
}

/// Everything that is refused looks like this.
async fn assert_refused<A: Adapter>(bench: &Bench<A>, server: &EmbeddedServer, ca_of: &EmbeddedServer) {
    let seen = Seen::by(server);
    let transport = bench.transport(explicit(&server.url(), ca(ca_of), token()));
    for _ in 0..3 {
        let error = bench.get(&transport).await.expect_err("an answer from a server that nobody vouches for");
        assert_no_secret(&error);
        assert!(chain(&error).to_lowercase().contains("certificate"), "what is wrong: {}", chain(&error));
        assert_eq!(error.failure(), Failure::NotSent, "{}", chain(&error));
    }
    assert_eq!(seen.all().len(), 0, "a request came through");
}

async fn a_server_of_another_authority_is_refused<A: Adapter>(bench: Bench<A>) {
    let (server, other) = (open(true), open(true));
    assert_refused(&bench, &server, &other).await;
}

async fn a_certificate_for_another_name_is_refused<A: Adapter>(bench: Bench<A>) {
    let server = EmbeddedServer::builder().open().only_server_name("other.example").start().unwrap();
    assert_refused(&bench, &server, &server).await;
    // Both names that this one has do.
    let server = open(true);
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("https://{host}:{}", server.address().port());
        let transport = bench.transport(explicit(&url, ca(&server), AuthenticationSource::None));
        assert_eq!(bench.status(&transport).await, 404, "{host}");
    }
}

async fn the_platforms_roots_do_not_vouch_for_a_made_ca<A: Adapter>(bench: Bench<A>) {
    let server = open(true);
    let seen = Seen::by(&server);
    match A::transport(bench.setup(explicit(&server.url(), None, token()))) {
        Ok(transport) => assert_eq!(failed(bench.get(&transport).await), Failure::NotSent),
        // A machine without any roots: nobody is trusted.
        Err(error) => {
            assert_no_secret(&error);
            assert!(matches!(error, SetupError::Tls(_)), "{}", chain(&error));
        }
    }
    assert_eq!(seen.all().len(), 0, "a request came through");
}

async fn a_server_without_tls_gets_nothing<A: Adapter>(bench: Bench<A>) {
    let server = RawServer::plain(|connection| {
        connection.answer("{}");
        connection.until_closed();
    });
    let with_tls = open(true);
    let url = format!("https://{}", server.address());
    let transport = bench.transport(explicit(&url, ca(&with_tls), token()));
    assert_eq!(failed(bench.get(&transport).await), Failure::NotSent);
    assert!(!server.heard(TOKEN) && !server.heard("authorization"), "in the clear");
}

async fn the_token_is_never_in_the_clear<A: Adapter>(bench: Bench<A>) {
    let server = RawServer::start(Some(Tls::new(Clients::Unasked)), |connection| {
        while connection.request().is_some() {
            connection.answer("{}");
        }
    });
    let transport = bench.transport(server.source(token()));
    answered(bench.get(&transport).await);
    let head = server.requests()[0].head.to_lowercase();
    assert!(head.contains(TOKEN), "it came: {head}");
    assert!(!server.heard(TOKEN) && !server.heard("authorization") && !server.heard("GET /"));
}

pub(super) fn inline(certificate: &ClientCertificate) -> AuthenticationSource {
    AuthenticationSource::ClientCertificate {
        chain: Piece::Inline(CertificateChain::from_pem(certificate.certificate_pem.as_bytes()).unwrap()),
        key: Piece::Inline(PrivateKey::from_pem(certificate.key_pem.as_bytes()).unwrap()),
    }
}

async fn client_certificates_are_shown<A: Adapter>(bench: Bench<A>) {
    let server = EmbeddedServer::builder().client_certificates(true).start().unwrap();
    let admin = server.issue_client_certificate("admin", &["system:masters"]).unwrap();
    let nobody = server.issue_client_certificate("nobody", &[]).unwrap();
    for (how, status) in [
        (inline(&admin), 404),
        (inline(&nobody), 403),
        (AuthenticationSource::None, 403),
        (inline(&admin), 404),
    ] {
        let seen = Seen::by(&server);
        let transport = bench.transport(explicit(&server.url(), ca(&server), how));
        assert_eq!(bench.status(&transport).await, status);
        assert!(!seen.all()[0].headers().contains_key("authorization"));
    }
}

async fn a_missing_client_certificate_is_named<A: Adapter>(bench: Bench<A>) {
    let server = RawServer::start(Some(Tls::new(Clients::Required)), |_| {});
    let transport = bench.transport(server.source(AuthenticationSource::None));
    let error =
        bench.get(&transport).await.expect_err("an answer without the certificate that was asked for");
    // With TLS 1.3 the client has finished its handshake, and may have sent the request, when it is told.
    assert!(matches!(error.failure(), Failure::NotSent | Failure::Unknown), "{}", chain(&error));
    assert!(chain(&error).to_lowercase().contains("certificate"), "what is wrong: {}", chain(&error));
}

async fn http_1_1_is_spoken<A: Adapter>(bench: Bench<A>) {
    let mut tls = Tls::new(Clients::Unasked);
    let mut config = ServerConfig::clone(&tls.config);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    tls.config = config.into();
    let server = RawServer::start(Some(tls), |connection| {
        let protocol = connection.protocol();
        if protocol.is_some_and(|protocol| protocol == b"h2") {
            return;
        }
        while connection.request().is_some() {
            connection.answer("{}");
        }
    });
    let transport = bench.transport(server.source(AuthenticationSource::None));
    let response = bench.get(&transport).await;
    let response = response.unwrap_or_else(|error| panic!("HTTP/2 was agreed on, or: {}", chain(&error)));
    assert_eq!(response.status(), 200);
    let head = server.requests()[0].head.clone();
    assert!(head.lines().next().unwrap().ends_with(" HTTP/1.1"), "{head}");
}
