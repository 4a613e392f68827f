//! C5 to C8: getting the lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::Method;
use lease_tokio::{Acquisition, Attempt, Denial, DenialReason, Event, Lease, ReleasePolicy, SameIdentity};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{assert_nonce_of, assert_six_fraction_digits, ms, next_event, text};
use crate::world::{Fate, LATENCY, NAME, NAMESPACE, Node, TTL, World};

async fn denial(lease: &Lease) -> Denial {
    match lease.acquire_with_token().await.unwrap() {
        Attempt::Denied(denial) => denial,
        Attempt::Acquired(token) => panic!("acquired with {token}"),
    }
}

async fn acquisition(lease: &Lease) -> Acquisition {
    let mut events = lease.events();
    assert_eq!(lease.acquire().await, Ok(true));
    next_event(&mut events, "an acquisition", TTL, |event| match event {
        Event::Acquired { acquisition, .. } => Some(acquisition.clone()),
        _ => None,
    })
    .await
}

fn assert_taken_from(found: &Acquisition, name: &str) {
    match found {
        Acquisition::TakenOver { previous: Some(previous) } => assert_eq!(previous.as_str(), name),
        other => panic!("{other:?}"),
    }
}

fn record(holder: &str, renew_time: &str) -> Value {
    json!({
        "holderIdentity": holder, "leaseDurationSeconds": 3, "leaseTransitions": 4,
        "acquireTime": "2025-12-31T23:00:00.000000Z", "renewTime": renew_time,
    })
}

#[tokio::test(start_paused = true)]
async fn c5_acquire_reads_the_object_and_creates_it_with_the_configured_owner_when_it_is_missing() {
    let world = World::new();
    let Node { lease, log, .. } = world.holder("the-owner");
    assert_eq!(lease.acquire().await, Ok(true));
    assert_eq!(log.line(), "GET 404, POST 201");
    let object = world.object();
    assert_eq!(object["metadata"]["name"], NAME);
    assert_eq!(object["metadata"]["namespace"], NAMESPACE);
    assert_eq!(object["spec"]["holderIdentity"], "the-owner");
    assert_eq!(object["spec"]["leaseDurationSeconds"], TTL.as_secs());
    assert_nonce_of(&object, "the-owner");
    // An object that names nobody is taken as it is.
    lease.release().await.unwrap();
    world.server(|server| server.create(&json!({})));
    log.clear();
    assert_eq!(acquisition(&lease).await, Acquisition::Vacant);
    assert_eq!(log.line(), "GET 200, PUT 200");
}

#[tokio::test(start_paused = true)]
async fn c6_a_record_that_is_already_ours_is_taken_with_fresh_times() {
    let world = World::new();
    let before = world.holder("a");
    assert_eq!(before.lease.acquire().await, Ok(true));
    let old = world.object();
    before.line.cut(); // It crashed.
    let after = world.holder("a");
    assert_eq!(acquisition(&after.lease).await, Acquisition::Reclaimed);
    let new = world.object();
    assert_eq!(new["metadata"]["uid"], old["metadata"]["uid"]);
    assert_eq!(new["spec"]["leaseTransitions"], 0);
    assert_eq!(new["spec"]["acquireTime"], new["spec"]["renewTime"]);
    assert!(text(&new, "/spec/acquireTime") > text(&old, "/spec/renewTime"));
    assert_six_fraction_digits(text(&new, "/spec/acquireTime"));
    // Whether it is ours is the setting's to say.
    let cautious = world.spawn(World::config("a").same_identity(SameIdentity::Contend));
    assert_eq!(denial(&cautious.lease).await.reason, DenialReason::DuplicateIdentity);
}

#[tokio::test(start_paused = true)]
async fn c6_an_expired_record_is_taken_with_fresh_times_once_its_duration_was_seen_to_pass() {
    let world = World::new();
    let dead = world.holder("dead");
    assert_eq!(dead.lease.acquire().await, Ok(true));
    dead.line.cut();
    let old = world.object();
    // Rule (a), on the monotonic clock alone.
    let contender = world.spawn(World::config("b").max_clock_skew(None));
    let denial = denial(&contender.lease).await;
    let seen = world.mono();
    assert_eq!(denial.retry_at.saturating_since(seen), TTL, "counted from the answer's arrival");
    world.sleep_until(seen.saturating_add(TTL - 2 * LATENCY - ms(1))).await;
    assert_eq!(contender.lease.acquire().await, Ok(false), "judged a millisecond too early");
    world.sleep_until(denial.retry_at).await;
    assert_taken_from(&acquisition(&contender.lease).await, "dead");
    let new = world.object();
    assert_eq!(new["spec"]["holderIdentity"], "b");
    assert_eq!(new["spec"]["leaseTransitions"], 1);
    assert_eq!(new["spec"]["acquireTime"], new["spec"]["renewTime"]);
    assert!(text(&new, "/spec/acquireTime") > text(&old, "/spec/renewTime"));
    assert!(!dead.lease.check_alive());
}

/// Deviation: a wall clock decides only with `max_clock_skew` on top, and only if the setting lets it.
#[tokio::test(start_paused = true)]
async fn c6_a_long_expired_record_is_taken_at_the_first_look() {
    // It is 2026-01-01T00:00:00Z, plus the few milliseconds that a request takes; skew is 10 s by default.
    for (renew_time, taken) in [
        ("2025-12-31T23:59:46.900000Z", true),
        ("2025-12-31T23:59:47.100000Z", false), // renewTime + ttl + skew has not passed
        ("2025-12-31T23:59:56.000000Z", false), // renewTime + ttl has
        ("9999-12-31T23:59:59.999999Z", false),
    ] {
        let world = World::new();
        world.server(|server| server.create(&record("dead", renew_time)));
        let lease = world.holder("b").lease;
        assert_eq!(lease.acquire().await, Ok(taken), "{renew_time}");
        if taken {
            assert_eq!(world.object()["spec"]["leaseTransitions"], 5);
            assert!(text(&world.object(), "/spec/renewTime") > "2026-01-01T00:00:00");
        }
        let without = World::new();
        without.server(|server| server.create(&record("dead", renew_time)));
        let lease = without.spawn(World::config("b").max_clock_skew(None)).lease;
        assert_eq!(lease.acquire().await, Ok(false), "{renew_time}: no wall clock decides");
    }
}

#[tokio::test(start_paused = true)]
async fn c7_acquire_is_true_on_success_and_false_on_a_live_conflict() {
    let world = World::new();
    let (one, other) = (world.holder("a"), world.holder("b"));
    assert_eq!(one.lease.acquire().await, Ok(true));
    assert_eq!(one.lease.acquire().await, Ok(true), "held already");
    assert_eq!(other.lease.acquire().await, Ok(false));
    let denial = denial(&other.lease).await;
    assert_eq!(denial.reason, DenialReason::Held);
    assert_eq!(denial.holder.unwrap().as_str(), "a");
    // "False" is a promise: nothing of the attempt is still under way.
    assert!(other.log.all().iter().all(|exchange| exchange.method == Method::GET));
    // "I do not know" is neither of the two.
    other.line.cut();
    assert!(other.lease.acquire().await.is_err());
    assert!(one.lease.check_alive() && !other.lease.check_alive());
}

/// Somebody touches the object just before each of the first `conflicts` PUTs.
fn disturb(node: &Node, conflicts: u32) -> Arc<AtomicU32> {
    let puts = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&puts);
    node.line.hook(move |server, request| {
        if request.method() == Method::PUT && count.fetch_add(1, Ordering::SeqCst) < conflicts {
            let number = count.load(Ordering::SeqCst).to_string();
            server.edit(&json!({ "metadata": { "labels": { "disturbed": number } } }));
        }
        Fate::Deliver
    });
    puts
}

#[tokio::test(start_paused = true)]
async fn c8_conflicting_writes_are_retried_up_to_acquire_retries_times() {
    for (retries, conflicts, acquired) in
        [(3, 0, true), (3, 3, true), (3, 4, false), (0, 1, false), (7, 7, true)]
    {
        let world = World::new();
        world.server(|server| server.create(&json!({})));
        let delay = ms(100);
        let node = world.spawn(World::config("a").acquire_retries(retries).acquire_retry_delay(delay));
        let puts = disturb(&node, conflicts);
        let began = Instant::now();
        let case = format!("{retries} retries, {conflicts} conflicts: {}", node.log.line());
        match node.lease.acquire_with_token().await.unwrap() {
            Attempt::Acquired(_) => assert!(acquired, "{case}"),
            Attempt::Denied(denial) => {
                assert!(!acquired, "{case}");
                assert_eq!(denial.reason, DenialReason::Contended, "{case}");
            }
        }
        let wanted = if acquired { conflicts + 1 } else { retries + 1 };
        assert_eq!(puts.load(Ordering::SeqCst), wanted, "{case}");
        // Each retry waits: the delay, up to half of it cut at random.
        let requests = u32::try_from(node.log.all().len()).unwrap();
        let waited = began.elapsed() - 2 * LATENCY * requests;
        let least = delay / 2 * conflicts;
        assert!(waited >= least && waited <= delay * conflicts + ms(requests.into()), "{case}: {waited:?}");
    }
}

/// A conflict with somebody who has won is no reason to write again.
#[tokio::test(start_paused = true)]
async fn c8_a_conflict_is_judged_from_scratch() {
    let world = World::new();
    world.server(|server| server.create(&json!({})));
    let node = world.holder("a");
    node.line.hook(|server, request| {
        if request.method() == Method::PUT {
            server.edit(&json!({ "spec": { "holderIdentity": "quicker", "leaseDurationSeconds": 3 } }));
        }
        Fate::Deliver
    });
    let denial = denial(&node.lease).await;
    assert_eq!((denial.reason, denial.holder.unwrap().as_str()), (DenialReason::Held, "quicker"));
    assert_eq!(node.log.line(), "GET 200, PUT 409, GET 200");
}

/// Deviation, where chosen: the strict policy does not hold what it has created before a quarantine is over.
#[tokio::test(start_paused = true)]
async fn c5_a_strict_holder_waits_before_it_holds_what_it_created() {
    let world = World::new();
    let node = world.spawn(World::config("a").release_policy(ReleasePolicy::Vacate));
    let began = Instant::now();
    assert_eq!(node.lease.acquire().await, Ok(true));
    assert!(
        began.elapsed() >= TTL && began.elapsed() < TTL + Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    node.lease.release().await.unwrap();
    assert_eq!(text(&world.object(), "/spec/holderIdentity"), "", "and leaves the object");
}
