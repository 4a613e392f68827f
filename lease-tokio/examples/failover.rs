//! Three holders contend for one Lease; one is killed, one releases; each fail-over is measured.
//!
//! ```text
//! cargo run --release --example failover -p lease-tokio
//! cargo run --release --example failover -p lease-tokio -- --watch      those who wait watch: the release is heard of at once
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

mod common;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use common::{Options, Result, api_server, exit_code, seconds};
use lease_tokio::{Acquisition, Config, CredentialSource, Event, FencingToken, Lease};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;

const USAGE: &str = "failover: three holders contend for one Lease; one is killed, one releases.

  --watch             watch the Lease: a release is heard of at once, not at the next poll
";
const TTL: Duration = Duration::from_secs(3);
/// Nobody should have to wait longer than this for anything here.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit_code("failover", run().await)
}

async fn run() -> Result<()> {
    let Some(options) = Options::parse("failover", USAGE)? else {
        return Ok(());
    };
    let (server, credentials) = api_server(&options)?;
    if let Some(server) = &server {
        println!("embedded API server at {}", server.url());
    }
    let mut play = Play::new(&options, &credentials)?;
    println!("three holders, ttl {TTL:?}; each believes for {:?} after a confirmed write\n", TTL - TTL / 10);

    let first = play.next_term(None).await?;
    play.watch_renewals(&first, 3).await?;
    play.say(&first, "KILLED: no release, no goodbye; the others have to wait for the expiry");
    let killed_at = play.kill(&first);
    let second = play.next_term(Some(&first)).await?;
    play.failovers.push(("after a crash", first, second.clone(), seconds() - killed_at));

    play.watch_renewals(&second, 1).await?;
    play.say(&second, "releases");
    let released_at = seconds();
    let outcome = play.holders[&second].lease.release().await?;
    play.say(&second, &format!("release: {outcome:?}"));
    let third = play.next_term(Some(&second)).await?;
    play.failovers.push(("after a release", second, third.clone(), seconds() - released_at));

    play.watch_renewals(&third, 1).await?;
    let outcome = play.holders[&third].lease.release().await?;
    play.say(&third, &format!("releases: {outcome:?}"));
    play.summary()?;
    drop(server);
    Ok(())
}

fn describe(acquisition: &Acquisition) -> String {
    match acquisition {
        Acquisition::Created => "created the lease".to_owned(),
        Acquisition::Vacant => "it was free".to_owned(),
        Acquisition::TakenOver { previous: Some(previous) } => format!("{previous}'s term had expired"),
        other => format!("{other:?}"),
    }
}

/// One holder, on a runtime of its own so that it can die alone.
struct Holder {
    lease: Lease,
    runtime: Option<Runtime>,
}

struct Play {
    began: f64,
    holders: BTreeMap<String, Holder>,
    events: mpsc::UnboundedReceiver<(String, f64, Event)>,
    tokens: Vec<FencingToken>,
    believers: BTreeMap<String, f64>,
    failovers: Vec<(&'static str, String, String, f64)>,
}

impl Play {
    fn new(options: &Options, credentials: &CredentialSource) -> Result<Self> {
        let (sender, events) = mpsc::unbounded_channel();
        let mut holders = BTreeMap::new();
        for identity in ["anna", "bert", "cleo"] {
            let config = Config::builder()
                .namespace(&options.namespace)
                .name(&options.name)
                .identity(identity)
                .ttl(TTL)
                .watch(options.watch)
                .build()?;
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let within = runtime.enter();
            let lease = Lease::builder(config).credentials(credentials.clone()).spawn()?;
            drop(within);
            let (mut told, sender, campaigner) = (lease.events(), sender.clone(), lease.clone());
            runtime.spawn(async move {
                while let Some(event) = told.next().await {
                    let _ = sender.send((identity.to_owned(), seconds(), event));
                }
            });
            runtime.spawn(async move { campaigner.campaign().await });
            holders.insert(identity.to_owned(), Holder { lease, runtime: Some(runtime) });
        }
        let began = seconds();
        let (tokens, believers, failovers) = (Vec::new(), BTreeMap::new(), Vec::new());
        Ok(Self { began, holders, events, tokens, believers, failovers })
    }

    fn say(&self, who: &str, what: &str) {
        println!("{:7.3} s  {who:5}  {what}", seconds() - self.began);
    }

    /// Tells what happens until somebody new holds the lease.
    async fn next_term(&mut self, before: Option<&str>) -> Result<String> {
        loop {
            let (who, event) = self.next_event().await?;
            if let Event::Acquired { .. } = event
                && Some(who.as_str()) != before
            {
                return Ok(who);
            }
        }
    }

    async fn watch_renewals(&mut self, holder: &str, mut count: u32) -> Result<()> {
        while count > 0 {
            let (who, event) = self.next_event().await?;
            if who == holder && matches!(event, Event::Renewed { .. }) {
                count -= 1;
            }
        }
        Ok(())
    }

    /// The next event of a holder that lives, told.
    async fn next_event(&mut self) -> Result<(String, Event)> {
        loop {
            let waited = timeout(PATIENCE, self.events.recv()).await;
            let (who, at, event) =
                waited.map_err(|_| "nothing happened for too long")?.ok_or("all holders are gone")?;
            let Some(holder) = self.holders.get(&who) else {
                continue;
            };
            let lease = holder.lease.clone();
            let left = |until| format!("{:.3} s left", lease.time_until(until).as_secs_f64());
            match &event {
                Event::Acquired { token, until, acquisition } => {
                    self.one_at_a_time(&who, at)?;
                    self.tokens.push(*token);
                    self.say(
                        &who,
                        &format!("HOLDS, token {token}, {}, {}", left(*until), describe(acquisition)),
                    );
                }
                Event::Renewed { until } => self.say(&who, &format!("renewed, {}", left(*until))),
                Event::Lost { token, reason } => self.say(&who, &format!("lost token {token}: {reason:?}")),
                Event::Released { token } => {
                    self.believers.remove(&who);
                    self.say(&who, &format!("gives token {token} back, believes no longer"));
                }
                Event::HolderChanged { holder: Some(holder) } if holder.as_str() != who => {
                    self.say(&who, &format!("sees that {holder} holds"));
                }
                Event::Trouble { problem, .. } => self.say(&who, &format!("trouble: {problem}")),
                Event::WatchTrouble { problem, .. } => {
                    self.say(&who, &format!("trouble with its watch: {problem}"));
                }
                _ => {}
            }
            return Ok((who, event));
        }
    }

    /// Fails loudly if two holders could believe at once.
    fn one_at_a_time(&mut self, who: &str, at: f64) -> Result<()> {
        for (other, holder) in self.holders.iter().filter(|(name, _)| *name != who) {
            if holder.lease.check_alive() {
                return Err(format!("SPLIT BRAIN: {who} and {other} both hold").into());
            }
        }
        if let Some((other, until)) =
            self.believers.iter().find(|(other, until)| *other != who && at < **until)
        {
            return Err(format!("SPLIT BRAIN: {who} holds {:.3} s before {other} stopped", until - at).into());
        }
        self.believers.insert(who.to_owned(), f64::MIN);
        Ok(())
    }

    /// Takes a holder's runtime away: no destructor runs, no release is sent, as if the process had died.
    /// Its belief, as far as anybody could still ask it, lasts until its deadline.
    fn kill(&mut self, who: &str) -> f64 {
        let at = seconds();
        if let Some(mut holder) = self.holders.remove(who) {
            if let Some(held) = holder.lease.held() {
                self.believers.insert(who.to_owned(), at + holder.lease.time_until(held.until).as_secs_f64());
            }
            if let Some(runtime) = holder.runtime.take() {
                runtime.shutdown_background();
            }
        }
        at
    }

    fn summary(mut self) -> Result<()> {
        println!("\nsummary");
        for (what, from, to, took) in &self.failovers {
            println!(
                "  fail-over {what:15}  {from} -> {to}  {took:6.3} s  ({:.2} ttl)",
                took / TTL.as_secs_f64()
            );
        }
        println!(
            "  fencing tokens           {:?}",
            self.tokens.iter().map(|token| token.as_u64()).collect::<Vec<_>>()
        );
        println!("  ran                      {:.1} s", seconds() - self.began);
        if !self.tokens.is_sorted_by(|one, next| one < next) {
            return Err("the tokens do not grow strictly".into());
        }
        println!("  never two holders at once");
        for holder in self.holders.values_mut() {
            if let Some(runtime) = holder.runtime.take() {
                runtime.shutdown_background();
            }
        }
        Ok(())
    }
}
