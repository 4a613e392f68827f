//! Counters of requests, as `/metrics` shows them.

use super::ApiServer;
use super::config::Verb;
use bytes::Bytes;
use http::StatusCode;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What part of the cluster a request was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Cluster,
    Namespace,
    Resource,
}

impl Scope {
    pub(crate) const fn of(namespaced: bool, named: bool) -> Self {
        match (namespaced, named) {
            (true, _) => Self::Namespace,
            (false, true) => Self::Resource,
            (false, false) => Self::Cluster,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Namespace => "namespace",
            Self::Resource => "resource",
        }
    }
}

/// How many requests for Leases were answered, by verb, scope and code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(BTreeMap<(Verb, Scope, u16), u64>);

impl Counts {
    pub(crate) fn add(&mut self, verb: Verb, scope: Scope, code: StatusCode) {
        *self.0.entry((verb, scope, code.as_u16())).or_default() += 1;
    }

    /// Prometheus text in the shape of Kubernetes 1.20.
    pub(crate) fn text(&self) -> Bytes {
        let mut out = String::from(
            "# HELP apiserver_request_total [ALPHA] Counter of apiserver requests broken out for each verb, dry run \
             value, group, version, resource, scope, component, and HTTP response contentType and code.\n\
             # TYPE apiserver_request_total counter\n",
        );
        for ((verb, scope, code), count) in &self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",contentType=\"application/json\",\
                 dry_run=\"\",group=\"coordination.k8s.io\",resource=\"leases\",scope=\"{}\",subresource=\"\",\
                 verb=\"{}\",version=\"v1\"}} {count}",
                scope.as_str(),
                verb.in_metrics()
            );
        }
        Bytes::from(out)
    }
}

impl ApiServer {
    /// How many requests for Leases were answered: of one verb or of all, with one status code or with any.
    #[must_use]
    pub fn request_count(&self, verb: Option<Verb>, code: Option<u16>) -> u64 {
        self.counts
            .0
            .iter()
            .filter(|((counted, _, answered), _)| {
                verb.is_none_or(|verb| verb == *counted) && code.is_none_or(|code| code == *answered)
            })
            .map(|(_, count)| count)
            .sum()
    }
}
