//! Many leases in one process, over one HTTP client: what they cost.
//!
//! ```text
//! cargo run --release --example many -p lease-tokio -- --leases 500 --seconds 60
//! ```
//!
//! Without `--server` the embedded API server runs in the same process, and its costs are counted, too. Memory and
//! CPU time are read from `/proc`, so they are printed on Linux only.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

mod common;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use common::{Options, Result, explain, seconds};
use lease_tokio::{Config, Lease, RecorderConfig, ReqwestTransport};
use tokio::task::JoinSet;
use tokio::time::sleep;

const USAGE: &str = "many: holds many leases in one process and says what they cost.

  --leases N          how many; default 100
  --seconds N         for how long; default 10
";
const TTL: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Options::parse("many", USAGE) {
        Ok(None) => Ok(()),
        Ok(Some(options)) => hold(&options).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("many: {}", explain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn hold(options: &Options) -> Result<()> {
    let (_server, credentials) = if options.embedded() {
        let (server, credentials) = common::embedded(&options.namespace)?;
        println!("embedded API server in this process at {}", server.url());
        (Some(server), credentials)
    } else {
        (None, options.credentials()?)
    };
    let transport = Arc::new(ReqwestTransport::builder(credentials).build()?);
    let before = Usage::now();
    let began = seconds();
    let mut acquiring = JoinSet::new();
    let mut leases = Vec::new();
    for number in 0..options.leases {
        let config = Config::builder()
            .namespace(&options.namespace)
            .name(format!("{}-{number}", options.name))
            .identity(format!("many-{}", std::process::id()))
            .ttl(TTL)
            .build()?;
        let lease = Lease::builder(config)
            .transport(Arc::clone(&transport))
            .recorder(RecorderConfig::off())
            .spawn()?;
        leases.push(lease.clone());
        acquiring.spawn(async move { lease.acquire().await });
    }
    let mut held = 0;
    while let Some(acquired) = acquiring.join_next().await {
        held += usize::from(acquired??);
    }
    println!("{held} of {} leases acquired in {:.2} s", options.leases, seconds() - began);
    let (cpu, began) = (Usage::now(), seconds());
    sleep(Duration::from_secs(options.seconds)).await;
    let after = Usage::now();
    let minutes = (seconds() - began) / 60.0;
    let alive = leases.iter().filter(|lease| lease.check_alive()).count();
    println!("{alive} still held after {} s", options.seconds);
    if let (Some(before), Some(cpu), Some(after)) = (before, cpu, after) {
        println!(
            "CPU {:.2} s a minute; resident {:.1} MB, {:.1} kB a lease, without any {:.1} MB; {} threads, {} sockets",
            (after.cpu - cpu.cpu) / minutes,
            after.resident / 1e6,
            (after.resident - before.resident) / 1e3 / options.leases as f64,
            before.resident / 1e6,
            after.threads,
            after.sockets,
        );
    }
    let began = seconds();
    let mut releasing = JoinSet::new();
    for lease in leases {
        releasing.spawn(lease.shutdown());
    }
    while let Some(released) = releasing.join_next().await {
        released??;
    }
    println!("released in {:.2} s", seconds() - began);
    if alive == options.leases { Ok(()) } else { Err("a lease was lost".into()) }
}

/// What this process has used, by `/proc`.
struct Usage {
    /// Seconds.
    cpu: f64,
    /// Bytes.
    resident: f64,
    threads: u64,
    sockets: usize,
}

impl Usage {
    fn now() -> Option<Self> {
        /// Linux counts CPU time in these, on every platform that Rust runs on.
        const TICKS_A_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name in parentheses, which may hold blanks.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let field = |number: usize| fields.get(number)?.parse::<f64>().ok();
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        let sockets = std::fs::read_dir("/proc/self/fd").ok()?.filter(|entry| {
            let target = entry.as_ref().ok().and_then(|entry| std::fs::read_link(entry.path()).ok());
            target.is_some_and(|target| target.to_string_lossy().starts_with("socket:"))
        });
        Some(Self {
            cpu: (field(11)? + field(12)?) / TICKS_A_SECOND,
            resident: line("VmRSS:")? as f64 * 1024.0,
            threads: line("Threads:")?,
            sockets: sockets.count(),
        })
    }
}
