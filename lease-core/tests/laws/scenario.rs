//! What may go wrong between two or three machines and one API server.

use lease_core::ReleasePolicy;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::fleet::{MILLISECOND, SECOND, TROUBLED};
use super::plan::Command;

/// What makes one run differ from another, beside its fates and its script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: ReleasePolicy,
    /// All members have one identity, and know it: `SameIdentity::Contend`.
    pub(crate) shared_identity: bool,
    /// Whether records may vanish behind everybody's back.
    pub(crate) deletes: bool,
    /// Nobody creates or deletes but an administrator, who does both, also from copies of earlier records.
    pub(crate) existing: bool,
    /// Single attempts and releases only, and many requests that arrive late.
    pub(crate) slow: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) rules: Rules,
    pub(crate) members: Vec<Clocks>,
    /// Whether wall clocks may decide. If so they stay within half of `max_clock_skew`.
    pub(crate) walls_decide: bool,
    /// Whether contenders look often, so that they take over as early as they may.
    pub(crate) eager: bool,
    /// Whether they watch. What becomes of each event is a fate, too: late, twice, never, out of order.
    pub(crate) watch: bool,
    pub(crate) fates: Vec<Fate>,
    pub(crate) script: Vec<(u64, usize, Act)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) ttl_millis: u64,
    pub(crate) offset: u64,
    /// Local seconds in a million true ones.
    pub(crate) rate: u64,
    pub(crate) wall_error: i64,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) there: u64,
    pub(crate) back: u64,
    pub(crate) kind: FateKind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum FateKind {
    Good,
    /// It never arrives; `bool`: and the sender is told so.
    NotSent(bool),
    /// It arrives, the answer does not; `bool`: and the sender is told that something broke.
    NoReply(bool),
    /// It arrives once more after that many milliseconds.
    Copied(u64),
    /// The server refuses without looking.
    Busy(u16),
    /// It takes effect, and something between answers with an error.
    Masked(u16),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Command(Command),
    /// The process dies, and another one with its identity starts.
    Restart,
    /// The process does not run for that many milliseconds; its clock does.
    Sleep(u64),
    /// The wall clock is now off by this part of what it may be, in percent.
    Wall(i64),
    Label,
    StripNonce,
    Finalizers(bool),
    Delete,
    /// An administrator deletes the object, if there is one, and makes another: from the copy with this number
    /// (one is made before each act), or a blank one.
    Remake(Option<usize>),
}

pub(crate) fn scenarios(rules: Rules) -> impl Strategy<Value = Scenario> {
    let clocks = (
        select(vec![1800_u64, 2000, 2500, 3000]),
        0..1_000_000 * SECOND,
        prop_oneof![select(vec![950_000_u64, 1_050_000]), 950_000..1_050_001_u64],
        -100..101_i64,
    )
        .prop_map(|(ttl_millis, offset, rate, wall_error)| Clocks {
            ttl_millis,
            offset,
            rate,
            wall_error,
        });
    let (some, few) = if rules.slow { (6, 6) } else { (3, 1) };
    let delays = prop_oneof![
        20 => 0..30_u64,
        some => 200..900_u64,
        few => 1000..9000_u64,
    ];
    let kinds = prop_oneof![
        40 => Just(FateKind::Good),
        2 => any::<bool>().prop_map(FateKind::NotSent),
        4 => any::<bool>().prop_map(FateKind::NoReply),
        2 => (0..6000_u64).prop_map(FateKind::Copied),
        2 => select(vec![401_u16, 429, 503]).prop_map(FateKind::Busy),
        2 => select(vec![500_u16, 504]).prop_map(FateKind::Masked),
    ];
    let fate = (delays.clone(), delays, kinds).prop_map(|(there, back, kind)| Fate { there, back, kind });
    let acts = prop_oneof![
        10 => Just(Act::Command(Command::TryAcquire)),
        8 => Just(Act::Command(Command::Campaign)),
        6 => Just(Act::Command(Command::Release)),
        2 => Just(Act::Restart),
        4 => (0..6000_u64).prop_map(Act::Sleep),
        3 => (-100..101_i64).prop_map(Act::Wall),
        2 => Just(Act::Label),
        1 => Just(Act::StripNonce),
        1 => any::<bool>().prop_map(Act::Finalizers),
        4 => Just(if rules.deletes { Act::Delete } else { Act::Label }),
    ];
    let acts = if rules.slow {
        select(vec![Act::Command(Command::TryAcquire), Act::Command(Command::Release)]).boxed()
    } else if rules.existing {
        let remakes = proptest::option::of(0..100_usize).prop_map(Act::Remake);
        prop_oneof![7 => acts, 1 => remakes].boxed()
    } else {
        acts.boxed()
    };
    (
        vec(clocks, 2..4),
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.7),
        vec(fate, 1..120),
        vec((0..TROUBLED / MILLISECOND, 0..3_usize, acts), 2..40),
    )
        .prop_map(move |(members, walls_decide, eager, watch, fates, script)| Scenario {
            rules,
            members,
            walls_decide,
            eager,
            watch,
            fates,
            script,
        })
}

/// The argument at its edge: a slow clock holds and stops, a fast one waits for it and looks often.
pub(crate) fn razors() -> impl Strategy<Value = Scenario> {
    let rules = Rules {
        policy: ReleasePolicy::Delete,
        shared_identity: false,
        deletes: false,
        existing: false,
        slow: false,
    };
    let stops = 2000..TROUBLED / MILLISECOND - 10_000;
    (scenarios(rules), edited(), stops).prop_map(|(mut scenario, quick, stops)| {
        scenario.members.truncate(2);
        for (member, rate) in scenario.members.iter_mut().zip([950_000, 1_050_000]) {
            (member.rate, member.ttl_millis) = (rate, 2000);
        }
        scenario.fates = quick.fates;
        (scenario.walls_decide, scenario.eager) = (false, true);
        let campaign = Act::Command(Command::Campaign);
        scenario.script = vec![(0, 0, campaign), (500, 1, campaign), (stops, 0, Act::Sleep(9000))];
        scenario
    })
}

/// One member that holds, a network without faults, and somebody who edits everything but the spec.
pub(crate) fn edited() -> impl Strategy<Value = Scenario> {
    let rules = Rules {
        policy: ReleasePolicy::Delete,
        shared_identity: false,
        deletes: false,
        existing: false,
        slow: false,
    };
    let edit = prop_oneof![Just(Act::Label), Just(Act::StripNonce)];
    let edits = vec((1000..TROUBLED / MILLISECOND, Just(0_usize), edit), 1..40);
    (scenarios(rules), edits, vec((0..30_u64, 0..30_u64), 1..20)).prop_map(|(mut scenario, edits, delays)| {
        scenario.members.truncate(1);
        scenario.fates =
            delays.into_iter().map(|(there, back)| Fate { there, back, kind: FateKind::Good }).collect();
        scenario.script = edits;
        scenario.script.push((0, 0, Act::Command(Command::Campaign)));
        scenario
    })
}
