//! The store, on real files and in real processes.

mod commit;
mod support;
