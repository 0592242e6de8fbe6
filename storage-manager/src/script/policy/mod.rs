//! Who may do what.

mod rules;

use std::fmt;

pub use rules::RulePolicy;

use super::{ScriptError, ScriptErrorKind, ScriptResult, error::shown};

/// What a script asks to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Acquire a key-value store.
    StoreGet,
    /// Learn what a key-value store is.
    StoreInfo,
    /// Delete the entries of a key-value store, each of which must be allowed to be deleted as well.
    StoreClear,
    /// Read an entry of a key-value store.
    KeyGet,
    /// Write an entry of a key-value store, or move its deadline.
    KeySet,
    /// Delete an entry of a key-value store.
    KeyDelete,
    /// Learn whether an entry of a key-value store exists.
    KeyHas,
    /// List keys of a key-value store, each of which must be allowed to be asked for (`store.key.has`) as well.
    KeyList,
    /// Read an entry of the module `store`.
    AgentStoreGet,
    /// Write an entry of the module `store`.
    AgentStorePut,
    /// Delete an entry of the module `store`.
    AgentStoreDelete,
    /// Read an entry of the module `registry`.
    AgentRegistryGet,
    /// Write an entry of the module `registry`.
    AgentRegistryPut,
    /// Delete an entry of the module `registry`.
    AgentRegistryDelete,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 14] = [
        Self::StoreGet,
        Self::StoreInfo,
        Self::StoreClear,
        Self::KeyGet,
        Self::KeySet,
        Self::KeyDelete,
        Self::KeyHas,
        Self::KeyList,
        Self::AgentStoreGet,
        Self::AgentStorePut,
        Self::AgentStoreDelete,
        Self::AgentRegistryGet,
        Self::AgentRegistryPut,
        Self::AgentRegistryDelete,
    ];

    /// The name of the action in policies, for example `store.key.get`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StoreGet => "store.get",
            Self::StoreInfo => "store.info",
            Self::StoreClear => "store.clear",
            Self::KeyGet => "store.key.get",
            Self::KeySet => "store.key.set",
            Self::KeyDelete => "store.key.delete",
            Self::KeyHas => "store.key.has",
            Self::KeyList => "store.key.list",
            Self::AgentStoreGet => "agent.store.get",
            Self::AgentStorePut => "agent.store.put",
            Self::AgentStoreDelete => "agent.store.delete",
            Self::AgentRegistryGet => "agent.registry.get",
            Self::AgentRegistryPut => "agent.registry.put",
            Self::AgentRegistryDelete => "agent.registry.delete",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call that waits for a decision: what, on which store, and with which key, every part by itself as it was parsed.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    /// What is asked for.
    pub action: Action,
    /// The id of the key-value store; `store` or `registry` for these modules.
    pub resource: &'a str,
    /// What else is known of the call.
    pub attributes: Attributes<'a>,
}

/// What a policy can look at beside action and resource. An absent attribute is no empty one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'a> {
    /// The key of the entry.
    pub key: Option<&'a str>,
    /// The beginning of the keys that a list asks for.
    pub prefix: Option<&'a str>,
    /// The identity of the script, if the host gave it one.
    pub ident: Option<&'a str>,
    /// `own` or `global`: which keys of the module `store` are meant.
    pub scope: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    /// The names of all attributes.
    pub const NAMES: [&'static str; 4] = ["key", "prefix", "ident", "scope"];

    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        match name {
            "key" => self.key,
            "prefix" => self.prefix,
            "ident" => self.ident,
            "scope" => self.scope,
            _ => None,
        }
    }
}

/// Decides which calls of scripts are allowed. It is asked before every single one, so it should be quick.
pub trait AccessPolicy: fmt::Debug + Send + Sync + 'static {
    /// Whether the call is allowed.
    fn allows(&self, request: &AccessRequest<'_>) -> bool;
}

/// The policy of hosts that trust all their scripts with all their stores.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

impl AccessPolicy for AllowAll {
    fn allows(&self, _request: &AccessRequest<'_>) -> bool {
        true
    }
}

impl<P: AccessPolicy + ?Sized> AccessPolicy for std::sync::Arc<P> {
    fn allows(&self, request: &AccessRequest<'_>) -> bool {
        (**self).allows(request)
    }
}

/// Asks the policy.
///
/// # Errors
/// `PERMISSION_DENIED` naming action, store and key.
pub(crate) fn authorize(policy: &dyn AccessPolicy, request: &AccessRequest<'_>) -> ScriptResult<()> {
    if policy.allows(request) {
        return Ok(());
    }
    let mut message = format!("{} on {} is not allowed", request.action, shown(request.resource));
    if let Some(key) = request.attributes.key {
        message.push_str(&format!(" (key {})", shown(key)));
    }
    Err(ScriptError::new(ScriptErrorKind::PermissionDenied, message))
}
