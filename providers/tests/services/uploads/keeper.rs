//! A service that keeps files as Gemini does, on the loopback, and breaks where it is told to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::server::{Answer, Received, Server, Step};

/// What goes wrong with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// It is refused with this status, and nothing of it is taken.
    Refused(u16),
    /// It is taken, and nobody hears of it.
    Unheard,
    /// So many bytes of it are taken, and the connection breaks.
    Part(usize),
    /// The answer never comes.
    Stalled,
    /// The session is gone.
    Gone,
}

/// How the service behaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Habits {
    /// What a chunk is a multiple of.
    pub(super) granularity: Option<usize>,
    /// What breaks, by the number of the chunk from 0, counted over all of them.
    pub(super) breaks: BTreeMap<usize, Break>,
    /// What the first attempts to begin are refused with.
    pub(super) refused_starts: Vec<u16>,
    /// States that are told after the upload, before the last one is told for ever; `ACTIVE`
    /// where there are none.
    pub(super) states: Vec<&'static str>,
    /// How many minutes a file lasts; two days where it is not said.
    pub(super) minutes: Option<i64>,
    /// Whether a removal is refused.
    pub(super) keeps_all: bool,
    /// A question about any file is refused as if there was none.
    pub(super) blind: bool,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) habits: Habits,
    sessions: Vec<Vec<u8>>,
    chunks: usize,
    /// The files that are there, by id.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    looks: usize,
    uploaded: usize,
}

/// The service.
pub(super) struct Keeper {
    pub(super) server: Server,
    state: Arc<Mutex<State>>,
}

impl Keeper {
    pub(super) async fn new(habits: Habits) -> Self {
        let state = Arc::new(Mutex::new(State { habits, ..State::default() }));
        let shared = Arc::clone(&state);
        let server = Server::start(move |_, request| {
            let own = format!("http://{}", request.header("host").unwrap_or_default());
            lock(&shared).answer(&own, request)
        })
        .await;
        Self { server, state }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// How many uploads began, chunks came, and files were made of them.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.sessions.len(), state.chunks, state.uploaded)
    }

    /// The settings of a provider that asks it.
    pub(super) fn settings(&self) -> Value {
        json!({ "base_url": format!("{}/v1beta", self.server.url()), "api_key": KEY })
    }

    pub(super) async fn asking(&self) -> Asking {
        Asking::new("gemini", &self.settings(), "gemini-3.8-flash").await
    }

    /// The requests that were made, in short.
    pub(super) fn requests(&self) -> Vec<String> {
        let received = self.server.received();
        received.iter().map(short).collect()
    }
}

/// The key of the account.
pub(super) const KEY: &str = "AIza-key-of-the-account-1234";

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn short(request: &Received) -> String {
    let path = request.target.split('?').next().unwrap_or_default();
    match request.header("x-goog-upload-command") {
        Some("start") => "start".to_owned(),
        Some("query") => "query".to_owned(),
        Some(command) => {
            let offset = request.header("x-goog-upload-offset").unwrap_or_default();
            format!("{command} {offset}+{}", request.body.len())
        }
        None if path.ends_with(":generateContent") => "ask".to_owned(),
        None => format!("{} {path}", request.method),
    }
}

impl State {
    fn answer(&mut self, own: &str, request: &Received) -> Answer {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let session = query.strip_prefix("upload_id=").and_then(|id| id.parse::<usize>().ok());
        match (request.header("x-goog-upload-command"), session) {
            (Some("start"), _) => self.start(own, request),
            (Some("query"), Some(session)) => self.query(session),
            (Some(command), Some(session)) => self.chunk(own, command, session, request),
            _ if path.ends_with(":generateContent") => self.ask(request),
            _ => self.file(own, path, &request.method),
        }
    }

    fn start(&mut self, own: &str, request: &Received) -> Answer {
        assert_eq!(request.header("x-goog-api-key"), Some(KEY));
        if !self.habits.refused_starts.is_empty() {
            return refused(self.habits.refused_starts.remove(0), "come back later");
        }
        self.sessions.push(Vec::new());
        let url = format!("{own}/upload/v1beta/files?upload_id={}", self.sessions.len() - 1);
        let granularity = self.habits.granularity.unwrap_or(256 << 10).to_string();
        active()
            .with("x-goog-upload-url", &url)
            .with("x-goog-upload-chunk-granularity", &granularity)
    }

    fn query(&self, session: usize) -> Answer {
        let received = self.sessions[session].len().to_string();
        active().with("x-goog-upload-size-received", &received)
    }

    fn chunk(&mut self, own: &str, command: &str, session: usize, request: &Received) -> Answer {
        // Whoever has the address may write; the key is nobody's business there.
        assert_eq!(request.header("x-goog-api-key"), None);
        let broken = self.habits.breaks.get(&self.chunks).copied();
        self.chunks += 1;
        let offset = request.header("x-goog-upload-offset").and_then(|at| at.parse().ok());
        let bytes = &mut self.sessions[session];
        if offset != Some(bytes.len()) {
            return refused(400, "that is not the next byte");
        }
        let step = self.habits.granularity.unwrap_or(256 << 10);
        if command == "upload" && !request.body.len().is_multiple_of(step) {
            return refused(400, "that is no multiple");
        }
        let taken = match broken {
            Some(Break::Refused(_) | Break::Gone | Break::Stalled) => 0,
            Some(Break::Part(size)) => size.min(request.body.len()),
            Some(Break::Unheard) | None => request.body.len(),
        };
        bytes.extend_from_slice(&request.body[..taken]);
        match broken {
            Some(Break::Refused(status)) => return refused(status, "it is full"),
            Some(Break::Gone) => return refused(404, "there is no such upload"),
            Some(Break::Stalled) => return active().after([Step::Stall]),
            Some(Break::Part(_) | Break::Unheard) => return active().after([Step::Reset]),
            None => {}
        }
        if command == "upload" {
            return active();
        }
        let id = format!("files/f{}", self.uploaded);
        self.uploaded += 1;
        self.files.insert(id.clone(), bytes.clone());
        let told = json!({ "file": self.told(own, &id) });
        Answer::json(200, &told.to_string()).with("x-goog-upload-status", "final")
    }

    fn told(&self, own: &str, id: &str) -> Value {
        let states = &self.habits.states;
        let state = states.get(self.looks).or(states.last()).copied().unwrap_or("ACTIVE");
        let minutes = self.habits.minutes.unwrap_or(48 * 60);
        let mut told = json!({
            "name": id, "uri": format!("{own}/v1beta/{id}"), "state": state,
            "expirationTime": (Timestamp::now() + minutes.minutes()).to_string(),
        });
        if state == "FAILED" {
            told["error"] = json!({ "code": 13, "message": "The video has no frames." });
        }
        told
    }

    fn file(&mut self, own: &str, path: &str, method: &str) -> Answer {
        let id = path.trim_start_matches("/v1beta/").to_owned();
        if !self.files.contains_key(&id) {
            return no_file(&id);
        }
        if method == "DELETE" {
            if self.habits.keeps_all {
                return refused(500, "not now");
            }
            self.files.remove(&id);
            return Answer::json(200, "{}");
        }
        self.looks += 1;
        Answer::json(200, &self.told(own, &id).to_string())
    }

    fn ask(&self, request: &Received) -> Answer {
        let body: Value = serde_json::from_slice(&request.body).expect("it is JSON");
        let parts = body["contents"][0]["parts"].as_array().expect("parts");
        for uri in parts.iter().filter_map(|part| part["fileData"]["fileUri"].as_str()) {
            let (_, id) = uri.split_once("/v1beta/").expect("one of ours");
            if self.habits.blind || !self.files.contains_key(id) {
                return no_file(id);
            }
        }
        Answer::json(200, SAID)
    }
}

const SAID: &str = r#"{"candidates":[{"content":{"parts":[{"text":"yes"}]},"finishReason":"STOP"}],
    "usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":1}}"#;

fn active() -> Answer {
    Answer::new(200, "text/plain", "").with("x-goog-upload-status", "active")
}

fn no_file(id: &str) -> Answer {
    let id = id.trim_start_matches("files/");
    let message =
        format!("You do not have permission to access the File {id} or it may not exist.");
    refused(403, &message)
}

fn refused(status: u16, message: &str) -> Answer {
    let word = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    let error = json!({ "error": { "code": status, "message": message, "status": word } });
    Answer::json(status, &error.to_string())
}

/// Writes a video of so many bytes, as far as anybody can tell by its first ones.
pub(super) fn video(folder: &Path, name: &str, size: usize) -> Vec<u8> {
    let mut bytes = b"\0\0\0\x18ftypmp42".to_vec();
    bytes.extend((0..=250).cycle().take(size - bytes.len()));
    std::fs::write(folder.join(name), &bytes).expect("written");
    bytes
}
