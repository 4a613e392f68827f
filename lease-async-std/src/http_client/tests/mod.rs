//! The client under surf, over real sockets: what each point is for, and what surf's own clients get wrong.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/wire_support/raw.rs"]
mod raw;

mod cancelled;
mod points;
mod pooled;
mod streamed;

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncWrite};
use lease_core::credentials::{
    AuthenticationSource, CaBundle, CertificateChain, CredentialSource, Credentials, Explicit, FileContents,
    Piece, PrivateKey,
};
use lease_core::driver::{Clock, SystemClock, client_config};
use lease_sim::listener::{ClientCertificate, EmbeddedServer};
use surf::{Url, http::Method};

use super::{Client, ClientError, Origin, Settings};

/// Runs a test under async-std, and ends it when it hangs.
fn run<T>(test: impl Future<Output = T>) -> T {
    async_std::task::block_on(async {
        crate::runtime::timeout(raw::LONG, test).await.expect("the test hangs")
    })
}

fn settings_for(credentials: &Credentials, clock: impl Clock) -> Settings {
    let url = Url::parse(&credentials.server().to_string()).unwrap();
    Settings {
        origin: Origin::of(&url).unwrap(),
        proxy: None,
        tls: client_config(credentials).unwrap(),
        server_name: None,
        clock: Arc::new(clock),
    }
}

fn credentials(url: &str, ca: Option<String>, shown: Option<&ClientCertificate>) -> Credentials {
    let ca = ca.map(|pem| Piece::Inline(CaBundle::from_pem(pem.as_bytes()).unwrap()));
    let how = shown.map_or(AuthenticationSource::None, |shown| AuthenticationSource::ClientCertificate {
        chain: Piece::Inline(CertificateChain::from_pem(shown.certificate_pem.as_bytes()).unwrap()),
        key: Piece::Inline(PrivateKey::from_pem(shown.key_pem.as_bytes()).unwrap()),
    });
    let source = CredentialSource::Explicit(Explicit::new(url.parse().unwrap(), ca, how).unwrap());
    source.resolve(&FileContents::new()).unwrap()
}

/// A client for a plain server.
fn plain(address: SocketAddr) -> Client {
    Client::new(settings_for(&credentials(&format!("http://{address}"), None, None), SystemClock))
}

/// surf over a client for a server of the simulator's.
fn surf_to(server: &EmbeddedServer) -> surf::Client {
    let credentials = credentials(&server.url(), server.ca_pem(), None);
    surf::Client::with_http_client(Client::new(settings_for(&credentials, SystemClock)))
}

fn surf_to_plain(address: SocketAddr) -> surf::Client {
    surf::Client::with_http_client(plain(address))
}

fn open(tls: bool) -> EmbeddedServer {
    EmbeddedServer::builder().open().tls(tls).start().unwrap()
}

fn request(method: Method, url: &str, path: &str) -> surf::Request {
    surf::Request::new(method, Url::parse(url).unwrap().join(path).unwrap())
}

fn get(address: SocketAddr, path: &str) -> surf::Request {
    request(Method::Get, &format!("http://{address}"), path)
}

/// An error's own type.
fn kind(error: &surf::Error) -> &ClientError {
    error.downcast_ref().expect("not the client's error")
}

/// An error with all of its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Takes nothing, and is read as this says.
struct Stuck(fn() -> Poll<io::Result<usize>>);

impl AsyncRead for Stuck {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        (self.0)()
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
