//! The one module that names async-std: tasks, timers, names, sockets. An adapter for another runtime of this
//! family (smol is async-std's successor) has this page to rewrite.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

pub(crate) use async_std::net::TcpStream;
use async_std::net::ToSocketAddrs;
use lease_core::driver::{BoxFuture, Runtime};

/// async-std as a [`Runtime`].
///
/// async-std has threads of its own, which start when they are first needed. So its tasks and timers work
/// wherever they are asked for: under `async_std::task::block_on`, under smol, in a thread without any executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStdRuntime;

impl Runtime for AsyncStdRuntime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        spawn(task);
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async_std::task::sleep(time))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool {
        // Not async-std's pool: when the operating system gives no thread, work waits there, for ever perhaps,
        // and nobody is told.
        thread::Builder::new().name("lease-blocking".to_owned()).spawn(work).is_ok()
    }
}

/// Runs a task on async-std's own threads. Nobody waits for it.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(async_std::task::spawn(task));
}

/// What a future resolves to, or `None` when it takes longer; then it is dropped.
pub(crate) async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    async_std::future::timeout(limit, future).await.ok()
}

/// The addresses of a host. The system's resolver blocks, so it runs on a thread of async-std's pool.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs().await?.collect())
}

pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address).await
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// The sources, without tests and without this page.
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                sources(&path, found);
            } else if path.is_file() && !path.ends_with("runtime.rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn async_std_is_named_here_and_nowhere_else() {
        let mut found = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.len() > 10, "{found:?}");
        for path in found {
            for line in fs::read_to_string(&path).unwrap().lines() {
                let line = line.trim_start();
                let named = line.contains("async_std::") && !line.contains("lease_async_std::");
                assert!(!named || line.starts_with("//"), "{}: {line}", path.display());
            }
        }
    }
}
