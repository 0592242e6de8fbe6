//! A bound for the size of payloads.

use storage_core::{
    Capabilities, ErrorKind, ProviderInfo, Result, SaveRequest, StorageError, StorageItem, StorageProvider,
    async_trait, forward,
};

/// A layer that refuses payloads above a size with [`ErrorKind::TooLarge`], before anything is sent. What is stored already
/// stays readable.
///
/// ```
/// use storage_manager::{MemoryConfig, MemoryProvider, StorageProvider, layers::SizeLimit};
///
/// let provider = SizeLimit::new(MemoryProvider::new(MemoryConfig::default()), 64 * 1_024);
/// assert_eq!(provider.info().capabilities.max_payload, 65_536);
/// ```
#[derive(Debug, Clone)]
pub struct SizeLimit<P> {
    inner: P,
    max: u64,
}

impl<P: StorageProvider> SizeLimit<P> {
    /// Takes payloads of at most `max` bytes, or of what `provider` takes if that is less.
    pub fn new(provider: P, max: u64) -> Self {
        let max = max.min(provider.info().capabilities.max_payload);
        Self { inner: provider, max }
    }

    /// The provider below.
    pub const fn inner(&self) -> &P {
        &self.inner
    }

    fn check(&self, request: &SaveRequest<'_>, operation: &'static str) -> Result<()> {
        let (size, max) = (request.data.len() as u64, self.max);
        if size <= max {
            return Ok(());
        }
        let message = format!("payload has {size} bytes, at most {max} are taken");
        Err(StorageError::new(ErrorKind::TooLarge { size, max }, message)
            .with_provider(self.inner.info().name)
            .with_operation(operation)
            .with_key(request.key))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: StorageProvider> StorageProvider for SizeLimit<P> {
    forward!(this => this.inner; identity, load, delete, search, cleanup, close, load_many);
    forward!(this => this.inner; delete_many, touch, count, usage, health);

    fn info(&self) -> ProviderInfo {
        let info = self.inner.info();
        ProviderInfo { capabilities: Capabilities::max_payload(info.capabilities, self.max), ..info }
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        self.check(&request, "save")?;
        self.inner.save(request).await
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        send_what_passes(&self.inner, requests, |request| {
            self.check(&request, "save_many")?;
            Ok(request)
        })
        .await
    }
}

/// Saves those parts of a batch that `check` lets pass, as it returns them; the others are answered with its errors.
pub(super) async fn send_what_passes<'key>(
    provider: &impl StorageProvider,
    requests: Vec<SaveRequest<'key>>,
    check: impl Fn(SaveRequest<'key>) -> Result<SaveRequest<'key>>,
) -> Vec<Result<StorageItem>> {
    let mut passed = Vec::with_capacity(requests.len());
    let mut refusals = Vec::with_capacity(requests.len());
    for request in requests {
        match check(request) {
            Ok(request) => {
                passed.push(request);
                refusals.push(None);
            }
            Err(error) => refusals.push(Some(error)),
        }
    }
    let mut answers = provider.save_many(passed).await.into_iter();
    let missing = || Err(super::too_few_answers());
    let answer = |refusal: Option<StorageError>| match refusal {
        Some(error) => Err(error),
        None => answers.next().unwrap_or_else(missing),
    };
    refusals.into_iter().map(answer).collect()
}
