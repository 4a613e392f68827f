//! The clocks of one simulated machine, as exact integer functions of true time.

use lease_core::{MonoTime, Now, WallTime};

use crate::plan::ClockPlan;

const MILLION: u128 = 1_000_000;

/// A monotonic clock with a rate error, and a wall clock with an offset.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    plan: ClockPlan,
    /// For how long the monotonic clock has stood still so far.
    stopped: u64,
    /// How far the wall clock is ahead, in microseconds.
    offset: i64,
    /// Where the wall clock stands while it stands still.
    frozen: Option<i64>,
    /// True wall time at the beginning, in microseconds since the Unix epoch.
    epoch: i64,
}

impl Clock {
    pub(crate) fn new(plan: ClockPlan, epoch: i64) -> Self {
        // Half a wave has to be a whole number of millions of nanoseconds for the arithmetic to be exact.
        let wave = plan.wave / (2 * MILLION as u64) * (2 * MILLION as u64);
        Self { plan: ClockPlan { wave, ..plan }, stopped: 0, offset: plan.wall_offset, frozen: None, epoch }
    }

    /// Both clocks.
    pub(crate) fn read(&self, at: u64) -> Now {
        Now { mono: self.mono(at), wall: self.wall(at) }
    }

    pub(crate) fn mono(&self, at: u64) -> MonoTime {
        let ran = at.saturating_sub(self.stopped);
        MonoTime::from_nanos(self.plan.origin + self.elapsed(ran))
    }

    pub(crate) fn wall(&self, at: u64) -> WallTime {
        WallTime::from_micros(self.frozen.unwrap_or_else(|| self.wall_now(at)))
    }

    fn wall_now(&self, at: u64) -> i64 {
        self.epoch + (at / 1000) as i64 + self.offset
    }

    /// The first instant at which the monotonic clock shows `reading` or more, if it goes on as planned; the
    /// end of time for the end of the clock.
    pub(crate) fn instant(&self, reading: MonoTime) -> u64 {
        let wanted = reading.as_nanos();
        if wanted > u64::MAX / 4 {
            return u64::MAX / 4;
        }
        let wanted = wanted.saturating_sub(self.plan.origin);
        self.stopped + self.inverse(wanted)
    }

    fn rate(&self, faster: bool) -> u128 {
        let rate = i64::from(self.plan.rate);
        let signed = if faster { rate } else { -rate };
        (MILLION as i64 + signed) as u128
    }

    /// How far the clock advances in the first `ran` nanoseconds.
    fn elapsed(&self, ran: u64) -> u64 {
        if self.plan.wave == 0 {
            return (u128::from(ran) * self.rate(true) / MILLION) as u64;
        }
        let (waves, rest) = (ran / self.plan.wave, ran % self.plan.wave);
        let half = self.plan.wave / 2;
        let fast = u128::from(rest.min(half)) * self.rate(true) / MILLION;
        let slow = u128::from(rest.saturating_sub(half)) * self.rate(false) / MILLION;
        waves * self.plan.wave + (fast + slow) as u64
    }

    /// The smallest `ran` with `elapsed(ran) >= wanted`.
    fn inverse(&self, wanted: u64) -> u64 {
        let divide = |part: u64, rate: u128| (u128::from(part) * MILLION).div_ceil(rate) as u64;
        if self.plan.wave == 0 {
            return divide(wanted, self.rate(true));
        }
        let (waves, rest) = (wanted / self.plan.wave, wanted % self.plan.wave);
        let half = self.plan.wave / 2;
        let fast = (u128::from(half) * self.rate(true) / MILLION) as u64;
        let part = if rest <= fast {
            divide(rest, self.rate(true))
        } else {
            half + divide(rest - fast, self.rate(false))
        };
        waves * self.plan.wave + part
    }

    /// The monotonic clock has stood still for that long.
    pub(crate) fn stop(&mut self, span: u64) {
        self.stopped += span;
    }

    pub(crate) fn step_wall(&mut self, offset: i64) {
        self.offset = offset;
    }

    pub(crate) fn freeze_wall(&mut self, at: u64) {
        self.frozen = Some(self.wall_now(at));
    }

    pub(crate) fn thaw_wall(&mut self) {
        self.frozen = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_is_the_first_instant_that_shows_the_reading() {
        for (rate, wave) in
            [(0, 0), (50_000, 0), (-50_000, 0), (52_631, 600), (-13, 2_000_000_000), (50_000, 6_000_000_000)]
        {
            let plan = ClockPlan { origin: 77, rate, wave, wall_offset: 0 };
            let clock = Clock::new(plan, 0);
            for step in 0..2_000_u64 {
                let at = step * 7_919_003;
                let reading = clock.mono(at);
                let first = clock.instant(reading);
                assert!(first <= at, "{rate} {wave} {at}");
                assert_eq!(clock.mono(first), reading);
                assert!(first == 0 || clock.mono(first - 1) < reading);
            }
        }
    }
}
