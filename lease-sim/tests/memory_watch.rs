//! Watches of the in-memory API server.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use lease_core::driver::{Call, Chunks, Clock, Runtime, SystemClock, Transport};
use lease_core::{Config, ConfigBuilder, Event, Failure, LostReason};
use lease_sim::memory::{Cluster, Fate, Server};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const OBJECT: &str = r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"job","namespace":"default"}}"#;

fn call(query: &str) -> Call {
    let uri = format!("{LEASES}?watch=true&fieldSelector=metadata.name%3Djob{query}");
    let request =
        Request::builder().uri(uri).header("accept", "application/json").body(Bytes::new()).unwrap();
    Call::new(request, Duration::from_secs(5), 1 << 20)
}

async fn open(server: &Server, query: &str) -> Chunks {
    let response = server.watch(call(query)).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body()
}

fn create(server: &Server) {
    let request = Request::builder()
        .method(Method::POST)
        .uri(LEASES)
        .header("content-type", "application/json")
        .body(Bytes::from_static(OBJECT.as_bytes()))
        .unwrap();
    assert_eq!(server.send_directly(&request).unwrap().status(), 201);
}

fn delete(server: &Server) {
    assert!(server.with_model(|model| model.delete("default", "job")));
}

async fn line(chunks: &mut Chunks) -> String {
    String::from_utf8(chunks.next().await.unwrap().unwrap().to_vec()).unwrap()
}

#[test]
fn events_come_when_they_happen_whoever_made_them() {
    let cluster = Cluster::new();
    let server = cluster.server().clone();
    cluster.block_on(async {
        let mut chunks = open(&server, "").await;
        let began = cluster.time().now().mono;
        let world = cluster.clone();
        beside(&cluster, async move {
            world.sleep(Duration::from_secs(7)).await;
            create(world.server());
            world.sleep(Duration::from_secs(7)).await;
            delete(world.server());
        });
        for (seconds, what) in [(7, "ADDED"), (14, "DELETED")] {
            let line = line(&mut chunks).await;
            assert!(line.contains(what) && line.ends_with("}\n"), "{line}");
            assert_eq!(cluster.time().now().mono.saturating_since(began), Duration::from_secs(seconds));
        }
    });
}

/// In a task of its own, so that whoever reads a watch is woken by the watch alone.
fn beside(cluster: &Cluster, work: impl Future<Output = ()> + Send + 'static) {
    cluster.time().spawn(Box::pin(work));
}

#[test]
fn a_watch_ends_when_its_time_is_over_though_nothing_happens() {
    let cluster = Cluster::new();
    let server = cluster.server().clone();
    cluster.block_on(async {
        let mut chunks = open(&server, "&timeoutSeconds=42").await;
        let began = cluster.time().now().mono;
        assert!(chunks.next().await.is_none());
        assert_eq!(cluster.time().now().mono.saturating_since(began), Duration::from_secs(42));
        assert!(chunks.next().await.is_none(), "and stays at its end");
        assert_eq!(server.with_model(|model| model.open_watches()), 0);
    });
}

#[test]
fn without_timers_it_ends_with_the_next_request() {
    let cluster = Cluster::new();
    let server = Server::new(cluster.time().clone());
    cluster.block_on(async {
        let mut chunks = open(&server, "&timeoutSeconds=42").await;
        let (world, edited) = (cluster.clone(), server.clone());
        beside(&cluster, async move {
            world.sleep(Duration::from_secs(50)).await;
            create(&edited);
        });
        // What happened after its end but before anybody looked is told; that is what a log is for.
        assert!(line(&mut chunks).await.contains("ADDED"));
        assert!(chunks.next().await.is_none());
    });
}

#[test]
fn dropping_a_watch_closes_it() {
    let cluster = Cluster::new();
    let server = cluster.server().clone();
    cluster.block_on(async {
        let chunks = open(&server, "").await;
        assert_eq!(server.with_model(|model| model.open_watches()), 1);
        drop(chunks);
        assert_eq!(server.with_model(|model| model.open_watches()), 0);
        // Nobody can read these.
        assert!(server.send(call("")).await.is_err());
        assert!(server.send_directly(&call("").request).is_none());
        assert_eq!(server.with_model(|model| model.open_watches()), 0);
    });
}

#[test]
fn a_server_that_is_away_tells_nothing_until_it_is_back() {
    let cluster = Cluster::new();
    let server = cluster.server().clone();
    cluster.block_on(async {
        let mut chunks = open(&server, "").await;
        server.take_away();
        create(&server);
        let world = cluster.clone();
        beside(&cluster, async move {
            world.sleep(Duration::from_secs(9)).await;
            world.server().bring_back();
        });
        let began = cluster.time().now().mono;
        assert!(line(&mut chunks).await.contains("ADDED"));
        assert_eq!(cluster.time().now().mono.saturating_since(began), Duration::from_secs(9));
    });
}

#[test]
fn a_watch_meets_its_fate_as_requests_do() {
    let cluster = Cluster::new();
    let server = cluster.server().clone();
    cluster.block_on(async {
        server.decide(|_| Fate::Refused);
        assert_eq!(server.watch(call("")).await.unwrap_err().failure(), Failure::NotSent);
        server.decide(|_| Fate::Status(http::StatusCode::FORBIDDEN));
        let response: Response<Chunks> = server.watch(call("")).await.unwrap();
        assert_eq!(response.status(), 403);
        assert!(response.into_body().next().await.is_none(), "an empty body");
        server.bring_back();
        let response = server.watch(call("&resourceVersion=nonsense")).await.unwrap();
        assert_eq!(response.status(), 500);
        assert!(line(&mut response.into_body()).await.contains("Invalid value"));
    });
}

#[tokio::test]
async fn on_real_time_another_thread_wakes_the_reader() {
    let server = Server::new(SystemClock);
    let mut chunks = open(&server, "").await;
    let writer = server.clone();
    let thread = std::thread::spawn(move || create(&writer));
    assert!(line(&mut chunks).await.contains("ADDED"));
    thread.join().unwrap();
}

fn config(identity: &str) -> ConfigBuilder {
    let config = Config::builder().namespace("default").name("job").identity(identity);
    // Whoever asks does so every few minutes.
    config.ttl(Duration::from_secs(900)).poll_interval(Duration::from_secs(600)).watch(true)
}

#[test]
fn a_campaign_that_watches_has_a_released_lease_at_once() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.lease(config("a").build().unwrap()), cluster.lease(config("b").build().unwrap()));
    let (a, b) = (a.unwrap(), b.unwrap());
    cluster.block_on(async {
        a.acquire().await.unwrap();
        let campaign = b.campaign();
        cluster.sleep(Duration::from_secs(100)).await;
        let released = cluster.time().now().mono;
        let (release, token) = (a.release(), campaign.await.unwrap());
        assert_eq!(cluster.time().now().mono, released, "not an instant later");
        assert_eq!(b.held().map(|held| held.token), Some(token));
        release.await.unwrap();
        // One that holds watches, one that has given it back does not.
        cluster.sleep(Duration::from_secs(1)).await;
        assert_eq!(cluster.server().with_model(|model| model.open_watches()), 1);
    });
}

#[test]
fn a_watched_term_ends_with_its_object() {
    let cluster = Cluster::new();
    let lease = cluster.lease(config("a").build().unwrap()).unwrap();
    cluster.block_on(async {
        lease.acquire().await.unwrap();
        // Watches come and go; one is always there again after a moment.
        cluster.sleep(Duration::from_secs(3600)).await;
        let deleted = cluster.time().now().mono;
        delete(cluster.server());
        assert_eq!(lease.lost().await, LostReason::Deleted);
        assert_eq!(cluster.time().now().mono, deleted);
    });
}

#[test]
fn a_refused_watch_is_told_and_costs_nothing_else() {
    let cluster = Cluster::new();
    let lease = cluster.lease(config("a").build().unwrap()).unwrap();
    cluster.server().decide(|request| match request.uri().query() {
        Some(query) if query.contains("watch=true") => Fate::Status(StatusCode::FORBIDDEN),
        _ => Fate::Answered,
    });
    cluster.block_on(async {
        let mut events = lease.events();
        lease.acquire().await.unwrap();
        let mut troubles = 0;
        while troubles < 10 {
            match events.next().await.unwrap() {
                Event::WatchTrouble { .. } => troubles += 1,
                Event::Lost { reason, .. } => panic!("lost: {reason:?}"),
                _ => {}
            }
        }
        cluster.sleep(Duration::from_secs(3600)).await;
        assert!(lease.check_alive(), "renewed for an hour");
    });
}
