//! A watch that is being opened or is open: what the transport gives, as the machine takes it.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::runtime::{BoxFuture, Runtime, timeout};
use super::transport::{Call, Chunks, SendError, Transport};
use super::trouble::LastTrouble;
use crate::{Failure, Input, RequestId};

/// Until its last input is taken. Dropping it gives the watch up.
pub(crate) struct Watch {
    pub(crate) id: RequestId,
    state: State,
    trouble: Arc<LastTrouble>,
}

enum State {
    Opening(BoxFuture<'static, Result<Opened, SendError>>),
    Open(Chunks),
    Over,
}

/// What came of the attempt to open it.
enum Opened {
    Streams(Chunks),
    Refused(http::Response<Bytes>),
}

impl Watch {
    pub(crate) fn open(
        id: RequestId,
        call: Call,
        transport: Arc<dyn Transport>,
        runtime: Arc<dyn Runtime>,
        trouble: Arc<LastTrouble>,
    ) -> Self {
        let opening = async move {
            let in_time = timeout(&*runtime, call.time_left, open(&*transport, call)).await;
            in_time.unwrap_or_else(|| {
                Err(SendError::new(Failure::Unknown, "the server did not begin a watch in time"))
            })
        };
        Self { id, state: State::Opening(Box::pin(opening)), trouble }
    }

    /// The next input, and whether it is the last.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Input, bool)> {
        let id = self.id;
        let was_open = matches!(self.state, State::Open(_));
        let polled = catch_unwind(AssertUnwindSafe(|| self.poll_unguarded(context)));
        let input = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(input)) => input,
            // A transport that panics has told nothing.
            Err(_) if was_open => Input::WatchClosed { id },
            Err(_) => Input::Failed { id, failure: Failure::Unknown },
        };
        let is_last = !matches!(input, Input::WatchChunk { .. });
        Poll::Ready((input, is_last))
    }

    fn poll_unguarded(&mut self, context: &mut Context<'_>) -> Poll<Input> {
        let id = self.id;
        match &mut self.state {
            State::Opening(opening) => opening.as_mut().poll(context).map(|opened| match opened {
                Ok(Opened::Streams(chunks)) => {
                    self.state = State::Open(chunks);
                    // Before any event, since there may be none for minutes.
                    Input::WatchChunk { id, bytes: Bytes::new() }
                }
                Ok(Opened::Refused(response)) => Input::Response { id, response },
                Err(error) => {
                    self.trouble.set(&error);
                    Input::Failed { id, failure: error.failure() }
                }
            }),
            State::Open(chunks) => chunks.poll_next(context).map(|piece| match piece {
                Some(Ok(bytes)) => Input::WatchChunk { id, bytes },
                Some(Err(error)) => {
                    self.trouble.set(&error);
                    Input::WatchClosed { id }
                }
                None => Input::WatchClosed { id },
            }),
            State::Over => Poll::Pending,
        }
    }

    /// Lets go of the transport's part, which may panic when it is dropped.
    pub(crate) fn end(mut self) {
        let state = mem::replace(&mut self.state, State::Over);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(state)));
    }
}

async fn open(transport: &dyn Transport, call: Call) -> Result<Opened, SendError> {
    let max_body = call.max_body;
    let (head, mut chunks) = transport.watch(call).await?.into_parts();
    if head.status == StatusCode::OK {
        return Ok(Opened::Streams(chunks));
    }
    let mut body = BytesMut::new();
    while let Some(piece) = chunks.next().await {
        let piece = piece?;
        if piece.len() > max_body - body.len() {
            return Err(Failure::TooLarge.into());
        }
        body.extend_from_slice(&piece);
    }
    Ok(Opened::Refused(http::Response::from_parts(head, body.freeze())))
}
