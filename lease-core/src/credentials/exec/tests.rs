//! What plugins answer, and when they are run.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::credentials::*;
use crate::{MonoTime, Now, WallTime};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
const V1: &str = "client.authentication.k8s.io/v1";
/// 2026-01-01T00:00:00Z.
const EPOCH: i64 = 1_767_225_600_000_000;

fn source() -> CredentialSource {
    with_ca(None)
}

fn with_ca(ca: Option<Piece<CaBundle>>) -> CredentialSource {
    let plugin = ExecPlugin::new(ExecApiVersion::V1, "get-token").provide_cluster_info();
    let server = "https://a".parse().unwrap();
    CredentialSource::Explicit(Explicit::new(server, ca, AuthenticationSource::Exec(plugin)).unwrap())
}

fn credential(status: Value) -> Value {
    json!({ "apiVersion": V1, "kind": "ExecCredential", "status": status })
}

fn printed(stdout: impl ToString) -> FileContents {
    let mut contents = FileContents::new();
    contents.insert_exec(Ok(stdout.to_string()));
    contents
}

/// A token that expires so many seconds after [`EPOCH`].
fn token(token: &str, expires: i64) -> FileContents {
    let mut text = String::new();
    crate::timestamp::write(WallTime::from_micros(EPOCH + expires * 1_000_000), &mut text);
    printed(credential(json!({ "token": token, "expirationTimestamp": text })))
}

fn lasting(token: &str) -> FileContents {
    printed(credential(json!({ "token": token })))
}

fn failed(failure: ExecFailure) -> FileContents {
    let mut contents = FileContents::new();
    contents.insert_exec(Err::<Vec<u8>, _>(failure));
    contents
}

/// Both clocks so many seconds after the start.
fn at(seconds: u64) -> Now {
    apart(seconds, 0)
}

/// The same with a wall clock that is so many seconds ahead.
fn apart(seconds: u64, ahead: i64) -> Now {
    let wall = WallTime::from_micros(EPOCH).offset_by(ahead * 1_000_000);
    Now {
        mono: MonoTime::from_nanos(seconds * 1_000_000_000),
        wall: wall.saturating_add(Duration::from_secs(seconds)),
    }
}

fn start(contents: &FileContents) -> Result<Rotation, CredentialError> {
    Rotation::start(source(), contents, RotationPolicy::default(), at(0))
}

fn problem<T: Debug>(result: Result<T, CredentialError>) -> ExecProblem {
    match result {
        Err(CredentialError::Exec { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

fn run(rotation: &mut Rotation, now: Now, contents: &FileContents) -> (Change, usize) {
    assert!(rotation.is_due(now) && rotation.command(now, &FileContents::new()).is_some(), "{now:?}");
    let reread = rotation.reread(now, contents);
    let came = (reread.change(), reread.problems().len());
    rotation.accept(reread);
    came
}

/// Due at this second and not a second before.
fn due(rotation: &Rotation, second: u64) {
    assert_eq!(rotation.due_at(), Some(Duration::from_secs(second)));
    assert!(!rotation.is_due(at(second - 1)) && rotation.is_due(at(second)));
}

fn bearer(rotation: &Rotation) -> String {
    rotation.credentials().authorization().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn tokens_and_certificates_are_taken() {
    let resolve = |status| source().resolve(&printed(credential(status)));
    let credentials = resolve(json!({ "token": "s3cr3t\n" })).unwrap();
    assert_eq!(credentials.authorization().unwrap(), "Bearer s3cr3t");
    assert_eq!((credentials.client_certificate(), credentials.expires_at()), (None, None));
    let pair = json!({ "clientCertificateData": CERTIFICATE, "clientKeyData": KEY, "token": "" });
    let credentials = resolve(pair.clone()).unwrap();
    assert_eq!(credentials.client_certificate().unwrap().key.secret_pem(), KEY.as_bytes());
    assert_eq!(credentials.authorization(), None);
    let mut both = pair;
    both["token"] = json!("s3cr3t");
    both["expirationTimestamp"] = json!("2026-01-01T01:00:00+01:00");
    let credentials = resolve(both).unwrap();
    assert_eq!(credentials.authorization().unwrap(), "Bearer s3cr3t");
    assert_eq!(credentials.client_certificate().unwrap().chain.pem(), CERTIFICATE.as_bytes());
    assert_eq!(credentials.expires_at(), Some(WallTime::from_micros(EPOCH)));
    assert!(!format!("{credentials:?}").contains("s3cr3t"));
}

#[test]
fn other_answers_are_refused_with_the_reason() {
    let status = |status| credential(status).to_string();
    let good = status(json!({ "token": "s3cr3t" }));
    // Columns are the JSON parser's affair.
    let json_error = |line| ExecProblem::NotJson { line, column: 0 };
    for (stdout, expected) in [
        (String::new(), json_error(1)),
        ("s3cr3t".into(), json_error(1)),
        ("\"s3cr3t\"".into(), json_error(1)),
        (good.replace("\"s3cr3t\"", "7"), json_error(1)),
        (format!("Logged in\n{good}"), json_error(1)),
        (format!("{good}\ns3cr3t"), json_error(2)),
        (good[..good.len() - 4].to_owned(), json_error(1)),
        (good.replace("ExecCredential", "s3cr3t"), ExecProblem::Kind),
        (good.replace("kind", "s3cr3t"), ExecProblem::Kind),
        (good.replace("/v1", "/v1beta1"), ExecProblem::ApiVersion { asked: ExecApiVersion::V1 }),
        (good.replace("apiVersion", "s3cr3t"), ExecProblem::ApiVersion { asked: ExecApiVersion::V1 }),
        (good.replace("status", "s3cr3t"), ExecProblem::NoCredentials),
        (status(json!({})), ExecProblem::NoCredentials),
        (status(json!(null)), ExecProblem::NoCredentials),
        (status(json!({ "token": "", "clientKeyData": "" })), ExecProblem::NoCredentials),
        (status(json!({ "token": "s3cr3t", "clientKeyData": KEY })), ExecProblem::HalfACertificate),
        (status(json!({ "clientCertificateData": "s3cr3t" })), ExecProblem::HalfACertificate),
        (
            status(json!({ "token": "s3cr3t s3cr3t" })),
            ExecProblem::Token(TokenProblem::NotVisibleAscii { at: 6 }),
        ),
        (
            status(json!({ "clientCertificateData": "s3cr3t", "clientKeyData": KEY })),
            ExecProblem::Certificate(PemProblem::NoCertificate),
        ),
        (
            status(json!({ "clientCertificateData": CERTIFICATE, "clientKeyData": "s3cr3t" })),
            ExecProblem::Key(PemProblem::NoKey),
        ),
        (status(json!({ "token": "s3cr3t", "expirationTimestamp": "s3cr3t" })), ExecProblem::Timestamp),
        (status(json!({ "token": "s3cr3t", "expirationTimestamp": "" })), ExecProblem::Timestamp),
        ("s3cr3t".repeat(MAX_EXEC_BYTES / 6 + 1), ExecProblem::TooLarge),
    ] {
        let result = source().resolve(&printed(&stdout));
        let error = result.clone().unwrap_err();
        assert!(!format!("{error}{error:?}{:?}", printed(&stdout)).contains("s3cr3t"), "{error}");
        assert!(error.to_string().starts_with("exec plugin get-token "), "{error}");
        let found = match problem(result) {
            ExecProblem::NotJson { line, .. } => json_error(line),
            found => found,
        };
        assert_eq!(found, expected, "{}", &stdout[..stdout.len().min(200)]);
    }
    for failure in [ExecFailure::TimedOut, ExecFailure::Exit(None), ExecFailure::NotStarted(ErrorKind::Other)]
    {
        assert_eq!(problem(source().resolve(&failed(failure))), ExecProblem::Failed(failure));
    }
    assert_eq!(problem(source().resolve(&FileContents::new())), ExecProblem::NotRun);
    let beta = ExecPlugin::new(ExecApiVersion::V1Beta1, "get-token");
    let server = "https://a".parse().unwrap();
    let beta =
        CredentialSource::Explicit(Explicit::new(server, None, AuthenticationSource::Exec(beta)).unwrap());
    assert!(beta.resolve(&printed(good.replace("/v1", "/v1beta1"))).is_ok());
    let asked = ExecApiVersion::V1Beta1;
    assert_eq!(problem(beta.resolve(&printed(good))), ExecProblem::ApiVersion { asked });
}

#[test]
fn secrets_do_not_go_where_they_are_not_protected() {
    let plugin = || AuthenticationSource::Exec(ExecPlugin::new(ExecApiVersion::V1, "get-token"));
    let explicit = |url: &str| Explicit::new(url.parse().unwrap(), None, plugin());
    assert!(matches!(explicit("http://a"), Err(CredentialError::PlainHttpToken { .. })));
    let loopback = CredentialSource::Explicit(explicit("http://127.0.0.1").unwrap());
    assert!(loopback.resolve(&lasting("s3cr3t")).is_ok());
    let pair = printed(credential(json!({ "clientCertificateData": CERTIFICATE, "clientKeyData": KEY })));
    let refused = loopback.resolve(&pair);
    assert!(matches!(refused, Err(CredentialError::PlainHttpClientCertificate { .. })), "{refused:?}");
}

#[test]
fn a_plugin_runs_again_before_what_it_gave_expires() {
    // A fifth of the life is left, at most two minutes.
    for (life, again) in [(60, 48), (600, 480), (900, 780), (3600, 3480)] {
        let rotation = start(&token("one", life)).unwrap();
        due(&rotation, again);
    }
    let mut rotation = start(&token("one", 900)).unwrap();
    assert_eq!(rotation.command(at(779), &FileContents::new()), None);
    assert_eq!(run(&mut rotation, at(780), &token("two", 1680)), (Change::Token, 0));
    assert_eq!(bearer(&rotation), "Bearer two");
    due(&rotation, 1560);
    // A plugin with a cache of its own gives the same until that runs out: it is asked again, not too often.
    assert_eq!(run(&mut rotation, at(1580), &token("two", 1680)), (Change::Nothing, 0));
    due(&rotation, 1660);
    assert_eq!(run(&mut rotation, at(1660), &token("two", 1680)), (Change::Nothing, 0));
    due(&rotation, 1676);
    assert_eq!(run(&mut rotation, at(1676), &token("two", 1680)), (Change::Nothing, 0));
    due(&rotation, 1686);
    // A certificate is another matter for the HTTP client, and so is a new kind of answer.
    let pair = printed(credential(json!({ "clientCertificateData": CERTIFICATE, "clientKeyData": KEY })));
    assert_eq!(run(&mut rotation, at(1686), &pair), (Change::Client, 0));
    assert_eq!(rotation.credentials().authorization(), None);
    assert_eq!((rotation.due_at(), rotation.is_due(at(1 << 30))), (None, false), "good until a 401");
}

#[test]
fn an_expiry_that_is_new_counts_although_nothing_else_is() {
    let mut rotation = start(&token("one", 900)).unwrap();
    let reread = rotation.reread(at(780), &token("one", 1680));
    assert_eq!(reread.change(), Change::Nothing);
    drop(reread);
    due(&rotation, 1560);
}

#[test]
fn a_wall_clock_that_is_set_right_counts() {
    // The clock was an hour slow when the token came, so it seemed to last longer.
    let slow = Now { wall: WallTime::from_micros(EPOCH).offset_by(-3_600_000_000), ..at(0) };
    let policy = RotationPolicy::default();
    let rotation = Rotation::start(source(), &token("one", 900), policy, slow).unwrap();
    assert_eq!(rotation.due_at(), Some(Duration::from_secs(3600 + 780)));
    assert!(!rotation.is_due(apart(5, -3600)) && !rotation.is_due(apart(779, 0)));
    assert!(
        rotation.is_due(apart(780, 0)) && rotation.command(apart(780, 0), &FileContents::new()).is_some()
    );
    // And one that goes wrong does not make it run over and over.
    let mut rotation = start(&token("one", 900)).unwrap();
    assert!(!rotation.is_due(apart(9, 100_000)) && rotation.is_due(apart(10, 100_000)));
    let expired = rotation.reread(apart(10, 100_000), &token("two", 1800));
    assert!(matches!(
        expired.problems(),
        [CredentialError::Exec { problem: ExecProblem::Expired { .. }, .. }]
    ));
    rotation.accept(expired);
    assert!(!rotation.is_due(apart(19, 100_000)) && rotation.is_due(apart(20, 100_000)));
    assert_eq!(bearer(&rotation), "Bearer one");
}

#[test]
fn without_a_wall_clock_credentials_are_good_until_a_401() {
    let (policy, mono) = (RotationPolicy::default(), Duration::from_secs);
    let mut rotation = Rotation::start(source(), &token("one", -5), policy, mono(0)).unwrap();
    assert_eq!(rotation.due_at(), None);
    rotation.unauthorized();
    assert!(rotation.is_due(mono(1)) && rotation.command(mono(1), &FileContents::new()).is_some());
}

#[test]
fn what_has_expired_on_arrival_is_refused() {
    let ago = |seconds| ExecProblem::Expired { ago: Duration::from_secs(seconds) };
    assert_eq!(problem(start(&token("one", -5))), ago(5));
    assert_eq!(problem(start(&token("one", 0))), ago(0), "half-open");
    assert!(start(&token("one", 1)).is_ok());
    let mut rotation = start(&token("one", 900)).unwrap();
    let reread = rotation.reread(at(780), &token("two", 700));
    let error = reread.problems()[0].to_string();
    assert!(error.contains("expired 80 s ago"), "{error}");
    assert_eq!(reread.change(), Change::Nothing);
    rotation.accept(reread);
    assert_eq!(bearer(&rotation), "Bearer one");
    due(&rotation, 790);
}

#[test]
fn a_401_runs_it_once_at_once() {
    let mut rotation = start(&lasting("one")).unwrap();
    assert_eq!(rotation.due_at(), None);
    rotation.unauthorized();
    due(&rotation, 1);
    assert_eq!(run(&mut rotation, at(100), &lasting("two")), (Change::Token, 0));
    assert_eq!(rotation.due_at(), None);
    // Refused again: it has just run for that reason, so not at once.
    rotation.unauthorized();
    due(&rotation, 110);
    assert_eq!(run(&mut rotation, at(110), &lasting("two")), (Change::Nothing, 0));
    rotation.unauthorized();
    due(&rotation, 120);
    assert_eq!(run(&mut rotation, at(5000), &token("three", 5600)), (Change::Token, 0));
    due(&rotation, 5480);
    // After a run for another reason a 401 counts at once again.
    assert_eq!(run(&mut rotation, at(5480), &lasting("four")), (Change::Token, 0));
    rotation.unauthorized();
    due(&rotation, 5481);
}

#[test]
fn a_401_is_not_forgotten_when_the_run_for_it_fails() {
    for first in [lasting("one"), token("one", 900)] {
        let mut rotation = start(&first).unwrap();
        rotation.unauthorized();
        assert_eq!(run(&mut rotation, at(1), &failed(ExecFailure::TimedOut)), (Change::Nothing, 1));
        due(&rotation, 11);
        drop(rotation.reread(at(11), &lasting("not brought into use")));
        due(&rotation, 21);
        assert_eq!(run(&mut rotation, at(21), &lasting("two")), (Change::Token, 0));
        assert_eq!(rotation.due_at(), None);
    }
}

#[test]
fn a_run_that_fails_leaves_what_is_there_and_comes_again_soon() {
    let mut rotation = start(&token("one", 900)).unwrap();
    for (now, contents) in
        [(780, failed(ExecFailure::TimedOut)), (790, printed("s3cr3t")), (800, lasting(""))]
    {
        assert_eq!(run(&mut rotation, at(now), &contents), (Change::Nothing, 1));
        assert_eq!(bearer(&rotation), "Bearer one");
        due(&rotation, now + 10);
    }
    assert_eq!(run(&mut rotation, at(810), &token("two", 1710)), (Change::Token, 0));
    due(&rotation, 1590);
    // A client that cannot be built from it: the same.
    let pair = printed(credential(json!({ "clientCertificateData": CERTIFICATE, "clientKeyData": KEY })));
    drop(rotation.reread(at(1590), &pair));
    assert_eq!(bearer(&rotation), "Bearer two");
    due(&rotation, 1600);
}

#[test]
fn files_and_a_plugin_keep_their_own_pace() {
    let ca_file = |number: u8, mut contents: FileContents| {
        let pem = CERTIFICATE.replace("MIIB", &format!("MI{number:02}"));
        contents.insert(FileRole::CertificateAuthority, Ok(pem));
        contents
    };
    let source = with_ca(Some(Piece::File("/ca.crt".into())));
    let policy = RotationPolicy::default();
    let first = ca_file(1, token("one", 900));
    let mut rotation = Rotation::start(source, &first, policy, at(0)).unwrap();
    due(&rotation, 60);
    assert_eq!(rotation.command(at(60), &FileContents::new()), None, "files only");
    let reread = rotation.reread(at(60), &ca_file(2, FileContents::new()));
    assert_eq!((reread.change(), reread.problems()), (Change::Client, [].as_slice()));
    rotation.accept(reread);
    assert_eq!((bearer(&rotation).as_str(), rotation.files().len()), ("Bearer one", 1));
    assert_eq!(rotation.credentials().expires_at(), Some(WallTime::from_micros(EPOCH + 900_000_000)));
    // A failed connection is no reason to run it, a 401 is.
    rotation.doubt();
    assert!(rotation.is_due(at(61)) && rotation.command(at(61), &FileContents::new()).is_none());
    rotation.unauthorized();
    let told = |contents: &FileContents| {
        let command = rotation.command(at(61), contents).unwrap();
        let info: Value = serde_json::from_str(&command.env()[0].1).unwrap();
        info["spec"]["cluster"]["certificate-authority-data"].as_str().unwrap().to_owned()
    };
    // It is told the authority that was just read, or the one in use.
    assert_ne!(told(&ca_file(3, FileContents::new())), told(&FileContents::new()));
    assert_eq!(told(&ca_file(2, FileContents::new())), told(&FileContents::new()));
    // Files are due again soon after one could not be read, the plugin is not.
    let reread = rotation.reread(at(61), &token("two", 961));
    assert_eq!((reread.change(), reread.problems().len()), (Change::Token, 1));
    rotation.accept(reread);
    due(&rotation, 71);
    assert_eq!(rotation.command(at(71), &FileContents::new()), None);
    assert_eq!(bearer(&rotation), "Bearer two");
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic_or_is_repeated(
        before in prop::collection::vec(any::<u8>(), 0..60),
        secret in "[a-z]{16}",
        after in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut contents = FileContents::new();
        contents.insert_exec(Ok([&*before, secret.as_bytes(), &after].concat()));
        if let Err(error) = source().resolve(&contents) {
            prop_assert!(!format!("{error} {error:?}").contains(&secret), "{error}");
        }
    }

    /// Random walks: runs keep their distance, and what is in use was not expired when it came.
    #[test]
    fn a_schedule_keeps_its_promises(
        steps in prop::collection::vec((0u64..400, any::<bool>(), -100i64..900, 0u8..4), 1..60),
    ) {
        let mut rotation = start(&token("t", 900)).unwrap();
        let (mut now, mut last, mut refused_before, mut expiry) = (0, 0, false, 900);
        for (wait, refused, life, outcome) in steps {
            now += wait;
            if refused {
                rotation.unauthorized();
            }
            let Some(due) = rotation.due_at() else { panic!("it always expires") };
            let gap = if refused && !refused_before { 1 } else { 10 };
            prop_assert!(due >= Duration::from_secs(last + gap));
            // Nothing is used beyond its expiry, unless runs are too near or fail.
            prop_assert!(!rotation.is_due(at(now)) || now >= last + gap);
            prop_assert!(refused || rotation.is_due(at(now)) || (now as i64) < expiry || now < last + 10);
            if !rotation.is_due(at(now)) {
                // The refusal still stands; take it back to keep this simple.
                if refused {
                    now = last + gap;
                } else {
                    continue;
                }
            }
            let contents = match outcome {
                0 => failed(ExecFailure::TimedOut),
                _ => token(&format!("t{now}"), now as i64 + life),
            };
            let gives = outcome != 0 && life > 0;
            let reread = rotation.reread(at(now), &contents);
            prop_assert_eq!(reread.problems().len(), usize::from(!gives));
            rotation.accept(reread);
            (last, refused_before) = (now, refused);
            if gives {
                expiry = now as i64 + life;
            }
            let in_use = rotation.credentials().expires_at();
            prop_assert_eq!(in_use, Some(WallTime::from_micros(EPOCH + expiry * 1_000_000)));
        }
    }
}
