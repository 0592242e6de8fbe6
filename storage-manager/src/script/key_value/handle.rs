//! A handle to a store.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use storage_core::{ItemKey, MAX_KEY_BYTES};

use super::{Entry, Put, StoreInfo, stores::Store};
use crate::{
    Expiry,
    script::{
        AccessRequest, Action, Attributes, Ident, ScriptError, ScriptErrorKind, ScriptLimits, ScriptResult,
        ScriptValue, Ttl, items::Write, policy,
    },
};

/// A handle to a key-value store, acquired by [`UnitOfWork::acquire`](super::UnitOfWork::acquire). Clones are the same
/// handle: releasing one releases all.
///
/// Keys are text of 1 to 1,024 bytes without control characters, compared byte for byte. Entries are there until their
/// ttl ends, and from then on for nobody, whether or not anything was cleaned up.
///
/// # Errors of every call
/// In this order: `INVALID` if the handle is released or its unit of work has ended, or for a key outside its limits;
/// `PERMISSION_DENIED` if the policy says so; `INVALID` for a value that exceeds the
/// [`ScriptLimits`](crate::script::ScriptLimits) or for a ttl that cannot be; then those of the storage, as
/// [`ScriptError`] maps them.
#[derive(Debug, Clone)]
pub struct KeyValueStore {
    store: Arc<Store>,
    ident: Option<Ident>,
    released: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl KeyValueStore {
    pub(super) fn new(store: Arc<Store>, ident: Option<Ident>, ended: Arc<AtomicBool>) -> Self {
        Self { store, ident, released: Arc::default(), ended }
    }

    /// The id of the store.
    pub fn id(&self) -> &str {
        &self.store.id
    }

    /// How large values may be.
    pub fn limits(&self) -> ScriptLimits {
        self.store.items.limits
    }

    /// Gives the handle back; every further call is `INVALID`. Returns `true`, however often it is called. Entries stay.
    pub fn release(&self) -> bool {
        self.released.store(true, Ordering::Release);
        true
    }

    /// Whether the handle was released or its unit of work has ended.
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire) || self.ended.load(Ordering::Acquire)
    }

    /// The value under `key`; `None` if there is no entry.
    ///
    /// # Errors
    /// `INTERNAL` if the entry is damaged or in an encoding that scripts cannot read; those of every call.
    pub async fn get(&self, key: &str) -> ScriptResult<Option<ScriptValue>> {
        let store = self.prepare(Action::KeyGet, key)?;
        let item = store.items.load(&store.content_type, key).await?;
        item.map(|item| store.items.value(&item)).transpose()
    }

    /// The value under `key` with its version, times and ttl; `None` if there is no entry.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn entry(&self, key: &str) -> ScriptResult<Option<Entry>> {
        let store = self.prepare(Action::KeyGet, key)?;
        let Some(item) = store.items.load(&store.content_type, key).await? else { return Ok(None) };
        Ok(Some(Entry::new(store.items.value(&item)?, &item.metadata, store.items.clock())))
    }

    /// Stores a value, replacing what was there together with its deadline. Nil is no value.
    ///
    /// # Errors
    /// `INVALID` for nil; `UNAVAILABLE`, retryable, if the store is full and the key is new; those of every call.
    pub async fn set(&self, key: &str, value: &ScriptValue, ttl: Ttl) -> ScriptResult<()> {
        self.put(key, value, Put { ttl, ..Put::default() }).await.map(|_| ())
    }

    /// Stores a value under a condition and returns the version of the entry.
    ///
    /// # Errors
    /// `ALREADY_EXISTS` if there is an entry and there must be none; `CONFLICT` if the entry is gone or has another
    /// version; `INVALID` if both conditions are asked for; otherwise as [`set`](Self::set). Nothing was changed then.
    pub async fn put(&self, key: &str, value: &ScriptValue, put: Put) -> ScriptResult<u64> {
        let store = self.prepare(Action::KeySet, key)?;
        check_value(value)?;
        let condition = put.condition()?;
        let write = Write { expires_at: put.ttl.deadline(store.items.clock())?, condition };
        let item = store.items.save(&store.content_type, key, value, write).await?;
        Ok(item.metadata.version)
    }

    /// Stores a value if there is no entry, and says whether it did. Of several at once, exactly one does.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn add(&self, key: &str, value: &ScriptValue, ttl: Ttl) -> ScriptResult<bool> {
        match self.put(key, value, Put { ttl, only_if_absent: true, if_version: None }).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ScriptErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether there is an entry under `key`, readable or not.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn has(&self, key: &str) -> ScriptResult<bool> {
        let store = self.prepare(Action::KeyHas, key)?;
        Ok(store.items.load(&store.content_type, key).await?.is_some())
    }

    /// The same as [`has`](Self::has).
    ///
    /// # Errors
    /// Those of every call.
    pub async fn exists(&self, key: &str) -> ScriptResult<bool> {
        self.has(key).await
    }

    /// Deletes the entry under `key` and says whether there was one; an expired one was none.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn delete(&self, key: &str) -> ScriptResult<bool> {
        let store = self.prepare(Action::KeyDelete, key)?;
        store.items.delete(&store.content_type, key).await
    }

    /// How long the entry under `key` still lives; `None` if there is no entry.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn ttl(&self, key: &str) -> ScriptResult<Option<Ttl>> {
        let store = self.prepare(Action::KeyGet, key)?;
        let item = store.items.load(&store.content_type, key).await?;
        Ok(item.map(|item| Ttl::left(item.metadata.expires_at, store.items.clock())))
    }

    /// Gives the entry under `key` another time to live, or none, from now on, and says whether there was one. The value
    /// stays; the version grows.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn expire(&self, key: &str, ttl: Ttl) -> ScriptResult<bool> {
        let store = self.prepare(Action::KeySet, key)?;
        let expiry = Expiry::from(ttl.deadline(store.items.clock())?);
        Ok(store.items.manager.touch(key, &store.content_type, expiry).await?.is_some())
    }

    /// What the store is.
    ///
    /// # Errors
    /// Those of every call.
    pub fn info(&self) -> ScriptResult<StoreInfo> {
        let store = self.store()?;
        self.authorize(Action::StoreInfo, Attributes::default())?;
        let info = store.items.manager.provider_for(&store.content_type)?.info();
        let limit = store.items.limits.bytes as u64;
        Ok(StoreInfo {
            id: store.id.clone(),
            backend: info.name.into_owned(),
            durable: info.capabilities.durable,
            shared: info.capabilities.shared,
            max_key_bytes: MAX_KEY_BYTES as u64,
            max_value_bytes: info.capabilities.max_payload.min(limit),
        })
    }

    /// The store, as long as the handle may be used.
    pub(super) fn store(&self) -> ScriptResult<&Store> {
        if self.is_released() {
            return Err(ScriptError::invalid("the store is released"));
        }
        Ok(&self.store)
    }

    /// The store, once a call about `key` is known to be sound and allowed.
    pub(super) fn prepare(&self, action: Action, key: &str) -> ScriptResult<&Store> {
        let store = self.store()?;
        ItemKey::new(&store.content_type, key).map_err(|error| ScriptError::invalid(error.message()))?;
        self.authorize(action, Attributes { key: Some(key), ..Attributes::default() })?;
        Ok(store)
    }

    pub(super) fn authorize(&self, action: Action, attributes: Attributes<'_>) -> ScriptResult<()> {
        policy::authorize(&*self.store.policy, &self.request(action, attributes))
    }

    /// Whether the policy allows a call about `key`.
    pub(super) fn may(&self, action: Action, key: &str) -> bool {
        let attributes = Attributes { key: Some(key), ..Attributes::default() };
        self.store.policy.allows(&self.request(action, attributes))
    }

    fn request<'a>(&'a self, action: Action, attributes: Attributes<'a>) -> AccessRequest<'a> {
        let ident = self.ident.as_ref().map(Ident::as_str);
        AccessRequest { action, resource: &self.store.id, attributes: Attributes { ident, ..attributes } }
    }
}

/// Nil is how a missing entry is answered, so it cannot be told from one.
pub(super) fn check_value(value: &ScriptValue) -> ScriptResult<()> {
    if value.is_nil() {
        return Err(ScriptError::invalid("the value is nil; delete the key instead"));
    }
    Ok(())
}
