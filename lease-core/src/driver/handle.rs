//! The handle that applications hold.

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_broadcast::RecvError;
use futures_channel::{mpsc, oneshot};

use super::builder::{Adapter, Builder};
use super::error::{AcquireError, Interrupted, SetupError, Stopped};
use super::recorder::Recorder;
use super::run::Command;
use super::scope;
use super::subscribers::Subscription;
use super::terms::Signals;
use super::trouble::LastTrouble;
use crate::{
    AttemptOutcome, Config, Denial, Event, FencingToken, Held, LostReason, MonoTime, Now, ReleaseOutcome,
};

/// A handle on one holder of one lease. Cloning it is cheap; all clones speak for the same holder.
///
/// The holder itself is a task on the runtime. It outlives every future that a handle returns:
/// **dropping a future loses nothing and cancels nothing**. An [`acquire`](Self::acquire) whose future was
/// dropped goes on, and if it succeeds the lease is held and renewed: [`check_alive`](Self::check_alive)
/// says so, the next `acquire` answers at once, and [`release`](Self::release) ends it.
///
/// **Dropping the last handle does not release**, since work may still be running on the strength of the
/// lease. The holder stops renewing, the term runs out by itself, and then the handlers of
/// [`on_lost`](Self::on_lost) run. Others get the lease when it has expired, about one ttl later. To give it
/// back at once call [`release`](Self::release) or [`shutdown`](Self::shutdown).
///
/// If the holder's task panics, it is the same. If the runtime is shut down, nothing renews any more either, and
/// `check_alive` turns false by the clock; but the handlers have nothing left to run on and are not called.
pub struct Lease<A> {
    shared: Arc<Shared>,
    adapter: PhantomData<fn() -> A>,
}

impl<A> Clone for Lease<A> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), adapter: PhantomData }
    }
}

/// Dropped with the last handle. The driver must not keep it alive: it stops when `commands` closes.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) trouble: Arc<LastTrouble>,
}

/// The answer to [`acquire_with_token`](Lease::acquire_with_token).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Held. The token grows strictly with every term: hand it to the protected resource with every side
    /// effect and let it refuse anything below the highest one it has seen.
    Acquired(FencingToken),
    /// Not held, and no write of this attempt can still win.
    Denied(Denial),
}

impl Attempt {
    /// The token, if the lease was acquired.
    pub fn token(&self) -> Option<FencingToken> {
        match self {
            Self::Acquired(token) => Some(*token),
            Self::Denied(_) => None,
        }
    }
}

impl<A: Adapter> Lease<A> {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), adapter: PhantomData }
    }

    /// Starts to set up a holder.
    pub fn builder(config: Config) -> Builder<A> {
        Builder::new(config)
    }

    /// A holder with the credentials that Kubernetes gives to every pod.
    ///
    /// # Errors
    ///
    /// A [`SetupError`], as [`Builder::spawn`] gives it.
    pub fn in_cluster(config: Config) -> Result<Self, SetupError> {
        Self::builder(config).spawn()
    }

    /// Tries once to get the lease. `true`: it is held now, or was already. `false`: another holds it, or
    /// others were quicker, and no write of this attempt can still win.
    ///
    /// Conflicts and transient trouble are retried up to `acquire_retries` times. Attempts that overlap are
    /// one attempt with one answer. While a release is under way the attempt waits for its end. Under
    /// [`ReleasePolicy::Vacate`](crate::ReleasePolicy::Vacate) the answer can take a quarantine.
    ///
    /// # Errors
    ///
    /// An [`AcquireError`] means "I do not know" and says what to fix where something can be fixed.
    pub async fn acquire(&self) -> Result<bool, AcquireError> {
        Ok(self.acquire_with_token().await?.token().is_some())
    }

    /// Like [`acquire`](Self::acquire), with the fencing token, or with who holds the lease and when trying
    /// again can succeed ([`time_until`](Self::time_until) makes a duration of it).
    ///
    /// # Errors
    ///
    /// As for [`acquire`](Self::acquire).
    pub async fn acquire_with_token(&self) -> Result<Attempt, AcquireError> {
        match self.ask(Command::TryAcquire).await? {
            AttemptOutcome::Acquired { token } | AttemptOutcome::AlreadyHeld { token } => {
                Ok(Attempt::Acquired(token))
            }
            AttemptOutcome::Denied(denial) => Ok(Attempt::Denied(denial)),
            AttemptOutcome::Failed(problem) => Err(AcquireError::Remote(problem)),
            _ => Err(AcquireError::Cancelled),
        }
    }

    /// Waits for the lease, for as long as it takes, and resolves with the fencing token once it is held.
    ///
    /// The campaign outlives this future: from the first poll on the holder wants the lease until
    /// [`release`](Self::release), takes it whenever it can, and takes it again after a loss. Trouble does not
    /// end it; [`events`](Self::events) tells.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Cancelled`] when a release comes first, [`AcquireError::Remote`] only for what no
    /// waiting can mend.
    pub async fn campaign(&self) -> Result<FencingToken, AcquireError> {
        match self.ask(Command::Campaign).await? {
            AttemptOutcome::Acquired { token } | AttemptOutcome::AlreadyHeld { token } => Ok(token),
            AttemptOutcome::Failed(problem) => Err(AcquireError::Remote(problem)),
            _ => Err(AcquireError::Cancelled),
        }
    }

    async fn ask(
        &self,
        command: fn(oneshot::Sender<AttemptOutcome>) -> Command,
    ) -> Result<AttemptOutcome, AcquireError> {
        let (answer, outcome) = oneshot::channel();
        self.shared.commands.unbounded_send(command(answer)).map_err(|_| AcquireError::Stopped)?;
        outcome.await.map_err(|_| AcquireError::Stopped)
    }

    /// Whether the lease is held at this moment.
    ///
    /// Purely local: compares the published deadline with the clock; no I/O, no lock, no waiting. It is right
    /// when the API server is unreachable, when the runtime is starved, and when the holder's task is gone.
    /// It is false from the very instant at which the term ends, and from the call of
    /// [`release`](Self::release) on.
    ///
    /// What it cannot know is how long the process sleeps between this answer and what is done with it: see
    /// [`FencingToken`].
    pub fn check_alive(&self) -> bool {
        self.held().is_some()
    }

    /// The current term, if the lease is held: its fencing token, and when it ends by itself unless a renewal
    /// is confirmed ([`time_until`](Self::time_until) makes a duration of it). Like
    /// [`check_alive`](Self::check_alive) it never waits.
    pub fn held(&self) -> Option<Held> {
        self.shared.signals.held()
    }

    /// From now to an instant of this lease's clock, for example [`Held::until`] or [`Denial::retry_at`]. Zero
    /// when it has passed.
    pub fn time_until(&self, instant: MonoTime) -> Duration {
        instant.saturating_since(self.shared.signals.clock.now().mono)
    }

    /// Registers a handler that is called once for every term that is lost, with the reason. Never for a term
    /// that ends by [`release`](Self::release) or [`shutdown`](Self::shutdown).
    ///
    /// There may be many; each is unregistered by its own [`Subscription`]. Register before acquiring: losses
    /// of the past are not told again. A handler runs on one of the runtime's threads for blocking work, so it
    /// may block, takes one of those threads at most, and is told one loss at a time, in order; while it is busy
    /// the latest 16 wait for it. One that panics hurts nobody and is called again for the next loss.
    ///
    /// A handler that captures a clone of this handle keeps the holder, and so the lease, for as long as it is
    /// registered: dropping all other handles then ends nothing.
    ///
    /// A handler hears of a loss when the holder's task gets to run. Work that must not outlive the term
    /// asks [`check_alive`](Self::check_alive) or runs in [`while_held`](Self::while_held).
    pub fn on_lost(&self, handler: impl FnMut(&LostReason) + Send + 'static) -> Subscription {
        self.shared.signals.subscribers.add(Box::new(handler))
    }

    /// Resolves when the lease is lost.
    ///
    /// What is waited for is fixed when this is called, not when it is first polled:
    /// - while the lease is held: the loss of this term;
    /// - when the latest term was lost already and no other has begun: nothing, its reason comes at once, so
    ///   a loss between an acquisition and this call is not missed;
    /// - otherwise (never held, or released): the next loss.
    ///
    /// A release is no loss: the future then waits for the loss of a later term. It does not keep the lease
    /// alive and resolves also when the holder's task is gone and the term has run out. Once that task has
    /// stopped and no term is left to lose, it waits for ever.
    pub fn lost(&self) -> impl Future<Output = LostReason> + Send + use<A> {
        Arc::clone(&self.shared.signals).lost()
    }

    /// Runs `work` while the lease is held, and drops it when the term ends, whichever is first.
    ///
    /// The clock is read before every poll of the work, so it is not polled after the deadline even if nobody
    /// has told of the loss. Work that blocks its thread cannot be stopped: await something now and then.
    /// A `work` that is done at its last poll has done it: its output is returned even if the term ended
    /// during that very poll. Nothing is released.
    ///
    /// # Errors
    ///
    /// [`Interrupted`] says whether the lease was not held, was lost (why), or was released.
    pub async fn while_held<F: Future>(&self, work: F) -> Result<F::Output, Interrupted> {
        scope::while_held(Arc::clone(&self.shared.signals), None, work).await
    }

    /// [`while_held`](Self::while_held) for the term with this token and no other: when that one is over before
    /// the work begins, it never runs, even if a later term is held by then. For work that carries the token.
    ///
    /// # Errors
    ///
    /// As for [`while_held`](Self::while_held); [`Interrupted::NotHeld`] when another term, or none, is held.
    pub async fn while_held_with_token<F: Future>(
        &self,
        token: FencingToken,
        work: F,
    ) -> Result<F::Output, Interrupted> {
        scope::while_held(Arc::clone(&self.shared.signals), Some(token), work).await
    }

    /// Gives the lease back, cancels what is being acquired, ends a campaign.
    ///
    /// The local term ends **at this call**, before the first byte leaves and before the future is polled:
    /// from here on [`check_alive`](Self::check_alive) is false. Stop the work first. The future tells what
    /// the API server said; dropping it does not stop the release, not even together with the last handle.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when the holder's task is gone: then the record expires by itself.
    pub fn release(&self) -> impl Future<Output = Result<ReleaseOutcome, Stopped>> + Send + use<A> {
        self.give_back(Command::Release)
    }

    /// [`release`](Self::release), and then the holder's task stops: other handles answer "stopped" from here
    /// on. Like a release it begins at this call.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when the holder's task was gone already.
    pub fn shutdown(self) -> impl Future<Output = Result<ReleaseOutcome, Stopped>> + Send + use<A> {
        self.give_back(Command::Shutdown)
    }

    fn give_back(
        &self,
        command: fn(Now, oneshot::Sender<ReleaseOutcome>) -> Command,
    ) -> impl Future<Output = Result<ReleaseOutcome, Stopped>> + Send + use<A> {
        let (answer, outcome) = oneshot::channel();
        // Counted before the clock is read: a driver whose clock says more knows that this command is on its way.
        self.shared.signals.published.release_asked();
        let command = command(self.shared.signals.clock.now(), answer);
        let sent = self.shared.commands.unbounded_send(command).map_err(|_| Stopped);
        async move {
            sent?;
            outcome.await.map_err(|_| Stopped)
        }
    }

    /// Everything that the holder tells from now on, for logs and metrics.
    pub fn events(&self) -> Events {
        Events { receiver: self.shared.signals.events(), missed: 0 }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// What the HTTP client said about the latest request that brought no response, with all causes: which
    /// certificate was refused, which address did not answer. For logs; nothing secret, no stable wording.
    pub fn last_transport_error(&self) -> Option<Arc<str>> {
        self.shared.trouble.get()
    }

    /// Writes what the flight recorder has kept: see [`RecorderConfig`](super::RecorderConfig) and, for the
    /// format and how to replay it, [`crate::recording`].
    ///
    /// # Errors
    ///
    /// The writer's, or [`Unsupported`](io::ErrorKind::Unsupported) when the recorder is off.
    pub fn dump_recording(&self, writer: impl io::Write) -> io::Result<()> {
        self.shared.recorder.dump(writer)
    }
}

impl<A> fmt::Debug for Lease<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Lease")
            .field("namespace", &self.shared.config.namespace())
            .field("name", &self.shared.config.name())
            .field("identity", &self.shared.config.identity().as_str())
            .field("held", &self.shared.signals.held())
            .finish_non_exhaustive()
    }
}

/// A stream of [`Event`]s, from [`Lease::events`].
///
/// At most 256 events wait in it; a reader that is slower misses the oldest ones. Nothing waits for a
/// reader, so events are for telling people, not for stopping work.
#[derive(Debug)]
pub struct Events {
    receiver: async_broadcast::Receiver<Event>,
    missed: u64,
}

impl Events {
    /// The next event; `None` when none will ever come: the holder's task has stopped, and the last term's end
    /// was told (or its runtime is gone, and so are all handles). Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv_direct().await {
                Ok(event) => return Some(event),
                Err(RecvError::Overflowed(missed)) => self.missed += missed,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// How many events were missed so far, because this reader was slow.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}
