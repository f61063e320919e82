//! Requests of plugins, by the one way to a server.
//!
//! A plugin's host has decided by then that a request may be sent. Here is what holds of all of
//! them: a name is looked up once and the connection goes to the address that was checked;
//! addresses of this machine and its network are asked only where the owner allowed that, and
//! those of a link (where clouds keep their metadata) never; no redirect is followed, no proxy
//! asked; secrets are put in last and taken out of whatever comes back.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use async_trait::async_trait;
use bytes::Bytes;
use flow_core::error::{ErrorClass, Failure};
use flow_core::plugin::{HttpClient, HttpRequest, HttpResponse};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio_util::sync::CancellationToken;

use crate::http::{Body, Call, Http, Patience, is_public};
use crate::redact::Redactor;
use crate::tape::Tape;

/// Sends requests of plugins.
pub struct PluginHttp {
    secrets: BTreeMap<String, String>,
    tape: Tape,
    public: OnceLock<Http>,
    private: OnceLock<Http>,
}

/// Whether an address may be asked where the owner allows those of its own network. Addresses
/// of a link are no network's: clouds keep what a machine may do at one.
fn is_own(address: IpAddr) -> bool {
    let canonical = address.to_canonical();
    let own = match canonical {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    };
    own || is_public(address)
}

#[async_trait]
impl HttpClient for PluginHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let timeout = request.timeout;
        let plugin = request.plugin.clone();
        let sent = tokio::time::timeout(timeout, self.sent(request)).await;
        sent.unwrap_or_else(|_| {
            let message = format!("plugin `{plugin}`: no answer within {timeout:?}");
            Err(Failure::new(ErrorClass::Timeout, message))
        })
    }
}

impl PluginHttp {
    /// Requests whose secrets are these, on this tape.
    pub fn new(secrets: BTreeMap<String, String>, tape: Tape) -> Self {
        Self { secrets, tape, public: OnceLock::new(), private: OnceLock::new() }
    }

    async fn sent(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let (http, allowed): (&Http, fn(IpAddr) -> bool) = match request.private {
            true => (self.private.get_or_init(|| Http::guarded(is_own, self.tape.clone())), is_own),
            false => {
                let http = || Http::guarded(is_public, self.tape.clone());
                (self.public.get_or_init(http), is_public)
            }
        };
        if !self.tape.is_replaying() {
            refuse_address(&request, allowed)?;
        }
        let (most, plugin) = (request.most, request.plugin.clone());
        let (call, redactor) = self.call(request)?;
        let reply = http.send(call, &CancellationToken::new()).await?;
        if reply.body.len() as u64 > most {
            let message = format!("plugin `{plugin}`: the answer has more than {most} bytes");
            return Err(Failure::new(ErrorClass::TooLarge, message));
        }
        let shown = |value: &HeaderValue| redactor.text(&String::from_utf8_lossy(value.as_bytes()));
        let headers = reply.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), shown(value))).collect();
        Ok(HttpResponse { status: reply.status, headers, body: redactor.bytes(reply.body.clone()) })
    }

    fn call(&self, request: HttpRequest) -> Result<(Call, Redactor), Failure> {
        let plugin = &request.plugin;
        let wrong = |what: &str| Failure::input(format!("plugin `{plugin}`: {what}"));
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let name = HeaderName::try_from(name).map_err(|_| wrong("a header has no name"))?;
            let value = HeaderValue::try_from(value).map_err(|_| wrong("a header has no value"))?;
            headers.append(name, value);
        }
        let mut known = Vec::new();
        for (field, before, secret) in &request.secrets {
            let value = match self.secrets.get(secret) {
                Some(value) => value.as_str(),
                None if self.tape.is_replaying() => "no-secret-on-replay",
                None => {
                    let message = format!("plugin `{plugin}`: there is no secret `{secret}`");
                    return Err(Failure::new(ErrorClass::Auth, message)
                        .with_hint(format!("set the variable `{secret}`, or see `--secrets`")));
                }
            };
            known.push(value.to_owned());
            let name = HeaderName::try_from(field).map_err(|_| wrong("a header has no name"))?;
            let mut value = HeaderValue::try_from(format!("{before}{value}"))
                .map_err(|_| wrong("a secret cannot stand in a header"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let redactor = Redactor::new(known);
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| wrong("there is no such method"))?;
        let body = match request.body {
            Some(bytes) => Body::Plain(Bytes::from(bytes)),
            None => Body::Empty,
        };
        let wait = request.timeout;
        let call = Call {
            provider: plugin.clone(),
            kind: "plugin",
            base_url: String::new(),
            method,
            url: request.url,
            headers,
            body,
            patience: Patience { connect: wait, answer: wait, pause: wait },
            redactor: redactor.clone(),
        };
        Ok((call, redactor))
    }
}

/// Refuses an address that stands in the URL as it is, for that passes no resolver.
fn refuse_address(request: &HttpRequest, allowed: fn(IpAddr) -> bool) -> Result<(), Failure> {
    let url = reqwest::Url::parse(&request.url).map_err(|error| {
        Failure::input(format!("plugin `{}`: `{}`: {error}", request.plugin, request.url))
    })?;
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match literal {
        Ok(address) if !allowed(address) => Err(crate::service::not_public(
            &request.url,
            &format!("`{address}` is no public address"),
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}
