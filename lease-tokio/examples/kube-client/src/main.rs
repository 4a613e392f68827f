//! A lease over the `kube::Client` that an application has already: one pool of connections, one set of
//! credentials, whatever `kube` can log in with.
//!
//! ```text
//! cargo run --manifest-path lease-tokio/examples/kube-client/Cargo.toml              on an embedded API server
//! cargo run --manifest-path lease-tokio/examples/kube-client/Cargo.toml -- --infer   as kubectl would, or in a pod
//! ```
//!
//! `--kubeconfig FILE` and `--context NAME` do what they do for the other examples.
//!
//! [`KubeTransport`] is all there is to it; copy it. Mind that `kube` refreshes its credentials by itself: what it
//! does not, a 401 does not make it do.

use std::error::Error;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use lease_sim::api_server::Rights;
use lease_sim::listener::EmbeddedServer;
use lease_tokio::{BoxFuture, Call, Chunks, Config, Failure, Lease, SendError, Transport};

/// Sends what a lease asks for through a `kube::Client`, which adds origin and authorization.
struct KubeTransport(Client);

impl Transport for KubeTransport {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<http::Response<Bytes>, SendError>> {
        Box::pin(async move {
            let request = call.request.map(kube::client::Body::from);
            let (head, body) = self.0.send(request).await.map_err(unknown)?.into_parts();
            let body = Limited::new(body, call.max_body).collect().await.map_err(|error| {
                let too_large = error.is::<LengthLimitError>();
                SendError::new(if too_large { Failure::TooLarge } else { Failure::Unknown }, error)
            })?;
            Ok(http::Response::from_parts(head, body.to_bytes()))
        })
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Result<http::Response<Chunks>, SendError>> {
        Box::pin(async move {
            let request = call.request.map(kube::client::Body::from);
            let response = self.0.send(request).await.map_err(unknown)?;
            Ok(response.map(|mut body| {
                Chunks::from_fn(move |context| {
                    let frame = Pin::new(&mut body).poll_frame(context);
                    frame.map(|frame| {
                        Some(frame?.map(|it| it.into_data().unwrap_or_default()).map_err(unknown))
                    })
                })
            }))
        })
    }

    fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// `kube` does not tell whether a failed request reached the server: say that it may have.
fn unknown(error: kube::Error) -> SendError {
    SendError::new(Failure::Unknown, error)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = EmbeddedServer::builder().tls(true).token("secret", "example", Rights::All).start()?;
    let client = client(&server).await?;
    let namespace = client.default_namespace().to_owned();
    let config = Config::builder()
        .namespace(&namespace)
        .name("kube-client-example")
        .identity(format!("example-{}", std::process::id()))
        .ttl(Duration::from_secs(3))
        .watch(true)
        .build()?;
    let lease = Lease::builder(config).transport(KubeTransport(client)).spawn()?;
    let token = lease.campaign().await?;
    println!("held in namespace {namespace}, token {token}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    println!("after 4 s of a ttl of 3 s: {}", if lease.check_alive() { "still held" } else { "lost" });
    let held = lease.check_alive();
    if let Some(why) = lease.last_transport_error() {
        return Err(format!("a request failed, or the watch: {why}").into());
    }
    println!("released: {:?}", lease.shutdown().await?);
    if held { Ok(()) } else { Err("the lease was not renewed".into()) }
}

/// The client that the command line asks for.
async fn client(server: &EmbeddedServer) -> Result<Client, Box<dyn Error>> {
    let (mut file, mut options, mut infer) = (None, KubeConfigOptions::default(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--infer" => infer = true,
            "--kubeconfig" => file = Some(value()?),
            "--context" => options.context = Some(value()?),
            _ => return Err(format!("unknown argument {argument}").into()),
        }
    }
    let config = match file {
        Some(file) => kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &options).await?,
        None if options.context.is_some() => kube::Config::from_kubeconfig(&options).await?,
        None if infer => return Ok(Client::try_default().await?),
        None => return embedded(server).await,
    };
    Ok(Client::try_from(config)?)
}

/// A client for the embedded server, as an application would have one.
async fn embedded(server: &EmbeddedServer) -> Result<Client, Box<dyn Error>> {
    let ca = std::env::temp_dir().join(format!("kube-client-example-{}.crt", std::process::id()));
    std::fs::write(&ca, server.ca_pem().ok_or("the embedded server has no CA")?)?;
    let kubeconfig = Kubeconfig::from_yaml(&format!(
        "current-context: embedded
contexts: [{{ name: embedded, context: {{ cluster: embedded, user: example, namespace: default }} }}]
clusters: [{{ name: embedded, cluster: {{ server: '{}', certificate-authority: '{}' }} }}]
users: [{{ name: example, user: {{ token: secret }} }}]",
        server.url(),
        ca.display()
    ))?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    std::fs::remove_file(ca)?;
    Ok(client)
}
