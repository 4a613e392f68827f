//! What can go wrong on purpose: faults, pauses, restarts, odd requests.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use http::Response;
use lease_sim::api_server::{ApiServerConfig, Rights};
use lease_sim::listener::{EmbeddedServer, Fault};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use support::{Caller, LEASES, PATIENCE, TOKEN, next_line, secure, until};

#[tokio::test]
async fn faults_before_and_after_applying() {
    let server = secure();
    let caller = Caller::of(&server);
    let exists = |name: &str| server.with_model(|model| model.get("default", name)).is_some();
    server.queue_fault(Fault::CloseBefore);
    assert!(caller.send("POST", LEASES, Some(json!({ "metadata": { "name": "a" } }))).await.is_err());
    assert!(!exists("a"));
    server.queue_fault(Fault::CloseAfter);
    assert!(caller.send("POST", LEASES, Some(json!({ "metadata": { "name": "a" } }))).await.is_err());
    assert!(exists("a"));
    server.queue_fault(Fault::status(503, "<html>"));
    assert_eq!(caller.create("b").await, (StatusCode::SERVICE_UNAVAILABLE, Value::Null));
    assert!(!exists("b"));
    server.queue_fault(Fault::AnswerAfter(Response::new(Bytes::from_static(b"garbage"))));
    assert_eq!(caller.create("b").await, (StatusCode::OK, Value::Null));
    assert!(exists("b"));
    server.queue_fault(Fault::CutBody(20));
    let response = caller.send("GET", &format!("{LEASES}/b"), None).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err(), "a cut body is no body");
    assert_eq!(server.faults_done(), 5);
    assert_eq!(caller.ask("GET", &format!("{LEASES}/b"), None).await.0, 200);
}

#[tokio::test]
async fn requests_that_hang_or_wait() {
    let server = secure();
    let caller = Caller::of(&server);
    let exists = |name: &str| server.with_model(|model| model.get("default", name)).is_some();
    for (name, fault, applied) in [("before", Fault::HangBefore, false), ("after", Fault::HangAfter, true)] {
        let done = server.faults_done();
        server.queue_fault(fault);
        let request = caller.send("POST", LEASES, Some(json!({ "metadata": { "name": name } })));
        tokio::select! {
            _ = request => panic!("{name} is never answered"),
            () = until("the fault is met", || server.faults_done() > done && exists(name) == applied) => {}
        }
    }
    until("clients that hung up are noticed", || server.connections() == 0).await;
    assert!(!exists("before"));
    let mut asked = 0;
    server.set_fault_hook(move |request| {
        asked += 1;
        let delay = Duration::from_millis(1);
        (request.method() == http::Method::POST).then_some(if asked % 2 == 0 {
            Fault::DelayAfter(delay)
        } else {
            Fault::DelayBefore(delay)
        })
    });
    assert_eq!(caller.create("c").await.0, 201);
    assert_eq!(caller.create("d").await.0, 201);
    server.clear_faults();
    assert_eq!(caller.create("e").await.0, 201);
    assert_eq!(server.faults_done(), 4);
}

#[tokio::test]
async fn a_cut_watch_ends_with_an_error() {
    let server = secure();
    let caller = Caller::of(&server);
    caller.create("a").await;
    server.queue_fault(Fault::CutBody(10));
    let mut watch = caller.send("GET", &format!("{LEASES}?watch=1"), None).await.unwrap();
    let mut read = 0;
    let ended = loop {
        match tokio::time::timeout(PATIENCE, watch.chunk()).await.unwrap() {
            Ok(Some(chunk)) => read += chunk.len(),
            other => break other,
        }
    };
    assert!(ended.is_err());
    assert_eq!(read, 10);
    until("the watch is closed", || server.with_model(|model| model.open_watches()) == 0).await;
}

#[tokio::test]
async fn a_paused_server_answers_after_it_resumes() {
    let server = secure();
    let caller = Caller::of(&server);
    caller.create("a").await;
    server.pause();
    let (old_connection, new_connection) = (Caller::of(&server), Caller::of(&server));
    let answers =
        async { tokio::join!(caller.create("b"), old_connection.create("c"), new_connection.create("d")) };
    tokio::pin!(answers);
    let short = tokio::time::timeout(Duration::from_millis(50), &mut answers).await;
    assert!(short.is_err(), "nothing is answered while it is paused");
    assert_eq!(server.with_model(|model| model.names("default").count()), 1, "and nothing is applied");
    server.resume();
    let (b, c, d) = answers.await;
    assert_eq!([b.0, c.0, d.0], [201, 201, 201]);
}

#[tokio::test]
async fn a_stopped_server_comes_back_on_its_port() {
    let server = secure();
    let caller = Caller::of(&server);
    caller.create("a").await;
    let mut watch = caller.send("GET", &format!("{LEASES}?watch=1&resourceVersion=0"), None).await.unwrap();
    next_line(&mut watch).await.unwrap();
    let address = server.address();
    server.stop();
    assert_eq!(next_line(&mut watch).await, None, "watches break");
    assert!(caller.send("GET", LEASES, None).await.unwrap_err().is_connect());
    server.restart().unwrap();
    assert_eq!(server.address(), address);
    assert_eq!(caller.ask("GET", &format!("{LEASES}/a"), None).await.0, 200, "what it stored is still there");
    until("old watches are forgotten", || server.with_model(|model| model.open_watches()) == 0).await;
    let taken = EmbeddedServer::builder().listen(address).start();
    assert!(taken.unwrap_err().to_string().contains("cannot listen on"));
    drop(server);
    assert!(caller.send("GET", LEASES, None).await.is_err());
}

#[tokio::test]
async fn huge_and_odd_requests_do_no_harm() {
    let config = ApiServerConfig { seed: 1, ..ApiServerConfig::default() };
    let builder = EmbeddedServer::builder().config(config).token(TOKEN, "admin", Rights::All);
    let server = builder.tls(true).start().unwrap();
    let caller = Caller::of(&server);
    for (size, status) in [(3 * 1024 * 1024 + 1, 413), (5 * 1024 * 1024, 413)] {
        let body = json!({ "metadata": { "name": "a", "annotations": { "a": "x".repeat(size) } } });
        // The server may close before all is sent: then there is no answer to look at.
        if let Ok(response) = caller.send("POST", LEASES, Some(body)).await {
            assert_eq!(response.status(), status);
        }
    }
    // The connection of a request that was not read to its end is of no use any more.
    let caller = Caller::of(&server);
    assert_eq!(caller.ask("DELETE", "/", None).await.0, 405);
    assert_eq!(caller.ask("PURGE", LEASES, None).await.0, 405);
    assert_eq!(caller.create("a").await.0, 201);
}
