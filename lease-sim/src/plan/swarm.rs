//! Swarm testing: every run draws which faults are on, and how hard (Groce et al., "Swarm Testing", 2012).

use std::time::Duration;

use super::{
    Beginning, ClockPlan, Drive, Edit, Ending, Fault, FaultKind, HolderPlan, MILLISECOND, Network, Plan,
    Refusal, SECOND, Seeded, Source, WatchFaults, Way,
};

/// The domain of the choices that make a plan.
const PLAN: u64 = 1;
/// How long a run is.
const LENGTH: u64 = 600 * SECOND;
/// When the faults end at the earliest, and at the latest.
const HEALS: (u64, u64) = (300 * SECOND, 390 * SECOND);

/// What a swarm is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// How many holders; default 3, at least 1, at most 16.
    pub holders: u8,
    /// Whether some runs break an assumption on purpose. Default true.
    pub breaks_assumptions: bool,
    /// Which kind of runs. Default [`Scenario::Default`].
    pub scenario: Scenario,
}

/// Which kind of runs a swarm draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scenario {
    /// Everything: one run in ten without a fault, one in ten with a single kind of fault, the rest with what
    /// is drawn, some of them with a broken assumption.
    #[default]
    Default,
    /// No fault at all.
    Calm,
    /// One kind of fault in each run.
    SingleFault,
    /// An assumption is broken in each run: two may believe at once, but tokens have to fence them off.
    BrokenAssumptions,
}

impl Scenario {
    /// The names, for a message.
    pub const NAMES: &'static str = "default, calm, single-fault or broken-assumptions";

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Calm => "calm",
            Self::SingleFault => "single-fault",
            Self::BrokenAssumptions => "broken-assumptions",
        }
    }
}

impl std::str::FromStr for Scenario {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Default, Self::Calm, Self::SingleFault, Self::BrokenAssumptions]
            .into_iter()
            .find(|scenario| scenario.name() == text)
            .ok_or(())
    }
}

impl Default for Swarm {
    fn default() -> Self {
        Self { holders: 3, breaks_assumptions: true, scenario: Scenario::Default }
    }
}

/// How much goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Nothing.
    Calm,
    /// One kind of fault.
    Single(u64),
    /// Whatever is drawn.
    Swarm,
}

impl Swarm {
    /// The plan of a seed. The same seed gives the same plan for ever, on every platform.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        self.draw(seed, &mut Seeded::new(seed, PLAN))
    }

    /// A plan from any source of choices.
    pub fn draw(&self, seed: u64, source: &mut impl Source) -> Plan {
        let mood = match (self.scenario, source.below(10)) {
            (Scenario::Calm, _) | (Scenario::Default, 0) => Mood::Calm,
            (Scenario::SingleFault, _) | (Scenario::Default, 1) => Mood::Single(source.between(1, KINDS)),
            _ => Mood::Swarm,
        };
        let mut holders = fleet(source, self.holders.clamp(1, 16));
        let heals_at = source.between(HEALS.0, HEALS.1);
        let mut draft = Draft { holders: holders.len() as u64, mood, heals_at, faults: Vec::new() };
        let mut network = network(source, mood, holders[0].validity());
        timed(&mut draft, source, &holders);
        let broken = source.chance(120_000) || self.scenario == Scenario::BrokenAssumptions;
        if self.breaks_assumptions && mood == Mood::Swarm && broken {
            break_assumptions(&mut draft, source, &mut holders, &mut network);
        }
        draft.faults.sort_unstable_by_key(|fault| fault.at);
        let beginning = source.pick(&[
            Beginning::Absent,
            Beginning::Empty,
            Beginning::LongDead,
            Beginning::JustDied,
            Beginning::Reclaimable,
        ]);
        let ending = source.pick(&[Ending::Quiet, Ending::Release, Ending::Crash]);
        // At last, so that the rest of a plan is what it would be without watches.
        let watches = watches(&mut draft, source, &mut holders);
        let faults = draft.faults;
        Plan {
            seed,
            length: LENGTH,
            heals_at,
            beginning,
            holders,
            network,
            watches,
            faults,
            fates: None,
            ending,
        }
    }
}

/// Kinds of faults that a run with a single one chooses from.
const KINDS: u64 = 29;

fn fleet(source: &mut impl Source, count: u8) -> Vec<HolderPlan> {
    let ttl = ttl(source);
    let mixed = source.chance(150_000);
    let vacate = source.chance(350_000);
    let contend = source.chance(200_000);
    let margin = source.pick(&[10, 10, 10, 10, 10, 5, 20, 20]);
    let takeover_delay = if source.chance(100_000) { ttl / 5 } else { 0 };
    let foreign_holder_grace = if source.chance(150_000) { 2_000 } else { 0 };
    let mut holders: Vec<_> = (0..count)
        .map(|_| {
            let ttl = if mixed { self::ttl(source) } else { ttl };
            HolderPlan {
                name: None,
                starts_at: source.below(10 * SECOND),
                ttl,
                margin: ttl * margin / 100,
                request_timeout: ttl / source.pick(&[5, 5, 5, 8, 20]),
                max_clock_skew: skew(source, ttl),
                vacate,
                quarantine: 0,
                contend,
                drive: match source.below(8) {
                    6 => Drive::TryAcquire(source.between(ttl / 4, ttl)),
                    7 => Drive::Impatient(source.between(50, ttl / 2)),
                    _ => Drive::Campaign,
                },
                clock: ClockPlan::default(),
                lateness: if source.chance(300_000) {
                    source.spread(Duration::from_millis(1), Duration::from_secs(5))
                } else {
                    0
                },
                wakes_early: source.chance(200_000),
                takeover_delay,
                foreign_holder_grace,
                watch: false,
            }
        })
        .collect();
    let longest = holders.iter().map(HolderPlan::duration).max().unwrap_or(0);
    for holder in &mut holders {
        holder.quarantine = longest;
    }
    clocks(source, &mut holders);
    holders
}

fn ttl(source: &mut impl Source) -> u64 {
    let whole = match source.below(100) {
        0..45 => 15_000,
        45..46 => 2_000,
        46..51 => 5_000,
        51..60 => 10_000,
        60..83 => 30_000,
        _ => 60_000,
    };
    // Not whole seconds: what is written has to be rounded up.
    if source.chance(200_000) { whole + source.pick(&[900, 400, 1]) } else { whole }
}

fn skew(source: &mut impl Source, ttl: u64) -> Option<u64> {
    match source.below(8) {
        0 | 1 => None,
        2 => Some(2_000),
        _ => Some(ttl.max(10_000)),
    }
}

/// Clocks within the bounds that the fleet's settings allow.
fn clocks(source: &mut impl Source, holders: &mut [HolderPlan]) {
    let rate = most_rate(holders);
    let wall = most_wall(holders);
    let exact = source.chance(250_000);
    let at_the_bound = source.chance(200_000);
    for holder in holders {
        let sign = if source.chance(500_000) { 1 } else { -1 };
        let size = if at_the_bound { rate } else { source.below(rate as u64) as i32 };
        holder.clock = ClockPlan {
            origin: source.spread(Duration::from_nanos(1), Duration::from_secs(1_000_000)),
            rate: if exact { 0 } else { sign * size },
            wave: if source.chance(250_000) { source.between(1, 600) * SECOND } else { 0 },
            wall_offset: if exact { 0 } else { within(source, wall) },
        };
    }
}

/// The greatest rate error, in millionths, that every pair of holders bears.
pub(super) fn most_rate(holders: &[HolderPlan]) -> i32 {
    holders.iter().map(HolderPlan::most_rate).min().unwrap_or(0)
}

/// How far a wall clock may be from true time, in microseconds.
pub(super) fn most_wall(holders: &[HolderPlan]) -> i64 {
    let tightest = holders.iter().filter_map(|holder| holder.max_clock_skew).min();
    tightest.map_or(3_600_000_000, |skew| skew as i64 * 500)
}

fn within(source: &mut impl Source, most: i64) -> i64 {
    source.below(2 * most as u64 + 1) as i64 - most
}

fn network(source: &mut impl Source, mood: Mood, validity: u64) -> Network {
    let mut number = 0;
    // Chances on a logarithmic scale: a few runs in which nearly nothing gets through, many with a fault or two.
    let mut chance = |source: &mut dyn FnMut() -> u64, most: u64| -> u32 {
        number += 1;
        let on = match mood {
            Mood::Calm => false,
            Mood::Single(kind) => kind == number,
            Mood::Swarm => source() % 100 >= 72,
        };
        let cut = source() % 6;
        if on { (most >> cut) as u32 } else { 0 }
    };
    let mut draw = || source.next() >> 20;
    let lost_requests = chance(&mut draw, 250_000);
    let lost_replies = chance(&mut draw, 250_000);
    let refused = chance(&mut draw, 100_000);
    let resets_before = chance(&mut draw, 100_000);
    let resets_after = chance(&mut draw, 100_000);
    let copies = chance(&mut draw, 200_000);
    let errors = chance(&mut draw, 200_000);
    let masked = chance(&mut draw, 200_000);
    let late = chance(&mut draw, 250_000);
    let throttled = chance(&mut draw, 60_000);
    let garbage = chance(&mut draw, 200_000);
    let stale_reads = chance(&mut draw, 150_000);
    let pauses_after = chance(&mut draw, 120_000);
    let pauses_before = chance(&mut draw, 120_000);
    let slow_requests = chance(&mut draw, 250_000);
    let slow_replies = chance(&mut draw, 250_000);
    Network {
        least_delay: source.below(30 * MILLISECOND),
        more_delay: source.spread(Duration::from_millis(1), Duration::from_millis(400)),
        slow_requests,
        slow_replies,
        slow_span: source.spread(Duration::from_millis(100), Duration::from_secs(8)),
        lost_requests,
        lost_replies,
        refused,
        resets_before,
        resets_after,
        copies,
        echoes: if source.chance(400_000) { 500_000 } else { 0 },
        errors,
        masked,
        late,
        late_span: source.spread(Duration::from_millis(100), Duration::from_secs(60)),
        throttled,
        garbage,
        dateless: mood == Mood::Swarm && source.chance(100_000),
        stale_reads,
        stale_span: source.spread(Duration::from_millis(100), Duration::from_secs(60)),
        pauses_after,
        pauses_before,
        pause_span: source.spread(Duration::from_secs(1), Duration::from_secs(60)),
        pause_about: validity * MILLISECOND,
    }
}

/// What is being drawn.
struct Draft {
    holders: u64,
    mood: Mood,
    heals_at: u64,
    faults: Vec<Fault>,
}

impl Draft {
    /// Some faults of one kind, or none. `number` is the kind's.
    fn some<S: Source>(
        &mut self,
        source: &mut S,
        number: u64,
        most: u64,
        longest: Duration,
        mut make: impl FnMut(&mut S, u8, u64) -> FaultKind,
    ) {
        let on = match self.mood {
            Mood::Calm => false,
            Mood::Single(kind) => kind == number,
            Mood::Swarm => source.chance(280_000),
        };
        if !on {
            return;
        }
        let count = 1 + source.below(most);
        for _ in 0..count {
            let at = source.between(2 * SECOND, self.heals_at - SECOND);
            let span = source.spread(Duration::from_millis(50), longest).min(self.heals_at - at);
            let holder = source.below(self.holders) as u8;
            let what = make(source, holder, span);
            self.faults.push(Fault { at, what });
        }
    }
}

fn timed(draft: &mut Draft, source: &mut impl Source, holders: &[HolderPlan]) {
    const MINUTE: Duration = Duration::from_secs(60);
    let wall = most_wall(holders);
    draft.some(source, 17, 8, MINUTE, |_, holder, span| FaultKind::Pause { holder, span });
    draft.some(source, 18, 6, MINUTE / 2, |_, holder, span| {
        // A coin that is drawn already: the rest of the plan stays what it is.
        if span % 4 == 1 { FaultKind::Replace { holder, span } } else { FaultKind::Crash { holder, span } }
    });
    draft.some(source, 19, 6, MINUTE, |_, holder, span| FaultKind::Release { holder, span });
    draft.some(source, 20, 6, MINUTE, |source, holder, span| {
        let way = source.pick(&[Way::Both, Way::Requests, Way::Replies, Way::Refused]);
        FaultKind::Partition { holder, span, way }
    });
    draft.some(source, 21, 3, MINUTE / 2, |_, _, span| FaultKind::Outage { span });
    draft.some(source, 22, 3, MINUTE, |source, _, span| FaultKind::SlowMotion {
        span,
        factor: source.between(5, 60) as u32,
    });
    draft.some(source, 23, 3, 2 * MINUTE, |source, _, span| {
        let seconds = source.between(1, 30) as u32;
        let how = source.pick(&[
            Refusal::Unauthorized,
            Refusal::Forbidden,
            Refusal::TooMany(seconds),
            Refusal::Unavailable,
            Refusal::ProxyPage,
        ]);
        FaultKind::Refuse { span, how }
    });
    draft.some(source, 24, 4, MINUTE, |source, holder, _| FaultKind::WallStep {
        holder,
        offset: within(source, wall),
    });
    // A clock that stands still leaves its bound unless the standstill is short.
    let longest = Duration::from_micros(wall as u64 / 2).min(MINUTE);
    let room = wall;
    let offsets: Vec<i64> = holders.iter().map(|holder| holder.clock.wall_offset).collect();
    draft.some(source, 25, 2, longest, |_, holder, span| {
        let left = room + offsets[usize::from(holder)];
        FaultKind::WallFreeze { holder, span: span.min(left.max(0) as u64 * 1000) }
    });
    draft.some(source, 26, 4, MINUTE, |source, holder, _| FaultKind::ClockBack {
        holder,
        by: source.spread(Duration::from_nanos(1), MINUTE),
    });
    draft.some(source, 27, 5, MINUTE, |source, _, _| FaultKind::Admin { edit: harmless(source) });
    draft.some(source, 28, 4, MINUTE, |source, _, _| FaultKind::Admin { edit: meddling(source) });
    draft.some(source, 29, 2, 2 * MINUTE, |source, _, span| {
        let every = source.between(SECOND, 8 * SECOND);
        // Some never end: nobody may starve.
        let span = if source.chance(300_000) { LENGTH } else { span };
        FaultKind::LabelStorm { span, every }
    });
    if holders.iter().all(|holder| holder.vacate) {
        draft.some(source, 14, 2, MINUTE / 2, |_, holder, span| FaultKind::Pause { holder, span });
        vanish(draft, source, holders);
    }
    draft.some(source, 16, 1, MINUTE / 2, |_, _, span| {
        if span % 2 == 1 { FaultKind::Terminating { span } } else { FaultKind::Namespace { span } }
    });
    if holders.iter().all(|holder| holder.contend) {
        draft.some(source, 15, 2, 2 * MINUTE, |_, holder, span| FaultKind::Twin { holder, span });
    }
}

/// The object vanishes while its holder cannot see that, and whoever creates it anew dies in its quarantine.
fn vanish(draft: &mut Draft, source: &mut impl Source, holders: &[HolderPlan]) {
    if draft.mood != Mood::Swarm || !source.chance(280_000) {
        return;
    }
    let at = source.between(30 * SECOND, draft.heals_at - 60 * SECOND);
    let holder = source.below(draft.holders) as u8;
    let ttl = holders[usize::from(holder)].ttl * MILLISECOND;
    let blind = FaultKind::Partition {
        holder,
        span: ttl.min(draft.heals_at - at),
        way: source.pick(&[Way::Both, Way::Replies]),
    };
    draft.faults.push(Fault { at, what: blind });
    draft
        .faults
        .push(Fault { at: at + source.below(ttl / 3), what: FaultKind::Admin { edit: Edit::Delete } });
    for number in 0..source.below(3) {
        let at = (at + source.below(ttl)).min(draft.heals_at - SECOND);
        if number == 1 {
            // And the mark of the quarantine with it.
            draft.faults.push(Fault { at, what: FaultKind::Admin { edit: Edit::Strip } });
        }
        let holder = source.below(draft.holders) as u8;
        let span = source.spread(Duration::from_millis(50), Duration::from_secs(3));
        let span = span.min(draft.heals_at - at);
        draft.faults.push(Fault { at, what: FaultKind::Crash { holder, span } });
    }
}

/// Edits that take nothing from a live term.
fn harmless(source: &mut impl Source) -> Edit {
    source.pick(&[Edit::Label, Edit::Label, Edit::Strip, Edit::Finalize, Edit::Unfinalize])
}

/// Edits that can.
fn meddling(source: &mut impl Source) -> Edit {
    match source.below(12) {
        0..4 => Edit::Delete,
        4 => Edit::Recreate,
        5 => Edit::Clear,
        6 => Edit::Stranger { seconds: source.pick(&[1, 5, 15, 60, i32::MAX]) },
        7 => Edit::Duration { seconds: source.pick(&[1, 2, 60, i32::MAX]) },
        8 => Edit::RenewTime { seconds: source.pick(&[-3600, -30, 30, 3600, i32::MAX]) },
        9 => Edit::Pekko,
        10 => Edit::Nulls,
        _ => Edit::Hostile,
    }
}

/// Who watches, and what goes wrong with it. A run with a single kind of fault has none of these: it has one.
fn watches(draft: &mut Draft, source: &mut impl Source, holders: &mut [HolderPlan]) -> WatchFaults {
    // Half of the runs have none: they are what most users do, and cost less.
    if !source.chance(500_000) {
        return WatchFaults::default();
    }
    holders.iter_mut().for_each(|holder| holder.watch = source.chance(500_000));
    if draft.mood != Mood::Swarm {
        return WatchFaults::default();
    }
    draft.some(source, 0, 2, Duration::from_secs(180), |_, _, span| FaultKind::ForbidWatches { span });
    draft.faults.sort_by_key(|fault| fault.at);
    WatchFaults::drawn(source)
}

/// Leaves the model in one way.
fn break_assumptions(
    draft: &mut Draft,
    source: &mut impl Source,
    holders: &mut [HolderPlan],
    network: &mut Network,
) {
    let holder = source.below(draft.holders) as u8;
    let at = source.between(20 * SECOND, draft.heals_at - 40 * SECOND);
    let span = source.spread(Duration::from_secs(1), Duration::from_secs(120)).min(draft.heals_at - at);
    let broken = &mut holders[usize::from(holder)];
    match source.below(7) {
        5 => {
            let by = source.spread(Duration::from_secs(1), Duration::from_secs(60));
            let answers = (0..8).map(|_| source.between(2 * SECOND, draft.heals_at - SECOND));
            let answers = answers.map(|at| Fault { at, what: FaultKind::AnswerFromPast { holder, by } });
            draft.faults.extend(answers);
        }
        6 => {
            // A clock that steps back by more than anything allows, where no `Date` contradicts it.
            let offset = -(source.between(40, 7200) as i64) * 1_000_000;
            draft.faults.push(Fault { at, what: FaultKind::WallStep { holder, offset } });
            network.dateless = source.chance(700_000);
            broken.max_clock_skew = Some(broken.ttl.max(10_000));
        }
        0 => broken.clock.rate = source.pick(&[-500_000, 500_000, -200_000, 200_000]),
        1 => {
            broken.max_clock_skew = Some(broken.ttl.max(10_000));
            let far = source.between(20, 7200) as i64 * 1_000_000;
            broken.clock.wall_offset = if source.chance(500_000) { far } else { -far };
        }
        2 => draft.faults.push(Fault { at, what: FaultKind::Suspend { holder, span } }),
        3 => draft.faults.push(Fault { at, what: FaultKind::Twin { holder, span } }),
        _ => draft.faults.push(Fault { at, what: FaultKind::Rollback }),
    }
}
