//! Visits every distinct provider once: cleanup, health and close.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
};

use futures_util::{FutureExt, future::join_all};
use storage_core::{CleanupReport, ErrorKind, Health, Result, StorageError};

use crate::{
    Operation, Outcomes, ProviderOutcome, UnifiedStorageManager,
    dispatch::Dispatch,
    explain::explain,
    routes::{SharedProvider, Target},
};

impl UnifiedStorageManager {
    /// Removes expired items and leftovers from every distinct provider, all at the same time, and reports each.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] after close. A provider that fails, or does not answer within the
    /// [deadline](crate::Builder::deadline), is reported in its entry; the others are cleaned up all the same.
    pub async fn cleanup(&self) -> Result<Outcomes<CleanupReport>> {
        self.dispatch().cleanup().await
    }

    /// How every distinct provider fares. One that does not answer within the [deadline](crate::Builder::deadline) is
    /// unhealthy.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] after close.
    pub async fn health(&self) -> Result<Outcomes<Health>> {
        let dispatch = self.dispatch();
        let targets = dispatch.targets(Operation::Health)?;
        let mut outcomes = dispatch
            .visit(Operation::Health, targets, |provider| async move { Ok(provider.health().await) })
            .await;
        for outcome in &mut outcomes.providers {
            if let Err(error) = &outcome.result {
                outcome.result = Ok(Health::Unhealthy(error.to_string()));
            }
        }
        Ok(outcomes)
    }

    /// Closes every distinct provider, all at the same time, and reports each. Stops the sweeper first.
    ///
    /// From the moment this is called, every other call of every clone is [`ErrorKind::Closed`]; calls under way end as
    /// their provider decides. Again is no error: the providers are asked again, so that one that ran into the
    /// [deadline](crate::Builder::deadline) gets another chance.
    pub async fn close(&self) -> Outcomes<()> {
        let dispatch = self.dispatch();
        dispatch.closed.store(true, Ordering::Release);
        if let Some(sweeper) = self.sweeper() {
            sweeper.stop().await;
        }
        let targets = dispatch.routes.distinct();
        dispatch.visit(Operation::Close, targets, |provider| async move { provider.close().await }).await
    }
}

impl Dispatch {
    pub(crate) async fn cleanup(&self) -> Result<Outcomes<CleanupReport>> {
        let targets = self.targets(Operation::Cleanup)?;
        Ok(self.visit(Operation::Cleanup, targets, |provider| async move { provider.cleanup().await }).await)
    }

    /// Tells the metrics what all providers hold. Says nothing if one of them fails: half a sum would mislead.
    pub(crate) async fn refresh_usage(&self) -> Result<()> {
        let targets = self.targets(Operation::Usage)?;
        let visits = self.visit(Operation::Usage, targets, |provider| async move { provider.usage().await });
        self.summed(visits.await.into_result()?);
        Ok(())
    }

    /// Asks all `targets` at the same time.
    async fn visit<T, C>(
        &self,
        operation: Operation,
        targets: Vec<Target>,
        call: impl Fn(SharedProvider) -> C,
    ) -> Outcomes<T>
    where
        C: Future<Output = Result<T>>,
    {
        let visits = targets.into_iter().map(|target| {
            let call = call(Arc::clone(&target.provider));
            self.visit_one(operation, target, call)
        });
        Outcomes { providers: join_all(visits).await }
    }

    async fn visit_one<T>(
        &self,
        operation: Operation,
        target: Target,
        call: impl Future<Output = Result<T>>,
    ) -> ProviderOutcome<T> {
        let Target { provider, routes } = target;
        // A provider that panics must not keep the others from being cleaned up or closed.
        let guarded = AssertUnwindSafe(call).catch_unwind();
        let answer = async {
            match tokio::time::timeout(self.deadline, guarded).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(StorageError::new(ErrorKind::Internal, "the provider panicked")),
                Err(_) => {
                    let message = format!("no answer within {:?}", self.deadline);
                    Err(StorageError::new(ErrorKind::Timeout, message))
                }
            }
        };
        let answer = self.monitor.other().measure(operation, answer, |_| None).await;
        let result = answer.map_err(|error| explain(error, operation, &provider));
        ProviderOutcome { provider: provider.info(), routes, result }
    }
}
