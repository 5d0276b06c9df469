//! How an identity reaches an application.
//!
//! What is in here takes an admission or a session as given: it decides nothing, and knows
//! nothing of the web framework.

pub mod oidc;
pub mod saml;

mod forward_auth;
mod header_names;
mod header_value;
mod path;

pub use forward_auth::{Passport, PassportError, Passports};
pub use header_names::{Forgery, HeaderNames, HeaderNamesError};
pub use header_value::{UnsafeValue, encode, encode_list};
pub use path::{CanonicalPath, PathError};
