//! Where a request goes: its path and its query.

use super::config::Verb;
use super::status::{Details, Failure, FieldError, Mistake, Refusal};
use http::Method;
use std::borrow::Cow;

/// The target of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Target<'a> {
    /// `namespace` is `None` for the whole cluster, `name` for a collection.
    Leases {
        namespace: Option<Cow<'a, str>>,
        name: Option<Cow<'a, str>>,
    },
    /// `finalize` is the subresource.
    Namespaces {
        name: Option<Cow<'a, str>>,
        finalize: bool,
    },
    AccessReviews,
    /// Discovery and other documents that only depend on the path.
    Document(&'a str),
}

const LEASE_GROUP: &str = "/apis/coordination.k8s.io/v1/";

/// Finds the target of a path. Unknown paths are documents that do not exist.
pub(crate) fn target(path: &str) -> Target<'_> {
    if let Some(rest) = path.strip_prefix(LEASE_GROUP) {
        if rest == "leases" {
            return Target::Leases { namespace: None, name: None };
        }
        if let Some((namespace, name)) = namespaced_lease(rest) {
            return Target::Leases { namespace: Some(decode(namespace)), name: name.map(decode) };
        }
    } else if let Some(rest) = path.strip_prefix("/api/v1/namespaces") {
        let mut segments = rest.split('/').skip(1);
        match (segments.next(), segments.next(), segments.next()) {
            (None, ..) if rest.is_empty() => {
                return Target::Namespaces { name: None, finalize: false };
            }
            (Some(name), None, None) if !name.is_empty() && rest.starts_with('/') => {
                return Target::Namespaces { name: Some(decode(name)), finalize: false };
            }
            (Some(name), Some("finalize"), None) if !name.is_empty() && rest.starts_with('/') => {
                return Target::Namespaces { name: Some(decode(name)), finalize: true };
            }
            _ => {}
        }
    } else if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
        return Target::AccessReviews;
    }
    Target::Document(path)
}

/// The segments of `namespaces/{namespace}/leases` and `namespaces/{namespace}/leases/{name}`.
fn namespaced_lease(rest: &str) -> Option<(&str, Option<&str>)> {
    let (namespace, rest) = rest.strip_prefix("namespaces/")?.split_once('/')?;
    let name = match rest.strip_prefix("leases")? {
        "" => None,
        name => Some(name.strip_prefix('/')?),
    };
    let is_segment = |name: &str| !name.is_empty() && !name.contains('/');
    (!namespace.is_empty() && name.is_none_or(is_segment)).then_some((namespace, name))
}

/// Undoes percent-encoding; what is not well encoded stays as it is.
fn decode(text: &str) -> Cow<'_, str> {
    decode_with(text, false)
}

fn decode_with(text: &str, plus_is_space: bool) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || (plus_is_space && byte == b'+')) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let digit = |offset: usize| bytes.get(index + offset).and_then(|byte| (*byte as char).to_digit(16));
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                index += 3;
            }
            (b'+', ..) if plus_is_space => {
                out.push(b' ');
                index += 1;
            }
            _ => {
                out.push(byte);
                index += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// The query parameters that are modelled.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) watch: bool,
    pub(crate) resource_version: String,
    pub(crate) resource_version_match: String,
    pub(crate) send_initial_events: bool,
    pub(crate) bookmarks: bool,
    pub(crate) timeout_seconds: Option<i64>,
    pub(crate) selector: Selector,
    pub(crate) field_manager: String,
    pub(crate) force: bool,
    pub(crate) propagation_policy: Option<String>,
    pub(crate) orphan_dependents: Option<bool>,
}

/// What a request without a query asks for.
pub(crate) static NO_QUERY: Query = Query {
    watch: false,
    resource_version: String::new(),
    resource_version_match: String::new(),
    send_initial_events: false,
    bookmarks: false,
    timeout_seconds: None,
    selector: Selector { names: Vec::new(), namespaces: Vec::new() },
    field_manager: String::new(),
    force: false,
    propagation_policy: None,
    orphan_dependents: None,
};

/// Which names and namespaces a field selector lets pass: pairs of a value and whether it must be equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    names: Vec<(String, bool)>,
    namespaces: Vec<(String, bool)>,
}

impl Selector {
    pub(crate) fn matches(&self, namespace: &str, name: &str) -> bool {
        let pass = |wanted: &[(String, bool)], actual: &str| {
            wanted.iter().all(|(value, equal)| (value == actual) == *equal)
        };
        pass(&self.names, name) && pass(&self.namespaces, namespace)
    }

    /// The one name that can match, if there is just one.
    pub(crate) fn only_name(&self) -> Option<&str> {
        self.names.iter().find(|(_, equal)| *equal).map(|(name, _)| name.as_str())
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut selector = Self::default();
        for term in text.split(',').filter(|term| !term.is_empty()) {
            let (field, value, equal) = if let Some((field, value)) = term.split_once("!=") {
                (field, value, false)
            } else if let Some((field, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
                (field, value, true)
            } else {
                return Err(Failure::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                )));
            };
            let wanted = (value.to_owned(), equal);
            match field {
                "metadata.name" => selector.names.push(wanted),
                "metadata.namespace" => selector.namespaces.push(wanted),
                _ => {
                    let message = format!("field label not supported: {field}");
                    return Err(Failure::bad_request(message));
                }
            }
        }
        Ok(selector)
    }
}

/// What Go's ParseBool takes for true. Anything else is an error there and false here.
fn truth(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

impl Query {
    /// Reads a query. What changes the meaning of a request and is not modelled is refused, not ignored.
    pub(crate) fn parse(query: &str) -> Result<Self, Refusal> {
        let mut parsed = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode_with(value, true);
            match decode_with(key, true).as_ref() {
                // A bare `?watch` means true to Kubernetes.
                "watch" => parsed.watch = value.is_empty() || truth(&value),
                "resourceVersion" => parsed.resource_version = value.into_owned(),
                "resourceVersionMatch" => parsed.resource_version_match = value.into_owned(),
                "sendInitialEvents" => parsed.send_initial_events = truth(&value),
                "allowWatchBookmarks" => parsed.bookmarks = truth(&value),
                "timeoutSeconds" => {
                    let seconds = value.parse().map_err(|_| {
                        let why = "invalid syntax";
                        Failure::bad_request(format!("strconv.ParseInt: parsing {value:?}: {why}"))
                    })?;
                    parsed.timeout_seconds = Some(seconds);
                }
                "fieldSelector" => parsed.selector = Selector::parse(&value)?,
                "fieldManager" => parsed.field_manager = value.into_owned(),
                "force" => parsed.force = truth(&value),
                "propagationPolicy" => parsed.propagation_policy = Some(value.into_owned()),
                "orphanDependents" => parsed.orphan_dependents = Some(truth(&value)),
                key @ ("labelSelector" | "dryRun" | "continue") if !value.is_empty() => {
                    return Err(Failure::bad_request(format!("{key} is not modelled by this server")));
                }
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// The options of LIST and WATCH as Kubernetes 1.20 checks them.
    pub(crate) fn check_list_options(&self) -> Result<(), Refusal> {
        if self.resource_version_match.is_empty() {
            return Ok(());
        }
        let forbidden = |detail: &str| FieldError {
            field: "resourceVersionMatch".to_owned(),
            kind: Mistake::Forbidden,
            value: String::new(),
            detail: detail.to_owned(),
        };
        let mut errors = Vec::new();
        if self.watch {
            errors.push(forbidden("resourceVersionMatch is forbidden for watch"));
        }
        if self.resource_version.is_empty() {
            errors.push(forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"));
        }
        if !matches!(self.resource_version_match.as_str(), "Exact" | "NotOlderThan") {
            errors.push(FieldError {
                field: "resourceVersionMatch".to_owned(),
                kind: Mistake::NotSupported,
                value: format!("{:?}", self.resource_version_match),
                detail: "supported values: \"Exact\", \"NotOlderThan\", \"\"".to_owned(),
            });
        } else if self.resource_version_match == "Exact" && self.resource_version == "0" {
            errors.push(forbidden("resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\""));
        }
        if errors.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::invalid("meta.k8s.io", "ListOptions", "", errors);
        failure.details.get_or_insert_with(Details::default).name.clear();
        Err(failure)
    }
}

/// The access-control verb of a request.
pub(crate) fn verb(method: &Method, named: bool, watch: bool) -> Option<Verb> {
    Some(match (method.as_str(), named) {
        ("GET", _) if watch => Verb::Watch,
        ("GET", true) => Verb::Get,
        ("GET", false) => Verb::List,
        ("POST", false) => Verb::Create,
        ("PUT", true) => Verb::Update,
        ("PATCH", true) => Verb::Patch,
        ("DELETE", true) => Verb::Delete,
        ("DELETE", false) => Verb::DeleteCollection,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let lease = target("/apis/coordination.k8s.io/v1/namespaces/a%2Db/leases/c");
        let wanted = Target::Leases { namespace: Some("a-b".into()), name: Some("c".into()) };
        assert_eq!(lease, wanted);
        assert_eq!(
            target("/api/v1/namespaces/x/finalize"),
            Target::Namespaces { name: Some("x".into()), finalize: true }
        );
        let collection = target("/apis/coordination.k8s.io/v1/namespaces/a/leases");
        assert_eq!(collection, Target::Leases { namespace: Some("a".into()), name: None });
        let everywhere = target("/apis/coordination.k8s.io/v1/leases");
        assert_eq!(everywhere, Target::Leases { namespace: None, name: None });
        for path in [
            "/",
            "/api/v1/namespacesx",
            "/api/v1/namespaces/",
            "/apis/coordination.k8s.io/v1/namespaces",
            "/apis/coordination.k8s.io/v1/leases/",
            "/apis/coordination.k8s.io/v1/namespaces//leases",
            "/apis/coordination.k8s.io/v1/namespaces/a/leases/",
            "/apis/coordination.k8s.io/v1/namespaces/a/leases/b/",
            "/apis/coordination.k8s.io/v1/namespaces/a/leases/b/status",
            "/apis/coordination.k8s.io/v1/namespaces/a/leasesb",
        ] {
            assert_eq!(target(path), Target::Document(path));
        }
    }

    #[test]
    fn selectors_pass_what_they_name() {
        let selector = Selector::parse("metadata.name=a,metadata.namespace!=b").unwrap();
        assert!(selector.matches("c", "a"));
        assert!(!selector.matches("b", "a") && !selector.matches("c", "d"));
        assert!(Selector::parse("spec.x=1").is_err() && Selector::parse("nonsense").is_err());
    }
}
