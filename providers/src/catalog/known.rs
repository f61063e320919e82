//! What is said of a model somewhere: in the table, or in the settings of a provider.
//!
//! Whatever is not said stays as it was known before, so that a user's word on one fact
//! leaves the others.

use serde::Deserialize;

use super::price::{Above, Price, Rates};
use super::{Day, ImageTokens, MediaTypes, ModelFacts, OfMany, Retired};

/// What is said of a model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Known {
    pub(super) images: Option<bool>,
    pub(super) documents: Option<bool>,
    pub(super) video: Option<bool>,
    pub(super) audio: Option<bool>,
    pub(super) schema: Option<bool>,
    pub(super) temperature: Option<bool>,
    pub(super) reasoning: Option<bool>,
    pub(super) price: Option<WrittenPrice>,
    pub(super) later: Option<Later>,
    pub(super) context: Option<u64>,
    pub(super) max_output: Option<u64>,
    pub(super) image_side: Option<u32>,
    pub(super) image_bytes: Option<u64>,
    pub(super) image_types: MediaTypes,
    pub(super) image_side_of_many: Option<OfMany>,
    pub(super) max_images: Option<u32>,
    pub(super) document_types: MediaTypes,
    pub(super) document_pages: Option<u32>,
    pub(super) document_bytes: Option<u64>,
    pub(super) request_bytes: Option<u64>,
    pub(super) image_tokens: Option<ImageTokens>,
    pub(super) inline_bytes: Option<u64>,
    pub(super) retired: Option<Retired>,
}

/// A price as it is written, in micro-USD a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPrice {
    pub(super) input: u64,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) output: u64,
    pub(super) above: Option<WrittenAbove>,
}

/// The price of a request that reads more than `tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenAbove {
    tokens: u64,
    input: u64,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    output: u64,
}

/// A price that holds from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Later {
    from: Day,
    price: WrittenPrice,
}

impl Known {
    /// Puts what is said in the place of what was known.
    pub(super) fn tell(&self, facts: &mut ModelFacts, today: Day) {
        fn set<T: Copy>(fact: &mut T, said: Option<T>) {
            if let Some(said) = said {
                *fact = said;
            }
        }
        let capabilities = &mut facts.capabilities;
        set(&mut capabilities.images, self.images);
        set(&mut capabilities.documents, self.documents);
        set(&mut capabilities.video, self.video);
        set(&mut capabilities.audio, self.audio);
        set(&mut capabilities.schema, self.schema);
        set(&mut facts.temperature, self.temperature);
        set(&mut facts.reasoning, self.reasoning);
        set(&mut facts.image_tokens, self.image_tokens);
        facts.context = self.context.or(facts.context);
        facts.max_output = self.max_output.or(facts.max_output);
        facts.images.side = self.image_side.or(facts.images.side);
        facts.images.bytes = self.image_bytes.or(facts.images.bytes);
        facts.inline_bytes = self.inline_bytes.or(facts.inline_bytes);
        facts.images.most = self.max_images.or(facts.images.most);
        facts.images.of_many = self.image_side_of_many.or(facts.images.of_many);
        facts.documents.pages = self.document_pages.or(facts.documents.pages);
        facts.documents.bytes = self.document_bytes.or(facts.documents.bytes);
        facts.request_bytes = self.request_bytes.or(facts.request_bytes);
        for (fact, said) in [
            (&mut facts.images.types, &self.image_types),
            (&mut facts.documents.types, &self.document_types),
        ] {
            if said.is_said() {
                fact.clone_from(said);
            }
        }
        let later = self.later.filter(|later| later.from <= today).map(|later| later.price);
        facts.price = later.or(self.price).map(Price::from).or(facts.price);
        if self.retired.is_some() {
            facts.retired.clone_from(&self.retired);
        }
    }
}

impl From<WrittenPrice> for Price {
    fn from(written: WrittenPrice) -> Self {
        let WrittenPrice { input, cache_read, cache_write, output, above } = written;
        let above = above.map(|above| Above {
            tokens: above.tokens,
            rates: rates(above.input, above.cache_read, above.cache_write, above.output),
        });
        Self { usual: rates(input, cache_read, cache_write, output), above }
    }
}

/// Rates; what goes through a cache costs what the rest does, where nothing else is said.
fn rates(input: u64, read: Option<u64>, write: Option<u64>, output: u64) -> Rates {
    let (cache_read, cache_write) = (read.unwrap_or(input), write.unwrap_or(input));
    Rates { input, cache_read, cache_write, output }
}
