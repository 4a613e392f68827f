//! The one module that names async-std: sockets, names, tasks, timers. An adapter for another runtime of this
//! family (smol is async-std's successor) has this page to rewrite.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_std::net::ToSocketAddrs;
pub(crate) use async_std::net::TcpStream;

/// Runs a task on async-std's own threads, whatever executor the caller is on. Nobody waits for it.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(async_std::task::spawn(task));
}

/// Runs `work` on a thread for blocking work; the future resolves when it is done. It is done, too, when the
/// future is dropped. Without a thread it waits for one.
pub(crate) fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> + Send + 'static {
    async_std::task::spawn_blocking(work)
}

pub(crate) async fn sleep(pause: Duration) {
    async_std::task::sleep(pause).await;
}

/// What a future resolves to, or `None` when it takes longer; then it is dropped.
pub(crate) async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    async_std::future::timeout(limit, future).await.ok()
}

/// The addresses of a host. The system's resolver blocks, so it runs on a thread for blocking work.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs().await?.collect())
}

pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address).await
}
