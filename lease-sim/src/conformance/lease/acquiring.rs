//! Getting a lease, and giving it back.

use std::sync::{Arc, Mutex};

use http::Method;
use lease_core::driver::interface::Lease as AnyLease;
use lease_core::driver::{AcquireError, Adapter, Attempt, Clock, Lease, SystemClock};
use lease_core::{DenialReason, Event, FencingToken, Problem, ReleaseOutcome, Verb};

use super::{Scene, brief, methods, patient};
use crate::api_server::{self, Rights};
use crate::conformance::bench::{Bench, Folder, Seen, TOKEN, all, ca, explicit, ms, token_file};
use crate::conformance::engine::{Case, cases};
use crate::conformance::watch::{Losses, Sampler};
use crate::listener::Fault;

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "lease",
        a_lease_is_acquired_renewed_and_released => "the whole life of a term",
        contention_is_false_and_says_who => "acquire answers false; who holds it, and until when",
        tokens_grow_with_every_term => "from holder to holder and from object to object",
        a_released_lease_is_free_at_once => "the next one need not wait",
        campaigns_take_turns_and_never_two_hold => "four holders, six turns, looked at all the time",
        a_dead_holder_is_taken_over_after_its_term => "and not a moment before its own deadline",
        attempts_that_overlap_are_one => "five at once: one GET, one POST, one answer",
        one_interface_stands_for_the_handle => "dyn Lease does what the handle does",
        a_server_that_hangs_is_an_error_and_not_a_no => "a time-out says: I do not know",
        a_server_that_is_not_there_is_an_error_that_says_why => "with the HTTP client's own words, without the token",
        a_wrong_token_is_an_error_that_says_so => "401 after one refresh",
        a_missing_right_is_named => "403 with the verb",
        lost_replies_are_looked_up => "POST, PUT and DELETE that were applied and not answered",
    ]
}

async fn a_lease_is_acquired_renewed_and_released<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    assert!(!lease.check_alive());
    let token = scene.acquired(&lease).await;
    let held = lease.held().expect("held");
    assert_eq!(held.token, token);
    assert!(lease.check_alive() && lease.time_until(held.until) > ms(10_000));
    assert_eq!(scene.holder().as_deref(), Some("a"));
    let version = scene.stored().unwrap()["metadata"]["resourceVersion"].as_str().unwrap().parse();
    let version = FencingToken::from_u64(version.unwrap());
    assert!(version >= token, "{version} is older than the write that acquired, {token}");
    for _ in 0..3 {
        bench.renewed(&mut events).await;
    }
    let later = lease.held().expect("still held");
    assert!(later.token == token && later.until > held.until);
    let release = lease.release();
    assert!(!lease.check_alive() && lease.held().is_none(), "over at the call");
    assert_eq!(bench.soon("the release", release).await, Ok(ReleaseOutcome::Confirmed));
    assert_eq!(scene.holder(), None);
    assert_eq!(bench.soon("another release", lease.release()).await, Ok(ReleaseOutcome::Nothing));
    assert_eq!(losses.all(), [], "a release is no loss");
}

async fn contention_is_false_and_says_who<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let (a, b) = (scene.patient("a"), scene.patient("b"));
    scene.acquired(&a).await;
    let denial = scene.denied(&b).await;
    assert_eq!(bench.soon("b's answer", b.acquire()).await, Ok(false));
    assert_eq!(denial.reason, DenialReason::Held);
    assert_eq!(denial.holder.as_ref().map(|holder| holder.as_str()), Some("a"));
    assert!(b.time_until(denial.retry_at) <= ms(20_000));
    assert!(a.check_alive() && !b.check_alive());
}

async fn tokens_grow_with_every_term<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let leases = [scene.patient("a"), scene.patient("b")];
    let mut last = FencingToken::from_u64(0);
    for turn in 0..6 {
        let lease = &leases[turn % 2];
        let token = scene.acquired(lease).await;
        assert!(token > last, "{last}, then {token}");
        last = token;
        bench.soon("the release", lease.release()).await.unwrap();
    }
}

async fn a_released_lease_is_free_at_once<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let (a, b) = (scene.patient("a"), scene.patient("b"));
    scene.acquired(&a).await;
    scene.denied(&b).await;
    assert_eq!(bench.soon("the release", a.release()).await, Ok(ReleaseOutcome::Confirmed));
    scene.acquired(&b).await;
    assert_eq!(scene.holder().as_deref(), Some("b"));
}

async fn campaigns_take_turns_and_never_two_hold<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let leases: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| scene.patient(name)).collect();
    let sampler = Sampler::start(&leases);
    for lease in &leases {
        let lease = lease.clone();
        drop(bench.spawn(async move { lease.campaign().await }));
    }
    let mut last = FencingToken::from_u64(0);
    let holder = || leases.iter().find_map(|lease| Some((lease, lease.held()?.token)));
    for turn in 0..6 {
        bench.until("somebody holds", || holder().is_some()).await;
        let (lease, token) = holder().unwrap();
        assert!(token > last, "{last}, then {token}");
        last = token;
        assert_eq!(bench.soon("the release", lease.release()).await, Ok(ReleaseOutcome::Confirmed));
        if turn < 3 {
            // One of them is out of the race: the others go on.
            continue;
        }
        let lease = lease.clone();
        drop(bench.spawn(async move { lease.campaign().await }));
    }
    let seen = sampler.stop();
    assert_eq!(seen.overlaps, Vec::<String>::new(), "two believed at once");
    assert!(seen.looks > 50, "{seen:?}");
}

async fn a_dead_holder_is_taken_over_after_its_term<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let first = scene.brief("a");
    let mut events = first.events();
    let token = scene.acquired(&first).await;
    bench.renewed(&mut events).await;
    // Nobody has said when its last renewal was but itself.
    let second = scene.spawn(brief("b").max_clock_skew(None));
    scene.denied(&second).await;
    let lost = first.lost();
    let until = first.held().expect("held").until;
    drop(first);
    let taken = bench.soon("the take-over", second.campaign()).await.unwrap();
    let now = SystemClock.now().mono;
    assert!(taken > token, "{token}, then {taken}");
    assert!(now >= until, "taken over {:?} too early", until.saturating_since(now));
    bench.soon("the loss of the first", lost).await;
    assert_eq!(scene.holder().as_deref(), Some("b"));
}

async fn attempts_that_overlap_are_one<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let seen = Seen::default();
    let writer = seen.clone();
    scene.server.set_fault_hook(move |request| {
        writer.note(request);
        Some(Fault::DelayBefore(ms(100)))
    });
    let attempts = all((0..5).map(|_| lease.acquire_with_token()));
    let mut answers = bench.soon("all answers", attempts).await;
    answers.dedup();
    assert_eq!(answers, [Ok(Attempt::Acquired(lease.held().expect("held").token))]);
    assert_eq!(methods(&seen)[..2], [Method::GET, Method::POST]);
    assert!(methods(&seen)[2..].iter().all(|method| *method == Method::PUT), "{:?}", methods(&seen));
}

async fn one_interface_stands_for_the_handle<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease: Arc<dyn AnyLease> = Arc::new(scene.patient("a"));
    let rival: Arc<dyn AnyLease> = Arc::new(scene.patient("b"));
    assert_eq!(bench.soon("an answer", lease.acquire()).await, Ok(true));
    assert_eq!(bench.soon("an answer", rival.acquire()).await, Ok(false));
    let token = lease.held().expect("held").token;
    assert_eq!(bench.soon("an answer", lease.acquire_with_token()).await, Ok(Attempt::Acquired(token)));
    assert_eq!(bench.soon("an answer", lease.campaign()).await, Ok(token));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heard);
    let subscription = lease.on_lost(Box::new(move |reason| noted.lock().unwrap().push(reason.clone())));
    let lost = lease.lost();
    scene.delete();
    let reason = bench.soon("the loss", lost).await;
    assert!(!lease.check_alive());
    bench.until("the handler is called", || !heard.lock().unwrap().is_empty()).await;
    assert_eq!(*heard.lock().unwrap(), [reason]);
    drop(subscription);
    // It campaigns, and would have it back.
    bench.soon("the end of the campaign", lease.release()).await.unwrap();
    assert_eq!(bench.soon("an answer", rival.acquire()).await, Ok(true));
    assert_eq!(bench.soon("a release", rival.release()).await, Ok(ReleaseOutcome::Confirmed));
}

async fn a_server_that_hangs_is_an_error_and_not_a_no<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.spawn(brief("a").acquire_retries(1));
    scene.hang();
    let blind = bench.soon("an answer although the server hangs", lease.acquire()).await;
    assert_eq!(blind, Err(AcquireError::Remote(Problem::Timeout)));
    scene.server.resume();
    scene.acquired(&lease).await;
}

async fn a_server_that_is_not_there_is_an_error_that_says_why<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.spawn(brief("a").acquire_retries(1));
    assert_eq!(lease.last_transport_error(), None);
    scene.server.stop();
    let blind = bench.soon("an answer although nobody listens", lease.acquire()).await;
    assert_eq!(blind, Err(AcquireError::Remote(Problem::Transport)));
    let why = lease.last_transport_error().expect("said in words");
    assert!(why.contains(": "), "all causes: {why}");
    assert!(!why.contains(TOKEN), "{why}");
    scene.server.restart().unwrap();
    scene.acquired(&lease).await;
}

async fn a_wrong_token_is_an_error_that_says_so<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let folder = Folder::new("wrong");
    let source = explicit(&scene.server.url(), ca(&scene.server), token_file(folder.write("token", "wr0ng")));
    let seen = Seen::by(&scene.server);
    let lease = Lease::<A>::builder(patient("a").build().unwrap());
    let lease = lease.credentials(source).spawn().unwrap();
    let refused = scene.answer(&lease).await;
    assert_eq!(refused, Err(AcquireError::Remote(Problem::Unauthorized)));
    assert_eq!(methods(&seen), [Method::GET, Method::GET], "once more with what the file says by then");
}

async fn a_missing_right_is_named<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let may_look = Rights::leases("default", &[api_server::Verb::Get]);
    scene.server.set_token(TOKEN, "holder", may_look);
    let lease = scene.patient("a");
    match scene.answer(&lease).await {
        Err(AcquireError::Remote(Problem::Forbidden { verb, message })) => {
            assert_eq!(verb, Verb::Create);
            assert!(message.as_str().contains("cannot create"), "the server said: {message}");
        }
        other => panic!("{other:?}"),
    }
}

async fn lost_replies_are_looked_up<A: Adapter>(bench: Bench<A>) {
    for lost in [Fault::CloseAfter, Fault::HangAfter, Fault::CutBody(10)] {
        let scene = Scene::new(bench.clone());
        let lease = scene.spawn(patient("a").request_timeout(ms(500)));
        let losses = Losses::of(&lease);
        let mut events = lease.events();
        let mut once = vec![Method::POST, Method::PUT, Method::DELETE];
        let fault = lost.clone();
        scene.server.set_fault_hook(move |request| {
            let at = once.iter().position(|method| method == request.method())?;
            once.remove(at);
            Some(fault.clone())
        });
        let token = scene.acquired(&lease).await;
        bench
            .next_event(&mut events, "trouble with a renewal", |event| {
                matches!(event, Event::Trouble { .. }).then_some(())
            })
            .await;
        for _ in 0..2 {
            bench.renewed(&mut events).await;
        }
        assert_eq!(lease.held().map(|held| held.token), Some(token), "{lost:?}");
        assert_eq!(
            bench.soon("the release", lease.release()).await,
            Ok(ReleaseOutcome::Confirmed),
            "{lost:?}"
        );
        assert_eq!(scene.holder(), None);
        assert_eq!(scene.server.faults_done(), 3, "{lost:?}");
        assert_eq!(losses.all(), []);
    }
}
