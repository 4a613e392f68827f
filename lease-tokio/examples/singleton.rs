//! Three processes, one of which runs the work. It stops in time when it cannot be sure any more.
//!
//! ```text
//! cargo run --release --example singleton -p lease-tokio
//! ```
//!
//! Starts three copies of itself as workers. Every worker campaigns, and writes a line for every piece of work
//! to its standard output, with the fencing token and the time on the clock that all processes share. The
//! parent checks that no two workers ever work at once; it kills the one that works, then takes the API server
//! away for longer than the ttl, and looks when the work stops.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

mod common;

use std::io::Write as _;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use common::{Options, Result, exit_code, seconds};
use lease_tokio::{Config, Interrupted, Lease};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const USAGE: &str = "singleton: of three processes exactly one runs the work, and it stops in time.";
const TTL: Duration = Duration::from_secs(3);
/// How long one piece of work takes.
const PIECE: Duration = Duration::from_millis(50);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ended = match Options::parse("singleton", USAGE) {
        Ok(None) => Ok(()),
        Ok(Some(ref options @ Options { worker: Some(ref name), .. })) if options.embedded() => {
            Err(format!("worker {name} needs to be told of a server").into())
        }
        Ok(Some(options)) => match options.worker.clone() {
            Some(name) => work(&options, &name).await,
            None => supervise(&options).await,
        },
        Err(error) => Err(error),
    };
    exit_code("singleton", ended)
}

/// A worker process: work while held, for ever.
async fn work(options: &Options, name: &str) -> Result<()> {
    let config = Config::builder()
        .namespace(&options.namespace)
        .name(&options.name)
        .identity(format!("{name}-{}", std::process::id()))
        .ttl(TTL)
        .build()?;
    let lease = Lease::builder(config).credentials(options.credentials()?).spawn()?;
    loop {
        let token = lease.campaign().await?;
        // The work is dropped, in the middle of a piece if need be, when the term ends.
        let ended = lease
            .while_held_with_token(token, async {
                loop {
                    println!("{token} {}", seconds());
                    // The parent reads a pipe: without this the lines would wait in a buffer.
                    if std::io::stdout().flush().is_err() {
                        return;
                    }
                    sleep(PIECE).await;
                }
            })
            .await;
        match ended {
            Ok(()) => return Ok(()),
            Err(Interrupted::Lost(reason)) => eprintln!("         {name} stops: {reason:?}"),
            Err(other) => eprintln!("         {name} stops: {other}"),
        }
    }
}

/// A piece of work that a worker says it did.
#[derive(Debug)]
struct Piece {
    worker: usize,
    token: u64,
    at: f64,
}

struct Supervisor {
    began: f64,
    workers: Vec<Option<Child>>,
    pieces: mpsc::UnboundedReceiver<Piece>,
    last: Option<Piece>,
    count: u64,
    takeovers: u32,
}

async fn supervise(options: &Options) -> Result<()> {
    let directory = std::env::temp_dir().join(format!("singleton-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let (server, arguments) = if options.embedded() {
        let (server, arguments) = embedded(options, &directory)?;
        println!("embedded API server at {}", server.url());
        (Some(server), arguments)
    } else {
        (None, std::env::args().skip(1).collect())
    };
    let mut supervisor = Supervisor::start(&arguments)?;
    let first = supervisor.work_for(Duration::from_secs(2)).await?.ok_or("nobody works")?;
    supervisor.say(&format!("worker {first} works; killing it"));
    let killed_at = seconds();
    supervisor.kill(first).await?;
    let second = supervisor.first_piece(Some(first)).await?;
    supervisor.say(&format!("worker {second} works, {:.3} s after the kill", seconds() - killed_at));
    supervisor.work_for(Duration::from_secs(1)).await?;
    if let Some(server) = &server {
        supervisor.say("the API server stops answering");
        server.pause();
        let paused_at = seconds();
        supervisor.work_for(TTL + TTL / 2).await?;
        let stopped = supervisor.last.as_ref().map_or(0.0, |piece| piece.at) - paused_at;
        supervisor.say(&format!("the last piece of work was {stopped:.3} s after that; the ttl is {TTL:?}"));
        if stopped > TTL.as_secs_f64() {
            return Err("the work went on for longer than the ttl".into());
        }
        server.resume();
        let third = supervisor.first_piece(None).await?;
        supervisor.say(&format!("the API server answers again; worker {third} works"));
        supervisor.work_for(Duration::from_secs(1)).await?;
    }
    supervisor.end().await?;
    std::fs::remove_dir_all(&directory)?;
    println!(
        "\nsummary: {} pieces of work, {} takeovers, never two workers at once, tokens only grew, {:.1} s",
        supervisor.count,
        supervisor.takeovers,
        seconds() - supervisor.began
    );
    Ok(())
}

/// An embedded server, and the arguments that lead the workers to it.
fn embedded(
    options: &Options,
    directory: &std::path::Path,
) -> Result<(lease_sim::listener::EmbeddedServer, Vec<String>)> {
    let (server, _) = common::embedded(&options.namespace)?;
    let (ca, token) = (directory.join("ca.crt"), directory.join("token"));
    std::fs::write(&ca, server.ca_pem().ok_or("the embedded server has no CA")?)?;
    std::fs::write(&token, "example-token")?;
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let arguments = ["--server", &server.url(), "--ca", &text(&ca), "--token-file", &text(&token)];
    let place = ["--namespace", &options.namespace, "--name", &options.name];
    let arguments = arguments.into_iter().chain(place).map(str::to_owned).collect();
    Ok((server, arguments))
}

impl Supervisor {
    fn start(arguments: &[String]) -> Result<Self> {
        let (sender, pieces) = mpsc::unbounded_channel();
        let mut workers = Vec::new();
        for worker in 0..3 {
            let mut child = Command::new(std::env::current_exe()?)
                .args(arguments)
                .args(["--worker", &format!("worker-{worker}")])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let lines = child.stdout.take().ok_or("no pipe")?;
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(lines).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let mut words = line.split(' ').map(str::parse::<f64>);
                    if let (Some(Ok(token)), Some(Ok(at))) = (words.next(), words.next()) {
                        let _ = sender.send(Piece { worker, token: token as u64, at });
                    }
                }
            });
            workers.push(Some(child));
        }
        Ok(Self { began: seconds(), workers, pieces, last: None, count: 0, takeovers: 0 })
    }

    fn say(&self, what: &str) {
        println!("{:6.3} s {what}", seconds() - self.began);
    }

    /// Waits for the next piece of work, by another worker than `but`, whose last lines may still be on
    /// their way. Fails when nobody works for much longer than a fail-over takes.
    async fn first_piece(&mut self, but: Option<usize>) -> Result<usize> {
        loop {
            let piece = timeout(5 * TTL, self.pieces.recv()).await.map_err(|_| "nobody works")?;
            let worker = self.take(piece.ok_or("all workers are gone")?)?;
            if Some(worker) != but {
                return Ok(worker);
            }
        }
    }

    /// Lets them work for a while; tells who worked last.
    async fn work_for(&mut self, time: Duration) -> Result<Option<usize>> {
        let until = tokio::time::Instant::now() + time;
        while let Ok(Some(piece)) = tokio::time::timeout_at(until, self.pieces.recv()).await {
            self.take(piece)?;
        }
        Ok(self.last.as_ref().map(|piece| piece.worker))
    }

    /// Checks a piece against the last one: another worker needs a higher token, and comes later.
    fn take(&mut self, piece: Piece) -> Result<usize> {
        if let Some(last) = self.last.take() {
            if piece.worker != last.worker {
                self.takeovers += 1;
            }
            let same_term = piece.worker == last.worker && piece.token == last.token;
            if piece.at < last.at || !(same_term || piece.token > last.token) {
                return Err(format!("SPLIT BRAIN: {last:?}, then {piece:?}").into());
            }
        }
        self.count += 1;
        let worker = piece.worker;
        self.last = Some(piece);
        Ok(worker)
    }

    async fn kill(&mut self, worker: usize) -> Result<()> {
        if let Some(mut child) = self.workers[worker].take() {
            child.kill().await?;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        for child in self.workers.iter_mut().flatten() {
            child.kill().await?;
        }
        Ok(())
    }
}
