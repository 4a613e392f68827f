//! What the driver needs of a runtime.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// A boxed future, as the methods of [`Runtime`] and [`Transport`](super::Transport) return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tasks, timers and threads: what an adapter gives the driver of its runtime.
pub trait Runtime: Send + Sync + 'static {
    /// Runs a task to its end, beside everything else. The driver spawns one for each holder.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Resolves when `time` has passed, or later. It may stand still while the machine is suspended: whoever
    /// sleeps looks at the clock afterwards.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;

    /// Starts `work`, which may block for as long as it likes, on a thread of its own or of a pool; false, and
    /// `work` is dropped, when there is none to be had. Must not block and must not panic.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool;
}

impl<T: Runtime + ?Sized> Runtime for Arc<T> {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        (**self).spawn(task);
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        (**self).sleep(time)
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool {
        (**self).spawn_blocking(work)
    }
}

/// The future's output; `None`, and the future is dropped, if it takes longer than `time`.
///
/// [`Duration::MAX`] waits for ever and asks the runtime for no timer.
pub async fn timeout<F: Future>(runtime: &dyn Runtime, time: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    if time == Duration::MAX {
        return Some(future.await);
    }
    let mut sleep = runtime.sleep(time);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// Lets everything else run once.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
