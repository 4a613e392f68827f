//! One run with components: what they are told, and what becomes of what they ask for.

use lease_core::{Event, FencingToken, MonoTime};
use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::context::{Effect, View};
use super::messages::Message;
use super::{Component, Context, FailureKind, SendError, Simulation, TermEnd};
use crate::plan::{Fate, Seeded, mix};
use crate::world::{Hooks, Moment, Wish, World};

/// The domain of components' random numbers.
const RANDOM: u64 = 6;
/// The most timers and messages of a run. A world that goes on for longer calls itself endless.
const MOST_ITEMS: u64 = 900_000;

/// What a component is to be told.
pub(super) enum Call<R> {
    Started,
    Began(FencingToken),
    Renewed(MonoTime),
    Ended(FencingToken, TermEnd),
    Timer(u64),
    Answered(u64, Result<R, SendError>),
    Other(Event),
}

/// What is due at some instant.
pub(super) enum Item {
    Timer { seat: u8, incarnation: u32, tag: u64, due: MonoTime },
    Leave { message: usize },
    Arrive { message: usize },
    ArriveAgain { message: usize },
    ArriveLate { message: usize },
    Deliver { message: usize },
    TimeOut { message: usize, due: MonoTime },
    Release { seat: u8, incarnation: u32 },
    Campaign { seat: u8, incarnation: u32 },
    CatchUp { seat: u8, incarnation: u32 },
}

/// A place in the fleet, and the component of the process that is there.
pub(super) struct Place<C, R> {
    pub(super) component: Option<C>,
    pub(super) incarnation: u32,
    pub(super) random: Seeded,
    /// Operations that this incarnation has sent.
    pub(super) sent: u64,
    /// What it could not be told because its process stands still. Where it is not empty and the process goes
    /// on, somebody will come back for it.
    inbox: VecDeque<Call<R>>,
    /// A release was asked for and is not answered yet.
    releasing: bool,
}

/// The components of a world.
pub(super) struct Runtime<'a, S, C: Component<S>> {
    pub(super) simulation: &'a Simulation<S, C>,
    pub(super) shared: S,
    pub(super) places: Vec<Place<C, C::Reply>>,
    pub(super) items: BTreeMap<u64, Item>,
    next: u64,
    pub(super) messages: Vec<Message<S, C::Reply>>,
    pub(super) carried_out: u64,
    /// A component gave its lease back for reasons of its own: that somebody holds is then up to them.
    pub(super) released: bool,
    pub(super) failed: Option<(u64, FailureKind)>,
}

impl<S, C: Component<S>> Hooks for &mut Runtime<'_, S, C> {
    fn on(&mut self, world: &mut World<'_>, moment: Moment<'_>) -> Option<Wish> {
        if self.failed.is_some() {
            return None;
        }
        match moment {
            Moment::Started { seat } => self.start(world, seat),
            Moment::Crashed { seat } => {
                let place = &mut self.places[usize::from(seat)];
                place.component = None;
                place.inbox.clear();
            }
            Moment::Told { seat, event } => self.heard(world, seat, event),
            Moment::Resumed { seat } => self.resume(world, seat),
            Moment::Due { id } => {
                let item = self.items.remove(&id)?;
                return self.due(world, item);
            }
        }
        None
    }
}

impl<'a, S, C: Component<S>> Runtime<'a, S, C> {
    pub(super) fn new(simulation: &'a Simulation<S, C>, places: usize) -> Self {
        let place = |_| Place {
            component: None,
            incarnation: 0,
            random: Seeded::new(0, RANDOM),
            sent: 0,
            inbox: VecDeque::new(),
            releasing: false,
        };
        Self {
            simulation,
            shared: (simulation.shared)(),
            places: (0..places).map(place).collect(),
            items: BTreeMap::new(),
            next: 0,
            messages: Vec::new(),
            carried_out: 0,
            released: false,
            failed: None,
        }
    }

    pub(super) fn schedule(&mut self, world: &mut World<'_>, at: u64, item: Item) {
        if self.next >= MOST_ITEMS {
            return self.fail(world, FailureKind::Endless);
        }
        self.next += 1;
        self.items.insert(self.next, item);
        world.schedule(at, self.next);
    }

    /// Ends the run.
    pub(super) fn fail(&mut self, world: &mut World<'_>, kind: FailureKind) {
        world.halt();
        self.failed.get_or_insert((world.true_time(), kind));
    }

    fn start(&mut self, world: &mut World<'_>, seat: u8) {
        let simulation = self.simulation;
        let made = catch_unwind(AssertUnwindSafe(|| (simulation.component)(seat.into())));
        let component = match made {
            Ok(component) => component,
            Err(payload) => return self.fail(world, panicked(payload)),
        };
        let incarnation = world.incarnation(seat);
        let place = &mut self.places[usize::from(seat)];
        place.component = Some(component);
        place.incarnation = incarnation;
        place.random =
            Seeded::new(world.plan().seed ^ mix(u64::from(seat) << 32 | u64::from(incarnation)), RANDOM);
        place.sent = 0;
        place.inbox.clear();
        place.releasing = false;
        self.call(world, seat, Call::Started);
    }

    fn heard(&mut self, world: &mut World<'_>, seat: u8, event: &Event) {
        let call = match event {
            Event::Acquired { token, .. } => Call::Began(*token),
            Event::Renewed { until } => Call::Renewed(*until),
            Event::Lost { token, reason } => Call::Ended(*token, TermEnd::Lost(reason.clone())),
            Event::Released { token } => Call::Ended(*token, TermEnd::Released),
            other => Call::Other(other.clone()),
        };
        self.call(world, seat, call);
    }

    /// A process goes on: it sees what its component waits for before or after what its holder waits for.
    fn resume(&mut self, world: &mut World<'_>, seat: u8) {
        let now = world.true_time();
        if mix(world.plan().seed ^ mix(now)) & 1 == 0 {
            return self.catch_up(world, seat);
        }
        let incarnation = self.places[usize::from(seat)].incarnation;
        self.schedule(world, now, Item::CatchUp { seat, incarnation });
    }

    fn catch_up(&mut self, world: &mut World<'_>, seat: u8) {
        while self.failed.is_none() && world.stands_still(seat).is_none() {
            let Some(call) = self.places[usize::from(seat)].inbox.pop_front() else {
                return;
            };
            self.tell(world, seat, call);
        }
    }

    /// Tells a component something, now or when its process goes on.
    pub(super) fn call(&mut self, world: &mut World<'_>, seat: u8, call: Call<C::Reply>) {
        let place = &mut self.places[usize::from(seat)];
        if world.stands_still(seat).is_some() || !place.inbox.is_empty() {
            return place.inbox.push_back(call);
        }
        self.tell(world, seat, call);
    }

    fn tell(&mut self, world: &mut World<'_>, seat: u8, call: Call<C::Reply>) {
        note(world, seat, &call);
        let place = &mut self.places[usize::from(seat)];
        let Some(component) = &mut place.component else {
            return;
        };
        if matches!(call, Call::Began(_) | Call::Other(Event::ReleaseEnded { .. })) {
            place.releasing = false;
        }
        let view = View {
            now: world.local_now(seat),
            held: if place.releasing { None } else { world.held(seat) },
            holder: seat.into(),
            identity: world.identity(seat),
            incarnation: place.incarnation,
            traced: world.is_traced(),
        };
        let mut effects = Vec::new();
        let mut context = Context { view, effects: &mut effects, random: &mut place.random };
        let told = catch_unwind(AssertUnwindSafe(|| dispatch(component, &mut context, call)));
        self.carry_out(world, seat, effects);
        if let Err(payload) = told {
            self.fail(world, panicked(payload));
        }
    }

    /// What a component asked for happens, in that order. The process can stand still before the first thing
    /// leaves it: then all of them leave when it goes on.
    fn carry_out(&mut self, world: &mut World<'_>, seat: u8, effects: Vec<Effect<S, C::Reply>>) {
        let incarnation = self.places[usize::from(seat)].incarnation;
        for effect in effects {
            match effect {
                Effect::Timer { tag, due } => {
                    let place = &mut self.places[usize::from(seat)];
                    let late = world.lateness(seat, crate::plan::Source::next(&mut place.random));
                    let at = world.instant_of(seat, due).saturating_add(late);
                    self.schedule(world, at, Item::Timer { seat, incarnation, tag, due });
                }
                Effect::Cancel { tag } => self.cancel(seat, tag),
                Effect::Send { tag, operation } => self.send(world, seat, tag, operation),
                Effect::Release => {
                    self.released = true;
                    self.places[usize::from(seat)].releasing = true;
                    let at = world.stands_still(seat).unwrap_or_else(|| world.true_time());
                    self.schedule(world, at, Item::Release { seat, incarnation });
                }
                Effect::Campaign => {
                    let at = world.stands_still(seat).unwrap_or_else(|| world.true_time());
                    self.schedule(world, at, Item::Campaign { seat, incarnation });
                }
                Effect::Note(about) => world.note_component(seat, false, || about),
                Effect::Fail(about) => return self.fail(world, FailureKind::Invariant(about)),
            }
        }
    }

    fn cancel(&mut self, seat: u8, tag: u64) {
        self.items.retain(
            |_, item| !matches!(item, Item::Timer { seat: whose, tag: which, .. } if *whose == seat && *which == tag),
        );
        let inbox = &mut self.places[usize::from(seat)].inbox;
        inbox.retain(|call| !matches!(call, Call::Timer(which) if *which == tag));
    }

    fn due(&mut self, world: &mut World<'_>, item: Item) -> Option<Wish> {
        match item {
            Item::Timer { seat, incarnation, tag, due } => {
                self.ring(world, seat, incarnation, tag, due);
                None
            }
            Item::CatchUp { seat, incarnation } => {
                if self.lives(seat, incarnation) {
                    self.catch_up(world, seat);
                }
                None
            }
            Item::Release { seat, incarnation } => {
                self.lives(seat, incarnation).then_some(Wish::Release { seat })
            }
            Item::Campaign { seat, incarnation } => {
                self.lives(seat, incarnation).then_some(Wish::Campaign { seat })
            }
            Item::Leave { message } => {
                self.leave(world, message);
                None
            }
            Item::Arrive { message } => {
                self.arrive(world, message);
                None
            }
            Item::ArriveAgain { message } => {
                self.arrive_again(world, message);
                None
            }
            Item::ArriveLate { message } => {
                self.operate(world, message, false);
                None
            }
            Item::Deliver { message } => {
                self.deliver(world, message);
                None
            }
            Item::TimeOut { message, due } => {
                self.time_out(world, message, due);
                None
            }
        }
    }

    fn ring(&mut self, world: &mut World<'_>, seat: u8, incarnation: u32, tag: u64, due: MonoTime) {
        if !self.lives(seat, incarnation) {
            return;
        }
        // A clock that stood still is not there yet.
        if world.local_now(seat).mono < due {
            let at = world.instant_of(seat, due).max(world.true_time() + 1);
            return self.schedule(world, at, Item::Timer { seat, incarnation, tag, due });
        }
        world.fold_fact(u64::from(seat) << 32 ^ tag);
        self.call(world, seat, Call::Timer(tag));
    }

    pub(super) fn lives(&self, seat: u8, incarnation: u32) -> bool {
        let place = &self.places[usize::from(seat)];
        place.incarnation == incarnation && place.component.is_some()
    }

    /// The fate of the next message of a process.
    pub(super) fn next_fate(&mut self, world: &World<'_>, seat: u8) -> Fate {
        let place = &mut self.places[usize::from(seat)];
        place.sent += 1;
        world.fate_of(seat, place.incarnation, place.sent)
    }
}

fn dispatch<S, C: Component<S>>(
    component: &mut C,
    context: &mut Context<'_, S, C::Reply>,
    call: Call<C::Reply>,
) {
    match call {
        Call::Started => component.started(context),
        Call::Began(token) => component.began(context, token),
        Call::Renewed(until) => component.renewed(context, until),
        Call::Ended(token, end) => component.ended(context, token, &end),
        Call::Timer(tag) => component.timer(context, tag),
        Call::Answered(tag, answer) => component.answered(context, tag, answer),
        Call::Other(event) => component.event(context, &event),
    }
}

/// Timers and renewals go without saying.
fn note<R>(world: &mut World<'_>, seat: u8, call: &Call<R>) {
    match call {
        Call::Began(token) => world.note_component(seat, false, || format!("hears that term {token} began")),
        Call::Ended(token, end) => {
            world.note_component(seat, false, || format!("hears that term {token} ended: {end:?}"));
        }
        Call::Answered(tag, answer) => {
            let what = answer.as_ref().err().map_or_else(|| "a reply".to_owned(), ToString::to_string);
            world.note_component(seat, answer.is_ok(), || format!("hears of operation {tag}: {what}"));
        }
        Call::Started | Call::Renewed(_) | Call::Timer(_) | Call::Other(_) => {}
    }
}

/// What a panic said.
pub(super) fn panicked(payload: Box<dyn Any + Send>) -> FailureKind {
    let text = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => {
            payload.downcast_ref::<&str>().map_or("a panic without words", |text| text).to_owned()
        }
    };
    FailureKind::Panic(text)
}
