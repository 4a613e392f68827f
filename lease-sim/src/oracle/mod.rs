//! Who knows the true time and the true record, and says what must not have happened.

mod belief;
mod hints;
mod invariant;
mod marks;
mod words;
mod writes;

pub(crate) use belief::Believed;
pub(crate) use hints::Hint;
pub use invariant::{Invariant, Violation};
pub use marks::{Mark, Marks};
pub(crate) use writes::{Landing, MAX_FOREIGN_TTL, Shown, identity, names};

use lease_core::MonoTime;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::api_server::LeaseObject;
use crate::plan::{Assumption, HolderPlan, MILLISECOND, Plan};

/// The object and its resource version, or nothing.
pub(crate) type Snapshot = Option<(Arc<LeaseObject>, u64)>;

/// One process in its life from start to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) seat: u8,
    pub(crate) incarnation: u32,
}

/// What the oracle knows of a run.
#[derive(Debug)]
pub(crate) struct Oracle {
    /// The first violation ends a run, so there are few.
    pub(crate) violations: Vec<Violation>,
    pub(crate) marks: Marks,
    /// Which assumptions the plan breaks.
    broken: Vec<Assumption>,
    /// The input that is handed in just now comes with a reading of the clock from the past.
    pub(crate) from_the_past: bool,
    /// The greatest rate error that the fleet's margins allow, in millionths.
    rate: i64,
    record: Record,
    seats: Vec<Seat>,
    /// The acquiring write's version and the token of each term, in the order of the former.
    terms: Vec<(u64, u64)>,
    resource: Resource,
    /// POSTs that are still on their way.
    creating: Vec<(Process, u64)>,
    pub(crate) overlap: Overlap,
    /// Nothing is judged: the holders are not ours.
    pub(crate) silent: bool,
}

/// The truth about the object.
#[derive(Debug, Default)]
struct Record {
    /// Who wrote the holder that it names.
    author: Option<Process>,
    /// The version at which that author's present term in the record began.
    begun_at: u64,
    /// A hash of what contenders wait for a change of.
    state: u64,
    /// When somebody last edited only its metadata.
    touched_at: Option<u64>,
    /// A hash of its UID.
    object: u64,
    /// It is being deleted.
    terminating: bool,
    /// Somebody removed what tells its author that it is the author.
    stripped: bool,
    /// Its author keeps it in quarantine, even if somebody has removed the mark that says so.
    quarantined: bool,
    /// The network put its author there, by delivering a request a second time.
    doubled: bool,
    /// When somebody last meddled so that a live term can be taken.
    meddled_at: Option<u64>,
    /// When it was last taken out of its author's hands, even if nobody can hold it yet.
    disturbed_at: Option<u64>,
}

/// What the oracle knows of one holder.
#[derive(Debug)]
struct Seat {
    plan: HolderPlan,
    incarnation: u32,
    /// How often its place was given to a process with another identity.
    renamed: u32,
    belief: Option<Belief>,
    /// Whether an `Acquired` waits for its end.
    open: bool,
    attempts: VecDeque<Attempt>,
    /// The state of the record that this incarnation saw last, and since when by its own clock.
    seen: Option<Seen>,
    /// The newest version of the object that it has seen: older ones are no news.
    newest: u64,
    /// The object that had it.
    newest_object: Option<u64>,
    /// The state that its first read showed.
    first_seen: Option<u64>,
    /// Its last definite answer said that there is no object.
    saw_absence: bool,
    /// When the record last stopped being its own.
    left_at: Option<u64>,
    /// A read told it that the object is gone although it is not.
    misled: bool,
    /// Requests up to this number belong to attempts that ended with a "no".
    denied: u64,
    /// By its own clock; no request is due before.
    not_before: Option<MonoTime>,
    /// The present period of counted requests: when it began, and its count.
    window: (u64, u32),
    pending: Option<(u64, MonoTime)>,
    quarantined: bool,
    /// A write of its has no known outcome, and no read has been sent since.
    in_doubt: bool,
    /// The request that it waits for writes.
    writing: bool,
    /// Definite answers that it took in, two of which tell it the server's time.
    dated: u32,
    /// Stamps in a row that were far from every clock.
    far_stamps: u32,
    /// Its POSTs that no answer has settled and no read has shown: their numbers, and when they left.
    posts: Vec<(u64, MonoTime)>,
    /// The object that it wrote itself into, and since when by its own clock it has seen that.
    own_since: Option<(u64, MonoTime)>,
    /// When its last request left, by its own clock.
    last_sent: MonoTime,
    /// Its process stood still, or a timer was late, in the present term.
    disturbed: bool,
    last_token: Option<u64>,
    watches: hints::Watches,
    /// Restarts of other holders in this one's term.
    restarts: u32,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    state: u64,
    since: MonoTime,
}

/// What a holder believes.
#[derive(Clone, Copy, Debug)]
struct Belief {
    /// In true time.
    until: u64,
    /// By its own clock.
    local: MonoTime,
    token: u64,
    /// When the write that it rests on was applied.
    base: u64,
    /// The resource version of that write.
    version: u64,
}

/// A write that puts a holder's name there.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    number: u64,
    emitted: MonoTime,
    /// In true time.
    emitted_at: u64,
    /// When it was applied, with which duration in seconds, at which version.
    applied: Option<(u64, i32, u64)>,
}

/// A resource that refuses lower tokens.
#[derive(Debug, Default)]
struct Resource {
    highest: u64,
    /// The version of the acquiring write behind the newest term that was accepted.
    newest: u64,
}

/// How long two holders believed at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overlap {
    seen_until: u64,
    current: u64,
    /// The longest time that two or more believed without a break.
    pub(crate) longest: u64,
    pub(crate) total: u64,
}

/// How many attempts are remembered for each holder.
const REMEMBERED: usize = 64;
/// Requests in ten seconds.
const MOST_REQUESTS: u32 = 200;

impl Oracle {
    pub(crate) fn new(plan: &Plan, seats: impl Iterator<Item = HolderPlan>) -> Self {
        let rate = plan.holders.iter().map(HolderPlan::most_rate).min().unwrap_or(0);
        let mut marks = Marks::default();
        if rate > 0 && plan.holders.iter().any(|holder| holder.clock.rate.abs() == rate) {
            marks.hit(Mark::DriftAtBound);
        }
        Self {
            violations: Vec::new(),
            marks,
            broken: plan.broken_assumptions(),
            from_the_past: false,
            rate: i64::from(rate),
            record: Record::default(),
            seats: seats.map(Seat::new).collect(),
            terms: Vec::new(),
            resource: Resource::default(),
            creating: Vec::new(),
            overlap: Overlap::default(),
            silent: false,
        }
    }

    /// Notes a violation, unless the plan breaks what the invariant rests on.
    pub(crate) fn violate(&mut self, at: u64, invariant: Invariant, about: impl FnOnce() -> String) {
        let storage = self.broken.contains(&Assumption::Storage);
        // A reading from the past makes everything early that is counted from it, but no more than that.
        let readings = self.broken == [Assumption::Readings] && invariant == Invariant::NoEarlyTakeover;
        let excused = invariant.needs_assumptions() && !self.broken.is_empty() && !readings
            || storage
                && matches!(
                    invariant,
                    Invariant::TokenGrows
                        | Invariant::FencedResource
                        | Invariant::StrictRenewTime
                        | Invariant::Transitions
                        | Invariant::OwnSend
                        | Invariant::NoMeansNo
                        | Invariant::ConditionalWrites
                        | Invariant::ReleaseOrder
                        | Invariant::ForeignPreserved
                        | Invariant::NoAdoption
                );
        if self.silent {
            return;
        }
        if excused {
            if invariant == Invariant::MutualExclusion {
                self.marks.hit(Mark::ExcusedOverlap);
            }
        } else {
            self.violations.push(Violation { invariant, at, about: about() });
        }
    }

    /// S25 excuses a holder whose monotonic clock runs at a rate that no margin allows for: the server's time
    /// since its last answer is something it can only count with that clock.
    pub(super) fn loses_count(&self, seat: u8) -> bool {
        let clock = &self.seats[usize::from(seat)].plan.clock;
        self.broken.contains(&Assumption::ClockRate) && i64::from(clock.rate.abs()) > self.rate
    }

    /// Whether somebody has taken the record, or a part of it, from whoever held it.
    pub(crate) const fn meddled(&self) -> bool {
        self.record.meddled_at.is_some()
    }

    pub(crate) fn breaks_assumptions(&self) -> bool {
        !self.broken.is_empty()
    }

    /// A process starts, in a place that was given to another identity that many times.
    pub(crate) fn started(&mut self, at: u64, process: Process, renamed: u32) {
        if process.incarnation > 1 {
            for seat in
                self.seats.iter_mut().filter(|seat| seat.belief.is_some_and(|belief| belief.until > at))
            {
                seat.restarts += 1;
                if seat.restarts == 2 {
                    self.marks.hit(Mark::TwoRestarts);
                }
            }
        }
        let seat = &mut self.seats[usize::from(process.seat)];
        let incarnation = process.incarnation;
        *seat = Seat { incarnation, renamed, ..Seat::new(seat.plan.clone()) };
    }

    /// A process dies: it believes nothing any more.
    pub(crate) fn died(&mut self, at: u64, seat: u8) {
        self.look(at);
        let seat = &mut self.seats[usize::from(seat)];
        seat.belief = None;
        seat.open = false;
    }

    /// A clock has stood still: what a holder believes lasts longer in true time.
    pub(crate) fn clock_stopped(&mut self, at: u64, seat: u8, until: Option<u64>) {
        self.look(at);
        if let (Some(belief), Some(until)) = (&mut self.seats[usize::from(seat)].belief, until) {
            belief.until = until;
        }
    }

    /// Until when a holder believes, in true time, if it does at `at`.
    pub(crate) fn believes(&self, at: u64, seat: u8) -> Option<u64> {
        self.seats[usize::from(seat)].belief.map(|belief| belief.until).filter(|until| *until > at)
    }

    /// Who believes at `at`, with the token; the first if there are several.
    pub(crate) fn believer(&self, at: u64) -> Option<(u8, u64)> {
        let believing =
            |seat: &Seat| seat.belief.filter(|belief| belief.until > at).map(|belief| belief.token);
        self.seats.iter().enumerate().find_map(|(index, seat)| Some((index as u8, believing(seat)?)))
    }

    /// A write with a token reaches the resource. Whether it is accepted.
    pub(crate) fn guarded(&mut self, at: u64, token: u64) -> bool {
        if token < self.resource.highest {
            self.marks.hit(Mark::FencedOff);
            return false;
        }
        let begun = self.terms.iter().filter(|(_, other)| *other == token).map(|(begun, _)| *begun).min();
        let begun = begun.unwrap_or(token);
        if begun < self.resource.newest {
            let newest = self.resource.newest;
            self.violate(at, Invariant::FencedResource, || {
                format!(
                    "token {token} of the term from version {begun} was accepted after the one from {newest}"
                )
            });
        }
        self.resource.highest = token;
        self.resource.newest = self.resource.newest.max(begun);
        true
    }

    /// The storage was restored from a backup: versions that were seen before may come a second time, as
    /// other states. Who believes cannot know that, and goes on taking older versions for stale reads.
    pub(crate) fn rolled_back(&mut self, at: u64) {
        for seat in self.seats.iter_mut().filter(|seat| seat.belief.is_none_or(|belief| belief.until <= at)) {
            seat.newest = 0;
        }
    }

    /// A holder's process stood still, or a timer of its came late.
    pub(crate) fn held_up(&mut self, seat: u8) {
        self.seats[usize::from(seat)].disturbed = true;
        self.may_look_late(seat);
    }

    /// Adds up the time in which two or more believed, until `at`.
    pub(crate) fn look(&mut self, at: u64) {
        let from = self.overlap.seen_until;
        if at <= from {
            return;
        }
        self.overlap.seen_until = at;
        let mut ends = [0_u64; 2];
        for belief in self.seats.iter().filter_map(|seat| seat.belief) {
            if belief.until > ends[0] {
                ends = [belief.until, ends[0]];
            } else {
                ends[1] = ends[1].max(belief.until);
            }
        }
        let both = ends[1].min(at).saturating_sub(from);
        self.overlap.total += both;
        self.overlap.current += both;
        self.overlap.longest = self.overlap.longest.max(self.overlap.current);
        if both < at - from {
            self.overlap.current = 0;
        }
    }

    /// A request leaves. `names`: it puts the holder's name there.
    pub(crate) fn sent(&mut self, at: u64, process: Process, number: u64, emitted: MonoTime, sent: &Sent) {
        let holding = sent.holding;
        self.looks(at, process.seat, emitted);
        if sent.verb == "GET" {
            self.reads(process.seat);
        }
        let seat = &mut self.seats[usize::from(process.seat)];
        if sent.names {
            if seat.attempts.len() == REMEMBERED {
                seat.attempts.pop_front();
            }
            seat.attempts.push_back(Attempt { number, emitted, emitted_at: at, applied: None });
        }
        if sent.creates {
            seat.posts.push((number, emitted));
        }
        let known = seat.belief.filter(|_| holding).map(|belief| belief.version);
        let backwards = sent.version.zip(known).filter(|(version, known)| version < known);
        // A write that nobody has answered has no known outcome.
        let doubt = std::mem::take(&mut seat.in_doubt) || (seat.pending.is_some() && seat.writing);
        seat.last_sent = emitted;
        seat.writing = sent.verb != "GET";
        let unsettled = doubt && seat.writing;
        let doubled = seat.pending.is_some_and(|(_, give_up_at)| emitted < give_up_at);
        seat.pending = Some((number, sent.give_up_at));
        if at - seat.window.0 > 10_000 * MILLISECOND {
            seat.window = (at, 0);
        }
        seat.window.1 += 1;
        let many = seat.window.1 > MOST_REQUESTS;
        let last_chance = seat.belief.map(|belief| belief.local);
        let timeout = std::time::Duration::from_millis(seat.plan.request_timeout);
        let early = seat.not_before.take().filter(|due| emitted < *due);
        let early = early.filter(|_| {
            !last_chance.is_some_and(|until| holding && emitted >= until.saturating_sub(timeout))
        });
        let absent = seat.saw_absence;
        let who = process.seat;
        if unsettled {
            self.violate(at, Invariant::SettleFirst, || {
                format!("holder {who} sent {} before it read what had become of its last write", sent.verb)
            });
        }
        if doubled {
            self.violate(at, Invariant::Bounded, || format!("holder {who} has two requests in flight"));
        }
        if many {
            self.violate(at, Invariant::Bounded, || {
                format!("holder {who} sent more than {MOST_REQUESTS} requests in 10 s")
            });
        }
        if let Some(due) = early {
            self.violate(at, Invariant::Bounded, || {
                format!(
                    "holder {who} sent a request before Retry-After was over, at {emitted:?}, due {due:?}"
                )
            });
        }
        if !sent.conditional || (sent.creates && !absent) {
            self.violate(at, Invariant::ConditionalWrites, || {
                format!("holder {who} sent {} without the conditions that it needs", sent.verb)
            });
        }
        if let Some((version, known)) = backwards {
            self.violate(at, Invariant::ConditionalWrites, || {
                format!("holder {who} renews over version {version} although it knows {known}")
            });
        }
        if sent.gives_back && holding {
            self.violate(at, Invariant::ReleaseOrder, || {
                format!("holder {who} sent a release while it still believed")
            });
        }
    }

    /// Whether a holder still waits for the answer to a request.
    pub(crate) fn waits_for(&self, seat: u8, number: u64, now: MonoTime) -> bool {
        let pending = self.seats[usize::from(seat)].pending;
        pending.is_some_and(|(pending, give_up_at)| pending == number && now < give_up_at)
    }

    /// Who wrote the holder that the record names.
    pub(crate) const fn author_now(&self) -> Option<Process> {
        self.record.author
    }

    /// A POST is on its way and will arrive.
    pub(crate) fn creating(&mut self, process: Process, number: u64) {
        self.creating.push((process, number));
    }

    /// It has arrived.
    pub(crate) fn created(&mut self, process: Process, number: u64) {
        self.creating.retain(|other| *other != (process, number));
    }

    /// A holder no longer waits for a request. `definite`: it knows what became of it.
    pub(crate) fn settled(&mut self, seat: u8, number: u64, definite: bool) {
        let seat = &mut self.seats[usize::from(seat)];
        if seat.pending.is_some_and(|(pending, _)| pending == number) {
            seat.pending = None;
            seat.in_doubt = seat.writing && !definite;
            if definite {
                seat.posts.retain(|(post, _)| *post != number);
            }
        }
    }

    /// A holder was told to wait until then, by its own clock.
    pub(crate) fn told_to_wait(&mut self, seat: u8, until: MonoTime) {
        self.seats[usize::from(seat)].not_before = Some(until);
    }

    /// A command, a loss or an answer has ended what a holder was told to wait for.
    pub(crate) fn free_to_send(&mut self, seat: u8) {
        self.seats[usize::from(seat)].not_before = None;
    }
}

/// What a request is, as far as the oracle asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) verb: &'static str,
    /// Puts the sender's name into the record.
    pub(crate) names: bool,
    /// A POST.
    pub(crate) creates: bool,
    /// A DELETE, or a PUT that clears the holder.
    pub(crate) gives_back: bool,
    /// Carries what makes it conditional.
    pub(crate) conditional: bool,
    /// The resource version in it.
    pub(crate) version: Option<u64>,
    pub(crate) give_up_at: MonoTime,
    /// Whether the sender would say that it holds the lease at this instant.
    pub(crate) holding: bool,
}

impl Seat {
    fn new(plan: HolderPlan) -> Self {
        Self {
            plan,
            incarnation: 1,
            renamed: 0,
            belief: None,
            open: false,
            attempts: VecDeque::new(),
            seen: None,
            newest: 0,
            newest_object: None,
            first_seen: None,
            saw_absence: false,
            left_at: None,
            misled: false,
            denied: 0,
            not_before: None,
            window: (0, 0),
            pending: None,
            quarantined: false,
            in_doubt: false,
            writing: false,
            dated: 0,
            far_stamps: 0,
            posts: Vec::new(),
            own_since: None,
            last_sent: MonoTime::ZERO,
            disturbed: false,
            last_token: None,
            watches: hints::Watches::default(),
            restarts: 0,
        }
    }
}
