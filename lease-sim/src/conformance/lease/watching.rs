//! Holders that watch: they hear at once what others learn when they ask next, and nobody here asks for minutes.

use std::sync::{Arc, Mutex};

use http::Method;
use lease_core::driver::Adapter;
use lease_core::{ConfigBuilder, Event, LostReason, Problem, ReleaseOutcome, Verb};

use super::{Scene, config, holders_verbs, methods, patient};
use crate::api_server::{self, Rights};
use crate::conformance::bench::{Bench, Seen, TOKEN, ms};
use crate::conformance::engine::{Case, cases};
use crate::conformance::watch::Losses;

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "lease",
        a_campaign_that_watches_hears_of_a_release => "it would have asked again in minutes",
        a_term_that_is_watched_ends_when_it_is_taken => "deleted, or another's: long before the next renewal",
        a_term_is_renewed_beside_its_watch => "and a release closes it",
        a_watch_that_ended_is_opened_again => "also where the server remembers nothing, or was away",
        without_the_right_to_watch_polling_goes_on => "and an event names the verb",
    ]
}

/// Neither renews nor polls for minutes, and none of its terms ends meanwhile.
fn still(identity: &str) -> ConfigBuilder {
    config(identity, ms(900_000))
        .renew_interval(ms(300_000))
        .request_timeout(ms(5000))
        .retry_delay(ms(100))
        .poll_interval(ms(600_000))
        .watch(true)
}

/// One where [`TOKEN`] may watch, too.
fn scene<A: Adapter>(bench: &Bench<A>) -> Scene<A> {
    let scene = Scene::new(bench.clone());
    let mut verbs = holders_verbs();
    verbs.push(api_server::Verb::Watch);
    scene.server.set_token(TOKEN, "holder", Rights::leases("default", &verbs));
    scene
}

impl<A: Adapter> Scene<A> {
    /// Until the server has so many open watches.
    async fn watches(&self, wanted: usize) {
        let open = || self.server.with_model(|model| model.open_watches()) == wanted;
        self.bench.until(&format!("{wanted} watches are open"), open).await;
    }
}

async fn a_campaign_that_watches_hears_of_a_release<A: Adapter>(bench: Bench<A>) {
    let scene = scene(&bench);
    let seen = Seen::by(&scene.server);
    for _ in 0..3 {
        let (a, b) = (scene.spawn(still("a").watch(false)), scene.spawn(still("b")));
        let first = scene.acquired(&a).await;
        let campaigning = b.clone();
        let campaign = bench.spawn(async move { campaigning.campaign().await });
        scene.watches(1).await;
        let before = methods(&seen).len();
        assert_eq!(bench.soon("the release", a.release()).await, Ok(ReleaseOutcome::Confirmed));
        let second = bench.soon("the campaign hears of it", campaign).await.expect("a term");
        assert!(second > first, "{first}, then {second}");
        // It looks, as it always does, before it writes.
        assert_eq!(methods(&seen)[before..], [Method::DELETE, Method::GET, Method::POST]);
        assert_eq!(bench.soon("the release", b.shutdown()).await, Ok(ReleaseOutcome::Confirmed));
        scene.watches(0).await;
    }
}

async fn a_term_that_is_watched_ends_when_it_is_taken<A: Adapter>(bench: Bench<A>) {
    let scene = scene(&bench);
    let seen = Seen::by(&scene.server);
    let lease = scene.spawn(still("a"));
    let losses = Losses::of(&lease);
    scene.acquired(&lease).await;
    scene.watches(1).await;
    scene.delete();
    assert_eq!(bench.soon("the loss", lease.lost()).await, LostReason::Deleted);
    assert!(!lease.check_alive());
    assert_eq!(losses.one(&bench).await, LostReason::Deleted);
    scene.watches(0).await;

    scene.acquired(&lease).await;
    scene.watches(1).await;
    scene.take_over("intruder");
    let reason = bench.soon("the loss", lease.lost()).await;
    let by = |reason: &LostReason| match reason {
        LostReason::TakenOver { by: Some(by) } => Some(by.as_str().to_owned()),
        _ => None,
    };
    // The first loss is told to whoever asks until there is a second.
    bench.until("the second loss", || losses.all().len() == 2).await;
    assert_eq!(by(&losses.all()[1]).as_deref(), Some("intruder"), "{reason:?}");
    assert!(!lease.check_alive());
    assert!(!methods(&seen).contains(&Method::PUT), "no renewal has told it: {:?}", methods(&seen));
    assert_eq!(scene.holder().as_deref(), Some("intruder"), "it is left alone");
}

async fn a_term_is_renewed_beside_its_watch<A: Adapter>(bench: Bench<A>) {
    let scene = scene(&bench);
    let lease = scene.spawn(patient("a").watch(true));
    let mut events = lease.events();
    scene.acquired(&lease).await;
    scene.watches(1).await;
    for _ in 0..5 {
        bench.renewed(&mut events).await;
    }
    scene.watches(1).await;
    assert_eq!(bench.soon("the release", lease.release()).await, Ok(ReleaseOutcome::Confirmed));
    scene.watches(0).await;
    bench.soon("the shutdown", lease.shutdown()).await.unwrap();
    bench.until("no connection is left", || scene.server.connections() == 0).await;
}

async fn a_watch_that_ended_is_opened_again<A: Adapter>(bench: Bench<A>) {
    let scene = scene(&bench);
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    scene.server.set_fault_hook(move |request| {
        *count.lock().unwrap() += usize::from(is_watch(request.uri()));
        None
    });
    let lease = scene.spawn(still("a"));
    let mut last = scene.acquired(&lease).await;
    scene.watches(1).await;
    for disturbance in 0..3 {
        let before = *asked.lock().unwrap();
        match disturbance {
            0 => scene.server.with_model(|model| model.end_watches(false)),
            1 => scene.server.with_model(|model| model.end_watches(true)),
            _ => scene.server.restart().unwrap(),
        }
        bench.until("it is asked for again", || *asked.lock().unwrap() > before).await;
        scene.watches(1).await;
        assert_eq!(lease.held().map(|held| held.token), Some(last), "nothing has happened to the term");
        let lost = lease.lost();
        scene.delete();
        assert_eq!(bench.soon("the loss", lost).await, LostReason::Deleted);
        bench.until("the term is over", || !lease.check_alive()).await;
        let next = scene.acquired(&lease).await;
        assert!(next > last, "{last}, then {next}");
        last = next;
        scene.watches(1).await;
    }
}

fn is_watch(uri: &http::Uri) -> bool {
    uri.query().is_some_and(|query| query.contains("watch=true"))
}

async fn without_the_right_to_watch_polling_goes_on<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let (a, b) = (scene.spawn(patient("a").watch(true)), scene.spawn(patient("b").watch(true)));
    let mut events = a.events();
    scene.acquired(&a).await;
    let trouble = |event: &Event| match event {
        Event::WatchTrouble { problem, .. } => Some(problem.clone()),
        _ => None,
    };
    let problem = bench.next_event(&mut events, "trouble with the watch", trouble).await;
    match problem {
        Problem::Forbidden { verb: Verb::Watch, message } => {
            assert!(message.as_str().contains("cannot watch"), "the server said: {message}");
        }
        other => panic!("{other:?}"),
    }
    for _ in 0..3 {
        bench.renewed(&mut events).await;
    }
    let mut others = b.events();
    let campaign = bench.spawn({
        let b = b.clone();
        async move { b.campaign().await }
    });
    bench.next_event(&mut others, "trouble with the watch of a campaign", trouble).await;
    assert_eq!(bench.soon("the release", a.release()).await, Ok(ReleaseOutcome::Confirmed));
    bench.soon("the campaign finds it", campaign).await.expect("a term");
    assert!(b.check_alive());
}
