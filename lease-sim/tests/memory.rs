//! The in-memory lease: the same semantics as the adapters', on virtual time.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_core::driver::interface::Lease as AnyLease;
use lease_core::driver::{AcquireError, Attempt, Clock, Stopped};
use lease_core::{Config, DenialReason, LostReason, ReleaseOutcome};
use lease_sim::memory::{Cluster, Fate};

const TTL: Duration = Duration::from_secs(15);

fn config(identity: &str) -> Config {
    Config::builder().namespace("default").name("job").identity(identity).ttl(TTL).build().unwrap()
}

fn of_ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn one_holds_the_other_waits_and_takes_over_after_a_release() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.lease(config("a")).unwrap(), cluster.lease(config("b")).unwrap());
    cluster.block_on(async {
        assert_eq!(a.acquire().await, Ok(true));
        let Ok(Attempt::Denied(denial)) = b.acquire_with_token().await else { panic!("not denied") };
        assert!(matches!(denial.reason, DenialReason::Held), "{denial:?}");
        cluster.sleep(Duration::from_secs(3600)).await;
        assert!(a.check_alive(), "renewed for an hour");
        assert_eq!(a.release().await, Ok(ReleaseOutcome::Confirmed));
        assert_eq!(b.acquire().await, Ok(true));
    });
}

#[test]
fn a_lost_lease_is_told_with_its_reason_through_the_one_interface() {
    let cluster = Cluster::new();
    let lease: Arc<dyn AnyLease> = Arc::new(cluster.lease(config("a")).unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let subscription = lease.on_lost({
        let heard = Arc::clone(&heard);
        Box::new(move |reason| heard.lock().unwrap().push(reason.clone()))
    });
    cluster.block_on(async {
        assert_eq!(lease.acquire().await, Ok(true));
        let lost = lease.lost();
        cluster.server().take_away();
        cluster.sleep(of_ms(13_499)).await;
        assert!(lease.check_alive(), "ttl - ttl / 10 counts from the emission of the last confirmed write");
        let reason = lost.await;
        assert!(matches!(reason, LostReason::Expired { .. }), "{reason:?}");
        assert!(!lease.check_alive());
        // The handlers are told on threads of their own, which take their turn here.
        cluster.sleep(of_ms(1)).await;
        assert_eq!(heard.lock().unwrap().len(), 1);
        subscription.unregister();
        cluster.server().bring_back();
        assert_eq!(lease.acquire().await, Ok(true));
        cluster.server().take_away();
        lease.lost().await;
        cluster.sleep(of_ms(1)).await;
        assert_eq!(heard.lock().unwrap().len(), 1, "unregistered");
    });
}

#[test]
fn a_suspended_process_knows_when_it_wakes() {
    let cluster = Cluster::new();
    let lease = cluster.lease(config("a")).unwrap();
    cluster.block_on(async {
        assert_eq!(lease.acquire().await, Ok(true));
        cluster.time().suspend(TTL);
        assert!(!lease.check_alive(), "before anything could run");
    });
}

#[test]
fn a_reply_that_is_lost_is_looked_up() {
    let cluster = Cluster::new();
    let lease = cluster.lease(config("a")).unwrap();
    let mut first_post = true;
    cluster.server().decide(move |request| {
        let lost = request.method() == http::Method::POST && std::mem::take(&mut first_post);
        if lost { Fate::ReplyLost } else { Fate::Answered }
    });
    cluster.block_on(async {
        assert_eq!(lease.acquire().await, Ok(true));
    });
}

#[test]
fn equal_tests_take_equal_time_to_the_nanosecond() {
    let run = || {
        let cluster = Cluster::new();
        let leases: Vec<_> =
            ["a", "b", "c"].iter().map(|name| cluster.lease(config(name)).unwrap()).collect();
        cluster.block_on(async {
            assert_eq!(leases[0].acquire().await, Ok(true));
            let others = (leases[1].clone(), leases[2].clone());
            drop(leases);
            let token = others.0.campaign().await.unwrap();
            (cluster.time().now().mono, token)
        })
    };
    assert_eq!(run(), run());
}

#[test]
fn shutdown_stops_the_holder() {
    let cluster = Cluster::new();
    let lease = cluster.lease(config("a")).unwrap();
    cluster.block_on(async {
        lease.acquire().await.unwrap();
        lease.clone().shutdown().await.unwrap();
        assert_eq!(lease.acquire().await, Err(AcquireError::Stopped));
        assert_eq!(lease.release().await, Err(Stopped));
    });
}

#[test]
#[should_panic(expected = "nothing is left to run")]
fn what_can_never_be_is_said() {
    Cluster::new().block_on(std::future::pending::<()>());
}
