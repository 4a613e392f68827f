//! tokio's tasks, timers and threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use lease_core::driver::{BoxFuture, Runtime, SetupError};
use tokio::runtime::Handle;
use tokio::time::sleep;

/// tokio as a [`Runtime`]. The default is whichever tokio runtime it is used on.
#[derive(Clone, Debug, Default)]
pub struct TokioRuntime(Option<Handle>);

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
        Ok(Self(Some(handle)))
    }

    fn handle(&self) -> Option<Handle> {
        self.0.clone().or_else(|| Handle::try_current().ok())
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
        let ours = if Handle::try_current().is_err() { self.0.as_ref() } else { None };
        let _within = ours.map(Handle::enter);
        Box::pin(sleep(time))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool {
        // tokio panics when the operating system gives it no thread, which a process at its limit meets at any
        // time. That must cost neither the driver nor a renewal.
        let spawn = |handle: Handle| catch_unwind(AssertUnwindSafe(|| drop(handle.spawn_blocking(work))));
        self.handle().is_some_and(|handle| spawn(handle).is_ok())
    }
}
