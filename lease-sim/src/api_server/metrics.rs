//! Counters of requests, as `/metrics` shows them.

use super::ApiServer;
use super::config::Verb;
use bytes::Bytes;
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
    pub(crate) const fn of(verb: Verb, namespaced: bool) -> Self {
        match (verb, namespaced) {
            (Verb::List | Verb::Watch | Verb::DeleteCollection, true) => Self::Namespace,
            (Verb::List | Verb::Watch | Verb::DeleteCollection, false) => Self::Cluster,
            _ => Self::Resource,
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

/// What tells one counter from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Counted {
    pub(crate) verb: Verb,
    pub(crate) scope: Scope,
    pub(crate) code: u16,
    /// Refused by authentication or access control: `/metrics` of a real server does not show those.
    pub(crate) refused: bool,
}

/// How many requests for Leases were answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(BTreeMap<Counted, u64>);

impl Counts {
    pub(crate) fn add(&mut self, counted: Counted) {
        *self.0.entry(counted).or_default() += 1;
    }

    /// Prometheus text in the shape of Kubernetes 1.20.
    pub(crate) fn text(&self) -> Bytes {
        let mut out = String::from(
            "# HELP apiserver_request_total [ALPHA] Counter of apiserver requests broken out for each verb, \
             dry run value, group, version, resource, scope, component, and HTTP response contentType and \
             code.\n# TYPE apiserver_request_total counter\n",
        );
        for (counted, count) in self.0.iter().filter(|(counted, _)| !counted.refused) {
            let Counted { verb, scope, code, .. } = counted;
            let content_type =
                if *verb == Verb::Watch { "application/json;stream=watch" } else { "application/json" };
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",\
                 contentType=\"{content_type}\",dry_run=\"\",group=\"coordination.k8s.io\",\
                 resource=\"leases\",scope=\"{}\",subresource=\"\",verb=\"{}\",version=\"v1\"}} {count}",
                scope.as_str(),
                verb.in_metrics()
            );
        }
        Bytes::from(out)
    }
}

impl ApiServer {
    /// How many requests for Leases were answered: of one verb or of all, with one status code or with any.
    /// Unlike `/metrics` it counts those that authentication and access control refused.
    #[must_use]
    pub fn request_count(&self, verb: Option<Verb>, code: Option<u16>) -> u64 {
        self.counts
            .0
            .iter()
            .filter(|(counted, _)| {
                verb.is_none_or(|verb| verb == counted.verb) && code.is_none_or(|code| code == counted.code)
            })
            .map(|(_, count)| count)
            .sum()
    }
}
