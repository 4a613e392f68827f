//! Connections that wait for the next request.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use lease_core::MonoTime;
use lease_core::driver::Clock;

use crate::runtime;

/// The sending end of a connection. Dropping it closes the connection, at once if a request is under way.
pub(super) type Sender = http1::SendRequest<Full<Bytes>>;

/// One for each request that may be under way, and some for other leases that share the client.
pub(super) const IDLE_CONNECTIONS: usize = 4;
/// Connections that were idle for longer are not used again. The clock counts the time that the machine
/// sleeps: after that, connections that only look open are left behind.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection whose response was read to its end is ready within microseconds. One that is not, as when
/// async-std's threads are all taken, is given up: a fresh connection needs none of them.
const PATIENCE: Duration = Duration::from_millis(250);

/// The idle connections to one origin: all were verified for the very name that requests are for.
pub(super) struct Pool {
    clock: Arc<dyn Clock>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: Sender,
    since: MonoTime,
}

impl Pool {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, idle: Mutex::default() }
    }

    /// Keeps a connection whose response was read to its end.
    pub(super) fn put(&self, sender: Sender) {
        let now = self.clock.now().mono;
        let mut idle = self.idle();
        idle.retain(|old| old.is_fresh(now));
        if idle.len() == IDLE_CONNECTIONS {
            idle.remove(0);
        }
        idle.push(Idle { sender, since: now });
    }

    /// The connection that was used last and takes a request now, if there is one.
    pub(super) async fn take(&self) -> Option<Sender> {
        loop {
            let mut sender = self.pop()?;
            let ready = poll_fn(|context| sender.poll_ready(context));
            if let Some(Ok(())) = runtime::timeout(PATIENCE, ready).await {
                return Some(sender);
            }
        }
    }

    fn pop(&self) -> Option<Sender> {
        let now = self.clock.now().mono;
        let mut idle = self.idle();
        idle.retain(|old| old.is_fresh(now));
        idle.pop().map(|last| last.sender)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.idle().len()
    }

    /// Those of them that are not known to be closed.
    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.idle().iter().filter(|idle| !idle.sender.is_closed()).count()
    }
}

impl Idle {
    fn is_fresh(&self, now: MonoTime) -> bool {
        !self.sender.is_closed() && now.saturating_since(self.since) <= IDLE_TIMEOUT
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").field("idle", &self.idle().len()).finish_non_exhaustive()
    }
}
