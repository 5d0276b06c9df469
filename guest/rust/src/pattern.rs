//! How policies match texts.
