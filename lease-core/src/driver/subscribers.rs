//! The handlers that are told of a loss.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::runtime::Runtime;
use crate::LostReason;

type Handler = Box<dyn FnMut(&LostReason) + Send>;

/// How many losses wait for a handler that is still busy with an earlier one; the oldest go first.
const MOST_WAITING: usize = 16;

/// One registered handler.
struct Subscriber {
    registered: Arc<AtomicBool>,
    handler: Mutex<Handler>,
    losses: Mutex<Losses>,
}

/// What a handler has yet to be told.
#[derive(Default)]
struct Losses {
    waiting: VecDeque<LostReason>,
    /// A thread is telling. One at most for each handler: one that hangs must not take a thread per loss.
    telling: bool,
}

/// All registered handlers of one lease.
#[derive(Default)]
pub(crate) struct Subscribers {
    list: Mutex<List>,
    /// There was no thread to tell a handler on.
    untold: AtomicBool,
}

#[derive(Default)]
struct List {
    next: u64,
    /// Nothing will be lost any more.
    closed: bool,
    subscribers: BTreeMap<u64, Arc<Subscriber>>,
}

impl Subscribers {
    pub(crate) fn add(self: &Arc<Self>, handler: Handler) -> Subscription {
        let registered = Arc::new(AtomicBool::new(true));
        let subscriber = Arc::new(Subscriber {
            registered: Arc::clone(&registered),
            handler: Mutex::new(handler),
            losses: Mutex::default(),
        });
        let mut list = lock(&self.list);
        let id = list.next;
        list.next += 1;
        if !list.closed {
            list.subscribers.insert(id, subscriber);
        }
        drop(list);
        let subscribers = Arc::clone(self);
        Subscription::new(move || {
            registered.store(false, Ordering::SeqCst);
            subscribers.remove(id);
        })
    }

    fn remove(&self, id: u64) {
        let removed = lock(&self.list).subscribers.remove(&id);
        // Dropped outside of the lock: a handler's captures can do anything when they go.
        drop(removed);
    }

    /// Has every handler told on a thread for blocking work, each on its own, and waits for none.
    pub(crate) fn lost(&self, runtime: &dyn Runtime, reason: &LostReason) {
        for subscriber in self.all() {
            subscriber.push(reason.clone());
            self.start_telling(runtime, subscriber);
        }
    }

    /// Tries again to find threads for what could not be told.
    pub(crate) fn tell_the_untold(&self, runtime: &dyn Runtime) {
        if self.untold.swap(false, Ordering::SeqCst) {
            for subscriber in self.all() {
                self.start_telling(runtime, subscriber);
            }
        }
    }

    /// Whether something waits to be told by [`tell_the_untold`](Self::tell_the_untold).
    pub(crate) fn has_untold(&self) -> bool {
        self.untold.load(Ordering::SeqCst)
    }

    /// Nothing will be lost any more: lets go of the handlers and of what they hold, a handle perhaps. Those that
    /// are being told hear it to the end.
    pub(crate) fn close(&self) {
        let mut list = lock(&self.list);
        list.closed = true;
        let subscribers = std::mem::take(&mut list.subscribers);
        drop(list);
        // Outside of the lock, as in `remove`.
        drop(subscribers);
    }

    fn all(&self) -> Vec<Arc<Subscriber>> {
        lock(&self.list).subscribers.values().cloned().collect()
    }

    fn start_telling(&self, runtime: &dyn Runtime, subscriber: Arc<Subscriber>) {
        if !subscriber.starts_telling() {
            return;
        }
        let teller = Arc::clone(&subscriber);
        if !runtime.spawn_blocking(Box::new(move || teller.tell())) {
            lock(&subscriber.losses).telling = false;
            self.untold.store(true, Ordering::SeqCst);
        }
    }
}

impl Subscriber {
    /// Adds a loss.
    fn push(&self, reason: LostReason) {
        let mut losses = lock(&self.losses);
        if losses.waiting.len() == MOST_WAITING {
            losses.waiting.pop_front();
        }
        losses.waiting.push_back(reason);
    }

    /// Whether a thread has to be started to tell what waits.
    fn starts_telling(&self) -> bool {
        let mut losses = lock(&self.losses);
        !losses.waiting.is_empty() && !std::mem::replace(&mut losses.telling, true)
    }

    /// Tells what waits, in order.
    fn tell(&self) {
        while let Some(reason) = self.next() {
            let mut handler = lock(&self.handler);
            if self.registered.load(Ordering::SeqCst) {
                // The panic hook has reported it; the other handlers and the driver go on.
                let _ = catch_unwind(AssertUnwindSafe(|| handler(&reason)));
            }
        }
    }

    fn next(&self) -> Option<LostReason> {
        let mut losses = lock(&self.losses);
        let next = losses.waiting.pop_front();
        losses.telling = next.is_some();
        next
    }
}

/// A handler that panicked inside its lock is called again at the next loss.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handler's registration with [`Lease::on_lost`](super::Lease::on_lost).
///
/// Dropping it unregisters the handler, and so does [`unregister`](Self::unregister);
/// [`forget`](Self::forget) keeps the handler for as long as the lease lives. A handler that was
/// unregistered does not start any more; one that is running just then runs to its end.
#[must_use = "dropping a subscription unregisters its handler: keep it, or call `forget`"]
pub struct Subscription {
    /// `None` when there is nothing to do any more.
    unregister: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Subscription {
    /// For those who write a lease of their own: an implementation of
    /// [`interface::Lease`](super::interface::Lease), which has an example.
    ///
    /// `unregister` takes the handler off the list. It is called once, when the subscription is dropped or
    /// [`unregister`](Self::unregister) is called, on that thread, which may be a handler's own and may be
    /// unwinding: it must not wait for handlers and must not panic. After [`forget`](Self::forget) it is
    /// not called.
    pub fn new(unregister: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { unregister: Some(Box::new(unregister)) }
    }

    /// Unregisters the handler.
    pub fn unregister(self) {}

    /// Keeps the handler registered for as long as the lease lives.
    pub fn forget(mut self) {
        self.unregister = None;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(unregister) = self.unregister.take() {
            unregister();
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Subscription").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::driver::BoxFuture;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A pool of two threads for blocking work, and nothing else.
    struct TwoThreads(mpsc::Sender<Box<dyn FnOnce() + Send>>);

    impl TwoThreads {
        fn start() -> Self {
            let (sender, work) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
            let work = Arc::new(Mutex::new(work));
            for _ in 0..2 {
                let work = Arc::clone(&work);
                std::thread::spawn(move || {
                    loop {
                        let next = lock(&work).recv();
                        match next {
                            Ok(next) => next(),
                            Err(_) => return,
                        }
                    }
                });
            }
            Self(sender)
        }
    }

    impl Runtime for TwoThreads {
        fn spawn(&self, _: BoxFuture<'static, ()>) {
            unreachable!("no tasks here");
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            unreachable!("no timers here");
        }

        fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool {
            self.0.send(work).is_ok()
        }
    }

    #[test]
    fn a_subscription_of_ones_own_ends_once_or_is_forgotten() {
        fn is_for_any_thread<T: Send + Sync>(_: &T) {}
        let ends = Arc::new(Mutex::new(0));
        let subscribe = || {
            let ends = Arc::clone(&ends);
            Subscription::new(move || *lock(&ends) += 1)
        };
        is_for_any_thread(&subscribe());
        assert_eq!(*lock(&ends), 1, "dropped");
        subscribe().unregister();
        assert_eq!(*lock(&ends), 2);
        subscribe().forget();
        assert_eq!(*lock(&ends), 2);
        assert_eq!(Arc::strong_count(&ends), 1, "what is forgotten is let go");
    }

    /// With two threads for blocking work, a handler that hangs leaves one to the other, whatever is lost.
    #[test]
    fn a_handler_that_hangs_takes_one_thread_and_hears_the_latest_losses_in_order() {
        let runtime = TwoThreads::start();
        let subscribers = Arc::new(Subscribers::default());
        let (release, held) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let (slow, slow_heard) = mpsc::channel();
        subscribers
            .add(Box::new(move |reason| {
                let _ = started.send(());
                let _ = held.recv();
                let _ = slow.send(reason.clone());
            }))
            .forget();
        let (quick, quick_heard) = mpsc::channel();
        subscribers.add(Box::new(move |reason| drop(quick.send(reason.clone())))).forget();

        subscribers.lost(&runtime, &LostReason::Deleted);
        has_started.recv_timeout(PATIENCE).unwrap();
        assert_eq!(quick_heard.recv_timeout(PATIENCE), Ok(LostReason::Deleted));
        for round in 0..40 {
            let reason = if round % 2 == 0 { LostReason::Twin } else { LostReason::Cleared };
            subscribers.lost(&runtime, &reason);
            assert_eq!(quick_heard.recv_timeout(PATIENCE), Ok(reason), "round {round}");
        }
        drop(release);
        let heard: Vec<_> = (0..=MOST_WAITING).map(|_| slow_heard.recv_timeout(PATIENCE).unwrap()).collect();
        assert_eq!(heard[0], LostReason::Deleted);
        assert_eq!(heard[1..3], [LostReason::Twin, LostReason::Cleared]);
        assert_eq!(heard.last(), Some(&LostReason::Cleared));
        assert!(slow_heard.try_recv().is_err());
    }
}
