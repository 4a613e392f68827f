//! What watches tell holders, and what may come of it: the end of a term, an earlier look, never more.

use lease_core::MonoTime;
use std::time::Duration;

use super::{Invariant, Mark, Oracle, Process, Seat, Seen, Shown};
use crate::plan::{Assumption, Drive, MILLISECOND};

/// What a holder is told by a line that has come to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hint {
    /// The object, as it was at a version.
    Object(Shown),
    /// The object was deleted, at this version.
    Deleted(u64),
    /// A version that nobody knows more about: the first of two changes at once.
    Unknown(u64),
    /// Something that nobody asked for, and that says nothing.
    Odd,
    /// The stream has lost the thread: nothing after it counts.
    Gone,
    /// Nothing after it counts.
    Garbage,
}

impl Hint {
    const fn version(&self) -> Option<u64> {
        match self {
            Self::Object(Shown { version, .. }) | Self::Deleted(version) | Self::Unknown(version) => {
                Some(*version)
            }
            Self::Odd | Self::Gone | Self::Garbage => None,
        }
    }
}

impl Hint {
    /// Whether nobody holds.
    const fn frees(&self) -> bool {
        matches!(self, Self::Deleted(_) | Self::Object(Shown { vacant: true, .. }))
    }
}

/// What the oracle knows of one holder's watches.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watches {
    open: bool,
    opened: u64,
    /// How many were opened since there was news, and since when that is.
    idle: (u32, u64),
    /// By the holder's own clock; none is opened before.
    pub(super) not_before: Option<MonoTime>,
    /// What is handed in just now comes from the watch.
    pub(super) hinting: bool,
    /// The last read was sent because the watch told something.
    pub(super) woke: bool,
    /// Its application wants it to campaign.
    campaigns: bool,
    /// A campaign's read was under way when the present event came.
    reading: bool,
    /// The newest version at which a watch told, while a read was under way, that nobody holds.
    freed: u64,
    /// By its own clock; a request has to leave by then, since what was read is older than what a watch told.
    look_by: Option<MonoTime>,
}

impl Watches {
    /// Something was told, or read, that was not known.
    pub(super) fn news(&mut self, at: u64) {
        self.idle = (0, at);
    }
}

/// How many watches may be opened in a span without news: the pauses between them double, but for those after
/// watches that last for about as long as a poll waits.
fn most_watches(span: u64, ttl: u64) -> u32 {
    // The first pause is a thirtieth of the ttl, or half of that.
    let pauses = 60 * span / (ttl * MILLISECOND);
    3 + (1 + pauses).ilog2() + pauses as u32 / 10
}

impl Oracle {
    /// A holder asks for a watch.
    pub(crate) fn watch_opened(&mut self, at: u64, process: Process, now: MonoTime) {
        let who = process.seat;
        let Seat { watches, plan, .. } = &mut self.seats[usize::from(who)];
        watches.idle.0 += 1;
        if watches.idle.1 == 0 {
            watches.idle.1 = at;
        }
        watches.opened += 1;
        let again = watches.opened > 1;
        let (count, since) = watches.idle;
        // Where a storage is put back nobody can tell by versions what is news.
        let many = !self.broken.contains(&Assumption::Storage) && count > most_watches(at - since, plan.ttl);
        let doubled = std::mem::replace(&mut watches.open, true);
        let early = watches.not_before.take().filter(|due| now < *due);
        if again {
            self.marks.hit(Mark::WatchReopened);
        }
        if doubled {
            self.violate(at, Invariant::Bounded, || format!("holder {who} has two watches"));
        }
        if many {
            self.violate(at, Invariant::Bounded, || {
                format!("holder {who} asked for {count} watches since the last news, {} ns ago", at - since)
            });
        }
        if let Some(due) = early {
            self.violate(at, Invariant::Bounded, || {
                format!("holder {who} asked for a watch at {now:?}, and had said that it would at {due:?}")
            });
        }
    }

    /// A holder has nothing more to do with its watch.
    pub(crate) fn watch_over(&mut self, process: Process) {
        let seat = &mut self.seats[usize::from(process.seat)];
        if seat.incarnation == process.incarnation {
            seat.watches.open = false;
        }
    }

    /// A holder was answered with this status in place of a watch.
    pub(crate) fn watch_refused(&mut self, code: u16) {
        if code == 410 {
            self.marks.hit(Mark::WatchGone);
        }
    }

    /// A holder is about to be told this. Gives the newest version that it knows before.
    pub(crate) fn hinted(&mut self, at: u64, process: Process, now: MonoTime, hints: &[Hint]) -> u64 {
        let seat = &mut self.seats[usize::from(process.seat)];
        let newest = seat.newest;
        seat.watches.hinting = true;
        let asks = seat.pending.is_some_and(|(_, give_up_at)| now < give_up_at) && seat.belief.is_none();
        seat.watches.reading = asks && seat.watches.campaigns && !seat.writing;
        if hints.is_empty() {
            return newest;
        }
        if asks {
            self.marks.hit(Mark::WatchInAttempt);
        }
        if seat.open && seat.belief.is_some_and(|belief| belief.until <= at) {
            self.marks.hit(Mark::WatchAfterEnd);
        }
        for hint in hints {
            if let Hint::Gone = hint {
                self.marks.hit(Mark::WatchGone);
            }
            if hint.version().is_some_and(|version| version <= seat.newest) {
                self.marks.hit(Mark::WatchStale);
                continue;
            }
            seat.newest = hint.version().unwrap_or(seat.newest);
            if hint.version().is_some() {
                seat.watches.news(at);
            }
            if let Hint::Object(shown) = hint {
                seat.newest_object = Some(shown.object);
            }
            match hint {
                Hint::Object(shown) if seat.seen.map(|seen| seen.state) != shown.state => {
                    seat.seen = shown.state.map(|state| Seen { state, since: now });
                    if shown.author.is_some() {
                        self.marks.hit(Mark::WatchRestarts);
                    }
                }
                Hint::Deleted(_) => seat.seen = None,
                _ => {}
            }
        }
        newest
    }

    /// S16 and S24: it has taken that in; `newest` is what it knew before. `listens`: it still wants that watch.
    pub(crate) fn took_hints(
        &mut self,
        at: u64,
        process: Process,
        mut newest: u64,
        hints: &[Hint],
        listens: bool,
    ) {
        let who = process.seat;
        let seat = &mut self.seats[usize::from(who)];
        seat.watches.hinting = false;
        let belief = seat.belief.filter(|belief| belief.until > at);
        for hint in hints {
            match hint {
                Hint::Gone | Hint::Garbage => return,
                // Whoever takes offence looks at nothing after it.
                Hint::Odd if !listens => return,
                _ => {}
            }
            let Some(version) = hint.version().filter(|version| *version > newest) else {
                continue;
            };
            newest = version;
            let watches = &mut self.seats[usize::from(who)].watches;
            match hint.frees() {
                true if watches.reading => watches.freed = version,
                true => {}
                // Somebody holds again.
                false => (watches.freed, watches.look_by) = (0, None),
            }
            if belief.is_none_or(|belief| version <= belief.version) {
                continue;
            }
            match hint {
                Hint::Object(shown) if shown.author != Some(process) => {
                    self.violate(at, Invariant::ForeignDropsNow, || {
                        format!("holder {who} believes although its watch told it of {:?}", shown.author)
                    });
                }
                Hint::Object(shown) if shown.terminating => {
                    self.violate(at, Invariant::RespectsDeletion, || {
                        format!("holder {who} believes although its watch told it of the object's deletion")
                    });
                }
                Hint::Deleted(_) => self.violate(at, Invariant::ForeignDropsNow, || {
                    format!("holder {who} believes although its watch told it that the object is gone")
                }),
                _ => {}
            }
        }
    }

    /// S26: what came of something that a watch brought: what the holder said before, and after.
    pub(crate) fn hinted_until(
        &mut self,
        at: u64,
        who: u8,
        before: Option<MonoTime>,
        after: Option<MonoTime>,
    ) {
        if before.is_some() && after.is_none() {
            self.marks.hit(Mark::LostByWatch);
        }
        if after > before {
            self.violate(at, Invariant::HintsOnly, || {
                format!(
                    "holder {who} held until {before:?}, and until {after:?} after what its watch brought"
                )
            });
        }
    }

    /// The application of a holder has said what it wants.
    pub(crate) fn campaigns(&mut self, who: u8, campaigns: bool) {
        let watches = &mut self.seats[usize::from(who)].watches;
        (watches.campaigns, watches.freed, watches.look_by) = (campaigns, 0, None);
    }

    /// L4: a read was answered with this version, and what follows from that has left already. Where a watch has told
    /// meanwhile that nobody holds any more, another look has to come soon.
    pub(crate) fn has_read(&mut self, who: u8, now: MonoTime, version: u64) {
        // A short pause keeps many such events from making many requests.
        const SOON: Duration = Duration::from_millis(400);
        let seat = &mut self.seats[usize::from(who)];
        let missed = std::mem::take(&mut seat.watches.freed) > version;
        let idle = seat.pending.is_none() && seat.belief.is_none();
        if missed && idle && seat.watches.campaigns {
            seat.watches.look_by = Some(now.saturating_add(SOON));
        }
    }

    /// L4: a request leaves.
    pub(super) fn looks(&mut self, at: u64, who: u8, now: MonoTime) {
        let due = self.seats[usize::from(who)].watches.look_by.take();
        if let Some(due) = due.filter(|due| now > *due) {
            self.violate(at, Invariant::FastRelease, || {
                format!("holder {who} looked at {now:?}, and was to do so by {due:?}: its watch had told it that nobody holds")
            });
        }
    }

    /// A process stood still, or its timer was late: what was due may be late as well.
    pub(super) fn may_look_late(&mut self, who: u8) {
        self.seats[usize::from(who)].watches.look_by = None;
    }

    /// Nothing is wanted any more, unless a campaign goes on; what is wanted next begins anew.
    pub(super) fn free_to_watch(&mut self, who: u8, released: bool) {
        let seat = &mut self.seats[usize::from(who)];
        if released || seat.plan.drive != Drive::Campaign {
            seat.watches.not_before = None;
            seat.watches.idle = (0, 0);
        }
    }

    /// A read leaves.
    pub(super) fn reads(&mut self, who: u8) {
        let watches = &mut self.seats[usize::from(who)].watches;
        watches.woke = watches.hinting;
    }
}
