//! Watches: responses that begin at once and go on for minutes.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use lease_core::Failure;
use lease_core::credentials::AuthenticationSource;
use lease_core::driver::{Adapter, Call, Chunks, SendError, Transport};

use crate::api_server::Rights;
use crate::conformance::bench::{
    Bench, Folder, LEASE, PATIENCE, ShiftedClock, TOKEN, answered, assert_no_secret, ca, chain, explicit,
    failed, get, ms, open, request, token, token_file,
};
use crate::conformance::engine::{Case, cases};
use crate::conformance::raw::{Connection, RawServer, Signal};
use crate::listener::{EmbeddedServer, Fault};

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "transport",
        the_head_of_a_watch_comes_before_any_event => "of one that is silent, too",
        events_of_a_watch_come_as_they_happen => "and every byte when it was sent, wherever it was cut",
        a_watch_that_is_refused_is_an_answer => "401, 403, 410, 429, 500: with the body",
        a_watch_that_breaks_off_ends_with_an_error => "in a chunk, between two, before the last; sized, over TLS",
        a_watch_that_ends_properly_just_ends => "no error, and nothing after it",
        a_watch_that_does_not_begin_is_an_error => "NotSent where nothing listens, Unknown where it was asked for",
        a_watch_that_is_dropped_closes_its_connection => "before its head, before an event, after one",
        a_watch_may_last_longer_than_its_time_left => "which is for the head",
        requests_go_on_beside_a_watch => "on other connections",
        a_watch_shows_the_token_of_the_moment => "read again after a minute, as for any request",
    ]
}

/// What a holder asks for.
const WATCH: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases\
                     ?watch=true&fieldSelector=metadata.name%3Djob&timeoutSeconds=240";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const OBJECT: &str = r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"job"}}"#;
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

type Opened = Result<Response<Chunks>, SendError>;

impl<A: Adapter> Bench<A> {
    /// Opens a watch, with plenty of time for its head. Nothing at all is a failed case.
    async fn watch(&self, transport: &Arc<dyn Transport>, path: &str) -> Opened {
        let call = Call::new(get(path), PATIENCE, 1 << 20);
        self.soon(&format!("the head, or an error, of a watch of {path}"), transport.watch(call)).await
    }

    /// One that has to begin.
    async fn watching(&self, transport: &Arc<dyn Transport>, path: &str) -> Chunks {
        let response = begun(self.watch(transport, path).await);
        assert_eq!(response.status(), 200);
        response.into_body()
    }

    /// The next bytes, or the end.
    async fn piece(&self, chunks: &mut Chunks) -> Option<Result<Bytes, SendError>> {
        self.soon("more of a watch, or its end", chunks.next()).await
    }

    /// Everything up to the next newline.
    async fn line(&self, chunks: &mut Chunks) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let piece = self.piece(chunks).await.expect("the watch goes on");
            line.extend(piece.unwrap_or_else(|error| panic!("it broke off: {}", chain(&error))));
        }
        String::from_utf8(line).unwrap()
    }

    /// All the rest, and what it ended with.
    async fn rest(&self, chunks: &mut Chunks) -> (Vec<u8>, Option<SendError>) {
        let mut rest = Vec::new();
        loop {
            match self.piece(chunks).await {
                Some(Ok(piece)) => rest.extend(piece),
                Some(Err(error)) => return (rest, Some(error)),
                None => return (rest, None),
            }
        }
    }
}

#[track_caller]
fn begun(opened: Opened) -> Response<Chunks> {
    opened.unwrap_or_else(|error| panic!("no watch ({:?}): {}", error.failure(), chain(&error)))
}

#[track_caller]
fn not_begun(opened: Opened) -> Failure {
    failed(opened.map(|response| response.map(|_| Bytes::new())))
}

async fn the_head_of_a_watch_comes_before_any_event<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        let mut chunks = bench.watching(&transport, WATCH).await;
        assert_eq!(server.with_model(|model| model.open_watches()), 1);
        assert!(bench.timeout(ms(20), chunks.next()).await.is_none(), "nothing has happened");
    }
}

async fn events_of_a_watch_come_as_they_happen<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        let mut chunks = bench.watching(&transport, WATCH).await;
        for _ in 0..3 {
            let created = bench.send(&transport, request(Method::POST, LEASES, OBJECT)).await;
            assert_eq!(answered(created).status(), 201);
            let line = bench.line(&mut chunks).await;
            assert!(line.starts_with(r#"{"type":"ADDED""#), "{line}");
            assert!(server.with_model(|model| model.delete("default", "job")));
            let line = bench.line(&mut chunks).await;
            assert!(line.starts_with(r#"{"type":"DELETED""#), "{line}");
        }
    }
    byte_by_byte(&bench).await;
}

/// Each byte is sent when the one before it was seen: in the midst of a line, of a chunk, of a character.
async fn byte_by_byte<A: Adapter>(bench: &Bench<A>) {
    const LINES: &str = "{\"one\"}\n{\"zw\u{f6}lf\"}\n";
    let seen = Signal::default();
    let script = {
        let seen = seen.clone();
        move |connection: &mut Connection| {
            let _ = connection.request();
            connection.send(format!("{CHUNKED}{:x}\r\n", LINES.len()));
            for byte in LINES.bytes() {
                connection.send([byte]);
                seen.wait(connection, PATIENCE);
                seen.take_back();
            }
            connection.send("\r\n0\r\n\r\n");
            connection.until_closed();
        }
    };
    for server in RawServer::both(script) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        let mut chunks = bench.watching(&transport, WATCH).await;
        for byte in LINES.bytes() {
            let piece = bench.piece(&mut chunks).await.expect("the watch goes on").unwrap();
            assert_eq!(*piece, [byte]);
            seen.give();
        }
        assert!(bench.piece(&mut chunks).await.is_none());
    }
}

async fn a_watch_that_is_refused_is_an_answer<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        for status in [401, 403, 404, 410, 429, 500, 503] {
            let body = format!(r#"{{"kind":"Status","code":{status}}}"#);
            server.queue_fault(Fault::status(status, body.clone()));
            let response = begun(bench.watch(&transport, WATCH).await);
            assert_eq!(response.status(), status);
            let (came, error) = bench.rest(&mut response.into_body()).await;
            assert!(error.is_none(), "{error:?}");
            assert_eq!(String::from_utf8(came).unwrap(), body);
        }
        // One of the server's own.
        let response = begun(bench.watch(&transport, &format!("{WATCH}&resourceVersion=nonsense")).await);
        assert!(!response.status().is_success(), "{}", response.status());
    }
}

async fn a_watch_that_breaks_off_ends_with_an_error<A: Adapter>(bench: Bench<A>) {
    const ALL: &[&str] =
        &["", "5", "5\r\n", "5\r\n{", "5\r\n{\"a\"}", "5\r\n{\"a\"}\r\n", "5\r\n{\"a\"}\r\n0\r\n"];
    for server in RawServer::both(|connection| {
        let Some(request) = connection.request() else { return };
        let number: usize = request.path()[1..].parse().unwrap_or(0);
        match ALL.get(number / 2) {
            Some(body) => _ = connection.send(format!("{CHUNKED}{body}")),
            None => _ = connection.send("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"a\"}"),
        }
        // Properly if it is even, cut if it is odd.
        if number.is_multiple_of(2) {
            connection.close();
            connection.until_closed();
        }
    }) {
        let transport = bench.transport(server.source(token()));
        for number in 0..=ALL.len() * 2 + 1 {
            let mut chunks = bench.watching(&transport, &format!("/{number}")).await;
            let (rest, error) = bench.rest(&mut chunks).await;
            let body = ALL.get(number / 2).unwrap_or(&"of 20 bytes");
            let Some(error) = error else { panic!("{body:?} was taken for whole, and gave {rest:?}") };
            assert_no_secret(&error);
            assert!(bench.piece(&mut chunks).await.is_none(), "an error is the last thing that comes");
            assert_eq!(server.arrivals(&format!("/{number}")), 1, "asked for again");
        }
    }
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        server.queue_fault(Fault::CutBody(30));
        let mut chunks = bench.watching(&transport, WATCH).await;
        answered(bench.send(&transport, request(Method::POST, LEASES, OBJECT)).await);
        let (rest, error) = bench.rest(&mut chunks).await;
        assert!(error.is_some() && rest.len() == 30, "{error:?} after {} bytes", rest.len());
    }
}

async fn a_watch_that_ends_properly_just_ends<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        while let Some(request) = connection.request() {
            if request.path() == "/chunked" {
                // Good for another request.
                connection.send(format!("{CHUNKED}5\r\n{{\"a\"}}\r\n0\r\n\r\n"));
                continue;
            }
            connection.send("HTTP/1.1 200 OK\r\n\r\n{\"a\"}");
            connection.close();
            connection.until_closed();
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for path in ["/chunked", "/until-closed"] {
            let mut chunks = bench.watching(&transport, path).await;
            let (rest, error) = bench.rest(&mut chunks).await;
            assert_eq!((&*rest, error.map(|error| chain(&error))), (&b"{\"a\"}"[..], None), "{path}");
            assert!(bench.piece(&mut chunks).await.is_none(), "{path}: and nothing after it");
        }
    }
}

async fn a_watch_that_does_not_begin_is_an_error<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.transport(explicit(&server.url(), ca(&server), token()));
        for fault in [Fault::CloseBefore, Fault::CloseAfter] {
            let done = server.faults_done();
            server.queue_fault(fault);
            assert_eq!(not_begun(bench.watch(&transport, WATCH).await), Failure::Unknown);
            assert_eq!(server.faults_done(), done + 1, "asked for once");
        }
        server.stop();
        assert_eq!(not_begun(bench.watch(&transport, WATCH).await), Failure::NotSent);
        server.restart().unwrap();
        bench.watching(&transport, WATCH).await;
    }
}

async fn a_watch_that_is_dropped_closes_its_connection<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        let gone = || server.connections() == 0 && server.with_model(|model| model.open_watches()) == 0;
        server.queue_fault(Fault::HangBefore);
        bench.give_up_when(bench.watch(&transport, WATCH), || server.faults_done() > 0).await;
        bench.until("the connection of a watch that never began is closed", gone).await;

        drop(bench.watching(&transport, WATCH).await);
        bench.until("the connection of a silent watch is closed", gone).await;

        let mut chunks = bench.watching(&transport, WATCH).await;
        let now = server.now();
        server.with_model(|model| model.put(now, "default", "job", OBJECT.as_bytes())).unwrap();
        assert!(bench.line(&mut chunks).await.contains("ADDED"));
        drop(chunks);
        bench.until("the connection of a watch that had told something is closed", gone).await;
        assert!(server.with_model(|model| model.delete("default", "job")));
    }
}

async fn a_watch_may_last_longer_than_its_time_left<A: Adapter>(bench: Bench<A>) {
    let goes_on = Signal::default();
    let script = {
        let goes_on = goes_on.clone();
        move |connection: &mut Connection| {
            let _ = connection.request();
            connection.send(CHUNKED);
            goes_on.wait(connection, PATIENCE);
            connection.send("4\r\nlate\r\n0\r\n\r\n");
        }
    };
    // Longer than the time-outs that HTTP clients come with, too.
    let (server, time_left) = (RawServer::plain(script), ms(2_500));
    let transport = bench.transport(server.source(AuthenticationSource::None));
    let call = Call::new(get(WATCH), time_left, 1 << 20);
    let response = begun(bench.soon("the head of a watch", transport.watch(call)).await);
    let mut chunks = response.into_body();
    let early = bench.timeout(time_left + ms(500), chunks.next()).await;
    assert!(early.is_none(), "it ended while it was silent: {early:?}");
    goes_on.give();
    let (rest, error) = bench.rest(&mut chunks).await;
    assert!(rest == b"late" && error.is_none(), "{rest:?}, {error:?}");
}

async fn requests_go_on_beside_a_watch<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        while let Some(request) = connection.request() {
            if request.path() == "/watch" {
                connection.send(CHUNKED);
                // Whatever else comes here is noted, and not answered.
                while connection.request().is_some() {}
                return;
            }
            connection.answer("{}");
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        // It may take the connection that is there, and keeps it.
        answered(bench.get(&transport).await);
        let chunks = bench.watching(&transport, "/watch").await;
        for _ in 0..5 {
            answered(bench.send(&transport, request(Method::PUT, LEASE, "{}")).await);
        }
        let mut on_connections = server.requests();
        on_connections.retain(|request| request.path() == "/watch");
        let [watch] = &*on_connections else { panic!("asked for more than once: {on_connections:?}") };
        for other in server.requests().iter().rev().take(5) {
            assert_ne!(other.connection, watch.connection, "a request on the connection of a watch");
        }
        drop(chunks);
        answered(bench.get(&transport).await);
    }
}

async fn a_watch_shows_the_token_of_the_moment<A: Adapter>(bench: Bench<A>) {
    let server = EmbeddedServer::builder().tls(true).token(TOKEN, "holder", Rights::All).start().unwrap();
    let (folder, clock) = (Folder::new("watch"), ShiftedClock::default());
    let path = folder.write("token", TOKEN);
    let transport = bench.transport_by(&clock, explicit(&server.url(), ca(&server), token_file(path)));
    let mut chunks = bench.watching(&transport, WATCH).await;
    server.set_token("two", "holder", Rights::All);
    server.remove_token(TOKEN);
    folder.write("token", "two");
    clock.put_forward(ms(60_000));
    drop(bench.watching(&transport, WATCH).await);
    // One that is open goes on.
    answered(bench.send(&transport, request(Method::POST, LEASES, OBJECT)).await);
    assert!(bench.line(&mut chunks).await.contains("ADDED"));
}
