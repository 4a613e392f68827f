//! Models of other protocols in the world, and what is written down to compare them.

use std::time::Duration;

use super::seat::{Machine, NAME, NAMESPACE};
use super::{Happening, World};
use crate::compare::Watch;
use crate::oracle::identity;
use crate::plan::{SECOND, mix};
use crate::protocol::{PeerSettings, ProtocolKind};

/// After that long a message that was lost is the news of a broken connection, for protocols that wait without
/// a limit of their own: as long as client-go's health check of idle connections takes, 30 s and 15 s for the
/// answer to a ping. Without it the loss of one message would stop some holders for ever, which would be
/// unfair to hold against them: a simulated loss has no transport below it that sends again.
const BREAKS_AFTER: u64 = 45 * SECOND;
/// A run with more requests than that is one that spins.
const MOST_REQUESTS: u64 = 20_000;
/// The same of happenings.
const MOST_HAPPENINGS: u64 = 300_000;

impl World<'_> {
    /// Makes every holder follow another protocol instead of lease-core's.
    ///
    /// What a plan says about lease-core's own settings counts for nothing then, but for the ttl, which is
    /// rounded up to whole seconds. No invariant is judged: only [compare](crate::compare) looks at such a
    /// run. A message that is lost becomes the news of a broken connection after 45 s. Comes after
    /// [`traced`](World::traced), if both are wanted.
    #[must_use]
    pub fn protocol(mut self, kind: ProtocolKind) -> Self {
        self.protocol = Some(kind);
        self.oracle.silent = true;
        if let Some(trace) = &mut self.trace {
            for (lane, seat) in trace.lanes.iter_mut().zip(&self.seats) {
                lane.about = format!("model of {kind}, ttl {} ms", seat.plan.duration());
            }
        }
        self
    }

    /// Writes down who believes when, for comparisons.
    pub(crate) fn watched(mut self) -> Self {
        self.watch = Some(Watch::new(self.seats.len()));
        self
    }

    /// Puts a fact down, where that is wanted.
    pub(super) fn watching(&mut self, note: impl FnOnce(&mut Watch, u64)) {
        if let Some(watch) = &mut self.watch {
            note(watch, self.now);
        }
    }

    /// A process that has just started follows the protocol that is wanted.
    pub(super) fn follow_protocol(&mut self, seat: u8) {
        let Some(kind) = self.protocol else {
            return;
        };
        let place = &mut self.seats[usize::from(seat)];
        let settings = PeerSettings {
            namespace: NAMESPACE.to_owned(),
            name: NAME.to_owned(),
            identity: identity(seat, &place.plan, place.renamed),
            ttl: Duration::from_millis(place.plan.duration()),
            seed: mix(self.plan.seed ^ mix(u64::from(seat) << 32 | u64::from(place.incarnation))),
        };
        place.machine = Some(Machine::Peer(kind.start(settings)));
    }

    /// A message is lost: some protocols have to be told one day.
    pub(super) fn breaks(&mut self, message: u32) {
        if self.protocol.is_some() {
            self.queue.push(self.now + BREAKS_AFTER, Happening::Broken { message });
        }
    }

    /// The connection on which an answer was to come is known to be broken.
    pub(super) fn broken(&mut self, message: u32) {
        let sent = &mut self.messages[message as usize];
        sent.response = None;
        sent.shown = None;
        self.deliver(message);
    }

    /// Ends the run of a model that sends without end.
    pub(super) fn spins(&mut self) -> bool {
        let spins = self.protocol.is_some()
            && (self.counts.requests > MOST_REQUESTS || self.queue.pushed() > MOST_HAPPENINGS);
        if spins {
            self.watching(|watch, _| watch.cut_short());
        }
        spins
    }
}
