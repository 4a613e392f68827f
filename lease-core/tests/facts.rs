//! What a real kube-apiserver 1.20.2 answered, and what the machine makes of it.
//!
//! Every recorded exchange on a Lease is handed to a machine that waits for the answer to such a request;
//! `facts/expected.rs` says what must follow. The recording is the one of the simulator's model, kept there once.

#[path = "facts/expected.rs"]
mod expected;
mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::Method;
use lease_core::{
    AttemptOutcome, DenialReason, Event, Input, LostReason, Problem, ReleaseOutcome, ReleasePolicy,
};
use serde_json::{Value, json};
use support::{Drained, Holder, Sent, config};

use crate::State::{Creating, Reading, Releasing, Renewing, Taking};
use crate::expected::EXPECTED;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/";

/// One recorded exchange.
#[derive(Debug)]
struct Fact {
    case: String,
    method: Method,
    namespace: String,
    name: String,
    sent: Value,
    status: u16,
    answer: Value,
}

fn facts() -> Vec<Fact> {
    let path = "../lease-sim/tests/facts/kube-apiserver-1.20.2.json";
    let text = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the recording is there");
    let recorded: Vec<Value> = serde_json::from_slice(&text).expect("a list");
    recorded.iter().filter_map(read_fact).collect()
}

/// Leaves out what a machine never asks: watches, lists, patches, access reviews.
fn read_fact(exchange: &Value) -> Option<Fact> {
    let (request, answer) = (&exchange["request"], &exchange["response"]["body"]);
    let path = request["path"].as_str()?.split('?').next()?.to_owned();
    let path = path.replace("/v9/", "/v1/");
    let (namespace, rest) = path.strip_prefix(LEASES)?.split_once("/leases")?;
    let method: Method = request["method"].as_str()?.parse().ok()?;
    let named = rest
        .strip_prefix('/')
        .or(request["body"]["metadata"]["name"].as_str());
    if method == Method::PATCH || (method == Method::GET && rest.is_empty()) || answer.is_null() {
        return None;
    }
    Some(Fact {
        case: exchange["case"].as_str()?.to_owned(),
        method,
        namespace: namespace.to_owned(),
        name: named
            .filter(|name| name.len() < 100 && *name != "Bad_Name")
            .unwrap_or("job")
            .to_owned(),
        sent: request["body"].clone(),
        status: u16::try_from(exchange["response"]["status"].as_u64()?).ok()?,
        answer: answer.clone(),
    })
}

fn fact(case: &str) -> Fact {
    facts()
        .into_iter()
        .find(|fact| fact.case == case)
        .unwrap_or_else(|| panic!("{case} is not recorded"))
}

/// What a machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Creating,
    Taking,
    Renewing,
    Releasing,
}

impl Fact {
    /// Where a machine may get such an answer.
    fn states(&self) -> &'static [State] {
        match self.method {
            Method::GET => &[Reading],
            Method::POST => &[Creating],
            Method::PUT => &[Taking, Renewing],
            _ => &[Releasing],
        }
    }
}

/// A machine for the lease of one recorded case.
struct Scene<'a> {
    fact: &'a Fact,
    holder: Holder,
}

impl<'a> Scene<'a> {
    fn new(fact: &'a Fact) -> Self {
        let config = config()
            .namespace(&fact.namespace)
            .name(&fact.name)
            .acquire_retries(1);
        let mut holder = Holder::new(config);
        // No timestamp of ours is one of the recording's by chance.
        holder.pass(Duration::from_micros(123_456));
        Self { fact, holder }
    }

    /// Brings the machine to where it waits for the answer to such a request.
    fn reach(&mut self, state: State) -> Sent {
        match state {
            Reading => self.reading(),
            Creating => self.creating(),
            Taking => self.taking(),
            Renewing => self.renewing(),
            Releasing => self.releasing(),
        }
    }

    fn reading(&mut self) -> Sent {
        only(self.holder.give(Input::TryAcquire))
    }

    fn creating(&mut self) -> Sent {
        let read = self.reading();
        let details = json!({"name": self.fact.name, "group": "coordination.k8s.io", "kind": "leases"});
        only(
            self.holder
                .respond(&read, 404, &support::status(404, "NotFound", details)),
        )
    }

    /// A first PUT, over a record that names nobody and has the recorded UID and resource version.
    fn taking(&mut self) -> Sent {
        let read = self.reading();
        let mut record = fact("create empty holder").answer;
        record["metadata"]["name"] = json!(self.fact.name);
        record["metadata"]["namespace"] = json!(self.fact.namespace);
        for key in ["uid", "resourceVersion"] {
            let given = &self.fact.sent["metadata"][key];
            if given
                .as_str()
                .is_some_and(|text| !text.is_empty() && text != "not-a-number")
            {
                record["metadata"][key] = given.clone();
            }
        }
        only(self.holder.respond(&read, 200, &record))
    }

    fn renewing(&mut self) -> Sent {
        let write = self.taking();
        self.holder.accept(&write, 9_000_000);
        only(self.holder.wake())
    }

    fn releasing(&mut self) -> Sent {
        let write = self.taking();
        self.holder.accept(&write, 9_000_000);
        only(self.holder.give(Input::Release))
    }

    fn answer(&mut self, to: &Sent) -> Drained {
        assert_eq!(to.method(), self.fact.method, "{}", self.fact.case);
        self.holder.respond(to, self.fact.status, &self.fact.answer)
    }
}

fn only(mut drained: Drained) -> Sent {
    assert_eq!(drained.sent.len(), 1, "{drained:?}");
    drained.sent.remove(0)
}

/// What follows an answer, in a few words.
fn outcome(scene: &mut Scene<'_>, drained: &Drained) -> String {
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
            Event::Trouble {
                problem,
                retry_at: Some(_),
            } => {
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

fn short(problem: &Problem) -> String {
    match problem {
        Problem::Forbidden { verb, .. } => format!("may not {verb}"),
        Problem::Refused { code, .. } => format!("refused {code}"),
        Problem::Status { code, .. } => format!("status {code}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_recorded_answer_is_taken_for_what_it_is() {
    let mut seen = Vec::new();
    for fact in facts() {
        for state in fact.states() {
            let mut scene = Scene::new(&fact);
            let sent = scene.reach(*state);
            let drained = scene.answer(&sent);
            let got = outcome(&mut scene, &drained);
            let row = EXPECTED
                .iter()
                .position(|row| (row.0, row.1, row.2) == (*state, fact.status, &fact.case));
            let row = row
                .unwrap_or_else(|| panic!("({state:?}, {}, {:?}, {got:?}) is new", fact.status, fact.case));
            assert_eq!(got, EXPECTED[row].3, "{state:?} {}", fact.case);
            seen.push(row);
        }
    }
    assert!(
        (0..EXPECTED.len()).all(|row| seen.contains(&row)),
        "a row without a recorded case"
    );
}

/// A recorded answer to a write, with what this write says in the place of what the recorded one said.
fn as_recorded(write: &Sent, recorded: &Value) -> Value {
    let mut object = recorded.clone();
    object["spec"] = write.body()["spec"].clone();
    object["metadata"]["annotations"] = write.body()["metadata"]["annotations"].clone();
    object
}

fn is_lost_as_deleted(drained: &Drained) -> bool {
    let deleted = |event: &Event| {
        matches!(
            event,
            Event::Lost {
                reason: LostReason::Deleted,
                ..
            }
        )
    };
    drained.events.iter().any(deleted)
}

#[test]
fn the_answer_to_a_create_begins_a_term_and_all_of_it_is_sent_back() {
    let fact = fact("create");
    let mut scene = Scene::new(&fact);
    let create = scene.reach(Creating);
    let object = as_recorded(&create, &fact.answer);
    let drained = scene.holder.respond(&create, fact.status, &object);
    assert_eq!(outcome(&mut scene, &drained), "acquired");
    let renewal = only(scene.holder.wake()).body();
    for key in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "name",
        "namespace",
    ] {
        assert!(!object["metadata"][key].is_null(), "{key} was recorded");
        assert_eq!(renewal["metadata"][key], object["metadata"][key], "{key}");
    }
}

#[test]
fn an_answer_that_keeps_the_resource_version_confirms_nothing() {
    let fact = fact("put identical (no change)");
    for state in [Taking, Renewing] {
        let mut scene = Scene::new(&fact);
        let write = scene.reach(state);
        let mut object = as_recorded(&write, &fact.answer);
        object["metadata"]["uid"] = write.body()["metadata"]["uid"].clone();
        object["metadata"]["resourceVersion"] = write.body()["metadata"]["resourceVersion"].clone();
        let drained = scene.holder.respond(&write, fact.status, &object);
        assert_eq!(
            outcome(&mut scene, &drained),
            "NotConfirmed, then GET",
            "{state:?}"
        );
    }
}

#[test]
fn a_lease_that_a_put_resurrected_is_not_taken_for_ours() {
    // Cannot happen with a UID in every PUT; if a server does it all the same, the term is over.
    let fact = fact("put to deleted, with rv, no uid");
    assert_eq!(fact.status, 201);
    let mut scene = Scene::new(&fact);
    let renewal = scene.reach(Renewing);
    let mut object = as_recorded(&renewal, &fact.answer);
    object["metadata"]["resourceVersion"] = json!("9000009");
    let trouble = scene.holder.respond(&renewal, fact.status, &object);
    let unclear = [Event::Trouble {
        problem: Problem::NotConfirmed,
        retry_at: trouble.wake,
    }];
    assert_eq!(trouble.events, unclear);
    let read = only(scene.holder.wake());
    let lost = scene.holder.respond(&read, 200, &object);
    assert!(is_lost_as_deleted(&lost) && !scene.holder.is_held(), "{lost:?}");
}

#[test]
fn a_renewal_of_a_deleted_lease_ends_in_a_loss() {
    let refused = fact("put to deleted, with rv+uid");
    let gone = facts()
        .into_iter()
        .find(|fact| fact.case == "get after put to deleted" && fact.status == 404);
    let mut scene = Scene::new(&refused);
    let renewal = scene.reach(Renewing);
    let read = only(scene.answer(&renewal));
    let lost = scene
        .holder
        .respond(&read, 404, &gone.expect("a recorded 404").answer);
    assert!(is_lost_as_deleted(&lost), "{lost:?}");
}

#[test]
fn a_finalizer_leaves_a_release_unconfirmed() {
    let fact = fact("delete object with finalizer");
    let mut scene = Scene::new(&fact);
    let write = scene.taking();
    scene.holder.accept(&write, 9_000_000);
    let delete = only(scene.holder.give(Input::Release));
    let drained = scene
        .holder
        .respond(&delete, fact.status, &as_recorded(&write, &fact.answer));
    assert_eq!(outcome(&mut scene, &drained), "unconfirmed, HeldByFinalizers");
}

#[test]
fn a_missing_namespace_is_named_by_the_post() {
    let (read, create) = (
        fact("get in missing namespace"),
        fact("create in missing namespace"),
    );
    let mut scene = Scene::new(&read);
    let get = scene.reach(Reading);
    let post = only(scene.answer(&get));
    let drained = scene.holder.respond(&post, create.status, &create.answer);
    assert_eq!(outcome(&mut scene, &drained), "failed, NamespaceMissing");
}

#[test]
fn missing_rights_are_told_with_the_verb_and_the_servers_words() {
    for (state, case, verb) in [
        (Reading, "get forbidden", "\"get\""),
        (Creating, "create forbidden", "\"create\""),
        (Taking, "put forbidden", "\"update\""),
        (Releasing, "delete forbidden", "\"delete\""),
    ] {
        let fact = fact(case);
        let mut scene = Scene::new(&fact);
        let sent = scene.reach(state);
        let drained = scene.answer(&sent);
        let told = drained.events.iter().find_map(|event| match event {
            Event::AttemptEnded {
                outcome: AttemptOutcome::Failed(problem),
                ..
            } => Some(problem),
            Event::ReleaseEnded {
                outcome: ReleaseOutcome::Unconfirmed { last, .. },
            } => last.as_ref(),
            _ => None,
        });
        let told = told.map(ToString::to_string).unwrap_or_default();
        assert!(
            told.contains(verb) && told.contains("User \"nobody\" cannot"),
            "{told}"
        );
    }
}

/// The timestamp that a real server takes: RFC 3339 in UTC with exactly six fraction digits.
fn is_storable(time: &Value) -> bool {
    let shape = "0000-00-00T00:00:00.000000Z";
    let fits = |(letter, wanted): (char, char)| {
        if wanted == '0' {
            letter.is_ascii_digit()
        } else {
            letter == wanted
        }
    };
    time.as_str()
        .is_some_and(|text| text.len() == shape.len() && text.chars().zip(shape.chars()).all(fits))
}

/// Whether a real server would store this: what it refused in the recording must not be in it.
fn check_write(write: &Sent) {
    let body = write.body();
    let (metadata, spec) = (&body["metadata"], &body["spec"]);
    assert_eq!(write.request.headers()["content-type"], "application/json");
    assert!(body["kind"] == "Lease" && body["apiVersion"] == "coordination.k8s.io/v1");
    assert!(
        is_storable(&spec["renewTime"]) && is_storable(&spec["acquireTime"]),
        "{body}"
    );
    let duration = spec["leaseDurationSeconds"].as_i64().expect("a number");
    let transitions = spec["leaseTransitions"].as_i64().expect("a number");
    assert!(duration > 0 && i32::try_from(duration).is_ok());
    assert!(transitions >= 0 && i32::try_from(transitions).is_ok());
    let says = |key: &str| metadata[key].as_str().is_some_and(|text| !text.is_empty());
    if *write.method() == Method::POST {
        assert!(
            metadata.get("resourceVersion").is_none() && metadata.get("uid").is_none(),
            "{body}"
        );
    } else {
        assert!(says("resourceVersion") && says("uid"), "{body}");
    }
    assert!(says("name") && says("namespace"));
}

#[test]
fn what_is_written_is_what_the_server_takes() {
    for policy in [ReleasePolicy::Delete, ReleasePolicy::Vacate] {
        // A fraction that ends in zeros, and a ttl that is no whole second.
        let mut holder = Holder::new(config().release_policy(policy).ttl(Duration::from_millis(1500)));
        let read = only(holder.give(Input::TryAcquire));
        let create = only(holder.respond(&read, 404, &support::absent()));
        check_write(&create);
        assert_eq!(create.request.uri().path(), format!("{LEASES}default/leases"));
        assert_eq!(create.body()["spec"]["leaseDurationSeconds"], 2);
        let mut version = 7;
        holder.accept(&create, version);
        while version < 12 {
            let write = only(holder.wake());
            check_write(&write);
            assert_eq!(write.request.uri().path(), format!("{LEASES}default/leases/job"));
            version += 1;
            holder.accept(&write, version);
        }
        assert!(holder.is_held());
        let last = only(holder.give(Input::Release));
        if policy == ReleasePolicy::Vacate {
            check_write(&last);
            assert_eq!(last.body()["spec"]["holderIdentity"], "");
            continue;
        }
        assert_eq!(last.method(), Method::DELETE);
        assert_eq!(
            last.request.uri().query(),
            None,
            "preconditions in the query are not looked at"
        );
        let recorded = fact("delete with matching preconditions").sent;
        let keys = |value: &Value| {
            value
                .as_object()
                .map(|map| map.keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!(
            keys(&last.body()),
            keys(&recorded),
            "the body that was recorded to work"
        );
        assert_eq!(
            keys(&last.body()["preconditions"]),
            keys(&recorded["preconditions"])
        );
        assert_eq!(
            last.body()["preconditions"]["resourceVersion"],
            version.to_string()
        );
    }
}

#[test]
fn transitions_saturate_where_the_server_ends() {
    let mut scene_fact = fact("create transitions i32 max");
    scene_fact.method = Method::GET;
    let mut record = scene_fact.answer.clone();
    record["spec"]["holderIdentity"] = json!("b");
    let mut scene = Scene::new(&scene_fact);
    for _ in 0..2 {
        let read = scene.reach(Reading);
        let drained = scene.holder.respond(&read, 200, &record);
        if let [write] = &drained.sent[..] {
            check_write(write);
            assert_eq!(write.body()["spec"]["leaseTransitions"], i32::MAX);
            return;
        }
        scene.holder.pass(Duration::from_secs(15));
    }
    panic!("it was never taken over");
}

/// A record with all that we do not understand, written as nobody else would write it.
const STRANGE: &[&str] = &[
    r#""future": {"a" : [1.50, 1e400, 12345678901234567890, "ü\/"]}"#,
    r#""labels": { "app" :"job" }"#,
    r#""managedFields":[{"manager":"kubectl","fieldsV1":{"f:spec":{".":{}, "f:strategy":{}}}}]"#,
    r#""ownerReferences":[ {"apiVersion":"apps/v1","kind":"Deployment","name":"x","uid":"u","controller":true} ]"#,
    r#""finalizers":["example.com/hold"]"#,
    r#""annotations":{"control-plane.alpha.kubernetes.io/leader":"{\"x\": 1.0}","lease-core.rs/other":"kept""#,
    r#""strategy":"OldestEmulationVersion""#,
    r#""preferredHolder" : "b""#,
    r#""whatever": [ null , -0.0, {"holderIdentity":"deep"} ]"#,
];

fn strange_record() -> String {
    let [
        top,
        labels,
        managed,
        owners,
        finalizers,
        annotations,
        strategy,
        preferred,
        whatever,
    ] = STRANGE
    else {
        panic!("nine pieces");
    };
    format!(
        r#"{{"kind":"Lease","apiVersion":"coordination.k8s.io/v1", {top},
        "metadata":{{"name":"job","namespace":"default","uid":"u-1","resourceVersion":"41",{labels},{managed},
        {owners},{finalizers},{annotations}}}}},
        "spec":{{"holderIdentity":"",{strategy},{preferred},{whatever},"leaseTransitions":3}}}}"#
    )
}

/// Key and value of a piece, without the blanks that may stand between the two.
fn survives(piece: &str, body: &str) -> bool {
    let (key, value) = piece.split_once(':').expect("a pair");
    body.contains(&format!("{}:{}", key.trim(), value.trim()))
}

#[test]
fn what_is_not_understood_survives_every_put_byte_for_byte() {
    let mut holder = Holder::new(config().release_policy(ReleasePolicy::Vacate));
    let read = only(holder.give(Input::TryAcquire));
    let response = http::Response::new(bytes::Bytes::from(strange_record()));
    let mut write = only(holder.give(Input::Response {
        id: read.id,
        response,
    }));
    for version in 42..45 {
        let body = String::from_utf8(write.request.body().to_vec()).expect("UTF-8");
        for piece in STRANGE {
            // Of the annotations all but the closing brace: ours is among them, and comes last.
            assert!(survives(piece, &body), "{piece} is not in {body}");
        }
        let spec = &body[body.find("\"spec\":").expect("a spec")..];
        assert_eq!(body.matches("\"resourceVersion\"").count(), 1, "{body}");
        assert_eq!(spec.matches("\"renewTime\"").count(), 1, "{body}");
        assert_eq!(
            spec.matches("\"holderIdentity\"").count(),
            2,
            "ours, and the one deep in a foreign field"
        );
        let stored = body.replace(&format!("\"{}\"", version - 1), &format!("\"{version}\""));
        let response = http::Response::new(bytes::Bytes::from(stored));
        let drained = holder.give(Input::Response {
            id: write.id,
            response,
        });
        write = match version {
            42 => only(holder.wake()),
            43 => only(holder.give(Input::Release)),
            _ => {
                let confirmed = [Event::ReleaseEnded {
                    outcome: ReleaseOutcome::Confirmed,
                }];
                assert!(drained.events.ends_with(&confirmed), "{drained:?}");
                return;
            }
        };
    }
}
