//! Many holders, one lease.

use std::time::Duration;

use crate::adapter::{Clock, FencingToken, Lease, MonoTime, ReleaseOutcome, SystemClock};
use futures_of::join_all;

use crate::cluster::Fixture;
use crate::doomed::Doomed;
use crate::support::sampler::{Sampler, Seen};
use crate::support::{eventually, ms};

const HOLDERS: usize = 12;
const TTL: Duration = Duration::from_secs(2);

/// The little of a futures library that is needed here.
mod futures_of {
    use std::future::Future;

    use tokio::task::JoinSet;

    /// Runs all at once; results in the order of completion.
    pub async fn join_all<T: Send + 'static>(
        all: impl IntoIterator<Item: Future<Output = T> + Send + 'static>,
    ) -> Vec<T> {
        all.into_iter().collect::<JoinSet<_>>().join_all().await
    }
}

fn now() -> MonoTime {
    SystemClock.now().mono
}

fn assert_never_two(seen: &Seen) {
    assert_eq!(seen.overlaps, Vec::<String>::new(), "two believed at once");
    assert!(seen.looks > 100, "{seen:?}");
}

pub async fn of_twelve_holders_exactly_one_acquires() {
    let fixture = Fixture::new("twelve").await;
    let leases: Vec<_> = (0..HOLDERS).map(|number| fixture.holder(&format!("h{number}"), TTL)).collect();
    let sampler = Sampler::start(&leases);
    for round in 0..3 {
        let answers =
            join_all(leases.iter().cloned().map(|lease| async move { lease.acquire().await })).await;
        let winners = answers.iter().filter(|answer| **answer == Ok(true)).count();
        let losers = answers.iter().filter(|answer| **answer == Ok(false)).count();
        assert_eq!((winners, losers), (1, HOLDERS - 1), "round {round}: {answers:?}");
        let holder = leases.iter().find(|lease| lease.check_alive()).expect("one holds");
        let object = fixture.object().await;
        assert_eq!(object["spec"]["holderIdentity"], holder.config().identity().as_str());
        assert_eq!(holder.release().await, Ok(ReleaseOutcome::Confirmed));
    }
    assert_never_two(&sampler.stop());
    for lease in leases {
        lease.shutdown().await.unwrap();
    }
    fixture.clean_up().await;
}

/// Who holds, sooner or later, of those that are still in the race.
async fn holder_of(leases: &[Lease], within: Duration) -> (usize, FencingToken) {
    eventually("somebody holds", within, || {
        let held = leases.iter().enumerate().find_map(|(at, lease)| Some((at, lease.held()?.token)));
        std::future::ready(held)
    })
    .await
}

pub async fn twelve_campaigns_pass_the_lease_on_and_never_two_hold() {
    let fixture = Fixture::new("campaigns").await;
    // Rule (a) alone, so that a wall clock that steps under the test cannot be blamed.
    let config = |number| fixture.config(&format!("h{number}"), TTL).max_clock_skew(None);
    let mut holders: Vec<_> = (0..HOLDERS).map(|number| Doomed::spawn(&fixture, config(number))).collect();
    let leases: Vec<_> = holders.iter().map(|holder| holder.lease.clone()).collect();
    let sampler = Sampler::start(&leases);
    for lease in &leases {
        let lease = lease.clone();
        tokio::spawn(async move { lease.campaign().await });
    }
    let mut last = FencingToken::from_u64(0);
    for turn in 0..8 {
        let (at, token) = holder_of(&leases, 4 * TTL).await;
        assert!(token > last, "tokens grow from holder to holder: {last}, then {token}");
        last = token;
        // Every other one is killed hard.
        if turn % 2 == 0 {
            assert_eq!(leases[at].release().await, Ok(ReleaseOutcome::Confirmed));
        } else {
            holders[at].kill();
            crate::support::until("the term ran out", TTL, || !leases[at].check_alive()).await;
        }
    }
    let seen = sampler.stop();
    assert_never_two(&seen);
    // Those that were released can be shorter than the thread's pause on a busy machine; those of the killed are not.
    assert!(seen.terms >= 4, "{seen:?}");
    println!(
        "{} looks at {HOLDERS} holders, longest gap {:?}, {} terms",
        seen.looks, seen.longest_gap, seen.terms
    );
    drop(holders);
    fixture.clean_up().await;
}

/// From the moment something happened to the moment at which another holds.
async fn takeover(contender: &Lease, began: MonoTime) -> Duration {
    let mut events = contender.events();
    if !contender.check_alive() {
        crate::support::next_event(&mut events, "the next term", 4 * TTL, |event| {
            matches!(event, crate::adapter::Event::Acquired { .. }).then_some(())
        })
        .await;
    }
    now().saturating_since(began)
}

pub async fn fail_over_times() {
    let fixture = Fixture::new("fail-over").await;
    let (mut released, mut killed) = (Vec::new(), Vec::new());
    for round in 0..5 {
        let mut first = Doomed::new(&fixture, &format!("first-{round}"), TTL);
        first.lease.acquire().await.unwrap();
        let second = fixture.holder(&format!("second-{round}"), TTL);
        let campaigning = second.clone();
        let campaign = tokio::spawn(async move { campaigning.campaign().await });
        // It has seen the record of the first.
        let mut events = second.events();
        crate::support::next_event(&mut events, "a look", TTL, |event| {
            matches!(event, crate::adapter::Event::HolderChanged { holder: Some(_) }).then_some(())
        })
        .await;
        tokio::time::sleep(ms(100 * round)).await;
        let began = now();
        assert_eq!(first.lease.release().await, Ok(ReleaseOutcome::Confirmed));
        released.push(takeover(&second, began).await);
        campaign.await.unwrap().unwrap();
        second.shutdown().await.unwrap();

        assert!(first.lease.acquire().await.unwrap());
        let third = fixture.holder(&format!("third-{round}"), TTL);
        let campaigning = third.clone();
        let campaign = tokio::spawn(async move { campaigning.campaign().await });
        tokio::time::sleep(ms(700 + 100 * round)).await;
        first.kill();
        let (began, until) = (now(), first.lease.held().expect("killed while it held").until);
        killed.push(takeover(&third, began).await);
        assert!(now() > until && !first.lease.check_alive(), "not before the killed one's own term was over");
        campaign.await.unwrap().unwrap();
        third.shutdown().await.unwrap();
    }
    println!("ttl {TTL:?}, polled every {:?} at most", TTL / 3);
    println!("fail-over after a release: {released:?}");
    println!("fail-over after a kill:    {killed:?}");
    // Loosely: polling after a release, the whole ttl after a kill, and time for a loaded machine.
    assert!(released.iter().all(|time| *time < TTL), "{released:?}");
    assert!(killed.iter().all(|time| *time < 2 * TTL), "{killed:?}");
    fixture.clean_up().await;
}

crate::on_every_runtime! {
    of_twelve_holders_exactly_one_acquires
    twelve_campaigns_pass_the_lease_on_and_never_two_hold
    fail_over_times
}
