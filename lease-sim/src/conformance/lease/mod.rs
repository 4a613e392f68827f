//! The whole holder on an adapter's runtime and HTTP client, over TLS.

mod acquiring;
mod handles;
mod holding;
mod losing;
mod rotating;
mod watching;

use std::time::Duration;

use http::{Method, Request};
use lease_core::credentials::CredentialSource;
use lease_core::driver::{AcquireError, Adapter, Attempt, Lease};
use lease_core::{Config, ConfigBuilder, Denial, FencingToken, Problem};
use serde_json::Value;

use super::bench::{Bench, Seen, TOKEN, ca, explicit, ms, token};
use super::engine::Case;
use crate::api_server::{Rights, Verb};
use crate::listener::EmbeddedServer;

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    let mut cases = acquiring::cases();
    cases.extend(holding::cases());
    cases.extend(losing::cases());
    cases.extend(rotating::cases());
    cases.extend(handles::cases());
    cases.extend(watching::cases());
    cases
}

/// A server with TLS, where [`TOKEN`] may do with leases what a holder must.
pub(super) struct Scene<A> {
    bench: Bench<A>,
    server: EmbeddedServer,
}

pub(super) fn holders_rights() -> Rights {
    Rights::leases("default", &holders_verbs())
}

fn holders_verbs() -> Vec<Verb> {
    vec![Verb::Get, Verb::Create, Verb::Update, Verb::Delete]
}

impl<A: Adapter> Scene<A> {
    fn new(bench: Bench<A>) -> Self {
        let server = EmbeddedServer::builder().tls(true).token(TOKEN, "holder", holders_rights()).start();
        Self { bench, server: server.unwrap() }
    }

    fn source(&self) -> CredentialSource {
        explicit(&self.server.url(), ca(&self.server), token())
    }

    /// A holder that renews often and can wait for long: what happens to it in a term, it survives.
    fn patient(&self, identity: &str) -> Lease<A> {
        self.spawn(patient(identity))
    }

    /// A holder whose term ends soon when nobody answers.
    fn brief(&self, identity: &str) -> Lease<A> {
        self.spawn(brief(identity))
    }

    fn spawn(&self, config: ConfigBuilder) -> Lease<A> {
        Lease::builder(config.build().unwrap()).credentials(self.source()).spawn().unwrap()
    }

    /// It holds from here on.
    async fn acquired(&self, lease: &Lease<A>) -> FencingToken {
        match self.answer(lease).await {
            Ok(attempt) => attempt.token().expect("nobody else wants it"),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// What an attempt comes to. A server that has other things to do is asked again.
    async fn answer(&self, lease: &Lease<A>) -> Result<Attempt, AcquireError> {
        let asking = async {
            loop {
                match lease.acquire_with_token().await {
                    Err(AcquireError::Remote(Problem::Timeout)) => {}
                    answer => return answer,
                }
            }
        };
        self.bench.soon("an answer to acquire", asking).await
    }

    /// Somebody else holds it.
    async fn denied(&self, lease: &Lease<A>) -> Denial {
        match self.answer(lease).await {
            Ok(Attempt::Denied(denial)) => denial,
            other => panic!("another holds it, and yet: {other:?}"),
        }
    }

    /// The record as it is stored.
    fn stored(&self) -> Option<Value> {
        stored(&self.server, "job")
    }

    fn holder(&self) -> Option<String> {
        Some(self.stored()?["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
    }

    /// `kubectl delete`.
    fn delete(&self) {
        assert!(self.server.with_model(|model| model.delete("default", "job")));
    }

    /// An administrator writes another holder into the record.
    fn take_over(&self, by: &str) {
        let mut record = self.stored().unwrap();
        record["spec"]["holderIdentity"] = by.into();
        let (now, body) = (self.server.now(), serde_json::to_vec(&record).unwrap());
        self.server.with_model(|model| model.put(now, "default", "job", &body)).unwrap();
    }

    /// The server does not hear of anybody any more, and does not answer.
    fn hang(&self) {
        self.server.pause();
    }
}

pub(super) fn stored(server: &EmbeddedServer, name: &str) -> Option<Value> {
    let json = server.with_model(|model| model.get("default", name))?;
    Some(serde_json::from_slice(&json).unwrap())
}

fn config(identity: &str, ttl: Duration) -> ConfigBuilder {
    Config::builder().namespace("default").name("job").identity(identity).ttl(ttl)
}

fn patient(identity: &str) -> ConfigBuilder {
    config(identity, ms(20_000))
        .renew_interval(ms(200))
        .request_timeout(ms(5000))
        .retry_delay(ms(100))
        .poll_interval(ms(100))
}

fn brief(identity: &str) -> ConfigBuilder {
    config(identity, ms(4000)).poll_interval(ms(100))
}

/// The methods of the requests for leases so far, in order.
fn methods(seen: &Seen) -> Vec<Method> {
    seen.all().iter().map(|request: &Request<_>| request.method().clone()).collect()
}
