//! What is left of a run.

use std::collections::BTreeMap;

use super::World;
use crate::compare::Watch;
use crate::oracle::{Marks, Violation};
use crate::plan::{Assumption, Drive, Fate, FaultKind, HolderPlan, Network};
use crate::trace::{Trace, What};

/// What is counted in a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) watches: u64,
    pub(super) terms: u64,
    pub(super) pauses: u64,
    /// Requests that reached the server after one that their sender sent later.
    pub(super) overtaken: u64,
    /// Requests and replies that took longer than most.
    pub(super) delayed: (u64, u64),
    pub(super) deeds: BTreeMap<&'static str, u64>,
    pub(super) faults: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Counts what happens to one request.
    pub(super) fn deed(&mut self, fate: Fate, network: &Network) {
        let usual = network.least_delay.saturating_add(network.more_delay);
        self.delayed.0 += u64::from(fate.there > usual);
        self.delayed.1 += u64::from(fate.back > usual);
        self.befell(fate.deed.name());
    }

    /// Counts what happens to a request, a watch or an event.
    pub(super) fn befell(&mut self, name: &'static str) {
        *self.deeds.entry(name).or_default() += 1;
    }
}

/// The figures of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first violation, or all where the run went on.
    pub violations: Vec<Violation>,
    /// The situations that were met.
    pub marks: Marks,
    /// The assumptions that the plan broke.
    pub broken: Vec<Assumption>,
    /// A hash of everything that happened.
    pub hash: u64,
    /// How much true time was simulated, in nanoseconds.
    pub simulated: u64,
    /// Requests that left holders, those for watches among them.
    pub requests: u64,
    /// Watches that holders asked for.
    pub watches: u64,
    /// Terms that began.
    pub terms: u64,
    /// Happenings that were queued.
    pub happenings: u64,
    /// Faults that were injected, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// The longest time that two or more holders believed at once, in nanoseconds.
    pub longest_overlap: u64,
    /// The time that two or more believed, in nanoseconds.
    pub total_overlap: u64,
    /// Whether somebody took a live record, or a part of it, from its holder.
    pub meddled: bool,
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its figures.
    pub outcome: Outcome,
    /// What happened, if it was to be kept.
    pub trace: Option<Trace>,
    /// Who believed when, if it was to be written down.
    pub(crate) watch: Option<Watch>,
}

impl World<'_> {
    pub(super) fn finish(mut self) -> Run {
        self.oracle.look(self.now);
        let meddled = self.oracle.meddled();
        let length = self.plan.length;
        self.watching(|watch, now| watch.finish(now, length, meddled));
        for violation in &self.oracle.violations {
            let what = What::Violation {
                invariant: violation.invariant.name().to_owned(),
                about: violation.about.clone(),
            };
            if let Some(trace) = &mut self.trace {
                trace.entries.push(crate::trace::Entry { at: violation.at, what });
            }
        }
        let mut faults = self.counts.faults;
        for (name, count) in self.counts.deeds.into_iter().filter(|(name, _)| *name != "carried") {
            *faults.entry(name).or_default() += count;
        }
        let counted = [
            ("process-stands-still", self.counts.pauses),
            ("overtaken", self.counts.overtaken),
            ("request-delayed", self.counts.delayed.0),
            ("reply-delayed", self.counts.delayed.1),
        ];
        for (name, count) in counted.into_iter().filter(|(_, count)| *count > 0) {
            *faults.entry(name).or_default() += count;
        }
        if let Some(trace) = &mut self.trace {
            trace.entries.sort_by_key(|entry| entry.at);
        }
        let outcome = Outcome {
            violations: self.oracle.violations,
            marks: self.oracle.marks,
            broken: self.plan.broken_assumptions(),
            hash: self.hash,
            simulated: self.now,
            requests: self.counts.requests,
            watches: self.counts.watches,
            terms: self.counts.terms,
            happenings: self.queue.pushed(),
            faults,
            longest_overlap: self.oracle.overlap.longest,
            total_overlap: self.oracle.overlap.total,
            meddled,
        };
        Run { outcome, trace: self.trace, watch: self.watch }
    }

    /// Counts a fault of the plan.
    pub(super) fn count_fault(&mut self, what: &FaultKind) {
        *self.counts.faults.entry(what.name()).or_default() += 1;
    }
}

/// A holder's settings, for people.
pub(super) fn about(plan: &HolderPlan) -> String {
    let policy = if plan.vacate { "Vacate" } else { "Delete" };
    let identity = if plan.contend { "Contend" } else { "Reclaim" };
    let drive = match plan.drive {
        Drive::Campaign => "campaign".to_owned(),
        Drive::Impatient(patience) => format!("cancels after {patience} ms"),
        Drive::TryAcquire(every) => format!("tries every {every} ms"),
    };
    let rate = plan.clock.rate;
    let watch = if plan.watch { ", watches" } else { "" };
    format!(
        "lease-core, ttl {} ms, margin {} ms, {policy}, {identity}, {drive}, clock {rate:+} ppm{watch}",
        plan.ttl, plan.margin
    )
}
