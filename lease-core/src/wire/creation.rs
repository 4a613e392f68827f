//! What a POST writes into the object's metadata, beside its name and our own marks.

use std::collections::BTreeMap;

use super::fields::{NONCE, QUARANTINE};
use super::text::write_string;
use crate::config::{Creation, OwnerReference};

/// What the keys of our own annotations begin with.
pub(crate) const OWN_ANNOTATIONS: &str = "lease-core.rs/";

/// The most that our own annotations take, keys and values, in bytes.
pub(crate) fn longest_own_annotations(identity: &str) -> usize {
    NONCE.len() + "0123456789abcdef0123456789abcdef ".len() + identity.len() + QUARANTINE.len() + "true".len()
}

/// What labels, annotations and owners add to the body of a POST, in bytes.
pub(crate) fn creation_size(creation: &Creation) -> usize {
    if creation.is_empty() {
        return 0;
    }
    let mut json = String::new();
    write_labels_and_owners(creation, &mut json);
    write_annotations(creation, &mut json);
    json.len()
}

/// Appends labels and owners, each preceded by a comma where there are any.
pub(super) fn write_labels_and_owners(creation: &Creation, json: &mut String) {
    if !creation.labels.is_empty() {
        json.push_str(",\"labels\":{");
        write_map(&creation.labels, json);
        json.pop();
        json.push('}');
    }
    if !creation.owner_references.is_empty() {
        json.push_str(",\"ownerReferences\":[");
        for owner in &creation.owner_references {
            write_owner(owner, json);
            json.push(',');
        }
        json.pop();
        json.push(']');
    }
}

/// Appends annotations, each followed by a comma.
pub(super) fn write_annotations(creation: &Creation, json: &mut String) {
    write_map(&creation.annotations, json);
}

fn write_map(map: &BTreeMap<String, String>, json: &mut String) {
    for (key, value) in map {
        write_string(key, json);
        json.push(':');
        write_string(value, json);
        json.push(',');
    }
}

fn write_owner(owner: &OwnerReference, json: &mut String) {
    let texts = [
        ("{\"apiVersion\":", &owner.api_version),
        (",\"kind\":", &owner.kind),
        (",\"name\":", &owner.name),
        (",\"uid\":", &owner.uid),
    ];
    for (key, value) in texts {
        json.push_str(key);
        write_string(value, json);
    }
    // Left out means no.
    if owner.controller {
        json.push_str(",\"controller\":true");
    }
    if owner.block_owner_deletion {
        json.push_str(",\"blockOwnerDeletion\":true");
    }
    json.push('}');
}
