//! tokio's tasks, timers and threads.

use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use lease_core::driver::{BoxFuture, Runtime, SetupError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// tokio as a [`Runtime`]. The default is whichever tokio runtime it is used on.
#[derive(Clone, Debug, Default)]
pub struct TokioRuntime {
    handle: Option<Handle>,
    /// That runtime was shut down, and its timers with it.
    gone: Arc<AtomicBool>,
}

impl TokioRuntime {
    /// The runtime that this is called on. From here on its tasks and threads serve the holder, and its timers
    /// whoever polls on an executor that is not tokio.
    ///
    /// # Errors
    ///
    /// [`SetupError::NoRuntime`] outside of a runtime, [`SetupError::NoTimers`] if it was built without.
    pub fn current() -> Result<Self, SetupError> {
        let handle = Handle::try_current().map_err(|_| SetupError::NoRuntime)?;
        // tokio has no other way to ask than to try: without timers `sleep` panics.
        catch_unwind(AssertUnwindSafe(|| drop(sleep(Duration::ZERO)))).map_err(|_| SetupError::NoTimers)?;
        Ok(Self { handle: Some(handle), gone: Arc::default() })
    }

    fn handle(&self) -> Option<Handle> {
        self.handle.clone().or_else(|| Handle::try_current().ok())
    }
}

impl Runtime for TokioRuntime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if let Some(handle) = self.handle() {
            handle.spawn(task);
        }
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        // Whoever polls on a runtime of its own is served by that one, which is there; ours may be gone.
        let Some(ours) = self.handle.as_ref().filter(|_| Handle::try_current().is_err()) else {
            return Box::pin(sleep(time));
        };
        if self.gone.load(Ordering::SeqCst) {
            return Box::pin(sleep_without_a_runtime(time));
        }
        let within = ours.enter();
        let mut timer = Box::pin(sleep(time));
        drop(within);
        let gone = Arc::clone(&self.gone);
        Box::pin(async move {
            // A timer whose runtime is shut down panics when it is polled. tokio has no way to ask first.
            let polled =
                poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| timer.as_mut().poll(context))) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(())) => Poll::Ready(true),
                    Err(_) => Poll::Ready(false),
                });
            if !polled.await {
                gone.store(true, Ordering::SeqCst);
                sleep_without_a_runtime(time).await;
            }
        })
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool {
        // tokio panics when the operating system gives it no thread, which a process at its limit meets at any
        // time. That must cost neither the driver nor a renewal.
        let spawn = |handle: Handle| catch_unwind(AssertUnwindSafe(|| drop(handle.spawn_blocking(work))));
        self.handle().is_some_and(|handle| spawn(handle).is_ok())
    }
}

/// For whoever still waits, on an executor that is not tokio, when the runtime is gone: for a term to run out.
#[expect(clippy::disallowed_methods, reason = "there is no runtime left whose timer could be waited for")]
async fn sleep_without_a_runtime(time: Duration) {
    let (awake, sleeps) = oneshot::channel::<()>();
    let sleeper = move || {
        thread::sleep(time);
        drop(awake);
    };
    match thread::Builder::new().name("lease-timer".to_owned()).spawn(sleeper) {
        Ok(_) => drop(sleeps.await),
        // No thread to be had: whoever polls lends his own for a moment, and looks at the clock again.
        Err(_) => thread::sleep(time.min(Duration::from_millis(10))),
    }
}
