//! Labels, annotations and owner references: written by the POST, and by nothing else.

mod support;

use http::Method;
use lease_core::recording::{Recording, Ring, Start};
use lease_core::{
    Action, ConfigBuilder, Input, MonoTime, Now, Output, OwnerReference, ReleasePolicy, Seed, WallTime,
};
use serde_json::{Value, json};
use support::{Holder, Sent, absent, config, response, stored};

fn owner(name: &str, controller: bool) -> OwnerReference {
    OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-of-{name}"),
        controller,
        block_owner_deletion: controller,
    }
}

fn labelled() -> ConfigBuilder {
    config()
        .label("team", "a")
        .label("app.kubernetes.io/name", "job")
        .label("team", "b")
        .annotation("Example.com/z", "a \"quoted\" line\n")
        .annotation("a", "")
        .owner_reference(owner("second", false))
        .owner_reference(owner("first", true))
}

fn create(a: &mut Holder) -> Sent {
    let read = a.give(Input::TryAcquire);
    let mut create = a.respond(&read.sent[0], 404, &absent());
    create.sent.remove(0)
}

#[test]
fn the_post_carries_them_in_a_fixed_order() {
    for policy in [ReleasePolicy::Delete, ReleasePolicy::Vacate] {
        let mut a = Holder::new(labelled().release_policy(policy));
        let create = create(&mut a);
        assert_eq!(create.method(), Method::POST);
        let metadata = create.body()["metadata"].clone();
        assert_eq!(metadata["labels"], json!({"app.kubernetes.io/name": "job", "team": "b"}));
        let owner = |name| json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": format!("uid-of-{name}")});
        let mut first = owner("first");
        (first["controller"], first["blockOwnerDeletion"]) = (json!(true), json!(true));
        assert_eq!(metadata["ownerReferences"], json!([owner("second"), first]));
        let mut annotations = metadata["annotations"].clone();
        let ours = annotations.as_object_mut().expect("annotations");
        assert_eq!(ours.remove("lease-core.rs/nonce"), Some(json!(format!("{} a", a.lease.nonce()))));
        let mark = ours.remove("lease-core.rs/quarantine");
        assert_eq!(mark.is_some(), policy == ReleasePolicy::Vacate);
        assert_eq!(annotations, json!({"Example.com/z": "a \"quoted\" line\n", "a": ""}));

        // Given in another order it is the same configuration and the same body.
        let mut other = Holder::new(
            config()
                .owner_reference(self::owner("second", false))
                .annotation("a", "")
                .label("team", "b")
                .owner_reference(self::owner("first", true))
                .annotation("Example.com/z", "a \"quoted\" line\n")
                .label("app.kubernetes.io/name", "job")
                .release_policy(policy),
        );
        assert_eq!(other.lease.config(), a.lease.config());
        assert_eq!(self::create(&mut other).request.body(), create.request.body());
    }
}

#[test]
fn without_any_the_post_is_what_it_was() {
    let mut a = Holder::new(config());
    let metadata = create(&mut a).body()["metadata"].clone();
    let keys: Vec<_> = metadata.as_object().expect("metadata").keys().cloned().collect();
    assert_eq!(keys, ["annotations", "name", "namespace"]);
}

#[test]
fn what_others_make_of_them_later_is_kept() {
    let mut a = Holder::new(labelled());
    let create = create(&mut a);
    let mut object = stored(&create, 7);
    a.respond(&create, 201, &object);
    assert!(a.is_held());

    // Somebody removes a label, changes one, adds an annotation and takes an owner away.
    object["metadata"]["labels"] = json!({"team": "c", "new": "x"});
    object["metadata"]["annotations"]["a"] = json!("changed");
    object["metadata"]["ownerReferences"] = json!([]);
    object["metadata"]["resourceVersion"] = json!("8");
    let renewal = a.wake();
    let read = a.respond(&renewal.sent[0], 409, &support::conflict());
    let again = a.respond(&read.sent[0], 200, &object);
    let written = again.sent[0].body();
    assert_eq!(again.sent[0].method(), Method::PUT);
    for kept in ["labels", "ownerReferences"] {
        assert_eq!(written["metadata"][kept], object["metadata"][kept]);
    }
    assert_eq!(written["metadata"]["annotations"]["a"], "changed");
}

#[test]
fn an_object_that_exists_gets_none_of_them() {
    let mut a = Holder::new(labelled());
    let read = a.give(Input::TryAcquire);
    let mut vacant = support::lease_of("", "2025-01-01T00:00:00.000000Z", 3);
    vacant["metadata"]["labels"] = Value::Null;
    let taken = a.respond(&read.sent[0], 200, &vacant).sent.remove(0);
    let metadata = &taken.body()["metadata"];
    assert_eq!((taken.method(), &metadata["labels"]), (&Method::PUT, &Value::Null));
    assert_eq!(metadata["ownerReferences"], Value::Null);
    assert_eq!(metadata["annotations"].as_object().map(|all| all.len()), Some(1), "our own alone");
}

/// Bit for bit, through a file.
#[test]
fn a_recording_with_them_is_replayed() {
    let at = |second: u64| Now {
        mono: MonoTime::from_nanos(second * 1_000_000_000),
        wall: WallTime::from_micros(1_767_225_600_000_000 + second as i64 * 1_000_000),
    };
    let start = Start { config: labelled().build().expect("valid"), seed: Seed(7), now: at(1) };
    let (mut machine, mut ring) = (start.machine(), Ring::new(start, 100, 1 << 20));
    let mut bodies = Vec::new();
    let mut give = |second, input: Input| {
        ring.input(at(second), &input);
        machine.handle(at(second), input);
        loop {
            let output = machine.poll();
            ring.output(&output);
            match output {
                Output::Action(Action::Send { id, request, .. }) => bodies.push((id, request)),
                Output::Idle { .. } => break,
                _ => {}
            }
        }
        bodies.last().map(|(id, _)| *id).expect("a request")
    };
    let read = give(2, Input::TryAcquire);
    let create = give(3, response(read, 404, &absent()));
    assert_ne!(read, create);
    let (_, request) = bodies.pop().expect("the POST");
    assert_eq!(request.method(), Method::POST);
    let text = ring.to_text();
    let recording = Recording::parse(&text).expect("a recording");
    assert_eq!(recording.replay().expect("the same again"), machine);
    assert_eq!(recording.start().config, *machine.config());
    // A recording without one of them does something else.
    let other = text.replacen("\"team\":\"b\"", "\"team\":\"d\"", 1);
    assert_ne!(other, text);
    assert!(Recording::parse(&other).expect("a recording").replay().is_err());
}
