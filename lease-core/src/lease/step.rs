//! The one thing that a machine is waiting for.

use crate::identifiers::RequestId;
use crate::output::WakeReason;
use crate::time::{MonoTime, WallTime};
use crate::wire::{Kind, Version};

/// At most one request is under way, or a refresh of credentials, or a pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Step {
    #[default]
    Rest,
    Asking(InFlight),
    Refreshing {
        id: RequestId,
        give_up_at: MonoTime,
        not_before: MonoTime,
        then: Next,
    },
    Pausing {
        until: MonoTime,
        then: Next,
        reason: WakeReason,
    },
}

/// What follows a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Next {
    /// Begin an attempt to acquire.
    Attempt,
    /// Read the record.
    Read,
    /// Write it: renew, or give it back.
    Write,
}

/// A request that was handed out, or waits to be polled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct InFlight {
    pub(super) id: RequestId,
    pub(super) kind: Kind,
    pub(super) emitted: MonoTime,
    pub(super) give_up_at: MonoTime,
    /// The `renewTime` that a write puts there.
    pub(super) stamp: Option<WallTime>,
    /// The state that an update or delete was made for.
    pub(super) base: Option<Version>,
}

impl Step {
    /// When something is due by itself, and what.
    pub(super) fn alarm(&self) -> Option<(MonoTime, WakeReason)> {
        match self {
            Self::Rest => None,
            Self::Asking(in_flight) => Some((in_flight.give_up_at, WakeReason::GiveUp)),
            Self::Refreshing { give_up_at, .. } => Some((*give_up_at, WakeReason::GiveUp)),
            Self::Pausing { until, reason, .. } => Some((*until, *reason)),
        }
    }
}
