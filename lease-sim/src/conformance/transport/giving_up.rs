//! Requests that are dropped before they are done, as every request is that takes too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use lease_core::credentials::AuthenticationSource;
use lease_core::driver::{Adapter, Call};

use crate::conformance::bench::{Bench, PATIENCE, all, answered, get, open, request};
use crate::conformance::engine::{Case, cases};
use crate::conformance::raw::{Connection, RawServer, Signal, answer};
use crate::listener::Fault;

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "transport",
        a_request_that_was_given_up_takes_its_answer_along => "the late answer never reaches the next request",
        a_hung_request_is_given_up_and_its_connection_closed => "the server sees it go; the next one is answered",
        a_body_that_is_dropped_unread_reaches_nobody => "given up in the midst of 300 kB: the rest is nobody's answer",
        a_request_that_was_never_polled_is_not_sent => "a future does nothing until it is polled",
        requests_given_up_all_at_once_leave_a_working_client => "eight at once, ten times",
    ]
}

async fn a_request_that_was_given_up_takes_its_answer_along<A: Adapter>(bench: Bench<A>) {
    let late = Signal::default();
    let script = {
        let late = late.clone();
        move |connection: &mut Connection| {
            while let Some(request) = connection.request() {
                if request.path().starts_with("/late") {
                    late.wait(connection, PATIENCE);
                }
                if !connection.answer(request.path()) {
                    return;
                }
            }
        }
    };
    for server in RawServer::both(script) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for round in 0..5 {
            // On a connection that is used already, from the second round on.
            assert_eq!(answered(bench.send(&transport, get("/first")).await).body(), "/first");
            let path = format!("/late/{round}");
            let given_up = bench.send(&transport, request(Method::PUT, &path, "{}"));
            bench.give_up_when(given_up, || server.arrivals(&path) > 0).await;
            if round % 2 == 0 {
                late.give();
            }
            for next in ["/second", "/third"] {
                let response = answered(bench.send(&transport, get(next)).await);
                assert_eq!(response.body(), next, "the answer to another request, in round {round}");
            }
            late.give();
            let response = answered(bench.send(&transport, get("/fourth")).await);
            assert_eq!(response.body(), "/fourth", "the answer to another request, in round {round}");
            late.take_back();
        }
    }
}

async fn a_hung_request_is_given_up_and_its_connection_closed<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            assert_eq!(bench.status(&transport).await, 404);
            let done = server.faults_done();
            server.queue_fault(fault);
            bench.give_up_when(bench.get(&transport), || server.faults_done() > done).await;
            bench.until("the hung connection is closed", || server.connections() == 0).await;
            let version = answered(bench.send(&transport, get("/version")).await);
            assert!(String::from_utf8_lossy(version.body()).contains("gitVersion"), "{:?}", version.body());
        }
    }
}

async fn a_body_that_is_dropped_unread_reaches_nobody<A: Adapter>(bench: Bench<A>) {
    for [chunked, tls] in [[false, false], [true, false], [false, true], [true, true]] {
        let (goes_on, sent) = (Signal::default(), Arc::new(AtomicUsize::new(0)));
        let script = {
            let (goes_on, sent) = (goes_on.clone(), Arc::clone(&sent));
            move |connection: &mut Connection| {
                while let Some(request) = connection.request() {
                    if request.path() != "/large" {
                        connection.answer(request.path());
                        continue;
                    }
                    // What looks like an answer, if one begins to read in its midst.
                    let piece = format!("{}{}", answer("stray"), "x".repeat(9_000));
                    connection.send(if chunked {
                        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
                    } else {
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", piece.len() * 30)
                    });
                    for number in 0..30 {
                        if number == 10 {
                            sent.fetch_add(1, Ordering::SeqCst);
                            goes_on.wait(connection, PATIENCE);
                        }
                        let framed = format!("{:x}\r\n{piece}\r\n", piece.len());
                        if !connection.send(if chunked { &framed } else { &piece }) {
                            return;
                        }
                    }
                    if chunked {
                        connection.send("0\r\n\r\n");
                    }
                }
            }
        };
        let [plain, secure] = RawServer::both(script);
        let server = if tls { secure } else { plain };
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for round in 1..=3 {
            let large = bench.send(&transport, get("/large"));
            bench.give_up_when(large, || sent.load(Ordering::SeqCst) == round).await;
            goes_on.give();
            for next in ["/second", "/third"] {
                assert_eq!(answered(bench.send(&transport, get(next)).await).body(), next);
            }
            goes_on.take_back();
        }
    }
}

async fn a_request_that_was_never_polled_is_not_sent<A: Adapter>(bench: Bench<A>) {
    let server = RawServer::plain(|connection| {
        while let Some(request) = connection.request() {
            connection.answer(request.path());
        }
    });
    let transport = bench.transport(server.source(AuthenticationSource::None));
    let never = transport.send(Call::new(get("/never"), PATIENCE, 1 << 20));
    answered(bench.send(&transport, get("/first")).await);
    drop(never);
    answered(bench.send(&transport, get("/second")).await);
    assert_eq!(server.arrivals("/never"), 0);
}

async fn requests_given_up_all_at_once_leave_a_working_client<A: Adapter>(bench: Bench<A>) {
    let server = RawServer::plain(|connection| {
        while let Some(request) = connection.request() {
            if request.path() == "/hangs" {
                connection.until_closed();
                return;
            }
            connection.answer(request.path());
        }
    });
    let transport = bench.transport(server.source(AuthenticationSource::None));
    for round in 1..=10 {
        let hung = all((0..8).map(|_| bench.send(&transport, get("/hangs"))));
        bench.give_up_when(hung, || server.arrivals("/hangs") == round * 8).await;
        assert_eq!(answered(bench.send(&transport, get("/first")).await).body(), "/first");
    }
}
