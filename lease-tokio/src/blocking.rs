//! Threads for blocking work, when there are any.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::Handle;

/// Starts `work` on a thread for blocking work; false, and `work` is dropped, when there is none to be had.
///
/// tokio panics when the operating system gives it no thread, which a process at its limit meets at any time.
/// That must cost neither the driver nor a renewal.
pub(crate) fn try_spawn(runtime: &Handle, work: impl FnOnce() + Send + 'static) -> bool {
    catch_unwind(AssertUnwindSafe(|| drop(runtime.spawn_blocking(work)))).is_ok()
}
