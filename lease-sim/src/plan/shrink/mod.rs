//! Shrinking: from a plan that fails to a small one that fails in the same way.
//!
//! First the network is spelled out: a list of what happens to single requests replaces the chances, so that
//! each of them can be left out. Then the run is cut off where it fails, holders, faults and fates are left
//! out (delta debugging: Zeller and Hildebrandt, 2002), and what remains is made as plain as possible. Because
//! fates are drawn by the number of a request and not from one stream, whatever is left out leaves the others
//! as they were.

mod edits;

use std::ops::Range;

use super::{Deed, Fate, FaultKind, Plan, RequestKey, SECOND};

/// What is left of a failing plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest plan that failed.
    pub plan: Plan,
    /// How many plans were tried.
    pub tries: u32,
}

/// A small plan that still fails. `fails` runs a plan and says when it fails, in nanoseconds of true time, if
/// it does so *in the same way*; `budget` is how often it is asked at most. A plan that does not fail comes
/// back as it is.
pub fn shrink(plan: &Plan, budget: u32, mut fails: impl FnMut(&Plan) -> Option<u64>) -> Shrunk {
    let mut tries = 1;
    let Some(at) = fails(plan) else {
        return Shrunk { plan: plan.clone(), tries };
    };
    let mut shrinker = Shrinker::new(plan.clone());
    shrinker.failed_at(at);
    while tries < budget {
        let Some(candidate) = shrinker.candidate() else {
            break;
        };
        tries += 1;
        match fails(&candidate) {
            Some(at) => shrinker.accept(candidate, Some(at)),
            None => shrinker.reject(),
        }
    }
    Shrunk { plan: shrinker.finish(), tries }
}

/// The same step by step: it proposes plans, somebody else says whether they fail.
#[derive(Clone, Debug)]
pub struct Shrinker {
    best: Plan,
    /// Where in [`STAGES`].
    stage: usize,
    /// How many candidates of a stage of edits were looked at; where in the list, in a stage that cuts.
    position: usize,
    /// How much a stage that cuts takes out at once; 0: it has not begun.
    chunk: usize,
    /// Whether something was accepted since the stages began last.
    progress: bool,
    /// Whether the best plan ends right where it fails.
    exact: bool,
}

/// Changes a plan in the way with this number. `false`: there is no such way, and no later one.
type Edit = fn(&mut Plan, usize) -> bool;

/// Something that is tried in every way before the next begins.
enum Stage {
    Edits(Edit),
    /// Leaves parts of a list out.
    Cuts(fn(&Plan) -> usize, fn(&mut Plan, Range<usize>)),
}

const STAGES: &[Stage] = &[
    Stage::Edits(edits::length),
    Stage::Edits(spell_out),
    Stage::Edits(edits::drop_holder),
    Stage::Cuts(|plan| plan.faults.len(), edits::cut_faults),
    Stage::Cuts(|plan| plan.fates.as_ref().map_or(0, Vec::len), edits::cut_fates),
    Stage::Edits(edits::delays),
    Stage::Edits(edits::whole),
    Stage::Edits(edits::watches),
    Stage::Edits(edits::holder),
    Stage::Edits(edits::fates),
    Stage::Edits(edits::faults),
    Stage::Edits(edits::times),
];

impl Shrinker {
    /// Begins with a plan that fails.
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self { best: plan, stage: 0, position: 0, chunk: 0, progress: false, exact: false }
    }

    /// The smallest plan so far that failed.
    #[must_use]
    pub const fn best(&self) -> &Plan {
        &self.best
    }

    /// The smallest plan that failed, tidied up.
    #[must_use]
    pub fn finish(self) -> Plan {
        self.best
    }

    /// The plan that it began with fails at this instant: nothing after it matters.
    pub fn failed_at(&mut self, at: u64) {
        self.exact = true;
        trim(&mut self.best, at);
    }

    /// A plan that is smaller than the best one and may fail as well; `None`: there is none any more.
    pub fn candidate(&mut self) -> Option<Plan> {
        loop {
            let Some(stage) = STAGES.get(self.stage) else {
                if !std::mem::take(&mut self.progress) {
                    return None;
                }
                self.stage = 0;
                continue;
            };
            let mut plan = self.best.clone();
            if self.exact {
                loosen(&mut plan);
            }
            let before = plan.clone();
            let more = match stage {
                Stage::Edits(edit) => edit(&mut plan, self.position),
                Stage::Cuts(length, cut) => match self.next_cut(length(&self.best)) {
                    Some(range) => {
                        cut(&mut plan, range);
                        true
                    }
                    None => false,
                },
            };
            if !more {
                (self.stage, self.position, self.chunk) = (self.stage + 1, 0, 0);
            } else if plan == before || plan.check().is_err() {
                self.reject();
            } else {
                return Some(plan);
            }
        }
    }

    /// The last candidate failed, at this instant if that is known.
    pub fn accept(&mut self, candidate: Plan, at: Option<u64>) {
        let before = std::mem::replace(&mut self.best, candidate);
        if let Some(at) = at {
            self.failed_at(at);
        }
        if self.best == before {
            return self.reject();
        }
        // The next part has moved to this one's place; an edit may have more to do at the same place.
        self.progress = true;
    }

    /// The last candidate did not fail.
    pub fn reject(&mut self) {
        self.position += self.chunk.max(1);
    }

    /// Halves, then quarters, then single ones.
    fn next_cut(&mut self, length: usize) -> Option<Range<usize>> {
        if length == 0 {
            return None;
        }
        if self.chunk == 0 {
            self.chunk = length;
        }
        if self.position >= length {
            if self.chunk == 1 {
                return None;
            }
            (self.position, self.chunk) = (0, self.chunk.min(length).div_ceil(2));
        }
        Some(self.position..(self.position + self.chunk).min(length))
    }
}

impl Plan {
    /// How much goes wrong in it: its faults, and what happens to single requests where that is spelled out.
    #[must_use]
    pub fn events(&self) -> usize {
        let fates = self.fates.as_deref().unwrap_or_default();
        self.faults.len() + fates.iter().filter(|(_, fate)| *fate != Fate::PLAIN).count()
    }
}

/// Leaves out what comes after the failure: nothing of it can have mattered.
fn trim(plan: &mut Plan, at: u64) {
    plan.length = plan.length.min(at + 1);
    plan.faults.retain(|fault| fault.at <= at);
    if plan.heals_at > at {
        plan.heals_at = plan.length;
        for fault in &mut plan.faults {
            let room = plan.heals_at.saturating_sub(fault.at);
            if let Some(span) = fault.what.span_mut() {
                *span = (*span).min(room);
            }
        }
    }
}

/// Gives a failure room to come a little later.
fn loosen(plan: &mut Plan) {
    let room = plan.holders.iter().map(|holder| 2 * holder.ttl * 1_000_000).max().unwrap_or(0);
    if plan.heals_at >= plan.length {
        for fault in &mut plan.faults {
            // What lasted to the end lasts to the end.
            let at = fault.at;
            if let Some(span) = fault.what.span_mut().filter(|span| at + **span >= plan.heals_at) {
                *span += room;
            }
        }
        plan.heals_at += room;
    }
    plan.length += room;
}

/// Replaces the chances of the network by what comes of them.
fn spell_out(plan: &mut Plan, number: usize) -> bool {
    if plan.fates.is_some() {
        return false;
    }
    let usual = plan.network.least_delay + plan.network.more_delay;
    let odd = |fate: &Fate| {
        fate.deed != Deed::Carry || fate.pause_after.max(fate.pause_before) > 0 || slow(fate, usual)
    };
    plan.fates = Some(match number {
        // Perhaps it does not fail by what happens to requests at all.
        0 => Vec::new(),
        1 => fates(plan).filter(|(_, fate)| odd(fate)).collect(),
        2 => fates(plan).collect(),
        _ => return false,
    });
    true
}

fn slow(fate: &Fate, usual: u64) -> bool {
    fate.there.max(fate.back) > usual
}

/// The fates of all requests that the plan's holders can make, and of more.
fn fates(plan: &Plan) -> impl Iterator<Item = (RequestKey, Fate)> + '_ {
    let mut restarts = vec![1_u32; plan.holders.len()];
    for fault in &plan.faults {
        match fault.what {
            FaultKind::Crash { holder, .. } | FaultKind::Replace { holder, .. } => {
                restarts[usize::from(holder)] += 1;
            }
            FaultKind::Twin { .. } => restarts.push(1),
            _ => {}
        }
    }
    let shortest = plan.holders.iter().map(|holder| holder.ttl).min().unwrap_or(1_000);
    // A poll or a renewal in a third of the ttl; the tries after conflicts and trouble come on top.
    let numbers = 8 + plan.length.min(3_600 * SECOND) / (shortest * 1_000_000 / 6);
    let keys = (0..).zip(restarts).flat_map(move |(holder, incarnations)| {
        (1..=incarnations).flat_map(move |incarnation| {
            (1..=numbers).map(move |number| RequestKey { holder, incarnation, number })
        })
    });
    keys.map(|key| (key, plan.drawn_fate(key, false)))
}
