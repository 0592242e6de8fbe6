//! What each provider answered.

use storage_core::{ErrorKind, ProviderInfo, Result, StorageError};

/// What one provider answered.
#[derive(Debug)]
pub struct ProviderOutcome<T> {
    /// Who answered.
    pub provider: ProviderInfo,
    /// The routes that lead to it.
    pub routes: Vec<String>,
    /// Its answer.
    pub result: Result<T>,
}

/// What every distinct provider answered, in the order of their routes.
#[derive(Debug)]
#[must_use = "a provider may have failed"]
pub struct Outcomes<T> {
    /// One entry for each distinct provider.
    pub providers: Vec<ProviderOutcome<T>>,
}

impl<T> Outcomes<T> {
    /// The providers that failed, with their errors.
    pub fn failures(&self) -> impl Iterator<Item = (&ProviderOutcome<T>, &StorageError)> {
        self.providers.iter().filter_map(|outcome| Some((outcome, outcome.result.as_ref().err()?)))
    }

    /// The answers of all providers.
    ///
    /// # Errors
    /// The error of the provider that failed; [`ErrorKind::Partial`], with the first error as its cause, if others
    /// succeeded or several failed.
    pub fn into_result(self) -> Result<Vec<T>> {
        let asked = self.providers.len();
        let mut answers = Vec::with_capacity(asked);
        let mut failures = Vec::new();
        for outcome in self.providers {
            match outcome.result {
                Ok(answer) => answers.push(answer),
                Err(error) => failures.push(error),
            }
        }
        let failed = failures.len();
        match failures.into_iter().next() {
            None => Ok(answers),
            Some(error) if asked == 1 => Err(error),
            Some(error) => {
                let message = format!("{failed} of {asked} providers failed; the first: {error}");
                Err(StorageError::new(ErrorKind::Partial, message).with_source(error))
            }
        }
    }
}
