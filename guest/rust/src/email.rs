//! What policies do with email addresses.
