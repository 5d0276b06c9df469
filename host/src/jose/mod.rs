//! What others sign: JSON that is read strictly, their public keys, and signed texts on their way to
//! claims (RFC 7515, RFC 7517, RFC 7519). Pure: no input, no output, no time.

pub mod json;
mod key;
mod signed;

pub use key::{Fault, KEYS_MAX, Key, KeySet, algorithm_named, from_jwk, thumbprint};
pub use signed::{ALGORITHMS, SignedText};
