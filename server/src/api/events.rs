//! What happens, as server-sent events.

use std::convert::Infallible;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use flow_core::engine::Progress;
use futures::{Stream, stream};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::runs::named;
use super::timestamp;
use crate::follow::Frame;
use crate::problem::Problem;
use crate::state::Site;

/// Follows a run: what happened so far, then what happens. Each event has its number as `id`
/// and its kind as `event`; `Last-Event-ID` goes on behind one. `text` is a piece of what a
/// model writes, and has no number. `end` is the last.
#[utoipa::path(get, path = "/api/v1/runs/{run}/events", tag = "events",
    params(
        ("run" = String, Path, description = "its id"),
        ("Last-Event-ID" = Option<u64>, Header),
    ),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = 204, description = "the run has ended, and all was told"),
        (status = 404, body = Problem)))]
pub(super) async fn of_run(
    State(site): State<Site>,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = named(&site, &run).await?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = match last.filter(|last| !last.is_empty()) {
        Some(last) => last.parse().map_err(|_| Problem::bad("`Last-Event-ID` is a number"))?,
        None => 0,
    };
    if run.status.has_ended() && after > 0 && after >= site.runs.store().last_seq(&run.id).await? {
        // Tells a browser not to come again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let place = site.gate.listener()?;
    let listener = site.follow.run(&run.id, after);
    let events = stream::unfold((listener, place), async |(mut listener, place)| {
        let frame = listener.next().await?;
        Some((Ok(event(&frame)), (listener, place)))
    });
    Ok(sent(events))
}

/// Follows all runs of this server: `run` with the run, its workflow and how it stands.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn of_all(State(site): State<Site>) -> Result<Response, Problem> {
    let place = site.gate.listener()?;
    let (news, stopping) = (site.runs.listen(), site.gate.stopping.clone());
    let events = stream::unfold((news, stopping, place), async |(mut news, stopping, place)| {
        loop {
            let event = match stopping.run_until_cancelled(news.recv()).await? {
                Ok(news) => match news.what {
                    Progress::Run(status) => {
                        let run = json!({
                            "run": news.run, "workflow": &*news.workflow, "status": status,
                        });
                        Event::default().event("run").data(run.to_string())
                    }
                    _ => continue,
                },
                Err(RecvError::Lagged(missed)) => {
                    let missed = json!({ "missed": missed });
                    Event::default().event("missed").data(missed.to_string())
                }
                Err(RecvError::Closed) => return None,
            };
            return Some((Ok(event), (news, stopping, place)));
        }
    });
    Ok(sent(events))
}

fn sent(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(events).keep_alive(KeepAlive::default()).into_response();
    // A proxy that gathers what it passes on would keep the events.
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(unbuffered, axum::http::HeaderValue::from_static("no"));
    response
}

fn event(frame: &Frame) -> Event {
    match frame {
        Frame::Event(row) => {
            let data = json!({
                "at": timestamp(row.at), "step": row.path, "kind": row.kind, "body": row.body,
            });
            Event::default().id(row.seq.to_string()).event(&row.kind).data(data.to_string())
        }
        Frame::Text { step, text } => {
            let data = json!({ "step": &**step, "text": &**text });
            Event::default().event("text").data(data.to_string())
        }
        Frame::End => Event::default().event("end").data("{}"),
    }
}
