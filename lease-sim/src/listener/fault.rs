//! What can go wrong on purpose.

use bytes::Bytes;
use http::{Request, Response};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// What is done to one request instead of plainly answering it.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Wait, then apply the request and answer.
    DelayBefore(Duration),
    /// Apply the request, wait, then answer.
    DelayAfter(Duration),
    /// Never apply it, never answer.
    HangBefore,
    /// Apply it, never answer.
    HangAfter,
    /// Close the connection without applying the request.
    CloseBefore,
    /// Apply the request, then close the connection without an answer.
    CloseAfter,
    /// Answer this without applying the request.
    Answer(Response<Bytes>),
    /// Apply the request, then answer this.
    AnswerAfter(Response<Bytes>),
    /// Apply the request and answer it, but close the connection after so many bytes of the body. The head
    /// still announces the whole length. On a watch: end the stream after so many bytes.
    CutBody(usize),
}

impl Fault {
    /// An answer with a status and a body, not applied. An invalid status becomes 500.
    #[must_use]
    pub fn status(code: u16, body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(body.into());
        *response.status_mut() =
            http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        Self::Answer(response)
    }
}

type Hook = Box<dyn FnMut(&Request<Bytes>) -> Option<Fault> + Send>;

/// Faults that wait for requests: a queue first, then a hook.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) queue: VecDeque<Fault>,
    pub(crate) hook: Option<Hook>,
}

impl Faults {
    pub(crate) fn next(&mut self, request: &Request<Bytes>) -> Option<Fault> {
        self.queue.pop_front().or_else(|| self.hook.as_mut().and_then(|hook| hook(request)))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Faults")
            .field("queue", &self.queue)
            .field("hook", &self.hook.is_some())
            .finish()
    }
}
