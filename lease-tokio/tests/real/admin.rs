//! What `kubectl` would do: a plain HTTP client with an administrator's token, and nothing of the crate under
//! test in it.

use std::time::Duration;

use reqwest::{Client, Method};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// How long one request may take, also on a server that was started a moment ago.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub struct Admin {
    client: Client,
    server: String,
    token: String,
}

/// Status and body of an answer; the body is `null` where it is no JSON.
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub text: String,
}

impl Answer {
    /// The body, of a success.
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "status {}: {}", self.status, self.text);
        self.body
    }
}

impl Admin {
    pub fn new(server: &str, ca_pem: &[u8], token: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .no_proxy()
            .http1_only()
            // A server that is stopped and started breaks kept connections.
            .pool_max_idle_per_host(0)
            .timeout(PATIENCE)
            .tls_backend_preconfigured(tls)
            .build()
            .unwrap();
        Self { client, server: server.trim_end_matches('/').to_owned(), token: token.to_owned() }
    }

    pub async fn send(&self, method: Method, path: &str, content_type: &str, body: Option<&Value>) -> Answer {
        self.send_as(None, method, path, content_type, body).await
    }

    /// As another user, if one is named: administrators may.
    pub async fn send_as(
        &self,
        user: Option<&str>,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Answer {
        let mut request =
            self.client.request(method, format!("{}{path}", self.server)).bearer_auth(&self.token);
        if let Some(user) = user {
            request = request.header("Impersonate-User", user);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", content_type).body(body.to_string());
        }
        let response = request.send().await.expect("the API server answers its administrator");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a whole answer");
        Answer { status, body: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "", None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, "application/json", Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, "application/json", Some(body)).await
    }

    /// A merge patch: what `kubectl edit`, `label` and `annotate` come down to.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, "application/merge-patch+json", Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, "", None).await
    }

    /// The same client with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Whether a user may do that to leases in a namespace.
    pub async fn may(&self, user: &str, verb: &str, namespace: &str) -> bool {
        self.review(Some(user), verb, namespace, "").await
    }

    /// Whether a user may do that to the lease of this name.
    pub async fn may_to(&self, user: &str, verb: &str, namespace: &str, name: &str) -> bool {
        self.review(Some(user), verb, namespace, name).await
    }

    /// Whether the owner of the token may.
    pub async fn i_may(&self, verb: &str, namespace: &str) -> bool {
        self.review(None, verb, namespace, "").await
    }

    async fn review(&self, user: Option<&str>, verb: &str, namespace: &str, name: &str) -> bool {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "group": "coordination.k8s.io", "resource": "leases", "verb": verb, "namespace": namespace,
                "name": name,
            }},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer = self.send_as(user, Method::POST, path, "application/json", Some(&review)).await;
        answer.ok()["status"]["allowed"] == true
    }
}
