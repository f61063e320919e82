//! Batches: a file of requests, one a line, and a batch that is made from it.
//!
//! ```text
//! POST /files (purpose=batch) ─► POST /batches ─► GET /batches/ID ─► GET /files/ID/content
//!      JSON lines                 our name in its metadata             answers, and apart from
//!                                                                      them what was refused
//! ```

use flow_core::error::ErrorClass;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fault;
use crate::http::{Body, Call, Form, Pieces};
use crate::service::batch::{
    BatchDialect, Became, Item, Line, Most, Named, Rest, Results, Stage, State, Submission,
};
use crate::service::{Endpoint, Fault, parse};

/// The key of our name in the metadata of a batch.
const NAME: &str = "flow";
/// The window within which the service answers: the only one there is.
const WINDOW: &str = "24h";
/// Batches on a page of the list: the most that are given.
const PAGE: u32 = 100;

/// Speaks of batches.
pub(super) struct Batches;

impl BatchDialect for Batches {
    fn most(&self) -> Most {
        Most { items: 50_000, bytes: 200_000_000 }
    }

    fn submit(&self, endpoint: &Endpoint, named: &Named, items: Vec<Item>) -> Submission {
        let mut lines = Pieces::default();
        for Item { number, call } in items {
            let (id, url) = (json!(named.id_of(number)), json!(path(endpoint, &call.url)));
            lines.text(format!(r#"{{"custom_id":{id},"method":"POST","url":{url},"body":"#));
            lines.append(call.body);
            lines.text("}\n");
        }
        let file = format!("{}.jsonl", named.nonce);
        let form = Form::new().text("purpose", "batch");
        let form = form.made("file", &file, "application/jsonl", lines);
        Submission::File(endpoint.call(Method::POST, "/files", form.into_body()))
    }

    fn begin(&self, endpoint: &Endpoint, named: &Named, taken: &[u8]) -> Result<Call, Fault> {
        let file: File = parse(taken)?;
        let asked = match endpoint.api.as_deref() {
            Some("responses") => "/v1/responses",
            Some(_) | None => "/v1/chat/completions",
        };
        let body = Begin {
            input_file_id: &file.id,
            endpoint: asked,
            completion_window: WINDOW,
            metadata: json!({ NAME: named.nonce }),
        };
        Ok(endpoint.call(Method::POST, "/batches", Body::json(&body)))
    }

    fn look(&self, endpoint: &Endpoint, id: &str) -> Call {
        endpoint.call(Method::GET, &format!("/batches/{id}"), Body::Empty)
    }

    fn read(&self, body: &[u8]) -> Result<State, Fault> {
        Ok(state(parse(body)?))
    }

    fn list(&self, endpoint: &Endpoint, after: Option<&str>) -> Call {
        let after = after.map(|id| format!("&after={id}")).unwrap_or_default();
        endpoint.call(Method::GET, &format!("/batches?limit={PAGE}{after}"), Body::Empty)
    }

    fn read_list(&self, body: &[u8]) -> Result<(Vec<State>, Option<String>), Fault> {
        let Listed { data, has_more } = parse(body)?;
        let next = data.last().map(|batch| batch.id.clone()).filter(|_| has_more);
        Ok((data.into_iter().map(state).collect(), next))
    }

    fn results(&self, endpoint: &Endpoint, place: &str) -> Call {
        endpoint.call(Method::GET, &format!("/files/{place}/content"), Body::Empty)
    }

    fn line(&self, line: &[u8]) -> Option<Line> {
        let Answered { custom_id: id, response, error } = serde_json::from_slice(line).ok()?;
        let became = match (response, error) {
            (Some(response), _) => Became::Answer {
                status: response.status_code,
                body: response.body.to_string().into_bytes(),
                request_id: response.request_id,
            },
            (None, Some(error)) => match error["code"].as_str() {
                Some("batch_expired") => Became::Not(Rest::Expired),
                Some("batch_cancelled") => Became::Not(Rest::Cancelled),
                Some(_) | None => Became::Answer {
                    status: 500,
                    body: json!({ "error": error }).to_string().into_bytes(),
                    request_id: None,
                },
            },
            (None, None) => Became::Not(Rest::Missing),
        };
        Some(Line { id, became })
    }

    fn cancel(&self, endpoint: &Endpoint, id: &str) -> Call {
        endpoint.call(Method::POST, &format!("/batches/{id}/cancel"), Body::Empty)
    }
}

/// The path of a call as a line names it: the version stands in the address of the service.
fn path(endpoint: &Endpoint, url: &str) -> String {
    format!("/v1{}", url.strip_prefix(&endpoint.base_url).unwrap_or(url))
}

fn state(batch: Batch) -> State {
    let rest = match batch.status.as_str() {
        "expired" => Rest::Expired,
        "cancelled" => Rest::Cancelled,
        _ => Rest::Missing,
    };
    let stage = match batch.status.as_str() {
        "completed" | "expired" | "cancelled" => {
            let places = [batch.output_file_id, batch.error_file_id].into_iter().flatten();
            Stage::Ended { results: Results::At(places.collect()), rest }
        }
        "failed" => Stage::Failed(failed(batch.errors)),
        _ => Stage::Working,
    };
    State {
        nonce: batch.metadata[NAME].as_str().map(str::to_owned),
        items: batch.request_counts.map(|counts| counts.total).filter(|total| *total > 0),
        created: batch.created_at.map(|seconds| seconds.saturating_mul(1000)),
        id: batch.id,
        stage,
    }
}

/// Why the service did not take a batch: the first of its reasons.
fn failed(errors: Option<Errors>) -> Fault {
    let first = errors.and_then(|errors| errors.data.into_iter().next());
    let Some(error) = first else {
        return Fault::new(ErrorClass::BadRequest, "the batch was not taken, without a reason");
    };
    let mut fault = fault::of_error(400, &error);
    // So many tokens may wait at once; those that do will be done with.
    if error["code"] == "token_limit_exceeded" {
        fault.class = ErrorClass::RateLimit;
    }
    fault.message = match error["line"].as_u64() {
        Some(line) => format!("the batch was not taken: line {line}: {}", fault.message),
        None => format!("the batch was not taken: {}", fault.message),
    };
    fault
}

#[derive(Serialize)]
struct Begin<'a> {
    input_file_id: &'a str,
    endpoint: &'static str,
    completion_window: &'static str,
    metadata: Value,
}

#[derive(Deserialize)]
struct File {
    id: String,
}

#[derive(Deserialize)]
struct Batch {
    id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    errors: Option<Errors>,
    #[serde(default)]
    output_file_id: Option<String>,
    #[serde(default)]
    error_file_id: Option<String>,
    #[serde(default)]
    created_at: Option<i64>,
    #[serde(default)]
    request_counts: Option<Counts>,
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    data: Vec<Value>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    total: u64,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    data: Vec<Batch>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Answered {
    custom_id: String,
    #[serde(default)]
    response: Option<Response>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Response {
    status_code: u16,
    #[serde(default)]
    request_id: Option<String>,
    body: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(batch: &Value) -> State {
        Batches.read(batch.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_batch_is_over_when_it_says_so_and_what_has_no_line_is_what_it_says() {
        for (status, stage) in [
            ("validating", Stage::Working),
            ("in_progress", Stage::Working),
            ("finalizing", Stage::Working),
            ("cancelling", Stage::Working),
            (
                "completed",
                Stage::Ended {
                    results: Results::At(vec!["file-o".into(), "file-e".into()]),
                    rest: Rest::Missing,
                },
            ),
            (
                "expired",
                Stage::Ended {
                    results: Results::At(vec!["file-o".into(), "file-e".into()]),
                    rest: Rest::Expired,
                },
            ),
            (
                "cancelled",
                Stage::Ended {
                    results: Results::At(vec!["file-o".into(), "file-e".into()]),
                    rest: Rest::Cancelled,
                },
            ),
        ] {
            let state = read(&json!({
                "id": "batch_1", "object": "batch", "status": status, "errors": null,
                "output_file_id": "file-o", "error_file_id": "file-e", "created_at": 1_700_000_000,
                "request_counts": { "total": 2, "completed": 1, "failed": 1 },
                "metadata": { "flow": "n" },
            }));
            let expected = State {
                id: "batch_1".into(),
                nonce: Some("n".into()),
                items: Some(2),
                created: Some(1_700_000_000_000),
                stage,
            };
            assert_eq!(state, expected, "{status}");
        }
    }

    #[test]
    fn a_batch_that_was_not_taken_says_why() {
        for (error, class, message) in [
            (
                json!({ "code": "token_limit_exceeded", "line": null, "message": "Enqueued token limit reached." }),
                ErrorClass::RateLimit,
                "the batch was not taken: Enqueued token limit reached.",
            ),
            (
                json!({ "code": "invalid_json_line", "line": 3, "message": "This line is not parseable." }),
                ErrorClass::BadRequest,
                "the batch was not taken: line 3: This line is not parseable.",
            ),
            (
                json!({ "code": "model_not_found", "line": 1, "message": "No such model." }),
                ErrorClass::NotFound,
                "the batch was not taken: line 1: No such model.",
            ),
        ] {
            let state =
                read(&json!({ "id": "b", "status": "failed", "errors": { "data": [error] } }));
            let Stage::Failed(fault) = state.stage else { panic!("{state:?}") };
            assert_eq!((fault.class, fault.message.as_str()), (class, message));
        }
    }

    #[test]
    fn every_line_says_what_became_of_its_request() {
        let line = |line: Value| Batches.line(line.to_string().as_bytes()).unwrap().became;
        let response = json!({ "status_code": 400, "request_id": "r", "body": { "error": 1 } });
        assert_eq!(
            line(json!({ "id": "x", "custom_id": "n-0", "response": response, "error": null })),
            Became::Answer {
                status: 400,
                body: br#"{"error":1}"#.to_vec(),
                request_id: Some("r".into())
            }
        );
        for (code, rest) in [("batch_expired", Rest::Expired), ("batch_cancelled", Rest::Cancelled)]
        {
            let error = json!({ "code": code, "message": "…" });
            let became = line(json!({ "custom_id": "n-0", "response": null, "error": error }));
            assert_eq!(became, Became::Not(rest));
        }
        assert_eq!(Batches.line(b"{}"), None);
    }
}
