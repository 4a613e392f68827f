//! What an application may want to know.

use std::time::Duration;

use crate::identifiers::{FencingToken, Identity};
use crate::problem::Problem;
use crate::time::MonoTime;

/// Something that happened, told once.
///
/// Every [`Acquired`](Self::Acquired) is followed by exactly one [`Lost`](Self::Lost) or
/// [`Released`](Self::Released), queued before any later action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// A term began.
    Acquired {
        /// Its fencing token, above that of every earlier term.
        token: FencingToken,
        /// When it ends unless renewed.
        until: MonoTime,
        /// What was found.
        acquisition: Acquisition,
    },
    /// A renewal was confirmed.
    Renewed {
        /// When the term now ends unless renewed again.
        until: MonoTime,
    },
    /// The term ended against our will.
    Lost {
        /// The term's token.
        token: FencingToken,
        /// Why.
        reason: LostReason,
    },
    /// The term ended because we gave it back. Queued before the request that tells the API server.
    Released {
        /// The term's token.
        token: FencingToken,
    },
    /// The one answer to [`TryAcquire`](crate::Input::TryAcquire) or [`Campaign`](crate::Input::Campaign).
    AttemptEnded {
        /// Which of the two.
        command: Command,
        /// The answer.
        outcome: AttemptOutcome,
    },
    /// The one answer to [`Release`](crate::Input::Release).
    ReleaseEnded {
        /// The answer.
        outcome: ReleaseOutcome,
    },
    /// Another holder than at the last look; `None`: nobody.
    HolderChanged {
        /// Who.
        holder: Option<Identity>,
    },
    /// Something does not work. It is retried at `retry_at`, or not at all.
    Trouble {
        /// What, with its cause.
        problem: Problem,
        /// When it is tried again.
        retry_at: Option<MonoTime>,
    },
    /// A watch could not be opened, or ended otherwise than it should. Renewals and polls go on without it.
    WatchTrouble {
        /// Why.
        problem: Problem,
        /// When it is opened again, if it is still wanted then.
        retry_at: MonoTime,
    },
    /// A live record carries our identity but was written by somebody else: two processes share a name.
    DuplicateIdentity,
    /// A record claims more than `max_foreign_ttl`, which is what we wait instead.
    ForeignTtlCut {
        /// What the record claims, at most 68 years.
        claimed: Duration,
    },
    /// Our wall clock and the API server's `Date` disagree by more than half of `max_clock_skew`: rule (b)
    /// is off, and timestamps are written from the server's time.
    ClockSuspect {
        /// What has to be added to our wall clock to get the server's time, in microseconds.
        offset_micros: i64,
    },
    /// They agree again.
    ClockTrusted,
    /// The object is new: we created it under [`ReleasePolicy::Vacate`](crate::ReleasePolicy::Vacate), or
    /// somebody made it for [`existing_only`](crate::ConfigBuilder::existing_only) holders. We keep it, but hold
    /// only after the quarantine.
    QuarantineStarted {
        /// When the term can begin.
        ends_at: MonoTime,
    },
}

/// What a term was acquired from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Acquisition {
    /// The object was missing.
    Created,
    /// The object named nobody.
    Vacant,
    /// The object named this very incarnation.
    Own,
    /// The object named our identity and was written by an earlier incarnation.
    Reclaimed,
    /// Another's term had expired.
    TakenOver {
        /// Whose; `None` when the record's holder is not readable.
        previous: Option<Identity>,
    },
}

/// Why a term ended against our will.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LostReason {
    /// The record names another holder.
    TakenOver {
        /// Who; `None` when the record's holder is not readable.
        by: Option<Identity>,
    },
    /// Somebody cleared the record's holder.
    Cleared,
    /// The record names our identity, but this incarnation did not write it.
    Twin,
    /// The object is gone or being deleted.
    Deleted,
    /// No renewal was confirmed in time: the API server was unreachable or refused.
    Expired {
        /// What stood in the way last.
        last: Option<Problem>,
    },
    /// Our timestamps ran ahead of the clock by more than `max_clock_skew`: the wall clock stepped back.
    Clock,
}

/// Which command an [`Event::AttemptEnded`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// [`Input::TryAcquire`](crate::Input::TryAcquire).
    TryAcquire,
    /// [`Input::Campaign`](crate::Input::Campaign).
    Campaign,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// A term began.
    Acquired {
        /// Its fencing token.
        token: FencingToken,
    },
    /// A term was running already.
    AlreadyHeld {
        /// Its fencing token.
        token: FencingToken,
    },
    /// Not us, and no write of ours can still win.
    Denied(Denial),
    /// We do not know: the API server could not be asked or refused.
    Failed(Problem),
    /// A release came first.
    Cancelled,
}

/// Why not us.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Denial {
    /// Who holds the lease; `None` when the record's holder is not readable or there is none.
    pub holder: Option<Identity>,
    /// What stands in the way.
    pub reason: DenialReason,
    /// When trying again can succeed at the earliest, as far as can be told from what was seen.
    pub retry_at: MonoTime,
}

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DenialReason {
    /// A live other holds the lease.
    Held,
    /// A live process with our own identity holds it.
    DuplicateIdentity,
    /// The object is being deleted; a finalizer keeps it.
    Terminating,
    /// Others were quicker, `acquire_retries` times.
    Contended,
}

/// How a release ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReleaseOutcome {
    /// The API server confirmed it, or the object was gone already.
    Confirmed,
    /// The record was another's already; it was not touched.
    NotOurs,
    /// Nothing was held and nothing had been written.
    Nothing,
    /// Nobody confirmed it: the record may still name us.
    Unconfirmed {
        /// When a record that still names us has expired for contenders that saw it when it was written.
        expires_at: MonoTime,
        /// What stood in the way last.
        last: Option<Problem>,
    },
}
