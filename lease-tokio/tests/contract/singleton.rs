//! C3: what it is all for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use lease_tokio::{FencingToken, Lease};
use serde_json::json;
use tokio::time::sleep;

use crate::support::{eventually, ms, until};
use crate::world::{Node, TTL, World};

#[derive(Default)]
struct Work {
    running: AtomicUsize,
    most: AtomicUsize,
    steps: AtomicUsize,
    /// Steps that were begun after the term.
    late: AtomicUsize,
}

/// Counts who is at work, however the work ends.
struct AtWork(Arc<Work>);

impl AtWork {
    fn begin(work: &Arc<Work>) -> Self {
        let running = work.running.fetch_add(1, Ordering::SeqCst) + 1;
        work.most.fetch_max(running, Ordering::SeqCst);
        Self(Arc::clone(work))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A process of the singleton: whenever it holds the lease it works, and only then.
async fn singleton(lease: Lease, work: Arc<Work>) {
    while lease.campaign().await.is_ok() {
        let shift = async {
            let _at_work = AtWork::begin(&work);
            loop {
                if !lease.check_alive() {
                    work.late.fetch_add(1, Ordering::SeqCst);
                }
                work.steps.fetch_add(1, Ordering::SeqCst);
                sleep(ms(10)).await;
            }
        };
        // Ends with the term. `()` would be the work's own end.
        let _: Result<(), _> = lease.while_held(shift).await;
        // Whatever goes wrong, time passes, so that the test ends.
        sleep(ms(1)).await;
    }
}

fn holder(nodes: &[Node]) -> Option<(usize, FencingToken)> {
    let alive: Vec<_> =
        nodes.iter().enumerate().filter_map(|(at, node)| Some((at, node.lease.held()?.token))).collect();
    assert!(alive.len() <= 1, "two believe at once: {alive:?}");
    alive.first().copied()
}

/// Of three processes exactly one runs the work: through releases, crashes of the network, deletes of nobody's
/// record, and a long quiet time.
#[tokio::test(start_paused = true)]
async fn c3_of_three_holders_exactly_one_runs_the_work() {
    let world = World::new();
    let nodes: Vec<_> = ["a", "b", "c"].map(|name| world.holder(name)).into();
    let work = Arc::new(Work::default());
    for node in &nodes {
        tokio::spawn(singleton(node.lease.clone(), Arc::clone(&work)));
    }
    let mut last = FencingToken::from_u64(0);
    for turn in 0..30_u64 {
        let (at, token) = eventually("somebody holds", 4 * TTL, || std::future::ready(holder(&nodes))).await;
        assert!(token > last, "tokens grow with every term: {last}, {token}");
        last = token;
        assert_eq!(world.object()["spec"]["holderIdentity"], ["a", "b", "c"][at]);
        let before = work.steps.load(Ordering::SeqCst);
        // Works for a while, and nobody else does.
        for _ in 0..200 {
            sleep(ms(7 + turn)).await;
            assert_eq!(holder(&nodes), Some((at, token)));
        }
        assert!(work.steps.load(Ordering::SeqCst) > before + 50, "turn {turn}: it runs");
        match turn % 3 {
            0 => {
                nodes[at].lease.release().await.unwrap();
            }
            1 => {
                nodes[at].line.cut();
                until("the term ran out", TTL, || nodes[at].lease.held().is_none()).await;
                // Timers are good for a millisecond.
                sleep(ms(2)).await;
                assert_eq!(work.running.load(Ordering::SeqCst), 0, "stopped in time");
                // Back only after another has it.
                until("another holds", 3 * TTL, || holder(&nodes).is_some()).await;
                nodes[at].line.mend();
            }
            // Somebody takes the record away for a process that is none of us, and that dies with it.
            _ => world.server(|server| {
                server.edit(&json!({ "spec": { "holderIdentity": "stranger" } }));
            }),
        }
        until("that term is over", 2 * TTL, || nodes[at].lease.held().is_none_or(|held| held.token > token))
            .await;
    }
    assert_eq!(work.most.load(Ordering::SeqCst), 1, "never two at work");
    assert_eq!(work.late.load(Ordering::SeqCst), 0, "nobody begins a step without the lease");
}

/// Optimistic concurrency arbitrates: of those who saw the same state one write wins.
#[tokio::test(start_paused = true)]
async fn c3_simultaneous_writes_have_one_winner() {
    for existing in [false, true] {
        let world = World::new();
        if existing {
            world.server(|server| server.create(&json!({})));
        }
        let nodes: Vec<_> = ["a", "b", "c", "d"].map(|name| world.holder(name)).into();
        let attempts = nodes.iter().map(|node| {
            let lease = node.lease.clone();
            tokio::spawn(async move { lease.acquire().await })
        });
        let mut won = 0;
        for attempt in attempts.collect::<Vec<_>>() {
            won += usize::from(attempt.await.unwrap() == Ok(true));
        }
        assert_eq!(won, 1);
        assert!(holder(&nodes).is_some());
        // They did collide: everybody wrote, on the strength of the same read.
        let write = if existing { Method::PUT } else { Method::POST };
        for node in &nodes {
            assert_eq!(node.log.count(&write), 1, "{}", node.log.line());
        }
        let conflicts = nodes.iter().filter(|node| node.log.line().contains(" 409")).count();
        assert_eq!(conflicts, 3);
    }
}

/// A paused process does not write over its successor when it wakes up.
#[tokio::test(start_paused = true)]
async fn c3_a_late_renewal_does_not_take_the_lease_back() {
    let world = World::new();
    let (first, second) = (world.holder("a"), world.holder("b"));
    assert_eq!(first.lease.acquire().await, Ok(true));
    first.line.cut();
    tokio::spawn({
        let lease = second.lease.clone();
        async move { lease.campaign().await }
    });
    let taken = Duration::from_secs(1) + 2 * TTL;
    until("the second holds", taken, || {
        assert!(!(first.lease.check_alive() && second.lease.check_alive()), "never both");
        second.lease.check_alive()
    })
    .await;
    first.line.mend();
    assert_eq!(first.lease.acquire().await, Ok(false));
    sleep(5 * TTL).await;
    assert!(second.lease.check_alive() && !first.lease.check_alive());
    assert_eq!(world.object()["spec"]["holderIdentity"], "b");
}
