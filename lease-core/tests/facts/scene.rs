//! The recording, and a machine that waits for the answer to one recorded request.

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::Method;
use lease_core::{AttemptOutcome, DenialReason, Event, Input, Problem, ReleaseOutcome};
use serde_json::{Value, json};

use self::State::{Creating, Reading, Releasing, Renewing, Taking};
use crate::support::{self, Drained, Holder, Sent, config};

pub(crate) const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/";

/// One recorded exchange.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) case: String,
    pub(crate) method: Method,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) sent: Value,
    pub(crate) status: u16,
    pub(crate) answer: Value,
}

pub(crate) fn facts() -> Vec<Fact> {
    let path = "../lease-sim/tests/facts/kube-apiserver-1.20.2.json";
    let text = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the recording is there");
    let recorded: Vec<Value> = serde_json::from_slice(&text).expect("a list");
    recorded.iter().filter_map(read_fact).collect()
}

/// Leaves out what a machine never asks: watches, lists, patches, access reviews.
pub(crate) fn read_fact(exchange: &Value) -> Option<Fact> {
    let (request, answer) = (&exchange["request"], &exchange["response"]["body"]);
    let path = request["path"].as_str()?.split('?').next()?.to_owned();
    let path = path.replace("/v9/", "/v1/");
    let (namespace, rest) = path.strip_prefix(LEASES)?.split_once("/leases")?;
    let method: Method = request["method"].as_str()?.parse().ok()?;
    let named = rest.strip_prefix('/').or(request["body"]["metadata"]["name"].as_str());
    if method == Method::PATCH || (method == Method::GET && rest.is_empty()) || answer.is_null() {
        return None;
    }
    Some(Fact {
        case: exchange["case"].as_str()?.to_owned(),
        method,
        namespace: namespace.to_owned(),
        name: named.filter(|name| name.len() < 100 && *name != "Bad_Name").unwrap_or("job").to_owned(),
        sent: request["body"].clone(),
        status: u16::try_from(exchange["response"]["status"].as_u64()?).ok()?,
        answer: answer.clone(),
    })
}

pub(crate) fn fact(case: &str) -> Fact {
    facts().into_iter().find(|fact| fact.case == case).unwrap_or_else(|| panic!("{case} is not recorded"))
}

/// What a machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Reading,
    Creating,
    Taking,
    Renewing,
    Releasing,
}

impl Fact {
    /// Where a machine may get such an answer.
    pub(crate) fn states(&self) -> &'static [State] {
        match self.method {
            Method::GET => &[Reading],
            Method::POST => &[Creating],
            Method::PUT => &[Taking, Renewing],
            _ => &[Releasing],
        }
    }
}

/// A machine for the lease of one recorded case.
pub(crate) struct Scene<'a> {
    pub(crate) fact: &'a Fact,
    pub(crate) holder: Holder,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(fact: &'a Fact) -> Self {
        let config = config().namespace(&fact.namespace).name(&fact.name).acquire_retries(1);
        let mut holder = Holder::new(config);
        // No timestamp of ours is one of the recording's by chance.
        holder.pass(Duration::from_micros(123_456));
        Self { fact, holder }
    }

    /// Brings the machine to where it waits for the answer to such a request.
    pub(crate) fn reach(&mut self, state: State) -> Sent {
        match state {
            Reading => self.reading(),
            Creating => self.creating(),
            Taking => self.taking(),
            Renewing => self.renewing(),
            Releasing => self.releasing(),
        }
    }

    pub(crate) fn reading(&mut self) -> Sent {
        only(self.holder.give(Input::TryAcquire))
    }

    pub(crate) fn creating(&mut self) -> Sent {
        let read = self.reading();
        let details = json!({"name": self.fact.name, "group": "coordination.k8s.io", "kind": "leases"});
        only(self.holder.respond(&read, 404, &support::status(404, "NotFound", details)))
    }

    /// A first PUT, over a record that names nobody and has the recorded UID and resource version.
    pub(crate) fn taking(&mut self) -> Sent {
        let version = self.version();
        self.taking_over(version)
    }

    pub(crate) fn taking_over(&mut self, version: u64) -> Sent {
        let read = self.reading();
        let mut record = fact("create empty holder").answer;
        record["metadata"]["name"] = json!(self.fact.name);
        record["metadata"]["namespace"] = json!(self.fact.namespace);
        record["metadata"]["resourceVersion"] = json!(version.to_string());
        if let Some(uid) = self.fact.sent["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty()) {
            record["metadata"]["uid"] = json!(uid);
        }
        only(self.holder.respond(&read, 200, &record))
    }

    /// The resource version that the recorded request was made for.
    pub(crate) fn version(&self) -> u64 {
        let given = ["metadata", "preconditions"].map(|key| self.fact.sent[key]["resourceVersion"].as_str());
        given.into_iter().flatten().find_map(|text| text.parse().ok()).unwrap_or(5)
    }

    /// A term whose record has that version; the write that began it.
    pub(crate) fn hold(&mut self) -> Sent {
        let write = self.taking_over(1);
        let version = self.version();
        self.holder.accept(&write, version);
        assert!(self.holder.is_held());
        write
    }

    pub(crate) fn renewing(&mut self) -> Sent {
        self.hold();
        only(self.holder.wake())
    }

    pub(crate) fn releasing(&mut self) -> Sent {
        self.hold();
        only(self.holder.give(Input::Release))
    }

    pub(crate) fn answer(&mut self, to: &Sent) -> Drained {
        assert_eq!(to.method(), self.fact.method, "{}", self.fact.case);
        self.holder.respond(to, self.fact.status, &self.fact.answer)
    }
}

pub(crate) fn only(mut drained: Drained) -> Sent {
    assert_eq!(drained.sent.len(), 1, "{drained:?}");
    drained.sent.remove(0)
}

/// What follows an answer, in a few words.
pub(crate) fn outcome(scene: &mut Scene<'_>, drained: &Drained) -> String {
    for event in &drained.events {
        return match event {
            Event::AttemptEnded { outcome, .. } => match outcome {
                AttemptOutcome::Acquired { .. } => "acquired".to_owned(),
                AttemptOutcome::Denied(denial) => match denial.reason {
                    DenialReason::Terminating => "denied, terminating".to_owned(),
                    reason => format!("denied, {reason:?}"),
                },
                AttemptOutcome::Failed(problem) => format!("failed, {}", short(problem)),
                other => format!("{other:?}"),
            },
            Event::ReleaseEnded { outcome } => match outcome {
                ReleaseOutcome::Unconfirmed { last: Some(last), .. } => {
                    format!("unconfirmed, {}", short(last))
                }
                other => format!("{other:?}").to_lowercase(),
            },
            Event::Lost { reason, .. } => format!("lost, {reason:?}"),
            Event::Trouble { problem, retry_at: Some(_) } => {
                format!("{}, then {}", short(problem), only(scene.holder.wake()).method())
            }
            Event::Renewed { .. } => "renewed".to_owned(),
            _ => continue,
        };
    }
    match &drained.sent[..] {
        [sent] => sent.method().to_string(),
        _ if !drained.refreshes.is_empty() => "refresh".to_owned(),
        _ => format!("{drained:?}"),
    }
}

pub(crate) fn short(problem: &Problem) -> String {
    match problem {
        Problem::Forbidden { verb, .. } => format!("may not {verb}"),
        Problem::Refused { code, .. } => format!("refused {code}"),
        Problem::Status { code, .. } => format!("status {code}"),
        other => format!("{other:?}"),
    }
}
