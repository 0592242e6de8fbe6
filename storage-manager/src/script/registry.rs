//! The module `registry`: values that all scripts share.

use std::sync::Arc;

use super::{
    AccessPolicy, AccessRequest, Action, AllowAll, Attributes, Ident, ScriptLimits, ScriptResult,
    ScriptValue, Stamped,
    items::{Items, Write},
    namespace, policy,
};
use crate::UnifiedStorageManager;

/// The module `registry`: values under keys that all scripts share.
///
/// Keys, values and times are those of [`ScriptStore`](super::ScriptStore); the two never meet. Whether values survive a
/// restart is decided by the provider that the content type [`ScriptRegistry::CONTENT_TYPE`] is routed to: give it a
/// durable one, as the registry's documentation promises, unless losing them is what you want.
///
/// # Errors of every call
/// As those of [`ScriptStore`](super::ScriptStore).
#[derive(Debug, Clone)]
pub struct ScriptRegistry {
    items: Items,
    ident: Option<Ident>,
    policy: Arc<dyn AccessPolicy>,
}

impl ScriptRegistry {
    /// The content type of the items.
    pub const CONTENT_TYPE: &'static str = "script/registry";

    /// A registry over `manager` that allows every call.
    pub fn new(manager: &UnifiedStorageManager) -> Self {
        let items = Items { manager: manager.clone(), limits: ScriptLimits::default() };
        Self { items, ident: None, policy: Arc::new(AllowAll) }
    }

    /// Tells the policy which script asks.
    #[must_use]
    pub fn with_ident(mut self, ident: Ident) -> Self {
        self.ident = Some(ident);
        self
    }

    /// Sets how large values may be.
    #[must_use]
    pub fn with_limits(mut self, limits: ScriptLimits) -> Self {
        self.items.limits = limits;
        self
    }

    /// Sets which calls are allowed.
    #[must_use]
    pub fn with_policy(mut self, policy: impl AccessPolicy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// How large values may be.
    pub const fn limits(&self) -> ScriptLimits {
        self.items.limits
    }

    /// Whether values survive a restart of the process: what the provider says that the registry is routed to.
    ///
    /// # Errors
    /// `NOT_FOUND` if it is routed nowhere.
    pub fn is_durable(&self) -> ScriptResult<bool> {
        let provider = self.items.manager.provider_for(Self::CONTENT_TYPE)?;
        Ok(provider.info().capabilities.durable)
    }

    /// Stores a value. Nil is stored as well, and is not a delete.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn put(&self, key: &str, value: &ScriptValue) -> ScriptResult<()> {
        self.prepare(Action::AgentRegistryPut, key)?;
        self.items.save(Self::CONTENT_TYPE, key, value, Write::default()).await?;
        Ok(())
    }

    /// The value under a key and when it was put; `None` if nothing is there.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn get(&self, key: &str) -> ScriptResult<Option<Stamped>> {
        self.prepare(Action::AgentRegistryGet, key)?;
        let Some(item) = self.items.load(Self::CONTENT_TYPE, key).await? else { return Ok(None) };
        Ok(Some(Stamped::new(self.items.value(&item)?, &item.metadata)))
    }

    /// Deletes a key, if it is there.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn delete(&self, key: &str) -> ScriptResult<()> {
        self.prepare(Action::AgentRegistryDelete, key)?;
        self.items.delete(Self::CONTENT_TYPE, key).await?;
        Ok(())
    }

    fn prepare(&self, action: Action, key: &str) -> ScriptResult<()> {
        namespace::check_key(key)?;
        let attributes = Attributes {
            key: Some(key),
            ident: self.ident.as_ref().map(Ident::as_str),
            ..Attributes::default()
        };
        policy::authorize(&*self.policy, &AccessRequest { action, resource: "registry", attributes })
    }
}
