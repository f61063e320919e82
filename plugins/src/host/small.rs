//! The log, the settings, the time, and the pieces of an answer: what needs no grant.

use std::time::Instant;

use tokio::sync::oneshot;

use super::{Asked, Guest};
use crate::bindings::provider::flow::plugin::progress;
use crate::bindings::{clock, config, log};
use crate::fault::Ceiling;

/// Bytes that a line takes besides what is in it.
const LINE: usize = 16;

impl log::Host for Guest {
    fn emit(&mut self, level: String, message: String, fields: String) -> wasmtime::Result<()> {
        self.count()?;
        self.used.log += (level.len() + message.len() + fields.len() + LINE) as u64;
        if self.used.log > self.granted.limits.log {
            return Err(Ceiling::Log { limit: self.granted.limits.log }.into());
        }
        let level = match level.as_str() {
            "trace" | "debug" | "info" | "warn" | "error" => level,
            _ => "info".to_owned(),
        };
        let fields = match fields.trim() {
            "" | "{}" => String::new(),
            fields => format!(" {fields}"),
        };
        for line in message.lines() {
            (self.log)(&format!("{level}: {line}{fields}"));
        }
        if level == "error" {
            self.said = Some(message);
        }
        Ok(())
    }
}

impl config::Host for Guest {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.count()?;
        Ok(self.config.get(&key).cloned())
    }
}

impl clock::Host for Guest {
    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        self.count()?;
        Ok((self.services.now_ms)().try_into().unwrap_or_default())
    }

    fn deadline_left_ms(&mut self) -> wasmtime::Result<Option<u64>> {
        self.count()?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        Ok(Some(left.as_millis() as u64))
    }
}

impl progress::Host for Guest {
    async fn delta(&mut self, text: String) -> wasmtime::Result<bool> {
        self.count()?;
        self.used.output += text.len() as u64;
        if self.used.output > self.granted.limits.output {
            return Err(Ceiling::Output { limit: self.granted.limits.output }.into());
        }
        let (answer, wanted) = oneshot::channel();
        // Who called the guest is there as long as the guest is.
        let _ = self.outside.send(Asked::Delta { text, answer });
        Ok(wanted.await.unwrap_or(false))
    }
}
