//! What a call may cost at most, before it is sent.
//!
//! A bound and no measurement: nothing is counted by a tokeniser, and no file is opened.
//! Text is taken for a token every three bytes, which is more than there are in prose of any
//! language (English has one every four, Chinese one a character of three) and in numbers;
//! only strings of punctuation have more. Images go by the model's own rule. Documents,
//! videos and sounds go by their size, on the safe side of what files of their kind hold. No
//! request is taken for more than the model reads at all.

use flow_core::action::Quote;
use flow_core::provider::{Media, MediaFile, Part, Request};
use serde_json::Value;

use super::{ImageTokens, ModelFacts, Price};
use crate::documents::PageSelection;
use crate::limits::Amount;

/// Bytes of text that are at least a token.
const TEXT: u64 = 3;

/// Tokens that frame a message or a part.
const FRAME: u64 = 16;

/// Bytes of a document that are at least a token of its text: text within is compressed.
const DOCUMENT: u64 = 2;

/// Bytes of a document that are at least a page, which many services also look at as an image.
const PAGE: u64 = 16 << 10;

/// Bytes of a PDF or a TIFF that are at least a page which is sent as an image.
const DRAWN_PAGE: u64 = 2 << 10;

/// Bytes of a video or a sound that are at least a token: a second is some 300 tokens of a
/// video of at least 10 KB, or some 32 of a sound of at least 1 KB.
const RECORDING: u64 = 32;

/// Tokens of an ordinary answer, and of a question of which nothing is known.
const ORDINARY: u64 = 1_000;

/// What a request may cost at most.
pub(crate) fn quote(request: &Request, facts: &ModelFacts) -> Quote {
    let Some(price) = facts.price else {
        return Quote::Unknown;
    };
    if price == Price::FREE {
        return Quote::Free;
    }
    let output = limit_of(request).or(facts.max_output).or(facts.context);
    let cost = match (input_tokens(request, facts), output) {
        (Some(input), Some(output)) => {
            price.at_most(input, output.saturating_mul(answers(request)))
        }
        (None, _) | (_, None) => None,
    };
    cost.map_or(Quote::Unknown, Quote::AtMost)
}

/// The tokens that a request is counted as until its answer says what it took: all that it may
/// read, and what it lets the model write, or an ordinary answer where it does not say.
pub(crate) fn amount(request: &Request, facts: &ModelFacts) -> Amount {
    let ordinary = ORDINARY.min(facts.max_output.unwrap_or(ORDINARY));
    let output = limit_of(request).unwrap_or(ordinary).saturating_mul(answers(request));
    Amount { input: input_tokens(request, facts).unwrap_or(ORDINARY), output }
}

/// Whether a request surely fits what the model reads at once, with room for an answer as long as
/// it may be, or of a quarter of that; none where nobody knows how much the model reads.
pub(crate) fn fits(request: &Request, facts: &ModelFacts) -> Option<bool> {
    let context = facts.context?;
    let answer = limit_of(request).or(facts.max_output).unwrap_or(context / 4).min(context / 2);
    let endless = ModelFacts { context: None, ..facts.clone() };
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let images = parts.filter(|part| matches!(part, Part::Image(_))).count();
    let most = facts.images.most.is_none_or(|most| images as u64 <= u64::from(most));
    Some(most && input_tokens(request, &endless)?.saturating_add(answer) <= context)
}

/// The most tokens that the request lets the model write. Fields of the provider's own win, as
/// they do on the wire.
fn limit_of(request: &Request) -> Option<u64> {
    let own = |key: &str| request.options.get(key).and_then(Value::as_u64);
    own("max_completion_tokens")
        .or_else(|| own("max_output_tokens"))
        .or_else(|| own("max_tokens"))
        .or_else(|| request.options.get("generationConfig")?["maxOutputTokens"].as_u64())
        .or(request.max_tokens)
}

/// How many answers are asked for at once.
fn answers(request: &Request) -> u64 {
    request.options.get("n").and_then(Value::as_u64).unwrap_or(1).max(1)
}

/// The most tokens that are read; none where a file is somewhere else and nobody knows how
/// much the model reads.
fn input_tokens(request: &Request, facts: &ModelFacts) -> Option<u64> {
    let schema = request.schema.as_ref().map_or(0, |schema| schema.to_string().len());
    let system = request.system.as_ref().map_or(0, String::len);
    let mut sum = Some(text(system) + text(schema) + 2 * FRAME);
    for message in &request.messages {
        for part in &message.parts {
            let tokens = part_tokens(part, request, facts);
            sum = sum.zip(tokens).map(|(sum, tokens)| sum.saturating_add(tokens + FRAME));
        }
    }
    match (sum, facts.context) {
        (Some(sum), Some(context)) => Some(sum.min(context)),
        (sum, context) => sum.or(context),
    }
}

fn part_tokens(part: &Part, request: &Request, facts: &ModelFacts) -> Option<u64> {
    let size = |media: &Media| match &media.file {
        MediaFile::Artifact(artifact) => Some(artifact.size),
        MediaFile::Url(_) | MediaFile::Uploaded { .. } => None,
    };
    match part {
        Part::Text(words) => Some(text(words.len())),
        Part::Image(media) => {
            let own = media.options.get("detail").and_then(Value::as_str);
            let low = own.or(request.detail.as_deref()) == Some("low");
            let (pixels, tiff) = match &media.file {
                MediaFile::Artifact(image) => {
                    let pixels = image.width.zip(image.height);
                    (pixels.map(|size| facts.images.fitted(size)), image.media_type == "image/tiff")
                }
                MediaFile::Url(_) | MediaFile::Uploaded { .. } => (None, false),
            };
            let tokens = match facts.image_tokens {
                ImageTokens::Tiles { base, .. } if low => base,
                rule => rule.of(pixels),
            };
            // Each page of a TIFF is an image.
            let pages = if tiff { image_pages(media, request, facts)? } else { 1 };
            Some(tokens.saturating_mul(pages))
        }
        Part::Document(media) if is_sent_as_images(media, request, facts) => {
            let pages = image_pages(media, request, facts)?;
            Some(pages.saturating_mul(facts.image_tokens.of(None)))
        }
        Part::Document(media) => {
            let size = size(media)?;
            let pages = 1 + size / PAGE;
            Some(size / DOCUMENT + pages.saturating_mul(facts.image_tokens.of(None)))
        }
        Part::Video(media) | Part::Audio(media) => Some(size(media)? / RECORDING),
    }
}

/// Whether the pages of a document are sent as images.
fn is_sent_as_images(media: &Media, request: &Request, facts: &ModelFacts) -> bool {
    let MediaFile::Artifact(file) = &media.file else { return false };
    let is_tiff = file.media_type == "image/tiff";
    !facts.capabilities.documents || is_tiff || chosen(media, request).is_some()
}

/// The most pages of a file that are sent as images; none where it is somewhere else.
fn image_pages(media: &Media, request: &Request, facts: &ModelFacts) -> Option<u64> {
    let MediaFile::Artifact(file) = &media.file else { return None };
    // Whoever takes fewer is not asked.
    let most = facts.images.most.map_or(u64::MAX, u64::from);
    let by_size = 1 + file.size / DRAWN_PAGE;
    let chosen = chosen(media, request).and_then(|pages| pages.most());
    Some(chosen.unwrap_or(by_size).min(most))
}

/// The pages of a file that are chosen.
fn chosen(media: &Media, request: &Request) -> Option<PageSelection> {
    let said = media.options.get("pages").or_else(|| request.options.get("pages"))?;
    let text = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
    text.parse().ok()
}

fn text(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(TEXT)
}

impl ImageTokens {
    /// The tokens of an image; the most there may be where its size is unknown.
    fn of(self, size: Option<(u32, u32)>) -> u64 {
        let size = size.filter(|(width, height)| *width > 0 && *height > 0);
        match (self, size) {
            (Self::Most(most) | Self::Area { most, .. }, None) | (Self::Most(most), Some(_)) => {
                most
            }
            // The largest image that is left after scaling is 768 by 2048 pixels.
            (Self::Tiles { base, tile }, None) => base + 8 * tile,
            (Self::Tiles { base, tile }, Some((width, height))) => {
                let (width, height) = (f64::from(width), f64::from(height));
                let fit = (2048.0 / width.max(height)).min(1.0);
                let scale = fit * (768.0 / (width.min(height) * fit)).min(1.0);
                let tiles = |side: f64| (side * scale / 512.0).ceil().max(1.0) as u64;
                base + tile * tiles(width) * tiles(height)
            }
            // A photograph of twelve million pixels.
            (Self::Grid { side, tile }, None) => tile * (12_000_000 / (side * side)).max(1),
            (Self::Grid { side, tile }, Some((width, height))) => {
                let tiles = |length: u32| u64::from(length).div_ceil(side);
                tile * tiles(width) * tiles(height)
            }
            (Self::Area { pixels, most }, Some((width, height))) => {
                (u64::from(width) * u64::from(height)).div_ceil(pixels).min(most)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use flow_core::provider::{Message, Role};
    use flow_core::units::Money;
    use serde_json::json;

    use super::super::price::Rates;
    use super::*;

    fn facts() -> ModelFacts {
        let usual =
            Rates { input: 1_000_000, cache_read: 0, cache_write: 1_000_000, output: 10_000_000 };
        ModelFacts {
            price: Some(Price { usual, above: None }),
            context: Some(10_000),
            max_output: Some(1_000),
            image_tokens: ImageTokens::Tiles { base: 85, tile: 170 },
            ..ModelFacts::default()
        }
    }

    fn at(url: &str) -> Media {
        Media { file: MediaFile::Url(url.into()), options: BTreeMap::new() }
    }

    fn asking(parts: Vec<Part>) -> Request {
        let messages = vec![Message { role: Role::User, parts }];
        Request { messages, max_tokens: Some(100), ..Request::default() }
    }

    fn micros(request: &Request, facts: &ModelFacts) -> i64 {
        match quote(request, facts) {
            Quote::AtMost(money) => Money::micros(money),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_files_and_the_answer_are_set_aside() {
        let request = asking(vec![Part::Text("x".repeat(300))]);
        assert_eq!(micros(&request, &facts()), 100 + 3 * 16 + 1_000);
        let image = Part::Image(at("https://x/y.png"));
        assert_eq!(micros(&asking(vec![image]), &facts()), 85 + 8 * 170 + 3 * 16 + 1_000);
        let options = BTreeMap::from([("detail".to_owned(), json!("low"))]);
        let low = Part::Image(Media { options, ..at("https://x/y.png") });
        assert_eq!(micros(&asking(vec![low]), &facts()), 85 + 3 * 16 + 1_000);
        let document = Part::Document(at("https://x/y.pdf"));
        assert_eq!(micros(&asking(vec![document]), &facts()), 10_000 + 1_000, "all it reads");
    }

    fn file(media_type: &str, size: u64, pixels: Option<(u32, u32)>) -> Media {
        let file = flow_core::artifact::ArtifactRef {
            hash: flow_core::content::ContentHash::of_bytes(b""),
            media_type: media_type.into(),
            name: "a".into(),
            size,
            width: pixels.map(|pixels| pixels.0),
            height: pixels.map(|pixels| pixels.1),
            dpi: None,
            page: None,
        };
        Media { file: MediaFile::Artifact(file), options: BTreeMap::new() }
    }

    #[test]
    fn files_are_counted_as_they_are_sent() {
        let images = super::super::ImageLimits { side: Some(1000), ..Default::default() };
        let image_tokens = ImageTokens::Area { pixels: 1000, most: 100_000 };
        let facts = ModelFacts { images, image_tokens, context: None, ..facts() };
        let tokens = |part: Part, options: Value| {
            let options = serde_json::from_value(options).unwrap();
            let request = Request { options, ..asking(vec![part]) };
            amount(&request, &facts).input - 3 * 16
        };
        let none = || json!({});
        let scaled = file("image/png", 1, Some((4000, 2000)));
        assert_eq!(tokens(Part::Image(scaled), none()), 500, "as it is scaled");
        let tiff = || file("image/tiff", 10 << 10, None);
        assert_eq!(tokens(Part::Image(tiff()), none()), 600_000, "six pages at most");
        assert_eq!(tokens(Part::Document(tiff()), json!({ "pages": "1-2" })), 200_000);
        let pdf = || file("application/pdf", 10 << 10, None);
        assert_eq!(tokens(Part::Document(pdf()), json!({ "pages": 3 })), 100_000);
        assert_eq!(tokens(Part::Document(pdf()), none()), 600_000, "it takes no documents");
    }

    #[test]
    fn a_request_is_counted_as_what_it_may_read_and_is_likely_to_write() {
        let request = asking(vec![Part::Text("x".repeat(300))]);
        let counted = Amount { input: 100 + 3 * 16, output: 100 };
        assert_eq!(amount(&request, &facts()), counted);
        let open = Request { max_tokens: None, ..request };
        assert_eq!(amount(&open, &facts()), Amount { output: 1_000, ..counted });
    }

    #[test]
    fn the_limit_of_tokens_is_the_one_that_is_sent() {
        let of = |max_tokens, options: Value| {
            let options: BTreeMap<String, Value> = serde_json::from_value(options).unwrap();
            micros(&Request { max_tokens, options, ..Request::default() }, &facts())
        };
        let frame = 2 * 16;
        assert_eq!(of(None, json!({})), frame + 10_000, "what the model writes at most");
        assert_eq!(of(Some(10), json!({})), frame + 100);
        assert_eq!(of(Some(10), json!({ "max_completion_tokens": 20 })), frame + 200);
        assert_eq!(of(Some(10), json!({ "n": 3 })), frame + 300);
        let gemini = json!({ "generationConfig": { "maxOutputTokens": 30 } });
        assert_eq!(of(Some(10), gemini), frame + 300);
    }

    #[test]
    fn what_nobody_knows_is_unknown_and_what_is_free_is_free() {
        let request = asking(vec![Part::Document(at("https://x/y.pdf"))]);
        assert_eq!(quote(&request, &ModelFacts::default()), Quote::Unknown);
        let endless = ModelFacts { context: None, ..facts() };
        assert_eq!(quote(&request, &endless), Quote::Unknown, "nobody knows how long it is");
        let free = ModelFacts { price: Some(Price::FREE), ..facts() };
        assert_eq!(quote(&request, &free), Quote::Free);
    }

    #[test]
    fn images_go_by_the_rule_of_the_model() {
        let tiles = ImageTokens::Tiles { base: 85, tile: 170 };
        // The examples of the service's own page.
        assert_eq!(tiles.of(Some((1024, 1024))), 765);
        assert_eq!(tiles.of(Some((2048, 4096))), 1105);
        assert_eq!(tiles.of(Some((1, 1))), 255);
        let area = ImageTokens::Area { pixels: 750, most: 1600 };
        assert_eq!((area.of(Some((1000, 1000))), area.of(Some((8000, 8000)))), (1334, 1600));
        let grid = ImageTokens::Grid { side: 768, tile: 258 };
        assert_eq!((grid.of(Some((768, 769))), grid.of(None)), (516, 20 * 258));
        assert_eq!(ImageTokens::Most(7).of(Some((0, 0))), 7);
    }
}
