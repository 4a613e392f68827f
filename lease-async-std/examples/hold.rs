//! Two holders on async-std: one gets the lease, the other waits for it and has it soon after the release.
//!
//! ```text
//! cargo run --release --example hold -p lease-async-std
//! ```
//!
//! By itself it starts an embedded API server; `--help` tells how to use a real one. The same program on another
//! executor: `async_std::task::block_on` becomes `smol::block_on`, and nothing else changes.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

#[path = "../../lease-tokio/examples/common/mod.rs"]
mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::{Options, Result, api_server, exit_code, seconds};
use lease_async_std::{Config, CredentialSource, Lease};

const USAGE: &str = "hold: one holder gets the lease, the other waits for it.

  --watch             watch the Lease: the release is heard of at once, not at the next poll
";
const TTL: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    exit_code("hold", async_std::task::block_on(run()))
}

async fn run() -> Result<()> {
    let Some(options) = Options::parse("hold", USAGE)? else {
        return Ok(());
    };
    let (server, credentials) = api_server(&options)?;
    if let Some(server) = &server {
        println!("embedded API server at {}", server.url());
    }
    let first = holder(&options, &credentials, "first")?;
    let second = holder(&options, &credentials, "second")?;
    let token = first.campaign().await?;
    println!("first holds, token {token}; second asks: {:?}", second.acquire_with_token().await?);
    let waiting = async_std::task::spawn({
        let second = second.clone();
        async move { second.campaign().await }
    });
    async_std::task::sleep(TTL + TTL / 2).await;
    println!(
        "after {:?}: first {}",
        TTL + TTL / 2,
        if first.check_alive() { "still holds" } else { "lost it" }
    );
    let released_at = seconds();
    println!("first releases: {:?}", first.shutdown().await?);
    let successor = waiting.await?;
    println!("second holds {:.3} s later, token {successor}", seconds() - released_at);
    println!("second releases: {:?}", second.shutdown().await?);
    if successor > token { Ok(()) } else { Err("the fencing token did not grow".into()) }
}

fn holder(options: &Options, credentials: &CredentialSource, identity: &str) -> Result<Lease> {
    let config = Config::builder()
        .namespace(&options.namespace)
        .name(&options.name)
        .identity(format!("{identity}-{}", std::process::id()))
        .ttl(TTL)
        .watch(options.watch)
        .build()?;
    Ok(Lease::builder(config).credentials(credentials.clone()).spawn()?)
}
