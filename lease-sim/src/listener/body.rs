//! Response bodies: whole ones, and streams that can be cut.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// What the listener sends.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// All at once.
    Whole(Option<Bytes>),
    /// Piece by piece; an error closes the connection at that point.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Outgoing {
    /// The first bytes of a body, then a closed connection.
    pub(crate) fn cut(body: &Bytes, at: usize) -> Self {
        let (sender, receiver) = mpsc::channel(2);
        // The channel has room for both, and its receiver lives.
        let _ = sender.try_send(Ok(body.slice(..at.min(body.len()))));
        let _ = sender.try_send(Err(io::Error::other("cut on purpose")));
        Self::Pieces(receiver)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match self.get_mut() {
            Self::Whole(body) => body.take().map(|bytes| Ok(Frame::data(bytes))),
            Self::Pieces(receiver) => {
                ready!(receiver.poll_recv(context)).map(|piece| piece.map(Frame::data))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}
