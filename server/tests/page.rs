//! The page over HTTP: what it shows of real runs, what its forms do, and that nothing that
//! comes from elsewhere is taken for HTML.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use flow_core::store::RunStatus;
use flow_server::Scope;
use serde_json::json;
use support::Server;

const LETTERS: &str = "
name: letters
description: Spells a word.
inputs:
  word: { type: string }
  times: { type: integer, default: 3 }
  loud: { type: boolean, default: false }
  mood: { type: string, enum: [glad, sad], default: glad }
  scan: { type: file, required: false }
steps:
  - id: first
    uses: value.set
    with: { value: \"{{ inputs.word }}\" }
  - id: each
    for_each: \"{{ inputs.times }}\"
    uses: value.set
    with: { value: \"{{ item }}\" }
  - id: last
    needs: [first, each]
    uses: value.set
    with: { value: { word: \"{{ steps.first.output }}\", loud: \"{{ inputs.loud }}\" } }
outputs:
  word: \"{{ steps.last.output.word }}\"
  loud: \"{{ inputs.loud }}\"
  scan: \"{{ inputs.scan }}\"
";

const ASKS: &str = "
name: asks
steps:
  - id: ask
    uses: human.approve
    with: { question: Is it right?, show: { total: 7 } }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_listed_and_shown_with_its_steps() {
    let server = Server::with(&[("letters.yaml", LETTERS)]).await;
    let run = server.run("letters", json!({ "word": "abc", "times": 12 })).await;
    let list = server.get("/runs?workflow=letters&status=succeeded").await.is(200);
    assert!(list.body.contains(&format!("href=\"/runs/{run}\"")), "{}", list.body);
    let page = server.get(&format!("/runs/{run}")).await.is(200);
    assert!(
        page.body.contains("aria-label=\"each, value.set, each item: succeeded, 12 succeeded\"")
    );
    assert!(page.body.contains(&format!("/runs/{run}/step?at=each")));
    let items = server.get(&format!("/runs/{run}/step?at=each")).await.is(200);
    assert!(items.body.contains(">12 succeeded<") || items.body.contains("data-label=\"#\">12<"));
    let last = server.get(&format!("/runs/{run}/step?at=last")).await.is(200);
    assert!(last.body.contains("- id: last\n  needs: [first, each]"), "{}", last.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_starts_a_run_with_values_of_their_types_and_a_file() {
    let server = Server::with(&[("letters.yaml", LETTERS)]).await;
    let form = server.get("/workflows/letters/start").await.is(200);
    for part in ["type=\"number\"", "type=\"checkbox\"", "<option value=\"sad\">", "type=\"file\""]
    {
        assert!(form.body.contains(part), "{part} in {}", form.body);
    }
    let parts = [
        ("word", None, "hello"),
        ("times", None, "2"),
        ("loud", None, "true"),
        ("mood", None, "sad"),
        ("scan", Some("../../evil.pdf"), "%PDF-1.4"),
    ];
    let started = server.post_parts("/workflows/letters/start", &parts).await;
    let id = started.leads_to().strip_prefix("/runs/").unwrap().parse().unwrap();
    assert_eq!(server.rests(&id).await, RunStatus::Succeeded);
    let run = server.store().run(&id).await.unwrap().unwrap();
    assert_eq!((&run.inputs["times"], &run.inputs["loud"]), (&json!(2), &json!(true)));
    assert_eq!(run.inputs["scan"]["name"], "evil.pdf");
    assert_eq!(run.inputs["scan"]["media_type"], "application/pdf");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_does_not_fit_comes_back_with_what_was_typed() {
    let server = Server::with(&[("letters.yaml", LETTERS)]).await;
    let parts = [("word", None, "a\"b"), ("times", None, "many")];
    let form = server.post_parts("/workflows/letters/start", &parts).await.is(422);
    assert!(form.body.contains("input `times` must be a whole number, and `many` is not"));
    assert!(form.body.contains("value=\"a&quot;b\""), "{}", form.body);
    let form = server.post_parts("/workflows/letters/start", &[]).await.is(422);
    assert!(form.body.contains("input `word` is missing"));
    assert!(!form.body.contains("--input"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lets_the_run_go_on() {
    let server = Server::with(&[("asks.yaml", ASKS)]).await;
    let id = server.run("asks", json!({})).await;
    let page = server.get(&format!("/runs/{id}")).await.is(200);
    assert!(page.body.contains("Is it right?"));
    let question = format!("/runs/{id}/approve?at=ask");
    assert!(server.get(&question).await.is(200).body.contains("&quot;total&quot;: 7"));
    let form = "application/x-www-form-urlencoded";
    let maybe = server.post(&question, form, "answer=maybe").await.is(422);
    assert!(maybe.body.contains("the answer is neither `yes` nor `no`"));
    let told = server.post(&question, form, "answer=yes&comment=fine").await;
    assert_eq!(told.leads_to(), format!("/runs/{id}"));
    assert_eq!(server.rests(&id).await, RunStatus::Succeeded);
    let again = server.post(&question, form, "answer=no").await.is(409);
    assert!(again.body.contains("is answered already"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_look_changes_nothing() {
    let server = Server::seen_by(Some(Scope::Read), &[("asks.yaml", ASKS)]).await;
    let id = server.run("asks", json!({})).await;
    for path in ["cancel", "resume", "approve?at=ask"] {
        let form = "application/x-www-form-urlencoded";
        let answer = server.post(&format!("/runs/{id}/{path}"), form, "answer=yes").await.is(403);
        assert!(answer.body.contains("your token does not allow that"));
    }
    server.post_parts("/workflows/asks/start", &[]).await.is(403);
    server.get("/workflows/asks/start").await.is(403);
    assert!(!server.get(&format!("/runs/{id}")).await.body.contains("id=\"cancel\""));
    assert_eq!(server.rests(&id).await, RunStatus::Waiting);
    let stranger = Server::seen_by(None, &[("asks.yaml", ASKS)]).await;
    stranger.post_parts("/workflows/asks/start", &[]).await.is(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_to_be_so() {
    let server = Server::with(&[("letters.yaml", LETTERS)]).await;
    let run = server.run("letters", json!({ "word": "abc" })).await;
    for (path, message) in [
        ("/runs/nonsense".to_owned(), "there is no run `nonsense`"),
        (format!("/runs/{run}/step?at=nowhere"), "has no step at `nowhere`"),
        ("/workflows/none".to_owned(), "there is no workflow `none`"),
        ("/files/zz".to_owned(), "there is no file `zz`"),
        (format!("/files/{}", "0".repeat(64)), "artifact"),
    ] {
        let answer = server.get(&path).await.is(404);
        assert!(answer.body.contains(message), "{message} in {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_workflow_shows_its_problems_at_their_lines() {
    let faulty = "name: <b>bold\nsteps:\n  - id: a\n    uses: value.sett\n    with: { value: 1 }\n";
    let server = Server::with(&[("faulty.yaml", faulty)]).await;
    let page = server.get("/workflows/faulty").await.is(200);
    let marked = page.body.find("id=\"L4\" class=\"marked\"").expect("a mark");
    assert!(page.body[marked..].contains("did you mean `value.set`?"), "{}", page.body);
    assert!(page.body.contains("name: &lt;b&gt;bold"));
    server.get("/workflows/faulty/start").await.is(409);
    assert!(server.get("/workflows").await.is(200).body.contains("1 error"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_shows_when_it_ticks_and_is_paused() {
    let nightly = "name: nightly\nsteps: [{id: a, uses: value.set, with: {value: 1}}]\n\
                   triggers: [{schedule: 0 2 * * *, timezone: Europe/Berlin}]\n";
    let server = Server::with(&[("nightly.yaml", nightly)]).await;
    let page = server.get("/schedules").await.is(200).body;
    assert!(page.contains("<code>0 2 * * *</code>"), "{page}");
    assert_eq!(page.matches(" 02:00:00 ").count(), 5, "{page}");
    let hidden = "name=\"definition\" value=\"";
    let at = page.find(hidden).expect("a form") + hidden.len();
    let definition = &page[at..at + 64];
    let form = "application/x-www-form-urlencoded";
    let change = |paused: bool| format!("workflow=nightly&definition={definition}&paused={paused}");
    server.post("/schedules", form, &change(true)).await.is(303);
    let rows = server.store().schedules_of("nightly").await.unwrap();
    assert!(rows.iter().any(|row| row.paused && row.definition.hex() == definition));
    let page = server.get("/schedules").await.is(200).body;
    assert!(page.contains("It starts nothing until it goes on."), "{page}");
    server.post("/schedules", form, &change(false)).await.is(303);
    let rows = server.store().schedules_of("nightly").await.unwrap();
    assert!(rows.iter().all(|row| !row.paused));
    let other = change(true).replace(definition, &"0".repeat(64));
    server.post("/schedules", form, &other).await.is(409);
}

/// Every place that a stranger's text comes to: the name of a workflow and of a step, what is
/// typed, what a step yields, the name of a file, a key, an error.
#[tokio::test(flavor = "multi_thread")]
async fn no_text_is_taken_for_html() {
    const EVIL: &str = "'\"><script>alert(1)</script><img src=x onerror=alert(2)>";
    let workflow = format!(
        "name: {evil}\ndescription: {evil}\ninputs:\n  word: {{ type: string, description: {evil} }}\n\
         steps:\n  - id: say\n    name: {evil}\n    uses: value.set\n    with: {{ value: \"{{{{ inputs.word }}}}\" }}\n  \
         - id: each\n    for_each: [\"{{{{ inputs.word }}}}\"]\n    key: \"{{{{ item }}}}\"\n    uses: value.set\n    with: {{ value: 1 }}\n  \
         - id: ask\n    uses: human.approve\n    with: {{ question: {evil}, show: {evil} }}\n  \
         - id: bad\n    uses: file.write\n    with: {{ path: \"{{{{ inputs.word }}}}/x\", content: y }}\n",
        evil = json!(EVIL),
    );
    let server = Server::with(&[("evil.yaml", &workflow)]).await;
    let run = server.run("evil", json!({ "word": EVIL })).await;
    let key = server
        .store()
        .steps(&run, Some(&flow_core::ids::InstancePath::from_stored("each")), None, 1)
        .await
        .unwrap();
    let key = key.rows[0].path.to_string();
    let encoded: Vec<_> = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let encoded = encoded.concat();
    for path in [
        "/runs".to_owned(),
        format!("/runs?q={}", "%22%3E%3Cscript%3E"),
        format!("/runs/{run}"),
        format!("/runs/{run}/step?at=say"),
        format!("/runs/{run}/step?at=each"),
        format!("/runs/{run}/step?at={encoded}"),
        format!("/runs/{run}/step?at=bad"),
        format!("/runs/{run}/step?at=%22%3E%3Cscript%3E"),
        format!("/runs/{run}/approve?at=ask"),
        "/workflows".to_owned(),
        "/workflows/evil".to_owned(),
        "/workflows/evil/start".to_owned(),
        "/workflows/%22%3E%3Cscript%3E".to_owned(),
        "/login".to_owned(),
        "/costs".to_owned(),
        "/plugins".to_owned(),
        "/schedules".to_owned(),
    ] {
        let answer = server.get(&path).await;
        assert!(answer.status == 200 || answer.status == 404, "{path}: {}", answer.status);
        let body = answer.body.to_ascii_lowercase();
        let scripts = body.matches("<script").count();
        assert_eq!(scripts, 4, "{path} has a script of its own");
        assert!(!body.contains("<img src=x"), "{path}");
        assert!(!body.contains(" style="), "{path} has a style that the policy forbids");
    }
    let parts = [("word", None, EVIL), ("f", Some("<script>.pdf"), "x")];
    let typed = server.post_parts("/workflows/evil/start", &parts).await.is(422);
    assert_eq!(typed.body.matches("<script").count(), 4);
    assert!(!typed.body.contains("<img src=x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_stranger_is_saved_and_not_run() {
    let server = Server::with(&[]).await;
    let artifacts = server.store().artifacts();
    let html =
        artifacts.put_bytes("<script>alert(1)</script>", "text/html", "a.html").await.unwrap();
    let answer = server.get(&format!("/files/{}", html.hash.hex())).await.is(200);
    for header in [
        "content-type: application/octet-stream",
        "content-disposition: attachment",
        "x-content-type-options: nosniff",
        "content-security-policy: default-src 'none'; sandbox",
    ] {
        assert!(answer.head.contains(header), "{header} in {}", answer.head);
    }
    let text = server.get(&format!("/files/{}/text", html.hash.hex())).await.is(200);
    assert!(text.body.contains("&lt;script&gt;") && !text.body.contains("<script"));
    let png = artifacts.put_bytes(*b"\x89PNG\r\n", "text/html", "a").await.unwrap();
    let answer = server.get(&format!("/files/{}", png.hash.hex())).await.is(200);
    assert!(answer.head.contains("content-type: image/png"), "{}", answer.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_page_are_kept_for_ever_and_change_their_names() {
    let server = Server::with(&[]).await;
    let page = server.get("/runs").await.is(200);
    assert!(page.head.contains("cache-control: no-store"));
    let from = page.body.find("/assets/flow-").expect("a style");
    let name: String = page.body[from..].chars().take_while(|c| *c != '"').collect();
    let style = server.get(&name).await.is(200);
    assert!(style.head.contains("immutable") && style.head.contains("text/css"), "{}", style.head);
    server.get("/assets/flow-0000000000000000.css").await.is(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_sent_and_the_end_is_told() {
    let server = Server::with(&[("asks.yaml", ASKS)]).await;
    let id = server.run("asks", json!({})).await;
    let stream = {
        let address = server.address;
        let path = format!("/runs/{id}/live");
        tokio::spawn(async move { read_stream(address, &path).await })
    };
    let form = "application/x-www-form-urlencoded";
    server.post(&format!("/runs/{id}/approve?at=ask"), form, "answer=yes").await.leads_to();
    // The stream ends by itself when the run has.
    let events = stream.await.unwrap();
    for name in ["event: head", "event: graph", "event: steps", "event: ended"] {
        assert!(events.contains(name), "{name} in {events}");
    }
    assert!(events.contains("succeeded"), "{events}");
}

async fn read_stream(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: flow\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
