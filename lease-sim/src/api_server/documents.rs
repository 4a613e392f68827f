//! Documents that depend on the path alone: health, version, discovery, metrics.

use super::status::{Details, Failure, Refusal};
use super::{ApiServer, Call, Reply};
use bytes::Bytes;
use http::{Method, StatusCode};

const VERSION: &str = r#"{"major":"1","minor":"20","gitVersion":"v1.20.2","gitCommit":"","gitTreeState":"","buildDate":"1970-01-01T00:00:00Z","goVersion":"","compiler":"","platform":"model"}"#;
const API: &str = r#"{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[]}"#;
const GROUPS: &str = r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"authorization.k8s.io","versions":[{"groupVersion":"authorization.k8s.io/v1","version":"v1"}],"preferredVersion":{"groupVersion":"authorization.k8s.io/v1","version":"v1"}},{"name":"coordination.k8s.io","versions":[{"groupVersion":"coordination.k8s.io/v1","version":"v1"}],"preferredVersion":{"groupVersion":"coordination.k8s.io/v1","version":"v1"}}]}"#;
const GROUP: &str = r#"{"kind":"APIGroup","apiVersion":"v1","name":"coordination.k8s.io","versions":[{"groupVersion":"coordination.k8s.io/v1","version":"v1"}],"preferredVersion":{"groupVersion":"coordination.k8s.io/v1","version":"v1"}}"#;
const REVIEW_GROUP: &str = r#"{"kind":"APIGroup","apiVersion":"v1","name":"authorization.k8s.io","versions":[{"groupVersion":"authorization.k8s.io/v1","version":"v1"}],"preferredVersion":{"groupVersion":"authorization.k8s.io/v1","version":"v1"}}"#;
const CORE: &str = r#"{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"namespaces","singularName":"","namespaced":false,"kind":"Namespace","verbs":["create","delete","get","list"],"shortNames":["ns"]},{"name":"namespaces/finalize","singularName":"","namespaced":false,"kind":"Namespace","verbs":["update"]}]}"#;
const LEASE_RESOURCES: &str = r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"coordination.k8s.io/v1","resources":[{"name":"leases","singularName":"","namespaced":true,"kind":"Lease","verbs":["create","delete","deletecollection","get","list","patch","update","watch"]}]}"#;
const REVIEW_RESOURCES: &str = r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"authorization.k8s.io/v1","resources":[{"name":"selfsubjectaccessreviews","singularName":"","namespaced":false,"kind":"SelfSubjectAccessReview","verbs":["create"]}]}"#;

impl ApiServer {
    pub(super) fn document(&self, call: &Call<'_>, path: &str) -> Result<Reply, Refusal> {
        let public = matches!(path, "/healthz" | "/livez" | "/readyz" | "/version");
        let discovery =
            path == "/api" || path == "/apis" || path.starts_with("/api/") || path.starts_with("/apis/");
        let allowed =
            public || (discovery && self.is_authenticated(&call.user)) || self.may_do_everything(&call.user);
        let verb = call.method.as_str().to_ascii_lowercase();
        if !allowed {
            let why = format!(
                "forbidden: User \"{}\" cannot {verb} path \"{path}\"",
                call.user.name
            );
            let mut failure = Failure::plain(StatusCode::FORBIDDEN, "Forbidden", why);
            failure.details = Some(Details::default());
            return Err(failure);
        }
        if call.method != Method::GET {
            return Err(super::not_allowed());
        }
        let json = |text: &'static str| Ok(Reply::Json(StatusCode::OK, Bytes::from_static(text.as_bytes())));
        match path {
            "/healthz" | "/livez" | "/readyz" => Ok(Reply::Text(Bytes::from_static(b"ok"))),
            "/version" => json(VERSION),
            "/metrics" => Ok(Reply::Text(self.counts.text())),
            "/api" => json(API),
            "/apis" => json(GROUPS),
            "/api/v1" => json(CORE),
            "/apis/coordination.k8s.io" => json(GROUP),
            "/apis/authorization.k8s.io" => json(REVIEW_GROUP),
            "/apis/coordination.k8s.io/v1" => json(LEASE_RESOURCES),
            "/apis/authorization.k8s.io/v1" => json(REVIEW_RESOURCES),
            _ => Err(Failure::unknown_path()),
        }
    }
}
