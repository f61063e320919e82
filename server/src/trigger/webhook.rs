//! Requests that start runs: `POST /hooks/PATH`.
//!
//! A request shows that it may by a secret, or by a signature of its body; both are compared in
//! constant time. One that says which delivery it is starts one run, however often it is sent:
//! the row that names its run is written first. What came is data: it becomes inputs of types
//! that the workflow says, and never a path.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use flow_core::content::ContentHash;
use flow_core::engine::Program;
use flow_core::ids::RunId;
use flow_core::language::{Proof, ProofKind, Trigger};
use flow_core::store::Delivery;
use flow_core::template::{Scope, Template};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::given;
use crate::problem::Problem;
use crate::runs::{Cause, Start, Started};
use crate::state::Site;

/// The largest body, in bytes.
const LARGEST: usize = 1 << 20;

/// The longest name of a delivery, in bytes.
const LONGEST: usize = 256;

/// The webhooks of the folder's workflows.
pub fn router() -> Router<Site> {
    Router::new().route("/hooks/{*path}", post(call)).layer(DefaultBodyLimit::max(LARGEST))
}

/// A webhook of a workflow.
struct Hook {
    slug: String,
    place: usize,
    program: Program,
    proof: Proof,
    delivery: String,
    inputs: Option<Template>,
}

async fn call(
    State(site): State<Site>,
    Path(path): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let hook = find(&site, &path)?;
    let secret = site.runs.workplace().secret(&hook.proof.secret).ok_or_else(|| {
        tracing::error!("`{}`: there is no secret `{}`", hook.slug, hook.proof.secret);
        let why = "the secret of this webhook is not set on the server";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, why.to_owned())
    })?;
    verify(&hook.proof, secret.as_bytes(), &headers, &body)?;
    let inputs = inputs(&hook, &headers, &query, &body)?;
    let id = run_of(&site, &hook, &headers, &body).await?;
    let cause = Cause::Webhook { trigger: hook.place };
    let start = Start { id: id.clone(), program: hook.program, inputs, cause };
    match site.runs.start(start).await {
        Ok(started) => {
            let told = json!({ "run": id, "new": started == Started::New });
            Ok((StatusCode::ACCEPTED, Json(told)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn find(site: &Site, path: &str) -> Result<Hook, Problem> {
    for listed in site.folder.workflows() {
        let Ok(reading) = &listed.reading else { continue };
        // What comes from elsewhere names no paths of the owner's.
        let Some(program) = &reading.requested else { continue };
        for (place, trigger) in program.workflow.triggers.iter().enumerate() {
            match trigger {
                Trigger::Webhook { path: own, proof, delivery, inputs }
                    if own.trim_start_matches('/') == path =>
                {
                    return Ok(Hook {
                        slug: listed.slug.clone(),
                        place,
                        program: program.clone(),
                        proof: proof.clone(),
                        delivery: delivery.clone(),
                        inputs: inputs.clone(),
                    });
                }
                Trigger::Webhook { .. }
                | Trigger::Schedule { .. }
                | Trigger::Watch { .. }
                | Trigger::After { .. } => {}
            }
        }
    }
    Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no webhook `/{path}`")))
}

/// Whether a request brings what it must.
fn verify(proof: &Proof, secret: &[u8], headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    let refused = |why: &str| Problem::new(StatusCode::UNAUTHORIZED, why);
    let header = headers.get(&proof.header).map(HeaderValue::as_bytes);
    let Some(header) = header else {
        return Err(refused(&format!("the header `{}` is missing", proof.header)));
    };
    match proof.kind {
        ProofKind::Secret => {
            let token = header.strip_prefix(b"Bearer ").unwrap_or(header);
            // Hashes have one length, so that not even that of the secret is told.
            let hash = |bytes: &[u8]| ContentHash::of_bytes(bytes).hex();
            let same = hash(token).as_bytes().ct_eq(hash(secret).as_bytes());
            if bool::from(same) { Ok(()) } else { Err(refused("the secret is not right")) }
        }
        ProofKind::Hmac => {
            let digits = header.strip_prefix(b"sha256=").unwrap_or(header);
            let Some(signature) = from_hex(digits) else {
                return Err(refused("the signature is not 64 hexadecimal digits"));
            };
            let mut mac =
                Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length is one");
            mac.update(body);
            mac.verify_slice(&signature).map_err(|_| refused("the signature does not fit the body"))
        }
    }
}

/// 32 bytes from their digits.
fn from_hex(digits: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pairs = (digits.len() == 64).then(|| digits.chunks(2))?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn inputs(
    hook: &Hook,
    headers: &HeaderMap,
    query: &HashMap<String, String>,
    body: &[u8],
) -> Result<Map<String, Value>, Problem> {
    let refused = |why: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why);
    let text = std::str::from_utf8(body).map_err(|_| refused("the body is not UTF-8".into()))?;
    let body = match serde_json::from_str(text) {
        Ok(body) => body,
        Err(_) if text.is_empty() => json!({}),
        // Who maps it may want it as it is.
        Err(_) if hook.inputs.is_some() => Value::from(text),
        Err(error) => return Err(refused(format!("the body is not JSON: {error}"))),
    };
    let given = if hook.inputs.is_some() {
        let names = headers.iter().filter(|(name, _)| name.as_str() != hook.proof.header);
        let headers: Map<String, Value> = names
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into())))
            .collect();
        let scope = Scope::new()
            .with("body", Arc::new(body))
            .with("headers", Arc::new(Value::Object(headers)))
            .with("query", Arc::new(json!(query)));
        given::rendered(hook.inputs.as_ref(), &scope)
    } else {
        match body {
            Value::Object(map) => Ok(map),
            _ => Err("the body is not a JSON object".to_owned()),
        }
    };
    let bound =
        given.and_then(|given| given::bound(&hook.program, hook.inputs.as_ref(), &given, false));
    bound.map_err(refused)
}

/// The run of a delivery: that which it had when it came first, if it says which one it is.
async fn run_of(
    site: &Site,
    hook: &Hook,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<RunId, Problem> {
    let (workplace, store) = (site.runs.workplace(), site.runs.store());
    let Some(key) = headers.get(&hook.delivery) else { return Ok(workplace.new_run_id()) };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST);
    let key = key.ok_or_else(|| {
        let why = format!("`{}` is 1 to {LONGEST} characters of ASCII", hook.delivery);
        Problem::new(StatusCode::BAD_REQUEST, why)
    })?;
    let name = format!("{}:{}", hook.slug, hook.place);
    let delivery = Delivery { content: ContentHash::of_bytes(body), run: workplace.new_run_id() };
    store.put_delivery(&name, key, &delivery, workplace.now()).await?;
    let first = store.delivery(&name, key).await?;
    let first = first.unwrap_or_else(|| delivery.clone());
    if first.content == delivery.content {
        return Ok(first.run);
    }
    let why = format!("`{}: {key}` was another request before", hook.delivery);
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(kind: ProofKind, header: &str, value: &str, body: &str) -> Result<(), String> {
        let proof = Proof { kind, secret: "S".into(), header: "x-proof".into() };
        let mut headers = HeaderMap::new();
        headers.insert(
            axum::http::HeaderName::from_bytes(header.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
        verify(&proof, b"It's a Secret to Everybody", &headers, body.as_bytes())
            .map_err(|problem| problem.detail)
    }

    #[test]
    fn a_body_is_signed_as_github_does_it_or_plainly() {
        // The example of GitHub's documentation.
        let digits = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let body = "Hello, World!";
        let right = format!("sha256={digits}");
        for value in [right.as_str(), digits, &digits.to_uppercase()] {
            assert_eq!(verdict(ProofKind::Hmac, "X-Proof", value, body), Ok(()), "{value}");
        }
        for (header, value, body, why) in [
            ("x-proof", right.as_str(), "Hello, World", "the signature does not fit the body"),
            ("x-proof", &right[..40], body, "the signature is not 64 hexadecimal digits"),
            (
                "x-proof",
                &right.replace('7', "x"),
                body,
                "the signature is not 64 hexadecimal digits",
            ),
            ("x-other", &right, body, "the header `x-proof` is missing"),
        ] {
            assert_eq!(verdict(ProofKind::Hmac, header, value, body), Err(why.into()));
        }
    }

    #[test]
    fn a_secret_is_the_one_or_not() {
        for value in ["It's a Secret to Everybody", "Bearer It's a Secret to Everybody"] {
            assert_eq!(verdict(ProofKind::Secret, "x-proof", value, ""), Ok(()));
        }
        for value in ["It's a Secret", "it's a secret to everybody", "Bearer"] {
            let why = "the secret is not right".to_owned();
            assert_eq!(verdict(ProofKind::Secret, "x-proof", value, ""), Err(why));
        }
    }
}
