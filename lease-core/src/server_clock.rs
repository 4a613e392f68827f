//! Our wall clock, held against the API server's `Date` header.

use std::time::Duration;

use crate::event::Event;
use crate::time::{MonoTime, Now, WallTime, micros};

/// `Date` has whole seconds.
const GRAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ServerClock {
    reference: Option<Reference>,
    /// How many `Date`s in a row disagreed, two at most.
    disagreements: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Reference {
    date: WallTime,
    received: MonoTime,
    round_trip: Duration,
}

impl Reference {
    /// The server's time now, as far as the last `Date` tells.
    fn server_time(&self, now: MonoTime) -> WallTime {
        self.date.saturating_add(now.saturating_since(self.received))
    }
}

impl ServerClock {
    /// Takes in the `Date` of a response to a request that was sent at `sent`; tells when trust changes.
    pub(crate) fn note(
        &mut self,
        date: WallTime,
        sent: MonoTime,
        now: Now,
        skew_bound: Duration,
    ) -> Option<Event> {
        let round_trip = now.mono.saturating_since(sent);
        self.reference = Some(Reference { date, received: now.mono, round_trip });
        let before = self.disagreements;
        self.disagreements = if self.disagrees(now, skew_bound) { (before + 1).min(2) } else { 0 };
        match (before, self.disagreements) {
            (0, 1) => Some(Event::ClockSuspect { offset_micros: date.micros_since(now.wall) }),
            (1.., 0) => Some(Event::ClockTrusted),
            _ => None,
        }
    }

    /// Whether the two clocks are apart by more than half of the bound, a second and the round trip. Looked
    /// at anew at every use: a wall clock can step between two responses.
    pub(crate) fn disagrees(&self, now: Now, skew_bound: Duration) -> bool {
        let Some(reference) = self.reference else {
            return false;
        };
        let apart = micros_apart(reference.server_time(now.mono), now.wall);
        apart > micros(skew_bound / 2 + GRAIN + reference.round_trip)
    }

    /// How far our own timestamps may run ahead of the clock. No less than what the step from one source
    /// of time to the other makes, with the whole seconds of two `Date`s and a round trip in it.
    pub(crate) fn most_ahead(&self, skew_bound: Duration) -> Duration {
        let round_trip = self.reference.map_or(Duration::ZERO, |reference| reference.round_trip);
        skew_bound.max(skew_bound / 2 + 2 * GRAIN + round_trip)
    }

    /// What timestamps are written from: the wall clock, or the server's time while they disagree.
    ///
    /// One odd `Date`, of one API server of several, is not followed: it has to be the second in a row, or our
    /// clock has to have stepped away from one that it agreed with.
    pub(crate) fn stamping_time(&self, now: Now, skew_bound: Duration) -> WallTime {
        match self.reference {
            Some(reference) if self.corrects(now, skew_bound) => reference.server_time(now.mono),
            _ => now.wall,
        }
    }

    /// Whether timestamps are written from the server's time at present.
    pub(crate) fn corrects(&self, now: Now, skew_bound: Duration) -> bool {
        self.disagreements != 1 && self.disagrees(now, skew_bound)
    }
}

fn micros_apart(one: WallTime, other: WallTime) -> i64 {
    one.micros_since(other).saturating_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    fn at(mono_seconds: u64, wall_seconds: i64) -> Now {
        Now {
            mono: MonoTime::from_nanos(mono_seconds * 1_000_000_000),
            wall: WallTime::from_micros(wall_seconds * 1_000_000),
        }
    }

    #[test]
    fn trust_goes_beyond_half_the_bound_a_second_and_the_round_trip() {
        let sent = MonoTime::from_nanos(3_000_000_000);
        let noted = |wall| {
            let mut clock = ServerClock::default();
            clock.note(WallTime::from_micros(1_000_000_000), sent, at(5, wall), BOUND)
        };
        // 5 s + 1 s + 2 s round trip.
        assert_eq!(noted(1008), None);
        assert_eq!(noted(992), None);
        assert_eq!(noted(1009), Some(Event::ClockSuspect { offset_micros: -9_000_000 }));
        assert_eq!(noted(991), Some(Event::ClockSuspect { offset_micros: 9_000_000 }));
    }

    #[test]
    fn a_step_between_two_responses_is_noticed_at_once() {
        let mut clock = ServerClock::default();
        let none = clock.note(WallTime::from_micros(1_000_000_000), MonoTime::ZERO, at(0, 1000), BOUND);
        assert_eq!(none, None);
        let stepped = at(4, 4604);
        assert!(clock.disagrees(stepped, BOUND));
        assert_eq!(clock.stamping_time(stepped, BOUND), WallTime::from_micros(1_004_000_000));
        assert_eq!(clock.stamping_time(at(4, 1004), BOUND), WallTime::from_micros(1_004_000_000));
    }

    #[test]
    fn without_a_date_the_wall_clock_is_all_there_is() {
        let clock = ServerClock::default();
        assert!(!clock.disagrees(at(0, i64::from(i32::MAX)), BOUND));
        assert_eq!(clock.stamping_time(at(0, 7), BOUND), at(0, 7).wall);
    }
}
