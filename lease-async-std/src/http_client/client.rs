//! The client itself: one request, one connection.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use http_body_util::Full;
use http_client::http_types::{Request, Response};
use http_client::{Config, HttpClient, async_trait};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use lease_core::driver::Clock;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use surf::Body;

use super::body::ResponseBody;
use super::connect::Connector;
use super::convert::{Committed, from_hyper, to_hyper};
use super::error::{ClientError, Stage};
use super::io::{HyperIo, Stream};
use super::origin::Origin;
use super::pool::{IDLE_CONNECTIONS, Pool, Sender};
use super::proxy::HttpProxy;
use crate::runtime;

/// What a client is made from.
pub(crate) struct Settings {
    /// Whom it talks to, and nobody else.
    pub(crate) origin: Origin,
    pub(crate) proxy: Option<HttpProxy>,
    pub(crate) tls: ClientConfig,
    /// Whom the server's certificate must be for instead of the origin's host.
    pub(crate) server_name: Option<ServerName<'static>>,
    /// Tells how long a connection has been idle.
    pub(crate) clock: Arc<dyn Clock>,
}

/// An [`HttpClient`] for one origin. No redirect is followed, nothing that may have been sent is sent again,
/// the environment is not asked for proxies, and there is no deadline but that for a new connection.
#[derive(Debug)]
pub(crate) struct Client {
    connector: Connector,
    pool: Arc<Pool>,
    config: Config,
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            connector: Connector::new(settings.origin, settings.proxy, settings.tls, settings.server_name),
            pool: Arc::new(Pool::new(settings.clock)),
            config: Config::new()
                .set_tcp_no_delay(true)
                .set_timeout(None)
                .set_max_connections_per_host(IDLE_CONNECTIONS),
        }
    }

    async fn exchange(
        &self,
        mut request: http::Request<Full<Bytes>>,
        committed: &Committed,
    ) -> Result<http::Response<ResponseBody>, ClientError> {
        // Point 3: an idle connection may have died without our knowing. Only a request that the connection
        // hands back unsent is tried on another one, so it is never applied twice, whatever its method.
        while let Some(mut sender) = self.pool.take().await {
            committed.set(true);
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.with_body(response, sender)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(ClientError::Exchange(error.into_error())),
                },
            }
            committed.set(false);
        }
        let stream = self.connector.connect().await?;
        committed.set(true);
        let (response, sender) = first_exchange(stream, request).await?;
        Ok(self.with_body(response, sender))
    }

    fn with_body(&self, response: http::Response<Incoming>, sender: Sender) -> http::Response<ResponseBody> {
        response.map(|incoming| ResponseBody::new(incoming, sender, Arc::clone(&self.pool)))
    }

    #[cfg(test)]
    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}

/// Point 2: the first exchange of a connection drives the connection itself, and hands it to a task only when
/// the response's head is here. So what ended it is known, and not only that it ended: a server that does not
/// accept our certificate says so in an alert after the handshake. And whoever drops this future closes the
/// connection on the spot.
pub(super) async fn first_exchange(
    stream: Box<dyn Stream>,
    request: http::Request<Full<Bytes>>,
) -> Result<(http::Response<Incoming>, Sender), ClientError> {
    let (mut sender, connection) =
        http1::handshake(HyperIo(stream)).await.map_err(|error| ClientError::connect(Stage::Tcp, error))?;
    let response = Box::pin(sender.try_send_request(request));
    let (outcome, cause) = match select(response, connection).await {
        Either::Left((Ok(response), connection)) => {
            runtime::spawn(connection.map(drop));
            return Ok((response, sender));
        }
        Either::Left((Err(error), _)) => (Err(error), None),
        // The connection is gone, so the request's fate is settled.
        Either::Right((ended, response)) => (response.await, ended.err()),
    };
    match outcome {
        // It ended with the response, as `Connection: close` has it.
        Ok(response) => Ok((response, sender)),
        Err(mut error) => {
            let unsent = error.take_message().is_some();
            let cause = cause.unwrap_or_else(|| error.into_error());
            Err(if unsent { ClientError::NotSent(cause) } else { ClientError::Exchange(cause) })
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send(&self, request: Request) -> Result<Response, surf::Error> {
        let committed = request.ext().get().cloned().unwrap_or_default();
        let request = to_hyper(request, self.connector.origin()).await.map_err(ClientError::into_surf)?;
        let response = self.exchange(request, &committed).await.map_err(ClientError::into_surf)?;
        let length = response.body().announced();
        let (head, body) = response.into_parts();
        Ok(from_hyper(head, Body::from_reader(body, length)))
    }

    fn set_config(&mut self, _: Config) -> Result<(), surf::Error> {
        Err(ClientError::Request("this client's settings are fixed").into_surf())
    }

    fn config(&self) -> &Config {
        &self.config
    }
}
