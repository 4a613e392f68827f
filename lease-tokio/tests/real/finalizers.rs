//! Objects that are deleted and stay.

use std::time::Duration;

use crate::adapter::{Attempt, DenialReason, LostReason, Problem, ReleaseOutcome};
use serde_json::json;

use crate::cluster::Fixture;
use crate::support::{Losses, ms, until};

const TTL: Duration = Duration::from_secs(2);

fn finalizer() -> serde_json::Value {
    json!({ "metadata": { "finalizers": ["example.com/keep"] } })
}

async fn assert_terminating(fixture: &Fixture, identity: &str) -> crate::adapter::Lease {
    let contender = fixture.holder(identity, TTL);
    match contender.acquire_with_token().await.unwrap() {
        Attempt::Denied(denial) => assert_eq!(denial.reason, DenialReason::Terminating),
        Attempt::Acquired(token) => panic!("acquired with {token}: it would vanish later"),
    }
    contender
}

pub async fn a_release_that_a_finalizer_holds_up_is_unconfirmed() {
    let fixture = Fixture::new("finalizer").await;
    let (lease, log) = fixture.logged(fixture.config("a", TTL));
    assert!(lease.acquire().await.unwrap());
    let edited = fixture.edit(finalizer()).await;
    fixture.renewed_after(&edited, TTL).await;
    log.clear();
    match lease.release().await.unwrap() {
        ReleaseOutcome::Unconfirmed { expires_at, last } => {
            assert_eq!(last, Some(Problem::HeldByFinalizers));
            assert!(lease.time_until(expires_at) <= TTL);
        }
        other => panic!("{other:?}"),
    }
    assert!(log.line().ends_with("DELETE 200"), "{}", log.line());
    assert!(!lease.check_alive());

    let contender = assert_terminating(&fixture, "b").await;
    // Not even when its time is up, nor by whoever held it.
    tokio::time::sleep(TTL + ms(200)).await;
    assert!(!contender.acquire().await.unwrap());
    assert!(!lease.acquire().await.unwrap());
    // Whoever put the finalizer there takes it away.
    fixture.edit(json!({ "metadata": { "finalizers": null } })).await;
    assert!(fixture.find().await.is_none());
    assert!(contender.acquire().await.unwrap());
    contender.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn an_object_that_is_deleted_under_its_holder_is_lost_even_if_a_finalizer_keeps_it() {
    let fixture = Fixture::new("finalizer-delete").await;
    let lease = fixture.holder("a", TTL);
    let losses = Losses::of(&lease);
    assert!(lease.acquire().await.unwrap());
    let edited = fixture.edit(finalizer()).await;
    fixture.renewed_after(&edited, TTL).await;
    fixture.cluster.admin.delete(&fixture.path()).await.ok();
    assert_eq!(losses.one(TTL).await, LostReason::Deleted);
    assert!(!lease.check_alive());
    let contender = assert_terminating(&fixture, "b").await;
    // A campaign waits for it.
    let campaigning = contender.clone();
    let campaign = tokio::spawn(async move { campaigning.campaign().await });
    fixture.edit(json!({ "metadata": { "finalizers": null } })).await;
    campaign.await.unwrap().unwrap();
    until("the campaign holds", ms(100), || contender.check_alive()).await;
    contender.shutdown().await.unwrap();
    fixture.clean_up().await;
}

crate::on_every_runtime! {
    a_release_that_a_finalizer_holds_up_is_unconfirmed
    an_object_that_is_deleted_under_its_holder_is_lost_even_if_a_finalizer_keeps_it
}
