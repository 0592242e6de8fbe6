//! Batches: grouped by provider, sent at the same time, answered in the order of the request.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use storage_core::{ErrorKind, ItemKey, Result, SaveRequest, StorageError, StorageItem};

use crate::{
    Operation, UnifiedStorageManager,
    dispatch::Dispatch,
    explain::explain,
    monitored::size_of_found,
    routes::{Route, SharedProvider},
    save::{Payload, Save},
    tally::measure_batch,
};

impl UnifiedStorageManager {
    /// Sends several saves: one answer for each, in the order of the saves.
    ///
    /// Saves to one provider are applied in order and travel together; different providers work at the same time. The
    /// batch is not atomic as a whole.
    ///
    /// ```
    /// # use storage_manager::*;
    /// # async fn example(manager: UnifiedStorageManager) {
    /// let saves = ["a", "b"].map(|key| manager.save(key, key.len(), "length").tag("batch", "1"));
    /// for saved in manager.save_many(saves).await {
    ///     assert_eq!(saved.unwrap().data, 1);
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// Per answer, as [`save`](Self::save).
    pub async fn save_many<'a, P: Payload + 'a>(
        &self,
        saves: impl IntoIterator<Item = Save<'a, P>>,
    ) -> Vec<Result<StorageItem<P::Data>>> {
        let dispatch = self.dispatch();
        let (requests, payloads): (Vec<_>, Vec<_>) =
            saves.into_iter().map(|save| save.prepare(dispatch)).unzip();
        let saved = dispatch.save_many(requests).await;
        let answers = saved.into_iter().zip(payloads);
        answers
            .map(|(saved, payload)| {
                saved.map(|item| StorageItem { data: payload.into_data(item.data), metadata: item.metadata })
            })
            .collect()
    }

    /// Loads several items, each named by key and content type: one answer for each, in the order of the keys.
    ///
    /// # Errors
    /// Per answer, as [`load`](Self::load).
    pub async fn load_many<T: DeserializeOwned>(
        &self,
        keys: &[(&str, &str)],
    ) -> Vec<Result<Option<StorageItem<T>>>> {
        let (dispatch, operation) = (self.dispatch(), Operation::LoadMany);
        let decode =
            |item: Option<StorageItem>| item.map(|item| dispatch.decode(operation, item)).transpose();
        self.load_many_bytes(keys).await.into_iter().map(|answer| answer.and_then(decode)).collect()
    }

    /// Loads several items with their data as stored: one answer for each, in the order of the keys.
    ///
    /// # Errors
    /// Per answer, as [`load_bytes`](Self::load_bytes).
    pub async fn load_many_bytes(&self, keys: &[(&str, &str)]) -> Vec<Result<Option<StorageItem>>> {
        self.dispatch().load_many(item_keys(keys)).await
    }

    /// Deletes several items, each named by key and content type: one answer for each, in the order of the keys.
    ///
    /// # Errors
    /// Per answer, as [`delete`](Self::delete).
    pub async fn delete_many(&self, keys: &[(&str, &str)]) -> Vec<Result<bool>> {
        self.dispatch().delete_many(item_keys(keys)).await
    }
}

fn item_keys<'k>(keys: &[(&'k str, &'k str)]) -> Vec<Result<ItemKey<'k>>> {
    keys.iter().map(|(key, content_type)| ItemKey::new(content_type, key)).collect()
}

impl Dispatch {
    pub(crate) async fn save_many(&self, requests: Vec<Result<SaveRequest<'_>>>) -> Vec<Result<StorageItem>> {
        let size = |item: &StorageItem| Some(item.metadata.size);
        self.batch(
            Operation::SaveMany,
            requests,
            |request| request.key,
            size,
            |provider, requests| async move { provider.save_many(requests).await },
        )
        .await
    }

    pub(crate) async fn load_many(&self, keys: Vec<Result<ItemKey<'_>>>) -> Vec<Result<Option<StorageItem>>> {
        self.batch(
            Operation::LoadMany,
            keys,
            |key| *key,
            size_of_found,
            |provider, keys| async move { provider.load_many(&keys).await },
        )
        .await
    }

    pub(crate) async fn delete_many(&self, keys: Vec<Result<ItemKey<'_>>>) -> Vec<Result<bool>> {
        self.batch(
            Operation::DeleteMany,
            keys,
            |key| *key,
            |_| None,
            |provider, keys| async move { provider.delete_many(&keys).await },
        )
        .await
    }

    /// Sends every entry to its provider, all providers at the same time, and puts the answers in the order of the
    /// entries. An entry that is wrong already keeps its error.
    async fn batch<'k, E, A, C>(
        &self,
        operation: Operation,
        entries: Vec<Result<E>>,
        key: impl Fn(&E) -> ItemKey<'k>,
        size: impl Fn(&A) -> Option<u64>,
        call: impl Fn(SharedProvider, Vec<E>) -> C,
    ) -> Vec<Result<A>>
    where
        C: Future<Output = Vec<Result<A>>>,
    {
        let mut answers: Vec<Option<Result<A>>> = entries.iter().map(|_| None).collect();
        let mut groups: Vec<Group<'k, E>> = Vec::new();
        for (place, (entry, answer)) in entries.into_iter().zip(&mut answers).enumerate() {
            let routed = entry.and_then(|entry| {
                let key = key(&entry);
                let route = self.find(key.content_type()).map_err(|error| error.with_key(key))?;
                Ok(Member { place, key, entry, route })
            });
            match routed {
                Ok(member) => Group::add(&mut groups, member),
                Err(error) => *answer = Some(Err(self.refuse(operation, error))),
            }
        }
        let sent = join_all(groups.into_iter().map(|group| group.send(operation, &size, &call))).await;
        for (place, answered) in sent.into_iter().flatten() {
            if let Some(answer) = answers.get_mut(place) {
                *answer = Some(answered);
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(unanswered()))).collect()
    }
}

/// An entry on its way to a provider.
struct Member<'k, E> {
    place: usize,
    key: ItemKey<'k>,
    entry: E,
    route: Arc<Route>,
}

/// The entries of one provider.
struct Group<'k, E> {
    provider: SharedProvider,
    identity: usize,
    members: Vec<Member<'k, E>>,
}

impl<'k, E> Group<'k, E> {
    fn add(groups: &mut Vec<Self>, member: Member<'k, E>) {
        let identity = member.route.provider.identity();
        match groups.iter_mut().find(|group| group.identity == identity) {
            Some(group) => group.members.push(member),
            None => {
                let provider = Arc::clone(&member.route.provider);
                groups.push(Self { provider, identity, members: vec![member] });
            }
        }
    }

    async fn send<A, C>(
        self,
        operation: Operation,
        size: impl Fn(&A) -> Option<u64>,
        call: impl Fn(SharedProvider, Vec<E>) -> C,
    ) -> Vec<(usize, Result<A>)>
    where
        C: Future<Output = Vec<Result<A>>>,
    {
        let Self { provider, members, .. } = self;
        let series: Vec<_> = members.iter().map(|member| Arc::clone(&member.route.series)).collect();
        let (places, entries): (Vec<_>, Vec<_>) =
            members.into_iter().map(|member| ((member.place, member.key), member.entry)).unzip();
        let call = call(Arc::clone(&provider), entries);
        let answers = measure_batch(operation, &series, call, size).await;
        let explain = |key, error: StorageError| explain(error, operation, &provider).with_key(key);
        let answers = places.into_iter().zip(answers);
        answers.map(|((place, key), answer)| (place, answer.map_err(|error| explain(key, error)))).collect()
    }
}

fn unanswered() -> StorageError {
    StorageError::new(ErrorKind::Internal, "the provider gave no answer for this entry")
}
