//! A socket, with TLS or without.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use lease_core::credentials::ServerUrl;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
};

use crate::sins::Sin;

/// Longer than that no connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection, and what was read of it and not used yet.
pub struct Connection {
    pub stream: Box<dyn Stream>,
    pub socket: TcpStream,
    pub ahead: Vec<u8>,
    /// The chunk that is being read has to end before the next.
    pub in_a_chunk: bool,
    /// Which credentials it was made with.
    pub generation: usize,
}

pub trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl Connection {
    /// TCP and the whole TLS handshake.
    pub fn open(
        socket: TcpStream,
        server: &ServerUrl,
        tls: &Arc<ClientConfig>,
        generation: usize,
    ) -> io::Result<Self> {
        let stream: Box<dyn Stream> = if server.is_https() {
            let name = ServerName::try_from(server.host()).map_err(io::Error::other)?;
            let session = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
            let mut stream = rustls::StreamOwned::new(session, socket.try_clone()?);
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock)?;
            }
            Box::new(stream)
        } else {
            Box::new(socket.try_clone()?)
        };
        Ok(Self { stream, socket, ahead: Vec::new(), in_a_chunk: false, generation })
    }

    /// Nobody has closed it, and nobody has said anything unasked.
    pub fn is_idle(&self) -> bool {
        if !self.ahead.is_empty() || self.socket.set_nonblocking(true).is_err() {
            return false;
        }
        let peeked = self.socket.peek(&mut [0]);
        let _ = self.socket.set_nonblocking(false);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// The first address that answers.
pub fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Trusts more than it should.
#[derive(Debug)]
pub struct Gullible {
    /// Who would have known better; nobody is asked without.
    pub inner: Option<Arc<dyn ServerCertVerifier>>,
    pub sin: Sin,
}

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = self.inner.as_ref().filter(|_| self.sin == Sin::IgnoresNames) else {
            return Ok(ServerCertVerified::assertion());
        };
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
