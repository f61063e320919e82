//! The checks, each on its own.

use flow_plugin::Result;

use crate::amount::Amount;
use crate::{Invoice, Output, Problem};

const LINE: &str = "quantity times unit price is the amount";
const LINES: &str = "the lines are the subtotal";
const TOTAL: &str = "subtotal and tax are the total";
const DECIMALS: &str = "no amount has more decimals than its currency";

struct Checks {
    tolerance: Amount,
    decimals: u32,
    output: Output,
}

/// Makes all checks that the invoice says enough for.
pub(crate) fn all(invoice: &Invoice, decimals: u32, tolerance: f64) -> Result<Output> {
    let tolerance = Amount::of(tolerance, "tolerance")?;
    let output =
        Output { ok: true, problems: Vec::new(), checked: Vec::new(), not_checked: Vec::new() };
    let mut checks = Checks { tolerance, decimals, output };
    checks.each_line(invoice)?;
    checks.lines(invoice)?;
    checks.total(invoice)?;
    checks.all_decimals(invoice)?;
    checks.output.ok = checks.output.problems.is_empty();
    Ok(checks.output)
}

/// An amount that may not be said.
fn said(value: Option<f64>, at: &str) -> Result<Option<Amount>> {
    value.map(|value| Amount::of(value, at)).transpose()
}

impl Checks {
    /// Quantities times prices.
    fn each_line(&mut self, invoice: &Invoice) -> Result<()> {
        let mut any = false;
        for (index, line) in invoice.lines.iter().flatten().enumerate() {
            let (Some(quantity), Some(price), Some(amount)) =
                (line.quantity, line.unit_price, line.amount)
            else {
                continue;
            };
            any = true;
            let at = format!("lines[{index}].amount");
            self.same(LINE, &at, Amount::of(quantity * price, &at)?, Amount::of(amount, &at)?);
        }
        self.done(LINE, any);
        Ok(())
    }

    /// The sum of the lines. Lines may have their tax in them: then they are the total.
    fn lines(&mut self, invoice: &Invoice) -> Result<()> {
        let lines = invoice.lines.as_deref().unwrap_or_default();
        let amounts: Option<Vec<f64>> = lines.iter().map(|line| line.amount).collect();
        let subtotal = said(invoice.subtotal, "subtotal")?;
        let (Some(amounts), Some(subtotal)) = (amounts.filter(|all| !all.is_empty()), subtotal)
        else {
            self.done(LINES, false);
            return Ok(());
        };
        let mut sum = Amount::ZERO;
        for (index, amount) in amounts.into_iter().enumerate() {
            sum = sum + Amount::of(amount, &format!("lines[{index}].amount"))?;
        }
        let total = said(invoice.total, "total")?;
        if !total.is_some_and(|total| sum.apart(total) <= self.tolerance) {
            self.same(LINES, "subtotal", sum, subtotal);
        }
        self.done(LINES, true);
        Ok(())
    }

    /// Subtotal and tax.
    fn total(&mut self, invoice: &Invoice) -> Result<()> {
        let subtotal = said(invoice.subtotal, "subtotal")?;
        let tax = said(invoice.tax, "tax")?;
        let total = said(invoice.total, "total")?;
        let (Some(subtotal), Some(tax), Some(total)) = (subtotal, tax, total) else {
            self.done(TOTAL, false);
            return Ok(());
        };
        self.same(TOTAL, "total", subtotal + tax, total);
        self.done(TOTAL, true);
        Ok(())
    }

    /// Decimals. A price of one piece may have more.
    fn all_decimals(&mut self, invoice: &Invoice) -> Result<()> {
        let sums = [("subtotal", invoice.subtotal), ("tax", invoice.tax), ("total", invoice.total)];
        let sums = sums.into_iter().map(|(at, value)| (at.to_owned(), value));
        let lines = invoice.lines.iter().flatten().enumerate();
        let lines = lines.map(|(index, line)| (format!("lines[{index}].amount"), line.amount));
        let mut any = false;
        for (at, value) in sums.chain(lines) {
            let Some(amount) = said(value, &at)? else { continue };
            any = true;
            if !amount.has_decimals(self.decimals) {
                let currency = invoice.currency.as_deref().unwrap_or("the currency");
                let (found, decimals) = (amount.as_f64(), self.decimals);
                let message = format!("{at} is {found}, and {currency} has {decimals} decimals");
                let problem = Problem { check: DECIMALS, at, expected: None, found, message };
                self.output.problems.push(problem);
            }
        }
        self.done(DECIMALS, any);
        Ok(())
    }

    fn same(&mut self, check: &'static str, at: &str, expected: Amount, found: Amount) {
        if expected.apart(found) <= self.tolerance {
            return;
        }
        let (expected, found) = (expected.as_f64(), found.as_f64());
        let message = format!("{at} is {found}, and {expected} by the rest of the invoice");
        let at = at.to_owned();
        self.output.problems.push(Problem { check, at, expected: Some(expected), found, message });
    }

    fn done(&mut self, check: &'static str, checked: bool) {
        match checked {
            true => self.output.checked.push(check),
            false => self.output.not_checked.push(check),
        }
    }
}
