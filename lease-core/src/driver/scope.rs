//! Work that runs only while the lease is held.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::error::Interrupted;
use super::terms::{End, Signals};
use crate::FencingToken;

/// Runs `work` until it is done or the term is over, whichever is first.
///
/// Every poll of the work is preceded by a look at the clock, so it is never polled after the deadline, not
/// even when the driver is late to say so or gone.
///
/// With a `token` only that very term will do.
pub(crate) async fn while_held<F: Future>(
    signals: Arc<Signals>,
    token: Option<FencingToken>,
    work: F,
) -> Result<F::Output, Interrupted> {
    let Some(term) = signals.held().filter(|held| token.is_none_or(|token| token == held.token)) else {
        return Err(Interrupted::NotHeld);
    };
    let mut end = pin!(Arc::clone(&signals).end_of_term(term.token));
    {
        let mut work = pin!(work);
        let finished = poll_fn(|context| {
            if let Poll::Ready(end) = end.as_mut().poll(context) {
                return Poll::Ready(Err(Some(end)));
            }
            match signals.held() {
                Some(held) if held.token == term.token => work.as_mut().poll(context).map(Ok),
                _ => Poll::Ready(Err(None)),
            }
        })
        .await;
        match finished {
            Ok(output) => return Ok(output),
            Err(Some(end)) => return Err(end.into()),
            // The work is dropped here, before the reason is waited for.
            Err(None) => {}
        }
    }
    Err(end.await.into())
}

impl From<End> for Interrupted {
    fn from(end: End) -> Self {
        match end {
            End::Lost(reason) => Self::Lost(reason),
            End::Released => Self::Released,
        }
    }
}
