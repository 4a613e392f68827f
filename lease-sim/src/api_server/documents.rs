//! Documents that depend on the path alone: health, version, discovery, metrics.

use super::status::{Details, Failure, Refusal};
use super::{ApiServer, Call, Reply};
use bytes::Bytes;
use http::{Method, StatusCode};

const VERSION: &str = include_str!("documents/version.json");
const API: &str = include_str!("documents/api.json");
const GROUPS: &str = include_str!("documents/apis.json");
const GROUP: &str = include_str!("documents/coordination.json");
const REVIEW_GROUP: &str = include_str!("documents/authorization.json");
const CORE: &str = include_str!("documents/core-v1.json");
const LEASE_RESOURCES: &str = include_str!("documents/coordination-v1.json");
const REVIEW_RESOURCES: &str = include_str!("documents/authorization-v1.json");

impl ApiServer {
    pub(super) fn document(&self, call: &Call<'_>, path: &str) -> Result<Reply, Refusal> {
        let public = matches!(path, "/healthz" | "/livez" | "/readyz" | "/version");
        let discovery =
            path == "/api" || path == "/apis" || path.starts_with("/api/") || path.starts_with("/apis/");
        let allowed =
            public || (discovery && self.is_authenticated(&call.user)) || self.may_do_everything(&call.user);
        let verb = call.method.as_str().to_ascii_lowercase();
        if !allowed {
            let why = format!("forbidden: User \"{}\" cannot {verb} path \"{path}\"", call.user.name);
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
