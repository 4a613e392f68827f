//! Response bodies, chunk by chunk as they come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::io::{AsyncBufRead, AsyncRead};
use hyper::body::{Body, Incoming};

use super::error::ClientError;
use super::pool::{Pool, Sender};

/// A body that is being read. Each chunk is handed out as soon as it is there.
pub(super) struct ResponseBody {
    state: State,
    chunk: Bytes,
}

enum State {
    /// More is to come.
    ///
    /// Point 5: whoever drops the body here drops the connection's sender with it, and hyper closes the
    /// connection: nobody else can get to read what is left.
    Open {
        incoming: Incoming,
        sender: Sender,
        pool: Arc<Pool>,
    },
    Done,
    /// It broke off. That stays an error: the next read must not look like the end.
    Broken,
}

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, sender: Sender, pool: Arc<Pool>) -> Self {
        let mut body = Self { state: State::Open { incoming, sender, pool }, chunk: Bytes::new() };
        body.release_if_ended();
        body
    }

    /// How long the body is, if the server said so in advance.
    pub(super) fn announced(&self) -> Option<usize> {
        match &self.state {
            State::Open { incoming, .. } => incoming.size_hint().exact()?.try_into().ok(),
            State::Done | State::Broken => Some(0),
        }
    }

    /// Point 4: the connection goes back to the pool as soon as the last frame is here, and at once when
    /// there is none: surf stops reading at the announced length and never asks what comes after.
    fn release_if_ended(&mut self) {
        if matches!(&self.state, State::Open { incoming, .. } if incoming.is_end_stream()) {
            self.release();
        }
    }

    fn release(&mut self) {
        if let State::Open { sender, pool, .. } = std::mem::replace(&mut self.state, State::Done) {
            pool.put(sender);
        }
    }

    /// Waits for bytes that nobody has read yet. None are left at the end.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.chunk.is_empty() {
            let incoming = match &mut self.state {
                State::Open { incoming, .. } => incoming,
                State::Done => return Poll::Ready(Ok(())),
                State::Broken => return Poll::Ready(Err(io::Error::other("the response broke off before"))),
            };
            match ready!(Pin::new(incoming).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // Anything else are trailers, which nobody waits for.
                    self.chunk = frame.into_data().unwrap_or_default();
                    self.release_if_ended();
                }
                Some(Err(error)) => {
                    self.state = State::Broken;
                    return Poll::Ready(Err(ClientError::Body(error).into()));
                }
                None => self.release(),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for ResponseBody {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let body = self.get_mut();
        ready!(body.poll_chunk(context))?;
        Poll::Ready(Ok(&body.chunk))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let chunk = &mut self.get_mut().chunk;
        chunk.advance(amount.min(chunk.len()));
    }
}

impl AsyncRead for ResponseBody {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let body = self.get_mut();
        ready!(body.poll_chunk(context))?;
        let read = buffer.len().min(body.chunk.len());
        body.chunk.copy_to_slice(&mut buffer[..read]);
        Poll::Ready(Ok(read))
    }
}
