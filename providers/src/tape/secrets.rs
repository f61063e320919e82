//! What is taken out of an exchange before it is written.
//!
//! Values are changed text by text, so that what is written stays the JSON it was. A secret that
//! the texts of an answer only spell together, as those of a stream may, is put into the first of
//! them, where it is seen.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::redact::Redactor;

/// What is in the name of a part of a query that holds a secret.
const KEYS: &[&str] =
    &["key", "token", "secret", "signature", "sig", "password", "credential", "auth"];

/// What stands in the place of a secret.
const REPLACEMENT: &str = "[secret]";

/// The value without secrets.
pub(super) fn plain(redactor: &Redactor, value: Value) -> Value {
    if redactor.is_empty() {
        return value;
    }
    match value {
        Value::Null | Value::Bool(_) => value,
        Value::Number(number) => {
            let text = number.to_string();
            let told = redactor.text(&text);
            if told == text { Value::Number(number) } else { Value::String(told) }
        }
        Value::String(text) => Value::String(redactor.text(&text)),
        Value::Array(items) => items.into_iter().map(|item| plain(redactor, item)).collect(),
        Value::Object(map) => {
            let entries = map.into_iter();
            entries.map(|(key, value)| (redactor.text(&key), plain(redactor, value))).collect()
        }
    }
}

/// An address without what identifies somebody and without keys in its query.
pub(super) fn url(text: &str) -> String {
    let (before, query) = match text.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (text, None),
    };
    let before = match before.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (host, path) = rest.split_at(end);
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => before.to_owned(),
    };
    let Some(query) = query else { return before };
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name, _)) if is_key(name) => format!("{name}={REPLACEMENT}"),
        Some(_) | None => part.to_owned(),
    });
    format!("{before}?{}", parts.collect::<Vec<_>>().join("&"))
}

fn is_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // Where a list goes on is no key to anything.
    name != "pagetoken" && KEYS.iter().any(|key| name.contains(key))
}

/// The value of an answer without secrets, also those that several of its texts spell.
pub(super) fn answer(redactor: &Redactor, value: Value) -> Value {
    if redactor.is_empty() {
        return value;
    }
    let mut values = [value];
    gather_and_mend(redactor, &mut values);
    let [value] = values;
    plain(redactor, value)
}

/// The text of an answer without secrets: if it is a stream of JSON, also those that several of
/// its pieces spell.
pub(super) fn stream(redactor: &Redactor, text: &str) -> String {
    if redactor.is_empty() {
        return text.to_owned();
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let payloads = lines.iter().map(|line| {
        let start = line.find('{')?;
        let end = line.trim_end().len();
        let value = serde_json::from_str(line.get(start..end)?).ok()?;
        Some((start, end, value))
    });
    let payloads: Vec<Option<(usize, usize, Value)>> = payloads.collect();
    let mut values: Vec<Value> =
        payloads.iter().flatten().map(|(_, _, value)| value.clone()).collect();
    if !gather_and_mend(redactor, &mut values) {
        return redactor.text(text);
    }
    let mut values = values.into_iter();
    let mended = lines.iter().zip(&payloads).map(|(line, payload)| match payload {
        None => (*line).to_owned(),
        Some((start, end, old)) => match values.next() {
            Some(new) if new != *old => {
                format!("{}{new}{}", &line[..*start], &line[*end..])
            }
            Some(_) | None => (*line).to_owned(),
        },
    });
    redactor.text(&mended.collect::<String>())
}

/// Finds texts at the same place of values, counted without positions in lists, that spell a
/// secret together and not one by one; puts all they say into the first. Says whether it did.
fn gather_and_mend(redactor: &Redactor, values: &mut [Value]) -> bool {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for value in values.iter_mut() {
        each(value, &mut String::new(), &mut |place, text| {
            texts.entry(place.to_owned()).or_default().push(text.clone());
        });
    }
    texts.retain(|_, texts| {
        let one_by_one: String = texts.iter().map(|text| redactor.text(text)).collect();
        texts.len() > 1 && redactor.text(&texts.concat()) != one_by_one
    });
    let mut mended: BTreeMap<String, Option<String>> = texts
        .into_iter()
        .map(|(place, texts)| (place, Some(redactor.text(&texts.concat()))))
        .collect();
    for value in values.iter_mut() {
        each(value, &mut String::new(), &mut |place, text| {
            if let Some(whole) = mended.get_mut(place) {
                *text = whole.take().unwrap_or_default();
            }
        });
    }
    !mended.is_empty()
}

/// Shows every text of a value with its place.
fn each(value: &mut Value, place: &mut String, see: &mut impl FnMut(&str, &mut String)) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => see(place, text),
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, place, see)),
        Value::Object(map) => {
            for (key, value) in map {
                let length = place.len();
                place.push('.');
                place.push_str(key);
                each(value, place, see);
                place.truncate(length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(["k-1234".to_owned(), "2026".to_owned()])
    }

    #[test]
    fn what_is_written_stays_json_whatever_the_secret() {
        let value = json!({ "k-1234": ["my k-1234", 2026, 12.5, true], "a": { "b": "20261" } });
        let expected = json!({ "[secret]": ["my [secret]", "[secret]", 12.5, true], "a": { "b": "[secret]1" } });
        assert_eq!(plain(&redactor(), value), expected);
    }

    #[test]
    fn keys_of_a_query_and_people_of_an_address_are_left_out() {
        for (text, told) in [
            (
                "/v1/files?pageToken=abc&access_token=sse",
                "/v1/files?pageToken=abc&access_token=[secret]",
            ),
            (
                "https://me:pw@host/a.png?X-Amz-Signature=1&b",
                "https://host/a.png?X-Amz-Signature=[secret]&b",
            ),
            ("https://host?key=1", "https://host?key=[secret]"),
            ("/models/m:generate", "/models/m:generate"),
        ] {
            assert_eq!(url(text), told);
        }
    }

    #[test]
    fn a_secret_that_pieces_spell_is_shown_in_the_first() {
        let chunk = |text: &str| {
            format!(
                "data: {}\n\n",
                json!({ "id": "c", "choices": [{ "delta": { "content": text } }] })
            )
        };
        let text = format!(
            "event: x\n{}{}{}data: [DONE]\n\n",
            chunk("It is k-1"),
            chunk("23"),
            chunk("4.")
        );
        let expected = format!(
            "event: x\n{}{}{}data: [DONE]\n\n",
            chunk("It is [secret]."),
            chunk(""),
            chunk("")
        );
        assert_eq!(stream(&redactor(), &text), expected);
        let told = format!("{}{}", chunk("It is k-1234"), chunk(" and no more"));
        assert_eq!(stream(&redactor(), &told), told.replace("k-1234", "[secret]"));
        let parts = json!({ "parts": [{ "text": "k-12" }, { "text": "34" }] });
        assert_eq!(
            answer(&redactor(), parts),
            json!({ "parts": [{ "text": "[secret]" }, { "text": "" }] })
        );
    }
}
