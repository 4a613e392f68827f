//! Credentials that follow their files, over real HTTP and TLS.
#![allow(clippy::unwrap_used)]

mod wire_support;

use std::path::PathBuf;
use std::time::Duration;

use lease_async_std::{
    AuthenticationSource, CertificateChain, CredentialSource, Failure, InCluster, Lease, Piece, PrivateKey,
    SetupError, SurfTransport, Transport,
};
use lease_sim::api_server::Rights;
use lease_sim::listener::{ClientCertificate, EmbeddedServer};
use wire_support::{Folder, ShiftedClock, ca, chain, config, explicit, get, run, status};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn server() -> EmbeddedServer {
    EmbeddedServer::builder().tls(true).token("one", "holder", Rights::All).start().unwrap()
}

fn token_file(path: PathBuf) -> AuthenticationSource {
    AuthenticationSource::Token(Piece::File(path))
}

#[test]
fn a_token_file_is_read_again_every_minute() {
    run(async {
        let (server, folder, clock) = (server(), Folder::new("minute"), ShiftedClock::default());
        let path = folder.write("token", "one\n");
        let source = explicit(&server.url(), ca(&server), token_file(path));
        let transport = SurfTransport::builder(source).clock(clock.clone()).build().unwrap();
        assert_eq!(status(&transport).await, 404);
        server.set_token("two", "holder", Rights::All);
        folder.write("token", "two\n");
        server.remove_token("one");
        assert_eq!(status(&transport).await, 401, "not looked at yet");
        clock.put_forward(MINUTE);
        assert_eq!(status(&transport).await, 404);
        // After a minute, and the moment that this took, the connection has been idle for too long.
        assert!(server.connections_made() <= 2, "a new token needs no new connection");
    });
}

#[test]
fn a_token_file_is_read_again_at_once_after_a_401() {
    run(async {
        let (server, folder, clock) = (server(), Folder::new("refused"), ShiftedClock::default());
        let path = folder.write("token", "one");
        let source = explicit(&server.url(), ca(&server), token_file(path));
        let lease = Lease::builder(config("a", 15 * SECOND)).credentials(source).clock(clock.clone());
        let lease = lease.spawn().unwrap();
        server.set_token("two", "holder", Rights::All);
        folder.write("token", "two");
        server.remove_token("one");
        clock.put_forward(SECOND);
        assert_eq!(lease.acquire().await, Ok(true), "the 401 is not the application's affair");
        assert!(server.with_model(|model| model.get("default", "job")).is_some());
    });
}

#[test]
fn a_file_that_is_missing_for_a_moment_changes_nothing() {
    run(async {
        let (server, folder, clock) = (server(), Folder::new("missing"), ShiftedClock::default());
        let path = folder.write("token", "one");
        let source = explicit(&server.url(), ca(&server), token_file(path.clone()));
        let transport = SurfTransport::builder(source).clock(clock.clone()).build().unwrap();
        std::fs::remove_file(&path).unwrap();
        clock.put_forward(MINUTE);
        assert_eq!(status(&transport).await, 404, "the old token goes on");
        let problem = transport.credentials_problem().unwrap();
        assert!(problem.contains("token"), "{problem}");
        folder.write("token", "bad s3cr3t");
        clock.put_forward(MINUTE);
        assert_eq!(status(&transport).await, 404);
        assert!(!transport.credentials_problem().unwrap().contains("s3cr3t"));
        folder.write("token", "one");
        clock.put_forward(MINUTE);
        assert_eq!(status(&transport).await, 404);
        assert_eq!(transport.credentials_problem(), None);
    });
}

#[test]
fn a_rotated_ca_is_honoured() {
    run(async {
        let (server, folder, clock) = (server(), Folder::new("ca"), ShiftedClock::default());
        let path = folder.write("ca.crt", &server.ca_pem().unwrap());
        let source = explicit(&server.url(), Some(Piece::File(path)), wire_support::token("one"));
        let transport = SurfTransport::builder(source).clock(clock.clone()).build().unwrap();
        assert_eq!(status(&transport).await, 404);

        server.rotate_ca().unwrap();
        assert_eq!(status(&transport).await, 404, "the open connection goes on");
        server.close_connections();
        // The first request may still ride the connection that is being closed.
        let refused = match get(&transport).await.unwrap_err() {
            error if error.failure() == Failure::Unknown => get(&transport).await.unwrap_err(),
            error => error,
        };
        assert_eq!(refused.failure(), Failure::NotSent, "{}", chain(&refused));

        folder.write("ca.crt", &server.ca_pem().unwrap());
        // No minute: a connection that failed is a reason to look.
        clock.put_forward(SECOND);
        assert_eq!(status(&transport).await, 404);
    });
}

#[test]
fn a_ca_that_is_replaced_is_not_trusted_any_more() {
    run(async {
        let (server, folder, clock) = (server(), Folder::new("revoked"), ShiftedClock::default());
        let path = folder.write("ca.crt", &server.ca_pem().unwrap());
        let source = explicit(&server.url(), Some(Piece::File(path)), wire_support::token("one"));
        let transport = SurfTransport::builder(source).clock(clock.clone()).build().unwrap();
        assert_eq!(status(&transport).await, 404);
        let other = self::server();
        folder.write("ca.crt", &other.ca_pem().unwrap());
        clock.put_forward(MINUTE);
        let refused = get(&transport).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::NotSent, "not even on the connection that is open");
    });
}

#[test]
fn a_holder_keeps_its_lease_while_everything_rotates() {
    run(async {
        let (server, folder, clock) = (server(), Folder::new("all"), ShiftedClock::default());
        let token = folder.write("token", "one");
        let ca = folder.write("ca.crt", &server.ca_pem().unwrap());
        let source = explicit(&server.url(), Some(Piece::File(ca)), token_file(token));
        let lease = Lease::builder(config("a", 6 * SECOND)).credentials(source).clock(clock).spawn().unwrap();
        let held = lease.acquire_with_token().await.unwrap().token().unwrap();
        let _kept = lease.on_lost(|reason| panic!("lost: {reason:?}"));

        server.rotate_ca().unwrap();
        server.set_token("two", "holder", Rights::All);
        server.remove_token("one");
        server.close_connections();
        folder.write("token", "two");
        folder.write("ca.crt", &server.ca_pem().unwrap());
        // Real time: the first renewal after that fails, and a later one must come through within the term.
        let renewed = async {
            let mut events = lease.events();
            let mut renewals = 0;
            while renewals < 2 {
                match events.next().await.unwrap() {
                    lease_async_std::Event::Renewed { .. } => renewals += 1,
                    lease_async_std::Event::Lost { reason, .. } => panic!("lost: {reason:?}"),
                    _ => {}
                }
            }
        };
        lease.while_held(renewed).await.unwrap();
        assert_eq!(lease.held().unwrap().token, held, "still the same term");
    });
}

fn files(folder: &Folder, certificate: &ClientCertificate) -> AuthenticationSource {
    AuthenticationSource::ClientCertificate {
        chain: Piece::File(folder.write("tls.crt", &certificate.certificate_pem)),
        key: Piece::File(folder.write("tls.key", &certificate.key_pem)),
    }
}

#[test]
fn client_certificates_from_values_and_from_files() {
    run(async {
        let server = EmbeddedServer::builder().client_certificates(true).start().unwrap();
        let nobody = explicit(&server.url(), ca(&server), AuthenticationSource::None);
        let nobody = SurfTransport::builder(nobody).build().unwrap();
        assert_eq!(status(&nobody).await, 403);

        let admin = server.issue_client_certificate("admin", &["system:masters"]).unwrap();
        let inline = AuthenticationSource::ClientCertificate {
            chain: Piece::Inline(CertificateChain::from_pem(admin.certificate_pem.as_bytes()).unwrap()),
            key: Piece::Inline(PrivateKey::from_pem(admin.key_pem.as_bytes()).unwrap()),
        };
        let inline = explicit(&server.url(), ca(&server), inline);
        let lease = Lease::builder(config("a", 15 * SECOND)).credentials(inline).spawn().unwrap();
        assert_eq!(lease.acquire().await, Ok(true));

        let folder = Folder::new("certificate");
        let clock = ShiftedClock::default();
        let source = explicit(&server.url(), ca(&server), files(&folder, &admin));
        let transport = SurfTransport::builder(source).clock(clock.clone()).build().unwrap();
        assert_eq!(status(&transport).await, 200);

        // A certificate beside the key of its predecessor: the old pair goes on until both are there.
        let weak = server.issue_client_certificate("nobody", &[]).unwrap();
        folder.write("tls.crt", &weak.certificate_pem);
        clock.put_forward(MINUTE);
        assert_eq!(status(&transport).await, 200);
        assert!(transport.credentials_problem().is_some());
        folder.write("tls.key", &weak.key_pem);
        clock.put_forward(10 * SECOND);
        assert_eq!(status(&transport).await, 403, "a new connection shows the new one");
        assert_eq!(transport.credentials_problem(), None);
    });
}

#[test]
fn in_cluster() {
    run(async {
        let (server, folder) = (server(), Folder::new("pod"));
        folder.write("token", "one\n");
        folder.write("ca.crt", &server.ca_pem().unwrap());
        folder.write("namespace", "default");
        let source = InCluster::from_env(|name| match name {
            "KUBERNETES_SERVICE_HOST" => Some(server.address().ip().to_string()),
            "KUBERNETES_SERVICE_PORT" => Some(server.address().port().to_string()),
            _ => None,
        });
        let source = CredentialSource::InCluster(source.unwrap().in_directory(folder.path()));
        let lease = Lease::builder(config("a", 15 * SECOND)).credentials(source).spawn().unwrap();
        assert_eq!(lease.acquire().await, Ok(true));
        lease.shutdown().await.unwrap();
    });
}

#[test]
fn setup_errors_say_what_and_no_secrets() {
    run(async {
        let folder = Folder::new("setup");
        let spawn = |source| Lease::builder(config("a", 15 * SECOND)).credentials(source).spawn();
        let url = "https://127.0.0.1:1";

        let missing = explicit(url, None, token_file(folder.path().join("nothing")));
        let error = spawn(missing).unwrap_err();
        assert!(matches!(error, SetupError::Credentials(_)), "{error:?}");
        assert!(chain(&error).contains("nothing"), "{}", chain(&error));

        let bad = explicit(url, None, token_file(folder.write("token", "s3cr3t with blanks")));
        let error = spawn(bad).unwrap_err();
        assert!(!format!("{error:?} {}", chain(&error)).contains("s3cr3t"));

        let server = server();
        let one = server.issue_client_certificate("one", &[]).unwrap();
        let two = server.issue_client_certificate("two", &[]).unwrap();
        let mixed = AuthenticationSource::ClientCertificate {
            chain: Piece::Inline(CertificateChain::from_pem(one.certificate_pem.as_bytes()).unwrap()),
            key: Piece::Inline(PrivateKey::from_pem(two.key_pem.as_bytes()).unwrap()),
        };
        let error = spawn(explicit(url, ca(&server), mixed)).unwrap_err();
        assert!(matches!(error, SetupError::Tls(_)), "{error:?}");

        let inline = explicit(url, ca(&server), wire_support::token("s3cr3t"));
        let builder = Lease::builder(config("a", 15 * SECOND)).credentials(inline).proxy("http://u:s3cr3t@p");
        assert!(!format!("{builder:?}").contains("s3cr3t"));
    });
}

#[cfg(unix)]
#[test]
fn files_that_hang_do_not_keep_renewals_waiting() {
    run(async {
        let (server, folder, clock) = (server(), Folder::new("hang"), ShiftedClock::default());
        let path = folder.write("token", "one");
        let source = explicit(&server.url(), ca(&server), token_file(path.clone()));
        let transport = SurfTransport::builder(source).clock(clock.clone()).build().unwrap();
        assert_eq!(status(&transport).await, 404);
        // Opening a pipe that nobody writes to blocks.
        std::fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        clock.put_forward(MINUTE);
        let request = http::Request::get(wire_support::LEASE).body(bytes::Bytes::new()).unwrap();
        let call = lease_async_std::Call::new(request, 4 * SECOND, 1 << 20);
        let response = transport.send(call).await;
        assert_eq!(response.unwrap().status(), 404);
        // Let the thread go.
        std::fs::write(&path, "one").unwrap();
    });
}
