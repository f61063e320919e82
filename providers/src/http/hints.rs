//! How long a server asks to wait, in all the forms in which header fields say it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The wait that header fields ask for: `retry-after-ms`, or `retry-after` in seconds or as a
/// date. A date that is past asks for no wait.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(ms) = text("retry-after-ms").and_then(number) {
        return Duration::try_from_secs_f64(ms.max(0.0) / 1000.0).ok();
    }
    let asked = text(RETRY_AFTER.as_str())?;
    if let Some(seconds) = number(asked) {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    // An HTTP date says GMT where RFC 2822 wants a zone that every reader knows.
    let date = rfc2822::DateTimeParser::new().parse_timestamp(asked).ok()?;
    Some(date.duration_since(now).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn every_form_is_understood() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        for (name, value, expected) in [
            ("retry-after", "7", Some(7_000)),
            ("retry-after", "0.25", Some(250)),
            ("retry-after", "-3", Some(0)),
            ("retry-after", "Tue, 24 Nov 2026 12:00:20 GMT", Some(20_000)),
            ("retry-after", "Tue, 24 Nov 2026 11:00:00 GMT", Some(0)),
            ("retry-after", "soon", None),
            ("retry-after", "NaN", None),
            ("retry-after-ms", "1500", Some(1_500)),
            ("x-other", "1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            let expected = expected.map(Duration::from_millis);
            assert_eq!(retry_after(&headers, now), expected, "{name}: {value}");
        }
    }

    #[test]
    fn milliseconds_are_finer_and_go_first() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static("2"));
        headers.insert("retry-after-ms", HeaderValue::from_static("1250"));
        let wait = retry_after(&headers, Timestamp::UNIX_EPOCH);
        assert_eq!(wait, Some(Duration::from_millis(1250)));
    }
}
