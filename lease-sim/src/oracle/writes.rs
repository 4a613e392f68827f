//! What writes do to the record, and what reads show of it.

use lease_core::{MonoTime, Now};
use std::time::Duration;

use super::{Invariant, Mark, Oracle, Process, Seen, Snapshot};
use crate::api_server::LeaseObject;
use crate::plan::mix;

/// Annotations that are ours.
const OURS: &str = "lease-core.rs/";
/// What tells an incarnation its own record.
const NONCE: &str = "lease-core.rs/nonce";
/// The mark of an object that nobody may hold yet.
const QUARANTINE: &str = "lease-core.rs/quarantine";
/// The longest that a record's own duration is believed in a simulation, beside the longest ttl of the fleet.
pub(crate) const MAX_FOREIGN_TTL: Duration = Duration::from_secs(60);

/// A write that reached the API server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Landing {
    pub(crate) process: Process,
    pub(crate) number: u64,
    /// The clocks of its sender when it left.
    pub(crate) emitted: Now,
    /// The server's time when it left, in microseconds since the Unix epoch.
    pub(crate) sent_at: i64,
    /// The network carried it twice or much later.
    pub(crate) late: bool,
    pub(crate) copied: bool,
    /// Its sender is still that process.
    pub(crate) current: bool,
    pub(crate) deletes: bool,
}

/// What a definite answer showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// A hash of the state; `None`: there is no object.
    pub(crate) state: Option<u64>,
    pub(crate) author: Option<Process>,
    pub(crate) version: u64,
    pub(crate) terminating: bool,
    /// It names nobody.
    pub(crate) vacant: bool,
    /// A hash of the object's UID.
    pub(crate) object: u64,
    pub(crate) stale: bool,
    pub(crate) read: bool,
    /// The answer has a `Date`.
    pub(crate) dated: bool,
}

impl Oracle {
    /// What a read would show now.
    pub(crate) fn shows(&self, object: &Snapshot) -> Shown {
        Shown {
            state: object.as_ref().map(|_| self.record.state),
            author: self.record.author,
            version: object.as_ref().map_or(0, |(_, version)| *version),
            terminating: self.record.terminating,
            vacant: object.as_ref().is_some_and(|(lease, _)| names(lease).is_none()),
            object: self.record.object,
            stale: false,
            read: true,
            dated: true,
        }
    }

    /// A request of a holder of ours has changed the object.
    pub(crate) fn applied(&mut self, at: u64, landing: Landing, before: &Snapshot, after: &Snapshot) {
        let Landing { process, .. } = landing;
        match after {
            Some((new, version)) if names(new).is_some() && !landing.deletes => {
                self.judge_stamp(at, landing, new);
                self.judge_write(at, landing, before, new);
                self.granted(at, landing, before, new, *version);
            }
            // A write to an object that is being deleted can be its end.
            Some(_) if landing.deletes && self.record.author == Some(process) => {}
            _ => self.judge_release(at, process, before.as_ref().map(|(object, _)| &**object)),
        }
        self.remember(at, after, false);
    }

    /// Somebody else has changed the object. `meddled`: so that a live term can be taken from its holder;
    /// `takes`: the record's holder is no longer its author.
    pub(crate) fn edited(&mut self, at: u64, after: &Snapshot, meddled: bool, takes: bool) {
        if meddled || takes {
            self.record.disturbed_at = Some(at);
        } else {
            self.record.touched_at = Some(at);
        }
        if meddled {
            self.record.meddled_at = Some(at);
        }
        if takes {
            self.author(at, None);
        }
        self.remember(at, after, !meddled && !takes);
    }

    /// `touched`: somebody has edited no more than metadata.
    fn remember(&mut self, at: u64, after: &Snapshot, touched: bool) {
        let object = after.as_ref().map(|(object, _)| &**object);
        // To strip the mark ends no quarantine; a holder's write, or another object, does. Where somebody had
        // written holder or times by hand before, which nobody may in a live term, nothing is left to know it by.
        let same = object.is_some_and(|object| object_hash(object) == self.record.object);
        let marked = object.is_some_and(is_quarantined);
        let goes_on = self.record.quarantined && touched && same && self.record.author.is_some();
        self.record.quarantined = marked || goes_on;
        self.record.stripped = object.is_some_and(|object| !object.meta.annotations.contains_key(NONCE));
        self.record.terminating = object.is_some_and(|object| object.meta.deletion_timestamp.is_some());
        self.record.object = object.map_or(0, object_hash);
        self.record.state = object.map_or(0, state);
        if object.is_none() {
            self.author(at, None);
        } else if self.record.terminating {
            // It still names its author, who has to let go of it.
            self.leaves(at);
        }
    }

    fn author(&mut self, at: u64, author: Option<Process>) {
        if self.record.author != author {
            self.leaves(at);
            self.record.author = author;
        }
    }

    fn leaves(&mut self, at: u64) {
        if let Some(former) = self.record.author {
            self.seats[usize::from(former.seat)].left_at = Some(at);
        }
    }

    /// S2, S6 and the marks of a write that puts a holder's name there.
    fn granted(&mut self, at: u64, landing: Landing, before: &Snapshot, new: &LeaseObject, version: u64) {
        let Landing { process, number, .. } = landing;
        let old = before.as_ref().map(|(object, _)| &**object);
        let begins = self.record.author != Some(process)
            || old.is_none_or(|old| old.spec.acquire_time != new.spec.acquire_time);
        if self.record.author != Some(process) {
            self.takes_from_believers(at, process, old, new);
        }
        if begins {
            self.record.begun_at = version;
        }
        self.author(at, Some(process));
        self.record.doubled = landing.copied;
        if landing.late {
            self.marks.hit(Mark::LateLanding);
        }
        if before.is_none() && (!landing.current || landing.late) {
            self.marks.hit(Mark::GhostCreate);
        }
        let seat = &mut self.seats[usize::from(process.seat)];
        if seat.incarnation != process.incarnation {
            return;
        }
        let denied = number <= seat.denied && !landing.copied;
        let seconds = new.spec.lease_duration_seconds.unwrap_or(0);
        let attempt = seat.attempts.iter_mut().rev().find(|attempt| attempt.number == number);
        if let Some(attempt) = attempt {
            attempt.applied = Some((at, seconds, version));
        }
        if denied {
            self.violate(at, Invariant::NoMeansNo, || {
                format!("holder {}: its request {number} was stored after it had said no", process.seat)
            });
        }
    }

    /// S2: nobody's live term is written over.
    fn takes_from_believers(
        &mut self,
        at: u64,
        process: Process,
        old: Option<&LeaseObject>,
        new: &LeaseObject,
    ) {
        let twin = old.is_some_and(|old| {
            names(old).is_some()
                && names(old) == names(new)
                && !self.seats[usize::from(process.seat)].plan.contend
        });
        if twin && self.breaks_assumptions() {
            self.record.meddled_at = Some(at);
        }
        for other in 0..self.seats.len() {
            let believes = self.seats[other].belief.filter(|belief| belief.until > at);
            let Some(belief) = believes.filter(|_| other != usize::from(process.seat)) else {
                continue;
            };
            if !self.excused(other) && !self.disturbed(other) {
                let span = belief.until - at;
                let taker = process.seat;
                self.violate(at, Invariant::BeliefBacked, || {
                    format!(
                        "holder {taker} took the record while holder {other} believed for another {span} ns"
                    )
                });
            }
        }
    }

    fn judge_write(&mut self, at: u64, landing: Landing, before: &Snapshot, new: &LeaseObject) {
        let Some((old, _)) = before else {
            return;
        };
        let who = landing.process.seat;
        let own = self.record.author == Some(landing.process);
        let renews = own && old.spec.acquire_time == new.spec.acquire_time;
        if renews && new.spec.renew_time <= old.spec.renew_time {
            self.violate(at, Invariant::StrictRenewTime, || {
                format!("holder {who} wrote {:?} over {:?}", new.spec.renew_time, old.spec.renew_time)
            });
        }
        if old.meta.deletion_timestamp.is_some() {
            self.violate(at, Invariant::RespectsDeletion, || {
                format!("holder {who} wrote what is being deleted")
            });
        }
        let stripped = self.record.quarantined && !is_quarantined(old);
        if self.record.quarantined && !is_quarantined(new) && (own || !stripped) {
            self.judge_quarantine(at, landing, old);
        }
        let changes = names(old) != names(new);
        let counted = i64::from(new.spec.lease_transitions.unwrap_or(0));
        let was = i64::from(old.spec.lease_transitions.unwrap_or(0).max(0));
        let expected = (was + i64::from(changes)).min(i64::from(i32::MAX));
        if counted != expected {
            self.violate(at, Invariant::Transitions, || {
                format!("holder {who} made leaseTransitions {counted} of {was}, holder changed: {changes}")
            });
        }
        // Two holders may take the lease in one microsecond: both go by the server's `Date` if need be.
        if changes && new.spec.acquire_time != new.spec.renew_time {
            self.violate(at, Invariant::Transitions, || {
                format!(
                    "holder {who} took the lease at {:?} and says {:?}",
                    new.spec.renew_time, new.spec.acquire_time
                )
            });
        }
        if !preserved(old, new) {
            self.violate(at, Invariant::ForeignPreserved, || {
                format!("holder {who} dropped what is not its own")
            });
        }
        if !own && names(old).is_some() {
            self.judge_takeover(at, landing, old);
        }
    }

    /// S4 for an object that was created in quarantine: whoever ends that has kept it for long enough.
    fn judge_quarantine(&mut self, at: u64, landing: Landing, old: &LeaseObject) {
        let seat = &self.seats[usize::from(landing.process.seat)];
        if seat.incarnation != landing.process.incarnation {
            return;
        }
        let quarantine = Duration::from_millis(seat.plan.quarantine);
        let since = seat.own_since.filter(|(object, _)| *object == object_hash(old)).map(|(_, since)| since);
        let waited = since.map(|since| landing.emitted.mono.saturating_since(since));
        let who = landing.process.seat;
        if waited.is_none_or(|waited| waited < quarantine) {
            self.violate(at, Invariant::NoEarlyTakeover, || {
                format!("holder {who} ended a quarantine after {waited:?} of {quarantine:?}")
            });
        }
    }

    /// S25: a timestamp near the server's time, or near the sender's own clock while it knows no better.
    fn judge_stamp(&mut self, at: u64, landing: Landing, new: &LeaseObject) {
        if self.loses_count(landing.process.seat) {
            return;
        }
        let seat = &mut self.seats[usize::from(landing.process.seat)];
        let (Some(stamp), true) = (new.spec.renew_time, seat.incarnation == landing.process.incarnation)
        else {
            return;
        };
        // Without `max_clock_skew` a sequence may run ahead of every clock: it decides nothing.
        let Some(skew) = seat.plan.max_clock_skew else {
            return;
        };
        let near = 2_000 * (skew + seat.plan.request_timeout + 5_000);
        let own = stamp.0.abs_diff(landing.emitted.wall.as_micros());
        let server = stamp.0.abs_diff(landing.sent_at);
        let follows_own = seat.dated < 3 && own <= near;
        seat.far_stamps = if server <= near || follows_own { 0 } else { seat.far_stamps + 1 };
        if seat.far_stamps == 3 {
            let who = landing.process.seat;
            self.violate(at, Invariant::StampsNearClock, || {
                format!("holder {who} writes a time {server} us from the server's and {own} us from its own")
            });
        }
    }

    /// S4 and S15: a record that names somebody is taken only when it may be.
    fn judge_takeover(&mut self, at: u64, landing: Landing, old: &LeaseObject) {
        let seat = &self.seats[usize::from(landing.process.seat)];
        if seat.incarnation != landing.process.incarnation {
            return;
        }
        let identity = identity(landing.process.seat, &seat.plan, seat.renamed);
        let state = state(old);
        // Nothing in the record says that it is in quarantine: it is waited for, if only for that.
        let stripped = self.record.quarantined && !is_quarantined(old);
        let restarted = names(old) == Some(identity.as_str()) && seat.first_seen == Some(state);
        if restarted && !seat.plan.contend && !stripped {
            return self.marks.hit(Mark::Reclaimed);
        }
        let claimed = old.spec.lease_duration_seconds.unwrap_or(0).max(0).unsigned_abs();
        let own = Duration::from_millis(seat.plan.duration());
        let wait = Duration::from_secs(claimed.into()).max(own).min(MAX_FOREIGN_TTL.max(own));
        let quarantine = if stripped { seat.plan.quarantine } else { 0 };
        let wait = wait.max(Duration::from_millis(quarantine));
        let wait = wait + Duration::from_millis(seat.plan.takeover_delay);
        let since = seat.seen.filter(|seen| seen.state == state).map(|seen| seen.since);
        let observed = since.is_some_and(|since| landing.emitted.mono >= since.saturating_add(wait));
        let skew = seat.plan.max_clock_skew.map(Duration::from_millis);
        // When an object was created, its timestamps do not say: a POST can land late.
        let stamped = !stripped
            && skew.zip(old.spec.renew_time).is_some_and(|(skew, renewed)| {
                let due = renewed.0.saturating_add((wait + skew).as_micros() as i64);
                landing.emitted.wall.as_micros() > due
            });
        let who = landing.process.seat;
        let apart = landing.emitted.wall.as_micros().abs_diff(landing.sent_at);
        // What the machine can know is a round trip and the seconds of a `Date` off.
        let known = skew.map_or(u64::MAX - 5_000_000, |skew| (skew / 2).as_micros() as u64) + 5_000_000;
        let known = known.saturating_add(2_000 * seat.plan.request_timeout);
        if !observed && stamped && seat.dated > 0 && apart > known {
            self.violate(at, Invariant::StampsNearClock, || {
                format!("holder {who} took a record by a wall clock that is {apart} us off, as it could know")
            });
        }
        match (observed, stamped) {
            (true, _) => self.marks.hit(Mark::ByObservation),
            (false, true) => self.marks.hit(Mark::ByTimestamp),
            (false, false) if names(old) == Some(identity.as_str()) => {
                self.violate(at, Invariant::NoAdoption, || {
                    format!("holder {who} took a live record of its identity that it did not write")
                });
            }
            (false, false) => self.violate(at, Invariant::NoEarlyTakeover, || {
                let waited = since.map(|since| landing.emitted.mono.saturating_since(since));
                format!("holder {who} took a live record after {waited:?} of {wait:?}")
            }),
        }
    }

    /// S13: a release takes away only what this very process wrote.
    fn judge_release(&mut self, at: u64, process: Process, old: Option<&LeaseObject>) {
        let own = self.record.author == Some(process);
        let (who, author) = (process.seat, self.record.author);
        if !own && old.is_some_and(|old| names(old).is_some()) {
            self.violate(at, Invariant::ReleaseOrder, || {
                format!("holder {who} gave back a record that {author:?} had written")
            });
        }
        self.author(at, None);
    }

    /// A write was answered as if it had done something, and the object is as it was.
    pub(crate) fn changed_nothing(&mut self, at: u64, process: Process) {
        let who = process.seat;
        self.violate(at, Invariant::StrictRenewTime, || {
            format!("holder {who} wrote what was there already: nobody can see that")
        });
    }

    /// A holder of ours is about to take in a definite answer.
    pub(crate) fn shown(&mut self, at: u64, process: Process, now: MonoTime, shown: Shown) {
        let seat = &mut self.seats[usize::from(process.seat)];
        seat.saw_absence = shown.state.is_none();
        seat.dated += u32::from(shown.dated);
        let Some(state) = shown.state else {
            seat.seen = None;
            seat.misled |= shown.stale;
            seat.first_seen.get_or_insert(0);
            return self.marks.hit(if shown.stale { Mark::StaleRead } else { Mark::Absent });
        };
        if shown.stale {
            self.marks.hit(Mark::StaleRead);
        }
        seat.first_seen.get_or_insert(state);
        if shown.author == Some(process) {
            seat.posts.clear();
        }
        // A read of an older version is no news: no wait begins anew, the record has been what it is since.
        if shown.version >= seat.newest {
            if shown.version > seat.newest {
                seat.watches.news(at);
            }
            seat.newest = shown.version;
            seat.newest_object = Some(shown.object);
            if seat.seen.is_none_or(|seen| seen.state != state) {
                seat.seen = Some(Seen { state, since: now });
            }
        }
        // That its write landed it knows also from an answer that comes after a newer event of the same object.
        let another = seat.own_since.is_none_or(|(object, _)| object != shown.object);
        if shown.author == Some(process) && another && seat.newest_object == Some(shown.object) {
            seat.own_since = Some((shown.object, now));
        }
        if shown.terminating {
            self.marks.hit(Mark::Terminating);
        }
    }

    /// S16: it has taken it in.
    pub(crate) fn took_in(&mut self, at: u64, process: Process, shown: Shown) {
        let seat = &self.seats[usize::from(process.seat)];
        // What is older than what it has seen, it has to take for a stale read. Only a storage that was
        // restored from a backup answers so when it answers with the present.
        let known = shown.version >= seat.newest;
        let newer = |belief: &super::Belief| known && shown.version > belief.version && belief.until > at;
        let believes = seat.belief.filter(newer);
        if believes.is_some() && shown.terminating && !shown.stale {
            let who = process.seat;
            self.violate(at, Invariant::RespectsDeletion, || {
                format!("holder {who} believes although it has seen that the object is being deleted")
            });
        }
        if believes.is_some() && shown.read && shown.author != Some(process) && !shown.stale {
            let who = process.seat;
            self.violate(at, Invariant::ForeignDropsNow, || {
                format!("holder {who} believes although it has read a record of {:?}", shown.author)
            });
        }
    }
}

/// The identity of a seat: twins share one, and it changes with every replacement.
pub(crate) fn identity(seat: u8, plan: &crate::plan::HolderPlan, renamed: u32) -> String {
    let name = plan.name.unwrap_or(seat);
    if renamed == 0 { format!("holder-{name}") } else { format!("holder-{name}-replaced-{renamed}") }
}

/// Whom a record names.
pub(crate) fn names(object: &LeaseObject) -> Option<&str> {
    object.spec.holder_identity.as_deref().filter(|name| !name.is_empty())
}

fn is_quarantined(object: &LeaseObject) -> bool {
    object.meta.annotations.contains_key(QUARANTINE)
}

fn object_hash(object: &LeaseObject) -> u64 {
    let byte = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    object.meta.uid.bytes().fold(0xcbf2_9ce4_8422_2325, byte)
}

/// A hash of what contenders wait for a change of.
fn state(object: &LeaseObject) -> u64 {
    let time = |time: Option<crate::api_server::UnixMicros>| time.map_or(u64::MAX, |time| time.0 as u64);
    let number = |number: Option<i32>| number.map_or(u64::MAX, |number| number as u64);
    let spec = &object.spec;
    let words = [
        time(spec.acquire_time),
        time(spec.renew_time),
        number(spec.lease_duration_seconds),
        number(spec.lease_transitions),
        u64::from(spec.holder_identity.is_some()),
    ];
    let text = object.meta.uid.bytes().chain(names(object).unwrap_or("").bytes());
    let hash = words.into_iter().fold(0, |hash, word| mix(hash ^ word));
    text.fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// S12: whether everything that is not ours is as it was.
fn preserved(old: &LeaseObject, new: &LeaseObject) -> bool {
    let (old, new) = (&old.meta, &new.meta);
    let foreign = |(key, _): &(&String, &String)| !key.starts_with(OURS);
    old.labels == new.labels
        && old.owner_references == new.owner_references
        && old.finalizers == new.finalizers
        && old.annotations.iter().filter(foreign).eq(new.annotations.iter().filter(foreign))
}
