//! What other threads do while a driver runs.
//!
//! Virtual time has one thread, so a driver is never overtaken between two of its steps. Here it is: its clock lets
//! others in, since what comes of being overtaken depends on what the clock says next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use lease_core::Now;
use lease_core::driver::{BoxFuture, Clock};
use lease_sim::memory::VirtualTime;

/// What is done after so many looks of the driver at its clock.
struct Planned {
    looks: u64,
    deed: Box<dyn FnOnce() + Send>,
}

/// The other threads of one holder's process.
#[derive(Clone, Default)]
pub(crate) struct OtherThreads(Arc<Inner>);

#[derive(Default)]
struct Inner {
    driver_runs: AtomicBool,
    planned: Mutex<Option<Planned>>,
}

impl OtherThreads {
    /// Does this while the driver runs, after so many looks at its clock. Instead of what was planned before.
    pub(crate) fn plan(&self, looks: u64, deed: impl FnOnce() + Send + 'static) {
        *self.0.planned.lock().unwrap() = Some(Planned { looks, deed: Box::new(deed) });
    }

    /// Nothing is planned any more.
    pub(crate) fn end(&self) {
        let planned = self.0.planned.lock().unwrap().take();
        drop(planned);
    }

    /// The driver's task, observed.
    pub(crate) fn beside(&self, mut driver: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
        let others = self.clone();
        Box::pin(std::future::poll_fn(move |context| {
            others.0.driver_runs.store(true, Ordering::SeqCst);
            let polled: Poll<()> = driver.as_mut().poll(context);
            others.0.driver_runs.store(false, Ordering::SeqCst);
            polled
        }))
    }

    fn overtake(&self) {
        if !self.0.driver_runs.load(Ordering::SeqCst) {
            return;
        }
        let mut planned = self.0.planned.lock().unwrap();
        let due = match planned.as_mut() {
            Some(Planned { looks: 0, .. }) => planned.take(),
            Some(Planned { looks, .. }) => {
                *looks -= 1;
                None
            }
            None => None,
        };
        // The deed looks at the clock itself.
        drop(planned);
        if let Some(Planned { deed, .. }) = due {
            deed();
        }
    }
}

/// The clock of a holder whose process has other threads.
pub(crate) struct SharedClock {
    pub(crate) time: VirtualTime,
    pub(crate) others: OtherThreads,
}

impl Clock for SharedClock {
    fn now(&self) -> Now {
        self.others.overtake();
        self.time.now()
    }
}
