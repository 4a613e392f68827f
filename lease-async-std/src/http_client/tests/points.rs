//! One test or two for each point.

use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::io::{AsyncRead, AsyncWrite};
use futures_util::poll;
use http_body_util::Full;
use http_client::HttpClient;
use hyper::client::conn::http1;
use hyper::rt::{Read, ReadBuf, Write as _};
use lease_core::Failure;
use lease_sim::listener::{EmbeddedServer, Fault};
use surf::http::Method;

use super::super::client::first_exchange;
use super::super::convert::to_surf;
use super::super::io::HyperIo;
use super::super::{Client, ClientError, Head};
use super::raw::{answering, closes, raw};
use super::*;

/// Gives some bytes and no more; counts flushes and closes.
struct Scripted {
    bytes: Bytes,
    flushed: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = buffer.len().min(self.bytes.len());
        buffer[..read].copy_from_slice(&self.bytes.split_to(read));
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }
}

fn scripted(bytes: Vec<u8>) -> (HyperIo, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (flushed, closed) = (Arc::default(), Arc::default());
    let stream = Scripted { bytes: bytes.into(), flushed: Arc::clone(&flushed), closed: Arc::clone(&closed) };
    (HyperIo(Box::new(stream)), flushed, closed)
}

#[test]
fn point_1_a_read_takes_no_more_than_there_is_room_for() {
    let sent: Vec<u8> = (0..30_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut io, ..) = scripted(sent.clone());
    let mut got = Vec::new();
    run(async {
        // Less and more than is read at once.
        for size in [1, 100, 8 * 1024, 20 * 1024].into_iter().cycle() {
            let mut room = vec![0; size];
            let mut buffer = ReadBuf::new(&mut room);
            poll_fn(|context| Pin::new(&mut io).poll_read(context, buffer.unfilled())).await.unwrap();
            if buffer.filled().is_empty() {
                break;
            }
            got.extend_from_slice(buffer.filled());
        }
    });
    assert_eq!(got, sent);
}

#[test]
fn point_1_flush_and_close_reach_the_stream() {
    let (mut io, flushed, closed) = scripted(Vec::new());
    run(async {
        poll_fn(|context| Pin::new(&mut io).poll_flush(context)).await.unwrap();
        assert_eq!(flushed.load(Ordering::SeqCst), 1);
        poll_fn(|context| Pin::new(&mut io).poll_shutdown(context)).await.unwrap();
        assert_eq!(closed.load(Ordering::SeqCst), 1);
    });
}

/// A client that shows a certificate which the server's authority did not make.
fn impostor(server: &EmbeddedServer) -> surf::Client {
    let other = EmbeddedServer::builder().client_certificates(true).start().unwrap();
    let certificate = other.issue_client_certificate("admin", &["system:masters"]).unwrap();
    let credentials = credentials(&server.url(), server.ca_pem(), Some(&certificate));
    surf::Client::with_http_client(Client::new(settings_for(&credentials, SystemClock)))
}

#[test]
fn point_2_an_alert_after_the_handshake_is_the_cause() {
    let server = EmbeddedServer::builder().client_certificates(true).start().unwrap();
    run(async {
        for _ in 0..50 {
            let error =
                impostor(&server).send(request(Method::Get, &server.url(), "/version")).await.unwrap_err();
            let text = chain(kind(&error));
            assert!(text.contains("received fatal alert"), "{text}");
        }
    });
}

/// The other order: the connection ends before it has looked at the request, and must not take the cause with it.
#[test]
fn point_2_what_ended_a_connection_is_the_cause_even_if_the_request_was_not_looked_at() {
    let alert = || Poll::Ready(Err(io::Error::other("unknown certificate authority")));
    let request = http::Request::get("http://localhost/version").body(Full::new(Bytes::new())).unwrap();
    let error = run(first_exchange(Box::new(Stuck(alert)), request)).unwrap_err();
    assert!(matches!(error, ClientError::NotSent(_)), "{error:?}");
    let text = chain(&error);
    assert!(text.contains("unknown certificate authority"), "{text}");
}

#[test]
fn point_3_a_request_that_an_idle_connection_hands_back_is_sent_on_another_one() {
    let (address, asked) = answering("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok");
    let client = plain(address);
    run(async {
        let (mut sender, connection) =
            http1::handshake::<_, Full<Bytes>>(HyperIo(Box::new(Stuck(|| Poll::Pending)))).await.unwrap();
        let mut connection = Box::pin(connection);
        assert!(poll!(&mut connection).is_pending());
        assert!(poll!(pin!(sender.ready())).is_ready());
        client.pool().put(sender);
        let mut request = request(Method::Post, &format!("http://{address}"), "/leases");
        request.set_body("body");
        let mut sent = client.send(request.into());
        assert!(poll!(&mut sent).is_pending(), "it waits for the idle connection");
        // Which dies before it has looked at the request.
        drop(connection);
        let mut response = sent.await.unwrap();
        assert_eq!(response.body_string().await.unwrap(), "ok");
    });
    let asked: Vec<String> = asked.try_iter().collect();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("POST /leases ") && asked[0].ends_with("\r\n\r\nbody"), "{asked:?}");
}

#[test]
fn point_3_what_may_have_been_sent_is_not_sent_again() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let address = raw(move |_, mut stream| {
        assert!(super::raw::request(&mut stream).is_some());
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        if super::raw::request(&mut stream).is_some() {
            // And closes without an answer.
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let client = surf_to_plain(address);
    run(async {
        client.send(get(address, "/1")).await.unwrap();
        let error = client.send(get(address, "/2")).await.unwrap_err();
        assert_eq!(kind(&error).failure(), Failure::Unknown);
    });
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[test]
fn point_4_a_connection_is_used_again_when_its_body_was_read() {
    // `recv_bytes` stops at the announced length.
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let address = raw(move |_, mut stream| {
            count.fetch_add(1, Ordering::SeqCst);
            while super::raw::request(&mut stream).is_some() {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let client = surf_to_plain(address);
        run(async {
            for _ in 0..20 {
                let body = client.recv_bytes(get(address, "/")).await.unwrap();
                assert_eq!(body.len(), if answer.contains("abc") { 3 } else { 0 });
            }
        });
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{answer}");
    }
}

/// A server that never finishes its answer to a request for `/slow`, and tells whether its client hangs up.
fn slow(begin: &'static str) -> (SocketAddr, mpsc::Receiver<bool>) {
    let (tell, told) = mpsc::channel();
    let address = raw(move |_, mut stream| {
        while let Some(request) = super::raw::request(&mut stream) {
            if request.starts_with("GET /slow ") {
                stream.write_all(begin.as_bytes()).unwrap();
                tell.send(false).unwrap();
                tell.send(closes(&mut stream)).unwrap();
                return;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    (address, told)
}

#[test]
fn point_5_whoever_drops_the_body_closes_the_connection() {
    let (address, told) = slow("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc");
    let client = surf_to_plain(address);
    run(async {
        let response = client.send(get(address, "/slow")).await.unwrap();
        assert_eq!(response.len(), Some(9));
        drop(response);
        told.recv().unwrap();
        assert!(told.recv().unwrap(), "the server still has its client");
    });
}

#[test]
fn point_5_whoever_drops_the_request_closes_the_connection() {
    for on_an_idle_one in [false, true] {
        let (address, told) = slow("");
        let client = surf_to_plain(address);
        run(async {
            if on_an_idle_one {
                client.recv_bytes(get(address, "/quick")).await.unwrap();
            }
            let cancelled = Box::pin(client.send(get(address, "/slow")));
            let reached = async_std::task::spawn_blocking(move || {
                told.recv().unwrap();
                told
            });
            let Either::Right((told, cancelled)) = select(cancelled, reached).await else {
                panic!("there was an answer");
            };
            drop(cancelled);
            assert!(told.recv().unwrap(), "the server still has its client");
        });
    }
}

#[test]
fn point_6_header_values_beyond_ascii_do_no_harm() {
    let (address, _asked) =
        answering(b"HTTP/1.1 200 OK\r\nx-odd: caf\xe9\r\nx-plain: a\r\ncontent-length: 0\r\n\r\n");
    run(async {
        let response = surf_to_plain(address).send(get(address, "/")).await.unwrap();
        assert_eq!(response.header("x-plain").unwrap().as_str(), "a");
        assert!(response.header("x-odd").is_none());
        let head: &Head = response.ext().unwrap();
        assert_eq!(head.headers["x-odd"].as_bytes(), b"caf\xe9");
    });
}

#[test]
fn point_8_an_error_tells_its_causes() {
    let (server, other) = (open(true), open(true));
    let credentials = credentials(&server.url(), other.ca_pem(), None);
    let client = surf::Client::with_http_client(Client::new(settings_for(&credentials, SystemClock)));
    run(async {
        let error = client.send(request(Method::Get, &server.url(), "/")).await.unwrap_err();
        let text = chain(kind(&error));
        assert!(text.contains("invalid peer certificate"), "{text}");
        assert_eq!(kind(&error).failure(), Failure::NotSent);

        server.queue_fault(Fault::CloseAfter);
        let error = surf_to(&server).send(request(Method::Get, &server.url(), "/")).await.unwrap_err();
        assert!(kind(&error).source().is_some());
        assert_eq!(kind(&error).failure(), Failure::Unknown);
    });
}

#[test]
fn point_9_the_content_type_is_the_one_that_was_given() {
    let (address, asked) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let client = surf_to_plain(address);
    let uri = format!("http://{address}/");
    run(async {
        for given in [Some("application/json"), None] {
            let mut request = http::Request::delete(&uri);
            if let Some(given) = given {
                request = request.header("content-type", given);
            }
            let request = to_surf(request.body(Bytes::from_static(b"{}")).unwrap()).unwrap();
            client.send(request).await.unwrap();
            let asked = asked.recv().unwrap().to_ascii_lowercase();
            let types: Vec<&str> = asked.lines().filter(|line| line.starts_with("content-type")).collect();
            let expected: Vec<String> = given.iter().map(|given| format!("content-type: {given}")).collect();
            assert_eq!(types, expected);
            assert!(asked.contains("content-length: 2\r\n") && asked.ends_with("\r\n\r\n{}"), "{asked}");
        }
    });
}

#[test]
fn point_10_an_address_that_is_no_url_is_an_error() {
    // Good for `http::Uri`, bad for the URL library.
    let request = http::Request::get("https://xn--a/version").body(Bytes::new()).unwrap();
    let error = to_surf(request).unwrap_err();
    assert!(matches!(error, ClientError::Request(_)), "{error:?}");
    assert_eq!(error.failure(), Failure::NotSent);
}

#[test]
fn point_11_an_error_says_by_its_type_what_happened() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let (broken, _asked) = answering("HTTP/1.1 2");
    run(async {
        let error = surf_to_plain(nobody).send(get(nobody, "/")).await.unwrap_err();
        let error = error.downcast_ref::<ClientError>().unwrap();
        assert!(matches!(error, ClientError::Connect(..)), "{error:?}");
        let client = plain(broken);
        let error = surf::Client::with_http_client(client).send(get(nobody, "/")).await.unwrap_err();
        assert!(matches!(error.downcast_ref().unwrap(), ClientError::OtherOrigin), "{error:?}");
        // Statuses are never errors.
        let (teapot, _asked) = answering("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(surf_to_plain(teapot).send(get(teapot, "/")).await.unwrap().status(), 503);
    });
}
