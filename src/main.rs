//! The `flow` binary.

#[cfg_attr(not(test), expect(dead_code, reason = "the command line calls it"))]
mod graph;

fn main() {}
