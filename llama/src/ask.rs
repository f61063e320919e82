//! From a request to the question that a model's process is asked.

use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{CallContext, MediaFile, Part, Request};

use crate::model::LocalModel;
use crate::protocol::{Ask, Piece, Sampling, Turn};
use crate::settings::Choosing;

/// A question that has no number yet.
pub(crate) struct Question(Ask);

impl Question {
    /// The question under this number.
    pub(crate) fn numbered(self, id: u64) -> Ask {
        Ask { id, ..self.0 }
    }
}

/// The question that a request is. `random` is a seed for one that names none.
pub(crate) fn of(
    request: &Request,
    model: &LocalModel,
    choosing: Choosing,
    random: fn() -> u32,
    context: &CallContext<'_>,
) -> Result<Question, Failure> {
    let turns = request.messages.iter().map(|message| {
        let parts = message.parts.iter().map(|part| piece(part, model, context));
        Ok(Turn { role: message.role, parts: parts.collect::<Result<_, Failure>>()? })
    });
    Ok(Question(Ask {
        id: 0,
        system: request.system.clone(),
        turns: turns.collect::<Result<_, Failure>>()?,
        schema: request.schema.clone(),
        sampling: sampling(request, choosing, random)?,
        max_tokens: request.max_tokens.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
        stop: request.stop.clone(),
        anew: request.seed.is_some(),
    }))
}

fn piece(part: &Part, model: &LocalModel, context: &CallContext<'_>) -> Result<Piece, Failure> {
    let refused = |what: &str, hint: &str| {
        let message = format!("model `{}` takes no {what}", model.name);
        Err(Failure::new(ErrorClass::BadRequest, message).with_hint(hint))
    };
    match part {
        Part::Text(text) => Ok(Piece::Text(text.clone())),
        Part::Image(media) => match &media.file {
            MediaFile::Artifact(file) => Ok(Piece::Image {
                name: file.name.clone(),
                path: context.intake.artifacts().local_path(&file.hash)?,
                hash: file.hash.to_string(),
            }),
            MediaFile::Url(url) => refused(
                &format!("image by its address, as `{url}` is"),
                "fetch it first: local models see files only",
            ),
            MediaFile::Uploaded { id, .. } => {
                refused(&format!("file of a service, as `{id}` is"), "give the file itself")
            }
        },
        Part::Document(_) => refused(
            "documents",
            "`document.pages` makes images of its pages, and `images` takes those",
        ),
        Part::Video(_) => refused("video", "ask about frames of it as `images`"),
        Part::Audio(_) => refused("sound", "ask a model that listens"),
    }
}

fn sampling(
    request: &Request,
    choosing: Choosing,
    random: fn() -> u32,
) -> Result<Sampling, Failure> {
    let temperature = request.temperature.unwrap_or(0.0) as f32;
    let seed = match request.seed {
        None => random(),
        Some(seed) => u32::try_from(seed).map_err(|_| {
            Failure::input(format!("`seed: {seed}` is not a whole number from 0 to {}", u32::MAX))
        })?,
    };
    Ok(Sampling {
        temperature,
        top_p: request.top_p.map_or(0.95, |p| p as f32),
        top_k: choosing.top_k.unwrap_or(40),
        min_p: choosing.min_p.unwrap_or(0.05),
        repeat_penalty: choosing.repeat_penalty.unwrap_or(1.0),
        repeat_last: choosing.repeat_last.unwrap_or(64),
        seed,
    })
}
