//! Virtual time: an executor whose clock stands still while anything can run, and jumps when nothing can.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use lease_core::driver::{BoxFuture, Clock, Runtime};
use lease_core::{MonoTime, Now, WallTime};

/// 2024-01-01T00:00:00Z: where virtual time begins.
const EPOCH_MICROS: i64 = 1_704_067_200_000_000;

/// A clock, and the single-threaded executor that turns it. Clones are the same.
///
/// Time passes only in [`block_on`](Self::block_on), and only when nothing else can happen: then the clock jumps
/// to the next timer. Tasks run in the order in which they were woken, timers of one instant in the order in
/// which they were set, so a test takes the same steps on every run. Work for blocking threads runs in turn, on
/// the thread that runs everything else.
#[derive(Clone)]
pub struct VirtualTime(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    running: AtomicBool,
}

#[derive(Default)]
struct State {
    now: MonoTime,
    ready: VecDeque<Ready>,
    /// By instant and then by age.
    timers: BTreeMap<(MonoTime, u64), Waker>,
    next_timer: u64,
}

enum Ready {
    Task(Arc<Task>),
    Work(Box<dyn FnOnce() + Send>),
}

struct Task {
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    queued: AtomicBool,
    time: VirtualTime,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            let time = self.time.clone();
            time.state().ready.push_back(Ready::Task(self));
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl VirtualTime {
    /// A clock that stands at 2024-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        let state = State { now: MonoTime::from_nanos(1), ..State::default() };
        Self(Arc::new(Inner { state: Mutex::new(state), running: AtomicBool::new(false) }))
    }

    /// Puts the clocks forward without waking anybody on the way, as when the machine was suspended: timers
    /// that were due meanwhile fire when it is over.
    pub fn suspend(&self, time: Duration) {
        let mut state = self.state();
        state.now = state.now.saturating_add(time);
    }

    /// Runs a future, and everything that was spawned, until the future is done. What is still running then goes
    /// on at the next call.
    ///
    /// # Panics
    ///
    /// If the future can never be done, since nothing is left to run and no timer is set; and if it is called
    /// while it runs already.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        assert!(!self.0.running.swap(true, Ordering::SeqCst), "block_on inside of block_on");
        let _running = Running(&self.0.running);
        let mut future = pin!(future);
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            if woken.0.swap(false, Ordering::SeqCst)
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return output;
            }
            while self.run_one() {}
            if !woken.0.load(Ordering::SeqCst) {
                assert!(self.jump(), "virtual time: nothing is left to run and no timer is set");
            }
        }
    }

    /// Runs what has waited for longest.
    fn run_one(&self) -> bool {
        let next = self.state().ready.pop_front();
        match next {
            None => return false,
            Some(Ready::Work(work)) => work(),
            Some(Ready::Task(task)) => {
                task.queued.store(false, Ordering::SeqCst);
                let waker = Waker::from(Arc::clone(&task));
                let mut slot = lock(&task.future);
                if let Some(future) = slot.as_mut()
                    && future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
                {
                    *slot = None;
                }
            }
        }
        true
    }

    /// To the next timer; false if there is none.
    fn jump(&self) -> bool {
        let mut state = self.state();
        let Some(((instant, _), waker)) = state.timers.pop_first() else {
            return false;
        };
        state.now = state.now.max(instant);
        drop(state);
        waker.wake();
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

struct Running<'a>(&'a AtomicBool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Takes its timer back when it is dropped, so that time does not jump to what nobody waits for.
struct Timer {
    time: VirtualTime,
    key: (MonoTime, u64),
}

impl Drop for Timer {
    fn drop(&mut self) {
        let removed = self.time.state().timers.remove(&self.key);
        // Not under the lock: what goes with a waker may be a task, and timers with it.
        drop(removed);
    }
}

impl Clock for VirtualTime {
    fn now(&self) -> Now {
        let mono = self.state().now;
        let micros = i64::try_from(mono.as_nanos() / 1_000).unwrap_or(i64::MAX);
        Now { mono, wall: WallTime::from_micros(EPOCH_MICROS.saturating_add(micros)) }
    }
}

impl Runtime for VirtualTime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let task =
            Task { future: Mutex::new(Some(task)), queued: AtomicBool::new(false), time: self.clone() };
        Arc::new(task).wake();
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.state();
        let key = (state.now.saturating_add(time), state.next_timer);
        state.next_timer += 1;
        drop(state);
        let timer = Timer { time: self.clone(), key };
        Box::pin(poll_fn(move |context| {
            let mut state = timer.time.state();
            if state.now >= timer.key.0 {
                return Poll::Ready(());
            }
            let replaced = state.timers.insert(timer.key, context.waker().clone());
            drop(state);
            drop(replaced);
            Poll::Pending
        }))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool {
        self.state().ready.push_back(Ready::Work(work));
        true
    }
}

impl Default for VirtualTime {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for VirtualTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("VirtualTime").field("now", &self.state().now).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
