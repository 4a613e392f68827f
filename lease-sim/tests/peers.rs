//! The models of other protocols, one by one: what each sends, and what it makes of answers that no API server
//! gives. `tests/compare.rs` holds them against what was measured of the real programs otherwise.

#[path = "peers/schedules.rs"]
mod schedules;
#[path = "peers/world.rs"]
mod world;

use std::ops::RangeInclusive;
use std::time::Duration;

use lease_core::Input;
use lease_sim::protocol::ProtocolKind::{
    self, ClientGo, KubeLeaderElection, KubeLeaseManager, KubernetesLease, Kubert,
};
use world::{Link, SECOND, World};

/// Contenders out of phase, somewhere in a term, and who leads.
fn settled(kind: ProtocolKind, seed: u64, ttl: u64, count: usize) -> (World, usize) {
    let mut world = World::campaigning(kind, seed, ttl, count, Duration::from_secs(ttl));
    let wait = 3 * ttl * SECOND + world.below(3 * ttl * SECOND);
    world.run_for(wait);
    assert!(world.run_until(world.now + 3 * ttl * SECOND, |world| world.leader().is_some()));
    let leader = world.leader().expect("somebody leads");
    (world, leader)
}

#[test]
fn c_requests_per_minute_are_those_measured() {
    // ttl 15, one standby: by verb, of the holder and of the standby. Measured: client-go GET 29.9, PUT 29.9
    // and GET 20; kubert PATCH 6 and APPLY 6 (all refused with 409), GET 6; kube-leader-election GET 11,
    // PATCH 12 and GET 12 in the steady state; kube-lease-manager GET 6, PATCH 6 and GET 6.
    type Expected = [(usize, &'static str, u16, RangeInclusive<f64>)];
    let expected: [(ProtocolKind, &Expected); 4] = [
        (
            ClientGo,
            &[(0, "GET", 200, 29.0..=30.5), (0, "PUT", 200, 29.0..=30.5), (1, "GET", 200, 17.0..=21.0)],
        ),
        (Kubert, &[(0, "PATCH", 200, 5.9..=6.1), (1, "PATCH", 409, 5.9..=6.1), (1, "GET", 200, 5.9..=6.1)]),
        (
            KubeLeaderElection,
            &[(0, "GET", 200, 11.0..=12.1), (0, "PATCH", 200, 11.0..=12.1), (1, "GET", 200, 11.0..=12.1)],
        ),
        (
            KubeLeaseManager,
            &[(0, "GET", 200, 5.9..=6.1), (0, "PATCH", 200, 5.9..=6.1), (1, "GET", 200, 5.9..=6.1)],
        ),
    ];
    for (kind, expected) in expected {
        let (mut world, leader) = settled(kind, 7, 15, 2);
        let began = world.now;
        world.run_for(600 * SECOND);
        let mut explained = 0;
        for (role, verb, status, range) in expected {
            let who = if *role == 0 { leader } else { 1 - leader };
            let fits = |entry: &&(u64, usize, String, u16)| {
                entry.0 >= began && entry.1 == who && entry.2 == *verb && entry.3 == *status
            };
            let count = world.log.iter().filter(fits).count();
            explained += count;
            let rate = count as f64 / 10.0;
            assert!(range.contains(&rate), "{kind} {role} {verb} {status}: {rate} not in {range:?}");
        }
        let all = world.log.iter().filter(|entry| entry.0 >= began).count();
        assert_eq!(explained, all, "{kind} sends nothing else");
    }
}

#[test]
fn every_protocol_acquires_renews_releases_and_is_deterministic() {
    for kind in ProtocolKind::ALL {
        let run = || {
            let (mut world, leader) = settled(kind, 11, 6, 3);
            world.command(leader, Input::Release);
            let next = world.next_holder(leader, 30 * SECOND);
            world.run_for(20 * SECOND);
            let events: Vec<_> = world.processes.iter().map(|process| process.events.clone()).collect();
            (leader, next, events, world.holder(), world.log)
        };
        let once = run();
        assert_eq!(once, run(), "{kind}: equal seeds, equal runs");
        let (leader, next, events, holder, _) = once;
        let told = |index: usize, wanted: &str| {
            events[index].iter().filter(|(_, event)| format!("{event:?}").starts_with(wanted)).count()
        };
        assert_eq!(told(leader, "Acquired"), 1, "{kind}: {:?}", events[leader]);
        assert!(told(leader, "Renewed") > 2, "{kind}");
        assert_eq!(told(leader, "Released"), 1, "{kind}");
        assert_eq!(told(leader, "ReleaseEnded { outcome: Confirmed"), 1, "{kind}: {:?}", events[leader]);
        assert_eq!(holder, next.map(|(next, _)| format!("process-{next}")), "{kind}");
    }
}

#[test]
fn a_single_try_is_answered() {
    for kind in [KubernetesLease, KubeLeaderElection, Kubert] {
        let mut world = World::new(3);
        let (first, second) = (world.add(kind, 6), world.add(kind, 6));
        world.command(first, Input::TryAcquire);
        world.run_for(SECOND);
        world.command(second, Input::TryAcquire);
        world.run_for(SECOND);
        let answer = |index: usize| format!("{:?}", world.processes[index].events);
        assert!(answer(first).contains("outcome: Acquired"), "{kind}: {}", answer(first));
        assert!(answer(second).contains("outcome: Denied"), "{kind}: {}", answer(second));
        assert_eq!(world.leader(), Some(first), "{kind}");
    }
}

#[test]
fn a_lone_holder_goes_on_after_a_stall_and_a_cut() {
    for kind in ProtocolKind::ALL {
        let (mut world, leader) = settled(kind, 5, 6, 1);
        world.freeze(leader);
        world.run_for(15 * SECOND);
        world.thaw(leader);
        world.run_for(20 * SECOND);
        assert!(world.believes(leader), "{kind} after a stall");
        // kubert's task is dead after four failed attempts, as documented.
        if kind != Kubert {
            world.cut(leader, Link::Refused);
            world.run_for(15 * SECOND);
            world.cut(leader, Link::Up);
        }
        world.run_for(20 * SECOND);
        assert!(world.believes(leader), "{kind} after a cut");
        assert_eq!(world.holder(), Some("process-0".to_owned()), "{kind}");
        assert!(world.log.len() < 400, "{kind}: {} requests", world.log.len());
    }
}

/// Answers that no API server gives: nothing may panic, spin or wait for the past.
#[test]
fn odd_answers_are_survived() {
    const BODIES: [&str; 8] = [
        "",
        "[]",
        r#"{"kind": "Lease"}"#,
        r#"{"kind": "Lease", "spec": 5, "metadata": 7}"#,
        r#"{"kind": "Lease", "spec": {"holderIdentity": "process-0"}}"#,
        r#"{"kind": "Lease", "metadata": {"resourceVersion": "x"}, "spec": {"holderIdentity": "process-0",
            "leaseDurationSeconds": 0, "renewTime": "1970-01-01T00:00:00.000000Z",
            "leaseTransitions": 9223372036854775807}}"#,
        r#"{"kind": "Lease", "metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": "other",
            "leaseDurationSeconds": 18446744073709551615, "renewTime": "9999-12-31T23:59:59.999999Z",
            "leaseTransitions": 9223372036854775807}}"#,
        r#"{"kind": "Lease", "metadata": {"resourceVersion": "9"}, "spec": {"holderIdentity": "other",
            "leaseDurationSeconds": 1, "renewTime": "1970-01-01T00:00:00.000000Z", "leaseTransitions": -1}}"#,
    ];
    for kind in ProtocolKind::ALL {
        for seed in 0..20 {
            let mut world = World::new(seed);
            let only = world.add(kind, 3);
            for _ in 0..60 {
                match world.below(12) {
                    0 => world.command(only, Input::TryAcquire),
                    1 => world.command(only, Input::Release),
                    2 => world.command(only, Input::Tick),
                    3..=5 => world.command(only, Input::Campaign),
                    _ => {}
                }
                let status = [200, 201, 200, 404, 409, 500][world.below(6) as usize];
                let body = BODIES[world.below(BODIES.len() as u64) as usize];
                world.answer_with = Some((status, body));
                // Some of them repeat a conflict without a pause, so not for long.
                let time = world.below(SECOND / 5);
                world.run_for(time);
                assert!(world.log.len() < 20_000, "{kind} spins");
            }
        }
    }
}
