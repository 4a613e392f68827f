//! Who swaps adapters changes the import and the runtime's `main`, and nothing else.
#![allow(clippy::unwrap_used, missing_docs)]

/// The README's program, which `lease-tokio` compiles, becomes this crate's example, which this crate compiles.
#[test]
fn the_readmes_program_changes_in_two_lines() {
    let readme = include_str!("../../README.md");
    let (_, program) = readme.split_once("```rust,no_run\n").unwrap();
    let (program, _) = program.split_once("```\n").unwrap();
    let (_, example) = include_str!("../examples/nightly_report.rs").split_once("\n\n").unwrap();
    let pairs: Vec<_> =
        program.lines().zip(example.lines()).filter(|(ours, theirs)| ours != theirs).collect();
    assert_eq!(program.lines().count(), example.lines().count());
    assert_eq!(
        pairs,
        [
            ("use lease_tokio::{Config, Lease};", "use lease_async_std::{Config, Lease};"),
            ("#[tokio::main]", "#[async_std::main]"),
        ]
    );
}
