//! The program: its arguments, its files, its end.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lease-sim"))
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// A running server that is ended with the test, whatever happens.
struct Serving {
    child: Child,
    url: String,
    kubectl: String,
    rest: BufReader<std::process::ChildStdout>,
}

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut command = program();
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut rest = BufReader::new(child.stdout.take().unwrap());
        let mut lines = [String::new(), String::new()];
        for line in &mut lines {
            rest.read_line(line).unwrap();
        }
        let url = lines[0].trim_end().strip_prefix("serving ").expect("the first line").to_owned();
        Self { child, url, kubectl: lines[1].trim_end().to_owned(), rest }
    }

    fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let killed = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let mut text = String::new();
        self.rest.read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().code(), text)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lease-sim-cli-{name}-{}", std::process::id()));
        Self(path)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn status(url: &str, ca: Option<&str>, token: Option<&str>, path: &str) -> u16 {
    let mut request = support::client(ca, None).get(format!("{url}{path}"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap().status().as_u16()
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (arguments, wanted) in [
        (&["--help"][..], "serve"),
        (&["-h"], "Usage: lease-sim"),
        (&["--version"], concat!("lease-sim ", env!("CARGO_PKG_VERSION"))),
        (&["-V"], "lease-sim "),
        (&["serve", "--help"], "does not exist is made by the first write"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains(wanted), "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn wrong_usage_exits_with_two_and_says_what() {
    for (arguments, wanted) in [
        (&[][..], "no command"),
        (&["dance"], "unknown command \"dance\""),
        (&["--nonsense"], "--nonsense"),
        (&["serve"], "--listen must be given"),
        (&["serve", "--listen"], "--listen"),
        (&["serve", "--listen", "nowhere"], "not an IP address and a port"),
        (&["serve", "--listen", "127.0.0.1:0", "--namespace", "Bad_Name"], "--namespace"),
        (&["serve", "--listen", "127.0.0.1:0", "--token", ""], "--token"),
        (&["serve", "--listen", "127.0.0.1:0", "extra"], "extra"),
        (&["serve", "--listen", "127.0.0.1:0", "--tls-dri", "x"], "--tls-dri"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(wanted) && message.contains("--help"), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let secret = run(&["serve", "--listen", "127.0.0.1:0", "--token", "my secret"]);
    assert!(!String::from_utf8(secret.stderr).unwrap().contains("my secret"));
}

#[test]
fn what_cannot_be_done_exits_with_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let output = run(&["serve", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot listen on"));
    let file = Folder::new("file");
    std::fs::write(&file.0, "not a folder").unwrap();
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--tls-dir", file.0.to_str().unwrap()]);
    std::fs::remove_file(&file.0).unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn without_a_token_everybody_may_do_everything() {
    let serving = Serving::start(&["--namespace", "team"]);
    let leases = "/apis/coordination.k8s.io/v1/namespaces/anywhere/leases";
    assert_eq!(status(&serving.url, None, None, leases).await, 200);
    assert_eq!(status(&serving.url, None, Some("any"), leases).await, 200);
    assert_eq!(status(&serving.url, None, None, "/api/v1/namespaces/team").await, 200);
    let created = support::client(None, None)
        .post(format!("{}{leases}", serving.url))
        .header("content-type", "application/json")
        .body(r#"{"metadata":{"name":"a"}}"#);
    assert_eq!(created.send().await.unwrap().status(), 201, "the namespace is made by the write");
    let (code, text) = serving.end("-INT");
    assert_eq!((code, text.as_str()), (Some(0), "stopped\n"));
}

#[tokio::test]
async fn programs_read_one_object_when_it_is_ready() {
    let folder = Folder::new("json");
    let directory = folder.0.to_str().unwrap();
    for tls in [false, true] {
        let mut command = program();
        command.args(["serve", "--listen", "127.0.0.1:0", "--json", "--token", "secret"]);
        if tls {
            command.args(["--tls-dir", directory]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut rest = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        rest.read_line(&mut line).unwrap();
        let serving = Serving { child, url: String::new(), kubectl: String::new(), rest };
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(!line.contains("secret"), "{line}");
        let authority =
            ready["certificate_authority"].as_str().map(|file| std::fs::read_to_string(file).unwrap());
        assert_eq!(authority.is_some(), tls, "{line}");
        let leases = "/apis/coordination.k8s.io/v1/leases";
        let url = ready["url"].as_str().unwrap();
        assert_eq!(status(url, authority.as_deref(), Some("secret"), leases).await, 200);
        assert_eq!(serving.end("-TERM"), (Some(0), String::new()));
    }
}

#[tokio::test]
async fn tls_files_are_made_and_used_again() {
    let folder = Folder::new("tls");
    let directory = folder.0.to_str().unwrap();
    let serving = Serving::start(&["--tls-dir", directory, "--token", "secret"]);
    assert!(serving.url.starts_with("https://"));
    assert!(serving.kubectl.contains("ca.crt --token=secret get leases"), "{}", serving.kubectl);
    let (certificate, key) = (folder.read("ca.crt"), folder.read("ca.key"));
    let leases = "/apis/coordination.k8s.io/v1/leases";
    assert_eq!(status(&serving.url, Some(&certificate), Some("secret"), leases).await, 200);
    assert_eq!(status(&serving.url, Some(&certificate), Some("other"), leases).await, 401);
    assert_eq!(status(&serving.url, Some(&certificate), None, leases).await, 403);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.0.join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(serving.end("-TERM").0, Some(0));
    let again = Serving::start(&["--tls-dir", directory]);
    assert_eq!((folder.read("ca.crt"), folder.read("ca.key")), (certificate.clone(), key));
    assert_eq!(
        status(&again.url, Some(&certificate), None, leases).await,
        200,
        "the old certificate is still trusted"
    );
    std::fs::remove_file(folder.0.join("ca.crt")).unwrap();
    let third = Serving::start(&["--tls-dir", directory]);
    assert_eq!(status(&third.url, Some(&certificate), None, leases).await, 200, "the key alone is enough");
    assert_eq!(status(&third.url, Some(&folder.read("ca.crt")), None, leases).await, 200);
}
