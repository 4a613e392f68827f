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

/// Sends a last piece, then breaks the stream. Only once the piece was taken: the connection writes out what
/// it has when it finds nothing more, and an error that is there already would swallow the piece.
pub(crate) async fn break_after(sender: &mpsc::Sender<io::Result<Bytes>>, piece: Bytes) {
    // An error means that the client is gone: then there is nothing to break.
    if sender.send(Ok(piece)).await.is_err() {
        return;
    }
    let free = sender.max_capacity();
    if let Ok(permits) = sender.reserve_many(free).await {
        drop(permits);
        let _ = sender.send(Err(io::Error::other("cut on purpose"))).await;
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match self.get_mut() {
            Self::Whole(body) => body.take().map(|bytes| Ok(Frame::data(bytes))),
            Self::Pieces(receiver) => ready!(receiver.poll_recv(context)).map(|piece| piece.map(Frame::data)),
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
