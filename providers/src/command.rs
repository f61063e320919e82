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

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use async_trait::async_trait;
use flow_core::action::{CallUsage, Quote};
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{
    Answer, CallContext, Capabilities, MediaFile, Message, Part, Provider, Request,
};
use flow_core::units::Money;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::redact::Redactor;

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

    async fn generate(
        &self,
        request: &Request,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure> {
        let input = request_json(request, context)?.to_string();
        let mut child = self.spawn()?;
        let (status, answer, complaint) = tokio::select! {
            done = exchange(&mut child, input) => done.map_err(|error| self.broken(&error))?,
            () = context.cancel.cancelled() => {
                // The child is killed when it is dropped.
                return Err(Failure::new(ErrorClass::Cancelled, "the call was stopped"));
            }
        };
        let (answer, complaint) = (self.redactor.bytes(answer), self.redactor.text(&complaint));
        complaint.lines().for_each(|line| (context.log)(line));
        let raw = context.intake.keep(answer.clone(), "reply").await?;
        let (text, mut usage) = self.read(request, &answer);
        usage.raw = Some(raw.to_value());
        (context.note)(usage);
        if !status.success() {
            return Err(self.refused(status, &complaint));
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
    fn refused(&self, status: ExitStatus, complaint: &str) -> Failure {
        let last = complaint.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason");
        let message = format!("provider `{}` failed ({status}): {last}", self.name);
        let class = match status.code() {
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

fn request_json(request: &Request, context: &CallContext<'_>) -> Result<Value, Failure> {
    let messages = request.messages.iter().map(|message| message_json(message, context));
    let messages = messages.collect::<Result<Vec<_>, _>>()?;
    let mut object = serde_json::to_value(request)
        .map_err(|error| Failure::internal(format!("the request is no JSON: {error}")))?;
    object["messages"] = Value::Array(messages);
    Ok(object)
}

fn message_json(message: &Message, context: &CallContext<'_>) -> Result<Value, Failure> {
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
            MediaFile::Artifact(artifact) => {
                let path = context.intake.artifacts().local_path(&artifact.hash)?;
                json!({ "path": path, "media_type": artifact.media_type })
            }
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
async fn exchange(
    child: &mut Child,
    input: String,
) -> std::io::Result<(ExitStatus, Vec<u8>, String)> {
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
    Ok((status, answer, String::from_utf8_lossy(&complaint).into_owned()))
}
