//! The contract, sentence by sentence: one test per row, named after it. The README has the table.
//!
//! The API server is `lease-sim`'s model, called directly, and the time is tokio's paused one, so nothing sleeps and
//! nothing leaves the process. Rows about the wire use the same model behind HTTPS on the loopback interface.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, unreachable_pub, missing_docs)]

use lease_tokio as adapter;

#[path = "contract/acquire.rs"]
mod acquire;
#[path = "contract/handle.rs"]
mod handle;
#[path = "contract/hold.rs"]
mod hold;
#[path = "contract/singleton.rs"]
mod singleton;
mod support;
#[path = "contract/wire.rs"]
mod wire;
#[path = "contract/world.rs"]
mod world;
