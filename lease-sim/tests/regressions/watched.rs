//! Schedules of holders that watch.

use lease_sim::oracle::Mark;
use lease_sim::plan::{Edit, FaultKind, WatchFaults};

use super::builder::{Expect, SECOND, Schedule, s};
use Expect::{Holds, Idle, Met, Terms, Told};

/// Both watch.
fn new(name: &'static str, about: &'static str) -> Schedule {
    Schedule::new(name, about).each(|holder| holder.watch = true)
}

fn with(mut schedule: Schedule, watches: WatchFaults) -> Schedule {
    schedule.plan.watches = watches;
    schedule
}

fn release(at: f64, schedule: Schedule) -> Schedule {
    schedule.fault(at, FaultKind::Release { holder: 0, span: s(60.0 - at) })
}

const ALWAYS: u32 = 1_000_000;

pub(crate) fn all() -> Vec<Schedule> {
    vec![
        release(
            20.0,
            new("wa-1-told-of-a-release", "a contender hears of a release long before its next poll"),
        )
        .expect([Met(Mark::WatchWoke), Idle(0, 20.0), Holds(1, 20.05)]),
        with(
            release(20.0, new("wa-2-told-of-nothing", "every watch is open, and none ever tells anything")),
            WatchFaults { deaf: true, ..WatchFaults::default() },
        )
        .expect([Idle(1, 20.05), Holds(1, 26.0)]),
        new("wa-3-told-of-a-deletion", "a holder hears of a deletion long before its next renewal")
            .fault(20.0, FaultKind::Admin { edit: Edit::Delete })
            .expect([Met(Mark::LostByWatch), Told(0, "Deleted", 20.0, 20.01)]),
        new("wa-4-told-of-a-stranger", "a holder hears at once of somebody who took its record")
            .fault(20.0, FaultKind::Admin { edit: Edit::Stranger { seconds: 60 } })
            .expect([Met(Mark::LostByWatch), Told(0, "TakenOver", 20.0, 20.01), Idle(1, 59.0)]),
        release(
            18.0,
            new("wa-5-release-during-a-read", "what a watch tells is newer than what a slow read brings"),
        )
        .fate(1, 5, |fate| fate.back = 2 * SECOND)
        .expect([Met(Mark::WatchInAttempt), Idle(1, 19.0), Holds(1, 19.05)]),
        with(
            new(
                "wa-6-gone-and-told-again",
                "410, then what there is, then 410 again: no record is renewed meanwhile",
            ),
            WatchFaults {
                gone: ALWAYS / 2,
                empty: ALWAYS / 4,
                short: ALWAYS,
                short_span: 5_000_000,
                ..WatchFaults::default()
            },
        )
        .expect([Met(Mark::WatchGone), Met(Mark::WatchReopened), Holds(0, 59.0), Terms(1)]),
        with(
            new("wa-7-events-of-another", "bookmarks and other objects' events, which nobody asked for"),
            WatchFaults { strangers: ALWAYS, ..WatchFaults::default() },
        )
        .expect([Holds(0, 59.0), Terms(1)]),
        with(
            new("wa-8-told-late", "everything that is told is late by up to ten seconds")
                .fault(20.0, FaultKind::Admin { edit: Edit::Delete }),
            WatchFaults { late: ALWAYS, late_span: s(10.0), ..WatchFaults::default() },
        )
        .expect([Met(Mark::WatchStale), Told(0, "Deleted", 20.0, 25.1)]),
    ]
}
