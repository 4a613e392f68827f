//! The loop between the state machine and the world. It decides nothing about the protocol: it drains
//! outputs, does what they say, and hands back what came.

use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::mpsc::UnboundedReceiver;
use futures_channel::oneshot;
use futures_core::Stream as _;

use super::recorder::Recorder;
use super::runtime::{BoxFuture, timeout, yield_now};
use super::terms::{LOOK_AT_THE_CLOCK, Signals};
use super::transport::{Call, SendError, Transport};
use super::trouble::LastTrouble;
use super::watch::Watch;
use crate::{
    Action, AttemptOutcome, Command as Attempt, Event, Failure, Held, Input, MonoTime, Now, Output,
    ReleaseOutcome, RequestId,
};

/// What a handle asks for. The answer goes to everybody who asked for the same thing.
pub(crate) enum Command {
    TryAcquire(oneshot::Sender<AttemptOutcome>),
    Campaign(oneshot::Sender<AttemptOutcome>),
    /// With the time of the call, which is when the term ends.
    Release(Now, oneshot::Sender<ReleaseOutcome>),
    Shutdown(Now, oneshot::Sender<ReleaseOutcome>),
}

/// Sleeping for longer than this is sleeping until something happens.
const LONGEST_NAP: Duration = Duration::from_secs(3600);

/// The machine gives a refresh up long before: this is so that one that hangs does not stay for ever.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Driver {
    machine: crate::Lease,
    transport: Arc<dyn Transport>,
    signals: Arc<Signals>,
    recorder: Arc<Recorder>,
    trouble: Arc<LastTrouble>,
    commands: UnboundedReceiver<Command>,
    /// The latest time that the machine was told.
    last: Now,
    requests: Vec<Request>,
    watches: Vec<Watch>,
    try_acquire: Vec<oneshot::Sender<AttemptOutcome>>,
    campaign: Vec<oneshot::Sender<AttemptOutcome>>,
    release: Vec<oneshot::Sender<ReleaseOutcome>>,
    /// A release was handed to the machine and is not answered yet.
    releasing: bool,
    /// Stop when nothing is being released any more.
    stopping: bool,
}

/// A request, or a refresh of the credentials, that is under way: one of each at most.
struct Request {
    id: RequestId,
    work: BoxFuture<'static, Input>,
}

/// What the driver waits for.
enum Happening {
    Command(Option<Command>),
    Done(Input),
    Watched(Input),
    Nap,
}

impl Driver {
    pub(crate) fn new(
        machine: crate::Lease,
        transport: Arc<dyn Transport>,
        signals: Arc<Signals>,
        recorder: Arc<Recorder>,
        trouble: Arc<LastTrouble>,
        commands: UnboundedReceiver<Command>,
    ) -> Self {
        Self {
            last: signals.clock.now(),
            machine,
            transport,
            signals,
            recorder,
            trouble,
            commands,
            requests: Vec::new(),
            watches: Vec::new(),
            try_acquire: Vec::new(),
            campaign: Vec::new(),
            release: Vec::new(),
            releasing: false,
            stopping: false,
        }
    }

    /// Runs until the last handle is gone or a shutdown is done, then looks after what it leaves behind.
    pub(crate) async fn run(self) {
        let signals = Arc::clone(&self.signals);
        let recorder = Arc::clone(&self.recorder);
        if !finishes_without_panic(self.drive()).await {
            recorder.panicked(&*signals.runtime);
        }
        signals.outlive().await;
    }

    async fn drive(mut self) {
        loop {
            let wake = self.drain();
            self.signals.subscribers.tell_the_untold(&*self.signals.runtime);
            if self.stopping && !self.releasing {
                return;
            }
            // The clock decides what is due. The timer below only makes us look.
            let now = self.signals.clock.now();
            if self.heard_releases() {
                continue;
            }
            if wake.is_some_and(|wake| wake <= now.mono) {
                self.feed(now, Input::Tick);
                yield_now().await;
                continue;
            }
            let mut nap = self.signals.runtime.sleep(self.nap(now, wake));
            match poll_fn(|context| self.poll(context, &mut nap)).await {
                Happening::Command(command) => self.command(command),
                Happening::Done(input) => self.came(input),
                Happening::Watched(input) => {
                    self.came(input);
                    // A watch may have more than anybody can read. Others want to run.
                    yield_now().await;
                }
                Happening::Nap => {}
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, nap: &mut BoxFuture<'static, ()>) -> Poll<Happening> {
        if !self.stopping
            && let Poll::Ready(command) = Pin::new(&mut self.commands).poll_next(context)
        {
            return Poll::Ready(Happening::Command(command));
        }
        for at in 0..self.requests.len() {
            let Request { id, work } = &mut self.requests[at];
            let id = *id;
            let input = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                Ok(Poll::Pending) => continue,
                Ok(Poll::Ready(input)) => input,
                // A transport that panics has told nothing about the request.
                Err(_) => Input::Failed { id, failure: Failure::Unknown },
            };
            drop_quietly(self.requests.swap_remove(at));
            return Poll::Ready(Happening::Done(input));
        }
        // After all that: a renewal's answer never waits behind the hints of a watch.
        for at in 0..self.watches.len() {
            if let Poll::Ready((input, is_last)) = self.watches[at].poll(context) {
                if is_last {
                    self.watches.swap_remove(at).end();
                }
                return Poll::Ready(Happening::Watched(input));
            }
        }
        nap.as_mut().poll(context).map(|()| Happening::Nap)
    }

    fn nap(&self, now: Now, wake: Option<MonoTime>) -> Duration {
        let left = wake.map_or(LONGEST_NAP, |wake| wake.saturating_since(now.mono).min(LONGEST_NAP));
        if self.machine.check_alive(now.mono).is_some() || self.signals.subscribers.has_untold() {
            left.min(LOOK_AT_THE_CLOCK)
        } else {
            left
        }
    }

    /// Hands in what came of a request or a watch.
    fn came(&mut self, input: Input) {
        let now = self.signals.clock.now();
        let now = if self.heard_releases() { self.signals.clock.now() } else { now };
        self.feed(now, input);
    }

    /// Hands one input in and publishes what is held now, before anybody hears or does anything.
    fn feed(&mut self, now: Now, input: Input) {
        if now.mono > self.last.mono {
            self.last = now;
        }
        self.recorder.input(now, &input);
        self.machine.handle(now, input);
        self.signals.published.publish(self.machine.check_alive(now.mono));
    }

    fn drain(&mut self) -> Option<MonoTime> {
        loop {
            let output = self.machine.poll();
            self.recorder.output(&output);
            match output {
                Output::Action(action) => self.act(action),
                Output::Event(event) => self.tell(event),
                Output::Idle { wake, .. } => return wake,
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send { id, request, give_up_at, max_body } => {
                let call = self.call(request, give_up_at, max_body);
                self.send(id, call);
            }
            Action::OpenWatch { id, request, give_up_at, max_body } => {
                let call = self.call(request, give_up_at, max_body);
                let (transport, trouble) = (Arc::clone(&self.transport), Arc::clone(&self.trouble));
                let runtime = Arc::clone(&self.signals.runtime);
                self.watches.push(Watch::open(id, call, transport, runtime, trouble));
            }
            Action::Abort { id } => {
                if let Some(at) = self.requests.iter().position(|request| request.id == id) {
                    drop_quietly(self.requests.swap_remove(at));
                }
                if let Some(at) = self.watches.iter().position(|watch| watch.id == id) {
                    self.watches.swap_remove(at).end();
                }
            }
            Action::RefreshCredentials { id } => {
                let transport = Arc::clone(&self.transport);
                let runtime = Arc::clone(&self.signals.runtime);
                self.start(id, async move {
                    // Whatever came of it, the next request will tell.
                    let _ = timeout(&*runtime, REFRESH_TIMEOUT, transport.refresh_credentials()).await;
                    Input::CredentialsReady { id }
                });
            }
        }
    }

    fn call(&self, request: http::Request<Bytes>, give_up_at: MonoTime, max_body: usize) -> Call {
        let time_left = give_up_at.saturating_since(self.signals.clock.now().mono);
        Call { request, time_left, max_body }
    }

    fn send(&mut self, id: RequestId, call: Call) {
        let transport = Arc::clone(&self.transport);
        let trouble = Arc::clone(&self.trouble);
        let runtime = Arc::clone(&self.signals.runtime);
        self.start(id, async move {
            match timeout(&*runtime, call.time_left, transport.send(call)).await {
                Some(Ok(response)) => Input::Response { id, response },
                Some(Err(error)) => failed(id, &error, &trouble),
                None => failed(
                    id,
                    &SendError::new(Failure::Unknown, "the server did not answer in time"),
                    &trouble,
                ),
            }
        });
    }

    fn start(&mut self, id: RequestId, work: impl Future<Output = Input> + Send + 'static) {
        self.requests.push(Request { id, work: Box::pin(work) });
    }

    fn command(&mut self, command: Option<Command>) {
        let now = self.signals.clock.now();
        // A release waits behind this command, or is this command: no time passes before it is heard.
        let now = if self.signals.published.is_releasing() { self.last } else { now };
        match command {
            Some(Command::TryAcquire(answer)) => {
                add(&mut self.try_acquire, answer);
                self.feed(now, Input::TryAcquire);
            }
            Some(Command::Campaign(answer)) => {
                add(&mut self.campaign, answer);
                self.feed(now, Input::Campaign);
            }
            Some(Command::Release(called, answer)) => self.release(called, answer),
            Some(Command::Shutdown(called, answer)) => {
                // First, since the machine may answer at once: nobody can join what is answered.
                self.join_late_releases();
                self.release(called, answer);
                self.stopping = true;
            }
            // The last handle is gone: nobody can ask any more. A release that is under way is finished.
            None => self.stopping = true,
        }
    }

    /// Takes up what was asked for before the clock said what it says now. Otherwise a term whose release was
    /// called in time, by somebody who then had to wait for this task to run, would end by its deadline: as a loss.
    fn heard_releases(&mut self) -> bool {
        let mut heard = false;
        while !self.stopping
            && self.signals.published.is_releasing()
            && let Ok(command) = self.commands.try_recv()
        {
            self.command(Some(command));
            heard = true;
        }
        heard
    }

    fn release(&mut self, called: Now, answer: oneshot::Sender<ReleaseOutcome>) {
        add(&mut self.release, answer);
        self.releasing = true;
        let called = if called.mono < self.last.mono { self.last } else { called };
        let now = self.signals.clock.now();
        // As late as it may be: what is sent now has its time-outs from now on.
        let over = |held: Held| held.until <= now.mono;
        let heard_late = self.machine.check_alive(called.mono).is_some_and(over);
        self.feed(if heard_late { called } else { now }, Input::Release);
        // Everybody is told before the term can be missed: a release must never look like a loss.
        self.drain();
        self.signals.published.release_taken_up();
    }

    /// Releases that were asked for after a shutdown get its answer; anything else gets none.
    fn join_late_releases(&mut self) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Release(_, answer) | Command::Shutdown(_, answer) = command {
                add(&mut self.release, answer);
                self.signals.published.release_taken_up();
            }
        }
    }

    fn tell(&mut self, event: Event) {
        match &event {
            Event::AttemptEnded { command: Attempt::TryAcquire, outcome } => {
                answer(&mut self.try_acquire, outcome);
            }
            Event::AttemptEnded { command: Attempt::Campaign, outcome } => {
                answer(&mut self.campaign, outcome);
            }
            Event::ReleaseEnded { outcome } => {
                self.releasing = false;
                answer(&mut self.release, outcome);
            }
            Event::Lost { .. } => self.recorder.lost(&*self.signals.runtime),
            _ => {}
        }
        self.signals.tell(event);
    }
}

fn failed(id: RequestId, error: &SendError, trouble: &LastTrouble) -> Input {
    trouble.set(error);
    Input::Failed { id, failure: error.failure() }
}

/// Joins those who wait. Whoever does not wait any more makes room first, so the list cannot grow without bound.
fn add<T>(waiting: &mut Vec<oneshot::Sender<T>>, answer: oneshot::Sender<T>) {
    waiting.retain(|answer| !answer.is_canceled());
    waiting.push(answer);
}

fn answer<T: Clone>(waiting: &mut Vec<oneshot::Sender<T>>, outcome: &T) {
    for answer in mem::take(waiting) {
        // Whoever dropped its future does not want to know.
        let _ = answer.send(outcome.clone());
    }
}

/// A transport's future may panic when it is dropped, too.
fn drop_quietly(request: Request) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(request)));
}

async fn finishes_without_panic(work: impl Future<Output = ()>) -> bool {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(true),
        Err(_) => Poll::Ready(false),
    })
    .await
}
