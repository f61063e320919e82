//! A server of the page alone: a real store, real runs through the engine, real HTTP.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use flow_core::action::ActionRegistry;
use flow_core::engine::{Embedded, Program, Setup, SystemClock};
use flow_core::ids::RunId;
use flow_core::language::{
    Bundle, Checked, Environment, Files, Instead, KnownProviders, check, check_bundle,
};
use flow_core::store::{RunRow, RunStatus, Store};
use flow_server::gate::{Gate, GateSetup};
use flow_server::{Folder, Reading, Runs, Scope, Site, Visitor, Workplace};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// What the server of flow sends with every page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Workflows of the actions that core has.
struct Place {
    folder: PathBuf,
    ids: AtomicU64,
}

struct Beside(PathBuf);

impl Files for Beside {
    fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.0.join(path)).map_err(|error| error.to_string())
    }

    fn place(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

fn actions() -> ActionRegistry {
    let mut actions = ActionRegistry::default();
    flow_core::actions::register(&mut actions);
    actions
}

fn program(checked: &Checked, folder: &Path) -> Option<Program> {
    let workflow = checked.workflow.clone()?;
    let bundle = json!({ "bundle": checked.bundle.to_value(), "folder": folder });
    let definition = flow_core::content::ContentHash::of_json(&bundle);
    Some(Program { workflow, definition, bundle, folder: folder.to_path_buf() })
}

#[async_trait]
impl Workplace for Place {
    fn read(&self, file: &Path) -> Result<Reading, String> {
        let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
        let environment = Environment {
            actions: &actions(),
            providers: &KnownProviders::default(),
            files: &Beside(self.folder.clone()),
            instead: &Instead::default(),
        };
        let checked = check(&file.display().to_string(), &bytes, environment);
        let program = program(&checked, &self.folder);
        Ok(Reading { checked, requested: program.clone(), program, files: Vec::new() })
    }

    async fn resumed(&self, store: &Store, run: &RunRow) -> Result<Program, String> {
        let kept = store.definition(&run.definition).await.map_err(|error| error.to_string())?;
        let kept = kept.unwrap_or_default();
        let bundle: Bundle =
            serde_json::from_value(kept["bundle"].clone()).map_err(|error| error.to_string())?;
        let checked = check_bundle(&bundle, &actions(), &KnownProviders::default());
        program(&checked, &self.folder).ok_or_else(|| "it has errors by now".to_owned())
    }

    async fn tidy(&self, _: &Program, _: &Store, _: &RunId) -> Vec<String> {
        Vec::new()
    }

    fn secret(&self, _name: &str) -> Option<String> {
        None
    }

    fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_millis() as i64
    }

    fn new_run_id(&self) -> RunId {
        let number = self.ids.fetch_add(1, Ordering::SeqCst);
        RunId::from_parts(self.now() as u64, u128::from(number))
    }
}

fn sniff(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [b'%', b'P', b'D', b'F', ..] => Some("application/pdf"),
        _ => None,
    }
}

/// A server in a folder of a test's own.
pub(crate) struct Server {
    pub(crate) site: Site,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Server {
    /// Starts one with these workflows, for a visitor who may do everything.
    pub(crate) async fn with(workflows: &[(&str, &str)]) -> Self {
        Self::seen_by(Some(Scope::Admin), workflows).await
    }

    /// The same, for a visitor who may do so much, or whom nobody let in.
    pub(crate) async fn seen_by(scope: Option<Scope>, workflows: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in workflows {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let store = Store::open(&folder.path().join(".flow")).await.unwrap();
        let place = Arc::new(Place { folder: folder.path().to_path_buf(), ids: AtomicU64::new(1) });
        let engine = Embedded::new(Setup {
            store: store.clone(),
            actions: actions(),
            clock: Arc::new(SystemClock),
            sniff,
            parallel: 8,
            use_cache: false,
        });
        let listed = Folder::open(folder.path(), place.clone()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Gate::new(GateSetup {
            store,
            address,
            hosts: Vec::new(),
            rate: 100_000,
            largest: 64 << 20,
            stopping: CancellationToken::new(),
        });
        let site = Site::new(Runs::new(engine, place), Arc::new(listed), gate);
        let visitor = scope.map(|scope| Visitor { token: Some("tests".to_owned()), scope });
        let router = flow_server::page::router()
            .merge(flow_server::page::open())
            .merge(flow_server::gate::login())
            .layer(middleware::from_fn(move |mut request: Request, next: Next| {
                if let Some(visitor) = &visitor {
                    request.extensions_mut().insert(visitor.clone());
                }
                around(request, next)
            }))
            .with_state(site.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { site, address, folder }
    }

    pub(crate) fn store(&self) -> &Store {
        self.site.runs.store()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a run of a workflow, and waits until nobody drives it.
    pub(crate) async fn run(&self, slug: &str, inputs: Value) -> RunId {
        let listed = self.site.folder.get(slug).expect("a workflow");
        let reading = listed.reading.as_ref().unwrap();
        let program = reading.program.clone().unwrap_or_else(|| {
            panic!("{}", reading.checked.diagnostics);
        });
        let inputs = inputs.as_object().cloned().unwrap_or_default();
        let inputs = flow_core::language::bind_inputs(&program.workflow, &inputs).unwrap();
        let id = self.site.runs.workplace().new_run_id();
        let cause = flow_server::Cause::Page;
        let start = flow_server::Start { id: id.clone(), program, inputs, cause };
        self.site.runs.start(start).await.unwrap();
        self.rests(&id).await;
        id
    }

    /// Waits until a run is not at work any more.
    pub(crate) async fn rests(&self, id: &RunId) -> RunStatus {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let run = self.store().run(id).await.unwrap().expect("a run");
            if run.status != RunStatus::Running && !self.site.runs.is_here(id) {
                return run.status;
            }
            assert!(tokio::time::Instant::now() < deadline, "run {id} is {}", run.status);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: flow\r\nConnection: close\r\n\r\n")).await
    }

    /// Posts a form with parts; one with a file name is a file.
    pub(crate) async fn post_parts(
        &self,
        path: &str,
        parts: &[(&str, Option<&str>, &str)],
    ) -> Answer {
        let mut body = String::new();
        for (name, file, text) in parts {
            let file = file.map_or(String::new(), |file| format!("; filename=\"{file}\""));
            body.push_str(&format!(
                "--cut\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{text}\r\n"
            ));
        }
        body.push_str("--cut--\r\n");
        self.post(path, "multipart/form-data; boundary=cut", &body).await
    }

    pub(crate) async fn post(&self, path: &str, kind: &str, body: &str) -> Answer {
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: flow\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    async fn ask(&self, request: &str) -> Answer {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut connection = tokio::net::TcpStream::connect(self.address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.replace("&#x2f;", "/") }
    }
}

async fn around(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = HeaderValue::from_static(POLICY);
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    response
}

impl Answer {
    /// Fails unless the status is this one.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        self
    }

    /// Where it leads.
    #[track_caller]
    pub(crate) fn leads_to(&self) -> &str {
        assert_eq!(self.status, 303, "{}\n{}", self.head, self.body);
        let line = self.head.lines().find_map(|line| line.strip_prefix("location: "));
        line.expect("a location")
    }
}
