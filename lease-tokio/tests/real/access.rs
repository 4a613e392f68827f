//! Who may do what: tokens, certificates, roles, namespaces.

use std::time::Duration;

use crate::adapter::{
    AcquireError, AuthenticationSource, BearerToken, Config, ConfigBuilder, CredentialSource, Lease,
    LostReason, Piece, Problem, ReleaseOutcome, Verb,
};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;

use crate::cluster::{Fixture, skipped, transport, unique};
use crate::support::counting::{Counting, Log};
use crate::support::{Losses, config, eventually, ms, text};

const TTL: Duration = Duration::from_secs(2);

fn spawn(config: Config, credentials: CredentialSource) -> Lease {
    Lease::builder(config).credentials(credentials).spawn().unwrap()
}

async fn problem(lease: &Lease) -> Problem {
    match lease.acquire().await {
        Err(AcquireError::Remote(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

pub async fn a_wrong_token_is_an_error_that_says_so() {
    let fixture = Fixture::new("wrong-token").await;
    let lease = spawn(fixture.config("a", TTL).build().unwrap(), fixture.cluster.with_token("not-a-token"));
    let problem = problem(&lease).await;
    assert_eq!(problem, Problem::Unauthorized);
    assert!(problem.to_string().contains("check token or certificate"), "{problem}");
    assert!(!lease.check_alive());
    fixture.clean_up().await;
}

pub async fn no_credentials_at_all_are_an_error() {
    let fixture = Fixture::new("anonymous").await;
    let lease = spawn(
        fixture.config("a", TTL).build().unwrap(),
        fixture.cluster.credentials(AuthenticationSource::None),
    );
    // Clusters differ in whether strangers are unknown or have no rights.
    let problem = problem(&lease).await;
    assert!(
        matches!(problem, Problem::Unauthorized | Problem::Forbidden { verb: Verb::Get, .. }),
        "{problem:?}"
    );
    fixture.clean_up().await;
}

pub async fn without_any_right_the_missing_verb_is_get() {
    let fixture = Fixture::new("nobody").await;
    let Some(token) = fixture.cluster.nobody_token.clone() else {
        return skipped("LEASE_TEST_NOBODY_TOKEN is not set");
    };
    let lease = spawn(fixture.config("a", TTL).build().unwrap(), fixture.cluster.with_token(&token));
    let problem = problem(&lease).await;
    assert!(matches!(problem, Problem::Forbidden { verb: Verb::Get, .. }), "{problem:?}");
    let text = problem.to_string();
    assert!(text.contains("\"get\"") && text.contains("\"leases\"") && text.contains("cannot get"), "{text}");
    fixture.clean_up().await;
}

/// A user with these verbs on leases, by a role of its own, and a holder that is this user. The user is
/// impersonated by the administrator.
pub struct Limited {
    pub user: String,
    pub log: Log,
    pub lease: Lease,
}

impl Limited {
    async fn new(fixture: &Fixture, verbs: &[&str]) -> Self {
        Self::with(fixture, verbs, &[], |config| config).await
    }

    /// On the leases of these names only, if any are given, and with a configuration that is changed. What is created
    /// has no name yet, as far as RBAC knows.
    pub async fn with(
        fixture: &Fixture,
        verbs: &[&str],
        names: &[&str],
        change: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
    ) -> Self {
        let user = unique("user");
        let admin = &fixture.cluster.admin;
        let namespace = &fixture.cluster.namespace;
        let group = "rbac.authorization.k8s.io";
        let roles = Self::roles(namespace);
        let rule = |names: &[&str], verbs: &[&str]| {
            json!({
                "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                "resourceNames": names, "verbs": verbs,
            })
        };
        let (creates, others): (Vec<_>, Vec<_>) = verbs.iter().partition(|verb| **verb == "create");
        let rules: Vec<_> = [rule(&[], &creates), rule(names, &others)]
            .into_iter()
            .filter(|rule| rule["verbs"] != json!([]))
            .collect();
        let role = json!({
            "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": { "name": user }, "rules": rules,
        });
        admin.post(&format!("{roles}/roles"), &role).await.ok();
        let binding = json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": { "name": user },
            "subjects": [{ "apiGroup": group, "kind": "User", "name": user }],
            "roleRef": { "apiGroup": group, "kind": "Role", "name": user },
        });
        admin.post(&format!("{roles}/rolebindings"), &binding).await.ok();
        // The server sees a new binding a moment after it is stored.
        for verb in verbs {
            let name = names.first().copied().unwrap_or_default();
            let granted = || async { admin.may_to(&user, verb, namespace, name).await.then_some(()) };
            eventually("the role is in force", ms(10_000), granted).await;
        }

        let log = Log::default();
        let mut headers = HeaderMap::new();
        headers.insert("impersonate-user", HeaderValue::from_str(&user).unwrap());
        let credentials = fixture.cluster.with_token(&fixture.cluster.admin_token);
        let transport = Counting::new(transport(credentials), &log).headers(headers);
        let config = change(fixture.config("a", TTL)).build().unwrap();
        let lease = Lease::builder(config).transport(transport).spawn().unwrap();
        Self { user, log, lease }
    }

    fn roles(namespace: &str) -> String {
        format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}")
    }

    pub async fn clean_up(self, fixture: Fixture) {
        let roles = Self::roles(&fixture.cluster.namespace);
        for kind in ["rolebindings", "roles"] {
            fixture.cluster.admin.delete(&format!("{roles}/{kind}/{}", self.user)).await.ok();
        }
        fixture.clean_up().await;
    }
}

fn assert_forbidden(problem: Option<&Problem>, wanted: Verb) {
    match problem {
        Some(Problem::Forbidden { verb, message }) => {
            assert_eq!(*verb, wanted);
            assert!(message.as_str().contains(&format!("cannot {wanted}")), "the server said: {message}");
        }
        other => panic!("{other:?}"),
    }
}

pub async fn without_create_the_missing_verb_is_create() {
    let fixture = Fixture::new("no-create").await;
    let limited = Limited::new(&fixture, &["get", "update", "delete"]).await;
    assert_forbidden(Some(&problem(&limited.lease).await), Verb::Create);
    assert_eq!(limited.log.line(), "GET 404, POST 403");
    // Enough for an object that is there.
    fixture.create(json!({})).await;
    assert!(limited.lease.acquire().await.unwrap());
    assert_eq!(limited.lease.release().await, Ok(ReleaseOutcome::Confirmed));
    limited.clean_up(fixture).await;
}

pub async fn without_update_a_term_is_not_renewed_and_the_missing_verb_is_update() {
    let fixture = Fixture::new("no-update").await;
    let limited = Limited::new(&fixture, &["get", "create", "delete"]).await;
    let losses = Losses::of(&limited.lease);
    assert!(limited.lease.acquire().await.unwrap(), "creating is allowed");
    match losses.one(2 * TTL).await {
        LostReason::Expired { last } => assert_forbidden(last.as_ref(), Verb::Update),
        other => panic!("{other:?}"),
    }
    assert!(!limited.lease.check_alive());
    limited.clean_up(fixture).await;
}

pub async fn without_delete_a_release_is_unconfirmed_and_the_missing_verb_is_delete() {
    let fixture = Fixture::new("no-delete").await;
    let limited = Limited::new(&fixture, &["get", "create", "update"]).await;
    assert!(limited.lease.acquire().await.unwrap());
    match limited.lease.release().await.unwrap() {
        ReleaseOutcome::Unconfirmed { last, .. } => assert_forbidden(last.as_ref(), Verb::Delete),
        other => panic!("{other:?}"),
    }
    assert_eq!(limited.log.line(), "GET 404, POST 201, DELETE 403", "not asked again");
    assert_eq!(fixture.object().await["spec"]["holderIdentity"], "a", "it expires by itself");
    limited.clean_up(fixture).await;
}

pub async fn the_four_documented_verbs_are_enough_for_everything() {
    let fixture = Fixture::new("four-verbs").await;
    let limited = Limited::new(&fixture, &["get", "create", "update", "delete"]).await;
    for verb in ["list", "watch", "patch", "deletecollection"] {
        assert!(!fixture.cluster.admin.may(&limited.user, verb, &fixture.cluster.namespace).await, "{verb}");
    }
    assert!(limited.lease.acquire().await.unwrap());
    let stored = fixture.object().await;
    fixture.edit(json!({ "metadata": { "labels": { "edited": "yes" } } })).await;
    fixture.renewed_after(&stored, TTL).await;
    assert_eq!(limited.lease.release().await, Ok(ReleaseOutcome::Confirmed));
    let used: Vec<_> = limited.log.all().iter().map(|exchange| exchange.method.clone()).collect();
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
        assert!(used.contains(&method), "{method} was exercised: {used:?}");
    }
    assert!(!limited.log.line().contains("403"), "{}", limited.log.line());
    limited.clean_up(fixture).await;
}

/// The least that RBAC can give: two verbs on one object, by its name.
pub async fn get_and_update_on_one_name_are_enough_for_a_lease_that_others_make() {
    let fixture = Fixture::new("existing-only").await;
    let limited =
        Limited::with(&fixture, &["get", "update"], &[&fixture.name], |it| it.existing_only(true)).await;
    let (admin, namespace) = (&fixture.cluster.admin, &fixture.cluster.namespace);
    for verb in ["create", "delete", "list", "watch", "patch", "deletecollection"] {
        assert!(!admin.may_to(&limited.user, verb, namespace, &fixture.name).await, "{verb}");
    }
    for verb in ["get", "update"] {
        assert!(!admin.may_to(&limited.user, verb, namespace, "another").await, "{verb}");
    }
    let losses = Losses::of(&limited.lease);

    // The object is missing. What the error advises is followed to the letter.
    let missing = problem(&limited.lease).await.to_string();
    assert_eq!(limited.log.line(), "GET 404");
    let manifest = missing.split('\'').nth(1).expect("a manifest in quotes");
    let created = admin.post(&fixture.collection(), &serde_json::from_str(manifest).unwrap()).await.ok();
    assert!(limited.lease.acquire().await.unwrap());
    let quarantine = limited.log.count(&Method::PUT);
    assert!(quarantine >= 3, "a new object is kept for a while: {}", limited.log.line());
    let object = fixture.object().await;
    assert_eq!(object["metadata"]["uid"], created["metadata"]["uid"]);
    assert_eq!(object["metadata"]["annotations"]["lease-core.rs/settled"], created["metadata"]["uid"]);
    fixture.edit(json!({ "metadata": { "labels": { "edited": "yes" } } })).await;
    fixture.renewed_after(&object, TTL).await;

    // It is given back and held again, at once, as often as one likes.
    for _ in 0..3 {
        assert_eq!(limited.lease.release().await, Ok(ReleaseOutcome::Confirmed));
        assert_eq!(text(&fixture.object().await, "/spec/holderIdentity"), "");
        let before = limited.log.all().len();
        assert!(limited.lease.acquire().await.unwrap());
        let methods: Vec<_> = limited.log.all()[before..].iter().map(|it| it.method.clone()).collect();
        assert_eq!(methods, [Method::GET, Method::PUT]);
    }

    // An administrator makes it again, from a copy that names the holder of a live term.
    let copy = fixture.object().await;
    assert_eq!(copy["spec"]["holderIdentity"], "a");
    admin.delete(&fixture.path()).await.ok();
    let again = json!({
        "apiVersion": copy["apiVersion"], "kind": copy["kind"], "spec": copy["spec"],
        "metadata": { "name": fixture.name, "annotations": copy["metadata"]["annotations"] },
    });
    admin.post(&fixture.collection(), &again).await.ok();
    assert_eq!(losses.one(TTL).await, LostReason::Deleted);
    let before = limited.log.count(&Method::PUT);
    limited.lease.campaign().await.unwrap();
    assert!(limited.log.count(&Method::PUT) - before >= 3, "{}", limited.log.line());

    // And now for good.
    let losses = Losses::of(&limited.lease);
    admin.delete(&fixture.path()).await.ok();
    assert_eq!(losses.one(TTL).await, LostReason::Deleted);
    assert!(matches!(problem(&limited.lease).await, Problem::LeaseMissing { .. }));
    assert!(fixture.find().await.is_none(), "nobody made it again");
    let line = limited.log.line();
    assert!(!line.contains("POST") && !line.contains("DELETE") && !line.contains("403"), "{line}");
    limited.clean_up(fixture).await;
}

/// All other tests use the holder's token: this one shows that it has exactly the documented verbs.
pub async fn the_holders_token_has_exactly_the_documented_verbs() {
    let fixture = Fixture::new("holder-token").await;
    if !fixture.cluster.has_holder_token {
        return skipped("LEASE_TEST_HOLDER_TOKEN is not set: holders use the administrator's token");
    }
    let admin = &fixture.cluster.admin;
    let namespace = &fixture.cluster.namespace;
    let token = BearerToken::parse(fixture.cluster.holder_token.as_bytes()).unwrap();
    let holder = admin.with_token(&fixture.cluster.holder_token);
    assert!(!format!("{token:?}").contains(&fixture.cluster.holder_token), "never shown");
    for verb in ["get", "create", "update", "delete"] {
        assert!(holder.i_may(verb, namespace).await, "{verb}");
    }
    for verb in ["list", "watch", "patch", "deletecollection"] {
        assert!(!holder.i_may(verb, namespace).await, "{verb}");
    }
    assert!(!holder.i_may("get", "kube-system").await, "in one namespace only");
    fixture.clean_up().await;
}

pub async fn a_client_certificate_does_what_a_token_does() {
    let fixture = Fixture::new("certificate").await;
    let Some((chain, key)) = fixture.cluster.client_certificate.clone() else {
        return skipped("LEASE_TEST_CLIENT_CERT and LEASE_TEST_CLIENT_KEY are not set");
    };
    let authentication =
        AuthenticationSource::ClientCertificate { chain: Piece::File(chain), key: Piece::File(key) };
    let credentials = fixture.cluster.credentials(authentication);
    let lease = spawn(fixture.config("cert-holder", TTL).build().unwrap(), credentials);
    assert!(lease.acquire().await.unwrap());
    let object = fixture.object().await;
    fixture.renewed_after(&object, TTL).await;
    assert_eq!(lease.release().await, Ok(ReleaseOutcome::Confirmed));
    fixture.clean_up().await;
}

pub async fn a_certificate_of_a_stranger_is_not_trusted() {
    let fixture = Fixture::new("stranger").await;
    // Without our authority the platform's are trusted, and those do not know this server.
    let server = crate::adapter::ServerUrl::parse(&fixture.cluster.server).unwrap();
    let token = BearerToken::parse(fixture.cluster.holder_token.as_bytes()).unwrap();
    let token = AuthenticationSource::Token(Piece::Inline(token));
    let source = CredentialSource::Explicit(crate::adapter::Explicit::new(server, None, token).unwrap());
    let config = fixture.config("a", TTL).acquire_retries(0).build().unwrap();
    let lease = spawn(config, source);
    match lease.acquire().await {
        Err(AcquireError::Remote(Problem::Transport)) => {
            let why = lease.last_transport_error().expect("said in words");
            assert!(why.to_lowercase().contains("certificate"), "{why}");
            assert!(!why.contains(&fixture.cluster.holder_token));
        }
        Ok(true) => {
            lease.shutdown().await.unwrap();
            skipped("this server's authority is one of the platform's");
        }
        other => panic!("{other:?}"),
    }
    fixture.clean_up().await;
}

pub async fn a_missing_namespace_is_an_error_that_says_so() {
    let fixture = Fixture::new("no-namespace").await;
    let settings = config(&unique("nowhere"), &fixture.name, "a", TTL);
    let lease = spawn(settings.build().unwrap(), fixture.cluster.with_token(&fixture.cluster.admin_token));
    assert_eq!(problem(&lease).await, Problem::NamespaceMissing);
    fixture.clean_up().await;
}

pub async fn a_terminating_namespace_is_not_mistaken_for_missing_rights() {
    let fixture = Fixture::new("terminating").await;
    let admin = &fixture.cluster.admin;
    let namespace = unique("terminating");
    let path = format!("/api/v1/namespaces/{namespace}");
    let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
    admin.post("/api/v1/namespaces", &body).await.ok();
    // Something that cannot go keeps the namespace terminating also where controllers run.
    let anchors = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
    let anchor = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "anchor", "finalizers": ["example.com/keep"] }, "spec": {},
    });
    admin.post(&anchors, &anchor).await.ok();
    admin.delete(&path).await.ok();

    let settings = config(&namespace, &fixture.name, "a", TTL);
    let lease = spawn(settings.build().unwrap(), fixture.cluster.with_token(&fixture.cluster.admin_token));
    assert_eq!(problem(&lease).await, Problem::NamespaceTerminating);

    let unhook = json!({ "metadata": { "finalizers": null } });
    admin.patch(&format!("{anchors}/anchor"), &unhook).await.ok();
    admin.delete(&format!("{anchors}/anchor")).await;
    // Where no controller does it.
    let mut stored = admin.get(&path).await;
    if stored.status == 200 {
        stored.body["spec"]["finalizers"] = json!([]);
        admin.put(&format!("{path}/finalize"), &stored.body).await;
    }
    fixture.clean_up().await;
}

crate::on_every_runtime! {
    a_wrong_token_is_an_error_that_says_so
    no_credentials_at_all_are_an_error
    without_any_right_the_missing_verb_is_get
    without_create_the_missing_verb_is_create
    without_update_a_term_is_not_renewed_and_the_missing_verb_is_update
    without_delete_a_release_is_unconfirmed_and_the_missing_verb_is_delete
    the_four_documented_verbs_are_enough_for_everything
    get_and_update_on_one_name_are_enough_for_a_lease_that_others_make
    the_holders_token_has_exactly_the_documented_verbs
    a_client_certificate_does_what_a_token_does
    a_certificate_of_a_stranger_is_not_trusted
    a_missing_namespace_is_an_error_that_says_so
    a_terminating_namespace_is_not_mistaken_for_missing_rights
}
