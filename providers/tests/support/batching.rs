//! A service that works through batches, in the words of OpenAI, Anthropic or Gemini.
//!
//! What is asked says what becomes of it: a prompt with `refused` in it is refused, one with
//! `missing` has no line in the answers, one with `late` expires; any other is answered in
//! capitals. Answers come in the reverse of the order in which they were asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::server::{Answer, Received, Server};

/// Whose words are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    OpenAi,
    Anthropic,
    Gemini,
}

impl Speaks {
    pub(crate) const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Gemini];

    /// The type of the provider.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// A model whose price is known.
    pub(crate) fn model(self) -> &'static str {
        match self {
            Self::OpenAi => "gpt-4o",
            Self::Anthropic => "claude-sonnet-4-6",
            Self::Gemini => "gemini-3.5-flash-lite",
        }
    }
}

/// What the service is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// To take a file.
    File,
    /// To take a batch.
    Submit,
    /// To list batches.
    List,
    /// To say how one stands.
    Look,
    /// To give its answers.
    Results,
    /// To cancel one.
    Cancel,
    /// To answer by itself, without a batch.
    Alone,
}

/// How the service is to behave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    /// How often it is looked at before it is over.
    pub(crate) looks: usize,
    /// Whether it is over because its time is.
    pub(crate) expires: bool,
}

/// A batch at the service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) name: Option<String>,
    /// Our names for the requests, and what each asks.
    pub(crate) asked: Vec<(String, Value)>,
    pub(crate) looks: usize,
    pub(crate) cancelled: bool,
}

#[derive(Default)]
struct State {
    files: Vec<Vec<u8>>,
    batches: Vec<Batch>,
    wanted: Vec<Wanted>,
}

/// Answers instead of the service: what is wanted, for the how-many-th time (from 0), and
/// whether what was wanted was done already.
type Instead = dyn Fn(Wanted, usize, bool) -> Option<Answer> + Send + Sync;

/// The service.
pub(crate) struct Batching {
    pub(crate) server: Server,
    state: Arc<Mutex<State>>,
}

impl Batching {
    pub(crate) async fn start(
        speaks: Speaks,
        manners: Manners,
        instead: impl Fn(Wanted, usize, bool) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (kept, instead): (_, Box<Instead>) = (Arc::clone(&state), Box::new(instead));
        let server = Server::start(move |_, request| {
            let wanted = wanted(request);
            let number = {
                let mut state = lock(&kept);
                state.wanted.push(wanted);
                state.wanted.iter().filter(|other| **other == wanted).count() - 1
            };
            if let Some(answer) = instead(wanted, number, false) {
                return answer;
            }
            let answer = lock(&kept).answer(speaks, manners, wanted, request);
            instead(wanted, number, true).unwrap_or(answer)
        });
        Self { server: server.await, state }
    }

    /// One that behaves.
    pub(crate) async fn well(speaks: Speaks, manners: Manners) -> Self {
        Self::start(speaks, manners, |_, _, _| None).await
    }

    /// What it was asked for so far, in order.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        lock(&self.state).wanted.clone()
    }

    /// How often something was wanted.
    pub(crate) fn count(&self, wanted: Wanted) -> usize {
        self.wanted().into_iter().filter(|other| *other == wanted).count()
    }

    /// The batches it has.
    pub(crate) fn batches(&self) -> Vec<Batch> {
        lock(&self.state).batches.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wanted(request: &Received) -> Wanted {
    let path = request.target.split('?').next().unwrap_or_default();
    let is_post = request.method == "POST";
    if path.ends_with("/cancel") || path.ends_with(":cancel") {
        Wanted::Cancel
    } else if path.ends_with("/content") || path.ends_with("/results") {
        Wanted::Results
    } else if path.ends_with("/files") {
        Wanted::File
    } else if path.ends_with("/batches") || path.ends_with(":batchGenerateContent") {
        if is_post { Wanted::Submit } else { Wanted::List }
    } else if path.contains("/batches/") {
        Wanted::Look
    } else {
        Wanted::Alone
    }
}

impl State {
    fn answer(
        &mut self,
        speaks: Speaks,
        manners: Manners,
        wanted: Wanted,
        request: &Received,
    ) -> Answer {
        let path = request.target.split('?').next().unwrap_or_default();
        let body = || serde_json::from_slice::<Value>(&request.body).expect("it is JSON");
        let told = match wanted {
            Wanted::File => {
                self.files.push(request.body.clone());
                json!({ "id": format!("file-in-{}", self.files.len() - 1), "object": "file" })
            }
            Wanted::Submit => {
                let batch = self.submitted(speaks, &body());
                self.batches.push(batch);
                self.told(speaks, self.batches.len() - 1, manners)
            }
            Wanted::List => {
                let all = (0..self.batches.len()).rev();
                let all: Vec<_> = all.map(|at| self.told(speaks, at, manners)).collect();
                match speaks {
                    Speaks::Gemini => json!({ "operations": all }),
                    Speaks::OpenAi | Speaks::Anthropic => json!({ "data": all, "has_more": false }),
                }
            }
            Wanted::Look => {
                let at = place(path);
                let Some(batch) = self.batches.get_mut(at) else {
                    let error = json!({ "error": { "message": "no such batch", "status": "NOT_FOUND", "type": "not_found_error" } });
                    return Answer::json(404, &error.to_string());
                };
                batch.looks += 1;
                self.told(speaks, at, manners)
            }
            Wanted::Results => {
                let lines = self.lines(speaks, place(path), manners);
                let lines = lines.into_iter().filter(|line| {
                    let refused = line["response"]["status_code"] == 400;
                    let late = line["error"]["code"] == "batch_expired";
                    speaks != Speaks::OpenAi || (refused || late) == path.contains("err")
                });
                let text = lines.fold(String::new(), |text, line| text + &line.to_string() + "\n");
                return Answer::new(200, "application/x-jsonl", text);
            }
            Wanted::Cancel => {
                let at = place(path.trim_end_matches("/cancel").trim_end_matches(":cancel"));
                self.batches[at].cancelled = true;
                self.told(speaks, at, manners)
            }
            Wanted::Alone => answered(speaks, &body()),
        };
        Answer::json(200, &told.to_string())
    }

    fn submitted(&self, speaks: Speaks, body: &Value) -> Batch {
        let of =
            |id: &Value, asked: &Value| (id.as_str().expect("a name").to_owned(), asked.clone());
        match speaks {
            Speaks::OpenAi => {
                let file = body["input_file_id"].as_str().expect("a file");
                let file = &self.files[place(file)];
                let text = String::from_utf8_lossy(file);
                let lines =
                    text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                let asked = lines.map(|line| of(&line["custom_id"], &line["body"])).collect();
                let name = body["metadata"]["flow"].as_str().map(str::to_owned);
                Batch { name, asked, ..Batch::default() }
            }
            Speaks::Anthropic => {
                let all = body["requests"].as_array().expect("requests").iter();
                let asked = all.map(|one| of(&one["custom_id"], &one["params"])).collect();
                Batch { asked, ..Batch::default() }
            }
            Speaks::Gemini => {
                let batch = &body["batch"];
                let all = batch["inputConfig"]["requests"]["requests"].as_array();
                let all = all.expect("requests").iter();
                let asked = all.map(|one| of(&one["metadata"]["key"], &one["request"])).collect();
                let name = batch["displayName"].as_str().map(str::to_owned);
                Batch { name, asked, ..Batch::default() }
            }
        }
    }

    /// What is told of a batch.
    fn told(&self, speaks: Speaks, at: usize, manners: Manners) -> Value {
        let batch = &self.batches[at];
        let over = batch.cancelled || batch.looks > manners.looks;
        let items = batch.asked.len();
        let now = now() / 1000;
        match speaks {
            Speaks::OpenAi => json!({
                "id": format!("batch_{at}"), "object": "batch", "endpoint": "/v1/chat/completions",
                "status": match (over, batch.cancelled, manners.expires) {
                    (false, ..) => "in_progress",
                    (true, true, _) => "cancelled",
                    (true, false, true) => "expired",
                    (true, false, false) => "completed",
                },
                "output_file_id": over.then(|| format!("file-out-{at}")),
                "error_file_id": over.then(|| format!("file-err-{at}")),
                "created_at": now,
                "request_counts": { "total": items, "completed": 0, "failed": 0 },
                "metadata": { "flow": batch.name },
            }),
            Speaks::Anthropic => json!({
                "id": format!("msgbatch_{at}"), "type": "message_batch",
                "processing_status": if over { "ended" } else { "in_progress" },
                "request_counts": { "processing": items },
                "results_url": over.then(|| format!("http://elsewhere.invalid/v1/messages/batches/msgbatch_{at}/results")),
            }),
            Speaks::Gemini => {
                let state = match (over, batch.cancelled, manners.expires) {
                    (false, ..) => "BATCH_STATE_RUNNING",
                    (true, true, _) => "BATCH_STATE_CANCELLED",
                    (true, false, true) => "BATCH_STATE_EXPIRED",
                    (true, false, false) => "BATCH_STATE_SUCCEEDED",
                };
                let mut told = json!({
                    "name": format!("batches/{at}"),
                    "metadata": { "state": state, "displayName": batch.name },
                });
                if over {
                    let lines = self.lines(speaks, at, manners);
                    told["done"] = json!(true);
                    told["response"] = json!({ "inlinedResponses": { "inlinedResponses": lines } });
                }
                told
            }
        }
    }

    /// The lines of the answers, the last request first.
    fn lines(&self, speaks: Speaks, at: usize, manners: Manners) -> Vec<Value> {
        let batch = &self.batches[at];
        let lines = batch.asked.iter().rev().filter_map(|(id, asked)| {
            let text = asked.to_string();
            if text.contains("missing") {
                return None;
            }
            let late = text.contains("late");
            let gone = batch.cancelled || manners.expires || late;
            Some(match speaks {
                Speaks::OpenAi if gone => {
                    let code = if batch.cancelled { "batch_cancelled" } else { "batch_expired" };
                    json!({ "custom_id": id, "response": null, "error": { "code": code, "message": "not executed" } })
                }
                Speaks::OpenAi => {
                    let refused = text.contains("refused");
                    let body = if refused {
                        json!({ "error": { "message": "no", "type": "invalid_request_error" } })
                    } else {
                        answered(speaks, asked)
                    };
                    let status = if refused { 400 } else { 200 };
                    let response =
                        json!({ "status_code": status, "request_id": "req_1", "body": body });
                    json!({ "custom_id": id, "response": response, "error": null })
                }
                Speaks::Anthropic => {
                    let result = if gone {
                        json!({ "type": if batch.cancelled { "canceled" } else { "expired" } })
                    } else if text.contains("refused") {
                        let error = json!({ "type": "invalid_request_error", "message": "no" });
                        json!({ "type": "errored", "error": { "type": "error", "error": error } })
                    } else {
                        json!({ "type": "succeeded", "message": answered(speaks, asked) })
                    };
                    json!({ "custom_id": id, "result": result })
                }
                Speaks::Gemini if gone && !late => return None,
                Speaks::Gemini => {
                    let metadata = json!({ "key": id });
                    if text.contains("refused") || late {
                        let code = if late { 4 } else { 3 };
                        json!({ "metadata": metadata, "error": { "code": code, "message": "no" } })
                    } else {
                        json!({ "metadata": metadata, "response": answered(speaks, asked) })
                    }
                }
            })
        });
        lines.collect()
    }
}

/// The number at the end of a name or a path.
fn place(name: &str) -> usize {
    let name = name.trim_end_matches("/content").trim_end_matches("/results");
    let digits = name.rsplit(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().expect("a number")
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default()
}

/// The answer to a request, wherever it was asked: its prompt in capitals.
fn answered(speaks: Speaks, asked: &Value) -> Value {
    match speaks {
        Speaks::OpenAi => {
            let prompt = asked["messages"][0]["content"].as_str().unwrap_or_default();
            json!({
                "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o",
                "choices": [{ "index": 0, "finish_reason": "stop",
                    "message": { "role": "assistant", "content": prompt.to_uppercase(), "refusal": null } }],
                "usage": { "prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100 },
            })
        }
        Speaks::Anthropic => {
            let content = &asked["messages"][0]["content"];
            let prompt = content.as_str().or(content[0]["text"].as_str()).unwrap_or_default();
            json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6",
                "content": [{ "type": "text", "text": prompt.to_uppercase() }],
                "stop_reason": "end_turn",
                "usage": { "input_tokens": 1000, "output_tokens": 100 },
            })
        }
        Speaks::Gemini => {
            let prompt = asked["contents"][0]["parts"][0]["text"].as_str().unwrap_or_default();
            json!({
                "candidates": [{ "content": { "role": "model", "parts": [{ "text": prompt.to_uppercase() }] }, "finishReason": "STOP" }],
                "usageMetadata": { "promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100 },
                "modelVersion": "gemini-3.5-flash-lite",
            })
        }
    }
}
