//! What a network does to each request and its reply.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{Plan, RequestKey, Seeded, Source};

/// The domain of the choices that decide the fate of requests.
const FATES: u64 = 2;

/// How a network behaves. Chances are in millionths of requests, spans in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Every message takes this long at least.
    pub least_delay: u64,
    /// And this much more at most.
    pub more_delay: u64,
    /// Requests that take up to `slow_span` longer.
    pub slow_requests: u32,
    /// Replies that take up to `slow_span` longer.
    pub slow_replies: u32,
    /// How much longer at most.
    pub slow_span: u64,
    /// Requests that are lost without a word.
    pub lost_requests: u32,
    /// Replies that are lost after the server has done what was asked.
    pub lost_replies: u32,
    /// Connections that are refused.
    pub refused: u32,
    /// Connections that are reset before the server has seen the request.
    pub resets_before: u32,
    /// Connections that are reset after it was carried out.
    pub resets_after: u32,
    /// Requests that arrive twice, the copy later.
    pub copies: u32,
    /// Of those, in how many the second reply is the one that is delivered: often a conflict with oneself.
    pub echoes: u32,
    /// Errors of the server or a proxy without effect.
    pub errors: u32,
    /// Errors although it was carried out.
    pub masked: u32,
    /// Errors or silence first, and carried out up to `late_span` later.
    pub late: u32,
    /// How much later at most.
    pub late_span: u64,
    /// Refusals with `429` and a `Retry-After`.
    pub throttled: u32,
    /// Bodies that are cut off, garbage, or of another kind.
    pub garbage: u32,
    /// Nobody sends a `Date`.
    pub dateless: bool,
    /// Reads that show an older state.
    pub stale_reads: u32,
    /// How much older at most.
    pub stale_span: u64,
    /// Processes that stand still right after a request left.
    pub pauses_after: u32,
    /// Processes that stand still right before a reply is looked at.
    pub pauses_before: u32,
    /// For how long at most.
    pub pause_span: u64,
    /// A third of these pauses are about that long: a validity, say, so that terms end in them.
    pub pause_about: u64,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fate {
    /// How long the request takes.
    pub there: u64,
    /// How long the reply takes.
    pub back: u64,
    /// What is done to it.
    pub deed: Deed,
    /// For how long the process stands still after the request left.
    pub pause_after: u64,
    /// For how long the process stands still when the reply is there, before it looks at it.
    pub pause_before: u64,
}

/// What a network or a server does to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Carries it there and the reply back.
    #[default]
    Carry,
    /// Loses it.
    LoseRequest,
    /// Carries it out and loses the reply.
    LoseReply,
    /// Refuses the connection: nothing was sent, and the holder knows.
    Refuse,
    /// Resets the connection; nothing was carried out.
    ResetBefore,
    /// Carries it out, then resets the connection.
    ResetAfter,
    /// Carries it out twice, the second time that much later; the first reply is delivered.
    Copy(u64),
    /// Carries it out twice; the second reply is delivered.
    Echo(u64),
    /// Answers with this error and does nothing.
    Error(u16),
    /// Carries it out and answers with this error.
    Masked(u16),
    /// Says nothing, and carries it out that much later.
    Late(u64),
    /// Answers with 504, and carries it out that much later.
    LateError(u64),
    /// Refuses with 429 and this `Retry-After`.
    Throttle(Throttle),
    /// Carries it out and spoils the reply.
    Garble(Garbage),
    /// Answers a read with the state of so long ago.
    Stale(u64),
}

/// A `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    /// Seconds.
    Seconds(u32),
    /// None at all.
    Missing,
    /// A negative number.
    Negative,
    /// A date.
    Date,
}

/// How a reply is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbage {
    /// Cut off in the middle.
    Truncated,
    /// Nothing.
    Empty,
    /// A page of a proxy, with the right status.
    Page,
    /// Bytes that are no text.
    Binary,
    /// An object of another kind.
    OtherKind,
    /// An object of another name.
    OtherName,
    /// A Lease without UID and version.
    NoVersion,
    /// The wrong content type on a right body: nothing should care.
    ContentType,
    /// JSON with a number that is none.
    NotANumber,
    /// More bytes than are read.
    Huge,
    /// The answer to an earlier request: a client that mixes up its connections.
    Misrouted,
}

impl Garbage {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Truncated,
        Self::Empty,
        Self::Page,
        Self::Binary,
        Self::OtherKind,
        Self::OtherName,
        Self::NoVersion,
        Self::ContentType,
        Self::NotANumber,
        Self::Huge,
        Self::Misrouted,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "garbage-truncated",
            Self::Empty => "garbage-empty",
            Self::Page => "garbage-page",
            Self::Binary => "garbage-binary",
            Self::OtherKind => "garbage-another-kind",
            Self::OtherName => "garbage-another-name",
            Self::NoVersion => "garbage-no-uid",
            Self::ContentType => "wrong-content-type",
            Self::NotANumber => "garbage-no-number",
            Self::Huge => "garbage-too-large",
            Self::Misrouted => "garbage-another-requests-answer",
        }
    }
}

impl Deed {
    /// Its name in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Carry => "carried",
            Self::LoseRequest => "request-lost",
            Self::LoseReply => "reply-lost",
            Self::Refuse => "connection-refused",
            Self::ResetBefore => "reset-before",
            Self::ResetAfter => "reset-after",
            Self::Copy(_) => "request-doubled",
            Self::Echo(_) => "second-reply-delivered",
            Self::Error(_) => "error",
            Self::Masked(_) => "error-after-applying",
            Self::Late(_) => "applied-late",
            Self::LateError(_) => "error-then-applied-late",
            Self::Throttle(_) => "429",
            Self::Garble(garbage) => garbage.name(),
            Self::Stale(_) => "stale-read",
        }
    }
}

impl Fate {
    /// What becomes of every request that a plan with explicit fates does not name.
    pub const PLAIN: Self =
        Self { there: 2_000_000, back: 2_000_000, deed: Deed::Carry, pause_after: 0, pause_before: 0 };
}

impl Plan {
    /// What the plan's network does to a request, as long as no fates are spelled out.
    #[must_use]
    pub fn drawn_fate(&self, key: RequestKey, healed: bool) -> Fate {
        let mut source = Seeded::new(self.seed ^ key.domain(), FATES);
        if healed { Network::good().plain(&mut source) } else { self.network.draw(&mut source) }
    }
}

impl Network {
    /// A good one: 1 to 3 ms each way.
    #[must_use]
    pub fn good() -> Self {
        Self { least_delay: 1_000_000, more_delay: 2_000_000, ..Self::default() }
    }

    /// What happens to one request.
    pub fn draw(&self, source: &mut impl Source) -> Fate {
        let mut fate = self.plain(source);
        if source.chance(self.slow_requests) {
            fate.there += source.below(self.slow_span);
        }
        if source.chance(self.slow_replies) {
            fate.back += source.below(self.slow_span);
        }
        fate.deed = self.deed(source);
        if source.chance(self.pauses_after) {
            fate.pause_after = self.pause(source);
        }
        if source.chance(self.pauses_before) {
            fate.pause_before = self.pause(source);
        }
        fate
    }

    fn pause(&self, source: &mut impl Source) -> u64 {
        if source.chance(333_333) {
            return self.pause_about - self.pause_about / 20 + source.below(self.pause_about / 6);
        }
        source.spread(Duration::from_millis(1), Duration::from_nanos(self.pause_span))
    }

    /// What happens to one request when nothing goes wrong.
    pub fn plain(&self, source: &mut impl Source) -> Fate {
        let there = self.least_delay + source.below(self.more_delay);
        let back = self.least_delay + source.below(self.more_delay);
        Fate { there, back, ..Fate::default() }
    }

    fn deed(&self, source: &mut impl Source) -> Deed {
        const CODES: [u16; 4] = [500, 502, 503, 504];
        // One draw decides between all of them: the chances add up.
        let mut drawn = source.below(1_000_000) as u32;
        let mut falls = |chance: u32| {
            let hit = drawn < chance;
            drawn = drawn.wrapping_sub(if hit { 0 } else { chance });
            hit
        };
        if falls(self.lost_requests) {
            Deed::LoseRequest
        } else if falls(self.lost_replies) {
            Deed::LoseReply
        } else if falls(self.refused) {
            Deed::Refuse
        } else if falls(self.resets_before) {
            Deed::ResetBefore
        } else if falls(self.resets_after) {
            Deed::ResetAfter
        } else if falls(self.copies) {
            let after = source.below(4 * (self.least_delay + self.more_delay) + 20_000_000);
            if source.chance(self.echoes) { Deed::Echo(after) } else { Deed::Copy(after) }
        } else if falls(self.errors) {
            Deed::Error(source.pick(&CODES))
        } else if falls(self.masked) {
            Deed::Masked(source.pick(&CODES))
        } else if falls(self.late) {
            let after = source.below(self.late_span);
            if source.chance(500_000) { Deed::LateError(after) } else { Deed::Late(after) }
        } else if falls(self.throttled) {
            Deed::Throttle(throttle(source))
        } else if falls(self.garbage) {
            Deed::Garble(source.pick(&Garbage::ALL))
        } else if falls(self.stale_reads) {
            Deed::Stale(source.below(self.stale_span))
        } else {
            Deed::Carry
        }
    }
}

pub(super) fn throttle(source: &mut impl Source) -> Throttle {
    match source.below(12) {
        0 => Throttle::Missing,
        1 => Throttle::Negative,
        2 => Throttle::Date,
        3 => Throttle::Seconds(1_000_000_000),
        4 => Throttle::Seconds(0),
        _ => Throttle::Seconds(source.between(1, 30) as u32),
    }
}
