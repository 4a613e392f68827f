//! The handle: dropped, shared, polled elsewhere, shut down.

use std::thread;

use http::Method;
use lease_core::driver::{AcquireError, Adapter, Interrupted, Lease, Stopped};
use lease_core::{Event, LostReason, ReleaseOutcome};
use tokio::sync::oneshot;

use super::{Scene, patient};
use crate::conformance::bench::{Bench, Seen, TOKEN, bare_block_on, ms};
use crate::conformance::engine::{Case, cases};
use crate::conformance::watch::Losses;
use crate::listener::Fault;

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "lease",
        dropping_the_last_handle_does_not_release => "the term runs out by itself, and that is told",
        a_dropped_acquire_goes_on => "dropping a future cancels nothing",
        a_dropped_release_goes_on => "even together with the last handle",
        a_release_cancels_an_acquire => "and what it may have written is cleaned up",
        an_acquire_during_a_release_waits_for_it => "then it is a new term",
        a_shutdown_releases_and_leaves_nothing_behind => "no connection, although a handle is still there",
        a_handle_works_on_another_executor => "acquire, while_held, events, lost and release on a bare thread",
        nothing_that_people_read_shows_the_token => "Debug, errors and flight recordings",
    ]
}

async fn dropping_the_last_handle_does_not_release<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.brief("a");
    let losses = Losses::of(&lease);
    let (lost, mut events) = (lease.lost(), lease.events());
    scene.acquired(&lease).await;
    let seen = Seen::by(&scene.server);
    drop(lease.clone());
    bench.renewed(&mut events).await;
    let renewals = seen.all().len();
    drop(lease);
    assert_eq!(bench.soon("the term runs out", lost).await, LostReason::Expired { last: None });
    assert_eq!(losses.one(&bench).await, LostReason::Expired { last: None });
    assert_eq!(scene.holder().as_deref(), Some("a"), "not released");
    let requests = seen.all();
    assert!(requests.len() <= renewals + 1, "nobody renews any more: {requests:?}");
    assert!(requests.iter().all(|request| request.method() == Method::PUT), "{requests:?}");
    let mut last = None;
    bench
        .soon("the events end", async {
            while let Some(event) = events.next().await {
                last = Some(event);
            }
        })
        .await;
    assert!(matches!(last, Some(Event::Lost { .. })), "{last:?}");
}

async fn a_dropped_acquire_goes_on<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let mut events = lease.events();
    scene.server.set_fault_hook(|_| Some(Fault::DelayBefore(ms(50))));
    let mut polled = false;
    bench.give_up_when(lease.acquire(), move || std::mem::replace(&mut polled, true)).await;
    bench.until("held all the same", || lease.check_alive()).await;
    bench.renewed(&mut events).await;
    drop(lease.release());
    bench.until("released all the same", || scene.holder().is_none()).await;
    drop(lease.acquire());
    bench.sleep(ms(50)).await;
    assert!(!lease.check_alive(), "what was never polled was never asked for");
}

async fn a_dropped_release_goes_on<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    scene.acquired(&lease).await;
    let release = lease.release();
    drop(lease);
    drop(release);
    bench.until("it is released", || scene.holder().is_none()).await;
}

async fn a_release_cancels_an_acquire<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let mut held_back = Some(Fault::DelayAfter(ms(300)));
    scene.server.set_fault_hook(
        move |request| {
            if request.method() == Method::POST { held_back.take() } else { None }
        },
    );
    let attempt = bench.spawn({
        let lease = lease.clone();
        async move { lease.acquire().await }
    });
    bench.until("the POST is under way", || scene.server.faults_done() == 1).await;
    let release = lease.release();
    assert_eq!(bench.soon("the attempt's answer", attempt).await, Err(AcquireError::Cancelled));
    bench.soon("the release", release).await.unwrap();
    assert!(!lease.check_alive());
    assert_eq!(scene.holder(), None, "nothing is left of it");
}

async fn an_acquire_during_a_release_waits_for_it<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let first = scene.acquired(&lease).await;
    scene.server.set_fault_hook(|request| {
        (request.method() == Method::DELETE).then_some(Fault::DelayBefore(ms(150)))
    });
    let (release, joined) = (lease.release(), lease.release());
    let second = scene.acquired(&lease).await;
    assert!(second > first);
    assert_eq!(bench.soon("the release", release).await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(bench.soon("the release", joined).await, Ok(ReleaseOutcome::Confirmed), "one answer for both");
    assert!(lease.check_alive());
}

async fn a_shutdown_releases_and_leaves_nothing_behind<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    scene.acquired(&lease).await;
    bench.renewed(&mut events).await;
    let shutdown = lease.clone().shutdown();
    assert!(!lease.check_alive(), "over at the call");
    assert_eq!(bench.soon("the shutdown", shutdown).await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(scene.holder(), None);
    assert_eq!(bench.soon("an answer", lease.acquire()).await, Err(AcquireError::Stopped));
    assert_eq!(bench.soon("an answer", lease.campaign()).await, Err(AcquireError::Stopped));
    assert_eq!(bench.soon("an answer", lease.release()).await, Err(Stopped));
    bench.until("its connections are closed", || scene.server.connections() == 0).await;
    assert_eq!(losses.all(), []);
}

async fn a_handle_works_on_another_executor<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let (sender, came) = oneshot::channel();
    let (handle, runtime) = (lease.clone(), bench.runtime());
    thread::spawn(move || {
        let came = bare_block_on(async {
            let mut events = handle.events();
            assert_eq!(handle.acquire().await, Ok(true));
            let worked = handle.while_held(async {
                while !matches!(events.next().await, Some(Event::Renewed { .. })) {}
                runtime.sleep(ms(10)).await;
                7
            });
            assert_eq!(worked.await, Ok(7));
            let lost = handle.while_held(std::future::pending::<()>()).await;
            (lost, handle.lost().await, handle.acquire().await, handle.release().await)
        });
        let _ = sender.send(came);
    });
    let mut events = lease.events();
    bench.renewed(&mut events).await;
    bench.sleep(ms(100)).await;
    scene.delete();
    let (interrupted, lost, acquired, released) =
        bench.soon("a bare thread is done", came).await.expect("it did not panic");
    assert_eq!(interrupted, Err(Interrupted::Lost(LostReason::Deleted)));
    assert_eq!(lost, LostReason::Deleted);
    assert_eq!((acquired, released), (Ok(true), Ok(ReleaseOutcome::Confirmed)));
}

async fn nothing_that_people_read_shows_the_token<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    assert!(!format!("{:?}", bench.setup(scene.source())).contains(TOKEN));
    let builder = Lease::<A>::builder(patient("a").build().unwrap());
    let builder = builder.credentials(scene.source());
    assert!(!format!("{builder:?}").contains(TOKEN));
    let lease = builder.spawn().unwrap();
    let mut events = lease.events();
    scene.acquired(&lease).await;
    scene.server.queue_fault(Fault::CloseBefore);
    scene.server.queue_fault(Fault::status(403, format!("you said {TOKEN}")));
    let mut told = Vec::new();
    bench
        .next_event(&mut events, "two renewals", |event| {
            told.push(format!("{event:?}"));
            (told.iter().filter(|text| text.starts_with("Renewed")).count() == 2).then_some(())
        })
        .await;
    assert!(!format!("{lease:?}").contains(TOKEN));
    let why = lease.last_transport_error().expect("a connection was closed");
    assert!(!why.contains(TOKEN), "{why}");
    let mut recording = Vec::new();
    lease.dump_recording(&mut recording).unwrap();
    let recording = String::from_utf8(recording).unwrap();
    assert!(recording.contains("PUT"), "it recorded");
    // What a server says is the server's affair; that one repeated it on purpose.
    let ours = recording.lines().filter(|line| !line.contains("you said")).any(|line| line.contains(TOKEN));
    assert!(!ours, "in the flight recording");
}
