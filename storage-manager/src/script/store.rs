//! The module `store`: values that survive, each script's own and global ones.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use storage_core::{StorageMetadata, Timestamp};

use super::{
    AccessPolicy, AccessRequest, Action, AllowAll, Attributes, Ident, ScriptError, ScriptLimits,
    ScriptResult, ScriptValue,
    items::{Items, Write},
    namespace, policy,
};
use crate::UnifiedStorageManager;

/// A value with the time of its last put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// The value; nil if nil was put.
    pub value: ScriptValue,
    /// Whole seconds since the Unix epoch, UTC, cut towards the past.
    pub timestamp: i64,
}

impl Stamped {
    pub(super) fn new(value: ScriptValue, metadata: &StorageMetadata) -> Self {
        Self { value, timestamp: whole_seconds(metadata.updated_at) }
    }
}

fn whole_seconds(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(1_000_000)
}

/// The module `store` of one script: values that outlive the process, under keys of its own and under global ones.
///
/// Keys are text of 1 to 512 bytes without control characters. A put replaces what was there and returns once the value
/// is as durable as the provider makes it. Values have no deadline. There is no list of keys.
///
/// The items have the content type [`ScriptStore::CONTENT_TYPE`]; give it a durable provider.
///
/// ```
/// # use storage_manager::{*, script::{ScriptStore, ScriptValue}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = UnifiedStorageManager::builder().fallback(MemoryProvider::default()).build()?;
/// let store = ScriptStore::builder(&manager).ident("monitor-cpu".parse()?).build();
///
/// store.put("failures", &3.into()).await?;
/// let found = store.get("failures").await?.expect("it was put");
/// assert_eq!(found.value, ScriptValue::Integer(3));
/// assert_eq!(store.get_global("failures").await?, None);
/// # Ok(())
/// # }
/// ```
///
/// # Errors of every call
/// `INVALID` for a key outside its limits or a value that exceeds the [`ScriptLimits`], before anything is sent;
/// `PERMISSION_DENIED` if the policy says so; those of the storage, as [`ScriptError`] maps them.
#[derive(Debug, Clone)]
pub struct ScriptStore {
    items: Items,
    ident: Option<Ident>,
    require_ident: bool,
    policy: Arc<dyn AccessPolicy>,
    warned: Arc<AtomicBool>,
}

/// Describes a [`ScriptStore`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ScriptStoreBuilder {
    store: ScriptStore,
}

impl ScriptStoreBuilder {
    /// The script that the store is for. Without it, all functions use the global keys and say so once in the log.
    pub fn ident(mut self, ident: Ident) -> Self {
        self.store.ident = Some(ident);
        self
    }

    /// Makes `put`, `get` and `delete` fail without an identity, instead of using the global keys.
    pub fn require_ident(mut self) -> Self {
        self.store.require_ident = true;
        self
    }

    /// How large values may be.
    pub fn limits(mut self, limits: ScriptLimits) -> Self {
        self.store.items.limits = limits;
        self
    }

    /// Which calls are allowed. Default: all of them.
    pub fn policy(mut self, policy: impl AccessPolicy) -> Self {
        self.store.policy = Arc::new(policy);
        self
    }

    /// Makes the store.
    pub fn build(self) -> ScriptStore {
        self.store
    }
}

/// Whose keys a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Own,
    Global,
}

impl ScriptStore {
    /// The content type of the items.
    pub const CONTENT_TYPE: &'static str = "script/store";

    /// Describes a store over `manager`.
    pub fn builder(manager: &UnifiedStorageManager) -> ScriptStoreBuilder {
        let items = Items { manager: manager.clone(), limits: ScriptLimits::default() };
        let store = Self {
            items,
            ident: None,
            require_ident: false,
            policy: Arc::new(AllowAll),
            warned: Arc::default(),
        };
        ScriptStoreBuilder { store }
    }

    /// The script that the store is for.
    pub const fn ident(&self) -> Option<&Ident> {
        self.ident.as_ref()
    }

    /// How large values may be.
    pub const fn limits(&self) -> ScriptLimits {
        self.items.limits
    }

    /// Stores a value under one of the script's own keys. Nil is stored as well, and is not a delete.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn put(&self, key: &str, value: &ScriptValue) -> ScriptResult<()> {
        self.put_in(Scope::Own, key, value).await
    }

    /// The value under one of the script's own keys and when it was put; `None` if nothing is there.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn get(&self, key: &str) -> ScriptResult<Option<Stamped>> {
        self.get_in(Scope::Own, key).await
    }

    /// Deletes one of the script's own keys, if it is there.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn delete(&self, key: &str) -> ScriptResult<()> {
        self.delete_in(Scope::Own, key).await
    }

    /// Stores a value under a global key, which all scripts share.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn put_global(&self, key: &str, value: &ScriptValue) -> ScriptResult<()> {
        self.put_in(Scope::Global, key, value).await
    }

    /// The value under a global key and when it was put; `None` if nothing is there.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn get_global(&self, key: &str) -> ScriptResult<Option<Stamped>> {
        self.get_in(Scope::Global, key).await
    }

    /// Deletes a global key, if it is there.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn delete_global(&self, key: &str) -> ScriptResult<()> {
        self.delete_in(Scope::Global, key).await
    }

    async fn put_in(&self, scope: Scope, key: &str, value: &ScriptValue) -> ScriptResult<()> {
        let item_key = self.prepare(Action::AgentStorePut, scope, key)?;
        self.items.save(Self::CONTENT_TYPE, &item_key, value, Write::default()).await?;
        Ok(())
    }

    async fn get_in(&self, scope: Scope, key: &str) -> ScriptResult<Option<Stamped>> {
        let item_key = self.prepare(Action::AgentStoreGet, scope, key)?;
        let Some(item) = self.items.load(Self::CONTENT_TYPE, &item_key).await? else { return Ok(None) };
        Ok(Some(Stamped::new(self.items.value(&item)?, &item.metadata)))
    }

    async fn delete_in(&self, scope: Scope, key: &str) -> ScriptResult<()> {
        let item_key = self.prepare(Action::AgentStoreDelete, scope, key)?;
        self.items.delete(Self::CONTENT_TYPE, &item_key).await?;
        Ok(())
    }

    /// The key of the item, once the call is known to be sound and allowed.
    fn prepare(&self, action: Action, scope: Scope, key: &str) -> ScriptResult<String> {
        let owner = self.owner(scope)?;
        let item_key = namespace::item_key(owner, key)?;
        let attributes = Attributes {
            key: Some(key),
            ident: self.ident.as_ref().map(Ident::as_str),
            // What is decided on is what happens: without an identity, every key is global.
            scope: Some(if owner.is_some() { "own" } else { "global" }),
            ..Attributes::default()
        };
        policy::authorize(&*self.policy, &AccessRequest { action, resource: "store", attributes })?;
        Ok(item_key)
    }

    fn owner(&self, scope: Scope) -> ScriptResult<Option<&Ident>> {
        match (scope, &self.ident) {
            (Scope::Global, _) => Ok(None),
            (Scope::Own, Some(ident)) => Ok(Some(ident)),
            (Scope::Own, None) if self.require_ident => Err(ScriptError::invalid(
                "the script has no identity, which its own keys need; global keys work without one",
            )),
            (Scope::Own, None) => {
                self.warn_once();
                Ok(None)
            }
        }
    }

    fn warn_once(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("a script without an identity uses the store: its own keys are the global ones");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_cut_towards_the_past() {
        for (micros, seconds) in [(0, 0), (999_999, 0), (1_000_000, 1), (-1, -1)] {
            assert_eq!(whole_seconds(Timestamp::from_micros(micros).unwrap()), seconds);
        }
    }
}
