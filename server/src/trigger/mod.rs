//! What starts workflows besides people and times: files, requests, and the ends of other runs.
//!
//! Each has a name by which it is known to have been: a file by its path and its bytes, a
//! delivery by the name that its sender gave it, an end by the run that ended. What is known
//! starts nothing again, also when the process died in the moment in which it started it.

pub mod after;
mod given;
pub mod watch;
pub mod webhook;
