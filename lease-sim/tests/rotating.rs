//! Credentials that follow an exec plugin, on virtual time: what a refresh waits for, and what it does not.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use lease_core::Now;
use lease_core::credentials::{
    AuthenticationSource, CredentialSource, ExecApiVersion, ExecPlugin, Explicit, RotationPolicy,
};
use lease_core::driver::{BoxFuture, Clock, Rotating, Runtime, SystemClock};
use lease_sim::memory::VirtualTime;

/// A plugin that runs a script of the shell, which has a file of its own as `$1`, and hands out the number of lines
/// in that.
struct Scripted(PathBuf, String);

impl Scripted {
    fn new(name: &str, script: &str) -> Self {
        let file = std::env::temp_dir().join(format!("lease-rotating-{name}-{}", std::process::id()));
        fs::write(&file, "").unwrap();
        let answer = r#"printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"%s"}}' $(wc -l < "$1")"#;
        Self(file, format!("{script}; {answer}"))
    }

    fn rotating(&self, clock: Arc<dyn Clock>, runtime: Arc<dyn Runtime>) -> Arc<Rotating<()>> {
        let args = ["-c", &self.1, "sh", self.0.to_str().unwrap()];
        let plugin = ExecPlugin::new(ExecApiVersion::V1, "sh").args(args);
        let server = "https://10.0.0.1:6443".parse().unwrap();
        let source = Explicit::new(server, None, AuthenticationSource::Exec(plugin)).unwrap();
        let source = CredentialSource::Explicit(source);
        Arc::new(Rotating::start(source, RotationPolicy::default(), clock, runtime, |_| Ok(())).unwrap())
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Of many leases on one transport one may hear late that the old token was refused. It must not wait until the
/// plugin may run again: what the plugin gave a moment ago is there to be tried.
#[test]
fn a_refusal_that_is_heard_after_the_plugin_ran_is_not_waited_for() {
    let plugin = Scripted::new("late", r#"echo >> "$1""#);
    let time = VirtualTime::new();
    let rotating = plugin.rotating(Arc::new(time.clone()), Arc::new(time.clone()));
    let shown = || rotating.current().0.authorization().unwrap().to_str().unwrap().to_owned();
    let seconds = || time.now().mono.as_nanos() / 1_000_000_000;
    time.block_on(async {
        assert_eq!((shown().as_str(), seconds()), ("Bearer 1", 0));
        rotating.freshen_after_refusal().await;
        assert_eq!((shown().as_str(), seconds()), ("Bearer 2", 1));
        rotating.freshen_after_refusal().await;
        assert_eq!((shown().as_str(), seconds()), ("Bearer 2", 1), "it ran a moment ago");
        // If the new one is refused, too, the plugin runs as soon as it may, before the next request.
        time.sleep(RotationPolicy::RETRY).await;
        rotating.freshen(Duration::MAX).await;
        assert_eq!((shown().as_str(), seconds()), ("Bearer 3", 11));
    });
}

/// Threads for blocking work, and nothing else.
struct Threads;

impl Runtime for Threads {
    fn spawn(&self, _: BoxFuture<'static, ()>) {
        unreachable!("no tasks here");
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        unreachable!("no timers here");
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> bool {
        thread::Builder::new().spawn(work).is_ok()
    }
}

/// The system's clock, put forward by as many seconds.
#[derive(Default)]
struct Ahead(AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> Now {
        let now = SystemClock.now();
        let mono = now.mono.saturating_add(Duration::from_secs(self.0.load(Ordering::SeqCst)));
        Now { mono, ..now }
    }
}

/// Looks until there is something.
#[expect(clippy::disallowed_methods, reason = "a process of the system knows nothing of virtual time")]
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(found) = look() {
            return found;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("never: {what}");
}

/// A runtime that is shut down may wait for its blocking work, as tokio's does: a plugin that hangs would keep the
/// process from ending.
#[test]
fn a_plugin_that_nobody_waits_for_any_more_is_ended() {
    let plugin = Scripted::new(
        "forsaken",
        r#"if [ -s "$1" ]; then echo $$ > "$1.pid"; mv "$1.pid" "$1"; exec sleep 1000; fi; echo once > "$1""#,
    );
    let clock = Arc::new(Ahead::default());
    let rotating = plugin.rotating(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(Threads));
    clock.0.store(5, Ordering::SeqCst);
    let mut refresh = Box::pin(rotating.freshen_after_refusal());
    assert!(refresh.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let pid = eventually("it runs", || fs::read_to_string(&plugin.0).unwrap().trim().parse::<u32>().ok());
    let process = PathBuf::from(format!("/proc/{pid}"));
    assert!(process.exists());
    drop(refresh);
    drop(rotating);
    eventually("it is gone", || (!process.exists()).then_some(()));
}
