//! Values as items of a manager: what `store`, `registry` and key-value stores have in common.

use storage_core::{Bytes, Clock, Condition, Encoding, Result, StorageItem, StorageMetadata, Timestamp};

use super::{
    ScriptLimits, ScriptResult, ScriptValue,
    codec::{self, ENCODING},
};
use crate::UnifiedStorageManager;

/// Reads and writes values below one manager.
#[derive(Debug, Clone)]
pub(crate) struct Items {
    pub(crate) manager: UnifiedStorageManager,
    pub(crate) limits: ScriptLimits,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Write {
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) condition: Condition,
}

impl Items {
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.manager.dispatch().clock
    }

    /// Stores `value`; nothing is sent if it exceeds the limits.
    pub(crate) async fn save(
        &self,
        content_type: &str,
        key: &str,
        value: &ScriptValue,
        write: Write,
    ) -> ScriptResult<StorageItem> {
        self.write(content_type, key, self.encode(value)?, write).await
    }

    /// The bytes of a value, unless it exceeds the limits.
    pub(crate) fn encode(&self, value: &ScriptValue) -> ScriptResult<Bytes> {
        codec::encode(value, self.limits)
    }

    /// Stores a value that was encoded already.
    pub(crate) async fn write(
        &self,
        content_type: &str,
        key: &str,
        data: Bytes,
        write: Write,
    ) -> ScriptResult<StorageItem> {
        let save = self.manager.save_bytes(key, data, content_type).encoding(Encoding::new(ENCODING)?);
        Ok(save.expires_at(write.expires_at).condition(write.condition).await?)
    }

    /// Stores `value` in the place of `old`, unless that changed: its deadline, tags and encoding are kept.
    pub(crate) async fn update(&self, old: &StorageMetadata, value: &ScriptValue) -> ScriptResult<()> {
        let (data, encoding) = codec::encode_as(&old.encoding, value, self.limits)?;
        let save = self.manager.save_bytes(&old.key, data, &old.content_type).encoding(encoding);
        save.expires_at(old.expires_at).tags(old.tags.clone()).if_version(old.version).await?;
        Ok(())
    }

    pub(crate) async fn load(&self, content_type: &str, key: &str) -> Result<Option<StorageItem>> {
        self.manager.load_bytes(key, content_type).await
    }

    /// The value of an item.
    pub(crate) fn value(&self, item: &StorageItem) -> ScriptResult<ScriptValue> {
        Ok(codec::decode_item(item, self.limits)?)
    }

    pub(crate) async fn delete(&self, content_type: &str, key: &str) -> ScriptResult<bool> {
        Ok(self.manager.delete(key, content_type).await?)
    }
}
