//! Whether and how requests go to a service in batches: the setting `batch`.

use std::time::Duration;

use flow_core::error::Failure;
use flow_core::units::parse_duration;
use serde_json::Value;

/// How long is gathered after the last request came.
const GATHER: Duration = Duration::from_secs(5);
/// The first wait between two looks at a batch; later ones are longer.
const POLL: Duration = Duration::from_secs(10);

/// What is said of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchSettings {
    /// Whether they are wanted; where nothing is said, at the service's usual address alone.
    pub(crate) wanted: Option<bool>,
    /// How long is gathered after the last request came.
    pub(super) gather: Duration,
    /// The first wait between two looks.
    pub(super) poll: Duration,
}

impl BatchSettings {
    /// Reads the setting `batch` of a provider.
    pub(crate) fn read(provider: &str, said: Option<&Value>) -> Result<Self, Failure> {
        let mut settings = Self { wanted: None, gather: GATHER, poll: POLL };
        let wrong = |what: String| {
            Failure::input(format!("provider `{provider}`: {what}"))
                .with_hint("e.g. `batch: true`, `batch: false`, or `batch: { gather: 1m }`")
        };
        match said {
            None | Some(Value::Null) => {}
            Some(Value::Bool(wanted)) => settings.wanted = Some(*wanted),
            Some(Value::Object(said)) => {
                settings.wanted = Some(true);
                for (key, value) in said {
                    let slot = match key.as_str() {
                        "gather" => &mut settings.gather,
                        "poll" => &mut settings.poll,
                        _ => return Err(wrong(format!("`batch` has no `{key}`"))),
                    };
                    let text = value.as_str().unwrap_or_default();
                    *slot = parse_duration(text)
                        .map_err(|error| wrong(format!("`batch`: `{key}`: {error}")))?;
                }
            }
            Some(other) => return Err(wrong(format!("`batch` is no `{other}`"))),
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_is_read_and_what_is_wrong_is_told() {
        let read = |said: Value| BatchSettings::read("p", Some(&said));
        assert_eq!(BatchSettings::read("p", None).unwrap().wanted, None);
        assert_eq!(read(json!(false)).unwrap().wanted, Some(false));
        let set = read(json!({ "gather": "100ms" })).unwrap();
        let gather = Duration::from_millis(100);
        assert_eq!(set, BatchSettings { wanted: Some(true), gather, poll: POLL });
        for (said, message) in [
            (json!("yes"), "provider `p`: `batch` is no `\"yes\"`"),
            (json!({ "size": 1 }), "provider `p`: `batch` has no `size`"),
        ] {
            assert_eq!(read(said).unwrap_err().message, message);
        }
    }
}
