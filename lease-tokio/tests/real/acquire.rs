//! Getting a lease: a new one, another's, an expired one.

use std::time::Duration;

use crate::adapter::{
    Acquisition, Attempt, Clock, ConfigError, Denial, DenialReason, Event, Lease, OwnerReference, SystemClock,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::cluster::Fixture;
use crate::doomed::Doomed;
use crate::support::{assert_nonce_of, assert_six_fraction_digits, config, ms, next_event, text};

const SECOND: Duration = Duration::from_secs(1);

async fn denial(lease: &Lease) -> Denial {
    match lease.acquire_with_token().await.unwrap() {
        Attempt::Denied(denial) => denial,
        Attempt::Acquired(token) => panic!("acquired with {token}, another should hold it"),
    }
}

/// What the next term is acquired from.
async fn acquisition(lease: &Lease) -> Acquisition {
    let mut events = lease.events();
    assert!(lease.acquire().await.unwrap());
    next_event(&mut events, "an acquisition", SECOND, |event| match event {
        Event::Acquired { acquisition, .. } => Some(acquisition.clone()),
        _ => None,
    })
    .await
}

/// The API server takes what a configuration takes, up to the longest of it.
pub async fn labels_annotations_and_owners_are_stored_as_given() {
    let fixture = Fixture::new("creation").await;
    // Time enough for a quarter of a MiB in a build without optimisation.
    let ttl = 6 * SECOND;
    let namespace = &fixture.cluster.namespace;
    let admin = &fixture.cluster.admin;
    // An owner that exists, for clusters that collect garbage.
    let owner = admin.get(&format!("/api/v1/namespaces/{namespace}")).await.ok();
    let long = "x".repeat(63);
    let key = format!("{0}.{0}.{0}.{1}/{0}", long, "y".repeat(61));
    let config = fixture
        .config("a", ttl)
        .label(&key, &long)
        .label("empty", "")
        .annotation("Example.COM/Upper", "any \"thing\"\n\u{1f600}")
        .owner_reference(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Namespace".to_owned(),
            name: namespace.clone(),
            uid: text(&owner, "/metadata/uid").to_owned(),
            controller: true,
            block_owner_deletion: false,
        });
    let ConfigError::AnnotationsTooLarge { given, allowed } =
        config.clone().annotation("long", "z".repeat(1 << 18)).build().unwrap_err()
    else {
        panic!("256 KiB are too long");
    };
    let config = config.annotation("long", "z".repeat((1 << 18) - (given - allowed)));
    let lease = fixture.spawn(config);
    assert!(lease.acquire().await.unwrap());
    let object = fixture.object().await;
    let metadata = &object["metadata"];
    assert_eq!(metadata["labels"], json!({ (key): long, "empty": "" }));
    assert_eq!(metadata["annotations"]["Example.COM/Upper"], "any \"thing\"\n\u{1f600}");
    assert_eq!(
        metadata["ownerReferences"],
        json!([{
            "apiVersion": "v1", "kind": "Namespace", "name": namespace, "uid": owner["metadata"]["uid"],
            "controller": true,
        }])
    );

    // Renewals keep what others make of it.
    fixture.edit(json!({ "metadata": { "labels": { "empty": null, "new": "y" } } })).await;
    let renewed = fixture.renewed_after(&object, ttl).await;
    assert_eq!(renewed["metadata"]["labels"].as_object().unwrap().len(), 2);
    assert_eq!(renewed["metadata"]["labels"]["new"], "y");
    assert!(lease.check_alive());
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn the_first_acquire_stores_the_documented_object() {
    let fixture = Fixture::new("first-acquire").await;
    let (lease, log) = fixture.logged(fixture.config("a", ms(2500)));
    assert!(!lease.check_alive());
    let token = lease.acquire_with_token().await.unwrap().token().expect("nobody else wants it");
    assert!(lease.check_alive());
    assert_eq!(log.line(), "GET 404, POST 201");

    let object = fixture.object().await;
    assert_eq!(object["apiVersion"], "coordination.k8s.io/v1");
    assert_eq!(object["kind"], "Lease");
    let mut spec = object["spec"].clone();
    let acquire_time = spec["acquireTime"].take();
    let renew_time = spec["renewTime"].take();
    assert_eq!(acquire_time, renew_time);
    assert_six_fraction_digits(renew_time.as_str().unwrap());
    let expected = json!({
        "holderIdentity": "a",
        "leaseDurationSeconds": 3, // ⌈2.5 s⌉
        "leaseTransitions": 0,
        "acquireTime": null,
        "renewTime": null,
    });
    assert_eq!(spec, expected, "nothing but what is documented");
    let metadata = object["metadata"].as_object().unwrap();
    assert_eq!(metadata["annotations"].as_object().unwrap().len(), 1);
    assert_nonce_of(&object, "a");
    for absent in ["labels", "finalizers", "ownerReferences"] {
        assert!(!metadata.contains_key(absent), "{absent}");
    }
    assert_eq!(text(&object, "/metadata/resourceVersion"), token.to_string(), "the token is the RV");
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn contention_is_denied_and_says_by_whom_and_until_when() {
    let fixture = Fixture::new("contention").await;
    let ttl = 3 * SECOND;
    let holder = fixture.holder("a", ttl);
    assert!(holder.acquire().await.unwrap());
    let contender = fixture.holder("b", ttl);
    let denial = denial(&contender).await;
    assert_eq!(denial.reason, DenialReason::Held);
    assert_eq!(denial.holder.as_ref().map(|holder| holder.as_str()), Some("a"));
    let wait = contender.time_until(denial.retry_at);
    assert!(wait > ttl - SECOND && wait <= ttl, "seen for the first time just now: {wait:?}");
    assert!(!contender.acquire().await.unwrap());
    assert!(!contender.check_alive() && holder.check_alive());

    // Whoever renews is still there when that time has come.
    sleep(contender.time_until(denial.retry_at)).await;
    assert!(!contender.acquire().await.unwrap());
    assert!(holder.check_alive());
    holder.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn a_dead_holder_is_taken_over_after_its_ttl_was_seen_to_pass() {
    let fixture = Fixture::new("observed-expiry").await;
    let ttl = 2 * SECOND;
    let mut dead = Doomed::new(&fixture, "a", ttl);
    assert!(dead.lease.acquire().await.unwrap());
    let until = dead.lease.held().unwrap().until;
    dead.kill();
    let left_behind = fixture.object().await;

    // Rule (a) alone: no wall clock decides anything.
    let contender = fixture.spawn(fixture.config("b", ttl).max_clock_skew(None));
    let denial = denial(&contender).await;
    let wait = contender.time_until(denial.retry_at);
    assert!(wait > ttl - ms(300) && wait <= ttl, "{wait:?}");
    sleep(wait - ms(300)).await;
    assert!(!contender.acquire().await.unwrap(), "not a moment too early");
    sleep(contender.time_until(denial.retry_at)).await;
    assert!(
        SystemClock.now().mono > until && !dead.lease.check_alive(),
        "the dead holder's own term is over"
    );
    let found = acquisition(&contender).await;
    assert!(
        matches!(&found, Acquisition::TakenOver { previous: Some(who) } if who.as_str() == "a"),
        "{found:?}"
    );
    let object = fixture.object().await;
    assert_eq!(object["spec"]["holderIdentity"], "b");
    assert_eq!(object["spec"]["leaseTransitions"], 1);
    assert_eq!(object["metadata"]["uid"], left_behind["metadata"]["uid"], "taken over, not made again");
    assert_eq!(object["spec"]["acquireTime"], object["spec"]["renewTime"]);
    assert!(text(&object, "/spec/acquireTime") > text(&left_behind, "/spec/renewTime"));
    assert_nonce_of(&object, "b");
    contender.shutdown().await.unwrap();
    fixture.clean_up().await;
}

fn record(renew_time: &str) -> Value {
    json!({
        "holderIdentity": "another-implementation",
        "leaseDurationSeconds": 2,
        "acquireTime": "2020-02-29T12:00:00.000000Z",
        "renewTime": renew_time,
        "leaseTransitions": 7,
    })
}

pub async fn a_long_dead_record_is_taken_at_the_first_look() {
    let fixture = Fixture::new("timestamp-expiry").await;
    fixture.create(record("2020-02-29T12:34:56.789012Z")).await;
    // Without rule (b) the very same record has to be watched first.
    let patient = fixture.spawn(fixture.config("patient", 2 * SECOND).max_clock_skew(None));
    let denial = denial(&patient).await;
    assert_eq!(denial.holder.as_ref().map(|holder| holder.as_str()), Some("another-implementation"));
    assert!(patient.time_until(denial.retry_at) > SECOND);

    let (lease, log) = fixture.logged(fixture.config("b", 2 * SECOND));
    let found = acquisition(&lease).await;
    assert!(
        matches!(&found, Acquisition::TakenOver { previous: Some(who) } if who.as_str() == "another-implementation"),
        "{found:?}"
    );
    assert_eq!(log.line(), "GET 200, PUT 200");
    let object = fixture.object().await;
    assert_eq!(object["spec"]["leaseTransitions"], 8);
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn a_record_from_the_future_is_not_free_and_wedges_nobody() {
    let fixture = Fixture::new("far-future").await;
    fixture.create(record("9999-12-31T23:59:59.999999Z")).await;
    let lease = fixture.holder("b", 2 * SECOND);
    let denial = denial(&lease).await;
    let wait = lease.time_until(denial.retry_at);
    assert!(wait > SECOND && wait <= 2 * SECOND, "its duration counts from the first look: {wait:?}");
    sleep(wait).await;
    assert!(lease.acquire().await.unwrap());
    let object = fixture.object().await;
    assert!(text(&object, "/spec/renewTime") < "9999", "no foreign value is followed: {object}");
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn a_restarted_holder_reclaims_its_lease_at_once() {
    let fixture = Fixture::new("reclaim").await;
    let mut before = Doomed::new(&fixture, "a", 3 * SECOND);
    let first = before.lease.acquire_with_token().await.unwrap().token().unwrap();
    before.kill();
    let (after, log) = fixture.logged(fixture.config("a", 3 * SECOND));
    assert_eq!(acquisition(&after).await, Acquisition::Reclaimed);
    assert_eq!(log.line(), "GET 200, PUT 200");
    assert!(after.held().unwrap().token > first, "a new term, a higher token");
    assert_eq!(fixture.object().await["spec"]["leaseTransitions"], 0, "the holder did not change");
    after.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn acquiring_twice_asks_nobody_and_keeps_the_token() {
    let fixture = Fixture::new("twice").await;
    let (lease, log) = fixture.logged(fixture.config("a", 3 * SECOND));
    let token = lease.acquire_with_token().await.unwrap();
    log.clear();
    assert_eq!(lease.acquire_with_token().await.unwrap(), token);
    assert_eq!(log.line(), "");
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

/// Names with every character that is allowed reach the server as they are.
pub async fn odd_names_and_identities_arrive_as_they_are() {
    let mut fixture = Fixture::new("odd-names").await;
    fixture.name.push_str(".x-1.0");
    let identity = "pod \"7\" \\ <ß&日本>";
    let settings = config(&fixture.cluster.namespace, &fixture.name, identity, 3 * SECOND);
    let lease = fixture.spawn(settings);
    assert!(lease.acquire().await.unwrap());
    let object = fixture.object().await;
    assert_eq!(object["spec"]["holderIdentity"], identity);
    assert_nonce_of(&object, identity);
    fixture.renewed_after(&object, 3 * SECOND).await;
    assert!(lease.check_alive());
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

crate::on_every_runtime! {
    labels_annotations_and_owners_are_stored_as_given
    the_first_acquire_stores_the_documented_object
    contention_is_denied_and_says_by_whom_and_until_when
    a_dead_holder_is_taken_over_after_its_ttl_was_seen_to_pass
    a_long_dead_record_is_taken_at_the_first_look
    a_record_from_the_future_is_not_free_and_wedges_nobody
    a_restarted_holder_reclaims_its_lease_at_once
    acquiring_twice_asks_nobody_and_keeps_the_token
    odd_names_and_identities_arrive_as_they_are
}
