//! A machine on a virtual clock, and helpers to answer what it sends.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "a module of every test file, each of which uses another part of it"
)]

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use lease_core::{
    Action, Config, ConfigBuilder, Event, Failure, Input, Lease, MonoTime, Now, Output, RequestId, Seed,
    WakeReason, WallTime,
};
use serde_json::{Value, json};

/// 2026-01-01T00:00:00Z, the wall clock at the monotonic clock's zero.
pub const EPOCH: WallTime = WallTime::from_micros(1_767_225_600_000_000);

pub fn config() -> ConfigBuilder {
    Config::builder().namespace("default").name("job").identity("a").ttl(Duration::from_secs(15))
}

/// An instant on the monotonic clock, in milliseconds.
pub fn ms(millis: u64) -> MonoTime {
    MonoTime::from_nanos(millis * 1_000_000)
}

/// A request that the machine sent.
#[derive(Debug)]
pub struct Sent {
    pub id: RequestId,
    pub request: Request<Bytes>,
    pub give_up_at: MonoTime,
}

impl Sent {
    pub fn method(&self) -> &Method {
        self.request.method()
    }

    pub fn body(&self) -> Value {
        serde_json::from_slice(self.request.body()).expect("a JSON body")
    }
}

/// What one drain brought.
#[derive(Debug, Default)]
pub struct Drained {
    pub sent: Vec<Sent>,
    pub watches: Vec<Sent>,
    pub aborted: Vec<RequestId>,
    pub refreshes: Vec<RequestId>,
    pub events: Vec<Event>,
    pub wake: Option<MonoTime>,
    pub reason: Option<WakeReason>,
    /// How many outputs there were before `Idle`.
    pub outputs: usize,
}

/// A machine and its clocks.
#[derive(Clone, Debug)]
pub struct Holder {
    pub lease: Lease,
    pub now: Now,
}

impl Holder {
    pub fn new(config: ConfigBuilder) -> Self {
        Self::seeded(config, 1)
    }

    pub fn seeded(config: ConfigBuilder, seed: u128) -> Self {
        // Not at zero, so that arithmetic that goes below it shows.
        let now = Now { mono: ms(1_000_000), wall: EPOCH };
        Self { lease: Lease::new(config.build().expect("a valid configuration"), Seed(seed), now), now }
    }

    /// Moves both clocks without telling the machine.
    pub fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono.saturating_add(time);
        self.now.wall = self.now.wall.saturating_add(time);
    }

    pub fn give(&mut self, input: Input) -> Drained {
        self.lease.handle(self.now, input);
        self.drain()
    }

    pub fn tick_after(&mut self, time: Duration) -> Drained {
        self.pass(time);
        self.give(Input::Tick)
    }

    /// Moves the clocks exactly to where the machine wants to be woken, and ticks.
    pub fn wake(&mut self) -> Drained {
        let wake = self.lease.poll_timeout().expect("something to wake for");
        self.pass(wake.saturating_since(self.now.mono));
        self.give(Input::Tick)
    }

    pub fn drain(&mut self) -> Drained {
        let mut drained = Drained::default();
        loop {
            match self.lease.poll() {
                Output::Action(Action::Send { id, request, give_up_at, .. }) => {
                    drained.sent.push(Sent { id, request, give_up_at });
                }
                Output::Action(Action::Abort { id }) => drained.aborted.push(id),
                Output::Action(Action::RefreshCredentials { id }) => drained.refreshes.push(id),
                Output::Action(Action::OpenWatch { id, request, give_up_at, .. }) => {
                    drained.watches.push(Sent { id, request, give_up_at });
                }
                Output::Event(event) => drained.events.push(event),
                Output::Idle { wake, reason } => {
                    drained.wake = wake;
                    drained.reason = Some(reason);
                    return drained;
                }
            }
            drained.outputs += 1;
        }
    }

    pub fn respond(&mut self, to: &Sent, status: u16, body: &Value) -> Drained {
        self.give(response(to.id, status, body))
    }

    pub fn fail(&mut self, to: &Sent, failure: Failure) -> Drained {
        self.give(Input::Failed { id: to.id, failure })
    }

    /// Answers a write as a server that stored it would.
    pub fn accept(&mut self, to: &Sent, resource_version: u64) -> Drained {
        let status = if to.method() == Method::POST { 201 } else { 200 };
        self.respond(to, status, &stored(to, resource_version))
    }

    /// From rest to a first term: GET, 404, POST, 201 with this resource version.
    pub fn acquire(&mut self, resource_version: u64) -> Drained {
        let read = self.give(Input::TryAcquire);
        let create = self.respond(&read.sent[0], 404, &absent());
        self.accept(&create.sent[0], resource_version)
    }

    pub fn is_held(&self) -> bool {
        self.lease.check_alive(self.now.mono).is_some()
    }
}

pub fn response(id: RequestId, status: u16, body: &Value) -> Input {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let response = Response::builder().status(status).body(body).expect("a response");
    Input::Response { id, response }
}

/// What a server that stored this write answers; the object keeps one UID.
pub fn stored(write: &Sent, resource_version: u64) -> Value {
    let mut object = write.body();
    object["metadata"]["resourceVersion"] = json!(resource_version.to_string());
    if object["metadata"]["uid"].is_null() {
        object["metadata"]["uid"] = json!("11111111-1111-4111-8111-111111111111");
    }
    object
}

/// A Lease as another holder would have written it.
pub fn lease_of(holder: &str, renew_time: &str, resource_version: u64) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "job", "namespace": "default",
            "uid": "22222222-2222-4222-8222-222222222222",
            "resourceVersion": resource_version.to_string(),
        },
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3,
            "acquireTime": renew_time, "renewTime": renew_time,
        }
    })
}

/// What an API server answers when there is no such lease.
pub fn absent() -> Value {
    status(404, "NotFound", json!({"name": "job", "group": "coordination.k8s.io", "kind": "leases"}))
}

/// What an API server answers to a write that met another state.
pub fn conflict() -> Value {
    status(409, "Conflict", json!({"name": "job", "group": "coordination.k8s.io", "kind": "leases"}))
}

/// What an API server answers to a DELETE that took effect.
pub fn deleted() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
}

pub fn status(code: u16, reason: &str, details: Value) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "details": details, "code": code,
    })
}
