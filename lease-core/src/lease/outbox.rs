//! What waits to be polled.

use std::collections::VecDeque;

use crate::config::Config;
use crate::event::Event;
use crate::identifiers::RequestId;
use crate::output::{Action, Output};
use crate::time::MonoTime;
use crate::wire::{Call, watch_request};

/// An output that can be compared and hashed, unlike the `http::Request` that it becomes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Queued {
    Send { id: RequestId, call: Call, give_up_at: MonoTime },
    OpenWatch { id: RequestId, from: Option<Box<str>>, seconds: u64, give_up_at: MonoTime },
    Abort { id: RequestId },
    RefreshCredentials { id: RequestId },
    Event(Event),
}

impl Queued {
    fn asks(&self, wanted: RequestId) -> bool {
        match self {
            Self::Send { id, .. } | Self::OpenWatch { id, .. } | Self::RefreshCredentials { id } => {
                *id == wanted
            }
            Self::Abort { .. } | Self::Event(_) => false,
        }
    }
}

/// A first-in, first-out queue.
///
/// It stays short however many inputs precede a drain: only a polled request can bring a response, a
/// request that is superseded before it was polled is withdrawn, and of answers, troubles and news of others that
/// nobody has polled yet only the last is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Outbox {
    queue: VecDeque<Queued>,
    last_id: u64,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn next_id(&mut self) -> RequestId {
        self.last_id += 1;
        RequestId(self.last_id)
    }

    pub(super) fn send(&mut self, call: Call, give_up_at: MonoTime) -> RequestId {
        let id = self.next_id();
        self.queue.push_back(Queued::Send { id, call, give_up_at });
        id
    }

    /// Opens a watch of what happens after the resource version `from`, for that many seconds.
    pub(super) fn open_watch(&mut self, from: Option<&str>, seconds: u64, give_up_at: MonoTime) -> RequestId {
        let id = self.next_id();
        self.queue.push_back(Queued::OpenWatch { id, from: from.map(Box::from), seconds, give_up_at });
        id
    }

    pub(super) fn refresh_credentials(&mut self) -> RequestId {
        let id = self.next_id();
        self.queue.push_back(Queued::RefreshCredentials { id });
        id
    }

    pub(super) fn abort(&mut self, id: RequestId) {
        self.queue.push_back(Queued::Abort { id });
    }

    /// Takes back a request, watch or refresh that was not polled; false when it was.
    pub(super) fn withdraw(&mut self, wanted: RequestId) -> bool {
        let found = self.queue.iter().position(|queued| queued.asks(wanted));
        found.is_some_and(|index| self.queue.remove(index).is_some())
    }

    /// Whether a request, watch or refresh has not been polled yet.
    pub(super) fn is_waiting(&self, wanted: RequestId) -> bool {
        self.queue.iter().any(|queued| queued.asks(wanted))
    }

    pub(super) fn event(&mut self, event: Event) {
        let superseded = |queued: &Queued| match (queued, &event) {
            (Queued::Event(Event::Trouble { .. }), Event::Trouble { .. })
            | (Queued::Event(Event::WatchTrouble { .. }), Event::WatchTrouble { .. })
            | (Queued::Event(Event::HolderChanged { .. }), Event::HolderChanged { .. })
            | (Queued::Event(Event::ForeignTtlCut { .. }), Event::ForeignTtlCut { .. })
            | (Queued::Event(Event::DuplicateIdentity), Event::DuplicateIdentity) => true,
            (Queued::Event(old), Event::AttemptEnded { .. } | Event::ReleaseEnded { .. }) => *old == event,
            _ => false,
        };
        if let Some(index) = self.queue.iter().position(superseded) {
            self.queue.remove(index);
        }
        self.queue.push_back(Queued::Event(event));
    }

    pub(super) fn pop(&mut self, config: &Config) -> Option<Output> {
        Some(match self.queue.pop_front()? {
            Queued::Send { id, call, give_up_at } => Output::Action(Action::Send {
                id,
                request: call.into_request(config),
                give_up_at,
                max_body: config.max_body(),
            }),
            Queued::OpenWatch { id, from, seconds, give_up_at } => Output::Action(Action::OpenWatch {
                id,
                request: watch_request(config, from.as_deref(), seconds),
                give_up_at,
                max_body: config.max_body(),
            }),
            Queued::Abort { id } => Output::Action(Action::Abort { id }),
            Queued::RefreshCredentials { id } => Output::Action(Action::RefreshCredentials { id }),
            Queued::Event(event) => Output::Event(event),
        })
    }
}
