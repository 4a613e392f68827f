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

    /// The body as bytes for one world: `@uid:3`, `@rv:3` are those of the third version of this name (from the
    /// end, 0 is the newest), `@rv+:0` is one beyond it, and `@raw:x` is `x` without quotes.
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
                let Some((what, index)) = text.strip_prefix('@').and_then(|text| text.split_once(':')) else { return };
                let Ok(index) = index.parse::<usize>() else { return };
                let seen = versions.get(&self.name).map_or(&[][..], Vec::as_slice);
                let Some((uid, version)) = seen.iter().rev().nth(index) else { return };
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
    namespace: String,
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

    fn below(&mut self, limit: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick(&mut self, from: &[Value]) -> Value {
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
            4 => format!("fieldSelector=metadata.name%3D{}%2Cmetadata.namespace%21%3D{}", step.name, self.namespace),
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

    fn lease(&mut self, name: &str, seen: usize, update: bool) -> Value {
        let mut body = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease" });
        let fields = body.as_object_mut().unwrap();
        match self.below(30) {
            0 => drop(fields.remove("kind")),
            1 => drop(fields.remove("apiVersion")),
            2 => drop(fields.insert("apiVersion".into(), self.pick(&[json!("v1"), json!("coordination.k8s.io/v9"), json!(5), json!("a/b/c"), json!("coordination.k8s.io/v1beta1")]))),
            3 => drop(fields.insert("kind".into(), self.pick(&[json!("Pod"), json!("lease"), json!(""), json!(null), json!(1)]))),
            _ => {}
        }
        let metadata = self.metadata(name, seen, update);
        fields.insert("metadata".into(), metadata);
        match self.below(15) {
            0 => {}
            1 => drop(fields.insert("spec".into(), self.pick(&[json!(null), json!({}), json!([]), json!("x")]))),
            _ => drop(fields.insert("spec".into(), self.spec())),
        }
        body
    }

    fn metadata(&mut self, name: &str, seen: usize, update: bool) -> Value {
        let mut meta = Map::new();
        meta.insert("name".into(), json!(name));
        match self.below(25) {
            0 => drop(meta.insert("name".into(), self.pick(&[json!("Bad_Name"), json!(""), json!(null), json!("x".repeat(254)), json!(7)]))),
            1 => drop(meta.remove("name")),
            2 => drop(meta.insert("namespace".into(), self.pick(&[json!("other"), json!(""), json!(null), json!({})]))),
            3..=10 => drop(meta.insert("namespace".into(), json!(self.namespace))),
            _ => {}
        }
        let version = match self.below(if update { 14 } else { 40 }) {
            0 => self.pick(&[json!("not-a-number"), json!("-1"), json!("99999999999999999999"), json!(5), json!("0x5")]),
            1 => self.pick(&[json!(""), json!("0"), json!(null), json!("00")]),
            2 if seen > 0 => json!("@rv+:0"),
            3..=4 if seen > 1 => json!(format!("@rv:{}", 1 + self.below(seen - 1))),
            5.. if seen > 0 && update => json!("@rv:0"),
            _ if update => json!("77"),
            _ => Value::Null,
        };
        if !(version.is_null() && self.one_in(2)) {
            meta.insert("resourceVersion".into(), version);
        }
        match self.below(12) {
            0 => drop(meta.insert("uid".into(), json!("00000000-0000-0000-0000-000000000000"))),
            1 => drop(meta.insert("uid".into(), self.pick(&[json!(""), json!(null), json!(1)]))),
            2 if seen > 1 => drop(meta.insert("uid".into(), json!(format!("@uid:{}", 1 + self.below(seen - 1))))),
            3..=7 if seen > 0 => drop(meta.insert("uid".into(), json!("@uid:0"))),
            _ => {}
        }
        self.extras(&mut meta);
        Value::Object(meta)
    }

    /// Labels, annotations, finalizers, and fields that the server owns.
    fn extras(&mut self, meta: &mut Map<String, Value>) {
        match self.below(8) {
            0 => drop(meta.insert("labels".into(), self.pick(&[json!({"a": "b"}), json!({"a": "c", "x.io/y": ""}), json!({}), json!(null)]))),
            1 => drop(meta.insert("labels".into(), self.pick(&[json!({"-a": "b"}), json!({"a": "b c", "/": "x"}), json!({"a": 5}), json!([]), json!({"a": null}), json!({"a/b/c": "d"}), json!({"A.io/b": "c"})]))),
            2 => drop(meta.insert("annotations".into(), self.pick(&[json!({"n": "1"}), json!({"Upper.IO/x": "é<&>"}), json!({"a b": "c"}), json!({"": "x"}), json!(5)]))),
            _ => {}
        }
        match self.below(14) {
            0 => drop(meta.insert("finalizers".into(), json!(["example.com/hold"]))),
            1 => drop(meta.insert("finalizers".into(), self.pick(&[json!([]), json!(null), json!(["orphan"]), json!(["example.com/b", "example.com/a"]), json!(["example.com/hold", "example.com/hold"])]))),
            2 => drop(meta.insert("finalizers".into(), self.pick(&[json!(["bad"]), json!([""]), json!(["a b/c"]), json!("x"), json!(["orphan", "foregroundDeletion"]), json!([null])]))),
            _ => {}
        }
        match self.below(20) {
            0 => drop(meta.insert("generation".into(), self.pick(&[json!(5), json!(-1), json!("1")]))),
            1 => drop(meta.insert("creationTimestamp".into(), self.pick(&[json!("2001-01-01T00:00:00Z"), json!("x"), json!(null), json!("2001-01-01T00:00:00.5Z")]))),
            2 => drop(meta.insert("deletionTimestamp".into(), self.pick(&[json!("2001-01-01T00:00:00Z"), json!(""), json!(null)]))),
            3 => drop(meta.insert("deletionGracePeriodSeconds".into(), self.pick(&[json!(0), json!(5), json!(null), json!("0")]))),
            4 => drop(meta.insert("generateName".into(), self.pick(&[json!("gen-"), json!("Bad_"), json!("")]))),
            5 => drop(meta.insert("ownerReferences".into(), self.pick(&[json!([]), json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]), json!([{"kind": "Pod"}]), json!({})]))),
            6 => drop(meta.insert("selfLink".into(), json!("/x"))),
            7 => drop(meta.insert("unknown".into(), json!([1, {"a": null}]))),
            _ => {}
        }
    }

    fn spec(&mut self) -> Value {
        let mut spec = Map::new();
        let holders = [json!("a"), json!("b"), json!("a"), json!("c-é-\u{1f980}"), json!(""), json!(null), json!(5), json!("q\"\\<&>\u{2028}")];
        spec.insert("holderIdentity".into(), self.pick(&holders));
        if self.one_in(6) {
            spec.remove("holderIdentity");
        }
        let odd = [json!(0), json!(-5), json!(2_147_483_647), json!(2_147_483_648_u64), json!("15"), json!(1.5), json!(null), json!("@raw:-0"), json!("@raw:1e3"), json!("@raw:15.0"), json!(true), json!(-2_147_483_648_i64), json!("@raw:99999999999999999999"), json!("@raw:015")];
        for field in ["leaseDurationSeconds", "leaseTransitions"] {
            let value = if self.one_in(12) { self.pick(&odd) } else { json!(1 + self.below(3)) };
            spec.insert(field.into(), value);
        }
        for field in ["acquireTime", "renewTime"] {
            let value = if self.one_in(8) { self.odd_time() } else { json!(format!("2026-01-01T00:00:0{}.000000Z", self.below(3))) };
            spec.insert(field.into(), value);
        }
        match self.below(20) {
            0 => drop(spec.insert("nonsense".into(), json!({"a": [1]}))),
            1 => drop(spec.insert("strategy".into(), json!("OldestEmulationVersion"))),
            2 => drop(spec.insert("HolderIdentity".into(), json!("upper"))),
            _ => {}
        }
        Value::Object(spec)
    }

    fn odd_time(&mut self) -> Value {
        const TIMES: [&str; 40] = [
            "", "yesterday", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123Z", "2026-01-01T00:00:00.123456789Z",
            "2026-01-01T02:00:00.123456+02:00", "2026-01-01T00:00:00.123456-00:30", "10000-01-01T00:00:00.000000Z",
            "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999-01:00", "0001-01-01T00:00:00.000000Z",
            "0000-01-01T00:00:00.000000Z", "0000-01-01T00:00:00.000000+01:00", "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00.000000Z", "1900-02-28T00:00:00.000000Z", "1900-02-29T00:00:00.000000Z",
            "2024-02-29T00:00:00.000000Z", "2023-02-29T00:00:00.000000Z", "2026-13-01T00:00:00.000000Z",
            "2026-00-01T00:00:00.000000Z", "2026-01-00T00:00:00.000000Z", "2026-04-31T00:00:00.000000Z",
            "2026-01-01T24:00:00.000000Z", "2026-01-01T23:60:00.000000Z", "2026-01-01T23:59:60.000000Z",
            "2026-01-01t00:00:00.000000Z", "2026-01-01T00:00:00.000000z", "2026-01-01 00:00:00.000000Z",
            "2026-01-01T1:00:00.000000Z", "2026-1-01T00:00:00.000000Z", "2026-01-01T00:00:00,000001Z",
            "2026-01-01T00:00:00.+00001Z", "2026-01-01T00:00:00.-00001Z", "2026-01-01T00:00:00.000000+25:00",
            "2026-01-01T00:00:00.000000+00:99", "2026-01-01T00:00:00.000000+0000", "2026-01-01T00:00:00.000000",
            "2026-01-01T00:00:00.000000Z ", "-026-01-01T00:00:00.000000Z",
        ];
        match self.below(12) {
            0 => Value::Null,
            1 => json!(5),
            _ => json!(TIMES[self.below(TIMES.len())]),
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
            meta.insert("uid".into(), self.pick(&[json!("@uid:0"), json!("00000000-0000-0000-0000-000000000000")]));
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
            0 => drop(preconditions.insert("uid".into(), self.pick(&[json!("00000000-0000-0000-0000-000000000000"), json!(""), json!(null), json!(1)]))),
            1..=2 if seen > 0 => drop(preconditions.insert("uid".into(), json!("@uid:0"))),
            _ => {}
        }
        match self.below(6) {
            0 => drop(preconditions.insert("resourceVersion".into(), self.pick(&[json!("1"), json!(""), json!(null), json!("x"), json!(5)]))),
            1..=2 if seen > 0 => drop(preconditions.insert("resourceVersion".into(), json!("@rv:0"))),
            3 if seen > 1 => drop(preconditions.insert("resourceVersion".into(), json!("@rv:1"))),
            _ => {}
        }
        let mut options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions });
        match self.below(24) {
            0 => options["propagationPolicy"] = self.pick(&[json!("Foreground"), json!("Orphan"), json!("Background"), json!("Nonsense"), json!(1)]),
            1 => options["orphanDependents"] = self.pick(&[json!(true), json!(false), json!(null)]),
            2 => options["preconditions"] = self.pick(&[json!(null), json!([]), json!("x")]),
            3 => options["kind"] = self.pick(&[json!("Lease"), json!("Pod"), json!("Nonsense")]),
            4 => options["apiVersion"] = self.pick(&[json!("coordination.k8s.io/v1"), json!("meta.k8s.io/v1"), json!("x/y")]),
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
