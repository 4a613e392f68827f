//! Several files as one: the first file to name something says what it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::document::{Cluster, Context, Document, User};
use super::error::{EntryKind, KubeconfigError};

/// One entry and the file that it stands in.
pub(super) struct Entry<T> {
    pub(super) file: PathBuf,
    pub(super) value: T,
}

/// All files together.
#[derive(Default)]
pub(super) struct Merged {
    pub(super) current_context: Option<String>,
    pub(super) clusters: BTreeMap<String, Entry<Cluster>>,
    pub(super) contexts: BTreeMap<String, Entry<Context>>,
    pub(super) users: BTreeMap<String, Entry<User>>,
}

/// Merges files, the one that counts most first.
pub(super) fn merge(documents: Vec<(&Path, Document)>) -> Result<Merged, KubeconfigError> {
    let mut merged = Merged::default();
    for (file, document) in documents {
        if merged.current_context.is_none() {
            merged.current_context = document.current_context.filter(|name| !name.is_empty());
        }
        let clusters = document.clusters.unwrap_or_default();
        let clusters = clusters.into_iter().map(|named| (named.name, named.cluster.unwrap_or_default()));
        add(&mut merged.clusters, EntryKind::Cluster, file, clusters)?;
        let contexts = document.contexts.unwrap_or_default();
        let contexts = contexts.into_iter().map(|named| (named.name, named.context.unwrap_or_default()));
        add(&mut merged.contexts, EntryKind::Context, file, contexts)?;
        let users = document.users.unwrap_or_default();
        let users = users.into_iter().map(|named| (named.name, named.user.unwrap_or_default()));
        add(&mut merged.users, EntryKind::User, file, users)?;
    }
    Ok(merged)
}

/// Adds the entries of one file; those that an earlier file has stay as they are.
fn add<T>(
    all: &mut BTreeMap<String, Entry<T>>,
    kind: EntryKind,
    file: &Path,
    entries: impl Iterator<Item = (Option<String>, T)>,
) -> Result<(), KubeconfigError> {
    let mut of_this_file = BTreeMap::new();
    for (at, (name, value)) in entries.enumerate() {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(KubeconfigError::Unnamed { path: file.to_owned(), kind, number: at + 1 });
        };
        if of_this_file.contains_key(&name) {
            return Err(KubeconfigError::Duplicate { path: file.to_owned(), kind, name });
        }
        of_this_file.insert(name, Entry { file: file.to_owned(), value });
    }
    for (name, entry) in of_this_file {
        all.entry(name).or_insert(entry);
    }
    Ok(())
}
