//! The seam to those who serve model calls.
//!
//! A [`Provider`] maps one [`Request`] to one call and its answer to one [`Answer`]. It does
//! not retry, does not count money and does not decide what follows a failure: it classifies
//! what went wrong and leaves the rest to the engine. A provider that cannot do something
//! says so by [`Capabilities`], and the request is refused before it is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::action::{Admission, CallUsage, Quote};
use crate::artifact::ArtifactRef;
use crate::batches::BatchAccess;
use crate::error::{ErrorClass, Failure};
use crate::intake::Intake;
use crate::plugin::Caller;
use crate::uploads::UploadLedger;

/// A backend that serves model calls.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What a model can take and do. Known from data, never by a call.
    fn capabilities(&self, model: &str) -> Capabilities;

    /// What would let a model take a part that its capabilities exclude, where something would.
    fn remedy(&self, _model: &str, _part: &Part) -> Option<String> {
        None
    }

    /// Whether a request surely fits what its model reads at once, with room for the answer; none
    /// where nobody knows. Never by a call.
    fn fits(&self, _request: &Request) -> Option<bool> {
        None
    }

    /// What a request may cost at most. Never by a call.
    fn quote(&self, request: &Request) -> Quote;

    /// Which way a request goes that can wait for so long. Never by a call.
    fn lane(&self, _request: &Request, _left: Duration) -> Lane {
        Lane::Usual { why: None }
    }

    /// Waits until a request may be sent, where only so many may; what it returns is held until
    /// the call has ended. Of those that wait the one of the lowest `order` goes first.
    ///
    /// Dropping the future gives the turn up.
    async fn admit(&self, _request: &Request, _order: u64) -> Result<Admission, Failure> {
        Ok(Admission::free())
    }

    /// Answers a request. Streamed text goes to the context's sink as it comes.
    ///
    /// Ends soon after the context's token is cancelled; dropping the future ends the call.
    async fn generate(
        &self,
        request: &Request,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure>;

    /// Turns parts into vectors; a part may yield several.
    ///
    /// Dropping the future ends the call.
    async fn embed(
        &self,
        model: &str,
        _parts: &[Part],
        _context: &CallContext<'_>,
    ) -> Result<Vec<Vec<Vec<f32>>>, Failure> {
        Err(cannot(model, "make embeddings"))
    }

    /// The probability of each label as the answer to a request, where the model yields it.
    ///
    /// Dropping the future ends the call.
    async fn score(
        &self,
        request: &Request,
        _labels: &[String],
        _context: &CallContext<'_>,
    ) -> Result<Vec<f64>, Failure> {
        Err(cannot(&request.model, "tell probabilities"))
    }

    /// The models it serves now.
    ///
    /// Dropping the future ends the call.
    async fn models(&self) -> Result<Vec<String>, Failure>;

    /// Whether it can be reached, and if not, why.
    ///
    /// Dropping the future ends the call.
    async fn health(&self) -> Result<(), Failure>;
}

fn cannot(model: &str, what: &str) -> Failure {
    Failure::new(ErrorClass::BadRequest, format!("model `{model}` cannot {what}"))
}

/// What a model can take and do.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them go together"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Takes images.
    pub images: bool,
    /// Takes PDF documents as they are.
    pub documents: bool,
    /// Takes video.
    pub video: bool,
    /// Takes audio.
    pub audio: bool,
    /// Holds its answer to a JSON Schema by itself.
    pub schema: bool,
}

/// A request to a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The model's name at the provider.
    pub model: String,
    /// System text.
    pub system: Option<String>,
    /// The conversation, the oldest first.
    pub messages: Vec<Message>,
    /// JSON Schema of the answer.
    pub schema: Option<Value>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// The most tokens to write.
    pub max_tokens: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Seed of the sampling.
    pub seed: Option<i64>,
    /// How closely images are looked at, in the provider's words.
    pub detail: Option<String>,
    /// Fields of the provider's own, passed through.
    pub options: BTreeMap<String, Value>,
    /// Whether it goes by a batch, as [`Provider::lane`] said that it may. No part of what is
    /// asked.
    #[serde(skip)]
    pub by_batch: bool,
}

/// Which way a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lane {
    /// It is asked by itself, and answered as soon as can be.
    Usual {
        /// Why it does not go by a batch though it could wait, where that is worth a word.
        why: Option<String>,
    },
    /// It is gathered with others, and answered within hours at a lower price.
    Batch,
}

/// A turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text(String),
    /// An image.
    Image(Media),
    /// A document.
    Document(Media),
    /// A video.
    Video(Media),
    /// A sound.
    Audio(Media),
}

impl Part {
    /// Its file; none of a text.
    pub fn media(&self) -> Option<&Media> {
        match self {
            Self::Text(_) => None,
            Self::Image(media)
            | Self::Document(media)
            | Self::Video(media)
            | Self::Audio(media) => Some(media),
        }
    }

    /// Its file in the artifact store, if it is there.
    pub fn artifact(&self) -> Option<&ArtifactRef> {
        match &self.media()?.file {
            MediaFile::Artifact(artifact) => Some(artifact),
            MediaFile::Url(_) | MediaFile::Uploaded { .. } => None,
        }
    }
}

/// A file of a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// Where it is.
    pub file: MediaFile,
    /// Fields of the part that are the provider's own, e.g. `detail`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Value>,
}

/// Where a file of a part is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaFile {
    /// In the artifact store.
    Artifact(ArtifactRef),
    /// At an address that the provider may fetch.
    Url(String),
    /// Uploaded to the provider before.
    Uploaded {
        /// Its id or its address there, as the provider names it.
        id: String,
        /// Its media type, where that was said.
        media_type: Option<String>,
    },
}

/// What a call may use.
pub struct CallContext<'c> {
    /// Reads the files of the request, and keeps the raw reply.
    pub intake: &'c Intake,
    /// Knows what was uploaded to services, and keeps what is.
    pub uploads: &'c dyn UploadLedger,
    /// The turn that the call was given; where nobody waited for one, the provider does.
    pub turn: &'c Admission,
    /// Where the call stands in the order in which steps became ready.
    pub order: u64,
    /// Cancelled when the call must end.
    pub cancel: CancellationToken,
    /// What a call that goes by a batch may do; none where it must not.
    pub batches: Option<&'c BatchAccess>,
    /// Takes text as it comes.
    pub sink: &'c (dyn Fn(&str) + Send + Sync),
    /// Takes lines for the step's log.
    pub log: &'c (dyn Fn(&str) + Send + Sync),
    /// Who works for the run, as plugins are told; none where there is no run.
    pub caller: Option<&'c Caller>,
    /// Notes what the call took, as soon as it is known, whether it succeeds or fails.
    pub note: &'c (dyn Fn(CallUsage) + Send + Sync),
}

/// A model's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The text.
    pub text: String,
}
