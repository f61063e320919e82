//! The store, on real files and in real processes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod artifacts;
mod batches;
mod commit;
mod crash;
mod docs;
mod faults;
mod lock;
mod memory;
mod migrations;
mod prune;
mod queries;
mod rates;
mod support;
mod uploads;
