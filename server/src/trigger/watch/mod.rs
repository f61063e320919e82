//! Folders that are watched: a new file starts a run, once.
//!
//! ```text
//!  folder ── scan ──▶ Sights ── it stays as it is ──▶ taken in ──▶ row ──▶ run ──▶ moved
//!                     (size, time)                    (hash)    (with its id)
//! ```
//!
//! A file is its path and its bytes. One whose bytes are replaced is new; so is a copy under
//! another name, for nobody can tell it from a second scan of the same sheet. The same bytes at
//! the same path never start a second run, however often the file comes and goes.
//!
//! Folders are looked at every second: that works on network mounts, and misses nothing.

mod place;
mod scan;
mod watcher;

pub use scan::{Pattern, Sight, Sights};
pub use watcher::Watcher;
