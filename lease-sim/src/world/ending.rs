//! What happens when the faults have ended: somebody has to hold, and another to follow.

use super::{Drive, Ending, Happening, HolderPlan, Invariant, Mark, World, faults};
use crate::oracle::names;
use crate::plan::MILLISECOND;

/// How long after a release somebody has to hold whom a watch tells of it, in milliseconds: the release itself, the
/// event, a read and a write take 2 to 6 each; the rest is for a conflict with an edit, and a short pause after it.
const TOLD_WITHIN: u64 = 400;

impl World<'_> {
    pub(super) fn heal(&mut self) {
        self.healed = true;
        faults::heal(self);
        let settled = self.now + self.bound();
        self.queue.push(settled, Happening::Settled);
    }

    /// The largest of the holders' settings of one kind.
    fn longest(&self, of: fn(&HolderPlan) -> u64) -> u64 {
        self.seats.iter().map(|seat| of(&seat.plan)).max().unwrap_or(0)
    }

    /// How long after the faults end somebody has to hold, and a little more.
    pub(super) fn bound(&self) -> u64 {
        let ttl = self.longest(HolderPlan::duration);
        let wait =
            ttl.max(60_000) + self.longest(|holder| holder.takeover_delay + holder.foreign_holder_grace);
        let period = self.longest(|holder| match holder.drive {
            Drive::TryAcquire(every) => every,
            Drive::Impatient(patience) => patience + holder.ttl,
            Drive::Campaign => 0,
        });
        let quarantine = if self.seats.iter().any(|seat| seat.plan.vacate) { ttl } else { 0 };
        // A holder may have been told to wait for a minute, and reads it again with pauses of up to a ttl.
        (wait + period + quarantine + ttl + 65_000) * MILLISECOND
    }

    pub(super) fn check_settled(&mut self) {
        let holder = self.oracle.believer(self.now);
        if holder.is_none() {
            self.oracle.violate(self.now, Invariant::EventualHolder, || {
                "nobody holds although all faults ended long ago".to_owned()
            });
        }
        self.settled = holder;
        let quiet = 2 * self.longest(|holder| holder.ttl);
        self.queue.push(self.now + quiet * MILLISECOND, Happening::Ending);
    }

    pub(super) fn end(&mut self) {
        if self.oracle.believer(self.now) != self.settled {
            let (was, is) = (self.settled, self.oracle.believer(self.now));
            self.oracle.violate(self.now, Invariant::Stable, || {
                format!("{was:?} held, now {is:?} does, and nothing had happened")
            });
        }
        // A twin whose time is over does not follow anybody.
        let others = self.seats.iter().filter(|seat| !seat.retired).count() > 1;
        let Some((seat, _)) = self.settled.filter(|_| others) else {
            return;
        };
        let period = self.longest(|holder| match holder.drive {
            Drive::TryAcquire(every) | Drive::Impatient(every) => every + holder.ttl,
            Drive::Campaign => 0,
        });
        let poll = self.longest(|holder| holder.ttl / 3) + period + 2_000;
        let wait = self.longest(HolderPlan::duration) + self.longest(|holder| holder.takeover_delay);
        let within = match self.plan.ending {
            Ending::Quiet => return,
            // Who is told at once looks at once.
            Ending::Release if self.is_watched(seat, TOLD_WITHIN * MILLISECOND) => TOLD_WITHIN,
            Ending::Release => poll,
            Ending::Crash => poll + wait * 11 / 9,
        };
        self.ended = Some(seat);
        self.told = (within == TOLD_WITHIN).then_some(poll * MILLISECOND);
        self.seats[usize::from(seat)].retired = true;
        match self.plan.ending {
            Ending::Release => {
                self.seats[usize::from(seat)].plan.drive = Drive::Campaign;
                self.release(seat);
            }
            _ => self.kill(seat),
        }
        self.queue.push(self.now + within * MILLISECOND, Happening::Followed);
    }

    pub(super) fn check_followed(&mut self) {
        let follower = self.oracle.believer(self.now);
        let (invariant, mark) = match self.plan.ending {
            Ending::Release => (Invariant::FastRelease, Mark::FollowedRelease),
            _ => (Invariant::Takeover, Mark::FollowedCrash),
        };
        let followed = follower.is_some_and(|(seat, _)| Some(seat) != self.ended);
        if let Some(patience) = self.told.filter(|_| !followed && self.names_the_ended()) {
            // Nobody could be told yet: edits have held the release itself up.
            self.told = None;
            return self.queue.push(self.now + patience, Happening::Followed);
        }
        if !followed {
            self.oracle.violate(self.now, invariant, || "nobody has followed in time".to_owned());
        } else {
            self.oracle.marks.hit(mark);
            if self.told.is_some() {
                self.oracle.marks.hit(Mark::FollowedAtOnce);
            }
        }
    }

    /// Whether the record still names the one who was told to release.
    fn names_the_ended(&self) -> bool {
        let ended = self.ended.map(|seat| self.seats[usize::from(seat)].config.identity().as_str());
        let object = self.object();
        ended.is_some() && object.as_ref().and_then(|(object, _)| names(object)) == ended
    }
}
