//! What an adapter gives the driver of its runtime.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lease_core::driver::{Adapter, Clock, SystemClock};
use tokio::sync::oneshot;

use super::bench::{Bench, bare_block_on, ms};
use super::engine::{Case, cases};

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "runtime",
        sleeps_are_not_short => "a sleep lasts at least as long as it was asked to",
        sleeps_end_on_any_executor => "a sleep that another executor polls ends, too",
        tasks_run_beside_each_other => "a task that waits keeps no other from running",
        tasks_outlive_whoever_spawned_them => "and run without anybody's looking",
        blocking_work_blocks_nobody => "eight blocked threads stop neither tasks nor timers",
    ]
}

async fn sleeps_are_not_short<A: Adapter>(bench: Bench<A>) {
    for time in [Duration::ZERO, ms(1), ms(20), ms(150)] {
        let began = SystemClock.now().mono;
        bench.soon("a sleep ends", bench.sleep(time)).await;
        let took = SystemClock.now().mono.saturating_since(began);
        // Two clocks of one machine agree within that.
        assert!(took + ms(1) >= time, "a sleep of {time:?} took {took:?}");
    }
}

async fn sleeps_end_on_any_executor<A: Adapter>(bench: Bench<A>) {
    let (sender, ended) = oneshot::channel();
    let runtime = bench.runtime();
    thread::spawn(move || {
        bare_block_on(async { runtime.sleep(ms(20)).await });
        let _ = sender.send(());
    });
    bench.soon("a sleep that a bare thread polls", ended).await.expect("it did not panic");
}

async fn tasks_run_beside_each_other<A: Adapter>(bench: Bench<A>) {
    let (ask, asked) = oneshot::channel();
    let (tell, told) = oneshot::channel();
    // The first waits for the second, and the second for the first.
    let first = bench.spawn(async move {
        ask.send(1).unwrap();
        told.await.unwrap()
    });
    let second = bench.spawn(async move {
        let number: i32 = asked.await.unwrap();
        tell.send(number + 1).unwrap();
    });
    assert_eq!(bench.soon("the first task", first).await, 2);
    bench.soon("the second task", second).await;
}

async fn tasks_outlive_whoever_spawned_them<A: Adapter>(bench: Bench<A>) {
    let (tell, told) = oneshot::channel();
    let inner = bench.clone();
    drop(bench.spawn(async move {
        let innermost = inner.clone();
        drop(inner.spawn(async move {
            innermost.sleep(ms(30)).await;
            tell.send(()).unwrap();
        }));
    }));
    bench.soon("a task that nobody waits for", told).await.unwrap();
}

async fn blocking_work_blocks_nobody<A: Adapter>(bench: Bench<A>) {
    let mut let_go = Vec::new();
    let mut begun = Vec::new();
    let mut done = Vec::new();
    for _ in 0..8 {
        let (sender, blocked) = mpsc::channel::<()>();
        let (begin, began) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let started = bench.runtime().spawn_blocking(Box::new(move || {
            let _ = begin.send(());
            let _ = blocked.recv();
            let _ = tell.send(());
        }));
        assert!(started, "no thread for blocking work");
        let_go.push(sender);
        begun.push(began);
        done.push(told);
    }
    for began in begun {
        bench.soon("blocking work begins beside other blocking work", began).await.unwrap();
    }
    let waiting = bench.clone();
    let task = bench.spawn(async move { waiting.sleep(ms(20)).await });
    bench.soon("a task beside blocked threads", task).await;
    drop(let_go);
    for told in done {
        bench.soon("blocking work is done", told).await.unwrap();
    }
}
