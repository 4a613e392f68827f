//! `Status` bodies: what the API server answers when it does not answer with an object.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

/// A refusal, boxed because most requests succeed.
pub(crate) type Refusal = Box<Failure>;

/// Everything a failure `Status` says.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: StatusCode,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Option<Details>,
}

/// `details` of a `Status`; empty strings are left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) group: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<Cause>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) retry_after_seconds: u32,
}

/// One entry of `details.causes`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Cause {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) field: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct EmptyObject {}

#[derive(Serialize)]
struct Status<'a> {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    metadata: EmptyObject,
    status: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

/// The group and the two names of a kind of object.
#[derive(Clone, Copy)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
}

/// Leases.
pub(crate) const LEASES: Resource =
    Resource { group: "coordination.k8s.io", plural: "leases", kind: "Lease" };
/// Namespaces.
pub(crate) const NAMESPACES: Resource = Resource { group: "", plural: "namespaces", kind: "Namespace" };

impl Resource {
    fn qualified(self, name: &str) -> String {
        if self.group.is_empty() { name.to_owned() } else { format!("{name}.{}", self.group) }
    }

    fn details(self, name: &str) -> Details {
        Details { name: name.to_owned(), group: self.group, kind: self.plural, ..Details::default() }
    }
}

impl Failure {
    /// A failure without details.
    pub(crate) fn plain(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Refusal {
        Box::new(Self { code, reason, message: message.into(), details: None })
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Refusal {
        Self::plain(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// A 500 as the server makes it out of an unexpected error: without a reason.
    pub(crate) fn internal(message: impl Into<String>) -> Refusal {
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    pub(crate) fn unknown_path() -> Refusal {
        Box::new(Self {
            code: StatusCode::NOT_FOUND,
            reason: "NotFound",
            message: "the server could not find the requested resource".to_owned(),
            details: Some(Details::default()),
        })
    }

    pub(crate) fn not_found(resource: Resource, name: &str) -> Refusal {
        Box::new(Self {
            code: StatusCode::NOT_FOUND,
            reason: "NotFound",
            message: format!("{} \"{name}\" not found", resource.qualified(resource.plural)),
            details: Some(resource.details(name)),
        })
    }

    pub(crate) fn already_exists(resource: Resource, name: &str, being_deleted: bool) -> Refusal {
        let prefix = if being_deleted { "object is being deleted: " } else { "" };
        Box::new(Self {
            code: StatusCode::CONFLICT,
            reason: "AlreadyExists",
            message: format!("{prefix}{} \"{name}\" already exists", resource.qualified(resource.plural)),
            details: Some(resource.details(name)),
        })
    }

    pub(crate) fn server_timeout(resource: Resource, operation: &str) -> Refusal {
        let kind = resource.qualified(resource.kind);
        Box::new(Self {
            code: StatusCode::INTERNAL_SERVER_ERROR,
            reason: "ServerTimeout",
            message: format!(
                "The {operation} operation against {kind} could not be completed at this time, \
                 please try again."
            ),
            details: Some(Details { kind: resource.kind, ..resource.details(operation) }),
        })
    }

    pub(crate) fn conflict(resource: Resource, name: &str, why: &str) -> Refusal {
        let plural = resource.qualified(resource.plural);
        Box::new(Self {
            code: StatusCode::CONFLICT,
            reason: "Conflict",
            message: format!("Operation cannot be fulfilled on {plural} \"{name}\": {why}"),
            details: Some(resource.details(name)),
        })
    }

    /// A failed precondition of a DELETE: names the kind where others name the plural.
    pub(crate) fn precondition(resource: Resource, name: &str, why: &str) -> Refusal {
        Self::conflict(Resource { plural: resource.kind, ..resource }, name, why)
    }

    pub(crate) fn forbidden(resource: Resource, name: &str, why: &str) -> Refusal {
        let plural = resource.qualified(resource.plural);
        let message = if name.is_empty() {
            format!("{plural} is forbidden: {why}")
        } else {
            format!("{plural} \"{name}\" is forbidden: {why}")
        };
        Box::new(Self {
            code: StatusCode::FORBIDDEN,
            reason: "Forbidden",
            message,
            details: Some(resource.details(name)),
        })
    }

    /// A 422 with one cause per field; `kind` is what the message calls the object.
    pub(crate) fn invalid(
        group: &'static str,
        kind: &'static str,
        name: &str,
        errors: Vec<FieldError>,
    ) -> Refusal {
        let qualified = Resource { group, plural: kind, kind }.qualified(kind);
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for error in &errors {
            let text = format!("{}: {}", error.field, error.text());
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let listed = if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) };
        let causes = errors
            .into_iter()
            .map(|error| Cause { reason: error.kind.reason(), message: error.text(), field: error.field })
            .collect();
        Box::new(Self {
            code: StatusCode::UNPROCESSABLE_ENTITY,
            reason: "Invalid",
            message: format!("{qualified} \"{name}\" is invalid: {listed}"),
            details: Some(Details { name: name.to_owned(), group, kind, causes, ..Details::default() }),
        })
    }

    /// Whether authentication or access control refused, and not the resource itself.
    pub(crate) fn by_access_control(&self) -> bool {
        let no_causes = self.details.as_ref().is_none_or(|details| details.causes.is_empty());
        self.code == StatusCode::UNAUTHORIZED || (self.code == StatusCode::FORBIDDEN && no_causes)
    }

    pub(crate) fn with_cause(mut self: Box<Self>, cause: Cause) -> Refusal {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// The body, with a newline.
    pub(crate) fn body(&self) -> Vec<u8> {
        let status = Status {
            kind: "Status",
            api_version: "v1",
            metadata: EmptyObject {},
            status: "Failure",
            message: &self.message,
            reason: self.reason,
            details: self.details.as_ref(),
            code: Some(self.code.as_u16()),
        };
        // Strings and numbers always serialise.
        let mut out = serde_json::to_vec(&status).unwrap_or_default();
        out.push(b'\n');
        out
    }
}

/// The `Status` that answers a finished DELETE, with a newline.
pub(crate) fn deleted(resource: Resource, name: &str, uid: &str) -> Bytes {
    let details = Details { uid: uid.to_owned(), ..resource.details(name) };
    let status = Status {
        kind: "Status",
        api_version: "v1",
        metadata: EmptyObject {},
        status: "Success",
        message: "",
        reason: "",
        details: Some(&details),
        code: None,
    };
    let mut out = serde_json::to_vec(&status).unwrap_or_default();
    out.push(b'\n');
    Bytes::from(out)
}

/// What kind of mistake a field has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mistake {
    Invalid,
    Required,
    Forbidden,
    TooLong,
    NotSupported,
}

impl Mistake {
    fn reason(self) -> &'static str {
        match self {
            Self::Invalid | Self::TooLong => "FieldValueInvalid",
            Self::Required => "FieldValueRequired",
            Self::Forbidden => "FieldValueForbidden",
            Self::NotSupported => "FieldValueNotSupported",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid value",
            Self::Required => "Required value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::NotSupported => "Unsupported value",
        }
    }
}

/// A field that failed validation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) kind: Mistake,
    /// The value as Go prints it; empty where the kind prints none.
    pub(crate) value: String,
    pub(crate) detail: String,
}

impl FieldError {
    pub(crate) fn invalid(
        field: impl Into<String>,
        value: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), kind: Mistake::Invalid, value: value.into(), detail: detail.into() }
    }

    fn text(&self) -> String {
        let words = self.kind.words();
        match (self.value.as_str(), self.detail.as_str()) {
            ("", "") => words.to_owned(),
            ("", detail) => format!("{words}: {detail}"),
            (value, "") => format!("{words}: {value}"),
            (value, detail) => format!("{words}: {value}: {detail}"),
        }
    }
}
