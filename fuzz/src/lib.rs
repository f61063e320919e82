//! What flow promises of bytes that come from anybody, and a driver that tries it.
//!
//! ```text
//!   corpus/TARGET/ ──┐                    ┌─▶ the test `corpus`: the corpus, then a fixed number
//!                    ├─▶ TARGETS (checks) ┤   of changes to it, the same every time
//!   dictionaries/ ───┘                    └─▶ fuzz_targets/TARGET: libFuzzer, guided by coverage
//! ```
//!
//! A [`Target`] takes bytes and panics where a promise does not hold: nothing panics, all work
//! is bounded, an error has words and a place, and what is read and written back stays what it
//! was. An error is a good answer. Left out: what a promise of one format means (the tests of
//! its crate say that), and whatever needs a network or a model.

mod driver;
mod mutate;
mod targets;

pub use driver::{Finding, Material, Seen, drive};
pub use mutate::{Mutator, words};
pub use targets::{TARGETS, Target, check, own_panics_count};
