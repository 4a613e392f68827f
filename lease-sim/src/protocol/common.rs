//! What the models share: requests, replies, records, events, and a generator of jitter.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use lease_core::{
    Acquisition, Action, AttemptOutcome, Command, Event, FencingToken, LostReason, MonoTime, Output, Problem,
    ReleaseOutcome, RequestId, WakeReason, WallTime,
};
use serde_json::{Value, json};

use crate::api_server::time::{self, Layout};
use crate::api_server::{UnixMicros, micro_time};
use crate::splitmix;

/// The end of the clock: the answer of a flag that nothing expires.
pub(super) const FOR_EVER: MonoTime = MonoTime::from_nanos(u64::MAX);

/// What a model of another protocol is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// The namespace of the Lease.
    pub namespace: String,
    /// The name of the Lease.
    pub name: String,
    /// What the model writes into `holderIdentity`.
    pub identity: String,
    /// The lease's duration, at least a second; the model's other times follow from it as its own
    /// documentation says. Whole seconds are best: the wire has no others, and protocols differ in how they
    /// round.
    pub ttl: Duration,
    /// Where its jitter comes from: equal seeds give equal runs.
    pub seed: u64,
}

/// A source of jitter.
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A duration in `low..high`, or `low` if there is nothing between them.
    pub(super) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_nanos()).unwrap_or(u64::MAX);
        low + Duration::from_nanos(splitmix::next(&mut self.0).checked_rem(span).unwrap_or(0))
    }
}

/// A time as the API server reads it: six digits of a second.
pub(super) fn stamp(at: WallTime) -> String {
    micro_time(UnixMicros(at.as_micros()))
}

/// A Lease as it came from the API server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record(pub(super) Value);

impl Record {
    fn field(&self, key: &str) -> Option<&Value> {
        self.0.get("spec")?.get(key).filter(|value| !value.is_null())
    }

    /// `spec`, always an object.
    pub(super) fn spec(&self) -> Value {
        self.0.get("spec").filter(|spec| spec.is_object()).cloned().unwrap_or_else(|| json!({}))
    }

    /// `holderIdentity`, be it empty; `None` where the field is missing.
    pub(super) fn holder_field(&self) -> Option<&str> {
        self.field("holderIdentity")?.as_str()
    }

    /// Who holds it, if anybody.
    pub(super) fn holder(&self) -> Option<&str> {
        self.holder_field().filter(|name| !name.is_empty())
    }

    pub(super) fn duration(&self) -> Option<Duration> {
        let seconds = self.field("leaseDurationSeconds")?.as_u64()?;
        Some(Duration::from_secs(seconds))
    }

    pub(super) fn transitions(&self) -> Option<i64> {
        self.field("leaseTransitions")?.as_i64()
    }

    /// `leaseTransitions` of the next holder's record.
    pub(super) fn next_transition(&self) -> i64 {
        self.transitions().unwrap_or(0).saturating_add(1)
    }

    pub(super) fn renewed(&self) -> Option<WallTime> {
        let text = self.field("renewTime")?.as_str()?;
        time::parse(text, Layout::Micros).map(|time| WallTime::from_micros(time.0))
    }

    /// `renewTime` + `leaseDurationSeconds`.
    pub(super) fn expiry(&self) -> Option<WallTime> {
        Some(self.renewed()?.saturating_add(self.duration()?))
    }

    pub(super) fn version(&self) -> Value {
        self.0.pointer("/metadata/resourceVersion").cloned().unwrap_or(Value::Null)
    }

    pub(super) fn token(&self) -> FencingToken {
        let number = self.version().as_str().and_then(|text| text.parse().ok());
        FencingToken::from_u64(number.unwrap_or(0))
    }

    /// The same object with another `spec`.
    pub(super) fn with_spec(&self, spec: Value) -> Value {
        let mut object = self.0.clone();
        if let Some(fields) = object.as_object_mut() {
            fields.insert("spec".to_owned(), spec);
        }
        object
    }
}

/// What became of a request, as far as these protocols tell outcomes apart.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// A success that shows the Lease.
    Lease(Record),
    /// Another success: of a DELETE.
    Done,
    /// 409.
    Conflict,
    /// 404.
    Missing,
    /// Another status.
    Refused,
    /// No response: a failed connection, or the end of the patience.
    Nothing,
}

impl Reply {
    pub(super) fn read(response: &Response<Bytes>) -> Self {
        match response.status() {
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::NOT_FOUND => Self::Missing,
            status if !status.is_success() => Self::Refused,
            _ => match serde_json::from_slice::<Value>(response.body()) {
                Ok(object) if object.get("kind").is_some_and(|kind| kind == "Lease") => {
                    Self::Lease(Record(object))
                }
                Ok(_) => Self::Done,
                Err(_) => Self::Refused,
            },
        }
    }

    /// What stands in the way, for traces.
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::Conflict => Problem::Conflict,
            Self::Missing => Problem::NotThisApi,
            Self::Nothing => Problem::Timeout,
            Self::Lease(_) | Self::Done | Self::Refused => Problem::NotConfirmed,
        }
    }
}

/// The kinds of PATCH.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patch {
    Merge,
    Strategic,
    /// Server-side apply; with `true` it takes fields away from other managers.
    Apply(bool),
}

/// The request that a protocol waits for.
#[derive(Clone, Copy, Debug)]
struct Flight {
    id: RequestId,
    give_up_at: Option<MonoTime>,
}

/// What goes out of a model, and the one request that it waits for.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    settings: PeerSettings,
    agent: &'static str,
    outputs: VecDeque<Output>,
    last_id: u64,
    flight: Option<Flight>,
    term: Option<FencingToken>,
}

impl Desk {
    pub(super) fn new(settings: PeerSettings, agent: &'static str) -> Self {
        Self { settings, agent, outputs: VecDeque::new(), last_id: 0, flight: None, term: None }
    }

    pub(super) fn identity(&self) -> &str {
        &self.settings.identity
    }

    pub(super) fn ttl(&self) -> Duration {
        self.settings.ttl
    }

    /// An object with this `spec` and without a history.
    pub(super) fn fresh(&self, spec: Value) -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": self.settings.name, "namespace": self.settings.namespace },
            "spec": spec,
        })
    }

    pub(super) fn get(&self) -> Request<Bytes> {
        self.request(Method::GET, "", None, None)
    }

    pub(super) fn post(&self, object: &Value) -> Request<Bytes> {
        self.request(Method::POST, "", Some("application/json"), Some(object))
    }

    pub(super) fn put(&self, object: &Value) -> Request<Bytes> {
        self.request(Method::PUT, "", Some("application/json"), Some(object))
    }

    pub(super) fn delete(&self) -> Request<Bytes> {
        self.request(Method::DELETE, "", None, None)
    }

    pub(super) fn patch(&self, kind: Patch, manager: &str, patch: &Value) -> Request<Bytes> {
        let (media_type, query) = match kind {
            Patch::Merge => ("application/merge-patch+json", String::new()),
            Patch::Strategic => ("application/strategic-merge-patch+json", String::new()),
            Patch::Apply(force) => {
                ("application/apply-patch+yaml", format!("?fieldManager={manager}&force={force}"))
            }
        };
        self.request(Method::PATCH, &query, Some(media_type), Some(patch))
    }

    fn request(
        &self,
        method: Method,
        query: &str,
        media_type: Option<&'static str>,
        body: Option<&Value>,
    ) -> Request<Bytes> {
        let PeerSettings { namespace, name, .. } = &self.settings;
        let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        let path = if method == Method::POST { collection } else { format!("{collection}/{name}{query}") };
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let mut builder = Request::builder().method(method).uri(path).header(header::USER_AGENT, self.agent);
        if let Some(media_type) = media_type {
            builder = builder.header(header::CONTENT_TYPE, media_type);
        }
        // Names that are no part of a path make a request that the server refuses, not a panic.
        builder.body(body).unwrap_or_default()
    }

    /// Queues a request and says which one it is. Without `give_up_at` nobody ever gives up.
    pub(super) fn send(&mut self, request: Request<Bytes>, give_up_at: Option<MonoTime>) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        self.outputs.push_back(Output::Action(Action::Send {
            id,
            request,
            give_up_at: give_up_at.unwrap_or(FOR_EVER),
            max_body: 1 << 20,
        }));
        id
    }

    /// Queues the request that the protocol waits for from now on.
    pub(super) fn ask(&mut self, request: Request<Bytes>, give_up_at: Option<MonoTime>) {
        let id = self.send(request, give_up_at);
        self.flight = Some(Flight { id, give_up_at });
    }

    /// Whether this is the request that was waited for; then nothing is waited for any more.
    pub(super) fn answers(&mut self, id: RequestId) -> bool {
        self.flight.take_if(|flight| flight.id == id).is_some()
    }

    /// Whether the patience with the request has just ended.
    pub(super) fn gives_up(&mut self, now: MonoTime) -> bool {
        let due = |flight: &mut Flight| flight.give_up_at.is_some_and(|at| at <= now);
        let Some(flight) = self.flight.take_if(due) else { return false };
        self.outputs.push_back(Output::Action(Action::Abort { id: flight.id }));
        true
    }

    /// Stops waiting. The request may have been applied, or will be.
    pub(super) fn abort(&mut self) -> bool {
        let Some(flight) = self.flight.take() else { return false };
        self.outputs.push_back(Output::Action(Action::Abort { id: flight.id }));
        true
    }

    /// What is due first: the end of the patience, or `timer`.
    pub(super) fn poll(&mut self, timer: Option<MonoTime>, reason: WakeReason) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        let patience = self.flight.and_then(|flight| flight.give_up_at);
        match (patience, timer) {
            (Some(patience), timer) if timer.is_none_or(|timer| patience <= timer) => {
                Output::Idle { wake: Some(patience), reason: WakeReason::GiveUp }
            }
            (_, Some(timer)) => Output::Idle { wake: Some(timer), reason },
            (_, None) => Output::Idle { wake: None, reason: WakeReason::Nothing },
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Tells of a confirmed write: a new term, or a renewal.
    pub(super) fn holds(&mut self, record: &Record, until: MonoTime, acquisition: Acquisition) {
        if self.term.is_some() {
            self.tell(Event::Renewed { until });
            return;
        }
        let token = record.token();
        self.term = Some(token);
        self.tell(Event::Acquired { token, until, acquisition });
    }

    /// Whether a term has been told of that has not ended.
    pub(super) fn in_term(&self) -> bool {
        self.term.is_some()
    }

    pub(super) fn lost(&mut self, reason: LostReason) {
        if let Some(token) = self.term.take() {
            self.tell(Event::Lost { token, reason });
        }
    }

    pub(super) fn released(&mut self) {
        if let Some(token) = self.term.take() {
            self.tell(Event::Released { token });
        }
    }

    pub(super) fn trouble(&mut self, problem: Problem, retry_at: Option<MonoTime>) {
        self.tell(Event::Trouble { problem, retry_at });
    }

    /// Answers a [`TryAcquire`](lease_core::Input::TryAcquire), if one was given.
    pub(super) fn attempt_ended(&mut self, asked: &mut bool, outcome: AttemptOutcome) {
        if std::mem::take(asked) {
            self.tell(Event::AttemptEnded { command: Command::TryAcquire, outcome });
        }
    }

    pub(super) fn attempt_acquired(&mut self, asked: &mut bool) {
        if let Some(token) = self.term {
            self.attempt_ended(asked, AttemptOutcome::Acquired { token });
        }
    }

    pub(super) fn release_ended(&mut self, outcome: ReleaseOutcome) {
        self.tell(Event::ReleaseEnded { outcome });
    }

    /// What a release came to, by the reply to its write.
    pub(super) fn release_answered(&mut self, now: MonoTime, reply: &Reply) {
        let outcome = match reply {
            Reply::Lease(_) | Reply::Done | Reply::Missing => ReleaseOutcome::Confirmed,
            Reply::Conflict => ReleaseOutcome::NotOurs,
            Reply::Refused | Reply::Nothing => ReleaseOutcome::Unconfirmed {
                expires_at: now.saturating_add(self.ttl()),
                last: Some(reply.problem()),
            },
        };
        self.release_ended(outcome);
    }

    /// Why a record that was read ends a term.
    pub(super) fn why_lost(&self, record: &Record) -> LostReason {
        match record.holder() {
            None => LostReason::Cleared,
            Some(holder) if holder == self.identity() => LostReason::Expired { last: None },
            Some(_) => LostReason::TakenOver { by: None },
        }
    }
}

/// What a term was acquired from, by the record before it.
pub(super) fn acquisition(before: Option<&Record>, identity: &str) -> Acquisition {
    match before {
        None => Acquisition::Created,
        Some(record) => match record.holder() {
            None => Acquisition::Vacant,
            Some(holder) if holder == identity => Acquisition::Reclaimed,
            Some(_) => Acquisition::TakenOver { previous: None },
        },
    }
}

/// A denial for whoever tried once.
pub(super) fn denied(retry_at: MonoTime) -> AttemptOutcome {
    let reason = lease_core::DenialReason::Held;
    AttemptOutcome::Denied(lease_core::Denial { holder: None, reason, retry_at })
}
