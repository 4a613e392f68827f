//! Losing a lease: who hears of it, when, and what stops.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;

use lease_core::driver::{Adapter, Clock, Interrupted, Lease, SystemClock};
use lease_core::{Event, LostReason, Problem};

use super::Scene;
use crate::conformance::bench::{Bench, Task, ms};
use crate::conformance::engine::{Case, cases};
use crate::conformance::watch::{Losses, Sampler};

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "lease",
        a_deleted_lease_is_lost => "by on_lost, lost() and an event, with the reason",
        a_lease_that_was_taken_over_is_lost => "by whom; the work under it is dropped; the record is left alone",
        a_loss_is_told_once_to_every_handler => "unregistered ones hear nothing, one that panics hurts nobody",
        a_handler_that_blocks_delays_no_renewal => "it runs on a thread of its own",
        lost_misses_nothing => "a loss before the call, between call and poll, and of a later term",
        a_server_that_hangs_costs_the_lease_in_time => "check_alive is false at the deadline, looked at all the time",
        work_is_dropped_at_the_deadline => "the scoped form, while the server hangs",
        work_is_dropped_when_the_lease_is_given_back => "at once, whatever the server says",
    ]
}

/// Waits until the holder has noticed, in each of the ways in which it tells.
async fn loss<A: Adapter>(bench: &Bench<A>, lease: &Lease<A>, losses: &Losses) -> LostReason {
    let reason = bench.soon("the loss", lease.lost()).await;
    assert!(!lease.check_alive());
    assert_eq!(losses.one(bench).await, reason, "on_lost and lost() say the same");
    reason
}

async fn a_deleted_lease_is_lost<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let losses = Losses::of(&lease);
    let token = scene.acquired(&lease).await;
    let mut events = lease.events();
    scene.delete();
    assert_eq!(loss(&bench, &lease, &losses).await, LostReason::Deleted);
    let lost = |event: &Event| matches!(event, Event::Lost { .. }).then(|| event.clone());
    let told = bench.next_event(&mut events, "an event of the loss", lost).await;
    assert_eq!(told, Event::Lost { token, reason: LostReason::Deleted });
    assert_eq!(scene.holder(), None, "no renewal made it again");
    let again = scene.acquired(&lease).await;
    assert!(again > token);
    assert_eq!(bench.told(&mut events).await.iter().find_map(lost), None, "told twice");
    assert_eq!(losses.all().len(), 1);
}

async fn a_lease_that_was_taken_over_is_lost<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let losses = Losses::of(&lease);
    scene.acquired(&lease).await;
    let (dropped, work) = endless_work(&bench, &lease).await;
    scene.take_over("intruder");
    let reason = loss(&bench, &lease, &losses).await;
    assert!(
        matches!(&reason, LostReason::TakenOver { by: Some(by) } if by.as_str() == "intruder"),
        "{reason:?}"
    );
    assert_eq!(bench.soon("the work is stopped", work).await, Err(Interrupted::Lost(reason)));
    assert!(dropped.is());
    bench.soon("a release", lease.release()).await.unwrap();
    assert_eq!(scene.holder().as_deref(), Some("intruder"), "it is left alone");
}

async fn a_loss_is_told_once_to_every_handler<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let (first, second) = (Losses::of(&lease), Losses::of(&lease));
    let unregistered = Losses::of(&lease).unregister();
    // Dropped at the end of the line.
    let dropped = Losses::of(&lease).reasons();
    let forgotten = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&forgotten);
    lease.on_lost(move |reason| heard.lock().unwrap().push(reason.clone())).forget();
    let panics = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&panics);
    let _panics = lease.on_lost(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        // As a panic does, but without the noise.
        std::panic::resume_unwind(Box::new("a handler's panic, on purpose"));
    });
    for losses in 1..=2 {
        scene.acquired(&lease).await;
        scene.delete();
        bench.soon("the loss", lease.lost()).await;
        let all = || {
            let counts = [first.all().len(), second.all().len(), forgotten.lock().unwrap().len()];
            counts == [losses; 3] && panics.load(Ordering::SeqCst) == losses as u64
        };
        bench.until("every handler is told", all).await;
    }
    // Whatever would be told twice has had the time of another term.
    assert_eq!((first.all().len(), second.all().len()), (2, 2));
    assert_eq!((unregistered.lock().unwrap().len(), dropped.lock().unwrap().len()), (0, 0));
}

async fn a_handler_that_blocks_delays_no_renewal<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let (let_go, blocked) = mpsc::channel::<()>();
    let _blocks = lease.on_lost(move |_| _ = blocked.recv());
    let losses = Losses::of(&lease);
    scene.acquired(&lease).await;
    scene.delete();
    loss(&bench, &lease, &losses).await;
    scene.acquired(&lease).await;
    let mut events = lease.events();
    for _ in 0..3 {
        bench.renewed(&mut events).await;
    }
    assert!(lease.check_alive());
    drop(let_go);
}

async fn lost_misses_nothing<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let losses = Losses::of(&lease);
    scene.acquired(&lease).await;
    let early = lease.lost();
    scene.delete();
    losses.one(&bench).await;
    assert_eq!(bench.soon("a loss before the call", lease.lost()).await, LostReason::Deleted);
    // Held again by the time of the first poll.
    scene.acquired(&lease).await;
    assert_eq!(bench.soon("a loss before the poll", early).await, LostReason::Deleted);
    assert!(lease.check_alive());
    bench.soon("a release", lease.release()).await.unwrap();
    let later = lease.lost();
    scene.acquired(&lease).await;
    scene.take_over("b");
    let reason = bench.soon("the loss of a later term", later).await;
    assert!(matches!(reason, LostReason::TakenOver { .. }), "{reason:?}");
}

async fn a_server_that_hangs_costs_the_lease_in_time<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.brief("a");
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    let token = scene.acquired(&lease).await;
    bench.renewed(&mut events).await;
    scene.hang();
    let sampler = Sampler::start(std::slice::from_ref(&lease));
    // What was confirmed last was sent before this.
    let bound = SystemClock.now().mono.saturating_add(lease.config().validity());
    let reason = loss(&bench, &lease, &losses).await;
    assert!(
        matches!(reason, LostReason::Expired { last: Some(Problem::Timeout | Problem::Transport) }),
        "{reason:?}"
    );
    bench.sleep(lease.time_until(bound)).await;
    let seen = sampler.stop();
    assert!(seen.last_held.is_none_or(|last| last <= bound), "held beyond {bound:?}: {seen:?}");
    scene.server.resume();
    let again = bench.soon("another term", lease.campaign()).await.unwrap();
    assert!(again > token);
    assert_eq!(losses.all().len(), 1);
}

async fn work_is_dropped_at_the_deadline<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.brief("a");
    scene.acquired(&lease).await;
    scene.hang();
    let bound = SystemClock.now().mono.saturating_add(lease.config().validity());
    let dropped = Dropped::default();
    let (guard, last_poll) = (dropped.guard(), Arc::new(Mutex::new(None)));
    let noted = Arc::clone(&last_poll);
    let ticking = bench.clone();
    let work = async move {
        let _guard = guard;
        loop {
            *noted.lock().unwrap() = Some(SystemClock.now().mono);
            ticking.sleep(ms(5)).await;
        }
    };
    let interrupted: Result<(), _> = bench.soon("the work is stopped", lease.while_held(work)).await;
    assert!(matches!(interrupted, Err(Interrupted::Lost(LostReason::Expired { .. }))), "{interrupted:?}");
    assert!(dropped.is() && !lease.check_alive());
    let last = last_poll.lock().unwrap().expect("it ran");
    // The clock is read before each poll; a thread may lose its processor between the two.
    assert!(
        last.saturating_since(bound) < ms(500),
        "polled {:?} after the end",
        last.saturating_since(bound)
    );
    let never = bench.soon("no work without a term", lease.while_held(async { 1 })).await;
    assert_eq!(never, Err(Interrupted::NotHeld));
    scene.server.resume();
}

async fn work_is_dropped_when_the_lease_is_given_back<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    scene.acquired(&lease).await;
    assert_eq!(bench.soon("work", lease.while_held(async { 7 })).await, Ok(7));
    let (dropped, work) = endless_work(&bench, &lease).await;
    // The server never hears of it.
    scene.hang();
    let release = lease.release();
    assert_eq!(bench.soon("the work is stopped", work).await, Err(Interrupted::Released));
    assert!(dropped.is());
    scene.server.resume();
    bench.soon("the release", release).await.unwrap();
}

/// Work under the lease that has begun and never ends by itself.
async fn endless_work<A: Adapter>(
    bench: &Bench<A>,
    lease: &Lease<A>,
) -> (Dropped, Task<Result<(), Interrupted>>) {
    let dropped = Dropped::default();
    let (worker, guard) = (lease.clone(), dropped.guard());
    let began = Arc::new(AtomicBool::new(false));
    let begun = Arc::clone(&began);
    let work = bench.spawn(async move {
        let endless = async move {
            let _guard = guard;
            poll_fn(|_| {
                begun.store(true, Ordering::SeqCst);
                Poll::<()>::Pending
            })
            .await;
        };
        worker.while_held(endless).await
    });
    bench.until("the work begins", || began.load(Ordering::SeqCst)).await;
    (dropped, work)
}

/// Tells when what holds its guard is dropped.
#[derive(Clone, Default)]
struct Dropped(Arc<AtomicBool>);

struct Guard(Dropped);

impl Dropped {
    fn guard(&self) -> Guard {
        Guard(self.clone())
    }

    fn is(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}
