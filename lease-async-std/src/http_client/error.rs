//! Why a request brought no response, and whether it can have reached the server.

use std::error::Error;
use std::fmt;
use std::io;

use lease_core::Failure;

/// A cause of another crate's type.
type Cause = Box<dyn Error + Send + Sync>;

/// Point 11: the one type of error that the client gives surf, to be found again by its type. An error is
/// always a failure to talk; every HTTP status is a response.
///
/// Point 8: it names its source. hyper's and rustls' own texts are one level deep ("connection error").
#[derive(Debug)]
pub(crate) enum ClientError {
    /// The request is for another server than this client's.
    OtherOrigin,
    /// The request cannot be said in HTTP, or not by surf; the text says what.
    Request(&'static str),
    /// No connection came about.
    Connect(Stage, Cause),
    /// The connection ended before the first byte of the request was written to it.
    NotSent(hyper::Error),
    /// The connection ended after that, and before the response.
    Exchange(hyper::Error),
    /// The response broke off.
    Body(hyper::Error),
}

/// What there is to do before a request can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// All of it together took too long.
    InTime,
    /// The host's addresses.
    Resolve,
    /// TCP.
    Tcp,
    /// The proxy's tunnel.
    Proxy,
    /// The TLS handshake.
    Tls,
}

impl ClientError {
    pub(super) fn connect(stage: Stage, cause: impl Into<Cause>) -> Self {
        Self::Connect(stage, cause.into())
    }

    /// As surf takes it. The status is a form that surf asks for: nobody may take it for the server's.
    pub(super) fn into_surf(self) -> surf::Error {
        surf::Error::new(surf::StatusCode::BadGateway, self)
    }

    /// What the state machine is told.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::OtherOrigin | Self::Request(_) | Self::Connect(..) | Self::NotSent(_) => Failure::NotSent,
            Self::Exchange(_) | Self::Body(_) => Failure::Unknown,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OtherOrigin => "the request is for another server",
            Self::Request(why) => why,
            Self::Connect(Stage::InTime, _) => "no connection came about in time",
            Self::Connect(Stage::Resolve, _) => "the server's address cannot be found",
            Self::Connect(Stage::Tcp, _) => "the server cannot be connected to",
            Self::Connect(Stage::Proxy, _) => "the proxy gives no tunnel to the server",
            Self::Connect(Stage::Tls, _) => "there is no TLS with the server",
            Self::NotSent(_) => "the connection ended before the request was sent",
            Self::Exchange(_) => "the connection ended before the response",
            Self::Body(_) => "the response broke off",
        })
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::OtherOrigin | Self::Request(_) => None,
            Self::Connect(_, source) => Some(source.as_ref()),
            Self::NotSent(source) | Self::Exchange(source) | Self::Body(source) => Some(source),
        }
    }
}

impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        Self::other(error)
    }
}
