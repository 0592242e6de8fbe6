//! Saves, loads, finds and deletes typed items, in memory and on disk. Takes a directory, or makes one for the occasion.
use serde::{Deserialize, Serialize};
use storage_manager::{FsProvider, MemoryProvider, Operation, Result, StorageQuery, UnifiedStorageManager};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Test {
    value: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let scratch = std::env::temp_dir().join(format!("quickstart-{}", std::process::id()));
    let directory = std::env::args_os().nth(1).map_or(scratch, Into::into);
    let manager = UnifiedStorageManager::new();
    manager.register_provider("test", MemoryProvider::default())?;
    manager.register_provider("report", FsProvider::open(&directory).await?)?;

    for content_type in ["test", "report"] {
        let data = Test { value: "test".into() };
        let item = manager.save("test_key", data, content_type).tag("purpose", "test").await?;
        assert_eq!(item.metadata.key, "test_key");
        assert_eq!(item.data.value, "test");
        assert_eq!(item.metadata.tags.get("purpose"), Some("test"));

        let loaded = manager.load::<Test>("test_key", content_type).await?;
        assert_eq!(loaded.map(|item| item.data.value).as_deref(), Some("test"));

        let query = StorageQuery::new().content_type(content_type).tag("purpose", "test");
        let mut results = manager.search::<Test>(query);
        while let Some(result) = results.next().await {
            assert_eq!(result?.item.data.value, "test");
        }
        assert!(manager.delete("test_key", content_type).await?);
    }
    manager.monitor().record_operation("test", Operation::Save, true);
    manager.monitor().record_size("test", 1_000);
    manager.close().await.into_result()?;
    println!("all fine; the files are in {}", directory.display());
    Ok(())
}
