//! What runs add up to: sums, maxima and sorted lists, so that their order does not matter.

use super::{Contestant, Failover, Requests, Row, Tally, Watch, fair};
use crate::plan::{MILLISECOND, Plan, SECOND};

/// What one contestant's runs add up to.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) agree: Tally,
    pub(super) differ: Tally,
    /// Requests of holders and of the others, and for how long there were so many of them, in nanoseconds.
    holder: (u64, u128),
    standby: (u64, u128),
    /// How long each failover took; `None`: nobody followed.
    crashes: Vec<Option<u64>>,
    releases: Vec<Option<u64>>,
}

impl Tally {
    /// Adds a run with faults.
    pub(super) fn add(&mut self, seed: u64, plan: &Plan, watch: &Watch) {
        let longest = plan.holders.iter().map(|holder| holder.ttl).max().unwrap_or(0);
        let stuck = watch.was_cut_short() || !watch.held_lately(2 * longest * MILLISECOND);
        // Whoever meddles opens a window by design. Fair plans have nobody who does.
        let dual = if watch.was_meddled_with() { 0 } else { watch.longest_dual_belief() };
        self.runs += 1;
        self.split_brain_runs += u64::from(dual > 0);
        self.longest_dual_belief = self.longest_dual_belief.max(dual);
        self.stuck_runs += u64::from(stuck);
        self.first_split_brain_seed = first(self.first_split_brain_seed, (dual > 0).then_some(seed));
        self.first_stuck_seed = first(self.first_stuck_seed, stuck.then_some(seed));
    }

    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.split_brain_runs += other.split_brain_runs;
        self.longest_dual_belief = self.longest_dual_belief.max(other.longest_dual_belief);
        self.stuck_runs += other.stuck_runs;
        self.first_split_brain_seed = first(self.first_split_brain_seed, other.first_split_brain_seed);
        self.first_stuck_seed = first(self.first_stuck_seed, other.first_stuck_seed);
    }
}

fn first(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// When the one event of a calm run comes, and how long it took until another followed. Nothing if the first
/// process did not hold then.
fn followed(plan: &Plan, watch: &Watch) -> Option<(u64, Option<u64>)> {
    let at = plan.faults.first()?.at;
    watch.belief_at(0, at)?;
    Some((at, watch.next_belief(Some(0), at).map(|next| next - at)))
}

impl Sums {
    /// A run without faults, at whose end the holder dies.
    pub(super) fn crash(&mut self, plan: &Plan, watch: &Watch) {
        let Some((at, took)) = followed(plan, watch) else {
            return;
        };
        self.crashes.push(took);
        let span = (fair::COUNTED_FROM, at);
        for seat in 0..plan.holders.len() as u8 {
            let sum = if seat == 0 { &mut self.holder } else { &mut self.standby };
            sum.0 += watch.requests(seat, span);
            sum.1 += u128::from(at - fair::COUNTED_FROM);
        }
    }

    /// A run without faults, at whose end the holder releases.
    pub(super) fn release(&mut self, plan: &Plan, watch: &Watch) {
        self.releases.extend(followed(plan, watch).map(|(_, took)| took));
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.agree.merge(other.agree);
        self.differ.merge(other.differ);
        for (sum, more) in [(&mut self.holder, other.holder), (&mut self.standby, other.standby)] {
            sum.0 += more.0;
            sum.1 += more.1;
        }
        self.crashes.extend(other.crashes);
        self.releases.extend(other.releases);
    }

    pub(super) fn row(self, contestant: Contestant) -> Row {
        let all = (self.holder.0 + self.standby.0, self.holder.1 + self.standby.1);
        Row {
            protocol: contestant.name(),
            version: contestant.version(),
            label: contestant.to_string(),
            tally: self.agree,
            clocks_differ: self.differ,
            requests_per_hour: Requests {
                holder: per_hour(self.holder),
                standby: per_hour(self.standby),
                process: per_hour(all),
            },
            after_crash: failover(self.crashes),
            after_release: failover(self.releases),
        }
    }
}

fn per_hour((requests, span): (u64, u128)) -> f64 {
    if span == 0 { 0.0 } else { requests as f64 * 3600.0 * SECOND as f64 / span as f64 }
}

fn failover(mut spans: Vec<Option<u64>>) -> Failover {
    // Who never follows comes last.
    spans.sort_unstable_by_key(|span| span.unwrap_or(u64::MAX));
    let median = spans.get(spans.len().saturating_sub(1) / 2).copied().flatten();
    Failover { runs: spans.len() as u64, median, worst: spans.last().copied().flatten() }
}
