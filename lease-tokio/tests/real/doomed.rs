//! A holder that can be killed hard: it has a runtime of its own, which is torn down under it.

use std::time::Duration;

use lease_tokio::{ConfigBuilder, Lease};
use tokio::runtime::{Builder, Runtime};

use crate::cluster::Fixture;

pub struct Doomed {
    pub lease: Lease,
    runtime: Option<Runtime>,
}

impl Doomed {
    pub fn spawn(fixture: &Fixture, config: ConfigBuilder) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let lease = {
            let _inside = runtime.enter();
            fixture.spawn(config)
        };
        Self { lease, runtime: Some(runtime) }
    }

    pub fn new(fixture: &Fixture, identity: &str, ttl: Duration) -> Self {
        Self::spawn(fixture, fixture.config(identity, ttl))
    }

    /// No release, no goodbye: its task and its connections are gone, like those of a process that was killed.
    pub fn kill(&mut self) {
        self.runtime.take().expect("killed once").shutdown_background();
    }

    /// Tasks that are alive: the holder's own, and those of its connections.
    pub fn tasks(&self) -> usize {
        self.runtime.as_ref().map_or(0, |runtime| runtime.metrics().num_alive_tasks())
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
