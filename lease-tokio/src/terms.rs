//! What became of the terms: who waits for a loss waits here.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lease_core::{Event, FencingToken, LostReason};
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::published::Published;
use crate::subscribers::Subscribers;

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
    pub(crate) published: Published,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) events: broadcast::Sender<Event>,
    terms: watch::Sender<Terms>,
}

impl Signals {
    pub(crate) fn new(clock: Arc<dyn Clock>, events: usize) -> Self {
        Self {
            clock,
            published: Published::default(),
            subscribers: Arc::default(),
            events: broadcast::Sender::new(events),
            terms: watch::Sender::new(Terms::default()),
        }
    }

    /// Passes an event on to everybody whom it concerns.
    pub(crate) fn tell(&self, event: Event) {
        match &event {
            Event::Acquired { token, .. } => self.terms.send_modify(|terms| terms.current = Some(*token)),
            Event::Lost { token, reason } => {
                self.terms.send_modify(|terms| terms.end(*token, End::Lost(reason.clone())));
                self.subscribers.lost(reason);
            }
            Event::Released { token } => self.terms.send_modify(|terms| terms.end(*token, End::Released)),
            _ => {}
        }
        // Nobody listens: nothing to do.
        let _ = self.events.send(event);
    }

    pub(crate) fn held(&self) -> Option<lease_core::Held> {
        self.published.held(|| self.clock.now().mono)
    }

    /// Resolves once the term `token` is over: when the driver says so, and by the clock even if it does not.
    pub(crate) async fn end_of_term(self: Arc<Self>, token: FencingToken) -> End {
        let mut terms = self.terms.subscribe();
        loop {
            if let Some(end) = terms.borrow_and_update().end_of(token) {
                return end;
            }
            let left = match self.held() {
                Some(held) if held.token == token => {
                    held.until.saturating_since(self.clock.now().mono).min(LOOK_AT_THE_CLOCK)
                }
                _ => return self.reason_of(token, terms).await,
            };
            tokio::select! {
                biased;
                _ = terms.changed() => {}
                () = sleep(left) => {}
            }
        }
    }

    /// The term is over by the clock: gives the driver a moment to say why.
    async fn reason_of(&self, token: FencingToken, mut terms: watch::Receiver<Terms>) -> End {
        let released = self.published.is_releasing();
        let told = timeout(WAIT_FOR_THE_REASON, terms.wait_for(|terms| terms.end_of(token).is_some())).await;
        match told {
            Ok(Ok(terms)) => terms.end_of(token),
            _ if released => Some(End::Released),
            _ => None,
        }
        .unwrap_or(End::Lost(LostReason::Expired { last: None }))
    }

    /// See [`Lease::lost`](crate::Lease::lost). What counts as current is decided now, not at the first poll.
    pub(crate) fn lost(self: Arc<Self>) -> impl Future<Output = LostReason> + Send + 'static {
        let mut terms = self.terms.subscribe();
        // A term can be published a moment before the driver tells of it.
        let held = self.held().map(|held| held.token);
        let (mut current, already, losses) = {
            let terms = terms.borrow_and_update();
            let already = match terms.ends.back() {
                Some((ended, End::Lost(reason)))
                    if terms.current.is_none() && held.is_none_or(|held| held == *ended) =>
                {
                    Some(reason.clone())
                }
                _ => None,
            };
            (terms.current.or(held), already, terms.losses)
        };
        async move {
            if let Some(reason) = already {
                return reason;
            }
            loop {
                if let Some(token) = current {
                    if let End::Lost(reason) = Arc::clone(&self).end_of_term(token).await {
                        return reason;
                    }
                } else {
                    // The sender lives in `self`.
                    let _ = terms.changed().await;
                }
                let terms = terms.borrow_and_update();
                if terms.losses > losses
                    && let Some(reason) = terms.last_loss()
                {
                    return reason.clone();
                }
                // A term that ended without the driver's word is not waited for again.
                current = terms.current.filter(|token| Some(*token) != current);
            }
        }
    }

    /// The driver is gone. Ends the last term, if there is one that nobody ended, when its time has come.
    pub(crate) async fn outlive(self: Arc<Self>) {
        let told = self.terms.borrow().current;
        let Some(token) = told.or_else(|| self.held().map(|held| held.token)) else {
            return;
        };
        while let Some(held) = self.held() {
            sleep(held.until.saturating_since(self.clock.now().mono).min(LOOK_AT_THE_CLOCK)).await;
        }
        self.published.publish(None);
        if self.published.is_releasing() {
            self.tell(Event::Released { token });
        } else {
            self.tell(Event::Lost { token, reason: LostReason::Expired { last: None } });
        }
    }
}
