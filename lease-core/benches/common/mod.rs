//! A machine, and a record as a busy cluster has it.
#![allow(dead_code, reason = "each bench uses another part of it")]

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use lease_core::{Action, Config, Event, Input, Lease, MonoTime, Now, Output, RequestId, Seed, WallTime};

/// What `kubectl get lease -o json --show-managed-fields` shows of a lease that a chart installed and that
/// this library renews: 1.2 KiB.
const RECORD: &str = r#"{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"nightly-job","namespace":"batch-production","uid":"8f0d1c3a-4b52-4a59-9d35-0c7fd6b6e4a1","resourceVersion":"@RV@","creationTimestamp":"2026-01-01T00:00:00Z","labels":{"app.kubernetes.io/name":"nightly-job","app.kubernetes.io/instance":"production","app.kubernetes.io/managed-by":"Helm","helm.sh/chart":"nightly-job-1.4.2"},"annotations":{"meta.helm.sh/release-name":"nightly-job","meta.helm.sh/release-namespace":"batch-production"},"managedFields":[{"manager":"helm","operation":"Update","apiVersion":"coordination.k8s.io/v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:meta.helm.sh/release-name":{}},"f:labels":{".":{},"f:app.kubernetes.io/name":{}}}}},{"manager":"lease-tokio","operation":"Update","apiVersion":"coordination.k8s.io/v1","time":"2026-01-01T00:00:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:acquireTime":{},"f:holderIdentity":{},"f:leaseDurationSeconds":{},"f:leaseTransitions":{},"f:renewTime":{}}}}]},"spec":{"holderIdentity":"@HOLDER@","leaseDurationSeconds":15,"leaseTransitions":7,"acquireTime":"2026-01-01T00:00:00.000000Z","renewTime":"@TIME@"}}"#;

/// What the simulator's API server stores for a holder of this library: 0.6 KiB, no managed fields.
const PLAIN: &str = r#"{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"nightly-job","namespace":"batch-production","uid":"8f0d1c3a-4b52-4a59-9d35-0c7fd6b6e4a1","resourceVersion":"@RV@","creationTimestamp":"2026-01-01T00:00:00Z","annotations":{"lease-core.rs/nonce":"0123456789abcdef0123456789abcdef @HOLDER@"}},"spec":{"holderIdentity":"@HOLDER@","leaseDurationSeconds":15,"acquireTime":"2026-01-01T00:00:00.000000Z","renewTime":"@TIME@","leaseTransitions":7}}
"#;

/// Which record is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored {
    /// One of a busy cluster.
    Full,
    /// One of a simulation.
    Plain,
}

/// The record of this holder.
pub(crate) fn record(stored: Stored, holder: &str, resource_version: u64, time: &str) -> Bytes {
    let text = match stored {
        Stored::Full => RECORD,
        Stored::Plain => PLAIN,
    };
    text.replace("@RV@", &resource_version.to_string())
        .replace("@HOLDER@", holder)
        .replace("@TIME@", time)
        .into()
}

/// A machine and its clocks.
pub(crate) struct Driver {
    pub(crate) lease: Lease,
    pub(crate) now: Now,
    resource_version: u64,
}

/// What a drain brought.
pub(crate) struct Drained {
    pub(crate) sent: Option<(RequestId, Request<Bytes>)>,
    pub(crate) events: Vec<Event>,
}

impl Driver {
    pub(crate) fn new() -> Self {
        let config = Config::builder()
            .namespace("batch-production")
            .name("nightly-job")
            .identity("nightly-job-5f7c9d6b8-x2x7q_2c1f7d0e")
            .ttl(Duration::from_secs(15))
            .build()
            .expect("a valid configuration");
        let now = Now {
            mono: MonoTime::from_nanos(1_000_000_000),
            wall: WallTime::from_micros(1_767_225_600_000_000),
        };
        Self { lease: Lease::new(config, Seed(42), now), now, resource_version: 1_234_567 }
    }

    /// Holds a lease that was vacant, its first renewal not yet due.
    pub(crate) fn holding(stored: Stored) -> Self {
        let mut driver = Self::new();
        let (id, _) = driver.give(Input::TryAcquire).sent.expect("a GET");
        let vacant = record(stored, "", driver.resource_version, "2026-01-01T00:00:00.000000Z");
        let (id, put) = driver.respond(id, vacant).sent.expect("a PUT");
        let echo = driver.echo(&put);
        driver.respond(id, echo);
        assert!(driver.lease.check_alive(driver.now.mono).is_some());
        driver
    }

    pub(crate) fn advance_to_wake(&mut self) {
        let wake = self.lease.poll_timeout().expect("something is due");
        let passed = wake.saturating_since(self.now.mono);
        self.now.mono = wake;
        self.now.wall = self.now.wall.saturating_add(passed);
    }

    pub(crate) fn wake(&mut self) -> Drained {
        self.advance_to_wake();
        self.give(Input::Tick)
    }

    pub(crate) fn give(&mut self, input: Input) -> Drained {
        self.lease.handle(self.now, input);
        drain(&mut self.lease)
    }

    pub(crate) fn respond(&mut self, id: RequestId, body: Bytes) -> Drained {
        self.give(Input::Response { id, response: Response::new(body) })
    }

    /// What a server that stored this write answers.
    pub(crate) fn echo(&mut self, put: &Request<Bytes>) -> Bytes {
        assert_eq!(put.method(), Method::PUT);
        let body = String::from_utf8_lossy(put.body());
        let old = format!("\"resourceVersion\":\"{}\"", self.resource_version);
        assert!(body.contains(&old));
        self.resource_version += 1;
        let new = format!("\"resourceVersion\":\"{}\"", self.resource_version);
        body.replacen(&old, &new, 1).into()
    }

    /// One renewal, answered; and the answer.
    pub(crate) fn renew(&mut self) -> Bytes {
        let (id, put) = self.wake().sent.expect("a PUT");
        let echo = self.echo(&put);
        let events = self.respond(id, echo.clone()).events;
        assert!(matches!(events[..], [Event::Renewed { .. }]), "{events:?}");
        echo
    }
}

/// Polls everything; keeps the last request.
pub(crate) fn drain(lease: &mut Lease) -> Drained {
    let mut drained = Drained { sent: None, events: Vec::new() };
    loop {
        match lease.poll() {
            Output::Action(Action::Send { id, request, .. }) => drained.sent = Some((id, request)),
            Output::Action(_) => {}
            Output::Event(event) => drained.events.push(event),
            Output::Idle { .. } => return drained,
        }
    }
}
