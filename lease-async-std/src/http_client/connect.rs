//! From an origin to a byte stream: names, TCP, the proxy's tunnel, TLS.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_rustls::TlsConnector;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::error::{ClientError, Stage};
use super::io::Stream;
use super::origin::Origin;
use super::proxy::HttpProxy;
use crate::runtime::{self, TcpStream};

/// All of it together must not take longer.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One address of several must not take longer. The kernel alone would wait for minutes.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes connections to one origin.
pub(super) struct Connector {
    origin: Origin,
    proxy: Option<HttpProxy>,
    tls: TlsConnector,
    /// None: no certificate can be for the host.
    server_name: Option<ServerName<'static>>,
}

impl Connector {
    pub(super) fn new(
        origin: Origin,
        proxy: Option<HttpProxy>,
        tls: ClientConfig,
        server_name: Option<ServerName<'static>>,
    ) -> Self {
        let server_name = server_name.or_else(|| ServerName::try_from(origin.host().to_owned()).ok());
        Self { origin, proxy, tls: TlsConnector::from(Arc::new(tls)), server_name }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// No byte of a request was sent when this fails.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, ClientError> {
        let in_time = runtime::timeout(CONNECT_TIMEOUT, self.stream()).await;
        in_time.unwrap_or_else(|| Err(ClientError::connect(Stage::InTime, "it took 5 s")))
    }

    async fn stream(&self) -> Result<Box<dyn Stream>, ClientError> {
        let stream = match &self.proxy {
            None => tcp(self.origin.host(), self.origin.port()).await?,
            Some(proxy) => {
                let mut stream = tcp(proxy.host(), proxy.port()).await?;
                let tunnel = proxy.open_tunnel(&mut stream, &self.origin).await;
                tunnel.map_err(|error| ClientError::connect(Stage::Proxy, error))?;
                stream
            }
        };
        if !self.origin.tls() {
            return Ok(Box::new(stream));
        }
        let name = self.server_name.clone();
        let name =
            name.ok_or_else(|| ClientError::connect(Stage::Tls, "no certificate is for such a name"))?;
        let handshake = self.tls.connect(name, stream).await;
        Ok(Box::new(handshake.map_err(|error| ClientError::connect(Stage::Tls, error))?))
    }
}

/// Tries one address after the other.
async fn tcp(host: &str, port: u16) -> Result<TcpStream, ClientError> {
    let addresses =
        runtime::resolve(host, port).await.map_err(|error| ClientError::connect(Stage::Resolve, error))?;
    let several = addresses.len() > 1;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let limit = if several { ADDRESS_TIMEOUT } else { CONNECT_TIMEOUT };
        let attempt = runtime::timeout(limit, runtime::connect(address)).await;
        match attempt.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                // Without it a request that is written in two pieces waits for an acknowledgement in between.
                stream.set_nodelay(true).map_err(|error| ClientError::connect(Stage::Tcp, error))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(ClientError::connect(Stage::Tcp, last))
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connector")
            .field("origin", &self.origin)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
