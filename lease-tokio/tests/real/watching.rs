//! Holders that watch, on a server that really streams. Most of them neither renew nor poll for minutes: what they
//! know, the watch has told.

use std::time::Duration;

use crate::adapter::{
    Clock, ConfigBuilder, Event, Lease, LostReason, Problem, ReleaseOutcome, SystemClock, Verb,
};
use http::Method;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::access::Limited;
use crate::cluster::{Fixture, skipped, transport};
use crate::outage::restartable;
use crate::support::counting::{Counting, Log};
use crate::support::{Losses, ms, next_event, renewed, told, until};

const TTL: Duration = Duration::from_secs(2);
/// For what a watch tells: a loaded machine's time, and far below every interval of [`still`].
const SOON: Duration = Duration::from_secs(15);

/// Neither renews nor polls for minutes, and none of its terms ends meanwhile.
fn still(config: ConfigBuilder) -> ConfigBuilder {
    config
        .ttl(Duration::from_secs(900))
        .renew_interval(Duration::from_secs(300))
        .request_timeout(Duration::from_secs(5))
        .retry_delay(ms(100))
        .poll_interval(Duration::from_secs(600))
        .watch(true)
}

/// A holder with the administrator's token, and a log of its requests.
fn watcher(fixture: &Fixture, config: ConfigBuilder) -> (Lease, Log) {
    let log = Log::default();
    let credentials = fixture.cluster.with_token(&fixture.cluster.admin_token);
    let transport = Counting::new(transport(credentials), &log);
    (Lease::builder(config.build().unwrap()).transport(transport).spawn().unwrap(), log)
}

/// Until it has begun so many watches.
async fn watches(log: &Log, wanted: usize) {
    let began = || {
        let all = log.all();
        all.iter().filter(|it| Log::is_watch(it) && it.status == Some(200)).count() >= wanted
    };
    until(&format!("{wanted} watches have begun"), SOON, began).await;
}

/// What RBAC has to give: the verb on this very lease.
pub async fn watch_on_one_name_is_enough() {
    let fixture = Fixture::new("watch-one").await;
    let verbs = ["get", "create", "update", "delete", "watch"];
    let limited = Limited::with(&fixture, &verbs, &[&fixture.name], still).await;
    let (admin, namespace) = (&fixture.cluster.admin, &fixture.cluster.namespace);
    assert!(!admin.may_to(&limited.user, "watch", namespace, "another").await);
    assert!(!admin.may_to(&limited.user, "watch", namespace, "").await);
    let losses = Losses::of(&limited.lease);
    let mut events = limited.lease.events();
    assert!(limited.lease.acquire().await.unwrap());
    watches(&limited.log, 1).await;
    admin.delete(&fixture.path()).await.ok();
    assert_eq!(losses.one(SOON).await, LostReason::Deleted);
    assert!(!limited.lease.check_alive());
    assert_eq!(limited.log.line(), "GET 404, POST 201, WATCH 200", "nothing else was asked");
    let trouble = |event: &Event| matches!(event, Event::Trouble { .. } | Event::WatchTrouble { .. });
    assert_eq!(told(&mut events).await.iter().find(|event| trouble(event)), None);
    assert!(limited.lease.acquire().await.unwrap());
    assert_eq!(limited.lease.release().await, Ok(ReleaseOutcome::Confirmed));
    limited.clean_up(fixture).await;
}

pub async fn a_takeover_is_heard_of_at_once() {
    let fixture = Fixture::new("watch-takeover").await;
    let (lease, log) = watcher(&fixture, still(fixture.config("a", TTL)));
    let losses = Losses::of(&lease);
    assert!(lease.acquire().await.unwrap());
    watches(&log, 1).await;
    // What changes nothing about the term ends nothing.
    fixture.edit(json!({ "metadata": { "labels": { "edited": "yes" } } })).await;
    fixture.edit(json!({ "spec": { "holderIdentity": "intruder" } })).await;
    let reason = losses.one(SOON).await;
    assert!(
        matches!(&reason, LostReason::TakenOver { by: Some(by) } if by.as_str() == "intruder"),
        "{reason:?}"
    );
    assert_eq!(log.count(&Method::PUT), 0, "{}", log.line());
    assert_eq!(fixture.object().await["spec"]["holderIdentity"], "intruder", "it is left alone");
    fixture.clean_up().await;
}

pub async fn a_campaign_that_watches_hears_of_a_release() {
    let fixture = Fixture::new("watch-release").await;
    for _ in 0..3 {
        let (a, _) = watcher(&fixture, still(fixture.config("a", TTL)).watch(false));
        let (b, log) = watcher(&fixture, still(fixture.config("b", TTL)));
        assert!(a.acquire().await.unwrap());
        let campaigning = b.clone();
        let campaign = tokio::spawn(async move { campaigning.campaign().await });
        watches(&log, 1).await;
        assert_eq!(a.release().await, Ok(ReleaseOutcome::Confirmed));
        timeout(SOON, campaign).await.expect("the campaign hears of it").unwrap().unwrap();
        assert_eq!(log.line(), "GET 200, WATCH 200, GET 404, POST 201");
        assert_eq!(b.shutdown().await, Ok(ReleaseOutcome::Confirmed));
    }
    fixture.clean_up().await;
}

pub async fn without_the_right_to_watch_polling_goes_on() {
    let fixture = Fixture::new("watch-forbidden").await;
    if !fixture.cluster.has_holder_token {
        return skipped("LEASE_TEST_HOLDER_TOKEN is not set: holders use the administrator's token");
    }
    let (a, log) = fixture.logged(fixture.config("a", TTL).watch(true));
    let mut events = a.events();
    assert!(a.acquire().await.unwrap());
    let problem = next_event(&mut events, "trouble with the watch", SOON, |event| match event {
        Event::WatchTrouble { problem, .. } => Some(problem.clone()),
        _ => None,
    });
    match problem.await {
        Problem::Forbidden { verb: Verb::Watch, message } => {
            assert!(message.as_str().contains("cannot watch"), "the server said: {message}");
        }
        other => panic!("{other:?}"),
    }
    for _ in 0..3 {
        renewed(&mut events, TTL).await;
    }
    assert_eq!(log.all().iter().filter(|it| Log::is_watch(it)).count(), 1, "not asked again: {}", log.line());
    let b = fixture.spawn(fixture.config("b", TTL).watch(true));
    let campaigning = b.clone();
    let campaign = tokio::spawn(async move { campaigning.campaign().await });
    assert_eq!(a.release().await, Ok(ReleaseOutcome::Confirmed));
    timeout(SOON, campaign).await.expect("the campaign finds it").unwrap().unwrap();
    b.shutdown().await.unwrap();
    fixture.clean_up().await;
}

/// The server ends a watch when the time is over that it was asked for.
pub async fn a_watch_whose_time_is_over_is_opened_again() {
    let fixture = Fixture::new("watch-again").await;
    // It is asked for 30 s: eight ttl, and that at least. A renewal may take a while.
    let config = fixture.config("a", ms(3700)).renew_interval(ms(500)).request_timeout(ms(1000));
    let (lease, log) = watcher(&fixture, config.retry_delay(ms(100)).watch(true));
    let mut events = lease.events();
    assert!(lease.acquire().await.unwrap());
    watches(&log, 1).await;
    sleep(Duration::from_secs(30)).await;
    watches(&log, 2).await;
    let trouble = |event: &Event| matches!(event, Event::WatchTrouble { .. } | Event::Lost { .. });
    assert_eq!(told(&mut events).await.iter().find(|event| trouble(event)), None);
    let losses = Losses::of(&lease);
    fixture.cluster.admin.delete(&fixture.path()).await.ok();
    assert_eq!(losses.one(SOON).await, LostReason::Deleted);
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

/// A server that was killed remembers little of what it had told, and its watches end without a word.
pub async fn a_watch_is_opened_again_after_the_server_was_killed() {
    let fixture = Fixture::alone("watch-killed").await;
    let Some(process) = restartable(&fixture) else {
        return;
    };
    let (lease, log) = watcher(&fixture, still(fixture.config("a", TTL)));
    let losses = Losses::of(&lease);
    assert!(lease.acquire().await.unwrap());
    watches(&log, 1).await;
    let killed = process.kill();
    let asked = || log.all().iter().filter(|it| Log::is_watch(it)).count() >= 2;
    until("it is asked for again, in vain", SOON, asked).await;
    killed.restart().await;
    // Pauses have grown meanwhile.
    let began = || log.all().iter().filter(|it| Log::is_watch(it) && it.status == Some(200)).count() >= 2;
    until("a second watch has begun", 4 * SOON, began).await;
    assert!(lease.check_alive() && losses.all().is_empty(), "nothing has happened to the term");
    fixture.cluster.admin.delete(&fixture.path()).await.ok();
    assert_eq!(losses.one(SOON).await, LostReason::Deleted);
    assert_eq!(log.count(&Method::PUT), 0, "{}", log.line());
    println!("{}", log.line());
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn fail_over_times_after_a_release() {
    let fixture = Fixture::new("watch-fail-over").await;
    let mut times = Vec::new();
    for round in 0..10 {
        let first = fixture.holder(&format!("first-{round}"), TTL);
        assert!(first.acquire().await.unwrap());
        let (second, log) = watcher(&fixture, fixture.config(&format!("second-{round}"), TTL).watch(true));
        let mut events = second.events();
        let campaigning = second.clone();
        let campaign = tokio::spawn(async move { campaigning.campaign().await });
        watches(&log, 1).await;
        sleep(ms(30 * round)).await;
        let began = SystemClock.now().mono;
        let release = first.shutdown();
        let acquired = next_event(&mut events, "the next term", 4 * TTL, |event| {
            matches!(event, Event::Acquired { .. }).then_some(())
        });
        let (released, ()) = tokio::join!(release, acquired);
        times.push(SystemClock.now().mono.saturating_since(began));
        assert_eq!(released, Ok(ReleaseOutcome::Confirmed));
        campaign.await.unwrap().unwrap();
        second.shutdown().await.unwrap();
    }
    times.sort();
    println!("ttl {TTL:?}, polled every {:?} at most, and watched", TTL / 3);
    println!("fail-over after a release: median {:?}, all {times:?}", times[times.len() / 2]);
    fixture.clean_up().await;
}

crate::on_every_runtime! {
    watch_on_one_name_is_enough
    a_takeover_is_heard_of_at_once
    a_campaign_that_watches_hears_of_a_release
    without_the_right_to_watch_polling_goes_on
    a_watch_whose_time_is_over_is_opened_again
    a_watch_is_opened_again_after_the_server_was_killed
    fail_over_times_after_a_release
}
