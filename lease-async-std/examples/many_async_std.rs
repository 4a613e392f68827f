//! Many leases in one process, over one HTTP client: what they cost.
//!
//! ```text
//! cargo run --release --example many_async_std -p lease-async-std -- --leases 500 --seconds 60
//! ```
//!
//! Without `--server` the embedded API server runs in the same process, and its costs are counted, too. Memory and
//! CPU time are read from `/proc`, so they are printed on Linux only.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

#[path = "../../lease-tokio/examples/common/mod.rs"]
mod common;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_std::task::{block_on, sleep, spawn};
use common::{Options, Result, Usage, exit_code, seconds};
use lease_async_std::{Config, Lease, RecorderConfig, SurfTransport};

const USAGE: &str = "many: holds many leases in one process and says what they cost.

  --leases N          how many; default 100
  --seconds N         for how long; default 10
  --watch             watch each of them, on connections of their own
";
const TTL: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let ended = match Options::parse("many", USAGE) {
        Ok(None) => Ok(()),
        Ok(Some(options)) => block_on(hold(&options)),
        Err(error) => Err(error),
    };
    exit_code("many", ended)
}

async fn hold(options: &Options) -> Result<()> {
    let (server, credentials) = common::api_server(options)?;
    if let Some(server) = &server {
        println!("embedded API server in this process at {}", server.url());
    }
    let transport = Arc::new(SurfTransport::builder(credentials).build()?);
    let before = Usage::now();
    let began = seconds();
    let mut acquiring = Vec::new();
    let mut leases = Vec::new();
    for number in 0..options.leases {
        let config = Config::builder()
            .namespace(&options.namespace)
            .name(format!("{}-{number}", options.name))
            .identity(format!("many-{}", std::process::id()))
            .ttl(TTL)
            .watch(options.watch)
            .build()?;
        let lease = Lease::builder(config)
            .transport(Arc::clone(&transport))
            .recorder(RecorderConfig::off())
            .spawn()?;
        leases.push(lease.clone());
        acquiring.push(spawn(async move { lease.acquire().await }));
    }
    let mut held = 0;
    for acquired in acquiring {
        held += usize::from(acquired.await?);
    }
    println!("{held} of {} leases acquired in {:.2} s", options.leases, seconds() - began);
    let (cpu, began) = (Usage::now(), seconds());
    sleep(Duration::from_secs(options.seconds)).await;
    let after = Usage::now();
    let minutes = (seconds() - began) / 60.0;
    let alive = leases.iter().filter(|lease| lease.check_alive()).count();
    println!("{alive} still held after {} s", options.seconds);
    common::costs(options.leases, minutes, before, cpu, after);
    let began = seconds();
    let mut releasing = Vec::new();
    for lease in leases {
        releasing.push(spawn(lease.shutdown()));
    }
    for released in releasing {
        released.await?;
    }
    println!("released in {:.2} s", seconds() - began);
    if alive == options.leases { Ok(()) } else { Err("a lease was lost".into()) }
}
