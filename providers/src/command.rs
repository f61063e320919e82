//! The provider `command`: a model that is a program on this machine.
//!
//! ```yaml
//! providers:
//!   mine: { type: command, command: [./models/answer.sh, --fast] }
//! ```
//!
//! The program gets the [`Request`] as one JSON object on stdin, with the model's name in
//! it and each file as a path, and writes either plain text or one JSON object
//! `{"text": …, "input_tokens": …, "output_tokens": …, "cost": …}` (cost in USD) to stdout.
//! What it writes to stderr goes to the step's log. It needs no network, and whatever
//! speaks to a model from a shell can serve behind it.
//!
//! What it is asked and answers is recorded and replayed like a call of a service, its files by
//! their hashes: which program it is does not count, as the address of a service does not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::action::{CallUsage, Quote};
use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{
    Answer, CallContext, Capabilities, Lane, MediaFile, Message, Part, Provider, Request,
};
use flow_core::units::Money;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::http::{FilePart, Source};
use crate::redact::Redactor;
use crate::service::batch::WINDOW;
use crate::tape::{Asked, Heard, Played, Tape, artifact};

/// Its kind, as `type` of a provider says it.
pub(crate) const KIND: &str = "command";

/// The most bytes of an answer.
const LARGEST_ANSWER: u64 = 64 << 20;

/// The most bytes of stderr that are kept.
const LARGEST_COMPLAINT: u64 = 1 << 20;

/// A program that answers.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The provider's name in the workflow.
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// The folder it runs in.
    pub(crate) folder: PathBuf,
    /// The most a call costs; none where nobody knows.
    pub(crate) price: Option<Money>,
    /// Keeps the secrets of its settings out of what it says.
    pub(crate) redactor: Redactor,
    /// What becomes of what it is asked and answers.
    pub(crate) tape: Tape,
}

/// What a program came to.
struct Ended {
    /// The code it ended with; none where it was killed.
    code: Option<i32>,
    /// How it ended, in the system's words.
    how: String,
    answer: Vec<u8>,
    complaint: String,
}

/// What the program may say besides the text.
#[derive(Deserialize)]
struct Reply {
    text: String,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cost: Option<f64>,
    finish: Option<String>,
    request_id: Option<String>,
}

#[async_trait]
impl Provider for Program {
    fn capabilities(&self, _model: &str) -> Capabilities {
        Capabilities { images: true, documents: true, video: true, audio: true, schema: false }
    }

    fn quote(&self, _request: &Request) -> Quote {
        self.price.map_or(Quote::Unknown, Quote::AtMost)
    }

    fn lane(&self, _request: &Request, left: Duration) -> Lane {
        let why = || format!("provider `{}` has no batches", self.name);
        Lane::Usual { why: (left >= WINDOW).then(why) }
    }

    async fn generate(
        &self,
        request: &Request,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure> {
        let Ended { code, how, answer, complaint } = match self.tape.is_off() {
            true => self.run(request, context).await?,
            false => self.taped(request, context).await?,
        };
        let (answer, complaint) = (self.redactor.bytes(answer), self.redactor.text(&complaint));
        complaint.lines().for_each(|line| (context.log)(line));
        let raw = context.intake.keep(answer.clone(), "reply").await?;
        let (text, mut usage) = self.read(request, &answer);
        usage.raw = Some(raw.to_value());
        let cut = usage.finish.as_deref() == Some("length");
        (context.note)(usage);
        if code != Some(0) {
            return Err(self.refused(code, &how, &complaint));
        }
        if cut {
            let message = format!("provider `{}` broke its answer off", self.name);
            return Err(Failure::new(ErrorClass::Truncated, message));
        }
        Ok(Answer { text })
    }

    async fn models(&self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    async fn health(&self) -> Result<(), Failure> {
        Ok(())
    }
}

impl Program {
    /// Answers from a cassette, or runs the program and records that.
    async fn taped(&self, request: &Request, context: &CallContext<'_>) -> Result<Ended, Failure> {
        let asked = self.asked(request, context).await?;
        match self.tape.answer(&asked) {
            Some(Ok(Played { heard, failure: None })) => return Ok(Ended::heard(heard)),
            Some(Ok(Played { failure: Some(failure), .. }) | Err(failure)) => return Err(failure),
            None => {}
        }
        let take = self.tape.take(asked, &self.redactor, &context.cancel);
        let ended = self.run(request, context).await;
        match (&ended, take) {
            (Ok(ended), Some(take)) => match ended.code {
                Some(code) => take.whole(ended.recorded(code)),
                None => take.broke(&self.refused(None, &ended.how, &ended.complaint)),
            },
            (Err(failure), Some(take)) => take.broke(failure),
            (_, None) => {}
        }
        ended
    }

    /// Runs the program to its end.
    async fn run(&self, request: &Request, context: &CallContext<'_>) -> Result<Ended, Failure> {
        let file = |artifact: &ArtifactRef| {
            let path = context.intake.artifacts().local_path(&artifact.hash)?;
            Ok(json!({ "path": path, "media_type": artifact.media_type }))
        };
        let input = request_json(request, &file)?.to_string();
        let mut child = self.spawn()?;
        tokio::select! {
            done = exchange(&mut child, input) => done.map_err(|error| self.broken(&error)),
            // The child is killed when it is dropped.
            () = context.cancel.cancelled() => {
                Err(Failure::new(ErrorClass::Cancelled, "the call was stopped"))
            }
        }
    }

    /// The request as a cassette knows it.
    async fn asked(&self, request: &Request, context: &CallContext<'_>) -> Result<Asked, Failure> {
        let mut hashed = BTreeMap::new();
        for file in
            request.messages.iter().flat_map(|message| &message.parts).filter_map(Part::artifact)
        {
            let path = context.intake.artifacts().local_path(&file.hash)?;
            let part = FilePart::whole(Source::Path(path), file.size);
            let mut value = artifact(&part).await.map_err(|error| {
                Failure::new(ErrorClass::Io, format!("cannot read `{}`: {error}", file.name))
            })?;
            value["media_type"] = json!(file.media_type);
            hashed.insert(file.hash, value);
        }
        let file =
            |artifact: &ArtifactRef| Ok(hashed.get(&artifact.hash).cloned().unwrap_or_default());
        let body = request_json(request, &file)?;
        Ok(Asked::of_program(&self.name, &request.model, body, &self.redactor))
    }

    fn spawn(&self) -> Result<Child, Failure> {
        let Some((program, arguments)) = self.command.split_first() else {
            let message = format!("provider `{}` has no `command`", self.name);
            return Err(Failure::input(message));
        };
        Command::new(program)
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                let message = format!(
                    "provider `{}`: cannot start `{}`: {error}",
                    self.name,
                    self.redactor.text(program)
                );
                Failure::new(ErrorClass::NotFound, message)
                    .with_hint("its path is relative to the workflow's folder")
            })
    }

    fn broken(&self, error: &std::io::Error) -> Failure {
        if error.kind() == std::io::ErrorKind::FileTooLarge {
            let message =
                format!("provider `{}` answered more than {LARGEST_ANSWER} bytes", self.name);
            return Failure::new(ErrorClass::Limit, message);
        }
        let message = format!("provider `{}` broke off: {error}", self.name);
        Failure::new(ErrorClass::Connection, message)
    }

    /// A program says by its exit code whether another try may end otherwise: 75
    /// (`EX_TEMPFAIL`) is for what passes, anything else for what does not.
    fn refused(&self, code: Option<i32>, how: &str, complaint: &str) -> Failure {
        let last = complaint.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason");
        let message = format!("provider `{}` failed ({how}): {last}", self.name);
        let class = match code {
            Some(75) => ErrorClass::Overloaded,
            Some(_) => ErrorClass::BadRequest,
            None => ErrorClass::Server,
        };
        Failure::new(class, message)
    }

    fn read(&self, request: &Request, answer: &[u8]) -> (String, CallUsage) {
        let usage = CallUsage {
            provider: self.name.clone(),
            model: request.model.clone(),
            ..CallUsage::default()
        };
        let Ok(reply) = serde_json::from_slice::<Reply>(answer) else {
            let cost = self.price;
            let text = String::from_utf8_lossy(answer).trim().to_owned();
            return (text, CallUsage { cost, ..usage });
        };
        let cost = reply.cost.filter(|cost| cost.is_finite() && *cost >= 0.0);
        let usage = CallUsage {
            input_tokens: reply.input_tokens,
            output_tokens: reply.output_tokens,
            cost: cost.map(|usd| Money::from_micros((usd * 1e6).round() as i64)),
            finish: reply.finish,
            request_id: reply.request_id,
            ..usage
        };
        (reply.text, usage)
    }
}

impl Ended {
    fn new(status: ExitStatus, answer: Vec<u8>, complaint: String) -> Self {
        Self { code: status.code(), how: status.to_string(), answer, complaint }
    }

    /// What a program came to that is not run.
    fn heard(heard: Heard) -> Self {
        Self {
            code: Some(i32::from(heard.status)),
            how: format!("exit status: {}", heard.status),
            answer: heard.pieces.concat(),
            complaint: heard.stderr.unwrap_or_default(),
        }
    }

    fn recorded(&self, code: i32) -> Heard {
        Heard {
            status: u16::try_from(code).unwrap_or(u16::MAX),
            pieces: vec![self.answer.clone().into()],
            stderr: Some(self.complaint.clone()),
            ..Heard::default()
        }
    }
}

/// How a file stands in a request.
pub(crate) type File<'f> = &'f (dyn Fn(&ArtifactRef) -> Result<Value, Failure> + Send + Sync);

pub(crate) fn request_json(request: &Request, file: File<'_>) -> Result<Value, Failure> {
    let messages = request.messages.iter().map(|message| message_json(message, file));
    let messages = messages.collect::<Result<Vec<_>, _>>()?;
    let mut object = serde_json::to_value(request)
        .map_err(|error| Failure::internal(format!("the request is no JSON: {error}")))?;
    object["messages"] = Value::Array(messages);
    Ok(object)
}

fn message_json(message: &Message, kept: File<'_>) -> Result<Value, Failure> {
    let parts = message.parts.iter().map(|part| {
        let (kind, media) = match part {
            Part::Text(text) => return Ok(json!({ "text": text })),
            Part::Image(media) => ("image", media),
            Part::Document(media) => ("document", media),
            Part::Video(media) => ("video", media),
            Part::Audio(media) => ("audio", media),
        };
        let mut part: Map<String, Value> = media.options.clone().into_iter().collect();
        let file = match &media.file {
            MediaFile::Url(url) => json!({ "url": url }),
            MediaFile::Uploaded { id, media_type } => {
                json!({ "file_id": id, "media_type": media_type })
            }
            MediaFile::Artifact(artifact) => kept(artifact)?,
        };
        part.insert(kind.to_owned(), file);
        Ok(Value::Object(part))
    });
    let parts = parts.collect::<Result<Vec<Value>, Failure>>()?;
    Ok(json!({ "role": message.role, "content": parts }))
}

/// Writes the request and reads what comes back, all at once so that no pipe fills up.
///
/// An answer of more than [`LARGEST_ANSWER`] bytes is an error of kind `FileTooLarge`.
async fn exchange(child: &mut Child, input: String) -> std::io::Result<Ended> {
    let (mut stdin, stdout, stderr) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async move {
        if let Some(stdin) = &mut stdin {
            // A program that does not read its input answers all the same.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        Ok::<(), std::io::Error>(())
    };
    let (mut answer, mut complaint) = (Vec::new(), Vec::new());
    let read_answer = async {
        if let Some(stdout) = stdout {
            let mut kept = stdout.take(LARGEST_ANSWER + 1);
            kept.read_to_end(&mut answer).await?;
        }
        // Whoever wrote so much may never end.
        if answer.len() as u64 > LARGEST_ANSWER {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        Ok(())
    };
    let read_complaint = async {
        if let Some(mut stderr) = stderr {
            let mut kept = (&mut stderr).take(LARGEST_COMPLAINT);
            kept.read_to_end(&mut complaint).await?;
            // A pipe that nobody empties would stop the program.
            tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
        }
        Ok(())
    };
    tokio::try_join!(write, read_answer, read_complaint)?;
    let status = child.wait().await?;
    Ok(Ended::new(status, answer, String::from_utf8_lossy(&complaint).into_owned()))
}
