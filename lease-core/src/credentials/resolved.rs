//! Credentials, complete and checked.

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};

use super::error::CredentialError;
use super::pem::{CaBundle, ClientCertificate};
use super::token::BearerToken;
use super::url::ServerUrl;

/// Address, certificate authority and authentication of one source, complete and checked.
///
/// Only [`CredentialSource::resolve`](super::CredentialSource::resolve) and
/// [`Rotation`](super::Rotation) make one, and no part of it can be exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    server: ServerUrl,
    ca: Option<CaBundle>,
    authentication: Authentication,
    namespace: Option<String>,
}

/// How we show who we are. Exactly one way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// Not at all: the server must allow anonymous requests.
    None,
    /// With a bearer token in every request.
    Token(BearerToken),
    /// With a client certificate in every TLS handshake.
    ClientCertificate(ClientCertificate),
}

/// The ways of [`Authentication`], before there is any content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    None,
    Token,
    ClientCertificate,
}

impl Credentials {
    /// The one place where an address and a secret come together.
    pub(super) fn new(
        server: ServerUrl,
        ca: Option<CaBundle>,
        authentication: Authentication,
        namespace: Option<String>,
    ) -> Result<Self, CredentialError> {
        let way = match authentication {
            Authentication::None => Way::None,
            Authentication::Token(_) => Way::Token,
            Authentication::ClientCertificate(_) => Way::ClientCertificate,
        };
        may_go_to(&server, way)?;
        Ok(Self { server, ca, authentication, namespace })
    }

    /// The API server.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Whom to trust to vouch for the server, and nobody else. None: the adapter's default roots.
    /// Verification is on in either case.
    pub fn ca(&self) -> Option<&CaBundle> {
        self.ca.as_ref()
    }

    /// How we show who we are.
    pub fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    /// The namespace that the source names: that of the pod, in-cluster. A default for a lease's namespace.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The client certificate to show in TLS handshakes, if that is how we show who we are.
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        match &self.authentication {
            Authentication::ClientCertificate(certificate) => Some(certificate),
            Authentication::None | Authentication::Token(_) => None,
        }
    }

    /// The `Authorization` header of every request, if that is how we show who we are.
    pub fn authorization(&self) -> Option<HeaderValue> {
        match &self.authentication {
            Authentication::Token(token) => Some(token.header_value()),
            Authentication::None | Authentication::ClientCertificate(_) => None,
        }
    }

    /// Makes a request for a path into one that can be sent: the full URI of our server, and our
    /// `Authorization` header and no other.
    ///
    /// # Errors
    /// As [`ServerUrl::join`].
    pub fn prepare<B>(&self, mut request: Request<B>) -> Result<Request<B>, CredentialError> {
        *request.uri_mut() = self.server.join(request.uri())?;
        request.headers_mut().remove(AUTHORIZATION);
        if let Some(value) = self.authorization() {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

/// Whether a secret of this kind may go to this server.
pub(super) fn may_go_to(server: &ServerUrl, way: Way) -> Result<(), CredentialError> {
    if server.is_https() {
        return Ok(());
    }
    match way {
        Way::Token if !server.is_loopback() => {
            Err(CredentialError::PlainHttpToken { server: server.clone() })
        }
        Way::ClientCertificate => Err(CredentialError::PlainHttpClientCertificate { server: server.clone() }),
        Way::None | Way::Token => Ok(()),
    }
}
