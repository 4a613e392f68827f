//! Two or three machines, one API server, a bad network, and somebody who knows the true time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use http::header::DATE;
use http::{Method, Request, Response};
use lease_core::{
    Action, AttemptOutcome, Config, Event, Failure, Input, Lease, LostReason, MonoTime, Now, Output,
    RequestId, SameIdentity, Seed, WallTime,
};
use serde_json::{Value, json};

use super::plan::Command;
use super::scenario::{Act, Clocks, Fate, FateKind, Rules, Scenario};
use super::server::{Commit, Server, text, writer};
use super::world::http_date;
use crate::support::{EPOCH, status};

pub(crate) const MILLISECOND: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1000 * MILLISECOND;
/// When the faults begin.
const START: u64 = 10_000 * SECOND;
/// How long they last.
pub(crate) const TROUBLED: u64 = 40 * SECOND;
/// How long it may take until somebody holds again: late writes, W, a quarantine and retries.
const HEALING: u64 = 40 * SECOND;

/// What went wrong, by law.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Violations {
    pub(crate) overlaps: Vec<String>,
    pub(crate) tokens: Vec<String>,
    pub(crate) deletions: Vec<String>,
    pub(crate) denials: Vec<String>,
    /// A POST or DELETE of somebody who only uses what exists.
    pub(crate) verbs: Vec<String>,
    /// Terms that were said to be over although the object still named the holder.
    pub(crate) losses: Vec<String>,
}

#[derive(Debug)]
struct Member {
    lease: Lease,
    clocks: Clocks,
    incarnation: u64,
    asleep_until: u64,
    /// The true time until which the process believes that it holds.
    alive_until: u64,
    wake_at: Option<u64>,
    last_id: u64,
    /// Writes up to this id were promised to win no more.
    denied: u64,
    /// The watch that the server believes to be open.
    watch: Option<RequestId>,
}

#[derive(Debug)]
enum Happening {
    Act(usize, Act),
    Wake(usize),
    Arrives(Parcel),
    /// For this incarnation of this member.
    Input(usize, u64, Input),
}

#[derive(Clone, Debug)]
struct Parcel {
    from: usize,
    incarnation: u64,
    nonce: String,
    id: RequestId,
    request: Request<Bytes>,
    fate: Fate,
    copy: bool,
}

pub(crate) struct Fleet {
    scenario: Scenario,
    members: Vec<Member>,
    server: Server,
    /// The object before each act, for administrators.
    copies: Vec<Value>,
    queue: BTreeMap<(u64, u64), Happening>,
    order: u64,
    now: u64,
    fates_used: usize,
    /// How much of the server's history was told, and how many fates that took.
    told: usize,
    pub(crate) tellings: usize,
    /// How many of the ends a watch told, and what is being handed in.
    pub(crate) by_watch: usize,
    input: Option<Input>,
    last_token: u64,
    /// How many terms there were, how many requests arrived.
    pub(crate) terms: usize,
    /// How many of the terms were lost.
    pub(crate) ends: usize,
    pub(crate) holders: BTreeSet<usize>,
    pub(crate) violations: Violations,
    /// What the members said since the faults ended.
    pub(crate) log: Vec<String>,
}

impl Fleet {
    pub(crate) fn run(scenario: &Scenario) -> Self {
        let mut fleet = Self {
            scenario: scenario.clone(),
            members: Vec::new(),
            server: Server::default(),
            copies: Vec::new(),
            queue: BTreeMap::new(),
            order: 0,
            now: START,
            fates_used: 0,
            told: 0,
            tellings: 0,
            by_watch: 0,
            input: None,
            last_token: 0,
            terms: 0,
            ends: 0,
            holders: BTreeSet::new(),
            violations: Violations::default(),
            log: Vec::new(),
        };
        if scenario.rules.existing {
            fleet.act(0, Act::Remake(None));
        }
        for index in 0..scenario.members.len() {
            let member = fleet.start(index, 0);
            fleet.members.push(member);
        }
        for &(at, who, act) in &scenario.script {
            fleet.schedule(START + at * MILLISECOND, Happening::Act(who % scenario.members.len(), act));
        }
        fleet.run_until(START + TROUBLED);
        fleet
    }

    /// From now on nothing goes wrong, and everybody wants the lease. Whether somebody gets it.
    pub(crate) fn heals(&mut self) -> bool {
        // What sleepers still have before them comes first.
        self.run_until(self.now + 10 * SECOND);
        self.act(0, Act::Finalizers(false));
        if self.scenario.rules.existing && self.server.object.is_none() {
            self.act(0, Act::Remake(None));
        }
        self.fates_used = usize::MAX;
        for index in 0..self.members.len() {
            self.members[index].asleep_until = 0;
            self.schedule(self.now, Happening::Act(index, Act::Command(Command::Campaign)));
        }
        self.run_until(self.now + HEALING);
        self.members.iter().any(|member| member.alive_until > self.now)
    }

    fn run_until(&mut self, end: u64) {
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), happening) = entry.remove_entry();
            self.now = self.now.max(at);
            self.happen(happening);
            self.tell();
        }
        self.now = end;
    }

    fn start(&self, index: usize, incarnation: u64) -> Member {
        let clocks = self.scenario.members[index];
        let seed = Seed(u128::from(incarnation) * 16 + index as u128 + 1);
        let now = self.read(clocks);
        Member {
            lease: Lease::new(self.config(index, clocks), seed, now),
            clocks,
            incarnation,
            asleep_until: 0,
            alive_until: 0,
            wake_at: None,
            last_id: 0,
            denied: 0,
            watch: None,
        }
    }

    fn config(&self, index: usize, clocks: Clocks) -> Config {
        let Rules { policy, shared_identity, existing, .. } = self.scenario.rules;
        let mut builder = Config::builder()
            .namespace("default")
            .name("job")
            .identity(if shared_identity { "twin".to_owned() } else { format!("member-{index}") })
            .ttl(Duration::from_millis(clocks.ttl_millis))
            .quarantine(Duration::from_secs(3))
            .existing_only(existing)
            .watch(self.scenario.watch)
            .release_policy(policy);
        if shared_identity {
            builder = builder.same_identity(SameIdentity::Contend);
        }
        if self.scenario.eager {
            builder = builder.poll_interval(Duration::from_millis(50));
        }
        if !self.scenario.walls_decide {
            builder = builder.max_clock_skew(None);
        }
        builder.build().expect("a valid configuration")
    }

    fn schedule(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((at, self.order), happening);
    }

    fn read(&self, clocks: Clocks) -> Now {
        let passed = u128::from(self.now) * u128::from(clocks.rate) / 1_000_000;
        // Half of the default `max_clock_skew` of 10 s where wall clocks decide, else an hour.
        let most: i64 = if self.scenario.walls_decide { 5_000_000 } else { 3_600_000_000 };
        Now {
            mono: MonoTime::from_nanos(clocks.offset + passed as u64),
            wall: self.true_wall().offset_by(most / 100 * clocks.wall_error),
        }
    }

    fn true_wall(&self) -> WallTime {
        EPOCH.offset_by((self.now / 1000) as i64)
    }

    /// The first true time at which a member's clock shows `at`.
    fn true_time(clocks: Clocks, at: MonoTime) -> u64 {
        let passed = u128::from(at.as_nanos().saturating_sub(clocks.offset)) * 1_000_000;
        u64::try_from(passed.div_ceil(u128::from(clocks.rate))).unwrap_or(u64::MAX)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives(parcel) => self.arrive(parcel),
            Happening::Wake(who) => {
                if self.members[who].wake_at == Some(self.now) {
                    if self.sleeps(who, Happening::Wake(who)).is_some() {
                        self.give(who, Input::Tick);
                    } else {
                        self.members[who].wake_at = Some(self.members[who].asleep_until);
                    }
                }
            }
            Happening::Input(who, incarnation, input) => {
                if self.members[who].incarnation == incarnation {
                    let again = Happening::Input(who, incarnation, input);
                    if let Some(Happening::Input(_, _, input)) = self.sleeps(who, again) {
                        self.give(who, input);
                    }
                }
            }
            Happening::Act(who, act) => self.act(who, act),
        }
    }

    /// Puts off what happens to a sleeping process.
    fn sleeps(&mut self, who: usize, happening: Happening) -> Option<Happening> {
        let until = self.members[who].asleep_until;
        if until <= self.now {
            return Some(happening);
        }
        self.schedule(until, happening);
        None
    }

    fn act(&mut self, who: usize, act: Act) {
        self.copies.extend(self.server.object.clone());
        match act {
            Act::Command(command) => {
                let input = match command {
                    Command::TryAcquire => Input::TryAcquire,
                    Command::Campaign => Input::Campaign,
                    Command::Release => Input::Release,
                };
                let incarnation = self.members[who].incarnation;
                self.happen(Happening::Input(who, incarnation, input));
            }
            Act::Restart => {
                let clocks = self.members[who].clocks;
                let mut member = self.start(who, self.members[who].incarnation + 1);
                member.clocks = clocks;
                self.members[who] = member;
            }
            Act::Sleep(millis) => self.members[who].asleep_until = self.now + millis * MILLISECOND,
            Act::Wall(percent) => self.members[who].clocks.wall_error = percent,
            Act::Label => {
                let label = json!({"edited": self.now.to_string()});
                self.server.edit(|object| object["metadata"]["labels"] = label);
            }
            Act::StripNonce => self.server.edit(|object| {
                if let Some(marks) = object["metadata"]["annotations"].as_object_mut() {
                    marks.remove(super::server::NONCE);
                }
            }),
            Act::Finalizers(on) => {
                self.server.finalizers = on;
                self.server.edit(|object| {
                    object["metadata"]["finalizers"] =
                        if on { json!(["example.com/keep"]) } else { Value::Null };
                });
                if !on && self.going() {
                    self.server.remove();
                }
            }
            Act::Delete => self.server.remove(),
            Act::Remake(copy) => {
                self.server.remove();
                let copy = copy.filter(|_| !self.copies.is_empty());
                self.server.make(copy.map(|number| self.copies[number % self.copies.len()].clone()));
            }
        }
    }

    fn going(&self) -> bool {
        let object = self.server.object.as_ref();
        object.is_some_and(|object| !text(object, "/metadata/deletionTimestamp").is_empty())
    }

    /// Hands in an input, carries out what comes of it, and looks at who believes what.
    fn give(&mut self, who: usize, input: Input) {
        let now = self.read(self.members[who].clocks);
        self.input = Some(input.clone());
        self.members[who].lease.handle(now, input);
        loop {
            match self.members[who].lease.poll() {
                Output::Action(Action::Send { id, request, .. }) => self.send(who, id, request),
                Output::Action(Action::RefreshCredentials { id }) => {
                    let ready =
                        Happening::Input(who, self.members[who].incarnation, Input::CredentialsReady { id });
                    self.schedule(self.now + 5 * MILLISECOND, ready);
                }
                Output::Action(Action::OpenWatch { id, request, .. }) => self.open(who, id, &request),
                Output::Action(Action::Abort { id }) => {
                    let watch = &mut self.members[who].watch;
                    *watch = watch.filter(|watch| *watch != id);
                }
                Output::Event(event) => self.hear(who, &event),
                Output::Idle { wake, .. } => {
                    let clocks = self.members[who].clocks;
                    let wake = wake.map(|wake| Self::true_time(clocks, wake));
                    self.members[who].wake_at = wake;
                    if let Some(at) = wake {
                        self.schedule(at, Happening::Wake(who));
                    }
                    break;
                }
            }
        }
        self.look(who, now);
    }

    /// A watch from there on, or of what there is.
    fn open(&mut self, who: usize, id: RequestId, request: &Request<Bytes>) {
        let fate = self.next_telling();
        if matches!(fate.kind, FateKind::NotSent(_) | FateKind::NoReply(_)) {
            let failed = Input::Failed { id, failure: Failure::Unknown };
            return self.later(who, fate.back, failed);
        }
        self.members[who].watch = Some(id);
        self.later(who, fate.back, Input::WatchChunk { id, bytes: Bytes::new() });
        let query = request.uri().query().unwrap_or_default();
        let from = query.split('&').find_map(|part| part.strip_prefix("resourceVersion="));
        match from.and_then(|from| from.parse::<u64>().ok()) {
            Some(from) => {
                let after: Vec<_> =
                    self.server.history.iter().filter(|(revision, ..)| *revision > from).cloned().collect();
                after.iter().for_each(|(_, kind, object)| self.tell_one(who, id, kind, object));
            }
            None => {
                // From a cache that may lag: what there was some changes ago.
                let lag = if self.fates_used == usize::MAX { 0 } else { fate.there as usize % 4 };
                let shown = self.server.history.iter().rev().nth(lag).cloned();
                if let Some((_, _, object)) = shown.filter(|(_, kind, _)| *kind != "DELETED") {
                    self.tell_one(who, id, "ADDED", &object);
                }
            }
        }
    }

    fn next_telling(&mut self) -> Fate {
        if self.fates_used == usize::MAX {
            return Fate { there: 2, back: 2, kind: FateKind::Good };
        }
        self.tellings += 1;
        self.scenario.fates[(self.tellings * 7) % self.scenario.fates.len()]
    }

    fn later(&mut self, who: usize, millis: u64, input: Input) {
        let incarnation = self.members[who].incarnation;
        self.schedule(self.now + millis * MILLISECOND, Happening::Input(who, incarnation, input));
    }

    fn tell_one(&mut self, who: usize, id: RequestId, kind: &str, object: &Value) {
        let fate = self.next_telling();
        let bytes = |kind: &str, object: &Value| Input::WatchChunk {
            id,
            bytes: format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n").into(),
        };
        let event = bytes(kind, object);
        match fate.kind {
            FateKind::NotSent(_) | FateKind::NoReply(_) => return,
            FateKind::Copied(after) => self.later(who, fate.there + after, event.clone()),
            FateKind::Busy(_) => {
                let gone = json!({"kind": "Status", "status": "Failure", "code": 410});
                return self.later(who, fate.there, bytes("ERROR", &gone));
            }
            FateKind::Masked(_) => self.later(who, fate.there + fate.back, Input::WatchClosed { id }),
            FateKind::Good => {}
        }
        self.later(who, fate.there, event);
    }

    /// What has changed goes to everybody who watches.
    fn tell(&mut self) {
        while let Some((_, kind, object)) = self.server.history.get(self.told).cloned() {
            self.told += 1;
            for who in 0..self.members.len() {
                if let Some(id) = self.members[who].watch {
                    self.tell_one(who, id, kind, &object);
                }
            }
        }
    }

    fn hear(&mut self, who: usize, event: &Event) {
        if self.fates_used == usize::MAX {
            let at = (self.now - START) / MILLISECOND;
            self.log.push(format!("{at} ms, member {who}: {event:?}"));
        }
        match event {
            Event::Acquired { token, .. } => {
                self.terms += 1;
                self.holders.insert(who);
                if token.as_u64() <= self.last_token {
                    let last = self.last_token;
                    self.violations.tokens.push(format!("member {who}: {token} after {last}"));
                }
                self.last_token = token.as_u64();
            }
            Event::Lost { reason, .. } => {
                self.ends += 1;
                let identity = self.members[who].lease.config().identity().as_str();
                let named = self
                    .server
                    .object
                    .as_ref()
                    .is_some_and(|object| text(object, "/spec/holderIdentity") == identity);
                if named && !self.going() && !matches!(reason, LostReason::Expired { .. } | LostReason::Clock)
                {
                    self.violations.losses.push(format!("member {who}: {reason:?}"));
                }
                let by_watch = matches!(self.input, Some(Input::WatchChunk { .. }));
                self.by_watch += usize::from(by_watch);
            }
            Event::AttemptEnded { outcome: AttemptOutcome::Denied(_), .. } => {
                self.members[who].denied = self.members[who].last_id
            }
            _ => {}
        }
    }

    fn look(&mut self, who: usize, now: Now) {
        let held = self.members[who].lease.check_alive(now.mono);
        let clocks = self.members[who].clocks;
        self.members[who].alive_until = held.map_or(0, |held| Self::true_time(clocks, held.until));
        if held.is_none() {
            return;
        }
        for (other, member) in self.members.iter().enumerate() {
            if other != who && member.alive_until > self.now {
                let overlap = (member.alive_until - self.now) / 1000;
                let at = (self.now - START) / MILLISECOND;
                self.violations
                    .overlaps
                    .push(format!("at {at} ms member {who} holds while {other} does for {overlap} us more"));
            }
        }
    }

    fn send(&mut self, who: usize, id: RequestId, request: Request<Bytes>) {
        let fates = &self.scenario.fates;
        let fate = if self.fates_used == usize::MAX {
            Fate { there: 2, back: 2, kind: FateKind::Good }
        } else {
            self.fates_used += 1;
            fates[(self.fates_used - 1) % fates.len()]
        };
        let member = &mut self.members[who];
        member.last_id = id.0;
        let parcel = Parcel {
            from: who,
            incarnation: member.incarnation,
            nonce: member.lease.nonce().to_string(),
            id,
            request,
            fate,
            copy: false,
        };
        let arrives = self.now + fate.there * MILLISECOND;
        match fate.kind {
            FateKind::NotSent(told) => {
                if told {
                    self.fail(&parcel, Failure::NotSent);
                }
                return;
            }
            FateKind::Copied(after) => {
                let copy = Parcel { copy: true, ..parcel.clone() };
                self.schedule(arrives + after * MILLISECOND, Happening::Arrives(copy));
            }
            _ => {}
        }
        self.schedule(arrives, Happening::Arrives(parcel));
    }

    fn fail(&mut self, parcel: &Parcel, failure: Failure) {
        let input = Input::Failed { id: parcel.id, failure };
        let at = self.now + parcel.fate.back * MILLISECOND;
        self.schedule(at, Happening::Input(parcel.from, parcel.incarnation, input));
    }

    fn arrive(&mut self, parcel: Parcel) {
        if let FateKind::Busy(code) = parcel.fate.kind {
            let body = status(code, "Refused", json!({}));
            return self.reply(&parcel, code, body.to_string().into());
        }
        if self.scenario.rules.existing && matches!(*parcel.request.method(), Method::POST | Method::DELETE) {
            self.violations.verbs.push(format!("member {}: {}", parcel.from, parcel.request.method()));
        }
        let before = self.server.object.clone();
        let served = self.server.serve(&parcel.request);
        self.judge(&parcel, before.as_ref(), &served.commit);
        match parcel.fate.kind {
            FateKind::NoReply(true) => self.fail(&parcel, Failure::Unknown),
            FateKind::NoReply(false) => {}
            FateKind::Masked(code) => self.reply(&parcel, code, Bytes::from_static(b"bad gateway")),
            _ => self.reply(&parcel, served.status, served.body.to_string().into()),
        }
    }

    fn reply(&mut self, parcel: &Parcel, status: u16, body: Bytes) {
        let mut response = Response::new(body);
        *response.status_mut() = status.try_into().unwrap_or_default();
        if let Ok(date) = http_date(self.true_wall()).parse() {
            response.headers_mut().insert(DATE, date);
        }
        let input = Input::Response { id: parcel.id, response };
        let at = self.now + parcel.fate.back * MILLISECOND;
        self.schedule(at, Happening::Input(parcel.from, parcel.incarnation, input));
    }

    /// Looks at what a request did to the object.
    fn judge(&mut self, parcel: &Parcel, before: Option<&Value>, commit: &Commit) {
        let sent: Value = serde_json::from_slice(parcel.request.body()).unwrap_or(Value::Null);
        let clears = parcel.request.method() == Method::PUT && text(&sent, "/spec/holderIdentity").is_empty();
        let gone = match commit {
            Commit::Deleted(gone) => Some(&**gone),
            Commit::Written if clears => before,
            _ => None,
        };
        if let Some(gone) = gone {
            // Where somebody stripped the annotation only the identity tells.
            let identity = text(gone, "/spec/holderIdentity");
            let own = match writer(gone) {
                "" => identity == self.members[parcel.from].lease.config().identity().as_str(),
                nonce => nonce == parcel.nonce,
            };
            if !own {
                self.violations
                    .deletions
                    .push(format!("member {} gave back the record of {identity}", parcel.from));
            }
        }
        let member = &self.members[parcel.from];
        let promised = member.incarnation == parcel.incarnation && parcel.id.0 <= member.denied;
        // Nobody can promise anything for a network that sends a request twice.
        if *commit == Commit::Written && promised && !parcel.copy {
            let (who, id) = (parcel.from, parcel.id);
            self.violations.denials.push(format!("member {who}: request {id} was stored after the no"));
        }
    }
}
