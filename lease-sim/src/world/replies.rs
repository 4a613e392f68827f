//! Answers that the modelled API server does not give by itself, and what is read off requests for people.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};

use crate::plan::{Garbage, Throttle};

/// One byte more than is read.
static HUGE: [u8; (1 << 20) + 1] = [b' '; (1 << 20) + 1];

fn json(code: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A `Status` as kube-apiserver writes it.
fn status(code: u16, reason: &str, message: &str) -> Response<Bytes> {
    json(
        code,
        format!(
            "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\
             \"message\":\"{message}\",\"reason\":\"{reason}\",\"code\":{code}}}\n"
        ),
    )
}

/// A Lease, as a GET answers it.
pub(super) fn object(body: Bytes) -> Response<Bytes> {
    json(200, body)
}

/// There is no such Lease.
pub(super) fn absent() -> Response<Bytes> {
    const BODY: &str = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\
        \"message\":\"leases.coordination.k8s.io \\\"job\\\" not found\",\"reason\":\"NotFound\",\
        \"details\":{\"name\":\"job\",\"group\":\"coordination.k8s.io\",\"kind\":\"leases\"},\"code\":404}\n";
    json(404, Bytes::from_static(BODY.as_bytes()))
}

/// An error of the server, or of a proxy before it.
pub(super) fn error(code: u16) -> Response<Bytes> {
    match code {
        500 => status(500, "InternalError", "etcdserver: leader changed"),
        504 => status(504, "Timeout", "Timeout: request did not complete within requested timeout"),
        _ => json(code, Bytes::from_static(b"<html><body>upstream error</body></html>")),
    }
}

pub(super) fn unauthorized() -> Response<Bytes> {
    status(401, "Unauthorized", "Unauthorized")
}

pub(super) fn forbidden() -> Response<Bytes> {
    status(403, "Forbidden", "leases.coordination.k8s.io is forbidden")
}

pub(super) fn unavailable() -> Response<Bytes> {
    status(503, "ServiceUnavailable", "the server is currently unable to handle the request")
}

/// The history does not reach back that far.
pub(super) fn gone() -> Response<Bytes> {
    status(410, "Expired", "The resourceVersion for the provided watch is too old.")
}

/// A proxy that knows of no such path.
pub(super) fn page() -> Response<Bytes> {
    let mut response = json(404, Bytes::from_static(b"<html><body>404 page not found</body></html>"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

pub(super) fn throttled(throttle: Throttle) -> Response<Bytes> {
    let mut response = status(429, "TooManyRequests", "Too many requests, please try again later.");
    let value = match throttle {
        Throttle::Seconds(seconds) => Some(HeaderValue::from(seconds)),
        Throttle::Missing => None,
        Throttle::Negative => Some(HeaderValue::from_static("-5")),
        Throttle::Date => Some(HeaderValue::from_static("Thu, 01 Jan 2099 00:00:00 GMT")),
    };
    if let Some(value) = value {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

/// Spoils an answer; whether it can still be read.
pub(super) fn garble(response: Response<Bytes>, garbage: Garbage) -> (Response<Bytes>, bool) {
    let (mut parts, before) = response.into_parts();
    let body = before.clone();
    let text = |body: &Bytes| String::from_utf8_lossy(body).into_owned();
    let body = match garbage {
        Garbage::Truncated => body.slice(..body.len() / 2),
        Garbage::Empty => Bytes::new(),
        Garbage::Page => Bytes::from_static(b"<html><body>please log in</body></html>"),
        Garbage::Binary => Bytes::from_static(b"\x00\xff\xfe\x1f\x8b\x08\xc3\x28"),
        Garbage::OtherKind => {
            Bytes::from_static(b"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"job\"}}")
        }
        Garbage::OtherName => text(&body).replace("\"job\"", "\"another\"").into(),
        Garbage::NoVersion => text(&body).replace("\"uid\"", "\"uid_\"").into(),
        Garbage::ContentType => {
            parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            body
        }
        Garbage::NotANumber => text(&body).replace("\"spec\":{", "\"spec\":{\"x\":NaN,").into(),
        // The world knows what went before.
        Garbage::Misrouted => body,
        Garbage::Huge => Bytes::from_static(&HUGE),
    };
    let readable = body == before;
    (Response::from_parts(parts, body), readable)
}

/// Whether an answer says for certain what became of a write.
pub(super) fn is_definite(response: &Response<Bytes>) -> bool {
    let failure = response.body().starts_with(b"{\"kind\":\"Status\"");
    match response.status().as_u16() {
        200 | 201 => true,
        400..=499 => failure,
        _ => false,
    }
}

/// What came of a request, for people.
pub(super) fn outcome(response: Option<&Response<Bytes>>, not_sent: bool) -> String {
    match response {
        Some(response) => response.status().as_u16().to_string(),
        None if not_sent => "not sent".to_owned(),
        None => "unknown".to_owned(),
    }
}

/// What a request carries, for people.
pub(super) fn about(request: &Request<Bytes>) -> String {
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(request.body()) else {
        return String::new();
    };
    let mut parts = Vec::new();
    let mut add = |name: &str, pointers: &[&str]| {
        let found = pointers.iter().find_map(|pointer| body.pointer(pointer)?.as_str());
        if let Some(text) = found.filter(|text| !text.is_empty()) {
            parts.push(format!("{name} {text}"));
        }
    };
    add("version", &["/metadata/resourceVersion", "/preconditions/resourceVersion"]);
    add("holder", &["/spec/holderIdentity"]);
    add("renewTime", &["/spec/renewTime"]);
    if body.pointer("/spec/holderIdentity").and_then(|holder| holder.as_str()) == Some("") {
        parts.push("clears the holder".to_owned());
    }
    parts.join(", ")
}
