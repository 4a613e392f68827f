//! From `http` to surf and back. surf's types are narrower: a closed list of methods and statuses, header
//! values in ASCII only, URLs in one form. What does not fit is an error or goes beside them, never a panic.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use http_body_util::Full;
use surf::http as types;
use surf::{Body, Url};

use super::error::ClientError;
use super::origin::Origin;

/// The exact head of a response, in the extensions of surf's response: every status and every header, as they
/// came.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) version: http::Version,
    pub(crate) headers: HeaderMap,
}

/// In the extensions of a request: whether bytes of it may have been sent by now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Committed(Arc<AtomicBool>);

impl Committed {
    pub(super) fn set(&self, committed: bool) {
        self.0.store(committed, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A request with its whole URI, for surf.
///
/// Point 10: by `Request::new`, from a URL that was parsed here; surf's `client.get(&str)` and its like panic
/// when the text is no URL.
pub(crate) fn to_surf(request: http::Request<Bytes>) -> Result<surf::Request, ClientError> {
    let (head, body) = request.into_parts();
    let url = Url::parse(&head.uri.to_string()).map_err(|_| ClientError::Request("the address is no URL"))?;
    // The URL library resolves `..` and encodes more than is needed: another object, perhaps.
    if url.path() != head.uri.path() || url.query() != head.uri.query() {
        return Err(ClientError::Request("the address would not stay as it is"));
    }
    let method = types::Method::from_str(head.method.as_str())
        .map_err(|_| ClientError::Request("surf does not know the method"))?;
    let mut request = surf::Request::new(method, url);
    for (name, value) in &head.headers {
        let value = types::headers::HeaderValue::from_bytes(value.as_bytes().to_vec())
            .map_err(|_| ClientError::Request("surf takes header values in ASCII only"))?;
        request.append_header(name.as_str(), value);
    }
    if !body.is_empty() {
        // Point 9: after the headers, and no type that we did not give: surf would make it
        // `application/octet-stream`.
        request.set_body(Body::from_bytes(body.into()));
        if !head.headers.contains_key(CONTENT_TYPE) {
            request.remove_header(CONTENT_TYPE.as_str());
        }
    }
    Ok(request)
}

/// surf's request, for hyper, if it is for this origin.
pub(super) async fn to_hyper(
    mut request: types::Request,
    origin: &Origin,
) -> Result<http::Request<Full<Bytes>>, ClientError> {
    if Origin::of(request.url()).as_ref() != Some(origin) {
        return Err(ClientError::OtherOrigin);
    }
    let method = http::Method::from_bytes(request.method().as_ref().as_bytes())
        .ok()
        // Its answer would not be a response.
        .filter(|method| method != http::Method::CONNECT)
        .ok_or(ClientError::Request("the method cannot be sent"))?;
    let path = match request.url().query() {
        Some(query) => format!("{}?{query}", request.url().path()),
        None => request.url().path().to_owned(),
    };
    let uri = Uri::try_from(path).map_err(|_| ClientError::Request("the address cannot be sent"))?;
    let headers = headers_to_hyper(&request, origin)?;
    let body = request.take_body().into_bytes().await;
    let body = body.map_err(|_| ClientError::Request("the request's body cannot be read"))?;
    let mut request = http::Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

fn headers_to_hyper(request: &types::Request, origin: &Origin) -> Result<HeaderMap, ClientError> {
    let unsaid = |_| ClientError::Request("a header cannot be sent");
    let mut headers = HeaderMap::new();
    let host = HeaderValue::try_from(origin.host_header());
    headers.insert(HOST, host.map_err(|_| ClientError::Request("a header cannot be sent"))?);
    for (name, values) in request.iter() {
        let name = http::HeaderName::from_str(name.as_str())
            .map_err(|_| ClientError::Request("a header cannot be sent"))?;
        if name == HOST {
            continue;
        }
        for value in values {
            let mut value = HeaderValue::from_str(value.as_str()).map_err(unsaid)?;
            value.set_sensitive(name == AUTHORIZATION);
            headers.append(name.clone(), value);
        }
    }
    Ok(headers)
}

/// hyper's response, for surf, with the head as it came beside it.
pub(super) fn from_hyper(head: http::response::Parts, body: Body) -> types::Response {
    let mut response = types::Response::new(nearest(head.status));
    response.set_version(Some(match head.version {
        http::Version::HTTP_10 => types::Version::Http1_0,
        _ => types::Version::Http1_1,
    }));
    response.set_body(body);
    response.remove_header(types::headers::CONTENT_TYPE);
    for (name, value) in &head.headers {
        // Point 6: surf has no room for a value beyond ASCII, and panics when handed one as text. The exact
        // head has it.
        if let Ok(value) = types::headers::HeaderValue::from_bytes(value.as_bytes().to_vec()) {
            response.append_header(name.as_str(), value);
        }
    }
    let head = Head { status: head.status, version: head.version, headers: head.headers };
    response.ext_mut().insert(head);
    response
}

/// The status, or for one that surf does not know the general one of its class, as RFC 9110 (15) has it.
fn nearest(status: StatusCode) -> types::StatusCode {
    types::StatusCode::try_from(status.as_u16()).unwrap_or(match status.as_u16() / 100 {
        1 | 2 => types::StatusCode::Ok,
        3 => types::StatusCode::MultipleChoice,
        4 => types::StatusCode::BadRequest,
        _ => types::StatusCode::InternalServerError,
    })
}
