//! How much a call may use. Every call has all of these limits; none can be switched off.

use std::time::Duration;

use flow_core::units::{parse_duration, parse_size};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::PolicyFault;

/// How much a call may use. The smaller of what two sides say counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes of all its memories together.
    pub memory: u64,
    /// Time from its start to its end, waits included.
    pub deadline: Duration,
    /// Bytes of its output, and of each file that it makes.
    pub output: u64,
    /// Bytes of its lines in the log.
    pub log: u64,
}

/// Limits that nobody sets: far above what a plugin needs that is sound, and far below what
/// hurts the host.
pub(crate) mod fixed {
    /// Elements of all tables together.
    pub(crate) const TABLE_ELEMENTS: usize = 200_000;
    /// Tables.
    pub(crate) const TABLES: usize = 100;
    /// Memories.
    pub(crate) const MEMORIES: usize = 16;
    /// Instances of modules. A Python plugin has some forty.
    pub(crate) const INSTANCES: usize = 100;
    /// Files and other things of the host that it holds at once.
    pub(crate) const HANDLES: usize = 1_000;
    /// Bytes that one call of the host may bring along.
    pub(crate) const HOSTCALL: usize = 32 << 20;
    /// Calls of the host.
    pub(crate) const HOST_CALLS: u64 = 1_000_000;
    /// Bytes of stdout and stderr that are kept.
    pub(crate) const STDERR: usize = 64 << 10;
    /// Bytes of an answer over HTTP.
    pub(crate) const ANSWER: u64 = 32 << 20;
    /// Bytes of a plugin's file.
    pub(crate) const WASM: u64 = 64 << 20;
    /// How deep plugins may call each other through models.
    pub(crate) const DEPTH: usize = 3;
}

impl Limits {
    /// The limits where nobody says otherwise.
    pub const USUAL: Self = Self {
        memory: 256 << 20,
        deadline: Duration::from_secs(30),
        output: 16 << 20,
        log: 64 << 10,
    };

    /// The most that a workflow may allow.
    pub const MOST: Self = Self {
        memory: 4 << 30,
        deadline: Duration::from_hours(1),
        output: 256 << 20,
        log: 16 << 20,
    };

    /// What `meta.describe` may use: it only says a text.
    pub(crate) const DESCRIBE: Self = Self {
        memory: 256 << 20,
        deadline: Duration::from_secs(5),
        output: 1 << 20,
        log: 16 << 10,
    };

    /// Reads a map of limits over those that hold otherwise.
    pub fn read(value: &Value, base: Self) -> Result<Self, PolicyFault> {
        let map = as_map(value, "limits")?;
        let mut limits = base;
        for (key, value) in map {
            match key.as_str() {
                "memory" => limits.memory = size(key, value, Self::MOST.memory)?,
                "output" => limits.output = size(key, value, Self::MOST.output)?,
                "log" => limits.log = size(key, value, Self::MOST.log)?,
                "deadline" => limits.deadline = duration(key, value, Self::MOST.deadline)?,
                _ => {
                    let names = ["memory", "deadline", "output", "log"];
                    return Err(PolicyFault::unknown(&["limits"], key, "limits", &names));
                }
            }
        }
        Ok(limits)
    }

    /// The smaller of each.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            memory: self.memory.min(other.memory),
            deadline: self.deadline.min(other.deadline),
            output: self.output.min(other.output),
            log: self.log.min(other.log),
        }
    }

    /// As it is kept with an attempt: bytes and milliseconds.
    pub fn to_json(self) -> Value {
        json!({
            "memory": self.memory,
            "deadline_ms": self.deadline.as_millis() as u64,
            "output": self.output,
            "log": self.log,
        })
    }
}

fn as_map<'v>(value: &'v Value, key: &str) -> Result<&'v Map<String, Value>, PolicyFault> {
    value.as_object().ok_or_else(|| PolicyFault::new(&[key], format!("`{key}` is a map")))
}

/// A size such as `16MiB`, or a number of bytes.
pub(crate) fn size(key: &str, value: &Value, most: u64) -> Result<u64, PolicyFault> {
    let at = ["limits", key];
    let size = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => Some(
            parse_size(text).map_err(|error| PolicyFault::new(&at, format!("`{key}`: {error}")))?,
        ),
        _ => None,
    };
    let size =
        size.ok_or_else(|| PolicyFault::new(&at, format!("`{key}` is a size such as `16MiB`")))?;
    match size {
        0 => Err(PolicyFault::new(&at, format!("`{key}` is more than nothing"))),
        size if size > most => {
            let message = format!("`{key}` is at most {most} bytes");
            Err(PolicyFault::new(&at, message))
        }
        size => Ok(size),
    }
}

fn duration(key: &str, value: &Value, most: Duration) -> Result<Duration, PolicyFault> {
    let at = ["limits", key];
    let text = value.as_str().unwrap_or_default();
    let duration =
        parse_duration(text).map_err(|error| PolicyFault::new(&at, format!("`{key}`: {error}")))?;
    if duration.is_zero() || duration > most {
        let message = format!("`{key}` is more than nothing and at most {most:?}");
        return Err(PolicyFault::new(&at, message));
    }
    Ok(duration)
}
