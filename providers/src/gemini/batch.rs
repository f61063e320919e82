//! Batches of `generateContent`: requests in one call, answers within what is told of the batch.
//!
//! Requests are sent inline, up to what the service takes that way. Left out: batches that are
//! made from a file, which could be larger.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::wire::Error;
use super::{fault, in_path, path_of};
use crate::http::{Body, Call, Pieces};
use crate::service::batch::{
    BatchDialect, Became, Item, Line, Most, Named, Rest, Results, Stage, State, Submission,
};
use crate::service::{Endpoint, Fault, parse};

/// Batches on a page of the list: the most that are given.
const PAGE: u32 = 100;

/// Speaks of batches.
pub(super) struct Batches;

impl BatchDialect for Batches {
    fn most(&self) -> Most {
        Most { items: 50_000, bytes: 20_000_000 }
    }

    fn submit(&self, endpoint: &Endpoint, named: &Named, items: Vec<Item>) -> Submission {
        let mut body = Pieces::default();
        body.text(r#"{"batch":{"inputConfig":{"requests":{"requests":["#);
        for (at, Item { number, call }) in items.into_iter().enumerate() {
            body.text(if at == 0 { r#"{"request":"# } else { r#",{"request":"# });
            body.append(call.body);
            body.text(format!(r#","metadata":{{"key":{}}}}}"#, json!(named.id_of(number))));
        }
        body.text(format!(r#"]}}}},"displayName":{}}}}}"#, json!(named.nonce)));
        let path = path_of(&named.model, "batchGenerateContent");
        Submission::Whole(endpoint.call(Method::POST, &path, Body::Json(body)))
    }

    fn look(&self, endpoint: &Endpoint, id: &str) -> Call {
        said(endpoint.call(Method::GET, &format!("/{}", in_path(id)), Body::Empty))
    }

    fn read(&self, body: &[u8]) -> Result<State, Fault> {
        Ok(state(parse(body)?))
    }

    fn list(&self, endpoint: &Endpoint, after: Option<&str>) -> Call {
        let after = after.map(|token| format!("&pageToken={}", in_path(token))).unwrap_or_default();
        said(endpoint.call(Method::GET, &format!("/batches?pageSize={PAGE}{after}"), Body::Empty))
    }

    fn read_list(&self, body: &[u8]) -> Result<(Vec<State>, Option<String>), Fault> {
        let Listed { operations, next_page_token } = parse(body)?;
        let next = Some(next_page_token).filter(|token| !token.is_empty());
        Ok((operations.into_iter().map(state).collect(), next))
    }

    fn results(&self, endpoint: &Endpoint, place: &str) -> Call {
        self.look(endpoint, place)
    }

    fn line(&self, line: &[u8]) -> Option<Line> {
        let Answered { metadata, response, error } = serde_json::from_slice(line).ok()?;
        let id = metadata["key"].as_str()?.to_owned();
        let answer = |body: String| Became::Answer {
            status: 200,
            body: body.into_bytes(),
            request_id: None,
        };
        let became = match (response, error) {
            (Some(response), _) => answer(response.to_string()),
            (None, Some(error)) if error["code"] == 1 || error["status"] == "CANCELLED" => {
                Became::Not(Rest::Cancelled)
            }
            (None, Some(error)) => answer(json!({ "error": named(error) }).to_string()),
            (None, None) => Became::Not(Rest::Missing),
        };
        Some(Line { id, became })
    }

    fn cancel(&self, endpoint: &Endpoint, id: &str) -> Call {
        let path = format!("/{}:cancel", in_path(id));
        said(endpoint.call(Method::POST, &path, Body::Empty))
    }
}

/// Its own library says so of every request.
fn said(call: Call) -> Call {
    call.header("content-type", "application/json")
}

fn state(operation: Operation) -> State {
    let Operation { name, metadata, error, response } = operation;
    // Both stand in an operation that is done, and either may be left out.
    let output = response.filter(|response| !response["inlinedResponses"].is_null());
    let output = output.unwrap_or(metadata.output);
    let lines = output["inlinedResponses"]["inlinedResponses"].as_array();
    let lines = lines.into_iter().flatten().map(|line| line.to_string().into_bytes());
    let results = Results::Here(lines.collect());
    let stage = match metadata.state.rsplit("_STATE_").next() {
        Some("SUCCEEDED") => Stage::Ended { results, rest: Rest::Missing },
        Some("EXPIRED") => Stage::Ended { results, rest: Rest::Expired },
        Some("CANCELLED") => Stage::Ended { results, rest: Rest::Cancelled },
        Some("FAILED") => {
            let error = error.map(named).and_then(|error| serde_json::from_value(error).ok());
            let error: Error = error.unwrap_or_default();
            let mut fault = fault::fault(error);
            fault.message = format!("the batch failed: {}", fault.message);
            Stage::Failed(fault)
        }
        Some(_) | None => Stage::Working,
    };
    let created = metadata.create_time.and_then(|at| at.parse::<jiff::Timestamp>().ok());
    State {
        id: name,
        nonce: metadata.display_name,
        items: metadata.batch_stats["requestCount"].as_str().and_then(|count| count.parse().ok()),
        created: created.map(jiff::Timestamp::as_millisecond),
        stage,
    }
}

/// An error of an operation, whose code is that of gRPC, in the form in which answers have it.
fn named(mut error: Value) -> Value {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let code = error["code"].as_u64().and_then(|code| usize::try_from(code).ok());
    if let (Some(name), Value::Object(fields)) = (code.and_then(|code| NAMES.get(code)), &mut error)
    {
        fields.entry("status").or_insert_with(|| json!(name));
        fields.remove("code");
    }
    error
}

#[derive(Deserialize)]
struct Operation {
    name: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    response: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    state: String,
    display_name: Option<String>,
    create_time: Option<String>,
    batch_stats: Value,
    output: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(default)]
    operations: Vec<Operation>,
    #[serde(default)]
    next_page_token: String,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    response: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

#[cfg(test)]
mod tests {
    use flow_core::error::ErrorClass;

    use super::*;

    #[test]
    fn a_batch_that_failed_says_why_by_the_codes_of_operations() {
        let body = json!({
            "name": "batches/1", "done": true, "error": { "code": 8, "message": "quota" },
            "metadata": { "state": "BATCH_STATE_FAILED", "displayName": "n" },
        });
        let state = Batches.read(body.to_string().as_bytes()).unwrap();
        let Stage::Failed(fault) = state.stage else { panic!("{state:?}") };
        assert_eq!(fault.class, ErrorClass::RateLimit);
        assert_eq!(fault.message, "the batch failed: RESOURCE_EXHAUSTED: quota");
    }

    #[test]
    fn a_line_is_an_answer_or_an_error_as_a_single_call_has_it() {
        let line =
            json!({ "metadata": { "key": "n-0" }, "error": { "code": 3, "message": "bad" } });
        let line = Batches.line(line.to_string().as_bytes()).unwrap();
        let error = json!({ "error": { "message": "bad", "status": "INVALID_ARGUMENT" } });
        let Became::Answer { status: 200, body, .. } = line.became else { panic!("{line:?}") };
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), error);
        let gone = json!({ "metadata": { "key": "n-0" }, "error": { "code": 1 } });
        let gone = Batches.line(gone.to_string().as_bytes()).unwrap();
        assert_eq!(gone.became, Became::Not(Rest::Cancelled));
        assert_eq!(Batches.line(b"{}"), None);
    }
}
