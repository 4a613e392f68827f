//! The two clocks, as plain numbers that the caller hands in.

use std::time::Duration;

/// A reading of a monotonic clock that **counts suspend**: nanoseconds since an arbitrary origin.
///
/// On Linux that is `CLOCK_BOOTTIME`; `std::time::Instant` is `CLOCK_MONOTONIC` there and stops while the
/// machine sleeps, which would let a holder believe after it woke up (rust-lang/rust#87906).
/// Readings of one [`Lease`](crate::Lease) must share one origin; nothing else is asked of it.
/// All arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoTime(u64);

impl MonoTime {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// A reading of `nanos` nanoseconds since the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This instant moved later by `by`, at most to the end of the clock (584 years after its origin).
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }

    /// This instant moved earlier by `by`, at most to the origin.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by)))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A reading of the wall clock: microseconds since the Unix epoch, in UTC.
///
/// It is what a Lease's timestamps are written from. Decisions on a holder's own term never look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(i64);

impl WallTime {
    /// The first instant that an API server stores: 1970-01-01T00:00:00.000000Z.
    pub const MIN_STORED: Self = Self(0);
    /// The last instant that an API server stores: 9999-12-31T23:59:59.999999Z.
    pub const MAX_STORED: Self = Self(253_402_300_799_999_999);

    /// A reading of `micros` microseconds since the Unix epoch; negative before it.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This instant moved later by `by`, saturating.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }

    /// This instant moved by a signed number of microseconds, saturating.
    #[must_use]
    pub fn offset_by(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// How far this instant lies after `earlier`; zero when it lies before.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let gap = i128::from(self.0) - i128::from(earlier.0);
        Duration::from_micros(u64::try_from(gap.max(0)).unwrap_or(u64::MAX))
    }

    /// Microseconds from `earlier` to this instant; negative when it lies before. Saturates.
    pub fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both clocks, sampled together, once for every input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now {
    /// The monotonic clock. All deadlines are computed from it.
    pub mono: MonoTime,
    /// The wall clock. It is written to the record and, unless switched off, frees a long-dead lease.
    pub wall: WallTime,
}

/// A duration's nanoseconds, saturating at 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration's microseconds, saturating.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let end = MonoTime::from_nanos(u64::MAX);
        assert_eq!(end.saturating_add(Duration::MAX), end);
        assert_eq!(MonoTime::ZERO.saturating_sub(Duration::MAX), MonoTime::ZERO);
        assert_eq!(MonoTime::ZERO.saturating_since(end), Duration::ZERO);
        let first = WallTime::from_micros(i64::MIN);
        let last = WallTime::from_micros(i64::MAX);
        assert_eq!(first.saturating_since(last), Duration::ZERO);
        assert_eq!(last.saturating_since(first), Duration::from_micros(u64::MAX));
        assert_eq!(last.micros_since(first), i64::MAX);
    }
}
