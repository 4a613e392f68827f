//! Arbitrary bytes as a response to the machine, in any of its states, and as a request to the modelled server.

use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use lease_core::{Action, Config, Failure, Input, Lease, MonoTime, Now, Output, RequestId, Seed, WallTime};
use lease_sim::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros};
use serde_json::Value;

/// 2026-01-01T00:00:00Z.
const EPOCH: i64 = 1_767_225_600_000_000;
const IDENTITY: &str = "holder-0";

/// What is done.
#[derive(Arbitrary, Debug)]
pub struct Script {
    /// How many exchanges come first, with true answers.
    before: u8,
    /// After how many of them the application releases.
    release_after: u8,
    /// Releases with a write instead of a delete.
    vacate: bool,
    response: Forged,
    request: Asked,
}

#[derive(Arbitrary, Debug)]
struct Forged {
    status: Status,
    headers: Vec<(u8, Vec<u8>)>,
    body: Body,
}

#[derive(Arbitrary, Debug)]
enum Status {
    True,
    Other(u16),
}

#[derive(Arbitrary, Debug)]
enum Body {
    Raw(Vec<u8>),
    /// The true answer with a part replaced.
    Spliced {
        from: u16,
        length: u16,
        by: Vec<u8>,
    },
    /// One field of the true answer with another value.
    Field {
        which: u8,
        value: Vec<u8>,
    },
}

#[derive(Arbitrary, Debug)]
struct Asked {
    method: u8,
    path: Vec<u8>,
    body: Vec<u8>,
}

const HEADERS: [&str; 5] = ["content-type", "retry-after", "date", "location", "content-encoding"];
const FIELDS: [&str; 12] = [
    "/kind",
    "/metadata/name",
    "/metadata/uid",
    "/metadata/resourceVersion",
    "/metadata/annotations",
    "/metadata/deletionTimestamp",
    "/spec/holderIdentity",
    "/spec/renewTime",
    "/spec/leaseDurationSeconds",
    "/spec/leaseTransitions",
    "/reason",
    "/details",
];

struct World {
    lease: Lease,
    server: ApiServer,
    at: Duration,
    current: Option<(RequestId, Request<Bytes>, MonoTime)>,
}

/// Runs a script; panics when something must not be.
pub fn run(script: &Script) {
    let config = Config::builder()
        .namespace("default")
        .name("job")
        .identity(IDENTITY)
        .ttl(Duration::from_secs(15))
        .release_policy(if script.vacate {
            lease_core::ReleasePolicy::Vacate
        } else {
            lease_core::ReleasePolicy::Delete
        })
        .build()
        .expect("valid settings");
    let mut world = World {
        lease: Lease::new(config.clone(), Seed(7), now(Duration::ZERO)),
        server: server(),
        at: Duration::ZERO,
        current: None,
    };
    world.give(Input::Campaign);
    let before = script.before % 24;
    for count in 0..before {
        if count == script.release_after {
            world.give(Input::Release);
        }
        world.exchange(None);
    }
    world.to_a_request();
    let held = world.lease.check_alive(now(world.at).mono).map(|held| held.until);
    let emitted = world.exchange(Some(&script.response));
    let after = world.lease.check_alive(now(world.at).mono).map(|held| held.until);
    if let (Some((sent, definite)), Some(until)) = (emitted, after) {
        if held != after {
            assert!(definite, "a deadline moved to {until:?} by an answer that does not say so");
            let most = sent.saturating_add(config.validity());
            assert!(until <= most, "held until {until:?}, beyond {most:?}");
        }
    }
    for _ in 0..6 {
        world.exchange(None);
    }
    ask(&script.request);
}

fn now(at: Duration) -> Now {
    Now {
        mono: MonoTime::from_nanos(1_000_000_000).saturating_add(at),
        wall: WallTime::from_micros(EPOCH).saturating_add(at),
    }
}

fn server() -> ApiServer {
    ApiServer::new(ApiServerConfig {
        anonymous: Rights::All,
        started: UnixMicros(EPOCH),
        ..ApiServerConfig::default()
    })
}

impl World {
    fn give(&mut self, input: Input) {
        self.lease.handle(now(self.at), input);
        loop {
            match self.lease.poll() {
                Output::Action(Action::Send { id, request, .. }) => {
                    self.current = Some((id, request, now(self.at).mono));
                }
                Output::Action(Action::RefreshCredentials { id }) => {
                    self.lease.handle(now(self.at), Input::CredentialsReady { id });
                }
                Output::Action(Action::Abort { .. }) => self.current = None,
                Output::Idle { .. } => return,
                _ => {}
            }
        }
    }

    /// Waits until there is a request.
    fn to_a_request(&mut self) {
        for _ in 0..8 {
            if self.current.is_some() {
                return;
            }
            let wake = self.lease.poll_timeout().map(|wake| wake.saturating_since(now(self.at).mono));
            self.at += wake.unwrap_or(Duration::from_secs(1));
            self.give(Input::Tick);
        }
    }

    /// Answers the request under way, truly or not: when it was emitted, and whether the answer is definite.
    fn exchange(&mut self, forged: Option<&Forged>) -> Option<(MonoTime, bool)> {
        self.to_a_request();
        let (id, request, emitted) = self.current.take()?;
        self.at += Duration::from_millis(3);
        let at = UnixMicros(EPOCH + self.at.as_micros() as i64);
        let Some(response) = self.server.handle(at, &request).into_response() else {
            self.give(Input::Failed { id, failure: Failure::Unknown });
            return None;
        };
        let response = match forged {
            Some(forged) => forge(response, forged),
            None => response,
        };
        let definite = names_us(&response);
        self.give(Input::Response { id, response });
        Some((emitted, definite))
    }
}

/// Whether an answer says that the record is ours.
fn names_us(response: &Response<Bytes>) -> bool {
    let object = serde_json::from_slice::<Value>(response.body()).ok();
    response.status().is_success()
        && object.is_some_and(|object| {
            object.pointer("/spec/holderIdentity").and_then(Value::as_str) == Some(IDENTITY)
        })
}

fn forge(response: Response<Bytes>, forged: &Forged) -> Response<Bytes> {
    let (mut parts, body) = response.into_parts();
    if let Status::Other(code) = forged.status {
        parts.status = StatusCode::from_u16(100 + code % 900).unwrap_or(parts.status);
    }
    for (name, value) in forged.headers.iter().take(8) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            let name = HEADERS[usize::from(*name) % HEADERS.len()];
            parts.headers.insert(HeaderName::from_static(name), value);
        }
    }
    let body = match &forged.body {
        Body::Raw(bytes) => bytes.clone(),
        Body::Spliced { from, length, by } => {
            let from = usize::from(*from) % (body.len() + 1);
            let to = (from + usize::from(*length)).min(body.len());
            [&body[..from], by, &body[to..]].concat()
        }
        Body::Field { which, value } => {
            let value = serde_json::from_slice(value)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(value).into_owned()));
            match serde_json::from_slice::<Value>(&body) {
                Ok(mut object) => {
                    if let Some(place) = object.pointer_mut(FIELDS[usize::from(*which) % FIELDS.len()]) {
                        *place = value;
                    }
                    object.to_string().into_bytes()
                }
                Err(_) => body.to_vec(),
            }
        }
    };
    Response::from_parts(parts, Bytes::from(body))
}

/// A request of anybody: the model answers, and its next answer to a good one is good.
fn ask(asked: &Asked) {
    const METHODS: [Method; 6] =
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let mut server = server();
    let tail = String::from_utf8_lossy(&asked.path);
    for path in [format!("{LEASES}/job"), format!("{LEASES}{tail}"), tail.into_owned()] {
        let Ok(uri) = path.parse::<Uri>() else {
            continue;
        };
        let mut request = Request::new(Bytes::from(asked.body.clone()));
        *request.method_mut() = METHODS[usize::from(asked.method) % METHODS.len()].clone();
        *request.uri_mut() = uri;
        if *request.method() == Method::PATCH {
            let merge = HeaderValue::from_static("application/merge-patch+json");
            request.headers_mut().insert(http::header::CONTENT_TYPE, merge);
        }
        let _ = server.handle(UnixMicros(EPOCH), &request);
    }
    let mut list = Request::new(Bytes::new());
    *list.uri_mut() = Uri::from_static(LEASES);
    let listed = server.handle(UnixMicros(EPOCH), &list).into_response().expect("no stream");
    assert_eq!(listed.status(), StatusCode::OK);
    serde_json::from_slice::<Value>(listed.body()).expect("JSON");
}
