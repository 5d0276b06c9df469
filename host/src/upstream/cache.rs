//! Documents that are fetched once and used by many logins: metadata and keys.
//!
//! One fetch at a time for each document; whoever comes meanwhile waits for it. A
//! document that cannot be renewed stays in use for a while, so that an upstream's short
//! outage is none of ours; a failure is remembered for a moment, so that a stranger who
//! begins logins cannot make us knock at a dead door each time.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use super::error::UpstreamError;
use crate::clock::Clock;

/// A document is fetched anew after this long.
pub(super) const FRESH_S: u64 = 600;
/// A document that cannot be fetched anew is used for this long.
pub(super) const STALE_S: u64 = 24 * 3600;
/// After a failure nothing is fetched for this long.
pub(super) const RETRY_S: u64 = 5;
/// An unknown key makes us fetch anew once in this long.
pub(super) const RENEW_S: u64 = 30;
/// Documents that are kept; with more, all are forgotten. Only configured URLs get here.
const DOCUMENTS_MAX: usize = 256;

/// How new a document must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// One of [`FRESH_S`].
    Cached,
    /// A newer one than that in hand, within the rate of [`RENEW_S`].
    Newer,
}

/// Documents by URL.
#[derive(Debug)]
pub(super) struct Cache<T> {
    slots: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Slot<T>>>>>,
}

#[derive(Debug)]
struct Slot<T> {
    document: Option<(Arc<T>, u64)>,
    attempted: Option<u64>,
    failure: Option<UpstreamError>,
}

impl<T> Cache<T> {
    pub(super) fn new() -> Self {
        Self { slots: Mutex::new(BTreeMap::new()) }
    }

    /// The document at `url`, from the cache or by `load`.
    ///
    /// # Errors
    ///
    /// What `load` said, where there is no document that could stand in.
    pub(super) async fn document<F>(
        &self,
        url: &str,
        clock: &dyn Clock,
        want: Want,
        load: impl FnOnce() -> F + Send,
    ) -> Result<Arc<T>, UpstreamError>
    where
        F: Future<Output = Result<T, UpstreamError>> + Send,
    {
        let slot = self.slot(url);
        let mut slot = slot.lock().await;
        let now = clock.now();
        let since_attempt = slot.attempted.map(|at| now.saturating_sub(at));
        let usable = slot.document.as_ref().filter(|(_, at)| now.saturating_sub(*at) < STALE_S).cloned();
        let too_soon = match (&slot.failure, want) {
            (Some(_), _) => since_attempt.is_some_and(|since| since < RETRY_S),
            (None, Want::Newer) => since_attempt.is_some_and(|since| since < RENEW_S),
            (None, Want::Cached) => false,
        };
        if let Some((document, at)) = &usable {
            let fresh = want == Want::Cached && now.saturating_sub(*at) < FRESH_S;
            if fresh || too_soon {
                return Ok(Arc::clone(document));
            }
        }
        if let (true, Some(failure)) = (too_soon, &slot.failure) {
            return Err(failure.clone());
        }
        slot.attempted = Some(now);
        match load().await {
            Ok(document) => {
                let document = Arc::new(document);
                slot.failure = None;
                slot.document = Some((Arc::clone(&document), now));
                Ok(document)
            }
            Err(failure) => {
                slot.failure = Some(failure.clone());
                let Some((document, _)) = usable else { return Err(failure) };
                tracing::warn!(code = failure.code, detail = %failure.detail, "an older document stays in use");
                Ok(document)
            }
        }
    }

    fn slot(&self, url: &str) -> Arc<tokio::sync::Mutex<Slot<T>>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= DOCUMENTS_MAX && !slots.contains_key(url) {
            slots.clear();
        }
        let empty = || Slot { document: None, attempted: None, failure: None };
        Arc::clone(slots.entry(url.to_owned()).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(empty()))))
    }
}
