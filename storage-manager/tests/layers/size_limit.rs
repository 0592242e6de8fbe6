use storage_manager::{ErrorKind, SaveRequest, StorageProvider, layers::SizeLimit};

use crate::support::{Scripted, key};

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent_and_the_rest_of_a_batch_is_saved() {
    let provider = Scripted::new([]);
    let store = SizeLimit::new(provider.clone(), 3);
    let too_large = ErrorKind::TooLarge { size: 4, max: 3 };
    assert_eq!(store.save(SaveRequest::new(key("a"), "1234")).await.unwrap_err().kind(), too_large);
    assert_eq!(provider.calls(), 0);
    let texts = ["123", "1234", ""];
    let requests = texts.iter().zip(["a", "b", "c"]).map(|(text, name)| SaveRequest::new(key(name), *text));
    let answers = store.save_many(requests.collect()).await;
    assert_eq!(answers[0].as_ref().unwrap().data, "123");
    let error = answers[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.key()), (too_large, Some("b")));
    assert_eq!(answers[2].as_ref().unwrap().metadata.key, "c");
}

#[test]
fn a_limit_above_that_of_the_provider_is_that_of_the_provider() {
    let provider = Scripted::new([]);
    let max = provider.info().capabilities.max_payload;
    assert_eq!(SizeLimit::new(provider, u64::MAX).info().capabilities.max_payload, max);
}
