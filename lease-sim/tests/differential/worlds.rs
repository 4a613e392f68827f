//! The two servers, and what each of them called the same versions.

use super::generate::Step;
use crate::support;
use bytes::Bytes;
use http::Request;
use lease_sim::api_server::{ApiServer, ApiServerConfig, LeaseRule, Rights, UnixMicros, Verb};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// UID and resource version of every state of every lease that was seen, oldest first.
pub(crate) type Versions = BTreeMap<String, Vec<(String, String)>>;

/// An answer, with what is compared.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// Which of the versions seen so far the object has: index of its UID among them, and its own index.
    pub(crate) version: Option<(usize, usize)>,
}

impl std::fmt::Debug for Answered {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} {:?}", self.status, self.body, self.version)
    }
}

impl Answered {
    /// The object without what the server generates.
    pub(crate) fn object(&self) -> Value {
        stripped(&self.body)
    }
}

fn stripped(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (key, value) in fields {
                match key.as_str() {
                    "managedFields" | "uid" | "resourceVersion" | "selfLink" => {}
                    "creationTimestamp" | "deletionTimestamp" => {
                        kept.insert(key.clone(), Value::from(value.is_string()));
                    }
                    _ => {
                        kept.insert(key.clone(), stripped(value));
                    }
                }
            }
            Value::Object(kept)
        }
        Value::Array(elements) => elements.iter().map(stripped).collect(),
        other => other.clone(),
    }
}

/// Something that answers requests.
pub(crate) trait Server {
    async fn exchange(&mut self, method: &str, path: &str, step: &Step, body: Option<String>)
    -> (u16, Value);
}

/// A server, and the versions it gave.
pub(crate) struct World<S> {
    pub(crate) server: S,
    pub(crate) versions: Versions,
}

impl<S: Server> World<S> {
    pub(crate) fn new(server: S) -> Self {
        Self { server, versions: Versions::new() }
    }

    pub(crate) async fn send(&mut self, step: &Step) -> Answered {
        let body = step.body.as_ref().map(|body| step.written(body, &self.versions));
        let (status, body) = self.server.exchange(step.method, &step.path, step, body).await;
        let version = self.learn(&body);
        let mut answered = Answered { status, body, version };
        self.mask_generated_name(step, &mut answered.body).await;
        answered
    }

    /// A generated name is this world's own: it is masked, and its object goes.
    async fn mask_generated_name(&mut self, step: &Step, body: &mut Value) {
        for place in ["/metadata/name", "/details/name"] {
            let generated =
                |name: &&str| ["gen-", "Bad_"].iter().any(|base| name.starts_with(base)) && name.len() == 9;
            let Some(name) = body.pointer(place).and_then(Value::as_str).filter(generated) else {
                continue;
            };
            let name = name.to_owned();
            if body["kind"] == "Lease" {
                let namespace = body["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
                let path = Step::look(&namespace, &name).path;
                let mut clear = step.clone();
                clear.token = Some("admin");
                clear.content_type = Some("application/merge-patch+json");
                let no_finalizers = json!({ "metadata": { "finalizers": null } }).to_string();
                self.server.exchange("PATCH", &path, &clear, Some(no_finalizers)).await;
                self.server.exchange("DELETE", &path, &clear, None).await;
                self.versions.remove(&name);
            }
            if let Some(slot) = body.pointer_mut(place) {
                *slot = Value::from("generated");
            }
        }
    }

    fn learn(&mut self, body: &Value) -> Option<(usize, usize)> {
        if body["kind"] != "Lease" {
            return None;
        }
        let text = |key: &str| body["metadata"][key].as_str().unwrap_or_default().to_owned();
        let seen = self.versions.entry(text("name")).or_default();
        let state = (text("uid"), text("resourceVersion"));
        if !seen.contains(&state) {
            seen.push(state.clone());
        }
        let of_uid = seen.iter().position(|(uid, _)| *uid == state.0)?;
        Some((of_uid, seen.iter().position(|known| *known == state)?))
    }

    /// Removes a lease, finalizers or not, and forgets its versions.
    pub(crate) async fn clear(&mut self, namespace: &str, name: &str) {
        let mut patch = Step::look(namespace, name);
        patch.method = "PATCH";
        patch.content_type = Some("application/merge-patch+json");
        patch.body = Some(json!({ "metadata": { "finalizers": null } }));
        self.send(&patch).await;
        let mut delete = Step::look(namespace, name);
        delete.method = "DELETE";
        self.send(&delete).await;
        self.versions.remove(name);
    }
}

/// The real server.
pub(crate) struct Real {
    client: reqwest::Client,
    url: String,
    tokens: BTreeMap<&'static str, String>,
}

impl Real {
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let url = variable("LEASE_TEST_SERVER").expect("LEASE_TEST_SERVER");
        let ca = variable("LEASE_TEST_CA").expect("LEASE_TEST_CA");
        let ca = std::fs::read_to_string(ca).expect("the file that LEASE_TEST_CA names");
        let mut tokens = BTreeMap::from([("wrong", "no-such-token".to_owned())]);
        for (name, key) in [
            ("admin", "LEASE_TEST_TOKEN"),
            ("holder", "LEASE_TEST_HOLDER_TOKEN"),
            ("nobody", "LEASE_TEST_NOBODY_TOKEN"),
        ] {
            if let Some(token) = variable(key) {
                tokens.insert(name, token);
            }
        }
        assert!(tokens.contains_key("admin"), "LEASE_TEST_TOKEN");
        Self { client: support::client(Some(&ca), None), url, tokens }
    }

    pub(crate) fn token_names(&self) -> Vec<&'static str> {
        self.tokens.keys().copied().filter(|name| *name != "admin").collect()
    }
}

impl Server for Real {
    async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        step: &Step,
        body: Option<String>,
    ) -> (u16, Value) {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(token) = step.token.and_then(|name| self.tokens.get(name)) {
            request = request.bearer_auth(token);
        }
        if let Some(content_type) = step.content_type {
            request = request.header("content-type", content_type);
        }
        let response = request.body(body.unwrap_or_default()).send().await.expect("the real server answers");
        let status = response.status().as_u16();
        let body = response.bytes().await.expect("a whole body");
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

/// The model, with the rights that the real server gives.
pub(crate) struct Model(ApiServer);

impl Model {
    pub(crate) async fn like(real: &mut Real, seed: u64, namespace: &str) -> Self {
        let config = ApiServerConfig { seed, ..ApiServerConfig::default() };
        let mut config = config.namespace(namespace).token("admin", "admin", Rights::All);
        for name in real.token_names().into_iter().filter(|name| *name != "wrong") {
            config = config.token(name, name, rights(real, name, namespace).await);
        }
        Self(ApiServer::new(config))
    }
}

/// Asks the real server what a token may do.
async fn rights(real: &mut Real, token: &'static str, namespace: &str) -> Rights {
    const VERBS: [Verb; 8] = [
        Verb::Get,
        Verb::List,
        Verb::Watch,
        Verb::Create,
        Verb::Update,
        Verb::Patch,
        Verb::Delete,
        Verb::DeleteCollection,
    ];
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let mut verbs = Vec::new();
    for verb in VERBS {
        let mut step = Step::look(namespace, "");
        step.token = Some(token);
        step.content_type = Some("application/json");
        let asked = json!({ "namespace": namespace, "verb": verb.as_str(), "group": "coordination.k8s.io",
            "resource": "leases" });
        let body = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": asked } });
        let (status, answer) = real.exchange("POST", path, &step, Some(body.to_string())).await;
        assert_eq!(status, 201, "{answer}");
        if answer["status"]["allowed"] == true {
            verbs.push(verb);
        }
    }
    println!("{token} may {verbs:?}");
    Rights::Leases(vec![LeaseRule { namespace: Some(namespace.to_owned()), verbs }])
}

impl Server for Model {
    async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        step: &Step,
        body: Option<String>,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = step.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(content_type) = step.content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Bytes::from(body.unwrap_or_default())).unwrap();
        let answer = self.0.handle(UnixMicros::from_seconds(1_800_000_000), &request);
        let response = answer.into_response().expect("no watches are sent");
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or(Value::Null))
    }
}
