//! Connections that end: used ones, idle ones, and servers that come and go.

use std::sync::Arc;

use http::Method;
use lease_core::Failure;
use lease_core::credentials::AuthenticationSource;
use lease_core::driver::{Adapter, Transport};

use crate::conformance::bench::{Bench, LEASE, answered, ca, explicit, failed, get, open, request};
use crate::conformance::engine::{Case, cases};
use crate::conformance::raw::RawServer;

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "transport",
        nothing_was_sent_where_nobody_listens => "NotSent, and it works once somebody does",
        nothing_was_sent_to_a_name_that_does_not_resolve => "NotSent",
        a_restarted_server_is_found_again => "over http and https, on the same port",
        dead_idle_connections_cost_one_request_at_most => "closed by the server while nobody looked",
        a_connection_that_the_server_will_close_is_not_used_again => "Connection: close",
        a_connection_that_went_mute_is_not_used_again => "a time-out discards its socket",
        nothing_is_ever_sent_twice => "the server closes after the request: Unknown, one arrival",
        not_sent_is_only_said_where_nothing_arrived => "on connections that close just then, sixty times",
    ]
}

async fn nothing_was_sent_where_nobody_listens<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        server.stop();
        for _ in 0..3 {
            assert_eq!(failed(bench.get(&transport).await), Failure::NotSent);
        }
        server.restart().unwrap();
        assert_eq!(bench.status(&transport).await, 404);
    }
}

async fn nothing_was_sent_to_a_name_that_does_not_resolve<A: Adapter>(bench: Bench<A>) {
    for url in ["http://no-such-host.invalid:1", "https://no-such-host.invalid"] {
        let server = open(true);
        let authority = url.starts_with("https").then(|| ca(&server)).flatten();
        let transport = bench.transport(explicit(url, authority, AuthenticationSource::None));
        assert_eq!(failed(bench.get(&transport).await), Failure::NotSent);
    }
}

/// Answered at the second try at the latest.
async fn assert_recovers<A: Adapter>(bench: &Bench<A>, transport: &Arc<dyn Transport>) {
    let response = match bench.get(transport).await {
        Ok(response) => response,
        // It may have been written to a connection of which nobody knew yet that it is dead.
        Err(_) => answered(bench.get(transport).await),
    };
    assert_eq!(response.status(), 404);
}

async fn a_restarted_server_is_found_again<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        for _ in 0..3 {
            assert_eq!(bench.status(&transport).await, 404);
            server.stop();
            // The first may ride the connection that was there.
            assert!(matches!(failed(bench.get(&transport).await), Failure::NotSent | Failure::Unknown));
            assert_eq!(failed(bench.get(&transport).await), Failure::NotSent);
            server.restart().unwrap();
            assert_eq!(bench.status(&transport).await, 404, "nothing is left to stumble over");
            server.restart().unwrap();
            assert_recovers(&bench, &transport).await;
        }
    }
}

async fn dead_idle_connections_cost_one_request_at_most<A: Adapter>(bench: Bench<A>) {
    for tls in [false, true] {
        let server = open(tls);
        let transport = bench.anonymous(&server);
        for _ in 0..5 {
            assert_eq!(bench.status(&transport).await, 404);
            server.close_connections();
            assert_recovers(&bench, &transport).await;
        }
    }
}

async fn a_connection_that_the_server_will_close_is_not_used_again<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        connection.request();
        let closes =
            if connection.number % 2 == 0 { "connection: close\r\n" } else { "Connection: Close\r\n" };
        connection.send(format!("HTTP/1.1 200 OK\r\n{closes}content-length: 2\r\n\r\n{{}}"));
        // It would take more.
        while connection.request().is_some() {}
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for number in 1..=4 {
            let path = format!("/{number}");
            answered(bench.send(&transport, request(Method::PUT, &path, "{}")).await);
            assert_eq!((server.arrivals(&path), server.connections()), (1, number));
        }
    }
}

async fn a_connection_that_went_mute_is_not_used_again<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        while let Some(request) = connection.request() {
            if request.path().starts_with("/mute") {
                // It goes on listening.
                while connection.request().is_some() {}
                return;
            }
            connection.answer("{}");
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for round in 0..3 {
            let (mute, next) = (format!("/mute/{round}"), format!("/next/{round}"));
            answered(bench.get(&transport).await);
            let given_up = bench.send(&transport, get(&mute));
            bench.give_up_when(given_up, || server.arrivals(&mute) > 0).await;
            answered(bench.send(&transport, get(&next)).await);
            let on = |path: &str| {
                let all = server.requests();
                all.iter().find(|request| request.path() == path).unwrap().connection
            };
            assert_ne!(on(&mute), on(&next), "the next request rode the connection that timed out");
        }
    }
}

async fn nothing_is_ever_sent_twice<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        loop {
            // Closed with the body unread: the client may be told so with a reset.
            if connection.number % 3 == 2 {
                let _ = connection.head();
                return;
            }
            match connection.request() {
                Some(request) if request.path() == LEASE => _ = connection.answer("{}"),
                _ => return,
            }
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::GET] {
            for round in 0..6 {
                // Every other time on a connection that was used before.
                if round % 2 == 0 {
                    let _ = bench.get(&transport).await;
                }
                let path = format!("/{method}/{round}");
                let sent = bench.send(&transport, request(method.clone(), &path, "{}")).await;
                assert_eq!(failed(sent), Failure::Unknown, "{path}");
                assert_eq!(server.arrivals(&path), 1, "{path} arrived so often");
            }
        }
    }
}

async fn not_sent_is_only_said_where_nothing_arrived<A: Adapter>(bench: Bench<A>) {
    for server in RawServer::both(|connection| {
        // It says that it stays, and goes: at once, or when the next request is there.
        if connection.request().is_some() {
            connection.answer("{}");
            match connection.number % 3 {
                0 => {}
                1 => connection.close(),
                _ => _ = connection.request(),
            }
        }
    }) {
        let transport = bench.transport(server.source(AuthenticationSource::None));
        for number in 0..30 {
            let path = format!("/{number}");
            let sent = bench.send(&transport, request(Method::PUT, &path, "{}")).await;
            let arrivals = server.arrivals(&path);
            match sent {
                Ok(_) => assert_eq!(arrivals, 1, "answered, and arrived so often"),
                Err(error) => match error.failure() {
                    Failure::NotSent => assert_eq!(arrivals, 0, "it was sent"),
                    _ => assert!(arrivals <= 1, "sent {arrivals} times"),
                },
            }
        }
    }
}
