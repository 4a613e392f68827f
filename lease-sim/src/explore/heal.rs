//! Bounded response: once nothing goes wrong any more, somebody holds before long.

use super::world::{Action, Exchange, World};
use super::{Broken, Settings};

/// Follows the one schedule without faults: what can happen happens at once, abandoned writes are lost, and
/// whoever is down or has given up comes back.
pub(super) fn heals(world: &World, settings: &Settings, within: u32) -> Result<(), Broken> {
    let mut world = world.clone();
    world.late.clear();
    for _ in 0..=within {
        while let Some(action) = due(&world, settings) {
            world = world.after(action, settings);
            if let Some(broken) = world.violation(settings) {
                return Err(broken);
            }
        }
        if world.somebody_holds(settings) {
            return Ok(());
        }
        world = world.after(Action::Time, settings);
    }
    Err(Broken::Stuck { ticks: within })
}

/// The first thing that a world without faults does not wait with.
fn due(world: &World, settings: &Settings) -> Option<Action> {
    let mut actions = Vec::new();
    world.actions(settings, &mut actions);
    actions.into_iter().find(|action| match action {
        Action::Wake(_) | Action::Arrive(_) | Action::Answer(_) | Action::Restart(_) => true,
        // Not while it still takes back what it wrote.
        Action::Campaign(index) => matches!(world.holders[usize::from(*index)].exchange, Exchange::Nothing),
        Action::Time
        | Action::Drift(_)
        | Action::Break(_)
        | Action::Land(_)
        | Action::Crash(_)
        | Action::Delete
        | Action::Release(_) => false,
    })
}
