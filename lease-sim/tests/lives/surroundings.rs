//! What a holder has around it, and how that fails: the server, the transport, threads for blocking work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use lease_core::Failure;
use lease_core::driver::{BoxFuture, Call, Chunks, Runtime, SendError, Transport};
use lease_sim::memory::{Cluster, Fate, Server, VirtualTime};

use super::dice::Dice;
use super::other_threads::OtherThreads;

/// How many of a hundred requests the server spoils just now.
#[derive(Clone, Default)]
pub(crate) struct Trouble(Arc<AtomicU64>);

impl Trouble {
    pub(crate) fn set(&self, percent: u64) {
        self.0.store(percent, Ordering::SeqCst);
    }

    pub(crate) fn befalls(&self, cluster: &Cluster, dice: &Dice) {
        let (trouble, dice) = (self.clone(), dice.clone());
        cluster.server().decide(move |_| {
            if !dice.percent(trouble.0.load(Ordering::SeqCst)) {
                return Fate::Answered;
            }
            match dice.below(6) {
                0 => Fate::RequestLost,
                1 => Fate::ReplyLost,
                2 => Fate::Refused,
                3 => Fate::Status(StatusCode::INTERNAL_SERVER_ERROR),
                4 => Fate::Status(StatusCode::UNAUTHORIZED),
                _ => Fate::Status(StatusCode::TOO_MANY_REQUESTS),
            }
        });
    }
}

/// Virtual time that often has no thread for blocking work.
pub(crate) struct FewThreads {
    pub(crate) time: VirtualTime,
    pub(crate) dice: Dice,
    /// How often there is none.
    pub(crate) percent: u64,
    pub(crate) others: OtherThreads,
}

impl Runtime for FewThreads {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        // A holder spawns nothing but its driver.
        self.time.spawn(self.others.beside(task));
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.time.sleep(time)
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool {
        !self.dice.percent(self.percent) && self.time.spawn_blocking(work)
    }
}

/// A transport that is slow, panics now and then, and loses answers.
pub(crate) struct Moody {
    pub(crate) server: Server,
    pub(crate) time: VirtualTime,
    pub(crate) dice: Dice,
    /// How often it panics, and how often it loses an answer.
    pub(crate) percent: u64,
    /// Tells whether the transport is still there.
    pub(crate) _kept: Arc<()>,
}

impl Transport for Moody {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response<Bytes>, SendError>> {
        Box::pin(async move {
            if self.dice.percent(self.percent) {
                // Not `panic!`: the hook would print each of them.
                std::panic::resume_unwind(Box::new(()));
            }
            self.time.sleep(self.dice.millis(900)).await;
            let answer = self.server.send(call).await;
            self.time.sleep(self.dice.millis(900)).await;
            if self.dice.percent(self.percent) {
                return Err(Failure::Unknown.into());
            }
            answer
        })
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Result<Response<Chunks>, SendError>> {
        Box::pin(async move {
            if self.dice.percent(self.percent) {
                std::panic::resume_unwind(Box::new(()));
            }
            self.time.sleep(self.dice.millis(900)).await;
            let response = self.server.watch(call).await?;
            let (dice, percent) = (self.dice.clone(), self.percent);
            Ok(response.map(|mut chunks| {
                Chunks::from_fn(move |context| {
                    if dice.percent(percent) {
                        std::panic::resume_unwind(Box::new(()));
                    }
                    match chunks.poll_next(context) {
                        Poll::Ready(Some(Ok(_))) if dice.percent(percent) => {
                            Poll::Ready(Some(Err(Failure::Unknown.into())))
                        }
                        polled => polled,
                    }
                })
            }))
        })
    }

    fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
        self.time.sleep(self.dice.millis(4000))
    }
}
