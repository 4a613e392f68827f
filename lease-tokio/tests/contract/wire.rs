//! C1, C2 and C18: the object, the REST API, the settings. Where the wire matters it is HTTPS on the loopback
//! interface.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lease_sim::api_server::{Rights, Verb};
use lease_sim::listener::EmbeddedServer;
use lease_tokio::{
    AuthenticationSource, BearerToken, CaBundle, Config, ConfigError, CredentialSource, Explicit, InCluster,
    Lease, Piece, ReleaseOutcome, ServerUrl, SetupError,
};
use serde_json::Value;

use crate::support::{assert_nonce_of, assert_six_fraction_digits, ms, renewed, text};
use crate::world::{NAME, NAMESPACE, Node, TTL, World, collection, path};

const TOKEN: &str = "service-account-token";

#[tokio::test(start_paused = true)]
async fn c1_it_is_backed_by_a_lease_object_of_the_coordination_api() {
    let world = World::new();
    let Node { lease, log, .. } = world.holder("a");
    assert_eq!(lease.acquire().await, Ok(true));
    let object = world.object();
    assert_eq!(object["apiVersion"], "coordination.k8s.io/v1");
    assert_eq!(object["kind"], "Lease");
    let spec = object["spec"].as_object().unwrap();
    let mut keys: Vec<_> = spec.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["acquireTime", "holderIdentity", "leaseDurationSeconds", "leaseTransitions", "renewTime"]
    );
    assert_eq!(spec["holderIdentity"], "a");
    assert_eq!(spec["leaseDurationSeconds"], 3);
    assert_eq!(spec["leaseTransitions"], 0);
    assert_six_fraction_digits(text(&object, "/spec/acquireTime"));
    assert_six_fraction_digits(text(&object, "/spec/renewTime"));
    assert_nonce_of(&object, "a");
    lease.release().await.unwrap();
    // Nothing but that object is touched.
    let paths: Vec<_> = log.all().iter().map(|exchange| exchange.path.clone()).collect();
    assert_eq!(paths, [path(), collection(), path()]);
}

fn server() -> EmbeddedServer {
    let verbs = [Verb::Get, Verb::Create, Verb::Update, Verb::Delete];
    let rights = Rights::leases(NAMESPACE, &verbs);
    EmbeddedServer::builder().tls(true).namespace(NAMESPACE).token(TOKEN, "pod", rights).start().unwrap()
}

fn explicit(server: &EmbeddedServer) -> CredentialSource {
    let url = ServerUrl::parse(&server.url()).unwrap();
    let ca = CaBundle::from_pem(server.ca_pem().unwrap().as_bytes()).unwrap();
    let token = BearerToken::parse(TOKEN.as_bytes()).unwrap();
    let token = AuthenticationSource::Token(Piece::Inline(token));
    CredentialSource::Explicit(Explicit::new(url, Some(Piece::Inline(ca)), token).unwrap())
}

fn stored(server: &EmbeddedServer) -> Option<Value> {
    server.with_model(|model| model.get(NAMESPACE, NAME)).map(|json| serde_json::from_slice(&json).unwrap())
}

#[tokio::test]
async fn c2_it_speaks_the_rest_api_itself() {
    let server = server();
    let config = World::config("a").ttl(Duration::from_secs(2)).build().unwrap();
    let lease = Lease::builder(config).credentials(explicit(&server)).spawn().unwrap();
    let mut events = lease.events();
    assert_eq!(lease.acquire().await, Ok(true));
    let first = stored(&server).unwrap();
    renewed(&mut events, Duration::from_secs(2)).await;
    let second = stored(&server).unwrap();
    assert!(text(&second, "/spec/renewTime") > text(&first, "/spec/renewTime"));
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    assert!(stored(&server).is_none());

    // No Kubernetes client library is among what it is made of.
    for manifest in ["Cargo.toml", "../lease-core/Cargo.toml"] {
        let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(manifest);
        let text = fs::read_to_string(&manifest).unwrap();
        let mut section = "";
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if line.starts_with('[') {
                section = line;
            }
            if !section.contains("dependencies") {
                continue;
            }
            let named = line.trim_start_matches(['[', ']']).trim_start_matches("dependencies.");
            let name = named.split(['=', '.']).next().unwrap().trim();
            assert!(!["kube", "k8s"].iter().any(|prefix| name.starts_with(prefix)), "{line}");
        }
    }
}

#[test]
fn c18_one_settings_object_with_defaults() {
    let config = World::config("pod-1").ttl(Duration::from_secs(15)).build().unwrap();
    assert_eq!((config.namespace(), config.name(), config.identity().as_str()), (NAMESPACE, NAME, "pod-1"));
    assert_eq!(config.ttl(), Duration::from_secs(15));
    assert_eq!(config.renew_interval(), Duration::from_secs(5), "ttl / 3");
    assert_eq!(config.acquire_retries(), 3);
    assert_eq!(config.acquire_retry_delay(), ms(100));
    let settings = World::config("pod-1")
        .ttl(Duration::from_secs(30))
        .renew_interval(Duration::from_secs(4))
        .acquire_retries(9)
        .acquire_retry_delay(ms(7));
    let config = settings.build().unwrap();
    assert_eq!(config.renew_interval(), Duration::from_secs(4));
    assert_eq!((config.acquire_retries(), config.acquire_retry_delay()), (9, ms(7)));
    // What names the lease and its owner has no default, and an owner that is nobody is refused.
    assert_eq!(Config::builder().build(), Err(ConfigError::Missing { setting: "namespace" }));
    assert!(matches!(World::config("").build(), Err(ConfigError::Identity { .. })));
}

/// A folder that goes when the test does.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lease-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Leftovers in the folder for temporary files hurt nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn c18_address_token_and_ca_come_from_the_cluster_as_a_whole() {
    let server = server();
    let folder = Folder::new("in-cluster");
    fs::write(folder.0.join("token"), format!("{TOKEN}\n")).unwrap();
    fs::write(folder.0.join("ca.crt"), server.ca_pem().unwrap()).unwrap();
    fs::write(folder.0.join("namespace"), NAMESPACE).unwrap();
    let environment = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some(server.address().ip().to_string()),
        "KUBERNETES_SERVICE_PORT" => Some(server.address().port().to_string()),
        _ => None,
    };
    let in_cluster = InCluster::from_env(environment).unwrap().in_directory(&folder.0);
    let config = World::config("pod-1").ttl(TTL).build().unwrap();
    let lease =
        Lease::builder(config).credentials(CredentialSource::InCluster(in_cluster.clone())).spawn().unwrap();
    assert_eq!(lease.acquire().await, Ok(true));
    assert_eq!(stored(&server).unwrap()["spec"]["holderIdentity"], "pod-1");
    lease.shutdown().await.unwrap();

    // A piece that is missing is not filled in from elsewhere.
    fs::remove_file(folder.0.join("token")).unwrap();
    let config = World::config("pod-1").build().unwrap();
    let refused = Lease::builder(config).credentials(CredentialSource::InCluster(in_cluster)).spawn();
    assert!(matches!(refused, Err(SetupError::Credentials(_))), "{refused:?}");
}

#[tokio::test]
async fn c18_without_a_source_it_is_the_pods_own() {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        println!("SKIPPED: this test runs inside of a pod");
        return;
    }
    let refused = Lease::in_cluster(World::config("pod-1").build().unwrap());
    match refused {
        Err(SetupError::Credentials(error)) => {
            assert!(error.to_string().contains("KUBERNETES_SERVICE_HOST"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
