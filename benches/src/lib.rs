//! Benches only: `benches/decision.rs` is the program, `README.md` says how to read it.
