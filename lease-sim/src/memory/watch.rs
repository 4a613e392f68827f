//! Watches of the model: who waits for its next change, and the lines that come of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use lease_core::driver::{BoxFuture, SendError};

use super::server::{Inner, lock};
use crate::api_server::{WatchId, WatchItem};

/// Who reads a watch, and whether the network between is there.
#[derive(Default)]
pub(super) struct Readers {
    wakers: Mutex<Vec<Waker>>,
    away: AtomicBool,
}

impl Readers {
    /// Something may have changed.
    pub(super) fn wake(&self) {
        // Not under the lock: who is woken, or dropped with its waker, may come back here.
        let wakers = std::mem::take(&mut *lock(&self.wakers));
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Keeps back what there is to tell, or tells it.
    pub(super) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
        self.wake();
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }

    fn join(&self, waker: &Waker) {
        let mut wakers = lock(&self.wakers);
        if !wakers.iter().any(|other| other.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }
}

/// One watch. Dropping it closes it.
pub(super) struct Watch {
    server: Arc<Inner>,
    id: WatchId,
    /// Until a watch of this server may end by itself.
    timer: Option<BoxFuture<'static, ()>>,
}

impl Watch {
    pub(super) fn new(server: Arc<Inner>, id: WatchId) -> Self {
        Self { server, id, timer: None }
    }

    /// The next line, or the end.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SendError>>> {
        loop {
            // First of all: what changes after the look wakes us.
            self.server.readers.join(context.waker());
            if self.server.readers.is_away() {
                return Poll::Pending;
            }
            match self.look() {
                Some(WatchItem::Line(line)) => return Poll::Ready(Some(Ok(line))),
                Some(WatchItem::End) => return Poll::Ready(None),
                None => {}
            }
            let Some(timer) = &mut self.timer else { return Poll::Pending };
            match timer.as_mut().poll(context) {
                Poll::Ready(()) => self.timer = None,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn look(&mut self) -> Option<WatchItem> {
        let now = self.server.now();
        let mut model = lock(&self.server.model);
        model.expire_watches(now);
        let item = model.poll_watch(self.id);
        if item.is_none()
            && self.timer.is_none()
            && let Some(timers) = &self.server.timers
            && let Some(deadline) = model.next_watch_deadline()
        {
            let micros = deadline.0.saturating_sub(now.0);
            self.timer = Some(timers.sleep(Duration::from_micros(u64::try_from(micros).unwrap_or(0))));
        }
        item
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.server.model).close_watch(self.id);
    }
}
