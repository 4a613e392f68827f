//! A thread for every task, one for all timers.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use lease_core::MonoTime;
use lease_core::driver::{BoxFuture, Clock, Runtime, SystemClock};

use crate::sins::{Sin, commit};

type Work = Box<dyn FnOnce() + Send>;

/// The runtime.
pub struct Threads {
    sin: Option<Sin>,
    /// For whoever does one thing at a time.
    queue: OnceLock<mpsc::Sender<Work>>,
}

thread_local! {
    /// This thread runs a task, or a case.
    static KNOWN: Cell<bool> = const { Cell::new(false) };
    static IN_A_TASK: Cell<bool> = const { Cell::new(false) };
}

impl Threads {
    pub fn new(sin: Option<Sin>) -> Self {
        Self { sin, queue: OnceLock::new() }
    }

    fn in_turn(&self, work: Work) -> bool {
        let queue = self.queue.get_or_init(|| {
            let (sender, receiver) = mpsc::channel::<Work>();
            thread::spawn(move || receiver.into_iter().for_each(|work| work()));
            sender
        });
        queue.send(work).is_ok()
    }
}

impl Runtime for Threads {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let sin = self.sin;
        if sin == Some(Sin::NoTasksOfTasks) && IN_A_TASK.get() {
            return;
        }
        let work = move || {
            commit(sin);
            IN_A_TASK.set(true);
            block_on(task);
        };
        if sin == Some(Sin::TasksInTurn) {
            self.in_turn(Box::new(work));
        } else {
            thread::spawn(work);
        }
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let time = if self.sin == Some(Sin::ShortSleeps) { time / 2 } else { time };
        let picky = self.sin == Some(Sin::SleepsNeedTheRuntime);
        let until = SystemClock.now().mono.saturating_add(time);
        let timer = Timer { key: timers().key(until) };
        Box::pin(poll_fn(move |context| {
            if SystemClock.now().mono >= until {
                return Poll::Ready(());
            }
            if !picky || KNOWN.get() {
                timers().wake_at(timer.key, context.waker().clone());
            }
            Poll::Pending
        }))
    }

    fn spawn_blocking(&self, work: Work) -> bool {
        match self.sin {
            Some(Sin::NoBlockingWork) => true,
            Some(Sin::OneBlockingThread) => self.in_turn(work),
            _ => thread::Builder::new().spawn(work).is_ok(),
        }
    }
}

/// The smallest executor there is.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    KNOWN.set(true);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Forgets its waker when it is dropped.
struct Timer {
    key: (MonoTime, u64),
}

impl Drop for Timer {
    fn drop(&mut self) {
        timers().state.lock().unwrap().waiting.remove(&self.key);
    }
}

#[derive(Default)]
struct Timers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<(MonoTime, u64), Waker>,
    next: u64,
}

fn timers() -> &'static Timers {
    static TIMERS: OnceLock<Timers> = OnceLock::new();
    static THREAD: OnceLock<()> = OnceLock::new();
    let timers = TIMERS.get_or_init(Timers::default);
    THREAD.get_or_init(|| drop(thread::spawn(|| timers.run())));
    timers
}

impl Timers {
    fn key(&self, until: MonoTime) -> (MonoTime, u64) {
        let mut state = self.state.lock().unwrap();
        state.next += 1;
        (until, state.next)
    }

    fn wake_at(&self, key: (MonoTime, u64), waker: Waker) {
        self.state.lock().unwrap().waiting.insert(key, waker);
        self.changed.notify_one();
    }

    fn run(&self) {
        let mut state = self.state.lock().unwrap();
        loop {
            let now = SystemClock.now().mono;
            while let Some(entry) = state.waiting.first_entry()
                && entry.key().0 <= now
            {
                entry.remove().wake();
            }
            let next = state.waiting.first_key_value().map(|((at, _), _)| at.saturating_since(now));
            state = match next {
                Some(wait) => self.changed.wait_timeout(state, wait).unwrap().0,
                None => self.changed.wait(state).unwrap(),
            };
        }
    }
}
