//! Checks that an invoice adds up: each line, the lines and the subtotal, the tax and the total.
//!
//! It takes an invoice as flow reads one, and says what is wrong with it; it changes nothing.
//! What the invoice does not say cannot be wrong, and is told as not checked.

mod amount;
mod checks;
mod currency;

use flow_plugin::{Error, JsonSchema, Result, log};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The invoice, with what it does not say as null.
    invoice: Invoice,
}

/// What counts of an invoice; whatever else it has is left alone.
#[derive(Deserialize, JsonSchema)]
struct Invoice {
    /// ISO 4217 code. Without one, two decimals are assumed.
    currency: Option<String>,
    /// Sum before tax.
    subtotal: Option<f64>,
    /// Sum of all taxes.
    tax: Option<f64>,
    /// Sum with tax.
    total: Option<f64>,
    /// Rows of the table of goods and services.
    lines: Option<Vec<Line>>,
}

#[derive(Deserialize, JsonSchema)]
struct Line {
    quantity: Option<f64>,
    unit_price: Option<f64>,
    amount: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// How far two amounts may be apart; one of the currency's smallest unit where it is not
    /// said.
    tolerance: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// Whether nothing is wrong.
    ok: bool,
    /// What is wrong.
    problems: Vec<Problem>,
    /// The names of the checks that could be made.
    checked: Vec<&'static str>,
    /// The names of those for which the invoice says too little.
    not_checked: Vec<&'static str>,
}

#[derive(Serialize, JsonSchema)]
struct Problem {
    /// The name of the check.
    check: &'static str,
    /// Where it is wrong, e.g. `lines[2].amount`.
    at: String,
    /// The amount that follows from the others; null where there is none.
    expected: Option<f64>,
    /// The amount that the invoice says.
    found: f64,
    /// The same in words.
    message: String,
}

fn run(input: Input, config: Config) -> Result<Output> {
    let decimals = currency::decimals(input.invoice.currency.as_deref());
    let tolerance = match config.tolerance {
        Some(given) if !(0.0..1e6).contains(&given) => {
            return Err(Error::config(format!("`tolerance` is {given}, and no amount")));
        }
        given => given.unwrap_or_else(|| 0.1_f64.powi(decimals as i32)),
    };
    let output = checks::all(&input.invoice, decimals, tolerance)?;
    log::debug(&format!("{} checks, {} problems", output.checked.len(), output.problems.len()));
    Ok(output)
}

flow_plugin::step!(run);
