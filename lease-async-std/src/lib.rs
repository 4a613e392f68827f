//! **Not written yet.** This is where the adapter for `async-std` and `surf` comes next, with the same handle
//! as `lease-tokio`; until then the crate is empty on purpose, and is not published.
//!
//! Services on another runtime than tokio can embed `lease-core` in their own event loop today: its crate
//! documentation has the loop.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
