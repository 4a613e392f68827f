//! Commands: what they answer, who joins whom, and what dropping their futures does. In memory, in virtual time.
#![allow(clippy::unwrap_used)]

mod handle_support;

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_test_free::poll_once;
use handle_support::{Fate, TTL, VALIDITY, World, settle};
use http::Method;
use lease_tokio::{
    AcquireError, Attempt, Event, Failure, Lease, Problem, ReleaseOutcome, SetupError, Stopped, Transport,
};
use tokio::time::{Instant, sleep};

/// The one helper that a crate of futures would be needed for.
mod futures_test_free {
    use super::*;

    pub(crate) async fn poll_once<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    }
}

fn sendable<T: Send + Sync + Clone + 'static>(_: &T) {}

#[tokio::test(start_paused = true)]
async fn acquire_hold_release() {
    let world = World::new();
    let lease = world.lease("a");
    sendable(&lease);
    assert!(!lease.check_alive());
    assert_eq!(lease.acquire().await, Ok(true));
    assert!(lease.check_alive());
    let held = lease.held().unwrap();
    assert_eq!(lease.time_until(held.until), VALIDITY);
    assert_eq!(lease.acquire_with_token().await, Ok(Attempt::Acquired(held.token)));
    assert_eq!(world.requests(), [Method::GET, Method::POST]);

    sleep(TTL * 4).await;
    assert!(lease.check_alive());
    assert_eq!(world.puts().len(), 11, "one each 5 s, none at 60 s yet: {:?}", world.puts());
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    assert!(!lease.check_alive());
    assert_eq!(world.holder(), None);
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Nothing));

    assert_eq!(lease.acquire().await, Ok(true));
    assert!(lease.held().unwrap().token > held.token);
}

#[tokio::test(start_paused = true)]
async fn a_live_other_is_told() {
    let world = World::new();
    let (a, b) = (world.lease("a"), world.lease("b"));
    assert_eq!(a.acquire().await, Ok(true));
    assert_eq!(b.acquire().await, Ok(false));
    let Ok(Attempt::Denied(denial)) = b.acquire_with_token().await else { panic!("b got it") };
    assert_eq!(denial.holder.as_ref().map(|holder| holder.as_str()), Some("a"));
    assert!(b.time_until(denial.retry_at) <= TTL);
    assert!(!b.check_alive());
}

#[tokio::test(start_paused = true)]
async fn campaigns_take_turns() {
    let world = World::new();
    let (a, b) = (world.lease("a"), world.lease("b"));
    let first = a.campaign().await.unwrap();
    let rival = b.clone();
    let second = tokio::spawn(async move { rival.campaign().await });
    sleep(TTL * 3).await;
    assert!(a.check_alive() && !b.check_alive() && !second.is_finished());
    a.release().await.unwrap();
    let second = second.await.unwrap().unwrap();
    assert!(second > first && b.check_alive() && !a.check_alive());
    assert_eq!(b.campaign().await, Ok(second), "already held");
}

#[tokio::test(start_paused = true)]
async fn attempts_that_overlap_are_one() {
    let world = World::new();
    world.all(Fate::Delay(Duration::from_millis(100)));
    let lease = world.lease("a");
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let lease = lease.clone();
            tokio::spawn(async move { lease.acquire_with_token().await })
        })
        .collect();
    let campaign = tokio::spawn({
        let lease = lease.clone();
        async move { lease.campaign().await }
    });
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap().unwrap());
    }
    answers.dedup();
    assert_eq!(answers, [Attempt::Acquired(lease.held().unwrap().token)]);
    assert_eq!(campaign.await.unwrap(), Ok(lease.held().unwrap().token));
    assert_eq!(world.requests(), [Method::GET, Method::POST]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_acquire_goes_on() {
    let world = World::new();
    world.all(Fate::Delay(Duration::from_millis(100)));
    let lease = world.lease("a");
    {
        let mut attempt = pin!(lease.acquire());
        assert!(poll_once(&mut attempt).await.is_pending());
    }
    assert!(world.requests().is_empty(), "the driver has not run yet");
    sleep(Duration::from_secs(1)).await;
    assert!(lease.check_alive());
    sleep(TTL * 2).await;
    assert!(lease.check_alive(), "and is renewed");

    let unpolled = lease.acquire();
    drop(unpolled);
}

#[tokio::test(start_paused = true)]
async fn acquires_dropped_at_every_point_leave_a_working_handle() {
    for millis in (0..420).step_by(20) {
        let world = World::new();
        world.all(Fate::Delay(Duration::from_millis(100)));
        let lease = world.lease("a");
        let _ = tokio::time::timeout(Duration::from_millis(millis), lease.acquire()).await;
        let _ = tokio::time::timeout(Duration::from_millis(millis / 2), lease.release()).await;
        let _ = tokio::time::timeout(Duration::from_millis(millis / 3), lease.campaign()).await;
        let token = lease.campaign().await.unwrap();
        assert_eq!(lease.held().unwrap().token, token);
        assert_eq!(world.holder().as_deref(), Some("a"));
        lease.release().await.unwrap();
        assert_eq!(world.holder(), None, "after {millis} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_release_goes_on_even_with_the_last_handle() {
    let world = World::new();
    world.all(Fate::Delay(Duration::from_millis(100)));
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Ok(true));
    let release = lease.release();
    drop(lease);
    drop(release);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.holder(), None);
}

#[tokio::test(start_paused = true)]
async fn a_release_ends_the_term_at_the_call() {
    let world = World::new();
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Ok(true));
    let before = world.requests().len();
    let release = lease.release();
    assert!(!lease.check_alive() && lease.held().is_none(), "before anything was polled");
    assert_eq!(world.requests().len(), before, "before a byte left");
    assert_eq!(release.await, Ok(ReleaseOutcome::Confirmed));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_comes_in_does_not_undo_a_release() {
    let world = World::new();
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Ok(true));
    world.all(Fate::DelayAnswer(Duration::from_millis(500)));
    // The renewal's answer and the release are both there when the driver runs next.
    sleep(Duration::from_millis(5499)).await;
    std::thread::yield_now();
    tokio::time::advance(Duration::from_millis(1)).await;
    let release = lease.release();
    assert!(!lease.check_alive());
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(!lease.check_alive());
    }
    assert_eq!(release.await, Ok(ReleaseOutcome::Confirmed));
}

#[tokio::test(start_paused = true)]
async fn a_release_cancels_an_acquire() {
    let world = World::new();
    world.all(Fate::Delay(Duration::from_millis(100)));
    let lease = world.lease("a");
    let attempt = tokio::spawn({
        let lease = lease.clone();
        async move { lease.acquire().await }
    });
    // The GET is answered, the POST is under way.
    sleep(Duration::from_millis(150)).await;
    assert_eq!(world.requests(), [Method::GET, Method::POST]);
    let release = lease.release();
    assert_eq!(attempt.await.unwrap(), Err(AcquireError::Cancelled));
    release.await.unwrap();
    assert!(!lease.check_alive());
    assert_eq!(world.holder(), None);
}

#[tokio::test(start_paused = true)]
async fn an_acquire_during_a_release_waits_for_it() {
    let world = World::new();
    world.all(Fate::Delay(Duration::from_millis(100)));
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Ok(true));
    let first = lease.release();
    let second = lease.release();
    assert_eq!(lease.acquire().await, Ok(true));
    assert_eq!(first.await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(second.await, Ok(ReleaseOutcome::Confirmed), "one answer serves both");
    assert!(lease.check_alive());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_stops_the_other_handles() {
    let world = World::new();
    world.all(Fate::Delay(Duration::from_millis(100)));
    let lease = world.lease("a");
    let other = lease.clone();
    let mut events = lease.events();
    assert_eq!(lease.acquire().await, Ok(true));
    let shutdown = lease.shutdown();
    let joined = other.release();
    assert!(!other.check_alive());
    assert_eq!(shutdown.await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(joined.await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(world.holder(), None);
    assert_eq!(other.acquire().await, Err(AcquireError::Stopped));
    assert_eq!(other.campaign().await, Err(AcquireError::Stopped));
    assert_eq!(other.release().await, Err(Stopped));
    drop(other);
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert_eq!(last, Some(Event::ReleaseEnded { outcome: ReleaseOutcome::Confirmed }));
}

#[tokio::test(start_paused = true)]
async fn trouble_is_told_with_its_cause() {
    let world = World::new();
    world.all(Fate::Fail(Failure::NotSent));
    let lease = world.lease("a");
    assert_eq!(lease.last_transport_error(), None);
    assert_eq!(lease.acquire().await, Err(AcquireError::Remote(Problem::Transport)));
    assert_eq!(lease.last_transport_error().as_deref(), Some("the request could not be sent: made to fail"));

    world.all(Fate::Status(401));
    assert_eq!(lease.acquire().await, Err(AcquireError::Remote(Problem::Unauthorized)));
    assert_eq!(world.refreshes(), 1, "fresh credentials once");
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_panics_is_a_request_without_a_response() {
    let world = World::new();
    let mut first = true;
    world.script(move |_| if std::mem::take(&mut first) { Fate::Panic } else { Fate::Answer });
    let lease = world.lease("a");
    let start = Instant::now();
    assert_eq!(lease.acquire().await, Ok(true));
    assert!(start.elapsed() < Duration::from_secs(1), "told at once, not found by a time-out");
    assert_eq!(world.requests(), [Method::GET, Method::GET, Method::POST]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_given_up_in_time() {
    let world = World::new();
    world.all(Fate::Hang);
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Err(AcquireError::Remote(Problem::Timeout)));
    let mut hang = true;
    world.script(move |request| match *request.method() {
        Method::POST if std::mem::take(&mut hang) => Fate::HangAfter,
        _ => Fate::Answer,
    });
    assert_eq!(lease.acquire().await, Ok(true), "the POST that nobody answered is found by a read");
}

#[tokio::test(start_paused = true)]
async fn slow_readers_of_events_are_told_what_they_missed() {
    let world = World::new();
    let lease = world.lease("a");
    let mut slow = lease.events();
    assert_eq!(lease.acquire().await, Ok(true));
    sleep(TTL * 200).await;
    assert!(slow.next().await.is_some());
    assert!(slow.missed() > 300, "{}", slow.missed());

    let mut quick = lease.events();
    lease.release().await.unwrap();
    assert!(matches!(quick.next().await, Some(Event::Released { .. })));
    assert_eq!(quick.missed(), 0);
}

#[test]
fn without_a_runtime_there_is_a_typed_error() {
    let spawn = || {
        let config = World::config("a");
        Lease::builder(config).transport(Nobody).spawn()
    };
    assert!(matches!(spawn(), Err(SetupError::NoRuntime)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(matches!(runtime.block_on(async { spawn() }), Err(SetupError::NoTimers)));
}

struct Nobody;

impl Transport for Nobody {
    fn send(
        &self,
        _call: lease_tokio::Call,
    ) -> lease_tokio::BoxFuture<'_, Result<http::Response<bytes::Bytes>, lease_tokio::SendError>> {
        Box::pin(async { Err(Failure::NotSent.into()) })
    }

    fn refresh_credentials(&self) -> lease_tokio::BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

#[tokio::test(start_paused = true)]
async fn debug_output_says_who_and_whether() {
    let world = World::new();
    let lease = world.lease("a");
    settle().await;
    let text = format!("{lease:?}");
    assert!(text.contains("\"job\"") && text.contains("held: None"), "{text}");
}
