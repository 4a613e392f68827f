//! The default transport: `reqwest` on rustls, HTTP/1.1.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use lease_core::Failure;
use lease_core::credentials::{CredentialSource, Credentials, ProxyUrl, RotationPolicy, ServerUrl};
use lease_core::driver::{
    BoxFuture, Call, Chunks, Clock, Rotating, Runtime, SendError, SetupError, SystemClock, Transport,
    client_config,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Request, Response};

use crate::runtime::TokioRuntime;

/// A TCP connection and its TLS handshake together must not take longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that were idle for longer are not used again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// One for each request that may be under way, and some for other leases that share the transport.
const IDLE_CONNECTIONS: usize = 4;
/// Files that cannot be read in this time are read in the background while the request goes on.
const PATIENCE_WITH_FILES: Duration = Duration::from_secs(1);

/// The default [`Transport`]: `reqwest` on rustls.
///
/// - HTTP/1.1 on purpose: a request that timed out takes its connection with it. With HTTP/2 the dead
///   connection would stay in the pool, and renewals would keep riding it until the lease is lost.
/// - TLS verification is on; a given CA is trusted and nobody else. Without one: the platform's roots.
/// - No redirect is followed, nothing is retried, and the environment's proxies are not asked.
/// - Token, CA and client certificate follow their files: those are looked at before a request when the last
///   look was 60 s ago, at once after a 401, and soon after a connection failed.
///
/// One transport can serve many leases: hand each an `Arc` of it.
pub struct ReqwestTransport {
    rotating: Arc<Rotating<Wire>>,
    server: ServerUrl,
}

/// An HTTP client, and the name that it asks the server for instead of its host's.
#[derive(Clone)]
struct Wire {
    client: Client,
    tls_server_name: Option<String>,
}

/// Sets up a [`ReqwestTransport`]. From [`ReqwestTransport::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct ReqwestTransportBuilder {
    source: CredentialSource,
    proxy: Option<String>,
    rotation: RotationPolicy,
    clock: Arc<dyn Clock>,
    runtime: Arc<dyn Runtime>,
}

impl ReqwestTransport {
    /// Starts to set one up for this source of credentials.
    pub fn builder(source: CredentialSource) -> ReqwestTransportBuilder {
        ReqwestTransportBuilder {
            source,
            proxy: None,
            rotation: RotationPolicy::default(),
            clock: Arc::new(SystemClock),
            runtime: Arc::new(TokioRuntime::default()),
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

impl ReqwestTransportBuilder {
    /// Sends everything through this HTTP proxy, for example `http://proxy.example:3128`, by `CONNECT`.
    /// Default: none, and the environment is not asked. Only for servers with `https`: a token must not
    /// reach a proxy in the clear.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// How often files are read again. Default: every 60 s, which is also the longest.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.rotation = policy;
        self
    }

    /// Another clock to tell when files are to be read again. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Another runtime to read files on. Default: the tokio runtime that a request is sent on.
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
    /// is wrong or stands before a server without TLS; and a kubeconfig's `tls-server-name` that is an address, or
    /// that comes with a proxy.
    pub fn build(self) -> Result<ReqwestTransport, SetupError> {
        let proxy = self.proxy.map(|url| proxy(&url)).transpose()?;
        let build = move |credentials: &Credentials| wire(credentials, proxy.as_ref());
        let rotating = Rotating::start(self.source, self.rotation, self.clock, self.runtime, build)?;
        let server = rotating.current().0.server().clone();
        Ok(ReqwestTransport { rotating: Arc::new(rotating), server })
    }
}

fn wire(credentials: &Credentials, proxy: Option<&Proxy>) -> Result<Wire, SetupError> {
    let builder = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(concat!("lease-tokio/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(client_config(credentials).map_err(SetupError::Tls)?);
    // One that was asked for goes before a kubeconfig's.
    let proxy = match (proxy, credentials.proxy_url()) {
        (Some(proxy), _) => Some(proxy.clone()),
        (None, Some(url)) => Some(Proxy::all(url.secret_url()).map_err(client_error)?),
        (None, None) => None,
    };
    let proxied = proxy.is_some();
    let builder = match proxy {
        Some(_) if !credentials.server().is_https() => return Err(SetupError::ProxyWithoutTls),
        Some(proxy) => builder.proxy(proxy),
        None => builder,
    };
    let Some(name) = credentials.tls_server_name() else {
        return Ok(Wire { client: builder.build().map_err(client_error)?, tls_server_name: None });
    };
    // The URL's host is what reqwest hands to TLS. So the URL carries the wanted name, and the name leads to the
    // server's addresses; neither a proxy nor an address in place of a name can be led astray like that.
    if proxied || name.parse::<IpAddr>().is_ok() {
        let why = "tls-server-name is supported for names, not for addresses, and not through a proxy";
        return Err(SetupError::Client(why.into()));
    }
    let server = credentials.server();
    let builder = builder.dns_resolver(Arc::new(LeadsTo { host: server.host(), port: server.port() }));
    Ok(Wire { client: builder.build().map_err(client_error)?, tls_server_name: Some(name.to_owned()) })
}

/// Every name leads to this host.
struct LeadsTo {
    host: String,
    port: u16,
}

impl Resolve for LeadsTo {
    fn resolve(&self, _: Name) -> Resolving {
        let to = (self.host.clone(), self.port);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host(to).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// `reqwest` takes any scheme, and then goes past a proxy whose scheme it does not know.
fn proxy(url: &str) -> Result<Proxy, SetupError> {
    let url = ProxyUrl::parse(url).map_err(|problem| SetupError::Client(Box::new(problem)))?;
    Proxy::all(url.secret_url()).map_err(client_error)
}

fn client_error(error: reqwest::Error) -> SetupError {
    // An address can carry a password.
    SetupError::Client(error.without_url().into())
}

impl Transport for ReqwestTransport {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<http::Response<Bytes>, SendError>> {
        Box::pin(async move {
            let max_body = call.max_body;
            read(self.head(call).await?, max_body).await
        })
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Result<http::Response<Chunks>, SendError>> {
        // A connection is in nobody else's way while a response comes over it, and closed with one that is dropped.
        Box::pin(async move { Ok(http::Response::from(self.head(call).await?).map(chunks)) })
    }

    fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.rotating.freshen_after_refusal())
    }
}

impl ReqwestTransport {
    /// Sends the request. The body of the response is still to come.
    async fn head(&self, call: Call) -> Result<Response, SendError> {
        self.rotating.freshen(PATIENCE_WITH_FILES.min(call.time_left / 4)).await;
        let (credentials, wire) = self.rotating.current();
        let request =
            credentials.prepare(call.request).map_err(|error| SendError::new(Failure::NotSent, error))?;
        let mut request = Request::try_from(request)
            .map_err(|error| SendError::new(Failure::NotSent, error.without_url()))?;
        if let Some(name) = &wire.tls_server_name {
            ask_for(name, &mut request)?;
        }
        wire.client.execute(request).await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: reqwest::Error) -> SendError {
        // Perhaps the server shows a certificate of a new authority, or does not accept ours any more: do not
        // wait a minute to look at the files.
        self.rotating.doubt();
        // Name resolution, TCP or TLS handshake: the request itself comes after these. Anything later may have
        // reached the server.
        let failure =
            if error.is_connect() || error.is_builder() { Failure::NotSent } else { Failure::Unknown };
        SendError::new(failure, error.without_url())
    }
}

/// Puts the name into the URL, from where TLS takes it, and leaves the `Host` header as it would have been.
fn ask_for(name: &str, request: &mut Request) -> Result<(), SendError> {
    let not_sent = |why: &str| SendError::new(Failure::NotSent, why);
    let url = request.url_mut();
    let host = url.host_str().ok_or_else(|| not_sent("the server's URL has no host"))?;
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    url.set_host(Some(name)).map_err(|_| not_sent("tls-server-name is not a host name"))?;
    let host = host.parse().map_err(|_| not_sent("the server's host is not a header value"))?;
    request.headers_mut().insert(http::header::HOST, host);
    Ok(())
}

/// Reads the whole body, at most `max_body` bytes of it.
async fn read(mut response: Response, max_body: usize) -> Result<http::Response<Bytes>, SendError> {
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |announced| announced > max_body) {
        return Err(Failure::TooLarge.into());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(unknown)? {
        if chunk.len() > max_body - body.len() {
            return Err(Failure::TooLarge.into());
        }
        body.extend_from_slice(&chunk);
    }
    let mut whole = http::Response::new(body.freeze());
    *whole.status_mut() = response.status();
    *whole.version_mut() = response.version();
    *whole.headers_mut() = std::mem::take(response.headers_mut());
    Ok(whole)
}

/// The body as it comes.
fn chunks(mut body: reqwest::Body) -> Chunks {
    Chunks::from_fn(move |context| {
        let frame = Pin::new(&mut body).poll_frame(context);
        // What is no data are trailers, which nobody waits for.
        frame.map(|frame| Some(frame?.map(|frame| frame.into_data().unwrap_or_default()).map_err(unknown)))
    })
}

fn unknown(error: reqwest::Error) -> SendError {
    SendError::new(Failure::Unknown, error.without_url())
}

impl fmt::Debug for ReqwestTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReqwestTransport").field("server", &self.server).finish_non_exhaustive()
    }
}

impl fmt::Debug for ReqwestTransportBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReqwestTransportBuilder")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
