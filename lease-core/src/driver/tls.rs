//! TLS from credentials: whom we trust, and what we show.

use std::error::Error;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, client::WantsClientCert};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::credentials::{CaBundle, ClientCertificate, Credentials};

/// What rustls needs to talk to the credentials' server as the credentials' user. With the feature `rustls`.
///
/// Verification is always on. A given CA is trusted and nobody else; without one the platform's roots are.
/// The crypto provider is named here: nothing is asked of, or left in, the
/// process-wide default, which is the application's.
///
/// # Errors
///
/// Certificates or keys that rustls cannot use, or a platform whose roots cannot be read.
pub fn client_config(credentials: &Credentials) -> Result<ClientConfig, Box<dyn Error + Send + Sync>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = trust(builder, credentials)?;
    Ok(match credentials.client_certificate() {
        Some(certificate) => show(builder, certificate)?,
        None => builder.with_no_client_auth(),
    })
}

fn trust(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    credentials: &Credentials,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Box<dyn Error + Send + Sync>> {
    Ok(match credentials.ca() {
        // The bundle and nobody else.
        Some(bundle) => builder.with_root_certificates(roots(bundle)?),
        None if credentials.server().is_https() => builder.with_platform_verifier()?,
        // Plain http to the loopback interface: nobody needs to be trusted, so nobody is.
        None => builder.with_root_certificates(RootCertStore::empty()),
    })
}

fn roots(bundle: &CaBundle) -> Result<RootCertStore, Box<dyn Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    let mut refused = None;
    for certificate in CertificateDer::pem_slice_iter(bundle.pem()) {
        // One certificate of an odd kind does not make the others of a bundle useless.
        if let Err(error) = roots.add(certificate?) {
            refused = Some(error);
        }
    }
    match refused {
        Some(error) if roots.is_empty() => Err(error.into()),
        _ => Ok(roots),
    }
}

fn show(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: &ClientCertificate,
) -> Result<ClientConfig, Box<dyn Error + Send + Sync>> {
    let chain = CertificateDer::pem_slice_iter(certificate.chain.pem()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.secret_pem())?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}
