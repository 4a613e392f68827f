//! The four requests, and the watch.

use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Uri};

use crate::config::Config;
use crate::problem::Verb;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Read,
    Create,
    Update,
    Delete,
}

impl Kind {
    pub(crate) fn verb(self) -> Verb {
        match self {
            Self::Read => Verb::Get,
            Self::Create => Verb::Create,
            Self::Update => Verb::Update,
            Self::Delete => Verb::Delete,
        }
    }

    /// Whether an unknown outcome leaves something to be settled.
    pub(crate) fn writes(self) -> bool {
        self != Self::Read
    }
}

/// A request before it is polled. Comparable and hashable, which `http::Request` is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
}

/// Where requests for one Lease go. Made once: they are the same for every request.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    collection: Uri,
    object: Uri,
    /// With the query that says which object.
    watch: Box<str>,
}

impl Paths {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        // The names were validated: nothing in them needs to be encoded.
        let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        let object = format!("{collection}/{name}");
        let watch = format!("{collection}?watch=true&fieldSelector=metadata.name%3D{name}");
        Self {
            collection: collection.parse().unwrap_or_default(),
            object: object.parse().unwrap_or_default(),
            watch: watch.into(),
        }
    }
}

/// The names that they follow from are compared and hashed beside them.
impl PartialEq for Paths {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Paths {}

impl Hash for Paths {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
static READING: LazyLock<HeaderMap> = LazyLock::new(|| HeaderMap::from_iter([(ACCEPT, JSON)]));
static WRITING: LazyLock<HeaderMap> =
    LazyLock::new(|| HeaderMap::from_iter([(ACCEPT, JSON), (CONTENT_TYPE, JSON)]));

impl Call {
    pub(crate) fn into_request(self, config: &Config) -> Request<Bytes> {
        let paths = config.paths();
        let (method, uri) = match self.kind {
            Kind::Read => (Method::GET, &paths.object),
            Kind::Create => (Method::POST, &paths.collection),
            Kind::Update => (Method::PUT, &paths.object),
            Kind::Delete => (Method::DELETE, &paths.object),
        };
        let headers = if self.kind.writes() { &WRITING } else { &READING };
        let mut request = Request::new(self.body);
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = HeaderMap::clone(headers);
        request
    }
}

/// Asks for what happens to the object after the resource version `from`, for that many seconds; without one for
/// what there is, and then for what happens. The one way to watch a single object; with the field selector
/// RBAC's `resourceNames` apply.
pub(crate) fn watch_request(config: &Config, from: Option<&str>, seconds: u64) -> Request<Bytes> {
    let mut uri = format!("{}&timeoutSeconds={seconds}", config.paths().watch);
    if let Some(from) = from {
        uri.push_str("&resourceVersion=");
        uri.push_str(from);
    }
    let mut request = Request::new(Bytes::new());
    // What is watched from is a number.
    *request.uri_mut() = uri.parse().unwrap_or_default();
    *request.headers_mut() = HeaderMap::clone(&READING);
    request
}
