//! What header fields say of a service's limits.
//!
//! OpenAI and those who speak its protocol send `x-ratelimit-{limit,remaining,reset}-KIND`
//! with `KIND` one of `requests` and `tokens`, and the reset as a time to come (`12ms`, `6m0s`,
//! or a number of seconds). Anthropic sends `anthropic-ratelimit-KIND-{limit,remaining,reset}`
//! with `input-tokens` and `output-tokens` besides, and the reset as a moment (RFC 3339),
//! which is read by the service's own clock where it sends a `date`. A field that is not
//! understood is not there.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap};

use super::told::{Left, Measure};

/// What is left of each limit that the fields name.
pub(crate) fn left_of(headers: &HeaderMap, now: Timestamp) -> Vec<(Measure, Left)> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let date = text(DATE.as_str())
        .and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    let now = date.unwrap_or(now);
    let fields = |kind: &str| {
        [
            ["limit", "remaining", "reset"].map(|what| format!("x-ratelimit-{what}-{kind}")),
            ["limit", "remaining", "reset"]
                .map(|what| format!("anthropic-ratelimit-{kind}-{what}")),
        ]
    };
    let kinds = [
        (Measure::Requests, "requests"),
        (Measure::Tokens, "tokens"),
        (Measure::Input, "input-tokens"),
        (Measure::Output, "output-tokens"),
    ];
    let read = |[limit, remaining, reset]: [String; 3]| {
        let remaining = count(text(&remaining)?)?;
        // Who does not say what the limit is, has at least what is left of it.
        let limit = text(&limit).and_then(count).unwrap_or(remaining).max(1.0);
        let reset = text(&reset).and_then(|reset| until(reset, now));
        Some(Left { limit, remaining, reset })
    };
    let found = kinds.into_iter().filter_map(|(measure, kind)| {
        fields(kind).into_iter().find_map(read).map(|left| (measure, left))
    });
    found.collect()
}

fn count(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
}

/// The time until a reset, in either of its forms.
fn until(text: &str, now: Timestamp) -> Option<Duration> {
    if let Some(seconds) = count(text) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.duration_since(now).try_into().unwrap_or_default());
    }
    lasting(text)
}

/// A time as Go writes it: `1h2m3.5s`, `12ms`.
fn lasting(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (Some(text).filter(|text| !text.is_empty())?, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number = count(&rest[..digits])?;
        rest = &rest[digits..];
        let letters = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number * unit;
        rest = &rest[letters..];
    }
    Duration::try_from_secs_f64(sum).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn read(fields: &[(&'static str, &'static str)]) -> Vec<(Measure, Left)> {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        left_of(&fields.collect(), "2026-11-24T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn what_openai_says_is_understood() {
        let left = |limit, remaining, ms| Left {
            limit,
            remaining,
            reset: Some(Duration::from_millis(ms)),
        };
        let said = read(&[
            ("x-ratelimit-limit-requests", "5000"),
            ("x-ratelimit-remaining-requests", "4999"),
            ("x-ratelimit-reset-requests", "12ms"),
            ("x-ratelimit-limit-tokens", "30000"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m0.5s"),
        ]);
        assert_eq!(
            said,
            [
                (Measure::Requests, left(5000.0, 4999.0, 12)),
                (Measure::Tokens, left(30_000.0, 0.0, 360_500))
            ]
        );
    }

    #[test]
    fn what_anthropic_says_is_understood_by_its_own_clock() {
        let fields = [
            ("anthropic-ratelimit-input-tokens-limit", "40000"),
            ("anthropic-ratelimit-input-tokens-remaining", "1000"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-11-24T12:00:30Z"),
        ];
        let reset = |fields: &[_]| {
            let said = read(fields);
            assert_eq!(said[0].0, Measure::Input);
            assert_eq!((said[0].1.limit, said[0].1.remaining), (40_000.0, 1000.0));
            said[0].1.reset.map(|reset| reset.as_secs())
        };
        assert_eq!(reset(&fields), Some(30));
        let [limit, remaining, moment] = fields;
        let own = ("date", "Tue, 24 Nov 2026 12:00:20 GMT");
        assert_eq!(reset(&[limit, remaining, moment, own]), Some(10));
    }

    #[test]
    fn a_reset_is_read_in_every_form_and_nonsense_is_not_there() {
        for (text, ms) in [
            ("1s", Some(1_000)),
            ("1h2m3.5s", Some(3_723_500)),
            ("0.25", Some(250)),
            ("17", Some(17_000)),
            ("2026-11-24T11:00:00Z", Some(0)),
            ("", None),
            ("soon", None),
            ("6m0", None),
            ("1..2s", None),
            ("-1s", None),
        ] {
            let now = "2026-11-24T12:00:00Z".parse().unwrap();
            assert_eq!(until(text, now), ms.map(Duration::from_millis), "{text:?}");
        }
        assert_eq!(read(&[("x-ratelimit-limit-requests", "5")]), []);
        assert_eq!(read(&[("x-ratelimit-remaining-requests", "many")]), []);
    }
}
