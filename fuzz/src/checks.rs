//! The numbered clauses of the crate documentation, checked on what comes out.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use lease_core::{
    Action, Command, Config, Event, FencingToken, Lease, MonoTime, Now, Output, RequestId, Status, WallTime,
};
use serde_json::Value;

use crate::times::parse;

/// More than this never waits in the queue, however many inputs precede a drain.
const MOST_QUEUED: usize = 16;

/// What has come out so far, as far as later outputs depend on it.
#[derive(Debug, Default)]
pub struct Checks {
    last_id: u64,
    /// The request that waits for an answer.
    in_flight: Option<RequestId>,
    /// The watch that is open, or being opened.
    watch: Option<RequestId>,
    /// Those whose answer was handed in since the last drain: perhaps too late, and aborted all the same.
    answered: Vec<RequestId>,
    term: Option<Term>,
    last_token: Option<FencingToken>,
    /// The latest hand-out of a write that puts our name there.
    last_write: MonoTime,
    highest_stamp: Option<i64>,
    /// Whether a write may have been withdrawn before it was seen: the sequence of stamps may have restarted.
    unseen: bool,
    try_acquire: Questions,
    campaign: Questions,
    release: Questions,
}

/// Commands of one kind since the machine last had none of them open. Several may share an answer.
#[derive(Debug, Default)]
struct Questions {
    asked: u32,
    answered: u32,
}

impl Questions {
    fn answer(&mut self) {
        self.answered += 1;
        assert!(self.answered <= self.asked, "clause 4: an answer without a question");
    }

    /// Nothing can be open any more.
    fn settle(&mut self) {
        assert!(self.asked == 0 || self.answered > 0, "clause 4: a command without an answer");
        *self = Self::default();
    }
}

#[derive(Debug)]
struct Term {
    token: FencingToken,
    until: MonoTime,
}

impl Checks {
    /// A command is about to be given.
    pub fn asked(&mut self, command: Option<Command>) {
        match command {
            Some(Command::TryAcquire) => self.try_acquire.asked += 1,
            Some(Command::Campaign) => self.campaign.asked += 1,
            None => self.release.asked += 1,
        }
    }

    /// An answer is about to be handed in; whether it belongs to the request in flight.
    pub fn answers(&mut self, id: RequestId) -> bool {
        self.closed(id);
        let answered = self.in_flight.take_if(|given| *given == id);
        self.answered.extend(answered);
        answered.is_some()
    }

    /// A watch is about to end, if that is its id.
    pub fn closed(&mut self, id: RequestId) {
        self.answered.extend(self.watch.take_if(|watch| *watch == id));
    }

    /// Whether that is the watch.
    pub fn is_watch(&self, id: RequestId) -> bool {
        self.watch == Some(id)
    }

    /// One output, at `now` (the highest monotonic reading so far).
    pub fn output(&mut self, config: &Config, now: Now, output: &Output) {
        match output {
            Output::Action(Action::Send { id, request, give_up_at, .. }) => {
                self.new_id(*id);
                assert!(self.in_flight.is_none(), "clause 3: two requests in flight");
                assert!(*give_up_at > MonoTime::ZERO);
                self.in_flight = Some(*id);
                self.request(config, now, request);
            }
            Output::Action(Action::Abort { id }) => {
                let known = self.in_flight.take_if(|given| given == id);
                let known = known.or_else(|| self.watch.take_if(|watch| watch == id));
                let known = known.is_some() || self.answered.contains(id);
                assert!(known, "{id}: an abort of what is not in flight");
            }
            Output::Action(Action::RefreshCredentials { id }) => self.new_id(*id),
            Output::Action(Action::OpenWatch { id, request, .. }) => {
                self.new_id(*id);
                assert!(config.watch() && self.watch.is_none(), "clause 3: a watch beside a watch");
                assert!(*request.method() == Method::GET && request.body().is_empty());
                self.watch = Some(*id);
            }
            Output::Event(event) => self.event(config, event),
            Output::Idle { wake, .. } => {
                assert!(wake.is_none_or(|wake| wake > now.mono), "clause 7: wake {wake:?} at {now:?}");
            }
        }
    }

    fn new_id(&mut self, id: RequestId) {
        assert!(id.0 > self.last_id, "clause 3: id {id} after #{}", self.last_id);
        // A gap is a request that was withdrawn before it was polled.
        self.unseen |= id.0 > self.last_id + 1;
        self.last_id = id.0;
    }

    fn request(&mut self, config: &Config, now: Now, request: &Request<Bytes>) {
        if *request.method() == Method::GET {
            assert!(request.body().is_empty());
            return;
        }
        let body: Value = serde_json::from_slice(request.body()).expect("JSON");
        let says = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        if *request.method() == Method::DELETE {
            assert!(self.term.is_none(), "release: the term ends before the first byte leaves");
            let given = &body["preconditions"];
            assert!(says(&given["uid"]) && says(&given["resourceVersion"]), "fact 5: {body}");
            return;
        }
        let metadata = &body["metadata"];
        if *request.method() == Method::PUT {
            assert!(says(&metadata["uid"]) && says(&metadata["resourceVersion"]), "facts 2 and 4: {body}");
        } else {
            assert!(metadata["uid"].is_null() && metadata["resourceVersion"].is_null(), "fact 4: {body}");
        }
        let spec = &body["spec"];
        let duration = spec["leaseDurationSeconds"].as_i64().expect("a number");
        assert_eq!(duration, i64::from(config.lease_duration_seconds()));
        assert!(
            spec["leaseTransitions"]
                .as_i64()
                .is_some_and(|number| (0..=i64::from(i32::MAX)).contains(&number))
        );
        let renewed = spec["renewTime"].as_str().expect("a time");
        let stamp = parse(renewed).unwrap_or_else(|| panic!("fact 1: {renewed}"));
        if spec["holderIdentity"] == "a" {
            self.last_write = now.mono;
        } else {
            assert!(self.term.is_none() && spec["holderIdentity"] == "", "an unowned lease: {body}");
        }
        self.stamp(config, stamp, spec["acquireTime"] == spec["renewTime"]);
    }

    /// Fact 3.
    fn stamp(&mut self, config: &Config, stamp: i64, acquiring: bool) {
        if let Some(highest) = self.highest_stamp.filter(|highest| stamp <= *highest) {
            // What lies beyond the year 9999 is moved to its end, and nothing can grow there.
            if stamp < WallTime::MAX_STORED.as_micros() {
                assert!(acquiring || self.unseen, "fact 3: {stamp} after {highest}");
                let default = config.ttl().max(Duration::from_secs(10));
                let bound = config.max_clock_skew().unwrap_or(default).as_micros();
                let back = u128::from(highest.abs_diff(stamp)) + 1000;
                let known = self.unseen || back > bound;
                assert!(known, "fact 3: a restart needs a clock that is off: {stamp} after {highest}");
            }
        }
        self.highest_stamp = Some(stamp);
        self.unseen = false;
    }

    fn event(&mut self, config: &Config, event: &Event) {
        match event {
            Event::Acquired { token, until, .. } => {
                assert!(self.term.is_none(), "clause 4: a term in a term");
                assert!(self.last_token.is_none_or(|last| *token > last), "clause 4: token {token}");
                self.last_token = Some(*token);
                self.extends(config, *until);
                self.term = Some(Term { token: *token, until: *until });
            }
            Event::Renewed { until } => {
                self.extends(config, *until);
                let term = self.term.as_mut().expect("clause 4: renewed without a term");
                assert!(*until > term.until, "a renewal that extends nothing");
                term.until = *until;
            }
            Event::Lost { token, .. } | Event::Released { token } => {
                let term = self.term.take().expect("clause 4: an end without a term");
                assert_eq!(term.token, *token);
            }
            Event::AttemptEnded { command: Command::TryAcquire, .. } => self.try_acquire.answer(),
            Event::AttemptEnded { command: Command::Campaign, .. } => self.campaign.answer(),
            Event::ReleaseEnded { .. } => self.release.answer(),
            _ => {}
        }
    }

    /// Clause 2: a term ends V after the emission of a write at the latest.
    fn extends(&self, config: &Config, until: MonoTime) {
        let latest = self.last_write.saturating_add(config.validity());
        assert!(until <= latest, "clause 2: until {until:?}, the last write left at {:?}", self.last_write);
    }

    /// After a drain.
    pub fn rest(&mut self, lease: &Lease, now: Now, outputs: usize) {
        self.answered.clear();
        assert!(outputs <= MOST_QUEUED, "clause 7: {outputs} outputs waited");
        let held = lease.check_alive(now.mono);
        assert_eq!(held.is_some(), self.term.is_some(), "check_alive and the events disagree");
        if let (Some(held), Some(term)) = (held, &self.term) {
            assert_eq!((held.token, held.until), (term.token, term.until));
            assert!(lease.check_alive(held.until).is_none(), "clause 2: held at `until`");
            let before = MonoTime::from_nanos(held.until.as_nanos() - 1);
            assert!(lease.check_alive(before).is_some(), "clause 2: not held before `until`");
        }
        assert_eq!(lease.status() == Status::Holding, self.term.is_some());
        if matches!(lease.status(), Status::Idle | Status::Holding) {
            self.try_acquire.settle();
            self.campaign.settle();
            assert!(lease.poll_timeout().is_some() == (lease.status() == Status::Holding));
        }
        if lease.status() != Status::Releasing {
            self.release.settle();
        }
        assert_eq!(lease.poll_timeout().is_none(), lease.status() == Status::Idle, "somebody must wake it");
    }
}
