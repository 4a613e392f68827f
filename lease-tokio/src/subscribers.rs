//! The handlers that are told of a loss.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lease_core::LostReason;
use tokio::runtime::Handle;

type Handler = Box<dyn FnMut(&LostReason) + Send>;

/// One registered handler.
struct Subscriber {
    registered: AtomicBool,
    handler: Mutex<Handler>,
}

/// All registered handlers of one lease.
#[derive(Default)]
pub(crate) struct Subscribers {
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    next: u64,
    subscribers: BTreeMap<u64, Arc<Subscriber>>,
}

impl Subscribers {
    pub(crate) fn add(self: &Arc<Self>, handler: Handler) -> Subscription {
        let subscriber =
            Arc::new(Subscriber { registered: AtomicBool::new(true), handler: Mutex::new(handler) });
        let mut list = lock(&self.list);
        let id = list.next;
        list.next += 1;
        list.subscribers.insert(id, subscriber);
        Subscription { subscribers: Some(Arc::clone(self)), id }
    }

    fn remove(&self, id: u64) {
        let removed = lock(&self.list).subscribers.remove(&id);
        // Dropped outside of the lock: a handler's captures can do anything when they go.
        if let Some(subscriber) = removed {
            subscriber.registered.store(false, Ordering::SeqCst);
        }
    }

    /// Starts every handler on a thread for blocking work, each on its own, and waits for none.
    pub(crate) fn lost(&self, reason: &LostReason) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let subscribers: Vec<_> = lock(&self.list).subscribers.values().cloned().collect();
        for subscriber in subscribers {
            let reason = reason.clone();
            runtime.spawn_blocking(move || subscriber.call(&reason));
        }
    }
}

impl Subscriber {
    fn call(&self, reason: &LostReason) {
        let mut handler = lock(&self.handler);
        if self.registered.load(Ordering::SeqCst) {
            // The panic hook has reported it; the other handlers and the driver go on.
            let _ = catch_unwind(AssertUnwindSafe(|| handler(reason)));
        }
    }
}

/// A handler that panicked inside its lock is called again at the next loss.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handler's registration with [`Lease::on_lost`](crate::Lease::on_lost).
///
/// Dropping it unregisters the handler, and so does [`unregister`](Self::unregister);
/// [`forget`](Self::forget) keeps the handler for as long as the lease lives. A handler that was
/// unregistered does not start any more; one that is running just then runs to its end.
#[must_use = "dropping a subscription unregisters its handler: keep it, or call `forget`"]
pub struct Subscription {
    subscribers: Option<Arc<Subscribers>>,
    id: u64,
}

impl Subscription {
    /// Unregisters the handler.
    pub fn unregister(self) {}

    /// Keeps the handler registered for as long as the lease lives.
    pub fn forget(mut self) {
        self.subscribers = None;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(subscribers) = self.subscribers.take() {
            subscribers.remove(self.id);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}
