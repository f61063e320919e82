//! What is known of models: what they take, what they cost, how much they read and write,
//! and when they were retired.
//!
//! Facts are data, in one dated file (`models.json`) that a user's settings override
//! ([`Overrides`]). Of a model that is not listed nothing is assumed but what its kind of
//! service takes at all, so that nothing is refused for want of knowledge; its price is
//! unknown, which is not 0. Ollama on this machine costs nothing.
//!
//! A model keeps its price whatever address it is asked at: a gateway bills what the service
//! does. Where that is wrong, the setting `models` says so.

mod known;
mod names;
mod overrides;
mod price;
mod quote;
mod table;

use std::fmt;
use std::str::FromStr;

use flow_core::provider::Capabilities;
use serde::Deserialize;

pub(crate) use overrides::Overrides;
pub(crate) use price::Price;
#[cfg(feature = "fuzzing")]
pub(crate) use price::Rates;
pub(crate) use quote::{amount, fits, quote};
pub(crate) use table::Catalog;

/// What is known of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ModelFacts {
    /// Whether it is listed, in the table or by the user.
    pub(crate) listed: bool,
    /// What it takes and does.
    pub(crate) capabilities: Capabilities,
    /// What it costs; none where nobody knows.
    pub(crate) price: Option<Price>,
    /// What it costs in a batch, in percent of that; none where nobody knows.
    pub(crate) batch: Option<u64>,
    /// The most tokens it reads and writes together.
    pub(crate) context: Option<u64>,
    /// The most tokens it writes.
    pub(crate) max_output: Option<u64>,
    /// Whether it reasons before it answers: its limit of tokens has another name then, and it
    /// takes no temperature.
    pub(crate) reasoning: bool,
    /// Whether a sampling temperature may be set.
    pub(crate) temperature: bool,
    /// How images must be made to fit.
    pub(crate) images: ImageLimits,
    /// What documents it takes.
    pub(crate) documents: DocumentLimits,
    /// The most bytes of a request.
    pub(crate) request_bytes: Option<u64>,
    /// How many tokens an image is.
    pub(crate) image_tokens: ImageTokens,
    /// The most bytes that the files of a request have as they are sent, for those that are more
    /// to be uploaded; what a request may hold where this is not said.
    pub(crate) inline_bytes: Option<u64>,
    /// Since when it is not served any more, and what serves in its place; the day may be one
    /// to come.
    pub(crate) retired: Option<Retired>,
}

impl ModelFacts {
    /// The same with the price of a request in a batch.
    pub(crate) fn in_batch(self) -> Self {
        let price = self.price.filter(|price| *price == Price::FREE).or_else(|| {
            self.price.zip(self.batch).map(|(price, percent)| price.at_percent(percent))
        });
        Self { price, ..self }
    }

    /// That the model is gone, if it is by this day.
    pub(crate) fn gone(&self, today: Day) -> Option<&Retired> {
        self.retired.as_ref().filter(|retired| retired.since <= today)
    }
}

/// How images must be made to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ImageLimits {
    /// The media types that are taken.
    pub(crate) types: MediaTypes,
    /// The longest side, in pixels.
    pub(crate) side: Option<u32>,
    /// The largest file, in bytes before base64.
    pub(crate) bytes: Option<u64>,
    /// The most images of a request.
    pub(crate) most: Option<u32>,
    /// The longest side where there are many images.
    pub(crate) of_many: Option<OfMany>,
}

impl ImageLimits {
    /// How large an image of this size is sent, by its sides alone: with its proportions.
    pub(crate) fn fitted(&self, (width, height): (u32, u32)) -> (u32, u32) {
        match self.side {
            Some(side) if width.max(height) > side => {
                let scale = f64::from(side) / f64::from(width.max(height));
                let scaled = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
                (scaled(width), scaled(height))
            }
            Some(_) | None => (width, height),
        }
    }

    /// The limits of a request of so many images.
    pub(crate) fn of(&self, images: usize) -> Self {
        let many = self.of_many.filter(|many| images > many.above as usize);
        let side = many.map(|many| self.side.map_or(many.side, |side| side.min(many.side)));
        Self { side: side.or(self.side), ..self.clone() }
    }
}

/// That images must be smaller where a request has many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfMany {
    /// How many are still few.
    pub(crate) above: u32,
    /// The longest side of each, in pixels.
    pub(crate) side: u32,
}

/// What documents a model takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DocumentLimits {
    /// The media types that are taken.
    pub(crate) types: MediaTypes,
    /// The most pages of a request.
    pub(crate) pages: Option<u32>,
    /// The largest file, in bytes before base64.
    pub(crate) bytes: Option<u64>,
}

/// The media types that are taken; none stands for all, since nobody knows which are not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub(crate) struct MediaTypes(Option<Vec<String>>);

impl MediaTypes {
    /// These types; `text/*` is all of a class.
    pub(crate) fn new(types: Vec<String>) -> Self {
        Self(Some(types))
    }

    /// Whether a type is taken.
    pub(crate) fn takes(&self, media_type: &str) -> bool {
        self.0.as_ref().is_none_or(|types| {
            types.iter().any(|taken| match taken.strip_suffix('*') {
                Some(class) => media_type.starts_with(class),
                None => taken == media_type,
            })
        })
    }

    fn is_said(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Display for MediaTypes {
    /// In words: `JPEG, PNG and text`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = self.0.iter().flatten();
        let words: Vec<String> = types
            .map(|media| match media.split_once('/') {
                Some(("text", "*")) => "text".to_owned(),
                Some((_, "webp")) => "WebP".to_owned(),
                Some(("image" | "application", kind)) if kind.len() <= 4 => kind.to_uppercase(),
                Some(_) | None => media.clone(),
            })
            .collect();
        match words.split_last() {
            None => f.write_str("any type"),
            Some((last, [])) => f.write_str(last),
            Some((last, others)) => write!(f, "{} and {last}", others.join(", ")),
        }
    }
}

/// How many tokens an image is, at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ImageTokens {
    /// So many, whatever its size.
    Most(u64),
    /// `base`, and `tile` for each tile of 512 pixels once it is scaled to fit 2048 by 2048,
    /// and its shorter side 768.
    Tiles { base: u64, tile: u64 },
    /// `tile` for each square of `side` pixels.
    Grid { side: u64, tile: u64 },
    /// One for so many pixels, `most` for what is scaled down.
    Area { pixels: u64, most: u64 },
}

impl Default for ImageTokens {
    fn default() -> Self {
        Self::Most(10_000)
    }
}

/// That a model is gone, or will be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retired {
    /// Since when.
    pub(crate) since: Day,
    /// What serves in its place.
    pub(crate) successor: Option<String>,
}

/// A day, as facts are dated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Day(jiff::civil::Date);

impl Day {
    /// The day of a moment, in UTC.
    pub(crate) fn of(moment: jiff::Timestamp) -> Self {
        Self(moment.to_zoned_datetime(jiff::tz::TimeZone::UTC).date())
    }
}

impl FromStr for Day {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

impl TryFrom<String> for Day {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Self, jiff::Error> {
        text.parse()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_keeps_its_proportions_when_it_is_made_to_fit() {
        let limits = ImageLimits { side: Some(8000), ..ImageLimits::default() };
        for (size, fitted) in [
            ((8000, 8000), (8000, 8000)),
            ((9000, 7000), (8000, 6222)),
            ((7, 16_000), (4, 8000)),
            ((1, 100_000), (1, 8000)),
        ] {
            assert_eq!(limits.fitted(size), fitted);
        }
        assert_eq!(ImageLimits::default().fitted((9000, 7000)), (9000, 7000));
    }

    #[test]
    fn many_images_must_be_smaller() {
        let of_many = Some(OfMany { above: 20, side: 2000 });
        let limits = ImageLimits { side: Some(8000), of_many, ..ImageLimits::default() };
        assert_eq!((limits.of(20).side, limits.of(21).side), (Some(8000), Some(2000)));
        let small = ImageLimits { side: Some(100), ..limits };
        assert_eq!(small.of(21).side, Some(100));
    }

    #[test]
    fn media_types_are_told_in_words_and_all_are_taken_where_none_is_said() {
        let types = |types: &[&str]| MediaTypes::new(types.iter().map(|t| (*t).into()).collect());
        let some = types(&["image/jpeg", "image/webp", "application/pdf", "text/*"]);
        assert_eq!(some.to_string(), "JPEG, WebP, PDF and text");
        assert!(some.takes("text/csv") && some.takes("image/jpeg") && !some.takes("image/png"));
        assert!(MediaTypes::default().takes("image/png"));
        assert_eq!(types(&["image/png"]).to_string(), "PNG");
    }
}
