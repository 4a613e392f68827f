//! The default transport over real HTTP and TLS: what it tells of failures, and what it never does.
#![allow(clippy::unwrap_used)]

mod wire_support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use async_std::future::timeout;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response};
use lease_async_std::{
    AuthenticationSource, Call, Failure, KubeconfigOptions, SendError, SetupError, SurfTransport, Transport,
    kubeconfig_file,
};
use lease_sim::listener::{EmbeddedServer, Fault};
use wire_support::raw::{answering, closes, raw, request};
use wire_support::{Folder, anonymous, ca, chain, explicit, get, get_at_most, run, status, token};

fn open(tls: bool) -> EmbeddedServer {
    EmbeddedServer::builder().open().tls(tls).start().unwrap()
}

fn failure(outcome: Result<Response<Bytes>, SendError>) -> Failure {
    outcome.unwrap_err().failure()
}

#[test]
fn both_schemes_work() {
    run(async {
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
    });
}

#[test]
fn nothing_was_sent_where_nobody_listens() {
    run(async {
        let server = open(false);
        let transport = anonymous(&server);
        server.stop();
        assert_eq!(failure(get(&transport).await), Failure::NotSent);
        server.restart().unwrap();
        assert_eq!(status(&transport).await, 404);

        let source = explicit("http://no-such-host.invalid:1", None, AuthenticationSource::None);
        let nowhere = SurfTransport::builder(source).build().unwrap();
        assert_eq!(failure(get(&nowhere).await), Failure::NotSent);
    });
}

#[test]
fn a_server_that_the_ca_does_not_vouch_for_is_refused() {
    run(async {
        let (server, other) = (open(true), open(true));
        let source = explicit(&server.url(), ca(&other), token("s3cr3t"));
        let transport = SurfTransport::builder(source).build().unwrap();
        let seen = watch_headers(&server);
        let error = get(&transport).await.unwrap_err();
        assert_eq!(error.failure(), Failure::NotSent);
        assert!(chain(&error).contains("certificate"), "{}", chain(&error));
        assert!(!chain(&error).contains("s3cr3t"));
        assert!(seen.lock().unwrap().is_empty(), "no request came through");
    });
}

#[test]
fn the_platforms_roots_do_not_vouch_for_a_made_ca() {
    run(async {
        let server = open(true);
        let source = explicit(&server.url(), None, AuthenticationSource::None);
        match SurfTransport::builder(source).build() {
            Ok(transport) => assert_eq!(failure(get(&transport).await), Failure::NotSent),
            // A machine without any roots: nobody is trusted.
            Err(error) => assert!(matches!(error, SetupError::Tls(_)), "{error}"),
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_certificate_for_another_name_is_refused() {
    run(async {
        let server = EmbeddedServer::builder()
            .open()
            .tls(true)
            .listen(SocketAddr::from(([0, 0, 0, 0], 0)))
            .start()
            .unwrap();
        let url = |host: &str| format!("https://{host}:{}", server.address().port());
        let to = |host: &str| {
            let source = explicit(&url(host), ca(&server), AuthenticationSource::None);
            SurfTransport::builder(source).build().unwrap()
        };
        assert_eq!(status(&to("127.0.0.1")).await, 404);
        assert_eq!(status(&to("localhost")).await, 404);
        assert_eq!(failure(get(&to("127.0.0.3")).await), Failure::NotSent);
    });
}

#[test]
fn a_server_without_tls_gets_nothing() {
    run(async {
        let (tell, told) = mpsc::channel();
        let address = raw(move |_, mut stream| {
            let mut heard = Vec::new();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            let _ = stream.read_to_end(&mut heard);
            tell.send(heard).unwrap();
        });
        let url = format!("https://{address}");
        let with_tls = open(true);
        let source = explicit(&url, ca(&with_tls), token("s3cr3t"));
        let transport = SurfTransport::builder(source).build().unwrap();
        assert_eq!(failure(get(&transport).await), Failure::NotSent);
        let heard = told.recv().unwrap();
        assert!(!String::from_utf8_lossy(&heard).contains("s3cr3t"));
    });
}

#[test]
fn what_may_have_arrived_is_unknown() {
    run(async {
        let server = open(true);
        let transport = anonymous(&server);
        for fault in [Fault::CloseBefore, Fault::CloseAfter, Fault::CutBody(5)] {
            server.queue_fault(fault);
            assert_eq!(failure(get(&transport).await), Failure::Unknown);
            assert_eq!(status(&transport).await, 404, "a new connection works");
        }
        assert_eq!(server.faults_done(), 3, "nothing is retried");
    });
}

#[test]
fn a_request_that_was_dropped_takes_its_answer_along() {
    run(async {
        let server = open(false);
        let transport = anonymous(&server);
        server.set_fault_hook(|request: &Request<Bytes>| {
            request.uri().path().ends_with("/job").then(|| Fault::DelayAfter(Duration::from_millis(500)))
        });
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(50), get(&transport)).await.is_err());
            let other = Request::get("/version").body(Bytes::new()).unwrap();
            let response = transport.send(Call::new(other, Duration::from_secs(10), 1 << 20)).await.unwrap();
            let body = String::from_utf8_lossy(response.body()).into_owned();
            assert!(body.contains("gitVersion"), "the answer to another request: {body}");
        }
    });
}

#[test]
fn redirects_are_not_followed() {
    run(async {
        let (server, elsewhere) = (open(false), open(false));
        let transport = {
            let source = explicit(&server.url(), None, token("s3cr3t"));
            SurfTransport::builder(source).build().unwrap()
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
    });
}

#[test]
fn long_bodies_are_not_read() {
    run(async {
        let server = open(false);
        let transport = anonymous(&server);
        server.queue_fault(Fault::status(200, vec![b'x'; 5000]));
        assert_eq!(failure(get_at_most(&transport, 4999).await), Failure::TooLarge);
        server.queue_fault(Fault::status(200, vec![b'x'; 5000]));
        assert_eq!(get_at_most(&transport, 5000).await.unwrap().body().len(), 5000);

        // Without a length, and without an end.
        let (tell, told) = mpsc::channel();
        let address = raw(move |_, mut stream| {
            request(&mut stream).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
            while stream.write_all(b"4\r\nspam\r\n").is_ok() {}
            tell.send(()).unwrap();
        });
        let url = format!("http://{address}");
        let source = explicit(&url, None, AuthenticationSource::None);
        let transport = SurfTransport::builder(source).build().unwrap();
        assert_eq!(failure(get_at_most(&transport, 4096).await), Failure::TooLarge);
        told.recv().unwrap();
    });
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

#[test]
fn a_request_carries_the_token_and_our_name() {
    run(async {
        let server = open(true);
        let seen = watch_headers(&server);
        let source = explicit(&server.url(), ca(&server), token("s3cr3t"));
        let transport = SurfTransport::builder(source).build().unwrap();
        assert!(!format!("{transport:?}").contains("s3cr3t"));
        status(&transport).await;
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0]["authorization"], "Bearer s3cr3t");
        assert_eq!(seen[0]["user-agent"], concat!("lease-async-std/", env!("CARGO_PKG_VERSION")));
        assert!(
            !seen[0].contains_key("referer") && !seen[0].contains_key("accept-encoding"),
            "{:?}",
            seen[0]
        );
    });
}

#[test]
fn a_request_for_another_host_is_not_sent() {
    run(async {
        let (server, elsewhere) = (open(false), open(false));
        let source = explicit(&server.url(), None, token("s3cr3t"));
        let transport = SurfTransport::builder(source).build().unwrap();
        let request = Request::get(format!("{}/x", elsewhere.url())).body(Bytes::new()).unwrap();
        let outcome = transport.send(Call::new(request, Duration::from_secs(10), 4096)).await;
        assert_eq!(failure(outcome), Failure::NotSent);
        assert_eq!(elsewhere.connections(), 0);
    });
}

/// A proxy that counts its tunnels and keeps what it was asked.
fn proxy() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let tunnels = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&tunnels);
    let address = raw(move |_, mut client| {
        let Some(head) = request(&mut client) else { return };
        let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned();
        heads.lock().unwrap().push(head);
        let mut server = TcpStream::connect(target).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
        let _ = std::io::copy(&mut server, &mut client);
    });
    (address, tunnels)
}

#[test]
fn a_proxy_is_used_when_asked_for() {
    run(async {
        let server = open(true);
        let (address, tunnels) = proxy();
        let source = explicit(&server.url(), ca(&server), token("s3cr3t"));
        let transport = SurfTransport::builder(source).proxy(format!("http://{address}")).build().unwrap();
        assert_eq!(status(&transport).await, 404);
        assert_eq!(status(&transport).await, 404);
        let heads = std::mem::take(&mut *tunnels.lock().unwrap());
        assert_eq!(heads.len(), 1, "the tunnel is used again");
        assert!(heads[0].contains(&format!("\r\nHost: {}\r\n", server.address())), "{}", heads[0]);
        assert!(!heads[0].contains("s3cr3t") && !heads[0].contains("uthorization"));

        let source = explicit(&server.url(), ca(&server), token("s3cr3t"));
        let transport = SurfTransport::builder(source).proxy(format!("http://u%40:p@{address}"));
        assert!(!format!("{transport:?}").contains("u%40"));
        assert_eq!(status(&transport.build().unwrap()).await, 404);
        let heads = std::mem::take(&mut *tunnels.lock().unwrap());
        // "u@:p"
        assert!(heads[0].contains("\r\nProxy-Authorization: Basic dUA6cA==\r\n"), "{}", heads[0]);

        let plain = explicit("http://127.0.0.1:1", None, token("s3cr3t"));
        let refused = SurfTransport::builder(plain).proxy(format!("http://{address}")).build();
        assert!(matches!(refused, Err(SetupError::ProxyWithoutTls)));

        let source = explicit(&server.url(), ca(&server), token("s3cr3t"));
        let refused = SurfTransport::builder(source).proxy("http://user:passw0rd@").build().unwrap_err();
        assert!(matches!(refused, SetupError::Client(_)), "{refused}");
        assert!(!format!("{refused:?} {}", chain(&refused)).contains("passw0rd"), "{refused:?}");
    });
}

#[test]
fn the_environments_proxies_are_not_asked() {
    const CHILD: &str = "LEASE_ASYNC_STD_TEST_SERVER";
    if let Ok(url) = std::env::var(CHILD) {
        let source = explicit(&url, None, AuthenticationSource::None);
        run(async {
            let transport = SurfTransport::builder(source).build().unwrap();
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

#[test]
fn a_proxy_that_gives_no_tunnel_is_told_and_gets_nothing() {
    run(async {
        let server = open(true);
        for (answer, why) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", "status 407"),
            ("SSH-2.0-OpenSSH_9\r\n\r\n", "does not speak HTTP/1"),
        ] {
            let (address, asked) = answering(answer);
            let source = explicit(&server.url(), ca(&server), token("s3cr3t"));
            let transport =
                SurfTransport::builder(source).proxy(format!("http://{address}")).build().unwrap();
            let error = get(&transport).await.unwrap_err();
            assert_eq!(error.failure(), Failure::NotSent);
            assert!(chain(&error).contains(why), "{}", chain(&error));
            assert_eq!(asked.try_iter().count(), 1);
        }
        let source = explicit(&server.url(), ca(&server), AuthenticationSource::None);
        let nobody = SurfTransport::builder(source).proxy("http://127.0.0.1:1").build().unwrap();
        assert_eq!(failure(get(&nobody).await), Failure::NotSent);
        assert_eq!(server.connections(), 0);
        // What is not honoured is refused.
        for other in ["https://proxy.example", "socks5://proxy.example", "proxy.example:3128"] {
            let source = explicit(&server.url(), ca(&server), AuthenticationSource::None);
            let refused = SurfTransport::builder(source).proxy(other).build();
            assert!(matches!(refused, Err(SetupError::Client(_))), "{other}");
        }
    });
}

fn call(request: http::request::Builder, time_left: Duration) -> Call {
    Call::new(request.body(Bytes::new()).unwrap(), time_left, 1 << 20)
}

fn to(address: SocketAddr) -> SurfTransport {
    let source = explicit(&format!("http://{address}"), None, AuthenticationSource::None);
    SurfTransport::builder(source).build().unwrap()
}

#[test]
fn point_7_the_deadline_is_for_head_and_body() {
    const NOTHING: &str = "";
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    const PART: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
    let stalled = [NOTHING, HEAD, PART].map(|said| async move {
        let (tell, told) = mpsc::channel();
        let address = raw(move |_, mut stream| {
            request(&mut stream).unwrap();
            stream.write_all(said.as_bytes()).unwrap();
            tell.send(closes(&mut stream)).unwrap();
        });
        // Long enough to connect, on a busy machine too.
        let outcome = to(address).send(call(Request::get("/"), Duration::from_secs(2))).await;
        assert_eq!(failure(outcome), Failure::Unknown, "{said:?}");
        assert!(told.recv().unwrap(), "and takes the connection along");
    });
    run(join_all(stalled));
}

#[test]
fn a_deadline_before_there_is_a_connection_sends_nothing() {
    run(async {
        // Takes connections, and never shakes hands.
        let server = open(true);
        server.pause();
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", silent.local_addr().unwrap());
        let source = explicit(&url, ca(&server), AuthenticationSource::None);
        let transport = SurfTransport::builder(source).build().unwrap();
        let outcome = transport.send(call(Request::get("/"), Duration::from_millis(200))).await;
        assert_eq!(failure(outcome), Failure::NotSent);
    });
}

#[test]
fn every_status_and_header_comes_through() {
    for code in [200, 299, 404, 409, 429, 499, 503, 599, 999] {
        let (address, _asked) = answering(
            [
                format!("HTTP/1.1 {code} Odd\r\nretry-after: 7\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nx-odd: ").as_bytes(),
                b"caf\xe9\r\nx-two: 1\r\nx-two: 2\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            ]
            .concat(),
        );
        let response = run(get(&to(address))).unwrap();
        assert_eq!(response.status(), code);
        assert_eq!(response.body(), "{}");
        let headers = response.headers();
        assert_eq!(headers["retry-after"], "7");
        assert_eq!(headers["date"], "Thu, 01 Jan 2026 00:00:00 GMT");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["x-odd"].as_bytes(), b"caf\xe9");
        assert_eq!(headers.get_all("x-two").iter().count(), 2);
    }
}

#[test]
fn what_cannot_be_sent_as_it_is_is_not_sent() {
    let (address, asked) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let transport = to(address);
    run(async {
        for request in [
            Request::builder().method("WATCH").uri("/"),
            Request::connect("/"),
            Request::get("/a'b?'"),
            Request::get("/").header("x-odd", http::HeaderValue::from_bytes(b"caf\xe9").unwrap()),
        ] {
            let outcome = transport.send(call(request, Duration::from_secs(10))).await;
            assert_eq!(failure(outcome), Failure::NotSent);
        }
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let request = Request::builder().method(method).uri("/p%2Fq?a=%20b&c");
            transport.send(call(request, Duration::from_secs(10))).await.unwrap();
            let line = format!("{method} /p%2Fq?a=%20b&c HTTP/1.1\r\n");
            let said = asked.recv().unwrap();
            assert!(said.starts_with(&line), "{said}");
            assert!(said.contains(&format!("\r\nhost: {address}\r\n")), "{said}");
        }
    });
    assert_eq!(asked.try_iter().count(), 0);
}

#[test]
fn a_prefix_of_the_address_is_kept() {
    let (address, asked) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let source = explicit(&format!("http://{address}/k8s/c-1/"), None, AuthenticationSource::None);
    let transport = SurfTransport::builder(source).build().unwrap();
    run(transport.send(call(Request::get("/version?a=b"), Duration::from_secs(10)))).unwrap();
    assert!(asked.recv().unwrap().starts_with("GET /k8s/c-1/version?a=b HTTP/1.1\r\n"));
}

#[test]
fn a_name_that_is_no_url_is_refused_at_setup() {
    let source = explicit("https://xn--a", None, AuthenticationSource::None);
    let refused = SurfTransport::builder(source).build();
    assert!(matches!(refused, Err(SetupError::Client(_) | SetupError::Tls(_))), "{refused:?}");
}

/// A transport from a kubeconfig; `more` are more lines for the cluster.
fn from_kubeconfig(server: &EmbeddedServer, url: &str, more: &str) -> Result<SurfTransport, SetupError> {
    let folder = Folder::new("kubeconfig");
    folder.write("ca.crt", &server.ca_pem().unwrap());
    let text = format!(
        "current-context: a
contexts: [{{name: a, context: {{cluster: a, user: a}}}}]
users: [{{name: a, user: {{token: s3cr3t}}}}]
clusters: [{{name: a, cluster: {{server: '{url}', certificate-authority: ca.crt, {more}}}}}]
"
    );
    let source = kubeconfig_file(folder.write("config", &text), &KubeconfigOptions::new())?;
    SurfTransport::builder(source).build()
}

#[cfg(target_os = "linux")]
#[test]
fn a_kubeconfigs_server_name_and_proxy_are_honoured() {
    let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let server = EmbeddedServer::builder().open().tls(true).listen(anywhere).start().unwrap();
    let seen = watch_headers(&server);
    let url = format!("https://127.0.0.3:{}", server.address().port());
    let (address, tunnels) = proxy();
    run(async {
        let unnamed = from_kubeconfig(&server, &url, "").unwrap();
        assert_eq!(failure(get(&unnamed).await), Failure::NotSent);
        for name in ["kubernetes.default.svc", "127.0.0.1"] {
            let named = from_kubeconfig(&server, &url, &format!("tls-server-name: {name}")).unwrap();
            assert_eq!(status(&named).await, 404);
            let both = format!("tls-server-name: {name}, proxy-url: 'http://u:passw0rd@{address}'");
            assert_eq!(status(&from_kubeconfig(&server, &url, &both).unwrap()).await, 404);
        }
        let wrong = from_kubeconfig(&server, &url, "tls-server-name: other.example").unwrap();
        assert_eq!(failure(get(&wrong).await), Failure::NotSent);
    });
    assert_eq!(tunnels.lock().unwrap().len(), 2);
    for headers in &*seen.lock().unwrap() {
        assert_eq!(headers["host"], url["https://".len()..]);
    }
    // What is not honoured is refused.
    for other in ["https://proxy.example", "socks5://u:passw0rd@proxy.example"] {
        let refused = from_kubeconfig(&server, &url, &format!("proxy-url: '{other}'")).unwrap_err();
        assert!(matches!(refused, SetupError::Client(_)), "{refused:?}");
        assert!(!format!("{refused:?} {}", chain(&refused)).contains("passw0rd"), "{refused:?}");
    }
}
