//! The view, put to the test: equal fingerprints, equal behaviour.

use std::collections::BTreeMap;

use super::view::fingerprint;
use super::world::{Action, Exchange, World};
use super::{Expected, NamedSettings, Settings, named};
use crate::splitmix;

/// Chooses among a handful of actions.
struct Choice(u64);

impl Choice {
    fn among(&mut self, number: usize) -> usize {
        (splitmix::next(&mut self.0) >> 33) as usize % number
    }
}

fn actions(world: &World, settings: &Settings) -> Vec<Action> {
    let mut actions = Vec::new();
    world.actions(settings, &mut actions);
    actions
}

/// What the world can see of a state: who believes, what is under way, what can happen.
fn seen(world: &World, settings: &Settings) -> String {
    let mut seen = format!("{:?} {:?}", actions(world, settings), world.violation(settings).is_some());
    for (index, holder) in world.holders.iter().enumerate() {
        let exchange = match &holder.exchange {
            Exchange::Nothing => "nothing".to_owned(),
            Exchange::Under(_, call) => call.method.to_string(),
            Exchange::Answered(_, answer) => answer.status.to_string(),
        };
        let status = holder.lease.as_ref().map(|lease| lease.status());
        seen.push_str(&format!("; {} {exchange} {status:?}", world.believes(index, settings)));
    }
    seen
}

/// Whether two states behave alike: in every next step, and along one long random continuation.
fn assert_alike(one: &World, other: &World, settings: &Settings, choice: &mut Choice) {
    let mut pair = (one.clone(), other.clone());
    for step in 0..12 {
        assert_eq!(seen(&pair.0, settings), seen(&pair.1, settings), "step {step}");
        let actions = actions(&pair.0, settings);
        if step == 0 {
            for action in &actions {
                let (one, other) = (pair.0.after(*action, settings), pair.1.after(*action, settings));
                let prints = [&one, &other].map(|world| fingerprint(world, settings));
                assert_eq!(prints[0], prints[1], "{action:?} of\n{:#?}\n{:#?}", pair.0, pair.1);
            }
        }
        let action = actions[choice.among(actions.len())];
        pair = (pair.0.after(action, settings), pair.1.after(action, settings));
    }
}

fn all() -> BTreeMap<&'static str, NamedSettings> {
    named().into_iter().map(|row| (row.name, row)).collect()
}

/// Random walks until states turn up for the second time, by another path.
fn compare(mut settings: Settings, walks: usize) -> usize {
    // The holders keep their places, so that the same action means the same.
    settings.symmetric = false;
    let mut choice = Choice(7);
    let mut known: BTreeMap<u128, World> = BTreeMap::new();
    let mut compared = 0;
    for _ in 0..walks {
        let mut world = World::start(&settings);
        for _ in 0..60 {
            let actions = actions(&world, &settings);
            world = world.after(actions[choice.among(actions.len())], &settings);
            let print = fingerprint(&world, &settings);
            match known.get(&print) {
                None => {
                    known.insert(print, world.clone());
                }
                // Where less time has passed another path was taken for certain.
                Some(other) if other.time != world.time && choice.among(3) == 0 => {
                    assert_alike(&world, other, &settings, &mut choice);
                    compared += 1;
                }
                Some(_) => {}
            }
        }
    }
    compared
}

#[test]
fn equal_fingerprints_behave_alike() {
    let all = all();
    let mut everything = all["late-drift"].settings.clone();
    (everything.crashes, everything.breaks) = (2, true);
    for settings in [
        everything,
        all["release"].settings.clone(),
        all["vacate-delete"].settings.clone(),
        all["existing-remake"].settings.clone(),
        all["rule-b"].settings.clone(),
        all["twins-contend"].settings.clone(),
        all["patient"].settings.clone(),
    ] {
        let compared = compare(settings, if cfg!(debug_assertions) { 60 } else { 2000 });
        assert!(compared > 20, "{compared}");
    }
}

#[test]
fn every_named_configuration_is_valid() {
    let rows = named();
    for row in &rows {
        assert!(row.settings.holders.len() > 1, "{}", row.name);
        for config in &row.settings.holders {
            let validity = config.validity();
            assert!(validity <= config.ttl(), "{}", row.name);
        }
    }
    assert_eq!(all().len(), rows.len(), "names are unique");
    assert!(rows.iter().any(|row| row.expected == Expected::Violated));
}

#[test]
fn fingerprints_tell_holders_apart_unless_they_are_exchangeable() {
    let mut settings = all()["smallest"].settings.clone();
    let start = World::start(&settings);
    let [one, other] = [0, 1].map(|index| start.after(Action::Arrive(index), &settings));
    assert_eq!(fingerprint(&one, &settings), fingerprint(&other, &settings));
    settings.symmetric = false;
    assert_ne!(fingerprint(&one, &settings), fingerprint(&other, &settings));
}
