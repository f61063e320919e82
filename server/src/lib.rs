//! flow as a server: a folder of workflows that run by themselves, over HTTP, and on a page.
//!
//! ```text
//!   schedule/ ─┐
//!   trigger/  ─┤           ┌─▶ Embedded (flow-core): drives them
//!   api/      ─┼─▶ Runs ───┤
//!   page/     ─┘           └─▶ news of them, to whoever listens
//!      │
//!      └──────▶ Folder: the workflows there are, and what is wrong with them
//! ```
//!
//! Whatever starts a run does it through [`Runs`]: there is one way in, and a run that has its
//! id from its cause (a tick, a file, a key) is started once however often it is asked for.
//! What the server needs of the binary is its [`Workplace`]; it reads no environment itself.

pub mod api;
pub mod folder;
pub mod follow;
pub mod gate;
pub mod graph;
pub mod inputs;
mod ops;
pub mod page;
pub mod problem;
pub mod retention;
pub mod runs;
pub mod schedule;
mod serve;
pub mod state;
pub mod trigger;
pub mod workplace;

pub use folder::{Folder, Listed, Stamp, workflow_files};
pub use problem::Problem;
pub use runs::{Cause, Counters, News, Runs, Start, StartError, Started};
pub use serve::{router, serve};
pub use state::{Scope, ScopeError, Site, Visitor};
pub use workplace::{Reading, Workplace};
