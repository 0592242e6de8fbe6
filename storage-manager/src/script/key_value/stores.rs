//! The stores that scripts can acquire.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use storage_core::{ErrorKind, ItemKey, Result, SharedClock, StorageError, StorageProvider};

use super::{UnitOfWork, turns::Turns};
use crate::{
    UnifiedStorageManager,
    script::{
        AccessPolicy, AccessRequest, Action, ScriptError, ScriptErrorKind, ScriptLimits, ScriptResult,
        error::shown, items::Items, policy,
    },
};

/// The key-value stores of a host, by id. Clones are cheap and share everything.
///
/// The entries of the store `app:cache` are items of the content type `kv/app:cache`, each under its own key: they can be
/// searched, counted and measured as all others.
///
/// ```
/// # use storage_manager::{*, script::{AllowAll, KeyValueStores, Ttl}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let stores = KeyValueStores::new(&UnifiedStorageManager::new(), AllowAll);
/// stores.register("app:cache", MemoryProvider::default())?;
///
/// let unit = stores.unit_of_work();
/// let cache = unit.acquire("app:cache")?;
/// cache.set("user:123", &"Alice".into(), Ttl::from_seconds(3_600.0)?).await?;
/// assert_eq!(cache.get("user:123").await?, Some("Alice".into()));
///
/// drop(unit); // the script is done: its handles are released
/// assert!(cache.get("user:123").await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct KeyValueStores {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    items: Items,
    policy: Arc<dyn AccessPolicy>,
    /// `None` for a store that is configured and not started yet.
    stores: RwLock<HashMap<String, Option<Arc<Store>>>>,
}

/// What all handles of one store share.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) id: String,
    pub(super) content_type: String,
    pub(super) items: Items,
    pub(super) policy: Arc<dyn AccessPolicy>,
    pub(super) turns: Turns,
}

impl KeyValueStores {
    /// No stores yet. The policy is asked before every call of a script; [`AllowAll`](crate::script::AllowAll) trusts
    /// them all.
    pub fn new(manager: &UnifiedStorageManager, policy: impl AccessPolicy) -> Self {
        Self::with_limits(manager, policy, ScriptLimits::default())
    }

    /// No stores yet, for values within `limits`.
    pub fn with_limits(
        manager: &UnifiedStorageManager,
        policy: impl AccessPolicy,
        limits: ScriptLimits,
    ) -> Self {
        let items = Items { manager: manager.clone(), limits };
        let inner = Inner { items, policy: Arc::new(policy), stores: RwLock::default() };
        Self { inner: Arc::new(inner) }
    }

    /// How large values may be.
    pub fn limits(&self) -> ScriptLimits {
        self.inner.items.limits
    }

    /// The manager below.
    pub fn manager(&self) -> &UnifiedStorageManager {
        &self.inner.items.manager
    }

    /// The clock that times to live are counted by: that of the manager, for the providers as well.
    pub fn clock(&self) -> SharedClock {
        Arc::clone(&self.manager().dispatch().clock)
    }

    /// The content type of the entries of the store `id`.
    pub fn content_type(id: &str) -> String {
        format!("kv/{id}")
    }

    /// Makes `provider` the store `id`, by giving it the route of that store's content type.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the id is empty, is taken, or holds other characters than ASCII letters, digits and
    /// `. _ + - / :`.
    pub fn register(&self, id: &str, provider: impl StorageProvider) -> Result<()> {
        check_id(id)?;
        let mut stores = self.inner.stores.write().unwrap_or_else(PoisonError::into_inner);
        check_free(&stores, id)?;
        self.manager().register_provider(&Self::content_type(id), provider)?;
        stores.insert(id.to_owned(), Some(self.store(id)));
        Ok(())
    }

    /// Makes a store `id` of whatever the manager routes that store's content type to.
    ///
    /// # Errors
    /// As [`register`](Self::register); [`ErrorKind::NoProvider`] if it is routed nowhere.
    pub fn register_routed(&self, id: &str) -> Result<()> {
        check_id(id)?;
        self.manager().provider_for(&Self::content_type(id))?;
        let mut stores = self.inner.stores.write().unwrap_or_else(PoisonError::into_inner);
        check_free(&stores, id)?;
        stores.insert(id.to_owned(), Some(self.store(id)));
        Ok(())
    }

    /// Makes a store known that is not started yet: to acquire it is `UNAVAILABLE` until it is registered.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub fn declare(&self, id: &str) -> Result<()> {
        check_id(id)?;
        let mut stores = self.inner.stores.write().unwrap_or_else(PoisonError::into_inner);
        if stores.contains_key(id) {
            return Err(taken(id));
        }
        stores.insert(id.to_owned(), None);
        Ok(())
    }

    /// The ids of all stores, in alphabetical order.
    pub fn ids(&self) -> Vec<String> {
        let stores = self.inner.stores.read().unwrap_or_else(PoisonError::into_inner);
        let mut ids: Vec<_> = stores.keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    /// Begins what a script does from its start to its end: the handles acquired through it are released with it.
    pub fn unit_of_work(&self) -> UnitOfWork {
        UnitOfWork::new(self.clone())
    }

    /// The store of an id, if `request` for it is allowed.
    pub(super) fn find(&self, request: &AccessRequest<'_>) -> ScriptResult<Arc<Store>> {
        debug_assert_eq!(request.action, Action::StoreGet);
        let id = request.resource;
        if id.is_empty() {
            return Err(ScriptError::invalid("the id of the store is empty"));
        }
        // Before the look-up, so that nobody learns of stores that are not theirs.
        policy::authorize(&*self.inner.policy, request)?;
        let stores = self.inner.stores.read().unwrap_or_else(PoisonError::into_inner);
        match stores.get(id) {
            Some(Some(store)) => Ok(Arc::clone(store)),
            Some(None) => Err(ScriptError::new(
                ScriptErrorKind::Unavailable,
                format!("the store {} is not started", shown(id)),
            )),
            None => {
                Err(ScriptError::new(ScriptErrorKind::NotFound, format!("there is no store {}", shown(id))))
            }
        }
    }

    fn store(&self, id: &str) -> Arc<Store> {
        Arc::new(Store {
            id: id.to_owned(),
            content_type: Self::content_type(id),
            items: self.inner.items.clone(),
            policy: Arc::clone(&self.inner.policy),
            turns: Turns::default(),
        })
    }
}

fn check_free(stores: &HashMap<String, Option<Arc<Store>>>, id: &str) -> Result<()> {
    if matches!(stores.get(id), Some(Some(_))) { Err(taken(id)) } else { Ok(()) }
}

fn taken(id: &str) -> StorageError {
    StorageError::new(ErrorKind::Config, format!("there is a store {} already", shown(id)))
}

/// Checks that an id can be part of a content type.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let invalid =
        |why: &str| StorageError::new(ErrorKind::Config, format!("the id {} of a store {why}", shown(id)));
    if id.is_empty() {
        return Err(invalid("is empty"));
    }
    let content_type = KeyValueStores::content_type(id);
    match ItemKey::new(&content_type, "key") {
        Ok(_) => Ok(()),
        Err(error) => Err(invalid("cannot be part of a content type").with_source(error)),
    }
}
