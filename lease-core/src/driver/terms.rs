//! What became of the terms: who waits for a loss waits here.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_broadcast::{InactiveReceiver, Receiver, Sender};

use super::clock::Clock;
use super::published::Published;
use super::runtime::{Runtime, timeout};
use super::subscribers::Subscribers;
use super::watched::Watched;
use crate::{Event, FencingToken, Held, LostReason};

/// Runtime timers stand still while the machine is suspended: look at the clock this often at least.
pub(crate) const LOOK_AT_THE_CLOCK: Duration = Duration::from_secs(1);

/// How long a term that the clock has ended waits for the driver to say why.
const WAIT_FOR_THE_REASON: Duration = Duration::from_millis(100);

/// How many ends are remembered for those who are slow to look.
const REMEMBERED: usize = 16;

/// How a term ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Lost(LostReason),
    Released,
}

/// The terms so far.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    current: Option<FencingToken>,
    ends: VecDeque<(FencingToken, End)>,
    losses: u64,
}

impl Terms {
    fn end_of(&self, token: FencingToken) -> Option<End> {
        if let Some((_, end)) = self.ends.iter().rev().find(|(ended, _)| *ended == token) {
            return Some(end.clone());
        }
        let later = self.current.is_some_and(|current| current > token);
        later.then_some(End::Lost(LostReason::Expired { last: None }))
    }

    fn last_loss(&self) -> Option<&LostReason> {
        self.ends.iter().rev().find_map(|(_, end)| match end {
            End::Lost(reason) => Some(reason),
            End::Released => None,
        })
    }

    fn end(&mut self, token: FencingToken, end: End) {
        self.current = None;
        self.losses += u64::from(matches!(end, End::Lost(_)));
        if self.ends.len() == REMEMBERED {
            self.ends.pop_front();
        }
        self.ends.push_back((token, end));
    }
}

/// Everything that the driver tells the world. Shared by the driver, the handles and what outlives both.
pub(crate) struct Signals {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) published: Published,
    pub(crate) subscribers: Arc<Subscribers>,
    events: Sender<Event>,
    /// Keeps the channel open while nobody reads it.
    _nobody: InactiveReceiver<Event>,
    terms: Watched<Terms>,
}

impl Signals {
    pub(crate) fn new(clock: Arc<dyn Clock>, runtime: Arc<dyn Runtime>, events: usize) -> Self {
        let (mut events, receiver) = async_broadcast::broadcast(events);
        // Nothing waits for a reader: one that is slow misses the oldest.
        events.set_overflow(true);
        events.set_await_active(false);
        Self {
            clock,
            runtime,
            published: Published::default(),
            subscribers: Arc::default(),
            events,
            _nobody: receiver.deactivate(),
            terms: Watched::default(),
        }
    }

    /// Passes an event on to everybody whom it concerns.
    pub(crate) fn tell(&self, event: Event) {
        match &event {
            Event::Acquired { token, .. } => self.terms.modify(|terms| terms.current = Some(*token)),
            Event::Lost { token, reason } => {
                self.terms.modify(|terms| terms.end(*token, End::Lost(reason.clone())));
                self.subscribers.lost(&*self.runtime, reason);
            }
            Event::Released { token } => self.terms.modify(|terms| terms.end(*token, End::Released)),
            _ => {}
        }
        // Nobody listens: nothing to do.
        let _ = self.events.try_broadcast(event);
    }

    /// What is told from now on.
    pub(crate) fn events(&self) -> Receiver<Event> {
        self.events.new_receiver()
    }

    pub(crate) fn held(&self) -> Option<Held> {
        self.published.held(|| self.clock.now().mono)
    }

    /// Resolves once the term `token` is over: when the driver says so, and by the clock even if it does not.
    pub(crate) async fn end_of_term(self: Arc<Self>, token: FencingToken) -> End {
        loop {
            let changed = self.terms.listen();
            if let Some(end) = self.terms.look(|terms| terms.end_of(token)) {
                return end;
            }
            let left = match self.held() {
                Some(held) if held.token == token => {
                    held.until.saturating_since(self.clock.now().mono).min(LOOK_AT_THE_CLOCK)
                }
                _ => return self.reason_of(token).await,
            };
            timeout(&*self.runtime, left, changed).await;
        }
    }

    /// The term is over by the clock: gives the driver a moment to say why.
    async fn reason_of(&self, token: FencingToken) -> End {
        let released = self.published.is_releasing();
        let told = async {
            loop {
                let changed = self.terms.listen();
                if let Some(end) = self.terms.look(|terms| terms.end_of(token)) {
                    return end;
                }
                changed.await;
            }
        };
        match timeout(&*self.runtime, WAIT_FOR_THE_REASON, told).await {
            Some(end) => end,
            None if released => End::Released,
            None => End::Lost(LostReason::Expired { last: None }),
        }
    }

    /// See [`Lease::lost`](super::Lease::lost). What counts as current is decided now, not at the first poll.
    pub(crate) fn lost(self: Arc<Self>) -> impl Future<Output = LostReason> + Send + 'static {
        // A term can be published a moment before the driver tells of it.
        let held = self.held().map(|held| held.token);
        let (mut current, already, losses) = self.terms.look(|terms| {
            let already = match terms.ends.back() {
                Some((ended, End::Lost(reason)))
                    if terms.current.is_none() && held.is_none_or(|held| held == *ended) =>
                {
                    Some(reason.clone())
                }
                _ => None,
            };
            (terms.current.or(held), already, terms.losses)
        });
        async move {
            if let Some(reason) = already {
                return reason;
            }
            let mut waited_for = None;
            loop {
                if let Some(token) = current.take() {
                    if let End::Lost(reason) = Arc::clone(&self).end_of_term(token).await {
                        return reason;
                    }
                    // A term that ended without the driver's word is not waited for again.
                    waited_for = Some(token);
                }
                let changed = self.terms.listen();
                let (loss, next) = self.terms.look(|terms| {
                    let loss = if terms.losses > losses { terms.last_loss().cloned() } else { None };
                    (loss, terms.current.filter(|token| Some(*token) != waited_for))
                });
                match (loss, next) {
                    (Some(reason), _) => return reason,
                    (None, Some(token)) => current = Some(token),
                    (None, None) => changed.await,
                }
            }
        }
    }

    /// The driver is gone. Ends the last term, if there is one that nobody ended, when its time has come; then
    /// nothing is left to tell.
    pub(crate) async fn outlive(self: Arc<Self>) {
        self.end_the_last_term().await;
        while self.subscribers.has_untold() {
            self.runtime.sleep(LOOK_AT_THE_CLOCK).await;
            self.subscribers.tell_the_untold(&*self.runtime);
        }
        self.subscribers.close();
        self.events.close();
    }

    async fn end_the_last_term(self: &Arc<Self>) {
        let told = self.terms.look(|terms| terms.current);
        let Some(token) = told.or_else(|| self.held().map(|held| held.token)) else {
            return;
        };
        while let Some(held) = self.held() {
            let left = held.until.saturating_since(self.clock.now().mono);
            self.runtime.sleep(left.min(LOOK_AT_THE_CLOCK)).await;
        }
        self.published.publish(None);
        if self.published.is_releasing() {
            self.tell(Event::Released { token });
        } else {
            self.tell(Event::Lost { token, reason: LostReason::Expired { last: None } });
        }
    }
}
