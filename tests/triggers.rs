//! What starts by itself: schedules, files, requests and the ends of other runs, on the real
//! server, which is killed while it starts them.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::{World, until};

/// A server that is killed when the test is over.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(world: &World) -> Self {
        Self::spawn(&mut world.command(&["serve", ".", "--addr", "127.0.0.1:0", "--json"]))
    }

    fn spawn(command: &mut Command) -> Self {
        let path = command.get_current_dir().expect("a folder").join("log");
        let log = std::fs::File::options().create(true).append(true).open(path).expect("a log");
        let command = command.stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the server starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = told["address"].as_str().unwrap_or_default().to_owned();
        Self { child, address }
    }

    /// Ends it as a power cut does.
    fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ends");
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n",
            self.address,
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status.expect("a status"), serde_json::from_str(body).unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The runs of a workflow, the oldest first.
fn runs(world: &World, workflow: &str) -> Vec<Value> {
    let listed =
        world.flow(&["runs", "--workflow", workflow, "-n", "100000", "--json"]).exits(0).json();
    let mut listed = listed.as_array().cloned().unwrap_or_default();
    listed.reverse();
    listed
}

fn succeeded(world: &World, workflow: &str) -> usize {
    runs(world, workflow).iter().filter(|run| run["status"] == "succeeded").count()
}

/// The time in a run's id, in seconds.
fn second_of(run: &Value) -> u64 {
    let id = run["run"].as_str().expect("an id");
    let digit = |c: char| "0123456789abcdefghjkmnpqrstvwxyz".find(c).expect("a digit") as u64;
    id[..10].chars().fold(0, |sum, c| sum << 5 | digit(c)) / 1000
}

#[test]
fn no_tick_is_lost_or_run_twice_however_often_the_server_dies_in_the_moment() {
    let world = World::new();
    world.write(
        "tick.yaml",
        "triggers: [{schedule: '@every 1s', catch_up: all, overlap: queue}]\n\
         steps: [{id: a, uses: file.write, with: {path: ran.txt, append: true, content: x}}]\n",
    );
    for time in 1..=7 {
        let mut command = world.command(&["serve", ".", "--addr", "127.0.0.1:0", "--json"]);
        let mut server = Server::spawn(command.env("FLOW_TEST_KILL_AT_TIME", time.to_string()));
        until("its death", || server.child.try_wait().expect("it can be asked").is_some());
    }
    let server = Server::start(&world);
    until("a dozen runs", || succeeded(&world, "tick") >= 12);
    server.kill();
    let ticks: Vec<u64> = runs(&world, "tick").iter().map(second_of).collect();
    let distinct: BTreeSet<u64> = ticks.iter().copied().collect();
    assert_eq!(distinct.len(), ticks.len(), "{ticks:?}");
    let (first, last) = (*distinct.first().unwrap(), *distinct.last().unwrap());
    assert_eq!(last - first + 1, ticks.len() as u64, "{ticks:?}");
}

#[test]
fn a_schedule_is_paused_and_goes_on_from_another_process() {
    let world = World::new();
    world.write(
        "tick.yaml",
        "triggers: [{schedule: '@every 1s', catch_up: all}]\n\
         steps: [{id: a, uses: value.set, with: {value: 1}}]\n",
    );
    let _server = Server::start(&world);
    until("a run", || succeeded(&world, "tick") >= 1);
    let paused = world.flow(&["schedule", "pause", "tick"]).exits(0);
    assert_eq!(paused.stderr, "`tick` is paused\n");
    let listed = world.flow(&["schedule", "ls", "--json"]).exits(0).json();
    assert_eq!((&listed[0]["paused"], &listed[0]["when"]), (&true.into(), &"@every 1s".into()));
    // What was begun when it was paused may still come.
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let begun = clock().as_secs();
    until("three seconds", || clock().as_secs() > begun + 3);
    let last = runs(&world, "tick").last().map(second_of).unwrap();
    assert!(last <= begun + 1, "{last} is after {begun}");
    let resumed = clock().as_secs();
    world.flow(&["schedule", "resume", "tick"]).exits(0);
    until("another run", || runs(&world, "tick").last().map(second_of).unwrap() > last);
    // What would have been meanwhile is not made up for.
    let ticks: Vec<u64> = runs(&world, "tick").iter().map(second_of).collect();
    assert!(ticks.iter().all(|tick| *tick <= last || *tick >= resumed), "{ticks:?} {resumed}");
}

/// A workflow that asks a person every second.
fn asking(world: &World, overlap: &str) {
    let text = format!(
        "triggers: [{{schedule: '@every 1s', overlap: {overlap}}}]\n\
         steps: [{{id: a, uses: human.approve, with: {{show: 1}}}}]\n"
    );
    world.write("ask.yaml", &text);
}

#[test]
fn a_tick_is_left_out_while_the_run_before_goes_on() {
    let world = World::new();
    asking(&world, "skip");
    let _server = Server::start(&world);
    until("ticks that are left out", || {
        let listed = world.flow(&["schedule", "ls", "--json"]).exits(0).json();
        listed[0]["skipped"].as_u64() >= Some(2)
    });
    assert_eq!(runs(&world, "ask").len(), 1);
}

#[test]
fn ticks_wait_for_the_run_before_also_over_a_restart() {
    let world = World::new();
    asking(&world, "queue");
    let server = Server::start(&world);
    until("a question", || {
        runs(&world, "ask").first().is_some_and(|run| run["status"] == "waiting")
    });
    let first = runs(&world, "ask").remove(0);
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    until("two ticks more", || clock().as_secs() > second_of(&first) + 4);
    server.kill();
    assert_eq!(runs(&world, "ask").len(), 1);
    world.flow(&["approve", first["run"].as_str().unwrap()]).exits(0);
    let _server = Server::start(&world);
    until("the next run", || runs(&world, "ask").len() == 2);
    assert_eq!(second_of(&runs(&world, "ask")[1]), second_of(&first) + 1);
}

#[test]
fn a_tick_ends_the_run_before() {
    let world = World::new();
    asking(&world, "cancel");
    let _server = Server::start(&world);
    until("three runs", || runs(&world, "ask").len() >= 3);
    for run in &runs(&world, "ask")[..2] {
        assert_eq!(run["status"], "cancelled");
    }
}

/// How many files are dropped at once; `FLOW_TEST_FILES` says another number.
fn many() -> usize {
    std::env::var("FLOW_TEST_FILES").ok().and_then(|many| many.parse().ok()).unwrap_or(300)
}

const INBOX: &str = r#"
name: inbox
inputs: {file: file, fail: {type: boolean, default: false}}
triggers:
  - {watch: "in/*.txt", input: file, settle: 1s, done: in/done, failed: in/failed}
steps:
  - id: a
    uses: value.set
    with: { value: "{{ inputs.file.name }}" }
outputs: { name: "{{ steps.a.output }}" }
"#;

#[test]
fn each_of_many_files_starts_one_run_with_a_kill_in_the_middle() {
    let world = World::new();
    world.write("inbox.yaml", INBOX);
    let many = many();
    for number in 0..many {
        world.write(&format!("in/scan-{number:05}.txt"), &format!("page {number}"));
    }
    for part in [5, 2] {
        let server = Server::start(&world);
        until("some of the runs", || runs(&world, "inbox").len() >= many / part);
        server.kill();
    }
    let server = Server::start(&world);
    until("all files to be moved", || support::files(&world.path("in/done")).len() == many);
    server.kill();
    let all = runs(&world, "inbox");
    assert_eq!(all.len(), many);
    let mut names = BTreeMap::<String, usize>::new();
    for run in &all {
        assert_eq!(run["status"], "succeeded");
        let shown = world.flow(&["show", run["run"].as_str().unwrap(), "--json"]).exits(0).json();
        let name = shown["outputs"]["name"].as_str().expect("a name").to_owned();
        *names.entry(name).or_default() += 1;
    }
    assert_eq!((names.len(), names.values().max()), (many, Some(&1)));
    assert_eq!(support::files(&world.path("in")).len(), many);
}

#[test]
fn a_file_is_its_path_and_its_bytes_and_goes_where_it_is_asked_to() {
    let world = World::new();
    world.write("inbox.yaml", INBOX);
    world.write("picky.yaml", "name: picky\ninputs: {file: {type: file, media: [application/pdf]}}\ntriggers: [{watch: 'pdf/*', input: file, settle: 1s, failed: bad}]\nsteps: [{id: a, uses: value.set, with: {value: '{{ inputs.file.name }}'}}]\n");
    let _server = Server::start(&world);
    let done = |name: &str| std::fs::read_to_string(world.path(&format!("in/done/{name}"))).ok();
    world.write("in/a.txt", "one");
    until("a run", || done("a.txt").as_deref() == Some("one"));
    // Other bytes under the same name: another run, and nothing is overwritten.
    world.write("in/a.txt", "two");
    until("a second run", || done("a-2.txt").as_deref() == Some("two"));
    // The same bytes under another name: a third.
    world.write("in/b.txt", "two");
    until("a third run", || done("b.txt").as_deref() == Some("two"));
    assert_eq!(runs(&world, "inbox").len(), 3);
    // Path and bytes as before: no run, but it does not lie there for ever.
    world.write("in/a.txt", "one");
    until("it to be moved", || done("a-3.txt").as_deref() == Some("one"));
    assert_eq!(runs(&world, "inbox").len(), 3);
    // What the workflow does not take goes to those that failed.
    world.write("pdf/no.pdf", "no PDF");
    until("it to be refused", || world.path("bad/no.pdf").exists());
    assert_eq!(runs(&world, "picky").len(), 0);
}

const HOOK: &str = r#"
name: hook
inputs: {number: integer, text: {type: string, default: none}, file: {type: file, required: false}}
triggers:
  - {webhook: /plain, secret: "{{ secrets.HOOK_SECRET }}"}
  - webhook: /git
    hmac: "{{ secrets.HOOK_SECRET }}"
    delivery: X-GitHub-Delivery
    inputs: { number: "{{ body.issue.number }}", text: "{{ headers['x-github-event'] }}" }
steps:
  - id: a
    uses: value.set
    with: { value: "{{ [inputs.number, inputs.text, inputs.file] }}" }
outputs: { all: "{{ steps.a.output }}" }
"#;

#[test]
fn a_request_starts_a_run_once_and_only_with_its_proof() {
    let world = World::new();
    world.write("hook.yaml", HOOK);
    world.write("none.yaml", &HOOK.replace("HOOK_SECRET", "NO_SUCH").replace('/', "/none"));
    let mut command = world.command(&["serve", ".", "--addr", "127.0.0.1:0", "--json"]);
    let server = Server::spawn(command.env("HOOK_SECRET", "It's a Secret to Everybody"));
    let secret = ("X-Hook-Secret", "It's a Secret to Everybody");
    let detail = |answer: (u16, Value)| {
        (answer.0, answer.1["detail"].as_str().unwrap_or_default().to_owned())
    };
    for (path, headers, body, status, why) in [
        ("/hooks/other", vec![secret], "{}", 404, "there is no webhook `/other`"),
        ("/hooks/plain", vec![], r#"{"number":1}"#, 401, "the header `x-hook-secret` is missing"),
        (
            "/hooks/plain",
            vec![("X-Hook-Secret", "x")],
            r#"{"number":1}"#,
            401,
            "the secret is not right",
        ),
        ("/hooks/plain", vec![secret], "[1]", 422, "the body is not a JSON object"),
        ("/hooks/plain", vec![secret], "{}", 422, "input `number` is missing"),
        (
            "/hooks/plain",
            vec![secret],
            r#"{"number":1,"file":"/etc/passwd"}"#,
            422,
            "input `file` is a file, which cannot be named here",
        ),
        (
            "/hooks/git",
            vec![("X-Hub-Signature-256", "sha256=00")],
            "{}",
            401,
            "the signature is not 64 hexadecimal digits",
        ),
        (
            "/hooks/noneplain",
            vec![secret],
            "{}",
            503,
            "the secret of this webhook is not set on the server",
        ),
    ] {
        let answer = detail(server.post(path, &headers, body));
        assert_eq!(answer, (status, why.to_owned()), "{path} {body}");
    }
    let (status, answer) = server.post("/hooks/plain", &[secret], r#"{"number":7}"#);
    assert_eq!((status, &answer["new"]), (202, &true.into()));
    let key = ("Idempotency-Key", "k1");
    let (_, first) = server.post("/hooks/plain", &[secret, key], r#"{"number":8}"#);
    let (status, again) = server.post("/hooks/plain", &[secret, key], r#"{"number":8}"#);
    assert_eq!((status, &again["run"], &again["new"]), (202, &first["run"], &false.into()));
    let other = detail(server.post("/hooks/plain", &[secret, key], r#"{"number":9}"#));
    assert_eq!(other, (422, "`idempotency-key: k1` was another request before".to_owned()));
    // Signed by `printf BODY | openssl dgst -sha256 -hmac SECRET`.
    let body = r#"{"issue":{"number":12}}"#;
    let signed = ("X-Hub-Signature-256", SIGNED);
    let event = ("X-GitHub-Event", "issues");
    let (status, answer) = server.post("/hooks/git", &[signed, event], body);
    assert_eq!(status, 202, "{answer}");
    until("its end", || succeeded(&world, "hook") == 3);
    let shown = world.flow(&["show", answer["run"].as_str().unwrap(), "--json"]).exits(0).json();
    assert_eq!(shown["outputs"]["all"], serde_json::json!([12, "issues", null]));
    let wrong = detail(server.post("/hooks/git", &[signed, event], r#"{"issue":{"number":13}}"#));
    assert_eq!(wrong, (401, "the signature does not fit the body".to_owned()));
}

const SIGNED: &str = "sha256=63764768eca8bac2b13834b0aae266d8faab47febdb3a892f9a3009e1641d449";

#[test]
fn a_workflow_follows_another_also_when_nobody_was_there() {
    let world = World::new();
    world.write("first.yaml", "name: first\ninputs: {n: integer}\nsteps: [{id: a, uses: value.set, with: {value: '{{ inputs.n }}'}}]\noutputs: {n: '{{ steps.a.output }}'}\n");
    world.write("second.yaml", "name: second\ninputs: {n: integer}\ntriggers: [{after: first, inputs: {n: '{{ run.outputs.n + 1 }}'}}]\nsteps: [{id: a, uses: value.set, with: {value: '{{ inputs.n }}'}}]\noutputs: {n: '{{ steps.a.output }}'}\n");
    world.flow(&["run", "first.yaml", "-i", "n=1"]).exits(0);
    let server = Server::start(&world);
    until("the server to look", || {
        world.flow(&["run", "first.yaml", "-i", "n=2"]).code == Some(0)
            && succeeded(&world, "second") >= 1
    });
    server.kill();
    let before = succeeded(&world, "second");
    world.flow(&["run", "first.yaml", "-i", "n=40"]).exits(0);
    let _server = Server::start(&world);
    until("it to follow", || {
        let outputs: Vec<Value> = runs(&world, "second")
            .iter()
            .map(|run| {
                world.flow(&["show", run["run"].as_str().unwrap(), "--json"]).json()["outputs"]["n"]
                    .clone()
            })
            .collect();
        outputs.contains(&41.into())
    });
    assert!(succeeded(&world, "second") > before);
    // Never more of them than of those they follow, without the one of before.
    assert!(runs(&world, "second").len() < runs(&world, "first").len());
}

#[test]
fn workflows_that_follow_each_other_come_to_an_end() {
    let world = World::new();
    for (own, other) in [("ping", "pong"), ("pong", "ping")] {
        let text = format!(
            "name: {own}\ntriggers: [{{after: {other}}}]\nsteps: [{{id: a, uses: value.set, with: {{value: 1}}}}]\n"
        );
        world.write(&format!("{own}.yaml"), &text);
    }
    let server = Server::start(&world);
    // Followers begin with the first look.
    until("a first answer", || {
        world.flow(&["run", "ping.yaml"]).exits(0);
        succeeded(&world, "pong") > 0
    });
    let first = runs(&world, "ping").len();
    until("the last of a chain", || {
        std::fs::read_to_string(world.path("log"))
            .is_ok_and(|log| log.contains("does not follow: 16 runs did in a row"))
    });
    server.kill();
    let all = runs(&world, "ping").len() + runs(&world, "pong").len();
    assert!(all <= first * 17, "{all} of {first}");
}
