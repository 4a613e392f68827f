//! A real HTTP client, as adapters set one up: rustls with ring, no process-wide default, HTTP/1.1.
#![allow(dead_code, reason = "no test uses all of it")]

use lease_sim::api_server::Rights;
use lease_sim::listener::EmbeddedServer;
use reqwest::StatusCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A client that trusts `ca_pem` only, and shows a certificate (certificate PEM, key PEM) if it has one.
pub(crate) fn client(ca_pem: Option<&str>, identity: Option<(&str, &str)>) -> reqwest::Client {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.unwrap_or_default().as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain.unwrap(), key).unwrap()
        }
    };
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .http1_only()
        .connect_timeout(Duration::from_secs(5))
        .tls_backend_preconfigured(config)
        .build()
        .unwrap()
}

pub(crate) const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
/// Far beyond anything that these tests wait for: only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const TOKEN: &str = "secret";

pub(crate) fn secure() -> EmbeddedServer {
    EmbeddedServer::builder().tls(true).token(TOKEN, "admin", Rights::All).start().unwrap()
}

pub(crate) struct Caller {
    pub(crate) client: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
}

impl Caller {
    pub(crate) fn of(server: &EmbeddedServer) -> Self {
        let client = client(server.ca_pem().as_deref(), None);
        Self { client, url: server.url(), token: Some(TOKEN.to_owned()) }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<reqwest::Response> {
        let mut request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        tokio::time::timeout(PATIENCE, request.send()).await.expect("an answer in time")
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let response = self.send(method, path, body).await.unwrap();
        let status = response.status();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub(crate) async fn create(&self, name: &str) -> (StatusCode, Value) {
        let body = json!({ "metadata": { "name": name }, "spec": { "holderIdentity": "a" } });
        self.ask("POST", LEASES, Some(body)).await
    }
}

/// Waits until the other side has noticed, without a guess at how long that takes.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) async fn next_line(stream: &mut reqwest::Response) -> Option<Value> {
    let mut text = Vec::new();
    while !text.ends_with(b"\n") {
        let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("a line in time");
        text.extend_from_slice(&chunk.ok()??);
    }
    Some(serde_json::from_slice(&text).unwrap())
}
