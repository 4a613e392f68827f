//! The model behind real HTTP and TLS, asked by a real client.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use lease_sim::api_server::{Rights, UnixMicros, Verb};
use lease_sim::listener::EmbeddedServer;
use serde_json::json;
use support::{Caller, LEASES, TOKEN, client, next_line, secure, until};

#[tokio::test]
async fn a_lease_lives_and_dies_over_tls() {
    let server = secure();
    assert!(server.url().starts_with("https://127.0.0.1:"));
    let caller = Caller::of(&server);
    let (status, lease) = caller.create("a").await;
    assert_eq!(status, 201);
    let path = format!("{LEASES}/a");
    let mut renewed = lease.clone();
    renewed["spec"]["renewTime"] = json!("2026-01-01T00:00:00.000000Z");
    assert_eq!(caller.ask("PUT", &path, Some(renewed.clone())).await.0, 200);
    assert_eq!(caller.ask("PUT", &path, Some(renewed)).await.0, 409);
    let stale = json!({ "preconditions": { "resourceVersion": lease["metadata"]["resourceVersion"] } });
    assert_eq!(caller.ask("DELETE", &path, Some(stale)).await.0, 409);
    assert_eq!(caller.ask("DELETE", &path, None).await.0, 200);
    assert_eq!(caller.ask("GET", &path, None).await.0, 404);
    assert_eq!(server.connections(), 1, "one connection was enough");
    let counts = server.with_model(|model| {
        [
            model.request_count(Some(Verb::Update), None),
            model.request_count(None, Some(409)),
            model.request_count(None, None),
        ]
    });
    assert_eq!(counts, [2, 2, 6]);
    let metrics = caller.send("GET", "/metrics", None).await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("scope=\"resource\",subresource=\"\",verb=\"PUT\",version=\"v1\"} 1\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn plain_http_works_and_every_answer_has_a_date() {
    let server = EmbeddedServer::builder().open().start().unwrap();
    let mut caller = Caller::of(&server);
    caller.token = None;
    assert_eq!(caller.create("a").await.0, 201);
    for path in ["/healthz", "/version", "/nonsense", LEASES] {
        let response = caller.send("GET", path, None).await.unwrap();
        assert!(response.headers().contains_key("date"), "{path}");
    }
    server.set_clock_offset(-3_600_000_000);
    let date = caller.send("GET", "/healthz", None).await.unwrap().headers()["date"].clone();
    let ahead = EmbeddedServer::builder().open().start().unwrap();
    let ahead_date =
        Caller::of(&ahead).send("GET", "/healthz", None).await.unwrap().headers()["date"].clone();
    assert_ne!(date, ahead_date);
}

#[tokio::test]
async fn tokens_say_who_asks_and_can_change() {
    let server = secure();
    let mut caller = Caller::of(&server);
    caller.token = None;
    assert_eq!(caller.create("a").await.0, 403);
    caller.token = Some("wrong".to_owned());
    assert_eq!(caller.create("a").await.0, 401);
    server.set_token("rotated", "holder", Rights::leases("default", &[Verb::Get, Verb::Create]));
    server.remove_token(TOKEN);
    caller.token = Some("rotated".to_owned());
    assert_eq!(caller.create("a").await.0, 201);
    let (status, body) = caller.ask("DELETE", &format!("{LEASES}/a"), None).await;
    assert_eq!(status, 403);
    assert!(body["message"].as_str().unwrap().contains("cannot delete resource"), "{body}");
    caller.token = Some(TOKEN.to_owned());
    assert_eq!(caller.ask("GET", &format!("{LEASES}/a"), None).await.0, 401);
}

#[tokio::test]
async fn a_rotated_authority_is_used_by_new_connections() {
    let server = secure();
    let caller = Caller::of(&server);
    let old = server.ca_pem().unwrap();
    assert_eq!(caller.create("a").await.0, 201);
    server.rotate_ca().unwrap();
    assert_ne!(server.ca_pem().unwrap(), old);
    assert_eq!(caller.create("b").await.0, 201, "an open connection lives on");
    server.close_connections();
    let late = Caller { client: client(Some(&old), None), url: server.url(), token: None };
    let error = late.send("GET", LEASES, None).await.unwrap_err();
    assert!(error.is_connect(), "the old authority is not trusted: {error:?}");
    assert_eq!(Caller::of(&server).create("c").await.0, 201);
}

#[tokio::test]
async fn client_certificates_say_who_asks() {
    let builder = EmbeddedServer::builder().client_certificates(true).token(TOKEN, "admin", Rights::All);
    let server = builder.start().unwrap();
    server.with_model(|model| {
        model.set_rights("bob", Rights::leases("default", &[Verb::Get]));
        model.set_rights("team", Rights::leases("default", &[Verb::Create]));
    });
    let with = |common_name: &str, groups: &[&str]| {
        let issued = server.issue_client_certificate(common_name, groups).unwrap();
        let identity = Some((issued.certificate_pem.as_str(), issued.key_pem.as_str()));
        Caller { client: client(server.ca_pem().as_deref(), identity), url: server.url(), token: None }
    };
    let path = format!("{LEASES}/a");
    let (master, bob, both) = (with("eve", &["system:masters"]), with("bob", &[]), with("bob", &["team"]));
    assert_eq!(bob.create("a").await.0, 403);
    assert_eq!(both.create("a").await.0, 201);
    assert_eq!(bob.ask("GET", &path, None).await.0, 200);
    assert_eq!(master.ask("DELETE", &path, None).await.0, 200);
    assert_eq!(Caller::of(&server).create("b").await.0, 201, "a token still does");
    let stranger = secure();
    let foreign = EmbeddedServer::builder().client_certificates(true).start().unwrap();
    let issued = foreign.issue_client_certificate("eve", &["system:masters"]).unwrap();
    let identity = Some((issued.certificate_pem.as_str(), issued.key_pem.as_str()));
    let intruder =
        Caller { client: client(server.ca_pem().as_deref(), identity), url: server.url(), token: None };
    assert!(intruder.send("GET", LEASES, None).await.is_err(), "another authority's certificate is refused");
    assert!(stranger.issue_client_certificate("a", &[]).is_ok());
}

#[tokio::test]
async fn a_watch_streams_and_ends() {
    let server = secure();
    let caller = Caller::of(&server);
    caller.create("a").await;
    caller.create("other").await;
    let path = format!("{LEASES}?watch=1&fieldSelector=metadata.name%3Da");
    let mut watch = caller.send("GET", &path, None).await.unwrap();
    assert_eq!(next_line(&mut watch).await.unwrap()["type"], "ADDED");
    caller.ask("DELETE", &format!("{LEASES}/a"), None).await;
    let deleted = next_line(&mut watch).await.unwrap();
    assert_eq!((&deleted["type"], &deleted["object"]["metadata"]["name"]), (&json!("DELETED"), &json!("a")));
    server.with_model(|model| model.put(UnixMicros(0), "default", "a", b"{}")).unwrap();
    assert_eq!(next_line(&mut watch).await.unwrap()["type"], "ADDED", "an administrator's write is seen too");
    server.with_model(|model| model.end_watches(true));
    assert_eq!(next_line(&mut watch).await, None);
    let version = deleted["object"]["metadata"]["resourceVersion"].as_str().unwrap();
    let mut late = caller.send("GET", &format!("{path}&resourceVersion={version}"), None).await.unwrap();
    let gone = next_line(&mut late).await.unwrap();
    assert_eq!((&gone["type"], &gone["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(next_line(&mut late).await, None);
}

#[tokio::test]
async fn a_watch_times_out_by_itself() {
    let server = secure();
    let caller = Caller::of(&server);
    let mut watch = caller.send("GET", &format!("{LEASES}?watch=1&timeoutSeconds=30"), None).await.unwrap();
    assert_eq!(server.with_model(|model| model.open_watches()), 1);
    server.set_clock_offset(31_000_000);
    assert_eq!(next_line(&mut watch).await, None);
    assert_eq!(server.with_model(|model| model.open_watches()), 0);
}

#[tokio::test]
async fn watchers_that_hang_up_are_forgotten() {
    let server = secure();
    let caller = Caller::of(&server);
    let watch = caller.send("GET", &format!("{LEASES}?watch=1"), None).await.unwrap();
    assert_eq!(server.with_model(|model| model.open_watches()), 1);
    drop(watch);
    until("the watch is closed", || server.with_model(|model| model.open_watches()) == 0).await;
    until("the connection is closed", || server.connections() == 0).await;
}
