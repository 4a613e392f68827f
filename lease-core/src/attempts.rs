//! What this incarnation tried to write. A read that shows one of these `renewTime`s shows that very write.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::{MonoTime, WallTime};

/// How many attempts are remembered, beside the one that the record showed last. An older one that lands
/// after all counts as a stranger's record: it has to expire, which costs time and never safety.
const MOST: usize = 32;
/// For how long a POST without a known outcome may still land: there is nothing that it could be
/// conditional on. kube-apiserver gives a request up after `--request-timeout`, 60 s by default; twice that.
const CREATE_MAY_LAND_FOR: Duration = Duration::from_secs(120);

/// An hour: room for 3.6 billion timestamps.
const ROOM_MICROS: i64 = 3_600_000_000;

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
    /// The attempt that the record showed when it was last seen to be ours. Never forgotten.
    shown: Option<Attempt>,
    highest: Option<WallTime>,
    /// Whether `highest` was written from the server's time: it says nothing about our own clock.
    from_server: bool,
    /// POSTs without a known outcome: their `acquireTime`, and until when they may land.
    open_creates: VecDeque<(WallTime, MonoTime)>,
}

impl Attempts {
    /// Whether the last stamp was written from the server's time.
    pub(crate) fn is_from_server(&self) -> bool {
        self.from_server
    }

    /// How far our own sequence runs ahead of the clock.
    pub(crate) fn ahead_of(&self, wall: WallTime) -> Duration {
        self.highest.map_or(Duration::ZERO, |highest| highest.saturating_since(storable(wall)))
    }

    /// Gives up the present sequence: the next stamp is the wall clock's again.
    pub(crate) fn restart(&mut self) {
        self.highest = None;
        self.from_server = false;
    }

    /// Whether this attempt's `renewTime` belongs to a sequence that was given up: the next stamps lie before it.
    pub(crate) fn is_given_up(&self, attempt: &Attempt) -> bool {
        self.highest < Some(attempt.renew_time)
    }

    /// The next `renewTime`: the wall clock, but above every one of this sequence and none that is
    /// remembered. A foreign value is never followed, so a record at the year 9999 wedges nobody.
    pub(crate) fn next_stamp(&self, wall: WallTime) -> WallTime {
        let wall = storable(wall);
        let mut stamp = self.highest.map_or(wall, |highest| wall.max(highest.offset_by(1)));
        while self.find(stamp).is_some() {
            stamp = stamp.offset_by(1);
        }
        stamp
    }

    pub(crate) fn remember(&mut self, attempt: Attempt) {
        if self.ring.len() == MOST {
            self.ring.pop_front();
        }
        self.reserve(attempt.renew_time);
        self.ring.push_back(attempt);
    }

    /// Tells where the next stamp comes from. Once the server's time is ahead of ours, our own sequence is.
    pub(crate) fn note_source(&mut self, from_server: bool) {
        self.from_server |= from_server;
    }

    /// Uses up a `renewTime` that a write without our name carries.
    pub(crate) fn reserve(&mut self, renew_time: WallTime) {
        self.highest = self.highest.max(Some(renew_time));
    }

    /// The record shows this attempt, whose term or attempt to acquire began with `acquire_time`: a POST
    /// with that time has landed.
    pub(crate) fn seen(&mut self, attempt: Attempt, acquire_time: Option<WallTime>) {
        self.shown = Some(attempt);
        self.open_creates.retain(|(time, _)| Some(*time) != acquire_time);
    }

    /// A POST has no known outcome.
    pub(crate) fn leave_open(&mut self, acquire_time: WallTime, now: MonoTime) {
        if self.open_creates.len() == MOST {
            self.open_creates.pop_front();
        }
        self.open_creates.push_back((acquire_time, now.saturating_add(CREATE_MAY_LAND_FOR)));
    }

    /// Whether a POST of ours may still land.
    pub(crate) fn may_create(&self, now: MonoTime) -> bool {
        self.open_creates.iter().any(|(_, until)| now < *until)
    }

    pub(crate) fn find(&self, renew_time: WallTime) -> Option<&Attempt> {
        self.ring.iter().chain(&self.shown).find(|attempt| attempt.renew_time == renew_time)
    }

    /// The attempts, oldest first, and the one that the record showed last.
    #[cfg(feature = "explore")]
    pub(crate) fn remembered(&self) -> (impl Iterator<Item = &Attempt>, Option<&Attempt>) {
        (self.ring.iter(), self.shown.as_ref())
    }

    #[cfg(feature = "explore")]
    pub(crate) fn highest(&self) -> Option<WallTime> {
        self.highest
    }

    /// The `acquireTime`s of POSTs without a known outcome.
    #[cfg(feature = "explore")]
    pub(crate) fn open(&self) -> impl Iterator<Item = WallTime> {
        self.open_creates.iter().map(|(time, _)| *time)
    }

    /// From here on a POST without a known outcome may land for ever.
    #[cfg(feature = "explore")]
    pub(crate) fn never_settle(&mut self) {
        for (_, until) in &mut self.open_creates {
            *until = MonoTime::from_nanos(u64::MAX);
        }
    }

    /// When the last one was handed out.
    pub(crate) fn last_emitted(&self) -> Option<MonoTime> {
        self.ring.back().map(|attempt| attempt.emitted)
    }
}

/// The nearest time from which our sequence can grow for a while and still be stored: a clock that stands at
/// the end of the year 9999 must renew like any other.
fn storable(wall: WallTime) -> WallTime {
    wall.clamp(WallTime::MIN_STORED, WallTime::MAX_STORED.offset_by(-ROOM_MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(micros: i64) -> Attempt {
        let renew_time = WallTime::from_micros(micros);
        Attempt { renew_time, emitted: MonoTime::ZERO, episode: 1, begins_term: false }
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
