//! Kubeconfigs and exec plugins, through an adapter's own HTTP client, for every adapter: files are read, plugins
//! are run, and what a kubeconfig says of the connection is done or refused.
#![allow(unreachable_pub)]

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use lease_core::credentials::kubeconfig::KubeconfigOptions;
use lease_core::driver::{
    Adapter, Call, Lease, SendError, SetupError, SystemClock, Transport, TransportSetup, kubeconfig_file,
};
use lease_core::{Config, Failure};
use lease_sim::api_server::Rights;
use lease_sim::listener::EmbeddedServer;

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("lease-kubeconfig-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A plugin: a shell script that prints what it is told, and counts how often it was run.
    #[cfg(unix)]
    fn plugin(&self, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path =
            self.write("plugin", &format!("#!/bin/sh\necho run >> '{}/runs'\n{script}\n", self.0.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.0.join("runs")).unwrap_or_default().lines().count()
    }

    /// A kubeconfig with one cluster and one user; each is a flow mapping's inside.
    fn kubeconfig(&self, cluster: &str, user: &str) -> PathBuf {
        self.write(
            "config",
            &format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: main\n\
                 contexts: [{{name: main, context: {{cluster: c, user: u, namespace: default}}}}]\n\
                 clusters: [{{name: c, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
            ),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn server() -> EmbeddedServer {
    EmbeddedServer::builder().tls(true).token("s3cr3t", "holder", Rights::All).start().unwrap()
}

/// A cluster with the server's CA in a file beside the kubeconfig, named relatively.
fn cluster(server: &EmbeddedServer, folder: &Folder) -> String {
    folder.write("ca.crt", &server.ca_pem().unwrap());
    format!("server: '{}', certificate-authority: ca.crt", server.url())
}

fn transport<A: Adapter>(
    kubeconfig: &Path,
    options: &KubeconfigOptions,
) -> Result<Arc<dyn Transport>, SetupError> {
    let source = kubeconfig_file(kubeconfig, options)?;
    A::transport(TransportSetup::new(source, Arc::new(SystemClock), A::runtime()?))
}

fn plain<A: Adapter>(kubeconfig: &Path) -> Arc<dyn Transport> {
    transport::<A>(kubeconfig, &KubeconfigOptions::new()).unwrap()
}

async fn get(transport: &Arc<dyn Transport>) -> Result<Response<Bytes>, SendError> {
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/job";
    let request = Request::get(path).body(Bytes::new()).unwrap();
    transport.send(Call::new(request, Duration::from_secs(10), 1 << 20)).await
}

async fn status(transport: &Arc<dyn Transport>) -> u16 {
    match get(transport).await {
        Ok(response) => response.status().as_u16(),
        Err(error) => panic!("{}", chain(&error)),
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn refusal(outcome: Result<Arc<dyn Transport>, SetupError>) -> String {
    match outcome {
        Ok(_) => panic!("not refused"),
        Err(error) => chain(&error),
    }
}

pub async fn a_token_and_a_token_file<A: Adapter>() {
    let (server, folder) = (server(), Folder::new());
    let cluster = cluster(&server, &folder);
    assert_eq!(status(&plain::<A>(&folder.kubeconfig(&cluster, "token: s3cr3t"))).await, 404);
    assert_eq!(status(&plain::<A>(&folder.kubeconfig(&cluster, "token: other"))).await, 401);
    folder.write("token", "s3cr3t\n");
    let followed = plain::<A>(&folder.kubeconfig(&cluster, "tokenFile: token"));
    assert_eq!(status(&followed).await, 404);
    server.remove_token("s3cr3t");
    server.set_token("next", "holder", Rights::All);
    assert_eq!(status(&followed).await, 401);
    folder.write("token", "next\n");
    followed.refresh_credentials().await;
    assert_eq!(status(&followed).await, 404);
}

pub async fn a_whole_lease<A: Adapter>() {
    let (server, folder) = (server(), Folder::new());
    let kubeconfig = folder.kubeconfig(&cluster(&server, &folder), "token: s3cr3t");
    let config =
        Config::builder().namespace("default").name("job").identity("a").ttl(Duration::from_secs(15));
    let source = kubeconfig_file(kubeconfig, &KubeconfigOptions::new()).unwrap();
    let lease = Lease::<A>::builder(config.build().unwrap()).credentials(source).spawn().unwrap();
    assert_eq!(lease.acquire().await, Ok(true));
    lease.shutdown().await.unwrap();
}

pub async fn a_client_certificate<A: Adapter>() {
    let folder = Folder::new();
    let server = EmbeddedServer::builder().client_certificates(true).start().unwrap();
    let cluster = cluster(&server, &folder);
    let certificate = server.issue_client_certificate("admin", &["system:masters"]).unwrap();
    folder.write("client.crt", &certificate.certificate_pem);
    folder.write("client.key", &certificate.key_pem);
    let user = "client-certificate: client.crt, client-key: client.key";
    assert_eq!(status(&plain::<A>(&folder.kubeconfig(&cluster, user))).await, 404);
}

pub async fn another_context<A: Adapter>() {
    let (server, folder) = (server(), Folder::new());
    let kubeconfig = folder.kubeconfig(&cluster(&server, &folder), "token: s3cr3t");
    let options = KubeconfigOptions::new().context("prod");
    let refusal = refusal(transport::<A>(&kubeconfig, &options));
    assert!(
        refusal.contains("prod") && refusal.contains("main"),
        "names the contexts that are there: {refusal}"
    );
    let missing = refusal_of_missing::<A>(&folder);
    assert!(missing.contains("no-such-file"), "{missing}");
}

fn refusal_of_missing<A: Adapter>(folder: &Folder) -> String {
    refusal(transport::<A>(&folder.0.join("no-such-file"), &KubeconfigOptions::new()))
}

/// The certificate has no name for the address that is talked to, but the one that is asked for.
#[cfg(target_os = "linux")]
pub async fn the_name_of_the_server<A: Adapter>() {
    let folder = Folder::new();
    let server = EmbeddedServer::builder()
        .open()
        .listen(SocketAddr::from(([0, 0, 0, 0], 0)))
        .server_name("lease.example")
        .tls(true)
        .start()
        .unwrap();
    folder.write("ca.crt", &server.ca_pem().unwrap());
    let cluster = |name: &str| {
        let port = server.address().port();
        format!("server: 'https://127.0.0.3:{port}', certificate-authority: ca.crt{name}")
    };
    let without = plain::<A>(&folder.kubeconfig(&cluster(""), ""));
    assert_eq!(get(&without).await.unwrap_err().failure(), Failure::NotSent);
    let right = plain::<A>(&folder.kubeconfig(&cluster(", tls-server-name: lease.example"), ""));
    assert_eq!(status(&right).await, 404);
    let wrong = plain::<A>(&folder.kubeconfig(&cluster(", tls-server-name: other.example"), ""));
    assert_eq!(get(&wrong).await.unwrap_err().failure(), Failure::NotSent);
}

pub async fn verification_is_off_only_where_that_was_allowed<A: Adapter>() {
    let (server, folder) = (server(), Folder::new());
    let cluster = format!("server: '{}', insecure-skip-tls-verify: true", server.url());
    let kubeconfig = folder.kubeconfig(&cluster, "token: s3cr3t");
    let refusal = refusal(transport::<A>(&kubeconfig, &KubeconfigOptions::new()));
    assert!(refusal.contains("insecure-skip-tls-verify"), "{refusal}");
    let options = KubeconfigOptions::new().allow_insecure_skip_tls_verify();
    assert_eq!(status(&transport::<A>(&kubeconfig, &options).unwrap()).await, 404);
}

/// Nobody listens at the proxy: what went past it would be answered.
pub async fn a_proxy_is_not_passed_by<A: Adapter>() {
    let (server, folder) = (server(), Folder::new());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["http", "socks5"] {
        let cluster = format!("{}, proxy-url: '{scheme}://{nobody}'", cluster(&server, &folder));
        let kubeconfig = folder.kubeconfig(&cluster, "token: s3cr3t");
        match transport::<A>(&kubeconfig, &KubeconfigOptions::new()) {
            Ok(transport) => assert_eq!(get(&transport).await.unwrap_err().failure(), Failure::NotSent),
            Err(error) => assert!(chain(&error).contains("proxy"), "{}", chain(&error)),
        }
    }
}

const EXEC: &str =
    "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, interactiveMode: Never}";

#[cfg(unix)]
pub async fn a_plugin_is_asked_once_and_again_after_a_401<A: Adapter>() {
    let (server, folder) = (server(), Folder::new());
    folder.write("answer", "s3cr3t");
    folder.plugin(
        r#"cd "$(dirname "$0")" && printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$(cat answer)""#,
    );
    let transport = plain::<A>(&folder.kubeconfig(&cluster(&server, &folder), EXEC));
    for _ in 0..3 {
        assert_eq!(status(&transport).await, 404);
    }
    assert_eq!(folder.runs(), 1);
    server.remove_token("s3cr3t");
    server.set_token("next", "holder", Rights::All);
    folder.write("answer", "next");
    assert_eq!(status(&transport).await, 401);
    assert_eq!(folder.runs(), 1, "the machine says when, not the transport");
    transport.refresh_credentials().await;
    assert_eq!(status(&transport).await, 404);
    assert_eq!(folder.runs(), 2);
}

#[cfg(unix)]
pub async fn a_plugin_can_give_a_certificate<A: Adapter>() {
    let folder = Folder::new();
    let server = EmbeddedServer::builder().client_certificates(true).start().unwrap();
    let certificate = server.issue_client_certificate("admin", &["system:masters"]).unwrap();
    let pem = |pem: &str| pem.replace('\n', "\\n");
    folder.write(
        "answer",
        &format!(
            r#"{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{{"clientCertificateData":"{}","clientKeyData":"{}"}}}}"#,
            pem(&certificate.certificate_pem),
            pem(&certificate.key_pem)
        ),
    );
    folder.plugin(r#"cat "$(dirname "$0")/answer""#);
    let transport = plain::<A>(&folder.kubeconfig(&cluster(&server, &folder), EXEC));
    assert_eq!(status(&transport).await, 404);
}

/// Each is said by name and says what to do; what the plugin printed is in none.
#[cfg(unix)]
pub async fn a_plugin_that_does_not_do_is_an_error_that_says_so<A: Adapter>() {
    let (server, folder) = (server(), Folder::new());
    let cluster = cluster(&server, &folder);
    let kubeconfig = folder.kubeconfig(&cluster, EXEC);
    let options = KubeconfigOptions::new().exec_timeout(Duration::from_secs(1));
    let missing = refusal(transport::<A>(&kubeconfig, &options));
    assert!(missing.contains("does not exist"), "{missing}");
    for (script, says) in [
        ("echo very-s3cr3t; exit 3", "code 3"),
        ("echo very-s3cr3t", "JSON"),
        // Its child keeps the output open after it was killed.
        ("echo very-s3cr3t; sleep 30 & sleep 30", "time-out"),
        ("exec >&-; sleep 30", "time-out"),
        ("head -c 3000000 /dev/zero; sleep 30", "more than"),
        ("kill -9 $$", "signal"),
    ] {
        folder.plugin(script);
        let said = refusal(transport::<A>(&kubeconfig, &options));
        assert!(said.contains(says), "{script}: {said}");
        assert!(!said.contains("very-s3cr3t"), "{said}");
    }
}
