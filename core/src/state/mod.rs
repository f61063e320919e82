//! The state machine: what has happened decides what may happen next.
//!
//! A run is a history of [`Event`]s. [`StepState::apply`] and [`RunState::apply`] are the
//! only places where a state follows from an event. A live run goes through them, and the
//! rows of the read model are written from what they yield; a resumed run starts from those
//! rows ([`StepState::of_row`]) and goes on through the same functions. That each row is
//! what its events make of it is tested after every kill. An event that does not fit the
//! state it meets is an [`IllegalTransition`], never silently taken.
//!
//! ```text
//!            sent            succeeded
//!   Idle ───────────▶ Working ────────▶ Succeeded ─┐
//!    │ ▲ ▲               │ │                       │
//!    │ │ └──── lost ─────┘ ├─ attempt_failed ▶ Retrying
//!    │ │                   ├─ failed ────────▶ Failed ─┤
//!    │ │                   └─ asked ─────────▶ Waiting │
//!    │ └──────────────────── reopened ─────────────────┘
//!    └─ skipped, blocked, cancelled
//! ```
//!
//! What waits may be sent again: a person allowed it, or the question has changed. A step
//! whose action only computes goes from `Idle` straight to its end: its start needs
//! no record, because running it again is invisible.

mod event;
mod run;
mod step;

pub use event::{Event, Origin, RunEvent, StepEvent};
pub use run::RunState;
pub use step::{IllegalTransition, StepState};
