//! Typed items in memory and on disk: saved, loaded, found by a tag, deleted, measured.
use serde::{Deserialize, Serialize};
use storage_manager::{FsProvider, MemoryProvider, Operation, Result, StorageQuery, UnifiedStorageManager};

#[derive(Serialize, Deserialize)]
struct Test {
    value: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let manager = UnifiedStorageManager::new();
    manager.register_provider("test", MemoryProvider::default())?;
    manager.register_provider("report", FsProvider::open("quickstart-data").await?)?;

    for kind in ["test", "report"] {
        let item =
            manager.save("test_key", Test { value: "test".into() }, kind).tag("purpose", "test").await?;
        assert_eq!((&*item.metadata.key, item.metadata.tags.get("purpose")), ("test_key", Some("test")));

        let loaded = manager.load::<Test>("test_key", kind).await?;
        assert_eq!(loaded.map(|item| item.data.value).as_deref(), Some("test"));

        let mut found = manager.search::<Test>(StorageQuery::new().content_type(kind).tag("purpose", "test"));
        while let Some(result) = found.next().await {
            println!("found in {kind}: {}", result?.item.data.value);
        }
        assert!(manager.delete("test_key", kind).await?);
    }
    manager.monitor().record_operation("test", Operation::Save, true);
    manager.monitor().record_size("test", 1_000);
    manager.close().await.into_result()?;
    Ok(())
}
