//! Which connections are kept, for how long, and when they are used.

use std::io::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::join_all;
use http_client::HttpClient;
use hyper::client::conn::http1;
use lease_core::{MonoTime, Now, WallTime};

use super::super::io::HyperIo;
use super::super::pool::{IDLE_CONNECTIONS, IDLE_TIMEOUT};
use super::raw::raw;
use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Seconds that a test sets.
#[derive(Clone, Default)]
struct SetClock(Arc<AtomicU64>);

impl Clock for SetClock {
    fn now(&self) -> Now {
        let seconds = Duration::from_secs(self.0.load(Ordering::SeqCst));
        Now { mono: MonoTime::ZERO.saturating_add(seconds), wall: WallTime::from_micros(0) }
    }
}

/// A server that answers, and how many connections it got.
fn counted() -> (SocketAddr, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let address = raw(move |_, mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        while super::raw::request(&mut stream).is_some() {
            stream.write_all(OK).unwrap();
        }
    });
    (address, connections)
}

async fn ok(client: &Client, address: SocketAddr) {
    let mut response = client.send(get(address, "/").into()).await.unwrap();
    assert_eq!(response.body_string().await.unwrap(), "ok");
}

#[test]
fn a_connection_that_was_idle_for_more_than_a_minute_is_not_used() {
    let (address, connections) = counted();
    let clock = SetClock::default();
    let credentials = credentials(&format!("http://{address}"), None, None);
    let client = Client::new(settings_for(&credentials, clock.clone()));
    run(async {
        ok(&client, address).await;
        clock.0.fetch_add(IDLE_TIMEOUT.as_secs(), Ordering::SeqCst);
        ok(&client, address).await;
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        clock.0.fetch_add(IDLE_TIMEOUT.as_secs() + 1, Ordering::SeqCst);
        ok(&client, address).await;
        assert_eq!(connections.load(Ordering::SeqCst), 2);
    });
    assert_eq!(client.pool().len(), 1);
}

#[test]
fn four_idle_connections_are_kept() {
    let (address, connections) = counted();
    let client = plain(address);
    run(async {
        let responses = join_all((0..7).map(|_| client.send(get(address, "/").into()))).await;
        assert_eq!(connections.load(Ordering::SeqCst), 7, "no two requests share a connection");
        for response in responses {
            assert_eq!(response.unwrap().body_string().await.unwrap(), "ok");
        }
        assert_eq!(client.pool().len(), IDLE_CONNECTIONS);
        let four = join_all((0..4).map(|_| client.send(get(address, "/").into()))).await;
        assert!(four.iter().all(Result::is_ok));
        assert_eq!(connections.load(Ordering::SeqCst), 7);
    });
}

#[test]
fn dead_idle_connections_cost_nothing() {
    let (closed, wait) = mpsc::channel();
    // Answers once, then closes.
    let address = raw(move |_, mut stream| {
        super::raw::request(&mut stream).unwrap();
        stream.write_all(OK).unwrap();
        drop(stream);
        closed.send(()).unwrap();
    });
    let client = plain(address);
    run(async {
        for _ in 0..10 {
            ok(&client, address).await;
            wait.recv().unwrap();
            // async-std's threads have to see the end; until then it would be an unknown outcome, rightly.
            while client.pool().live() > 0 {
                async_std::task::yield_now().await;
            }
        }
    });
}

#[test]
fn a_client_that_is_dropped_closes_its_connections() {
    let (tell, told) = mpsc::channel();
    let address = raw(move |_, mut stream| {
        super::raw::request(&mut stream).unwrap();
        stream.write_all(OK).unwrap();
        tell.send(super::raw::closes(&mut stream)).unwrap();
    });
    let client = plain(address);
    run(ok(&client, address));
    drop(client);
    assert!(told.recv().unwrap());
}

#[test]
fn connection_close_is_heeded() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let address = raw(move |_, mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        super::raw::request(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").unwrap();
        // It would take another request.
        assert!(super::raw::closes(&mut stream));
    });
    let client = plain(address);
    run(async {
        for round in 1..=3 {
            ok(&client, address).await;
            assert_eq!(connections.load(Ordering::SeqCst), round);
        }
    });
}

#[test]
fn an_idle_connection_that_does_not_stir_is_not_waited_for() {
    let (address, connections) = counted();
    let client = plain(address);
    run(async {
        // Nobody runs it, as when async-std's threads are all taken.
        let (sender, _connection) =
            http1::handshake(HyperIo(Box::new(Stuck(|| Poll::Pending)))).await.unwrap();
        client.pool().put(sender);
        ok(&client, address).await;
    });
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}
