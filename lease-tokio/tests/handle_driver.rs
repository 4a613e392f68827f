//! The task behind the handle: starved, dropped, panicked; its recorder; both flavours of runtime.
#![allow(clippy::unwrap_used)]

mod handle_support;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use handle_support::{Fate, TTL, VALIDITY, World};
use lease_core::recording::{Recording, ReplayError};
use lease_tokio::{
    AcquireError, AuthenticationSource, Config, CredentialSource, Event, Explicit, Interrupted, Lease,
    LostReason, RecorderConfig, ReleaseOutcome, Stopped,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep};

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn check_alive_is_right_while_the_driver_never_runs() {
    let runtime = paused();
    let (world, lease) = runtime.block_on(async {
        let world = World::new();
        let lease = world.lease("a");
        assert_eq!(lease.acquire().await, Ok(true));
        world.stop_the_clock();
        (world, lease)
    });
    // Nobody drives the runtime any more. The clock goes on.
    world.suspend(VALIDITY - Duration::from_nanos(1));
    assert!(lease.check_alive());
    let from_elsewhere = lease.clone();
    assert!(std::thread::spawn(move || from_elsewhere.check_alive()).join().unwrap());
    world.suspend(Duration::from_nanos(1));
    assert!(!lease.check_alive() && lease.held().is_none());
}

#[test]
fn check_alive_is_right_when_the_runtime_is_gone() {
    let runtime = paused();
    let (world, lease) = runtime.block_on(async {
        let world = World::new();
        let lease = world.lease("a");
        assert_eq!(lease.acquire().await, Ok(true));
        (world, lease)
    });
    let lost = lease.lost();
    drop(runtime);
    assert!(lease.check_alive(), "the term goes on until it runs out");
    let other = paused();
    other.block_on(async {
        assert_eq!(lease.acquire().await, Err(AcquireError::Stopped));
        assert_eq!(lease.campaign().await, Err(AcquireError::Stopped));
    });
    world.suspend(VALIDITY);
    assert!(!lease.check_alive());
    other.block_on(async {
        assert_eq!(lost.await, LostReason::Expired { last: None });
        assert_eq!(lease.release().await, Err(Stopped));
    });
}

/// An executor that knows nothing of tokio.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

#[test]
fn a_term_runs_out_for_another_executor_when_the_runtime_is_gone() {
    let runtime = paused();
    let (world, lease) = runtime.block_on(async {
        let world = World::new();
        let lease = world.lease("a");
        assert_eq!(lease.acquire().await, Ok(true));
        (world, lease)
    });
    drop(runtime);
    world.stop_the_clock();
    let moment = Duration::from_millis(5);
    world.suspend(VALIDITY - moment);
    let lost = lease.lost();
    let mut polls = 0;
    // Polled again when a timer has looked at the clock, which goes on then.
    let work = std::future::poll_fn(|_| {
        polls += 1;
        assert!(polls <= 2, "polled after the end");
        if polls == 2 {
            world.suspend(moment);
        }
        Poll::<()>::Pending
    });
    let expired = Interrupted::Lost(LostReason::Expired { last: None });
    assert_eq!(block_on(lease.while_held(work)), Err(expired));
    assert_eq!(block_on(lost), LostReason::Expired { last: None });
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_does_not_release() {
    let world = World::new();
    let lease = world.lease("a");
    let heard = Arc::new(Mutex::new(Vec::new()));
    lease
        .on_lost({
            let heard = Arc::clone(&heard);
            move |reason| heard.lock().unwrap().push(reason.clone())
        })
        .forget();
    let lost = lease.lost();
    let mut events = lease.events();
    assert_eq!(lease.acquire().await, Ok(true));
    let requests = world.requests().len();
    drop(lease);
    sleep(VALIDITY - Duration::from_millis(1)).await;
    assert_eq!(world.holder().as_deref(), Some("a"));
    assert!(heard.lock().unwrap().is_empty(), "work may still run");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(*heard.lock().unwrap(), [LostReason::Expired { last: None }], "not any more");
    assert_eq!(lost.await, LostReason::Expired { last: None });
    assert_eq!(world.requests().len(), requests, "neither renewed nor released");
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(Event::Lost { .. })), "{last:?}");

    let other = world.lease("b");
    let start = Instant::now();
    other.campaign().await.unwrap();
    assert!(start.elapsed() <= TTL + Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_panics_leaves_a_term_that_runs_out() {
    let directory = tempdir("panic");
    let world = World::new();
    let recorder = RecorderConfig::default().dump_on_panic(&directory);
    let lease = world.builder("a").recorder(recorder).spawn().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let _kept = lease.on_lost({
        let heard = Arc::clone(&heard);
        move |reason| heard.lock().unwrap().push(reason.clone())
    });
    assert_eq!(lease.acquire().await, Ok(true));
    let lost = lease.lost();
    world.panic_at_the_clock();
    sleep(Duration::from_secs(2)).await; // The driver looks at the clock every second.
    assert!(lease.check_alive());
    assert_eq!(lease.acquire().await, Err(AcquireError::Stopped));
    assert_eq!(lost.await, LostReason::Expired { last: None });
    assert!(!lease.check_alive());
    sleep(Duration::from_millis(10)).await;
    assert_eq!(*heard.lock().unwrap(), [LostReason::Expired { last: None }]);
    assert_eq!(world.holder().as_deref(), Some("a"));
    assert_eq!(files(&directory), ["lease-default-job-1700000000000000-0-panic.jsonl"]);
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_release_after_a_panic_is_no_loss() {
    let world = World::new();
    let lease = world.lease("a");
    assert_eq!(lease.acquire().await, Ok(true));
    let _kept = lease.on_lost(|reason| panic!("heard of {reason:?}"));
    world.panic_at_the_clock();
    sleep(Duration::from_secs(2)).await;
    let mut events = lease.events();
    assert_eq!(lease.release().await, Err(Stopped));
    assert!(!lease.check_alive());
    assert!(matches!(events.next().await, Some(Event::Released { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_recording_of_a_life_is_replayed_bit_for_bit() {
    let directory = tempdir("loss");
    let world = World::new();
    let recorder = RecorderConfig::default().dump_on_loss(&directory);
    let lease = world.builder("a").recorder(recorder).spawn().unwrap();
    let mut every_third = 0;
    world.script(move |_| {
        every_third += 1;
        if every_third % 3 == 0 { Fate::HangAfter } else { Fate::Delay(Duration::from_millis(30)) }
    });
    for _ in 0..3 {
        while lease.acquire().await != Ok(true) {}
        sleep(TTL * 4).await;
        lease.release().await.unwrap();
    }
    while lease.acquire().await != Ok(true) {}
    world.take_over("b");
    lease.lost().await;
    sleep(Duration::from_millis(1)).await;

    let mut file = Vec::new();
    lease.dump_recording(&mut file).unwrap();
    let recording = Recording::parse(std::str::from_utf8(&file).unwrap()).unwrap();
    assert_eq!(recording.start().config, World::config("a"));
    assert!(recording.entries().len() > 60, "{}", recording.entries().len());
    recording.replay().unwrap();

    let names = files(&directory);
    assert_eq!(names, ["lease-default-job-1700000000000000-0-loss.jsonl"]);
    let dumped = std::fs::read_to_string(directory.join(&names[0])).unwrap();
    let dumped = Recording::parse(&dumped).unwrap();
    dumped.replay().unwrap();
    let told = dumped.entries().last().unwrap().outputs().any(|output| output.contains("Lost"));
    assert!(told, "the loss is in it");
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_recorder_is_bounded_and_can_be_off() {
    let world = World::new();
    let small = world.builder("a").recorder(RecorderConfig::default().inputs(10)).spawn().unwrap();
    assert_eq!(small.acquire().await, Ok(true));
    sleep(TTL * 10).await;
    let mut file = Vec::new();
    small.dump_recording(&mut file).unwrap();
    let recording = Recording::parse(std::str::from_utf8(&file).unwrap()).unwrap();
    assert_eq!(recording.entries().len(), 10);
    assert!(matches!(recording.replay(), Err(ReplayError::Wrapped { dropped }) if dropped > 40));

    let off = world.builder("b").recorder(RecorderConfig::off()).spawn().unwrap();
    assert_eq!(off.acquire().await, Ok(false));
    let refused = off.dump_recording(std::io::sink()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn an_idle_driver_asks_for_nothing() {
    let world = World::new();
    let lease = world.lease("a");
    sleep(TTL * 1000).await;
    assert!(world.requests().is_empty());
    let mut file = Vec::new();
    lease.dump_recording(&mut file).unwrap();
    assert_eq!(Recording::parse(std::str::from_utf8(&file).unwrap()).unwrap().entries().len(), 0);
}

/// Everything once, over real HTTP and with the system's clock.
async fn a_life(server: &str) {
    let config = |identity: &str| {
        let ttl = Duration::from_secs(5);
        Config::builder().namespace("default").name("life").identity(identity).ttl(ttl).build().unwrap()
    };
    let source = || {
        let explicit = Explicit::new(server.parse().unwrap(), None, AuthenticationSource::None).unwrap();
        CredentialSource::Explicit(explicit)
    };
    let a = Lease::builder(config("a")).credentials(source()).spawn().unwrap();
    let b = Lease::builder(config("b")).credentials(source()).spawn().unwrap();
    assert_eq!(a.acquire().await, Ok(true));
    assert_eq!(b.acquire().await, Ok(false));
    let campaign = tokio::spawn({
        let b = b.clone();
        async move { b.campaign().await }
    });
    let first = a.held().unwrap().token;
    let other_thread = a.clone();
    assert!(tokio::task::spawn_blocking(move || other_thread.check_alive()).await.unwrap());
    assert_eq!(a.while_held(async { 7 }).await, Ok(7));
    assert_eq!(a.release().await, Ok(ReleaseOutcome::Confirmed));
    assert!(!a.check_alive());
    assert!(campaign.await.unwrap().unwrap() > first);
    assert_eq!(b.shutdown().await, Ok(ReleaseOutcome::Confirmed));
}

#[test]
fn both_flavours_of_the_runtime() {
    let server = lease_sim::listener::EmbeddedServer::builder().open().start().unwrap();
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        builder.enable_all().build().unwrap().block_on(a_life(&server.url()));
    }
}

fn tempdir(name: &str) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("lease-tokio-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn files(directory: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
