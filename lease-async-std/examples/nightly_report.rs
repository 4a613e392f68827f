//! The README's program on this adapter: a test compares them.
#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs, reason = "an example prints")]

use std::time::Duration;

use lease_async_std::{Config, Lease};

#[async_std::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::builder()
        .namespace("default")
        .name("nightly-report")
        .identity(std::env::var("POD_NAME")?)
        .ttl(Duration::from_secs(15))
        .build()?;
    let lease = Lease::in_cluster(config)?;
    let _subscription = lease.on_lost(|reason| eprintln!("lost: {reason:?}"));
    loop {
        let token = lease.campaign().await?;
        // Dropped at its next await when the term ends, whatever the reason.
        let ended = lease.while_held_with_token(token, work(token.as_u64())).await;
        eprintln!("the work ended: {ended:?}");
    }
}

async fn work(fencing_token: u64) {
    // Hand the token to whatever you write to, and let it refuse older ones.
    println!("working with token {fencing_token}");
}
