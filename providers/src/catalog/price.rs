//! What tokens cost.
//!
//! Prices are whole micro-USD a million tokens, so that what a run cost is the exact sum of
//! what its calls cost, each rounded up to a micro-USD.

use flow_core::units::Money;

use crate::service::Tokens;

/// Tokens that a price is of.
const TOKENS: u128 = 1_000_000;

/// What a model costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Price {
    /// The usual rates.
    pub(crate) usual: Rates,
    /// The rates of a request that reads many tokens.
    pub(crate) above: Option<Above>,
}

/// Rates in micro-USD a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Of tokens read.
    pub(crate) input: u64,
    /// Of tokens read from the service's cache.
    pub(crate) cache_read: u64,
    /// Of tokens written into the service's cache.
    pub(crate) cache_write: u64,
    /// Of tokens written, those of reasoning included.
    pub(crate) output: u64,
}

/// The rates of all tokens of a request that reads more than so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Above {
    /// The most tokens at the usual rates.
    pub(crate) tokens: u64,
    /// The rates beyond.
    pub(crate) rates: Rates,
}

impl Price {
    /// The price of what costs nothing.
    pub(crate) const FREE: Self =
        Self { usual: Rates { input: 0, cache_read: 0, cache_write: 0, output: 0 }, above: None };

    /// What so many tokens cost, rounded up to a whole micro-USD; none where the service did
    /// not say how many there were.
    pub(crate) fn of(&self, tokens: &Tokens) -> Option<Money> {
        if *self == Self::FREE {
            return Some(Money::ZERO);
        }
        let (input, output) = (tokens.input?, tokens.output?);
        let rates = self.rates_for(input);
        let plain = input.saturating_sub(tokens.cache_read).saturating_sub(tokens.cache_write);
        let parts = [
            (plain, rates.input),
            (tokens.cache_read, rates.cache_read),
            (tokens.cache_write, rates.cache_write),
            (output, rates.output),
        ];
        let sum: u128 =
            parts.into_iter().map(|(tokens, rate)| u128::from(tokens) * u128::from(rate)).sum();
        let micros = i64::try_from(sum.div_ceil(TOKENS)).unwrap_or(i64::MAX);
        Some(Money::from_micros(micros))
    }

    /// So many percent of it, each rate rounded up.
    pub(crate) fn at_percent(self, percent: u64) -> Self {
        let part = |rate: u64| rate.saturating_mul(percent).div_ceil(100);
        let rates = |of: Rates| Rates {
            input: part(of.input),
            cache_read: part(of.cache_read),
            cache_write: part(of.cache_write),
            output: part(of.output),
        };
        let above = self.above.map(|above| Above { rates: rates(above.rates), ..above });
        Self { usual: rates(self.usual), above }
    }

    /// The most that so many tokens cost, wherever the service caches them.
    pub(crate) fn at_most(&self, input: u64, output: u64) -> Option<Money> {
        let rates = self.rates_for(input);
        let cache_write = if rates.cache_write > rates.input { input } else { 0 };
        let (input, output) = (Some(input), Some(output));
        self.of(&Tokens { input, cache_write, output, ..Tokens::default() })
    }

    fn rates_for(&self, input: u64) -> Rates {
        match self.above {
            Some(above) if input > above.tokens => above.rates,
            Some(_) | None => self.usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(input: u64, cache_read: u64, cache_write: u64, output: u64) -> Rates {
        Rates { input, cache_read, cache_write, output }
    }

    fn tokens(input: u64, cache_read: u64, cache_write: u64, output: u64) -> Tokens {
        let (input, output) = (Some(input), Some(output));
        Tokens { input, cache_read, cache_write, output, reasoning: 0 }
    }

    #[test]
    fn each_kind_of_token_has_its_rate_and_the_sum_is_rounded_up() {
        let usual = rates(3_000_000, 300_000, 3_750_000, 15_000_000);
        let price = Price { usual, above: None };
        let micros = |tokens| price.of(&tokens).map(Money::micros);
        assert_eq!(micros(tokens(1000, 0, 0, 100)), Some(4500));
        assert_eq!(micros(tokens(1000, 400, 100, 100)), Some(1500 + 120 + 375 + 1500));
        assert_eq!(micros(tokens(0, 1, 0, 0)), Some(1), "0.3 micro-USD");
        assert_eq!(micros(Tokens::default()), None, "nobody said how many there were");
        assert_eq!(price.at_most(1000, 0).map(Money::micros), Some(3750));
    }

    #[test]
    fn a_long_request_is_billed_at_its_own_rates_from_its_first_token() {
        let (usual, long) = (
            rates(2_000_000, 0, 2_000_000, 10_000_000),
            rates(4_000_000, 0, 4_000_000, 15_000_000),
        );
        let price = Price { usual, above: Some(Above { tokens: 272_000, rates: long }) };
        let micros = |input| price.of(&tokens(input, 0, 0, 10)).map(Money::micros);
        assert_eq!(micros(272_000), Some(544_100));
        assert_eq!(micros(272_001), Some(1_088_154));
    }

    #[test]
    fn a_part_of_a_price_is_that_part_of_each_rate() {
        let usual = rates(3_000_000, 300_001, 3_750_000, 15_000_000);
        let price = Price { usual, above: Some(Above { tokens: 10, rates: usual }) };
        let half = rates(1_500_000, 150_001, 1_875_000, 7_500_000);
        let expected = Price { usual: half, above: Some(Above { tokens: 10, rates: half }) };
        assert_eq!(price.at_percent(50), expected);
    }

    #[test]
    fn what_is_free_costs_nothing_whether_tokens_are_told_or_not() {
        assert_eq!(Price::FREE.of(&Tokens::default()), Some(Money::ZERO));
    }
}
