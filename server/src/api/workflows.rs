//! The workflows there are, and starting them.

use axum::extract::{FromRequest, Multipart, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use flow_core::content::ContentHash;
use flow_core::engine::Program;
use flow_core::ids::RunId;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{BODY, Body};
use crate::folder::Listed;
use crate::inputs;
use crate::problem::Problem;
use crate::runs::{Start, Started};
use crate::state::{Scope, Site, Visitor};

/// A workflow of the folder.
#[derive(Serialize, ToSchema)]
pub(super) struct WorkflowShape {
    /// What it is called in addresses.
    slug: String,
    /// Its file, relative to the folder.
    file: String,
    /// Its name; none where it cannot run.
    name: Option<String>,
    /// What it is for.
    description: Option<String>,
    /// Whether it can run.
    runnable: bool,
    /// JSON Schema of its inputs.
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    /// What is wrong with it: `severity`, `file`, `line`, `column`, `message`, `hint`, `text`.
    #[schema(value_type = Vec<Object>)]
    faults: Value,
    /// Why its file cannot be read.
    error: Option<String>,
}

impl From<&Listed> for WorkflowShape {
    fn from(listed: &Listed) -> Self {
        let reading = listed.reading.as_ref();
        let checked = reading.ok().map(|reading| &reading.checked);
        let workflow = checked.and_then(|checked| checked.workflow.as_deref());
        let faults = checked.map(|checked| serde_json::to_value(&checked.diagnostics));
        Self {
            slug: listed.slug.clone(),
            file: listed.file.to_string_lossy().into_owned(),
            name: workflow.map(|workflow| workflow.name.clone()),
            description: workflow.and_then(|workflow| workflow.description.clone()),
            runnable: reading.is_ok_and(|reading| reading.requested.is_some()),
            inputs: workflow.map(inputs::schema),
            faults: faults.and_then(Result::ok).unwrap_or_else(|| json!([])),
            error: listed.reading.as_ref().err().cloned(),
        }
    }
}

/// Lists the workflows of the folder, faulty ones with their faults.
#[utoipa::path(get, path = "/api/v1/workflows", tag = "workflows",
    responses((status = 200, body = Vec<WorkflowShape>)))]
pub(super) async fn list(State(site): State<Site>) -> Json<Vec<WorkflowShape>> {
    Json(site.folder.workflows().iter().map(|listed| (&**listed).into()).collect())
}

/// Shows one workflow.
#[utoipa::path(get, path = "/api/v1/workflows/{slug}", tag = "workflows",
    params(("slug" = String, Path)),
    responses((status = 200, body = WorkflowShape), (status = 404, body = Problem)))]
pub(super) async fn one(
    State(site): State<Site>,
    Path(slug): Path<String>,
) -> Result<Json<WorkflowShape>, Problem> {
    let listed = site.folder.get(&slug).ok_or_else(|| unknown(&slug))?;
    Ok(Json((&*listed).into()))
}

fn unknown(slug: &str) -> Problem {
    Problem::not_found(format!("there is no workflow `{slug}`"))
        .hint("`/api/v1/workflows` lists them")
}

/// What a run is started with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartBody {
    /// The inputs, as the workflow types them. A file is `{"$artifact": "sha256:…"}`.
    #[serde(default)]
    #[schema(value_type = Object)]
    inputs: Map<String, Value>,
}

/// A run that was asked for.
#[derive(Serialize, ToSchema)]
pub(super) struct StartedRun {
    /// Its id.
    run: String,
    /// Name of its workflow.
    workflow: String,
    /// Whether an earlier request of the same key started it.
    already: bool,
}

/// Starts a run: with JSON, or with a form whose files are uploaded. It is durable when this
/// answers. A request that is repeated with the same `Idempotency-Key` gives the same run.
#[utoipa::path(post, path = "/api/v1/workflows/{slug}/runs", tag = "workflows",
    params(
        ("slug" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters"),
    ),
    request_body(content(
        (StartBody = "application/json"),
        (std::collections::HashMap<String, String> = "multipart/form-data"),
    )),
    responses(
        (status = 201, body = StartedRun),
        (status = 200, body = StartedRun, description = "an earlier request started it"),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "the workflow has faults"),
        (status = 413, body = Problem),
        (status = 422, body = Problem, description = "the inputs do not fit"),
    ))]
pub(super) async fn start(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    visitor.needs(Scope::Run)?;
    let listed = site.folder.get(&slug).ok_or_else(|| unknown(&slug))?;
    let program = runnable(&listed)?;
    let id = match key(request.headers())? {
        Some(key) => id_of_key(&visitor, &slug, &key),
        None => site.runs.workplace().new_run_id(),
    };
    let given = given(&site, &program, request).await?;
    let names: Vec<String> = given.keys().cloned().collect();
    let inputs = inputs::bound(&site, &program.workflow, given).await?;
    let asked: Map<String, Value> = inputs
        .iter()
        .filter(|(name, _)| names.contains(name))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let workflow = program.workflow.name.clone();
    let start = Start { id: id.clone(), program, inputs, cause: visitor.cause() };
    let already = match site.runs.start(start).await? {
        Started::New => false,
        Started::Already => {
            same_request(&site, &id, &asked).await?;
            true
        }
    };
    let status = if already { StatusCode::OK } else { StatusCode::CREATED };
    let place = [(header::LOCATION, format!("/api/v1/runs/{id}"))];
    let body = Json(StartedRun { run: id.to_string(), workflow, already });
    Ok((status, place, body).into_response())
}

/// What a request runs of a workflow.
fn runnable(listed: &Listed) -> Result<Program, Problem> {
    let faulty = |why: String| {
        let hint = format!("`/api/v1/workflows/{}` lists its faults", listed.slug);
        Problem::new(StatusCode::CONFLICT, why).hint(hint)
    };
    let file = listed.file.display();
    let reading = listed.reading.as_ref().map_err(|error| faulty(error.clone()))?;
    let requested = reading.requested.as_ref();
    requested.cloned().ok_or_else(|| faulty(format!("`{file}` has errors and cannot run")))
}

async fn given(
    site: &Site,
    program: &Program,
    request: Request,
) -> Result<Map<String, Value>, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("multipart/form-data") {
        let form = Multipart::from_request(request, site).await;
        let form = form.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        return inputs::from_form(site, &program.workflow, form).await;
    }
    // Uploads have no limit here, and this has.
    let (parts, body) = request.into_parts();
    let bytes = tokio::time::timeout(inputs::PATIENCE, whole(body)).await.map_err(|_| {
        let detail = format!("the body did not come within {} s", inputs::PATIENCE.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    })??;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    let request = Request::from_parts(parts, bytes.into());
    let Body(StartBody { inputs }) = Body::from_request(request, site).await?;
    Ok(inputs)
}

/// A body that is held in memory, if it is not too large for that.
async fn whole(body: axum::body::Body) -> Result<Vec<u8>, Problem> {
    let mut pieces = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Problem::bad(format!("the body broke off: {error}")))?;
        if bytes.len() + piece.len() > BODY {
            // Who still sends would not hear why: a connection with unread bytes is cut off.
            let rest = async { while let Some(Ok(_)) = pieces.next().await {} };
            let _ = tokio::time::timeout(inputs::LINGER, rest).await;
            let detail = format!("a body of JSON has at most {BODY} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
                .hint("upload files as multipart/form-data"));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The key of a request that may be repeated.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > 255 {
        return Err(Problem::bad("`Idempotency-Key` has 1 to 255 visible characters"));
    }
    Ok(Some(key.to_owned()))
}

/// The run of a key: the same for the same visitor, workflow and key.
fn id_of_key(visitor: &Visitor, slug: &str, key: &str) -> RunId {
    let hash = ContentHash::of_json(&json!(["request", visitor.token, slug, key]));
    let bits = u128::from_str_radix(&hash.hex()[..32], 16).unwrap_or_default();
    RunId::from_parts((bits >> 80) as u64, bits & ((1 << 80) - 1))
}

/// Refuses a key that an earlier request gave for other inputs.
async fn same_request(site: &Site, id: &RunId, asked: &Map<String, Value>) -> Result<(), Problem> {
    let run = site.runs.store().run(id).await?;
    let Some(run) = run else { return Ok(()) };
    if asked.iter().all(|(name, value)| same(&run.inputs[name], value)) {
        return Ok(());
    }
    let detail = format!("the key was given before, for run {id} with other inputs");
    Err(Problem::unfit(detail).hint("give each request a key of its own"))
}

/// Files are the same by their bytes, whatever they are called.
fn same(kept: &Value, asked: &Value) -> bool {
    match (kept.get("$artifact"), asked.get("$artifact")) {
        (Some(kept), Some(asked)) => kept == asked,
        _ => match (kept, asked) {
            (Value::Array(kept), Value::Array(asked)) => {
                kept.len() == asked.len() && kept.iter().zip(asked).all(|(a, b)| same(a, b))
            }
            _ => kept == asked,
        },
    }
}
