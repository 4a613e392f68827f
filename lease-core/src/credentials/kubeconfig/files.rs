//! Which files are a kubeconfig.

use std::env::split_paths;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::error::KubeconfigError;
use crate::credentials::error::CredentialError;

/// The kubeconfig files to read, in the order in which they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeconfigFiles {
    paths: Vec<PathBuf>,
    must_exist: bool,
}

impl KubeconfigFiles {
    /// One file, which must exist.
    #[must_use]
    pub fn explicit(path: impl Into<PathBuf>) -> Self {
        Self { paths: vec![path.into()], must_exist: true }
    }

    /// The files that `KUBECONFIG` lists, separated as the platform separates the folders of `PATH`: by `:`, on
    /// Windows by `;`. Without that variable, or when it is empty: `.kube/config` in the home folder. Empty
    /// paths and repetitions are left out.
    ///
    /// # Errors
    /// [`KubeconfigError::NoHome`]: neither is given.
    pub fn from_env(kubeconfig: Option<&OsStr>, home: Option<&Path>) -> Result<Self, CredentialError> {
        let mut paths: Vec<PathBuf> = Vec::new();
        match kubeconfig.filter(|list| !list.is_empty()) {
            Some(list) => {
                for path in split_paths(list).filter(|path| !path.as_os_str().is_empty()) {
                    if !paths.contains(&path) {
                        paths.push(path);
                    }
                }
            }
            None => {
                let home = home.filter(|home| !home.as_os_str().is_empty()).ok_or(KubeconfigError::NoHome)?;
                paths.push(home.join(".kube").join("config"));
            }
        }
        Ok(Self { paths, must_exist: false })
    }

    /// The files. A relative path is relative to the working directory, and so is then what the file points to.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    pub(super) fn must_exist(&self) -> bool {
        self.must_exist
    }
}
