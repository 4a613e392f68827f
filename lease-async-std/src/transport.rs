//! The default transport: `surf`, over an HTTP/1.1 client of this crate.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::io::AsyncBufRead as _;
use http::HeaderValue;
use http::header::USER_AGENT;
use lease_core::Failure;
use lease_core::credentials::{CredentialSource, Credentials, RotationPolicy, ServerUrl};
use lease_core::driver::{
    BoxFuture, Call, Chunks, Clock, Rotating, Runtime, SendError, SetupError, SystemClock, Transport,
    client_config,
};
use rustls::pki_types::ServerName;
use surf::{Client, Url};

use crate::http_client::{self, ClientError, Committed, Head, HttpProxy, Origin, Settings, to_surf};
use crate::runtime::{AsyncStdRuntime, timeout};

/// Files that cannot be read in this time are read in the background while the request goes on.
const PATIENCE_WITH_FILES: Duration = Duration::from_secs(1);
const OUR_NAME: HeaderValue =
    HeaderValue::from_static(concat!("lease-async-std/", env!("CARGO_PKG_VERSION")));

/// The default [`Transport`]: `surf` on rustls.
///
/// - surf is given an HTTP client of this crate's own, over hyper and rustls: its own ones hand a cancelled
///   request's answer to the next request and take a body that broke off for a whole one.
/// - HTTP/1.1 on purpose: a request that timed out takes its connection with it. With HTTP/2 the dead
///   connection would stay in the pool, and renewals would keep riding it until the lease is lost.
/// - TLS verification is on; a given CA is trusted and nobody else. Without one: the platform's roots.
/// - No redirect is followed, nothing is retried, and the environment's proxies are not asked.
/// - Token, CA and client certificate follow their files: those are looked at before a request when the last
///   look was 60 s ago, at once after a 401, and soon after a connection failed.
/// - A connection has 5 s to come about. Four are kept when they are idle, and used again within 60 s only.
///
/// It runs under any executor: sockets and timers are served by async-std's own threads.
///
/// One transport can serve many leases: hand each an `Arc` of it.
pub struct SurfTransport {
    rotating: Arc<Rotating<Client>>,
    server: ServerUrl,
}

/// Sets up a [`SurfTransport`]. From [`SurfTransport::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct SurfTransportBuilder {
    source: CredentialSource,
    proxy: Option<String>,
    rotation: RotationPolicy,
    clock: Arc<dyn Clock>,
    runtime: Arc<dyn Runtime>,
}

impl SurfTransport {
    /// Starts to set one up for this source of credentials.
    pub fn builder(source: CredentialSource) -> SurfTransportBuilder {
        SurfTransportBuilder {
            source,
            proxy: None,
            rotation: RotationPolicy::default(),
            clock: Arc::new(SystemClock),
            runtime: Arc::new(AsyncStdRuntime),
        }
    }

    /// The API server that this transport talks to.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// What was wrong at the last look at the credentials' files, if anything: then the old ones are in use.
    pub fn credentials_problem(&self) -> Option<String> {
        self.rotating.problem()
    }
}

impl SurfTransportBuilder {
    /// Sends everything through this HTTP proxy, for example `http://proxy.example:3128`, by `CONNECT`.
    /// Default: none, and the environment is not asked. Only for servers with `https`: a token must not
    /// reach a proxy in the clear. A user and a password in the address are shown to the proxy.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// How often files are read again. Default: every 60 s, which is also the longest.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.rotation = policy;
        self
    }

    /// Another clock to tell when files are to be read again, and how long a connection has been idle. Default:
    /// [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Another runtime to read files on. Default: [`AsyncStdRuntime`]. Sockets are async-std's in any case.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Arc::new(runtime);
        self
    }

    /// Reads the files of the credentials and runs their exec plugin, here and now: that blocks this thread for
    /// as long as the plugin takes. Then builds the HTTP client.
    ///
    /// # Errors
    ///
    /// Credentials that cannot be read or used, TLS that cannot be set up from them, a proxy's address that
    /// is wrong (anything but `http://`, too) or stands before a server without TLS.
    pub fn build(self) -> Result<SurfTransport, SetupError> {
        let proxy = self.proxy.map(|url| HttpProxy::parse(&url).map_err(client_error)).transpose()?;
        let clock = Arc::clone(&self.clock);
        let build = move |credentials: &Credentials| client(credentials, proxy.clone(), Arc::clone(&clock));
        let rotating = Rotating::start(self.source, self.rotation, self.clock, self.runtime, build)?;
        let server = rotating.current().0.server().clone();
        Ok(SurfTransport { rotating: Arc::new(rotating), server })
    }
}

fn client(
    credentials: &Credentials,
    proxy: Option<HttpProxy>,
    clock: Arc<dyn Clock>,
) -> Result<Client, SetupError> {
    // One that was asked for goes before a kubeconfig's.
    let proxy = match (proxy, credentials.proxy_url()) {
        (None, Some(url)) => Some(HttpProxy::parse(url.secret_url()).map_err(client_error)?),
        (proxy, _) => proxy,
    };
    if proxy.is_some() && !credentials.server().is_https() {
        return Err(SetupError::ProxyWithoutTls);
    }
    let url = Url::parse(&credentials.server().to_string()).map_err(client_error)?;
    let origin = Origin::of(&url).ok_or_else(|| client_error("the server's address has no host"))?;
    let server_name = credentials.tls_server_name().map(|name| ServerName::try_from(name.to_owned()));
    let server_name = server_name.transpose().map_err(client_error)?;
    let tls = client_config(credentials).map_err(SetupError::Tls)?;
    let settings = Settings { origin, proxy, tls, server_name, clock };
    Ok(Client::with_http_client(http_client::Client::new(settings)))
}

fn client_error(error: impl Into<Box<dyn Error + Send + Sync>>) -> SetupError {
    SetupError::Client(error.into())
}

impl Transport for SurfTransport {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<http::Response<Bytes>, SendError>> {
        let max_body = call.max_body;
        // Point 7: one deadline, round all of it: a body can stall as well as a head.
        Box::pin(self.in_time(call, move |response| read(response, max_body)))
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Result<http::Response<Chunks>, SendError>> {
        // The deadline is for the head alone. The connection is in nobody else's way while a body comes over it, and
        // closed with one that is dropped.
        Box::pin(self.in_time(call, |response| ready(stream(response))))
    }

    fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.rotating.freshen_after_refusal())
    }
}

impl SurfTransport {
    /// Sends the request and does `then` with the response, all of it within the call's `time_left`.
    async fn in_time<T, F>(&self, call: Call, then: impl FnOnce(surf::Response) -> F) -> Result<T, SendError>
    where
        F: Future<Output = Result<T, SendError>>,
    {
        let (time_left, committed) = (call.time_left, Committed::default());
        let exchange = async {
            let response = self.head(call, committed.clone()).await?;
            then(response).await
        };
        match timeout(time_left, exchange).await {
            Some(outcome) => outcome,
            // Dropped with the exchange: what was not sent by now never will be.
            None if committed.get() => Err(SendError::new(Failure::Unknown, "it took too long")),
            None => Err(SendError::new(Failure::NotSent, "connecting took too long")),
        }
    }

    /// Sends the request. The body of the response is still to come.
    async fn head(&self, call: Call, committed: Committed) -> Result<surf::Response, SendError> {
        self.rotating.freshen(PATIENCE_WITH_FILES.min(call.time_left / 4)).await;
        let (credentials, client) = self.rotating.current();
        let request = credentials.prepare(call.request);
        let mut request = request.map_err(|error| SendError::new(Failure::NotSent, error))?;
        request.headers_mut().entry(USER_AGENT).or_insert(OUR_NAME);
        let mut request = to_surf(request).map_err(send_error)?;
        request.set_ext(committed);
        client.send(request).await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: surf::Error) -> SendError {
        // Perhaps the server shows a certificate of a new authority, or does not accept ours any more: do not
        // wait a minute to look at the files.
        self.rotating.doubt();
        // Point 11: by its type, an error says whether the request can have reached the server.
        match error.downcast::<ClientError>() {
            Ok(error) => send_error(error),
            Err(error) => SendError::new(Failure::Unknown, Box::<dyn Error + Send + Sync>::from(error)),
        }
    }
}

/// The head as it came, and the body that is still to come.
fn parts(mut response: surf::Response) -> Result<(http::Response<()>, surf::Body), SendError> {
    let Some(head) = response.ext::<Head>().cloned() else {
        return Err(SendError::new(Failure::Unknown, "surf gave a response that is not our client's"));
    };
    let mut whole = http::Response::new(());
    *whole.status_mut() = head.status;
    *whole.version_mut() = head.version;
    *whole.headers_mut() = head.headers;
    Ok((whole, response.take_body()))
}

/// Reads the whole body, at most `max_body` bytes of it.
async fn read(response: surf::Response, max_body: usize) -> Result<http::Response<Bytes>, SendError> {
    let (head, body) = parts(response)?;
    if body.len().is_some_and(|announced| announced > max_body) {
        return Err(Failure::TooLarge.into());
    }
    let mut pieces = pieces(body);
    let mut whole = BytesMut::new();
    while let Some(piece) = poll_fn(&mut pieces).await {
        let piece = piece?;
        if piece.len() > max_body - whole.len() {
            return Err(Failure::TooLarge.into());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(head.map(|()| whole.freeze()))
}

/// The response of a watch.
fn stream(response: surf::Response) -> Result<http::Response<Chunks>, SendError> {
    let (head, body) = parts(response)?;
    Ok(head.map(|()| Chunks::from_fn(pieces(body))))
}

/// The body as it comes. Not `Body::read`, which stops at the announced length and asks no further.
fn pieces(body: surf::Body) -> impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, SendError>>> {
    let mut reader = body.into_reader();
    move |context| {
        let piece = match std::task::ready!(Pin::new(&mut reader).poll_fill_buf(context)) {
            Ok(piece) => Bytes::copy_from_slice(piece),
            Err(error) => return Poll::Ready(Some(Err(broke_off(error)))),
        };
        Pin::new(&mut reader).consume(piece.len());
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }
}

fn send_error(error: ClientError) -> SendError {
    SendError::new(error.failure(), error)
}

fn broke_off(error: io::Error) -> SendError {
    SendError::new(Failure::Unknown, error)
}

impl fmt::Debug for SurfTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SurfTransport").field("server", &self.server).finish_non_exhaustive()
    }
}

impl fmt::Debug for SurfTransportBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SurfTransportBuilder").field("source", &self.source).finish_non_exhaustive()
    }
}
