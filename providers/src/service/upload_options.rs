//! What a step says of uploads: `options: {upload: {keep: run, wait: 10m}}`.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::error::Failure;
use flow_core::units::parse_duration;
use flow_core::uploads::Keep;
use serde_json::Value;

/// How long a service may be at work on a file.
const WAIT: Duration = Duration::from_mins(10);

/// What a step wants of uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UploadOptions {
    /// Whether files are to be uploaded that would fit into a request.
    pub(crate) wanted: bool,
    /// How long they are kept there.
    pub(crate) keep: Keep,
    /// How long the service may be at work on one.
    pub(crate) wait: Duration,
}

impl UploadOptions {
    /// Reads the options of a step.
    pub(crate) fn read(options: &BTreeMap<String, Value>) -> Result<Self, Failure> {
        Self::of(options.get("upload").unwrap_or(&Value::Null))
    }

    /// Reads what stands under `upload`; null says nothing.
    pub(crate) fn of(upload: &Value) -> Result<Self, Failure> {
        let mut read = Self { wanted: false, keep: Keep::default(), wait: WAIT };
        let fields = match upload {
            Value::Null => return Ok(read),
            Value::Object(fields) => fields,
            other => return Err(wrong(&format!("`options.upload` is a map, not `{other}`"))),
        };
        read.wanted = true;
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("keep" | "wait", Value::Null) => {}
                ("keep", value) => {
                    let keep = value.as_str().and_then(Keep::from_name);
                    read.keep = keep.ok_or_else(|| {
                        wrong(&format!("`options.upload.keep` is `run` or `expiry`, not `{value}`"))
                    })?;
                }
                ("wait", Value::String(wait)) => {
                    read.wait = parse_duration(wait)
                        .map_err(|error| wrong(&format!("`options.upload.wait`: {error}")))?;
                }
                ("wait", value) => {
                    return Err(wrong(&format!(
                        "`options.upload.wait` is a duration, not `{value}`"
                    )));
                }
                (key, _) => return Err(wrong(&format!("`options.upload` has no `{key}`"))),
            }
        }
        Ok(read)
    }
}

fn wrong(message: &str) -> Failure {
    Failure::input(message).with_hint("e.g. `upload: { keep: run }`, `upload: { keep: expiry }`")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_is_read_and_the_rest_is_usual() {
        let usual = UploadOptions { wanted: false, keep: Keep::Run, wait: WAIT };
        let wanted = UploadOptions { wanted: true, ..usual };
        for (upload, read) in [
            (json!(null), usual),
            (json!({}), wanted),
            (json!({ "keep": null }), wanted),
            (json!({ "keep": "run" }), wanted),
            (json!({ "keep": "expiry" }), UploadOptions { keep: Keep::Expiry, ..wanted }),
            (json!({ "wait": "2s" }), UploadOptions { wait: Duration::from_secs(2), ..wanted }),
        ] {
            assert_eq!(UploadOptions::of(&upload), Ok(read), "{upload}");
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (upload, message) in [
            (json!(true), "`options.upload` is a map, not `true`"),
            (
                json!({ "keep": "ever" }),
                "`options.upload.keep` is `run` or `expiry`, not `\"ever\"`",
            ),
            (json!({ "wait": 5 }), "`options.upload.wait` is a duration, not `5`"),
            (
                json!({ "wait": "5" }),
                "`options.upload.wait`: `5` is not a duration such as `30s`, `5m` or `1h30m`",
            ),
            (json!({ "kept": "run" }), "`options.upload` has no `kept`"),
        ] {
            let failure = UploadOptions::of(&upload).unwrap_err();
            assert_eq!(failure.message, message);
            assert!(failure.hint.is_some_and(|hint| hint.starts_with("e.g. `upload: {")));
        }
    }
}
