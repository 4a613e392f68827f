//! Random requests, valid and invalid, that mean the same in both worlds.

use super::worlds::Versions;
use serde_json::{Map, Value, json};

/// One request. Strings in the body that begin with `@` stand for values of the world it is sent to.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) token: Option<&'static str>,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Option<Value>,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { method, path, token, content_type, body, .. } = self;
        let body = body.as_ref().map_or_else(String::new, Value::to_string);
        write!(formatter, "{method} {path} as {token:?}, {content_type:?}: {body}")
    }
}

impl Step {
    /// A GET by the administrator.
    pub(crate) fn look(namespace: &str, name: &str) -> Self {
        Self {
            method: "GET",
            path: format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"),
            name: name.to_owned(),
            token: Some("admin"),
            content_type: None,
            body: None,
        }
    }

    /// The body as bytes for one world: `@uid:3`, `@rv:3` are those of the third version of this name (from
    /// the end, 0 is the newest), `@rv+:0` is one beyond it, and `@raw:x` is `x` without quotes.
    pub(crate) fn written(&self, body: &Value, versions: &Versions) -> String {
        if let Some(raw) = body.as_str() {
            return raw.to_owned();
        }
        let mut body = body.clone();
        self.resolve(&mut body, versions);
        let mut text = body.to_string();
        while let Some(start) = text.find("\"@raw:") {
            let end = text[start + 1..].find('"').map_or(text.len(), |length| start + 1 + length);
            let raw = text[start + 6..end].to_owned();
            text.replace_range(start..=end, &raw);
        }
        text
    }

    fn resolve(&self, value: &mut Value, versions: &Versions) {
        match value {
            Value::Object(fields) => fields.values_mut().for_each(|value| self.resolve(value, versions)),
            Value::Array(elements) => elements.iter_mut().for_each(|value| self.resolve(value, versions)),
            Value::String(text) => {
                let Some((what, index)) = text.strip_prefix('@').and_then(|text| text.split_once(':')) else {
                    return;
                };
                let Ok(index) = index.parse::<usize>() else { return };
                let seen = versions.get(&self.name).map_or(&[][..], Vec::as_slice);
                let Some((uid, version)) = seen.iter().rev().nth(index) else {
                    return;
                };
                *text = match what {
                    "uid" => uid.clone(),
                    "rv+" => (version.parse::<u64>().unwrap_or(0) + 1_000_000).to_string(),
                    _ => version.clone(),
                };
            }
            _ => {}
        }
    }
}

/// A splitmix64 sequence of requests.
pub(crate) struct Generator {
    state: u64,
    pub(super) namespace: String,
    names: Vec<String>,
    pub(crate) tokens: Vec<&'static str>,
}

impl Generator {
    pub(crate) fn new(seed: u64, namespace: &str) -> Self {
        let names = (0..4).map(|index| format!("differential-{seed}-{index}")).collect();
        Self { state: seed, namespace: namespace.to_owned(), names, tokens: Vec::new() }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    pub(super) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(super) fn pick(&mut self, from: &[Value]) -> Value {
        from[self.below(from.len())].clone()
    }

    /// The next request. What was seen so far decides what can be referred to.
    pub(crate) fn step(&mut self, versions: &Versions) -> Step {
        let index = self.below(self.names.len());
        let name = self.names[index].clone();
        let seen = versions.get(&name).map_or(0, Vec::len);
        let mut step = Step::look(&self.namespace, &name);
        match self.below(20) {
            0..=1 => {}
            2 => self.list(&mut step),
            3..=6 => self.post(&mut step, seen),
            7..=14 => self.put(&mut step, seen),
            15..=16 => self.patch(&mut step, seen),
            _ => self.delete(&mut step, seen),
        }
        if self.one_in(12) {
            let index = self.below(self.tokens.len() + 1);
            step.token = self.tokens.get(index).copied();
        }
        if self.one_in(60) {
            step.path = step.path.replacen(&self.namespace, "no-such-namespace", 1);
        }
        step
    }

    fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }

    fn list(&mut self, step: &mut Step) {
        let query = match self.below(8) {
            0 => "fieldSelector=spec.holderIdentity%3Da".to_owned(),
            1 => "fieldSelector=nonsense".to_owned(),
            2 => format!("fieldSelector=metadata.name%3D{}&resourceVersion=abc", step.name),
            3 => format!("fieldSelector=metadata.name%3D{}&resourceVersionMatch=Exact", step.name),
            4 => format!(
                "fieldSelector=metadata.name%3D{}%2Cmetadata.namespace%21%3D{}",
                step.name, self.namespace
            ),
            _ => format!("fieldSelector=metadata.name%3D{}", step.name),
        };
        step.path = format!("{}?{query}", self.collection());
    }

    fn post(&mut self, step: &mut Step, seen: usize) {
        step.method = "POST";
        step.path = self.collection();
        step.body = Some(self.lease(&step.name.clone(), seen, false));
        self.spoil(step);
    }

    fn put(&mut self, step: &mut Step, seen: usize) {
        step.method = "PUT";
        step.body = Some(self.lease(&step.name.clone(), seen, true));
        self.spoil(step);
    }

    /// Now and then a body that is no Lease, or a media type that is none.
    fn spoil(&mut self, step: &mut Step) {
        step.content_type = Some("application/json");
        match self.below(60) {
            0 => step.body = Some(Value::from("{not json")),
            1 => step.body = Some(Value::from("")),
            2 => step.body = Some(Value::from("null")),
            3 => step.body = Some(Value::from("[]")),
            4 => step.body = Some(Value::from("{\"metadata\":{\"name\":\"x\"}} trailing")),
            5 => step.content_type = Some("text/plain"),
            6 => step.content_type = None,
            _ => {}
        }
    }

    fn patch(&mut self, step: &mut Step, seen: usize) {
        step.method = "PATCH";
        step.content_type = Some("application/merge-patch+json");
        let mut meta = Map::new();
        self.extras(&mut meta);
        if seen > 0 && self.one_in(3) {
            let index = self.below(seen.min(3));
            meta.insert("resourceVersion".into(), json!(format!("@rv:{index}")));
        }
        if self.one_in(8) {
            meta.insert(
                "uid".into(),
                self.pick(&[json!("@uid:0"), json!("00000000-0000-0000-0000-000000000000")]),
            );
        }
        let mut body = json!({});
        if !meta.is_empty() {
            body["metadata"] = Value::Object(meta);
        }
        match self.below(4) {
            0 => {}
            1 => body["spec"] = json!({ "holderIdentity": self.pick(&[json!(null), json!("p"), json!(3)]) }),
            _ => body["spec"] = self.spec(),
        }
        step.body = Some(body);
        match self.below(30) {
            0 => step.content_type = Some("application/json"),
            1 => step.body = Some(Value::from("{")),
            _ => {}
        }
    }

    fn delete(&mut self, step: &mut Step, seen: usize) {
        step.method = "DELETE";
        step.content_type = Some("application/json");
        let mut preconditions = Map::new();
        match self.below(5) {
            0 => drop(preconditions.insert(
                "uid".into(),
                self.pick(&[json!("00000000-0000-0000-0000-000000000000"), json!(""), json!(null), json!(1)]),
            )),
            1..=2 if seen > 0 => drop(preconditions.insert("uid".into(), json!("@uid:0"))),
            _ => {}
        }
        match self.below(6) {
            0 => drop(preconditions.insert(
                "resourceVersion".into(),
                self.pick(&[json!("1"), json!(""), json!(null), json!("x"), json!(5)]),
            )),
            1..=2 if seen > 0 => drop(preconditions.insert("resourceVersion".into(), json!("@rv:0"))),
            3 if seen > 1 => drop(preconditions.insert("resourceVersion".into(), json!("@rv:1"))),
            _ => {}
        }
        let mut options =
            json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions });
        match self.below(24) {
            0 => {
                options["propagationPolicy"] = self.pick(&[
                    json!("Foreground"),
                    json!("Orphan"),
                    json!("Background"),
                    json!("Nonsense"),
                    json!(1),
                ])
            }
            1 => options["orphanDependents"] = self.pick(&[json!(true), json!(false), json!(null)]),
            2 => options["preconditions"] = self.pick(&[json!(null), json!([]), json!("x")]),
            3 => options["kind"] = self.pick(&[json!("Lease"), json!("Pod"), json!("Nonsense")]),
            4 => {
                options["apiVersion"] =
                    self.pick(&[json!("coordination.k8s.io/v1"), json!("meta.k8s.io/v1"), json!("x/y")])
            }
            5 => options["gracePeriodSeconds"] = self.pick(&[json!(0), json!(30), json!(-1), json!("1")]),
            _ => {}
        }
        step.body = match self.below(20) {
            0..=2 => None,
            3 => Some(Value::from("{not json")),
            4 => Some(json!({})),
            5 => Some(Value::from("null")),
            6 => {
                step.path += "?preconditions.uid=nope&propagationPolicy=Orphan";
                None
            }
            _ => Some(options),
        };
        if step.body.is_none() && self.one_in(2) {
            step.content_type = None;
        }
    }
}
