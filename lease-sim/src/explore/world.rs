//! One state of the whole, and what can happen in it next.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response};
use lease_core::{
    Action as Requested, Event, Failure, FencingToken, Input, Lease, MonoTime, Now, Output, RequestId, Seed,
    Status, WallTime,
};

use super::server::{Answer, Call, Object, Server};
use super::{Broken, Settings};

/// 2026-01-01T00:00:00Z, when the search begins.
const EPOCH: WallTime = WallTime::from_micros(1_767_225_600_000_000);
/// Not at zero, so that arithmetic that goes below it shows.
const ORIGIN: Duration = Duration::from_secs(1000);

/// One thing that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A tick of true time: every clock advances.
    Time,
    /// One clock runs ahead of all others by a tick.
    Drift(u8),
    /// A holder's timer fires, in time or late.
    Wake(u8),
    /// A holder's request reaches the server.
    Arrive(u8),
    /// An answer reaches the holder.
    Answer(u8),
    /// A holder's connection breaks; a request that is under way may still arrive.
    Break(u8),
    /// An abandoned write reaches the server after all.
    Land(u8),
    /// A process dies; its requests live on.
    Crash(u8),
    /// It comes back, as another incarnation.
    Restart(u8),
    /// An administrator deletes the object.
    Delete,
    /// An administrator keeps a copy of the object.
    Copy,
    /// An administrator deletes the object, to make it again.
    Remove,
    /// And makes it again: from the copy, or blank.
    Make(bool),
    /// The application gives the lease back.
    Release(u8),
    /// The application wants it again.
    Campaign(u8),
}

/// What became of the one request that a holder waits for.
#[derive(Clone, Debug)]
pub(super) enum Exchange {
    Nothing,
    Under(RequestId, Arc<Call>),
    Answered(RequestId, Arc<Answer>),
}

#[derive(Clone, Debug)]
pub(super) struct Holder {
    /// `None` while the process is down.
    pub(super) lease: Option<Arc<Lease>>,
    pub(super) nonce: u128,
    incarnation: u32,
    /// Ticks that its monotonic clock is ahead of true time.
    ahead: u32,
    pub(super) campaigns: bool,
    pub(super) exchange: Exchange,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    /// Ticks of true time since the beginning.
    pub(super) time: u32,
    pub(super) server: Server,
    pub(super) holders: Vec<Holder>,
    /// Writes that nobody waits for any more and that may still be applied.
    pub(super) late: Vec<Arc<Call>>,
    pub(super) drift: u8,
    pub(super) crashes: u8,
    pub(super) deletes: u8,
    pub(super) remakes: u8,
    /// Whether an administrator has deleted the object and will make it again.
    pub(super) removed: bool,
    /// What an administrator has kept a copy of.
    pub(super) copied: Option<Arc<Object>>,
    pub(super) releases: u8,
    /// An administrator has deleted the object: from here on a belief need not be backed by it.
    pub(super) meddled: bool,
    /// The highest token that any term had.
    pub(super) highest: Option<FencingToken>,
    /// What a holder did wrong on the way here.
    pub(super) broken: Option<Broken>,
}

impl World {
    pub(super) fn start(settings: &Settings) -> Self {
        let mut world = Self {
            time: 0,
            server: if settings.empty_lease { Server::with_empty_lease() } else { Server::default() },
            holders: Vec::new(),
            late: Vec::new(),
            drift: settings.drift,
            crashes: settings.crashes,
            deletes: settings.deletes,
            remakes: settings.remakes,
            removed: false,
            copied: None,
            releases: settings.releases,
            meddled: false,
            highest: None,
            broken: None,
        };
        for index in 0..settings.holders.len() {
            world.holders.push(Holder {
                lease: None,
                nonce: 0,
                incarnation: 0,
                ahead: 0,
                campaigns: false,
                exchange: Exchange::Nothing,
            });
            world.start_process(index, settings);
        }
        world
    }

    /// A holder's two clocks.
    pub(super) fn now(&self, index: usize, settings: &Settings) -> Now {
        let holder = &self.holders[index];
        let mono = MonoTime::ZERO.saturating_add(ORIGIN + settings.tick * (self.time + holder.ahead));
        // No two incarnations read the same microsecond, unless their clocks stand.
        let own = 1000 * index as i64 + 10 * i64::from(holder.incarnation);
        let wall = EPOCH.saturating_add(settings.tick * self.time).offset_by(own);
        let ahead = settings.walls.get(index).copied().unwrap_or(0);
        let wall = wall.offset_by(ahead * i64::try_from(settings.tick.as_micros()).unwrap_or(i64::MAX));
        Now { mono, wall: if settings.frozen_walls { EPOCH } else { wall } }
    }

    /// True wall time, as far as the age of a stamp goes.
    pub(super) fn true_wall(&self, settings: &Settings) -> WallTime {
        EPOCH.saturating_add(settings.tick * self.time)
    }

    /// Whether this holder's application is told at this instant that it holds the lease.
    pub(super) fn believes(&self, index: usize, settings: &Settings) -> bool {
        let lease = self.holders[index].lease.as_ref();
        lease.is_some_and(|lease| lease.check_alive(self.now(index, settings).mono).is_some())
    }

    pub(super) fn somebody_holds(&self, settings: &Settings) -> bool {
        (0..self.holders.len()).any(|index| self.believes(index, settings))
    }

    /// Everything that can happen next, in a fixed order.
    pub(super) fn actions(&self, settings: &Settings, into: &mut Vec<Action>) {
        into.clear();
        for (index, holder) in (0..).zip(&self.holders) {
            self.actions_of(index, holder, settings, into);
        }
        for index in (0..).take(self.late.len()) {
            into.push(Action::Land(index));
        }
        if self.deletes > 0 && self.server.object.is_some() {
            into.push(Action::Delete);
        }
        if self.remakes > 0 && self.server.object.is_some() {
            into.push(Action::Remove);
            if self.copied.is_none() {
                into.push(Action::Copy);
            }
        }
        if self.removed && self.server.object.is_none() {
            into.push(Action::Make(false));
            if self.copied.is_some() {
                into.push(Action::Make(true));
            }
        }
        into.push(Action::Time);
    }

    fn actions_of(&self, index: u8, holder: &Holder, settings: &Settings, into: &mut Vec<Action>) {
        let Some(lease) = &holder.lease else {
            into.push(Action::Restart(index));
            return;
        };
        match &holder.exchange {
            Exchange::Nothing => {}
            Exchange::Under(..) => into.push(Action::Arrive(index)),
            Exchange::Answered(..) => into.push(Action::Answer(index)),
        }
        if lease.poll_timeout().is_some_and(|at| at <= self.now(index.into(), settings).mono) {
            into.push(Action::Wake(index));
        }
        if settings.breaks && !matches!(holder.exchange, Exchange::Nothing) {
            into.push(Action::Break(index));
        }
        if self.releases > 0 && holder.campaigns {
            into.push(Action::Release(index));
        }
        if !holder.campaigns && lease.status() == Status::Idle {
            into.push(Action::Campaign(index));
        }
        if self.crashes > 0 {
            into.push(Action::Crash(index));
        }
        if self.drift > 0 {
            into.push(Action::Drift(index));
        }
    }

    /// The state after `action`, which has to be one of [`actions`](Self::actions).
    pub(super) fn after(&self, action: Action, settings: &Settings) -> Self {
        let mut next = self.clone();
        match action {
            Action::Time => next.time += 1,
            Action::Drift(index) => {
                next.drift -= 1;
                next.holders[usize::from(index)].ahead += 1;
            }
            Action::Wake(index) => next.give(index.into(), Input::Tick, settings),
            Action::Arrive(index) => next.arrive(index.into(), settings),
            Action::Answer(index) => next.answer(index.into(), settings),
            Action::Break(index) => next.break_connection(index.into(), settings),
            Action::Land(index) => {
                let call = next.late.remove(index.into());
                next.server.serve(&call, settings.hostility);
            }
            Action::Crash(index) => {
                next.crashes -= 1;
                next.holders[usize::from(index)].lease = None;
                next.abandon(index.into(), settings);
            }
            Action::Restart(index) => next.start_process(index.into(), settings),
            Action::Delete => {
                next.deletes -= 1;
                next.meddled = true;
                next.server.remove();
            }
            Action::Remove => {
                next.remakes -= 1;
                next.meddled = true;
                next.removed = true;
                next.server.remove();
            }
            Action::Make(copy) => {
                next.removed = false;
                let copied = next.copied.take();
                next.server.make(copied.as_deref().filter(|_| copy));
            }
            Action::Copy => next.copied.clone_from(&next.server.object),
            Action::Release(index) => {
                next.releases -= 1;
                next.holders[usize::from(index)].campaigns = false;
                next.give(index.into(), Input::Release, settings);
            }
            Action::Campaign(index) => next.campaign(index.into(), settings),
        }
        next.forget_the_dead(settings);
        next
    }

    fn start_process(&mut self, index: usize, settings: &Settings) {
        self.holders[index].incarnation += 1;
        let incarnation = self.holders[index].incarnation;
        let seed = Seed((u128::from(incarnation) << 8) | index as u128);
        let config = settings.holders[index].clone();
        let mut lease = Lease::new(config, seed, self.now(index, settings));
        lease.without_chance();
        let holder = &mut self.holders[index];
        holder.nonce = u128::from_str_radix(&lease.nonce().to_string(), 16).unwrap_or_default();
        holder.lease = Some(Arc::new(lease));
        self.campaign(index, settings);
    }

    fn campaign(&mut self, index: usize, settings: &Settings) {
        self.holders[index].campaigns = true;
        self.give(index, Input::Campaign, settings);
    }

    fn arrive(&mut self, index: usize, settings: &Settings) {
        if let Exchange::Under(id, call) = &self.holders[index].exchange {
            let id = *id;
            let answer = self.server.serve(call, settings.hostility);
            self.holders[index].exchange = Exchange::Answered(id, Arc::new(answer));
        }
    }

    fn answer(&mut self, index: usize, settings: &Settings) {
        let exchange = std::mem::replace(&mut self.holders[index].exchange, Exchange::Nothing);
        if let Exchange::Answered(id, answer) = exchange {
            let mut response = Response::new(answer.body.clone());
            *response.status_mut() = answer.status.try_into().unwrap_or_default();
            self.give(index, Input::Response { id, response }, settings);
        }
    }

    fn break_connection(&mut self, index: usize, settings: &Settings) {
        let id = match &self.holders[index].exchange {
            Exchange::Nothing => return,
            Exchange::Under(id, _) | Exchange::Answered(id, ..) => *id,
        };
        self.abandon(index, settings);
        self.give(index, Input::Failed { id, failure: Failure::Unknown }, settings);
    }

    /// Nobody waits for the answer any more; a write that did not arrive yet still may.
    fn abandon(&mut self, index: usize, settings: &Settings) {
        let exchange = std::mem::replace(&mut self.holders[index].exchange, Exchange::Nothing);
        if let Exchange::Under(_, call) = exchange
            && call.writes()
            && self.late.len() < settings.late
        {
            self.late.push(call);
        }
    }

    /// What can change nothing any more makes no state another one.
    fn forget_the_dead(&mut self, settings: &Settings) {
        let (server, hostility) = (&self.server, settings.hostility);
        self.late.retain(|call| !server.is_dead(call, hostility));
        for index in 0..self.holders.len() {
            let now = self.now(index, settings).mono;
            let holder = &mut self.holders[index];
            let is_due =
                holder.lease.as_ref().and_then(|lease| lease.poll_timeout()).is_some_and(|at| at <= now);
            // A deadline comes before every answer: whatever the answer is, it comes too late.
            let void = match &holder.exchange {
                Exchange::Nothing => false,
                Exchange::Answered(..) => is_due,
                Exchange::Under(_, call) => is_due && self.server.is_dead(call, hostility),
            };
            if void {
                holder.exchange = Exchange::Nothing;
            }
        }
    }

    fn give(&mut self, index: usize, input: Input, settings: &Settings) {
        let now = self.now(index, settings);
        let Some(mut shared) = self.holders[index].lease.take() else {
            return;
        };
        let lease = Arc::make_mut(&mut shared);
        lease.handle(now, input);
        lease.without_chance();
        loop {
            match lease.poll() {
                Output::Action(Requested::Send { id, request, .. }) => {
                    self.abandon(index, settings);
                    match Call::read(&request) {
                        Some(call) => self.send(index, id, call),
                        None => self.broken = Some(Broken::Unreadable { holder: index }),
                    }
                }
                Output::Action(Requested::Abort { .. }) => self.abandon(index, settings),
                Output::Action(Requested::OpenWatch { .. } | Requested::RefreshCredentials { .. }) => {}
                Output::Event(event) => self.hear(index, &event),
                Output::Idle { .. } => break,
            }
        }
        self.holders[index].lease = Some(shared);
    }

    fn send(&mut self, index: usize, id: RequestId, call: Call) {
        let needs_conditions = matches!(call.method, Method::PUT | Method::DELETE);
        if needs_conditions && !call.is_conditional() {
            self.broken = Some(Broken::Unconditional { holder: index });
        }
        self.holders[index].exchange = Exchange::Under(id, Arc::new(call));
    }

    fn hear(&mut self, index: usize, event: &Event) {
        if let Event::Acquired { token, .. } = event {
            if self.highest.is_some_and(|highest| *token <= highest) {
                self.broken = Some(Broken::TokenNotAbove { holder: index, token: *token });
            }
            self.highest = self.highest.max(Some(*token));
        }
    }

    /// What must not be, and is.
    pub(super) fn violation(&self, settings: &Settings) -> Option<Broken> {
        if self.broken.is_some() {
            return self.broken.clone();
        }
        let mut believers = (0..self.holders.len()).filter(|index| self.believes(*index, settings));
        let first = believers.next()?;
        if let Some(second) = believers.next() {
            return Some(Broken::TwoHolders { first, second });
        }
        let object = self.server.object.as_ref();
        let nonce = self.holders[first].nonce;
        let backed =
            object.is_some_and(|object| object.spec.nonce == Some(nonce) && object.spec.holder.is_some());
        (!backed && !self.meddled).then_some(Broken::NotBacked { holder: first })
    }
}
