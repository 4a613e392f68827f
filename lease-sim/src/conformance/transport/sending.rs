//! What leaves.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request};
use lease_core::Failure;
use lease_core::credentials::AuthenticationSource;
use lease_core::driver::Adapter;

use crate::conformance::bench::{
    Bench, LEASE, Seen, TOKEN, all, answered, ca, explicit, failed, get, ms, open, request, token,
};
use crate::conformance::engine::{Case, cases};
use crate::conformance::raw::{Connection, RawServer};
use crate::listener::Fault;

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "transport",
        both_schemes_keep_their_connection => "http and https, twenty requests on one connection",
        bodies_arrive_whole => "POST, PUT, DELETE: every byte, with Content-Length and Content-Type",
        paths_and_queries_arrive_as_they_are => "nothing is encoded, decoded or tidied up",
        only_what_is_needed_is_sent => "one Authorization header and one of each other; no cookies, no compression",
        without_credentials_no_authorization_is_sent => "none at all",
        a_call_for_another_host_is_not_sent => "the token is for one server",
        requests_at_the_same_time_get_their_own_answers => "leases share a transport",
    ]
}

async fn both_schemes_keep_their_connection<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        for _ in 0..20 {
            let response = answered(bench.get(&transport).await);
            assert_eq!(response.status(), 404);
            assert!(response.headers().contains_key("date"), "{:?}", response.headers());
            assert!(String::from_utf8_lossy(response.body()).contains("\"NotFound\""));
            // A connection goes back to where it is kept a moment after its answer was read.
            bench.sleep(ms(2)).await;
        }
        let made = server.connections_made();
        // One, and another where that moment was not enough.
        assert!(made <= 2, "{made} connections for 20 requests, one after the other, to {}", server.url());
    }
}

async fn bodies_arrive_whole<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let seen = Seen::by(&server);
        let transport = bench.anonymous(&server);
        let large: Vec<u8> =
            (0..300_000_u32).map(|number| b"0123456789abcdef"[number as usize % 16]).collect();
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            for body in [b"{}".to_vec(), large.clone(), "{\"n\":\"ß 日本 \u{2028}\"}".into()] {
                answered(bench.send(&transport, request(method.clone(), LEASE, body.clone())).await);
                let arrived = seen.all().pop().unwrap();
                assert_eq!(arrived.method(), method);
                assert_eq!(arrived.headers()[CONTENT_TYPE], "application/json");
                assert_eq!(arrived.headers()[CONTENT_LENGTH], body.len().to_string().as_str());
                assert!(!arrived.headers().contains_key(TRANSFER_ENCODING), "{:?}", arrived.headers());
                assert!(arrived.body() == &body, "{} of {} bytes", arrived.body().len(), body.len());
            }
        }
        answered(bench.send(&transport, request(Method::DELETE, LEASE, Bytes::new())).await);
        answered(bench.get(&transport).await);
        for arrived in &seen.all()[9..] {
            assert!(arrived.body().is_empty());
            let length = arrived.headers().get(CONTENT_LENGTH);
            assert!(length.is_none_or(|length| length == "0"), "{:?}", arrived.headers());
            assert!(!arrived.headers().contains_key(TRANSFER_ENCODING), "{:?}", arrived.headers());
        }
    }
}

async fn paths_and_queries_arrive_as_they_are<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(answer_by_path) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for path in [
            "/apis/coordination.k8s.io/v1/namespaces/default/leases?watch=1&fieldSelector=metadata.name%3Dx&x=a+b",
            "/apis/x%2Fy/~user/a:b@c;d,e!$&()*=",
        ] {
            let response = answered(bench.send(&transport, get(path)).await);
            assert_eq!(response.body(), path);
        }
    }
}

/// The path comes back as the body; later for every other connection.
fn answer_by_path(connection: &mut Connection) {
    while let Some(request) = connection.request() {
        if connection.number.is_multiple_of(2) {
            connection.pause();
        }
        connection.answer(request.path());
    }
}

/// Each of these at most once.
fn assert_single(headers: &HeaderMap, names: &[HeaderName]) {
    for name in names {
        let count = headers.get_all(name).iter().count();
        assert!(count <= 1, "{name} comes {count} times: {headers:?}");
    }
}

async fn only_what_is_needed_is_sent<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let seen = Seen::by(&server);
        let transport = bench.transport(explicit(&server.url(), ca(&server), token()));
        let cookie =
            http::Response::builder().header("set-cookie", "a=b; path=/").body(Bytes::new()).unwrap();
        server.queue_fault(Fault::Answer(cookie));
        answered(bench.get(&transport).await);
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            answered(bench.send(&transport, request(method.clone(), LEASE, "{}")).await);
            let headers = seen.all().pop().unwrap().headers().clone();
            let shown: Vec<_> = headers.get_all(AUTHORIZATION).iter().collect();
            assert_eq!(shown, [&format!("Bearer {TOKEN}")]);
            assert_eq!(headers[ACCEPT], "application/json");
            let host = server.address().to_string();
            assert_eq!(headers["host"], host.as_str());
            assert_single(&headers, &[ACCEPT, CONTENT_TYPE, CONTENT_LENGTH, http::header::HOST]);
            for unwanted in ["cookie", "referer", "accept-encoding", "expect", "upgrade", "origin"] {
                assert!(!headers.contains_key(unwanted), "{unwanted}: {headers:?}");
            }
            let others = headers.iter().filter(|(name, value)| {
                *name != AUTHORIZATION
                    && value.as_bytes().windows(TOKEN.len()).any(|at| at == TOKEN.as_bytes())
            });
            assert_eq!(others.count(), 0, "the token is in another header: {headers:?}");
        }
        let urls = seen.all().iter().filter(|request| request.uri().to_string().contains(TOKEN)).count();
        assert_eq!(urls, 0, "the token is in a URL");
    }
}

async fn without_credentials_no_authorization_is_sent<A: Adapter>(bench: Bench<A>) {
    let server = open(true);
    let seen = Seen::by(&server);
    let transport = bench.transport(explicit(&server.url(), ca(&server), AuthenticationSource::None));
    answered(bench.get(&transport).await);
    let headers = seen.all()[0].headers().clone();
    assert!(!headers.contains_key(AUTHORIZATION), "{headers:?}");
}

async fn a_call_for_another_host_is_not_sent<A: Adapter>(bench: Bench<A>) {
    let (server, elsewhere) = (open(false), open(false));
    let transport = bench.transport(explicit(&server.url(), None, token()));
    let call = Request::get(format!("{}/x", elsewhere.url())).body(Bytes::new()).unwrap();
    assert_eq!(failed(bench.send(&transport, call).await), Failure::NotSent);
    assert_eq!((server.connections_made(), elsewhere.connections_made()), (0, 0));
}

async fn requests_at_the_same_time_get_their_own_answers<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(answer_by_path) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for _ in 0..3 {
            let paths: Vec<_> = (0..8).map(|number| format!("/{number}")).collect();
            let sent = all(paths.iter().map(|path| bench.send(&transport, get(path)))).await;
            for (path, sent) in paths.iter().zip(sent) {
                assert_eq!(answered(sent).body(), path.as_str());
            }
        }
    }
}
