//! Who is let in: tokens and sessions, where requests may come from, and how many.
//!
//! ```text
//!   request ─▶ host ─▶ rate ─▶ who ─▶ from where ─▶ handler ─▶ headers ─▶ answer
//!              421     429     401    403
//! ```
//!
//! *Who* is a bearer token, or a cookie that the login form gave for one. On loopback, and as
//! long as there is no token, nobody is asked. *From where* is asked of everything that changes
//! something: a browser says it by `Sec-Fetch-Site` or `Origin`, and what comes from another
//! site is refused; who shows a cookie must say it. *Host* keeps other names from being pointed
//! at a server that listens on loopback (DNS rebinding).

mod login;
mod rate;
mod sessions;
mod tokens;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use flow_core::store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;
use crate::state::{Scope, Site, Visitor};

pub use login::router as login;
pub use rate::Rates;
pub use tokens::{NewToken, new_token};

use sessions::Sessions;

/// How many uploads there are at once.
const UPLOADS: usize = 32;

/// How many listen to events at once.
const LISTENERS: usize = 4096;

/// What a wrong token costs of the requests that an address has.
const WRONG: f64 = 50.0;

/// Where a request comes from: an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What lets requests in.
pub struct Gate {
    store: Store,
    /// Whether it listens on loopback alone.
    loopback: bool,
    /// The names it is called by; any where there is none.
    hosts: Vec<String>,
    sessions: Sessions,
    rates: Rates,
    uploads: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
    /// The most bytes of an upload.
    pub(crate) largest: u64,
    /// Ends what would go on for ever: the server stops.
    pub(crate) stopping: CancellationToken,
}

/// How a gate is set up.
pub struct GateSetup {
    /// The store, for its tokens.
    pub store: Store,
    /// Where the server listens.
    pub address: SocketAddr,
    /// Names besides `localhost` and the address that it is called by.
    pub hosts: Vec<String>,
    /// Requests a second that a token, or an address without one, may make.
    pub rate: u32,
    /// The most bytes of an upload.
    pub largest: u64,
    /// Ends what would go on for ever.
    pub stopping: CancellationToken,
}

impl Gate {
    /// Sets it up.
    pub fn new(setup: GateSetup) -> Self {
        let GateSetup { store, address, mut hosts, rate, largest, stopping } = setup;
        let loopback = address.ip().is_loopback();
        if loopback || !hosts.is_empty() {
            hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
            hosts.push(host_of(address.ip()));
        }
        Self {
            store,
            loopback,
            hosts,
            sessions: Sessions::default(),
            rates: Rates::new(rate),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
            largest,
            stopping,
        }
    }

    /// The right to upload, until it is dropped.
    pub fn upload(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.uploads).try_acquire_owned().map_err(|_| {
            let detail = format!("{UPLOADS} uploads are on their way already");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).hint("ask again soon").after(1)
        })
    }

    /// The right to listen to events, until it is dropped.
    pub fn listener(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.listeners).try_acquire_owned().map_err(|_| {
            let detail = format!("{LISTENERS} listen to events already");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).hint("ask again later").after(10)
        })
    }

    /// How many listen to events now.
    pub fn listening(&self) -> usize {
        LISTENERS - self.listeners.available_permits()
    }

    fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.hosts.is_empty() {
            return Ok(());
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        let name = without_port(host);
        if self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        let detail = format!("this server is not called `{name}`");
        let hint = "call it by its address, or name it by `flow serve --host NAME`";
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).hint(hint))
    }

    /// Finds out who asks; none where nobody says it and somebody has to.
    async fn who(&self, headers: &HeaderMap, now: i64) -> Result<Option<Who>, Problem> {
        if let Some(given) = headers.get(header::AUTHORIZATION) {
            let given = given.to_str().ok().and_then(|given| given.split_once(' '));
            let token = given.filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
            let wrong =
                || Problem::new(StatusCode::UNAUTHORIZED, "the token is wrong or has expired");
            let Some((_, token)) = token else { return Err(wrong()) };
            let visitor = tokens::visitor(&self.store, token.trim(), now).await?;
            return Ok(Some(Who { visitor: visitor.ok_or_else(wrong)?, by_cookie: false }));
        }
        let session = cookie(headers, sessions::COOKIE);
        if let Some(visitor) = self.sessions.visitor(&self.store, session, now).await? {
            return Ok(Some(Who { visitor, by_cookie: true }));
        }
        if self.loopback && self.store.tokens().await?.is_empty() {
            let visitor = Visitor { token: None, scope: Scope::Admin };
            return Ok(Some(Who { visitor, by_cookie: false }));
        }
        Ok(None)
    }
}

struct Who {
    visitor: Visitor,
    by_cookie: bool,
}

/// Lets a request in that is one of this server's, and not one of too many. For all that is
/// served.
pub async fn doors(State(site): State<Site>, request: Request, next: Next) -> Response {
    let (gate, path) = (&site.gate, request.uri().path().to_owned());
    let admitted = gate.check_host(request.headers()).and_then(|()| {
        let address = peer(&request);
        gate.rates.take(&rate_key(request.headers(), address), 1.0)
    });
    let mut response = match admitted {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    secure(&path, response.headers_mut());
    response
}

/// Lets in who may ask. For all but what has a secret of its own, or none.
pub async fn visitors(State(site): State<Site>, mut request: Request, next: Next) -> Response {
    let (gate, now) = (&site.gate, site.runs.workplace().now());
    let who = match gate.who(request.headers(), now).await {
        Ok(Some(who)) => who,
        Ok(None) => return stranger(&request),
        Err(problem) => {
            // Guessing gets slow.
            let guess = gate.rates.take(&peer(&request).to_string(), WRONG);
            return guess.err().unwrap_or(problem).into_response();
        }
    };
    if let Err(problem) = same_site(request.method(), request.headers(), who.by_cookie) {
        return problem.into_response();
    }
    request.extensions_mut().insert(who.visitor);
    next.run(request).await
}

/// Who has no token sees the login form on the page, and elsewhere hears what is missing.
fn stranger(request: &Request) -> Response {
    let is_page = request.method() == Method::GET && !request.uri().path().starts_with("/api/");
    if is_page {
        return Redirect::to("/login").into_response();
    }
    let hint = "give one as `Authorization: Bearer TOKEN`; `flow token new NAME` makes one";
    Problem::new(StatusCode::UNAUTHORIZED, "a token is needed").hint(hint).into_response()
}

/// Refuses what another site makes a browser do. Who shows a cookie has to say where it comes
/// from; others may be no browser.
pub(crate) fn same_site(
    method: &Method,
    headers: &HeaderMap,
    by_cookie: bool,
) -> Result<(), Problem> {
    if method.is_safe() {
        return Ok(());
    }
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text(&HeaderName::from_static("sec-fetch-site"));
    let ours = match (site, text(&header::ORIGIN)) {
        (Some("same-origin" | "none"), _) => true,
        (Some(_), _) => false,
        (None, Some(origin)) => {
            let host = text(&header::HOST).unwrap_or_default();
            origin.split_once("://").is_some_and(|(_, named)| named.eq_ignore_ascii_case(host))
        }
        (None, None) => !by_cookie,
    };
    if ours {
        return Ok(());
    }
    let detail = "the request comes from another site";
    let hint = "scripts give a token as `Authorization: Bearer TOKEN`, and no cookie";
    Err(Problem::new(StatusCode::FORBIDDEN, detail).hint(hint))
}

/// What every answer says to browsers, unless it says something stricter itself.
fn secure(path: &str, headers: &mut HeaderMap) {
    let policy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
                  frame-ancestors 'none'";
    let always = [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    ];
    for (name, value) in always {
        let name = HeaderName::from_static(name);
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if path.starts_with("/api/") {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
}

fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip())
}

/// Who has a token counts by it, so that many behind one address do not wait for each other.
fn rate_key(headers: &HeaderMap, address: IpAddr) -> String {
    match headers.get(header::AUTHORIZATION) {
        Some(token) => tokens::hash(token.as_bytes()).to_string(),
        None => address.to_string(),
    }
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies =
        headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).map(str::trim);
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn host_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_without_its_port() {
        for (host, name) in [
            ("localhost:8400", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:8400", "[::1]"),
            ("[::1]", "[::1]"),
            ("evil.example", "evil.example"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn what_another_site_asks_for_is_refused() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            pairs.iter().map(pair).collect()
        };
        let host = ("host", "127.0.0.1:8400");
        for (given, by_cookie, let_in) in [
            (vec![host], false, true),
            (vec![host], true, false),
            (vec![host, ("sec-fetch-site", "same-origin")], true, true),
            (vec![host, ("sec-fetch-site", "none")], true, true),
            (vec![host, ("sec-fetch-site", "same-site")], true, false),
            (vec![host, ("sec-fetch-site", "cross-site")], false, false),
            (vec![host, ("origin", "http://127.0.0.1:8400")], true, true),
            (vec![host, ("origin", "http://127.0.0.1:1")], true, false),
            (vec![host, ("origin", "null")], false, false),
            (vec![host, ("origin", "https://evil.example")], false, false),
        ] {
            let asked = same_site(&Method::POST, &headers(&given), by_cookie);
            assert_eq!(asked.is_ok(), let_in, "{given:?} {by_cookie}");
            assert!(same_site(&Method::GET, &headers(&given), by_cookie).is_ok());
        }
    }
}
