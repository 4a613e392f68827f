//! The model answers what a real kube-apiserver 1.20.2 answered: all recorded exchanges, in their order.
//!
//! Compared are status, reason, message, causes and stored objects. Generated values (UIDs, resource
//! versions) are mapped between the two worlds: a recorded one that comes again must come again here. Times
//! of creation and deletion must be there where they were; `managedFields` are left aside.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use http::Request;
use lease_sim::api_server::{Answer, ApiServer, ApiServerConfig, Rights, UnixMicros, WatchItem};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/lease-facts/leases";
const START: UnixMicros = UnixMicros::from_seconds(1_795_362_751);

/// Messages that quote the internals of Go's JSON decoder: only status and reason are compared.
const DECODER_MESSAGES: [&str; 9] = [
    "create dur too big for int32",
    "create dur string",
    "create bad time",
    "create time, no fraction",
    "create time, nanoseconds",
    "create time, millis",
    "create bad json",
    "put transitions beyond i32",
    "put renewTime year 10000",
];

struct Replay {
    server: ApiServer,
    now: UnixMicros,
    uids: BTreeMap<String, String>,
    versions: BTreeMap<String, String>,
}

impl Replay {
    fn new() -> Self {
        let config = ApiServerConfig { seed: 7, ..ApiServerConfig::default() }
            .namespace("lease-facts")
            .namespace("lease-term")
            .token("admintoken", "admin", Rights::All)
            .token("nobodytoken", "nobody", Rights::None);
        let mut server = ApiServer::new(config);
        assert!(server.terminate_namespace(START, "lease-term"));
        Self { server, now: START, uids: BTreeMap::new(), versions: BTreeMap::new() }
    }

    /// A recorded request in the words of this world.
    fn request(&self, recorded: &Value, token: Option<&str>) -> Request<Bytes> {
        let mut builder = Request::builder()
            .method(recorded["method"].as_str().unwrap_or("GET"))
            .uri(self.translate_path(recorded["path"].as_str().unwrap()))
            .header("content-type", "application/json");
        if let Some(headers) = recorded["headers"].as_object() {
            builder = headers.iter().fold(builder, |builder, (key, value)| {
                let mut builder = builder;
                builder.headers_mut().unwrap().remove(key.to_lowercase());
                builder.header(key, value.as_str().unwrap())
            });
        }
        if let Some(token) = token {
            builder = builder.header("authorization", format!("Bearer {token}"));
        }
        let body = match &recorded["body"] {
            Value::Null => Bytes::new(),
            Value::String(raw) => Bytes::from(raw.clone()),
            body => {
                let mut body = body.clone();
                self.translate(&mut body);
                Bytes::from(body.to_string())
            }
        };
        builder.body(body).unwrap()
    }

    fn translate_path(&self, path: &str) -> String {
        let Some((before, after)) = path.split_once("resourceVersion=") else {
            return path.to_owned();
        };
        let (version, rest) = after.split_at(after.find('&').unwrap_or(after.len()));
        let version = self.versions.get(version).map_or(version, String::as_str);
        format!("{before}resourceVersion={version}{rest}")
    }

    fn translate(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let known = match key.as_str() {
                        "uid" => &self.uids,
                        "resourceVersion" => &self.versions,
                        _ => {
                            self.translate(value);
                            continue;
                        }
                    };
                    if let Some(ours) = value.as_str().and_then(|text| known.get(text)) {
                        *value = Value::from(ours.as_str());
                    }
                }
            }
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.translate(element)),
            _ => {}
        }
    }

    fn translate_text(&self, text: &str) -> String {
        self.uids
            .iter()
            .chain(&self.versions)
            .fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
    }

    fn send(&mut self, recorded: &Value, token: Option<&str>) -> Answer {
        let request = self.request(recorded, token);
        self.server.handle(self.now, &request)
    }

    fn admin(&mut self, method: &str, path: &str, body: Value) -> Value {
        let request = json!({ "method": method, "path": path, "body": body });
        let response = self.send(&request, Some("admintoken")).into_response().unwrap();
        assert!(response.status().is_success(), "{method} {path}: {:?}", response.body());
        serde_json::from_slice(response.body()).unwrap()
    }

    /// Learns which value of this world stands for a recorded one, or checks what it knows.
    fn pair(&mut self, case: &str, recorded: &Value, ours: &Value) {
        for (key, known) in [("uid", &mut self.uids), ("resourceVersion", &mut self.versions)] {
            if let (Some(recorded), Some(ours)) = (recorded[key].as_str(), ours[key].as_str()) {
                let wanted = known.entry(recorded.to_owned()).or_insert_with(|| ours.to_owned());
                assert_eq!(wanted, ours, "{case}: {key} {recorded}");
            }
        }
    }

    fn compare(&mut self, case: &str, recorded: &Value, ours: &Value) {
        if recorded["kind"] == "Status" {
            self.pair(case, &recorded["details"], &ours["details"]);
        } else if recorded["kind"] != "LeaseList" {
            self.pair(case, &recorded["metadata"], &ours["metadata"]);
        }
        let (mut recorded, mut ours) = (recorded.clone(), ours.clone());
        self.translate(&mut recorded);
        self.translate(&mut ours);
        if case.starts_with("watch from rv=1") {
            for status in [&mut recorded, &mut ours] {
                let message = status["message"].as_str().unwrap_or_default();
                status["message"] = Value::from(message.split(" (").next());
            }
        }
        if DECODER_MESSAGES.contains(&case) {
            recorded["message"] = ours["message"].clone();
        } else if let Some(message) = recorded["message"].as_str() {
            recorded["message"] = Value::from(self.translate_text(message));
        }
        assert_eq!(stripped(&ours), stripped(&recorded), "{case}");
    }

    fn replay(&mut self, exchange: &Value) {
        let case = exchange["case"].as_str().unwrap();
        self.before(case);
        let mut request = exchange["request"].clone();
        if case == "put renewTime year 10000" {
            request["body"]["spec"]["renewTime"] = Value::from("10000-01-01T00:00:00.000000Z");
        }
        let response = &exchange["response"];
        if response.get("events").is_some() {
            return self.replay_watch(case, &request, response);
        }
        let token = request["token"].as_str().map(str::to_owned);
        let answer = self.send(&request, token.as_deref()).into_response().unwrap();
        assert_eq!(answer.status().as_u16(), response["status"], "{case}: {:?}", answer.body());
        for header in ["content-type", "cache-control"] {
            assert_eq!(answer.headers()[header], response["headers"][header].as_str().unwrap(), "{case}");
        }
        assert!(answer.headers().contains_key("date"), "{case}");
        let ours: Value = serde_json::from_slice(answer.body()).unwrap();
        self.compare(case, &response["body"], &ours);
    }

    /// What the recording did between two cases and did not write down.
    fn before(&mut self, case: &str) {
        let leftover = match case {
            "create unknown spec field"
            | "create strategy/preferredHolder"
            | "create empty holder"
            | "create no spec"
            | "create bad name" => "lc",
            "create renewTime year 9999" | "put to deleted, uid empty string" => "le",
            _ => return,
        };
        self.admin("DELETE", &format!("{LEASES}/{leftover}"), Value::Null);
    }

    fn replay_watch(&mut self, case: &str, request: &Value, response: &Value) {
        let recorded = response["events"].as_array().unwrap();
        let (id, head) = match self.send(request, Some("admintoken")) {
            Answer::Watch { id, head } => (id, head),
            Answer::Response(answer) => {
                assert_eq!(answer.status().as_u16(), response["status"], "{case}");
                let ours: Value = serde_json::from_slice(answer.body()).unwrap();
                return self.compare(case, &recorded[0], &ours);
            }
        };
        assert_eq!(head.status().as_u16(), response["status"], "{case}");
        self.during_watch(case, recorded);
        self.now = self.now.plus_seconds(3);
        self.server.expire_watches(self.now);
        let mut events: Vec<Value> = Vec::new();
        while let Some(WatchItem::Line(line)) = self.server.poll_watch(id) {
            assert!(line.ends_with(b"\n"));
            events.push(serde_json::from_slice(&line).unwrap());
        }
        assert_eq!(self.server.open_watches(), 0, "{case}: the watch has ended");
        assert_eq!(events.len(), recorded.len(), "{case}: {events:?}");
        for (ours, recorded) in events.iter().zip(recorded) {
            assert_eq!(ours["type"], recorded["type"], "{case}");
            self.compare(case, &recorded["object"], &ours["object"]);
        }
    }

    /// The writes that the events show.
    fn during_watch(&mut self, case: &str, recorded: &[Value]) {
        let path = format!("{LEASES}/ld");
        if case == "watch from rv: modify, delete" {
            let mut lease = self.admin("GET", &path, Value::Null);
            lease["spec"]["renewTime"] = recorded[0]["object"]["spec"]["renewTime"].clone();
            self.admin("PUT", &path, lease);
            self.admin("DELETE", &path, Value::Null);
        } else if case == "watch without rv: create" {
            let spec = recorded[0]["object"]["spec"].clone();
            self.admin("POST", LEASES, json!({ "metadata": { "name": "ld" }, "spec": spec }));
        }
    }
}

/// A body without what the server generates; times that must be there become a mark.
fn stripped(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (key, value) in fields {
                match key.as_str() {
                    "managedFields" | "uid" | "resourceVersion" => {}
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

#[test]
fn the_model_answers_what_the_real_server_answered() {
    let text = include_str!("facts/kube-apiserver-1.20.2.json");
    let exchanges: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(exchanges.len(), 91);
    let mut replay = Replay::new();
    for exchange in &exchanges {
        replay.replay(exchange);
    }
}

#[test]
fn recorded_versions_and_ours_grow_in_the_same_order() {
    let text = include_str!("facts/kube-apiserver-1.20.2.json");
    let exchanges: Vec<Value> = serde_json::from_str(text).unwrap();
    let mut replay = Replay::new();
    exchanges.iter().for_each(|exchange| replay.replay(exchange));
    let mut pairs: Vec<(u64, u64)> = replay
        .versions
        .iter()
        .map(|(theirs, ours)| (theirs.parse().unwrap(), ours.parse().unwrap()))
        .collect();
    pairs.sort_unstable();
    assert!(pairs.len() > 20 && pairs.is_sorted_by(|one, next| one.1 < next.1), "{pairs:?}");
}
