//! The login form: a token for a session.

use axum::Form;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::sessions::{COOKIE, LASTS};
use super::{Gate, WRONG, cookie, same_site, tokens};
use crate::page::login_page;
use crate::state::Site;

/// The form, where it is sent, and the way out.
pub fn router() -> Router<Site> {
    Router::new().route("/login", get(form).post(log_in)).route("/logout", post(log_out))
}

#[derive(Deserialize)]
struct Given {
    token: String,
}

async fn form() -> Response {
    login_page(None)
}

async fn log_in(
    State(site): State<Site>,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Response {
    if let Err(problem) = same_site(&Method::POST, &headers, true) {
        return problem.into_response();
    }
    let (gate, now) = (&*site.gate, site.runs.workplace().now());
    let token = tokens::hash(given.token.trim().as_bytes());
    let opened = match tokens::row(&gate.store, &token, now).await {
        Ok(Some(row)) => gate.sessions.open(row.hash, now),
        Ok(None) => return wrong(gate),
        Err(error) => return crate::problem::Problem::from(error).into_response(),
    };
    let secret = match opened {
        Ok(secret) => secret,
        Err(error) => {
            let detail = format!("cannot log in: {error}");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return crate::problem::Problem::new(status, detail).into_response();
        }
    };
    // A proxy says that the browser speaks TLS; then the cookie goes nowhere else.
    let https = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let secure = if https { "; Secure" } else { "" };
    let set =
        format!("{COOKIE}={secret}; Path=/; Max-Age={LASTS}; HttpOnly; SameSite=Strict{secure}");
    with_cookie(Redirect::to("/").into_response(), &set)
}

fn wrong(gate: &Gate) -> Response {
    // All who log in share a bucket: there is no name to try many tokens for.
    if let Err(problem) = gate.rates.take("login", WRONG) {
        return problem.into_response();
    }
    let page = login_page(Some("the token is wrong or has expired"));
    (StatusCode::UNAUTHORIZED, page).into_response()
}

async fn log_out(State(site): State<Site>, headers: HeaderMap) -> Response {
    if let Err(problem) = same_site(&Method::POST, &headers, true) {
        return problem.into_response();
    }
    if let Some(secret) = cookie(&headers, COOKIE) {
        site.gate.sessions.close(secret);
    }
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    with_cookie(Redirect::to("/login").into_response(), &gone)
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}
