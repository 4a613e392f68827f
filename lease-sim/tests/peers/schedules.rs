//! Documented flaws, each by its schedule.

use lease_core::{Event, Input, LostReason};
use lease_sim::protocol::ProtocolKind::{ClientGo, KubeLeaderElection, KubeLeaseManager, KubernetesLease};

use super::settled;
use super::world::{Link, SECOND, World, seconds};

/// AT-1: `checkAlive()` is a flag. After a stall it is true until the 409 is there.
#[test]
fn kubernetes_lease_believes_after_a_stall() {
    for seed in 0..10 {
        let (mut world, leader) = settled(KubernetesLease, seed, 6, 3);
        let stopped = world.now;
        world.freeze(leader);
        let (next, _) = world.next_holder(leader, 15 * SECOND).expect("somebody takes over");
        world.run_until(stopped + 15 * SECOND, |_| false);
        let woke = world.now;
        assert!(world.thaw(leader) && world.believes(next), "seed {seed}");
        world.run_for(SECOND);
        let dual = world.believed_for(leader, woke).expect("the 409 ends it");
        assert!((0.001..=0.002).contains(&dual), "seed {seed}: one round trip, not {dual}");
    }
}

/// AT-2: a renewal that vanishes is waited for for 10 s, whatever the ttl: two holders for up to 6.7 s.
#[test]
fn kubernetes_lease_outlives_its_ttl_when_a_renewal_vanishes() {
    for seed in 0..10 {
        let (mut world, leader) = settled(KubernetesLease, seed, 5, 3);
        let renewals = world.log.len();
        assert!(world.run_until(world.now + 5 * SECOND, |world| {
            world.log[renewals..].iter().any(|entry| entry.1 == leader && entry.2 == "PUT")
        }));
        world.run_for(SECOND / 100);
        let renewed = world.now;
        world.cut(leader, Link::Silent);
        world.run_for(20 * SECOND);
        let believed = world.believed_for(leader, renewed).expect("the timeout ends it");
        assert!((11.6..=11.7).contains(&believed), "seed {seed}: {believed}");
        let overlap = world.longest_overlap();
        // The takeover comes at 5 s or one look (1.7 s) later.
        assert!((4.9..=6.71).contains(&overlap), "seed {seed}: {overlap}");
    }
}

/// AT-3: the DELETE has no preconditions. A late release removes the successor's object, and a third acquires
/// beside the successor, which notices at its next PUT.
#[test]
fn kubernetes_lease_deletes_the_successors_object() {
    let mut splits = 0;
    for seed in 0..10 {
        let (mut world, leader) = settled(KubernetesLease, seed, 6, 3);
        world.freeze(leader);
        let (next, _) = world.next_holder(leader, 15 * SECOND).expect("somebody takes over");
        world.run_for(3 * SECOND);
        let uid = world.object().unwrap()["metadata"]["uid"].clone();
        // The shutdown hook runs before the timer does.
        world.command(leader, Input::Release);
        assert!(world.thaw(leader));
        let released = world.now;
        world.run_for(SECOND / 100);
        assert!(world.object().is_none_or(|object| object["metadata"]["uid"] != uid), "seed {seed}");
        world.run_for(6 * SECOND);
        let deleted = |(at, event): &(u64, Event)| {
            *at > released && matches!(event, Event::Lost { reason, .. } if *reason != LostReason::Cleared)
        };
        assert!(world.processes[next].events.iter().any(deleted), "seed {seed}: its next PUT fails");
        let overlap = world.longest_overlap_since(released);
        assert!(overlap < 2.01, "seed {seed}: at most a renewal period, not {overlap}");
        splits += usize::from(overlap > 0.01);
    }
    assert!(splits > 0, "the third one looked before the successor's PUT in none of 10 runs");
}

/// AT-4: renewals overlap. A slow one makes the next one conflict with it, and the term is lost although the
/// record names its holder.
#[test]
fn kubernetes_lease_conflicts_with_itself() {
    let (mut world, leader) = settled(KubernetesLease, 1, 6, 2);
    world.slow.insert(leader, 22 * SECOND / 10);
    let began = world.now;
    assert!(world.run_until(began + 10 * SECOND, |world| !world.believes(leader)));
    let lost = world.processes[leader].events.last().map(|(_, event)| event.clone());
    assert!(matches!(lost, Some(Event::Lost { reason: LostReason::TakenOver { .. }, .. })), "{lost:?}");
    assert_eq!(world.holder(), Some(format!("process-{leader}")));
    assert!(world.log.iter().all(|entry| entry.1 == leader || entry.2 == "GET" || entry.0 < began));
}

/// KM-3: the clear of an expired record has no precondition. One that is late wipes the new holder's record.
#[test]
fn kube_lease_manager_clears_the_successors_record() {
    let (mut world, leader) = settled(KubeLeaseManager, 2, 6, 3);
    world.kill(leader);
    let killed = world.log.len();
    let late = |world: &World| world.log[killed..].iter().find(|entry| entry.2 == "GET").map(|entry| entry.1);
    assert!(world.run_until(world.now + 10 * SECOND, |world| late(world).is_some()));
    // It has read the expired record; what it sends from now on is slow.
    let late = late(&world).unwrap();
    world.slow.insert(late, SECOND / 4);
    world.run_for(3 * SECOND);
    let overlap = world.longest_overlap();
    assert!(overlap > 1.0, "both believe until the first one's renewal: {overlap}");
}

/// KM-2: a Lease that is deleted is never created again, and its holder's channel stays true.
#[test]
fn kube_lease_manager_is_stuck_without_the_object() {
    let (mut world, leader) = settled(KubeLeaseManager, 3, 6, 2);
    assert_eq!(world.administer("DELETE", "").status(), 200);
    world.run_for(60 * SECOND);
    assert!(world.believes(leader) && world.object().is_none());
}

/// KE-6: a record with null fields, as other clients leave it, is an error for ever.
#[test]
fn kube_leader_election_is_stuck_with_a_blank_record() {
    let mut world = World::new(5);
    let blank = r#"{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "leader"}, "spec": {}}"#;
    assert_eq!(world.administer("POST", blank).status(), 201);
    let only = world.add(KubeLeaderElection, 6);
    world.command(only, Input::Campaign);
    world.run_for(60 * SECOND);
    assert_eq!(world.acquired(), 0);
}

/// A release that cancels a GET of client-go's sends nothing, and the record has to expire. Some of the
/// measured leases were left behind so.
#[test]
fn client_go_leaves_the_record_behind_when_a_read_was_under_way() {
    let (mut world, leader) = settled(ClientGo, 4, 6, 3);
    let before = world.log.len();
    assert!(world.run_until(world.now + SECOND, |world| {
        world.log[before..].iter().any(|entry| entry.1 == leader && entry.2 == "GET")
    }));
    world.command(leader, Input::Release);
    let released = world.now;
    world.run_for(SECOND);
    assert_eq!(world.holder(), Some(format!("process-{leader}")));
    let (_, taken) = world.next_holder(leader, 10 * SECOND).expect("somebody takes over");
    assert!(taken + seconds(SECOND) > 5.0, "after the ttl, not {taken} s after {released}");
}
