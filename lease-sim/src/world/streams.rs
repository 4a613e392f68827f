//! Watches between a holder and the API server: opened over the same network as requests, then a stream that keeps
//! its order.

use bytes::Bytes;
use http::{Request, Response};
use lease_core::{Failure, Input, MonoTime, RequestId};
use std::collections::VecDeque;
use std::time::Duration;

use super::seat::{Incoming, Machine};
use super::{Happening, Invariant, World, replies};
use crate::api_server::{Answer, WatchId};
use crate::oracle::{Hint, Process};
use crate::plan::{Deed, Drive, Fate, Opening, RequestKey, SECOND, mix};
use crate::trace::What;

/// One watch, from when it is asked for to its end.
pub(crate) struct Stream {
    pub(super) seat: u8,
    pub(super) incarnation: u32,
    id: RequestId,
    /// Counts the watches of its incarnation.
    number: u64,
    /// What opens it, until it arrives.
    request: Request<Bytes>,
    pub(super) fate: Fate,
    pub(super) opening: Opening,
    pub(super) state: State,
    /// On its way to the holder, or waiting there, in order.
    pub(super) coming: VecDeque<Piece>,
    /// Nothing comes before this.
    pub(super) blocked_until: u64,
    /// When the latest piece comes.
    pub(super) last_at: u64,
    /// Events that the server has told on it.
    pub(super) events: u64,
    /// The last line that was sent.
    pub(super) line: Bytes,
    /// When `timeoutSeconds` are over.
    ends_at: u64,
    /// How many they are.
    seconds: u64,
    /// When its holder has to give it up, by its own clock; once the head is there, another time.
    due: MonoTime,
    has_head: bool,
}

/// Where a watch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not arrived, or was not let in.
    Asked,
    /// The server tells what happens.
    Open(WatchId),
    /// The server has no more to say; what it said may still be on its way.
    Ended,
    /// The holder wants nothing of it any more.
    Dropped,
}

/// What comes to the holder at once.
pub(crate) struct Piece {
    pub(super) at: u64,
    pub(super) what: Said,
}

pub(crate) enum Said {
    /// Bytes of the body, and what they complete.
    Bytes(Bytes, Vec<Hint>),
    /// The end of the body.
    End,
    /// A response that is not 200.
    Answer(Response<Bytes>),
    /// No response; whether the request was sent.
    Nothing(bool),
}

impl Stream {
    pub(super) const fn key(&self) -> RequestKey {
        RequestKey { holder: self.seat, incarnation: self.incarnation, number: self.number }
    }
}

impl World<'_> {
    /// A holder asks for a watch.
    pub(super) fn open_watch(
        &mut self,
        seat: u8,
        now: MonoTime,
        id: RequestId,
        request: Request<Bytes>,
        give_up_at: MonoTime,
    ) {
        let place = &mut self.seats[usize::from(seat)];
        place.watches += 1;
        let (process, incarnation, number) = (place.process(seat), place.incarnation, place.watches);
        let key = RequestKey { holder: seat, incarnation, number };
        let (fate, opening) = if self.healed {
            (self.plan.drawn_watch(key, true), Opening::Plain)
        } else {
            (self.plan.drawn_watch(key, false), self.plan.drawn_opening(key))
        };
        self.counts.requests += 1;
        self.counts.watches += 1;
        self.watching(|watch, now| watch.sent(now, seat));
        self.oracle.watch_opened(self.now, process, now);
        let stream = self.streams.len() as u32;
        self.fold(0x50, u64::from(seat) << 32 | number);
        self.note_watch(stream, seat, || format!("asked for: {}", request.uri().query().unwrap_or_default()));
        self.streams.push(Stream {
            seat,
            incarnation,
            id,
            number,
            seconds: timeout_seconds(&request).unwrap_or(1_800),
            request,
            fate,
            opening,
            state: State::Asked,
            coming: VecDeque::new(),
            blocked_until: 0,
            last_at: 0,
            events: 0,
            line: Bytes::new(),
            ends_at: u64::MAX,
            due: give_up_at,
            has_head: false,
        });
        self.unfinished.push(stream);
        self.queue.push(self.now, Happening::WatchOverdue { stream });
        let there = self.slowed(fate.there);
        let (refused, lost) = self.cut_from_server(seat, true);
        if matches!(fate.deed, Deed::Refuse | Deed::LoseRequest | Deed::ResetBefore) {
            self.counts.befell(fate.deed.name());
        }
        match fate.deed {
            deed if refused || deed == Deed::Refuse => {
                self.say(stream, self.now + there.min(20_000_000), Said::Nothing(false));
            }
            deed if lost || deed == Deed::LoseRequest => {}
            Deed::ResetBefore => {
                self.say(stream, self.now + there + self.slowed(fate.back), Said::Nothing(true));
            }
            _ => self.queue.push(self.now + there, Happening::WatchArrives { stream }),
        }
    }

    /// The request for a watch reaches the API server.
    pub(super) fn watch_arrives(&mut self, stream: u32) {
        let asked = &mut self.streams[stream as usize];
        if asked.state == State::Dropped {
            return;
        }
        let request = std::mem::take(&mut asked.request);
        let (seat, fate, opening) = (asked.seat, asked.fate, asked.opening);
        let back = self.now + self.slowed(fate.back);
        let lost = fate.deed == Deed::LoseReply || self.cut_from_server(seat, false).1;
        if fate.deed == Deed::LoseReply {
            self.counts.befell(fate.deed.name());
        }
        let heard = |world: &mut Self, said: Said| {
            if !lost {
                world.say(stream, back, said);
            }
        };
        if self.is_down() {
            return heard(self, Said::Nothing(true));
        }
        if let Some(response) = self.watch_refusal(fate.deed, opening) {
            self.fold(0x51, u64::from(stream) << 16 | u64::from(response.status().as_u16()));
            return heard(self, Said::Answer(response));
        }
        let now = self.server_now();
        let (id, head) = match self.server.handle(now, &request) {
            Answer::Watch { id, head } => (id, head),
            Answer::Response(response) => return heard(self, Said::Answer(response)),
        };
        debug_assert!(head.status().is_success());
        if lost {
            // It is open, and nobody hears of it.
            self.server.close_watch(id);
            return;
        }
        self.streams[stream as usize].state = State::Open(id);
        self.say(stream, back, Said::Bytes(Bytes::new(), Vec::new()));
        let asked = &mut self.streams[stream as usize];
        asked.ends_at = self.now + asked.seconds * SECOND;
        self.queue.push(asked.ends_at, Happening::WatchExpires { stream });
        self.begin_opened(stream, fate.deed, opening);
        self.tell_watch(stream);
    }

    /// What becomes of a watch that was let in.
    fn begin_opened(&mut self, stream: u32, deed: Deed, opening: Opening) {
        match opening {
            Opening::Stall(span) => {
                self.counts.befell(opening.name());
                self.streams[stream as usize].blocked_until =
                    self.now.saturating_add(span).min(self.plan.heals_at);
            }
            Opening::Short(after) => {
                self.counts.befell(opening.name());
                self.queue.push(self.now + after, Happening::WatchBreaks { stream });
            }
            Opening::Empty => {
                self.counts.befell(opening.name());
                self.break_watch(stream);
            }
            _ if deed == Deed::ResetAfter => {
                self.counts.befell(deed.name());
                self.break_watch(stream);
            }
            _ => {}
        }
    }

    /// Why the server, or somebody before it, does not let a watch in.
    fn watch_refusal(&mut self, deed: Deed, opening: Opening) -> Option<Response<Bytes>> {
        if let Some(refusal) = self.refusal() {
            return Some(refusal);
        }
        if self.watches_are_forbidden() {
            return Some(replies::forbidden());
        }
        let (name, response) = match (opening, deed) {
            (Opening::Gone, _) => (opening.name(), replies::gone()),
            (Opening::Error(code), _) => (opening.name(), replies::error(code)),
            (Opening::Throttle(throttle), _) => (opening.name(), replies::throttled(throttle)),
            (_, Deed::Error(code) | Deed::Masked(code)) => (deed.name(), replies::error(code)),
            (_, Deed::Throttle(throttle)) => (deed.name(), replies::throttled(throttle)),
            _ => return None,
        };
        self.counts.befell(name);
        Some(response)
    }

    /// Something comes to the holder, after all that came before.
    pub(super) fn say(&mut self, stream: u32, at: u64, what: Said) {
        let open = &self.streams[stream as usize];
        if open.state == State::Dropped {
            return;
        }
        let earliest = at.max(open.last_at).max(open.blocked_until).max(self.now + 1);
        let at = self.passes(open.seat, earliest);
        let open = &mut self.streams[stream as usize];
        open.last_at = at;
        open.coming.push_back(Piece { at, what });
        self.queue.push(at, Happening::WatchTold { stream });
    }

    /// The first instant from `at` on at which something passes from the server to a holder: what a connection that
    /// is open has lost is sent again.
    fn passes(&self, seat: u8, at: u64) -> u64 {
        let mut at = at;
        for fault in &self.plan.faults {
            if fault.at > at {
                break;
            }
            at = at.max(fault.what.blocks_replies_of(seat).map_or(0, |span| fault.at.saturating_add(span)));
        }
        at
    }

    /// The oldest piece of a watch has come.
    pub(super) fn watch_told(&mut self, stream: u32) {
        let open = &self.streams[stream as usize];
        let place = &mut self.seats[usize::from(open.seat)];
        if open.state == State::Dropped || place.incarnation != open.incarnation || place.machine.is_none() {
            return;
        }
        if place.has_to_wait(self.now) {
            return place.inbox.push(Incoming::Stream(stream));
        }
        self.take_in_watch(stream);
    }

    /// The process looks at the oldest piece of a watch.
    pub(super) fn take_in_watch(&mut self, stream: u32) {
        let open = &mut self.streams[stream as usize];
        let (seat, id) = (open.seat, open.id);
        // It may have been dropped since it came.
        let Some(piece) = open.coming.pop_front() else {
            return;
        };
        match piece.what {
            Said::Bytes(bytes, hints) => self.take_in_bytes(stream, bytes, &hints),
            Said::End => {
                self.note_watch(stream, seat, || "ended".to_owned());
                self.hint(seat, Input::WatchClosed { id });
                self.forget_watch(stream);
            }
            Said::Answer(response) => {
                self.oracle.watch_refused(response.status().as_u16());
                self.note_watch(stream, seat, || format!("answered {}", response.status().as_u16()));
                self.hint(seat, Input::Response { id, response });
                self.forget_watch(stream);
            }
            Said::Nothing(was_sent) => {
                let failure = if was_sent { Failure::Unknown } else { Failure::NotSent };
                self.note_watch(stream, seat, || "no answer".to_owned());
                self.hint(seat, Input::Failed { id, failure });
                self.forget_watch(stream);
            }
        }
    }

    fn take_in_bytes(&mut self, stream: u32, bytes: Bytes, hints: &[Hint]) {
        let open = &mut self.streams[stream as usize];
        let (seat, id) = (open.seat, open.id);
        let place = &self.seats[usize::from(seat)];
        let (process, now) = (place.process(seat), place.clock.mono(self.now));
        // What comes when the watch is to be given up is not heard any more: deadlines come first.
        let hints = if now < open.due { hints } else { &[] };
        if !std::mem::replace(&mut open.has_head, true) {
            let lasts = Duration::from_secs(open.seconds);
            open.due = now.saturating_add(lasts + Duration::from_millis(place.plan.request_timeout));
        }
        self.fold(0x52, u64::from(stream) << 32 | bytes.len() as u64);
        self.note_watch(stream, seat, || crate::trace::watched(&bytes));
        let newest = self.oracle.hinted(self.now, process, now, hints);
        self.hint(seat, Input::WatchChunk { id, bytes });
        let listens = self.streams[stream as usize].state != State::Dropped;
        self.oracle.took_hints(self.now, process, newest, hints, listens);
    }

    /// Hands in something that may end a term, and nothing else.
    fn hint(&mut self, seat: u8, input: Input) {
        let place = &self.seats[usize::from(seat)];
        let now = place.clock.read(self.now);
        let until = |world: &Self| match &world.seats[usize::from(seat)].machine {
            Some(Machine::Core(lease)) => lease.check_alive(now.mono).map(|held| held.until),
            _ => None,
        };
        let before = until(self);
        self.hand_in(seat, now, input, false);
        let after = until(self);
        self.oracle.hinted_until(self.now, seat, before, after);
    }

    /// Looks whether a holder has given a watch up that brings nothing, in time.
    pub(super) fn watch_overdue(&mut self, stream: u32) {
        // For those whose timers are late.
        const GRACE: u64 = 6 * SECOND;
        let open = &self.streams[stream as usize];
        if open.state == State::Dropped {
            return;
        }
        let place = &self.seats[usize::from(open.seat)];
        let goes_on = place.clock.instant(open.due).max(place.paused_until);
        if goes_on.saturating_add(GRACE) > self.now {
            return self.queue.push(goes_on.saturating_add(GRACE), Happening::WatchOverdue { stream });
        }
        let (who, due) = (open.seat, open.due);
        self.oracle.violate(self.now, Invariant::Bounded, || {
            format!("holder {who} still has a watch that it was to give up at {due:?}")
        });
    }

    /// A holder wants no more of a watch; whether there was one.
    pub(super) fn abort_watch(&mut self, seat: u8, id: RequestId) -> bool {
        let found = self.unfinished.iter().copied().find(|stream| {
            let open = &self.streams[*stream as usize];
            open.seat == seat && open.id == id
        });
        let Some(stream) = found else {
            return false;
        };
        self.note_watch(stream, seat, || "given up".to_owned());
        self.forget_watch(stream);
        true
    }

    /// The watches of a process that is gone.
    pub(super) fn hang_up(&mut self, seat: u8) {
        let mine = |stream: &u32| self.streams[*stream as usize].seat == seat;
        let gone: Vec<u32> = self.unfinished.iter().copied().filter(mine).collect();
        for stream in gone {
            self.forget_watch(stream);
        }
    }

    fn forget_watch(&mut self, stream: u32) {
        let open = &mut self.streams[stream as usize];
        if let State::Open(id) = open.state {
            self.server.close_watch(id);
        }
        open.state = State::Dropped;
        open.coming = VecDeque::new();
        open.line = Bytes::new();
        self.oracle.watch_over(Process { seat: open.seat, incarnation: open.incarnation });
        self.unfinished.retain(|other| *other != stream);
    }

    /// The connection of a watch breaks at the server's side.
    pub(super) fn break_watch(&mut self, stream: u32) {
        let open = &mut self.streams[stream as usize];
        if let State::Open(id) = open.state {
            self.server.close_watch(id);
            open.state = State::Ended;
            let at = self.now + self.slowed(self.streams[stream as usize].fate.back);
            self.say(stream, at, Said::End);
        }
    }

    /// The API server goes down: every watch ends, and half of the time nobody is told so; half of the time what
    /// happened before is forgotten.
    pub(super) fn break_watches(&mut self) {
        let drawn = mix(self.plan.seed ^ self.now);
        for stream in self.unfinished.clone() {
            if drawn & 1 == 0 {
                self.break_watch(stream);
            } else if let State::Open(id) = self.streams[stream as usize].state {
                self.server.close_watch(id);
                self.streams[stream as usize].state = State::Ended;
            }
        }
        self.server.end_watches(drawn & 2 == 0);
    }

    /// All faults end: what watches tell comes as quickly as everything else.
    pub(super) fn quicken_watches(&mut self) {
        for stream in &self.unfinished {
            let fate = &mut self.streams[*stream as usize].fate;
            fate.back = fate.back.min(Fate::PLAIN.back);
        }
    }

    /// Whether somebody other than `but` campaigns and hears of what happens within the next `span`.
    pub(super) fn is_watched(&self, but: u8, span: u64) -> bool {
        let hears = |stream: &&u32| {
            let open = &self.streams[**stream as usize];
            let place = &self.seats[usize::from(open.seat)];
            matches!(open.state, State::Open(_))
                && open.coming.is_empty()
                && open.blocked_until <= self.now
                && open.ends_at > self.now + span
                && open.seat != but
                && !place.retired
                && place.plan.drive == Drive::Campaign
        };
        !self.plan.watches.deaf && self.unfinished.iter().any(|stream| hears(&stream))
    }

    /// Notes what becomes of a watch, for people.
    pub(super) fn note_watch(&mut self, watch: u32, holder: u8, about: impl FnOnce() -> String) {
        self.note(|| What::Watch { holder: holder.into(), watch, about: about() });
    }
}

/// How long a watch is to last.
fn timeout_seconds(request: &Request<Bytes>) -> Option<u64> {
    let query = request.uri().query()?;
    query.split('&').find_map(|part| part.strip_prefix("timeoutSeconds=")?.parse().ok())
}
