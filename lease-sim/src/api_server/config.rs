//! What a model is started with: seed, namespaces, and who may do what.

use super::UnixMicros;
use std::collections::BTreeMap;

/// Settings of an [`ApiServer`](super::ApiServer).
#[derive(Clone, Debug)]
pub struct ApiServerConfig {
    /// UIDs and generated names follow from it: equal seeds and equal requests give equal answers.
    /// Default 0.
    pub seed: u64,
    /// The resource version before the first write; watches from below it are answered with 410.
    /// Default 100, so that a small number is too old, as on a server that has run for a while.
    pub initial_resource_version: u64,
    /// When the first namespaces were made. Default the Unix epoch.
    pub started: UnixMicros,
    /// Whether a write to a namespace that does not exist creates the namespace. Default false, as on a
    /// real server.
    pub create_namespaces: bool,
    /// Namespaces that exist from the start, beside `default` and `kube-system`. Default none.
    pub namespaces: Vec<String>,
    /// Bearer tokens and whom they stand for. Default none.
    pub tokens: BTreeMap<String, User>,
    /// What a user or a group may do, by its name. `system:masters` may do everything whatever this says;
    /// who does not stand here may do nothing. Default empty.
    pub rights: BTreeMap<String, Rights>,
    /// What a request without credentials may do; its user is `system:anonymous`. Default [`Rights::None`].
    pub anonymous: Rights,
    /// Whether a token that is not known counts as no token, instead of being answered with 401. Default
    /// false.
    pub unknown_tokens_are_anonymous: bool,
    /// How many changes are kept for watches, at least 1. A watch that is further behind is answered with
    /// 410. Default 1000; too small breaks slow watchers, too large costs about 500 bytes a change.
    pub history: usize,
    /// Whether objects carry `managedFields` (one entry that owns all that is set). Default true; false is
    /// faster.
    pub managed_fields: bool,
}

impl Default for ApiServerConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            initial_resource_version: 100,
            started: UnixMicros(0),
            create_namespaces: false,
            namespaces: Vec::new(),
            tokens: BTreeMap::new(),
            rights: BTreeMap::new(),
            anonymous: Rights::None,
            unknown_tokens_are_anonymous: false,
            history: 1_000,
            managed_fields: true,
        }
    }
}

impl ApiServerConfig {
    /// Adds a token for a user and says what the user may do.
    #[must_use]
    pub fn token(mut self, token: &str, user: &str, rights: Rights) -> Self {
        self.tokens.insert(token.to_owned(), User::named(user));
        self.rights.insert(user.to_owned(), rights);
        self
    }

    /// Adds a namespace.
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespaces.push(name.to_owned());
        self
    }
}

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's name, as it stands in messages.
    pub name: String,
    /// The groups; `system:masters` may do everything.
    pub groups: Vec<String>,
}

impl User {
    /// A user in no group.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), groups: Vec::new() }
    }
}

/// What a user or a group may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Nothing but `/healthz`, `/readyz`, `/livez` and `/version`.
    None,
    /// Everything.
    All,
    /// Some verbs on Leases, and discovery.
    Leases(Vec<LeaseRule>),
}

impl Rights {
    /// Some verbs on Leases in one namespace.
    #[must_use]
    pub fn leases(namespace: &str, verbs: &[Verb]) -> Self {
        Self::Leases(vec![LeaseRule { namespace: Some(namespace.to_owned()), verbs: verbs.to_vec() }])
    }
}

/// One rule of [`Rights::Leases`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRule {
    /// Where it holds; `None` is everywhere, as of a cluster role.
    pub namespace: Option<String>,
    /// What it allows.
    pub verbs: Vec<Verb>,
}

/// The verbs of Kubernetes' access control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read many objects.
    List,
    /// Follow changes.
    Watch,
    /// Create an object, by POST or by a PUT to a name that is free.
    Create,
    /// Replace an object.
    Update,
    /// Change parts of an object.
    Patch,
    /// Delete one object.
    Delete,
    /// Delete many objects.
    DeleteCollection,
}

impl Verb {
    /// The verb as it stands in roles and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// The verb as it stands in metrics.
    pub(crate) const fn in_metrics(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::List => "LIST",
            Self::Watch => "WATCH",
            Self::Create => "POST",
            Self::Update => "PUT",
            Self::Patch => "PATCH",
            Self::Delete | Self::DeleteCollection => "DELETE",
        }
    }
}
