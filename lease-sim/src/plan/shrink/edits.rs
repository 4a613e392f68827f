//! What can be made plainer in a plan, one thing at a time. Each function makes the change with a number.

use std::ops::Range;

use super::super::{
    Beginning, ClockPlan, Deed, Drive, Edit, Ending, Fate, FaultKind, MILLISECOND, Network, Plan, SECOND,
    WatchFaults, Way,
};

/// After the end of every run.
const NEVER: u64 = 24 * 3600 * SECOND;

/// Ends it earlier, where nobody says when it fails; and heals it earlier.
pub(super) fn length(plan: &mut Plan, number: usize) -> bool {
    let last = plan.faults.iter().map(|fault| fault.at + fault.what.span().unwrap_or(0)).max().unwrap_or(0);
    let spare = plan.length - plan.length.min(plan.heals_at);
    match number {
        0..8 => {
            // From a half to nearly nothing.
            let cut = plan.length >> (number + 1);
            cut_off(plan, plan.length.saturating_sub(cut));
        }
        8 if plan.heals_at < plan.length => (plan.heals_at, plan.length) = (last, last + spare),
        9..13 if plan.heals_at < plan.length => {
            let earlier = plan.heals_at - (plan.heals_at - last.min(plan.heals_at)) / (1 << (number - 8));
            (plan.heals_at, plan.length) = (earlier, earlier + spare);
        }
        8..13 => {}
        _ => return false,
    }
    true
}

fn cut_off(plan: &mut Plan, length: u64) {
    if length > 0 {
        super::trim(plan, length - 1);
    }
}

/// Leaves one holder out, the last first; or lets it never start, which moves no other to another place.
pub(super) fn drop_holder(plan: &mut Plan, number: usize) -> bool {
    let count = plan.holders.len();
    let (index, silent) = (number / 2, number % 2 == 1);
    if index >= count {
        return false;
    }
    let gone = count - 1 - index;
    if silent {
        // Where the faults end before the run does, everybody starts then.
        let never = plan.heals_at >= plan.length;
        if never && plan.faults.iter().all(|fault| fault.what.holder().map(usize::from) != Some(gone)) {
            plan.holders[gone].starts_at = NEVER;
        }
        return true;
    }
    if count == 1 {
        return true;
    }
    // Those who move keep their identities.
    for (place, holder) in (0_u8..).zip(&mut plan.holders) {
        if usize::from(place) > gone {
            holder.name.get_or_insert(place);
        }
    }
    plan.holders.remove(gone);
    let hits = |plan: &Plan, fault: usize| plan.faults[fault].what.holder().map(usize::from) == Some(gone);
    for fault in (0..plan.faults.len()).rev() {
        if hits(plan, fault) {
            cut_faults(plan, fault..fault + 1);
        }
    }
    for fault in &mut plan.faults {
        if let Some(holder) = fault.what.holder_mut().filter(|holder| usize::from(**holder) > gone) {
            *holder -= 1;
        }
    }
    remove_seat(plan, gone);
    true
}

/// Leaves out the fates of a seat; the later ones move up.
fn remove_seat(plan: &mut Plan, gone: usize) {
    if let Some(fates) = &mut plan.fates {
        fates.retain(|(key, _)| usize::from(key.holder) != gone);
        for (key, _) in fates.iter_mut().filter(|(key, _)| usize::from(key.holder) > gone) {
            key.holder -= 1;
        }
    }
}

/// Leaves faults out.
pub(super) fn cut_faults(plan: &mut Plan, range: Range<usize>) {
    for index in range.clone().rev() {
        if matches!(plan.faults[index].what, FaultKind::Twin { .. }) {
            let before = plan.faults[..index].iter();
            let twins = before.filter(|fault| matches!(fault.what, FaultKind::Twin { .. })).count();
            remove_seat(plan, plan.holders.len() + twins);
        }
    }
    plan.faults.drain(range);
}

/// Leaves fates out.
pub(super) fn cut_fates(plan: &mut Plan, range: Range<usize>) {
    if let Some(fates) = &mut plan.fates {
        fates.drain(range);
    }
}

/// What is the same for all holders, and what is there at the beginning and the end.
pub(super) fn whole(plan: &mut Plan, number: usize) -> bool {
    match number {
        0 => plan.ending = Ending::Quiet,
        1 => plan.beginning = Beginning::Absent,
        2 if plan.beginning != Beginning::Absent => plan.beginning = Beginning::Empty,
        3 if plan.fates.is_some() => plan.network = Network::good(),
        4 => plan.seed = 0,
        5 => plan.holders.iter_mut().for_each(|holder| holder.clock = ClockPlan::default()),
        6 => plan.holders.iter_mut().for_each(|holder| {
            (holder.takeover_delay, holder.foreign_holder_grace) = (0, 0);
            (holder.lateness, holder.wakes_early) = (0, false);
        }),
        7 => plan.holders.iter_mut().for_each(|holder| holder.vacate = false),
        8 => plan.holders.iter_mut().for_each(|holder| holder.contend = false),
        9 => plan.holders.iter_mut().for_each(|holder| holder.drive = Drive::Campaign),
        10 => plan.holders.iter_mut().for_each(|holder| {
            (holder.ttl, holder.margin, holder.request_timeout) = (15_000, 1_500, 3_000);
            (holder.max_clock_skew, holder.quarantine) = (holder.max_clock_skew.map(|_| 15_000), 15_000);
        }),
        11 => plan.holders.iter_mut().for_each(|holder| holder.max_clock_skew = Some(holder.ttl.max(10_000))),
        12 => plan.holders.iter_mut().for_each(|holder| holder.watch = false),
        13 => plan.watches = WatchFaults::default(),
        2 | 3 => {}
        _ => return false,
    }
    true
}

/// One thing that goes wrong with watches.
pub(super) fn watches(plan: &mut Plan, number: usize) -> bool {
    let watches = &mut plan.watches;
    match number {
        0 => watches.deaf = false,
        1 => watches.stalls = 0,
        2 => watches.short = 0,
        3 => watches.empty = 0,
        4 => watches.gone = 0,
        5 => watches.refused = 0,
        6 => watches.repeats = 0,
        7 => watches.drops = 0,
        8 => watches.late = 0,
        9 => watches.breaks = 0,
        10 => watches.garbage = 0,
        11 => watches.strangers = 0,
        12 => watches.cuts = 0,
        13 => watches.joins = 0,
        // What does not happen lasts for no time.
        14 if watches.stalls == 0 => watches.stall_span = 0,
        15 if watches.short == 0 => watches.short_span = 0,
        16 if watches.late == 0 => watches.late_span = 0,
        17 => watches.stall_span = round(watches.stall_span),
        18 => watches.short_span = round(watches.short_span),
        19 => watches.late_span = round(watches.late_span),
        14..=16 => {}
        _ => return false,
    }
    true
}

/// One thing about one holder.
pub(super) fn holder(plan: &mut Plan, number: usize) -> bool {
    const WAYS: usize = 17;
    let length = plan.length;
    let Some(holder) = plan.holders.get_mut(number / WAYS) else {
        return false;
    };
    match number % WAYS {
        0 => holder.clock = ClockPlan::default(),
        1 => holder.clock.rate = 0,
        2 => holder.clock.wave = 0,
        3 => holder.clock.origin = 0,
        4 => holder.clock.wall_offset = 0,
        5 => holder.lateness = 0,
        6 => holder.wakes_early = false,
        7 => holder.takeover_delay = 0,
        8 => holder.foreign_holder_grace = 0,
        9 => holder.drive = Drive::Campaign,
        10 if holder.quarantine >= 15_000 => {
            (holder.ttl, holder.margin, holder.request_timeout) = (15_000, 1_500, 3_000);
        }
        11 => holder.margin = holder.ttl / 10,
        12 => holder.request_timeout = holder.ttl / 5,
        13 if holder.starts_at < length => holder.starts_at = 0,
        14 if holder.starts_at < length => holder.starts_at = round(holder.starts_at),
        15 => holder.max_clock_skew = Some(holder.ttl.max(10_000)),
        16 => holder.watch = false,
        _ => {}
    }
    true
}

/// All delays at once.
pub(super) fn delays(plan: &mut Plan, number: usize) -> bool {
    let fates = plan.fates.iter_mut().flatten();
    match number {
        0 => fates.for_each(|(_, fate)| (fate.there, fate.back) = (Fate::PLAIN.there, Fate::PLAIN.back)),
        1 => fates.for_each(|(_, fate)| (fate.there, fate.back) = (round(fate.there), round(fate.back))),
        _ => return false,
    }
    true
}

/// One thing about one request.
pub(super) fn fates(plan: &mut Plan, number: usize) -> bool {
    const WAYS: usize = 9;
    let Some((_, fate)) = plan.fates.as_mut().and_then(|fates| fates.get_mut(number / WAYS)) else {
        return false;
    };
    match number % WAYS {
        0 => fate.deed = Deed::Carry,
        1 => fate.pause_after = 0,
        2 => fate.pause_before = 0,
        3 => fate.there = Fate::PLAIN.there,
        4 => fate.back = Fate::PLAIN.back,
        5 => {
            (fate.there, fate.back) = (round(fate.there), round(fate.back));
            (fate.pause_after, fate.pause_before) = (round(fate.pause_after), round(fate.pause_before));
            fate.deed = rounded(fate.deed);
        }
        6 => {
            fate.deed = match fate.deed {
                Deed::Late(_)
                | Deed::LateError(_)
                | Deed::Error(_)
                | Deed::Throttle(_)
                | Deed::ResetBefore
                | Deed::Refuse => Deed::LoseRequest,
                Deed::Copy(_) | Deed::Echo(_) | Deed::Masked(_) | Deed::Garble(_) | Deed::ResetAfter => {
                    Deed::LoseReply
                }
                other => other,
            };
        }
        7 => fate.pause_after /= 2,
        _ => fate.pause_before /= 2,
    }
    true
}

fn rounded(deed: Deed) -> Deed {
    match deed {
        Deed::Late(after) => Deed::Late(round(after)),
        Deed::LateError(after) => Deed::LateError(round(after)),
        Deed::Copy(after) => Deed::Copy(round(after)),
        Deed::Echo(after) => Deed::Echo(round(after)),
        Deed::Stale(after) => Deed::Stale(round(after)),
        Deed::Masked(_) => Deed::Masked(500),
        Deed::Error(_) => Deed::Error(500),
        other => other,
    }
}

/// One thing about one fault.
pub(super) fn faults(plan: &mut Plan, number: usize) -> bool {
    const WAYS: usize = 4;
    let Some(fault) = plan.faults.get_mut(number / WAYS) else {
        return false;
    };
    match number % WAYS {
        0 => {
            if let Some(span) = fault.what.span_mut() {
                *span = round(*span);
            }
        }
        1 => {
            if let Some(span) = fault.what.span_mut() {
                *span /= 2;
            }
        }
        2 => match &mut fault.what {
            FaultKind::Partition { way, .. } => *way = Way::Both,
            FaultKind::WallStep { offset, .. } => *offset = *offset / 1_000_000 * 1_000_000,
            FaultKind::ClockBack { by, .. } | FaultKind::AnswerFromPast { by, .. } => *by = round(*by),
            FaultKind::Admin { edit } => {
                *edit = match *edit {
                    Edit::Strip | Edit::Finalize => Edit::Label,
                    Edit::Recreate => Edit::Delete,
                    other => other,
                }
            }
            _ => {}
        },
        _ => fault.at = round(fault.at),
    }
    plan.faults.sort_by_key(|fault| fault.at);
    true
}

/// Everything earlier: what lies between two faults, or before the first, is made shorter.
pub(super) fn times(plan: &mut Plan, number: usize) -> bool {
    const CUTS: usize = 4;
    let index = number / CUTS;
    if index > plan.faults.len() {
        return false;
    }
    let heals = plan.heals_at < plan.length;
    let at = match plan.faults.get(index) {
        Some(fault) => fault.at,
        None if heals => plan.heals_at,
        None => return false,
    };
    let before = index.checked_sub(1).map_or(0, |before| plan.faults[before].at);
    let gap = at - before;
    let by = match number % CUTS {
        0 => gap / 2,
        1 => gap / 4,
        2 => gap / 10,
        _ => gap - round(gap),
    };
    for fault in &mut plan.faults[index..] {
        fault.at -= by;
    }
    if heals {
        plan.heals_at -= by;
        plan.length -= by;
    }
    true
}

/// Down to a number that is easy to read.
const fn round(span: u64) -> u64 {
    let unit = if span >= 2 * SECOND {
        SECOND
    } else if span >= 200 * MILLISECOND {
        100 * MILLISECOND
    } else if span >= 2 * MILLISECOND {
        MILLISECOND
    } else {
        1
    };
    span / unit * unit
}
