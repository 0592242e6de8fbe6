//! What one script does from its start to its end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{KeyValueStore, KeyValueStores};
use crate::script::{AccessRequest, Action, Attributes, Ident, ScriptResult};

/// What one script does from its start to its end, such as one run, one request or one message. Handles that are acquired
/// through it are released when it is dropped, whichever way the script ended.
#[derive(Debug)]
pub struct UnitOfWork {
    stores: KeyValueStores,
    ident: Option<Ident>,
    ended: Arc<AtomicBool>,
}

impl UnitOfWork {
    pub(super) fn new(stores: KeyValueStores) -> Self {
        Self { stores, ident: None, ended: Arc::default() }
    }

    /// Tells the policy which script asks, in this call and those of handles acquired from now on.
    #[must_use]
    pub fn with_ident(mut self, ident: Ident) -> Self {
        self.ident = Some(ident);
        self
    }

    /// A handle to the store `id`. Several handles to one store are independent of each other and see the same entries.
    ///
    /// # Errors
    /// `INVALID` if the id is empty; `PERMISSION_DENIED` if the policy does not allow `store.get`; `NOT_FOUND` if there
    /// is no such store; `UNAVAILABLE` if it is configured but not started.
    pub fn acquire(&self, id: &str) -> ScriptResult<KeyValueStore> {
        let attributes =
            Attributes { ident: self.ident.as_ref().map(Ident::as_str), ..Attributes::default() };
        let request = AccessRequest { action: Action::StoreGet, resource: id, attributes };
        let store = self.stores.find(&request)?;
        Ok(KeyValueStore::new(store, self.ident.clone(), Arc::clone(&self.ended)))
    }
}

impl Drop for UnitOfWork {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}
