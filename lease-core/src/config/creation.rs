//! What the object gets beside its `spec` when it is created: labels, annotations and owner references, each
//! checked by the API server's own rules before anything is sent.

use std::collections::BTreeMap;

use super::ConfigError;
use super::names::is_dns_subdomain;
use crate::wire::{OWN_ANNOTATIONS, longest_own_annotations};

/// All keys and values of an object's annotations together, in bytes: `TotalAnnotationSizeLimitB` in
/// Kubernetes' `apimachinery/pkg/api/validation/objectmeta.go`.
const MOST_ANNOTATIONS: usize = 256 << 10;

/// One of an object's `metadata.ownerReferences`: when the last of its owners is gone, the garbage collector
/// deletes it.
///
/// The owner has to be in the lease's namespace or cluster-wide, and has to exist under this very `uid`;
/// otherwise [the garbage collector takes it for gone][gc] and deletes the lease, in the midst of a term if
/// one runs. To the holder that is an administrator's delete: see [`ReleasePolicy`](super::ReleasePolicy).
///
/// [gc]: https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OwnerReference {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// `Pod`, `Deployment`, …
    pub kind: String,
    /// The owner's name.
    pub name: String,
    /// The owner's `metadata.uid`.
    pub uid: String,
    /// Whether the owner is the controller that manages the lease. One owner at most can be.
    pub controller: bool,
    /// Whether a foreground deletion of the owner waits until the lease is gone.
    ///
    /// Where the admission plugin [`OwnerReferencesPermissionEnforcement`][plugin] is on, the creator needs
    /// `update` on the owner's `finalizers` for it.
    ///
    /// [plugin]: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
    pub block_owner_deletion: bool,
}

/// What a POST writes into the object's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Creation {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) owner_references: Vec<OwnerReference>,
}

impl Creation {
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty() && self.owner_references.is_empty()
    }

    /// What a user would call the first thing that is in it.
    pub(super) fn first_setting(&self) -> &'static str {
        match (self.labels.is_empty(), self.annotations.is_empty()) {
            (false, _) => "label",
            (true, false) => "annotation",
            (true, true) => "owner_reference",
        }
    }

    pub(super) fn check(&self, identity: &str) -> Result<(), ConfigError> {
        for (key, value) in &self.labels {
            if !is_qualified_name(key) {
                return Err(ConfigError::LabelKey { given: key.clone() });
            }
            if !is_label_value(value) {
                return Err(ConfigError::LabelValue { key: key.clone(), given: value.clone() });
            }
        }
        for key in self.annotations.keys() {
            // "The rule is QualifiedName except that case doesn't matter": `ValidateAnnotations`.
            if !is_qualified_name(&key.to_lowercase()) {
                return Err(ConfigError::AnnotationKey { given: key.clone() });
            }
            if key.starts_with(OWN_ANNOTATIONS) {
                return Err(ConfigError::OwnAnnotation { given: key.clone() });
            }
        }
        self.check_size(identity)?;
        self.check_owners()
    }

    fn check_size(&self, identity: &str) -> Result<(), ConfigError> {
        let given: usize = self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        let allowed = MOST_ANNOTATIONS - longest_own_annotations(identity);
        if given > allowed {
            return Err(ConfigError::AnnotationsTooLarge { given, allowed });
        }
        Ok(())
    }

    fn check_owners(&self) -> Result<(), ConfigError> {
        let mut controller: Option<&OwnerReference> = None;
        for owner in &self.owner_references {
            if let Some((field, reason)) = owner.mistake() {
                return Err(ConfigError::OwnerReference { owner: Box::new(owner.clone()), field, reason });
            }
            if let Some(other) = controller.filter(|_| owner.controller) {
                let named = |owner: &OwnerReference| format!("{}/{}", owner.kind, owner.name);
                return Err(ConfigError::TwoControllers { first: named(other), second: named(owner) });
            }
            if owner.controller {
                controller = Some(owner);
            }
        }
        Ok(())
    }
}

impl OwnerReference {
    /// What `validateOwnerReference` in Kubernetes' `apimachinery/pkg/api/validation/objectmeta.go` refuses.
    fn mistake(&self) -> Option<(&'static str, &'static str)> {
        let version = match self.api_version.split_once('/') {
            None => self.api_version.as_str(),
            Some((_, version)) => version,
        };
        if version.is_empty() || version.contains('/') {
            return Some(("apiVersion", "`VERSION` or `GROUP/VERSION` is wanted, for example `apps/v1`"));
        }
        for (field, value) in [("kind", &self.kind), ("name", &self.name), ("uid", &self.uid)] {
            if value.is_empty() {
                return Some((field, "it must not be empty"));
            }
        }
        // `/v1` is read as `v1`.
        let banned = self.kind == "Event" && self.api_version.trim_start_matches('/') == "v1";
        banned.then_some(("kind", "an `Event` of `v1` cannot own anything"))
    }
}

/// `IsQualifiedName` in Kubernetes' `apimachinery/pkg/util/validation/validation.go`: 1 to 63 characters of
/// `A-Z`, `a-z`, `0-9`, `-`, `_` and `.`, alphanumeric at both ends; before it, if wanted, an RFC 1123
/// subdomain and a slash.
fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        None => (None, key),
        Some((prefix, name)) => (Some(prefix), name),
    };
    prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// `IsValidLabelValue`, of the same file: empty, or what the name of a key can be.
fn is_label_value(value: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    bytes.len() <= 63 && bytes.iter().all(|byte| allowed(*byte)) && ends(bytes.first()) && ends(bytes.last())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, ConfigBuilder};

    fn job() -> ConfigBuilder {
        Config::builder().namespace("default").name("job").identity("a").ttl(Duration::from_secs(15))
    }

    fn owner() -> OwnerReference {
        OwnerReference {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            name: "worker".to_owned(),
            uid: "6f1c1b1e-0000-4000-8000-000000000001".to_owned(),
            controller: true,
            block_owner_deletion: false,
        }
    }

    #[test]
    fn keys_and_values() {
        let (long, prefix) = ("a".repeat(63), "p".repeat(253));
        for good in ["a", "A.b_c-9", &long, "example.com/A", &format!("{prefix}/{long}"), "0/0"] {
            assert!(is_qualified_name(good), "{good}");
        }
        for bad in ["", "/", "/a", "a/", "a/b/c", "-a", "a-", "a b", "ä", "Example.com/a", "a..b/c"] {
            assert!(!is_qualified_name(bad), "{bad}");
        }
        assert!(!is_qualified_name(&format!("{long}a")) && !is_qualified_name(&format!("{prefix}p/a")));
        for good in ["", "a", "A.b_c-9", &long] {
            assert!(is_label_value(good), "{good}");
        }
        for bad in [" ", ".", "a.", "-a", "a/b", "ä", &format!("{long}a")] {
            assert!(!is_label_value(bad), "{bad}");
        }
    }

    #[test]
    fn each_mistake_has_an_error_of_its_own() {
        let refused = |builder: ConfigBuilder| builder.build().unwrap_err();
        assert_eq!(refused(job().label("a b", "")), ConfigError::LabelKey { given: "a b".to_owned() });
        let value = ConfigError::LabelValue { key: "a".to_owned(), given: "-".to_owned() };
        assert_eq!(refused(job().label("a", "-")), value);
        let key = ConfigError::AnnotationKey { given: "a/b/c".to_owned() };
        assert_eq!(refused(job().annotation("a/b/c", "")), key);
        for own in ["nonce", "quarantine", "something"] {
            let given = format!("lease-core.rs/{own}");
            assert_eq!(refused(job().annotation(&given, "")), ConfigError::OwnAnnotation { given });
        }
        // Annotations may have upper case where labels may not, and any value.
        assert!(job().annotation("Example.COM/Key", "any\nthing \u{0}").build().is_ok());
        assert!(job().label("Example.COM/Key", "").build().is_err());
    }

    #[test]
    fn annotations_leave_room_for_our_own() {
        for identity in ["a", &"i".repeat(1024)] {
            let room = MOST_ANNOTATIONS - longest_own_annotations(identity);
            let with =
                |bytes: usize| job().identity(identity).annotation("key", "x".repeat(bytes - 3)).build();
            assert!(with(room).is_ok());
            let refused = ConfigError::AnnotationsTooLarge { given: room + 1, allowed: room };
            assert_eq!(with(room + 1), Err(refused));
        }
    }

    #[test]
    fn the_object_must_fit_into_what_is_read_of_a_response() {
        let with = |bytes: usize| job().max_body(bytes).annotation("key", "x".repeat(10_000)).build();
        let Err(ConfigError::OutOfRange { setting: "max_body", allowed, .. }) = with(20_000) else {
            panic!("{:?}", with(20_000));
        };
        let least: usize = allowed.split(' ').next().unwrap().parse().unwrap();
        assert!(with(least).is_ok() && with(least - 1).is_err(), "{allowed}");
    }

    #[test]
    fn owners() {
        let refused = |change: fn(&mut OwnerReference)| {
            let mut owner = owner();
            change(&mut owner);
            match job().owner_reference(owner).build() {
                Err(ConfigError::OwnerReference { field, .. }) => field,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(|owner| owner.api_version.clear()), "apiVersion");
        assert_eq!(refused(|owner| owner.api_version = "apps/".to_owned()), "apiVersion");
        assert_eq!(refused(|owner| owner.api_version = "a/b/c".to_owned()), "apiVersion");
        assert_eq!(refused(|owner| owner.kind.clear()), "kind");
        assert_eq!(refused(|owner| owner.name.clear()), "name");
        assert_eq!(refused(|owner| owner.uid.clear()), "uid");
        let event = |owner: &mut OwnerReference| {
            (owner.api_version, owner.kind) = ("v1".to_owned(), "Event".to_owned());
        };
        assert_eq!(refused(event), "kind");
        assert!(job().owner_reference(owner()).build().is_ok());

        let second = OwnerReference { name: "other".to_owned(), ..owner() };
        let both = job().owner_reference(owner()).owner_reference(second.clone()).build();
        let (first, other) = ("Deployment/worker".to_owned(), "Deployment/other".to_owned());
        assert_eq!(both, Err(ConfigError::TwoControllers { first, second: other }));
        let one = OwnerReference { controller: false, ..second };
        assert!(job().owner_reference(owner()).owner_reference(one).build().is_ok());
    }
}
