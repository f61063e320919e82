//! What a workflow or the user says about running local models.
//!
//! Settings of the provider hold for all of its models, options of a model for that one, and
//! options of a request for that one. What none of them knows is an error that names it.

use std::collections::BTreeMap;

use flow_core::error::Failure;
use flow_core::units::parse_size;
use serde_json::Value;

/// Settings of the provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The most memory that all models together may take, in bytes; else what is free.
    pub memory: Option<u64>,
    /// What its models are given where they do not say otherwise.
    pub(crate) usual: Room,
}

/// How a model is run, as far as that was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Room {
    /// The most tokens of a request with its answer.
    pub(crate) context: Option<u32>,
    /// Requests that are answered together.
    pub(crate) parallel: Option<u32>,
    /// Threads that compute.
    pub(crate) threads: Option<u32>,
    /// Layers on the graphics card.
    pub(crate) gpu_layers: Option<u32>,
    /// The name of a chat template of llama.cpp's.
    pub(crate) chat_template: Option<String>,
}

/// How tokens are chosen, as far as options say it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Choosing {
    pub(crate) top_k: Option<i32>,
    pub(crate) min_p: Option<f32>,
    pub(crate) repeat_penalty: Option<f32>,
    pub(crate) repeat_last: Option<i32>,
}

/// The most requests that are answered together.
pub(crate) const MOST_TOGETHER: u32 = 64;

/// Keys that say how a model is run.
const ROOM: [&str; 5] = ["context", "parallel", "threads", "gpu_layers", "chat_template"];

/// Keys that say how tokens are chosen.
const CHOOSING: [&str; 4] = ["top_k", "min_p", "repeat_penalty", "repeat_last_n"];

impl Settings {
    /// What a provider of this kind can be told.
    pub const KEYS: &[&str] = &["memory", "context", "parallel", "threads", "gpu_layers"];

    /// Reads the settings of a provider of this name.
    pub fn read(provider: &str, settings: &BTreeMap<String, Value>) -> Result<Self, Failure> {
        let mut read = Self::default();
        for (key, value) in settings {
            let at = |failure: Failure| {
                let message = format!("provider `{provider}`: {}", failure.message);
                Failure { message, ..failure }
            };
            if key == "memory" {
                let size = value.as_str().and_then(|text| parse_size(text).ok());
                let wrong = || wrong("memory", value, "a size such as `8GB`");
                read.memory = Some(size.ok_or_else(wrong).map_err(at)?);
            } else if key == "chat_template" || !read.usual.take(key, value).map_err(at)? {
                return Err(at(unknown(key, Self::KEYS)));
            }
        }
        Ok(read)
    }
}

impl Room {
    /// Takes a key that says how a model is run; says whether it is one.
    fn take(&mut self, key: &str, value: &Value) -> Result<bool, Failure> {
        match key {
            "context" => self.context = Some(whole(key, value, 16, 1 << 24)?),
            "parallel" => self.parallel = Some(whole(key, value, 1, MOST_TOGETHER)?),
            "threads" => self.threads = Some(whole(key, value, 1, 1024)?),
            "gpu_layers" => self.gpu_layers = Some(whole(key, value, 0, 1 << 16)?),
            "chat_template" => {
                let name = value.as_str().ok_or_else(|| wrong(key, value, "a name"))?;
                self.chat_template = Some(name.to_owned());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What this says, and the other one where this says nothing.
    pub(crate) fn or(self, other: &Self) -> Self {
        Self {
            context: self.context.or(other.context),
            parallel: self.parallel.or(other.parallel),
            threads: self.threads.or(other.threads),
            gpu_layers: self.gpu_layers.or(other.gpu_layers),
            chat_template: self.chat_template.or_else(|| other.chat_template.clone()),
        }
    }
}

/// Reads the options of a request, those of its model among them.
pub(crate) fn options(given: &BTreeMap<String, Value>) -> Result<(Room, Choosing), Failure> {
    let (mut room, mut choosing) = (Room::default(), Choosing::default());
    for (key, value) in given {
        match key.as_str() {
            "top_k" => choosing.top_k = Some(whole(key, value, 0, 1 << 20)? as i32),
            "min_p" => choosing.min_p = Some(number(key, value, 0.0, 1.0)?),
            "repeat_penalty" => choosing.repeat_penalty = Some(number(key, value, 0.1, 10.0)?),
            "repeat_last_n" => choosing.repeat_last = Some(whole(key, value, 0, 1 << 16)? as i32),
            _ if room.take(key, value)? => {}
            _ => {
                let known: Vec<_> = CHOOSING.into_iter().chain(ROOM).collect();
                return Err(unknown(key, &known));
            }
        }
    }
    Ok((room, choosing))
}

fn whole(key: &str, value: &Value, least: u32, most: u32) -> Result<u32, Failure> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| wrong(key, value, &format!("a whole number from {least} to {most}")))
}

fn number(key: &str, value: &Value, least: f64, most: f64) -> Result<f32, Failure> {
    let number = value.as_f64().filter(|number| (least..=most).contains(number));
    number
        .map(|number| number as f32)
        .ok_or_else(|| wrong(key, value, &format!("a number from {least} to {most}")))
}

fn wrong(key: &str, value: &Value, is: &str) -> Failure {
    Failure::input(format!("`{key}: {value}` is not {is}"))
}

fn unknown(key: &str, known: &[&str]) -> Failure {
    let near = known.iter().copied().filter(|known| strsim::jaro_winkler(key, known) > 0.8);
    let hint = match near.min_by_key(|known| strsim::levenshtein(key, known)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there is: {}", known.join(", ")),
    };
    Failure::input(format!("local models have no option `{key}`")).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> BTreeMap<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_wrong_with_settings_and_options_is_said() {
        let provider = |value| Settings::read("mine", &map(value)).unwrap_err();
        let option = |value| options(&map(value)).unwrap_err();
        for (failure, message, hint) in [
            (
                provider(json!({ "memory": 8 })),
                "provider `mine`: `memory: 8` is not a size such as `8GB`",
                None,
            ),
            (
                provider(json!({ "treads": 8 })),
                "provider `mine`: local models have no option `treads`",
                Some("did you mean `threads`?"),
            ),
            (
                option(json!({ "num_ctx": 8 })),
                "local models have no option `num_ctx`",
                Some(
                    "there is: top_k, min_p, repeat_penalty, repeat_last_n, context, parallel, \
                     threads, gpu_layers, chat_template",
                ),
            ),
            (
                option(json!({ "parallel": 65 })),
                "`parallel: 65` is not a whole number from 1 to 64",
                None,
            ),
            (option(json!({ "min_p": "x" })), "`min_p: \"x\"` is not a number from 0 to 1", None),
            (option(json!({ "chat_template": 1 })), "`chat_template: 1` is not a name", None),
        ] {
            assert_eq!(failure.message, message);
            assert_eq!(failure.hint.as_deref(), hint, "{message}");
        }
    }

    #[test]
    fn a_model_says_more_than_its_provider() {
        let settings = json!({ "memory": "2GB", "context": 4096, "threads": 2 });
        let settings = Settings::read("llama", &map(settings)).unwrap();
        let (room, choosing) = options(&map(json!({ "context": 512, "top_k": 40 }))).unwrap();
        let room = room.or(&settings.usual);
        assert_eq!(settings.memory, Some(2_000_000_000));
        assert_eq!((room.context, room.threads, choosing.top_k), (Some(512), Some(2), Some(40)));
    }
}
