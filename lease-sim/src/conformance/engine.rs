//! Runs cases: several at once, each with a limit, and none can take another down.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Once, PoisonError, RwLock, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use lease_core::driver::{Adapter, BoxFuture, Clock, Runtime, SystemClock, timeout};

use super::bench::Bench;
use super::report::{Outcome, Report, Verdict};

/// How long after its limit a case may still take to be dropped.
const GRACE: Duration = Duration::from_secs(10);

/// Cases that disturb others (they stop a server that is not theirs alone, or count what it does) write, all others
/// read. For all suites of a process.
static GATE: RwLock<()> = RwLock::new(());

/// Drives a future to its end, as the adapter's users do.
pub(super) type BlockOn = dyn Fn(BoxFuture<'static, ()>) + Send + Sync;

/// One thing that every adapter has to do, or must not do.
pub(super) struct Case<A> {
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    pub(super) shows: &'static str,
    pub(super) limit: Duration,
    /// No other case may run meanwhile.
    pub(super) alone: bool,
    pub(super) work: fn(Bench<A>) -> BoxFuture<'static, ()>,
}

impl<A> Clone for Case<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Case<A> {}

/// Cases of one group, one line each: the function that is the case, and what it shows.
macro_rules! cases {
    ($adapter:ident, $group:literal, $($name:ident => $shows:literal,)*) => {
        vec![$($crate::conformance::engine::Case {
            group: $group,
            name: stringify!($name),
            shows: $shows,
            limit: $crate::conformance::LIMIT,
            alone: false,
            work: |bench| Box::pin($name::<$adapter>(bench)),
        }),*]
    };
}
pub(super) use cases;

/// How many cases run at once, and how long they wait for what has to come.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) at_once: usize,
    pub(super) patience: Duration,
}

/// Runs all cases, so many at a time, then those that must be alone.
pub(super) fn run<A: Adapter>(
    adapter: &str,
    cases: &[Case<A>],
    pace: Pace,
    block_on: &Arc<BlockOn>,
) -> Report {
    listen_for_panics();
    let began = SystemClock.now().mono;
    let outcomes: Vec<Mutex<Option<Outcome>>> = cases.iter().map(|_| Mutex::new(None)).collect();
    let run = |at: usize| {
        let outcome = run_one(adapter, cases[at], pace.patience, block_on);
        *outcomes[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    };
    let (alone, together): (VecDeque<_>, VecDeque<_>) = (0..cases.len()).partition(|at| cases[*at].alone);
    let queue = Mutex::new(together);
    thread::scope(|scope| {
        for _ in 0..pace.at_once.max(1) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(at) = next else { return };
                    let _shared = GATE.read().unwrap_or_else(PoisonError::into_inner);
                    run(at);
                }
            });
        }
    });
    for at in alone {
        let _alone = GATE.write().unwrap_or_else(PoisonError::into_inner);
        run(at);
    }
    let outcomes = outcomes
        .into_iter()
        .filter_map(|outcome| outcome.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect();
    let took = SystemClock.now().mono.saturating_since(began);
    Report { adapter: adapter.to_owned(), outcomes, took }
}

/// On a thread of its own: one that blocks for ever is left behind, and said so.
fn run_one<A: Adapter>(adapter: &str, case: Case<A>, patience: Duration, block_on: &Arc<BlockOn>) -> Outcome {
    let Case { group, name, shows, limit, .. } = case;
    let began = SystemClock.now().mono;
    let (sender, receiver) = mpsc::channel();
    let block_on = Arc::clone(block_on);
    let bench = Bench::new(adapter, patience);
    let work = move || {
        let verdict = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&verdict);
        let driven = catch_unwind(AssertUnwindSafe(|| {
            block_on(Box::pin(async move {
                let came = drive::<A>(bench, case).await;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
            }));
        }));
        let verdict = verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
        let verdict = match (verdict, driven) {
            (Some(verdict), _) => verdict,
            (None, Ok(())) => Verdict::Failed("block_on returned before the case was done".to_owned()),
            (None, Err(panic)) => Verdict::Failed(format!("block_on panicked: {}", message(&*panic))),
        };
        // Whoever does not wait any more has said why.
        let _ = sender.send(verdict);
    };
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    let verdict = match spawned {
        Err(error) => Verdict::Failed(format!("no thread for it: {error}")),
        Ok(_) => receiver.recv_timeout(limit + GRACE).unwrap_or_else(|_| {
            Verdict::Failed(format!(
                "still not done {GRACE:?} after its limit of {limit:?}: a future blocks its thread, or sleeps \
                 do not end"
            ))
        }),
    };
    Outcome { group, name, shows, verdict, took: SystemClock.now().mono.saturating_since(began) }
}

async fn drive<A: Adapter>(mut bench: Bench<A>, case: Case<A>) -> Verdict {
    let runtime: Arc<dyn Runtime> = match A::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return Verdict::Failed(format!("there is no runtime: {error}")),
    };
    bench.enter(Arc::clone(&runtime));
    let (skipped, tasks) = (bench.skipped(), bench.tasks());
    let work = guarded(move || (case.work)(bench));
    let came = timeout(&*runtime, case.limit, work).await;
    tasks.end();
    match came {
        None => Verdict::Failed(format!("not done within {:?}", case.limit)),
        Some(Err(panic)) => Verdict::Failed(panic),
        Some(Ok(())) => match skipped.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(why) => Verdict::Skipped(why),
            None => Verdict::Passed,
        },
    }
}

thread_local! {
    /// A future of ours is being polled by this thread.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// Where it panicked, and what it said.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The hook that is there goes on to be called for every other panic of the process.
fn listen_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if GUARDED.get() {
                PANICKED.set(Some(describe(info)));
            } else {
                previous(info);
            }
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = message(info.payload());
    match info.location() {
        Some(at) => format!("{}:{}: {message}", at.file(), at.line()),
        None => message,
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

/// The future's output, or where it panicked and what it said. The future is dropped by then.
pub(super) async fn guarded<T, F: Future<Output = T>>(make: impl FnOnce() -> F) -> Result<T, String> {
    let mut future: Option<Pin<Box<F>>> = None;
    let mut make = Some(make);
    poll_fn(move |context| {
        let outer = GUARDED.replace(true);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(make) = make.take() {
                future = Some(Box::pin(make()));
            }
            let polled = match &mut future {
                Some(future) => future.as_mut().poll(context),
                None => Poll::Pending,
            };
            if polled.is_ready() {
                future = None;
            }
            polled
        }));
        let result = match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => {
                let said = PANICKED.take().unwrap_or_else(|| message(&*panic));
                // What it holds is dropped quietly, too.
                let _ = catch_unwind(AssertUnwindSafe(|| future = None));
                Poll::Ready(Err(said))
            }
        };
        GUARDED.set(outer);
        result
    })
    .await
}
