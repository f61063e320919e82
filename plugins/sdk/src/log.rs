//! Lines for the log of the step.

use serde_json::Value;

use crate::bindings::base::flow::plugin::log;

/// For its author.
pub fn debug(message: &str) {
    log::emit("debug", message, "{}");
}

/// For its users.
pub fn info(message: &str) {
    log::emit("info", message, "{}");
}

/// For its users, who may want to do something.
pub fn warn(message: &str) {
    log::emit("warn", message, "{}");
}

/// Something went wrong.
pub fn error(message: &str) {
    log::emit("error", message, "{}");
}

/// A line with data beside it. `level` is trace, debug, info, warn or error; `fields` a map.
pub fn with(level: &str, message: &str, fields: &Value) {
    log::emit(level, message, &fields.to_string());
}
