//! Reachability: situations that a sweep has to have met, or it has tested less than it says.

macro_rules! marks {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// A situation that a sweep has to have met.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Mark { $($(#[doc = $doc])* $variant,)* }

        impl Mark {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

marks! {
    /// A conflict with a write of one's own.
    OwnConflict = "own-409",
    /// A confirmation that came when the term was over already.
    LateAck = "late-ack-after-the-end",
    /// A write whose answer was lost, and that had been applied.
    UnknownApplied = "unknown-put-that-applied",
    /// A write that was answered with an error, or not at all, and applied later.
    LateLanding = "error-then-late-apply",
    /// A takeover that somebody else was quicker at.
    RaceLost = "takeover-by-version-race-lost",
    /// A process that stood still over the end of its term.
    PauseAcrossEnd = "pause-across-the-end",
    /// A read that found nothing.
    Absent = "404",
    /// A term that began after a quarantine.
    QuarantineEnded = "quarantine-ended",
    /// An object that was created by a process that no longer wanted it.
    GhostCreate = "ghost-create",
    /// A run with a clock exactly at the bound.
    DriftAtBound = "drift-at-the-bound",
    /// Two restarts while one term of another holder lasted.
    TwoRestarts = "two-restarts-in-one-term",
    /// A write with an old token that the resource refused.
    FencedOff = "old-token-refused",
    /// A takeover because nothing had changed for long enough.
    ByObservation = "takeover-by-observation",
    /// A takeover because the timestamp was old enough.
    ByTimestamp = "takeover-by-timestamp",
    /// A record of an earlier incarnation that was taken at once.
    Reclaimed = "reclaimed",
    /// A term that went on although somebody had edited the metadata.
    MetadataSurvived = "renewed-after-metadata-edit",
    /// A read that found an object that is being deleted.
    Terminating = "terminating-seen",
    /// A release of something that was written without a term.
    CleanUp = "clean-up-without-a-term",
    /// A term that ended because the wall clock had stepped back.
    ClockLost = "lost-by-clock",
    /// A process that noticed another one with its identity.
    DuplicateIdentity = "duplicate-identity-seen",
    /// Credentials that were read afresh after a 401.
    Refreshed = "credentials-refreshed",
    /// A read of an older state.
    StaleRead = "stale-read",
    /// A term that ended because the API server could not be reached.
    Expired = "lost-by-expiry",
    /// A term that ended because somebody else was found in the record.
    TakenOver = "lost-to-another",
    /// A term that ended because the object was gone.
    Deleted = "lost-by-deletion",
    /// A release that found somebody else's record.
    ReleaseNotOurs = "release-not-ours",
    /// A release that nobody confirmed.
    ReleaseUnconfirmed = "release-unconfirmed",
    /// An overlap that an administrator, a broken assumption or a twin had made.
    ExcusedOverlap = "overlap-after-a-broken-assumption",
    /// A holder followed another within the bound after a release.
    FollowedRelease = "followed-a-release",
    /// A holder followed another within the bound after a crash.
    FollowedCrash = "followed-a-crash",
    /// The same after a release, as soon as a watch can tell of it: long before the next poll.
    FollowedAtOnce = "followed-a-release-told-by-a-watch",
    /// A term that began with a look that a watch's event had led to.
    WatchWoke = "acquired-when-a-watch-told-of-a-release",
    /// A term that a watch's event ended.
    LostByWatch = "lost-by-a-watch-event",
    /// An event that was older than what its holder had seen, or no newer.
    WatchStale = "stale-watch-event",
    /// A watch that had lost the thread: 410.
    WatchGone = "watch-gone-410",
    /// A watch that was opened after another one had ended.
    WatchReopened = "watch-reopened",
    /// An event that came in the midst of an attempt.
    WatchInAttempt = "watch-event-in-an-attempt",
    /// An event that came when a term was over already, and its holder did not know that yet.
    WatchAfterEnd = "watch-event-after-the-end",
    /// An event that showed a record of somebody as it had not been seen before: the wait for it begins.
    WatchRestarts = "wait-restarted-by-a-watch-event",
}

/// How often each was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks([u64; Mark::ALL.len()]);

impl Default for Marks {
    fn default() -> Self {
        Self([0; Mark::ALL.len()])
    }
}

impl Marks {
    pub(crate) fn hit(&mut self, mark: Mark) {
        self.0[mark as usize] += 1;
    }

    /// How often this one was met.
    #[must_use]
    pub const fn count(&self, mark: Mark) -> u64 {
        self.0[mark as usize]
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}
