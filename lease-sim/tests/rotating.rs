//! Credentials that follow an exec plugin, on virtual time: what a refresh waits for, and what it does not.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lease_core::credentials::{
    AuthenticationSource, CredentialSource, ExecApiVersion, ExecPlugin, Explicit, RotationPolicy,
};
use lease_core::driver::{Clock, Rotating, Runtime};
use lease_sim::memory::VirtualTime;

/// A plugin that hands out its number of runs, and the file that it keeps it in.
struct Numbered(PathBuf);

impl Numbered {
    fn new(name: &str) -> Self {
        let file = std::env::temp_dir().join(format!("lease-rotating-{name}-{}", std::process::id()));
        fs::write(&file, "").unwrap();
        Self(file)
    }

    fn source(&self) -> CredentialSource {
        let script = r#"echo >> "$1"; printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"%s"}}' $(wc -l < "$1")"#;
        let plugin =
            ExecPlugin::new(ExecApiVersion::V1, "sh").args(["-c", script, "sh", self.0.to_str().unwrap()]);
        let server = "https://10.0.0.1:6443".parse().unwrap();
        let source = Explicit::new(server, None, AuthenticationSource::Exec(plugin)).unwrap();
        CredentialSource::Explicit(source)
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Of many leases on one transport one may hear late that the old token was refused. It must not wait until the
/// plugin may run again: what the plugin gave a moment ago is there to be tried.
#[test]
fn a_refusal_that_is_heard_after_the_plugin_ran_is_not_waited_for() {
    let plugin = Numbered::new("late");
    let time = VirtualTime::new();
    let (clock, runtime): (Arc<dyn Clock>, Arc<dyn Runtime>) = (Arc::new(time.clone()), Arc::new(time.clone()));
    let rotating =
        Rotating::start(plugin.source(), RotationPolicy::default(), clock, runtime, |_| Ok(())).unwrap();
    let rotating = Arc::new(rotating);
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
