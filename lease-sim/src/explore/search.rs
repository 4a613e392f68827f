//! Breadth first, so that the first counterexample is a shortest one.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use super::explain::explain;
use super::heal::heal;
use super::view::fingerprint;
use super::world::{Action, World};
use super::{Broken, Counterexample, Report, Settings};

/// Explores a configuration to its end, to a violation or to its bound.
pub fn explore(settings: &Settings) -> Report {
    let mut explorer = Explorer::new(settings.clone());
    while explorer.step() {}
    explorer.into_report()
}

/// A search that goes on step by step, for those who show its progress.
#[derive(Debug)]
pub struct Explorer {
    settings: Settings,
    seen: HashSet<u128, BuildHasherDefault<Spread>>,
    /// How every state was first reached, by its number: from which one, by what.
    origins: Vec<(u32, Action)>,
    frontier: Vec<(u32, World)>,
    next: Vec<(u32, World)>,
    report: Report,
}

/// Fingerprints are spread already.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, word: u128) {
        self.0 = word as u64;
    }
}

impl Explorer {
    /// At the beginning.
    pub fn new(settings: Settings) -> Self {
        let mut explorer = Self {
            settings,
            seen: HashSet::default(),
            origins: Vec::new(),
            frontier: Vec::new(),
            next: Vec::new(),
            report: Report {
                states: 0,
                generated: 0,
                depth: 0,
                held: 0,
                healed: 0,
                complete: false,
                violation: None,
            },
        };
        let start = World::start(&explorer.settings);
        explorer.visit(start, 0, Action::Time);
        std::mem::swap(&mut explorer.frontier, &mut explorer.next);
        explorer
    }

    /// Goes one step deeper; false when that was the end.
    pub fn step(&mut self) -> bool {
        let mut actions = Vec::new();
        for (number, world) in std::mem::take(&mut self.frontier) {
            world.actions(&self.settings, &mut actions);
            if self.settings.reversed {
                actions.reverse();
            }
            for action in &actions {
                self.visit(world.after(*action, &self.settings), number, *action);
                if self.report.violation.is_some() {
                    return false;
                }
            }
            if self.report.states > self.settings.most_states {
                return false;
            }
        }
        if self.next.is_empty() {
            self.report.complete = true;
            return false;
        }
        std::mem::swap(&mut self.frontier, &mut self.next);
        self.report.depth += 1;
        true
    }

    /// What was found so far.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What was found.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.report
    }

    fn visit(&mut self, world: World, from: u32, by: Action) {
        self.report.generated += 1;
        let print = fingerprint(&world, &self.settings);
        if !self.seen.insert(print) {
            return;
        }
        let number = u32::try_from(self.origins.len()).unwrap_or(u32::MAX);
        self.origins.push((from, by));
        self.report.states += 1;
        let held = world.somebody_holds(&self.settings);
        self.report.held += usize::from(held);
        if let Some(broken) = world.violation(&self.settings) {
            return self.report_violation(broken, &self.path_to(number));
        }
        if let Some((broken, tail)) = self.cannot_heal(&world, print, held) {
            let mut path = self.path_to(number);
            path.extend(tail);
            return self.report_violation(broken, &path);
        }
        self.next.push((number, world));
    }

    fn report_violation(&mut self, broken: Broken, path: &[Action]) {
        let schedule = explain(&self.settings, path);
        self.report.violation = Some(Counterexample { broken, schedule });
    }

    fn cannot_heal(&mut self, world: &World, print: u128, held: bool) -> Option<(Broken, Vec<Action>)> {
        let liveness = self.settings.liveness?;
        let chosen = ((print >> 64) as u64).is_multiple_of(liveness.one_of.max(1));
        if held || !chosen {
            return None;
        }
        self.report.healed += 1;
        let tail = heal(world, &self.settings, liveness.within)?;
        Some((Broken::Stuck { ticks: liveness.within }, tail))
    }

    fn path_to(&self, mut number: u32) -> Vec<Action> {
        let mut path = Vec::new();
        while number > 0 {
            let (from, by) = self.origins[number as usize];
            path.push(by);
            number = from;
        }
        path.reverse();
        path
    }
}
