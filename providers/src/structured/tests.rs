//! From what a model writes to data, and what is said of what does not become any.

use serde_json::json;

use super::*;

fn total() -> Value {
    json!({
        "type": "object",
        "required": ["total"],
        "properties": { "total": { "type": "number" }, "note": { "type": "string" } },
    })
}

fn read(text: &str) -> Result<(Value, Vec<&'static str>), String> {
    let read = structured(text, &total()).map_err(|failure| failure.message)?;
    Ok((read.value, read.mended))
}

#[test]
fn what_is_wrong_only_in_its_form_is_put_right_and_said() {
    let fence = "taken out of a code fence";
    let around = "the text around it left out";
    let commas = "commas before a closing bracket left out";
    let cases: [(&str, &[&str]); 11] = [
        ("{\"total\": 4.5}", &[]),
        (" \n{\"total\": 4.5}\n ", &[]),
        ("```json\n{\"total\": 4.5}\n```", &[fence]),
        ("```\n{\"total\": 4.5,\n}", &[fence, commas]),
        ("Here it is:\n```json\n{\"total\": 4.5}\n```\nAnything else?", &[fence]),
        ("The answer: {\"total\": 4.5}.", &[around]),
        ("{\"total\": 4.5}\"", &[around]),
        ("{\"total\": 4.5 , }", &[commas]),
        ("As in [1], with {braces}: {\"total\": 4.5}", &[around]),
        (
            "\u{feff}<think>{\"total\": 1}?</think>{\"total\": 4.5}",
            &["the reasoning before it left out"],
        ),
        ("\"{\\\"total\\\": 4.5}\"", &["taken out of a JSON text"]),
    ];
    for (text, mended) in cases {
        assert_eq!(read(text), Ok((json!({ "total": 4.5 }), mended.to_vec())), "{text}");
    }
    let broken = "{\"total\": 4.5, \"note\": \"a,}\nb\"}";
    let breaks = "line breaks within a text written as JSON has them";
    assert_eq!(read(broken), Ok((json!({ "total": 4.5, "note": "a,}\nb" }), vec![breaks])));
}

#[test]
fn what_could_mean_something_else_is_not_put_right() {
    for (text, why) in [
        ("I think 4.5", "the answer is not JSON: expected value at line 1 column 1"),
        (
            "{\"total\": 4.5",
            "the answer is not JSON: EOF while parsing an object at line 1 column 13",
        ),
        ("{'total': 4.5}", "the answer is not JSON: key must be a string at line 1 column 2"),
        ("{\"total\": 4.5,,}", "the answer is not JSON: key must be a string at line 1 column 15"),
        ("{\"total\": 4,5}", "the answer is not JSON: key must be a string at line 1 column 13"),
        ("{\"total\": NaN}", "the answer is not JSON: expected value at line 1 column 11"),
        ("{\"total\": 4.5} or {\"total\": 5.4}", "the answer holds 2 JSON values instead of one"),
        ("4.5", "the answer does not fit the schema: 4.5 is not of type \"object\""),
        ("\"4.5\"", "the answer does not fit the schema: \"4.5\" is not of type \"object\""),
    ] {
        assert_eq!(read(text), Err(why.to_owned()), "{text}");
    }
}

#[test]
fn a_null_that_nobody_asked_for_is_left_out_and_one_that_must_be_something_is_named() {
    assert_eq!(read("{\"total\": 4.5, \"note\": null}"), Ok((json!({ "total": 4.5 }), vec![])));
    assert_eq!(
        read("{\"total\": null, \"note\": null}"),
        Err("the answer does not fit the schema at `/total`: null is not of type \"number\"".into())
    );
}

#[test]
fn every_fault_is_named_up_to_a_bound_and_long_values_are_shortened() {
    let line = json!({ "type": "object", "properties": { "net": { "type": "number" } } });
    let schema = json!({ "type": "array", "items": line, "minItems": 1 });
    let told = |answer: Value| structured(&answer.to_string(), &schema).unwrap_err().message;
    assert_eq!(
        told(json!([{ "net": "1" }, { "net": 2 }, { "net": "x".repeat(5_000) }])),
        format!(
            "the answer does not fit the schema (2 faults): at `/0/net`: \"1\" is not of type \"number\"; at `/2/net`: \"{}… is not of type \"number\"",
            "x".repeat(79)
        )
    );
    let many = told(Value::Array(vec![json!({ "net": "1" }); 2_000]));
    let first = "the answer does not fit the schema (2000 faults): at `/0/net`: \"1\" is not of type \"number\"; ";
    assert!(many.starts_with(first), "{many}");
    let last = "at `/19/net`: \"1\" is not of type \"number\"; and 1980 more";
    assert!(many.ends_with(last), "{many}");
}

#[test]
fn formats_count_and_the_draft_is_the_one_that_is_named() {
    let date = json!({ "type": "string", "format": "date" });
    let told = |schema: &Value, text: &str| structured(text, schema).map_err(|f| f.message);
    assert_eq!(
        told(&date, "\"2026-02-30\""),
        Err("the answer does not fit the schema: \"2026-02-30\" is not a \"date\"".into())
    );
    assert!(told(&date, "\"2026-02-28\"").is_ok());
    // In draft 4 the bound itself is excluded by a boolean.
    let draft_4 = json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "number", "minimum": 0, "exclusiveMinimum": true,
    });
    assert!(told(&draft_4, "1").is_ok());
    assert_eq!(
        told(&draft_4, "0"),
        Err("the answer does not fit the schema: 0 is less than or equal to the minimum of 0"
            .into())
    );
    let elsewhere = json!({ "$ref": "https://schemas.test/a.json" });
    assert!(told(&elsewhere, "1").unwrap_err().starts_with("`schema` is not a JSON Schema: "));
}
