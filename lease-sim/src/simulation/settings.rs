//! From what a simulation was set to, to the plan of a seed.

use std::time::Duration;

use crate::plan::{Beginning, Drive, Ending, FaultKind, HolderPlan, Network, Plan, Swarm};

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
        let old = u128::from(holder.ttl);
        let share = |span: u64| (u128::from(span) * u128::from(ttl) / old) as u64;
        holder.margin = share(holder.margin);
        holder.request_timeout = share(holder.request_timeout);
        holder.takeover_delay = share(holder.takeover_delay);
        if let Drive::TryAcquire(every) = &mut holder.drive {
            *every = share(*every).max(1);
        }
        holder.ttl = ttl;
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
        | FaultKind::Twin { span, .. }
        | FaultKind::Release { span, .. }
        | FaultKind::WallFreeze { span, .. }
        | FaultKind::Partition { span, .. }
        | FaultKind::Outage { span }
        | FaultKind::SlowMotion { span, .. }
        | FaultKind::Refuse { span, .. }
        | FaultKind::LabelStorm { span, .. }
        | FaultKind::Namespace { span } => *span = (*span).min(most),
        _ => debug_assert!(what.span().is_none(), "{what:?} lasts and is not cut"),
    }
}
