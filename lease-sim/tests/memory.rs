//! The in-memory lease: the same semantics as the adapters', on virtual time.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_core::driver::interface::Lease as AnyLease;
use lease_core::driver::{AcquireError, Attempt, BoxFuture, Clock, Runtime, Stopped};
use lease_core::{Config, DenialReason, Event, LostReason, ReleaseOutcome};
use lease_sim::memory::{Cluster, Fate, VirtualTime};

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

/// The term ended at the call of `release`; that nobody got to run before its deadline makes it no loss.
#[test]
fn a_release_that_is_heard_of_after_the_deadline_is_no_loss() {
    let cluster = Cluster::new();
    let lease = cluster.lease(config("a")).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let _kept = lease.on_lost({
        let heard = Arc::clone(&heard);
        move |reason| heard.lock().unwrap().push(reason.clone())
    });
    cluster.block_on(async {
        assert_eq!(lease.acquire().await, Ok(true));
        let mut events = lease.events();
        let release = lease.release();
        cluster.time().suspend(TTL * 2);
        // The time for telling the server was over, too.
        let outcome = release.await.unwrap();
        assert!(matches!(outcome, ReleaseOutcome::Unconfirmed { .. }), "{outcome:?}");
        let end = loop {
            if let Some(end @ (Event::Released { .. } | Event::Lost { .. })) = events.next().await {
                break end;
            }
        };
        assert!(matches!(end, Event::Released { .. }), "{end:?}");
        cluster.sleep(of_ms(1)).await;
        assert_eq!(*heard.lock().unwrap(), []);
        // One that is called when the term is over already is.
        assert_eq!(lease.acquire().await, Ok(true));
        cluster.time().suspend(TTL * 2);
        let _ = lease.release().await;
        cluster.sleep(of_ms(1)).await;
        assert_eq!(heard.lock().unwrap().len(), 1);
    });
}

/// Virtual time that has no thread for blocking work the first few times.
struct NoThreads(VirtualTime, AtomicUsize);

impl Runtime for NoThreads {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(time)
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool {
        let left = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.is_err() && self.0.spawn_blocking(work)
    }
}

#[test]
fn a_loss_that_no_thread_could_tell_is_told_when_there_is_one() {
    for driver_is_gone in [false, true] {
        let cluster = Cluster::new();
        let runtime = NoThreads(cluster.time().clone(), AtomicUsize::new(3));
        let lease = cluster.builder(config("a")).runtime(runtime).spawn().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let _kept = lease.on_lost({
            let heard = Arc::clone(&heard);
            move |reason| heard.lock().unwrap().push(reason.clone())
        });
        cluster.block_on(async {
            assert_eq!(lease.acquire().await, Ok(true));
            let lost = lease.lost();
            cluster.server().take_away();
            let kept = (!driver_is_gone).then_some(lease);
            lost.await;
            cluster.sleep(of_ms(5_000)).await;
            assert_eq!(heard.lock().unwrap().len(), 1, "driver is gone: {driver_is_gone}");
            drop(kept);
        });
    }
}

/// A handler that holds a handle, or the sending end of a channel, must not keep them when nothing is left to tell.
#[test]
fn a_holder_that_has_stopped_lets_go_of_its_handlers_and_ends_its_events() {
    let cluster = Cluster::new();
    let lease = cluster.lease(config("a")).unwrap();
    let kept = Arc::new(());
    let captured = (Arc::clone(&kept), lease.clone());
    lease.on_lost(move |_| drop(captured.clone())).forget();
    cluster.block_on(async {
        lease.acquire().await.unwrap();
        let mut events = lease.events();
        lease.clone().shutdown().await.unwrap();
        while events.next().await.is_some() {}
        assert_eq!(Arc::strong_count(&kept), 1);
        assert!(lease.events().next().await.is_none(), "nothing will ever come");
    });
}

#[test]
#[should_panic(expected = "nothing is left to run")]
fn what_can_never_be_is_said() {
    Cluster::new().block_on(std::future::pending::<()>());
}

/// A timer is handed from a task to somebody else: with its waker goes the task, and with that the task's timers.
#[test]
fn a_task_may_go_with_its_waker() {
    let time = VirtualTime::new();
    let shared = Arc::new(Mutex::new(time.sleep(of_ms(10))));
    let (theirs, second) = (Arc::clone(&shared), time.sleep(of_ms(20)));
    time.spawn(Box::pin(async move {
        std::future::poll_fn(|context| theirs.lock().unwrap().as_mut().poll(context)).await;
        second.await;
    }));
    time.block_on(async {
        time.sleep(of_ms(1)).await;
        std::future::poll_fn(|context| shared.lock().unwrap().as_mut().poll(context)).await;
    });
}
