//! The services over HTTP: that they are asked as their own libraries ask, that what they
//! answer is understood, and that what goes wrong is told apart.

mod addresses;
mod anthropic;
mod auto;
mod batches;
mod conformance;
mod embed;
mod facts;
mod faults;
mod fitting;
mod gemini;
mod kinds;
mod limits;
mod parts;
mod secrets;
mod structured;
mod uploads;

#[path = "../support/asking.rs"]
mod asking;
#[path = "../support/batching.rs"]
mod batching;
#[path = "../support/pdf.rs"]
#[expect(dead_code, reason = "other tests use all of it")]
mod pdf;
#[path = "../support/recordings.rs"]
mod recordings;
#[path = "../support/running.rs"]
mod running;
#[path = "../support/server.rs"]
mod server;
