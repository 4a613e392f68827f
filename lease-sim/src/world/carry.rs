//! The network between a holder and the API server.

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Method, Request, Response};
use lease_core::{Failure, Input, MonoTime, Now, RequestId};
use memchr::memmem::Finder;
use std::sync::LazyLock;
use std::time::Duration;

use super::replies;
use super::seat::{Incoming, Machine};
use super::{Happening, Message, What, World};
use crate::oracle::{Landing, Mark, Sent, Snapshot};
use crate::plan::{Deed, Fate, Garbage, RequestKey, mix};

impl World<'_> {
    pub(super) fn send(
        &mut self,
        seat: u8,
        now: Now,
        id: RequestId,
        request: Request<Bytes>,
        give_up_at: MonoTime,
    ) {
        let place = &mut self.seats[usize::from(seat)];
        place.sent += 1;
        let (incarnation, number) = (place.incarnation, place.sent);
        let process = place.process(seat);
        let holding = match &place.machine {
            Some(Machine::Core(lease)) => Some(lease.check_alive(now.mono).is_some()),
            _ => None,
        };
        let fate = self.fate(RequestKey { holder: seat, incarnation, number });
        let sent = describe(&request, give_up_at, holding == Some(true));
        self.counts.requests += 1;
        self.watching(|watch, now| watch.sent(now, seat));
        self.counts.deed(fate, &self.plan.network);
        if holding.is_some() {
            self.oracle.sent(self.now, process, number, now.mono, &sent);
        }
        let message = self.messages.len() as u32;
        self.fold(0x01, u64::from(seat) << 32 | number);
        self.note(|| What::Sent {
            holder: seat.into(),
            request: message,
            verb: sent.verb.to_owned(),
            about: replies::about(&request),
            fate: (fate.deed != Deed::Carry).then(|| format!("{:?}", fate.deed)),
        });
        self.messages.push(Message {
            seat,
            incarnation,
            id,
            number,
            emitted: now,
            sent_at: self.server_now().0,
            request,
            fate,
            response: None,
            shown: None,
            not_sent: false,
            applied: false,
            names: sent.names,
        });
        self.dispatch(message, fate);
        if fate.pause_after > 0 {
            self.pause(seat, fate.pause_after);
        }
    }

    /// What the plan has for a request.
    fn fate(&self, key: RequestKey) -> Fate {
        match &self.fates {
            Some(fates) if !self.healed => fates.get(&key).copied().unwrap_or(Fate::PLAIN),
            Some(_) => Fate::PLAIN,
            None => self.plan.drawn_fate(key, self.healed),
        }
    }

    fn dispatch(&mut self, message: u32, fate: Fate) {
        let there = self.slowed(fate.there);
        let (refused, lost) = self.blocked(message, true);
        if refused || fate.deed == Deed::Refuse {
            self.messages[message as usize].not_sent = true;
            return self.queue.push(self.now + there.min(20_000_000), Happening::Deliver { message });
        }
        if lost || fate.deed == Deed::LoseRequest {
            return self.breaks(message);
        }
        let arrives = self.now + there;
        let sent = &self.messages[message as usize];
        if sent.request.method() == Method::POST && fate.deed != Deed::ResetBefore {
            self.oracle.creating(sent.process(), sent.number);
        }
        match fate.deed {
            Deed::ResetBefore => {
                self.queue.push(arrives + self.slowed(fate.back), Happening::Deliver { message });
            }
            Deed::Late(after) => {
                self.queue.push(arrives + after, Happening::ArriveLate { message });
                self.breaks(message);
            }
            Deed::LateError(after) => {
                self.queue.push(arrives, Happening::Arrive { message });
                self.queue.push(arrives + after, Happening::ArriveLate { message });
            }
            Deed::Copy(after) | Deed::Echo(after) => {
                self.queue.push(arrives, Happening::Arrive { message });
                self.queue.push(arrives + after, Happening::ArriveAgain { message });
            }
            _ => self.queue.push(arrives, Happening::Arrive { message }),
        }
    }

    pub(super) fn arrive(&mut self, message: u32) {
        let Fate { deed, back, .. } = self.messages[message as usize].fate;
        self.meet(message, deed, back);
        if !matches!(deed, Deed::LateError(_) | Deed::Copy(_) | Deed::Echo(_)) {
            self.forget_request(message);
        }
    }

    /// Nobody carries a request out again: its memory is of use to the next one.
    fn forget_request(&mut self, message: u32) {
        self.messages[message as usize].request = Request::default();
    }

    fn meet(&mut self, message: u32, deed: Deed, back: u64) {
        let sent = &self.messages[message as usize];
        if !matches!(deed, Deed::LateError(_)) {
            self.oracle.created(sent.process(), sent.number);
        }
        if self.is_down() {
            // What a server that goes down was doing is half done, half not.
            if mix(self.plan.seed ^ u64::from(message)) & 1 == 0 {
                self.serve(message, false);
            }
            self.messages[message as usize].response = None;
            return self.queue.push(self.now + self.slowed(back), Happening::Deliver { message });
        }
        let refused = self.refusal().or_else(|| match deed {
            Deed::Error(code) => Some(replies::error(code)),
            Deed::LateError(_) => Some(replies::error(504)),
            Deed::Throttle(throttle) => Some(replies::throttled(throttle)),
            _ => None,
        });
        if let Some(response) = refused {
            self.answer(message, response);
        } else if let Deed::Stale(by) = deed {
            self.answer_stale(message, by);
        } else {
            self.serve(message, false);
            self.spoil(message, deed);
        }
        if matches!(deed, Deed::LoseReply | Deed::Echo(_)) || self.blocked(message, false).1 {
            return self.breaks(message);
        }
        self.queue.push(self.now + self.slowed(back), Happening::Deliver { message });
    }

    /// What happens to the answer of a request that was carried out.
    fn spoil(&mut self, message: u32, deed: Deed) {
        let sent = &mut self.messages[message as usize];
        match deed {
            Deed::ResetAfter => {
                sent.response = None;
                sent.shown = None;
            }
            Deed::Masked(code) => {
                sent.response = Some(replies::error(code));
                sent.shown = None;
            }
            Deed::Garble(Garbage::Misrouted) => {
                let earlier = self.history.iter().rev().nth(1).and_then(|(_, body, _)| body.clone());
                let sent = &mut self.messages[message as usize];
                if let Some(body) = earlier.filter(|_| sent.request.method() != Method::GET) {
                    sent.response = Some(replies::object(body));
                    sent.shown = None;
                }
            }
            Deed::Garble(garbage) => {
                if let Some(response) = sent.response.take() {
                    let (response, readable) = replies::garble(response, garbage);
                    sent.response = Some(response);
                    if !readable {
                        sent.shown = None;
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn arrive_again(&mut self, message: u32) {
        let Fate { deed, back, .. } = self.messages[message as usize].fate;
        if self.is_down() {
            // Nobody is there.
        } else if matches!(deed, Deed::Echo(_)) {
            self.serve(message, true);
            self.queue.push(self.now + self.slowed(back), Happening::Deliver { message });
        } else {
            self.serve_unheard(message, true);
        }
        self.forget_request(message);
    }

    pub(super) fn arrive_late(&mut self, message: u32) {
        let sent = &self.messages[message as usize];
        self.oracle.created(sent.process(), sent.number);
        if !self.is_down() {
            self.serve_unheard(message, false);
        }
        self.forget_request(message);
    }

    /// The server carries a request out whose sender hears another answer, or none.
    fn serve_unheard(&mut self, message: u32, copied: bool) {
        let sent = &mut self.messages[message as usize];
        let heard = (sent.response.take(), sent.shown.take());
        self.serve(message, copied);
        let sent = &mut self.messages[message as usize];
        (sent.response, sent.shown) = heard;
    }

    fn answer(&mut self, message: u32, response: Response<Bytes>) {
        let code = response.status().as_u16();
        self.fold(0x02, u64::from(message) << 16 | u64::from(code));
        self.messages[message as usize].response = Some(response);
        self.note(|| What::Arrived { request: message, code, applied: false, version: None });
    }

    /// The server carries a request out.
    fn serve(&mut self, message: u32, copied: bool) {
        let now = self.server_now();
        let Message { seat, incarnation, number, .. } = self.messages[message as usize];
        if self.seats[usize::from(seat)].is_overtaken(incarnation, number) {
            self.counts.overtaken += 1;
        }
        let before = self.object();
        let sent = &self.messages[message as usize];
        let revision = self.server.resource_version();
        let answer = self.server.handle(now, &sent.request).into_response();
        // Whatever changes an object changes this as well.
        let unchanged = self.server.resource_version() == revision;
        let after = if unchanged { before.clone() } else { self.object() };
        let mut response = answer.unwrap_or_default();
        if self.plan.network.dateless {
            response.headers_mut().remove(http::header::DATE);
        }
        let code = response.status().as_u16();
        let place = &self.seats[usize::from(sent.seat)];
        let process = sent.process();
        let version = |object: &Snapshot| object.as_ref().map(|(_, version)| *version);
        let applied = version(&before) != version(&after);
        let late = matches!(sent.fate.deed, Deed::Late(_) | Deed::LateError(_));
        let current = place.incarnation == sent.incarnation && place.machine.is_some();
        let ours = self.protocol.is_none();
        let reads = sent.request.method() == Method::GET;
        let deletes = sent.request.method() == Method::DELETE;
        let landing = Landing {
            process,
            number: sent.number,
            emitted: sent.emitted,
            sent_at: sent.sent_at,
            late,
            copied,
            current,
            deletes,
        };
        let wrote_nothing = !applied && !reads && !deletes && matches!(code, 200 | 201);
        let names = sent.names;
        if ours && applied {
            self.oracle.applied(self.now, landing, &before, &after);
        } else if applied {
            self.oracle.edited(self.now, &after, false, true);
        } else if wrote_nothing && ours {
            self.oracle.changed_nothing(self.now, process);
        }
        if applied {
            self.note_truth(&after, Some(landing.process.seat));
            self.remember(&after);
        }
        if code == 409 {
            self.mark_conflict(message, names);
        }
        let definite = matches!(code, 200 | 201 | 404) && !(deletes && code == 200);
        let mut shown = self.oracle.shows(&after);
        shown.read = reads;
        shown.dated = !self.plan.network.dateless;
        self.fold(0x02, u64::from(message) << 16 | u64::from(code));
        let sent = &mut self.messages[message as usize];
        sent.applied |= applied;
        sent.shown = definite.then_some(shown);
        sent.response = Some(response);
        self.note(|| What::Arrived { request: message, code, applied, version: version(&after) });
    }

    /// A write met another state: its own, somebody's who was quicker, or an edit.
    fn mark_conflict(&mut self, message: u32, names: bool) {
        let sent = &self.messages[message as usize];
        let author = self.oracle.author_now();
        if !names {
            return;
        }
        let own = author == Some(sent.process());
        let mark = if own { Mark::OwnConflict } else { Mark::RaceLost };
        self.oracle.marks.hit(mark);
    }

    /// A reply, or the news that there is none, reaches the process.
    pub(super) fn deliver(&mut self, message: u32) {
        let sent = &self.messages[message as usize];
        let (seat, pause) = (sent.seat, sent.fate.pause_before);
        let place = &mut self.seats[usize::from(seat)];
        if place.incarnation != sent.incarnation || place.machine.is_none() {
            return;
        }
        if place.has_to_wait(self.now) {
            return place.inbox.push(Incoming::Reply(message));
        }
        if pause > 0 {
            self.messages[message as usize].fate.pause_before = 0;
            self.pause(seat, pause);
            return self.seats[usize::from(seat)].inbox.push(Incoming::Reply(message));
        }
        self.take_in(message);
    }

    /// The process looks at a reply.
    pub(super) fn take_in(&mut self, message: u32) {
        let sent = &mut self.messages[message as usize];
        let (seat, id, number) = (sent.seat, sent.id, sent.number);
        let response = sent.response.take();
        let (shown, not_sent, applied, names) = (sent.shown, sent.not_sent, sent.applied, sent.names);
        let place = &self.seats[usize::from(seat)];
        let process = place.process(seat);
        // What a driver says about a reading from the past counts as the latest that it said before.
        let now = match place.answer_from_past {
            0 => place.clock.mono(self.now),
            by => {
                place.high.max(MonoTime::from_nanos(place.clock.mono(self.now).as_nanos().saturating_sub(by)))
            }
        };
        self.fold(0x03, u64::from(message));
        self.note(|| What::Answered {
            holder: seat.into(),
            request: message,
            outcome: replies::outcome(response.as_ref(), not_sent),
        });
        let Some(response) = response else {
            self.oracle.settled(seat, number, not_sent);
            if applied && names {
                self.oracle.marks.hit(Mark::UnknownApplied);
            }
            let failure = if not_sent { Failure::NotSent } else { Failure::Unknown };
            return self.give(seat, Input::Failed { id, failure });
        };
        let wanted = self.oracle.waits_for(seat, number, now);
        if applied && names && !wanted && self.oracle.believes(self.now, seat).is_none() {
            self.oracle.marks.hit(Mark::LateAck);
        }
        // A reply that nobody waits for any more settles nothing.
        self.oracle.settled(seat, number, wanted && (shown.is_some() || replies::is_definite(&response)));
        let asked = retry_after(&response);
        let shown = shown.filter(|_| wanted);
        if let Some(shown) = shown {
            self.oracle.shown(self.now, process, now, shown);
        }
        self.give(seat, Input::Response { id, response });
        self.seats[usize::from(seat)].answer_from_past = 0;
        self.oracle.has_read(seat, now, shown.map_or(u64::MAX, |shown| shown.version));
        if let Some(shown) = shown {
            self.oracle.took_in(self.now, process, shown);
        }
        if let Some(asked) = asked.filter(|_| wanted) {
            self.oracle.told_to_wait(seat, now.saturating_add(asked));
        }
    }

    fn answer_stale(&mut self, message: u32, by: u64) {
        if self.messages[message as usize].request.method() != Method::GET {
            return self.serve(message, false);
        }
        let then = self.now.saturating_sub(by);
        let found = self.history.iter().rev().find(|(at, ..)| *at <= then);
        let Some((_, body, shown)) = found.cloned() else {
            return self.serve(message, false);
        };
        let response = match &body {
            Some(body) => replies::object(body.clone()),
            None => replies::absent(),
        };
        let stale = shown.version != self.object().map_or(0, |(_, version)| version);
        self.messages[message as usize].shown = Some(crate::oracle::Shown { stale, dated: false, ..shown });
        self.answer(message, response);
    }

    /// Keeps a state of the object for stale reads.
    pub(super) fn remember(&mut self, object: &Snapshot) {
        let body = self.server.get(super::seat::NAMESPACE, super::seat::NAME);
        let shown = self.oracle.shows(object);
        self.history.push((self.now, body, shown));
        self.tell_watches();
    }

    pub(super) fn note_truth(&mut self, object: &Snapshot, by: Option<u8>) {
        self.note(|| {
            let lease = object.as_ref().map(|(lease, _)| lease);
            let expires = lease.and_then(|lease| {
                let spec = &lease.spec;
                let ends = spec.renew_time?.plus_seconds(spec.lease_duration_seconds.unwrap_or(0).into());
                let micros = u64::try_from(ends.0.saturating_sub(super::EPOCH)).ok()?;
                Some(micros.saturating_mul(1000))
            });
            What::Truth {
                holder: lease.and_then(|lease| crate::oracle::names(lease)).map(str::to_owned),
                version: object.as_ref().map(|(_, version)| *version),
                expires,
                by: by.map(usize::from),
            }
        });
    }
}

/// `Retry-After` in seconds, as far as it is obeyed.
fn retry_after(response: &Response<Bytes>) -> Option<Duration> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(60)))
}

// What is looked for in bodies. Made once: to prepare such a search takes longer than the search.
static UID: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"uid\":\""));
static RESOURCE_VERSION: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"resourceVersion\":\""));
static NOBODY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"holderIdentity\":\"\""));
static PRECONDITIONS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("preconditions"));

/// The resource version in a body, which is the first there.
pub(super) fn resource_version(body: &[u8]) -> Option<u64> {
    let rest = &body[RESOURCE_VERSION.find(body)? + RESOURCE_VERSION.needle().len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number: u64, digit| number.wrapping_mul(10) + u64::from(digit - b'0')))
}

fn describe(request: &Request<Bytes>, give_up_at: MonoTime, holding: bool) -> Sent {
    let body = request.body();
    let has = |needle: &Finder<'static>| needle.find(body).is_some();
    let mut version = None;
    let (mut names, mut creates, mut gives_back, mut conditional) = (false, false, false, true);
    let verb = match *request.method() {
        Method::GET => "GET",
        Method::POST => {
            (names, creates) = (true, true);
            "POST"
        }
        Method::PUT => {
            gives_back = has(&NOBODY);
            names = !gives_back;
            version = resource_version(body);
            conditional = version.is_some() && has(&UID);
            "PUT"
        }
        Method::DELETE => {
            gives_back = true;
            conditional = has(&UID) && has(&RESOURCE_VERSION) && has(&PRECONDITIONS);
            "DELETE"
        }
        _ => "PATCH",
    };
    Sent { verb, names, creates, gives_back, conditional, version, give_up_at, holding }
}
