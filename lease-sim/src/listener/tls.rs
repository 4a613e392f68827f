//! A made certificate authority, and what it signs.

use super::EmbeddedServerError;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use std::fmt;
use std::sync::Arc;

/// A certificate authority whose key is at hand. `Debug` does not show the key.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// What clients are told to trust. Its key is the issuer's, its bytes may be of an earlier run.
    certificate_pem: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// What a server makes of clients' certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    /// Does not ask for them.
    Unasked,
    /// Asks, and lets those in who have none.
    Asked,
    /// Lets nobody in without one.
    #[cfg(feature = "conformance")]
    Required,
}

/// A client's certificate and its key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The key, PKCS #8 PEM.
    pub key_pem: String,
    pub(crate) der: Vec<u8>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

fn tls_error(error: impl fmt::Display) -> EmbeddedServerError {
    EmbeddedServerError::Tls(error.to_string())
}

impl Authority {
    /// A new authority with a new key.
    ///
    /// # Errors
    /// [`EmbeddedServerError::Tls`]: no key could be made.
    pub fn generate() -> Result<Self, EmbeddedServerError> {
        Self::with_key(KeyPair::generate().map_err(tls_error)?, None)
    }

    /// An authority of an earlier run: its key, and its certificate if that was kept.
    ///
    /// # Errors
    /// [`EmbeddedServerError::Tls`]: the PEM holds no key that can sign.
    pub fn from_pem(key_pem: &str, certificate_pem: Option<&str>) -> Result<Self, EmbeddedServerError> {
        Self::with_key(KeyPair::from_pem(key_pem).map_err(tls_error)?, certificate_pem)
    }

    fn with_key(key: KeyPair, certificate_pem: Option<&str>) -> Result<Self, EmbeddedServerError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "lease-sim");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(tls_error)?;
        let certificate_pem = certificate_pem.map_or_else(|| issuer.pem(), str::to_owned);
        Ok(Self { issuer, certificate_pem })
    }

    /// What clients trust, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PKCS #8 PEM: keep it secret.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs a certificate for a client: the common name is its user, the organisations are its groups.
    pub(crate) fn client(
        &self,
        common_name: &str,
        groups: &[&str],
    ) -> Result<ClientCertificate, EmbeddedServerError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().map_err(tls_error)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(tls_error)?;
        Ok(ClientCertificate {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().to_vec(),
        })
    }

    /// A server configuration with a new certificate for these names and addresses.
    pub(crate) fn server(
        &self,
        names: &[String],
        clients: Clients,
    ) -> Result<Arc<rustls::ServerConfig>, EmbeddedServerError> {
        let mut params = CertificateParams::new(names).map_err(tls_error)?;
        params.distinguished_name.push(DnType::CommonName, "lease-sim server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(tls_error)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(tls_error)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(tls_error)?;
        let builder = if clients == Clients::Unasked {
            builder.with_no_client_auth()
        } else {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from(self.issuer.der().to_vec())).map_err(tls_error)?;
            let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            if clients == Clients::Asked {
                verifier = verifier.allow_unauthenticated();
            }
            builder.with_client_cert_verifier(verifier.build().map_err(tls_error)?)
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![certificate.der().clone()];
        Ok(Arc::new(builder.with_single_cert(chain, key).map_err(tls_error)?))
    }
}
