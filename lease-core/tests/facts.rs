//! What a real kube-apiserver 1.20.2 answered, and what the machine makes of it.
//!
//! Every recorded exchange on a Lease is handed to a machine that waits for the answer to such a request;
//! `facts/expected.rs` says what must follow. The recording is the one of the simulator's model, kept there once.

#[path = "facts/expected.rs"]
mod expected;
#[path = "facts/scene.rs"]
mod scene;
mod support;
#[path = "facts/writes.rs"]
mod writes;

use lease_core::{AttemptOutcome, Event, Input, LostReason, Problem, ReleaseOutcome};
use serde_json::Value;

use crate::expected::EXPECTED;
use crate::scene::State::{Creating, Reading, Releasing, Renewing, Taking};
use crate::scene::{Scene, fact, facts, only, outcome};
use crate::support::{Drained, Sent};

#[test]
fn every_recorded_answer_is_taken_for_what_it_is() {
    let mut seen = Vec::new();
    for fact in facts() {
        for state in fact.states() {
            let mut scene = Scene::new(&fact);
            let sent = scene.reach(*state);
            let drained = scene.answer(&sent);
            let got = outcome(&mut scene, &drained);
            let row =
                EXPECTED.iter().position(|row| (row.0, row.1, row.2) == (*state, fact.status, &fact.case));
            let row = row
                .unwrap_or_else(|| panic!("({state:?}, {}, {:?}, {got:?}) is new", fact.status, fact.case));
            assert_eq!(got, EXPECTED[row].3, "{state:?} {}", fact.case);
            seen.push(row);
        }
    }
    assert!((0..EXPECTED.len()).all(|row| seen.contains(&row)), "a row without a recorded case");
}

/// A recorded answer to a write, with what this write says in the place of what the recorded one said.
fn as_recorded(write: &Sent, recorded: &Value) -> Value {
    let mut object = recorded.clone();
    object["spec"] = write.body()["spec"].clone();
    object["metadata"]["annotations"] = write.body()["metadata"]["annotations"].clone();
    object
}

fn is_lost_as_deleted(drained: &Drained) -> bool {
    let deleted = |event: &Event| matches!(event, Event::Lost { reason: LostReason::Deleted, .. });
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
    for key in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "name", "namespace"] {
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
        assert_eq!(outcome(&mut scene, &drained), "NotConfirmed, then GET", "{state:?}");
    }
}

#[test]
fn a_lease_that_a_put_resurrected_is_not_taken_for_ours() {
    // Cannot happen with a UID in every PUT; if a server does it all the same, the term is over.
    let fact = fact("put to deleted, with rv, no uid");
    assert_eq!(fact.status, 201);
    let mut scene = Scene::new(&fact);
    let renewal = scene.reach(Renewing);
    let object = as_recorded(&renewal, &fact.answer);
    let trouble = scene.holder.respond(&renewal, fact.status, &object);
    let unclear = [Event::Trouble { problem: Problem::NotConfirmed, retry_at: trouble.wake }];
    assert_eq!(trouble.events, unclear);
    let read = only(scene.holder.wake());
    let lost = scene.holder.respond(&read, 200, &object);
    assert!(is_lost_as_deleted(&lost) && !scene.holder.is_held(), "{lost:?}");
}

#[test]
fn a_renewal_of_a_deleted_lease_ends_in_a_loss() {
    let refused = fact("put to deleted, with rv+uid");
    let gone = facts().into_iter().find(|fact| fact.case == "get after put to deleted" && fact.status == 404);
    let mut scene = Scene::new(&refused);
    let renewal = scene.reach(Renewing);
    let read = only(scene.answer(&renewal));
    let lost = scene.holder.respond(&read, 404, &gone.expect("a recorded 404").answer);
    assert!(is_lost_as_deleted(&lost), "{lost:?}");
}

#[test]
fn a_finalizer_leaves_a_release_unconfirmed() {
    let fact = fact("delete object with finalizer");
    let mut scene = Scene::new(&fact);
    let write = scene.hold();
    let delete = only(scene.holder.give(Input::Release));
    let drained = scene.holder.respond(&delete, fact.status, &as_recorded(&write, &fact.answer));
    assert_eq!(outcome(&mut scene, &drained), "unconfirmed, HeldByFinalizers");
}

#[test]
fn a_missing_namespace_is_named_by_the_post() {
    let (read, create) = (fact("get in missing namespace"), fact("create in missing namespace"));
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
            Event::AttemptEnded { outcome: AttemptOutcome::Failed(problem), .. } => Some(problem),
            Event::ReleaseEnded { outcome: ReleaseOutcome::Unconfirmed { last, .. } } => last.as_ref(),
            _ => None,
        });
        let told = told.map(ToString::to_string).unwrap_or_default();
        assert!(told.contains(verb) && told.contains("User \"nobody\" cannot"), "{told}");
    }
}
