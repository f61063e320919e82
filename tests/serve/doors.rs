//! Who is let in: tokens, sessions, other sites, other names.

use serde_json::{Value, json};

use crate::client::{Answer, Server};
use crate::support::World;

const ONE: &str = "name: one\nsteps:\n  - { id: a, uses: value.set, with: { value: 1 } }\n";

fn token(world: &World, name: &str, more: &[&str]) -> String {
    let mut args = vec!["token", "new", name];
    args.extend(more);
    let output = world.flow(&args).exits(0);
    assert_eq!(output.stderr, "keep it: it is not shown again\n");
    output.stdout.trim().to_owned()
}

fn with(server: &Server, method: &str, path: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    server.send(method, path, &[("authorization", &bearer)], b"")
}

#[test]
fn tokens_open_what_their_scope_says_and_nothing_else() {
    let world = World::new();
    world.write("one.yaml", ONE);
    let read = token(&world, "look", &["--scope", "read"]);
    let run = token(&world, "ci", &["--scope", "run", "--expires", "90d"]);
    let expired = token(&world, "old", &["--scope", "admin", "--expires", "1ms"]);
    let server = Server::start(&world, &[]);
    let runs = "/api/v1/runs";
    let hint = "give one as `Authorization: Bearer TOKEN`; `flow token new NAME` makes one";
    server.get(runs).is_problem(401, "a token is needed", Some(hint));
    for wrong in [&expired, &read[..read.len() - 1], "", "flow_", "' OR 1=1 --"] {
        let answer = with(&server, "GET", runs, wrong);
        answer.is_problem(401, "the token is wrong or has expired", None);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    assert_eq!(with(&server, "GET", runs, &read).status, 200);
    let start = "/api/v1/workflows/one/runs";
    with(&server, "POST", start, &read).is_problem(
        403,
        "token `look` has the scope `read`, and this needs `run`",
        Some("`flow token new NAME --scope run` makes one"),
    );
    let started = with(&server, "POST", start, &run);
    assert_eq!(started.status, 201);
    let id = started.json()["run"].as_str().unwrap().to_owned();
    let shown = with(&server, "GET", &format!("/api/v1/runs/{id}"), &read).json();
    assert_eq!(shown["cause"], json!({ "by": "request", "token": "ci" }));
    let bearer = format!("Bearer {run}");
    let body = json!({ "step": "a", "approved": true }).to_string();
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let approve = format!("/api/v1/runs/{id}/approve");
    server.send("POST", &approve, &headers, body.as_bytes()).is_problem(
        403,
        "token `ci` has the scope `run`, and this needs `approve`",
        Some("`flow token new NAME --scope approve` makes one"),
    );
    // What is removed opens nothing from then on.
    world.flow(&["token", "rm", "ci"]).exits(0);
    assert_eq!(with(&server, "POST", start, &run).status, 401);
    // The probes are for anybody, the numbers are not.
    assert_eq!((server.get("/healthz").status, server.get("/readyz").status), (200, 200));
    assert_eq!(with(&server, "GET", "/metrics", &read).status, 200);
    assert_eq!(server.get("/metrics").status, 303);
}

#[test]
fn tokens_are_shown_once_and_kept_as_a_hash() {
    let world = World::new();
    let secret = token(&world, "ci", &["--scope", "run"]);
    assert_eq!(secret.len(), "flow_".len() + 64);
    let twice = world.flow(&["token", "new", "ci", "--scope", "read"]).exits(2);
    assert_eq!(
        twice.stderr,
        "error: there is a token `ci` already\nhint: `flow token rm ci` removes it\n"
    );
    let bad = world.flow(&["token", "new", "a b", "--scope", "read"]).exits(2);
    assert_eq!(
        bad.stderr,
        "error: `a b` cannot name a token\n\
         hint: use letters, digits, `-`, `_` and `.`, at most 64\n"
    );
    let listed = world.flow(&["token", "ls", "--json"]).exits(0).json();
    assert_eq!((&listed[0]["name"], &listed[0]["scope"]), (&json!("ci"), &json!("run")));
    for file in crate::support::files(&world.path(".flow")) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{}", file.display());
    }
    let none = world.flow(&["token", "rm", "other"]).exits(2);
    assert_eq!(none.stderr, "error: there is no token `other`\nhint: `flow token ls` lists them\n");
}

#[test]
fn a_session_needs_a_token_and_takes_orders_from_its_own_site_alone() {
    let world = World::new();
    world.write("one.yaml", ONE);
    let secret = token(&world, "me", &["--scope", "admin"]);
    let server = Server::start(&world, &[]);
    let ours = format!("http://{}", server.address);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let log_in = |origin: &str, token: &str| {
        let body = format!("token={token}");
        server.send("POST", "/login", &[form, ("origin", origin)], body.as_bytes())
    };
    assert_eq!(log_in("https://evil.example", &secret).status, 403);
    let wrong = log_in(&ours, "flow_wrong");
    assert_eq!(wrong.status, 401);
    assert!(wrong.text().contains("the token is wrong or has expired"));
    let opened = log_in(&ours, &secret);
    assert_eq!((opened.status, opened.header("location")), (303, "/"));
    let cookie = opened.header("set-cookie").to_owned();
    assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(&secret));
    let cookie = cookie.split(';').next().unwrap();

    let runs = "/api/v1/runs";
    assert_eq!(server.send("GET", runs, &[("cookie", cookie)], b"").status, 200);
    let start = "/api/v1/workflows/one/runs";
    let hint = Some("scripts give a token as `Authorization: Bearer TOKEN`, and no cookie");
    for from in [
        None,
        Some(("origin", "https://evil.example")),
        Some(("origin", "null")),
        Some(("sec-fetch-site", "cross-site")),
        Some(("sec-fetch-site", "same-site")),
    ] {
        let headers: Vec<_> = std::iter::once(("cookie", cookie)).chain(from).collect();
        let answer = server.send("POST", start, &headers, b"");
        answer.is_problem(403, "the request comes from another site", hint);
    }
    let headers = [("cookie", cookie), ("origin", ours.as_str())];
    assert_eq!(server.send("POST", start, &headers, b"").status, 201);
    assert_eq!(server.send("POST", "/logout", &headers, b"").status, 303);
    assert_eq!(server.send("GET", runs, &headers, b"").status, 401);
    // A page that nobody may see leads to the form.
    let page = server.get("/metrics");
    assert_eq!((page.status, page.header("location")), (303, "/login"));
}

#[test]
fn another_name_is_not_this_server() {
    let world = World::new();
    let server = Server::start(&world, &["--host", "flow.example"]);
    let hint = "call it by its address, or name it by `flow serve --host NAME`";
    for host in ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:8400"] {
        let answer = server.send("GET", "/api/v1/runs", &[("host", host)], b"");
        let name = host.split(':').next().unwrap();
        answer.is_problem(421, &format!("this server is not called `{name}`"), Some(hint));
    }
    for host in ["localhost", "LOCALHOST:8400", "127.0.0.1:1", "[::1]:8400", "flow.example"] {
        assert_eq!(server.send("GET", "/healthz", &[("host", host)], b"").status, 200, "{host}");
    }
}

#[test]
fn without_a_token_other_sites_are_refused_too() {
    let world = World::new();
    world.write("one.yaml", ONE);
    let server = Server::start(&world, &[]);
    let start = "/api/v1/workflows/one/runs";
    let evil = [("origin", "https://evil.example")];
    assert_eq!(server.send("POST", start, &evil, b"").status, 403);
    assert_eq!(server.send("POST", start, &[], b"").status, 201);
}

#[test]
fn every_answer_says_what_browsers_may_do_with_it() {
    let world = World::new();
    let server = Server::start(&world, &[]);
    for path in ["/healthz", "/login", "/api/v1/runs", "/nothing", "/api/v1/openapi.json"] {
        let answer = server.get(path);
        let policy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";
        assert_eq!(answer.header("content-security-policy"), policy, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("x-frame-options"), "DENY");
    }
}

#[test]
fn who_asks_too_much_is_told_when_to_come_again() {
    let world = World::new();
    let server = Server::start(&world, &["--rate", "2"]);
    let answers: Vec<_> = (0..20).map(|_| server.get("/healthz")).collect();
    let slowed = answers.iter().find(|answer| answer.status == 429).expect("a limit");
    slowed.is_problem(429, "more than 2 requests a second", Some("ask again in 1 s"));
    assert_eq!(slowed.header("retry-after"), "1");
    assert_eq!(Value::from(answers[0].status), json!(200));
}
