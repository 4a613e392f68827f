//! A holder that can be killed hard: its tasks are dropped wherever they wait.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::future::{AbortHandle, abortable};
use lease_async_std::{AsyncStdRuntime, BoxFuture, ConfigBuilder, Lease, Runtime};

use crate::cluster::Fixture;

/// async-std, of which one holder's tasks can be taken away.
#[derive(Clone, Default)]
struct Mortal {
    tasks: Arc<Mutex<Vec<Task>>>,
}

struct Task {
    abort: AbortHandle,
    /// Gone when the task is.
    alive: Weak<()>,
}

impl Mortal {
    fn kill(&self) {
        for task in self.tasks.lock().unwrap().drain(..) {
            task.abort.abort();
        }
    }

    fn alive(&self) -> usize {
        self.tasks.lock().unwrap().iter().filter(|task| task.alive.strong_count() > 0).count()
    }
}

impl Runtime for Mortal {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let life = Arc::new(());
        let alive = Arc::downgrade(&life);
        let (task, abort) = abortable(async move {
            let _life = life;
            task.await;
        });
        self.tasks.lock().unwrap().push(Task { abort, alive });
        AsyncStdRuntime.spawn(Box::pin(async move {
            let _ = task.await;
        }));
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        AsyncStdRuntime.sleep(time)
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool {
        AsyncStdRuntime.spawn_blocking(work)
    }
}

pub struct Doomed {
    pub lease: Lease,
    runtime: Mortal,
}

impl Doomed {
    pub fn spawn(fixture: &Fixture, config: ConfigBuilder) -> Self {
        let runtime = Mortal::default();
        let credentials = fixture.cluster.with_token(&fixture.cluster.holder_token);
        let builder = Lease::builder(config.build().unwrap()).credentials(credentials);
        Self { lease: builder.runtime(runtime.clone()).spawn().unwrap(), runtime }
    }

    pub fn new(fixture: &Fixture, identity: &str, ttl: Duration) -> Self {
        Self::spawn(fixture, fixture.config(identity, ttl))
    }

    /// No release, no goodbye: its task and its requests are gone, like those of a process that was killed.
    pub fn kill(&mut self) {
        self.runtime.kill();
    }

    /// Tasks that are alive: the holder's own.
    pub fn tasks(&self) -> usize {
        self.runtime.alive()
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        self.runtime.kill();
    }
}
