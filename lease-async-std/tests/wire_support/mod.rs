//! Real HTTP and TLS on loopback, files in a folder of their own, and a clock that can be put forward.
#![allow(dead_code, unreachable_pub)]

pub mod raw;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use lease_async_std::{
    AuthenticationSource, BearerToken, CaBundle, Call, Clock, Config, CredentialSource, Explicit, MonoTime,
    Now, Piece, SendError, SurfTransport, SystemClock, Transport,
};
use lease_sim::listener::EmbeddedServer;

pub const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/job";

/// Runs a test under async-std, and ends it when it hangs.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    async_std::task::block_on(async {
        async_std::future::timeout(raw::LONG, test).await.expect("the test hangs")
    })
}

/// The system's clock and what a test adds to it.
#[derive(Clone, Default)]
pub struct ShiftedClock(Arc<AtomicU64>);

impl ShiftedClock {
    pub fn put_forward(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Now {
        let now = SystemClock.now();
        let shift = Duration::from_nanos(self.0.load(Ordering::SeqCst));
        Now { mono: MonoTime::saturating_add(now.mono, shift), wall: now.wall }
    }
}

/// A folder that goes when it is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let unique = COUNT.fetch_add(1, Ordering::SeqCst);
        let path =
            std::env::temp_dir().join(format!("lease-async-std-{name}-{}-{unique}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes as the kubelet does: beside, then over.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        let beside = self.0.join(format!("{name}.new"));
        fs::write(&beside, content).unwrap();
        fs::rename(beside, &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn config(identity: &str, ttl: Duration) -> Config {
    Config::builder().namespace("default").name("job").identity(identity).ttl(ttl).build().unwrap()
}

pub fn ca(server: &EmbeddedServer) -> Option<Piece<CaBundle>> {
    server.ca_pem().map(|pem| Piece::Inline(CaBundle::from_pem(pem.as_bytes()).unwrap()))
}

pub fn token(text: &str) -> AuthenticationSource {
    AuthenticationSource::Token(Piece::Inline(BearerToken::parse(text.as_bytes()).unwrap()))
}

pub fn explicit(url: &str, ca: Option<Piece<CaBundle>>, how: AuthenticationSource) -> CredentialSource {
    CredentialSource::Explicit(Explicit::new(url.parse().unwrap(), ca, how).unwrap())
}

/// A transport that trusts this server and shows nothing.
pub fn anonymous(server: &EmbeddedServer) -> SurfTransport {
    let source = explicit(&server.url(), ca(server), AuthenticationSource::None);
    SurfTransport::builder(source).build().unwrap()
}

pub async fn get(transport: &impl Transport) -> Result<Response<Bytes>, SendError> {
    get_at_most(transport, 1 << 20).await
}

pub async fn get_at_most(transport: &impl Transport, max_body: usize) -> Result<Response<Bytes>, SendError> {
    let request = Request::get(LEASE).body(Bytes::new()).unwrap();
    transport.send(Call::new(request, Duration::from_secs(10), max_body)).await
}

pub async fn status(transport: &impl Transport) -> u16 {
    get(transport).await.unwrap().status().as_u16()
}

/// An error with all of its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
