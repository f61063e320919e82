//! From a question to what is evaluated for it: tokens and images in their order.
//!
//! Control tokens count only where the chat template writes them. In what was asked or read
//! from a file their texts are cut in two before they are tokenized, so that a document cannot
//! speak as if it were the person or the model.

use std::rc::Rc;

use flow_core::error::{ErrorClass, Failure};
use llama_cpp_2::mtmd::MtmdContext;
use llama_cpp_2::token::LlamaToken;

use super::images::{Images, Prepared};
use super::load::Model;
use super::template::Said;
use crate::protocol::{Ask, Piece};

/// Stands in the text of a conversation for an image.
pub(super) const MARKER: &str = "<__flow_image__>";

/// Stands where a text is cut in two; no text holds it.
const CUT: char = '\u{fdd0}';

/// A unit of a prompt.
#[derive(Clone)]
pub(super) enum Unit {
    Token(LlamaToken),
    Image(Rc<Prepared>),
}

/// A unit that was evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Token(i32),
    Image { hash: Rc<str>, tokens: u32, positions: u32 },
}

impl Unit {
    pub(super) fn mark(&self) -> Mark {
        match self {
            Self::Token(token) => Mark::Token(token.0),
            Self::Image(image) => Mark::Image {
                hash: Rc::clone(&image.hash),
                tokens: image.tokens,
                positions: image.positions,
            },
        }
    }

    /// Cells that it takes.
    pub(super) fn tokens(&self) -> u32 {
        match self {
            Self::Token(_) => 1,
            Self::Image(image) => image.tokens,
        }
    }

    /// Whether it is what was evaluated there.
    pub(super) fn is(&self, mark: &Mark) -> bool {
        match (self, mark) {
            (Self::Token(token), Mark::Token(known)) => token.0 == *known,
            (Self::Image(image), Mark::Image { hash, .. }) => image.hash == *hash,
            (Self::Token(_), Mark::Image { .. }) | (Self::Image(_), Mark::Token(_)) => false,
        }
    }
}

impl Mark {
    pub(super) fn tokens(&self) -> u32 {
        match self {
            Self::Token(_) => 1,
            Self::Image { tokens, .. } => *tokens,
        }
    }

    pub(super) fn positions(&self) -> u32 {
        match self {
            Self::Token(_) => 1,
            Self::Image { positions, .. } => *positions,
        }
    }
}

/// The units of a question. `also` is more system text.
pub(super) fn units(
    ask: &Ask,
    also: Option<&str>,
    model: &Model,
    eyes: Option<&MtmdContext>,
    images: &mut Images,
) -> Result<Vec<Unit>, Failure> {
    let mut seen = Vec::new();
    let mut turns: Vec<Said> = Vec::new();
    for turn in &ask.turns {
        let mut text = String::new();
        for part in &turn.parts {
            match part {
                Piece::Text(part) => {
                    // A marker is a word of its own; two texts are two paragraphs.
                    if !text.is_empty() && !text.ends_with(MARKER) {
                        text.push('\n');
                    }
                    text.push_str(&harmless(part, model));
                }
                Piece::Image { name, path, hash } => {
                    let eyes = eyes.ok_or_else(|| blind(model))?;
                    seen.push(images.prepared(eyes, name, path, hash)?);
                    text.push_str(MARKER);
                }
            }
        }
        turns.push((turn.role, text));
    }
    let system = match (&ask.system, also) {
        (None, None) => None,
        (Some(text), None) => Some(harmless(text, model)),
        (None, Some(also)) => Some(harmless(also, model)),
        (Some(text), Some(also)) => Some(harmless(&format!("{text}\n\n{also}"), model)),
    };
    let text = model.template.apply(&model.model, system.as_deref(), &turns)?;
    Ok(tokenized(&text, model, seen))
}

/// A text whose control tokens are cut in two.
fn harmless(text: &str, model: &Model) -> String {
    let text = text.replace(CUT, "");
    let mut cut = String::with_capacity(text.len());
    let mut from = 0;
    for found in model.special.find_iter(&text) {
        let first = text[found.start()..].chars().next().map_or(0, char::len_utf8);
        cut.push_str(&text[from..found.start() + first]);
        cut.push(CUT);
        from = found.start() + first;
    }
    cut.push_str(&text[from..]);
    cut
}

fn tokenized(text: &str, model: &Model, images: Vec<Rc<Prepared>>) -> Vec<Unit> {
    let vocab = model.model.vocab();
    let mut units = Vec::new();
    if vocab.should_add_bos() {
        units.push(Unit::Token(vocab.bos()));
    }
    let mut images = images.into_iter();
    for (at, part) in text.split(MARKER).enumerate() {
        // A template may leave earlier turns out, never add one.
        if at > 0 {
            units.extend(images.next().map(Unit::Image));
        }
        for piece in part.split(CUT).filter(|piece| !piece.is_empty()) {
            let tokens = vocab.tokenize(piece.as_bytes(), false, true);
            units.extend(tokens.into_iter().map(Unit::Token));
        }
    }
    units
}

fn blind(model: &Model) -> Failure {
    Failure::new(ErrorClass::BadRequest, format!("model `{}` takes no images", model.name))
}
