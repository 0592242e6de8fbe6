//! Hands calls on to another provider.

use std::{pin::Pin, sync::Arc};

use crate::StorageProvider;

/// What an asynchronous method of the trait answers. Only for [`forward!`](crate::forward).
#[doc(hidden)]
pub type Answer<'call, T> = Pin<Box<dyn Future<Output = T> + Send + 'call>>;

/// Writes methods of a [`StorageProvider`] that hand the call on to another provider as it is: for layers, which change a
/// few methods and forward the others.
///
/// The other provider is named by an expression over a name for `self`. Its futures are handed on as they are: written with
/// the attribute of the trait, each method would allocate a second future around them.
///
/// ```
/// use storage_core::{
///     ErrorKind, Result, SaveRequest, StorageError, StorageItem, StorageProvider, async_trait, forward,
/// };
///
/// /// A provider that takes nothing under the content type `secret`.
/// #[derive(Debug)]
/// struct NoSecrets<P>(P);
///
/// #[async_trait]
/// #[deny(clippy::missing_trait_methods)]
/// impl<P: StorageProvider> StorageProvider for NoSecrets<P> {
///     async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
///         if request.key.content_type() == "secret" {
///             return Err(StorageError::new(ErrorKind::PermissionDenied, "no secrets here"));
///         }
///         self.0.save(request).await
///     }
///
///     async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
///         let mut answers = Vec::with_capacity(requests.len());
///         for request in requests {
///             answers.push(self.save(request).await);
///         }
///         answers
///     }
///
///     forward!(this => this.0; info, identity, load, delete, search, cleanup, close);
///     forward!(this => this.0; load_many, delete_many, touch, count, usage, health);
/// }
/// ```
#[macro_export]
macro_rules! forward {
    ($this:ident => $to:expr; $($method:ident),+ $(,)?) => {
        $( $crate::__forward!($method $this => $to); )+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __forward {
    (info $this:ident => $to:expr) => {
        fn info(&self) -> $crate::ProviderInfo {
            let $this = self;
            $to.info()
        }
    };
    (identity $this:ident => $to:expr) => {
        fn identity(&self) -> usize {
            let $this = self;
            $to.identity()
        }
    };
    (save $this:ident => $to:expr) => {
        $crate::__forward!(@ $this => $to; save(request: $crate::SaveRequest<'key>) -> $crate::Result<$crate::StorageItem>);
    };
    (load $this:ident => $to:expr) => {
        $crate::__forward!(@ $this => $to; load(key: $crate::ItemKey<'key>) -> $crate::Result<Option<$crate::StorageItem>>);
    };
    (delete $this:ident => $to:expr) => {
        $crate::__forward!(@ $this => $to; delete(key: $crate::ItemKey<'key>, condition: $crate::Condition) -> $crate::Result<bool>);
    };
    (search $this:ident => $to:expr) => {
        $crate::__forward!(@ $this => $to; search(query: &'key $crate::StorageQuery) -> $crate::Result<$crate::SearchPage>);
    };
    (cleanup $this:ident => $to:expr) => {
        $crate::__forward!(@ $this => $to; cleanup() -> $crate::Result<$crate::CleanupReport>);
    };
    (close $this:ident => $to:expr) => {
        $crate::__forward!(@ $this => $to; close() -> $crate::Result<()>);
    };
    (save_many $this:ident => $to:expr) => {
        $crate::__forward!(@ $this => $to; save_many(requests: Vec<$crate::SaveRequest<'key>>) -> Vec<$crate::Result<$crate::StorageItem>>);
    };
    (load_many $this:ident => $to:expr) => {
        fn load_many<'own, 'list, 'key, 'call>(
            &'own self,
            keys: &'list [$crate::ItemKey<'key>],
        ) -> $crate::Answer<'call, Vec<$crate::Result<Option<$crate::StorageItem>>>>
        where
            'own: 'call,
            'list: 'call,
            'key: 'call,
            Self: 'call,
        {
            let $this = self;
            $to.load_many(keys)
        }
    };
    (delete_many $this:ident => $to:expr) => {
        fn delete_many<'own, 'list, 'key, 'call>(
            &'own self,
            keys: &'list [$crate::ItemKey<'key>],
        ) -> $crate::Answer<'call, Vec<$crate::Result<bool>>>
        where
            'own: 'call,
            'list: 'call,
            'key: 'call,
            Self: 'call,
        {
            let $this = self;
            $to.delete_many(keys)
        }
    };
    (touch $this:ident => $to:expr) => {
        $crate::__forward!(@ $this => $to; touch(key: $crate::ItemKey<'key>, expires_at: Option<$crate::Timestamp>) -> $crate::Result<Option<::std::sync::Arc<$crate::StorageMetadata>>>);
    };
    (count $this:ident => $to:expr) => {
        $crate::__forward!(@ $this => $to; count(query: &'key $crate::StorageQuery) -> $crate::Result<u64>);
    };
    (usage $this:ident => $to:expr) => {
        $crate::__forward!(@ $this => $to; usage() -> $crate::Result<$crate::Usage>);
    };
    (health $this:ident => $to:expr) => {
        $crate::__forward!(@ $this => $to; health() -> $crate::Health);
    };
    (@ $this:ident => $to:expr; $method:ident() -> $answer:ty) => {
        fn $method<'own, 'call>(&'own self) -> $crate::Answer<'call, $answer>
        where
            'own: 'call,
            Self: 'call,
        {
            let $this = self;
            $to.$method()
        }
    };
    (@ $this:ident => $to:expr; $method:ident($($argument:ident: $type:ty),+) -> $answer:ty) => {
        fn $method<'own, 'key, 'call>(&'own self, $($argument: $type),+) -> $crate::Answer<'call, $answer>
        where
            'own: 'call,
            'key: 'call,
            Self: 'call,
        {
            let $this = self;
            $to.$method($($argument),+)
        }
    };
}

/// Shared providers are providers.
#[deny(clippy::missing_trait_methods)]
impl<P: StorageProvider + ?Sized> StorageProvider for Arc<P> {
    forward!(this => (**this); info, identity, save, load, delete, search, cleanup, close);
    forward!(this => (**this); save_many, load_many, delete_many, touch, count, usage, health);
}
