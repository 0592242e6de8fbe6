//! Which provider takes which content type.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use storage_core::{ErrorKind, Result, StorageError, StorageProvider};

use crate::{
    StorageMonitor,
    patterns::{Pattern, PatternMap},
    series::Series,
};

/// A provider as the manager shares it.
pub(crate) type SharedProvider = Arc<dyn StorageProvider>;

/// A content type or pattern with the provider that takes it.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) pattern: Pattern,
    pub(crate) provider: SharedProvider,
    pub(crate) series: Arc<Series>,
}

/// All routes. Looking one up takes no lock: the table is replaced as a whole.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    table: ArcSwap<PatternMap<Route>>,
    // Held while the table is replaced.
    changing: Mutex<()>,
}

impl Routes {
    /// The route of a content type.
    pub(crate) fn find(&self, content_type: &str) -> Option<Arc<Route>> {
        self.table.load().find(content_type).cloned()
    }

    /// Adds a route.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the route is not a content type, a prefix or `*`, or has a provider already.
    pub(crate) fn add(&self, route: &str, provider: SharedProvider, monitor: &StorageMonitor) -> Result<()> {
        let pattern = Pattern::parse(route)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = PatternMap::clone(&self.table.load());
        if table.get(&pattern).is_some() {
            let message = format!("route {route:?} is registered already");
            return Err(StorageError::new(ErrorKind::Config, message));
        }
        let series = monitor.series(&pattern);
        table.insert(pattern.clone(), Arc::new(Route { pattern, provider, series }));
        self.table.store(Arc::new(table));
        Ok(())
    }

    /// Takes a route away and gives its provider back.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the route cannot be one, [`ErrorKind::NoProvider`] if it is not registered.
    pub(crate) fn remove(&self, route: &str) -> Result<SharedProvider> {
        let pattern = Pattern::parse(route)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = PatternMap::clone(&self.table.load());
        let Some(removed) = table.remove(&pattern) else {
            return Err(StorageError::new(
                ErrorKind::NoProvider,
                format!("route {route:?} is not registered"),
            ));
        };
        self.table.store(Arc::new(table));
        Ok(Arc::clone(&removed.provider))
    }

    /// The routes as they were written, in alphabetical order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.table.load().values().map(|route| route.pattern.to_string()).collect();
        names.sort_unstable();
        names
    }

    /// Each provider once, however many routes lead to it, in the order of their first routes.
    pub(crate) fn distinct(&self) -> Vec<Target> {
        let table = self.table.load();
        let mut routes: Vec<_> =
            table.values().map(|route| (route.pattern.to_string(), &route.provider)).collect();
        routes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut targets: Vec<Target> = Vec::new();
        for (route, provider) in routes {
            let identity = provider.identity();
            match targets.iter_mut().find(|target| target.provider.identity() == identity) {
                Some(target) => target.routes.push(route),
                None => targets.push(Target { provider: Arc::clone(provider), routes: vec![route] }),
            }
        }
        targets
    }
}

/// A provider with all its routes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) provider: SharedProvider,
    pub(crate) routes: Vec<String>,
}
