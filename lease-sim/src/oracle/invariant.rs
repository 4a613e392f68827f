//! The invariants by name.

/// Something that must hold in every run that keeps the assumptions; those that do not
/// [need assumptions](Invariant::needs_assumptions) in every run.
///
/// Liveness has more rules than names, since the faults that they are about are in the same runs: that edits
/// of labels starve nobody, that storms of 401, 403, 429 and 5xx are got over, and that a POST that lands late
/// costs one wait and no more, are L1, L3 and L4 in the runs that have those faults. Storms of labels go on
/// when everything else has healed; and in some runs no watch ever tells anything, not even then: nothing may rest
/// on one (L7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Invariant {
    /// S1: no two holders believe at the same instant.
    MutualExclusion,
    /// S2: who believes wrote the record, and nobody else has taken it since.
    BeliefBacked,
    /// S3: a belief ends before the time is over that the record told the others.
    BeliefBound,
    /// S4: a live record is taken over only after the wait since it was first seen, or by its timestamp.
    NoEarlyTakeover,
    /// S5: every PUT carries UID and resource version, every DELETE both preconditions, a POST follows a 404.
    ConditionalWrites,
    /// S6: tokens grow from term to term, in the order in which the terms were written.
    TokenGrows,
    /// S7: a resource that refuses lower tokens never accepts an older term after a newer one.
    FencedResource,
    /// S8: only a definite answer to a write of one's own, or a read that shows it, moves a deadline.
    UnknownIsNeutral,
    /// S9: a deadline is the emission of a write that was applied, plus V.
    OwnSend,
    /// S10: within a term every applied write has a later `renewTime` and changes the resource version.
    StrictRenewTime,
    /// S11: `leaseTransitions` grows by one exactly when the holder changes, and `acquireTime` is then the time
    /// of that write.
    Transitions,
    /// S12: labels, foreign annotations, owner references and finalizers survive our writes.
    ForeignPreserved,
    /// S13: a release is sent when the term has ended here, and touches nobody else's record.
    ReleaseOrder,
    /// S14: each `Acquired` is followed by exactly one `Lost` or `Released`, in time.
    EventGrammar,
    /// S15: a record of our identity that another incarnation wrote is taken only where that is allowed.
    NoAdoption,
    /// S16: a read, or a watch's event, that shows another holder or no object ends the term in the same step.
    ForeignDropsNow,
    /// S17: a reading of the clock from the past prolongs nothing.
    ClockAbuse,
    /// S18: one request in flight, a bounded number of them, `Retry-After` obeyed.
    Bounded,
    /// S19: after every input a holder is asleep until a later instant, and no later than its deadline.
    WakeContract,
    /// S20: the same plan gives the same run.
    Determinism,
    /// S21: after a "no", or a release that says it is done, no earlier write puts the name there any more.
    NoMeansNo,
    /// S22: a term is lost to somebody else or to a deletion only if there was one.
    NoFalseLoss,
    /// S23: after a write without a known outcome the next request is a read.
    SettleFirst,
    /// S24: an object that was seen to be under deletion is neither written nor held.
    RespectsDeletion,
    /// S25: a `renewTime` stays near a clock, the server's once it is known, and no wall clock that the server
    /// contradicts decides about an expiry.
    StampsNearClock,
    /// S26: what a watch brings ends a term at most: it starts none and moves no deadline.
    HintsOnly,
    /// L8: a term expires only after an attempt that had its whole time before the end.
    LastChance,
    /// L1: after the faults end, somebody holds within a bound.
    EventualHolder,
    /// L2: after that, nothing changes.
    Stable,
    /// L3: after a crash another holds within the wait, a poll and a few round trips.
    Takeover,
    /// L4: after a release another holds within a poll and a few round trips; where one of them is told of it by
    /// its watch, within a few round trips.
    FastRelease,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 31] = [
        Self::MutualExclusion,
        Self::BeliefBacked,
        Self::BeliefBound,
        Self::NoEarlyTakeover,
        Self::ConditionalWrites,
        Self::TokenGrows,
        Self::FencedResource,
        Self::UnknownIsNeutral,
        Self::OwnSend,
        Self::StrictRenewTime,
        Self::Transitions,
        Self::ForeignPreserved,
        Self::ReleaseOrder,
        Self::EventGrammar,
        Self::NoAdoption,
        Self::ForeignDropsNow,
        Self::ClockAbuse,
        Self::Bounded,
        Self::WakeContract,
        Self::Determinism,
        Self::NoMeansNo,
        Self::NoFalseLoss,
        Self::SettleFirst,
        Self::RespectsDeletion,
        Self::StampsNearClock,
        Self::HintsOnly,
        Self::LastChance,
        Self::EventualHolder,
        Self::Stable,
        Self::Takeover,
        Self::FastRelease,
    ];

    /// Its short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MutualExclusion => "S1",
            Self::BeliefBacked => "S2",
            Self::BeliefBound => "S3",
            Self::NoEarlyTakeover => "S4",
            Self::ConditionalWrites => "S5",
            Self::TokenGrows => "S6",
            Self::FencedResource => "S7",
            Self::UnknownIsNeutral => "S8",
            Self::OwnSend => "S9",
            Self::StrictRenewTime => "S10",
            Self::Transitions => "S11",
            Self::ForeignPreserved => "S12",
            Self::ReleaseOrder => "S13",
            Self::EventGrammar => "S14",
            Self::NoAdoption => "S15",
            Self::ForeignDropsNow => "S16",
            Self::ClockAbuse => "S17",
            Self::Bounded => "S18",
            Self::WakeContract => "S19",
            Self::Determinism => "S20",
            Self::NoMeansNo => "S21",
            Self::NoFalseLoss => "S22",
            Self::SettleFirst => "S23",
            Self::RespectsDeletion => "S24",
            Self::StampsNearClock => "S25",
            Self::HintsOnly => "S26",
            Self::LastChance => "L8",
            Self::EventualHolder => "L1",
            Self::Stable => "L2",
            Self::Takeover => "L3",
            Self::FastRelease => "L4",
        }
    }

    /// Whether it only holds where the assumptions of the safety argument do.
    #[must_use]
    pub const fn needs_assumptions(self) -> bool {
        matches!(
            self,
            Self::MutualExclusion
                | Self::BeliefBacked
                | Self::BeliefBound
                | Self::NoEarlyTakeover
                | Self::NoFalseLoss
                | Self::EventualHolder
                | Self::Stable
                | Self::Takeover
                | Self::FastRelease
        )
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, in nanoseconds of true time.
    pub at: u64,
    /// What was seen.
    pub about: String,
}
