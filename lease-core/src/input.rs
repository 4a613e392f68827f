//! What goes in.

use bytes::Bytes;

use crate::identifiers::RequestId;

/// Everything that can happen to a [`Lease`](crate::Lease).
///
/// Exhaustive on purpose: a driver that skips a new kind of input would be wrong.
/// Every input is legal in every state, and commands are goals: giving one twice changes nothing.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed. Due whenever [`poll_timeout`](crate::Lease::poll_timeout) has come.
    Tick,
    /// Try once to get the lease. Ends with one [`AttemptEnded`](crate::Event::AttemptEnded).
    ///
    /// While holding: answered "already held" without a request. While an attempt is running: joins it.
    /// While releasing: waits for the release's end. During a campaign: looks at once.
    TryAcquire,
    /// Hold the lease whenever that is possible, until [`Input::Release`]; also again after a loss.
    Campaign,
    /// Give the lease back, cancel what is being acquired, end the campaign. Ends with one
    /// [`ReleaseEnded`](crate::Event::ReleaseEnded).
    Release,
    /// The response to a request: status, headers and the whole body, at most `max_body` bytes of it.
    Response {
        /// Of the request.
        id: RequestId,
        /// As it came, unjudged.
        response: http::Response<Bytes>,
    },
    /// A request brought no response.
    Failed {
        /// Of the request.
        id: RequestId,
        /// What is known about it.
        failure: Failure,
    },
    /// Bytes of the body of a watch. The first one, which may be empty, says that it is open: see
    /// [`OpenWatch`](crate::Action::OpenWatch).
    WatchChunk {
        /// Of the watch.
        id: RequestId,
        /// As they came, cut anywhere.
        bytes: Bytes,
    },
    /// An open watch ended, in whatever way.
    WatchClosed {
        /// Of the watch.
        id: RequestId,
    },
    /// The credentials were read afresh, or could not be: the answer to
    /// [`RefreshCredentials`](crate::Action::RefreshCredentials).
    CredentialsReady {
        /// Of the action.
        id: RequestId,
    },
}

/// Why a request brought no response.
///
/// Exhaustive on purpose. When in doubt say [`Unknown`](Self::Unknown): it costs one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// No byte of the request left this process: it cannot have been applied.
    NotSent,
    /// It may or may not have been applied, now or later: time-outs, resets, truncated responses.
    Unknown,
    /// Like [`Unknown`](Self::Unknown), and the response was longer than `max_body`.
    TooLarge,
}
