//! Batches of messages: requests in one call, answers as JSON lines in no order.
//!
//! The service keeps no name of ours with a batch, but with each request. So a batch whose
//! submission was cut off is known by its answers alone, and guessed by its size and time.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::called;
use crate::http::{Body, Call, Pieces};
use crate::service::batch::{
    BatchDialect, Became, Item, Line, Most, Named, Rest, Results, Stage, State, Submission,
};
use crate::service::{Endpoint, Fault, parse};

/// Batches on a page of the list: the most that are given.
const PAGE: u32 = 1000;

/// The field that asks for what is on trial.
const TRIAL: &str = "anthropic-beta";

/// Speaks of batches.
pub(super) struct Batches;

impl BatchDialect for Batches {
    fn most(&self) -> Most {
        Most { items: 100_000, bytes: 256_000_000 }
    }

    fn submit(&self, endpoint: &Endpoint, named: &Named, items: Vec<Item>) -> Submission {
        let mut body = Pieces::default();
        let mut trial = None;
        for (at, Item { number, call }) in items.into_iter().enumerate() {
            let id = json!(named.id_of(number));
            let before = if at == 0 { r#"{"requests":["# } else { "," };
            body.text(format!(r#"{before}{{"custom_id":{id},"params":"#));
            body.append(call.body);
            body.text("}");
            trial = trial.or_else(|| call.headers.get(TRIAL).cloned());
        }
        body.text("]}");
        let path =
            if trial.is_some() { "/v1/messages/batches?beta=true" } else { "/v1/messages/batches" };
        let mut call = called(endpoint, Method::POST, path, Body::Json(body));
        if let Some(trial) = trial {
            call.headers.insert(TRIAL, trial);
        }
        Submission::Whole(call)
    }

    fn look(&self, endpoint: &Endpoint, id: &str) -> Call {
        called(endpoint, Method::GET, &format!("/v1/messages/batches/{id}"), Body::Empty)
    }

    fn read(&self, body: &[u8]) -> Result<State, Fault> {
        Ok(state(parse(body)?))
    }

    fn list(&self, endpoint: &Endpoint, after: Option<&str>) -> Call {
        let after = after.map(|id| format!("&after_id={id}")).unwrap_or_default();
        let path = format!("/v1/messages/batches?limit={PAGE}{after}");
        called(endpoint, Method::GET, &path, Body::Empty)
    }

    fn read_list(&self, body: &[u8]) -> Result<(Vec<State>, Option<String>), Fault> {
        let Listed { data, has_more, last_id } = parse(body)?;
        Ok((data.into_iter().map(state).collect(), last_id.filter(|_| has_more)))
    }

    fn results(&self, endpoint: &Endpoint, place: &str) -> Call {
        // An address of somebody else must not be given the key.
        let path = place.find("/v1/").map_or(place, |at| &place[at..]);
        called(endpoint, Method::GET, path, Body::Empty)
    }

    fn line(&self, line: &[u8]) -> Option<Line> {
        let Answered { custom_id: id, result } = serde_json::from_slice(line).ok()?;
        let answer = |body: &Value| Became::Answer {
            status: 200,
            body: body.to_string().into_bytes(),
            request_id: None,
        };
        let became = match result["type"].as_str() {
            Some("succeeded") => answer(&result["message"]),
            // An error within a success, as the service writes it anywhere.
            Some("errored") => answer(&result["error"]),
            Some("expired") => Became::Not(Rest::Expired),
            Some("canceled") => Became::Not(Rest::Cancelled),
            Some(_) | None => Became::Not(Rest::Missing),
        };
        Some(Line { id, became })
    }

    fn cancel(&self, endpoint: &Endpoint, id: &str) -> Call {
        called(endpoint, Method::POST, &format!("/v1/messages/batches/{id}/cancel"), Body::Empty)
    }
}

fn state(batch: Batch) -> State {
    let counts = batch.request_counts;
    let items =
        counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired;
    let stage = match batch.processing_status.as_str() {
        "ended" => {
            let usual = format!("/v1/messages/batches/{}/results", batch.id);
            let place = batch.results_url.unwrap_or(usual);
            Stage::Ended { results: Results::At(vec![place]), rest: Rest::Missing }
        }
        _ => Stage::Working,
    };
    let created = batch.created_at.and_then(|at| at.parse::<jiff::Timestamp>().ok());
    State {
        id: batch.id,
        nonce: None,
        items: Some(items),
        created: created.map(jiff::Timestamp::as_millisecond),
        stage,
    }
}

#[derive(Deserialize)]
struct Batch {
    id: String,
    #[serde(default)]
    processing_status: String,
    #[serde(default)]
    request_counts: Counts,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    results_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts {
    processing: u64,
    succeeded: u64,
    errored: u64,
    canceled: u64,
    expired: u64,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    data: Vec<Batch>,
    #[serde(default)]
    has_more: bool,
    #[serde(default)]
    last_id: Option<String>,
}

#[derive(Deserialize)]
struct Answered {
    custom_id: String,
    result: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_says_what_became_of_its_request() {
        let became = |result: Value| {
            let line = json!({ "custom_id": "n-1", "result": result });
            Batches.line(line.to_string().as_bytes()).unwrap().became
        };
        let body = |became| match became {
            Became::Answer { status: 200, body, .. } => {
                serde_json::from_slice::<Value>(&body).unwrap()
            }
            other => panic!("{other:?}"),
        };
        let message = json!({ "type": "message", "content": [] });
        assert_eq!(body(became(json!({ "type": "succeeded", "message": message }))), message);
        let error = json!({ "type": "error", "error": { "type": "api_error", "message": "x" } });
        assert_eq!(body(became(json!({ "type": "errored", "error": error }))), error);
        assert_eq!(became(json!({ "type": "expired" })), Became::Not(Rest::Expired));
        assert_eq!(became(json!({ "type": "canceled" })), Became::Not(Rest::Cancelled));
        assert_eq!(became(json!({ "type": "new" })), Became::Not(Rest::Missing));
    }

    #[test]
    fn a_batch_is_known_by_its_size_and_time() {
        let batch = json!({
            "id": "msgbatch_1", "processing_status": "in_progress",
            "request_counts": { "processing": 2, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0 },
            "created_at": "2026-11-23T11:00:00Z", "results_url": null,
        });
        let state = Batches.read(batch.to_string().as_bytes()).unwrap();
        assert_eq!((state.nonce, state.items), (None, Some(3)));
        assert_eq!((state.created, state.stage), (Some(1_795_431_600_000), Stage::Working));
    }
}
