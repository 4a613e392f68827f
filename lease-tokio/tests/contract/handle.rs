//! C4, C10, C11, C16 and C17: what an application does with its handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lease_sim::memory::Cluster;
use lease_tokio::interface::Lease as AnyLease;
use lease_tokio::{Clock, LostReason, ReleaseOutcome};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Losses, until};
use crate::world::{Fate, LATENCY, Node, TTL, World};

/// What an application does that wants a lease and does not care whose.
async fn hold_once(lease: Arc<dyn AnyLease>, work: impl AsyncFn()) -> bool {
    let lost = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lost);
    let subscription = lease.on_lost(Box::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    }));
    if !lease.acquire().await.unwrap() {
        assert!(!lease.check_alive());
        return false;
    }
    assert!(lease.check_alive());
    work().await;
    assert!(lease.check_alive());
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    assert!(!lease.check_alive());
    subscription.unregister();
    assert_eq!(lost.load(Ordering::SeqCst), 0, "a release is no loss");
    true
}

#[tokio::test(start_paused = true)]
async fn c4_one_interface_stands_for_every_lease() {
    let world = World::new();
    let (first, second) = (world.holder("a"), world.holder("b"));
    let other: Arc<dyn AnyLease> = Arc::new(second.lease);
    let held = hold_once(Arc::new(first.lease), async || {
        sleep(2 * TTL).await;
        assert!(!hold_once(Arc::clone(&other), async || {}).await);
    });
    assert!(held.await);

    let cluster = Cluster::new();
    let config = || World::config("a").build().unwrap();
    let in_memory: Arc<dyn AnyLease> = Arc::new(cluster.lease(config()).unwrap());
    assert!(cluster.block_on(hold_once(in_memory, async || cluster.sleep(2 * TTL).await)));
}

#[tokio::test(start_paused = true)]
async fn c10_release_deletes_the_object_and_stops_the_renewals() {
    let world = World::new();
    let Node { lease, log, .. } = world.holder("a");
    assert_eq!(lease.acquire().await, Ok(true));
    // Between two renewals.
    sleep(TTL / 2).await;
    let stored = world.object();
    log.clear();
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    assert!(world.find().is_none());
    assert_eq!(log.line(), "DELETE 200");
    // Deviation: only this very state of this very object may go.
    let body: Value = serde_json::from_slice(&log.all()[0].body).unwrap();
    assert_eq!(
        body["preconditions"],
        json!({ "uid": stored["metadata"]["uid"], "resourceVersion": stored["metadata"]["resourceVersion"] })
    );
    sleep(20 * TTL).await;
    assert_eq!(log.line(), "DELETE 200", "no renewal follows");
    assert!(world.find().is_none());
}

#[tokio::test(start_paused = true)]
async fn c10_releasing_what_is_gone_is_success() {
    let world = World::new();
    let Node { lease, log, .. } = world.holder("a");
    assert_eq!(lease.acquire().await, Ok(true));
    world.server(|server| server.delete());
    log.clear();
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(log.line(), "DELETE 404");
}

/// Why the preconditions are there.
#[tokio::test(start_paused = true)]
async fn c10_a_late_release_does_not_delete_a_successors_lease() {
    let world = World::new();
    let (first, second) = (world.holder("a"), world.holder("b"));
    assert_eq!(first.lease.acquire().await, Ok(true));
    world.server(|server| server.delete());
    assert_eq!(second.lease.acquire().await, Ok(true));
    let uid = world.object()["metadata"]["uid"].clone();
    first.log.clear();
    assert_eq!(first.lease.release().await, Ok(ReleaseOutcome::NotOurs));
    assert_eq!(first.log.line(), "DELETE 409, GET 200");
    sleep(5 * TTL).await;
    assert_eq!(world.object()["metadata"]["uid"], uid);
    assert!(second.lease.check_alive());
}

#[tokio::test(start_paused = true)]
async fn c11_release_is_a_no_op_when_nothing_is_held() {
    let world = World::new();
    let (holder, other) = (world.holder("a"), world.holder("b"));
    assert_eq!(other.lease.release().await, Ok(ReleaseOutcome::Nothing), "never acquired");
    assert_eq!(holder.lease.acquire().await, Ok(true));
    assert_eq!(other.lease.acquire().await, Ok(false));
    other.log.clear();
    assert_eq!(other.lease.release().await, Ok(ReleaseOutcome::Nothing), "denied");
    assert_eq!(holder.lease.release().await, Ok(ReleaseOutcome::Confirmed));
    holder.log.clear();
    assert_eq!(holder.lease.release().await, Ok(ReleaseOutcome::Nothing), "released already");
    assert_eq!((holder.log.line(), other.log.line()), (String::new(), String::new()), "nobody is asked");
}

#[tokio::test(start_paused = true)]
async fn c16_check_alive_is_true_exactly_while_the_lease_is_owned() {
    let world = World::new();
    let Node { lease, line, .. } = world.holder("a");
    assert!(!lease.check_alive());
    assert_eq!(lease.acquire().await, Ok(true));
    for _ in 0..100 {
        assert!(lease.check_alive());
        sleep(TTL / 7).await;
    }
    let release = lease.release();
    assert!(!lease.check_alive(), "from the call on");
    release.await.unwrap();
    assert!(!lease.check_alive());
    assert_eq!(lease.acquire().await, Ok(true));
    line.cut();
    lease.lost().await;
    assert!(!lease.check_alive());
}

/// Deviation: deadline arithmetic on the clock, not a flag that somebody has to get to run to clear.
#[tokio::test(start_paused = true)]
async fn c16_check_alive_is_local_and_right_to_the_nanosecond_when_nothing_runs() {
    let world = World::new();
    let Node { lease, log, .. } = world.holder("a");
    let losses = Losses::of(&lease);
    assert_eq!(lease.acquire().await, Ok(true));
    let held = lease.held().unwrap();
    log.clear();
    for _ in 0..10_000 {
        assert!(lease.check_alive());
    }
    assert_eq!(log.line(), "", "no I/O");

    // From here to the end of this block nothing is awaited: neither the holder's task nor a timer runs.
    {
        let nanosecond = Duration::from_nanos(1);
        world.clock.set(held.until.saturating_sub(nanosecond));
        assert!(lease.check_alive());
        assert_eq!(lease.held(), Some(held));
        assert_eq!(lease.time_until(held.until), nanosecond);
        world.clock.set(held.until);
        assert!(!lease.check_alive());
        assert_eq!(lease.held(), None);
        assert_eq!(losses.all(), [], "nobody has told of it yet");
        world.clock.set(held.until.saturating_add(100 * TTL));
        assert!(!lease.check_alive());
    }
    // The holder finds out as soon as it runs, and a renewal that was due does not revive the term.
    let reason = losses.one(TTL).await;
    assert!(matches!(reason, LostReason::Expired { .. }), "{reason:?}");
    assert!(!lease.check_alive());
}

/// An answer that arrives at the deadline confirms nothing; a nanosecond before it confirms the term.
#[tokio::test(start_paused = true)]
async fn c16_an_answer_at_the_deadline_is_too_late() {
    for (early, confirmed) in [(Duration::ZERO, false), (Duration::from_nanos(1), true)] {
        let world = World::new();
        let Node { lease, line, log } = world.holder("a");
        let losses = Losses::of(&lease);
        assert_eq!(lease.acquire().await, Ok(true));
        let until = lease.held().unwrap().until;
        let last_chance = until.saturating_sub(lease.config().request_timeout());
        // All renewals fail but the last one. While the server answers that, the time goes on.
        let clock = world.clock.clone();
        let mut answered = false;
        line.hook(move |_, _| {
            if clock.now().mono < last_chance {
                return Fate::Refuse;
            }
            if !std::mem::replace(&mut answered, true) {
                clock.set(until.saturating_sub(LATENCY + early));
            }
            Fate::Deliver
        });
        world.sleep_until(last_chance).await;
        sleep(3 * LATENCY).await;
        let last = log.all().pop().unwrap();
        assert_eq!((last.method.as_str(), last.status), ("PUT", Some(200)), "{}", log.line());
        assert!(world.mono() > until);
        assert_eq!(lease.check_alive(), confirmed, "an answer {early:?} before the deadline");
        if confirmed {
            let emitted = world.clock.reading(last.sent);
            assert_eq!(lease.held().unwrap().until, emitted.saturating_add(lease.config().validity()));
            assert_eq!(losses.all(), []);
        } else {
            let reason = losses.one(TTL).await;
            assert!(matches!(reason, LostReason::Expired { .. }), "{reason:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c17_on_lost_fires_on_an_unexpected_loss_and_can_be_unregistered() {
    let world = World::new();
    let Node { lease, .. } = world.holder("a");
    let calls: [Arc<AtomicUsize>; 3] = Default::default();
    let [kept, unregistered, dropped] = calls.clone().map(|count| {
        lease.on_lost(move |reason| {
            assert_eq!(*reason, LostReason::Deleted);
            count.fetch_add(1, Ordering::SeqCst);
        })
    });
    unregistered.unregister();
    assert_eq!(lease.acquire().await, Ok(true));
    drop(dropped);
    world.server(|server| server.delete());
    assert_eq!(lease.lost().await, LostReason::Deleted);
    until("the handler that is registered is called", TTL, || calls[0].load(Ordering::SeqCst) == 1).await;

    // Once for every term that is lost, until it is unregistered.
    assert_eq!(lease.acquire().await, Ok(true));
    world.server(|server| server.delete());
    until("and again", TTL, || calls[0].load(Ordering::SeqCst) == 2).await;
    kept.unregister();
    assert_eq!(lease.acquire().await, Ok(true));
    world.server(|server| server.delete());
    lease.lost().await;
    sleep(TTL).await;
    assert_eq!(calls.map(|count| count.load(Ordering::SeqCst)), [2, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn c17_on_lost_never_fires_on_a_voluntary_release() {
    let world = World::new();
    let Node { lease, line, .. } = world.holder("a");
    let losses = Losses::of(&lease);
    assert_eq!(lease.acquire().await, Ok(true));
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    sleep(2 * TTL).await;
    // Not even when nobody can be told.
    assert_eq!(lease.acquire().await, Ok(true));
    line.cut();
    assert!(matches!(lease.release().await, Ok(ReleaseOutcome::Unconfirmed { .. })));
    sleep(2 * TTL).await;
    line.mend();
    assert_eq!(lease.acquire().await, Ok(true));
    lease.shutdown().await.unwrap();
    sleep(2 * TTL).await;
    assert_eq!(losses.all(), []);
}
