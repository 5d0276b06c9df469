//! Requirements on sessions and their cookies.
