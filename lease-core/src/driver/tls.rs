//! TLS from credentials: whom we trust, and what we show.

use std::error::Error;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
    client::WantsClientCert,
};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::credentials::{CaBundle, ClientCertificate, Credentials};

/// What rustls needs to talk to the credentials' server as the credentials' user. With the feature `rustls`.
///
/// Verification is on unless the credentials say otherwise, which only a kubeconfig can, and only where the
/// application allowed it. A given CA is trusted and nobody else; without one the platform's roots are.
/// [`Credentials::tls_server_name`] is not in here: it is the client's part to ask for that name.
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
    if credentials.insecure_skip_tls_verify() {
        let nobody = Arc::new(NobodyVerifies(Arc::clone(builder.crypto_provider())));
        return Ok(builder.dangerous().with_custom_certificate_verifier(nobody));
    }
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

/// `insecure-skip-tls-verify`: any certificate will do. Signatures are still checked, so that the handshake is at
/// least with whoever showed it.
#[derive(Debug)]
struct NobodyVerifies(Arc<CryptoProvider>);

impl ServerCertVerifier for NobodyVerifies {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
