//! What can go wrong, as data.

use serde::{Deserialize, Serialize};

/// Something that happens at one instant of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fault {
    /// When, in nanoseconds of true time since the beginning.
    pub at: u64,
    /// What.
    pub what: FaultKind,
}

/// A fault. Spans are in nanoseconds, holders are indices into the plan's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A process stands still; what arrives meanwhile waits. Its clocks go on.
    Pause {
        /// Whose.
        holder: u8,
        /// For how long.
        span: u64,
    },
    /// A machine stands still, its monotonic clock too: outside of the model.
    Suspend {
        /// Whose.
        holder: u8,
        /// For how long.
        span: u64,
    },
    /// A process dies and comes back as a new incarnation with the same identity.
    Crash {
        /// Whose.
        holder: u8,
        /// After how long it comes back.
        span: u64,
    },
    /// A process dies, and one with an identity that nobody had before takes its place: a pod of a Deployment.
    Replace {
        /// Whose.
        holder: u8,
        /// After how long the other one starts.
        span: u64,
    },
    /// A second process with a holder's identity starts while the first one lives: outside of the model where
    /// identities are reclaimed.
    Twin {
        /// Whose identity.
        holder: u8,
        /// For how long the twin lives.
        span: u64,
    },
    /// The application gives the lease back, and campaigns again later.
    Release {
        /// Whose.
        holder: u8,
        /// After how long it campaigns again.
        span: u64,
    },
    /// A wall clock steps.
    WallStep {
        /// Whose.
        holder: u8,
        /// To this distance from true time, in microseconds.
        offset: i64,
    },
    /// A wall clock stands still.
    WallFreeze {
        /// Whose.
        holder: u8,
        /// For how long.
        span: u64,
    },
    /// A driver hands in a monotonic reading from the past, once.
    ClockBack {
        /// Whose.
        holder: u8,
        /// By how much.
        by: u64,
    },
    /// A driver hands in the next answer with a reading from the past: outside of the model.
    AnswerFromPast {
        /// Whose.
        holder: u8,
        /// By how much.
        by: u64,
    },
    /// Nothing passes between a holder and the API server.
    Partition {
        /// Whose.
        holder: u8,
        /// For how long.
        span: u64,
        /// Which way.
        way: Way,
    },
    /// The API server is down: connections are refused, what was in flight is half applied.
    Outage {
        /// For how long.
        span: u64,
    },
    /// Every message takes that many times as long.
    SlowMotion {
        /// For how long.
        span: u64,
        /// How many times.
        factor: u32,
    },
    /// The API server, or somebody before it, refuses everything.
    Refuse {
        /// For how long.
        span: u64,
        /// How.
        how: Refusal,
    },
    /// The API server allows nobody to watch: 403.
    ForbidWatches {
        /// For how long.
        span: u64,
    },
    /// Somebody meddles with the object.
    Admin {
        /// How.
        edit: Edit,
    },
    /// Somebody sets a label over and over.
    LabelStorm {
        /// For how long.
        span: u64,
        /// How often.
        every: u64,
    },
    /// The namespace is deleted and made again.
    Namespace {
        /// For how long it is gone.
        span: u64,
    },
    /// The namespace is being deleted for as long: its objects are gone, and nothing can be made in it. Then it
    /// is made again.
    Terminating {
        /// For how long.
        span: u64,
    },
    /// The storage is restored from a backup that is some writes old: outside of the model.
    Rollback,
}

/// Which way a partition blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Both.
    Both,
    /// Requests are lost.
    Requests,
    /// Requests arrive, replies are lost.
    Replies,
    /// Connections are refused at once.
    Refused,
}

/// How everything is refused for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// 401 with a `Status`.
    Unauthorized,
    /// 403 with a `Status`.
    Forbidden,
    /// 429 with a `Status`, and this `Retry-After` in seconds.
    TooMany(u32),
    /// 503 with a `Status`.
    Unavailable,
    /// 404 of a proxy: a page, no `Status`.
    ProxyPage,
}

/// What an administrator or a foreign client does to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// Deletes it.
    Delete,
    /// Deletes it and makes it again, held by nobody.
    Recreate,
    /// Clears the holder.
    Clear,
    /// Makes a stranger the holder, as client-go would: no nonce, times and duration as usual.
    Stranger {
        /// `leaseDurationSeconds`.
        seconds: i32,
    },
    /// Sets `leaseDurationSeconds`.
    Duration {
        /// To this.
        seconds: i32,
    },
    /// Moves `renewTime`.
    RenewTime {
        /// By this many seconds.
        seconds: i32,
    },
    /// Sets a label, an annotation and an owner reference.
    Label,
    /// Sets a finalizer.
    Finalize,
    /// Removes it.
    Unfinalize,
    /// Removes all annotations.
    Strip,
    /// Writes the record as Pekko would: holder and times alone, no duration.
    Pekko,
    /// Writes the record as `kubectl create` or a vacating client would: nulls.
    Nulls,
    /// Writes a record of a hostile client: the end of time, the longest duration, the most transitions.
    Hostile,
}

/// The names under which reports count what goes wrong: of [`FaultKind`]s, of [`Deed`](super::Deed)s that are
/// not plain, of what befalls watches, of pauses, and of messages that are slow or come in another order than they were sent in.
pub const FAULT_NAMES: &[&str] = &[
    "401-window",
    "403-window",
    "404-page-window",
    "429",
    "429-window",
    "503-window",
    "admin-clear-holder",
    "admin-delete",
    "admin-edit-duration",
    "admin-edit-metadata",
    "admin-edit-renew-time",
    "admin-recreate",
    "admin-remove-finalizer",
    "admin-set-finalizer",
    "admin-strip-annotations",
    "answer-with-a-reading-from-the-past",
    "applied-late",
    "clock-stops",
    "connection-refused",
    "crash",
    "error",
    "error-after-applying",
    "error-then-applied-late",
    "foreign-hostile-record",
    "foreign-null-record",
    "foreign-pekko-record",
    "foreign-takeover",
    "garbage-another-kind",
    "garbage-another-name",
    "garbage-another-requests-answer",
    "garbage-binary",
    "garbage-empty",
    "garbage-no-number",
    "garbage-no-uid",
    "garbage-page",
    "garbage-too-large",
    "garbage-truncated",
    "label-storm",
    "namespace-deleted",
    "namespace-terminating",
    "outage",
    "overtaken",
    "partition",
    "pause",
    "process-stands-still",
    "reading-from-the-past",
    "release",
    "replaced-by-another-identity",
    "reply-delayed",
    "reply-lost",
    "request-delayed",
    "request-doubled",
    "request-lost",
    "reset-after",
    "reset-before",
    "second-reply-delivered",
    "slow-server",
    "stale-read",
    "storage-rollback",
    "twin",
    "wall-clock-freezes",
    "wall-clock-steps",
    "watch-403-window",
    "watch-answered-410",
    "watch-answered-429",
    "watch-answered-5xx",
    "watch-bookmark",
    "watch-breaks-with-410",
    "watch-ends-at-once",
    "watch-ends-early",
    "watch-event-cut",
    "watch-event-dropped",
    "watch-event-late",
    "watch-event-of-another",
    "watch-event-repeated",
    "watch-events-joined",
    "watch-garbage",
    "watch-stalls",
    "watches-are-deaf",
    "wrong-content-type",
];

impl FaultKind {
    /// Its name in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pause { .. } => "pause",
            Self::Suspend { .. } => "clock-stops",
            Self::Crash { .. } => "crash",
            Self::Replace { .. } => "replaced-by-another-identity",
            Self::Twin { .. } => "twin",
            Self::Release { .. } => "release",
            Self::WallStep { .. } => "wall-clock-steps",
            Self::WallFreeze { .. } => "wall-clock-freezes",
            Self::ClockBack { .. } => "reading-from-the-past",
            Self::AnswerFromPast { .. } => "answer-with-a-reading-from-the-past",
            Self::Partition { .. } => "partition",
            Self::Outage { .. } => "outage",
            Self::SlowMotion { .. } => "slow-server",
            Self::Refuse { how, .. } => match how {
                Refusal::Unauthorized => "401-window",
                Refusal::Forbidden => "403-window",
                Refusal::TooMany(_) => "429-window",
                Refusal::Unavailable => "503-window",
                Refusal::ProxyPage => "404-page-window",
            },
            Self::ForbidWatches { .. } => "watch-403-window",
            Self::Admin { edit } => match edit {
                Edit::Delete => "admin-delete",
                Edit::Recreate => "admin-recreate",
                Edit::Clear => "admin-clear-holder",
                Edit::Stranger { .. } => "foreign-takeover",
                Edit::Duration { .. } => "admin-edit-duration",
                Edit::RenewTime { .. } => "admin-edit-renew-time",
                Edit::Label => "admin-edit-metadata",
                Edit::Finalize => "admin-set-finalizer",
                Edit::Unfinalize => "admin-remove-finalizer",
                Edit::Strip => "admin-strip-annotations",
                Edit::Pekko => "foreign-pekko-record",
                Edit::Nulls => "foreign-null-record",
                Edit::Hostile => "foreign-hostile-record",
            },
            Self::LabelStorm { .. } => "label-storm",
            Self::Namespace { .. } => "namespace-deleted",
            Self::Terminating { .. } => "namespace-terminating",
            Self::Rollback => "storage-rollback",
        }
    }

    /// The holder that it hits, if it hits one.
    #[must_use]
    pub const fn holder(&self) -> Option<u8> {
        let mut copy = *self;
        match copy.holder_mut() {
            Some(holder) => Some(*holder),
            None => None,
        }
    }

    /// For how long it keeps what comes from the API server from this holder.
    pub(crate) const fn blocks_replies_of(&self, seat: u8) -> Option<u64> {
        match self {
            Self::Partition { holder, span, way: Way::Both | Way::Replies } if *holder == seat => Some(*span),
            _ => None,
        }
    }

    /// How long it lasts, where it lasts.
    #[must_use]
    pub const fn span(&self) -> Option<u64> {
        let mut copy = *self;
        match copy.span_mut() {
            Some(span) => Some(*span),
            None => None,
        }
    }

    /// Its place for another holder.
    pub(super) const fn holder_mut(&mut self) -> Option<&mut u8> {
        match self {
            Self::Pause { holder, .. }
            | Self::Suspend { holder, .. }
            | Self::Crash { holder, .. }
            | Self::Replace { holder, .. }
            | Self::Twin { holder, .. }
            | Self::Release { holder, .. }
            | Self::WallStep { holder, .. }
            | Self::WallFreeze { holder, .. }
            | Self::ClockBack { holder, .. }
            | Self::AnswerFromPast { holder, .. }
            | Self::Partition { holder, .. } => Some(holder),
            _ => None,
        }
    }

    /// Its place for another span.
    pub(super) const fn span_mut(&mut self) -> Option<&mut u64> {
        match self {
            Self::Pause { span, .. }
            | Self::Suspend { span, .. }
            | Self::Crash { span, .. }
            | Self::Replace { span, .. }
            | Self::Twin { span, .. }
            | Self::Release { span, .. }
            | Self::WallFreeze { span, .. }
            | Self::Partition { span, .. }
            | Self::Outage { span }
            | Self::SlowMotion { span, .. }
            | Self::Refuse { span, .. }
            | Self::ForbidWatches { span }
            | Self::LabelStorm { span, .. }
            | Self::Namespace { span }
            | Self::Terminating { span } => Some(span),
            _ => None,
        }
    }
}
