//! Giving a lease back.

use std::time::Duration;

use crate::adapter::{AcquireError, Event, ReleaseOutcome, ReleasePolicy, Stopped};
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::Fixture;
use crate::doomed::Doomed;
use crate::support::{Losses, QUARANTINE, ms, next_event, renewed, text, told, until};

const TTL: Duration = Duration::from_secs(3);

pub async fn a_released_lease_is_free_at_once() {
    let fixture = Fixture::new("release").await;
    let (first, log) = fixture.logged(fixture.config("a", TTL));
    let losses = Losses::of(&first);
    let mut events = first.events();
    let token = first.acquire_with_token().await.unwrap().token().unwrap();
    log.clear();
    let release = first.release();
    assert!(!first.check_alive(), "over at the call, before the first byte leaves");
    assert_eq!(log.line(), "");
    assert_eq!(release.await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(log.line(), "DELETE 200");
    assert!(fixture.find().await.is_none());
    let told = told(&mut events).await;
    assert!(told.contains(&Event::Released { token }), "{told:?}");
    assert_eq!(losses.all(), [], "a release is no loss");

    let second = fixture.holder("b", TTL);
    let next = second.acquire_with_token().await.unwrap().token().expect("nothing to wait for");
    assert!(next > token);
    assert_eq!(first.release().await, Ok(ReleaseOutcome::Nothing));
    assert!(second.check_alive());
    second.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn a_stale_release_leaves_the_successors_lease_alone() {
    let fixture = Fixture::new("stale-release").await;
    // Long enough that the first holder does not look while it is overtaken.
    let (first, log) = fixture.logged(fixture.config("a", 5 * TTL));
    assert!(first.acquire().await.unwrap());
    fixture.cluster.admin.delete(&fixture.path()).await.ok();
    let successor = fixture.holder("b", TTL);
    let losses = Losses::of(&successor);
    assert!(successor.acquire().await.unwrap());
    let before = fixture.object().await;
    assert!(first.check_alive(), "it does not know yet: that is what makes its release stale");

    log.clear();
    assert_eq!(first.release().await, Ok(ReleaseOutcome::NotOurs));
    assert_eq!(log.line(), "DELETE 409, GET 200");
    let after = fixture.object().await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    fixture.renewed_after(&after, TTL).await;
    assert!(successor.check_alive());
    assert_eq!(losses.all(), []);
    successor.shutdown().await.unwrap();
    fixture.clean_up().await;
}

/// The same object, in other hands.
pub async fn a_stale_release_of_the_same_object_leaves_the_successors_record_alone() {
    for (policy, line) in
        [(ReleasePolicy::Delete, "DELETE 409, GET 200"), (ReleasePolicy::Vacate, "PUT 409, GET 200")]
    {
        let fixture = Fixture::new("stale-same").await;
        fixture.create(json!({})).await;
        let (lease, log) = fixture.logged(fixture.config("a", 5 * TTL).release_policy(policy));
        assert!(lease.acquire().await.unwrap());
        fixture.edit(json!({ "spec": { "holderIdentity": "b" } })).await;
        log.clear();
        assert_eq!(lease.release().await, Ok(ReleaseOutcome::NotOurs));
        assert_eq!(log.line(), line);
        assert_eq!(fixture.object().await["spec"]["holderIdentity"], "b");
        fixture.clean_up().await;
    }
}

/// An edit that nobody told us of does not keep us from releasing.
pub async fn a_release_after_an_edit_reads_and_tries_again() {
    let fixture = Fixture::new("release-edited").await;
    let (lease, log) = fixture.logged(fixture.config("a", 5 * TTL));
    assert!(lease.acquire().await.unwrap());
    fixture.edit(json!({ "metadata": { "labels": { "edited": "yes" } } })).await;
    log.clear();
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(log.line(), "DELETE 409, GET 200, DELETE 200");
    assert!(fixture.find().await.is_none());
    fixture.clean_up().await;
}

pub async fn a_release_of_an_object_that_is_gone_is_confirmed() {
    let fixture = Fixture::new("release-gone").await;
    let (lease, log) = fixture.logged(fixture.config("a", 5 * TTL));
    assert!(lease.acquire().await.unwrap());
    fixture.cluster.admin.delete(&fixture.path()).await.ok();
    log.clear();
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(log.line(), "DELETE 404");
    fixture.clean_up().await;
}

pub async fn a_clean_shutdown_releases_and_ends_the_task() {
    let fixture = Fixture::new("shutdown").await;
    let holder = Doomed::new(&fixture, "a", TTL);
    let lease = holder.lease.clone();
    assert!(lease.acquire().await.unwrap());
    assert!(holder.tasks() > 0);
    assert_eq!(lease.clone().shutdown().await, Ok(ReleaseOutcome::Confirmed));
    assert!(!lease.check_alive());
    assert!(fixture.find().await.is_none());
    assert_eq!(lease.acquire().await, Err(AcquireError::Stopped));
    assert_eq!(lease.campaign().await, Err(AcquireError::Stopped));
    assert_eq!(lease.release().await, Err(Stopped));
    // The holder's task and those of its connections, although a handle is still there.
    until("no task is left", TTL, || holder.tasks() == 0).await;
    fixture.clean_up().await;
}

pub async fn a_vacated_lease_keeps_its_object_and_is_free_at_once() {
    let fixture = Fixture::new("vacate").await;
    fixture.create(json!({})).await;
    let strict = |identity| fixture.config(identity, TTL).release_policy(ReleasePolicy::Vacate);
    let (first, log) = fixture.logged(strict("a"));
    let token = first.acquire_with_token().await.unwrap().token().expect("an empty object is free, at once");
    assert_eq!(log.line(), "GET 200, PUT 200", "no quarantine");
    let held = fixture.object().await;
    log.clear();
    assert_eq!(first.release().await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(log.line(), "PUT 200");
    let vacated = fixture.object().await;
    assert_eq!(text(&vacated, "/spec/holderIdentity"), "");
    assert_eq!(vacated["metadata"]["uid"], held["metadata"]["uid"], "the object lives on");

    let (second, log) = fixture.logged(strict("b"));
    assert!(second.acquire_with_token().await.unwrap().token().unwrap() > token);
    assert_eq!(log.line(), "GET 200, PUT 200");
    let taken = fixture.object().await;
    assert_eq!(taken["metadata"]["uid"], held["metadata"]["uid"]);
    assert_eq!(taken["spec"]["leaseTransitions"], 2, "from nobody to a, from nobody to b");
    second.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn a_strict_holder_that_creates_the_object_waits_a_quarantine() {
    let fixture = Fixture::new("quarantine").await;
    let ttl = Duration::from_secs(2);
    let strict = |identity| fixture.config(identity, ttl).release_policy(ReleasePolicy::Vacate);
    let (lease, log) = fixture.logged(strict("a"));
    let mut events = lease.events();
    let asked = lease.clone();
    let attempt = tokio::spawn(async move { asked.acquire().await });
    let ends_at = next_event(&mut events, "the quarantine", ttl, |event| match event {
        Event::QuarantineStarted { ends_at } => Some(*ends_at),
        _ => None,
    })
    .await;
    let began = Instant::now();
    assert!(!lease.check_alive(), "created, and not held");
    assert!(lease.time_until(ends_at) > ttl - ms(200));
    let marked = fixture.object().await;
    assert!(!marked["metadata"]["annotations"][QUARANTINE].is_null(), "{marked}");
    let contender = fixture.spawn(strict("b"));
    assert!(!contender.acquire().await.unwrap());

    assert_eq!(attempt.await.unwrap(), Ok(true));
    assert!(began.elapsed() > ttl - ms(200), "after {:?}", began.elapsed());
    assert!(lease.check_alive());
    let line = log.line();
    assert!(line.starts_with("GET 404, POST 201, PUT 200, PUT 200"), "renewed during the quarantine: {line}");
    let held = fixture.object().await;
    assert!(held["metadata"]["annotations"][QUARANTINE].is_null(), "{held}");
    assert!(!contender.acquire().await.unwrap());
    renewed(&mut events, ttl).await;
    lease.shutdown().await.unwrap();
    assert_eq!(text(&fixture.object().await, "/spec/holderIdentity"), "");
    fixture.clean_up().await;
}

pub async fn a_release_in_quarantine_takes_the_object_away() {
    let fixture = Fixture::new("quarantine-release").await;
    let lease = fixture.spawn(fixture.config("a", TTL).release_policy(ReleasePolicy::Vacate));
    let mut events = lease.events();
    let asked = lease.clone();
    let attempt = tokio::spawn(async move { asked.acquire().await });
    next_event(&mut events, "the quarantine", TTL, |event| {
        matches!(event, Event::QuarantineStarted { .. }).then_some(())
    })
    .await;
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(attempt.await.unwrap(), Err(AcquireError::Cancelled));
    assert!(fixture.find().await.is_none(), "nobody ever held it, so nothing of it stays");
    fixture.clean_up().await;
}

crate::on_every_runtime! {
    a_released_lease_is_free_at_once
    a_stale_release_leaves_the_successors_lease_alone
    a_stale_release_of_the_same_object_leaves_the_successors_record_alone
    a_release_after_an_edit_reads_and_tries_again
    a_release_of_an_object_that_is_gone_is_confirmed
    a_clean_shutdown_releases_and_ends_the_task
    a_vacated_lease_keeps_its_object_and_is_free_at_once
    a_strict_holder_that_creates_the_object_waits_a_quarantine
    a_release_in_quarantine_takes_the_object_away
}
