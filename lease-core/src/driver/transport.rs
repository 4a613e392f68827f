//! The seam between the driver and an HTTP client.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
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

    /// The API server said 401: reads tokens and certificates afresh. Resolves when that is done or has
    /// failed; if it has failed the next request will tell.
    fn refresh_credentials(&self) -> BoxFuture<'_, ()>;
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<http::Response<Bytes>, SendError>> {
        (**self).send(call)
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
    /// After this long nobody waits for the response any more. The driver drops the future by then.
    pub time_left: Duration,
    /// The most bytes of the response's body that may be read. A longer one is [`Failure::TooLarge`].
    pub max_body: usize,
}

impl Call {
    /// A request to be sent.
    pub fn new(request: http::Request<Bytes>, time_left: Duration, max_body: usize) -> Self {
        Self { request, time_left, max_body }
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
