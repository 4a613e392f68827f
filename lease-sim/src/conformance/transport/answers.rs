//! What comes back, as it came: every status is the state machine's to judge.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use http::{Method, Response};
use lease_core::Failure;
use lease_core::credentials::AuthenticationSource;
use lease_core::driver::Adapter;

use crate::conformance::bench::{
    Bench, LEASE, Seen, all, answered, explicit, failed, get, ms, open, request, token,
};
use crate::conformance::engine::{Case, cases};
use crate::conformance::raw::{RawServer, Signal, answer};
use crate::listener::Fault;

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "transport",
        every_status_is_handed_over => "2xx to 599 with headers and body, 429 with Retry-After, each asked for once",
        odd_statuses_are_handed_over => "299, 499 and 599, which no list of statuses has",
        redirects_are_handed_back_and_not_followed => "301 to 308: the other server gets nothing",
        answers_without_a_body_end => "204 and 304 keep nobody waiting",
        informational_answers_are_not_the_answer => "100 and 103 come first, then the real one",
        headers_that_are_not_ascii_do_no_harm => "no panic, the answer is handed over",
        an_answer_in_single_bytes_is_whole => "every byte a segment of its own",
        the_last_crlf_in_a_segment_of_its_own => "a chunked body ends when its end comes in two segments",
        long_bodies_are_too_large => "announced, chunked and endless ones; exactly max_body is not",
        an_answer_within_time_left_is_waited_for => "6 s for the head, 6 s for the body: no time-out of its own",
    ]
}

async fn every_status_is_handed_over<A: Adapter>(bench: Bench<A>) {
    let server = open(true);
    let transport = bench.anonymous(&server);
    let (seen, code) = (Seen::default(), Arc::new(AtomicU16::new(0)));
    let (writer, wanted) = (seen.clone(), Arc::clone(&code));
    server.set_fault_hook(move |request| {
        writer.note(request);
        let code = wanted.load(Ordering::SeqCst);
        let answer = Response::builder().status(code).header("retry-after", "7").header("x-case", "a, \"b\"");
        Some(Fault::Answer(answer.body(Bytes::from(format!("{{\"code\":{code}}}"))).unwrap()))
    });
    let codes = [200, 201, 202, 400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 500, 502, 503, 504];
    for status in codes {
        code.store(status, Ordering::SeqCst);
        for method in [Method::GET, Method::PUT] {
            let path = format!("/{status}/{method}");
            let response = answered(bench.send(&transport, request(method, &path, "{}")).await);
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["retry-after"], "7");
            assert_eq!(response.headers()["x-case"], "a, \"b\"");
            assert_eq!(response.body(), &format!("{{\"code\":{status}}}"));
            assert_eq!(seen.count(&path), 1, "{path} was asked for again");
        }
    }
}

async fn odd_statuses_are_handed_over<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        while let Some(request) = connection.request() {
            let code = request.path().trim_start_matches('/').to_owned();
            // Without a reason, which is optional.
            connection.send(format!("HTTP/1.1 {code} \r\ncontent-length: 2\r\n\r\n{{}}"));
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for code in [299, 499, 599] {
            let response = answered(bench.send(&transport, get(&format!("/{code}"))).await);
            assert_eq!((response.status().as_u16(), &**response.body()), (code, b"{}".as_slice()));
        }
    }
}

async fn redirects_are_handed_back_and_not_followed<A: Adapter>(bench: Bench<A>) {
    let (server, elsewhere) = (open(false), open(false));
    let seen = Seen::by(&elsewhere);
    let transport = bench.transport(explicit(&server.url(), None, token()));
    for to in [format!("{}/elsewhere", elsewhere.url()), "/elsewhere".to_owned()] {
        let here = Seen::default();
        for code in [301, 302, 303, 307, 308] {
            for method in [Method::GET, Method::PUT, Method::DELETE] {
                let (here, location) = (here.clone(), to.clone());
                server.set_fault_hook(move |request| {
                    here.note(request);
                    let redirect = Response::builder().status(code).header("location", &location);
                    Some(Fault::Answer(redirect.body(Bytes::from_static(b"moved")).unwrap()))
                });
                let response = answered(bench.send(&transport, request(method, LEASE, "{}")).await);
                assert_eq!(response.status(), code);
                assert_eq!(response.headers()["location"], to);
            }
        }
        assert_eq!(here.count("/elsewhere"), 0, "followed on the same server");
        assert_eq!(here.count(LEASE), 15);
    }
    assert_eq!((seen.all().len(), elsewhere.connections_made()), (0, 0), "the other server heard of it");
}

async fn answers_without_a_body_end<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        while let Some(request) = connection.request() {
            connection.send(match request.path() {
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            });
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for _ in 0..2 {
            for code in [204, 304, 200] {
                let response = answered(bench.send(&transport, get(&format!("/{code}"))).await);
                assert_eq!((response.status().as_u16(), response.body().len()), (code, 0));
            }
        }
    }
}

async fn informational_answers_are_not_the_answer<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
            connection.pause();
            connection.answer("the answer");
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for _ in 0..2 {
            let response = answered(bench.send(&transport, request(Method::PUT, LEASE, "{}")).await);
            assert_eq!((response.status().as_u16(), &**response.body()), (200, b"the answer".as_slice()));
        }
    }
}

async fn headers_that_are_not_ascii_do_no_harm<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        while connection.request().is_some() {
            let mut bytes =
                b"HTTP/1.1 200 Gar\xe7on\r\nx-odd: caf\xe9 \xff\xfe\r\nwarning: 299 - \"\xc3\xa4\"\r\n"
                    .to_vec();
            bytes.extend_from_slice(b"retry-after: \xe9\r\ncontent-length: 2\r\n\r\n{}");
            connection.send(bytes);
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for _ in 0..2 {
            let response = answered(bench.get(&transport).await);
            assert_eq!((response.status().as_u16(), &**response.body()), (200, b"{}".as_slice()));
        }
    }
}

async fn an_answer_in_single_bytes_is_whole<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        while let Some(request) = connection.request() {
            let bytes = match request.path() {
                "/sized" => answer("the answer"),
                _ => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4;x=y\r\nthe \r\n6\r\nanswer\r\n0\r\nt: v\r\n\r\n"
                    .to_owned(),
            };
            for byte in bytes.bytes() {
                connection.send([byte]);
            }
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for path in ["/sized", "/chunked", "/chunked", "/sized"] {
            let response = answered(bench.send(&transport, get(path)).await);
            assert_eq!((response.status().as_u16(), &**response.body()), (200, b"the answer".as_slice()));
        }
    }
}

async fn the_last_crlf_in_a_segment_of_its_own<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        while let Some(request) = connection.request() {
            let bytes = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nthe answer\r\n0\r\n\r\n";
            let from_the_end: usize = request.path().trim_start_matches('/').parse().unwrap_or(0);
            let (first, second) = bytes.split_at(bytes.len() - from_the_end);
            connection.send(first);
            connection.pause();
            connection.send(second);
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for from_the_end in 1..=7 {
            let response = answered(bench.send(&transport, get(&format!("/{from_the_end}"))).await);
            assert_eq!(&**response.body(), b"the answer", "the last {from_the_end} bytes came later");
        }
    }
}

async fn long_bodies_are_too_large<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        while let Some(request) = connection.request() {
            let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let body = "x".repeat(5000);
            match request.path() {
                "/sized" => _ = connection.answer(&body),
                "/chunked" => {
                    connection.send(chunked);
                    let (first, second) = body.split_at(3000);
                    connection.send(format!("bb8\r\n{first}\r\n7d0\r\n{second}\r\n0\r\n\r\n"));
                }
                // Whoever believes this needs all the memory there is.
                "/boast" => {
                    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 9000000000000000000\r\n\r\nx");
                    connection.until_closed();
                }
                _ => {
                    connection.send(chunked);
                    let spam = format!("3e8\r\n{}\r\n", "spam".repeat(250));
                    while connection.send(&spam) {}
                }
            }
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for path in ["/sized", "/chunked"] {
            let sent = bench.send_at_most(&transport, get(path), 5000).await;
            assert_eq!(answered(sent).body().len(), 5000);
            let sent = bench.send_at_most(&transport, get(path), 4999).await;
            assert_eq!(failed(sent), Failure::TooLarge, "{path}");
        }
        for path in ["/boast", "/endless"] {
            let sent = bench.send_at_most(&transport, get(path), 5000).await;
            assert_eq!(failed(sent), Failure::TooLarge, "{path}");
        }
        let sent = bench.send_at_most(&transport, get("/sized"), 5000).await;
        assert_eq!(answered(sent).body().len(), 5000, "what was left unread is nobody's answer");
    }
}

async fn an_answer_within_time_left_is_waited_for<A: Adapter>(bench: Bench<A>) {
    // Longer than the time-outs that HTTP clients come with, and than a connection may take to be made.
    let server = RawServer::plain(|connection| {
        let Some(request) = connection.request() else { return };
        match request.path() {
            "/head" => {
                Signal::default().wait(connection, ms(6000));
                connection.answer("late");
            }
            _ => {
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nla");
                Signal::default().wait(connection, ms(6000));
                connection.send("te");
            }
        }
    });
    let transport = bench.transport(server.source(AuthenticationSource::None));
    for sent in all(["/head", "/body"].map(|path| bench.send(&transport, get(path)))).await {
        assert_eq!(&**answered(sent).body(), b"late");
    }
}
