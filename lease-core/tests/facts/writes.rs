//! What a machine writes is what the recorded server takes, and nothing that it does not know is lost.

use std::time::Duration;

use http::Method;
use lease_core::{Event, Input, ReleaseOutcome, ReleasePolicy};
use serde_json::{Value, json};

use crate::scene::State::Reading;
use crate::scene::{LEASES, Scene, fact, only};
use crate::support::{self, Holder, Sent, config};

/// The timestamp that a real server takes: RFC 3339 in UTC with exactly six fraction digits.
fn is_storable(time: &Value) -> bool {
    let shape = "0000-00-00T00:00:00.000000Z";
    let fits = |(letter, wanted): (char, char)| {
        if wanted == '0' { letter.is_ascii_digit() } else { letter == wanted }
    };
    time.as_str().is_some_and(|text| text.len() == shape.len() && text.chars().zip(shape.chars()).all(fits))
}

/// Whether a real server would store this: what it refused in the recording must not be in it.
fn check_write(write: &Sent) {
    let body = write.body();
    let (metadata, spec) = (&body["metadata"], &body["spec"]);
    assert_eq!(write.request.headers()["content-type"], "application/json");
    assert!(body["kind"] == "Lease" && body["apiVersion"] == "coordination.k8s.io/v1");
    assert!(is_storable(&spec["renewTime"]) && is_storable(&spec["acquireTime"]), "{body}");
    let duration = spec["leaseDurationSeconds"].as_i64().expect("a number");
    let transitions = spec["leaseTransitions"].as_i64().expect("a number");
    assert!(duration > 0 && i32::try_from(duration).is_ok());
    assert!(transitions >= 0 && i32::try_from(transitions).is_ok());
    let says = |key: &str| metadata[key].as_str().is_some_and(|text| !text.is_empty());
    if *write.method() == Method::POST {
        assert!(metadata.get("resourceVersion").is_none() && metadata.get("uid").is_none(), "{body}");
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
        assert_eq!(last.request.uri().query(), None, "preconditions in the query are not looked at");
        let recorded = fact("delete with matching preconditions").sent;
        let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
        assert_eq!(keys(&last.body()), keys(&recorded), "the body that was recorded to work");
        assert_eq!(keys(&last.body()["preconditions"]), keys(&recorded["preconditions"]));
        assert_eq!(last.body()["preconditions"]["resourceVersion"], version.to_string());
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
    let [top, labels, managed, owners, finalizers, annotations, strategy, preferred, whatever] = STRANGE
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
    let mut write = only(holder.give(Input::Response { id: read.id, response }));
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
        let drained = holder.give(Input::Response { id: write.id, response });
        write = match version {
            42 => only(holder.wake()),
            43 => only(holder.give(Input::Release)),
            _ => {
                let confirmed = [Event::ReleaseEnded { outcome: ReleaseOutcome::Confirmed }];
                assert!(drained.events.ends_with(&confirmed), "{drained:?}");
                return;
            }
        };
    }
}
