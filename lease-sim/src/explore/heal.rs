//! Bounded response: once nothing goes wrong any more, somebody holds before long.

use super::Settings;
use super::world::{Action, Exchange, World};

/// Follows the one schedule without faults: what can happen happens at once, abandoned writes are lost, and
/// whoever is down or has given up comes back. Returns what was done where that did not help. Whether
/// anything else breaks on the way is not looked at: the search passes through these states as well.
pub(super) fn heal(world: &World, settings: &Settings, within: u32) -> Option<Vec<Action>> {
    let mut world = world.clone();
    let mut done = Vec::new();
    world.late.clear();
    for _ in 0..=within {
        while let Some(action) = due(&world, settings) {
            done.push(action);
            world = world.after(action, settings);
        }
        if world.somebody_holds(settings) {
            return None;
        }
        done.push(Action::Time);
        world = world.after(Action::Time, settings);
    }
    Some(done)
}

/// The first thing that a world without faults does not wait with.
fn due(world: &World, settings: &Settings) -> Option<Action> {
    let mut actions = Vec::new();
    world.actions(settings, &mut actions);
    actions.into_iter().find(|action| match action {
        Action::Wake(_) | Action::Arrive(_) | Action::Answer(_) | Action::Restart(_) | Action::Make(_) => {
            true
        }
        // Not while it still takes back what it wrote.
        Action::Campaign(index) => matches!(world.holders[usize::from(*index)].exchange, Exchange::Nothing),
        Action::Time
        | Action::Drift(_)
        | Action::Break(_)
        | Action::Land(_)
        | Action::Crash(_)
        | Action::Delete
        | Action::Copy
        | Action::Remove
        | Action::Release(_) => false,
    })
}
