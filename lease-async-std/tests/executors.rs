//! The adapter under other executors than async-std's: it needs none in particular.
#![allow(clippy::unwrap_used)]

mod wire_support;

use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lease_async_std::{AuthenticationSource, Lease, LostReason, SurfTransport};
use lease_sim::listener::{EmbeddedServer, Fault};
use wire_support::{anonymous, ca, config, explicit, status};

/// A holder's whole life: acquire, hold, renew, lose; acquire, release.
async fn life(server: EmbeddedServer) {
    let source = explicit(&server.url(), ca(&server), AuthenticationSource::None);
    let lease = Lease::builder(config("a", Duration::from_secs(3))).credentials(source).spawn().unwrap();
    let token = lease.acquire_with_token().await.unwrap().token().unwrap();
    assert!(lease.check_alive());
    let mut events = lease.events();
    while !matches!(events.next().await.unwrap(), lease_async_std::Event::Renewed { .. }) {}
    assert_eq!(lease.held().unwrap().token, token);

    // Neither answers nor refuses, until the term is over.
    server.set_fault_hook(|_| Some(Fault::HangBefore));
    let reason = lease.lost().await;
    assert!(matches!(reason, LostReason::Expired { .. }), "{reason:?}");
    assert!(!lease.check_alive());
    server.clear_faults();

    assert!(lease.campaign().await.unwrap() > token);
    lease.shutdown().await.unwrap();
    assert!(server.with_model(|model| model.get("default", "job")).is_none(), "released");
}

/// Transport alone, and a holder, over TLS.
async fn all() {
    let server = EmbeddedServer::builder().open().tls(true).start().unwrap();
    let transport = anonymous(&server);
    for _ in 0..3 {
        assert_eq!(status(&transport).await, 404);
    }
    assert_eq!(server.connections(), 1);
    drop(transport);
    life(server).await;
}

fn ends(test: impl FnOnce() + Send + 'static) {
    let (tell, told) = std::sync::mpsc::channel();
    let running = thread::spawn(move || {
        test();
        tell.send(()).unwrap();
    });
    match told.recv_timeout(Duration::from_secs(60)) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        // A panic of the thread is the test's.
        _ => running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

#[test]
fn under_async_std() {
    ends(|| async_std::task::block_on(all()));
}

#[test]
fn under_smol() {
    ends(|| smol::block_on(all()));
}

#[test]
fn as_tasks_of_a_smol_executor() {
    ends(|| {
        let executor = Arc::new(smol::Executor::new());
        let (stop, stopped) = smol::channel::unbounded::<()>();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (executor, stopped) = (Arc::clone(&executor), stopped.clone());
                thread::spawn(move || {
                    let _ = smol::block_on(executor.run(stopped.recv()));
                })
            })
            .collect();
        let tasks: Vec<_> = (0..3).map(|_| executor.spawn(all())).collect();
        smol::block_on(async {
            for task in tasks {
                task.await;
            }
        });
        drop(stop);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn without_any_executor() {
    ends(|| futures_lite::future::block_on(all()));
}

/// What a service writes must be able to move between threads.
#[test]
fn futures_are_send() {
    fn send<T: Send>(_: impl Future<Output = T> + Send) {}
    let lease = |lease: Lease| {
        send(async move { lease.campaign().await });
    };
    let transport = |transport: SurfTransport| {
        send(async move { status(&transport).await });
    };
    let _ = (lease, transport);
}
