//! The API server stops, and comes back.
//!
//! Whatever happens to the server, a holder must not believe for longer than `ttl - safety_margin` after its last
//! confirmed write was sent. That write was sent before the server stopped, so the bound counts from there.

use std::time::Duration;

use crate::adapter::{Clock, Event, Lease, LostReason, MonoTime, Problem, SystemClock};
use tokio::time::sleep;

use crate::cluster::{Fixture, skipped};
use crate::process::Process;
use crate::support::sampler::Sampler;
use crate::support::{Losses, ms, next_event, renewed};

/// How late a handler may be told on a machine that has other things to do.
const SLACK: Duration = ms(500);

fn process(fixture: &Fixture) -> Option<Process> {
    let process = fixture.cluster.process.clone();
    if process.is_none() {
        skipped("LEASE_TEST_APISERVER_PID is not set: this server is not ours to stop");
    }
    process
}

pub fn restartable(fixture: &Fixture) -> Option<Process> {
    let process = process(fixture)?;
    if process.restart.is_none() {
        skipped("LEASE_TEST_APISERVER_RESTART is not set: a server that is killed would stay away");
        return None;
    }
    Some(process)
}

fn now() -> MonoTime {
    SystemClock.now().mono
}

/// The term goes on: the same token, and a renewal that was sent after the server came back.
async fn assert_goes_on(lease: &Lease, losses: &Losses, fixture: &Fixture, within: Duration) {
    let token = lease.held().expect("still held").token;
    let stored = fixture.object().await;
    fixture.renewed_after(&stored, within).await;
    assert_eq!(lease.held().map(|held| held.token), Some(token), "the same term");
    assert_eq!(losses.all(), []);
}

/// No later than `bound` the term is over; the handler is told why, once.
async fn assert_lost_in_time(lease: &Lease, losses: &Losses, bound: MonoTime) -> Option<Problem> {
    sleep(lease.time_until(bound)).await;
    assert!(
        !lease.check_alive(),
        "over at ttl - safety_margin after the last write that can have been confirmed"
    );
    let reason = losses.one(SLACK).await;
    println!("lost at most {:?} after the bound: {reason:?}", now().saturating_since(bound));
    match reason {
        LostReason::Expired { last } => last,
        other => panic!("{other:?}"),
    }
}

pub async fn a_server_that_hangs_for_less_than_the_ttl_costs_nothing() {
    let fixture = Fixture::alone("hang-within").await;
    let Some(process) = process(&fixture) else { return };
    let ttl = Duration::from_secs(4);
    let lease = fixture.holder("a", ttl);
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    assert!(lease.acquire().await.unwrap());
    renewed(&mut events, ttl).await;
    let sampler = Sampler::start(std::slice::from_ref(&lease));
    let frozen = process.freeze();
    // Long enough that a renewal is due, is sent, and times out.
    next_event(&mut events, "trouble with a renewal", ttl, |event| {
        matches!(event, Event::Trouble { problem: Problem::Timeout, .. }).then_some(())
    })
    .await;
    drop(frozen);
    assert_goes_on(&lease, &losses, &fixture, ttl).await;
    let seen = sampler.stop();
    assert_eq!(seen.nobody, 0, "held all along: {seen:?}");
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn a_server_that_hangs_for_longer_than_the_ttl_costs_the_lease_in_time() {
    let fixture = Fixture::alone("hang-beyond").await;
    let Some(process) = process(&fixture) else { return };
    let lease = fixture.holder("a", Duration::from_secs(2));
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    assert!(lease.acquire().await.unwrap());
    let token = lease.held().unwrap().token;
    renewed(&mut events, lease.config().ttl()).await;
    let sampler = Sampler::start(std::slice::from_ref(&lease));
    let frozen = process.freeze();
    let bound = now().saturating_add(lease.config().validity());
    let last = assert_lost_in_time(&lease, &losses, bound).await;
    assert!(matches!(last, Some(Problem::Timeout | Problem::Transport)), "the cause rides along: {last:?}");
    let seen = sampler.stop();
    assert!(seen.last_held.unwrap() <= bound, "{seen:?}, the bound is {bound:?}");
    // Asked while the server hangs: an error, not a "no".
    let blind = lease.acquire().await;
    assert!(blind.is_err(), "{blind:?}");

    drop(frozen);
    let again = lease.campaign().await.unwrap();
    assert!(again > token, "a new term");
    assert!(lease.check_alive());
    let stored = fixture.object().await;
    fixture.renewed_after(&stored, lease.config().ttl()).await;
    assert_eq!(losses.all().len(), 1);
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn a_server_that_is_killed_and_back_within_the_ttl_costs_nothing() {
    let fixture = Fixture::alone("kill-within").await;
    let Some(process) = restartable(&fixture) else {
        return;
    };
    // A server needs seconds to start: a long ttl, but frequent renewals.
    let ttl = Duration::from_secs(60);
    let config =
        fixture.config("a", ttl).renew_interval(ms(1000)).request_timeout(ms(1000)).retry_delay(ms(200));
    let lease = fixture.spawn(config);
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    assert!(lease.acquire().await.unwrap());
    renewed(&mut events, ttl).await;
    let sampler = Sampler::start(std::slice::from_ref(&lease));
    let killed = process.kill();
    let began = now();
    next_event(&mut events, "trouble with a renewal", ttl, |event| {
        matches!(event, Event::Trouble { problem: Problem::Transport, .. }).then_some(())
    })
    .await;
    assert!(lease.last_transport_error().is_some(), "said in words");
    killed.restart().await;
    println!("the server was away for {:?}", now().saturating_since(began));
    assert_goes_on(&lease, &losses, &fixture, ttl).await;
    let seen = sampler.stop();
    assert_eq!(seen.nobody, 0, "held all along: {seen:?}");
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

pub async fn a_server_that_is_killed_for_longer_than_the_ttl_costs_the_lease_in_time() {
    let fixture = Fixture::alone("kill-beyond").await;
    let Some(process) = restartable(&fixture) else {
        return;
    };
    let lease = fixture.holder("a", Duration::from_secs(2));
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    // A campaign takes it again by itself.
    let token = lease.campaign().await.unwrap();
    renewed(&mut events, lease.config().ttl()).await;
    let killed = process.kill();
    let bound = now().saturating_add(lease.config().validity());
    let last = assert_lost_in_time(&lease, &losses, bound).await;
    assert_eq!(last, Some(Problem::Transport));
    killed.restart().await;
    let began = now();
    let again = next_event(&mut events, "the next term", Duration::from_secs(20), |event| match event {
        Event::Acquired { token, .. } => Some(*token),
        _ => None,
    })
    .await;
    println!("held again {:?} after the server was ready", now().saturating_since(began));
    assert!(again > token);
    assert!(lease.check_alive());
    assert_eq!(losses.all().len(), 1);
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

crate::on_every_runtime! {
    a_server_that_hangs_for_less_than_the_ttl_costs_nothing
    a_server_that_hangs_for_longer_than_the_ttl_costs_the_lease_in_time
    a_server_that_is_killed_and_back_within_the_ttl_costs_nothing
    a_server_that_is_killed_for_longer_than_the_ttl_costs_the_lease_in_time
}
