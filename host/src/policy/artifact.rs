//! A component's bytes, checked: what it is, what it asks for, what it says of itself.

use super::{engine::Engine, error::LoadError, manifest::Manifest};

/// Bytes that are a policy: a component of bounded size that asks for nothing that it does
/// not get, with a manifest that is true.
#[derive(Clone, Debug)]
pub struct Component {}

impl Component {
    /// Checks `bytes`. Compiles nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in the order: size, form, imports, exports, manifest.
    pub fn check(_engine: &Engine, _bytes: &[u8]) -> Result<Self, LoadError> {
        todo!()
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        todo!()
    }

    /// sha-256 of the bytes, in lower-case hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        todo!()
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        todo!()
    }

    /// What it imports, as named by the component.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        todo!()
    }

    /// What it exports, as named by the component.
    #[must_use]
    pub fn exports(&self) -> &[String] {
        todo!()
    }
}
