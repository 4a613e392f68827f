//! The `Status` object that API servers answer errors and deletes with.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Status {
    kind: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    pub(super) message: Option<String>,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    causes: Option<Vec<Cause>>,
}

#[derive(Debug, Deserialize)]
struct Cause {
    #[serde(default)]
    reason: Option<String>,
}

impl Status {
    /// `None` when the body is no `Status`: a proxy's page, a truncated answer.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let status: Self = serde_json::from_slice(body).ok()?;
        (status.kind == "Status").then_some(status)
    }

    pub(super) fn is_success(&self) -> bool {
        self.status.as_deref() == Some("Success")
    }

    pub(super) fn is_failure(&self) -> bool {
        self.status.as_deref() == Some("Failure")
    }

    pub(super) fn names_lease(&self, name: &str) -> bool {
        let details = self.details.as_ref();
        details.is_some_and(|details| {
            details.name.as_deref() == Some(name)
                && details.group.as_deref() == Some("coordination.k8s.io")
                && details.kind.as_deref() == Some("leases")
        })
    }

    pub(super) fn names_namespace(&self) -> bool {
        self.details.as_ref().is_some_and(|details| details.kind.as_deref() == Some("namespaces"))
    }

    pub(super) fn has_cause(&self, wanted: &str) -> bool {
        let causes = self.details.as_ref().and_then(|details| details.causes.as_deref()).unwrap_or_default();
        causes.iter().any(|cause| cause.reason.as_deref() == Some(wanted))
    }
}
