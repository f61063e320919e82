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
pub(crate) use quote::{amount, quote};
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
    /// How many tokens an image is.
    pub(crate) image_tokens: ImageTokens,
    /// Since when it is not served any more, and what serves in its place; the day may be one
    /// to come.
    pub(crate) retired: Option<Retired>,
}

impl ModelFacts {
    /// That the model is gone, if it is by this day.
    pub(crate) fn gone(&self, today: Day) -> Option<&Retired> {
        self.retired.as_ref().filter(|retired| retired.since <= today)
    }
}

/// How images must be made to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageLimits {
    /// The longest side, in pixels.
    pub(crate) side: Option<u32>,
    /// The largest file, in bytes before base64.
    pub(crate) bytes: Option<u64>,
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
