//! Credentials that follow their files.

use std::time::Duration;

use lease_core::Failure;
use lease_core::credentials::{
    AuthenticationSource, CertificateChain, CredentialSource, InCluster, Piece, PrivateKey,
};
use lease_core::driver::{Adapter, Call, SetupError};

use crate::api_server::Rights;
use crate::conformance::bench::{
    Bench, Folder, LEASE, Seen, ShiftedClock, TOKEN, answered, assert_no_secret, ca, chain, explicit, failed,
    get, ms, token, token_file,
};
use crate::conformance::engine::{Case, cases};
use crate::listener::{ClientCertificate, EmbeddedServer};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "transport",
        an_expired_token_is_replaced_when_asked => "401 is handed over; refresh_credentials reads the file afresh",
        a_token_file_is_read_again_every_minute => "and the connection stays",
        a_file_that_is_missing_for_a_moment_changes_nothing => "nor does one that makes no sense: the old token goes on",
        a_rotated_ca_is_honoured => "soon after a connection failed",
        a_ca_that_was_replaced_is_not_trusted_any_more => "not even on a connection that is open",
        client_certificates_follow_their_files => "both change together, or not at all",
        in_cluster_credentials_work => "address from the environment, token and CA from a folder",
        files_that_hang_do_not_keep_requests_waiting => "the request goes on with what there is",
        setup_errors_say_what_and_no_secrets => "missing files, bad tokens, keys of another certificate",
    ]
}

fn server() -> EmbeddedServer {
    EmbeddedServer::builder().tls(true).token(TOKEN, "holder", Rights::All).start().unwrap()
}

async fn an_expired_token_is_replaced_when_asked<A: Adapter>(bench: Bench<A>) {
    let (server, folder, clock) = (server(), Folder::new("expired"), ShiftedClock::default());
    let path = folder.write("token", TOKEN);
    let transport = bench.transport_by(&clock, explicit(&server.url(), ca(&server), token_file(path)));
    assert_eq!(bench.status(&transport).await, 404);
    server.set_token("two", "holder", Rights::All);
    server.remove_token(TOKEN);
    let refused = answered(bench.get(&transport).await);
    assert_eq!(refused.status(), 401);
    assert!(String::from_utf8_lossy(refused.body()).contains("Unauthorized"));

    // Nothing new yet: it comes back all the same.
    clock.put_forward(SECOND);
    bench.soon("a refresh that finds nothing new", transport.refresh_credentials()).await;
    assert_eq!(bench.status(&transport).await, 401);

    folder.write("token", "two\n");
    // Within a second it may not be read again, so this waits a little.
    bench.soon("a refresh", transport.refresh_credentials()).await;
    assert_eq!(bench.status(&transport).await, 404, "the new token is in use when that is done");
    assert!(server.connections_made() <= 2, "a new token needs no new connection");
}

async fn a_token_file_is_read_again_every_minute<A: Adapter>(bench: Bench<A>) {
    let (server, folder, clock) = (server(), Folder::new("minute"), ShiftedClock::default());
    let path = folder.write("token", &format!("{TOKEN}\n"));
    let transport = bench.transport_by(&clock, explicit(&server.url(), ca(&server), token_file(path)));
    assert_eq!(bench.status(&transport).await, 404);
    server.set_token("two", "holder", Rights::All);
    folder.write("token", "two\n");
    server.remove_token(TOKEN);
    clock.put_forward(MINUTE);
    assert_eq!(bench.status(&transport).await, 404);
    bench.sleep(ms(2)).await;
    assert_eq!(bench.status(&transport).await, 404);
    assert!(server.connections_made() <= 2, "a new token needs no new connection");
}

async fn a_file_that_is_missing_for_a_moment_changes_nothing<A: Adapter>(bench: Bench<A>) {
    let (server, folder, clock) = (server(), Folder::new("missing"), ShiftedClock::default());
    let path = folder.write("token", TOKEN);
    let authority = folder.write("ca.crt", &server.ca_pem().unwrap());
    let source = explicit(&server.url(), Some(Piece::File(authority)), token_file(path.clone()));
    let transport = bench.transport_by(&clock, source);
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(folder.path().join("ca.crt")).unwrap();
    clock.put_forward(MINUTE);
    assert_eq!(bench.status(&transport).await, 404, "the old ones go on");
    folder.write("token", "two tokens");
    folder.write("ca.crt", "no PEM");
    clock.put_forward(MINUTE);
    assert_eq!(bench.status(&transport).await, 404, "the old ones go on");
    bench.soon("a refresh that cannot read", transport.refresh_credentials()).await;
    assert_eq!(bench.status(&transport).await, 404, "the old ones go on");
    server.set_token("two", "holder", Rights::All);
    server.remove_token(TOKEN);
    folder.write("token", "two");
    folder.write("ca.crt", &server.ca_pem().unwrap());
    clock.put_forward(MINUTE);
    assert_eq!(bench.status(&transport).await, 404, "and the new ones are found");
}

async fn a_rotated_ca_is_honoured<A: Adapter>(bench: Bench<A>) {
    let (server, folder, clock) = (server(), Folder::new("ca"), ShiftedClock::default());
    let path = folder.write("ca.crt", &server.ca_pem().unwrap());
    let transport = bench.transport_by(&clock, explicit(&server.url(), Some(Piece::File(path)), token()));
    assert_eq!(bench.status(&transport).await, 404);
    server.rotate_ca().unwrap();
    server.close_connections();
    // The first request may still ride the connection that is being closed.
    let refused = match failed(bench.get(&transport).await) {
        Failure::Unknown => failed(bench.get(&transport).await),
        failure => failure,
    };
    assert_eq!(refused, Failure::NotSent, "nobody vouches for it yet");
    folder.write("ca.crt", &server.ca_pem().unwrap());
    // No minute: a connection that failed is a reason to look.
    clock.put_forward(SECOND);
    assert_eq!(bench.status(&transport).await, 404);
}

async fn a_ca_that_was_replaced_is_not_trusted_any_more<A: Adapter>(bench: Bench<A>) {
    let (server, other) = (server(), server());
    let (folder, clock) = (Folder::new("revoked"), ShiftedClock::default());
    let path = folder.write("ca.crt", &server.ca_pem().unwrap());
    let transport = bench.transport_by(&clock, explicit(&server.url(), Some(Piece::File(path)), token()));
    assert_eq!(bench.status(&transport).await, 404);
    folder.write("ca.crt", &other.ca_pem().unwrap());
    clock.put_forward(MINUTE);
    let seen = Seen::by(&server);
    assert_eq!(failed(bench.get(&transport).await), Failure::NotSent);
    assert_eq!(seen.all().len(), 0, "a request came through");
}

fn files(folder: &Folder, certificate: &ClientCertificate) -> AuthenticationSource {
    AuthenticationSource::ClientCertificate {
        chain: Piece::File(folder.write("tls.crt", &certificate.certificate_pem)),
        key: Piece::File(folder.write("tls.key", &certificate.key_pem)),
    }
}

async fn client_certificates_follow_their_files<A: Adapter>(bench: Bench<A>) {
    let server = EmbeddedServer::builder().client_certificates(true).start().unwrap();
    let (folder, clock) = (Folder::new("certificate"), ShiftedClock::default());
    let admin = server.issue_client_certificate("admin", &["system:masters"]).unwrap();
    let source = explicit(&server.url(), ca(&server), files(&folder, &admin));
    let transport = bench.transport_by(&clock, source);
    assert_eq!(bench.status(&transport).await, 404);

    // A certificate beside the key of its predecessor: the old pair goes on until both are there.
    let nobody = server.issue_client_certificate("nobody", &[]).unwrap();
    folder.write("tls.crt", &nobody.certificate_pem);
    clock.put_forward(MINUTE);
    assert_eq!(bench.status(&transport).await, 404);
    folder.write("tls.key", &nobody.key_pem);
    clock.put_forward(10 * SECOND);
    assert_eq!(bench.status(&transport).await, 403, "a new connection shows the new one");
}

async fn in_cluster_credentials_work<A: Adapter>(bench: Bench<A>) {
    let (server, folder) = (server(), Folder::new("pod"));
    folder.write("token", &format!("{TOKEN}\n"));
    folder.write("ca.crt", &server.ca_pem().unwrap());
    folder.write("namespace", "default");
    let source = InCluster::from_env(|name| match name {
        "KUBERNETES_SERVICE_HOST" => Some(server.address().ip().to_string()),
        "KUBERNETES_SERVICE_PORT" => Some(server.address().port().to_string()),
        _ => None,
    });
    let source = CredentialSource::InCluster(source.unwrap().in_directory(folder.path()));
    let transport = bench.transport(source);
    assert_eq!(bench.status(&transport).await, 404);
}

async fn files_that_hang_do_not_keep_requests_waiting<A: Adapter>(bench: Bench<A>) {
    let (server, folder, clock) = (server(), Folder::new("hang"), ShiftedClock::default());
    let path = folder.write("token", TOKEN);
    let transport =
        bench.transport_by(&clock, explicit(&server.url(), ca(&server), token_file(path.clone())));
    assert_eq!(bench.status(&transport).await, 404);
    // Opening a pipe that nobody writes to blocks.
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if !made.is_ok_and(|status| status.success()) {
        return bench.skip("there is no mkfifo here");
    }
    clock.put_forward(MINUTE);
    let call = Call::new(get(LEASE), ms(2000), 1 << 20);
    let response = answered(bench.soon("an answer although a file hangs", transport.send(call)).await);
    assert_eq!(response.status(), 404);
    // Let the thread go. Opened like this it does not wait for one.
    let mut pipe = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut pipe, TOKEN.as_bytes()).unwrap();
}

async fn setup_errors_say_what_and_no_secrets<A: Adapter>(bench: Bench<A>) {
    let folder = Folder::new("setup");
    let server = server();
    let setup = |how| A::transport(bench.setup(explicit(&server.url(), ca(&server), how))).err();

    let error =
        setup(token_file(folder.path().join("no-such-file"))).expect("a file that is missing is noticed");
    assert!(matches!(error, SetupError::Credentials(_)), "{error:?}");
    assert!(chain(&error).contains("no-such-file"), "{}", chain(&error));

    let error = setup(token_file(folder.write("token", &format!("{TOKEN} with blanks"))));
    let error = error.expect("a token that is none is noticed");
    assert!(matches!(error, SetupError::Credentials(_)), "{error:?}");
    assert_no_secret(&error);

    let one = server.issue_client_certificate("one", &[]).unwrap();
    let two = server.issue_client_certificate("two", &[]).unwrap();
    let error = setup(AuthenticationSource::ClientCertificate {
        chain: Piece::Inline(CertificateChain::from_pem(one.certificate_pem.as_bytes()).unwrap()),
        key: Piece::Inline(PrivateKey::from_pem(two.key_pem.as_bytes()).unwrap()),
    });
    let error = error.expect("the key of another certificate is noticed");
    assert!(matches!(error, SetupError::Tls(_)), "{error:?}");
    let secret = two.key_pem.lines().nth(1).unwrap();
    assert!(!format!("{error:?} {}", chain(&error)).contains(secret), "the key is in the error");
}
