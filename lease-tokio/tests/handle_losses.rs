//! Losses: who hears of them, when, and what stops. In memory, in virtual time.
#![allow(clippy::unwrap_used)]

mod handle_support;

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use handle_support::{Fate, TTL, VALIDITY, World, settle};
use lease_tokio::{Event, Failure, Interrupted, LostReason, ReleaseOutcome, Seed};
use tokio::time::{Instant, sleep, timeout};

/// A handler that writes down what it hears.
fn listener() -> (Arc<Mutex<Vec<LostReason>>>, impl FnMut(&LostReason) + Send + 'static) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&heard);
    (heard, move |reason: &LostReason| writer.lock().unwrap().push(reason.clone()))
}

/// Handlers run on threads for blocking work: virtual time stands still until they are done.
async fn handlers_ran() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn every_handler_hears_the_reason_once() {
    let world = World::new();
    let lease = world.lease("a");
    let (first, handler) = listener();
    let _first = lease.on_lost(handler);
    let (second, handler) = listener();
    let _second = lease.on_lost(handler);
    assert_eq!(lease.acquire().await, Ok(true));
    world.take_over("b");
    sleep(TTL).await;
    assert!(!lease.check_alive());
    for heard in [first, second] {
        let heard = heard.lock().unwrap();
        assert!(
            matches!(&heard[..], [LostReason::TakenOver { by: Some(by) }] if by.as_str() == "b"),
            "{heard:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_hear_nothing_of_a_release() {
    let world = World::new();
    let lease = world.lease("a");
    let (heard, handler) = listener();
    let _kept = lease.on_lost(handler);
    for _ in 0..3 {
        assert_eq!(lease.acquire().await, Ok(true));
        sleep(TTL).await;
        assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    }
    world.all(Fate::Hang);
    let _ = lease.acquire().await;
    let _ = lease.release().await;
    lease.shutdown().await.unwrap();
    sleep(TTL * 2).await;
    assert!(heard.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_handler_is_unregistered_by_itself() {
    let world = World::new();
    let lease = world.lease("a");
    let mut all = Vec::new();
    let mut register = || {
        let (heard, handler) = listener();
        all.push(heard);
        lease.on_lost(handler)
    };
    let dropped = register();
    let unregistered = register();
    let forgotten = register();
    let kept = register();
    drop(dropped);
    unregistered.unregister();
    forgotten.forget();
    for losses in 1..=2 {
        assert_eq!(lease.acquire().await, Ok(true));
        world.delete();
        assert_eq!(lease.lost().await, LostReason::Deleted);
        handlers_ran().await;
        let counts: Vec<_> = all.iter().map(|heard| heard.lock().unwrap().len()).collect();
        assert_eq!(counts, [0, 0, losses, losses]);
    }
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_unregister_itself_and_ask_the_lease() {
    let world = World::new();
    let lease = world.lease("a");
    let slot = Arc::new(Mutex::new(None));
    let calls = Arc::new(AtomicU64::new(0));
    let subscription = lease.on_lost({
        let (slot, calls, lease) = (Arc::clone(&slot), Arc::clone(&calls), lease.clone());
        move |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            assert!(!lease.check_alive());
            drop(slot.lock().unwrap().take());
        }
    });
    *slot.lock().unwrap() = Some(subscription);
    for _ in 0..2 {
        assert_eq!(lease.acquire().await, Ok(true));
        world.delete();
        lease.lost().await;
        handlers_ran().await;
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_hurts_nobody() {
    let world = World::new();
    let lease = world.lease("a");
    let calls = Arc::new(AtomicU64::new(0));
    let _panics = lease.on_lost({
        let calls = Arc::clone(&calls);
        move |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            panic!("made to panic");
        }
    });
    let (heard, handler) = listener();
    let _hears = lease.on_lost(handler);
    for losses in 1..=2 {
        assert_eq!(lease.acquire().await, Ok(true));
        world.delete();
        lease.lost().await;
        handlers_ran().await;
        assert_eq!(heard.lock().unwrap().len(), losses);
        assert_eq!(calls.load(Ordering::SeqCst), losses as u64, "it is called again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_delays_nobody() {
    let world = World::new();
    let lease = world.lease("a");
    let (let_go, hangs) = mpsc::channel::<()>();
    let _hangs = lease.on_lost(move |_| {
        let _ = hangs.recv();
    });
    let (heard, handler) = listener();
    let _hears = lease.on_lost(handler);
    assert_eq!(lease.acquire().await, Ok(true));
    world.delete();
    lease.lost().await;
    assert_eq!(lease.acquire().await, Ok(true), "while the handler hangs");
    // Time does not go on by itself while a thread for blocking work is busy.
    for _ in 0..30 {
        tokio::time::advance(Duration::from_secs(1)).await;
        settle().await;
        assert!(lease.check_alive(), "renewals go on");
    }
    assert_eq!(heard.lock().unwrap().len(), 1);
    drop(let_go);
}

#[tokio::test(start_paused = true)]
async fn lost_waits_for_the_current_term() {
    let world = World::new();
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Ok(true));
    let lost = lease.lost();
    assert!(timeout(TTL * 3, lease.lost()).await.is_err());
    world.take_over("b");
    assert!(matches!(lost.await, LostReason::TakenOver { .. }));
}

#[tokio::test(start_paused = true)]
async fn lost_misses_nothing_between_acquire_and_await() {
    let world = World::new();
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Ok(true));
    world.delete();
    sleep(TTL).await;
    assert_eq!(timeout(TTL, lease.lost()).await, Ok(LostReason::Deleted), "the loss came first");

    // Created while held, polled only after that term was lost and the next one began.
    assert_eq!(lease.acquire().await, Ok(true));
    let lost = lease.lost();
    world.delete();
    sleep(TTL).await;
    assert_eq!(lease.acquire().await, Ok(true));
    assert_eq!(lost.await, LostReason::Deleted);
    assert!(lease.check_alive());

    // After a release there is nothing to be told: it is the next term's loss.
    lease.release().await.unwrap();
    let lost = lease.lost();
    let mut lost = std::pin::pin!(lost);
    assert!(timeout(TTL, &mut lost).await.is_err());
    assert_eq!(lease.acquire().await, Ok(true));
    assert!(timeout(TTL, &mut lost).await.is_err());
    lease.release().await.unwrap();
    assert!(timeout(TTL, &mut lost).await.is_err(), "a release is no loss");
    assert_eq!(lease.acquire().await, Ok(true));
    world.delete();
    assert_eq!(lost.await, LostReason::Deleted);

    // A whole term goes by between two polls.
    lease.acquire().await.unwrap();
    lease.release().await.unwrap();
    let lost = lease.lost();
    assert_eq!(lease.acquire().await, Ok(true));
    world.delete();
    sleep(TTL).await;
    assert_eq!(lease.acquire().await, Ok(true));
    assert_eq!(timeout(TTL, lost).await, Ok(LostReason::Deleted));
}

#[tokio::test(start_paused = true)]
async fn a_campaign_goes_on_after_a_loss_and_every_loss_is_seen() {
    let world = World::new();
    let lease = world.lease("a");
    let (heard, handler) = listener();
    let _kept = lease.on_lost(handler);
    let mut last = lease.campaign().await.unwrap();
    for losses in 1..=5 {
        let lost = lease.lost();
        world.delete();
        assert_eq!(lost.await, LostReason::Deleted);
        let token = lease.campaign().await.unwrap();
        assert!(token > last);
        last = token;
        handlers_ran().await;
        assert_eq!(heard.lock().unwrap().len(), losses);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_ends_the_term_by_the_clock() {
    let world = World::new();
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Ok(true));
    let until = lease.held().unwrap().until;
    world.all(Fate::Fail(Failure::Unknown));
    let start = Instant::now();
    let reason = lease.lost().await;
    assert!(matches!(reason, LostReason::Expired { last: Some(_) }), "{reason:?}");
    assert!(start.elapsed() >= VALIDITY && start.elapsed() < VALIDITY + Duration::from_millis(5));
    assert_eq!(lease.time_until(until), Duration::ZERO);
    assert!(!lease.check_alive());
}

#[tokio::test(start_paused = true)]
async fn work_runs_while_the_lease_is_held() {
    let world = World::new();
    let lease = world.lease("a");
    let never = lease.while_held(async { panic!("must not run") });
    assert_eq!(never.await, Err(Interrupted::NotHeld));

    assert_eq!(lease.acquire().await, Ok(true));
    let done = lease.while_held(async {
        sleep(TTL * 3).await;
        7
    });
    assert_eq!(done.await, Ok(7));
    assert!(lease.check_alive(), "nothing is released");
}

#[tokio::test(start_paused = true)]
async fn work_with_a_token_runs_in_its_own_term_only() {
    let world = World::new();
    let lease = world.lease("a");
    let first = lease.acquire_with_token().await.unwrap().token().unwrap();
    assert_eq!(lease.while_held_with_token(first, async { 7 }).await, Ok(7));
    lease.release().await.unwrap();
    let second = lease.acquire_with_token().await.unwrap().token().unwrap();
    let stale = lease.while_held_with_token(first, async { panic!("must not run") });
    assert_eq!(stale.await, Err(Interrupted::NotHeld));
    assert_eq!(lease.while_held_with_token(second, async { 8 }).await, Ok(8));
}

/// Tells when it is dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn endless(dropped: &Arc<AtomicBool>) -> impl Future<Output = ()> + use<> {
    let guard = Guard(Arc::clone(dropped));
    async move {
        let _guard = guard;
        pending::<()>().await;
    }
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_when_the_lease_is_lost_or_released() {
    let world = World::new();
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Ok(true));
    let dropped = Arc::new(AtomicBool::new(false));
    let work = tokio::spawn({
        let (lease, work) = (lease.clone(), endless(&dropped));
        async move { lease.while_held(work).await }
    });
    sleep(TTL).await;
    assert!(!dropped.load(Ordering::SeqCst));
    world.take_over("b");
    let Err(Interrupted::Lost(LostReason::TakenOver { by })) = work.await.unwrap() else {
        panic!("not interrupted by the loss")
    };
    assert_eq!(by.unwrap().as_str(), "b");
    assert!(dropped.load(Ordering::SeqCst));

    world.delete();
    assert_eq!(lease.acquire().await, Ok(true));
    let dropped = Arc::new(AtomicBool::new(false));
    let mut work = std::pin::pin!(lease.while_held(endless(&dropped)));
    assert!(timeout(TTL, &mut work).await.is_err());
    world.all(Fate::Hang); // The API server never hears of it.
    let start = Instant::now();
    let _release = lease.release();
    assert_eq!(work.await, Err(Interrupted::Released));
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn work_is_not_polled_after_the_deadline_even_if_the_driver_is_late() {
    let world = World::new();
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Ok(true));
    let polls = Arc::new(AtomicU64::new(0));
    let counted = {
        let (world, lease, polls) = (world.clone(), lease.clone(), Arc::clone(&polls));
        std::future::poll_fn(move |context| {
            assert!(lease.check_alive(), "polled after the deadline");
            // The machine is suspended in the midst of it: the driver gets no chance to notice.
            if polls.fetch_add(1, Ordering::SeqCst) == 3 {
                world.suspend(TTL * 100);
            }
            context.waker().wake_by_ref();
            std::task::Poll::<()>::Pending
        })
    };
    let interrupted = lease.while_held(counted).await;
    assert!(matches!(interrupted, Err(Interrupted::Lost(LostReason::Expired { .. }))), "{interrupted:?}");
    assert_eq!(polls.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_suspend_is_noticed_within_a_second_of_waking() {
    let world = World::new();
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Ok(true));
    sleep(Duration::from_millis(200)).await;
    let (lost, mut events) = (lease.lost(), lease.events());
    world.suspend(TTL * 100);
    assert!(!lease.check_alive(), "at once");
    let start = Instant::now();
    assert!(matches!(events.next().await, Some(Event::Lost { .. })), "the driver has noticed");
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(matches!(lost.await, LostReason::Expired { .. }));
}

#[tokio::test(start_paused = true)]
async fn two_processes_with_one_name_are_told_apart() {
    let world = World::new();
    let first = world.lease("a");
    assert_eq!(first.acquire().await, Ok(true));
    let second = world.builder("a").seed(Seed(99)).spawn().unwrap();
    assert_eq!(second.acquire().await, Ok(true), "we restarted, as far as the second can know");
    assert_eq!(first.lost().await, LostReason::Twin);
    assert_eq!(first.acquire().await, Ok(false), "and it is not stolen back");
}
