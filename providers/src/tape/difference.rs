//! How much two requests are alike, and where they first differ.

use serde_json::Value;

/// Letters of a value that are shown.
const SHOWN: usize = 48;

/// Letters before the place where two texts part.
const BEFORE: usize = 12;

/// How much two values are alike: 1 where they are equal, 0 where nothing is the same.
pub(super) fn likeness(a: &Value, b: &Value) -> f64 {
    let (same, all) = alike(a, b);
    if all == 0.0 { 1.0 } else { same / all }
}

/// How many leaves are the same, of how many.
fn alike(a: &Value, b: &Value) -> (f64, f64) {
    let add = |(same, all): (f64, f64), (s, a): (f64, f64)| (same + s, all + a);
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let shared = a.iter().map(|(key, value)| match b.get(key) {
                Some(other) => alike(value, other),
                None => (0.0, leaves(value)),
            });
            let others = b.iter().filter(|(key, _)| !a.contains_key(*key));
            shared.chain(others.map(|(_, value)| (0.0, leaves(value)))).fold((0.0, 0.0), add)
        }
        (Value::Array(a), Value::Array(b)) => {
            let shared = a.iter().zip(b).map(|(a, b)| alike(a, b));
            let (longer, shorter) = if a.len() > b.len() { (a, b) } else { (b, a) };
            let others = longer.iter().skip(shorter.len()).map(|value| (0.0, leaves(value)));
            shared.chain(others).fold((0.0, 0.0), add)
        }
        (a, b) if a == b => (1.0, 1.0),
        (Value::String(a), Value::String(b)) => {
            let longer = a.len().max(b.len()).max(1);
            (0.9 * common(a, b) as f64 / longer as f64, 1.0)
        }
        (a, b) => (0.0, leaves(a).max(leaves(b))),
    }
}

fn leaves(value: &Value) -> f64 {
    match value {
        Value::Array(items) => items.iter().map(leaves).sum(),
        Value::Object(map) => map.values().map(leaves).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1.0,
    }
}

/// Bytes that two texts have in common at their start.
fn common(a: &str, b: &str) -> usize {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    same.map(|(letter, _)| letter.len_utf8()).sum()
}

/// Where a request differs first from the one that was recorded, in words.
pub(super) fn first(recorded: &Value, asked: &Value) -> String {
    match find(recorded, asked, &mut String::new()) {
        None => "which is the same".to_owned(),
        Some((place, Some(recorded), Some(asked))) => {
            let (recorded, asked) = shown(&recorded, &asked);
            format!("whose `{place}` is {recorded} and not {asked}")
        }
        Some((place, Some(recorded), None)) => {
            format!("whose `{place}` is {} and is missing here", short(&recorded.to_string(), 0))
        }
        Some((place, None, asked)) => {
            let asked = asked.unwrap_or_default();
            format!("which has no `{place}`; here it is {}", short(&asked.to_string(), 0))
        }
    }
}

type Found = (String, Option<Value>, Option<Value>);

fn find(a: &Value, b: &Value, place: &mut String) -> Option<Found> {
    let missing = |a: Option<&Value>, b: Option<&Value>, place: &str| {
        Some((place.to_owned(), a.cloned(), b.cloned()))
    };
    match (a, b) {
        // A file is told from another as a whole.
        (Value::Object(a_map), Value::Object(b_map))
            if !(a_map.contains_key("$artifact") && b_map.contains_key("$artifact")) =>
        {
            let others = b_map.keys().filter(|key| !a_map.contains_key(*key));
            a_map.keys().chain(others).find_map(|key| {
                within(place, &key_in_path(key), |place| match (a_map.get(key), b_map.get(key)) {
                    (Some(a), Some(b)) => find(a, b, place),
                    (a, b) => missing(a, b, place),
                })
            })
        }
        (Value::Array(a), Value::Array(b)) => (0..a.len().max(b.len())).find_map(|at| {
            within(place, &format!("[{at}]"), |place| match (a.get(at), b.get(at)) {
                (Some(a), Some(b)) => find(a, b, place),
                (a, b) => missing(a, b, place),
            })
        }),
        (a, b) if a == b => None,
        (a, b) => missing(Some(a), Some(b), place),
    }
}

fn within<T>(place: &mut String, part: &str, look: impl FnOnce(&mut String) -> T) -> T {
    let length = place.len();
    match place.is_empty() {
        true => place.push_str(part.trim_start_matches('.')),
        false => place.push_str(part),
    }
    let found = look(place);
    place.truncate(length);
    found
}

fn key_in_path(key: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-$".contains(letter);
    match !key.is_empty() && key.chars().all(plain) {
        true => format!(".{key}"),
        false => format!("[{}]", Value::from(key)),
    }
}

/// Two values shortened to where they part.
fn shown(a: &Value, b: &Value) -> (String, String) {
    let (a, b) = (a.to_string(), b.to_string());
    let from = common(&a, &b);
    let before = a[..from].chars().rev().take(BEFORE).map(char::len_utf8).sum::<usize>();
    let from = if from <= SHOWN / 2 { 0 } else { from - before };
    (short(&a, from), short(&b, from))
}

/// So much of a text from `from` on, with dots where it is cut.
fn short(text: &str, from: usize) -> String {
    let rest = &text[from..];
    let kept: String = rest.chars().take(SHOWN).collect();
    let before = if from > 0 { "…" } else { "" };
    let after = if kept.len() < rest.len() { "…" } else { "" };
    format!("{before}{kept}{after}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_told_by_its_place_with_both_values() {
        let long = |end: &str| json!({ "prompt": format!("{} and {end}", "x".repeat(60)) });
        for (recorded, asked, told) in [
            (
                json!({ "a": [1, { "b": 2 }] }),
                json!({ "a": [1, { "b": 3 }] }),
                "whose `a[1].b` is 2 and not 3",
            ),
            (
                json!({ "a": "Hello" }),
                json!({ "a": "Hallo" }),
                r#"whose `a` is "Hello" and not "Hallo""#,
            ),
            (
                json!({ "a": 1, "x y": 2 }),
                json!({ "a": 1 }),
                r#"whose `["x y"]` is 2 and is missing here"#,
            ),
            (json!({ "a": [] }), json!({ "a": [1] }), "which has no `a[0]`; here it is 1"),
            (
                long("here"),
                long("there"),
                r#"whose `prompt` is …xxxxxxx and here" and not …xxxxxxx and there""#,
            ),
            (
                json!({ "i": { "$artifact": "sha256:1", "size": 1 } }),
                json!({ "i": { "$artifact": "sha256:1", "size": 2 } }),
                r#"whose `i` is …6:1","size":1} and not …6:1","size":2}"#,
            ),
            (json!({ "a": 1 }), json!({ "a": 1 }), "which is the same"),
        ] {
            assert_eq!(first(&recorded, &asked), told);
        }
        let cut = first(&json!({}), &json!({ "a": "y".repeat(90) }));
        assert_eq!(cut, format!("which has no `a`; here it is \"{}…", "y".repeat(47)));
    }

    #[test]
    fn the_more_is_the_same_the_more_alike() {
        let asked = json!({ "model": "m", "messages": ["one", "Tell me of the sea."] });
        let near = json!({ "model": "m", "messages": ["one", "Tell me of the sky."] });
        let far = json!({ "model": "m", "messages": ["two", "x"] });
        let other = json!([1]);
        let of = |value: &Value| likeness(value, &asked);
        assert!((of(&asked) - 1.0).abs() < f64::EPSILON);
        assert!(of(&near) > of(&far) && of(&far) > of(&other));
        assert!(of(&other).abs() < f64::EPSILON);
    }
}
