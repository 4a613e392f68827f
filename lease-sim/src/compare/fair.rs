//! Plans that are fair to everybody: what a protocol is not made for is not held against it.

use crate::plan::{
    Beginning, ClockPlan, Edit, Ending, Fault, FaultKind, HolderPlan, MILLISECOND, Network, Plan, SECOND,
    Seeded, Source, WatchFaults,
};

/// How far from true time wall clocks are at most where clocks do not agree, in microseconds.
const WALL_BOUND: i64 = 1_000_000;
/// How much too fast or too slow clocks run at most there, in millionths: as far as NTP corrects them.
const RATE_BOUND: i32 = 500;
/// The shortest ttl, in milliseconds.
const LEAST_TTL: u64 = 5_000;
/// The ttl of calm runs, in milliseconds: what client-go documents.
const CALM_TTL: u64 = 15_000;
/// The domain of what is drawn for calm runs.
const CALM: u64 = 0x6361_6c6d;
/// When everybody has settled in a calm run, and requests are counted from.
pub(super) const COUNTED_FROM: u64 = 60 * SECOND;

/// Whether clocks agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// All are perfect.
    Agree,
    /// Wall clocks are up to a second off, and all run up to 500 ppm too fast or too slow.
    Differ,
}

/// Takes out of a plan what would be unfair to some.
///
/// * One ttl for all, whole seconds of at least five; everybody campaigns.
/// * Nobody deletes, clears or edits the record, or takes it by hand: every protocol has to leave a window
///   then. Labels are set and annotations stripped.
/// * No twins, no clocks that stop or go back, no reads of older states and no garbled or mixed-up answers,
///   which a real API server behind TLS does not give.
/// * No record that names nobody is there at the beginning: some protocols read one as an error for ever. And
///   none of a holder's own identity with a ttl that is not its own, which some take for their own.
#[must_use]
pub fn fair(mut plan: Plan, clocks: Clocks) -> Plan {
    let ttl = plan.holders.first().map_or(CALM_TTL, |first| first.duration().max(LEAST_TTL));
    let differ = clocks == Clocks::Differ;
    for holder in &mut plan.holders {
        let ClockPlan { wave, rate, wall_offset, .. } = holder.clock;
        let clock = ClockPlan {
            wave,
            rate: rate % (RATE_BOUND + 1),
            wall_offset: wall_offset % (WALL_BOUND + 1),
            origin: 0,
        };
        *holder = HolderPlan {
            vacate: holder.vacate,
            contend: holder.contend,
            lateness: holder.lateness,
            clock: if differ { clock } else { ClockPlan::default() },
            ..HolderPlan::usual(ttl, holder.starts_at)
        };
    }
    plan.faults.retain_mut(|fault| match &mut fault.what {
        FaultKind::Pause { .. }
        | FaultKind::Crash { .. }
        | FaultKind::Release { .. }
        | FaultKind::Partition { .. }
        | FaultKind::Outage { .. }
        | FaultKind::SlowMotion { .. }
        | FaultKind::Refuse { .. }
        | FaultKind::LabelStorm { .. } => true,
        // Not every protocol has a word for it, and a crash is what it is.
        FaultKind::Replace { holder, span } => {
            fault.what = FaultKind::Crash { holder: *holder, span: *span };
            true
        }
        FaultKind::Admin { edit } => matches!(edit, Edit::Label | Edit::Strip),
        FaultKind::WallStep { offset, .. } => {
            *offset %= WALL_BOUND + 1;
            differ
        }
        _ => false,
    });
    plan.network.stale_reads = 0;
    plan.network.garbage = 0;
    plan.ending = Ending::Quiet;
    plan.beginning = match plan.beginning {
        Beginning::Empty => Beginning::Absent,
        Beginning::Reclaimable => Beginning::JustDied,
        other => other,
    };
    plan
}

/// A run in which nothing happens but that the first process, which holds, dies or releases.
pub(super) fn calm(seed: u64, holders: u8, releases: bool) -> Plan {
    let mut source = Seeded::new(seed, CALM);
    let ttl = CALM_TTL * MILLISECOND;
    // The first has the lease before the others come, out of phase.
    let starts: Vec<u64> = (0..u64::from(holders))
        .map(|index| if index == 0 { 0 } else { 2 * SECOND + source.below(ttl) })
        .collect();
    // At any instant between two renewals.
    let at = COUNTED_FROM + 120 * SECOND + source.below(4 * ttl);
    let length = at + 90 * SECOND;
    let (holder, span) = (0, 600 * SECOND);
    let what = if releases { FaultKind::Release { holder, span } } else { FaultKind::Crash { holder, span } };
    Plan {
        seed,
        length,
        heals_at: length,
        beginning: Beginning::Absent,
        holders: starts.into_iter().map(|starts_at| HolderPlan::usual(CALM_TTL, starts_at)).collect(),
        network: Network::good(),
        faults: vec![Fault { at, what }],
        watches: WatchFaults::default(),
        fates: None,
        ending: Ending::Quiet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Swarm;

    #[test]
    fn fair_plans_keep_all_assumptions_and_some_faults() {
        let mut faults = 0;
        for seed in 0..300 {
            for clocks in [Clocks::Agree, Clocks::Differ] {
                let plan = fair(Swarm::default().plan(seed), clocks);
                assert_eq!(plan.broken_assumptions(), [], "{seed}");
                faults += plan.faults.len();
                let ttls: Vec<u64> = plan.holders.iter().map(|holder| holder.ttl).collect();
                assert!(ttls[0] >= 5_000 && ttls.iter().all(|ttl| *ttl == ttls[0] && ttl % 1000 == 0));
                let perfect = plan.holders.iter().all(|holder| holder.clock == ClockPlan::default());
                assert!(clocks == Clocks::Differ || perfect);
            }
        }
        assert!(faults > 1_000, "{faults}");
    }
}
