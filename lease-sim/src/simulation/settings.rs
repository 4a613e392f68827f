//! From what a simulation was set to, to the plan of a seed.

use std::time::Duration;

use crate::plan::{Beginning, Drive, Ending, FaultKind, HolderPlan, Network, Plan, Swarm, WatchFaults};

/// The time to live that a simulation can be set to.
pub(super) const TTL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// What goes wrong.
#[derive(Clone, Debug)]
pub(super) enum Faults {
    Swarm(Swarm),
    Calm,
    Plan(Box<Plan>),
}

/// What plans are made from.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) seed: u64,
    pub(super) holders: Option<u8>,
    pub(super) ttl: Option<Duration>,
    pub(super) length: Option<Duration>,
    pub(super) faults: Faults,
    pub(super) answer_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            holders: None,
            ttl: None,
            length: None,
            // A storage that is restored from a backup gives old fencing tokens out again, and so on: nothing
            // that a component could be blamed for.
            faults: Faults::Swarm(Swarm { breaks_assumptions: false, ..Swarm::default() }),
            answer_timeout: Duration::from_secs(5),
        }
    }
}

impl Settings {
    /// The plan of a seed.
    pub(super) fn plan(&self, seed: u64) -> Plan {
        let swarm = match &self.faults {
            Faults::Plan(plan) => return Plan { seed, ..Plan::clone(plan) },
            Faults::Swarm(swarm) => *swarm,
            Faults::Calm => Swarm { breaks_assumptions: false, ..Swarm::default() },
        };
        let mut plan = Swarm { holders: self.holders.unwrap_or(swarm.holders), ..swarm }.plan(seed);
        if matches!(self.faults, Faults::Calm) {
            calm(&mut plan);
        }
        if let Some(ttl) = self.ttl {
            rescale(&mut plan.holders, ttl.as_millis() as u64);
        }
        if let Some(length) = self.length {
            stretch(&mut plan, length.as_nanos() as u64);
        }
        plan
    }
}

fn calm(plan: &mut Plan) {
    plan.network = Network::good();
    plan.watches = WatchFaults::default();
    plan.faults.clear();
    plan.beginning = Beginning::Absent;
    plan.ending = Ending::Quiet;
    for holder in &mut plan.holders {
        holder.lateness = 0;
        holder.wakes_early = false;
    }
}

/// Gives all holders another time to live, and everything that was drawn for the old one its share of it.
fn rescale(holders: &mut [HolderPlan], ttl: u64) {
    let bound = |holders: &[HolderPlan]| holders.iter().map(HolderPlan::most_rate).min().unwrap_or(0);
    let before = bound(holders);
    for holder in &mut *holders {
        let HolderPlan { ttl: old, margin, request_timeout, takeover_delay, drive, .. } = holder;
        let share = |span: &mut u64| *span = (u128::from(*span) * u128::from(ttl) / u128::from(*old)) as u64;
        share(margin);
        share(request_timeout);
        share(takeover_delay);
        if let Drive::TryAcquire(every) | Drive::Impatient(every) = drive {
            share(every);
            *every = (*every).max(1);
        }
        *old = ttl;
        holder.quarantine = holder.duration();
    }
    // Seconds that were rounded up may have allowed a clock to be worse than these margins bear. A clock that
    // was drawn to break the assumption still does.
    let after = bound(holders);
    for holder in holders.iter_mut().filter(|holder| holder.clock.rate.abs() <= before) {
        holder.clock.rate = holder.clock.rate.clamp(-after, after);
    }
}

/// Makes a plan longer or shorter; faults still end where they would, in proportion.
fn stretch(plan: &mut Plan, length: u64) {
    let old = plan.length;
    let share = |at: u64| (u128::from(at) * u128::from(length) / u128::from(old)) as u64;
    plan.heals_at = share(plan.heals_at);
    plan.length = length;
    for holder in &mut plan.holders {
        holder.starts_at = holder.starts_at.min(share(holder.starts_at));
    }
    for fault in &mut plan.faults {
        fault.at = share(fault.at);
        cut(&mut fault.what, plan.heals_at.saturating_sub(fault.at));
    }
}

/// Ends a fault after `most` at the latest.
fn cut(what: &mut FaultKind, most: u64) {
    match what {
        FaultKind::Pause { span, .. }
        | FaultKind::Suspend { span, .. }
        | FaultKind::Crash { span, .. }
        | FaultKind::Replace { span, .. }
        | FaultKind::Twin { span, .. }
        | FaultKind::Release { span, .. }
        | FaultKind::WallFreeze { span, .. }
        | FaultKind::Partition { span, .. }
        | FaultKind::Outage { span }
        | FaultKind::SlowMotion { span, .. }
        | FaultKind::Refuse { span, .. }
        | FaultKind::ForbidWatches { span }
        | FaultKind::LabelStorm { span, .. }
        | FaultKind::Namespace { span }
        | FaultKind::Terminating { span } => *span = (*span).min(most),
        _ => debug_assert!(what.span().is_none(), "{what:?} lasts and is not cut"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(ttl: Duration, length: Option<Duration>) -> Settings {
        Settings { ttl: Some(ttl), length, ..Settings::default() }
    }

    #[test]
    fn another_time_to_live_keeps_every_plan_valid_and_within_the_assumptions() {
        for millis in [2_000, 2_001, 7_500, 15_000, 300_000] {
            let settings = settings(Duration::from_millis(millis), None);
            for seed in 0..200 {
                let plan = settings.plan(seed);
                assert!(plan.holders.iter().all(|holder| holder.ttl == millis));
                assert_eq!(plan.broken_assumptions(), [], "seed {seed}, ttl {millis} ms");
                // Settings that are not valid panic here.
                let _ = crate::world::World::new(&plan);
            }
        }
    }

    #[test]
    fn no_fault_outlives_the_faults_of_a_plan_of_another_length() {
        for seconds in [10, 100, 86_400] {
            let settings = settings(Duration::from_secs(15), Some(Duration::from_secs(seconds)));
            for seed in 0..200 {
                let plan = settings.plan(seed);
                assert_eq!(plan.length, seconds * 1_000_000_000);
                assert!(plan.heals_at < plan.length);
                for fault in &plan.faults {
                    let end = fault.at + fault.what.span().unwrap_or(0);
                    assert!(end <= plan.heals_at, "seed {seed}: {fault:?}");
                }
            }
        }
    }

    #[test]
    fn a_calm_plan_has_no_faults() {
        let settings = Settings { faults: Faults::Calm, ..Settings::default() };
        for seed in 0..50 {
            let plan = settings.plan(seed);
            assert_eq!((plan.faults, plan.network), (Vec::new(), Network::good()));
            assert!(plan.watches.is_plain());
        }
    }
}
