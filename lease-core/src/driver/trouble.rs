//! The last cause of a failed request, in words: the state machine has no use for them, people have.

use std::sync::{Arc, Mutex, PoisonError};

use super::error::chain;
use super::transport::SendError;

#[derive(Debug, Default)]
pub(crate) struct LastTrouble(Mutex<Option<Arc<str>>>);

impl LastTrouble {
    pub(crate) fn set(&self, error: &SendError) {
        let text = chain(error).into();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub(crate) fn get(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
