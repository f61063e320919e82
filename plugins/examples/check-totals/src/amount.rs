//! Amounts of money, counted in millionths: sums of them are exact.

use std::ops::Add;

use flow_plugin::{Error, Result};

/// Millionths of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Amount(i128);

const ONE: f64 = 1e6;

impl Amount {
    pub(crate) const ZERO: Self = Self(0);

    /// An amount as an invoice says it; `at` is where.
    pub(crate) fn of(value: f64, at: &str) -> Result<Self> {
        match value.is_finite() && value.abs() < 1e15 {
            true => Ok(Self((value * ONE).round() as i128)),
            false => Err(Error::input(format!("`{at}` is {value}, and no amount"))),
        }
    }

    pub(crate) fn as_f64(self) -> f64 {
        self.0 as f64 / ONE
    }

    /// How far two are apart.
    pub(crate) fn apart(self, other: Self) -> Self {
        Self((self.0 - other.0).abs())
    }

    /// Whether it has at most so many decimals.
    pub(crate) fn has_decimals(self, most: u32) -> bool {
        self.0 % 10_i128.pow(6_u32.saturating_sub(most)) == 0
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}
