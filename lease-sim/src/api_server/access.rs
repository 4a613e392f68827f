//! Who sends a request, and whether it may.

use super::config::{Rights, User, Verb};
use super::object::{self, Fields, nullable};
use super::status::{Failure, Refusal, Resource};
use super::{ApiServer, Call, Reply};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde::de::{IgnoredAny, MapAccess};
use serde_json::{Value, json};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

const ANONYMOUS: &str = "system:anonymous";
const MASTERS: &str = "system:masters";

/// Who shows no credentials.
static NOBODY: LazyLock<User> =
    LazyLock::new(|| User { name: ANONYMOUS.to_owned(), groups: vec!["system:unauthenticated".to_owned()] });

/// Who sends a request. Not a copy: most requests need no more than to look.
pub(super) enum Sender<'a> {
    Borrowed(&'a User),
    Shared(Arc<User>),
}

impl Deref for Sender<'_> {
    type Target = User;

    fn deref(&self) -> &User {
        match self {
            Self::Borrowed(user) => user,
            Self::Shared(user) => user,
        }
    }
}

impl ApiServer {
    /// Who the sender is. A token that is not known is an error; no token is nobody.
    pub(super) fn authenticate<'a>(
        &self,
        certificate: Option<&'a User>,
        headers: &HeaderMap,
    ) -> Result<Sender<'a>, Refusal> {
        if let Some(user) = certificate {
            return Ok(Sender::Borrowed(user));
        }
        let value = headers.get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let mut words = value.split(|byte| *byte == b' ');
        let bearer = words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"bearer"));
        let token = words.next().unwrap_or_default();
        let known = std::str::from_utf8(token).ok().and_then(|token| self.users.get(token));
        match known {
            Some(user) if bearer => Ok(Sender::Shared(Arc::clone(user))),
            None if bearer && !token.is_empty() && !self.config.unknown_tokens_are_anonymous => {
                Err(Failure::plain(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"))
            }
            _ => Ok(Sender::Borrowed(&NOBODY)),
        }
    }

    fn rights<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Rights> {
        let master = user.groups.iter().any(|group| group == MASTERS).then_some(&Rights::All);
        let anonymous = (user.name == ANONYMOUS).then_some(&self.config.anonymous);
        let names = std::iter::once(&user.name).chain(&user.groups);
        let given = names.filter_map(|name| self.config.rights.get(name));
        master.into_iter().chain(given).chain(anonymous)
    }

    pub(super) fn may_do_everything(&self, user: &User) -> bool {
        self.rights(user).any(|rights| *rights == Rights::All)
    }

    /// Whether the user stands for somebody: documents are not for the nameless.
    pub(super) fn is_authenticated(&self, user: &User) -> bool {
        user.name != ANONYMOUS || self.may_do_everything(user)
    }

    pub(super) fn allows(
        &self,
        user: &User,
        verb: &str,
        resource: Resource,
        namespace: Option<&str>,
    ) -> bool {
        self.rights(user).any(|rights| match rights {
            Rights::All => true,
            Rights::None => false,
            Rights::Leases(rules) => {
                resource.plural == "leases"
                    && rules.iter().any(|rule| {
                        rule.verbs.iter().any(|allowed| allowed.as_str() == verb)
                            && (rule.namespace.is_none() || rule.namespace.as_deref() == namespace)
                    })
            }
        })
    }

    /// Refuses with the 403 of the real server what the user may not do.
    pub(super) fn authorize(
        &self,
        user: &User,
        verb: Verb,
        resource: Resource,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<(), Refusal> {
        if self.allows(user, verb.as_str(), resource, namespace) {
            return Ok(());
        }
        let place = match namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let why = format!(
            "User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
            user.name,
            verb.as_str(),
            resource.plural,
            resource.group
        );
        Err(Failure::forbidden(resource, name.unwrap_or_default(), &why))
    }

    /// A `SelfSubjectAccessReview`: may I?
    pub(super) fn access_review(&self, call: &Call<'_>) -> Result<Reply, Refusal> {
        const REVIEWS: Resource = Resource {
            group: "authorization.k8s.io",
            plural: "selfsubjectaccessreviews",
            kind: "SelfSubjectAccessReview",
        };
        if call.method != Method::POST {
            return Err(super::not_allowed());
        }
        if !self.is_authenticated(&call.user) {
            self.authorize(&call.user, Verb::Create, REVIEWS, None, None)?;
        }
        super::leases::check_media_type(call)?;
        let review: Review = object::read(call.body)
            .map_err(|error| super::leases::undecodable("SelfSubjectAccessReview", &error, call.body))?;
        let asked = review.spec.get("resourceAttributes").unwrap_or(&Value::Null);
        let text = |key: &str| asked.get(key).and_then(Value::as_str).unwrap_or_default();
        let leases = text("resource") == "leases" && text("group") == "coordination.k8s.io";
        let plural = if leases { "leases" } else { "" };
        let resource = Resource { group: "", plural, kind: "" };
        let namespace = Some(text("namespace")).filter(|namespace| !namespace.is_empty());
        let allowed = self.allows(&call.user, text("verb"), resource, namespace);
        let mut status = json!({ "allowed": allowed });
        if allowed && let Some(status) = status.as_object_mut() {
            status.insert("reason".to_owned(), Value::from("RBAC: allowed by the model's configuration"));
        }
        let body = json!({
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": { "creationTimestamp": null },
            "spec": review.spec,
            "status": status,
        });
        Ok(Reply::Json(StatusCode::CREATED, Bytes::from(format!("{body}\n"))))
    }
}

#[derive(Default)]
struct Review {
    spec: Value,
}

impl Fields for Review {
    const NAME: &'static str = "SelfSubjectAccessReview";
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "spec" => self.spec = nullable(map)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}
