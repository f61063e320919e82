//! The slow lane: requests that can wait for hours, gathered into batches of their service.
//!
//! ```text
//! request ─► the ledger knows it? ──no──► gather (until nobody joins, or it is full)
//!                 │ yes                      │ durable: what is in it, under a name of ours
//!                 ▼                          ▼
//!          find the batch again ◄─crash── submit ─► durable: the service's name for it
//!                 │                          │
//!                 └──────────► look ◄────────┘    every 10 s at first, every 5 min later
//!                                │ over
//!                                ▼
//!                  answers kept as a file ─► durable ─► each to who asked, read as if it had
//!                                                       come alone ([`Dialect::read`])
//! ```
//!
//! Each batch is one task ([`course`]), which lives as long as anybody waits for it: a run that
//! is interrupted leaves the batch at its service, and finds it again when it goes on. What is
//! written before anything is sent is enough to find a batch whose submission was cut off, so
//! that nothing is asked, or paid, twice ([`flow_core::batches`]).
//!
//! [`Dialect::read`]: crate::service::Dialect::read

mod course;
mod dialect;
mod lane;
mod results;
mod search;
mod settings;
mod wait;

use std::time::Duration;

pub(crate) use dialect::{
    BatchDialect, Became, Item, Line, Most, Named, Rest, Results, Stage, State, Submission,
};
pub(crate) use lane::Batches;
pub(crate) use settings::BatchSettings;

/// The time within which the services answer what is in a batch.
pub(crate) const WINDOW: Duration = Duration::from_hours(24);
