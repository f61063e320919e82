//! What flow remembers: SQLite for state, a folder for files.
//!
//! ```text
//! .flow/
//!   flow.db          runs, steps, attempts, events, approvals, cache (WAL beside it)
//!   artifacts/       files by content hash
//!   locks/RUN.lock   held by the process that drives the run, with its pid in it
//! ```
//!
//! What was committed is there after any crash. A commit is shared by everybody who asks
//! for one at the same time (group commit), so that durability costs one fsync a batch.

mod artifacts;
mod rows;

pub use artifacts::Artifacts;
pub use rows::{
    ApprovalRow, AttemptRow, AttemptStatus, Batch, CacheRow, EventRow, RunRow, RunStatus, StepRow,
    StepStatus,
};
