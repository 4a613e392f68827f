//! What comes out.

use bytes::Bytes;

use crate::event::Event;
use crate::identifiers::{FencingToken, RequestId};
use crate::time::MonoTime;

/// One thing to do or to know. Exhaustive on purpose.
#[derive(Clone, Debug)]
#[must_use = "a dropped output is a request that is never sent or a loss that nobody hears of"]
pub enum Output {
    /// Something the driver must do.
    Action(Action),
    /// Something the application may want to know.
    Event(Event),
    /// Nothing more until an input comes.
    Idle {
        /// Hand in [`Input::Tick`](crate::Input::Tick) at this instant; `None`: nothing is due by itself.
        wake: Option<MonoTime>,
        /// What is due then, for people who debug.
        reason: WakeReason,
    },
}

/// Something the driver must do. Exhaustive on purpose.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send a request and hand in its [`Response`](crate::Input::Response) or
    /// [`Failed`](crate::Input::Failed).
    Send {
        /// To hand back with the outcome.
        id: RequestId,
        /// Method, path, query, headers and body. The driver adds origin and authorization, follows no
        /// redirect and retries nothing.
        request: http::Request<Bytes>,
        /// When the machine stops waiting. A driver may give up by then, it need not.
        give_up_at: MonoTime,
        /// Read no more than this many bytes of the response's body.
        max_body: usize,
    },
    /// Open a watch, on a connection of its own: only with [`watch`](crate::ConfigBuilder::watch).
    ///
    /// When the head of the response says 200, hand in a [`WatchChunk`](crate::Input::WatchChunk) at once, empty if
    /// there are no bytes yet, then one for every piece of the body as it comes, and
    /// [`WatchClosed`](crate::Input::WatchClosed) at its end, however it ends. Any other status: read the body and
    /// hand in a [`Response`](crate::Input::Response). No response: [`Failed`](crate::Input::Failed).
    OpenWatch {
        /// To hand back with whatever comes.
        id: RequestId,
        /// As for [`Send`](Self::Send).
        request: http::Request<Bytes>,
        /// When the machine stops waiting for the head. What comes after it may take minutes; the machine
        /// [aborts](Self::Abort) a watch that lasts for too long.
        give_up_at: MonoTime,
        /// Read no more than this many bytes of the body of a response that is not 200.
        max_body: usize,
    },
    /// The response is no longer wanted: drop the request, or the watch, and its connection. Optional for a driver
    /// that opens no watches.
    Abort {
        /// Of the request.
        id: RequestId,
    },
    /// The API server said 401: read tokens and certificates afresh, then hand in
    /// [`CredentialsReady`](crate::Input::CredentialsReady).
    RefreshCredentials {
        /// To hand back.
        id: RequestId,
    },
}

/// Why a machine wants to be woken. Exhaustive on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WakeReason {
    /// Nothing is due.
    Nothing,
    /// The term ends by itself.
    TermEnds,
    /// A renewal is due.
    Renewal,
    /// A retry is due.
    Retry,
    /// A request, a refresh of credentials or a release is given up.
    GiveUp,
    /// A campaign looks again.
    Poll,
    /// The quarantine of an object that we created ends.
    QuarantineEnds,
    /// A watch is to be opened, or is given up.
    Watch,
}

/// A term, as of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    /// The instant at which the term ends by itself unless a renewal is confirmed. At it, it is not held.
    pub until: MonoTime,
    /// The term's fencing token.
    pub token: FencingToken,
}
