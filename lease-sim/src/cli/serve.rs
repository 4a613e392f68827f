//! `lease-sim serve`.

use super::{CliError, print};
use lease_sim::api_server::{ApiServerConfig, Rights};
use lease_sim::listener::{Authority, EmbeddedServer};
use lexopt::{Arg, ValueExt as _};
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const HELP: &str = "\
Serve a modelled Kubernetes API server for Leases until SIGINT or SIGTERM

Usage: lease-sim serve --listen ADDR [OPTIONS]

Everything is kept in memory and gone at the end. A namespace that does not exist is made by the first write
to it. For tests only: it is no Kubernetes, and it does not guard secrets.

Options:
  --listen ADDR     Address and port, such as 127.0.0.1:6443; port 0 takes a free one
  --tls-dir DIR     Serve HTTPS. The authority's certificate is written to DIR/ca.crt and its key to
                    DIR/ca.key (mode 0600); a key that is there is used again
  --token TOKEN     Only requests with this bearer token may do anything. Without this option every request
                    may do everything, whatever token it has
  --namespace NAME  A namespace that exists from the start; may be given several times
  --json            Print one JSON object on one line instead when it is ready, and nothing at the end
  -h, --help        Print this help

When it is ready it prints one line 'serving URL', and a kubectl command to try.
";

#[derive(Debug, Default)]
struct Options {
    listen: Option<SocketAddr>,
    tls_dir: Option<PathBuf>,
    token: Option<String>,
    namespaces: Vec<String>,
    json: bool,
}

/// Reads the options; `None` if only help was asked for.
fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, CliError> {
    let mut options = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long("listen") => {
                let value = parser.value()?.string()?;
                let address = value.parse().map_err(|_| CliError::BadValue {
                    option: "--listen",
                    why: "not an IP address and a port, such as 127.0.0.1:6443".to_owned(),
                    value,
                })?;
                options.listen = Some(address);
            }
            Arg::Long("json") => options.json = true,
            Arg::Long("tls-dir") => options.tls_dir = Some(parser.value()?.into()),
            Arg::Long("token") => {
                let token = parser.value()?.string()?;
                if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(CliError::BadValue {
                        option: "--token",
                        // A secret stays out of messages.
                        value: String::new(),
                        why: "a token is made of printable ASCII without blanks".to_owned(),
                    });
                }
                options.token = Some(token);
            }
            Arg::Long("namespace") => options.namespaces.push(namespace(parser.value()?.string()?)?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

fn namespace(name: String) -> Result<String, CliError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if fits {
        return Ok(name);
    }
    let why = "a namespace has 1 to 63 of a-z, 0-9 and '-', and no '-' at either end".to_owned();
    Err(CliError::BadValue { option: "--namespace", value: name, why })
}

pub(super) fn run(parser: lexopt::Parser) -> Result<(), CliError> {
    let Some(options) = parse(parser)? else {
        return print(HELP);
    };
    let listen = options.listen.ok_or(CliError::Missing("--listen"))?;
    let mut config = ApiServerConfig {
        seed: seed(),
        create_namespaces: true,
        namespaces: options.namespaces,
        ..ApiServerConfig::default()
    };
    match &options.token {
        Some(token) => config = config.token(token, "admin", Rights::All),
        None => {
            config.anonymous = Rights::All;
            config.unknown_tokens_are_anonymous = true;
        }
    }
    let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
    let mut builder = EmbeddedServer::builder().config(config).listen(listen);
    if let Some(directory) = &options.tls_dir {
        builder = builder.authority(authority(directory)?);
    }
    // The handlers come first: a signal right after the line below must end it cleanly.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    runtime.block_on(async {
        let signal = signals().map_err(|error| failed(&error))?;
        let server = builder.start().map_err(|error| failed(&error))?;
        let tls_dir = options.tls_dir.as_deref();
        if options.json {
            // The token is the caller's own: it is not repeated where logs are kept.
            let authority = tls_dir.map(|directory| directory.join("ca.crt"));
            print(&format!("{}\n", json!({ "url": server.url(), "certificate_authority": authority })))?;
        } else {
            print(&ready(&server, tls_dir, options.token.as_deref()))?;
        }
        signal.await;
        drop(server);
        if options.json { Ok(()) } else { print("stopped\n") }
    })
}

/// UIDs of two runs differ, as they do on real servers.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// Completes at SIGINT or SIGTERM.
#[cfg(unix)]
fn signals() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Completes at Ctrl-C.
#[cfg(not(unix))]
fn signals() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler the system ends the program anyway.
        let _ = tokio::signal::ctrl_c().await;
    })
}

fn ready(server: &EmbeddedServer, tls_dir: Option<&Path>, token: Option<&str>) -> String {
    let url = server.url();
    let mut text = format!("serving {url}\nkubectl --server={url}");
    // Writing to a String cannot fail.
    if let Some(directory) = tls_dir {
        let _ =
            write!(text, " --certificate-authority={}", quoted(&directory.join("ca.crt").to_string_lossy()));
    }
    // kubectl asks for a name and a password when it has no credentials at all.
    let _ = writeln!(text, " --token={} get leases --all-namespaces", quoted(token.unwrap_or("any")));
    text
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if word.bytes().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The authority of the directory: the one of an earlier run, or a new one.
fn authority(directory: &Path) -> Result<Authority, CliError> {
    let (key_path, certificate_path) = (directory.join("ca.key"), directory.join("ca.crt"));
    let failed =
        |path: &Path, error: &dyn std::fmt::Display| CliError::Failed(format!("{}: {error}", path.display()));
    fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    let authority = match read(&key_path).map_err(|error| failed(&key_path, &error))? {
        Some(key) => {
            let certificate = read(&certificate_path).map_err(|error| failed(&certificate_path, &error))?;
            Authority::from_pem(&key, certificate.as_deref()).map_err(|error| failed(&key_path, &error))?
        }
        None => {
            let authority = Authority::generate().map_err(|error| failed(&key_path, &error))?;
            write_secret(&key_path, &authority.key_pem()).map_err(|error| failed(&key_path, &error))?;
            // A certificate without its key is of no use any more.
            fs::write(&certificate_path, authority.certificate_pem())
                .map_err(|error| failed(&certificate_path, &error))?;
            authority
        }
    };
    if !certificate_path.exists() {
        fs::write(&certificate_path, authority.certificate_pem())
            .map_err(|error| failed(&certificate_path, &error))?;
    }
    Ok(authority)
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file that only its owner can read, and never over one that is there.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}
