//! Proxies: those that were asked for, and those that were not.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use lease_core::credentials::{AuthenticationSource, CredentialSource};
use lease_core::driver::Adapter;

use crate::conformance::bench::{
    Bench, Folder, PATIENCE, TOKEN, assert_no_secret, bundle, ca, chain, explicit, open, token,
};
use crate::conformance::engine::{BlockOn, Case, cases, guarded};
use crate::conformance::raw::{Connection, RawServer};

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "transport",
        a_proxy_before_plain_http_is_refused => "it would see everything",
        a_proxy_is_refused_or_used_and_never_ignored => "by CONNECT, and it sees nothing of the token",
        a_proxys_password_is_in_no_text => "errors do not repeat addresses",
        the_environments_proxies_are_not_asked => "HTTPS_PROXY and the like, in a process of their own",
    ]
}

/// Passes on what is asked for by CONNECT.
fn tunnel(connection: &mut Connection) {
    let Some(request) = connection.request() else { return };
    let Some(target) = request.head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
        connection.send("HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n");
        return;
    };
    let Ok(server) = TcpStream::connect(target) else { return };
    connection.send("HTTP/1.1 200 OK\r\n\r\n");
    let (Ok(mut from), Ok(mut to)) = (server.try_clone(), connection.socket().try_clone()) else { return };
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let mut to = &server;
    connection.each(|bytes| to.write_all(bytes).is_ok());
    let _ = server.shutdown(std::net::Shutdown::Both);
    let _ = back.join();
}

async fn a_proxy_before_plain_http_is_refused<A: Adapter>(bench: Bench<A>) {
    let proxy = RawServer::plain(tunnel);
    let server = open(false);
    let setup = bench.setup(explicit(&server.url(), None, token())).proxy(proxy.url());
    let error = A::transport(setup).err().expect("a proxy that would see the token is refused");
    assert_no_secret(&error);
    assert_eq!(proxy.connections(), 0);
}

async fn a_proxy_is_refused_or_used_and_never_ignored<A: Adapter>(bench: Bench<A>) {
    let proxy = RawServer::plain(tunnel);
    let server = open(true);
    let setup = bench.setup(explicit(&server.url(), ca(&server), token())).proxy(proxy.url());
    let Ok(transport) = A::transport(setup) else {
        return assert_eq!((server.connections_made(), proxy.connections()), (0, 0), "refused at once");
    };
    for _ in 0..3 {
        assert_eq!(bench.status(&transport).await, 404);
    }
    let tunnels = proxy.requests();
    let target = format!("CONNECT {} HTTP/1.1", server.address());
    assert!(tunnels.iter().all(|request| request.head.lines().next() == Some(&*target)), "{tunnels:?}");
    assert_eq!(server.connections_made(), tunnels.len() as u64, "every connection goes through the proxy");
    assert!(!proxy.heard(TOKEN) && !proxy.heard("authorization"));
}

async fn a_proxys_password_is_in_no_text<A: Adapter>(bench: Bench<A>) {
    let server = open(true);
    let source = || explicit(&server.url(), ca(&server), token());
    for url in
        ["http://user:passw0rd@", "passw0rd://user:passw0rd@127.0.0.1:1", "http://user:passw0rd@127.0.0.1:1"]
    {
        let setup = bench.setup(source()).proxy(url);
        assert!(!format!("{setup:?}").contains("passw0rd"));
        let text = match A::transport(setup) {
            Err(error) => format!("{error:?} {}", chain(&error)),
            Ok(transport) => match bench.get(&transport).await {
                Err(error) => format!("{error:?} {}", chain(&error)),
                Ok(_) => panic!("the proxy was ignored"),
            },
        };
        assert!(!text.contains("passw0rd"), "{text}");
    }
}

/// Which adapter and which file the child is for.
const CHILD: &str = "LEASE_CONFORMANCE_CHILD";
const CHILD_FILE: &str = "LEASE_CONFORMANCE_CHILD_FILE";
const CHILD_URLS: &str = "LEASE_CONFORMANCE_CHILD_URLS";
const CHILD_CA: &str = "LEASE_CONFORMANCE_CHILD_CA";

/// The same program once more, with proxies in its environment: it gets to the same place, and only tries that.
async fn the_environments_proxies_are_not_asked<A: Adapter>(bench: Bench<A>) {
    let proxy = RawServer::plain(tunnel);
    let (plain, secure) = (open(false), open(true));
    let folder = Folder::new("environment");
    let (file, authority) =
        (folder.path().join("verdict"), folder.write("ca.crt", &secure.ca_pem().unwrap()));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, proxy.url()).env(name.to_lowercase(), proxy.url());
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");
    command.env(CHILD, bench.adapter()).env(CHILD_FILE, &file).env(CHILD_CA, authority);
    command.env(CHILD_URLS, format!("{} {}", plain.url(), secure.url()));
    let output = bench.block(move || command.output()).await.unwrap();
    let verdict = std::fs::read_to_string(&file).unwrap_or_else(|_| {
        panic!(
            "this program, started again with the same arguments, did not come to `conformance::run` for {:?}: \
             {}\n{}\n{}",
            bench.adapter(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    });
    assert_eq!(verdict, "ok");
    assert_eq!(proxy.connections(), 0, "the proxy was asked");
    assert_eq!([plain.connections_made(), secure.connections_made()], [1, 1]);
}

/// What the child does instead of running the suite: never returns then. True in a child that is for another
/// adapter.
pub(in crate::conformance) fn run_as_child<A: Adapter>(adapter: &str, block_on: &Arc<BlockOn>) -> bool {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if std::env::var_os(CHILD).is_none() {
        return false;
    }
    if variable(CHILD) != adapter {
        return true;
    }
    let verdict = Arc::new(std::sync::Mutex::new(String::new()));
    let slot = Arc::clone(&verdict);
    let adapter = adapter.to_owned();
    let urls: Vec<String> = variable(CHILD_URLS).split(' ').map(str::to_owned).collect();
    let authority = std::fs::read_to_string(variable(CHILD_CA)).unwrap_or_default();
    block_on(Box::pin(async move {
        let mut bench = Bench::<A>::new(&adapter, PATIENCE);
        let came = guarded(|| async move {
            bench.enter(A::runtime().unwrap());
            for url in urls {
                let ca = url.starts_with("https").then(|| bundle(&authority));
                let source: CredentialSource = explicit(&url, ca, AuthenticationSource::None);
                let transport = bench.transport(source);
                assert_eq!(bench.status(&transport).await, 404);
            }
        });
        *slot.lock().unwrap() = came.await.err().unwrap_or_else(|| "ok".to_owned());
    }));
    let verdict = verdict.lock().unwrap().clone();
    let file = PathBuf::from(variable(CHILD_FILE));
    let beside = file.with_extension("new");
    std::fs::write(&beside, verdict).and_then(|()| std::fs::rename(beside, file)).unwrap();
    #[expect(clippy::exit, reason = "the rest of the program is not what this process was started for")]
    std::process::exit(0);
}
