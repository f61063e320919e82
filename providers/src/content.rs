//! What is asked: the conversation of a step's input, as parts in their order.
//!
//! A part is exactly one thing, a text or a file; what stands beside a file is the provider's
//! own. The same words say what is wrong when a file is checked and when a step runs.

use std::collections::BTreeMap;

use flow_core::artifact::ArtifactRef;
use flow_core::error::Failure;
use flow_core::provider::{Media, MediaFile, Message, Part, Role};
use serde_json::Value;

use crate::part_kind::PartKind;

/// The keys that say what a part is.
const PARTS: &[&str] = &["text", "image", "document", "video", "audio"];

/// The most letters of a value that a message shows.
const LONGEST_SHOWN: usize = 200;

/// The conversation: `messages`, and then what `content`, the files and `prompt` ask.
pub(crate) fn messages(input: &Value) -> Result<Vec<Message>, Failure> {
    let mut messages = Vec::new();
    for (at, message) in input["messages"].as_array().into_iter().flatten().enumerate() {
        let role = match message["role"].as_str() {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            _ => {
                let message = format!("`messages`: `{}` is no role", shown(&message["role"]));
                return Err(Failure::input(message).with_hint("a role is `user` or `assistant`"));
            }
        };
        let place = format!("messages[{at}].content");
        messages.push(Message { role, parts: content(&message["content"], &place)? });
    }
    let mut parts = content(&input["content"], "content")?;
    for (key, kind) in FILES {
        match &input[*key] {
            Value::Null => {}
            Value::Array(files) => {
                for (at, file) in files.iter().enumerate() {
                    let place = format!("{key}[{at}]");
                    parts.push(file_part(*kind, &place, file, BTreeMap::new())?);
                }
            }
            file => parts.push(file_part(*kind, key, file, BTreeMap::new())?),
        }
    }
    if let Some(prompt) = input["prompt"].as_str() {
        parts.push(Part::Text(prompt.to_owned()));
    }
    if !parts.is_empty() {
        messages.push(Message { role: Role::User, parts });
    }
    if messages.is_empty() {
        let hint = "give `prompt`, `content` or `messages`";
        return Err(Failure::input("nothing is asked").with_hint(hint));
    }
    Ok(messages)
}

/// The keys of files, in the order they are sent, and what each is.
const FILES: &[(&str, PartKind)] = &[
    ("image", PartKind::Image),
    ("images", PartKind::Image),
    ("document", PartKind::Document),
    ("documents", PartKind::Document),
    ("video", PartKind::Video),
    ("audio", PartKind::Audio),
];

fn content(value: &Value, place: &str) -> Result<Vec<Part>, Failure> {
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::String(text) => return Ok(vec![Part::Text(text.clone())]),
        Value::Array(items) => items,
        _ => return Err(Failure::input("`content` is a text or a list")),
    };
    items.iter().enumerate().map(|(at, item)| part(item, &format!("{place}[{at}]"))).collect()
}

fn part(item: &Value, place: &str) -> Result<Part, Failure> {
    let key = key_of(item)?;
    if key == "text" {
        return Ok(Part::Text(item[key].as_str().unwrap_or_default().to_owned()));
    }
    let fields = item.as_object().into_iter().flatten().filter(|(name, _)| *name != key);
    let own = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    let kind = FILES.iter().find(|(name, _)| *name == key).map_or(PartKind::Image, |at| at.1);
    file_part(kind, &format!("{place}.{key}"), &item[key], own)
}

/// What a part is: the one key of those that say it. Null counts as what is not known yet.
fn key_of(item: &Value) -> Result<&'static str, Failure> {
    let keys: Vec<_> = PARTS.iter().copied().filter(|key| item.get(*key).is_some()).collect();
    let fault = |what: String, hint: &str| {
        Err(Failure::input(format!("`content`: {what}")).with_hint(hint))
    };
    match keys.as_slice() {
        ["text"] => {
            let others = item.as_object().into_iter().flatten().map(|(name, _)| name);
            if let Some(other) = others.into_iter().find(|name| *name != "text") {
                let hint = "fields of the provider's own stand beside files";
                return fault(format!("a text has no `{other}`"), hint);
            }
            match &item["text"] {
                Value::String(_) | Value::Null => Ok("text"),
                other => {
                    let hint = "e.g. `{{ VALUE | string }}`, or `{{ VALUE | tojson }}`";
                    fault(format!("`text` is no text: `{}`", shown(other)), hint)
                }
            }
        }
        [key] => Ok(key),
        [] => fault(
            format!("`{}` is no part", shown(item)),
            "a part is `{text: …}`, `{image: …}`, `{document: …}`, `{video: …}` or `{audio: …}`",
        ),
        [one, other, ..] => fault(
            format!("a part is one thing, and `{}` has `{one}` and `{other}`", shown(item)),
            &format!("make them parts of their own: `- {one}: …`, `- {other}: …`"),
        ),
    }
}

/// What is wrong with the parts that are written in the file; null stands for what is computed.
pub(crate) fn literal_faults(with: &Value) -> Vec<(&'static str, Failure)> {
    let faults = |parts: &Value| {
        let parts = parts.as_array().cloned().unwrap_or_default();
        let written = parts.into_iter().filter(|part| !part.is_null());
        written.filter_map(|part| key_of(&part).err()).collect::<Vec<_>>()
    };
    let mut found: Vec<_> =
        faults(&with["content"]).into_iter().map(|failure| ("content", failure)).collect();
    for message in with["messages"].as_array().into_iter().flatten() {
        found.extend(faults(&message["content"]).into_iter().map(|failure| ("messages", failure)));
    }
    found
}

/// Whether something of what is asked is a video.
pub(crate) fn has_video(input: &Value) -> bool {
    let within = |content: &Value| {
        let parts = content.as_array().into_iter().flatten();
        parts.into_iter().any(|part| part.get("video").is_some())
    };
    let mut turns = input["messages"].as_array().into_iter().flatten();
    !input["video"].is_null()
        || within(&input["content"])
        || turns.any(|turn| within(&turn["content"]))
}

/// A value in one line, not all of one that is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A file as a part, if it is of the kind that the part says.
fn file_part(
    kind: PartKind,
    place: &str,
    value: &Value,
    options: BTreeMap<String, Value>,
) -> Result<Part, Failure> {
    let media = media(place, value, options)?;
    if let MediaFile::Artifact(artifact) = &media.file {
        kind.hold(place, artifact)?;
    }
    Ok(match kind {
        PartKind::Image => Part::Image(media),
        PartKind::Document => Part::Document(media),
        PartKind::Video => Part::Video(media),
        PartKind::Audio => Part::Audio(media),
    })
}

fn media(place: &str, value: &Value, options: BTreeMap<String, Value>) -> Result<Media, Failure> {
    if let Some(artifact) = ArtifactRef::from_value(value) {
        return Ok(Media { file: MediaFile::Artifact(artifact), options });
    }
    if let Some(id) = value["file_id"].as_str() {
        let media_type = value["media_type"].as_str().map(str::to_owned);
        return Ok(Media { file: MediaFile::Uploaded { id: id.to_owned(), media_type }, options });
    }
    match value.as_str() {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Media { file: MediaFile::Url(url.to_owned()), options })
        }
        _ => Err(Failure::input(format!("`{place}`: `{}` is no file", shown(value)))
            .with_hint("a file is an input, a step's artifact, a URL, or `{file_id: …}`")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_keep_their_order_and_their_own_fields() {
        let input = json!({ "content": [{ "text": "a" }, { "image": "https://x/y.png", "detail": "low" }, { "text": "b" }], "prompt": "c" });
        let messages = messages(&input).unwrap();
        let text = |text: &str| Part::Text(text.into());
        let options = BTreeMap::from([("detail".to_owned(), json!("low"))]);
        let image = Part::Image(Media { file: MediaFile::Url("https://x/y.png".into()), options });
        assert_eq!(messages[0].parts, [text("a"), image, text("b"), text("c")]);
    }

    #[test]
    fn a_part_is_exactly_one_thing() {
        for (part, message) in [
            (
                json!({ "text": "a", "image": "https://x/y.png" }),
                "`content`: a part is one thing, and `{\"text\":\"a\",\"image\":\"https://x/y.png\"}` has `text` and `image`",
            ),
            (json!({ "detail": "low" }), "`content`: `{\"detail\":\"low\"}` is no part"),
            (json!("a"), "`content`: `\"a\"` is no part"),
            (json!({ "text": 5 }), "`content`: `text` is no text: `5`"),
            (json!({ "text": "a", "detail": "low" }), "`content`: a text has no `detail`"),
            (json!({ "image": 5 }), "`content[0].image`: `5` is no file"),
        ] {
            let failure = messages(&json!({ "content": [part] })).unwrap_err();
            assert_eq!(failure.message, message);
            assert!(failure.hint.is_some(), "{message}");
        }
        let long = messages(&json!({ "content": [{ "x": "y".repeat(10_000) }] })).unwrap_err();
        assert!(long.message.len() < 300, "{}", long.message);
    }
}
