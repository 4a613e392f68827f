//! The four requests.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Method, Request};

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

impl Call {
    pub(crate) fn into_request(self, config: &Config) -> Request<Bytes> {
        // The names were validated: nothing in them needs to be encoded.
        let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", config.namespace());
        let (method, path) = match self.kind {
            Kind::Read => (Method::GET, format!("{collection}/{}", config.name())),
            Kind::Create => (Method::POST, collection),
            Kind::Update => (Method::PUT, format!("{collection}/{}", config.name())),
            Kind::Delete => (Method::DELETE, format!("{collection}/{}", config.name())),
        };
        let json = HeaderValue::from_static("application/json");
        let mut request = Request::new(self.body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        request.headers_mut().insert(ACCEPT, json.clone());
        if self.kind.writes() {
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        request
    }
}
