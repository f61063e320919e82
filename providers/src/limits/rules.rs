//! The limits that settings name, and the rules they are kept by.
//!
//! What a minute allows is spread over it: services refill little by little, and say that a
//! rate of 60 a minute may be enforced as one a second. So `requests_per_minute: 300` is a
//! call every 200 ms, never more than 5 in any second, and never more than 300 in any minute.
//! Tokens are counted by the minute alone, for one call may take a good part of them.

use std::time::Duration;

use flow_core::error::Failure;
use serde_json::{Map, Value};

use super::Wait;
use super::window::{Spacing, Window};

const MINUTE: Duration = Duration::from_mins(1);

/// The least and the most that a rate may be; beyond them it is a slip of the pen.
const RATES: std::ops::RangeInclusive<f64> = 1e-3..=1e9;

/// How much may be asked of a service, or of one of its models, as the settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LimitSettings {
    /// Calls at once.
    pub(crate) concurrency: Option<u32>,
    /// Requests a second.
    pub(crate) requests_per_second: Option<f64>,
    /// Requests a minute.
    pub(crate) requests_per_minute: Option<f64>,
    /// Tokens a minute, read and written.
    pub(crate) tokens_per_minute: Option<f64>,
}

impl LimitSettings {
    /// The names of the settings.
    pub(crate) const KEYS: &[&str] =
        &["concurrency", "requests_per_second", "requests_per_minute", "tokens_per_minute"];

    /// Takes the settings from among others; `of` begins the message of a fault, e.g.
    /// "provider `x`".
    pub(crate) fn taken(of: &str, settings: &mut Map<String, Value>) -> Result<Self, Failure> {
        let limits = Self::read(of, settings)?;
        settings.retain(|key, _| !Self::KEYS.contains(&key.as_str()));
        Ok(limits)
    }

    /// Reads the settings among others.
    pub(crate) fn read(of: &str, settings: &Map<String, Value>) -> Result<Self, Failure> {
        let written = |key: &str| settings.get(key).filter(|value| !value.is_null());
        let wrong = |key: &str, what: &str, value: &Value| {
            Failure::input(format!("{of}: `{key}` is {what}, not `{value}`"))
        };
        let rate = |key: &str| match written(key) {
            None => Ok(None),
            Some(value) => match value.as_f64().filter(|rate| RATES.contains(rate)) {
                Some(rate) => Ok(Some(rate)),
                None => Err(wrong(key, "a number above 0", value)),
            },
        };
        let concurrency = match written("concurrency") {
            None => None,
            Some(value) => {
                let count = value.as_u64().filter(|count| *count > 0);
                let count =
                    count.ok_or_else(|| wrong("concurrency", "a whole number from 1", value))?;
                Some(u32::try_from(count).unwrap_or(u32::MAX))
            }
        };
        Ok(Self {
            concurrency,
            requests_per_second: rate("requests_per_second")?,
            requests_per_minute: rate("requests_per_minute")?,
            tokens_per_minute: rate("tokens_per_minute")?,
        })
    }

    /// These settings, and the others' where these say nothing.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            concurrency: self.concurrency.or(other.concurrency),
            requests_per_second: self.requests_per_second.or(other.requests_per_second),
            requests_per_minute: self.requests_per_minute.or(other.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(other.tokens_per_minute),
        }
    }
}

/// The tokens of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Read.
    pub(crate) input: u64,
    /// Written.
    pub(crate) output: u64,
}

impl Amount {
    fn tokens(self) -> f64 {
        (self.input.saturating_add(self.output)) as f64
    }
}

/// The rules of a service, or of one of its models.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    concurrency: Option<u32>,
    flying: u32,
    /// The distance between calls, where there is one.
    distance: Option<Duration>,
    spacing: Spacing,
    requests: Vec<Window>,
    tokens: Option<Window>,
}

impl Rules {
    pub(super) fn new(settings: LimitSettings) -> Self {
        let rates = [
            settings.requests_per_second.map(|rate| (rate, Duration::from_secs(1))),
            settings.requests_per_minute.map(|rate| (rate, MINUTE)),
        ];
        let mut rules = Self {
            concurrency: settings.concurrency,
            tokens: settings.tokens_per_minute.map(|most| Window::new(most, MINUTE)),
            ..Self::default()
        };
        for (rate, span) in rates.into_iter().flatten() {
            let distance = span.div_f64(rate);
            rules.distance = rules.distance.max(Some(distance));
            // As many as a second allows, and one where that is less.
            let few = (1.0 / distance.as_secs_f64() + 1e-6).floor().max(1.0);
            rules.requests.push(Window::new(few, distance.mul_f64(few)));
            if rate.floor() > few {
                rules.requests.push(Window::new(rate.floor(), span));
            }
        }
        rules
    }

    /// When a call that takes so much may go.
    pub(super) fn wait(&mut self, amount: Amount, now: Duration) -> Wait {
        if self.concurrency.is_some_and(|most| self.flying >= most) {
            return Wait::Event;
        }
        let distance = self.distance.map_or(Wait::Over, |_| self.spacing.wait(now));
        let requests = self.requests.iter_mut().map(|window| window.wait(1.0, now)).max();
        let tokens = self.tokens.as_mut().map(|window| window.wait(amount.tokens(), now));
        [Some(distance), requests, tokens].into_iter().flatten().max().unwrap_or(Wait::Over)
    }

    /// A call is let go.
    pub(super) fn take(&mut self, call: u64, amount: Amount, now: Duration) {
        self.flying += 1;
        if let Some(distance) = self.distance {
            self.spacing.take(distance, now);
        }
        for window in &mut self.requests {
            window.take(call, 1.0);
        }
        if let Some(window) = &mut self.tokens {
            window.take(call, amount.tokens());
        }
    }

    /// The call is announced.
    pub(super) fn begun(&mut self, call: u64, amount: Amount, now: Duration) {
        for window in &mut self.requests {
            window.begun(call, 1.0, now);
        }
        if let Some(window) = &mut self.tokens {
            window.begun(call, amount.tokens(), now);
        }
    }

    /// The call is sent.
    pub(super) fn sent(&mut self, call: u64, amount: Amount, now: Duration) {
        for window in &mut self.requests {
            window.sent(call, 1.0, now);
        }
        if let Some(window) = &mut self.tokens {
            window.sent(call, amount.tokens(), now);
        }
    }

    /// The answer of the call begins.
    pub(super) fn reached(&mut self, call: u64, now: Duration) {
        self.windows().for_each(|window| window.reached(call, now));
    }

    /// The call took so much.
    pub(super) fn correct(&mut self, call: u64, amount: Amount) {
        if let Some(window) = &mut self.tokens {
            window.correct(call, amount.tokens());
        }
    }

    /// The call ended; one that was not sent does not count.
    pub(super) fn end(&mut self, call: u64, was_sent: bool, now: Duration) {
        self.flying = self.flying.saturating_sub(1);
        for window in self.windows() {
            if was_sent {
                window.reached(call, now);
            } else {
                window.forget(call);
            }
        }
    }

    fn windows(&mut self) -> impl Iterator<Item = &mut Window> {
        self.requests.iter_mut().chain(&mut self.tokens)
    }
}
