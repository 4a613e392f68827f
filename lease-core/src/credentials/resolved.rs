//! Credentials, complete and checked.

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};

use super::connection::{Connection, CredentialWarning, ProxyUrl};
use super::error::CredentialError;
use super::pem::{CaBundle, ClientCertificate};
use super::token::BearerToken;
use super::url::ServerUrl;
use crate::WallTime;

/// Address, certificate authority and authentication of one source, complete and checked.
///
/// Only [`CredentialSource::resolve`](super::CredentialSource::resolve) and
/// [`Rotation`](super::Rotation) make one, and no part of it can be exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    server: ServerUrl,
    ca: Option<CaBundle>,
    authentication: Authentication,
    expires_at: Option<WallTime>,
    namespace: Option<String>,
    connection: Connection,
}

/// How we show who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// Not at all: the server must allow anonymous requests.
    None,
    /// With a bearer token in every request.
    Token(BearerToken),
    /// With a client certificate in every TLS handshake.
    ClientCertificate(ClientCertificate),
    /// With both: one in every handshake, the other in every request. Which one counts is the server's choice.
    TokenAndClientCertificate {
        /// The token.
        token: BearerToken,
        /// The client certificate.
        certificate: ClientCertificate,
    },
}

/// How we show who we are, and until when that is good.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) authentication: Authentication,
    pub(super) expires_at: Option<WallTime>,
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
        shown: Shown,
        namespace: Option<String>,
        connection: Connection,
    ) -> Result<Self, CredentialError> {
        let Shown { authentication, expires_at } = shown;
        let way = match authentication {
            Authentication::None => Way::None,
            Authentication::Token(_) => Way::Token,
            Authentication::ClientCertificate(_) | Authentication::TokenAndClientCertificate { .. } => {
                Way::ClientCertificate
            }
        };
        may_go_to(&server, way)?;
        Ok(Self { server, ca, authentication, expires_at, namespace, connection })
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

    /// The namespace that the source names: that of the pod, or of the kubeconfig's context. A default for a
    /// lease's namespace.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The client certificate to show in TLS handshakes, if that is how we show who we are.
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        match &self.authentication {
            Authentication::ClientCertificate(certificate)
            | Authentication::TokenAndClientCertificate { certificate, .. } => Some(certificate),
            Authentication::None | Authentication::Token(_) => None,
        }
    }

    /// The `Authorization` header of every request, if that is how we show who we are.
    pub fn authorization(&self) -> Option<HeaderValue> {
        self.token().map(BearerToken::header_value)
    }

    /// When an exec plugin's credentials expire, as it said. None: it did not say, or there is no plugin.
    pub fn expires_at(&self) -> Option<WallTime> {
        self.expires_at
    }

    /// The name that the server's certificate must be for, and that the handshake asks for, instead of the
    /// host of its address: a DNS name in lower case, or an IP address without brackets. Only a kubeconfig
    /// has one (`tls-server-name`). An adapter that cannot do that must refuse to start.
    pub fn tls_server_name(&self) -> Option<&str> {
        self.connection.tls_server_name.as_deref()
    }

    /// Whether the server's certificate is not to be verified at all. Only a kubeconfig says so, and only
    /// where the application allowed it; there is a [warning](Self::warnings) then.
    pub fn insecure_skip_tls_verify(&self) -> bool {
        self.connection.insecure
    }

    /// The proxy to send everything through. Only a kubeconfig has one (`proxy-url`). An adapter that cannot
    /// do that must refuse to start.
    pub fn proxy_url(&self) -> Option<&ProxyUrl> {
        self.connection.proxy.as_ref()
    }

    /// What an adapter must report, loudly, when these credentials first come into use. Usually nothing.
    pub fn warnings(&self) -> Vec<CredentialWarning> {
        match self.connection.insecure {
            true => vec![CredentialWarning::InsecureSkipTlsVerify { server: self.server.clone() }],
            false => Vec::new(),
        }
    }

    pub(super) fn token(&self) -> Option<&BearerToken> {
        match &self.authentication {
            Authentication::Token(token) | Authentication::TokenAndClientCertificate { token, .. } => {
                Some(token)
            }
            Authentication::None | Authentication::ClientCertificate(_) => None,
        }
    }

    pub(super) fn shown(&self) -> Shown {
        Shown { authentication: self.authentication.clone(), expires_at: self.expires_at }
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
