//! What a response means.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, RETRY_AFTER};
use http::{Response, StatusCode};

use super::record::Record;
use super::request::Kind;
use super::status::Status;
use crate::config::Config;
use crate::problem::{Malformation, Message, Problem};

/// A response, judged.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The record, as read or as written.
    Record(Record),
    /// A DELETE took effect.
    Deleted,
    /// There is no such object, and the API server itself says so.
    Absent,
    /// A write met another state than the one it was made for.
    Conflict,
    /// Everything else.
    Trouble(Trouble),
}

/// Something went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) problem: Problem,
    /// The API server refused the request: it was not applied and never will be. Otherwise a write has an
    /// unknown outcome.
    pub(crate) definite: bool,
    pub(crate) retry_after: Option<Duration>,
}

impl Trouble {
    pub(crate) fn unclear(problem: Problem) -> Self {
        Self { problem, definite: false, retry_after: None }
    }

    pub(crate) fn definite(problem: Problem) -> Self {
        Self { problem, definite: true, retry_after: None }
    }
}

impl Reply {
    /// `last` is the record last read: what has not changed need not be read again.
    pub(crate) fn judge(
        kind: Kind,
        response: &Response<Bytes>,
        config: &Config,
        last: Option<&Record>,
    ) -> Self {
        let body = response.body();
        if body.len() > config.max_body() {
            return Self::unclear(Problem::TooLarge);
        }
        match response.status() {
            StatusCode::OK | StatusCode::CREATED => Self::success(kind, body, config, last),
            status => Self::failure(kind, status, response, config),
        }
    }

    fn success(kind: Kind, body: &Bytes, config: &Config, last: Option<&Record>) -> Self {
        if kind == Kind::Delete && Status::parse(body).is_some_and(|status| status.is_success()) {
            return Self::Deleted;
        }
        match Record::read(body, config, last) {
            Ok(record) => Self::Record(record),
            Err(malformation) => Self::unclear(Problem::Malformed(malformation)),
        }
    }

    fn failure(kind: Kind, code: StatusCode, response: &Response<Bytes>, config: &Config) -> Self {
        let retry_after = retry_after(response.headers());
        let said = Status::parse(response.body()).filter(Status::is_failure);
        let message = || Message::new(said.as_ref().and_then(|said| said.message.as_deref()).unwrap_or(""));
        let problem = match (code.as_u16(), &said) {
            (404, Some(said)) if said.names_namespace() => Problem::NamespaceMissing,
            (404, Some(said)) if said.names_lease(config.name()) => match kind {
                Kind::Read | Kind::Delete => return Self::Absent,
                // The API server answers 409 to a PUT with a UID, and never 404 to a POST.
                Kind::Create | Kind::Update => return Self::unclear(Problem::NotThisApi),
            },
            (404, _) => return Self::unclear(Problem::NotThisApi),
            (409, Some(_)) if kind.writes() => return Self::Conflict,
            (401, _) => Problem::Unauthorized,
            (403, Some(said)) if said.has_cause("NamespaceTerminating") => Problem::NamespaceTerminating,
            (403, Some(_)) => Problem::Forbidden { verb: kind.verb(), message: message() },
            (429, _) => Problem::TooManyRequests { retry_after },
            (code @ (400 | 402 | 405..=408 | 410..=428 | 430..=499), Some(_)) => {
                Problem::Refused { code, message: message() }
            }
            (code @ 300..=399, _) => return Self::unclear(Problem::Redirect { code }),
            (200..=299, _) => return Self::unclear(Problem::Malformed(Malformation::NotALease)),
            (code, _) => {
                let problem = Problem::Status { code, message: message() };
                return Self::Trouble(Trouble { problem, definite: false, retry_after });
            }
        };
        // Without a Status the answer is not the API server's: somebody between us may say anything.
        Self::Trouble(Trouble { problem, definite: said.is_some(), retry_after })
    }

    fn unclear(problem: Problem) -> Self {
        Self::Trouble(Trouble::unclear(problem))
    }
}

/// `Retry-After` in seconds. The form with a date is not used by API servers and counts as absent.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
