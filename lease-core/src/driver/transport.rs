//! The seam between the driver and an HTTP client.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::runtime::BoxFuture;
use crate::Failure;

/// Carries requests to one API server. The adapter's own unless a test or another HTTP client is plugged in with
/// [`Builder::transport`](super::Builder::transport).
///
/// A transport adds origin and authorization, and nothing else: it follows no redirect, retries nothing,
/// and hands every status back as a response. Dropping a future that it returned gives the request up and
/// must not let its response be taken for another request's. The futures are polled by the holder's own task:
/// they must not block their thread.
pub trait Transport: Send + Sync + 'static {
    /// Sends one request and reads the whole response.
    fn send(&self, call: Call) -> BoxFuture<'_, Result<http::Response<Bytes>, SendError>>;

    /// Opens a watch: sends one request, resolves as soon as the head of the response is there, whatever its
    /// status, and hands the body out in pieces as they come, cut anywhere. Only asked of holders that
    /// [watch](crate::ConfigBuilder::watch).
    ///
    /// `time_left` is for the head. The body may take minutes, and be silent for most of them. For as long as it is
    /// open no other request may wait for its connection; dropping it closes that connection. A body that ends
    /// before its announced end, or in the midst of its chunks, ends with an error, never as if it were whole.
    ///
    /// By default: this transport cannot watch, which is [`Failure::NotSent`]. The holder goes on without, and says
    /// so from time to time with a [`WatchTrouble`](crate::Event::WatchTrouble).
    fn watch(&self, call: Call) -> BoxFuture<'_, Result<http::Response<Chunks>, SendError>> {
        drop(call);
        Box::pin(async { Err(SendError::new(Failure::NotSent, "this transport cannot watch")) })
    }

    /// The API server said 401: reads tokens and certificates afresh. Resolves when that is done or has
    /// failed; if it has failed the next request will tell.
    fn refresh_credentials(&self) -> BoxFuture<'_, ()>;
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<http::Response<Bytes>, SendError>> {
        (**self).send(call)
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Result<http::Response<Chunks>, SendError>> {
        (**self).watch(call)
    }

    fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
        (**self).refresh_credentials()
    }
}

/// One request to be sent.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call {
    /// Method, path with query, headers and body. The URI has no origin, the headers have no authorization.
    pub request: http::Request<Bytes>,
    /// After this long nobody waits for the response any more. The driver drops the future by then. Of a
    /// [watch](Transport::watch): for its head.
    pub time_left: Duration,
    /// The most bytes of the response's body that may be read. A longer one is [`Failure::TooLarge`]. A
    /// [watch](Transport::watch) reads as many as come.
    pub max_body: usize,
}

impl Call {
    /// A request to be sent.
    pub fn new(request: http::Request<Bytes>, time_left: Duration, max_body: usize) -> Self {
        Self { request, time_left, max_body }
    }
}

/// The body of a response to [`Transport::watch`], in pieces as they come. Dropping it gives the watch up and closes
/// its connection.
///
/// It is a stream that needs no crate of streams: one that you have becomes this with
/// `Chunks::from_fn(move |context| stream.as_mut().poll_next(context))`.
pub struct Chunks(Option<Pieces>);

/// Pieces, then the end, or an error.
type Pieces = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Piece>> + Send>;
type Piece = Result<Bytes, SendError>;

impl Chunks {
    /// Whatever this function gives when it is polled: pieces, then `None`, or an error. It is not called any more
    /// after either, and dropped on the spot. As a future's `poll`, it arranges for the task to be woken
    /// when it has nothing yet.
    pub fn from_fn(
        poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, SendError>>> + Send + 'static,
    ) -> Self {
        Self(Some(Box::new(poll)))
    }

    /// The next piece, which is never empty; `None` when the body ended as it should. After that, and after an
    /// error, `None` for ever.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SendError>>> {
        let Some(poll) = &mut self.0 else {
            return Poll::Ready(None);
        };
        match ready!(poll(context)) {
            Some(Ok(piece)) if piece.is_empty() => {
                // Not at once: a body of empty pieces must not keep its task from anything else.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(piece)) => Poll::Ready(Some(Ok(piece))),
            over => {
                self.0 = None;
                Poll::Ready(over)
            }
        }
    }

    /// [`poll_next`](Self::poll_next) as a future. Dropping it loses nothing.
    pub async fn next(&mut self) -> Option<Result<Bytes, SendError>> {
        poll_fn(|context| self.poll_next(context)).await
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Chunks").field("over", &self.0.is_none()).finish_non_exhaustive()
    }
}

/// Why a request brought no response.
#[derive(Debug)]
pub struct SendError {
    failure: Failure,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl SendError {
    /// A failure and what caused it. The cause must not contain anything secret.
    ///
    /// [`Failure::NotSent`] only when it is certain that no byte of the request left this process; when in
    /// doubt [`Failure::Unknown`].
    pub fn new(failure: Failure, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { failure, cause: Some(cause.into()) }
    }

    /// What the state machine is told.
    pub fn failure(&self) -> Failure {
        self.failure
    }
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        Self { failure, cause: None }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.failure {
            Failure::NotSent => "the request could not be sent",
            Failure::Unknown => "the request brought no response",
            Failure::TooLarge => "the response is longer than max_body",
        })
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
