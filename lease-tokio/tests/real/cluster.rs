//! The cluster that the environment names, and one lease in it for one test.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::adapter::lease_core::driver::{Adapter as _, TransportSetup};
use crate::adapter::{
    AuthenticationSource, BearerToken, CaBundle, Clock, ConfigBuilder, CredentialSource, Explicit, Lease,
    Piece, ServerUrl, SystemClock, Transport,
};
use serde_json::{Value, json};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::Adapter;
use crate::admin::Admin;
use crate::process::Process;
use crate::support::counting::{Counting, Log};
use crate::support::{self, eventually, ms};

/// Whoever stops the server, or counts what it does, writes; everybody else reads.
static GATE: RwLock<()> = RwLock::const_new(());

enum Gate {
    Shared(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held, not read")] RwLockWriteGuard<'static, ()>),
}

pub struct Cluster {
    pub server: String,
    pub ca: PathBuf,
    pub admin_token: String,
    pub holder_token: String,
    pub has_holder_token: bool,
    pub nobody_token: Option<String>,
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    pub namespace: String,
    pub process: Option<Process>,
    pub admin: Admin,
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &str, what: &str) -> String {
    variable(name).unwrap_or_else(|| {
        panic!(
            "{name} is not set: these tests need an API server. Set LEASE_TEST_SERVER (https://HOST:PORT), \
             LEASE_TEST_CA (a PEM file) and LEASE_TEST_TOKEN (an administrator's); {name} is {what}"
        )
    })
}

impl Cluster {
    pub fn from_env() -> Self {
        let server = required("LEASE_TEST_SERVER", "the server's address");
        let ca: PathBuf = required("LEASE_TEST_CA", "a PEM file with the server's authority").into();
        let admin_token = required("LEASE_TEST_TOKEN", "an administrator's token");
        let pem =
            std::fs::read(&ca).unwrap_or_else(|error| panic!("LEASE_TEST_CA {}: {error}", ca.display()));
        let holder_token = variable("LEASE_TEST_HOLDER_TOKEN");
        Self {
            admin: Admin::new(&server, &pem, &admin_token),
            has_holder_token: holder_token.is_some(),
            holder_token: holder_token.unwrap_or_else(|| admin_token.clone()),
            nobody_token: variable("LEASE_TEST_NOBODY_TOKEN"),
            client_certificate: variable("LEASE_TEST_CLIENT_CERT")
                .zip(variable("LEASE_TEST_CLIENT_KEY"))
                .map(|(chain, key)| (chain.into(), key.into())),
            namespace: variable("LEASE_TEST_NAMESPACE").unwrap_or_else(|| "default".to_owned()),
            process: variable("LEASE_TEST_APISERVER_PID").map(|pid_file| Process {
                pid_file: pid_file.into(),
                restart: variable("LEASE_TEST_APISERVER_RESTART").map(PathBuf::from),
            }),
            server,
            ca,
            admin_token,
        }
    }

    pub fn credentials(&self, authentication: AuthenticationSource) -> CredentialSource {
        let server = ServerUrl::parse(&self.server).unwrap();
        let ca: Piece<CaBundle> = Piece::File(self.ca.clone());
        CredentialSource::Explicit(Explicit::new(server, Some(ca), authentication).unwrap())
    }

    pub fn with_token(&self, token: &str) -> CredentialSource {
        let token = BearerToken::parse(token.as_bytes()).unwrap();
        self.credentials(AuthenticationSource::Token(Piece::Inline(token)))
    }
}

/// One test's lease. [`clean_up`](Self::clean_up) removes what is left of it; after a failure it stays to be
/// looked at.
pub struct Fixture {
    pub cluster: Cluster,
    pub name: String,
    _gate: Gate,
}

impl Fixture {
    /// Beside other tests.
    pub async fn new(test: &str) -> Self {
        let cluster = Cluster::from_env();
        Self { cluster, name: unique(test), _gate: Gate::Shared(GATE.read().await) }
    }

    /// While no other test of this process runs.
    pub async fn alone(test: &str) -> Self {
        let cluster = Cluster::from_env();
        Self { cluster, name: unique(test), _gate: Gate::Alone(GATE.write().await) }
    }

    pub fn config(&self, identity: &str, ttl: Duration) -> ConfigBuilder {
        support::config(&self.cluster.namespace, &self.name, identity, ttl)
    }

    /// A holder of this lease, with the holder's token.
    pub fn holder(&self, identity: &str, ttl: Duration) -> Lease {
        self.spawn(self.config(identity, ttl))
    }

    pub fn spawn(&self, config: ConfigBuilder) -> Lease {
        let credentials = self.cluster.with_token(&self.cluster.holder_token);
        Lease::builder(config.build().unwrap()).credentials(credentials).spawn().unwrap()
    }

    /// A holder, and a log of its requests.
    pub fn logged(&self, config: ConfigBuilder) -> (Lease, Log) {
        let log = Log::default();
        let credentials = self.cluster.with_token(&self.cluster.holder_token);
        let lease =
            Lease::builder(config.build().unwrap()).transport(Counting::new(transport(credentials), &log));
        (lease.spawn().unwrap(), log)
    }

    pub fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.cluster.namespace)
    }

    pub fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// The object as an administrator sees it; none when there is none.
    pub async fn find(&self) -> Option<Value> {
        let answer = self.cluster.admin.get(&self.path()).await;
        if answer.status == 404 { None } else { Some(answer.ok()) }
    }

    pub async fn object(&self) -> Value {
        self.find().await.expect("the lease object exists")
    }

    /// Puts a record there, as another implementation could have left it.
    pub async fn create(&self, spec: Value) -> Value {
        let body = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": self.name, "namespace": self.cluster.namespace },
            "spec": spec,
        });
        self.cluster.admin.post(&self.collection(), &body).await.ok()
    }

    pub async fn edit(&self, patch: Value) -> Value {
        self.cluster.admin.patch(&self.path(), &patch).await.ok()
    }

    /// Waits until a write after `object` moved the `renewTime` on, and returns what is stored then.
    pub async fn renewed_after(&self, object: &Value, within: Duration) -> Value {
        let before = support::text(object, "/spec/renewTime").to_owned();
        eventually("the stored renewTime moves on", within, || async {
            self.find().await.filter(|now| support::text(now, "/spec/renewTime") > before.as_str())
        })
        .await
    }

    pub async fn clean_up(self) {
        if self.find().await.is_some() {
            let _ =
                self.cluster.admin.patch(&self.path(), &json!({ "metadata": { "finalizers": null } })).await;
            let _ = self.cluster.admin.delete(&self.path()).await;
        }
        eventually("the lease object is gone", ms(5000), || async {
            self.find().await.is_none().then_some(())
        })
        .await;
    }
}

/// The adapter's own, without a holder.
pub fn transport(credentials: CredentialSource) -> Arc<dyn Transport> {
    let runtime = Adapter::runtime().unwrap();
    Adapter::transport(TransportSetup::new(credentials, Arc::new(SystemClock), runtime)).unwrap()
}

/// A name that no other test and no earlier run has.
pub fn unique(test: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let micros = SystemClock.now().wall.as_micros();
    format!("e2e-{test}-{micros:x}-{number}")
}

/// Says why a test has nothing to do.
pub fn skipped(reason: &str) {
    println!("SKIPPED: {reason}");
}
