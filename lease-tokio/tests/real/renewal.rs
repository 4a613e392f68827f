//! Keeping a lease.

use std::time::Duration;

use crate::adapter::Event;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::cluster::Fixture;
use crate::support::sampler::Sampler;
use crate::support::{Losses, assert_six_fraction_digits, ms, next_event, renewed, text, told};

const TTL: Duration = Duration::from_secs(2);

pub async fn renewals_keep_the_lease_for_several_ttls() {
    let fixture = Fixture::new("renewals").await;
    let lease = fixture.holder("a", TTL);
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    assert!(lease.acquire().await.unwrap());
    let token = lease.held().unwrap().token;
    let first = fixture.object().await;
    let sampler = Sampler::start(std::slice::from_ref(&lease));
    let mut times = vec![text(&first, "/spec/renewTime").to_owned()];
    let end = Instant::now() + 4 * TTL;
    while Instant::now() < end {
        let now = fixture.object().await;
        let time = text(&now, "/spec/renewTime").to_owned();
        assert_six_fraction_digits(&time);
        match time.cmp(times.last().unwrap()) {
            std::cmp::Ordering::Less => panic!("renewTime went back: {times:?}, then {time}"),
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => times.push(time),
        }
        for constant in
            ["/spec/acquireTime", "/spec/leaseTransitions", "/spec/holderIdentity", "/metadata/uid"]
        {
            assert_eq!(now.pointer(constant), first.pointer(constant), "{constant}");
        }
        sleep(ms(50)).await;
    }
    let seen = sampler.stop();
    assert_eq!(seen.nobody, 0, "held all along: {seen:?}");
    assert_eq!(seen.terms, 1, "{seen:?}");
    assert!(seen.looks > 1000, "{seen:?}");
    assert_eq!(lease.held().unwrap().token, token);
    // 4 ttls hold 12 renewals, less what a loaded machine delays.
    assert!((9..=14).contains(&times.len()), "{times:?}");
    let told = told(&mut events).await;
    let renewals = told.iter().filter(|event| matches!(event, Event::Renewed { .. })).count();
    assert!(renewals + 1 >= times.len(), "{renewals} renewals were told of, {} seen", times.len());
    assert_eq!(losses.all(), []);
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn an_edit_of_the_metadata_is_not_a_loss() {
    let fixture = Fixture::new("metadata-edit").await;
    let (lease, log) = fixture.logged(fixture.config("a", TTL));
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    assert!(lease.acquire().await.unwrap());
    let token = lease.held().unwrap().token;
    for round in ["first", "second", "third"] {
        renewed(&mut events, TTL).await;
        log.clear();
        let edited = fixture.edit(json!({ "metadata": { "labels": { "edited": round } } })).await;
        let after = fixture.renewed_after(&edited, TTL).await;
        assert_eq!(after["metadata"]["labels"]["edited"], round, "the edit survives");
        let line = log.line();
        assert!(line.starts_with("PUT 409, GET 200, PUT"), "read once, then written again: {line}");
        assert_eq!(lease.held().map(|held| held.token), Some(token), "the same term goes on");
    }
    assert_eq!(losses.all(), []);
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

/// What must not change by a renewal: everything but what a renewal is.
fn but_for_the_renewal(object: &Value) -> Value {
    let mut rest = object.clone();
    rest["spec"]["renewTime"].take();
    let metadata = rest["metadata"].as_object_mut().unwrap();
    metadata.remove("resourceVersion");
    metadata.remove("managedFields");
    rest
}

pub async fn what_others_put_there_survives_renewals_and_takeovers() {
    let fixture = Fixture::new("foreign-fields").await;
    // An owner that exists: where a garbage collector runs, a made-up one would take the lease with it.
    let owners = format!("/api/v1/namespaces/{}/configmaps", fixture.cluster.namespace);
    let owner = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": fixture.name } });
    let owner = fixture.cluster.admin.post(&owners, &owner).await.ok();
    let lease = fixture.holder("a", TTL);
    let mut events = lease.events();
    assert!(lease.acquire().await.unwrap());
    let edited = fixture
        .edit(json!({
            "metadata": {
                "labels": { "app.kubernetes.io/name": "kept_0.9-x" },
                "annotations": { "example.com/note": "quotes \" and \\ and \u{2028} and 日本\n" },
                "finalizers": ["example.com/keep"],
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "ConfigMap", "name": fixture.name, "uid": owner["metadata"]["uid"],
                    "blockOwnerDeletion": false, "controller": true,
                }],
            },
            // Dropped by servers that do not know it, and then there is nothing to keep.
            "spec": { "strategy": "OldestEmulationVersion" },
        }))
        .await;
    for kept in ["labels", "finalizers", "ownerReferences"] {
        assert!(edited["metadata"].get(kept).is_some(), "the edit itself took effect: {kept}");
    }
    let once = fixture.renewed_after(&edited, TTL).await;
    let twice = fixture.renewed_after(&once, TTL).await;
    assert_eq!(but_for_the_renewal(&twice), but_for_the_renewal(&edited));
    assert!(lease.check_alive());
    let lost = told(&mut events).await.into_iter().find(|event| matches!(event, Event::Lost { .. }));
    assert_eq!(lost, None);

    // The same in the hands of the next one: the holder's own fields change, nothing else does.
    fixture.edit(json!({ "spec": { "holderIdentity": null } })).await;
    next_event(&mut events, "the loss", TTL, |event| matches!(event, Event::Lost { .. }).then_some(())).await;
    let next = fixture.holder("b", TTL);
    assert!(next.acquire().await.unwrap());
    let taken = fixture.object().await;
    let mut expected = edited["metadata"].clone();
    let mut found = taken["metadata"].clone();
    for metadata in [&mut expected, &mut found] {
        for own in ["resourceVersion", "managedFields"] {
            metadata.as_object_mut().unwrap().remove(own);
        }
        metadata["annotations"].as_object_mut().unwrap().remove(crate::support::NONCE);
    }
    assert_eq!(found, expected);
    assert_eq!(taken["spec"].get("strategy"), edited["spec"].get("strategy"));
    let _ = next.shutdown().await.unwrap();
    fixture.cluster.admin.delete(&format!("{owners}/{}", fixture.name)).await.ok();
    fixture.clean_up().await;
}

crate::on_every_runtime! {
    renewals_keep_the_lease_for_several_ttls
    an_edit_of_the_metadata_is_not_a_loss
    what_others_put_there_survives_renewals_and_takeovers
}
