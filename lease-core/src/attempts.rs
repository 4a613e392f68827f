//! What this incarnation tried to write. A read that shows one of these `renewTime`s shows that very write.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::{MonoTime, WallTime};

/// How many attempts are remembered. An older one that lands after all counts as a stranger's record: it
/// has to expire, which costs time and never safety.
const MOST: usize = 32;

/// One write that puts our name into the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    pub(crate) renew_time: WallTime,
    /// When it was handed out. Everything that it grants counts from here.
    pub(crate) emitted: MonoTime,
    /// The attempt to acquire, or the term, that it belongs to.
    pub(crate) episode: u64,
    /// Whether it begins a term once it shows: an acquiring write that leaves no quarantine behind.
    pub(crate) begins_term: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Attempts {
    ring: VecDeque<Attempt>,
    highest: Option<WallTime>,
}

impl Attempts {
    /// How far our own sequence runs ahead of the clock.
    pub(crate) fn ahead_of(&self, wall: WallTime) -> Duration {
        self.highest
            .map_or(Duration::ZERO, |highest| highest.saturating_since(wall))
    }

    /// Gives up the present sequence: the next stamp is the wall clock's again.
    pub(crate) fn restart(&mut self) {
        self.highest = None;
    }

    /// The next `renewTime`: the wall clock, but above every one of this sequence and none that is
    /// remembered. A foreign value is never followed, so a record at the year 9999 wedges nobody.
    pub(crate) fn next_stamp(&self, wall: WallTime) -> WallTime {
        let wall = wall.clamp(WallTime::MIN_STORED, WallTime::MAX_STORED);
        let mut stamp = self
            .highest
            .map_or(wall, |highest| wall.max(highest.offset_by(1)));
        while self.find(stamp).is_some() {
            stamp = stamp.offset_by(1);
        }
        stamp
    }

    pub(crate) fn remember(&mut self, attempt: Attempt) {
        if self.ring.len() == MOST {
            self.ring.pop_front();
        }
        self.highest = self.highest.max(Some(attempt.renew_time));
        self.ring.push_back(attempt);
    }

    pub(crate) fn find(&self, renew_time: WallTime) -> Option<&Attempt> {
        self.ring.iter().find(|attempt| attempt.renew_time == renew_time)
    }

    /// When the last one was handed out.
    pub(crate) fn last_emitted(&self) -> Option<MonoTime> {
        self.ring.back().map(|attempt| attempt.emitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(micros: i64) -> Attempt {
        let renew_time = WallTime::from_micros(micros);
        Attempt {
            renew_time,
            emitted: MonoTime::ZERO,
            episode: 1,
            begins_term: false,
        }
    }

    #[test]
    fn stamps_strictly_grow_while_the_wall_clock_stands_or_steps_back() {
        let mut attempts = Attempts::default();
        let wall = WallTime::from_micros(1000);
        for expected in 1000..1100 {
            let stamp = attempts.next_stamp(wall);
            assert_eq!(stamp.as_micros(), expected);
            attempts.remember(attempt(expected));
        }
        let back = WallTime::from_micros(10);
        assert_eq!(attempts.next_stamp(back).as_micros(), 1100);
        assert_eq!(attempts.ahead_of(back), Duration::from_micros(1089));
    }

    #[test]
    fn a_restarted_sequence_avoids_what_is_remembered() {
        let mut attempts = Attempts::default();
        attempts.remember(attempt(1000));
        attempts.remember(attempt(1001));
        attempts.restart();
        assert_eq!(attempts.next_stamp(WallTime::from_micros(1000)).as_micros(), 1002);
        assert_eq!(attempts.next_stamp(WallTime::from_micros(-5)).as_micros(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut attempts = Attempts::default();
        for micros in 0..100 {
            attempts.remember(attempt(micros));
        }
        assert_eq!(attempts.ring.len(), MOST);
        assert!(attempts.find(WallTime::from_micros(0)).is_none());
        assert!(attempts.find(WallTime::from_micros(99)).is_some());
    }
}
