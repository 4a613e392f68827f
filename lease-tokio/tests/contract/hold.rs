//! C9 and C12 to C15: keeping the lease, and losing it.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use lease_tokio::{Event, LostReason, MonoTime, Problem};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{Losses, assert_six_fraction_digits, ms, next_event, renewed, text, told};
use crate::world::{Fate, LATENCY, NAME, Node, TTL, World};

/// The reason of the loss, and when the holder told of it.
async fn loss(world: &World, node: &Node) -> (LostReason, MonoTime) {
    let mut events = node.lease.events();
    let reason = next_event(&mut events, "a loss", 2 * TTL, |event| match event {
        Event::Lost { reason, .. } => Some(reason.clone()),
        _ => None,
    })
    .await;
    let at = world.mono();
    assert!(!node.lease.check_alive());
    (reason, at)
}

/// One that has just renewed, with an empty log.
async fn holding(world: &World, identity: &str) -> Node {
    let node = world.holder(identity);
    let mut events = node.lease.events();
    assert_eq!(node.lease.acquire().await, Ok(true));
    renewed(&mut events, TTL).await;
    node.log.clear();
    node
}

#[tokio::test(start_paused = true)]
async fn c9_a_renewal_every_interval_moves_renew_time_on() {
    for (interval, config) in
        [(TTL / 3, World::config("a")), (ms(250), World::config("a").renew_interval(ms(250)))]
    {
        let world = World::new();
        let node = world.spawn(config);
        assert_eq!(node.lease.config().renew_interval(), interval, "ttl / 3 unless it is said");
        assert_eq!(node.lease.acquire().await, Ok(true));
        let acquired = node.log.all().last().unwrap().sent;
        let first = world.object();
        node.log.clear();
        let mut last = text(&first, "/spec/renewTime").to_owned();
        for renewal in 1..=20 {
            sleep(interval).await;
            let object = world.object();
            let now = text(&object, "/spec/renewTime").to_owned();
            assert!(now > last, "renewal {renewal}: {now} after {last}");
            assert_six_fraction_digits(&now);
            last = now;
            for constant in ["acquireTime", "holderIdentity", "leaseTransitions", "leaseDurationSeconds"] {
                assert_eq!(object["spec"][constant], first["spec"][constant], "{constant}");
            }
        }
        // Deviation: one conditional PUT, without the GET.
        let sent = node.log.all();
        assert_eq!(sent.len(), 20, "{}", node.log.line());
        for (exchange, number) in sent.iter().zip(1..) {
            assert_eq!(exchange.method, Method::PUT);
            let late = exchange.sent.duration_since(acquired + interval * number);
            assert!(late <= ms(2) * number, "renewal {number} is {late:?} late");
            let body: serde_json::Value = serde_json::from_slice(&exchange.body).unwrap();
            assert_eq!(body["metadata"]["uid"], first["metadata"]["uid"]);
            assert_ne!(text(&body, "/metadata/resourceVersion"), "", "conditional");
        }
        assert!(node.lease.check_alive());
    }
}

#[tokio::test(start_paused = true)]
async fn c12_lost_when_a_renewal_conflicts_because_someone_else_won() {
    let world = World::new();
    let node = holding(&world, "a").await;
    let losses = Losses::of(&node.lease);
    world.server(|server| server.edit(&json!({ "spec": { "holderIdentity": "b" } })));
    let (reason, _) = loss(&world, &node).await;
    assert!(matches!(&reason, LostReason::TakenOver { by: Some(by) } if by.as_str() == "b"), "{reason:?}");
    // Deviation: after one read that shows it.
    assert_eq!(node.log.line(), "PUT 409, GET 200");
    assert_eq!(losses.one(TTL).await, reason);
    sleep(10 * TTL).await;
    assert_eq!(node.log.line(), "PUT 409, GET 200", "it asks no more");
    assert_eq!(world.object()["spec"]["holderIdentity"], "b");
}

/// Deviation: somebody who edits metadata wins nothing.
#[tokio::test(start_paused = true)]
async fn c12_a_conflict_with_a_metadata_edit_is_not_a_loss() {
    let world = World::new();
    let node = holding(&world, "a").await;
    let losses = Losses::of(&node.lease);
    let mut events = node.lease.events();
    world.server(|server| server.edit(&json!({ "metadata": { "labels": { "by": "somebody" } } })));
    renewed(&mut events, TTL).await;
    assert_eq!(node.log.line(), "PUT 409, GET 200, PUT 200");
    assert_eq!(world.object()["metadata"]["labels"]["by"], "somebody");
    sleep(5 * TTL).await;
    assert!(node.lease.check_alive());
    assert_eq!(losses.all(), []);
}

#[tokio::test(start_paused = true)]
async fn c13_lost_when_someone_deleted_the_object() {
    let world = World::new();
    let node = holding(&world, "a").await;
    world.server(|server| server.delete());
    assert_eq!(loss(&world, &node).await.0, LostReason::Deleted);
    // Deviation: API servers answer 409 to such a PUT.
    assert_eq!(node.log.line(), "PUT 409, GET 404");
    sleep(10 * TTL).await;
    assert!(world.find().is_none(), "it is not made again");
}

fn not_found(names: &str) -> Response<Bytes> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404, "reason": "NotFound",
        "message": format!("leases.coordination.k8s.io \"{names}\" not found"),
        "details": { "name": names, "group": "coordination.k8s.io", "kind": "leases" },
    });
    Response::builder().status(404).body(body.to_string().into()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn c13_a_404_to_a_renewal_is_believed_after_a_read() {
    for deleted in [true, false] {
        let world = World::new();
        let node = holding(&world, "a").await;
        if deleted {
            world.server(|server| server.delete());
        }
        // The page's server says 404 to a PUT, once; a proxy can say it, too.
        let mut said = false;
        node.line.hook(move |_, request| {
            let first = request.method() == Method::PUT && !std::mem::replace(&mut said, true);
            if first { Fate::Answer(not_found(NAME)) } else { Fate::Deliver }
        });
        if deleted {
            assert_eq!(loss(&world, &node).await.0, LostReason::Deleted);
            assert_eq!(node.log.line(), "PUT 404, GET 404");
        } else {
            let token = node.lease.held().unwrap().token;
            sleep(5 * TTL).await;
            assert!(node.log.line().starts_with("PUT 404, GET 200, PUT 200"), "{}", node.log.line());
            assert_eq!(node.lease.held().map(|held| held.token), Some(token), "the object is there: no loss");
        }
    }
}

/// When the last write that was answered with success was sent.
fn last_confirmed(node: &Node) -> Instant {
    let all = node.log.all();
    all.iter().rev().find(|exchange| exchange.status.is_some_and(|status| status < 300)).unwrap().sent
}

#[tokio::test(start_paused = true)]
async fn c14_lost_when_network_errors_outlast_the_retries_of_a_renewal() {
    let world = World::new();
    let node = holding(&world, "a").await;
    let losses = Losses::of(&node.lease);
    let until = node.lease.held().unwrap().until;
    node.line.hook(|_, _| Fate::Refuse);
    let (reason, at) = loss(&world, &node).await;
    assert_eq!(reason, LostReason::Expired { last: Some(Problem::Transport) });
    // Deviation: the budget is not a number, it ends with the term.
    assert!(at >= until && at.saturating_since(until) <= ms(2), "{at:?}, {until:?}");
    let tries = node.log.all();
    assert!(tries.len() > 3, "{}", node.log.line());
    let gaps: Vec<_> = tries.windows(2).map(|pair| pair[1].sent - pair[0].sent).collect();
    let longest = node.lease.config().renew_interval() + ms(10);
    assert!(gaps.iter().all(|gap| *gap <= longest), "{gaps:?}");
    let last = world.clock.reading(tries.last().unwrap().sent);
    assert!(
        until.saturating_since(last) <= node.lease.config().request_timeout(),
        "one was left for the end"
    );
    assert_eq!(losses.one(TTL).await, reason);

    // Errors that do not outlast it cost nothing.
    node.line.mend();
    let mut events = node.lease.events();
    assert_eq!(node.lease.acquire().await, Ok(true));
    let mut failing = 2;
    node.line.hook(move |_, _| {
        failing -= 1;
        if failing >= 0 { Fate::Refuse } else { Fate::Deliver }
    });
    renewed(&mut events, TTL).await;
    assert!(node.lease.check_alive());
    assert_eq!(losses.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c15_lost_when_the_server_is_unreachable_for_longer_than_the_ttl() {
    let world = World::new();
    // The last renewal before the outage is the one that counts, wherever in the interval the outage begins.
    for delay in [0, 1, 333, 700, 980] {
        let node = holding(&world, &format!("a{delay}")).await;
        let losses = Losses::of(&node.lease);
        let mut events = node.lease.events();
        renewed(&mut events, TTL).await;
        sleep(ms(delay)).await;
        let emitted = last_confirmed(&node);
        node.line.cut();
        // Deviation: never later than ttl - margin after the last confirmed write was sent.
        let validity = node.lease.config().validity();
        assert_eq!(validity, TTL - TTL / 10);
        let until = world.clock.reading(emitted + validity);
        assert_eq!(node.lease.held().unwrap().until, until, "counted from the emission, not from the answer");
        world.sleep_until(until.saturating_sub(ms(1))).await;
        assert!(node.lease.check_alive());
        assert_eq!(losses.all(), []);
        world.sleep_until(until).await;
        assert!(!node.lease.check_alive());
        let reason = losses.one(ms(10)).await;
        assert_eq!(reason, LostReason::Expired { last: Some(Problem::Timeout) });
        // Nobody else gets it before.
        let record = world.object();
        assert_eq!(record["spec"]["holderIdentity"], format!("a{delay}"));
        node.line.mend();
        let _ = node.lease.acquire().await;
        let _ = node.lease.shutdown().await;
    }
}

/// A shorter outage costs nothing, and neither does a renewal whose answer got lost.
#[tokio::test(start_paused = true)]
async fn c15_a_shorter_outage_costs_nothing() {
    let world = World::new();
    let node = holding(&world, "a").await;
    let losses = Losses::of(&node.lease);
    let token = node.lease.held().unwrap().token;
    let outage: Duration = ms(1500);
    node.line.cut();
    sleep(outage).await;
    assert!(node.lease.check_alive());
    node.line.mend();
    sleep(5 * TTL).await;
    let mut lost = 3;
    node.line.hook(move |_, request| {
        let lose = request.method() == Method::PUT && lost > 0;
        lost -= i32::from(lose);
        if lose { Fate::LoseAnswer } else { Fate::Deliver }
    });
    sleep(5 * TTL).await;
    let mut events = node.lease.events();
    sleep(TTL + LATENCY).await;
    assert!(told(&mut events).await.iter().any(|event| matches!(event, Event::Renewed { .. })));
    assert_eq!(node.lease.held().map(|held| held.token), Some(token));
    assert_eq!(losses.all(), []);
}
