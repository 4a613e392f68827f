//! Random writes to the modelled server and one client that lists and watches: whatever the chunks, what it has
//! put together in the end is what a LIST shows.

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use bytes::Bytes;
use http::{Method, Request, Uri};
use lease_sim::api_server::{Answer, ApiServer, ApiServerConfig, Rights, UnixMicros, WatchId, WatchItem};
use serde_json::{Value, json};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const EPOCH: i64 = 1_767_225_600_000_000;

/// What is done.
#[derive(Arbitrary, Debug)]
pub struct Script {
    /// How many changes the server remembers.
    history: u8,
    /// The sizes of the chunks in which the stream arrives, over and over.
    chunks: Vec<u8>,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Create(u8),
    Label(u8, u8),
    Put(u8, u8),
    Finalize(u8),
    Unfinalize(u8),
    Delete(u8),
    Bookmark,
    Restart { forget: bool },
    Later(u16),
    Gap(u8),
    Read,
}

struct Client {
    objects: BTreeMap<String, String>,
    version: String,
    watch: Option<WatchId>,
    buffer: Vec<u8>,
}

struct World {
    server: ApiServer,
    at: i64,
    client: Client,
    chunks: Vec<u8>,
    chunk: usize,
}

/// Runs a script; panics when the client is told something else than what is there.
pub fn run(script: &Script) {
    let server = ApiServer::new(ApiServerConfig {
        anonymous: Rights::All,
        history: usize::from(script.history % 32) + 1,
        started: UnixMicros(EPOCH),
        ..ApiServerConfig::default()
    });
    let client = Client { objects: BTreeMap::new(), version: String::new(), watch: None, buffer: Vec::new() };
    let mut world = World { server, at: 0, client, chunks: script.chunks.clone(), chunk: 0 };
    world.list();
    for step in script.steps.iter().take(200) {
        world.step(step);
    }
    world.read();
    world.server.send_bookmarks();
    world.read();
    let (there, version) = world.listed();
    assert_eq!(world.client.objects, there, "the watch has told something else than what is there");
    let told: u64 = world.client.version.parse().expect("a number");
    assert!(told <= version.parse().expect("a number"), "a version from the future");
}

impl World {
    fn send(&mut self, method: Method, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let mut request = Request::new(body);
        *request.uri_mut() = path.parse::<Uri>().expect("a path");
        if method == Method::PATCH {
            let merge = http::HeaderValue::from_static("application/merge-patch+json");
            request.headers_mut().insert(http::header::CONTENT_TYPE, merge);
        }
        *request.method_mut() = method;
        self.server.handle(UnixMicros(EPOCH + self.at), &request)
    }

    fn write(&mut self, method: Method, name: u8, body: &Value) {
        let path = match method {
            Method::POST => LEASES.to_owned(),
            _ => format!("{LEASES}/job-{}", name % 4),
        };
        let _ = self.send(method, &path, body);
    }

    fn step(&mut self, step: &Step) {
        let name = |name: &u8| json!({"name": format!("job-{}", name % 4)});
        match step {
            Step::Create(which) => self.write(
                Method::POST,
                *which,
                &json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": name(which)}),
            ),
            Step::Label(which, value) => {
                let labels = json!({"metadata": {"labels": {"value": value.to_string()}}});
                self.write(Method::PATCH, *which, &labels);
            }
            Step::Put(which, value) => {
                let path = format!("{LEASES}/job-{}", which % 4);
                let found = self.send(Method::GET, &path, &Value::Null).into_response();
                let found = found.filter(|found| found.status().is_success());
                if let Some(found) = found {
                    let mut object: Value = serde_json::from_slice(found.body()).expect("JSON");
                    // Sometimes what is there already: that changes nothing, and nobody is told.
                    object["spec"]["holderIdentity"] = json!(format!("holder-{}", value % 3));
                    self.write(Method::PUT, *which, &object);
                }
            }
            Step::Finalize(which) => {
                self.write(Method::PATCH, *which, &json!({"metadata": {"finalizers": ["example.com/a"]}}));
            }
            Step::Unfinalize(which) => {
                self.write(Method::PATCH, *which, &json!({"metadata": {"finalizers": null}}));
            }
            Step::Delete(which) => self.write(Method::DELETE, *which, &Value::Null),
            Step::Bookmark => self.server.send_bookmarks(),
            Step::Restart { forget } => self.server.end_watches(*forget),
            Step::Later(seconds) => {
                self.at += i64::from(*seconds) * 1_000_000;
                self.server.expire_watches(UnixMicros(EPOCH + self.at));
            }
            Step::Gap(by) => self.server.bump_resource_version((*by).into()),
            Step::Read => self.read(),
        }
    }

    fn listed(&mut self) -> (BTreeMap<String, String>, String) {
        let answer = self.send(Method::GET, LEASES, &Value::Null).into_response().expect("a whole answer");
        let list: Value = serde_json::from_slice(answer.body()).expect("JSON");
        let items = list["items"].as_array().expect("items");
        let objects = items.iter().map(|item| (text(item, "name"), text(item, "resourceVersion"))).collect();
        (objects, text(&list, "resourceVersion"))
    }

    fn list(&mut self) {
        (self.client.objects, self.client.version) = self.listed();
    }

    /// Reads until there is nothing more, and watches anew where the stream ends.
    fn read(&mut self) {
        for _ in 0..64 {
            let watch = match self.client.watch {
                Some(watch) => watch,
                None => {
                    let version = &self.client.version;
                    let path = format!(
                        "{LEASES}?watch=1&allowWatchBookmarks=true&timeoutSeconds=60&resourceVersion={version}"
                    );
                    let Answer::Watch { id, .. } = self.send(Method::GET, &path, &Value::Null) else {
                        panic!("a watch was refused");
                    };
                    self.client.buffer.clear();
                    *self.client.watch.insert(id)
                }
            };
            // What arrives is put together from chunks that end anywhere.
            let (mut stream, mut ended) = (Vec::new(), false);
            loop {
                match self.server.poll_watch(watch) {
                    Some(WatchItem::Line(line)) => stream.extend_from_slice(&line),
                    Some(WatchItem::End) => {
                        ended = true;
                        break;
                    }
                    None => break,
                }
            }
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let size = self.chunks.get(self.chunk % self.chunks.len().max(1)).copied().unwrap_or(255);
                self.chunk += 1;
                let (chunk, more) = rest.split_at(rest.len().min(usize::from(size) + 1));
                rest = more;
                self.client.buffer.extend_from_slice(chunk);
                while let Some(end) = self.client.buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.client.buffer.drain(..=end).collect();
                    if !self.take_in(&line) {
                        rest = &[];
                        self.client.buffer.clear();
                        break;
                    }
                }
            }
            if !ended {
                return;
            }
            assert!(self.client.buffer.is_empty(), "a stream ended in the middle of a line");
            self.client.watch = None;
        }
        panic!("the stream ends over and over");
    }

    /// One event. `false`: the rest of the stream is of no use.
    fn take_in(&mut self, line: &[u8]) -> bool {
        let event: Value = serde_json::from_slice(line).expect("a line is one JSON value");
        let object = &event["object"];
        let version = text(object, "resourceVersion");
        match event["type"].as_str().expect("a type") {
            "ADDED" => {
                let before = self.client.objects.insert(text(object, "name"), version.clone());
                assert_eq!(before, None, "added twice");
            }
            "MODIFIED" => {
                let before = self.client.objects.insert(text(object, "name"), version.clone());
                assert!(
                    before.is_some_and(|before| before != version),
                    "modified, but not there or the same"
                );
            }
            "DELETED" => {
                assert!(self.client.objects.remove(&text(object, "name")).is_some(), "deleted twice");
            }
            "BOOKMARK" => {}
            "ERROR" => {
                assert_eq!(object["code"], 410);
                self.list();
                return false;
            }
            other => panic!("an event of type {other}"),
        }
        let before: u64 = self.client.version.parse().expect("a number");
        assert!(version.parse::<u64>().expect("a number") >= before, "versions go back");
        self.client.version = version;
        true
    }
}

fn text(object: &Value, field: &str) -> String {
    object["metadata"][field].as_str().unwrap_or_default().to_owned()
}
