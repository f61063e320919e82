//! What a call of a plugin used.

use std::time::Duration;

use flow_core::units::Money;
use serde_json::{Value, json};

/// What a call used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// From its start to its end, waits included.
    pub time: Duration,
    /// Of that, time at work on a core.
    pub at_work: Duration,
    /// Bytes of all its memories together, when they were largest.
    pub memory: u64,
    /// Calls of the host.
    pub host_calls: u64,
    /// Bytes of its lines in the log.
    pub log: u64,
    /// Bytes of its output.
    pub output: u64,
    /// Bytes it read of files.
    pub read: u64,
    /// Bytes of files it made.
    pub made: u64,
    /// Requests over HTTP.
    pub requests: u64,
    /// Bytes it sent by them.
    pub sent: u64,
    /// Bytes that came back.
    pub received: u64,
    /// Questions to models.
    pub questions: u64,
    /// What they cost; none where nobody knows.
    pub cost: Option<Money>,
    /// What it tried that was not granted.
    pub denied: Vec<String>,
}

impl Used {
    /// A call that has used nothing so far.
    pub(crate) fn nothing() -> Self {
        Self { cost: Some(Money::ZERO), ..Self::default() }
    }

    /// As it is kept with an attempt: what is nothing is left out.
    pub fn to_json(&self) -> Value {
        let mut used = json!({
            "time_us": self.time.as_micros() as u64,
            "at_work_us": self.at_work.as_micros() as u64,
            "memory": self.memory,
            "host_calls": self.host_calls,
        });
        for (key, amount) in [
            ("log", self.log),
            ("output", self.output),
            ("read", self.read),
            ("made", self.made),
            ("requests", self.requests),
            ("sent", self.sent),
            ("received", self.received),
            ("questions", self.questions),
        ] {
            if amount > 0 {
                used[key] = json!(amount);
            }
        }
        if !self.denied.is_empty() {
            used["denied"] = json!(self.denied);
        }
        used
    }
}
