//! Answers that are none: never a short body taken for a whole one.

use http::Method;
use lease_core::Failure;
use lease_core::credentials::AuthenticationSource;
use lease_core::driver::Adapter;

use crate::conformance::bench::{Bench, LEASE, answered, failed, get, open, request, token};
use crate::conformance::engine::{Case, cases};
use crate::conformance::raw::{RawServer, Tls, answer};
use crate::listener::{Clients, Fault};

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "transport",
        a_truncated_body_is_no_body => "Content-Length says more than came: Unknown, closed properly or cut",
        a_body_cut_mid_chunk_is_no_body => "in a chunk, between two, before the last: Unknown",
        a_body_without_an_end_over_tls_is_no_body => "no length, cut without TLS's goodbye: Unknown",
        garbage_instead_of_http_is_unknown => "no status, bad lengths, two lengths, bad chunks: no answer, no panic",
        a_connection_that_closes_before_the_answer_is_unknown => "before and after the request was applied",
    ]
}

const SIZED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Whatever the path's number asks for of `bytes`, closed properly if it is even, cut if it is odd.
async fn assert_unknown<A: Adapter>(bench: &Bench<A>, all: &'static [&'static [u8]]) {
    for server in RawServer::both(move |connection| {
        let Some(request) = connection.request() else { return };
        let number: usize = request.path().trim_start_matches('/').parse().unwrap_or(usize::MAX);
        match all.get(number / 2) {
            None => _ = connection.send(answer("whole")),
            Some(bytes) => {
                connection.send(bytes);
                if number.is_multiple_of(2) {
                    connection.close();
                    connection.until_closed();
                }
            }
        }
    }) {
        let transport = bench.transport(server.source(token()));
        for number in 0..all.len() * 2 {
            let sent = bench.send(&transport, get(&format!("/{number}"))).await;
            if let Ok(response) = &sent {
                panic!(
                    "{:?} was taken for an answer: {} {:?}",
                    String::from_utf8_lossy(all[number / 2]),
                    response.status(),
                    response.body()
                );
            }
            let failure = failed(sent);
            assert_eq!(failure, Failure::Unknown, "{:?}", String::from_utf8_lossy(all[number / 2]));
            assert_eq!(server.arrivals(&format!("/{number}")), 1, "asked for again");
        }
        // Each took its connection along.
        assert_eq!(answered(bench.send(&transport, get("/whole")).await).body(), "whole");
    }
}

async fn a_truncated_body_is_no_body<A: Adapter>(bench: Bench<A>) {
    const ALL: &[&[u8]] = &[
        SIZED.as_bytes(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"whole\":\"perhaps\"}",
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 20\r\n\r\n{\"kind\":\"Status\"}",
    ];
    assert_unknown(&bench, ALL).await;
    // The same from a real server.
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        for at in [0, 5, 100] {
            server.queue_fault(Fault::CutBody(at));
            assert_eq!(failed(bench.get(&transport).await), Failure::Unknown);
        }
        assert_eq!(server.faults_done(), 3, "asked for again");
        assert_eq!(bench.status(&transport).await, 404);
    }
}

async fn a_body_cut_mid_chunk_is_no_body<A: Adapter>(bench: Bench<A>) {
    const ALL: &[&[u8]] = &[
        CHUNKED.as_bytes(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nthe",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nthe answer",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nthe answer\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nthe answer\r\n0",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nthe answer\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nthe answer\r\n0\r\nx: y\r\n",
    ];
    assert_unknown(&bench, ALL).await;
}

async fn a_body_without_an_end_over_tls_is_no_body<A: Adapter>(bench: Bench<A>) {
    let tls = Tls::new(Clients::Unasked);
    let server = RawServer::start(Some(tls), |connection| {
        let Some(request) = connection.request() else { return };
        connection.send("HTTP/1.1 200 OK\r\n\r\nthe ans");
        if request.path() == "/whole" {
            connection.send("wer");
            connection.close();
            connection.until_closed();
        }
    });
    let transport = bench.transport(server.source(AuthenticationSource::None));
    assert_eq!(failed(bench.send(&transport, get("/cut")).await), Failure::Unknown);
    assert_eq!(answered(bench.send(&transport, get("/whole")).await).body(), "the answer");
}

async fn garbage_instead_of_http_is_unknown<A: Adapter>(bench: Bench<A>) {
    const ALL: &[&[u8]] = &[
        b"",
        b"\r\n",
        b"garbage\r\n\r\n",
        b"\x00\x01\x02\x03\xff\xfe\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"<html>not what you think</html>\r\n\r\n",
        b"HTTP/1.1",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n",
        b"HTTP/1.1 abc OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/7.3 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nno colon here\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}garbage\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    ];
    assert_unknown(&bench, ALL).await;
}

async fn a_connection_that_closes_before_the_answer_is_unknown<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        for fault in [Fault::CloseBefore, Fault::CloseAfter] {
            for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
                let done = server.faults_done();
                server.queue_fault(fault.clone());
                let sent = bench.send(&transport, request(method.clone(), LEASE, "{}")).await;
                assert_eq!(failed(sent), Failure::Unknown, "{method}, {fault:?}");
                assert_eq!(server.faults_done(), done + 1, "{method} met its fault once");
                assert_eq!(bench.status(&transport).await, 404, "a new connection works");
            }
        }
    }
}
