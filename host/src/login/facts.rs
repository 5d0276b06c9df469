//! What policies may ask to see of a request.

use std::{fmt, sync::Arc};

use crate::decision::Claim;

/// The facts of one request, made when a policy is asked: most requests of a live session ask
/// none.
#[derive(Clone, Default)]
pub struct Facts(Option<Arc<dyn Fn() -> Vec<Claim> + Send + Sync>>);

impl Facts {
    /// What `make` gives, each time that they are wanted.
    pub fn later(make: impl Fn() -> Vec<Claim> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(make)))
    }

    /// The facts.
    #[must_use]
    pub fn get(&self) -> Vec<Claim> {
        self.0.as_ref().map(|make| make()).unwrap_or_default()
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What they hold may be personal.
        f.write_str("Facts")
    }
}
