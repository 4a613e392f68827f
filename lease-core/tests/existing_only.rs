//! Holders that use an object which somebody else makes: what they never send, and whom they wait for.

mod support;

use std::time::Duration;

use http::Method;
use lease_core::{
    AttemptOutcome, Command, ConfigBuilder, Event, Failure, Input, LostReason, Problem, ReleaseOutcome,
    ReleasePolicy, Status,
};
use serde_json::{Value, json};
use support::{Drained, Holder, absent, config, conflict, stored};

const TTL: Duration = Duration::from_secs(15);
const QUARANTINE: &str = "lease-core.rs/quarantine";
const SETTLED: &str = "lease-core.rs/settled";

fn existing() -> ConfigBuilder {
    config().existing_only(true)
}

/// What `kubectl create` makes.
fn blank(uid: &str, resource_version: u64) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": "job", "namespace": "default", "uid": uid, "resourceVersion": resource_version.to_string(),
        },
        "spec": {},
    })
}

/// The same record under another UID, as a copy of a manifest makes it.
fn copy(object: &Value, uid: &str, resource_version: u64) -> Value {
    let mut copy = object.clone();
    copy["metadata"]["uid"] = json!(uid);
    copy["metadata"]["resourceVersion"] = json!(resource_version.to_string());
    copy
}

fn version_of(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str().expect("a resource version");
    version.parse().expect("a number")
}

fn mark<'a>(object: &'a Value, key: &str) -> &'a Value {
    &object["metadata"]["annotations"][key]
}

fn quarantine_ends(drained: &Drained) -> Option<lease_core::MonoTime> {
    drained.events.iter().find_map(|event| match event {
        Event::QuarantineStarted { ends_at } => Some(*ends_at),
        _ => None,
    })
}

fn lost(drained: &Drained) -> Option<&LostReason> {
    drained.events.iter().find_map(|event| match event {
        Event::Lost { reason, .. } => Some(reason),
        _ => None,
    })
}

/// From rest to a term on `object`, quarantine included where the object is new. The record as it is then.
fn acquire(a: &mut Holder, object: &Value) -> Value {
    let read = a.give(Input::TryAcquire);
    let mut write = a.respond(&read.sent[0], 200, object).sent.remove(0);
    let mut version = version_of(object);
    loop {
        assert_eq!(write.method(), Method::PUT);
        version += 1;
        let record = stored(&write, version);
        let drained = a.accept(&write, version);
        if a.is_held() {
            return record;
        }
        assert!(drained.sent.is_empty());
        write = a.wake().sent.remove(0);
    }
}

#[test]
fn a_missing_object_is_a_failure_that_says_how_to_make_it() {
    let mut a = Holder::new(existing());
    let read = a.give(Input::TryAcquire);
    let failed = a.respond(&read.sent[0], 404, &absent());
    let missing = Problem::LeaseMissing { namespace: "default".into(), name: "job".into() };
    assert_eq!(
        failed.events,
        [Event::AttemptEnded {
            command: Command::TryAcquire,
            outcome: AttemptOutcome::Failed(missing.clone())
        }]
    );
    assert!(failed.sent.is_empty() && a.lease.status() == Status::Idle);
    let text = missing.to_string();
    let manifest = text.split('\'').nth(1).expect("a manifest in quotes");
    assert!(text.contains("kubectl create -f - <<< '"), "{text}");
    let manifest: Value = serde_json::from_str(manifest).expect("JSON");
    assert_eq!(manifest["metadata"], json!({"namespace": "default", "name": "job"}));
    assert_eq!(
        (&manifest["kind"], &manifest["apiVersion"]),
        (&json!("Lease"), &json!("coordination.k8s.io/v1"))
    );
}

#[test]
fn a_campaign_waits_for_the_object_and_looks_again() {
    let mut a = Holder::new(existing().poll_interval(Duration::from_secs(4)));
    let mut read = a.give(Input::Campaign).sent.remove(0);
    for _ in 0..50 {
        let waits = a.respond(&read, 404, &absent());
        assert!(waits.sent.is_empty());
        let [Event::Trouble { problem: Problem::LeaseMissing { .. }, retry_at: Some(at) }] =
            &waits.events[..]
        else {
            panic!("{waits:?}");
        };
        let pause = at.saturating_since(a.now.mono);
        assert!(pause <= Duration::from_secs(4) && pause >= Duration::from_secs(2), "{pause:?}");
        assert_eq!(a.lease.status(), Status::Waiting);
        read = a.wake().sent.remove(0);
        assert_eq!(read.method(), Method::GET);
    }
    let taken = a.respond(&read, 200, &blank("1", 7));
    assert_eq!(taken.sent[0].method(), Method::PUT);
}

#[test]
fn a_new_object_is_kept_for_the_quarantine_before_it_is_held() {
    let mut a = Holder::new(existing());
    let read = a.give(Input::TryAcquire);
    let put = a.respond(&read.sent[0], 200, &blank("1", 7));
    let body = put.sent[0].body();
    assert_eq!((mark(&body, QUARANTINE), mark(&body, SETTLED)), (&json!("true"), &Value::Null));
    a.pass(Duration::from_millis(100));
    let kept = a.accept(&put.sent[0], 8);
    let ends_at = a.now.mono.saturating_add(TTL);
    assert_eq!(quarantine_ends(&kept), Some(ends_at), "from the acknowledgement on");
    let mut version = 8;
    let begins = loop {
        assert!(!a.is_held());
        let write = a.wake().sent.remove(0);
        if a.now.mono == ends_at {
            break write;
        }
        assert_eq!(mark(&write.body(), SETTLED), &Value::Null);
        version += 1;
        a.accept(&write, version);
    };
    assert_eq!(
        (mark(&begins.body(), QUARANTINE), mark(&begins.body(), SETTLED)),
        (&Value::Null, &json!("1"))
    );
    assert!(!a.is_held());
    a.accept(&begins, 20);
    assert!(a.is_held());
    let renewal = a.wake();
    assert_eq!(mark(&renewal.sent[0].body(), SETTLED), "1", "it stays");
}

#[test]
fn once_somebody_has_waited_a_released_object_is_held_at_once() {
    let (mut a, mut b) = (Holder::new(existing()), Holder::seeded(existing().identity("b"), 2));
    let record = acquire(&mut a, &blank("1", 7));
    let version = version_of(&record);
    let clear = a.give(Input::Release);
    assert_eq!(clear.sent[0].method(), Method::PUT, "nothing is deleted");
    assert_eq!(clear.sent[0].body()["spec"]["holderIdentity"], "");
    let released = a.accept(&clear.sent[0], version + 1);
    assert!(released.events.contains(&Event::ReleaseEnded { outcome: ReleaseOutcome::Confirmed }));
    let vacant = stored(&clear.sent[0], version + 1);

    b.now = a.now;
    let read = b.give(Input::TryAcquire);
    let put = b.respond(&read.sent[0], 200, &vacant);
    assert_eq!(mark(&put.sent[0].body(), QUARANTINE), &Value::Null);
    b.accept(&put.sent[0], version + 2);
    assert!(b.is_held());
}

#[test]
fn a_release_in_quarantine_leaves_the_object_as_new_as_it_was() {
    let mut a = Holder::new(existing());
    let read = a.give(Input::TryAcquire);
    let put = a.respond(&read.sent[0], 200, &blank("1", 7));
    a.accept(&put.sent[0], 8);
    let look = a.give(Input::Release);
    let clear = a.respond(&look.sent[0], 200, &stored(&put.sent[0], 8));
    assert_eq!(clear.sent[0].method(), Method::PUT);
    let body = clear.sent[0].body();
    assert_eq!(body["spec"]["holderIdentity"], "");
    let released = a.accept(&clear.sent[0], 9);
    assert!(released.events.contains(&Event::ReleaseEnded { outcome: ReleaseOutcome::Confirmed }));

    let again = a.give(Input::TryAcquire);
    let put = a.respond(&again.sent[0], 200, &stored(&clear.sent[0], 9));
    assert_eq!(mark(&put.sent[0].body(), QUARANTINE), "true");
    assert!(quarantine_ends(&a.accept(&put.sent[0], 10)).is_some(), "the next one waits all of it");
}

/// Whatever a copy of an earlier record says, it says it of another object.
#[test]
fn a_copy_of_a_record_is_a_new_object() {
    let settled = acquire(&mut Holder::new(existing()), &blank("1", 7));
    assert_eq!(mark(&settled, SETTLED), "1");
    let mut vacant = settled.clone();
    vacant["spec"]["holderIdentity"] = json!("");
    let mut expired = settled.clone();
    expired["spec"]["renewTime"] = json!("2020-01-01T00:00:00.000000Z");
    let mut stripped = settled.clone();
    stripped["metadata"]["annotations"] = Value::Null;
    stripped["spec"] = json!({});
    for (object, identity, what) in [
        (&vacant, "b", "vacant"),
        (&expired, "b", "long expired"),
        (&settled, "a", "our own of an earlier life, to reclaim"),
        (&stripped, "b", "blank"),
    ] {
        let mut b = Holder::seeded(existing().identity(identity), 2);
        let read = b.give(Input::TryAcquire);
        let put = b.respond(&read.sent[0], 200, &copy(object, "2", 30));
        assert_eq!(mark(&put.sent[0].body(), QUARANTINE), "true", "{what}");
        b.accept(&put.sent[0], 31);
        assert!(!b.is_held(), "{what}");

        // The very object, on the other hand, keeps its word, unless somebody took that away.
        let mut b = Holder::seeded(existing().identity(identity), 2);
        let read = b.give(Input::TryAcquire);
        let put = b.respond(&read.sent[0], 200, &copy(object, "1", 30));
        assert_eq!(mark(&put.sent[0].body(), QUARANTINE).is_null(), what != "blank", "{what}");
    }
}

/// The race that it is all about: an administrator deletes the object of a live term and makes it again.
#[test]
fn the_old_term_ends_before_one_on_the_object_that_replaces_it() {
    let (mut a, mut b) = (Holder::new(existing()), Holder::seeded(existing().identity("b"), 2));
    acquire(&mut a, &blank("1", 7));
    // A hears nothing from here on; its last renewal was confirmed at this very instant.
    let renewal = a.wake();
    a.accept(&renewal.sent[0], 20);
    let until = a.lease.check_alive(a.now.mono).expect("held").until;

    b.now = a.now;
    acquire(&mut b, &blank("2", 30));
    assert!(b.now.mono >= until, "{:?} before {until:?}", b.now.mono);
    a.now = b.now;
    assert!(!a.is_held());
}

#[test]
fn an_object_that_vanishes_ends_the_term_and_nobody_makes_another() {
    let mut a = Holder::new(existing());
    acquire(&mut a, &blank("1", 7));
    a.give(Input::Campaign);
    let renewal = a.wake();
    let read = a.respond(&renewal.sent[0], 409, &conflict());
    let gone = a.respond(&read.sent[0], 404, &absent());
    assert_eq!(lost(&gone), Some(&LostReason::Deleted));
    let look = a.wake();
    assert_eq!(look.sent[0].method(), Method::GET);
    let waits = a.respond(&look.sent[0], 404, &absent());
    assert!(waits.sent.is_empty() && a.lease.status() == Status::Waiting);
}

/// A write without an outcome, then an object that is gone: known, for an update carries the UID.
#[test]
fn an_unknown_outcome_and_then_no_object() {
    let mut a = Holder::new(existing().acquire_retries(0));
    let read = a.give(Input::TryAcquire);
    let put = a.respond(&read.sent[0], 200, &blank("1", 7));
    a.fail(&put.sent[0], Failure::Unknown);
    let last_look = a.wake();
    let ended = a.respond(&last_look.sent[0], 404, &absent());
    let failed = ended.events.iter().any(|event| {
        let problem = Problem::LeaseMissing { namespace: "default".into(), name: "job".into() };
        *event
            == Event::AttemptEnded { command: Command::TryAcquire, outcome: AttemptOutcome::Failed(problem) }
    });
    assert!(failed, "{ended:?}");
    let release = a.give(Input::Release);
    let released = a.respond(&release.sent[0], 404, &absent());
    assert_eq!(released.events, [Event::ReleaseEnded { outcome: ReleaseOutcome::Confirmed }]);
}

#[test]
fn the_marks_of_the_protocol_are_left_alone_by_holders_that_create() {
    let settled = acquire(&mut Holder::new(existing()), &blank("1", 7));
    for policy in [ReleasePolicy::Delete, ReleasePolicy::Vacate] {
        let mut b = Holder::seeded(config().release_policy(policy), 2);
        let read = b.give(Input::TryAcquire);
        let put = b.respond(&read.sent[0], 200, &settled);
        assert_eq!(mark(&put.sent[0].body(), SETTLED), "1");
        // And a blank object, which they hold at once, gets none.
        let mut b = Holder::seeded(config().release_policy(policy), 2);
        let read = b.give(Input::TryAcquire);
        let put = b.respond(&read.sent[0], 200, &blank("1", 7));
        assert_eq!(
            (mark(&put.sent[0].body(), SETTLED), mark(&put.sent[0].body(), QUARANTINE)),
            (&Value::Null, &Value::Null)
        );
    }
}
