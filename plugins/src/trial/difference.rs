//! What differs between two values, a line each.

use serde_json::Value;

/// The most lines.
const MOST: usize = 20;

/// What differs. Numbers are the same where they are equal, however they are written.
pub(super) fn between(expected: &Value, got: &Value, place: &str) -> Vec<String> {
    let mut lines = Vec::new();
    compare(expected, got, place, &mut lines);
    if lines.len() > MOST {
        let more = lines.len() - MOST;
        lines.truncate(MOST);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn compare(expected: &Value, got: &Value, place: &str, lines: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(wanted), Value::Object(has)) => {
            for (key, expected) in wanted {
                let place = format!("{place}.{key}");
                match has.get(key) {
                    Some(got) => compare(expected, got, &place, lines),
                    None => lines.push(format!("{place}: expected {expected}, and it is missing")),
                }
            }
            for (key, got) in has.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
                lines.push(format!("{place}.{key}: not expected, got {got}"));
            }
        }
        (Value::Array(wanted), Value::Array(has)) => {
            for (index, (expected, got)) in wanted.iter().zip(has).enumerate() {
                compare(expected, got, &format!("{place}[{index}]"), lines);
            }
            for (index, expected) in wanted.iter().enumerate().skip(has.len()) {
                lines.push(format!("{place}[{index}]: expected {expected}, and it is missing"));
            }
            for (index, got) in has.iter().enumerate().skip(wanted.len()) {
                lines.push(format!("{place}[{index}]: not expected, got {got}"));
            }
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        (expected, got) if expected == got => {}
        (expected, got) => lines.push(format!("{place}: expected {expected}, got {got}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_difference_is_told_where_it_is() {
        let expected = json!({ "a": 1, "b": [1, { "c": "x" }], "d": true });
        let got = json!({ "a": 1.0, "b": [1, { "c": "y" }, 3], "e": null });
        assert_eq!(
            between(&expected, &got, "output"),
            [
                "output.b[1].c: expected \"x\", got \"y\"",
                "output.b[2]: not expected, got 3",
                "output.d: expected true, and it is missing",
                "output.e: not expected, got null",
            ]
        );
        assert!(between(&got, &got, "output").is_empty());
        let many = json!((0..30).collect::<Vec<_>>());
        assert_eq!(between(&json!([]), &many, "output").last().unwrap(), "and 10 more");
    }
}
