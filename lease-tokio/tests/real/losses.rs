//! Losing a lease while the server answers.

use std::time::Duration;

use crate::adapter::{Interrupted, Lease, LostReason};
use serde_json::json;
use tokio::time::timeout;

use crate::cluster::Fixture;
use crate::support::{Losses, ms, until};

const TTL: Duration = Duration::from_secs(2);

/// Waits until the holder has noticed, in each of the ways in which it tells.
async fn loss(lease: &Lease, losses: &Losses) -> LostReason {
    let reason = timeout(TTL, lease.lost()).await.expect("noticed at the next renewal");
    assert!(!lease.check_alive());
    assert_eq!(losses.one(ms(1000)).await, reason, "on_lost and lost() say the same");
    reason
}

pub async fn an_administrators_delete_is_a_loss() {
    let fixture = Fixture::new("admin-delete").await;
    let (lease, log) = fixture.logged(fixture.config("a", TTL));
    let losses = Losses::of(&lease);
    assert!(lease.acquire().await.unwrap());
    fixture.cluster.admin.delete(&fixture.path()).await.ok();
    assert_eq!(loss(&lease, &losses).await, LostReason::Deleted);
    assert!(log.line().ends_with("PUT 409, GET 404"), "{}", log.line());
    assert!(fixture.find().await.is_none(), "no renewal made it again");
    // It may be had again, and is then a new object and a new term.
    assert!(lease.acquire().await.unwrap());
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn an_administrators_takeover_is_a_loss() {
    let fixture = Fixture::new("admin-takeover").await;
    let lease = fixture.holder("a", TTL);
    let losses = Losses::of(&lease);
    assert!(lease.acquire().await.unwrap());
    // The work that is done under the lease is stopped, too.
    let worker = lease.clone();
    let work = tokio::spawn(async move { worker.while_held(std::future::pending::<()>()).await });
    fixture.edit(json!({ "spec": { "holderIdentity": "intruder" } })).await;
    let reason = loss(&lease, &losses).await;
    assert!(
        matches!(&reason, LostReason::TakenOver { by: Some(by) } if by.as_str() == "intruder"),
        "{reason:?}"
    );
    let interrupted = timeout(ms(1000), work).await.expect("stopped").unwrap();
    assert_eq!(interrupted, Err(Interrupted::Lost(reason)));
    assert_eq!(fixture.object().await["spec"]["holderIdentity"], "intruder", "it is left alone");
    assert_eq!(lease.release().await, Ok(crate::adapter::ReleaseOutcome::Nothing));
    assert_eq!(fixture.object().await["spec"]["holderIdentity"], "intruder");
    fixture.clean_up().await;
}

pub async fn a_cleared_holder_is_a_loss() {
    let fixture = Fixture::new("cleared").await;
    let lease = fixture.holder("a", TTL);
    for nobody in [json!(""), json!(null)] {
        let losses = Losses::of(&lease);
        assert!(lease.acquire().await.unwrap());
        fixture.edit(json!({ "spec": { "holderIdentity": nobody } })).await;
        assert_eq!(loss(&lease, &losses).await, LostReason::Cleared);
    }
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

/// A process that shares the identity and took the record over.
pub async fn a_twin_is_a_loss() {
    let fixture = Fixture::new("twin").await;
    let lease = fixture.holder("a", TTL);
    let losses = Losses::of(&lease);
    assert!(lease.acquire().await.unwrap());
    let twin = fixture.holder("a", TTL);
    let twins_losses = Losses::of(&twin);
    assert!(twin.acquire().await.unwrap(), "reclaimed at its first read");
    assert_eq!(loss(&lease, &losses).await, LostReason::Twin);
    // The twins do not steal from each other for ever.
    assert!(!lease.acquire().await.unwrap());
    assert!(twin.check_alive());
    assert_eq!(twins_losses.all(), []);
    twin.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn handlers_can_be_many_and_each_is_unregistered_by_itself() {
    let fixture = Fixture::new("handlers").await;
    let lease = fixture.holder("a", TTL);
    let (kept, dropped, other) = (Losses::of(&lease), Losses::of(&lease), Losses::of(&lease));
    lease.on_lost(|_| panic!("a handler's panic, on purpose")).forget();
    let reasons = dropped.reasons();
    drop(dropped);
    assert!(lease.acquire().await.unwrap());
    fixture.edit(json!({ "spec": { "holderIdentity": "intruder" } })).await;
    let reason = loss(&lease, &kept).await;
    assert_eq!(other.one(ms(1000)).await, reason);
    assert_eq!(*reasons.lock().unwrap(), [], "unregistered before the loss");
    // The one that panicked has hurt nobody: the next loss is told, too.
    fixture.edit(json!({ "spec": { "holderIdentity": null } })).await;
    assert!(lease.acquire().await.unwrap());
    fixture.cluster.admin.delete(&fixture.path()).await.ok();
    until("the second loss is told", 2 * TTL, || kept.all().len() == 2 && other.all().len() == 2).await;
    assert_eq!(kept.all(), [reason, LostReason::Deleted]);
    fixture.clean_up().await;
}

crate::on_every_runtime! {
    an_administrators_delete_is_a_loss
    an_administrators_takeover_is_a_loss
    a_cleared_holder_is_a_loss
    a_twin_is_a_loss
    handlers_can_be_many_and_each_is_unregistered_by_itself
}
