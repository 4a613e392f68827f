//! What the examples share: which API server to talk to, and a clock to print.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "a module of every example, each of which uses another part of it"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use lease_core::credentials::kubeconfig::KubeconfigOptions;
use lease_core::credentials::{
    AuthenticationSource, BearerToken, CaBundle, CredentialSource, Explicit, InCluster, Piece, ServerUrl,
};
use lease_core::driver::{Clock as _, SystemClock, kubeconfig, kubeconfig_file};
use lease_sim::api_server::Rights;
use lease_sim::listener::EmbeddedServer;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What the command line says.
#[derive(Debug)]
pub struct Options {
    pub server: Option<String>,
    pub ca: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    pub in_cluster: bool,
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: String,
    pub name: String,
    /// Whether holders watch, where an example has a choice.
    pub watch: bool,
    /// Of `singleton`: run as one of its worker processes.
    pub worker: Option<String>,
    /// Of `many`: how many leases to hold.
    pub leases: usize,
    /// Of `many`: for how long.
    pub seconds: u64,
}

impl Options {
    /// Reads the command line; `None` when it asked for help.
    pub fn parse(example: &str, usage: &str) -> Result<Option<Self>> {
        let mut options = Self {
            server: None,
            ca: None,
            token_file: None,
            in_cluster: false,
            kubeconfig: None,
            context: None,
            namespace: "default".to_owned(),
            name: format!("example-{example}"),
            watch: false,
            worker: None,
            leases: 100,
            seconds: 10,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--server" => options.server = Some(value()?),
                "--ca" => options.ca = Some(value()?.into()),
                "--token-file" => options.token_file = Some(value()?.into()),
                "--in-cluster" => options.in_cluster = true,
                "--kubeconfig" => options.kubeconfig = Some(value()?.into()),
                "--context" => options.context = Some(value()?),
                "--namespace" => options.namespace = value()?,
                "--name" => options.name = value()?,
                "--watch" => options.watch = true,
                "--worker" => options.worker = Some(value()?),
                "--leases" => options.leases = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--help" | "-h" => {
                    println!("{usage}{FLAGS}");
                    return Ok(None);
                }
                _ => return Err(format!("unknown argument {argument}; --help lists them all").into()),
            }
        }
        let sources = [options.in_cluster, options.server.is_some(), options.uses_kubeconfig()];
        if sources.iter().filter(|given| **given).count() > 1 {
            return Err(
                "--server, --in-cluster and --kubeconfig (or --context) each bring a server: give one".into(),
            );
        }
        Ok(Some(options))
    }

    /// Whether to start the embedded server: nothing else was asked for.
    pub fn embedded(&self) -> bool {
        !self.in_cluster && self.server.is_none() && !self.uses_kubeconfig()
    }

    fn uses_kubeconfig(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }

    /// The credentials that the command line describes.
    pub fn credentials(&self) -> Result<CredentialSource> {
        if self.in_cluster {
            return Ok(CredentialSource::InCluster(InCluster::from_env(|name| std::env::var(name).ok())?));
        }
        if self.uses_kubeconfig() {
            let mut kubeconfig_options = KubeconfigOptions::new();
            if let Some(context) = &self.context {
                kubeconfig_options = kubeconfig_options.context(context);
            }
            return Ok(match &self.kubeconfig {
                Some(path) => kubeconfig_file(path, &kubeconfig_options)?,
                None => kubeconfig(&kubeconfig_options)?,
            });
        }
        let server = self.server.as_deref().ok_or("no --server")?.parse::<ServerUrl>()?;
        let authentication = match &self.token_file {
            Some(path) => AuthenticationSource::Token(Piece::File(path.clone())),
            None => AuthenticationSource::None,
        };
        let ca = self.ca.clone().map(Piece::File);
        Ok(CredentialSource::Explicit(Explicit::new(server, ca, authentication)?))
    }
}

const FLAGS: &str = "
By itself it starts an embedded API server on a free port of this machine. On a real cluster:

  --server URL        the API server's address
  --ca FILE           the PEM certificates that sign its certificate; without it the system's are used
  --token-file FILE   the bearer token to send
  --in-cluster        all three as every pod has them
  --kubeconfig FILE   all three, or a client certificate or an exec plugin, from a kubeconfig file
  --context NAME      of that file, or of those that kubectl would take; default: its current context
  --namespace NAME    where the Lease lives; default: default
  --name NAME         the Lease's name; default: example-<the example's name>
";

/// How an example ends: what went wrong goes to the standard error.
pub fn exit_code(example: &str, ended: Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{example}: {}", explain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// The credentials for the API server that the command line names or, where it names none, for one in this process,
/// which lives as long as what comes with them.
pub fn api_server(options: &Options) -> Result<(Option<EmbeddedServer>, CredentialSource)> {
    if options.embedded() {
        let (server, credentials) = embedded(&options.namespace)?;
        Ok((Some(server), credentials))
    } else {
        Ok((None, options.credentials()?))
    }
}

/// An API server in this process, with TLS and a token, and the credentials for it.
pub fn embedded(namespace: &str) -> Result<(EmbeddedServer, CredentialSource)> {
    const TOKEN: &str = "example-token";
    let server = EmbeddedServer::builder()
        .tls(true)
        .token(TOKEN, "example", Rights::All)
        .namespace(namespace)
        .start()?;
    let ca = server.ca_pem().ok_or("the embedded server has no CA")?;
    let credentials = Explicit::new(
        server.url().parse()?,
        Some(Piece::Inline(CaBundle::from_pem(ca.as_bytes())?)),
        AuthenticationSource::Token(Piece::Inline(BearerToken::parse(TOKEN.as_bytes())?)),
    )?;
    Ok((server, CredentialSource::Explicit(credentials)))
}

/// An error with all of its causes.
fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Seconds on the clock that every process of this machine shares.
pub fn seconds() -> f64 {
    SystemClock.now().mono.as_nanos() as f64 / 1e9
}

/// Prints what `leases` leases cost between `began` and `ended`, and what they added to `empty`.
pub fn costs(leases: usize, minutes: f64, empty: Option<Usage>, began: Option<Usage>, ended: Option<Usage>) {
    if let (Some(empty), Some(began), Some(ended)) = (empty, began, ended) {
        println!(
            "CPU {:.2} s a minute; resident {:.1} MB, {:.1} kB a lease, without any {:.1} MB; {} threads, {} sockets",
            (ended.cpu - began.cpu) / minutes,
            ended.resident / 1e6,
            (ended.resident - empty.resident) / 1e3 / leases as f64,
            empty.resident / 1e6,
            ended.threads,
            ended.sockets,
        );
    }
}

/// What this process has used, by `/proc`.
pub struct Usage {
    /// Seconds.
    pub cpu: f64,
    /// Bytes.
    pub resident: f64,
    pub threads: u64,
    pub sockets: usize,
}

impl Usage {
    pub fn now() -> Option<Self> {
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
