use storage_manager::{Condition, ErrorKind, SaveRequest, StorageProvider, StorageQuery, layers::ReadOnly};

use crate::support::{key, memory};

#[tokio::test]
async fn every_write_is_refused_and_every_read_answered_until_writes_are_allowed() {
    let memory = memory();
    memory.save(SaveRequest::new(key("a"), "x")).await.unwrap();
    let store = ReadOnly::new(memory);
    let refused = [
        store.save(SaveRequest::new(key("a"), "y")).await.unwrap_err(),
        store.delete(key("a"), Condition::None).await.unwrap_err(),
        store.touch(key("a"), None).await.unwrap_err(),
        store.save_many(vec![SaveRequest::new(key("a"), "y")]).await.remove(0).unwrap_err(),
        store.delete_many(&[key("a")]).await.remove(0).unwrap_err(),
        store.cleanup().await.unwrap_err(),
    ];
    let operations = ["save", "delete", "touch", "save_many", "delete_many", "cleanup"];
    for (error, operation) in refused.iter().zip(operations) {
        assert_eq!((error.kind(), error.operation()), (ErrorKind::ReadOnly, Some(operation)));
        assert_eq!(error.provider(), Some("memory"));
        assert_eq!(error.key(), if operation == "cleanup" { None } else { Some("a") });
    }
    assert_eq!(store.load(key("a")).await.unwrap().unwrap().data, "x");
    assert_eq!(store.load_many(&[key("a")]).await.len(), 1);
    assert_eq!(store.search(&StorageQuery::new()).await.unwrap().results.len(), 1);
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), 1);
    assert_eq!(store.usage().await.unwrap().total().items, 1);
    store.allow_writes(true);
    assert!(store.delete(key("a"), Condition::None).await.unwrap());
    store.allow_writes(false);
    assert_eq!(store.cleanup().await.unwrap_err().kind(), ErrorKind::ReadOnly);
}
