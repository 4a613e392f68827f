//! The default transport over real HTTP and TLS: what it tells of failures, and what it never does.
#![allow(clippy::unwrap_used)]

mod wire_support;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use lease_sim::listener::{EmbeddedServer, Fault};
use lease_tokio::{AuthenticationSource, Call, Failure, ReqwestTransport, SendError, SetupError, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use wire_support::{anonymous, ca, chain, explicit, get, get_at_most, status, token};

fn open(tls: bool) -> EmbeddedServer {
    EmbeddedServer::builder().open().tls(tls).start().unwrap()
}

fn failure(outcome: Result<Response<Bytes>, SendError>) -> Failure {
    outcome.unwrap_err().failure()
}

#[tokio::test]
async fn both_schemes_work() {
    for tls in [false, true] {
        let server = open(tls);
        let transport = anonymous(&server);
        let response = get(&transport).await.unwrap();
        assert_eq!(response.status(), 404);
        assert!(response.headers().contains_key("date"));
        assert!(std::str::from_utf8(response.body()).unwrap().contains("\"NotFound\""));
        for _ in 0..5 {
            assert_eq!(status(&transport).await, 404);
        }
        assert_eq!(server.connections(), 1, "the connection is used again");
    }
}

#[tokio::test]
async fn nothing_was_sent_where_nobody_listens() {
    let server = open(false);
    let transport = anonymous(&server);
    server.stop();
    assert_eq!(failure(get(&transport).await), Failure::NotSent);
    server.restart().unwrap();
    assert_eq!(status(&transport).await, 404);

    let source = explicit("http://no-such-host.invalid:1", None, AuthenticationSource::None);
    let nowhere = ReqwestTransport::builder(source).build().unwrap();
    assert_eq!(failure(get(&nowhere).await), Failure::NotSent);
}

#[tokio::test]
async fn a_server_that_the_ca_does_not_vouch_for_is_refused() {
    let (server, other) = (open(true), open(true));
    let source = explicit(&server.url(), ca(&other), token("s3cr3t"));
    let transport = ReqwestTransport::builder(source).build().unwrap();
    let seen = watch_headers(&server);
    let error = get(&transport).await.unwrap_err();
    assert_eq!(error.failure(), Failure::NotSent);
    assert!(chain(&error).contains("certificate"), "{}", chain(&error));
    assert!(!chain(&error).contains("s3cr3t"));
    assert!(seen.lock().unwrap().is_empty(), "no request came through");
}

#[tokio::test]
async fn the_platforms_roots_do_not_vouch_for_a_made_ca() {
    let server = open(true);
    let source = explicit(&server.url(), None, AuthenticationSource::None);
    match ReqwestTransport::builder(source).build() {
        Ok(transport) => assert_eq!(failure(get(&transport).await), Failure::NotSent),
        // A machine without any roots: nobody is trusted.
        Err(error) => assert!(matches!(error, SetupError::Tls(_)), "{error}"),
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let server = EmbeddedServer::builder()
        .open()
        .tls(true)
        .listen(SocketAddr::from(([0, 0, 0, 0], 0)))
        .start()
        .unwrap();
    let url = |host: &str| format!("https://{host}:{}", server.address().port());
    let to = |host: &str| {
        let source = explicit(&url(host), ca(&server), AuthenticationSource::None);
        ReqwestTransport::builder(source).build().unwrap()
    };
    assert_eq!(status(&to("127.0.0.1")).await, 404);
    assert_eq!(status(&to("localhost")).await, 404);
    assert_eq!(failure(get(&to("127.0.0.3")).await), Failure::NotSent);
}

#[tokio::test]
async fn a_server_without_tls_gets_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let with_tls = open(true);
    let source = explicit(&url, ca(&with_tls), token("s3cr3t"));
    let transport = ReqwestTransport::builder(source).build().unwrap();
    assert_eq!(failure(get(&transport).await), Failure::NotSent);
    let heard = heard.await.unwrap();
    assert!(!String::from_utf8_lossy(&heard).contains("s3cr3t"));
}

#[tokio::test]
async fn what_may_have_arrived_is_unknown() {
    let server = open(true);
    let transport = anonymous(&server);
    for fault in [Fault::CloseBefore, Fault::CloseAfter, Fault::CutBody(5)] {
        server.queue_fault(fault);
        assert_eq!(failure(get(&transport).await), Failure::Unknown);
        assert_eq!(status(&transport).await, 404, "a new connection works");
    }
    assert_eq!(server.faults_done(), 3, "nothing is retried");
}

#[tokio::test]
async fn a_request_that_was_dropped_takes_its_answer_along() {
    let server = open(false);
    let transport = anonymous(&server);
    server.set_fault_hook(|request: &Request<Bytes>| {
        request.uri().path().ends_with("/job").then(|| Fault::DelayAfter(Duration::from_millis(100)))
    });
    for _ in 0..3 {
        assert!(timeout(Duration::from_millis(50), get(&transport)).await.is_err());
        let other = Request::get("/version").body(Bytes::new()).unwrap();
        let response = transport.send(Call::new(other, Duration::from_secs(10), 1 << 20)).await.unwrap();
        let body = String::from_utf8_lossy(response.body()).into_owned();
        assert!(body.contains("gitVersion"), "the answer to another request: {body}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (server, elsewhere) = (open(false), open(false));
    let transport = {
        let source = explicit(&server.url(), None, token("s3cr3t"));
        ReqwestTransport::builder(source).build().unwrap()
    };
    let seen = watch_headers(&elsewhere);
    for code in [301, 302, 307, 308] {
        let redirect =
            Response::builder().status(code).header("location", elsewhere.url()).body(Bytes::new());
        server.queue_fault(Fault::Answer(redirect.unwrap()));
        assert_eq!(status(&transport).await, code);
    }
    assert!(seen.lock().unwrap().is_empty());
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn long_bodies_are_not_read() {
    let server = open(false);
    let transport = anonymous(&server);
    server.queue_fault(Fault::status(200, vec![b'x'; 5000]));
    assert_eq!(failure(get_at_most(&transport, 4999).await), Failure::TooLarge);
    server.queue_fault(Fault::status(200, vec![b'x'; 5000]));
    assert_eq!(get_at_most(&transport, 5000).await.unwrap().body().len(), 5000);

    // Without a length, and without an end.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let endless = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(b"4\r\nspam\r\n").await.is_ok() {}
    });
    let source = explicit(&url, None, AuthenticationSource::None);
    let transport = ReqwestTransport::builder(source).build().unwrap();
    assert_eq!(failure(get_at_most(&transport, 4096).await), Failure::TooLarge);
    endless.await.unwrap();
}

/// The headers of every request that the server gets.
fn watch_headers(server: &EmbeddedServer) -> Arc<Mutex<Vec<HeaderMap>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&seen);
    server.set_fault_hook(move |request| {
        writer.lock().unwrap().push(request.headers().clone());
        None
    });
    seen
}

#[tokio::test]
async fn a_request_carries_the_token_and_our_name() {
    let server = open(true);
    let seen = watch_headers(&server);
    let source = explicit(&server.url(), ca(&server), token("s3cr3t"));
    let transport = ReqwestTransport::builder(source).build().unwrap();
    assert!(!format!("{transport:?}").contains("s3cr3t"));
    status(&transport).await;
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0]["authorization"], "Bearer s3cr3t");
    assert_eq!(seen[0]["user-agent"], concat!("lease-tokio/", env!("CARGO_PKG_VERSION")));
    assert!(!seen[0].contains_key("referer") && !seen[0].contains_key("accept-encoding"), "{:?}", seen[0]);
}

#[tokio::test]
async fn a_request_for_another_host_is_not_sent() {
    let (server, elsewhere) = (open(false), open(false));
    let source = explicit(&server.url(), None, token("s3cr3t"));
    let transport = ReqwestTransport::builder(source).build().unwrap();
    let request = Request::get(format!("{}/x", elsewhere.url())).body(Bytes::new()).unwrap();
    let outcome = transport.send(Call::new(request, Duration::from_secs(10), 4096)).await;
    assert_eq!(failure(outcome), Failure::NotSent);
    assert_eq!(elsewhere.connections(), 0);
}

/// A proxy that counts its tunnels.
async fn proxy() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tunnels = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tunnels);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
            assert!(!head.contains("s3cr3t"));
            let mut server = TcpStream::connect(target).await.unwrap();
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (address, tunnels)
}

#[tokio::test]
async fn a_proxy_is_used_when_asked_for() {
    let server = open(true);
    let (address, tunnels) = proxy().await;
    let source = explicit(&server.url(), ca(&server), token("s3cr3t"));
    let transport = ReqwestTransport::builder(source).proxy(format!("http://{address}")).build().unwrap();
    assert_eq!(status(&transport).await, 404);
    assert_eq!(tunnels.load(Ordering::SeqCst), 1);

    let plain = explicit("http://127.0.0.1:1", None, token("s3cr3t"));
    let refused = ReqwestTransport::builder(plain).proxy(format!("http://{address}")).build();
    assert!(matches!(refused, Err(SetupError::ProxyWithoutTls)));

    let source = explicit(&server.url(), ca(&server), token("s3cr3t"));
    let refused = ReqwestTransport::builder(source).proxy("http://user:passw0rd@").build().unwrap_err();
    assert!(matches!(refused, SetupError::Client(_)), "{refused}");
    assert!(!format!("{refused:?} {}", chain(&refused)).contains("passw0rd"), "{refused:?}");
}

#[test]
fn the_environments_proxies_are_not_asked() {
    const CHILD: &str = "LEASE_TOKIO_TEST_SERVER";
    if let Ok(url) = std::env::var(CHILD) {
        let source = explicit(&url, None, AuthenticationSource::None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let transport = ReqwestTransport::builder(source).build().unwrap();
            assert_eq!(status(&transport).await, 404);
        });
        return;
    }
    let server = open(false);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_environments_proxies_are_not_asked"])
        .env(CHILD, server.url())
        .envs(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, "http://127.0.0.1:1")))
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}
