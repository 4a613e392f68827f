//! What a hostile world may do to one machine: any time steps, any input, any answer.

use std::time::Duration;

use lease_core::{Config, ConfigBuilder, Failure, Lease, MonoTime, Now, ReleasePolicy, SameIdentity, Seed};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{EPOCH, config};

/// A machine, and everything that happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) setup: Setup,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    ttl_millis: u64,
    vacate: bool,
    /// Whether the object is there from the start, and is not the machine's to create or delete.
    pub(crate) existing: bool,
    contend: bool,
    retries: u32,
    skew: Option<Option<Duration>>,
    wait_more: bool,
    watch: bool,
    seed: u128,
    start: u64,
    /// Begins with a lease that was acquired from a friendly server.
    pub(crate) warm: Option<Command>,
}

impl Setup {
    pub(crate) fn config(&self) -> Config {
        let mut builder: ConfigBuilder =
            config().ttl(Duration::from_millis(self.ttl_millis)).acquire_retries(self.retries);
        if self.existing {
            builder = builder.existing_only(true);
        } else if self.vacate {
            builder = builder.release_policy(ReleasePolicy::Vacate);
        }
        if self.contend {
            builder = builder.same_identity(SameIdentity::Contend);
        }
        if let Some(skew) = self.skew {
            builder = builder.max_clock_skew(skew);
        }
        if self.wait_more {
            let second = Duration::from_secs(1);
            builder = builder.foreign_holder_grace(2 * second).takeover_delay(second);
        }
        builder.watch(self.watch).build().expect("a valid configuration")
    }

    pub(crate) fn start(&self) -> Now {
        Now { mono: MonoTime::from_nanos(self.start), wall: EPOCH }
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease::new(self.config(), Seed(self.seed), self.start())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) pace: Pace,
    pub(crate) wall: Wall,
    pub(crate) given: Given,
    pub(crate) drain: Drain,
}

/// How the monotonic clock moves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    Nanos(u64),
    Back(u64),
    Absolute(u64),
    /// To the instant that the machine asked for, give or take some nanoseconds.
    ToWake(i64),
    /// To the end of the term.
    ToUntil(i64),
    /// To the end of the last request's patience.
    ToGiveUp(i64),
}

/// How the wall clock moves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wall {
    /// As the monotonic clock does.
    Follow,
    Stand,
    Jump(i64),
    Absolute(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    All,
    One,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    TryAcquire,
    Campaign,
    Release,
}

/// What is handed in.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    Tick,
    Command(Command),
    Response(Target, Answer, Headers),
    /// `bool`: whether the server took the request in all the same.
    Failed(Target, Failure, bool),
    Credentials(Target),
    Watch(Target, Told),
}

/// What a watch brings.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// Nothing yet.
    Head,
    /// An event of this type about what would answer a read.
    Event(&'static str, Answer),
    /// Not even a line.
    Bytes(Vec<u8>),
    /// Another answer than a stream.
    Response(Answer),
    Failed(Failure),
    Closed,
}

/// Which request is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// The one that was sent last.
    Latest,
    /// One that was sent before that.
    Older(usize),
    /// The next one, which nobody has polled.
    Unpolled,
    Random(u64),
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// What a server would say that sees nothing unusual.
    Faithful,
    /// The same, cut short.
    Truncated(usize),
    /// The server's storage was put back by this many writes.
    Restored(u64),
    /// What was sent, as if it had changed nothing.
    Mirror,
    /// The same, with something else in it.
    Edited(Edit),
    /// Somebody edited the stored object before.
    Meddled(Edit),
    /// Another holder's record, written `age` microseconds ago.
    Foreign {
        holder: &'static str,
        age: i64,
        seconds: i64,
        revisions: i64,
    },
    Absent,
    Conflict,
    Deleted,
    Status {
        code: u16,
        body: StatusBody,
    },
    Bytes(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum StatusBody {
    Full,
    Namespace,
    Terminating,
    Empty,
    Page,
}

/// Where, and the JSON text to put there; empty removes what is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edit {
    pub(crate) pointer: &'static str,
    pub(crate) json: &'static str,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Headers {
    /// Seconds that the server's clock is ahead of ours.
    pub(crate) date: Option<i64>,
    pub(crate) odd_date: Option<&'static str>,
    pub(crate) retry_after: Option<&'static str>,
}

pub(crate) const fn edit(pointer: &'static str, json: &'static str) -> Edit {
    Edit { pointer, json }
}

const EDITS: &[Edit] = &[
    edit("/metadata/resourceVersion", "\"abc\""),
    edit("/metadata/resourceVersion", "\"\""),
    edit("/metadata/resourceVersion", ""),
    edit("/metadata/resourceVersion", "7"),
    edit("/metadata/resourceVersion", "\"0\""),
    edit("/metadata/resourceVersion", "\"007\""),
    edit("/metadata/resourceVersion", "\"18446744073709551615\""),
    edit("/metadata/resourceVersion", "\"18446744073709551616\""),
    edit("/metadata/uid", "\"99999999-9999-4999-8999-999999999999\""),
    edit("/metadata/uid", "\"\""),
    edit("/metadata/uid", ""),
    edit("/metadata/uid", "null"),
    edit("/metadata/name", "\"other\""),
    edit("/metadata/namespace", "null"),
    edit("/metadata/labels", "{\"edited\":\"yes\"}"),
    edit("/metadata/managedFields", "[{\"manager\":\"x\"}]"),
    edit("/metadata/deletionTimestamp", "\"2026-01-01T00:00:00Z\""),
    edit("/metadata/deletionTimestamp", "null"),
    edit("/metadata/annotations", "null"),
    edit("/metadata/annotations", "[]"),
    edit("/metadata/annotations", "{}"),
    edit("/metadata/annotations", "{\"lease-core.rs/nonce\":\"0 a\"}"),
    edit("/metadata/annotations", "{\"lease-core.rs/nonce\":\"zzz\"}"),
    edit("/metadata/annotations", "{\"lease-core.rs/quarantine\":\"true\"}"),
    edit("/spec", "null"),
    edit("/spec", "[]"),
    edit("/spec/holderIdentity", "\"b\""),
    edit("/spec/holderIdentity", "\"a\""),
    edit("/spec/holderIdentity", "\"\""),
    edit("/spec/holderIdentity", "null"),
    edit("/spec/holderIdentity", ""),
    edit("/spec/holderIdentity", "17"),
    edit("/spec/renewTime", "\"9999-12-31T23:59:59.999999Z\""),
    edit("/spec/renewTime", "\"1970-01-01T00:00:00.000000Z\""),
    edit("/spec/renewTime", "\"yesterday\""),
    edit("/spec/renewTime", ""),
    edit("/spec/acquireTime", "\"2025-01-01T00:00:00.000000Z\""),
    edit("/spec/acquireTime", ""),
    edit("/spec/leaseDurationSeconds", "0"),
    edit("/spec/leaseDurationSeconds", "-1"),
    edit("/spec/leaseDurationSeconds", "2147483647"),
    edit("/spec/leaseDurationSeconds", "1e300"),
    edit("/spec/leaseDurationSeconds", "\"15\""),
    edit("/spec/leaseDurationSeconds", "1"),
    edit("/spec/leaseDurationSeconds", ""),
    edit("/spec/leaseTransitions", "2147483647"),
    edit("/spec/leaseTransitions", "-5"),
    edit("/spec/leaseTransitions", "\"x\""),
    edit("/spec/strategy", "\"OldestEmulationVersion\""),
    edit("/kind", "\"LeaseList\""),
    edit("/kind", "1"),
    edit("/apiVersion", "\"coordination.k8s.io/v2\""),
];

fn setups() -> impl Strategy<Value = Setup> {
    let second = Duration::from_secs(1);
    let skews = select(vec![None, None, Some(None), Some(Some(Duration::ZERO)), Some(Some(3 * second))]);
    let warm = prop_oneof![
        1 => Just(None),
        1 => Just(Some(Command::TryAcquire)),
        1 => Just(Some(Command::Campaign)),
    ];
    (
        select(vec![100_u64, 2500, 15_000, 15_000, 3_600_000]),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.3),
        0..4_u32,
        skews,
        (prop::bool::weighted(0.2), prop::bool::weighted(0.5)),
        any::<u128>(),
        prop_oneof![Just(0), Just(1_000_000_000_000_000), Just(u64::MAX - 5)],
        warm,
    )
        .prop_map(
            |(
                ttl_millis,
                vacate,
                existing,
                contend,
                retries,
                skew,
                (wait_more, watch),
                seed,
                start,
                warm,
            )| Setup {
                ttl_millis,
                vacate,
                existing,
                contend,
                retries,
                skew,
                wait_more,
                watch,
                seed,
                // The end of the clock, where nothing moves any more, is visited rarely.
                start: if start > u64::MAX / 2 && seed % 16 != 0 { 5_000_000_000 } else { start },
                warm,
            },
        )
}

fn paces() -> impl Strategy<Value = Pace> {
    prop_oneof![
        30 => Just(Pace::Nanos(0)),
        10 => Just(Pace::Nanos(1)),
        30 => (0..5_000_u64).prop_map(|millis| Pace::Nanos(millis * 1_000_000)),
        15 => (0..60_000_000_000_u64).prop_map(Pace::Nanos),
        5 => (1..72_u64).prop_map(|hours| Pace::Nanos(hours * 3_600_000_000_000)),
        10 => (0..100_000_000_000_u64).prop_map(Pace::Back),
        1 => any::<u64>().prop_map(Pace::Absolute),
        120 => (-1..2_i64).prop_map(Pace::ToWake),
        15 => (-1..2_i64).prop_map(Pace::ToUntil),
        10 => (-1..2_i64).prop_map(Pace::ToGiveUp),
    ]
}

fn walls() -> impl Strategy<Value = Wall> {
    prop_oneof![
        80 => Just(Wall::Follow),
        10 => Just(Wall::Stand),
        5 => (-20_000_000..20_000_000_i64).prop_map(Wall::Jump),
        3 => (-400_000_000_000..400_000_000_000_i64).prop_map(Wall::Jump),
        1 => any::<i64>().prop_map(Wall::Absolute),
        1 => select(vec![i64::MIN, -1, 0, 253_402_300_799_999_999, i64::MAX]).prop_map(Wall::Absolute),
    ]
}

fn targets() -> impl Strategy<Value = Target> {
    prop_oneof![
        30 => Just(Target::Latest),
        3 => (0..4_usize).prop_map(Target::Older),
        1 => Just(Target::Unpolled),
        1 => any::<u64>().prop_map(Target::Random),
    ]
}

fn edits() -> impl Strategy<Value = Edit> {
    select(EDITS)
}

fn answers() -> impl Strategy<Value = Answer> {
    let foreign = (
        select(vec!["b", "c", "a", ""]),
        prop_oneof![0..30_000_000_i64, -4_000_000_000..4_000_000_000_000_i64],
        select(vec![15_i64, 1, 0, -3, 3600, 100_000, i64::MAX]),
        select(vec![1_i64, 1, 1, 5, 0, -3]),
    );
    let codes = prop_oneof![
        select(vec![200_u16, 201, 202, 301, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 504,]),
        100..600_u16,
    ];
    let bodies = select(vec![
        StatusBody::Full,
        StatusBody::Namespace,
        StatusBody::Terminating,
        StatusBody::Empty,
        StatusBody::Page,
    ]);
    prop_oneof![
        60 => Just(Answer::Faithful),
        2 => (0..400_usize).prop_map(Answer::Truncated),
        1 => (1..20_u64).prop_map(Answer::Restored),
        3 => Just(Answer::Mirror),
        8 => edits().prop_map(Answer::Edited),
        8 => edits().prop_map(Answer::Meddled),
        4 => foreign.prop_map(|(holder, age, seconds, revisions)| Answer::Foreign {
            holder,
            age,
            seconds,
            revisions,
        }),
        2 => Just(Answer::Absent),
        3 => Just(Answer::Conflict),
        1 => Just(Answer::Deleted),
        12 => (codes, bodies).prop_map(|(code, body)| Answer::Status { code, body }),
        2 => vec(any::<u8>(), 0..40).prop_map(Answer::Bytes),
    ]
}

fn headers() -> impl Strategy<Value = Headers> {
    (
        prop_oneof![6 => Just(None), 3 => Just(Some(0)), 1 => (-10_000..10_000_i64).prop_map(Some)],
        prop_oneof![
            30 => Just(None),
            1 => select(vec![
                "",
                "Thu, 01 Jan 0000 00:00:00 GMT",
                "Fri, 31 Dec 9999 23:59:60 GMT",
                "x, \u{0}",
            ])
            .prop_map(Some)
        ],
        prop_oneof![
            8 => Just(None),
            1 => select(vec!["1", "0", "30", "86400", "18446744073709551615", "-1", "soon"]).prop_map(Some)
        ],
    )
        .prop_map(|(date, odd_date, retry_after)| Headers { date, odd_date, retry_after })
}

fn told() -> impl Strategy<Value = Told> {
    let failures = select(vec![Failure::NotSent, Failure::Unknown, Failure::TooLarge]);
    let types = select(vec!["ADDED", "MODIFIED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "NEW"]);
    prop_oneof![
        6 => Just(Told::Head),
        20 => (types, answers()).prop_map(|(kind, answer)| Told::Event(kind, answer)),
        2 => vec(any::<u8>(), 0..40).prop_map(Told::Bytes),
        2 => answers().prop_map(Told::Response),
        1 => failures.prop_map(Told::Failed),
        2 => Just(Told::Closed),
    ]
}

fn given() -> impl Strategy<Value = Given> {
    let failures = select(vec![Failure::NotSent, Failure::Unknown, Failure::TooLarge]);
    prop_oneof![
        30 => Just(Given::Tick),
        5 => Just(Given::Command(Command::TryAcquire)),
        4 => Just(Given::Command(Command::Campaign)),
        4 => Just(Given::Command(Command::Release)),
        60 => (targets(), answers(), headers())
            .prop_map(|(target, answer, headers)| Given::Response(target, answer, headers)),
        8 => (targets(), failures, any::<bool>())
            .prop_map(|(target, failure, applied)| Given::Failed(target, failure, applied)),
        4 => targets().prop_map(Given::Credentials),
        15 => (targets(), told()).prop_map(|(target, told)| Given::Watch(target, told)),
    ]
}

/// Plans of up to `most` steps; `drains` says how often the outputs are looked at.
fn plans_with<S: Strategy<Value = Drain> + Clone>(most: usize, drains: S) -> impl Strategy<Value = Plan> {
    let step = (paces(), walls(), given(), drains).prop_map(|(pace, wall, given, drain)| {
        // An answer mostly comes before the patience ends.
        let pace = match (pace, &given) {
            (Pace::ToWake(_), Given::Response(..)) => Pace::Nanos(20_000_000),
            _ => pace,
        };
        Step { pace, wall, given, drain }
    });
    (setups(), vec(step, 1..most)).prop_map(|(setup, steps)| Plan { setup, steps })
}

/// Every input is followed by a complete drain, as in a well-made driver.
pub(crate) fn drained(most: usize) -> impl Strategy<Value = Plan> {
    plans_with(most, Just(Drain::All))
}

/// Outputs are looked at now and then.
pub(crate) fn hostile(most: usize) -> impl Strategy<Value = Plan> {
    let drains = prop_oneof![
        8 => Just(Drain::All),
        1 => Just(Drain::One),
        3 => Just(Drain::None),
    ];
    plans_with(most, drains)
}

/// Steps without a single drain, rich in commands and in deadlines that pass.
pub(crate) fn undrained(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let given = prop_oneof![
        8 => Just(Given::Tick),
        3 => Just(Given::Command(Command::TryAcquire)),
        3 => Just(Given::Command(Command::Campaign)),
        3 => Just(Given::Command(Command::Release)),
        3 => given(),
    ];
    let step = (paces(), walls(), given).prop_map(|(pace, wall, given)| Step {
        pace,
        wall,
        given,
        drain: Drain::None,
    });
    vec(step, 1..most)
}
