//! The engine: takes a checked workflow to its end, whatever happens on the way.
//!
//! ```text
//!   Backend ── submit, resume, cancel, approve
//!      │
//!   Driver ── one task a run: asks the scheduler what may begin, hands it to runners,
//!      │      makes what they report durable, then tells the scheduler
//!      ├── Scheduler   which step may begin; pure, knows no time, no values, no I/O
//!      ├── Values      what expressions see: inputs, outputs of settled steps, items
//!      ├── Ledger      events → rows of the store; what attempts cost, and the budgets
//!      └── Runner      one task an instance: render, reuse, attempt, retry
//! ```
//!
//! The order of things in a turn of the driver is the promise it keeps: what a runner
//! reports is in the store before any step that depends on it begins, and an attempt that
//! acts on the outside is in the store before it acts.

mod agree;
mod backend;
mod budget;
mod clock;
mod driver;
mod embedded;
mod identity;
mod items;
mod ledger;
mod meta;
#[cfg(test)]
mod model_check;
mod observer;
mod parts;
mod planner;
mod prepare;
mod reuse;
mod runner;
mod scheduler;
mod task;
mod values;

pub use backend::{
    Answer, Backend, EngineError, Program, Resume, RunHandle, RunReport, Submission,
};
pub use clock::{Clock, SystemClock};
pub use embedded::{Embedded, Load, Setup};
pub use observer::{At, Observer, Progress};
pub use planner::{Forecast, PlannedStep};
pub use scheduler::{Begin, Blocked, Ending, FrameId, Scheduler, Slot};
