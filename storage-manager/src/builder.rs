//! Describes a manager before it is made.

use std::{sync::Arc, time::Duration};

use storage_core::{Codec, ErrorKind, Result, SharedClock, StorageError, StorageProvider, SystemClock};

use crate::{
    StorageMonitor, UnifiedStorageManager, dispatch::Dispatch, manager::Inner, routes::SharedProvider,
    sweeper::Sweeper,
};

/// Describes a [`UnifiedStorageManager`]: its routes and settings. Nothing is checked before [`build`](Self::build).
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    routes: Vec<(String, SharedProvider)>,
    pub(crate) codec: Codec,
    pub(crate) clock: SharedClock,
    pub(crate) monitor: StorageMonitor,
    pub(crate) deadline: Duration,
    sweep_every: Option<Duration>,
}

impl Builder {
    /// Longest wait for one provider in cleanup, close and health, unless set otherwise: 30 seconds.
    pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

    pub(crate) fn new() -> Self {
        Self {
            routes: Vec::new(),
            codec: Codec::default(),
            clock: SystemClock::shared(),
            monitor: StorageMonitor::new(),
            deadline: Self::DEFAULT_DEADLINE,
            sweep_every: None,
        }
    }

    /// Sends a content type to `provider`: `session` exactly, `image/*` by prefix, `*` everything else.
    ///
    /// Give one [`Arc`] of a provider to several routes to have them share it.
    pub fn register(mut self, route: impl Into<String>, provider: impl StorageProvider) -> Self {
        self.routes.push((route.into(), Arc::new(provider)));
        self
    }

    /// Sends every content type that has no route of its own to `provider`. The same as the route `*`.
    pub fn fallback(self, provider: impl StorageProvider) -> Self {
        self.register("*", provider)
    }

    /// How typed values are encoded unless a save says otherwise. Default: [`Codec::Json`].
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// What a time to live counts from. Default: the wall clock. Give providers the same clock.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// What counts and times the calls. Default: a new [`StorageMonitor`] on the recorder of the `metrics` facade.
    pub fn monitor(mut self, monitor: StorageMonitor) -> Self {
        self.monitor = monitor;
        self
    }

    /// Longest wait for one provider in cleanup, close and health. Default: 30 seconds.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Cleans all providers up in the background, the first time after one interval, and updates the metrics of size and
    /// items. Default: never. Stops with [`close`](UnifiedStorageManager::close), or when the last handle is dropped.
    pub fn sweep_every(mut self, interval: Duration) -> Self {
        self.sweep_every = Some(interval);
        self
    }

    /// Makes the manager.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if a route is empty, there twice or could match no content type; if the deadline or the
    /// interval of the sweeper is zero; if there is to be a sweeper outside of a tokio runtime.
    pub fn build(self) -> Result<UnifiedStorageManager> {
        if self.deadline.is_zero() {
            return Err(StorageError::new(ErrorKind::Config, "the deadline must be longer than zero"));
        }
        let sweep_every = self.sweep_every;
        let dispatch = Arc::new(self.dispatch()?);
        let sweeper = sweep_every.map(|interval| Sweeper::start(interval, &dispatch)).transpose()?;
        Ok(UnifiedStorageManager::from_inner(Inner { dispatch, sweeper }))
    }

    fn dispatch(self) -> Result<Dispatch> {
        let dispatch = Dispatch::new(self.monitor, self.clock, self.codec, self.deadline);
        for (route, provider) in self.routes {
            dispatch.routes.add(&route, provider, &dispatch.monitor)?;
        }
        Ok(dispatch)
    }
}
