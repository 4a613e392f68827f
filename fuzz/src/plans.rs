//! Bytes as the choices that make a plan, or as a plan's text.

use lease_sim::plan::{Plan, Swarm, Tape};
use lease_sim::world::World;

/// Runs what the bytes say; panics when an invariant does not hold.
pub fn run(bytes: &[u8]) {
    match bytes.split_first() {
        Some((b'{', _)) => text(bytes),
        Some((first, rest)) => choices(*first, rest),
        None => {}
    }
}

/// Every plan that can be drawn can be run, and nothing in it breaks an invariant.
fn choices(first: u8, rest: &[u8]) {
    let swarm =
        Swarm { holders: 1 + (first >> 1) % 4, breaks_assumptions: first & 1 == 1, ..Swarm::default() };
    let seed = rest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let plan = swarm.draw(seed, &mut Tape::new(rest));
    assert_eq!(plan.check(), Ok(()), "a plan that may not be run was drawn");
    let violations = World::new(&plan).run().outcome.violations;
    assert!(violations.is_empty(), "{violations:?} in\n{}", plan.to_tape());
}

/// No text makes the reader panic, and none that it accepts makes the world panic.
fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(plan) = Plan::from_tape(text) else {
        return;
    };
    assert_eq!(Plan::from_tape(&plan.to_tape()).as_ref(), Ok(&plan));
    // Longer ones take too long for a fuzzer.
    if plan.length <= 700_000_000_000 && plan.holders.len() <= 4 {
        let _ = World::new(&plan).run();
    }
}
