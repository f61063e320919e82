//! Requests of a guest: to hosts that were granted, by methods that were granted.

use std::io::Read;
use std::time::{Duration, Instant};

use super::{Guest, error, of_table, told};
use flow_core::plugin::HttpRequest;

use crate::bindings::content::Body;
use crate::bindings::http::{self, Request, Response};
use crate::bindings::types::Error;
use crate::policy::limits::fixed;
use crate::policy::{Denial, HttpRule, Target};

/// The longest URL.
const URL: usize = 8 << 10;

/// Header fields that are the client's to write: they say whom a request is for, and where it
/// ends.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl http::Host for Guest {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.count()?;
        let checked = match self.checked(request)? {
            Ok(checked) => checked,
            Err(error) => return Ok(Err(error)),
        };
        self.used.requests += 1;
        self.used.sent += checked.body.as_ref().map_or(0, Vec::len) as u64;
        let http = std::sync::Arc::clone(&self.services.http);
        Ok(match http.send(checked).await {
            Ok(response) => {
                self.used.received += response.body.len() as u64;
                let body = Body::Bytes(response.body);
                let (status, headers) = (response.status, response.headers);
                Ok(Response { status, headers, body, extra: "{}".into() })
            }
            Err(failure) => Err(told(&failure)),
        })
    }
}

impl Guest {
    /// The request as it may be sent, or why it may not.
    fn checked(&mut self, request: Request) -> wasmtime::Result<Result<HttpRequest, Error>> {
        let Request { method, url, headers, body, timeout_ms, extra: _ } = request;
        let method = method.to_ascii_uppercase();
        let target = (url.len() <= URL).then(|| Target::of(&url)).flatten();
        let Some(target) = target else {
            let shown: String = url.chars().take(100).collect();
            let message = format!("`{shown}` is no address that could be granted");
            return Ok(Err(self.deny(Denial::never(message))));
        };
        let rules = self.granted.may.http.iter();
        let mut covering = rules.filter(|rule| rule.host.covers(&target));
        let rule = covering.find(|rule| rule.methods.contains(&method)).cloned();
        let Some(rule) = rule else {
            let denial = Denial::http(&self.granted, &target, &method);
            return Ok(Err(self.deny(denial)));
        };
        if !target.https && !rule.secret_headers.is_empty() && !rule.private {
            let message = format!("a secret is not sent to `{}` unencrypted", target.host);
            return Ok(Err(self.deny(Denial::never(message))));
        }
        let headers = match own_headers(headers, &rule) {
            Ok(headers) => headers,
            Err(error) => return Ok(Err(error)),
        };
        let body = match self.body(body)? {
            Ok(body) => body,
            Err(error) => return Ok(Err(error)),
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = timeout_ms.map_or(left, Duration::from_millis).min(left);
        Ok(Ok(HttpRequest {
            plugin: self.granted.name.clone(),
            method,
            url,
            headers,
            secrets: secrets(&rule),
            body,
            timeout,
            most: fixed::ANSWER,
            private: rule.private,
        }))
    }

    fn body(&mut self, body: Option<Body>) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        Ok(match body {
            None => Ok(None),
            Some(Body::Text(text)) => Ok(Some(text.into_bytes())),
            Some(Body::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Body::Artifact(file)) => {
                let artifact = self.table.get(&file).map_err(of_table)?.artifact.clone();
                if artifact.size > fixed::ANSWER {
                    let message = format!("`{}` is larger than a body may be", artifact.name);
                    return Ok(Err(error("too-large", message)));
                }
                let Some(intake) = &self.files.intake else {
                    return Ok(Err(error("unsupported", "there are no files here")));
                };
                let path = intake.artifacts().local_path(&artifact.hash);
                let path = path.map_err(|why| wasmtime::Error::msg(why.to_string()))?;
                let mut bytes = Vec::new();
                let read = std::fs::File::open(path)
                    .and_then(|file| file.take(fixed::ANSWER).read_to_end(&mut bytes));
                match read {
                    Ok(_) => Ok(Some(bytes)),
                    Err(why) => Err(error("internal", why.to_string())),
                }
            }
        })
    }
}

/// The plugin's header fields, without those that are not its own to write.
fn own_headers(
    headers: Vec<(String, String)>,
    rule: &HttpRule,
) -> Result<Vec<(String, String)>, Error> {
    let mut own = Vec::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if OURS.contains(&name.as_str())
            || name.starts_with("proxy-")
            || rule.secret_headers.contains_key(&name)
        {
            continue;
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let printable = |b: u8| (b' '..=b'~').contains(&b) || b == b'\t';
        if name.is_empty() || !name.bytes().all(plain) || !value.bytes().all(printable) {
            return Err(error("invalid-input", format!("`{name}` is no header field")));
        }
        own.push((name, value));
    }
    Ok(own)
}

/// The secrets that the host fills in: name of the field, what stands before, name.
fn secrets(rule: &HttpRule) -> Vec<(String, String, String)> {
    let split = |(field, secret): (&String, &String)| {
        let at = secret.rfind(' ').map_or(0, |at| at + 1);
        (field.clone(), secret[..at].to_owned(), secret[at..].to_owned())
    };
    rule.secret_headers.iter().map(split).collect()
}
